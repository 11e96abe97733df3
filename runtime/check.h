/* SPDX-License-Identifier: Apache-2.0 */
/* The report of `coracle check`: a row for each thing that was looked at. */
#ifndef RUNTIME_CHECK_H
#define RUNTIME_CHECK_H

#include <stdbool.h>

#include "runtime/command.h"

#define CHECK_ROWS_MAX 24

struct check_row {
	const char *name;
	bool ok, required;
	char found[256];
	const char *advice; /* what to do when it is missing */
};

struct check_report {
	struct check_row row[CHECK_ROWS_MAX];
	unsigned n;
};

struct check_row *check_add(
	struct check_report *rep, const char *name, bool required, bool ok, const char *advice);
__attribute__((format(printf, 2, 3))) void check_found(struct check_row *row, const char *fmt, ...);

/* The right to start containers; for who is not root, what his need (docs/rootless.md). */
void check_right(struct check_report *rep, const struct global *g);

#endif
