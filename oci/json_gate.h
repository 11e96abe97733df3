/* SPDX-License-Identifier: Apache-2.0 */
/* What a JSON text must satisfy before json-c sees it; the list stands in oci/json.h. */
#ifndef OCI_JSON_GATE_H
#define OCI_JSON_GATE_H

#include <stddef.h>

#include "lib/err.h"

/* 0, or -errno with "<name>:<line>:<column>: <why>". text[len] is NUL. */
int json_gate(const char *name, const char *text, size_t len, struct err *err);

/* Makes every control character of a message '?': texts of ours quote hostile ones. */
void json_printable(char *msg);

#endif
