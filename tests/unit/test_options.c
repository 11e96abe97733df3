/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/options.h"

#include <errno.h>
#include <stdlib.h>

#include "lib/base.h"
#include "tests/tap.h"

struct values {
	bool flag;
	const char *text;
	unsigned number;
	struct option_list list;
};

static bool in_order = true;

static int parse(struct values *v, int argc, char **argv, struct err *err)
{
	const struct option_def options[] = {
		{"flag", 'f', OPTION_FLAG, NULL, "a flag", &v->flag},
		{"text", 't', OPTION_STRING, "TEXT", "a text", &v->text},
		{"number", 0, OPTION_NUMBER, "N", "a number", &v->number},
		{"list", 'l', OPTION_LIST, "X", "several", &v->list},
	};
	const struct usage u = {
		"test [OPTION]...", "Tests.", options, ARRAY_SIZE(options), 0, 2, NULL, in_order};

	*v = (struct values){.text = "", .number = 7};
	*err = (struct err)ERR_INIT;
	return options_parse(&u, argc, argv, err);
}

#define ARGS(...)                                              \
	(int)ARRAY_SIZE(((char *[]){__VA_ARGS__})), (char *[]) \
	{                                                      \
		__VA_ARGS__, NULL                              \
	}

int main(void)
{
	const struct usage u = {"test ID", "Tests.", .min = 1, .max = 2};
	struct values v;
	struct err err;

	eq_int(parse(&v, ARGS("test"), &err), 1, "nothing");
	ok(!v.flag && v.number == 7, "the values stay");
	eq_int(parse(&v, ARGS("test", "-f", "--text=a b", "--number", "42", "op"), &err), 5,
		"all kinds, the first operand");
	ok(v.flag && v.number == 42, "flag and number");
	eq_str(v.text, "a b", "text");
	eq_int(parse(&v, ARGS("test", "-l", "a", "--list=b,c", "-ld", "op"), &err), 5, "a list");
	ok(v.list.n == 3 && !strcmp(v.list.v[0], "a") && !strcmp(v.list.v[1], "b,c") &&
			!strcmp(v.list.v[2], "d"),
		"every value, in order, commas and all");
	free(v.list.v);
	eq_int(parse(&v, ARGS("test", "op", "--flag"), &err), 1,
		"options end at the first operand");
	ok(!v.flag, "what follows is not an option");
	eq_int(parse(&v, ARGS("test", "--", "-f"), &err), 2, "-- ends them too");
	in_order = false;
	char *mixed[] = {"test", "a", "--flag", "--text", "-1", "b", "--number=3", NULL};
	eq_int(parse(&v, 7, mixed, &err), 5, "options among the operands, as in runc");
	ok(v.flag && v.number == 3 && !strcmp(v.text, "-1"), "all are seen");
	ok(!strcmp(mixed[5], "a") && !strcmp(mixed[6], "b"), "the operands follow, in order");
	eq_int(parse(&v, ARGS("test", "a", "--", "--flag"), &err), 2, "-- ends them here, too");
	ok(!v.flag, "what follows it is not an option");
	eq_int(parse(&v, ARGS("test", "a", "-x"), &err), -EINVAL, "unknown, behind an operand");
	has_str(err.msg, "unknown option '-x'");
	in_order = true;
	eq_int(parse(&v, ARGS("test", "--nosuch"), &err), -EINVAL, "unknown");
	has_str(err.msg, "unknown option '--nosuch'");
	eq_int(parse(&v, ARGS("test", "--text"), &err), -EINVAL, "no value");
	has_str(err.msg, "needs a value");
	eq_int(parse(&v, ARGS("test", "--number", "x"), &err), -EINVAL, "not a number");
	has_str(err.msg, "'x' is not a number");
	eq_int(parse(&v, ARGS("test", "--number", "99999999999"), &err), -EINVAL, "too large");
	eq_int(parse(&v, ARGS("test", "--number", "-18446744073709551615"), &err), -EINVAL,
		"negative, though strtoul() would call it 1");
	eq_int(parse(&v, ARGS("test", "--number", " 1"), &err), -EINVAL, "with a blank");
	eq_int(parse(&v, ARGS("test", "--number", ""), &err), -EINVAL, "empty");
	eq_int(options_parse(&u, ARGS("test", "a"), &err), 1, "as few as wanted");
	eq_int(options_parse(&u, ARGS("test", "a", "b"), &err), 1, "as many as wanted");
	err = (struct err)ERR_INIT;
	eq_int(options_parse(&u, ARGS("test"), &err), -EINVAL, "too few");
	has_str(err.msg, "an argument is missing: usage: ");
	err = (struct err)ERR_INIT;
	eq_int(options_parse(&u, ARGS("test", "a", "b", "c"), &err), -EINVAL, "too many");
	has_str(err.msg, "too many arguments");
	return tap_done();
}
