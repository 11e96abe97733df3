/* SPDX-License-Identifier: Apache-2.0 */
/* `coracle spec`: the default config.json, in the shape of runc's. */
#ifndef OCI_DEFAULTS_H
#define OCI_DEFAULTS_H

#include <json-c/json.h>

/* New reference; NULL when out of memory. Print it with json_print(f, o, JSON_TABS). */
struct json_object *defaults_json(void);

#endif
