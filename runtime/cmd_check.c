/* SPDX-License-Identifier: Apache-2.0 */
/* coracle check: what this machine offers, and whether a container can start on it. */
#include <ctype.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "oci/json.h"
#include "runtime/check.h"
#include "runtime/command.h"
#include "runtime/files.h"
#include "runtime/probe.h"
#include "runtime/rootless.h"

#define LANDLOCK_VERSION 1u /* LANDLOCK_CREATE_RULESET_VERSION */

struct check_row *check_add(
	struct check_report *rep, const char *name, bool required, bool ok, const char *advice)
{
	struct check_row *row = &rep->row[rep->n++];

	BUG_ON(rep->n > CHECK_ROWS_MAX);
	*row = (struct check_row){.name = name, .ok = ok, .required = required, .advice = advice};
	return row;
}

void check_found(struct check_row *row, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(row->found, sizeof(row->found), fmt, ap);
	va_end(ap);
}

/* The word among the CPU's flags in /proc/cpuinfo. */
static bool cpu_flag(const char *flag)
{
	FILE *f = fopen("/proc/cpuinfo", "re");
	char line[8192];
	bool have = false;
	size_t n = strlen(flag);

	while (f && !have && fgets(line, sizeof(line), f)) {
		if (strncmp(line, "flags", 5))
			continue;
		for (char *p = line; (p = strstr(p, flag)); p += n)
			if (p > line && isspace((unsigned char)p[-1]) &&
				isspace((unsigned char)p[n])) {
				have = true;
				break;
			}
		break;
	}
	if (f)
		fclose(f);
	return have;
}

static void check_cpu(struct check_report *rep)
{
	const char *ext = cpu_flag("vmx") ? "VMX" : cpu_flag("svm") ? "SVM" : NULL;
	struct check_row *row = check_add(rep, "virtualization", false, ext != NULL,
		"enable VT-x or AMD-V in the firmware, or nested virtualization for this VM");

	if (ext)
		check_found(row, "%s", ext);
	else
		check_found(row, "%s",
			files_kvm_is_software() ? "neither VMX nor SVM; software KVM (kvm_pvm)"
						: "neither VMX nor SVM");
}

static void check_kernel_code(struct check_report *rep, int kvm)
{
	struct check_row *row = check_add(rep, "guest kernel code", true, false,
		"use a machine with VMX or SVM; `tools/lab` of the source tree emulates one");
	struct err err = ERR_INIT;
	uint64_t per_second;

	if (probe_kernel_code(kvm, &per_second, &err) < 0) {
		check_found(row, "%.150s", err.msg);
		return;
	}
	row->ok = per_second >= PROBE_NATIVE_MIN;
	check_found(row, "%s: %.1f million instructions a second",
		row->ok ? "native" : "interpreted", (double)per_second / 1e6);
}

static void check_kvm(struct check_report *rep)
{
	autofd int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int errnum = errno;
	struct check_row *row = check_add(rep, "/dev/kvm", true, kvm >= 0,
		errnum == EACCES
			? "be root, or join the group that owns /dev/kvm (usermod -aG GROUP USER), "
			  "and log in anew"
			: "load the module kvm_intel or kvm_amd");
	const char *missing = NULL, *group = errnum == EACCES ? files_kvm_group() : "";

	if (kvm < 0) {
		check_found(row, "%s%s%s", strerror(errnum),
			*group ? "; it belongs to the group " : "", group);
		return;
	}
	check_found(row, "API version %d", ioctl(kvm, KVM_GET_API_VERSION, 0));
	row = check_add(
		rep, "KVM capabilities", true, probe_kvm_caps(kvm, &missing), "use a newer kernel");
	check_found(
		row, "%s%s", missing ? "lacks " : "all that are needed", missing ? missing : "");
	check_kernel_code(rep, kvm);
}

static void check_cgroup(struct check_report *rep)
{
	struct check_row *row =
		check_add(rep, "cgroup version", false, false, "mount cgroup v2 on /sys/fs/cgroup");
	struct statfs s;

	if (statfs("/sys/fs/cgroup", &s) == 0 && s.f_type == CGROUP2_SUPER_MAGIC) {
		row->ok = true;
		check_found(row, "v2");
	} else {
		check_found(row, "%s",
			access("/sys/fs/cgroup/memory", F_OK) == 0 ? "v1" : "none mounted");
	}
}

static bool read_positive(const char *path)
{
	FILE *f = fopen(path, "re");
	long v = 0;
	bool yes = f && fscanf(f, "%ld", &v) == 1 && v > 0;

	if (f)
		fclose(f);
	return yes;
}

