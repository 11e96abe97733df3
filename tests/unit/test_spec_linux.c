/* SPDX-License-Identifier: Apache-2.0 */
/* The mounts and the linux object of config.json, but for linux.resources (test_spec_resources.c). */
#include "oci/spec_linux.h"

#include <errno.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "lib/base.h"
#include "oci/mounts.h"
#include "tests/tap.h"
#include "tests/unit/oci_config.h"

static void accepts(const char *path, const char *value)
{
	const char *says = config_says(path, value);

	ok(!*says, "%s = %s: '%s'", path, value, says);
}

static void refuses(const char *path, const char *value, const char *why)
{
	const char *says = config_says(path, value);

	ok(strstr(says, why), "%s = %s: '%s'", path, value ? value : "(absent)", says);
}

static void test_mounts(void)
{
	struct container_spec *spec = config_parse(full_config);
	const struct gmount *m = spec->guest.mounts;

	eq_int(spec->guest.n_mounts, 3, "mounts");
	eq_int(m[0].kind, GMOUNT_FS, "proc is a file system");
	eq_str(m[0].fstype, "proc", "its type");
	eq_str(m[0].source, "proc", "its source");
	eq_str(m[1].data, "size=64k,mode=1777", "tmpfs's own options");
	eq_int((intmax_t)m[1].flags, MS_NOSUID, "its flags");
	eq_int(m[1].copy_up, 1, "filled with what it hides");
	eq_int(m[2].kind, GMOUNT_BIND, "a bind");
	eq_str(m[2].dest, "/data", "its destination");
	eq_int((intmax_t)m[2].flags, MS_RDONLY, "read-only");
	ok(m[2].n_propagation == 1 && m[2].propagation[0] == (MS_SLAVE | MS_REC),
		"its propagation");
	eq_str(spec->shares[0].source, "/srv", "its source on the host");
	eq_int(spec->shares[0].mount, 2, "which mount it is for");
	eq_int(spec->shares[0].fd, -1, "not opened");
	container_spec_free(spec);

	spec = config_try(
		"mounts[0]", "{\"destination\":\"/c\",\"type\":\"cgroup\",\"options\":[\"ro\"]}");
	eq_int(spec->guest.mounts[0].kind, GMOUNT_CGROUP, "cgroup");
	eq_str(spec->guest.mounts[0].fstype, "cgroup2", "is cgroup v2");
	container_spec_free(spec);
	spec = config_try("mounts[0]", "{\"destination\":\"rel/x\",\"type\":\"tmpfs\"}");
	eq_str(spec->guest.mounts[0].dest, "/rel/x", "a relative destination is taken from /");
	has_str(warnings, "mounts[0]: destination 'rel/x' is not absolute");
	eq_str(spec->guest.mounts[0].source, "tmpfs", "the type stands in for a missing source");
	container_spec_free(spec);
	spec = config_try("mounts[1].options", "[\"ro\",\"rw\",\"noexec\",\"exec\",\"nodev\",\"\","
					       "\"defaults\",\"relatime\",\"dev\",\"nodev\"]");
	eq_int((intmax_t)spec->guest.mounts[1].flags, MS_NODEV | MS_RELATIME,
		"the later option wins");
	eq_int((intmax_t)spec->guest.mounts[1].clear_flags, MS_RDONLY | MS_NOEXEC, "and clears");
	ok(!spec->guest.mounts[1].data, "no data");
	container_spec_free(spec);
	spec = config_try(
		"mounts[2]", "{\"destination\":\"/b\",\"type\":\"bind\",\"source\":\"s\"}");
	ok(spec && spec->n_shares == 1 && !spec->shares[0].recursive && !spec->shares[0].readonly,
		"type bind without an option is a bind");
	container_spec_free(spec);
}

static void test_remount(void)
{
	struct container_spec *spec = config_try("mounts[2].options[1]", "\"remount\"");
	const struct gmount *m = spec ? &spec->guest.mounts[2] : NULL;

	ok(m && m->kind == GMOUNT_REMOUNT_BIND && !spec->n_shares, "of a bind: no source");
	container_spec_free(spec);
	spec = config_try("mounts[0].options", "[\"remount\",\"noexec\",\"hidepid=2\"]");
	m = spec ? &spec->guest.mounts[0] : NULL;
	ok(m && m->kind == GMOUNT_REMOUNT && m->flags == MS_NOEXEC, "of a file system");
	eq_str(m ? m->data : "", "hidepid=2", "with its options");
	container_spec_free(spec);
	refuses("mounts[0].options", "[\"remount\",\"tmpcopyup\"]",
		"mounts[0]: tmpcopyup is for a new tmpfs only");
	refuses("mounts[2].options", "[\"bind\",\"remount\",\"idmap\"]",
		"mounts[2]: an id-mapping cannot be changed by remount");
}

