/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Process 1 of the lab: mounts what the command needs, runs it, and carries its standard streams
 * and its exit status over the virtio-serial port. lab-host is the other end; see lab-proto.h.
 */
#define _GNU_SOURCE
#include "lab-proto.h"
#include "lab-root.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

struct stream {
	int fd;                 /* our end of the command's pipe, -1 once closed */
	struct lab_queue queue; /* standard input only: what the pipe did not take yet */
	uint32_t credit;        /* output only: what we may still send */
	int eof;                /* standard input only: close the pipe once the queue is empty */
};

static int port = -1;
static struct lab_queue in, out;
static struct stream streams[3];
static char **args, **envs;
static size_t nargs, nenvs;
static char *cwd;
static struct lab_paths paths;

/* The end of the lab: tell the host why, and wait for it to switch us off. */
void fail(const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	dprintf(STDERR_FILENO, "lab-init: %s\n", text);
	if (port >= 0) {
		lab_send(&out, LAB_FAIL, 0, text, strlen(text));
		fcntl(port, F_SETFL, 0);
		while (out.len && lab_flush(&out, port, out.len) == 0)
			;
	}
	for (;;)
		pause();
}

/* Into the kernel's log, loud enough for the console: when a boot hangs, the last line says where.
 */
static void step(const char *what)
{
	char line[128];
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	int n = snprintf(line, sizeof(line), "<3>lab-init: %s\n", what);

	if (fd < 0)
		return;
	if (write(fd, line, n) < 0) {
		/* no log, no harm */
	}
	close(fd);
}

static void load_module(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0 || syscall(SYS_finit_module, fd, "", 0) < 0)
		fail("cannot load module '%s': %m", path);
	close(fd);
}

/* KVM's modules take most of a second to load: beside the mounting, not before it. Exit status 0:
 * loaded. */
static pid_t start_loading_modules(const char *dir)
{
	struct dirent **list;
	pid_t pid = fork();
	int n;

	if (pid)
		return pid;
	n = scandir(dir, &list, NULL, alphasort);
	for (int i = 0; i < n; i++) {
		char path[512];

		snprintf(path, sizeof(path), "%s/%s", dir, list[i]->d_name);
		if (list[i]->d_name[0] != '.')
			load_module(path);
	}
	_exit(0);
}

