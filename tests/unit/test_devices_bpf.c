/* SPDX-License-Identifier: Apache-2.0 */
/* The device program, run by a small interpreter of the instructions it may use, and by the
 * kernel's verifier. */
#include "oci/devices_bpf.h"

#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/gspec.h"
#include "tests/tap.h"

#define R   BPF_DEVCG_ACC_READ
#define W   BPF_DEVCG_ACC_WRITE
#define M   BPF_DEVCG_ACC_MKNOD
#define ALL DEVICE_ALL

static struct device_policy policy;
static uint64_t insns[GSPEC_BPF_MAX];
static unsigned n_insns;
static struct err err;

/* Where a 32-bit conditional jump goes. */
static unsigned jump(unsigned pc, const struct bpf_insn *in, bool taken)
{
	BUG_ON(taken && in->off < 0); /* forward only: it ends */
	return pc + 1 + (taken ? (unsigned)in->off : 0);
}

/* -1: the program did something it must not. */
static int run(const uint64_t *prog, unsigned n, struct bpf_cgroup_dev_ctx ctx)
{
	uint32_t r[11] = {0};
	bool set[11] = {[1] = true};

	for (unsigned pc = 0; pc < n;) {
		struct bpf_insn in;

		memcpy(&in, &prog[pc], sizeof(in));
		switch (in.code) {
		case BPF_LDX | BPF_MEM | BPF_W:
			if (in.src_reg != 1 || in.off < 0 || in.off > 8 || in.off % 4)
				return -1;
			memcpy(&r[in.dst_reg], (char *)&ctx + in.off, 4);
			set[in.dst_reg] = true;
			pc++;
			break;
		case BPF_ALU | BPF_MOV | BPF_X:
			if (!set[in.src_reg])
				return -1;
			r[in.dst_reg] = r[in.src_reg];
			set[in.dst_reg] = true;
			pc++;
			break;
		case BPF_ALU | BPF_MOV | BPF_K:
			r[in.dst_reg] = (uint32_t)in.imm;
			set[in.dst_reg] = true;
			pc++;
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			r[in.dst_reg] &= (uint32_t)in.imm;
			pc++;
			break;
		case BPF_ALU | BPF_RSH | BPF_K:
			r[in.dst_reg] >>= in.imm;
			pc++;
			break;
		case BPF_JMP32 | BPF_JNE | BPF_K:
			pc = jump(pc, &in, r[in.dst_reg] != (uint32_t)in.imm);
			break;
		case BPF_JMP32 | BPF_JNE | BPF_X:
			pc = jump(pc, &in, r[in.dst_reg] != r[in.src_reg]);
			break;
		case BPF_JMP | BPF_EXIT: return set[0] ? (int)r[0] : -1;
		default: return -1;
		}
	}
	return -1;
}

/* May the container do this? */
static int may(char type, uint32_t major, uint32_t minor, uint32_t access)
{
	struct bpf_cgroup_dev_ctx ctx = {
		.access_type =
			access << 16 | (type == 'c' ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK),
		.major = major,
		.minor = minor,
	};

	return n_insns ? run(insns, n_insns, ctx) : 1;
}

static int add(bool allow, char type, int64_t major, int64_t minor, uint32_t access)
{
	struct device_rule rule = {allow, type, major, minor, access};

	return device_policy_apply(&policy, &rule, &err);
}

static void compile(void)
{
	n_insns = device_policy_compile(&policy, insns, ARRAY_SIZE(insns));
}

/* Does the kernel take the program? Not everyone may ask. */
static void verify(const char *what)
{
	union bpf_attr attr = {
		.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE,
		.insn_cnt = n_insns,
		.insns = (uintptr_t)insns,
		.license = (uintptr_t) "Apache-2.0",
	};
	int fd = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));

	if (fd < 0 && (errno == EPERM || errno == ENOSYS)) {
		skip("the kernel lets us load no BPF program");
		return;
	}
	ok(fd >= 0, "the kernel's verifier takes it: %s (errno %d)", what, fd < 0 ? errno : 0);
	close(fd);
}

static void test_default(void)
{
	device_policy_init(&policy);
	eq_int(device_policy_add_defaults(&policy, &err), 0, "the default devices");
	compile();
	eq_int(may('c', 1, 3, R | W | M), 1, "null");
	eq_int(may('c', 1, 5, R), 1, "zero");
	eq_int(may('c', 1, 7, W), 1, "full");
	eq_int(may('c', 1, 8, R), 1, "random");
	eq_int(may('c', 1, 9, R), 1, "urandom");
	eq_int(may('c', 5, 0, R | W), 1, "tty");
	eq_int(may('c', 5, 1, R | W), 1, "console");
	eq_int(may('c', 5, 2, R | W), 1, "ptmx");
	eq_int(may('c', 136, 77, R | W), 1, "a pty");
	eq_int(may('c', 10, 200, R | W), 1, "tun");
	eq_int(may('c', 10, 229, M), 1, "any node may be made");
	eq_int(may('b', 8, 0, M), 1, "block nodes as well");
	eq_int(may('c', 10, 229, R), 0, "but not opened");
	eq_int(may('c', 10, 229, R | M), 0, "nor both at once");
	eq_int(may('b', 8, 0, R), 0, "a disk");
	eq_int(may('b', 1, 3, R), 0, "a block device with null's numbers");
	eq_int(may('c', 1, 1, R), 0, "mem");
	eq_int(may('c', 1, 4, R), 0, "port");
	verify("the default devices");
}

