/* SPDX-License-Identifier: Apache-2.0 */
#include "init/fail.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* musl words some differently from what people search for. */
static const char *own_text(int errnum)
{
	switch (errnum) {
	case ELOOP: return "too many levels of symbolic links";
	case EBUSY: return "device or resource busy";
	case EMFILE: return "too many open files";
	case ENAMETOOLONG: return "file name too long";
	case EOPNOTSUPP: return "operation not supported";
	case EXDEV: return "invalid cross-device link";
	case ENOSYS: return "function not implemented";
	default: return NULL;
	}
}

const char *errno_text(int errnum)
{
	static char text[64];
	const char *own = own_text(errnum);

	snprintf(text, sizeof(text), "%s", own ? own : strerror(errnum));
	if (!isupper((unsigned char)text[1]))
		text[0] = (char)tolower((unsigned char)text[0]);
	return text;
}

int fail(struct err *err, int errnum, const char *fmt, ...)
{
	char head[ERR_MSG_MAX / 2];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(head, sizeof(head), fmt, ap);
	va_end(ap);
	return err_plain(err, errnum, "%s: %s", head, errno_text(errnum));
}
