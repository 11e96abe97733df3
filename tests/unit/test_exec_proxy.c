/* SPDX-License-Identifier: Apache-2.0 */
/* The exec proxy against a VMM that this test plays: a child that serves one connection. */
#include "runtime/exec_proxy.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "runtime/console_socket.h"
#include "runtime/exec_mark.h"
#include "runtime/signals.h"
#include "tests/tap.h"

static char root[] = "/tmp/coracle-proxy-XXXXXX";
static struct container container = CONTAINER_INIT;
static int listen_fd;
static uint8_t arena_mem[1 << 16];

/* The fake VMM's half. Its findings are its exit status: 0, or the line that failed. */
#define WANT(cond)                                                    \
	do {                                                          \
		if (!(cond))                                          \
			_exit(__LINE__ & 0xff ? __LINE__ & 0xff : 1); \
	} while (0)

struct vmm {
	int sock, fd[CTL_FDS_MAX];
	unsigned n;
	uint32_t flags;
	struct gproc proc;
};

static void vmm_accept(struct vmm *v)
{
	struct garena arena = {.mem = arena_mem, .cap = sizeof(arena_mem)};
	struct ctl_request req;
	const char *what;
	struct rbuf b;
	char *buf;
	size_t len;

	v->sock = accept(listen_fd, NULL, NULL);
	WANT(v->sock >= 0);
	WANT(recv_fds(v->sock, &req, sizeof(req), v->fd, CTL_FDS_MAX, &v->n) == sizeof(req));
	WANT(req.version == CTL_VERSION && req.type == CTL_EXEC && v->n >= 1);
	WANT(fcntl(v->fd[0], F_GET_SEALS) ==
		(F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL));
	WANT(read_file(v->fd[0], GSPEC_BYTES_MAX, &buf, &len) == 0);
	b = rbuf_of(buf, len);
	WANT(gproc_decode(&b, &arena, &v->proc, &what) == 0);
	v->flags = req.arg;
}

static void vmm_reply(const struct vmm *v, int errnum, uint32_t status, const char *text)
{
	struct ctl_reply r = {.version = CTL_VERSION, .errnum = errnum, .exit_status = status};

	snprintf(r.text, sizeof(r.text), "%s", text);
	WANT(send(v->sock, &r, sizeof(r), MSG_NOSIGNAL) == sizeof(r));
}

static struct ctl_request vmm_request(const struct vmm *v)
{
	struct ctl_request req;

	WANT(recv(v->sock, &req, sizeof(req), 0) == sizeof(req));
	return req;
}

static pid_t play(void (*vmm)(struct vmm *v))
{
	pid_t pid = fork();

	if (pid == 0) {
		struct vmm v = {0};

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		vmm_accept(&v);
		vmm(&v);
		_exit(0);
	}
	return pid;
}

static void played(pid_t pid)
{
	int status;

	waitpid(pid, &status, 0);
	eq_int(status >> 8, 0, "the VMM saw what it wanted (else: its line, modulo 256)");
}

static struct exec_proxy proxy_for(struct exec_process *p, uint32_t flags)
{
	static const char *args[] = {"prog", NULL};
	struct exec_proxy proxy = EXEC_PROXY_INIT;

	*p = (struct exec_process){.proc = {.args = {1, args}, .cwd = "/", .flags = flags}};
	proxy.c = &container;
	proxy.process = p;
	proxy.signal_fd = signals_open_all();
	return proxy;
}

static void vmm_signals(struct vmm *v)
{
	struct ctl_request req;

	WANT(v->flags == (GPROC_STDIN_NULL | GPROC_STDERR_NULL) && v->n == 2);
	WANT(v->proc.flags == v->flags && !strcmp(v->proc.args.v[0], "prog"));
	WANT(write(v->fd[1], "hello", 5) == 5);
	vmm_reply(v, 0, 0, "");
	req = vmm_request(v);
	WANT(req.type == CTL_SIGNAL && req.arg == SIGUSR1 && !req.flags);
	req = vmm_request(v);
	WANT(req.type == CTL_SIGNAL && req.arg == SIGWINCH);
	vmm_reply(v, 0, 42, "");
}

