/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outside of the lab: starts virtiofsd and QEMU, carries the command's streams, and ends with
 * its status. tools/lab builds the QEMU command line and executes this program.
 *
 *   lab-host [--timeout S] [--share DIR] [--modules DIR] [--keep DIR]... [--kernel-log FILE]
 *            [--env NAME=VALUE]... --qemu N QEMU-WORD... -- CMD...
 *
 * QEMU finds at these numbers: 10 the control port's socket, 11 the kernel log's, 12 and 13 the
 * virtiofsd connections of the root and of the share.
 *
 * Nothing is left behind because there is nothing to leave: no temporary files, sockets are passed
 * by number, and every child dies with us (PR_SET_PDEATHSIG), however we end.
 */
#define _GNU_SOURCE
#include "lab-proto.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#define VIRTIOFSD     "/usr/lib/qemu/virtiofsd"
#define VIEW          "/mnt"
#define EXIT_TIMEOUT  124
#define EXIT_TROUBLE  125
#define BOOT_LIMIT_MS (180 * 1000) /* about 40 times what a boot takes on an idle machine */
#define LOG_KEPT      (64u * 1024)
#define LOG_SHOWN     30 /* lines */

enum { FD_CTL = 10, FD_KLOG, FD_ROOT, FD_SHARE, FD_FIRST_FREE };

struct log {
	int fd;
	int file; /* copy to here, or -1 */
	struct lab_queue text;
};

static char **qemu_args, **cmd_args, **envs, **keeps;
static int n_qemu, n_envs, n_keeps;
static const char *share, *modules, *kernel_log;
static long timeout_s = 600;

static pid_t children[3];
static int n_children;
static int ctl = -1;
static struct lab_queue in, out, output[3];
static uint32_t input_credit = LAB_WINDOW;
static struct log klog = {.fd = -1, .file = -1}, chatter = {.fd = -1, .file = -1};

static void end_children(void)
{
	for (int i = 0; i < n_children; i++)
		kill(children[i], SIGKILL);
	for (int i = 0; i < n_children; i++)
		waitpid(children[i], NULL, 0);
	n_children = 0;
}

static void show_log(const struct log *log, const char *title)
{
	const char *text = (const char *)log->text.buf + log->text.head;
	const char *end = text + log->text.len, *p = end;
	int lines = 0;

	if (!log->text.len)
		return;
	while (p > text && (lines < LOG_SHOWN || p[-1] != '\n'))
		if (*--p == '\n')
			lines++;
	if (p < end && *p == '\n')
		p++;
	fprintf(stderr, "lab: %s\n%.*s%s", title, (int)(end - p), p, end[-1] == '\n' ? "" : "\n");
}

static void log_read(struct log *log)
{
	char buf[4096];
	ssize_t n;

	while (log->fd >= 0 && (n = read(log->fd, buf, sizeof(buf))) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return;
		if (log->file >= 0 && write(log->file, buf, n) != n)
			log->file = -1;
		lab_queue_put(&log->text, buf, n);
		if (log->text.len > LOG_KEPT)
			lab_queue_drop(&log->text, log->text.len - LOG_KEPT);
	}
	if (log->fd >= 0)
		close(log->fd);
	log->fd = -1;
}

static void __attribute__((noreturn, format(printf, 2, 3))) quit(int status, const char *fmt, ...)
{
	va_list ap;

	end_children();
	log_read(&klog);
	log_read(&chatter);
	show_log(&chatter, "QEMU and virtiofsd said:");
	show_log(&klog, "the last lines of the lab's kernel:");
	fputs("lab: ", stderr);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fputc('\n', stderr);
	exit(status);
}

/* Ended by a signal: take the children along, then die of that signal as the caller expects. */
static void on_signal(int sig)
{
	end_children();
	signal(sig, SIG_DFL);
	raise(sig);
}

static void make_pair(int pair[2])
{
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		quit(EXIT_TROUBLE, "cannot make a socket pair: %m");
	fcntl(pair[0], F_SETFL, O_NONBLOCK);
}

