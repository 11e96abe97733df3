/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors: a failing function returns -errno and fills a caller-owned struct err with one sentence
 * for a person. The innermost cause is set once; callers wrap it outward:
 *
 *	if (fd < 0)
 *		return err_set(err, errno, "cannot open '%s'", path);
 *	...
 *	return err_wrap(err, "cannot read the bundle");	// "cannot read the bundle: cannot open ..."
 *
 * Messages are lower case with no full stop; err_set() appends ": strerror" when errnum is
 * non-zero. A function either fills an err or logs, never both. No allocation; safe in every process
 * of ours.
 */
#ifndef LIB_ERR_H
#define LIB_ERR_H

#include <stdarg.h>
#include <stdbool.h>

#define ERR_MSG_MAX 1024 /* bytes with the NUL; longer text is cut */

struct err {
	int errnum;      /* positive errno of the innermost cause, 0 while unset */
	int exit_status; /* what main() exits with if it is not the default 1; 0: default */
	char msg[ERR_MSG_MAX];
};

#define ERR_INIT                                         \
	{                                                \
		.errnum = 0, .exit_status = 0, .msg = "" \
	}

/* Sets the cause. errnum > 0: its text is appended. errnum 0: no system cause, recorded as EINVAL.
 * Returns -errnum (or -EINVAL), so that `return err_set(...)` reads well. err may be NULL. */
__attribute__((format(printf, 3, 4))) int err_set(
	struct err *err, int errnum, const char *fmt, ...);

/* Like err_set(), but the system's text is not appended: the message already says it all. */
__attribute__((format(printf, 3, 4))) int err_plain(
	struct err *err, int errnum, const char *fmt, ...);

/* Puts "<fmt>: " before the message. Returns -err->errnum. err may be NULL (returns -EINVAL). */
__attribute__((format(printf, 2, 3))) int err_wrap(struct err *err, const char *fmt, ...);

static inline bool err_is_set(const struct err *err)
{
	return err->errnum != 0;
}

#endif
