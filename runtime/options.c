/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/options.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"

#define OPTIONS_MAX 32
#define LONG_BASE   256 /* getopt values of long options: LONG_BASE + index */

/* The program's name is the one it was called by, as engines may know it as runc. */
static void print_name(const struct usage *u)
{
	int command = (int)strcspn(u->synopsis, " [");

	printf("NAME:\n   %s%s%.*s - %s\n\nUSAGE:\n   %s %s\n", program_invocation_short_name,
		command ? " " : "", command, u->synopsis, u->about, program_invocation_short_name,
		u->synopsis);
}

void options_help(const struct usage *u)
{
	print_name(u);
	if (u->n)
		printf("\nOPTIONS:\n");
	for (size_t i = 0; i < u->n; i++) {
		const struct option_def *o = &u->options[i];
		char left[64];

		snprintf(left, sizeof(left), "%s%c%s--%s%s%s", o->letter ? "-" : "",
			o->letter ? o->letter : ' ', o->letter ? ", " : "   ", o->name,
			o->arg ? " " : "", o->arg ? o->arg : "");
		printf("   %-32s %s\n", left, o->help);
	}
	if (u->more)
		u->more();
}

static int append(struct option_list *l, const char *arg, struct err *err)
{
	const char **v = reallocarray(l->v, l->n + 1, sizeof(*v));

	if (!v)
		return err_set(err, ENOMEM, "cannot read the options");
	v[l->n++] = arg;
	l->v = v;
	return 0;
}

static int set_value(const struct option_def *o, const char *arg, struct err *err)
{
	unsigned long v;
	char *end;

	switch (o->type) {
	case OPTION_FLAG: *(bool *)o->value = true; return 0;
	case OPTION_STRING: *(const char **)o->value = arg; return 0;
	case OPTION_NUMBER:
		errno = 0;
		v = strtoul(arg, &end, 10);
		/* strtoul(3) would take a sign and blanks. */
		if (errno || *arg < '0' || *arg > '9' || *end || v > INT_MAX)
			return err_plain(err, EINVAL, "--%s: '%s' is not a number", o->name, arg);
		*(unsigned *)o->value = (unsigned)v;
		return 0;
	case OPTION_LIST: return append(o->value, arg, err);
	}
	return -EINVAL;
}

static const struct option_def *find(const struct usage *u, int c)
{
	if (c >= LONG_BASE)
		return &u->options[c - LONG_BASE];
	for (size_t i = 0; i < u->n; i++)
		if (u->options[i].letter == c)
			return &u->options[i];
	return NULL;
}

static int check_operands(const struct usage *u, int n, struct err *err)
{
	if (n >= u->min && n <= u->max)
		return 0;
	return err_plain(err, EINVAL, "%s: usage: %s %s",
		n < u->min ? "an argument is missing" : "too many arguments",
		program_invocation_short_name, u->synopsis);
}

/* The table as getopt_long(3) wants it. */
static void make_tables(const struct usage *u, struct option *longs, char *shorts)
{
	BUG_ON(u->n > OPTIONS_MAX);
	shorts += sprintf(shorts, "%s:h", u->in_order ? "+" : "");
	for (size_t i = 0; i < u->n; i++) {
		const struct option_def *o = &u->options[i];
		int has_arg = o->type == OPTION_FLAG ? no_argument : required_argument;

		longs[i] = (struct option){o->name, has_arg, NULL, LONG_BASE + (int)i};
		if (o->letter) {
			*shorts++ = o->letter;
			if (has_arg == required_argument)
				*shorts++ = ':';
		}
	}
	*shorts = '\0';
	longs[u->n] = (struct option){"help", no_argument, NULL, 'h'};
}

int options_parse(const struct usage *u, int argc, char **argv, struct err *err)
{
	struct option longs[OPTIONS_MAX + 2] = {{0}};
	char shorts[2 * OPTIONS_MAX + 4];
	int c, r;

	make_tables(u, longs, shorts);
	opterr = 0;
	optind = 0; /* glibc: start afresh, the global options were parsed with another table */
	while ((c = getopt_long(argc, argv, shorts, longs, NULL)) != -1) {
		if (c == 'h') {
			options_help(u);
			return 0;
		}
		if (c == ':')
			return err_plain(
				err, EINVAL, "option '%s' needs a value", argv[optind - 1]);
		if (c == '?')
			return err_plain(err, EINVAL, "unknown option '%s' (see %s %.*s --help)",
				argv[optind - 1], program_invocation_short_name,
				(int)strcspn(u->synopsis, " ["), u->synopsis);
		r = set_value(find(u, c), optarg, err);
		if (r < 0)
			return r;
	}
	return check_operands(u, argc - optind, err) < 0 ? -EINVAL : optind;
}
