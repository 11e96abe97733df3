/* SPDX-License-Identifier: Apache-2.0 */
/* Device nodes and links of the container's /dev, as runc makes them. */
#ifndef INIT_DEVICES_H
#define INIT_DEVICES_H

#include <stdbool.h>
#include <stddef.h>

#include "lib/err.h"
#include "lib/gspec.h"

struct device_default { /* a character device of /dev, for everybody */
	const char *name;
	unsigned major, minor;
};
extern const struct device_default device_defaults[];
extern const size_t device_defaults_n;

/* The spec's own devices, wherever they are to be: one that is there already stays, anything else
 * there is -EEXIST. Then, with dev_defaults, /dev gets null, zero, full, random, urandom, tty and the
 * usual links, unless something of that name is there, or it is read-only. */
int devices_make(int root, const struct gspec *spec, bool dev_defaults, struct err *err);

#endif
