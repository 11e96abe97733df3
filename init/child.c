/* SPDX-License-Identifier: Apache-2.0 */
#include "init/child.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "init/fail.h"
#include "init/log.h"
#include "init/sys.h"
#include "init/tty.h"
#include "init/userns.h"
#include "lib/fd.h"
#include "lib/path.h"

const uint32_t child_null_flags[3] = {GPROC_STDIN_NULL, GPROC_STDOUT_NULL, GPROC_STDERR_NULL};

bool child_has_stream(uint32_t flags, int stream)
{
	return !(flags & child_null_flags[stream]) && !((flags & GPROC_TERMINAL) && stream == 2);
}

static int make_pipe(int i, int *ret_ours, int *ret_theirs)
{
	int p[2];

	if (pipe2(p, O_CLOEXEC) < 0)
		return -errno;
	*ret_ours = p[i == 0];
	*ret_theirs = p[i != 0];
	/* Of this description only: the process's end stays blocking. */
	return fcntl(*ret_ours, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
}

int child_pipes(uint32_t flags, int ours[3], int theirs[3])
{
	for (int i = 0; i < 3 && !(flags & GPROC_TERMINAL); i++) {
		int r = child_has_stream(flags, i) ? make_pipe(i, &ours[i], &theirs[i]) : 0;

		if (r < 0)
			return r;
	}
	return 0;
}

/* The container's own /dev/null, so that the stream has a name inside; only if it really is that.
 */
static int open_null(int root, int null)
{
	struct stat st;
	int fd = path_open(root, "/dev/null", O_RDWR | O_NOCTTY | O_NONBLOCK);

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(1, 3)) {
		fcntl(fd, F_SETFL, 0);
		return fd;
	}
	if (fd >= 0)
		close(fd);
	return null;
}

static int make_terminal(int root, const struct gproc *p, bool console, int stdio[3],
	int *ret_master, struct err *err)
{
	int slave;
	int r = tty_open(root, p, console, ret_master, &slave, err);

	if (r == 0)
		r = tty_control(slave, err);
	if (r < 0)
		return err_wrap(err, "cannot make a terminal");
	for (int i = 0; i < 3; i++)
		stdio[i] = slave;
	return 0;
}

int child_own_stdio(
	const int stdio[3], const struct gspec *spec, const struct gproc *p, struct err *err)
{
	uint32_t uid;

	/* Unmapped: userns_check() has the words. */
	if (!userns_uid(spec, p->uid, &uid) || !uid)
		return 0;
	for (int i = 0; i < 3; i++)
		if (stdio[i] >= 0 && fchown(stdio[i], uid, (gid_t)-1) < 0)
			return fail(err, errno, "cannot give stream %d to user %u", i, p->uid);
	return 0;
}

int child_stdio(int root, int null, const struct gproc *p, bool console, int stdio[3],
	int *ret_master, struct err *err)
{
	int fd = -1;

	*ret_master = -1;
	if (p->flags & GPROC_TERMINAL)
		return make_terminal(root, p, console, stdio, ret_master, err);
	for (int i = 0; i < 3; i++) {
		if (stdio[i] < 0 && fd < 0)
			fd = open_null(root, null);
		if (stdio[i] < 0)
			stdio[i] = fd;
	}
	return 0;
}

int child_keep_only(const int *keep, size_t n)
{
	int from = 0;

	log_to(-1, false);
	for (;;) {
		int next = -1;

		for (size_t i = 0; i < n; i++)
			if (keep[i] >= from && (next < 0 || keep[i] < next))
				next = keep[i];
		if (next < 0)
			return sys_close_range((unsigned)from, ~0u, 0);
		if (next > from && sys_close_range((unsigned)from, (unsigned)next - 1, 0) < 0)
			return -1;
		from = next + 1;
	}
}

int child_report(int sock, enum child_kind kind, uint64_t rootfs_ns, const struct err *e)
{
	struct child_msg m = {.kind = kind, .rootfs_ns = rootfs_ns};

	if (e) {
		m.errnum = e->errnum;
		m.exit_status = e->exit_status > 0 ? (uint32_t)e->exit_status : 1;
		text_copy(m.text, e->msg);
	}
	return send_fds(sock, &m, sizeof(m), NULL, 0);
}

int child_hand_over(int sock, int master, struct err *err)
{
	struct child_msg m = {.kind = CHILD_TERMINAL};
	int r = master >= 0 ? send_fds(sock, &m, sizeof(m), &master, 1) : 0;

	return r < 0 ? fail(err, -r, "cannot hand over the terminal") : 0;
}

void text_copy(char out[PROTO_TEXT_MAX], const char *text)
{
	size_t n = strnlen(text, PROTO_TEXT_MAX - 1);

	memset(out, 0, PROTO_TEXT_MAX);
	for (size_t i = 0; i < n; i++)
		out[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i];
}