static void test_mount_errors(void)
{
	struct container_spec *spec;

	refuses("mounts[0].destination", NULL, "mounts[0].destination is missing");
	refuses("mounts[0].destination", "\"\"", "mounts[0]: destination is empty");
	refuses("mounts[0].type", NULL, "mounts[0]: type is missing");
	refuses("mounts[2].source", NULL, "mounts[2]: source is missing");
	refuses("mounts[2].source", "\"\"", "mounts[2]: source is missing");
	refuses("mounts[2].options[0]", "\"size=1\"",
		"mounts[2]: type 'none' without the option bind or rbind");
	spec = config_try("mounts[2].options[1]", "\"size=1\"");
	has_str(warnings, "mounts[2]: 'size=1' has no effect on a bind mount");
	ok(spec && !spec->guest.mounts[2].data, "a bind has no data");
	container_spec_free(spec);
	refuses("mounts[2].options[1]", "\"tmpcopyup\"", "mounts[2]: tmpcopyup is for tmpfs only");
	refuses("mounts[0].options", "[\"tmpcopyup\"]", "mounts[0]: tmpcopyup is for tmpfs only");
	test_remount();
	refuses("mounts[2].options",
		"[\"bind\",\"shared\",\"slave\",\"shared\",\"slave\",\"shared\",\"slave\","
		"\"shared\",\"slave\",\"shared\"]",
		"mounts[2].options[9]: more than 8 propagation options");
	refuses("mounts[2].options[1]", "null", "mounts[2].options: element 1 is null");
	refuses("mounts[0]", "null", "mounts[0]: expected an object, got null");
	refuses("mounts[0]", "{\"destination\":\"/c\",\"type\":\"cgroup2\",\"options\":[\"foo\"]}",
		"cgroup option 'foo' is not supported");
	for (size_t i = 0; i < mount_options_n; i++) {
		ok(!i || strcmp(mount_options[i - 1].name, mount_options[i].name) < 0,
			"%s is in order", mount_options[i].name);
	}
}

static void test_propagation(void)
{
	struct container_spec *spec =
		config_try("mounts[2].options", "[\"bind\",\"rshared\",\"slave\"]");
	const struct gmount *m = &spec->guest.mounts[2];

	ok(m->n_propagation == 2 && m->propagation[0] == (MS_SHARED | MS_REC) &&
			m->propagation[1] == MS_SLAVE,
		"two propagation options, in their order");
	container_spec_free(spec);
}

#define MAPS(uids, gids) "\"uidMappings\":[" uids "],\"gidMappings\":[" gids "]"
#define MAP(container, host, size) \
	"{\"containerID\":" #container ",\"hostID\":" #host ",\"size\":" #size "}"
#define USERNS(maps) "{\"namespaces\":[{\"type\":\"user\"},{\"type\":\"network\"}]" maps "}"

static void test_userns(void)
{
	struct container_spec *spec =
		config_try("linux", USERNS("," MAPS(MAP(0, 100000, 1000) "," MAP(1000, 5000, 1),
					    MAP(0, 200000, 4294767295))));
	const struct gspec *g;

	if (!ok(spec, "a user namespace: '%s'", last_err.msg))
		return;
	g = &spec->guest;
	eq_int(g->namespaces, (GNS_ALL | GNS_USER) & ~GNS_TIME, "brings the others along");
	ok(g->n_uid_maps == 2 && g->uid_maps[1].inside == 1000 && g->uid_maps[1].outside == 5000 &&
			g->uid_maps[1].count == 1 && g->n_gid_maps == 1,
		"its mappings");
	container_spec_free(spec);
	refuses("linux", USERNS(""), "uidMappings: user namespaces enabled, but no mapping");
	refuses("linux", USERNS("," MAPS(MAP(0, 1, 1), "")),
		"gidMappings: user namespaces enabled");
	refuses("linux", USERNS("," MAPS(MAP(1, 1, 1), MAP(0, 1, 1))),
		"no mapping found for uid 0");
	refuses("linux.uidMappings", "[" MAP(0, 1, 1) "]",
		"user namespace mappings specified, but user namespace isn't enabled");
	refuses("linux.namespaces[1]", "{\"type\":\"user\",\"path\":\"/proc/1/ns/user\"}",
		"joining a user namespace by path is not supported");
	refuses("linux.uidMappings", "[" MAP(0, 1, 0) "]", "linux.uidMappings[0].size: expected");
	refuses("linux.uidMappings", "[{\"containerID\":0,\"size\":1}]",
		"linux.uidMappings[0]: hostID is missing");
	refuses("linux.gidMappings", "[" MAP(4294967295, 1, 1) "]", "containerID: expected");
	refuses("linux.gidMappings", "[" MAP(1, 4294967294, 2) "]",
		"2 ids from 1 and 4294967294 on go past the last one");
	refuses("linux.gidMappings", "[" MAP(0, 0, 10) "," MAP(9, 100, 2) "]",
		"linux.gidMappings[1]: containerID: overlaps that of element 0");
	refuses("linux.gidMappings", "[" MAP(20, 10, 10) "," MAP(0, 5, 6) "]",
		"linux.gidMappings[1]: hostID: overlaps that of element 0");
}

