/* SPDX-License-Identifier: Apache-2.0 */
#include "init/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "init/fail.h"
#include "init/sys.h"
#include "lib/cleanup.h"
#include "lib/path.h"

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO('T', 0x41) /* asm-generic/ioctls.h; not in musl's headers */
#endif

static int show_console(int root, int master, struct err *err)
{
	autofd int target = -1, mnt = -1;
	char name[32];
	unsigned n;

	if (ioctl(master, TIOCGPTN, &n) < 0)
		return fail(err, errno, "TIOCGPTN");
	snprintf(name, sizeof(name), "dev/pts/%u", n);
	target = path_make(root, "/dev/console", false, NULL);
	if (target < 0)
		return fail(err, -target, "/dev/console");
	mnt = sys_open_tree(root, name, OPEN_TREE_CLONE | AT_SYMLINK_NOFOLLOW);
	if (mnt < 0 || sys_attach(mnt, target) < 0)
		return fail(err, errno, "cannot bind /%s to /dev/console", name);
	return 0;
}

static int leave_lines(int slave, struct err *err)
{
	struct termios t;

	if (tcgetattr(slave, &t) < 0)
		return fail(err, errno, "cannot read the terminal's mode");
	t.c_oflag &= ~(tcflag_t)ONLCR;
	if (tcsetattr(slave, TCSANOW, &t) < 0)
		return fail(err, errno, "cannot set the terminal's mode");
	return 0;
}

int tty_open(int root, const struct gproc *p, bool console, int *ret_master, int *ret_slave,
	struct err *err)
{
	autofd int master = path_open(root, "/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK);
	struct winsize size = {.ws_row = p->rows, .ws_col = p->cols};
	autofd int slave = -1;
	int unlocked = 0, r;

	if (master < 0)
		return fail(err, -master, "/dev/ptmx");
	if (ioctl(master, TIOCSPTLCK, &unlocked) < 0)
		return fail(err, errno, "cannot unlock the terminal");
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return fail(err, errno, "cannot open the terminal");
	if (p->rows && p->cols && ioctl(master, TIOCSWINSZ, &size) < 0)
		return fail(err, errno, "cannot set the terminal's size");
	if (p->flags & GPROC_PLAIN_LINES) {
		r = leave_lines(slave, err);
		if (r < 0)
			return r;
	}
	if (fchown(slave, p->uid, (gid_t)-1) < 0)
		return fail(err, errno, "cannot give the terminal to user %u", p->uid);
	r = console ? show_console(root, master, err) : 0;
	if (r < 0)
		return r;
	*ret_master = take_fd(&master);
	*ret_slave = take_fd(&slave);
	return 0;
}

int tty_control(int slave, struct err *err)
{
	if (ioctl(slave, TIOCSCTTY, 0) < 0)
		return fail(err, errno, "cannot make the terminal the controlling one");
	return 0;
}
