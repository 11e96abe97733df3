/* SPDX-License-Identifier: Apache-2.0 */
/* `coracle features` (runtime-spec features.md), generated from the tables the parser itself uses.
 */
#ifndef OCI_FEATURES_H
#define OCI_FEATURES_H

#include <json-c/json.h>

/* New reference; NULL when out of memory. Print it with json_print(). */
struct json_object *features_json(void);

#endif
