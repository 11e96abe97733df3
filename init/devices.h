/* SPDX-License-Identifier: Apache-2.0 */
/* Device nodes and links of the container's /dev, as runc makes them. */
#ifndef INIT_DEVICES_H
#define INIT_DEVICES_H

#include <stdbool.h>

#include "lib/err.h"
#include "lib/gspec.h"

/* dev_defaults: /dev is a fresh tmpfs and gets null, zero, full, random, urandom, tty and the usual
 * links; then the spec's own devices, wherever they are to be. What is present already stays. */
int devices_make(int root, const struct gspec *spec, bool dev_defaults, struct err *err);

#endif
