/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A QEMU (TCG) plugin that tells where a booting kernel spends its instructions, exactly and with
 * nothing added to the guest. kernel/bootcost compiles and runs it.
 *
 * Arguments: map=SYSTEM.MAP out=FILE entry=ADDRESS. Counting starts at the physical address `entry` and
 * ends with the first user-space instruction. The result is lines of "KIND COUNT NAME":
 *   total   N  all            instructions, each iteration of a REP string instruction counted
 *   string  N  FUNCTION       those that were a second or later iteration: nearly free on hardware
 *   func    N  FUNCTION       instructions in this function alone
 *   chain   N  FUNCTION < CALLER < ITS CALLER ...   instructions in FUNCTION when reached that way
 *   mark    N  FUNCTION       count when FUNCTION was first entered (initcalls, landmarks)
 *
 * Debian's QEMU ships without qemu-plugin.h, so the few declarations used stand here (API version 1).
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum qemu_plugin_cb_flags { QEMU_PLUGIN_CB_NO_REGS };
typedef void (*tb_trans_cb)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb);
typedef void (*udata_cb)(unsigned int vcpu, void *data);
typedef void (*exit_cb)(qemu_plugin_id_t id, void *data);

extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, tb_trans_cb cb);
extern void qemu_plugin_register_vcpu_tb_exec_cb(
	struct qemu_plugin_tb *tb, udata_cb cb, enum qemu_plugin_cb_flags flags, void *data);
extern void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, exit_cb cb, void *data);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(
	const struct qemu_plugin_tb *tb, size_t idx);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;
__attribute__((visibility("default"))) int qemu_plugin_install(
	qemu_plugin_id_t id, const void *info, int argc, char **argv);

#define KERNEL_MAP 0xffffffff80000000ULL
#define USER_TOP   0x0000800000000000ULL

#define CHAIN_DEPTH 6

/* One way into a function. */
struct chain {
	struct chain *next;
	uint64_t insns;
	struct symbol *callers[CHAIN_DEPTH];
};

struct symbol {
	uint64_t addr;
	uint64_t insns;
	uint64_t string; /* of them, repeated iterations of a string instruction */
	uint64_t first;  /* total when it was first entered, plus one */
	bool landmark;
	char *name;
	struct symbol *caller; /* at the last entry */
	struct chain *chains, *current;
};

struct block {
	uint64_t vaddr;
	struct symbol *sym;
	uint32_t insns;
	bool string; /* starts with a REP string instruction, alone: an iteration */
};

static const char *const landmarks[] = {
	"pvh_start_xen",
	"startup_64",
	"x86_64_start_kernel",
	"start_kernel",
	"setup_arch",
	"setup_per_cpu_areas",
	"mm_core_init",
	"sched_init",
	"rcu_init",
	"init_IRQ",
	"time_init",
	"console_init",
	"arch_cpu_finalize_init",
	"alternative_instructions",
	"vfs_caches_init",
	"rest_init",
	"kernel_init",
	"kernel_init_freeable",
	"smp_init",
	"page_alloc_init_late",
	"do_basic_setup",
	"driver_init",
	"populate_rootfs",
	"do_populate_rootfs",
	"wait_for_initramfs",
	"free_initmem",
	"mark_rodata_ro",
	"pti_finalize",
	"run_init_process",
	"kernel_execve",
};

static struct symbol *syms, *last;
static size_t n_syms;
static uint64_t entry, total;
static bool counting, low_map_gone, done;
static const char *out_path;

static int by_addr(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return x->addr < y->addr ? -1 : x->addr > y->addr;
}

static int by_insns(const void *a, const void *b)
{
	const struct symbol *x = a, *y = b;

	return x->insns > y->insns ? -1 : x->insns < y->insns;
}

/* The last symbol at or below addr. */
static struct symbol *find(uint64_t addr)
{
	size_t lo = 0, hi = n_syms;

	if (addr < USER_TOP && addr >= 0x1000000 && !low_map_gone)
		addr += KERNEL_MAP; /* still on the identity mapping */
	while (hi - lo > 1) {
		size_t mid = lo + (hi - lo) / 2;

		if (syms[mid].addr <= addr)
			lo = mid;
		else
			hi = mid;
	}
	return &syms[lo];
}

/* Called when sym is entered at its first instruction: remembers from where. */
static void entered(struct symbol *sym, struct symbol *from)
{
	struct symbol *callers[CHAIN_DEPTH] = {NULL}, *s = from;
	struct chain *c;

	sym->caller = from;
	for (int i = 0; i < CHAIN_DEPTH && s; i++, s = s->caller)
		callers[i] = s;
	for (c = sym->chains; c; c = c->next)
		if (!memcmp(c->callers, callers, sizeof(callers)))
			break;
	if (!c) {
		c = calloc(1, sizeof(*c));
		if (!c)
			abort();
		memcpy(c->callers, callers, sizeof(callers));
		c->next = sym->chains;
		sym->chains = c;
	}
	sym->current = c;
}

static void tb_exec(unsigned int vcpu, void *data)
{
	struct block *b = data;

	(void)vcpu;
	if (done)
		return;
	if (!counting) {
		if (b->vaddr != entry)
			return;
		counting = true;
	}
	if (low_map_gone && b->vaddr < USER_TOP) {
		done = true;
		return;
	}
	if (!b->sym)
		b->sym = find(b->vaddr);
	if (!b->sym->first) {
		b->sym->first = total + 1;
		if (!strcmp(b->sym->name, "start_kernel"))
			low_map_gone = true; /* from here on a low address is user space */
	}
	if (b->sym != last && b->vaddr == b->sym->addr)
		entered(b->sym, last);
	last = b->sym;
	if (b->sym->current)
		b->sym->current->insns += b->insns;
	b->sym->insns += b->insns;
	if (b->string)
		b->sym->string += b->insns;
	total += b->insns;
}

