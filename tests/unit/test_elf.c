/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel loader: one good file, loaded into plain memory and into a memfd, and one bad file per
 * rule. */
#include <elf.h>
#include <errno.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tests/tap.h"
#include "vmm/elf.h"

#define MEMORY (4u << 20)
#define TEXT   0x100000ull
#define DATA   0x200000ull
#define CODE   "code goes here"
#define BYTES  "and data here"

struct image {
	Elf64_Ehdr eh;
	Elf64_Phdr ph[3];
	char text[16], data[16];
};

static struct image good(void)
{
	return (struct image){
		.eh =
			{
				.e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64,
					ELFDATA2LSB, EV_CURRENT},
				.e_type = ET_EXEC,
				.e_machine = EM_X86_64,
				.e_version = EV_CURRENT,
				.e_entry = TEXT + 4,
				.e_phoff = offsetof(struct image, ph),
				.e_ehsize = sizeof(Elf64_Ehdr),
				.e_phentsize = sizeof(Elf64_Phdr),
				.e_phnum = 3,
			},
		.ph =
			{
				{.p_type = PT_LOAD,
					.p_offset = offsetof(struct image, text),
					.p_paddr = TEXT,
					.p_filesz = 16,
					.p_memsz = 16},
				{.p_type = PT_LOAD,
					.p_offset = offsetof(struct image, data),
					.p_paddr = DATA,
					.p_filesz = 16,
					.p_memsz = 0x10000},
				/* Not loaded, whatever it says. */
				{.p_type = PT_NOTE, .p_offset = UINT64_MAX, .p_filesz = UINT64_MAX},
			},
		.text = CODE,
		.data = BYTES,
	};
}

static struct guest_mem mem;

static int load(const void *data, size_t len, struct elf_kernel *ret_k, struct err *err)
{
	autofd int fd = memfd_with("kernel", data, len, 0);

	return elf_load(fd, &mem, MEMORY, ret_k, err);
}

static void test_good(const char *where)
{
	struct err err = ERR_INIT;
	struct elf_kernel k = {0};
	struct image im = good();
	const char *text, *data;

	eq_int(load(&im, sizeof(im), &k, &err), 0, where);
	text = mem_at(&mem, TEXT, 16);
	data = mem_at(&mem, DATA, 0x10000);
	eq_str(text, CODE, "the first segment is where it belongs");
	eq_str(data, BYTES, "the second segment is where it belongs");
	eq_int(data[0xffff], 0, "memory beyond the file's bytes stays zero");
	eq_int(k.entry, TEXT + 4, "entry point");
	eq_int(k.start, TEXT, "start");
	eq_int(k.end, DATA + 0x10000, "end");
}

static void bad(struct image im, const char *want)
{
	struct err err = ERR_INIT;
	struct elf_kernel k = {.entry = 77};

	ok(load(&im, sizeof(im), &k, &err) == -ENOEXEC && k.entry == 77, "refused: %s", want);
	has_str(err.msg, want);
}

#define BAD(change, want)                 \
	do {                              \
		struct image im = good(); \
		change;                   \
		bad(im, want);            \
	} while (0)

static void test_header(void)
{
	BAD(im.eh.e_ident[0] = 'X', "it is not an ELF file");
	BAD(im.eh.e_ident[EI_CLASS] = ELFCLASS32, "not a 64-bit little-endian");
	BAD(im.eh.e_ident[EI_DATA] = ELFDATA2MSB, "not a 64-bit little-endian");
	BAD(im.eh.e_machine = EM_AARCH64, "machine 183, not for x86-64");
	BAD(im.eh.e_type = ET_DYN, "ELF type 3, not an executable");
	BAD(im.eh.e_phentsize = 57, "program headers are 57 bytes, expected 56");
	BAD(im.eh.e_phnum = 0, "0 program headers");
	BAD(im.eh.e_phnum = 65, "65 program headers, expected 1 to 64");
	BAD(im.eh.e_phoff = UINT64_MAX, "beyond any file");
	BAD(im.eh.e_phoff = sizeof(im) - 8, "program headers are cut off");
}

static void test_segments(void)
{
	BAD(im.ph[0].p_filesz = 17, "more bytes in the file than in memory");
	BAD(im.ph[1].p_offset = UINT64_MAX, "segment 1 lies beyond any file");
	BAD(im.ph[1].p_offset = INT64_MAX, "segment 1 lies beyond any file");
	BAD(im.ph[1].p_paddr = UINT64_MAX - 4, "segment 1 wraps around");
	BAD(im.ph[1].p_paddr = 0xff000, "below the first megabyte's end");
	BAD(im.ph[1].p_paddr = MEMORY - 0xf000, "does not fit in guest memory");
	BAD(im.ph[1].p_memsz = 1ull << 40, "does not fit in guest memory");
	BAD(im.ph[1].p_paddr = 1ull << 32, "does not fit in guest memory");
	BAD(im.ph[1].p_offset = sizeof(im) - 8, "segment 1 is cut off");
	BAD(im.ph[0].p_type = im.ph[1].p_type = PT_NULL, "no loadable segment");
	BAD(im.eh.e_entry = DATA + 16, "entry point 0x200010 lies in no loaded segment");
	BAD(im.eh.e_entry = 0xffffffff81000000, "lies in no loaded segment");
}

static void test_other_files(void)
{
	static char bzimage[0x300] = "MZ";
	struct err err = ERR_INIT;
	struct elf_kernel k;

	memcpy(bzimage + 0x202, "HdrS", 4);
	eq_int(load(bzimage, sizeof(bzimage), &k, &err), -ENOEXEC, "a bzImage is refused");
	eq_str(err.msg, "it is a compressed bzImage: an uncompressed ELF vmlinux is needed",
		"and the message says what is needed");
	eq_int(load("", 0, &k, &err), -ENOEXEC, "an empty file is refused");
	eq_str(err.msg, "it is too short for an ELF file", "and named so");
	eq_int(elf_load(-1, &mem, MEMORY, &k, &err), -EBADF,
		"a descriptor that is not open is an error");
}

int main(void)
{
	static uint8_t plain[MEMORY];
	struct err err = ERR_INIT;

	mem = (struct guest_mem){
		.region = {{.gpa = 0, .bytes = MEMORY, .hva = plain}}, .n = 1, .fd = -1};
	test_good("loads into plain memory");
	test_header();
	test_segments();
	test_other_files();
	eq_int(guest_mem_init(&mem, MEMORY, &err), 0, "guest memory in a memfd");
	test_good("loads into a memfd");
	test_segments();
	guest_mem_release(&mem);
	return tap_done();
}
