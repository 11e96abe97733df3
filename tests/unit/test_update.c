/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/update.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/buf.h"
#include "lib/fd.h"
#include "tests/tap.h"

static char warnings[1024];
static char dir[] = "/tmp/coracle-update-XXXXXX";
static int dir_fd;

static void note_warning(void *arg, const char *msg)
{
	snprintf(warnings + strlen(warnings), sizeof(warnings) - strlen(warnings), "%s\n", msg);
}

static const struct spec_opts strict = {.warn = note_warning};

/* As `create` notes a config.json with these resources; NULL: with none. */
static void write_config(const char *resources)
{
	struct err err = ERR_INIT;
	struct jdoc doc;
	char text[1024];
	int len = resources ? snprintf(text, sizeof(text), "{\"linux\":{\"resources\":%s}}",
				      resources)
			    : snprintf(text, sizeof(text), "{\"linux\":{}}");

	BUG_ON(jdoc_parse(&doc, "config.json", text, (size_t)len, sizeof(text), &err) < 0 ||
		update_note(&doc, dir_fd, &err) < 0);
	jdoc_release(&doc);
}

/* Applies a change given as JSON, or flags, to what is in dir. The files that are to be written come back as
 * "name=value;..."; or the error. */
static const char *change(const char *json, const struct update_flags *flags, bool save)
{
	static char text[1024];
	struct err err = ERR_INIT;
	struct update u;
	int r = update_load(&u, dir_fd, &err);

	warnings[0] = text[0] = '\0';
	if (r == 0 && json) {
		int fd = memfd_with("change", json, strlen(json), 0);

		r = update_read(&u, fd, &err);
		close(fd);
	} else if (r == 0) {
		r = update_from_flags(&u, flags, &err);
	}
	if (r == 0)
		r = update_merge(&u, &strict, &err);
	for (uint32_t i = 0; r == 0 && i < u.n_guest; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "%s=%s;", u.guest[i].key,
			u.guest[i].value);
	if (r == 0 && save)
		r = update_save(&u, dir_fd, false, &err);
	update_release(&u);
	if (r < 0)
		snprintf(text, sizeof(text), "error: %s", err.msg);
	return text;
}

#define FLAGS(...) change(NULL, &(struct update_flags){__VA_ARGS__}, false)
#define JSON(text) change(text, NULL, false)

static void test_flags(void)
{
	write_config("{\"memory\":{\"limit\":1048576},\"cpu\":{\"quota\":5000,\"period\":10000},"
		     "\"pids\":{\"limit\":100}}");
	eq_str(FLAGS(), "", "no flag, no change");
	eq_str(FLAGS(.memory = "2m"), "memory.max=2097152;", "memory");
	eq_str(FLAGS(.memory = "1048576"), "", "the same as before");
	eq_str(FLAGS(.memory = "0", .pids_limit = "0"), "", "0 leaves it");
	eq_str(FLAGS(.memory = "-1"), "memory.swap.max=max;memory.max=max;",
		"unlimited takes swap along");
	eq_str(FLAGS(.memory_swap = "3m"), "memory.swap.max=2097152;",
		"swap is seen together with the memory that holds");
	eq_str(FLAGS(.memory_reservation = "512K"), "memory.low=524288;", "reservation");
	eq_str(FLAGS(.cpu_quota = "6000"), "cpu.max=6000 10000;", "the quota keeps its period");
	eq_str(FLAGS(.cpu_period = "20000"), "cpu.max=5000 20000;", "the period keeps its quota");
	eq_str(FLAGS(.cpu_quota = "-1"), "cpu.max=max 10000;", "no quota");
	eq_str(FLAGS(.cpu_share = "1024"), "cpu.weight=39;", "shares");
	eq_str(FLAGS(.cpu_idle = "0"), "cpu.idle=0;", "0 that is a setting");
	eq_str(FLAGS(.pids_limit = "20"), "pids.max=20;", "pids");
	eq_str(FLAGS(.pids_limit = "-1"), "pids.max=max;", "no limit of pids");
	write_config(NULL);
	eq_str(FLAGS(.pids_limit = "7"), "pids.max=7;", "a container that had no limits");
}

static void test_wrong(void)
{
	write_config("{}");
	has_str(FLAGS(.memory = "x"), "invalid value for memory: 'x'");
	has_str(FLAGS(.cpu_quota = "1.5"), "invalid value for cpu-quota");
	has_str(FLAGS(.pids_limit = ""), "");
	has_str(FLAGS(.memory_swap = "5m"), "a swap limit needs a memory limit");
	has_str(FLAGS(.memory = "5m", .memory_swap = "4m"), "is below limit");
	has_str(FLAGS(.cpuset_cpus = "a"), "cpus: expected a list");
	has_str(FLAGS(.cpu_rt_period = "1"), "realtimePeriod");
	has_str(JSON("[]"), "error:");
	has_str(JSON("{\"memory\":7}"), "memory");
	has_str(JSON("{\"memory\":{\"limit\":\"7\"}}"), "memory.limit: expected an integer");
	has_str(JSON("{\"memory\":{\"limit\":1,\"limit\":2}}"), "duplicate");
	has_str(JSON("{\"rdma\":{\"mlx5_0\":{\"hcaHandles\":1}}}"), "rdma");
}

