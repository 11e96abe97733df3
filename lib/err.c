/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int set(struct err *err, int errnum, bool append, const char *fmt, va_list ap)
{
	int n;

	if (!err)
		return errnum > 0 ? -errnum : -EINVAL;
	err->errnum = errnum > 0 ? errnum : EINVAL;
	n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	if (append && errnum > 0 && n >= 0 && (size_t)n < sizeof(err->msg))
		snprintf(err->msg + n, sizeof(err->msg) - (size_t)n, ": %s", strerror(errnum));
	return -err->errnum;
}

int err_set(struct err *err, int errnum, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = set(err, errnum, true, fmt, ap);
	va_end(ap);
	return r;
}

int err_plain(struct err *err, int errnum, const char *fmt, ...)
{
	va_list ap;
	int r;

	va_start(ap, fmt);
	r = set(err, errnum, false, fmt, ap);
	va_end(ap);
	return r;
}

int err_wrap(struct err *err, const char *fmt, ...)
{
	char old[ERR_MSG_MAX];
	va_list ap;
	int n;

	if (!err)
		return -EINVAL;
	memcpy(old, err->msg, sizeof(old));
	va_start(ap, fmt);
	n = vsnprintf(err->msg, sizeof(err->msg), fmt, ap);
	va_end(ap);
	if (n >= 0 && (size_t)n < sizeof(err->msg))
		/* the precision only tells the compiler that the cut is meant */
		snprintf(err->msg + n, sizeof(err->msg) - (size_t)n, ": %.*s",
			(int)sizeof(err->msg) - n, old);
	if (!err->errnum)
		err->errnum = EINVAL;
	return -err->errnum;
}
