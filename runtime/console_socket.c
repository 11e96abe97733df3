/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/console_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include "lib/cleanup.h"
#include "lib/fd.h"

#define WAIT_S 5

int console_socket_check(const char *path, bool terminal, bool detach, struct err *err)
{
	if (detach && terminal && !path)
		return err_plain(err, EINVAL,
			"cannot allocate tty if coracle will detach without setting console "
			"socket");
	if ((!detach || !terminal) && path)
		return err_plain(err, EINVAL,
			"cannot use console socket if coracle will not detach or allocate tty");
	return 0;
}

static int connect_to(const char *path, struct err *err)
{
	autofd int node = open(path, O_PATH | O_CLOEXEC);
	autofd int sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	const struct timeval wait = {.tv_sec = WAIT_S};

	if (node < 0)
		return err_set(err, errno, "cannot open the console socket '%s'", path);
	if (sock < 0)
		return err_set(err, errno, "cannot make a socket");
	/* Who listens may take no connection: our signals are blocked, we could not be interrupted. */
	(void)setsockopt(sock, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait));
	/* By descriptor: engines' paths may be longer than sun_path. */
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d", node);
	if (connect(sock, (struct sockaddr *)&sa, sizeof(sa)) < 0)
		return errno == EAGAIN
			       ? err_plain(err, ETIMEDOUT,
					 "the console socket '%s' has taken no connection for %d s",
					 path, WAIT_S)
			       : err_set(err, errno, "cannot connect to the console socket '%s'",
					 path);
	return take_fd(&sock);
}

int console_socket_send(const char *path, int master, struct err *err)
{
	autofd int sock = connect_to(path, err);
	char name[64];
	int r;

	if (sock < 0)
		return sock;
	if (ptsname_r(master, name, sizeof(name)))
		return err_set(err, errno, "cannot name the terminal");
	r = send_fds(sock, name, strlen(name), &master, 1);
	return r < 0 ? err_set(err, -r, "cannot send the terminal to '%s'", path) : 0;
}
