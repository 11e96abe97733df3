/* SPDX-License-Identifier: Apache-2.0 */
/* linux.resources of config.json: what goes into files of the host's cgroup and of the guest's, what it adds up to, devices. */
#include "oci/spec_linux.h"

#include "lib/base.h"
#include "oci/resources.h"
#include "tests/tap.h"
#include "tests/unit/oci_config.h"

static void refuses(const char *path, const char *value, const char *why)
{
	const char *says = config_says(path, value);

	ok(strstr(says, why), "%s = %s: '%s'", path, value ? value : "(absent)", says);
}

static const char *hostfile(const struct container_spec *spec, const char *name)
{
	const char *value = "(none)";

	for (uint32_t i = 0; spec && i < spec->resources.n_host; i++)
		if (!strcmp(spec->resources.host[i].key, name))
			value = spec->resources.host[i].value;
	return value;
}

/* linux.resources = json comes to this limit and so many CPUs. */
static void sums_up(const char *json, uint64_t memory, uint32_t cpus)
{
	struct container_spec *spec = config_try("linux.resources", json);

	ok(spec && spec->resources.memory_limit == memory && spec->resources.cpus == cpus, "%s %s",
		json, last_err.msg);
	container_spec_free(spec);
}

static void test_sums(void)
{
	sums_up("{}", 0, 0);
	sums_up("{\"memory\":{\"limit\":-1},\"cpu\":{\"quota\":-1}}", 0, 0);
	sums_up("{\"cpu\":{\"quota\":250000,\"period\":100000}}", 0, 3);
	sums_up("{\"cpu\":{\"quota\":200000}}", 0, 2);
	sums_up("{\"cpu\":{\"quota\":1000}}", 0, 1);
	sums_up("{\"cpu\":{\"quota\":900000,\"cpus\":\"1,3-5\"}}", 0, 4);
	sums_up("{\"cpu\":{\"quota\":100000,\"cpus\":\"1,3-5\"}}", 0, 1);
	sums_up("{\"unified\":{\"memory.max\":\"64M\",\"cpu.max\":\"150000 100000\"}}", 64 << 20,
		2);
	sums_up("{\"memory\":{\"limit\":4096},\"unified\":{\"memory.max\":\"max\"}}", 0, 0);
	sums_up("{\"unified\":{\"memory.max\":\"99999999999999999999\",\"cpu.max\":\"x\"}}", 0, 0);
	sums_up("{\"unified\":{\"cpuset.cpus\":\"0-1\",\"cpu.max\":\"9 0\"}}", 0, 2);
	eq_int(cpu_list_count("0-3,7"), 5, "a CPU list");
	eq_int(cpu_list_count(" 1 2\n"), 2, "with blanks");
	eq_int(cpu_list_count(""), 0, "an empty one");
	eq_int(cpu_list_count("3-1"), 0, "backwards");
	eq_int(cpu_list_count("-1"), 0, "no beginning");
	eq_int(cpu_list_count("1-"), 0, "no end");
	eq_int(cpu_list_count("0-99999999"), 0, "too many");
	eq_int(cpu_list_count("1x"), 0, "no list");
}

static const char *cgfile(const struct container_spec *spec, const char *name)
{
	const char *value = "(none)";

	for (uint32_t i = 0; spec && i < spec->guest.n_cgfiles; i++)
		if (!strcmp(spec->guest.cgfiles[i].key, name))
			value = spec->guest.cgfiles[i].value;
	return value;
}

/* linux.resources = json gives this file this value. */
static void writes(const char *json, const char *name, const char *value)
{
	struct container_spec *spec = config_try("linux.resources", json);
	const char *got = cgfile(spec, name);

	ok(spec && !strcmp(got, value), "%s: %s = %s%s", json, name, got, last_err.msg);
	container_spec_free(spec);
}

