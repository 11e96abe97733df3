/* SPDX-License-Identifier: Apache-2.0 */
/* A container with a terminal: a real pty, of which this process has the slave in a session of its own. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "tests/tap.h"
#include "tests/unit/life_world.h"

static int open_pty(void)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC), slave;

	BUG_ON(master < 0 || grantpt(master) || unlockpt(master));
	slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
	BUG_ON(slave < 0 || dup2(slave, STDIN_FILENO) < 0);
	close(slave);
	return master;
}

/* A terminal's end signals its session, which we lead: nothing of it may reach the next test. */
static void close_pty(int *master)
{
	const struct timespec now = {0};
	sigset_t all;

	close_fd(master);
	sigfillset(&all);
	while (sigtimedwait(&all, NULL, &now) > 0)
		;
}

static void set_size(int master, uint16_t rows, uint16_t cols)
{
	struct winsize ws = {.ws_row = rows, .ws_col = cols};

	BUG_ON(ioctl(master, TIOCSWINSZ, &ws) < 0);
}

/* The next frame; its type, 0: none came. */
static int heard(struct world *w, void *buf, uint32_t max)
{
	struct pollfd p = {.fd = w->guest, .events = POLLIN};
	struct proto_hdr h;

	if (poll(&p, 1, WORLD_WAIT_MS) != 1 || recv(w->guest, &h, sizeof(h), 0) != sizeof(h))
		return 0;
	BUG_ON(h.len > max || (h.len && recv(w->guest, buf, h.len, 0) != (ssize_t)h.len));
	return h.type;
}

static bool heard_size(struct world *w, uint16_t rows, uint16_t cols)
{
	struct proto_resize m;

	return heard(w, &m, sizeof(m)) == PROTO_RESIZE && m.process == PROTO_PROCESS_FIRST &&
	       m.rows == rows && m.cols == cols;
}

static void test_own(void)
{
	struct proto_signal sig = {0};
	int master = open_pty();
	struct ctl_reply r;
	struct world w;

	world_make_with(&w, 0, VM_FLAG_TERMINAL);
	world_go(&w);
	eq_int(w.binds, 3, "the control channel and two streams are bound");
	eq_int(tcgetsid(STDIN_FILENO), getpid(), "it is the controlling terminal");
	set_size(master, 24, 80);
	world_up(&w);
	ok(heard_size(&w, 24, 80), "its size is told once the process runs");
	set_size(master, 50, 132);
	ok(heard_size(&w, 50, 132), "and when it changes");
	r = world_ask(&w, CTL_RESIZE, 30u << 16 | 90);
	ok(r.errnum == 0 && heard_size(&w, 30, 90), "CTL_RESIZE does the same");
	kill(getpid(), SIGWINCH);
	ok(heard_size(&w, 50, 132), "SIGWINCH is never a signal for the process");
	{
		int s = world_client(&w);

		ctl_send(s, CTL_SIGNAL, SIGWINCH);
		ok(heard(&w, &sig, sizeof(sig)) == PROTO_SIGNAL && sig.signo == SIGWINCH,
			"but when somebody asks for it");
		close(s);
	}
	close_fd(&master);
	ok(heard(&w, &sig, sizeof(sig)) == PROTO_SIGNAL &&
			(sig.signo == SIGHUP || sig.signo == SIGCONT),
		"the master's end is a signal");
	ok(sig.signo == SIGHUP ||
			(heard(&w, &sig, sizeof(sig)) == PROTO_SIGNAL && sig.signo == SIGHUP),
		"SIGHUP");
	guest_exited(&w, 0);
	eq_int(world_end(&w), 0, "the end");
	close_pty(&master);
}