static void test_many_maps(void)
{
	struct json_object *a = json_object_new_array();
	char text[128];

	for (unsigned i = 0; i < GSPEC_IDMAPS_MAX + 1; i++) {
		snprintf(text, sizeof(text), "{\"containerID\":%u,\"hostID\":%u,\"size\":1}", i, i);
		json_object_array_add(a, json_tokener_parse(text));
	}
	refuses("linux.uidMappings", json_object_to_json_string(a), "linux.uidMappings: ");
	has_str(last_err.msg, "340");
	json_object_array_del_idx(a, GSPEC_IDMAPS_MAX, 1);
	refuses("linux.uidMappings", json_object_to_json_string(a), "isn't enabled");
	json_object_put(a);
}

#define IDMAPPED(options, maps)                                                             \
	"{\"destination\":\"/v\",\"type\":\"bind\",\"source\":\"/v\",\"options\":[" options \
	"]" maps "}"

static void test_idmapped_mounts(void)
{
	struct container_spec *spec = config_try(
		"mounts[2]", IDMAPPED("\"rbind\"", "," MAPS(MAP(0, 7, 2), MAP(0, 9, 3))));
	const struct spec_share *s;
	char *text;

	if (!ok(spec, "mappings of a mount's own: '%s'", last_err.msg))
		return;
	s = spec->shares;
	ok(s->idmap && !s->idmap_recursive && s->n_uid_maps == 1 && s->uid_maps[0].outside == 7 &&
			s->n_gid_maps == 1 && s->gid_maps[0].count == 3,
		"without an option they are idmap");
	container_spec_free(spec);
	text = config_edit(full_config, "mounts[2]", IDMAPPED("\"rbind\",\"ridmap\"", ""));
	ok(!config_parse(text), "ridmap without mappings or a user namespace is refused");
	has_str(last_err.msg, "mounts[2]: an id-mapped mount wants uidMappings and gidMappings");
	free(text);
	text = config_edit(least_config, "mounts[0]", IDMAPPED("\"rbind\",\"ridmap\"", ""));
	{
		char *both = config_edit(
			text, "linux", USERNS("," MAPS(MAP(0, 100000, 9), MAP(0, 200000, 8))));

		spec = config_parse(both);
		ok(spec && spec->shares->idmap_recursive && spec->shares->n_uid_maps == 1 &&
				spec->shares->uid_maps[0].outside == 100000 &&
				spec->shares->gid_maps[0].count == 8,
			"ridmap takes the container's: '%s'", last_err.msg);
		container_spec_free(spec);
		free(both);
	}
	free(text);
	refuses("mounts[2]", IDMAPPED("", ",\"uidMappings\":[" MAP(0, 7, 2) "]"),
		"mounts[2]: uidMappings and gidMappings want each other");
	refuses("mounts[2]", IDMAPPED("", "," MAPS(MAP(0, 7, 0), "")),
		"mounts[2].uidMappings[0].size");
	refuses("mounts[1].options", "[\"idmap\"]",
		"mounts[1]: id-mapped mounts are only supported for bind-mounts");
}