static void test_resources(void)
{
	struct container_spec *spec = config_parse(full_config);

	ok(spec->resources.memory_limit == 536870912, "the memory limit, for the VM's size");
	eq_int(spec->resources.cpus, 1, "half a CPU needs one");
	eq_str(hostfile(spec, "memory.max"), "536870912", "memory.max on the host");
	eq_str(hostfile(spec, "cpu.max"), "50000 100000", "cpu.max on the host");
	eq_str(hostfile(spec, "pids.max"), "(none)", "no pids.max on the host");
	eq_str(hostfile(spec, "io.bfq.weight"), "8:0 600", "block weights are the host's");
	eq_str(hostfile(spec, "io.max"), "8:0 wiops=4", "and limits");
	eq_str(cgfile(spec, "io.max"), "(none)", "not the guest's");
	eq_str(cgfile(spec, "memory.max"), "536870912", "memory.max");
	eq_str(cgfile(spec, "memory.swap.max"), "536870912", "memory.swap.max: less the memory");
	eq_str(cgfile(spec, "memory.low"), "268435456", "memory.low");
	eq_str(cgfile(spec, "cpu.weight"), "39", "cpu.weight");
	eq_str(cgfile(spec, "cpu.max"), "50000 100000", "cpu.max");
	eq_str(cgfile(spec, "cpu.max.burst"), "1000", "cpu.max.burst");
	eq_str(cgfile(spec, "cpu.idle"), "0", "cpu.idle");
	eq_str(hostfile(spec, "cpuset.cpus"), "0-1", "cpuset.cpus of the host");
	eq_str(hostfile(spec, "cpuset.mems"), "0", "cpuset.mems of the host");
	eq_str(cgfile(spec, "cpuset.cpus"), "(none)", "not of the guest");
	eq_str(cgfile(spec, "pids.max"), "100", "pids.max");
	eq_str(cgfile(spec, "k.x"), "1", "unified");
	container_spec_free(spec);
	writes("{\"memory\":{\"limit\":-1}}", "memory.max", "max");
	writes("{\"memory\":{\"limit\":-1}}", "memory.swap.max", "max");
	writes("{\"memory\":{\"limit\":0}}", "memory.max", "(none)");
	writes("{\"memory\":{\"limit\":4096}}", "memory.swap.max", "(none)");
	writes("{\"memory\":{\"limit\":4096,\"swap\":4096}}", "memory.swap.max", "0");
	writes("{\"memory\":{\"limit\":4096,\"swap\":-1}}", "memory.swap.max", "max");
	writes("{\"memory\":{\"limit\":-1,\"swap\":4096}}", "memory.swap.max", "4096");
	writes("{\"memory\":{\"reservation\":-1}}", "memory.low", "max");
	writes("{\"cpu\":{\"quota\":-1}}", "cpu.max", "max 100000");
	writes("{\"cpu\":{\"quota\":20000}}", "cpu.max", "20000 100000");
	writes("{\"cpu\":{\"period\":50000}}", "cpu.max", "max 50000");
	writes("{\"cpu\":{\"quota\":0,\"period\":0,\"shares\":0}}", "cpu.max", "(none)");
	writes("{\"cpu\":{\"shares\":0}}", "cpu.weight", "(none)");
	writes("{\"cpu\":{\"shares\":512,\"idle\":1}}", "cpu.weight", "(none)");
	writes("{\"cpu\":{\"cpus\":\"\",\"mems\":\"\"}}", "cpuset.cpus", "(none)");
	writes("{\"pids\":{\"limit\":-1}}", "pids.max", "max");
	writes("{\"blockIO\":{\"weight\":750}}", "io.weight", "7475");
	writes("{\"blockIO\":{\"weight\":0}}", "io.weight", "(none)");
	writes("{\"unified\":{\"io.weight\":\"default 50\"}}", "io.weight", "default 50");
	writes("{\"unified\":{\"io.weight\":\"8:0 50\"}}", "io.weight", "(none)");
	writes("{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":4194304}]}", "hugetlb.2MB.max",
		"4194304");
	writes("{\"hugepageLimits\":[{\"pageSize\":\"64KB\",\"limit\":0},"
	       "{\"pageSize\":\"1GB\",\"limit\":18446744073709551615}]}",
		"hugetlb.1GB.rsvd.max", "18446744073709551615");
	writes("{\"pids\":{\"limit\":0}}", "pids.max", "(none)");
	writes("{\"pids\":{}}", "pids.max", "(none)");
	writes("{\"cpu\":{\"shares\":2},\"unified\":{\"cpu.weight\":\"77\"}}", "cpu.weight", "77");
	char *text = config_edit(full_config, "linux.resources", "{\"pids\":{\"limit\":0}}");
	char *newer = config_edit(text, "ociVersion", "\"1.3.0\"");
	spec = config_parse(newer);
	eq_str(cgfile(spec, "pids.max"), "1", "since 1.3 a limit of 0 is one");
	container_spec_free(spec);
	free(newer);
	free(text);
	eq_int((intmax_t)io_weight_of_blkio(10), 1, "the least io weight");
	eq_int((intmax_t)io_weight_of_blkio(1000), 10000, "the most");
	eq_int((intmax_t)io_weight_of_blkio(0), 1, "less");
	eq_int((intmax_t)cpu_weight_of_shares(1), 1, "the least shares");
	eq_int((intmax_t)cpu_weight_of_shares(2), 1, "2 shares");
	eq_int((intmax_t)cpu_weight_of_shares(262144), 10000, "the most shares");
	eq_int((intmax_t)cpu_weight_of_shares(UINT64_MAX), 10000, "more than that");
}

