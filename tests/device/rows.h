/* SPDX-License-Identifier: Apache-2.0 */
/* One row per device, each in row_<device>.c; rows.c lists them. */
#ifndef TESTS_DEVICE_ROWS_H
#define TESTS_DEVICE_ROWS_H

#include "tests/device/driver.h"

extern const struct device_row row_balloon;
extern const struct device_row row_console;
extern const struct device_row row_fs;
extern const struct device_row row_rng;
extern const struct device_row row_vsock;

#endif