/* Data of one mount must fit mount(2)'s page. */
static void test_mount_data(void)
{
	char value[8192] = "[\"";

	memset(value + 2, 'x', 4095);
	strcpy(value + 2 + 4095, "\"]");
	accepts("mounts[1].options", value);
	strcpy(value + 2 + 4095, "\",\"y\"]");
	refuses("mounts[1].options", value, "more than 4095 bytes of file-system options");
	strcpy(value + 2 + 4095, "x\"]");
	refuses("mounts[1].options", value, "options[0]: expected a string of at most 4095 bytes");
}

static void test_namespaces(void)
{
	struct container_spec *spec = config_parse(full_config);
	char *text;

	eq_int(spec->guest.namespaces, GNS_ALL, "all that the guest makes");
	eq_str(spec->netns_path, "/run/netns/x", "the network namespace to join");
	container_spec_free(spec);
	spec = config_parse(least_config);
	eq_int(spec->guest.namespaces, GNS_NET, "only a network namespace");
	ok(!spec->netns_path, "a new one");
	container_spec_free(spec);
	refuses("linux.namespaces[1].type", "\"foo\"",
		"linux.namespaces[1]: unknown namespace type 'foo'");
	refuses("linux.namespaces[1].type", "\"mount\"",
		"linux.namespaces[2]: namespace 'mount' a second time");
	refuses("linux.namespaces[1].type", NULL, "linux.namespaces[1].type is missing");
	refuses("linux.namespaces[1].path", "\"/proc/1/ns/pid\"",
		"joining a pid namespace by path is not supported");
	refuses("linux.namespaces[0].path", "\"rel\"",
		"linux.namespaces[0]: path: expected an absolute path");
	accepts("linux.namespaces[1].path", "\"\"");
	refuses("linux.namespaces", "[{\"type\":\"pid\"}]",
		"linux.namespaces: no network namespace");
	refuses("linux", NULL, "config.json: linux: no network namespace");
	text = config_edit(full_config, "linux", NULL);
	spec = config_parse_with(text, true, false);
	ok(spec && n_warnings == 1 && !spec->guest.namespaces, "a warning when lenient");
	ok(spec->guest.n_devprog > 0, "the default devices apply without a linux object");
	container_spec_free(spec);
	free(text);
}

static void test_time(void)
{
	struct container_spec *spec = config_try("linux.timeOffsets",
		"{\"boottime\":{\"secs\":-7,\"nanosecs\":999999999},\"monotonic\":{}}");
	const struct gtime_offset *o = spec->guest.time_offset;
	char *text;

	ok(spec->guest.namespaces & GNS_TIME, "a time namespace");
	ok(o[GTIME_BOOTTIME].secs == -7 && o[GTIME_BOOTTIME].nanosecs == 999999999, "an offset");
	ok(o[GTIME_MONOTONIC].secs == 0 && o[GTIME_MONOTONIC].nanosecs == 0, "none");
	container_spec_free(spec);
	refuses("linux.timeOffsets", "{\"realtime\":{\"secs\":1}}",
		"linux.timeOffsets.realtime: expected the clock monotonic or boottime");
	refuses("linux.timeOffsets.boottime.nanosecs", "1000000000",
		"linux.timeOffsets.boottime.nanosecs: expected an integer from 0 to 999999999");
	text = config_edit(least_config, "linux.timeOffsets.boottime.secs", "1");
	ok(!config_parse(text), "offsets without the namespace");
	has_str(last_err.msg, "linux.timeOffsets: wants a time namespace in linux.namespaces");
	free(text);
	text = config_edit(least_config, "linux.timeOffsets.boottime.secs", "0");
	spec = config_parse(text);
	ok(spec, "that are none are fine");
	container_spec_free(spec);
	free(text);
}

static void test_personality(void)
{
	struct container_spec *spec = config_parse(full_config);

	ok((spec->guest.flags & GSPEC_PERSONALITY) && spec->guest.personality == 8, "LINUX32");
	container_spec_free(spec);
	spec = config_try("linux.personality", "{\"domain\":\"LINUX\",\"flags\":[]}");
	ok((spec->guest.flags & GSPEC_PERSONALITY) && spec->guest.personality == 0, "LINUX");
	container_spec_free(spec);
	refuses("linux.personality", "{}", "linux.personality.domain is missing");
	refuses("linux.personality.domain", "\"\"", "domain: expected LINUX or LINUX32, got ''");
	refuses("linux.personality.domain", "\"BSD\"",
		"linux.personality: domain: expected LINUX or LINUX32, got 'BSD'");
	refuses("linux.personality.flags", "[\"x\"]", "linux.personality.flags is not supported");
}

