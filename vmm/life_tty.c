/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/life_priv.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

int life_tty_init(struct life *l, struct err *err)
{
	if (!(l->cfg->flags & VM_FLAG_TERMINAL))
		return 0;
	if (!isatty(STDIN_FILENO)) /* `run` in the foreground, its input redirected */
		return 0;
	if (ioctl(STDIN_FILENO, TIOCSCTTY, 0) < 0) {
		if (errno == EPERM) /* another session's */
			return 0;
		return err_set(err, errno, "cannot take the container's terminal");
	}
	l->tty_fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
	if (l->tty_fd < 0)
		return err_set(err, errno, "cannot keep the container's terminal");
	return 0;
}

void life_tty_push(struct life *l)
{
	struct proto_resize m = {
		.process = htole32(PROTO_PROCESS_FIRST),
		.rows = htole16(l->rows),
		.cols = htole16(l->cols),
	};

	if (!l->size_due || l->state != LIFE_RUNNING)
		return;
	if (life_send(l, PROTO_RESIZE, &m, sizeof(m)) != -EAGAIN)
		l->size_due = false;
}

void life_tty_changed(struct life *l)
{
	struct winsize ws;

	/* 0 by 0: nobody has said one; the process keeps what its specification says. */
	if (l->tty_fd >= 0 && ioctl(l->tty_fd, TIOCGWINSZ, &ws) == 0 && (ws.ws_row || ws.ws_col)) {
		l->rows = ws.ws_row;
		l->cols = ws.ws_col;
		l->size_due = true;
	}
	life_tty_push(l);
}

bool life_tty_request(struct life *l, uint32_t arg, struct ctl_reply *reply)
{
	if (!(l->cfg->flags & VM_FLAG_TERMINAL))
		return life_answer(reply, ENOTTY, "the container has no terminal");
	if (l->state == LIFE_DRAINING)
		return life_answer(reply, ESRCH, "the container has ended");
	l->rows = (uint16_t)(arg >> 16);
	l->cols = (uint16_t)arg;
	l->size_due = true;
	life_tty_push(l);
	return true;
}
