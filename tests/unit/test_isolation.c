/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/isolation.h"

#include <errno.h>

#include "lib/base.h"
#include "tests/tap.h"

static const struct {
	const char *name, *option;
	enum spec_isolation annotation;
	bool process;
} cases[] = {
	{"nothing given: threads", NULL, SPEC_ISOLATION_NOT_GIVEN, false},
	{"the annotation: threads", NULL, SPEC_ISOLATION_THREAD, false},
	{"the annotation: processes", NULL, SPEC_ISOLATION_PROCESS, true},
	{"the option: threads", "thread", SPEC_ISOLATION_NOT_GIVEN, false},
	{"the option: processes", "process", SPEC_ISOLATION_NOT_GIVEN, true},
	{"the option wins: threads", "thread", SPEC_ISOLATION_PROCESS, false},
	{"the option wins: processes", "process", SPEC_ISOLATION_THREAD, true},
};

static const char *const wrong[] = {"", "Process", "processes", "thread ", "vm"};

int main(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct container_spec spec = {.vm.isolation = cases[i].annotation};
		struct err err = ERR_INIT;
		bool process = !cases[i].process;

		eq_int(isolation_of(cases[i].option, &spec, &process, &err), 0, cases[i].name);
		eq_int(process, cases[i].process, "and so it is");
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		const struct container_spec spec = {.vm.isolation = SPEC_ISOLATION_PROCESS};
		struct err err = ERR_INIT;
		bool process;

		eq_int(isolation_of(wrong[i], &spec, &process, &err), -EINVAL, "a wrong value");
		has_str(err.msg, "--isolation: expected 'thread' or 'process', got '");
	}
	return tap_done();
}