/* rrw reaches what is read-only on the host, rw does not; the later option wins. */
static void recursive(const char *options, uint64_t flags, bool readonly, bool writable)
{
	struct container_spec *spec = config_try("mounts[2].options", options);

	ok(spec && spec->guest.mounts[2].flags == flags && spec->shares[0].readonly == readonly &&
			spec->shares[0].writable == writable,
		"%s %s", options, last_err.msg);
	container_spec_free(spec);
}

static void test_recursive_options(void)
{
	recursive("[\"rbind\",\"rro\"]", MS_RDONLY, true, false);
	recursive("[\"rbind\",\"rrw\"]", 0, false, true);
	recursive("[\"rbind\",\"rrw\",\"ro\"]", MS_RDONLY, true, false);
	recursive("[\"rbind\",\"rro\",\"rw\"]", 0, false, false);
	recursive("[\"rbind\",\"rnosuid\",\"rnodev\",\"rnoexec\",\"rexec\"]", MS_NOSUID | MS_NODEV,
		false, false);
	recursive("[\"rbind\",\"rnoatime\",\"rnosymfollow\"]", MS_NOATIME | MS_NOSYMFOLLOW, false,
		false);
}

static char debugged[256];

static void note_debug(void *arg, const char *msg)
{
	(void)arg;
	snprintf(debugged, sizeof(debugged), "%s", msg);
}

/* debug: what the debug log says, NULL: nothing; a warning it never is. */
static void test_label(const char *path, const char *label, const char *debug, const char *error)
{
	const struct spec_opts opts = {.warn = note_warning, .debug = note_debug};
	struct container_spec *spec = NULL;
	char value[128], *text;
	int r;

	snprintf(value, sizeof(value), "\"%s\"", label);
	text = config_edit(full_config, path, value);
	last_err = (struct err)ERR_INIT;
	n_warnings = 0;
	debugged[0] = '\0';
	r = spec_parse(&spec, text, strlen(text), &opts, &last_err);
	if (error)
		ok(r < 0 && strstr(last_err.msg, error), "%s = %s: '%s'", path, label,
			last_err.msg);
	else
		ok(r == 0 && !n_warnings &&
				(debug ? strstr(debugged, debug) != NULL : !debugged[0]),
			"%s = %s: '%s' '%s'", path, label, last_err.msg, debugged);
	container_spec_free(spec);
	free(text);
}

static void test_labels(void)
{
	const char *aa = "process.apparmorProfile", *se = "process.selinuxLabel";

	test_label(aa, "", NULL, NULL);
	test_label(aa, "unconfined", NULL, NULL);
	test_label(aa, "docker-default", "'docker-default' is not applied: the guest kernel has no",
		NULL);
	test_label(aa, "containers-default-0.50.1", "is not applied", NULL);
	test_label(aa, "my-profile", NULL,
		"process.apparmorProfile: 'my-profile' is not supported: the guest kernel has no "
		"AppArmor");
	test_label(aa, "docker-default2", NULL, "is not supported");
	test_label(se, "system_u:system_r:container_t:s0:c1,c2", "is not applied", NULL);
	test_label(se, "u:r:container_kvm_t", "is not applied", NULL);
	test_label(se, "system_u:system_r:my_t:s0", NULL,
		"process.selinuxLabel: 'system_u:system_r:my_t:s0' is not supported: the guest "
		"kernel has no SELinux");
	test_label(se, "container_t", NULL, "is not supported");
	test_label("linux.mountLabel", "system_u:object_r:container_file_t:s0:c1,c2",
		"linux.mountLabel: 'system_u:object_r:container_file_t:s0:c1,c2' is not applied",
		NULL);
	test_label(
		"linux.mountLabel", "system_u:object_r:container_t:s0", NULL, "is not supported");
}

static void sysctl_is(const char *name, const char *want)
{
	char path[256];
	int r = sysctl_path(name, path, sizeof(path));

	ok(want ? !r && !strcmp(path, want) : r == -EINVAL, "sysctl %s: %s", name,
		r ? "refused" : path);
}