/* The port's device appears some time after the bus was probed. */
static void open_port(void)
{
	for (int tries = 0; tries < 10000; tries++) {
		DIR *dir = opendir("/sys/class/virtio-ports");
		struct dirent *de;

		while (dir && (de = readdir(dir))) {
			char path[512], name[64] = "";
			int fd;

			snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", de->d_name);
			fd = open(path, O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				continue;
			if (read(fd, name, sizeof(name) - 1) < 0)
				name[0] = '\0';
			close(fd);
			if (strcmp(name, LAB_PORT "\n") != 0)
				continue;
			snprintf(path, sizeof(path), "/dev/%s", de->d_name);
			port = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
			if (port >= 0) {
				closedir(dir);
				return;
			}
		}
		if (dir)
			closedir(dir);
		usleep(1000);
	}
	fail("the virtio-serial port '" LAB_PORT "' does not appear");
}

static void receive(void)
{
	uint8_t buf[32768];
	ssize_t n = read(port, buf, sizeof(buf));

	if (n > 0)
		lab_queue_put(&in, buf, n);
	else if (n == 0 || (errno != EAGAIN && errno != EINTR))
		fail("the host has closed the port");
}

static char *body_string(const struct lab_msg *msg, const uint8_t *body)
{
	char *s = malloc(msg->len + 1);

	if (!s)
		abort();
	memcpy(s, body, msg->len);
	s[msg->len] = '\0';
	return s;
}

static void list_add(char ***list, size_t *count, char *s)
{
	*list = realloc(*list, (*count + 2) * sizeof(**list));
	if (!*list)
		abort();
	(*list)[(*count)++] = s;
	(*list)[*count] = NULL;
}

static void set_clock(const struct lab_msg *msg, const uint8_t *body)
{
	struct lab_time t;

	if (msg->len != sizeof(t))
		fail("bad message");
	memcpy(&t, body, sizeof(t));
	clock_settime(CLOCK_REALTIME, &(struct timespec){.tv_sec = t.sec, .tv_nsec = t.nsec});
}

static void read_config(void)
{
	const uint8_t *body;
	struct lab_msg msg;

	for (;;) {
		struct pollfd pfd = {.fd = port, .events = POLLIN};

		while (!lab_next(&in, &msg, &body)) {
			poll(&pfd, 1, -1);
			receive();
		}
		switch (msg.type) {
		case LAB_TIME: set_clock(&msg, body); break;
		case LAB_SHARE: paths.share = body_string(&msg, body); break;
		case LAB_MODULES: paths.modules = body_string(&msg, body); break;
		case LAB_KEEP:
			list_add(&paths.keeps, &paths.n_keeps, body_string(&msg, body));
			break;
		case LAB_CWD: cwd = body_string(&msg, body); break;
		case LAB_ENV: list_add(&envs, &nenvs, body_string(&msg, body)); break;
		case LAB_ARG: list_add(&args, &nargs, body_string(&msg, body)); break;
		case LAB_GO: break;
		default: fail("bad message %d", msg.type);
		}
		lab_done(&in, &msg);
		if (msg.type == LAB_GO)
			return;
	}
}

static void __attribute__((noreturn)) run_command(int fds[3])
{
	sigset_t none;

	sigemptyset(&none);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	for (int i = 0; i < 3; i++)
		dup2(fds[i], i);
	setrlimit(RLIMIT_NOFILE, &(struct rlimit){1024, 524288});
	setrlimit(RLIMIT_CORE, &(struct rlimit){0, RLIM_INFINITY});
	environ = envs;
	if (cwd && chdir(cwd) < 0) {
		dprintf(2, "lab: cannot enter '%s': %m\n", cwd);
		_exit(126);
	}
	execvp(args[0], args);
	dprintf(2, "lab: cannot run '%s': %m\n", args[0]);
	_exit(errno == ENOENT ? 127 : 126);
}

static pid_t start_command(void)
{
	int theirs[3];
	pid_t pid;

	for (int i = 0; i < 3; i++) {
		int p[2];

		if (pipe2(p, O_CLOEXEC) < 0)
			fail("cannot make a pipe: %m");
		theirs[i] = p[i ? 1 : 0];
		streams[i].fd = p[i ? 0 : 1];
		streams[i].credit = LAB_WINDOW;
		fcntl(streams[i].fd, F_SETFL, O_NONBLOCK);
		/* keep all of it above the three numbers that run_command() assigns */
		if (theirs[i] <= 2) {
			theirs[i] = fcntl(theirs[i], F_DUPFD_CLOEXEC, 3);
			close(p[i ? 1 : 0]);
		}
	}
	pid = fork();
	if (pid < 0)
		fail("cannot fork: %m");
	if (pid == 0)
		run_command(theirs);
	for (int i = 0; i < 3; i++)
		close(theirs[i]);
	return pid;
}

static void close_stream(int i)
{
	if (streams[i].fd < 0)
		return;
	close(streams[i].fd);
	streams[i].fd = -1;
	if (i > 0)
		lab_send(&out, LAB_EOF, i, NULL, 0);
}

static void give_credit(int i, uint32_t bytes)
{
	if (bytes)
		lab_send(&out, LAB_CREDIT, i, &bytes, sizeof(bytes));
}

static void handle_messages(void)
{
	const uint8_t *body;
	struct lab_msg msg;

	while (lab_next(&in, &msg, &body)) {
		struct stream *s = &streams[msg.stream];

		if (msg.type == LAB_CREDIT)
			s->credit += lab_u32(&msg, body);
		else if (msg.type == LAB_EOF)
			s->eof = 1;
		else if (msg.type == LAB_DATA && s->fd >= 0)
			lab_queue_put(&s->queue, body, msg.len);
		else if (msg.type == LAB_DATA)
			give_credit(
				0, msg.len); /* nobody reads it: swallow, as a closed pipe would */
		lab_done(&in, &msg);
	}
}

static void pump_input(void)
{
	struct stream *s = &streams[0];
	size_t before = s->queue.len;

	if (s->fd >= 0 && lab_flush(&s->queue, s->fd, before) < 0) {
		lab_queue_drop(&s->queue, s->queue.len);
		close_stream(0);
	}
	give_credit(0, before - s->queue.len);
	if (s->eof && !s->queue.len)
		close_stream(0);
}

static void pump_output(int i)
{
	struct stream *s = &streams[i];
	uint8_t buf[32768 - sizeof(struct lab_msg)];
	ssize_t n;

	if (s->fd < 0 || !s->credit)
		return;
	n = read(s->fd, buf, s->credit < sizeof(buf) ? s->credit : sizeof(buf));
	if (n > 0) {
		lab_send(&out, LAB_DATA, i, buf, n);
		s->credit -= n;
	} else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
		close_stream(i);
	}
}

