/* SPDX-License-Identifier: Apache-2.0 */
#include "init/say.h"

#include <string.h>

#include "init/child.h"
#include "init/log.h"

static int control_fd = -1;

void say_to(int control)
{
	control_fd = control;
}

void say(enum proto_type type, const void *payload, uint32_t len)
{
	int r = proto_send(control_fd, type, payload, len);

	if (r < 0)
		log_msg("cannot send message %d: %s", type, strerror(-r));
}

struct proto_failed say_why(const struct err *err)
{
	struct proto_failed m = {
		.errnum = err->errnum,
		.exit_status = err->exit_status > 0 ? (uint32_t)err->exit_status : 1,
	};

	text_copy(m.text, err->msg);
	return m;
}