/* A process that dies with us. In the child: standard input from nowhere, output into our log. */
static pid_t spawn(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		quit(EXIT_TROUBLE, "cannot fork: %m");
	if (pid > 0) {
		children[n_children++] = pid;
		return pid;
	}
	for (int sig = 1; sig < 32; sig++)
		signal(sig, SIG_DFL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_TROUBLE);
	setpgid(0, 0);
	return 0;
}

static void __attribute__((noreturn)) become(int log_fd, char **argv)
{
	dup2(open("/dev/null", O_RDONLY), 0);
	dup2(log_fd, 1);
	dup2(log_fd, 2);
	close_range(3, FD_CTL - 1, 0);
	close_range(FD_FIRST_FREE, ~0u, 0);
	execvp(argv[0], argv);
	dprintf(2, "cannot run '%s': %m\n", argv[0]);
	_exit(127);
}

/*
 * Shows dir, with what is mounted below it, at /mnt in a mount namespace of virtiofsd's own; the
 * root of the file system read-only. Also spares us virtiofsd's idea of how to write a comma in a
 * path.
 */
static void make_view(const char *dir, int read_only)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
	int tree;

	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		goto fail;
	tree = open_tree(AT_FDCWD, dir, OPEN_TREE_CLONE | AT_RECURSIVE | OPEN_TREE_CLOEXEC);
	if (tree < 0)
		goto fail;
	if (read_only &&
		mount_setattr(tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr, sizeof(attr)) < 0)
		goto fail;
	if (move_mount(tree, "", AT_FDCWD, VIEW, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		goto fail;
	return;
fail:
	dprintf(2, "cannot show '%s' to virtiofsd at " VIEW ": %m\n", dir);
	_exit(EXIT_TROUBLE);
}

/* Returns a connection to a new virtiofsd that serves dir, or the read-only root when dir is NULL.
 */
static int start_virtiofsd(const char *dir, int log_fd)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	socklen_t len = sizeof(addr);
	int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int conn = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	/* An abstract name of the kernel's choice: no file to remove. */
	if (listener < 0 || conn < 0 || bind(listener, (void *)&addr, sizeof(sa_family_t)) < 0 ||
		listen(listener, 1) < 0 || getsockname(listener, (void *)&addr, &len) < 0 ||
		connect(conn, (void *)&addr, len) < 0)
		quit(EXIT_TROUBLE, "cannot make a socket for virtiofsd: %m");
	if (spawn() == 0) {
		/* The root does not change while the lab looks at it: cache all of it. No extended
		 * attributes of it: asking for them makes listing a tree three times slower.
		 */
		char *options = dir ? "source=" VIEW
				      ",sandbox=chroot,log_level=warn,cache=auto,xattr,flock"
				    : "source=" VIEW ",sandbox=chroot,log_level=warn,cache=always";
		char *argv[] = {VIRTIOFSD, "-f", "--fd=10", "-o", options, NULL};

		dup2(listener, FD_CTL);
		dup2(log_fd, 2);
		make_view(dir ? dir : "/", !dir);
		become(log_fd, argv);
	}
	close(listener);
	return conn;
}

static void start_machine(void)
{
	int ctl_pair[2], klog_pair[2], log_pair[2], fds[4] = {-1, -1, -1, -1};

	make_pair(ctl_pair);
	make_pair(klog_pair);
	make_pair(log_pair);
	ctl = ctl_pair[0];
	klog.fd = klog_pair[0];
	chatter.fd = log_pair[0];
	fds[0] = ctl_pair[1];
	fds[1] = klog_pair[1];
	fds[2] = start_virtiofsd(NULL, log_pair[1]);
	if (share)
		fds[3] = start_virtiofsd(share, log_pair[1]);
	if (spawn() == 0) {
		for (int i = 0; i < 4; i++) /* first out of the way of one another */
			if (fds[i] >= 0)
				fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 64);
		for (int i = 0; i < 4; i++)
			if (fds[i] >= 0)
				dup2(fds[i], FD_CTL + i);
		become(log_pair[1], qemu_args);
	}
	for (int i = 0; i < 4; i++)
		if (fds[i] >= 0)
			close(fds[i]);
	close(log_pair[1]);
}

