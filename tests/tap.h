/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TAP for our unit and device tests. A test program is a main() that calls ok() and friends and ends
 * with `return tap_done();`. A skip names its reason.
 */
#ifndef TESTS_TAP_H
#define TESTS_TAP_H

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Weak: one pair for all sources of a test program. */
__attribute__((weak)) int tap_count, tap_failures;

__attribute__((format(printf, 4, 5), unused)) static bool tap_ok(
	bool pass, const char *file, int line, const char *fmt, ...)
{
	va_list ap;

	printf("%s %d - ", pass ? "ok" : "not ok", ++tap_count);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	if (!pass) {
		tap_failures++;
		printf("# failed at %s:%d\n", file, line);
	}
	fflush(stdout);
	return pass;
}

__attribute__((unused)) static bool tap_eq_int(
	intmax_t got, intmax_t want, const char *file, int line, const char *what)
{
	bool pass = tap_ok(got == want, file, line, "%s", what);

	if (!pass)
		printf("# got %" PRIdMAX ", want %" PRIdMAX "\n", got, want);
	return pass;
}

__attribute__((unused)) static bool tap_eq_str(
	const char *got, const char *want, const char *file, int line, const char *what)
{
	bool pass = tap_ok(got && want && !strcmp(got, want), file, line, "%s", what);

	if (!pass)
		printf("# got '%s'\n# want '%s'\n", got ? got : "(null)", want ? want : "(null)");
	return pass;
}

#define ok(cond, ...) tap_ok(!!(cond), __FILE__, __LINE__, __VA_ARGS__)
#define eq_int(got, want, what) \
	tap_eq_int((intmax_t)(got), (intmax_t)(want), __FILE__, __LINE__, what)
#define eq_str(got, want, what) tap_eq_str(got, want, __FILE__, __LINE__, what)
#define has_str(s, part) \
	tap_ok((s) && strstr(s, part), __FILE__, __LINE__, "'%s' says '%s'", (s), part)
#define skip(reason) printf("ok %d # SKIP %s\n", ++tap_count, reason)

__attribute__((unused)) static int tap_done(void)
{
	printf("1..%d\n", tap_count);
	return tap_failures != 0;
}

#endif
