/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"

#define HUGE_BYTES (2ull << 20)

/* Below GUEST_LOW_MAX first, what is left from 4 GiB up. Addresses only; nothing is mapped yet. */
static int lay_out(struct guest_mem *m, uint64_t bytes, struct err *err)
{
	uint64_t low = MIN(bytes, GUEST_LOW_MAX);

	if (!bytes || bytes % HUGE_BYTES)
		return err_plain(err, EINVAL,
			"guest memory of %llu bytes is not a positive multiple of 2 MiB",
			(unsigned long long)bytes);
	m->region[0] = (struct guest_region){.gpa = 0, .bytes = low, .fd_offset = 0};
	m->n = 1;
	if (bytes > low) {
		m->region[1] = (struct guest_region){
			.gpa = GUEST_HIGH_BASE, .bytes = bytes - low, .fd_offset = low};
		m->n = 2;
	}
	return 0;
}

/*
 * Maps one region at a 2 MiB boundary, so that the host may back it with huge pages where it wants
 * to, with inaccessible pages on both sides. MAP_NORESERVE: a guest pays for what it touches.
 * DONTDUMP: a core file of the VMM holds none of the guest's secrets.
 */
static int map_region(struct guest_region *r, int fd, struct err *err)
{
	size_t span;
	uint8_t *area, *at;

	if (__builtin_add_overflow(r->bytes, 2 * HUGE_BYTES, &span))
		return err_set(err, ENOMEM, "cannot map guest memory");
	area = mmap(NULL, span, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (area == MAP_FAILED)
		return err_set(err, errno, "cannot reserve address space for guest memory");
	at = (uint8_t *)(((uintptr_t)area + HUGE_BYTES) & ~(uintptr_t)(HUGE_BYTES - 1));
	if (mmap(at, r->bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd,
		    (off_t)r->fd_offset) == MAP_FAILED) {
		int saved = errno;

		munmap(area, span);
		return err_set(err, saved, "cannot map guest memory");
	}
	madvise(at, r->bytes, MADV_DONTDUMP); /* a courtesy: failure changes nothing that matters */
	r->hva = at;
	r->area = area;
	r->area_bytes = span;
	return 0;
}

static int map_all(struct guest_mem *m, struct err *err)
{
	for (unsigned i = 0; i < m->n; i++) {
		int r = map_region(&m->region[i], m->fd, err);

		if (r < 0) {
			guest_mem_release(m);
			return r;
		}
	}
	return 0;
}

int guest_mem_init(struct guest_mem *m, uint64_t bytes, struct err *err)
{
	autofd int fd = -1;
	int r;

	*m = (struct guest_mem){.fd = -1};
	r = lay_out(m, bytes, err);
	if (r < 0)
		return r;
	fd = memfd_create("guest-memory", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return err_set(err, errno, "cannot create the memory file of the guest");
	if (ftruncate(fd, (off_t)bytes) < 0)
		return err_set(err, errno, "cannot size the memory file of the guest");
	/* No holder of the file can take pages from under the mapping (SIGBUS). Punching holes
	 * stays possible. */
	if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
		return err_set(err, errno, "cannot seal the memory file of the guest");
	m->fd = take_fd(&fd);
	return map_all(m, err);
}

int guest_mem_map(struct guest_mem *m, int memfd, uint64_t bytes, struct err *err)
{
	struct stat st;
	int r, seals;

	*m = (struct guest_mem){.fd = -1};
	r = lay_out(m, bytes, err);
	if (r < 0)
		return r;
	if (fstat(memfd, &st) < 0)
		return err_set(err, errno, "cannot examine the memory file of the guest");
	seals = fcntl(memfd, F_GET_SEALS);
	if ((uint64_t)st.st_size != bytes || seals < 0 || !(seals & F_SEAL_SHRINK))
		return err_plain(err, EINVAL,
			"the memory file of the guest has the wrong size or is not sealed");
	m->fd = fcntl(memfd, F_DUPFD_CLOEXEC, 0);
	if (m->fd < 0)
		return err_set(err, errno, "cannot duplicate the memory file of the guest");
	return map_all(m, err);
}

void guest_mem_release(struct guest_mem *m)
{
	for (unsigned i = 0; i < m->n; i++) {
		struct guest_region *r = &m->region[i];

		if (r->area)
			munmap(r->area, r->area_bytes);
	}
	close_fd(&m->fd);
	*m = (struct guest_mem){.fd = -1};
}

void *mem_at(const struct guest_mem *m, uint64_t gpa, uint64_t len)
{
	for (unsigned i = 0; i < m->n; i++) {
		const struct guest_region *r = &m->region[i];
		uint64_t off = gpa - r->gpa;

		if (gpa >= r->gpa && off < r->bytes && len && len <= r->bytes - off)
			return r->hva + off;
	}
	return NULL;
}

bool mem_fd_offset(const struct guest_mem *m, const void *hva, uint64_t len, uint64_t *ret_offset)
{
	for (unsigned i = 0; i < m->n; i++) {
		const struct guest_region *r = &m->region[i];
		uint64_t off = (uintptr_t)hva - (uintptr_t)r->hva;

		if ((uintptr_t)hva >= (uintptr_t)r->hva && off < r->bytes && len &&
			len <= r->bytes - off) {
			*ret_offset = r->fd_offset + off;
			return true;
		}
	}
	return false;
}

void *mem_reserve(size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (p == MAP_FAILED)
		return NULL;
	(void)madvise(p, bytes, MADV_NOHUGEPAGE); /* EINVAL: a kernel without huge pages */
	return p;
}