static void test_json(void)
{
	write_config("{\"memory\":{\"limit\":1048576,\"swap\":1048576},"
		     "\"devices\":[{\"allow\":false,\"access\":\"rwm\"}]}");
	eq_str(JSON("{}"), "", "nothing");
	eq_str(JSON("{\"memory\":{\"limit\":0,\"reservation\":0},\"cpu\":{\"shares\":0,\"cpus\":"
		    "\"\"},"
		    "\"blockIO\":{\"weight\":0},\"pids\":{\"limit\":0}}"),
		"", "Docker's zeros");
	eq_str(JSON("{\"devices\":[{\"allow\":false,\"access\":\"rwm\"}]}"), "",
		"the same devices");
	eq_str(warnings, "", "are nothing to speak of");
	eq_str(JSON("{\"devices\":[{\"allow\":true,\"access\":\"rwm\"}],\"pids\":{\"limit\":5}}"),
		"pids.max=5;", "other devices");
	ok(strstr(warnings, "devices: not changed"), "are warned of");
	eq_str(JSON("{\"unified\":{\"memory.high\":\"7\"}}"), "memory.high=7;", "unified");
	has_str(JSON("{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":1}]}"),
		"hugetlb.2MB.max=1;hugetlb.2MB.rsvd.max=1;");
	has_str(JSON("{\"memory\":{\"limit\":4194304}}"), "is below limit");
}

/* The second update starts from what the first one made. */
static void test_twice(void)
{
	write_config("{\"cpu\":{\"quota\":5000,\"period\":10000}}");
	eq_str(change("{\"cpu\":{\"quota\":7000}}", NULL, true), "cpu.max=7000 10000;", "first");
	eq_str(JSON("{\"cpu\":{\"quota\":7000}}"), "", "it holds");
	eq_str(FLAGS(.cpu_period = "30000"), "cpu.max=7000 30000;", "and is built upon");
}

/* One that failed may have written some of its files. */
static void test_halfway(void)
{
	struct err err = ERR_INIT;

	write_config("{\"memory\":{\"limit\":1048576},\"pids\":{\"limit\":100}}");
	eq_str(FLAGS(.pids_limit = "20"), "pids.max=20;", "an update that is not finished");
	eq_int(update_begin(dir_fd, &err), 0, "begins");
	eq_str(FLAGS(.pids_limit = "100"), "memory.max=1048576;pids.max=100;",
		"going back is a change, and everything is written");
	eq_str(change("{\"pids\":{\"limit\":30}}", NULL, true), "memory.max=1048576;pids.max=30;",
		"so is any other");
	eq_str(FLAGS(.pids_limit = "30"), "", "once it is through, only what differs");
	ok(faccessat(dir_fd, UPDATE_UNSURE, F_OK, 0) < 0, "the mark is gone");
}

static void test_sizes(void)
{
	static const struct {
		const char *text;
		int64_t bytes;
	} good[] = {{"0", 0}, {"7", 7}, {"-1", -1}, {"1k", 1024}, {"1K", 1024}, {"1kb", 1024},
		{"2MiB", 2 << 20}, {"1.5g", 3ll << 29}, {"3b", 3}, {"1 m", 1 << 20},
		{"9223372036854775807", INT64_MAX}, {"1t", 1ll << 40}};
	static const char *const bad[] = {"", "-2", "x", "1x", "k", "1kk", "0x10", "1.2.3", "1e3",
		"9223372036854775808", "9999999p", "inf", "nan", "1  ", "+1"};
	int64_t v;

	for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
		ok(update_parse_size(good[i].text, &v) == 0, "'%s'", good[i].text);
		eq_int(v, good[i].bytes, "its bytes");
	}
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		ok(update_parse_size(bad[i], &v) == -EINVAL, "not '%s'", bad[i]);
}

static void test_encode(void)
{
	const struct gkeyval files[] = {{"pids.max", "5"}, {"cpu.max", "1 2"}};
	struct update u = {.guest = files, .n_guest = 2};
	struct err err = ERR_INIT;
	uint8_t buf[64];
	struct rbuf b;
	size_t len;

	eq_int(update_encode(&u, buf, sizeof(buf), &len, &err), 0, "encoded");
	b = rbuf_of(buf, len);
	eq_int(rbuf_u32(&b), 2, "their number");
	eq_str(rbuf_str(&b, 64), "pids.max", "name");
	eq_str(rbuf_str(&b, 64), "5", "value");
	eq_str(rbuf_str(&b, 64), "cpu.max", "name");
	eq_str(rbuf_str(&b, 64), "1 2", "value");
	ok(rbuf_done(&b), "and nothing else");
	eq_int(update_encode(&u, buf, 20, &len, &err), -E2BIG, "no room");
}

int main(void)
{
	if (!mkdtemp(dir) || (dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) < 0)
		return 1;
	test_flags();
	test_wrong();
	test_json();
	test_twice();
	test_halfway();
	test_sizes();
	test_encode();
	unlinkat(dir_fd, UPDATE_FILE, 0);
	has_str(FLAGS(.memory = "1m"), "error: resources.json");
	ok(rmdir(dir) == 0, "nothing is left");
	close(dir_fd);
	return tap_done();
}
