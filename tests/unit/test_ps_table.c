/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/ps_table.h"

#include <stdlib.h>
#include <time.h>

#include "lib/base.h"
#include "tests/tap.h"

#define NOW 1700000000u /* 2023-11-14 22:13:20 UTC */

static const char *row(const struct proto_process *p)
{
	static char text[512];
	FILE *f = fmemopen(text, sizeof(text), "w");

	ps_table_row(f, p, NOW);
	fclose(f);
	ok(strcspn(text, "\n") == strlen(text) - 1, "one line");
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static void test_rows(void)
{
	struct proto_process p = {.pid = 1,
		.start_s = NOW - 60,
		.elapsed_ms = 60000,
		.cpu_ms = 1500,
		.comm = "sleep",
		.args = "sleep 1000"};

	eq_str(row(&p), "root           1       0  2 22:12 ?        00:00:01 sleep 1000",
		"a row stands under its heads");
	p = (struct proto_process){.pid = 4194304,
		.ppid = 12,
		.uid = 1000,
		.tty = 136 << 8 | 3,
		.start_s = NOW - 3 * 86400,
		.cpu_ms = 90061000ull,
		.elapsed_ms = 1,
		.comm = "a b"};
	eq_str(row(&p), "1000     4194304      12  0 Nov11 pts/3    1-01:01:01 [a b]",
		"days, a pts, no arguments");
	p.start_s = NOW - 400 * 86400;
	p.elapsed_ms = 1000;
	p.tty = (1u << 20) | 136 << 8 | 3;
	eq_str(row(&p), "1000     4194304      12 99 2022  pts/259  1-01:01:01 [a b]",
		"last year, a high minor, a share that has two places");
	p.tty = 5 << 8 | 1;
	has_str(row(&p), "console");
	p.tty = 4 << 8 | 2;
	has_str(row(&p), "tty2");
	p.tty = 7 << 8 | 9;
	has_str(row(&p), "7:9");
}

static void test_states(void)
{
	struct proto_process p = {.pid = 7,
		.tty = 136 << 8,
		.cpu_ms = 3661000,
		.stat = "Ssl+",
		.comm = "sh",
		.args = "sh -i"};
	char text[512];
	FILE *f = fmemopen(text, sizeof(text), "w");

	ps_states_row(f, &p);
	memcpy(p.stat, "\33[2Jxxxx", sizeof(p.stat));
	ps_states_row(f, &p);
	fclose(f);
	eq_str(text,
		"      7 pts/0    Ssl+  61:01 sh -i\n"
		"      7 pts/0    ?[2Jxxxx  61:01 sh -i\n",
		"as ps -ex, printable, cut");
}

/* All the guest says is copied, cut and made printable. */
static void test_hostile(void)
{
	struct proto_process p;
	const char *text;

	memset(&p, 0xff, sizeof(p));
	text = row(&p);
	ok(strlen(text) < 300, "of bounded length");
	p = (struct proto_process){.args = "a\n\x1b[2Jb\x7f\xc3\xa9", .comm = ""};
	text = row(&p);
	has_str(text, "a??[2Jb???");
	memset(p.args, 'x', sizeof(p.args));
	text = row(&p);
	eq_int(strspn(strstr(text, "x"), "x"), sizeof(p.args), "a text without its NUL is cut");
	p.args[0] = '\0';
	memset(p.comm, '\n', sizeof(p.comm));
	has_str(row(&p), "[????????????????]");
}

int main(void)
{
	setenv("TZ", "UTC", 1);
	tzset();
	test_rows();
	test_states();
	test_hostile();
	return tap_done();
}
