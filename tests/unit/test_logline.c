/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of a log: one line of printable UTF-8, whatever the message holds. */
#include <json-c/json.h>
#include <stdlib.h>
#include <time.h>

#include "lib/base.h"
#include "lib/logline.h"
#include "tests/tap.h"

static char line[4096];

static const char *format(bool json, const char *msg)
{
	const struct timespec when = {1715000889, 123456789};
	size_t len = logline_format(line, sizeof(line) - 1, json, LOG_LEVEL_WARNING, &when, msg);

	line[len] = '\0';
	return line;
}

static void test_forms(void)
{
	eq_str(format(true, "cannot open 'x'"),
		"{\"level\":\"warning\",\"msg\":\"cannot open 'x'\",\"time\":\"2024-05-06T13:08:09."
		"123456789Z\"}\n",
		"JSON");
	eq_str(format(false, "cannot open 'x'"),
		"time=\"2024-05-06T13:08:09.123456789Z\" level=warning msg=\"cannot open 'x'\"\n",
		"text");
	eq_str(format(false, ""),
		"time=\"2024-05-06T13:08:09.123456789Z\" level=warning msg=\"\"\n",
		"an empty message");
}

static void test_escapes(void)
{
	static const struct {
		const char *what, *in, *out;
	} rows[] = {
		{"quotes and backslashes", "a\"b\\c", "a\\\"b\\\\c"},
		{"line ends and tabs", "a\nb\rc\td", "a\\nb\\rc\\td"},
		{"control characters", "\001\033[31m\177", "\\u0001\\u001b[31m\\u007f"},
		{"control characters of Latin-1",
			"\xc2\x9b"
			"31m",
			"\\u009b31m"},
		{"UTF-8", "\xc3\xa4 \xe2\x82\xac \xf0\x9f\x9b\xb6",
			"\xc3\xa4 \xe2\x82\xac \xf0\x9f\x9b\xb6"},
		{"the first and last of each length",
			"\xc2\xa0\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90"
			"\x80\x80"
			"\xf4\x8f\xbf\xbf",
			"\xc2\xa0\xdf\xbf\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\xf0\x90"
			"\x80\x80"
			"\xf4\x8f\xbf\xbf"},
		{"a lone continuation", "a\x80z", "a\xef\xbf\xbdz"},
		{"a character cut short", "\xe2\x82", "\xef\xbf\xbd\xef\xbf\xbd"},
		{"cut short by another", "\xe2z", "\xef\xbf\xbdz"},
		{"an overlong slash", "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd"},
		{"an overlong three", "\xe0\x9f\xbf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
		{"a surrogate", "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
		{"above U+10FFFF", "\xf4\x90\x80\x80",
			"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
		{"five bytes", "\xf8\xa7\xaf\x9a\x80",
			"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
		{"bytes that begin nothing", "\xf5\xff", "\xef\xbf\xbd\xef\xbf\xbd"},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		char want[512];

		snprintf(want, sizeof(want),
			"time=\"2024-05-06T13:08:09.123456789Z\" level=warning msg=\"%s\"\n",
			rows[i].out);
		eq_str(format(false, rows[i].in), want, rows[i].what);
	}
}

static uint32_t rnd(void)
{
	static uint32_t state = 0x2545f491;

	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

/* Random bytes must come back from a JSON parser that wants UTF-8, unchanged where they were any. */
static void test_parses(void)
{
	struct json_tokener *tok = json_tokener_new();
	unsigned bad = 0, text_bad = 0;

	json_tokener_set_flags(tok, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
	for (int i = 0; i < 20000; i++) {
		char msg[65];
		struct json_object *o, *m;
		const char *end;
		bool ascii = i % 2;

		for (unsigned k = 0; k < 64; k++) {
			msg[k] = (char)(ascii ? rnd() % 128 : rnd());
			if (!msg[k])
				msg[k] = 'x';
		}
		msg[rnd() % 65] = '\0';
		msg[64] = '\0';
		format(true, msg);
		json_tokener_reset(tok);
		o = json_tokener_parse_ex(tok, line, (int)strlen(line));
		if (!o || !json_object_object_get_ex(o, "msg", &m) ||
			(ascii && strcmp(json_object_get_string(m), msg)) ||
			strchr(line, '\n') != line + strlen(line) - 1)
			bad++;
		json_object_put(o);
		format(false, msg);
		end = strchr(line, '\n');
		for (const char *p = line; p < end; p++)
			text_bad += (unsigned char)*p < ' ' || *p == 0x7f;
		text_bad += !end || end[1];
	}
	eq_int(bad, 0, "JSON parses, ASCII comes back as it was");
	eq_int(text_bad, 0, "text is one printable line");
	json_tokener_free(tok);
}

static void test_cut(void)
{
	static const char *const unit[] = {"x", "\"", "\001", "\xe2\x82\xac", "\xff"};
	const struct timespec when = {0, 0};
	unsigned bad = 0;

	for (unsigned u = 0; u < ARRAY_SIZE(unit); u++) {
		char msg[2048] = "";

		for (unsigned i = 0; i < 500; i++)
			strcat(msg, unit[u]);
		for (size_t cap = LOGLINE_MIN; cap < 1024; cap++)
			for (int json = 0; json < 2; json++) {
				char *buf = malloc(cap); /* the sanitizer watches its end */
				const char *end =
					json ? "\",\"time\":\"1970-01-01T00:00:00.000000000Z\"}\n"
					     : "\"\n";
				size_t len = logline_format(
					buf, cap, json, LOG_LEVEL_WARNING, &when, msg);

				bad += len > cap || len < strlen(end) ||
				       memcmp(buf + len - strlen(end), end, strlen(end)) != 0;
				/* The last character is a whole one. */
				len -= strlen(end);
				if (u == 3 && len > 3 && buf[len - 1] != '"')
					bad += memcmp(buf + len - 3, unit[u], 3) != 0;
				free(buf);
			}
	}
	eq_int(bad, 0, "what does not fit is cut, and the line has its end");
	ok(logline_format(line, LOGLINE_BYTES(2), false, LOG_LEVEL_ERROR, &when, "\001\002") > 12 &&
			memmem(line, LOGLINE_BYTES(2), "\\u0001\\u0002", 12),
		"what LOGLINE_BYTES() says fits");
}

static void test_times(void)
{
	static const int64_t odd[] = {0, 951782399, 951782400, 951868799, 951868800, 4107542399,
		4107542400, 253402300799};
	unsigned bad = 0;
	char want[80];
	struct tm tm;

	for (unsigned i = 0; i < 20000 + ARRAY_SIZE(odd); i++) {
		struct timespec when = {
			i < ARRAY_SIZE(odd) ? odd[i]
					    : ((int64_t)rnd() << 6 | (rnd() & 63)) % 253402300800,
			rnd() % 1000000000};
		size_t n;

		gmtime_r(&when.tv_sec, &tm);
		n = strftime(want, sizeof(want), "time=\"%Y-%m-%dT%H:%M:%S", &tm);
		snprintf(want + n, sizeof(want) - n, ".%09ldZ\" ", when.tv_nsec);
		logline_format(line, sizeof(line), false, LOG_LEVEL_INFO, &when, "");
		bad += strncmp(line, want, strlen(want)) != 0;
	}
	eq_int(bad, 0, "times are the C library's, up to the year 9999");
	logline_format(line, sizeof(line), false, LOG_LEVEL_INFO,
		&(struct timespec){INT64_MAX, 999999999}, "");
	ok(!strncmp(line, "time=\"9999-12-31T23:59:59.", 26), "later ones are its end");
	logline_format(line, sizeof(line), false, LOG_LEVEL_INFO, &(struct timespec){-5, 0}, "");
	ok(!strncmp(line, "time=\"1970-01-01T00:00:00.", 26), "those before 1970 its beginning");
}

static void test_printable(void)
{
	static const char *const rows[][3] = {
		{"nothing", "", ""},
		{"UTF-8 stays", "plain \xc3\xa9 \xe2\x82\xac", "plain \xc3\xa9 \xe2\x82\xac"},
		{"C0 and DEL", "\x1b[31m\x7f\n", "?[31m??"},
		{"C1", "\xc2\x9b[31m", "??[31m"},
		{"bytes that begin nothing", "\x9b \xff\xff", "? ??"},
		{"a character cut off", "\xe2\x82", "??"},
		{"one that is too long", "\xc0\xaf", "??"},
	};

	for (unsigned i = 0; i < ARRAY_SIZE(rows); i++) {
		char text[64];

		snprintf(text, sizeof(text), "%s", rows[i][1]);
		logline_printable(text);
		eq_str(text, rows[i][2], rows[i][0]);
	}
}

int main(void)
{
	test_printable();
	test_forms();
	test_escapes();
	test_parses();
	test_cut();
	test_times();
	return tap_done();
}
