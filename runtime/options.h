/* SPDX-License-Identifier: Apache-2.0 */
/* Command-line options from one table: parsing and help. */
#ifndef RUNTIME_OPTIONS_H
#define RUNTIME_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"

enum option_type {
	OPTION_FLAG,   /* bool */
	OPTION_STRING, /* const char * */
	OPTION_NUMBER, /* unsigned */
	OPTION_LIST,   /* struct option_list: may be given more than once */
};

struct option_list {
	const char **v; /* malloc'd array of what argv holds */
	size_t n;
};

struct option_def {
	const char *name; /* long name; `letter` is the short one, 0: none */
	char letter;
	enum option_type type;
	const char *arg; /* what the help calls the value; NULL for flags */
	const char *help;
	void *value;
};

struct usage {
	const char *synopsis; /* "create [OPTION]... ID" */
	const char *about;    /* one or more lines */
	const struct option_def *options;
	size_t n;
	int min, max;       /* operands that the command takes */
	void (*more)(void); /* prints what else the help says; NULL: nothing */
	bool in_order; /* options end at the first operand; else they may follow it, as in runc */
};

/* Parses argv (argv[0] is a name). Unless in_order, argv is sorted, operands last. As many operands
 * must follow as the usage says. Returns the index of the first one; 0 when --help was asked and printed;
 * -EINVAL with err set. */
int options_parse(const struct usage *u, int argc, char **argv, struct err *err);
void options_help(const struct usage *u);

#endif
