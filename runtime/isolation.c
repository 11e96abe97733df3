/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/isolation.h"

#include <errno.h>

int isolation_of(
	const char *option, const struct container_spec *spec, bool *ret_process, struct err *err)
{
	enum spec_isolation isolation = spec->vm.isolation;

	if (option && spec_isolation_parse(option, &isolation) < 0)
		return err_plain(err, EINVAL,
			"--isolation: expected " SPEC_ISOLATION_EXPECTED ", got '%.100s'", option);
	*ret_process = isolation == SPEC_ISOLATION_PROCESS;
	return 0;
}