/*
 * Nothing of the command may outlive it: background processes would hold its streams open, and what
 * they mapped of the shared directory is only sure to be out when they are gone. Returns 1 at that
 * point.
 */
static int reap(pid_t command, int *ret_status)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid != command)
			continue;
		*ret_status = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
		kill(-1, SIGKILL);
		close_stream(0);
	}
	return pid < 0 && errno == ECHILD;
}

static void serve(pid_t command, int child_event)
{
	int status = -1, alone = 0, told = 0;

	while (!told || out.len) {
		struct pollfd pfd[] = {
			{.fd = port, .events = POLLIN | (out.len ? POLLOUT : 0)},
			{.fd = child_event, .events = POLLIN},
			{.fd = streams[0].queue.len ? streams[0].fd : -1, .events = POLLOUT},
			{.fd = streams[1].credit ? streams[1].fd : -1, .events = POLLIN},
			{.fd = streams[2].credit ? streams[2].fd : -1, .events = POLLIN},
		};
		char drain[64];

		if (poll(pfd, 5, -1) < 0 && errno != EINTR)
			fail("cannot poll: %m");
		if (pfd[1].revents && read(child_event, drain, sizeof(drain)) > 0)
			alone = reap(command, &status);
		if (pfd[0].revents & (POLLIN | POLLHUP))
			receive();
		handle_messages();
		pump_input();
		pump_output(1);
		pump_output(2);
		if (lab_flush(&out, port, out.len) < 0)
			fail("cannot write to the port: %m");
		if (alone && !told && streams[1].fd < 0 && streams[2].fd < 0) {
			uint32_t v = status;

			lab_send(&out, LAB_EXIT, 0, &v, sizeof(v));
			told = 1;
		}
	}
}

static int child_pipe[2];

static void on_child(int sig)
{
	int saved = errno;

	(void)sig;
	if (write(child_pipe[1], "", 1) < 0) {
		/* full: a wake-up is already on its way */
	}
	errno = saved;
}

int main(void)
{
	struct sigaction sa = {.sa_handler = on_child, .sa_flags = SA_RESTART};
	pid_t loader, command;
	int status;

	umask(022);
	do_mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID, "mode=755");
	do_mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	do_mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL);
	put("/sys/kernel/rcu_expedited", "1"); /* mounting waits for grace periods; undone below */
	step("opening the port");
	open_port();
	load_module("/overlay.ko");
	loader = start_loading_modules("/modules");
	step("reading the configuration");
	read_config();
	step("mounting the root file system");
	set_up_root(&paths);
	enter_root();
	step("mounting what belongs into it");
	mount_virtual();
	mount(NULL, "/", NULL, MS_REC | MS_SHARED, NULL); /* as systemd leaves it */
	enable_controllers();
	set_up_dev();
	set_up_network();
	step("waiting for KVM's modules");
	if (loader < 0 || waitpid(loader, &status, 0) != loader || status != 0)
		fail("cannot load KVM's modules");
	if (chmod("/dev/kvm", 0666) < 0)
		fail("the lab's kernel offers no /dev/kvm");
	put("/sys/kernel/rcu_expedited", "0");

	if (!nargs || pipe2(child_pipe, O_CLOEXEC | O_NONBLOCK) < 0)
		fail("no command, or no pipe: %m");
	sigaction(SIGCHLD, &sa, NULL);
	signal(SIGPIPE, SIG_IGN);
	lab_send(&out, LAB_READY, 0, NULL, 0);
	step("running the command");
	command = start_command();
	serve(command, child_pipe[0]);
	for (;;)
		pause();
}