static void test_foreground(void)
{
	int saved[3], null = open("/dev/null", O_RDWR | O_CLOEXEC), fd[2];
	struct exec_process process;
	struct exec_proxy p = proxy_for(&process, 0);
	pid_t *pids, vmm = play(vmm_signals);
	struct err err = ERR_INIT;
	char buf[8] = "";
	size_t n;
	int r;

	fflush(stdout);
	if (pipe2(fd, O_CLOEXEC) < 0)
		return;
	for (int i = 0; i < 3; i++)
		saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 3);
	dup2(null, 0);
	dup2(fd[1], 1);
	dup2(null, 2);
	r = exec_proxy_start(&p, &err);
	for (int i = 0; i < 3; i++)
		dup2(saved[i], i);
	eq_int(r, 0, "executed");
	eq_int(read(fd[0], buf, sizeof(buf)), 5, "the VMM has the stream itself");
	eq_str(buf, "hello", "and writes to it");
	eq_int(exec_mark_list(&container, &pids, &n, &err), 0, "marks");
	ok(n == 1 && pids[0] == getpid(), "the proxy is found by its mark");
	free(pids);
	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGWINCH);
	eq_int(exec_proxy_wait(&p, &err), 42, "signals go out, the status comes back");
	exec_proxy_release(&p);
	exec_mark_list(&container, &pids, &n, &err);
	eq_int(n, 0, "no mark is left");
	free(pids);
	played(vmm);
	for (int i = 0; i < 3; i++)
		close(saved[i]);
	close(null);
	close(fd[0]);
	close(fd[1]);
	close(p.signal_fd);
}

static void vmm_refuses(struct vmm *v)
{
	vmm_reply(v, ENOENT, 127, "exec: \"prog\": executable file not found in $PATH");
}

static void vmm_dies_at_once(struct vmm *v)
{
	close(v->sock);
}

static void vmm_dies_later(struct vmm *v)
{
	vmm_reply(v, 0, 0, "");
}

static void vmm_waits(struct vmm *v)
{
	struct ctl_request req;

	WANT(recv(v->sock, &req, sizeof(req), 0) == 0); /* the client is gone */
}

static void test_failures(void)
{
	struct exec_process process;
	struct exec_proxy p = proxy_for(&process, 0);
	struct err err = ERR_INIT;
	pid_t vmm = play(vmm_refuses);

	eq_int(exec_proxy_start(&p, &err), -ENOENT, "the VMM's refusal");
	eq_str(err.msg, "exec: \"prog\": executable file not found in $PATH", "in its words");
	exec_proxy_release(&p);
	played(vmm);

	err = (struct err)ERR_INIT;
	vmm = play(vmm_dies_at_once);
	ok(exec_proxy_start(&p, &err) < 0, "a VMM that ends: '%s'", err.msg);
	exec_proxy_release(&p);
	played(vmm);

	err = (struct err)ERR_INIT;
	vmm = play(vmm_dies_later);
	eq_int(exec_proxy_start(&p, &err), 0, "executed");
	eq_int(exec_proxy_wait(&p, &err), 137, "a VMM that ends kills the process");
	exec_proxy_release(&p);
	played(vmm);

	err = (struct err)ERR_INIT;
	vmm = play(vmm_waits);
	kill(getpid(), SIGTERM);
	eq_int(exec_proxy_start(&p, &err), -EINTR, "SIGTERM before it is executed");
	eq_int(err.exit_status, 143, "its status");
	exec_proxy_release(&p);
	played(vmm);
	close(p.signal_fd);
}

/* The engine's half of a console socket. */
static int recv_master(int sock, char *name, size_t cap)
{
	autofd int conn = accept(sock, NULL, NULL);
	unsigned n = 0;
	int fd = -1;
	ssize_t len = recv_fds(conn, name, cap - 1, &fd, 1, &n);

	name[len > 0 ? len : 0] = '\0';
	return n == 1 ? fd : -1;
}

static int listen_at(const char *path, int type)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

	snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&sa, sizeof(sa)) < 0 || listen(fd, 8) < 0)
		return -1;
	return fd;
}

static void vmm_terminal(struct vmm *v)
{
	struct ctl_request req;
	struct termios t;
	char c;

	WANT(v->flags == GPROC_TERMINAL && v->n == 3);
	WANT(v->proc.rows == 10 && v->proc.cols == 110);
	WANT(tcgetattr(v->fd[1], &t) == 0 && !(t.c_lflag & (ICANON | ECHO | ISIG)) &&
		!(t.c_oflag & OPOST));
	vmm_reply(v, 0, 0, "");
	req = vmm_request(v);
	WANT(req.type == CTL_RESIZE && req.arg == (33u << 16 | 99));
	WANT(read(v->fd[1], &c, 1) == 1 && c == 3); /* Ctrl-C is a byte here */
	WANT(write(v->fd[2], "x", 1) == 1);
	req = vmm_request(v);
	WANT(req.type == CTL_SIGNAL && req.arg == SIGTERM);
	close(v->fd[1]);
	close(v->fd[2]);
	vmm_reply(v, 0, 7, "");
}

