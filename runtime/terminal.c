/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/gspec.h"

static struct termios raw_mode(const struct termios *was, int fd)
{
	struct termios raw = *was;

	cfmakeraw(&raw);
	if (fd == STDIN_FILENO && !isatty(STDOUT_FILENO))
		raw.c_oflag = was->c_oflag;
	return raw;
}

/* TCSANOW, here and below: waiting for output to drain would wait for whoever reads it. */
int terminal_raw(struct terminal *t, int fd, struct err *err)
{
	struct termios raw;

	if (tcgetattr(fd, &t->saved) < 0)
		return 0;
	raw = raw_mode(&t->saved, fd);
	if (tcsetattr(fd, TCSANOW, &raw) < 0)
		return err_set(err, errno, "cannot put the terminal in raw mode");
	t->fd = fd;
	return 0;
}

void terminal_raw_again(const struct terminal *t)
{
	struct termios raw;

	if (t->fd < 0)
		return;
	raw = raw_mode(&t->saved, t->fd);
	(void)tcsetattr(t->fd, TCSANOW, &raw); /* a terminal that is gone needs no mode */
}

void terminal_restore(struct terminal *t)
{
	if (t->fd < 0)
		return;
	(void)tcsetattr(t->fd, TCSANOW, &t->saved);
	t->fd = -1;
}

bool terminal_size(int fd, struct terminal_size *ret)
{
	struct winsize ws;

	if (fd < 0 || ioctl(fd, TIOCGWINSZ, &ws) < 0 || (!ws.ws_row && !ws.ws_col))
		return false;
	*ret = (struct terminal_size){.rows = ws.ws_row, .cols = ws.ws_col};
	return true;
}

uint32_t terminal_lines(int fd)
{
	return isatty(fd) ? 0 : GPROC_PLAIN_LINES;
}

int terminal_of_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (isatty(fd))
			return fd;
	return -1;
}

static int open_slave(int master)
{
	if (unlockpt(master) < 0)
		return -1;
	/* By descriptor: the name of the slave is right only where /dev/pts is the master's. */
	return ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
}

int terminal_open_pty(
	const struct terminal_size *size, int *ret_master, int *ret_slave, struct err *err)
{
	autofd int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
	const struct winsize ws = {.ws_row = size->rows, .ws_col = size->cols};
	struct terminal ignored = TERMINAL_INIT;
	autofd int slave = -1;
	int r;

	if (master < 0)
		return err_set(err, errno, "cannot open a terminal");
	slave = open_slave(master);
	if (slave < 0)
		return err_set(err, errno, "cannot open a terminal's slave");
	if ((ws.ws_row || ws.ws_col) && ioctl(slave, TIOCSWINSZ, &ws) < 0)
		return err_set(err, errno, "cannot set a terminal's size");
	r = terminal_raw(&ignored, slave, err);
	if (r < 0)
		return r;
	*ret_master = take_fd(&master);
	*ret_slave = take_fd(&slave);
	return 0;
}
