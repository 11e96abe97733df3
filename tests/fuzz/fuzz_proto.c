/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes on the control channel, in pieces of any size (the first byte says which): the frames that come
 * out do not depend on how they were cut, and are what the bytes say.
 */
#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "lib/base.h"
#include "lib/proto.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct proto_rx rx;
	size_t fed = 0, at = 0, piece;
	struct proto_frame f;
	int r = 0;

	if (!size)
		return 0;
	piece = 1 + data[0];
	data++;
	size--;
	rx.have = rx.drop = 0;
	while (fed < size && r >= 0) {
		uint32_t n = proto_feed(&rx, data + fed, (uint32_t)MIN(piece, size - fed));

		if (!n)
			abort(); /* frames are taken out as they come: there is always room */
		fed += n;
		while ((r = proto_next(&rx, &f)) == 1) {
			struct proto_hdr h;

			memcpy(&h, data + at, sizeof(h));
			at += sizeof(h);
			if (le32toh(h.len) != f.len || le16toh(h.type) != f.type ||
				at + f.len > fed || memcmp(f.payload, data + at, f.len) != 0)
				abort();
			at += f.len;
		}
	}
	return 0;
}