static void test_detached_terminal(void)
{
	const struct winsize ws = {.ws_row = 33, .ws_col = 99};
	struct exec_process process;
	struct exec_proxy p = proxy_for(&process, GPROC_TERMINAL);
	char path[PATH_MAX], name[64], comm[32] = "", c = 3;
	int leaked[2], sock, master, status;
	struct err err = ERR_INIT;
	FILE *f;
	pid_t pid, vmm;

	snprintf(path, sizeof(path), "%s/console", root);
	sock = listen_at(path, SOCK_STREAM);
	process.proc.rows = 10;
	process.proc.cols = 110;
	p.console_socket = path;
	vmm = play(vmm_terminal);
	if (pipe(leaked) < 0) /* not close-on-exec, as engines' are */
		return;
	pid = exec_proxy_detach(&p, NULL, &err);
	ok(pid > 0, "detached");
	master = recv_master(sock, name, sizeof(name));
	ok(master >= 0 && !strncmp(name, "/dev/pts/", 9), "the engine has the master of %s", name);
	snprintf(path, sizeof(path), "/proc/%d/comm", pid);
	f = fopen(path, "re");
	ok(f && fgets(comm, sizeof(comm), f), "comm");
	if (f)
		fclose(f);
	eq_str(comm, "coracle-exec\n", "the proxy's name");
	ok(getpgid(pid) == pid && getsid(pid) == pid, "a session of its own");
	close(leaked[1]);
	eq_int(read(leaked[0], path, 1), 0, "and none of our descriptors");
	ioctl(master, TIOCSWINSZ, &ws);
	eq_int(write(master, &c, 1), 1, "typed");
	eq_int(read(master, &c, 1), 1, "shown");
	kill(pid, SIGTERM);
	waitpid(pid, &status, 0);
	eq_int(WIFEXITED(status) ? WEXITSTATUS(status) : -1, 7,
		"the process's status is the proxy's");
	played(vmm);
	ok(read(master, &c, 1) < 0 && errno == EIO, "nobody has the slave any more");
	close(master);
	close(sock);
	close(leaked[0]);
	close(p.signal_fd);
}

static void test_detached_failure(void)
{
	struct exec_process process;
	struct exec_proxy p = proxy_for(&process, 0);
	struct err err = ERR_INIT;
	pid_t vmm = play(vmm_refuses);

	eq_int(exec_proxy_detach(&p, NULL, &err), -ENOENT, "the refusal comes through the parent");
	has_str(err.msg, "executable file not found");
	played(vmm);
	ok(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "no child is left");

	err = (struct err)ERR_INIT;
	process.proc.flags = GPROC_TERMINAL;
	p.console_socket = "/nonexistent/socket";
	ok(exec_proxy_detach(&p, NULL, &err) < 0, "no console socket");
	has_str(err.msg, "console socket '/nonexistent/socket'");
	close(p.signal_fd);
}

static void vmm_starts(struct vmm *v)
{
	vmm_reply(v, 0, 0, "");
	vmm_waits(v);
}