/* The guest does not read for a while: the last size is not lost. */
static void test_deaf(void)
{
	int master = open_pty();
	struct proto_resize m = {0};
	struct world w;
	unsigned n = 0;

	world_make_with(&w, 0, VM_FLAG_TERMINAL);
	world_go(&w);
	world_up(&w);
	for (unsigned i = 1; i < 1000; i++)
		BUG_ON(world_ask(&w, CTL_RESIZE, i << 16 | 80).errnum);
	while (m.rows != 999 && heard(&w, &m, sizeof(m)) == PROTO_RESIZE)
		n++;
	ok(m.rows == 999 && n < 999, "after %u others, the last size comes", n);
	guest_exited(&w, 0);
	world_end(&w);
	close_pty(&master);
}

/* A terminal of another session: its size is somebody else's word. */
static void test_foreign(void)
{
	int master = open_pty(), status;
	pid_t pid = fork();

	if (pid ==
		0) { /* a leader of a process group, as after fork() in a shell: no session of its own */
		struct world w;
		struct proto_signal sig = {0};

		world_make_with(&w, 0, VM_FLAG_TERMINAL);
		world_go(&w);
		set_size(master, 10, 20);
		world_up(&w);
		if (w.life.tty_fd >= 0)
			_exit(1);
		if (world_ask(&w, CTL_RESIZE, 30u << 16 | 90).errnum || !heard_size(&w, 30, 90))
			_exit(2);
		kill(getpid(), SIGWINCH);
		if (heard(&w, &sig, sizeof(sig)) != PROTO_SIGNAL || sig.signo != SIGWINCH)
			_exit(3);
		guest_exited(&w, 0);
		_exit(world_end(&w));
	}
	BUG_ON(waitpid(pid, &status, 0) != pid);
	eq_int(status, 0, "a terminal that cannot be ours: CTL_RESIZE alone counts");
	close_pty(&master);
}

static void test_none(void)
{
	struct proto_signal sig = {0};
	struct world w;
	int s;

	world_run_up(&w);
	eq_int(world_ask(&w, CTL_RESIZE, 30u << 16 | 90).errnum, ENOTTY, "no terminal, no size");
	kill(getpid(), SIGWINCH);
	ok(guest_heard(&w, &sig) == PROTO_SIGNAL && sig.signo == SIGWINCH && !sig.process,
		"and SIGWINCH is a signal like others");
	s = world_client(&w);
	BUG_ON(send(s,
		       &(struct ctl_request){.version = CTL_VERSION,
			       .type = CTL_SIGNAL,
			       .arg = SIGTERM,
			       .flags = CTL_SIGNAL_ALL},
		       sizeof(struct ctl_request), 0) < 0);
	ok(guest_heard(&w, &sig) == PROTO_SIGNAL && sig.process == PROTO_PROCESS_ALL,
		"a signal for all");
	BUG_ON(send(s,
		       &(struct ctl_request){
			       .version = CTL_VERSION, .type = CTL_STATE, .flags = CTL_SIGNAL_ALL},
		       sizeof(struct ctl_request), 0) < 0);
	close(s);
	s = world_client(&w);
	BUG_ON(send(s,
		       &(struct ctl_request){.version = CTL_VERSION,
			       .type = CTL_SIGNAL,
			       .arg = SIGKILL,
			       .flags = CTL_SIGNAL_ALL},
		       sizeof(struct ctl_request), 0) < 0);
	eq_int(ctl_answer(s).errnum, 0, "SIGKILL for all is answered at once");
	ok(guest_heard(&w, &sig) == PROTO_SIGNAL && sig.process == PROTO_PROCESS_ALL &&
			sig.signo == SIGKILL,
		"and told to the guest");
	close(s);
	eq_int(world_end(&w), 137, "and ends the container, whatever the guest does");
}

static int all(void)
{
	struct err err = ERR_INIT;

	setsid();
	eq_int(life_block_signals(&err), 0, "signals are blocked");
	test_own();
	test_deaf();
	test_foreign();
	test_none();
	return tap_done();
}

int main(void)
{
	int status;
	pid_t pid = fork(); /* a session leader must not be a process group's leader before */

	if (pid == 0)
		exit(all());
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}
