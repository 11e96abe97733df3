/* SPDX-License-Identifier: Apache-2.0 */
/* What every part of the translation of config.json carries along. Used inside oci/ only. */
#ifndef OCI_SPEC_CTX_H
#define OCI_SPEC_CTX_H

#include <stdint.h>

#include "lib/err.h"
#include "lib/gspec.h"
#include "oci/arena.h"
#include "oci/json.h"
#include "oci/spec.h"

struct spec_ctx {
	struct arena *arena; /* of the result */
	const struct spec_opts *opts;
	struct err *err;
	unsigned oci_minor; /* of ociVersion 1.MINOR.x */
	bool oci_first;     /* it is a release before 1.1 */
};

/* One warning about n: "config.json: process.capabilities: ...". */
__attribute__((format(printf, 3, 4))) void spec_warn(
	struct spec_ctx *c, const struct jnode *n, const char *fmt, ...);

/* The same for the debug log. */
__attribute__((format(printf, 3, 4))) void spec_debug(
	struct spec_ctx *c, const struct jnode *n, const char *fmt, ...);

/* n holds something we know and do not support: an error, or when lenient a warning and 0. */
__attribute__((format(printf, 3, 4))) int spec_refuse(
	struct spec_ctx *c, const struct jnode *n, const char *fmt, ...);

int spec_nomem(struct spec_ctx *c);

/* The array of strings n[key]: at most max_n, each of 0 to max_len bytes. Absent: ret_v->n stays 0.
 * ret_v->v has a NULL at its end. */
int spec_strings(struct spec_ctx *c, const struct jnode *n, const char *key, uint32_t max_n,
	size_t max_len, struct gstrv *ret_v);

/* The same, and each must be an absolute path. */
int spec_paths(struct spec_ctx *c, const struct jnode *n, const char *key, struct gstrv *ret_v);

#endif
