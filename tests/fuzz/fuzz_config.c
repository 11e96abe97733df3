/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json as a hostile bundle may write it: the gate, the tree, the translation. What passes
 * the gate must parse as a tree; what is accepted must encode, and decode to the same on the
 * guest's side.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"
#include "oci/json_gate.h"
#include "oci/spec.h"

static void ignore_warning(void *arg, const char *msg)
{
	BUG_ON(strlen(msg) > 2048 || strpbrk(msg, "\n\r\033"));
}

static void check_encoding(const struct container_spec *spec)
{
	uint8_t *buf = NULL;
	struct garena arena = {0};
	struct err err = ERR_INIT;
	struct gspec got;
	const char *what;
	struct rbuf b;
	size_t len;

	if (spec_encode(spec, &buf, &len, &err))
		return; /* too long once translated */
	arena.cap = gspec_arena_bytes(len);
	arena.mem = aligned_alloc(16, (arena.cap + 15) & ~(size_t)15);
	b = rbuf_of(buf, len);
	BUG_ON(gspec_decode(&b, &arena, &got, &what));
	BUG_ON(got.n_mounts != spec->guest.n_mounts || got.proc.args.n != spec->guest.proc.args.n ||
		got.n_cgfiles != spec->guest.n_cgfiles || got.n_devprog != spec->guest.n_devprog);
	free(arena.mem);
	free(buf);
}

static bool try(const char *text, size_t len, bool lenient)
{
	struct spec_opts opts = {
		.lenient = lenient, .allow_terminal = lenient, .warn = ignore_warning};
	struct container_spec *spec = NULL;
	struct err err = ERR_INIT;
	int r = spec_parse(&spec, text, len, &opts, &err);

	BUG_ON(!r != !err_is_set(&err) || !r != !!spec);
	BUG_ON(strpbrk(err.msg, "\n\r\033"));
	if (r)
		return false;
	check_encoding(spec);
	container_spec_free(spec);
	return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct err err = ERR_INIT;
	struct jdoc doc;
	char *text;

	if (len > JSON_CONFIG_MAX)
		return 0;
	text = malloc(len + 1);
	memcpy(text, data, len);
	text[len] = '\0';
	if (!json_gate("config.json", text, len, &err)) {
		BUG_ON(jdoc_parse(&doc, "config.json", text, len, JSON_CONFIG_MAX, &err));
		jdoc_release(&doc);
	}
	if (try(text, len, false))
		BUG_ON(!try(text, len, true));
	else
		try(text, len, true);
	free(text);
	return 0;
}
