/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/boot.h"

#include <asm/bootparam.h>
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base.h"
#include "vmm/cpio.h"
#include "vmm/elf.h"
#include "vmm/layout.h"
#include "vmm/mptable.h"
#include "vmm/virtio/mmio.h"

#define PAGE         4096ull
#define PTE_PRESENT  BIT64(0)
#define PTE_WRITE    BIT64(1)
#define PTE_LARGE    BIT64(7)
#define PT_ENTRIES   512u
#define LARGE_BYTES  (2ull << 20)
#define MAPPED_BYTES (PT_ENTRIES * LARGE_BYTES) /* identity-mapped for the kernel's first steps */

#define GDT_CODE 0x10 /* __BOOT_CS */
#define GDT_DATA 0x18 /* __BOOT_DS */

#define BOOT_FLAG_MAGIC   0xaa55
#define HDR_MAGIC         0x53726448 /* "HdrS" */
#define BOOT_PROTOCOL     0x020c
#define LOADER_UNASSIGNED 0xff
#define E820_RAM          1
#define E820_RESERVED     2

/* docs/kernel.md explains each word. */
static const char cmdline_base[] = "console=hvc0 earlyprintk=serial,0x3f8";

__attribute__((format(printf, 4, 5))) static void append(
	char *buf, size_t cap, size_t *len, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf + MIN(*len, cap), cap - MIN(*len, cap), fmt, ap);
	va_end(ap);
	*len += (size_t)n;
}

int boot_cmdline(char *buf, size_t cap, uint32_t flags, unsigned n_devices, const char *extra,
	struct err *err)
{
	size_t len = 0;

	append(buf, cap, &len, "%s", cmdline_base);
	if (flags & VM_FLAG_DEBUG)
		append(buf, cap, &len, " loglevel=7");
	for (unsigned i = 0; i < n_devices; i++)
		append(buf, cap, &len, " virtio_mmio.device=4K@0x%llx:%u",
			LAYOUT_VIRTIO_BASE + i * (unsigned long long)VMMIO_WINDOW_BYTES,
			LAYOUT_GSI_BASE + i);
	if (extra[0])
		append(buf, cap, &len, " %s", extra);
	if (len >= cap)
		return err_plain(err, E2BIG,
			"the guest kernel's command line has %zu characters, expected at most %zu",
			len, cap - 1);
	return 0;
}

static int file_bytes(int fd, const char *what, size_t *ret_bytes, struct err *err)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_set(err, errno, "cannot read %s", what);
	if (st.st_size <= 0 || st.st_size > CPIO_FILE_MAX)
		return err_plain(err, EINVAL, "%s has %lld bytes, expected 1 to %u", what,
			(long long)st.st_size, CPIO_FILE_MAX);
	*ret_bytes = (size_t)st.st_size;
	return 0;
}

