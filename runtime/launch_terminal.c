/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/launch_terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "runtime/console_socket.h"

#define RESIZE_WAIT_MS 5000

int launch_terminal_open(struct launch_terminal *t, const char *console_socket, bool detach,
	struct gproc *p, struct err *err)
{
	int r;

	t->wanted = p->flags & GPROC_TERMINAL;
	r = console_socket_check(console_socket, t->wanted, detach, err);
	if (r < 0 || !t->wanted)
		return r;
	t->size = (struct terminal_size){.rows = p->rows, .cols = p->cols};
	if (console_socket)
		return terminal_open_pty(&t->size, &t->master, &t->slave, err);
	p->flags |= terminal_lines(STDOUT_FILENO);
	if (terminal_size(terminal_of_streams(), &t->size)) {
		p->rows = t->size.rows;
		p->cols = t->size.cols;
	}
	return 0;
}

int launch_terminal_send(
	const struct launch_terminal *t, const char *console_socket, struct err *err)
{
	return t->master < 0 ? 0 : console_socket_send(console_socket, t->master, err);
}

int launch_terminal_attach(struct launch_terminal *t, struct err *err)
{
	return t->wanted ? terminal_raw(&t->raw, STDIN_FILENO, err) : 0;
}

void launch_terminal_resize(struct launch_terminal *t, const struct container *c)
{
	struct err ignored = ERR_INIT; /* the process may be gone already */
	struct terminal_size now;

	if (!t->wanted || !terminal_size(terminal_of_streams(), &now) ||
		(now.rows == t->size.rows && now.cols == t->size.cols))
		return;
	t->size = now;
	container_request(
		c, CTL_RESIZE, (uint32_t)now.rows << 16 | now.cols, RESIZE_WAIT_MS, NULL, &ignored);
}

void launch_terminal_release(struct launch_terminal *t)
{
	close_fd(&t->master);
	close_fd(&t->slave);
	terminal_restore(&t->raw);
}

/* An engine that waits for the end of our output must not wait for the container's. */
int launch_terminal_enter(int slave, struct err *err)
{
	autofd int null = open("/dev/null", O_RDWR | O_CLOEXEC | O_NOCTTY);

	if (null < 0)
		return err_set(err, errno, "cannot open /dev/null");
	if (dup2(slave, STDIN_FILENO) < 0 || dup2(slave, STDOUT_FILENO) < 0 ||
		dup2(null, STDERR_FILENO) < 0)
		return err_set(err, errno, "cannot give the terminal to the VMM");
	return 0;
}
