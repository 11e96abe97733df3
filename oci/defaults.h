/* SPDX-License-Identifier: Apache-2.0 */
/* `coracle spec`: the default config.json, in the shape of runc's. */
#ifndef OCI_DEFAULTS_H
#define OCI_DEFAULTS_H

#include <json-c/json.h>
#include <stdbool.h>

/*
 * New reference; NULL when out of memory. Print it with json_print(f, o, JSON_TABS).
 * rootless: for a user that is not root, as runc's: a user namespace in which only this user and
 * group exist, as root; no limits and no ids of other groups. The network namespace and sysfs stay:
 * they are the guest's.
 */
struct json_object *defaults_json(bool rootless);

#endif
