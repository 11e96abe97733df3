/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configurations for the tests of oci/: one that uses every supported field, edited one field at a
 * time.
 */
#ifndef TESTS_OCI_CONFIG_H
#define TESTS_OCI_CONFIG_H

#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "oci/spec.h"

/* Every field that Coracle supports, with a value it takes. */
static const char full_config[] =
	"{\"ociVersion\":\"1.2.0\","
	"\"root\":{\"path\":\"rootfs\",\"readonly\":true},"
	"\"mounts\":["
	"{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\"},"
	"{\"destination\":\"/tmp\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
	"\"options\":[\"nosuid\",\"size=64k\",\"mode=1777\",\"tmpcopyup\"]},"
	"{\"destination\":\"/data\",\"type\":\"none\",\"source\":\"/srv\","
	"\"options\":[\"rbind\",\"ro\",\"rslave\"]}],"
	"\"process\":{\"terminal\":false,\"consoleSize\":{\"height\":25,\"width\":80},\"cwd\":\"/"
	"w\","
	"\"env\":[\"PATH=/bin\",\"A=\"],\"args\":[\"sh\",\"-c\",\"true\"],"
	"\"user\":{\"uid\":1000,\"gid\":1001,\"umask\":18,\"additionalGids\":[5,6]},"
	"\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":1024,\"hard\":4096}],"
	"\"capabilities\":{\"bounding\":[\"CAP_KILL\"],\"effective\":[\"CAP_KILL\"],"
	"\"inheritable\":[\"CAP_KILL\"],\"permitted\":[\"CAP_KILL\"],\"ambient\":[\"CAP_KILL\"]},"
	"\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"nice\":1,\"priority\":0,\"flags\":[],"
	"\"runtime\":0,\"deadline\":0,\"period\":0},"
	"\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":7},"
	"\"execCPUAffinity\":{\"initial\":\"0\",\"final\":\"0-1,3\"},"
	"\"noNewPrivileges\":true,\"oomScoreAdj\":-500},"
	"\"hostname\":\"h\",\"domainname\":\"d\","
	"\"annotations\":{\"k\":\"v\"},"
	"\"hooks\":{\"prestart\":[{\"path\":\"/"
	"h\",\"args\":[\"h\",\"a\"],\"env\":[\"E=1\"],\"timeout\":5}],"
	"\"createRuntime\":[{\"path\":\"/"
	"h\",\"args\":[\"h\",\"a\"],\"env\":[\"E=1\"],\"timeout\":5}],"
	"\"createContainer\":[{\"path\":\"/"
	"h\",\"args\":[\"h\",\"a\"],\"env\":[\"E=1\"],\"timeout\":5}],"
	"\"startContainer\":[{\"path\":\"/"
	"h\",\"args\":[\"h\",\"a\"],\"env\":[\"E=1\"],\"timeout\":5}],"
	"\"poststart\":[{\"path\":\"/h\",\"args\":[\"h\",\"a\"],\"env\":[\"E=1\"],\"timeout\":5}],"
	"\"poststop\":[{\"path\":\"/h\",\"args\":[\"h\",\"a\"],\"env\":[\"E=1\"],\"timeout\":5}]},"
	"\"linux\":{\"namespaces\":[{\"type\":\"network\",\"path\":\"/run/netns/"
	"x\"},{\"type\":\"pid\"},"
	"{\"type\":\"mount\"},{\"type\":\"uts\"},{\"type\":\"ipc\"},{\"type\":\"cgroup\"},{"
	"\"type\":\"time\"}],"
	"\"timeOffsets\":{\"monotonic\":{\"secs\":5,\"nanosecs\":6}},"
	"\"personality\":{\"domain\":\"LINUX32\"},"
	"\"devices\":[{\"type\":\"c\",\"path\":\"/dev/fuse\",\"major\":10,\"minor\":229,"
	"\"fileMode\":438,\"uid\":0,\"gid\":0}],"
	"\"resources\":{\"devices\":[{\"allow\":false,\"type\":\"c\",\"major\":7,\"minor\":3,"
	"\"access\":\"rwm\"}],"
	"\"memory\":{\"limit\":536870912,\"reservation\":268435456,\"swap\":1073741824,"
	"\"useHierarchy\":true,\"checkBeforeUpdate\":true},"
	"\"cpu\":{\"shares\":1024,\"quota\":50000,\"burst\":1000,\"period\":100000,\"cpus\":\"0-"
	"1\","
	"\"mems\":\"0\",\"idle\":0},"
	"\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":2097152}],"
	"\"blockIO\":{\"weight\":500,\"weightDevice\":[{\"major\":8,\"minor\":0,\"weight\":600}],"
	"\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":1}],"
	"\"throttleWriteBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":2}],"
	"\"throttleReadIOPSDevice\":[{\"major\":8,\"minor\":0,\"rate\":3}],"
	"\"throttleWriteIOPSDevice\":[{\"major\":8,\"minor\":0,\"rate\":4}]},"
	"\"pids\":{\"limit\":100},\"unified\":{\"k.x\":\"1\"}},"
	"\"cgroupsPath\":\"/a/b\",\"sysctl\":{\"k\":\"1\"},\"rootfsPropagation\":\"rslave\","
	"\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38,"
	"\"architectures\":[\"SCMP_ARCH_X86\"],\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],"
	"\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_TRACE\",\"errnoRet\":5,"
	"\"args\":[{\"index\":0,\"value\":1,\"valueTwo\":2,\"op\":\"SCMP_CMP_MASKED_EQ\"}]}]},"
	"\"maskedPaths\":[\"/proc/kcore\"],\"readonlyPaths\":[\"/proc/sys\"]}}";

