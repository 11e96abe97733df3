/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/device/rows.h"

#include <stddef.h>

const struct device_row *const device_rows[] = {
	&row_balloon,
	&row_console,
	&row_fs,
	&row_rng,
	&row_vsock,
	NULL,
};