static void check_user_namespaces(struct check_report *rep)
{
	const char *refusal = rootless_refusal();
	bool any = read_positive("/proc/sys/user/max_user_namespaces");
	struct check_row *row = check_add(rep, "user namespaces", false, any,
		"set the sysctl user.max_user_namespaces above 0");

	if (any && *refusal)
		check_found(row, "for root only: %s", refusal);
	else
		check_found(row, "%s", any ? "for every user" : "none");
}

static void check_landlock(struct check_report *rep)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION);
	struct check_row *row =
		check_add(rep, "Landlock", false, abi > 0, "boot with lsm=landlock,...");

	if (abi > 0)
		check_found(row, "ABI %ld", abi);
	else
		check_found(row, "%s", strerror(errno));
}

static void check_host_kernel(struct check_report *rep)
{
	struct utsname u;
	unsigned major = 0, minor = 0;
	struct check_row *row =
		check_add(rep, "host kernel", true, false, "Linux 5.12 or newer is needed");

	uname(&u);
	sscanf(u.release, "%u.%u", &major, &minor);
	row->ok = major > 5 || (major == 5 && minor >= 12);
	check_found(row, "%.100s", u.release);
}

static void check_guest_kernel(struct check_report *rep)
{
	struct check_row *row = check_add(rep, "guest kernel", true, false,
		"build it with kernel/build, then install it or set CORACLE_KERNEL");
	struct err err = ERR_INIT;
	const char *path = "";
	autofd int fd = files_open_kernel(NULL, &path, &err);
	char magic[SELFMAG];

	if (fd < 0)
		check_found(row, "%.120s: %s", path, strerror(err.errnum));
	else if (read(fd, magic, sizeof(magic)) != sizeof(magic) || memcmp(magic, ELFMAG, SELFMAG))
		check_found(row, "%.120s: not an ELF file", path);
	else
		row->ok = true, check_found(row, "%.150s", path);
}

static void check_programs(struct check_report *rep)
{
	static const char *const names[] = {"coracle-vmm", "coracle-init"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct err err = ERR_INIT;
		autofd int fd = files_open(names[i], &err);
		struct check_row *row = check_add(
			rep, names[i], true, fd >= 0, "install all of coracle's programs");

		check_found(row, "%.150s", fd >= 0 ? "found" : err.msg);
	}
}

static bool can_start(const struct check_report *rep)
{
	for (unsigned i = 0; i < rep->n; i++)
		if (rep->row[i].required && !rep->row[i].ok)
			return false;
	return true;
}

static void print_text(const struct check_report *rep)
{
	for (unsigned i = 0; i < rep->n; i++) {
		const struct check_row *row = &rep->row[i];

		printf("%-8s %-18s %s\n",
			row->ok         ? "ok"
			: row->required ? "missing"
					: "absent",
			row->name, row->found);
		if (!row->ok)
			printf("%-8s %-18s -> %s\n", "", "", row->advice);
	}
	printf("%s\n",
		can_start(rep) ? "A container can start here." : "No container can start here.");
}

static int print_json(const struct check_report *rep, struct err *err)
{
	bool ok = true;
	struct json_object *o = jnew_object(&ok), *list = jnew_array(&ok);
	int r;

	for (unsigned i = 0; i < rep->n; i++) {
		const struct check_row *row = &rep->row[i];
		struct json_object *e = jnew_object(&ok);

		jput_str(e, "name", row->name, &ok);
		jput_bool(e, "ok", row->ok, &ok);
		jput_bool(e, "required", row->required, &ok);
		jput_str(e, "found", row->found, &ok);
		if (!row->ok)
			jput_str(e, "advice", row->advice, &ok);
		jadd(list, e, &ok);
	}
	jput_bool(o, "ok", can_start(rep), &ok);
	jput(o, "checks", list, &ok);
	r = ok ? json_print(stdout, o, JSON_INDENT) : -ENOMEM;
	json_object_put(o);
	return r < 0 ? err_set(err, -r, "cannot print the result") : 0;
}

int cmd_check(const struct global *g, int argc, char **argv, struct err *err)
{
	bool json = false;
	const struct option_def options[] = {{"json", 0, OPTION_FLAG, NULL, "as JSON", &json}};
	const struct usage u = {"check [OPTION]...",
		"Says what this machine offers, and exits with 1 when a container cannot start on "
		"it.",
		options, ARRAY_SIZE(options)};
	int first = options_parse(&u, argc, argv, err);
	struct check_report rep = {.n = 0};
	int r = 0;

	if (first <= 0)
		return first;
	check_kvm(&rep);
	check_cpu(&rep);
	check_host_kernel(&rep);
	check_right(&rep, g);
	check_cgroup(&rep);
	check_user_namespaces(&rep);
	check_landlock(&rep);
	check_guest_kernel(&rep);
	check_programs(&rep);
	if (json)
		r = print_json(&rep, err);
	else
		print_text(&rep);
	return r < 0 ? r : can_start(&rep) ? 0 : 1;
}
