/* SPDX-License-Identifier: Apache-2.0 */
/* coracle features: what the runtime supports, as the spec's features.md says it. */
#include <errno.h>

#include "lib/base.h"
#include "oci/features.h"
#include "oci/json.h"
#include "runtime/command.h"

int cmd_features(const struct global *g, int argc, char **argv, struct err *err)
{
	const struct usage u = {"features", "Prints the supported features as JSON.", NULL, 0};
	int first = options_parse(&u, argc, argv, err);
	struct json_object *o;
	int r;

	(void)g;
	if (first <= 0)
		return first;
	o = features_json();
	r = o ? json_print(stdout, o, JSON_INDENT) : -ENOMEM;
	json_object_put(o);
	return r < 0 ? err_set(err, -r, "cannot print the features") : 0;
}
