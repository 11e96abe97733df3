/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ownership. A variable that owns something says so: `autofd int fd = -1;`, `autofree char *s =
 * NULL;`. Handing it on is explicit: `*ret_fd = take_fd(&fd);`. Functions borrow unless named
 * `_take`.
 */
#ifndef LIB_CLEANUP_H
#define LIB_CLEANUP_H

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static inline void cleanup_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}

static inline void cleanup_free(void *p)
{
	free(*(void **)p);
}

#define autofd   __attribute__((cleanup(cleanup_close)))
#define autofree __attribute__((cleanup(cleanup_free)))

static inline int take_fd(int *fd)
{
	int f = *fd;

	*fd = -1;
	return f;
}

/* Closes *fd if it is open and marks it closed. */
static inline void close_fd(int *fd)
{
	cleanup_close(fd);
	*fd = -1;
}

#define take_ptr(p)                             \
	({                                      \
		__typeof__(*(p)) taken_ = *(p); \
		*(p) = NULL;                    \
		taken_;                         \
	})

#endif
