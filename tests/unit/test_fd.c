/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tests/tap.h"

static unsigned count_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static void test_full(void)
{
	char buf[8] = "";
	int p[2];

	if (!ok(pipe2(p, O_CLOEXEC) == 0, "pipe"))
		return;
	eq_int(write_full(p[1], "abcdef", 6), 0, "write_full");
	eq_int(read_full(p[0], buf, 4), 0, "read_full takes what was asked");
	ok(!memcmp(buf, "abcd", 4), "the bytes");
	close(p[1]);
	eq_int(read_full(p[0], buf, 4), -EPIPE, "early end of file");
	eq_int(read_full(p[0], buf, 0), 0, "nothing is always there");
	close(p[0]);
	eq_int(read_full(p[0], buf, 1), -EBADF, "an error");
	eq_int(write_full(p[0], buf, 1), -EBADF, "an error");
}

static void test_read_file(void)
{
	static char big[10000];
	autofd int fd = -1;
	char *buf;
	size_t len;

	memset(big, 'x', sizeof(big));
	fd = memfd_with("test", big, sizeof(big), 0);
	eq_int(read_file(fd, sizeof(big), &buf, &len), 0, "a file of just the greatest size");
	ok(len == sizeof(big) && !memcmp(buf, big, len) && !buf[len], "content and its NUL");
	free(buf);
	lseek(fd, 0, SEEK_SET);
	eq_int(read_file(fd, sizeof(big) - 1, &buf, &len), -EFBIG, "one byte more");
	eq_int(read_file(-1, 10, &buf, &len), -EBADF, "an error");
}

static void test_seal(void)
{
	autofd int sealed = memfd_with("sealed", "abc", 3, 1);
	autofd int open_one = memfd_with("open", "abc", 3, 0);

	ok(sealed >= 0 && open_one >= 0, "memfd_with");
	ok(fcntl(sealed, F_GETFD) & FD_CLOEXEC, "CLOEXEC");
	ok(write(sealed, "x", 1) < 0 && errno == EPERM, "sealed: no writing");
	ok(ftruncate(sealed, 0) < 0 && errno == EPERM, "sealed: no shrinking");
	ok(write(open_one, "x", 1) == 1, "not sealed: writing");
}

static void test_pass(void)
{
	int s[2], in[2] = {-1, -1}, out[FD_PASS_MAX];
	struct rlimit rl, none;
	unsigned n = 99, before;
	char buf[16];

	if (!ok(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, s) == 0, "socketpair"))
		return;
	in[0] = memfd_with("a", "A", 1, 0);
	in[1] = memfd_with("b", "B", 1, 0);
	eq_int(send_fds(s[0], "hi", 2, in, 2), 0, "send two descriptors");
	eq_int(recv_fds(s[1], buf, sizeof(buf), out, FD_PASS_MAX, &n), 2, "receive the message");
	eq_int(n, 2, "two descriptors");
	ok(read(out[1], buf, 1) == 1 && buf[0] == 'B', "in order");
	ok((fcntl(out[0], F_GETFD) & FD_CLOEXEC) && (fcntl(out[1], F_GETFD) & FD_CLOEXEC),
		"CLOEXEC");
	close(out[0]);
	close(out[1]);

	eq_int(send_fds(s[0], "plain", 5, NULL, 0), 0, "a message without any");
	eq_int(recv_fds(s[1], buf, sizeof(buf), out, FD_PASS_MAX, &n), 5, "comes");
	eq_int(n, 0, "none");

	before = count_fds();
	send_fds(s[0], "hi", 2, in, 2);
	eq_int(recv_fds(s[1], buf, sizeof(buf), out, 1, &n), 2, "room for one of two");
	eq_int(n, 1, "one is kept");
	close(out[0]);
	eq_int(count_fds(), before, "the other is closed");
	send_fds(s[0], "too long", 8, in, 2);
	eq_int(recv_fds(s[1], buf, 4, out, FD_PASS_MAX, &n), -EMSGSIZE, "a message cut short");
	eq_int(count_fds(), before, "keeps nothing open");
	send_fds(s[0], "hi", 2, in, 2);
	BUG_ON(getrlimit(RLIMIT_NOFILE, &rl) < 0);
	none = rl;
	none.rlim_cur = 0;
	setrlimit(RLIMIT_NOFILE, &none);
	eq_int(recv_fds(s[1], buf, sizeof(buf), out, FD_PASS_MAX, &n), -EMFILE,
		"a receiver that has no descriptor left");
	setrlimit(RLIMIT_NOFILE, &rl);
	ok(!memcmp(buf, "hi", 2), "has the message");
	eq_int(count_fds(), before, "and nothing open");
	send_fds(s[0], "hi", 2, in, 2);
	eq_int(recv_fds(s[1], buf, sizeof(buf), out, FD_PASS_MAX, NULL), 2,
		"a receiver that wants none");
	close(s[0]);
	eq_int(recv_fds(s[1], buf, sizeof(buf), out, 1, &n), 0, "peer closed");
	eq_int(send_fds(s[1], "x", 1, NULL, 0), -EPIPE, "sending then fails without a signal");
	close(s[1]);
	close(in[0]);
	close(in[1]);
}

static void test_take(void)
{
	int fd = memfd_with("t", "", 0, 0), taken = take_fd(&fd);

	ok(fd == -1 && taken >= 0, "take_fd");
	close_fd(&taken);
	eq_int(taken, -1, "close_fd marks it closed");
	errno = EXDEV;
	close_fd(&taken);
	eq_int(errno, EXDEV, "and keeps errno");
}

int main(void)
{
	test_full();
	test_read_file();
	test_seal();
	test_pass();
	test_take();
	return tap_done();
}