static void test_pid_file(void)
{
	struct exec_process process;
	struct exec_proxy p = proxy_for(&process, 0);
	struct err err = ERR_INIT;
	pid_t vmm = play(vmm_starts), pid;
	char path[PATH_MAX], want[16], got[16] = "";
	int fd;

	eq_int(exec_proxy_detach(&p, "/nonexistent/pid", &err), -ENOENT, "no place for its pid");
	played(vmm);
	ok(waitpid(-1, NULL, WNOHANG) < 0 && errno == ECHILD, "no child is left");

	err = (struct err)ERR_INIT;
	snprintf(path, sizeof(path), "%s/pid", root);
	vmm = play(vmm_starts);
	pid = exec_proxy_detach(&p, path, &err);
	snprintf(want, sizeof(want), "%d", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ok(read(fd, got, sizeof(got) - 1) > 0, "the pid file");
	eq_str(got, want, "holds the proxy's pid");
	close(fd);
	unlink(path);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	played(vmm);
	close(p.signal_fd);
}

static pid_t command;

/* The process is executed once the command that asked for it is dead. */
static void vmm_kills_command(struct vmm *v)
{
	struct ctl_reply r = {.version = CTL_VERSION};
	struct pollfd pfd = {.fd = v->sock, .events = POLLIN};

	kill(command, SIGKILL);
	(void)send(v->sock, &r, sizeof(r), MSG_NOSIGNAL); /* the proxy may be gone, too */
	WANT(poll(&pfd, 1, 60000) == 1);
	WANT(pfd.revents & POLLHUP);
}

static void test_command_dies(void)
{
	struct exec_process process;
	struct exec_proxy p = proxy_for(&process, 0);
	struct err err = ERR_INIT;
	int go[2], status;
	pid_t vmm;
	char c;

	if (pipe2(go, O_CLOEXEC) < 0)
		return;
	prctl(PR_SET_CHILD_SUBREAPER, 1); /* the proxy will be ours to wait for */
	command = fork();
	if (command == 0) {
		if (read(go[0], &c, 1) == 1)
			exec_proxy_detach(&p, NULL, &err);
		_exit(0);
	}
	vmm = play(vmm_kills_command);
	eq_int(write(go[1], "", 1), 1, "a command that is killed once it has asked");
	played(vmm);
	waitpid(command, &status, 0);
	ok(WIFSIGNALED(status), "takes the proxy along, and so the process");
	while (waitpid(-1, &status, 0) > 0)
		;
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	close(go[0]);
	close(go[1]);
	close(p.signal_fd);
}

static void test_console_options(void)
{
	struct err err = ERR_INIT;

	eq_int(console_socket_check(NULL, true, true, &err), -EINVAL,
		"detached terminal, no socket");
	has_str(err.msg,
		"cannot allocate tty if coracle will detach without setting console socket");
	eq_int(console_socket_check("s", false, true, &err), -EINVAL, "socket without terminal");
	has_str(err.msg, "cannot use console socket if coracle will not detach or allocate tty");
	eq_int(console_socket_check("s", true, false, &err), -EINVAL, "socket in the foreground");
	eq_int(console_socket_check("s", true, true, &err), 0, "socket and terminal");
	eq_int(console_socket_check(NULL, true, false, &err), 0, "foreground terminal");
	eq_int(console_socket_check(NULL, false, true, &err), 0, "detached without");
}

static void test_stale_mark(void)
{
	struct err err = ERR_INIT;
	char name[32], ticks[32];
	siginfo_t info;
	uint64_t start;
	pid_t *pids, zombie = fork();
	size_t n;

	if (zombie == 0)
		_exit(0);
	waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT);
	snprintf(name, sizeof(name), "exec.%d", zombie);
	ok(cstate_pid_start(zombie, &start) == 0, "a proxy that has ended, and nobody waited for");
	snprintf(ticks, sizeof(ticks), "%llu", (unsigned long long)start);
	ok(symlinkat(ticks, container.dir_fd, name) == 0, "its mark");
	snprintf(name, sizeof(name), "exec.%d", getpid());
	ok(symlinkat("1", container.dir_fd, name) == 0 &&
			symlinkat("1", container.dir_fd, "exec.x") == 0,
		"marks that are nobody's");
	eq_int(exec_mark_list(&container, &pids, &n, &err), 0, "listed");
	eq_int(n, 0, "not taken for a proxy of the same pid");
	ok(faccessat(container.dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0, "and removed");
	free(pids);
	waitpid(zombie, NULL, 0);
	unlinkat(container.dir_fd, "exec.x", 0);
}

int main(void)
{
	char path[PATH_MAX];
	struct err err = ERR_INIT;

	if (!mkdtemp(root) || container_new(&container, root, "c", &err) < 0)
		return 1;
	snprintf(path, sizeof(path), "%s/c/" CONTAINER_SOCKET, root);
	listen_fd = listen_at(path, SOCK_SEQPACKET);
	test_console_options();
	test_foreground();
	test_failures();
	test_detached_failure();
	test_pid_file();
	test_command_dies();
	test_detached_terminal();
	test_stale_mark();
	snprintf(path, sizeof(path), "%s/console", root);
	unlink(path);
	ok(container_remove(&container, &err) == 0 && rmdir(root) == 0, "nothing is left");
	container_release(&container);
	close(listen_fd);
	return tap_done();
}