static void test_allow_list(void)
{
	device_policy_init(&policy);
	eq_int(add(true, 'a', ALL, ALL, R | W | M), 0, "allow everything");
	eq_int(add(false, 'a', ALL, ALL, R | W | M), 0, "deny everything");
	eq_int(add(true, 'c', 10, 229, R | W), 0, "allow fuse");
	eq_int(add(true, 'b', 8, ALL, R), 0, "allow reading disks");
	eq_int(add(true, 'c', 4294967295, 4294967295, R), 0, "allow the largest numbers");
	compile();
	eq_int(may('c', 10, 229, R | W), 1, "fuse");
	eq_int(may('c', 10, 229, R), 1, "read alone");
	eq_int(may('c', 10, 229, M), 0, "not made");
	eq_int(may('c', 10, 228, R), 0, "another one");
	eq_int(may('b', 8, 17, R), 1, "a disk");
	eq_int(may('b', 8, 17, R | W), 0, "not written");
	eq_int(may('c', 4294967295u, 4294967295u, R), 1, "the largest numbers");
	eq_int(may('c', 4294967295u, 0, R), 0, "one of them");
	eq_int(add(true, 'c', 10, 229, M), 0, "allow making fuse, too");
	compile();
	eq_int(may('c', 10, 229, R | W | M), 1, "rules for one device add up");
	eq_int(add(false, 'c', 10, 229, W), 0, "deny writing");
	compile();
	eq_int(may('c', 10, 229, W), 0, "taken back");
	eq_int(may('c', 10, 229, R | M), 1, "the rest stays");
	eq_int(add(false, 'c', 10, 229, R | M), 0, "deny the rest");
	compile();
	eq_int(may('c', 10, 229, R), 0, "all taken back");
	eq_int(may('b', 8, 17, R), 1, "and nothing else");
	eq_int(add(false, 'c', 99, 1, R), 0, "deny what was not allowed");
	verify("an allow list");
}

static void test_deny_list(void)
{
	device_policy_init(&policy);
	add(true, 'a', ALL, ALL, 0);
	compile();
	eq_int(n_insns, 0, "no program when everything is allowed");
	eq_int(add(false, 'b', ALL, ALL, W), 0, "deny writing block devices");
	eq_int(add(false, 'c', 1, 1, R | W), 0, "deny mem");
	eq_int(device_policy_add_defaults(&policy, &err), 0, "the defaults are allowed anyway");
	compile();
	eq_int(may('b', 8, 0, R), 1, "reading a disk");
	eq_int(may('b', 8, 0, W), 0, "writing it");
	eq_int(may('c', 1, 1, R), 0, "mem");
	eq_int(may('c', 1, 2, R), 1, "kmem");
	verify("a deny list");
}

static void test_holes(void)
{
	device_policy_init(&policy);
	add(true, 'c', ALL, ALL, R);
	eq_int(add(false, 'c', 1, 3, R), -EINVAL, "a hole in a wildcard");
	eq_str(err.msg, "device rule 'deny c 1:3' cuts a hole into a wider rule",
		"is refused by name");
	eq_int(add(false, 'c', 1, ALL, R | W), -EINVAL, "a wider hole");
	eq_str(err.msg, "device rule 'deny c 1:*' cuts a hole into a wider rule", "as well");
	eq_int(add(false, 'c', 1, 3, W), 0, "what it does not allow may be denied");
	eq_int(add(false, 'b', 1, 3, R), 0, "and the other type");
	eq_int(add(false, 'c', ALL, ALL, R), 0, "the whole rule may go");
	device_policy_init(&policy);
	add(true, 'a', ALL, ALL, 0);
	add(false, 'c', 1, ALL, R | W | M);
	eq_int(device_policy_add_defaults(&policy, &err), -EINVAL,
		"a default device out of a wider denial");
	eq_str(err.msg, "device rule 'allow c 1:3' cuts a hole into a wider rule",
		"is refused by name");
}

static void test_full(void)
{
	unsigned i;

	device_policy_init(&policy);
	for (i = 0; i < DEVICE_RULES_MAX; i++)
		if (add(true, i % 2 ? 'b' : 'c', 7, i, R | W))
			break;
	eq_int(i, DEVICE_RULES_MAX, "as many rules as there may be");
	eq_int(add(true, 'c', 8, 0, R), -E2BIG, "one more");
	compile();
	ok(n_insns && n_insns <= GSPEC_BPF_MAX, "%u instructions", n_insns);
	eq_int(may('b', 7, DEVICE_RULES_MAX - 1, R), 1, "the last rule works");
	eq_int(may('c', 7, DEVICE_RULES_MAX - 1, R), 0, "for its type");
	verify("the longest program");
}

int main(void)
{
	test_default();
	test_allow_list();
	test_deny_list();
	test_holes();
	test_full();
	return tap_done();
}
