/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/elf.h"

#include <elf.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include "lib/base.h"
#include "vmm/layout.h"

/* Where a bzImage has its setup header (Documentation/arch/x86/boot.rst). */
#define BZIMAGE_MAGIC_OFF 0x202
#define BZIMAGE_MAGIC     "HdrS"

static int pread_full(int fd, void *buf, uint64_t len, uint64_t off)
{
	uint8_t *p = buf;

	while (len) {
		ssize_t n = pread(fd, p, MIN(len, (uint64_t)1 << 30), (off_t)off);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (n == 0)
			return -EPIPE;
		p += n;
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}

/*
 * Fills [gpa, gpa + len), which is guest memory at p, from the file. Within the kernel where
 * possible: bytes that go from the file's pages into the memfd's cost no fault and no zeroing of a
 * page first.
 */
static int fill_memory(
	int fd, const struct guest_mem *mem, uint64_t gpa, uint8_t *p, uint64_t len, uint64_t off)
{
	off_t in = (off_t)off, out = -1;

	for (unsigned i = 0; mem->fd >= 0 && i < mem->n; i++)
		if (gpa >= mem->region[i].gpa && gpa - mem->region[i].gpa < mem->region[i].bytes)
			out = (off_t)(mem->region[i].fd_offset + (gpa - mem->region[i].gpa));
	if (out >= 0 && lseek(mem->fd, out, SEEK_SET) == out) {
		while (len) {
			ssize_t n = sendfile(mem->fd, fd, &in, len);

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				break; /* at the end of the file, or not possible: pread() will tell
					*/
			p += n;
			len -= (uint64_t)n;
		}
	}
	return pread_full(fd, p, len, (uint64_t)in);
}

static int not_an_elf(int fd, struct err *err)
{
	char magic[4];

	if (pread_full(fd, magic, sizeof(magic), BZIMAGE_MAGIC_OFF) == 0 &&
		!memcmp(magic, BZIMAGE_MAGIC, sizeof(magic)))
		return err_plain(err, ENOEXEC,
			"it is a compressed bzImage: an uncompressed ELF vmlinux is needed");
	return err_plain(err, ENOEXEC, "it is not an ELF file");
}

static int check_header(int fd, Elf64_Ehdr *eh, struct err *err)
{
	int r = pread_full(fd, eh, sizeof(*eh), 0);

	if (r == -EPIPE)
		return err_plain(err, ENOEXEC, "it is too short for an ELF file");
	if (r < 0)
		return err_set(err, -r, "cannot read its header");
	if (memcmp(eh->e_ident, ELFMAG, SELFMAG))
		return not_an_elf(fd, err);
	if (eh->e_ident[EI_CLASS] != ELFCLASS64 || eh->e_ident[EI_DATA] != ELFDATA2LSB)
		return err_plain(err, ENOEXEC, "it is not a 64-bit little-endian ELF file");
	if (eh->e_machine != EM_X86_64)
		return err_plain(err, ENOEXEC, "it is for machine %u, not for x86-64 (%u)",
			eh->e_machine, EM_X86_64);
	if (eh->e_type != ET_EXEC)
		return err_plain(err, ENOEXEC, "it is of ELF type %u, not an executable (%u)",
			eh->e_type, ET_EXEC);
	if (eh->e_phentsize != sizeof(Elf64_Phdr))
		return err_plain(err, ENOEXEC, "its program headers are %u bytes, expected %zu",
			eh->e_phentsize, sizeof(Elf64_Phdr));
	if (!eh->e_phnum || eh->e_phnum > ELF_PHDRS_MAX)
		return err_plain(err, ENOEXEC, "it has %u program headers, expected 1 to %u",
			eh->e_phnum, ELF_PHDRS_MAX);
	return 0;
}

static int load_segment(int fd, const struct guest_mem *mem, uint64_t limit, const Elf64_Phdr *ph,
	unsigned i, struct err *err)
{
	uint64_t end, file_end;
	uint8_t *p;
	int r;

	if (ph->p_filesz > ph->p_memsz)
		return err_plain(
			err, ENOEXEC, "segment %u has more bytes in the file than in memory", i);
	if (__builtin_add_overflow(ph->p_offset, ph->p_filesz, &file_end) || file_end > INT64_MAX)
		return err_plain(err, ENOEXEC, "segment %u lies beyond any file", i);
	if (__builtin_add_overflow(ph->p_paddr, ph->p_memsz, &end))
		return err_plain(err, ENOEXEC, "segment %u wraps around the address space", i);
	if (ph->p_paddr < LAYOUT_HIMEM)
		return err_plain(err, ENOEXEC,
			"segment %u loads at 0x%" PRIx64 ", below the first megabyte's end", i,
			(uint64_t)ph->p_paddr);
	p = end <= limit ? mem_at(mem, ph->p_paddr, ph->p_memsz) : NULL;
	if (!p)
		return err_plain(err, ENOEXEC,
			"segment %u (0x%" PRIx64 " to 0x%" PRIx64
			") does not fit in guest memory: give the VM more memory",
			i, (uint64_t)ph->p_paddr, end);
	/* The rest, up to p_memsz, is fresh memory and zero already. */
	r = fill_memory(fd, mem, ph->p_paddr, p, ph->p_filesz, ph->p_offset);
	if (r == -EPIPE)
		return err_plain(err, ENOEXEC, "segment %u is cut off: the file is incomplete", i);
	if (r < 0)
		return err_set(err, -r, "cannot read segment %u", i);
	return 0;
}

int elf_load(int fd, const struct guest_mem *mem, uint64_t limit, struct elf_kernel *ret_k,
	struct err *err)
{
	struct elf_kernel k = {.start = UINT64_MAX};
	Elf64_Phdr ph[ELF_PHDRS_MAX];
	bool entry_ok = false;
	Elf64_Ehdr eh;
	int r;

	r = check_header(fd, &eh, err);
	if (r < 0)
		return r;
	if (eh.e_phoff > INT64_MAX)
		return err_plain(err, ENOEXEC, "its program headers lie beyond any file");
	r = pread_full(fd, ph, eh.e_phnum * sizeof(ph[0]), eh.e_phoff);
	if (r == -EPIPE)
		return err_plain(err, ENOEXEC, "its program headers are cut off");
	if (r < 0)
		return err_set(err, -r, "cannot read its program headers");
	for (unsigned i = 0; i < eh.e_phnum; i++) {
		if (ph[i].p_type != PT_LOAD || !ph[i].p_memsz)
			continue;
		r = load_segment(fd, mem, limit, &ph[i], i, err);
		if (r < 0)
			return r;
		k.start = MIN(k.start, ph[i].p_paddr);
		k.end = MAX(k.end, ph[i].p_paddr + ph[i].p_memsz);
		if (eh.e_entry >= ph[i].p_paddr && eh.e_entry - ph[i].p_paddr < ph[i].p_filesz)
			entry_ok = true;
	}
	if (!k.end)
		return err_plain(err, ENOEXEC, "it has no loadable segment");
	if (!entry_ok)
		return err_plain(err, ENOEXEC,
			"its entry point 0x%" PRIx64 " lies in no loaded segment",
			(uint64_t)eh.e_entry);
	k.entry = eh.e_entry;
	*ret_k = k;
	return 0;
}
