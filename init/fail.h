/* SPDX-License-Identifier: Apache-2.0 */
/* Error texts of init. Engines match on runc's wording, which has the errno text in lower case. */
#ifndef INIT_FAIL_H
#define INIT_FAIL_H

#include "lib/err.h"

/* The errno's usual Linux text, first letter in lower case. Static storage, until the next call. */
const char *errno_text(int errnum);

/* Like err_set(), with errno_text(). Returns -errnum. */
__attribute__((format(printf, 3, 4))) int fail(struct err *err, int errnum, const char *fmt, ...);

#endif