static void send_text(int type, const char *s)
{
	if (strlen(s) > LAB_MSG_MAX)
		quit(EXIT_TROUBLE, "an argument or variable is longer than the kernel allows");
	lab_send(&out, type, 0, s, strlen(s));
}

static void send_config(void)
{
	struct timespec now;
	struct lab_time t;
	char *cwd = getcwd(NULL, 0);

	clock_gettime(CLOCK_REALTIME, &now);
	t = (struct lab_time){.sec = now.tv_sec, .nsec = now.tv_nsec};
	lab_send(&out, LAB_TIME, 0, &t, sizeof(t));
	if (share)
		send_text(LAB_SHARE, share);
	if (modules)
		send_text(LAB_MODULES, modules);
	for (int i = 0; i < n_keeps; i++)
		send_text(LAB_KEEP, keeps[i]);
	if (cwd) {
		send_text(LAB_KEEP, cwd);
		send_text(LAB_CWD, cwd);
	}
	for (int i = 0; i < n_envs; i++)
		send_text(LAB_ENV, envs[i]);
	for (char **p = cmd_args; *p; p++)
		send_text(LAB_ARG, *p);
	lab_send(&out, LAB_GO, 0, NULL, 0);
	free(cwd);
}

static void receive(void)
{
	uint8_t buf[65536];
	ssize_t n = read(ctl, buf, sizeof(buf));

	if (n > 0)
		lab_queue_put(&in, buf, n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		quit(EXIT_TROUBLE, "the lab's machine has ended unexpectedly");
}

static void read_input(int *ret_open)
{
	uint8_t buf[32768];
	ssize_t n = read(0, buf, input_credit < sizeof(buf) ? input_credit : sizeof(buf));

	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return;
	if (n <= 0) {
		lab_send(&out, LAB_EOF, 0, NULL, 0);
		*ret_open = 0;
		return;
	}
	lab_send(&out, LAB_DATA, 0, buf, n);
	input_credit -= n;
}

/* At most PIPE_BUF bytes once poll() says there is room: does not block on a pipe, and the caller's
 * file description is not ours to make non-blocking. */
static void write_output(int i)
{
	uint32_t done;
	size_t before = output[i].len;
	int r = lab_flush(&output[i], i, 4096);

	if (r == -EPIPE) { /* what a command that writes there would have met */
		end_children();
		signal(SIGPIPE, SIG_DFL);
		raise(SIGPIPE);
	}
	if (r < 0)
		quit(EXIT_TROUBLE, "cannot write to standard %s: %s", i == 1 ? "output" : "error",
			strerror(-r));
	done = before - output[i].len;
	lab_send(&out, LAB_CREDIT, i, &done, sizeof(done));
}

/* Returns the exit status, or -1 to go on. */
static int handle_messages(int *ret_ready)
{
	const uint8_t *body;
	struct lab_msg msg;
	int status = -1;

	while (status < 0 && lab_next(&in, &msg, &body)) {
		switch (msg.type) {
		case LAB_READY: *ret_ready = 1; break;
		case LAB_DATA: lab_queue_put(&output[msg.stream], body, msg.len); break;
		case LAB_CREDIT: input_credit += lab_u32(&msg, body); break;
		case LAB_EXIT: status = lab_u32(&msg, body); break;
		case LAB_FAIL: quit(EXIT_TROUBLE, "%.*s", (int)msg.len, (const char *)body);
		default: break;
		}
		lab_done(&in, &msg);
	}
	return status;
}

static long now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static int serve(void)
{
	long start = now_ms();
	int ready = 0, input_open = 1, status = -1;

	while (status < 0 || output[1].len || output[2].len) {
		long left = timeout_s * 1000 - (now_ms() - start);
		long boot_left = ready ? left : BOOT_LIMIT_MS - (now_ms() - start);
		struct pollfd pfd[] = {
			{.fd = status < 0 ? ctl : -1, .events = POLLIN | (out.len ? POLLOUT : 0)},
			{.fd = klog.fd, .events = POLLIN},
			{.fd = chatter.fd, .events = POLLIN},
			{.fd = ready && status < 0 && input_open && input_credit ? 0 : -1,
				.events = POLLIN},
			{.fd = output[1].len ? 1 : -1, .events = POLLOUT},
			{.fd = output[2].len ? 2 : -1, .events = POLLOUT},
		};

		if (left <= 0)
			quit(EXIT_TIMEOUT, "stopped after %ld seconds (--timeout)", timeout_s);
		if (boot_left <= 0)
			quit(EXIT_TROUBLE, "the lab did not boot within %d seconds",
				BOOT_LIMIT_MS / 1000);
		if (poll(pfd, 6, left < boot_left ? left : boot_left) < 0 && errno != EINTR)
			quit(EXIT_TROUBLE, "cannot poll: %m");
		log_read(&klog);
		log_read(&chatter);
		if (pfd[0].revents & (POLLIN | POLLHUP | POLLERR))
			receive();
		if (status < 0)
			status = handle_messages(&ready);
		if (status >= 0)
			end_children();
		if (pfd[3].revents && input_open)
			read_input(&input_open);
		if (pfd[4].revents)
			write_output(1);
		if (pfd[5].revents)
			write_output(2);
		if (status < 0 && lab_flush(&out, ctl, out.len) < 0)
			receive(); /* reports what happened */
	}
	return status;
}

static void parse(int argc, char **argv)
{
	int i = 1;

	envs = calloc(argc, sizeof(*envs));
	keeps = calloc(argc, sizeof(*keeps));
	if (!envs || !keeps)
		abort();
	for (; i + 1 < argc && strcmp(argv[i], "--") != 0; i += 2) {
		char *value = argv[i + 1];

		if (!strcmp(argv[i], "--timeout"))
			timeout_s = atol(value);
		else if (!strcmp(argv[i], "--share"))
			share = value;
		else if (!strcmp(argv[i], "--modules"))
			modules = value;
		else if (!strcmp(argv[i], "--kernel-log"))
			kernel_log = value;
		else if (!strcmp(argv[i], "--keep"))
			keeps[n_keeps++] = value;
		else if (!strcmp(argv[i], "--env"))
			envs[n_envs++] = value;
		else if (!strcmp(argv[i], "--qemu") && atoi(value) < argc - i - 2) {
			n_qemu = atoi(value);
			qemu_args = argv + i + 2;
			i += n_qemu;
		} else {
			break;
		}
	}
	if (i + 1 >= argc || strcmp(argv[i], "--") != 0 || !qemu_args)
		quit(EXIT_TROUBLE, "lab-host: bad arguments; tools/lab is what you want");
	argv[i] = NULL; /* ends qemu_args */
	cmd_args = argv + i + 1;
}

int main(int argc, char **argv)
{
	static const int fatal[] = {SIGHUP, SIGINT, SIGQUIT, SIGTERM};
	int fd = 0;

	do { /* so that no socket gets a standard stream's number, nor one that QEMU is promised */
		fd = open("/dev/null", O_RDWR | (fd <= 2 ? 0 : O_CLOEXEC));
	} while (fd >= 0 && fd < FD_FIRST_FREE);
	parse(argc, argv);
	if (kernel_log) {
		klog.file = open(kernel_log, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
		if (klog.file < 0)
			quit(EXIT_TROUBLE, "cannot write '%s': %m", kernel_log);
	}
	signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++) {
		struct sigaction old, sa = {.sa_handler = on_signal};

		sigaction(fatal[i], NULL, &old);
		if (old.sa_handler != SIG_IGN) /* nohup */
			sigaction(fatal[i], &sa, NULL);
	}
	start_machine();
	send_config();
	return serve();
}