static int fill_file(struct cpio *c, const char *name, uint32_t mode, int fd, size_t bytes,
	const char *what, struct err *err)
{
	uint8_t *p = cpio_file(c, name, mode, bytes);
	size_t done = 0;

	while (p && done < bytes) {
		ssize_t n = pread(fd, p + done, bytes - done, (off_t)done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return err_set(err, n < 0 ? errno : EPIPE, "cannot read %s", what);
		done += (size_t)n;
	}
	return 0;
}

/* The initial cpio, at the end of low memory. */
static int load_cpio(struct vm *vm, const struct vm_config *cfg, uint64_t *ret_gpa,
	uint32_t *ret_bytes, struct err *err)
{
	uint64_t low_end = vm->mem.region[0].bytes;
	size_t init_bytes, spec_bytes, total;
	struct cpio c;
	uint64_t gpa;
	void *p;
	int r;

	r = file_bytes(cfg->fd[VM_FD_INIT], "coracle-init", &init_bytes, err);
	if (r == 0)
		r = file_bytes(cfg->fd[VM_FD_SPEC], "the guest's specification", &spec_bytes, err);
	if (r < 0)
		return r;
	total = cpio_member_bytes(strlen("dev"), 0) + cpio_member_bytes(strlen("dev/console"), 0) +
		cpio_member_bytes(strlen("init"), init_bytes) +
		cpio_member_bytes(strlen("spec"), spec_bytes) + cpio_end_bytes();
	gpa = total < low_end - LAYOUT_HIMEM ? (low_end - total) & ~(PAGE - 1) : 0;
	p = gpa ? mem_at(&vm->mem, gpa, total) : NULL;
	if (!p)
		return err_plain(err, ENOMEM,
			"coracle-init and the guest's specification (%zu bytes) do not fit in "
			"guest "
			"memory: give the VM more memory",
			total);
	cpio_init(&c, p, total);
	cpio_node(&c, "dev", S_IFDIR | 0755, 0, 0);
	cpio_node(&c, "dev/console", S_IFCHR | 0600, 5, 1);
	r = fill_file(&c, "init", 0755, cfg->fd[VM_FD_INIT], init_bytes, "coracle-init", err);
	if (r == 0)
		r = fill_file(&c, "spec", 0600, cfg->fd[VM_FD_SPEC], spec_bytes,
			"the guest's specification", err);
	if (r < 0)
		return r;
	BUG_ON(cpio_end(&c) < 0 || c.len != total);
	*ret_gpa = gpa;
	*ret_bytes = (uint32_t)total;
	return 0;
}

static void e820_add(struct boot_params *bp, uint64_t from, uint64_t to, uint32_t type)
{
	bp->e820_table[bp->e820_entries++] =
		(struct boot_e820_entry){.addr = from, .size = to - from, .type = type};
}

static void fill_zero_page(
	struct boot_params *bp, const struct guest_mem *mem, uint64_t cpio_gpa, uint32_t cpio_bytes)
{
	memset(bp, 0, sizeof(*bp));
	bp->hdr.boot_flag = BOOT_FLAG_MAGIC;
	bp->hdr.header = HDR_MAGIC;
	bp->hdr.version = BOOT_PROTOCOL;
	bp->hdr.type_of_loader = LOADER_UNASSIGNED;
	bp->hdr.cmd_line_ptr = LAYOUT_CMDLINE;
	bp->hdr.cmdline_size = LAYOUT_CMDLINE_MAX - 1;
	bp->hdr.ramdisk_image = (uint32_t)cpio_gpa; /* below 3 GiB */
	bp->hdr.ramdisk_size = cpio_bytes;
	e820_add(bp, 0, LAYOUT_MPTABLE, E820_RAM);
	e820_add(bp, LAYOUT_MPTABLE, LAYOUT_LOW_END, E820_RESERVED);
	e820_add(bp, LAYOUT_HIMEM, mem->region[0].bytes, E820_RAM);
	for (unsigned i = 1; i < mem->n; i++)
		e820_add(bp, mem->region[i].gpa, mem->region[i].gpa + mem->region[i].bytes,
			E820_RAM);
}

/* Identity map of the first GiB by large pages: PML4, PDPT and one page directory. */
static void fill_page_tables(uint64_t *t)
{
	uint64_t *pml4 = t, *pdpt = t + PT_ENTRIES, *pd = t + 2 * PT_ENTRIES;

	pml4[0] = (LAYOUT_PAGE_TABLES + PAGE) | PTE_PRESENT | PTE_WRITE;
	pdpt[0] = (LAYOUT_PAGE_TABLES + 2 * PAGE) | PTE_PRESENT | PTE_WRITE;
	for (uint64_t i = 0; i < PT_ENTRIES; i++)
		pd[i] = i * LARGE_BYTES | PTE_PRESENT | PTE_WRITE | PTE_LARGE;
}

static const uint64_t boot_gdt[] = {
	0, 0, [GDT_CODE / 8] = 0x00af9b000000ffff, /* 64-bit code */
	[GDT_DATA / 8] = 0x00cf93000000ffff,       /* data, 4 GiB */
};

/* The memory below 1 MiB that the tables live in; always there: a guest has 32 MiB at least. */
static void *low_mem(struct vm *vm, uint64_t gpa, uint64_t bytes)
{
	void *p = mem_at(&vm->mem, gpa, bytes);

	BUG_ON(!p);
	return p;
}

int boot_load(struct vm *vm, const struct vm_config *cfg, unsigned n_devices, struct err *err)
{
	struct vm_entry entry = {
		.rsi = LAYOUT_ZERO_PAGE,
		.cr3 = LAYOUT_PAGE_TABLES,
		.gdt = LAYOUT_GDT,
		.gdt_bytes = sizeof(boot_gdt),
		.code_sel = GDT_CODE,
		.data_sel = GDT_DATA,
	};
	uint64_t cpio_gpa = 0;
	uint32_t cpio_bytes = 0;
	struct elf_kernel k;
	int r;

	r = load_cpio(vm, cfg, &cpio_gpa, &cpio_bytes, err);
	if (r < 0)
		return r;
	r = elf_load(cfg->fd[VM_FD_KERNEL], &vm->mem, MIN(cpio_gpa, MAPPED_BYTES), &k, err);
	if (r < 0)
		return err_wrap(err, "cannot load the guest kernel");
	r = boot_cmdline(low_mem(vm, LAYOUT_CMDLINE, LAYOUT_CMDLINE_MAX), LAYOUT_CMDLINE_MAX,
		cfg->flags, n_devices, cfg->cmdline_extra, err);
	if (r < 0)
		return r;
	fill_zero_page(low_mem(vm, LAYOUT_ZERO_PAGE, sizeof(struct boot_params)), &vm->mem,
		cpio_gpa, cpio_bytes);
	fill_page_tables(low_mem(vm, LAYOUT_PAGE_TABLES, 3 * PAGE));
	memcpy(low_mem(vm, LAYOUT_GDT, sizeof(boot_gdt)), boot_gdt, sizeof(boot_gdt));
	r = mptable_write(low_mem(vm, LAYOUT_MPTABLE, LAYOUT_MPTABLE_MAX), LAYOUT_MPTABLE_MAX,
		LAYOUT_MPTABLE, vm->vcpus);
	BUG_ON(r < 0);
	entry.rip = k.entry;
	return vm_set_entry(vm, &entry, err);
}
