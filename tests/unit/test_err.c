/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "lib/err.h"
#include "tests/tap.h"

static void test_set(void)
{
	struct err e = ERR_INIT;

	ok(!err_is_set(&e), "fresh: not set");
	eq_int(err_set(&e, ENOENT, "cannot open '%s'", "x"), -ENOENT, "err_set gives -errno");
	eq_int(e.errnum, ENOENT, "errnum kept");
	eq_int(e.exit_status, 0, "no exit status of its own");
	eq_str(e.msg, "cannot open 'x': No such file or directory", "text with the system's");
	eq_int(err_set(&e, 0, "bad"), -EINVAL, "no cause counts as EINVAL");
	eq_str(e.msg, "bad", "and appends nothing");
	eq_int(err_plain(&e, EPERM, "no: not allowed"), -EPERM, "err_plain gives -errno");
	eq_str(e.msg, "no: not allowed", "and appends nothing");
	eq_int(err_set(NULL, EIO, "x"), -EIO, "NULL err: the errno still comes back");
}

static void test_wrap(void)
{
	struct err e = ERR_INIT;

	err_plain(&e, EIO, "inner");
	eq_int(err_wrap(&e, "outer %d", 7), -EIO, "err_wrap gives the cause");
	eq_str(e.msg, "outer 7: inner", "outward");
	eq_int(err_wrap(NULL, "x"), -EINVAL, "NULL err");
}

static void test_long(void)
{
	struct err e = ERR_INIT;
	static char big[3 * ERR_MSG_MAX];

	memset(big, 'a', sizeof(big) - 1);
	err_set(&e, EIO, "%s", big);
	eq_int(strlen(e.msg), ERR_MSG_MAX - 1, "a long text is cut");
	err_wrap(&e, "head");
	eq_int(strlen(e.msg), ERR_MSG_MAX - 1, "wrapped: still cut");
	ok(!strncmp(e.msg, "head: aaa", 9), "the outer text leads");
	err_wrap(&e, "%s", big);
	eq_int(strlen(e.msg), ERR_MSG_MAX - 1, "a long wrapper is cut");
	eq_int(e.errnum, EIO, "the cause stays");
}

int main(void)
{
	test_set();
	test_wrap();
	test_long();
	return tap_done();
}