static void test_resource_errors(void)
{
	refuses("linux.resources.memory.limit", "-2",
		"linux.resources.memory.limit: expected an integer from -1");
	refuses("linux.resources.memory.swap", "1",
		"linux.resources.memory: swap (memory plus swap) is below limit");
	refuses("linux.resources.memory.limit", NULL,
		"linux.resources.memory: a swap limit needs a memory limit");
	refuses("linux.resources.cpu.idle", "2",
		"linux.resources.cpu.idle: expected an integer from 0 to 1");
	refuses("linux.resources.cpu.cpus", "\"0;1\"",
		"linux.resources.cpu.cpus: expected a list such as");
	refuses("linux.resources.hugepageLimits", "[{\"pageSize\":\"2MB\"}]",
		"linux.resources.hugepageLimits[0].limit");
	refuses("linux.resources.hugepageLimits", "[{\"limit\":1}]",
		"linux.resources.hugepageLimits[0].pageSize");
	for (const char *const *p = (const char *const[]){"", "2", "MB", "2MiB", "2mb", "02MB",
		     "/../MB", "2M/B", "1000000000KB", NULL};
		*p; p++) {
		char json[80];

		snprintf(json, sizeof(json), "[{\"pageSize\":\"%s\",\"limit\":1}]", *p);
		refuses("linux.resources.hugepageLimits", json,
			"linux.resources.hugepageLimits[0]: pageSize: expected a size such as 2MB");
	}
	refuses("linux.resources.unified", "{\"../x.y\":\"1\"}",
		"expected the name of a cgroup file");
	refuses("linux.resources.unified", "{\".x\":\"1\"}", "expected the name of a cgroup file");
	refuses("linux.resources.unified", "{\"nodot\":\"1\"}",
		"expected the name of a cgroup file");
	refuses("linux.resources.devices[0].type", "\"x\"",
		"resources.devices[0]: type: expected 'a', 'b' or 'c'");
	refuses("linux.resources.devices[0].type", "\"bc\"",
		"type: expected 'a', 'b' or 'c', got 'bc'");
	refuses("linux.resources.devices[0].access", "\"a\"", "access is missing or empty");
	eq_str(config_says("linux.resources.devices[0].access", "\"rwa\""), "", "other letters");
	has_str(warnings, "devices[0]: access: 'rwa' holds more than r, w, m");
	refuses("linux.resources.devices[0].access", "\"\"", "access is missing or empty");
	refuses("linux.resources.devices[0].access", NULL, "access is missing or empty");
	refuses("linux.resources.devices[0].major", "-2",
		"linux.resources.devices[0].major: expected");
	refuses("linux.resources.devices",
		"[{\"allow\":true,\"type\":\"c\",\"access\":\"r\"},"
		"{\"allow\":false,\"type\":\"c\",\"major\":1,\"minor\":3,\"access\":\"r\"}]",
		"linux.resources.devices[1]: device rule 'deny c 1:3' cuts a hole into a wider "
		"rule");
	refuses("linux.resources.devices",
		"[{\"allow\":true},{\"allow\":false,\"type\":\"c\",\"major\":1,\"access\":\"rw\"}]",
		"linux.resources.devices: every container's default devices: device rule 'allow c "
		"1:3'");
}

static void test_device_program(void)
{
	struct container_spec *spec =
		config_try("linux.resources.devices", "[{\"allow\":true,\"access\":\"rwm\"}]");

	eq_int(spec->guest.n_devprog, 0, "no program for a privileged container");
	container_spec_free(spec);
	spec = config_try("linux.resources.devices", "[{\"allow\":false,\"access\":\"rwm\"}]");
	uint32_t n = spec->guest.n_devprog;
	ok(n > 0, "a program for the default rules");
	container_spec_free(spec);
	spec = config_try("linux.resources.devices", NULL);
	eq_int(spec->guest.n_devprog, n, "the same without any rule");
	container_spec_free(spec);
}

int main(void)
{
	test_resources();
	test_resource_errors();
	test_sums();
	test_device_program();
	return tap_done();
}
