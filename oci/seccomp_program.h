/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rules into a filter for the guest's kernel. libseccomp is asked for the numbers of system calls
 * only: its own compiler can be made to take minutes and gigabytes by a few dozen conditions, and a
 * profile is written by whoever wrote the bundle. This one is linear in the rules, and a call's
 * verdict takes some ten comparisons. Used by oci/seccomp.c and its tests.
 *
 * What is the same as under runc with libseccomp, so that profiles mean the same: a rule that says
 * what the default says is none; one without conditions stands above those with, and the first above
 * its like; an architecture that the profile
 * does not name kills the thread; a rule for one of the calls that i386 also reaches through
 * socketcall(2) or ipc(2) covers that way in as well, there without a condition on the first argument. Rules with
 * conditions are tried in their order.
 */
#ifndef OCI_SECCOMP_PROGRAM_H
#define OCI_SECCOMP_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>

#include <seccomp.h>

#define SECCOMP_ARCHS_MAX 2 /* of one machine: its own and the 32-bit one */
#define SECCOMP_ARGS      6

struct seccomp_rule {
	uint32_t nr, order, action;
	unsigned n_args;
	struct scmp_arg_cmp args[SECCOMP_ARGS]; /* all must hold */
};

struct seccomp_arch {
	uint32_t token;             /* libseccomp's, which is the kernel's AUDIT_ARCH_* */
	struct seccomp_rule *rules; /* owned */
	unsigned n, cap;
	uint32_t last; /* largest number named, valid when named */
	bool named;
};

struct seccomp_program {
	uint32_t default_action;
	bool stub, x32;
	unsigned n_names, n_conditions; /* the caller's */
	unsigned n_archs;
	struct seccomp_arch archs[SECCOMP_ARCHS_MAX];
};

/* Whether a guest on this machine can run programs of libseccomp's architecture `token`. */
bool seccomp_arch_runs_here(uint32_t token);

/*
 * stub: as runc does, system calls with a number above all that the rules name fail with ENOSYS,
 * unless the default action lets them pass anyway. A profile is older than the programs that run
 * under it: they try the newest call first, and only ENOSYS makes them go on to an older one.
 * The machine's own architecture is there from the start.
 */
void seccomp_program_init(struct seccomp_program *p, uint32_t default_action, bool stub);

/* Before any rule; one that runs here. X32's calls the guest's kernel does not have, so ENOSYS is
 * the answer to all of them. */
void seccomp_program_add_arch(struct seccomp_program *p, uint32_t token);

/* 0; -ENOENT: no such system call; -EEXIST: another rule has the same conditions and another action;
 * -ENOMEM. Conditions on one argument more than once are alternatives, as in runc and crun; others
 * must all hold. */
int seccomp_program_add(struct seccomp_program *p, const char *name, uint32_t action,
	const struct scmp_arg_cmp *args, unsigned n_args);

/* Writes at most cap instructions, each a struct sock_filter: 0, -E2BIG, or -ENOMEM. */
int seccomp_program_export(
	struct seccomp_program *p, uint64_t *insns, uint32_t cap, uint32_t *ret_n);

void seccomp_program_release(struct seccomp_program *p);

/* --- parts -------------------------------------------------------------------------------------- */

/* i386's own number of a call that libseccomp knows there as a part of socketcall(2) or ipc(2): -1
 * when it has none. */
int seccomp_i386_number(const char *name);

#endif