/* The least that is accepted. */
static const char least_config[] = "{\"ociVersion\":\"1.0.0\",\"root\":{\"path\":\"rootfs\"},"
				   "\"process\":{\"cwd\":\"/\",\"args\":[\"true\"]},"
				   "\"linux\":{\"namespaces\":[{\"type\":\"network\"}]}}";

/* Takes the next step of a path such as `mounts[0].source` off *path: a key in buf, or *ret_index.
 */
static inline int path_step(const char **path, char *buf, size_t cap, size_t *ret_index)
{
	const char *p = *path;
	size_t n;

	if (*p == '[') {
		*ret_index = strtoul(p + 1, (char **)path, 10);
		*path += **path == ']';
		return 1;
	}
	p += *p == '.';
	n = strcspn(p, ".[");
	if (n >= cap)
		abort();
	memcpy(buf, p, n);
	buf[n] = '\0';
	*path = p + n;
	return 0;
}

/* A new text: config with the value at path set to the JSON text value (NULL: removed). Objects on
 * the way are made; so is the first element of an array. */
static inline char *config_edit(const char *config, const char *path, const char *value)
{
	struct json_object *root = json_tokener_parse(config), *o = root;
	struct json_object *v = value ? json_tokener_parse(value) : NULL;
	char key[256], *text;
	size_t index = 0;

	if (!root)
		abort();
	for (;;) {
		int is_index = path_step(&path, key, sizeof(key), &index);
		struct json_object *next = NULL;

		if (!*path) {
			if (is_index)
				json_object_array_put_idx(o, index, v);
			else if (value)
				json_object_object_add(o, key, v);
			else
				json_object_object_del(o, key);
			break;
		}
		if (is_index)
			next = json_object_array_get_idx(o, index);
		else
			json_object_object_get_ex(o, key, &next);
		if (!next) {
			next = *path == '[' ? json_object_new_array() : json_object_new_object();
			if (is_index)
				json_object_array_put_idx(o, index, next);
			else
				json_object_object_add(o, key, next);
		}
		o = next;
	}
	text = strdup(json_object_to_json_string_ext(
		root, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(root);
	return text;
}

/* What the last parse said. */
static struct err last_err;
static char warning_text[8192];
/* each with a ';' */
__attribute__((unused)) static const char *warnings = warning_text;
static unsigned n_warnings;

static inline void note_warning(void *arg, const char *msg)
{
	size_t len = strlen(warning_text);

	(void)arg;
	n_warnings++;
	snprintf(warning_text + len, sizeof(warning_text) - len, "%s;", msg);
}

static inline struct container_spec *config_parse_with(
	const char *text, bool lenient, bool allow_terminal)
{
	struct spec_opts opts = {
		.lenient = lenient, .allow_terminal = allow_terminal, .warn = note_warning};
	struct container_spec *spec = NULL;

	last_err = (struct err)ERR_INIT;
	warning_text[0] = '\0';
	n_warnings = 0;
	if (spec_parse(&spec, text, strlen(text), &opts, &last_err))
		return NULL;
	return spec;
}

static inline struct container_spec *config_parse(const char *text)
{
	return config_parse_with(text, false, false);
}

/* full_config with one edit. */
static inline struct container_spec *config_try(const char *path, const char *value)
{
	char *text = config_edit(full_config, path, value);
	struct container_spec *spec = config_parse(text);

	free(text);
	return spec;
}

/* The message that full_config with one edit is refused with, "" when it is not refused. */
static inline const char *config_says(const char *path, const char *value)
{
	container_spec_free(config_try(path, value));
	return last_err.msg;
}

#endif