static void test_sysctl(void)
{
	struct container_spec *spec;

	sysctl_is("net.ipv4.ip_forward", "net/ipv4/ip_forward");
	sysctl_is("net/ipv4/ip_forward", "net/ipv4/ip_forward");
	sysctl_is("net.ipv4.conf.eth0/1.mtu", "net/ipv4/conf/eth0.1/mtu");
	sysctl_is("net/ipv4/conf/eth0.1/mtu", "net/ipv4/conf/eth0.1/mtu");
	sysctl_is("kernel", "kernel");
	sysctl_is("", NULL);
	sysctl_is("/kernel/x", NULL);
	sysctl_is("kernel..x", NULL);
	sysctl_is("kernel/../x", NULL);
	sysctl_is("kernel/./x", NULL);
	sysctl_is("..", NULL);
	sysctl_is("a.//", NULL);
	sysctl_is("a.//.b", NULL);
	sysctl_is("kernel/", NULL);
	sysctl_is("a/b..c", "a/b..c");
	spec = config_try("linux.sysctl", "{\"kernel.x\":\"1\",\"vm/y\":\"2 3\"}");
	eq_int(spec->guest.n_sysctls, 2, "two sysctls");
	eq_str(spec->guest.sysctls[0].key, "kernel/x", "as a path");
	eq_str(spec->guest.sysctls[1].value, "2 3", "its value");
	container_spec_free(spec);
	refuses("linux.sysctl", "{\"../x\":\"1\"}",
		"linux.sysctl[\"../x\"]: not the name of a sysctl");
	refuses("linux.sysctl", "{\"a.b\":1}",
		"linux.sysctl[\"a.b\"]: expected a string, got an integer");
}

static void test_devices(void)
{
	struct container_spec *spec = config_parse(full_config);
	const struct gdevice *d = spec->guest.devices;

	eq_int(spec->guest.n_devices, 1, "a device");
	eq_str(d->path, "/dev/fuse", "its path");
	eq_int(d->type, S_IFCHR, "its type");
	eq_int(d->major, 10, "major");
	eq_int(d->minor, 229, "minor");
	eq_int(d->mode, 0666, "mode");
	container_spec_free(spec);
	spec = config_try(
		"linux.devices[0].fileMode", "8630"); /* 020666: Docker leaves the type in */
	eq_int(spec->guest.devices[0].mode, 0666, "the file type is no part of the mode");
	container_spec_free(spec);
	spec = config_try("linux.devices[0]", "{\"type\":\"p\",\"path\":\"/f\"}");
	ok(spec && spec->guest.devices[0].type == S_IFIFO && spec->guest.devices[0].mode == 0666,
		"a fifo needs no numbers");
	container_spec_free(spec);
	refuses("linux.devices[0].type", "\"x\"",
		"linux.devices[0]: type: expected 'b', 'c', 'u' or 'p', got 'x'");
	refuses("linux.devices[0].type", "\"cc\"", "expected 'b', 'c', 'u' or 'p', got 'cc'");
	refuses("linux.devices[0].path", "\"dev\"",
		"linux.devices[0]: path: expected an absolute path");
	refuses("linux.devices[0].major", NULL, "linux.devices[0].major is missing");
	refuses("linux.devices[0].major", "4096",
		"linux.devices[0].major: expected an integer from 0 to 4095");
	refuses("linux.devices[0].minor", "-1", "linux.devices[0].minor: expected");
}

static void test_paths(void)
{
	struct container_spec *spec = config_parse(full_config);

	eq_str(spec->guest.masked_paths.v[0], "/proc/kcore", "masked path");
	eq_str(spec->guest.readonly_paths.v[0], "/proc/sys", "read-only path");
	eq_int((intmax_t)spec->guest.root_propagation, MS_SLAVE | MS_REC,
		"propagation of the root");
	container_spec_free(spec);
	refuses("linux.maskedPaths[0]", "\"proc\"",
		"linux.maskedPaths[0]: expected an absolute path, got 'proc'");
	refuses("linux.readonlyPaths[0]", "\"\"",
		"linux.readonlyPaths[0]: expected an absolute path");
	refuses("linux.rootfsPropagation", "\"foo\"",
		"linux.rootfsPropagation: expected private, slave");
	refuses("linux.rootfsPropagation", "\"ro\"",
		"linux.rootfsPropagation: expected private, slave");
	accepts("linux.rootfsPropagation", "\"\"");
}

int main(void)
{
	test_mounts();
	test_mount_errors();
	test_mount_data();
	test_propagation();
	test_userns();
	test_many_maps();
	test_idmapped_mounts();
	test_namespaces();
	test_sysctl();
	test_time();
	test_personality();
	test_recursive_options();
	test_labels();
	test_devices();
	test_paths();
	return tap_done();
}
