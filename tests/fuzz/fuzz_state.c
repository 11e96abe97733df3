/* SPDX-License-Identifier: Apache-2.0 */
/* A state.json that somebody tampered with. What is accepted must print, as `state` and as `list`.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"
#include "oci/state.h"

static void print_all(const struct cstate *s)
{
	struct cstate_row row = {s, "running"};
	struct json_object *o = cstate_json(s, "stopped");
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	BUG_ON(!o || !f);
	BUG_ON(json_print(f, o, JSON_INDENT) || cstate_list_table(f, &row, 1) ||
		cstate_list_json(f, &row, 1));
	json_object_put(o);
	fclose(f);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct err err = ERR_INIT;
	struct cstate s = {0};
	char *text;

	if (len > JSON_STATE_MAX)
		return 0;
	text = malloc(len + 1);
	memcpy(text, data, len);
	text[len] = '\0';
	if (cstate_parse(&s, text, len, &err)) {
		BUG_ON(!err_is_set(&err) || s.id);
	} else {
		BUG_ON(err_is_set(&err) || cstate_check_id(s.id, &err) || s.bundle[0] != '/');
		print_all(&s);
		cstate_release(&s);
	}
	free(text);
	return 0;
}