static bool is_rep_string(const struct qemu_plugin_insn *insn)
{
	const uint8_t *p = qemu_plugin_insn_data(insn);
	size_t n = qemu_plugin_insn_size(insn);

	if (n < 2 || (p[0] != 0xf3 && p[0] != 0xf2))
		return false;
	return (p[n - 1] >= 0xa4 && p[n - 1] <= 0xa7) || (p[n - 1] >= 0xaa && p[n - 1] <= 0xaf);
}

static void tb_trans(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
	struct block *b;

	(void)id;
	if (done)
		return;
	b = calloc(1, sizeof(*b));
	if (!b)
		abort();
	b->vaddr = qemu_plugin_tb_vaddr(tb);
	b->insns = (uint32_t)qemu_plugin_tb_n_insns(tb);
	b->string = b->insns == 1 && is_rep_string(qemu_plugin_tb_get_insn(tb, 0));
	qemu_plugin_register_vcpu_tb_exec_cb(tb, tb_exec, QEMU_PLUGIN_CB_NO_REGS, b);
}

static void print_chains(FILE *f, const struct symbol *sym)
{
	for (const struct chain *c = sym->chains; c; c = c->next) {
		if (c->insns < 500)
			continue;
		fprintf(f, "chain %" PRIu64 " %s", c->insns, sym->name);
		for (int i = 0; i < CHAIN_DEPTH && c->callers[i]; i++)
			fprintf(f, " < %s", c->callers[i]->name);
		fputc('\n', f);
	}
}

static void report(qemu_plugin_id_t id, void *data)
{
	FILE *f = fopen(out_path, "we");

	(void)id;
	(void)data;
	if (!f)
		return;
	fprintf(f, "total %" PRIu64 " %s\n", total, done ? "all" : "init-was-not-reached");
	for (size_t i = 0; i < n_syms; i++)
		print_chains(f, &syms[i]);
	qsort(syms, n_syms, sizeof(*syms), by_insns);
	for (size_t i = 0; i < n_syms; i++) {
		if (syms[i].insns)
			fprintf(f, "func %" PRIu64 " %s\n", syms[i].insns, syms[i].name);
		if (syms[i].string)
			fprintf(f, "string %" PRIu64 " %s\n", syms[i].string, syms[i].name);
		if (syms[i].landmark && syms[i].first)
			fprintf(f, "mark %" PRIu64 " %s\n", syms[i].first - 1, syms[i].name);
	}
	fclose(f);
}

/* "__initcall__kmod_FILE__SEQUENCE_LINE_FUNCTIONLEVEL" names a function: mark it as a landmark. */
static void mark_initcall(char *name)
{
	char *p = strstr(name + strlen("__initcall__kmod_"), "__");
	size_t n;

	for (int underscores = 0; p && underscores < 2; underscores++)
		p = strchr(p + (underscores ? 1 : 2), '_');
	if (!p)
		return;
	p++;
	n = strlen(p);
	while (n && (p[n - 1] == 's' || (p[n - 1] >= '0' && p[n - 1] <= '9'))) {
		bool digit = p[n - 1] != 's';

		p[--n] = '\0';
		if (digit)
			break;
	}
	for (size_t i = 0; i < n_syms; i++)
		if (!strcmp(syms[i].name, p))
			syms[i].landmark = true;
}

static bool load_map(const char *path)
{
	FILE *f = fopen(path, "re");
	char line[512], name[400], type;
	uint64_t addr;
	size_t room = 0;
	char **initcalls = NULL;
	size_t n_initcalls = 0;

	if (!f)
		return false;
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNx64 " %c %399s", &addr, &type, name) != 3)
			continue;
		if (!strncmp(name, "__initcall__kmod_", 17)) {
			initcalls = realloc(initcalls, (n_initcalls + 1) * sizeof(*initcalls));
			if (!initcalls)
				abort();
			initcalls[n_initcalls++] = strdup(name);
		}
		if (addr < KERNEL_MAP || !strchr("tTwW", type))
			continue;
		if (n_syms == room) {
			room = room ? 2 * room : 65536;
			syms = realloc(syms, room * sizeof(*syms));
			if (!syms)
				abort();
		}
		syms[n_syms++] = (struct symbol){.addr = addr, .name = strdup(name)};
	}
	fclose(f);
	qsort(syms, n_syms, sizeof(*syms), by_addr);
	for (size_t i = 0; i < n_initcalls; i++)
		mark_initcall(initcalls[i]);
	for (size_t i = 0; i < n_syms; i++)
		for (size_t j = 0; j < sizeof(landmarks) / sizeof(*landmarks); j++)
			if (!strcmp(syms[i].name, landmarks[j]))
				syms[i].landmark = true;
	return n_syms > 0;
}

int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc, char **argv)
{
	const char *map = NULL;

	(void)info;
	for (int i = 0; i < argc; i++) {
		if (!strncmp(argv[i], "map=", 4))
			map = strdup(argv[i] + 4);
		else if (!strncmp(argv[i], "out=", 4))
			out_path = strdup(argv[i] + 4);
		else if (!strncmp(argv[i], "entry=", 6))
			entry = strtoull(argv[i] + 6, NULL, 0);
	}
	if (!map || !out_path || !entry || !load_map(map)) {
		fprintf(stderr, "bootcost: map=, out= and entry= are wanted\n");
		return -1;
	}
	qemu_plugin_register_vcpu_tb_trans_cb(id, tb_trans);
	qemu_plugin_register_atexit_cb(id, report, NULL);
	return 0;
}
