/* SPDX-License-Identifier: Apache-2.0 */
/* Giving a terminal's master to an engine, and to peers that are none. */
#include "runtime/console_socket.h"

#include <errno.h>
#include <fcntl.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tests/tap.h"
#include "tests/unit/runtime_dir.h"

static struct err err;

static int bind_stream(const char *path, int backlog)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct sockaddr_un sa = {.sun_family = AF_UNIX};

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	BUG_ON(fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0);
	BUG_ON(backlog >= 0 && listen(fd, backlog) < 0);
	return fd;
}

static int sends(const char *name, int master)
{
	err = (struct err)ERR_INIT;
	return console_socket_send(in_dir(name), master, &err);
}

static void test_send(int master)
{
	autofd int sock = bind_stream(in_dir("good"), 1), conn = -1;
	char want[64], got[128] = "";
	unsigned n = 0;
	int fd = -1;

	eq_int(sends("good", master), 0, "sent to somebody who has not yet taken the connection");
	conn = accept4(sock, NULL, NULL, SOCK_CLOEXEC);
	BUG_ON(ptsname_r(master, want, sizeof(want)));
	eq_int(recv_fds(conn, got, sizeof(got) - 1, &fd, 1, &n), strlen(want), "one message");
	eq_str(got, want, "the slave's name");
	ok(n == 1 && isatty(fd), "with a terminal");
	close(fd);
}

static void test_nobody(int master)
{
	autofd int deaf = bind_stream(in_dir("deaf"), -1);

	ok(deaf >= 0, "a socket that is bound and no more");
	eq_int(sends("nowhere", master), -ENOENT, "no socket");
	eq_int(sends("deaf", master), -ECONNREFUSED, "nobody listens");
	close(open(in_dir("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	eq_int(sends("file", master), -ECONNREFUSED, "a file");
	BUG_ON(mkfifo(in_dir("fifo"), 0600));
	eq_int(sends("fifo", master), -ECONNREFUSED, "a fifo, which does not hang us");
}

/* One who listens and takes nothing. */
static void test_full_backlog(int master)
{
	autofd int sock = bind_stream(in_dir("full"), 0);
	int conn[8], n = 0;

	for (; n < 8; n++) {
		struct sockaddr_un sa = {.sun_family = AF_UNIX};

		conn[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", in_dir("full"));
		if (connect(conn[n], (struct sockaddr *)&sa, sizeof(sa)) < 0)
			break;
	}
	ok(sock >= 0 && n < 8 && errno == EAGAIN, "its backlog is full");
	eq_int(sends("full", master), -ETIMEDOUT, "is waited for, but not for ever");
	has_str(err.msg, "has taken no connection for 5 s");
	for (int i = 0; i <= n && i < 8; i++)
		close(conn[i]);
}

int main(void)
{
	autofd int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	test_dir_make();
	BUG_ON(master < 0 || unlockpt(master));
	test_send(master);
	test_nobody(master);
	test_full_backlog(master);
	return tap_done();
}
