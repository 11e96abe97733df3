/* SPDX-License-Identifier: Apache-2.0 */
#include "init/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>

#include "init/log.h"
#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"

int exit_status_of(int wait_status, uint32_t *ret_signo)
{
	*ret_signo = WIFSIGNALED(wait_status) ? (uint32_t)WTERMSIG(wait_status) : 0;
	return *ret_signo ? 128 + (int)*ret_signo : WEXITSTATUS(wait_status);
}

/* --- streams ------------------------------------------------------------------------------------
 */

/* Takes both; with one of them missing there is nothing to relay. */
static void start_relay(struct proc *p, int i, int outer, int inner)
{
	uint8_t *buf = p->bufs + (size_t)i * p->buf_bytes;

	if (outer < 0 || inner < 0) {
		close_fd(&outer);
		close_fd(&inner);
	} else if (i == 0) {
		relay_start_take(&p->relays[i], outer, inner, false, buf, p->buf_bytes);
	} else {
		relay_start_take(&p->relays[i], inner, outer, true, buf, p->buf_bytes);
	}
}

void proc_streams_take(struct proc *p, int outer[3], int inner[3])
{
	for (int i = 0; i < 3; i++) {
		if (p->flags & GPROC_TERMINAL)
			p->outer[i] = take_fd(&outer[i]);
		else
			start_relay(p, i, take_fd(&outer[i]), take_fd(&inner[i]));
	}
}

static void set_size(struct proc *p)
{
	const struct relay *in = &p->relays[0], *out = &p->relays[1];
	int master = in->open ? in->dst : out->open ? out->src : -1;

	if (master >= 0 && ioctl(master, TIOCSWINSZ, &p->size) < 0)
		log_msg("cannot set a terminal's size: %s", strerror(errno));
}

static void start_terminal(struct proc *p, int master)
{
	start_relay(p, 0, take_fd(&p->outer[0]), fcntl(master, F_DUPFD_CLOEXEC, 0));
	start_relay(p, 1, take_fd(&p->outer[1]), master);
	if (p->sized)
		set_size(p);
}

void proc_resize(struct proc *p, uint16_t rows, uint16_t cols)
{
	if (!(p->flags & GPROC_TERMINAL))
		return;
	p->sized = true; /* the terminal may yet be to come */
	p->size = (struct winsize){.ws_row = rows, .ws_col = cols};
	set_size(p);
}

void proc_stop_streams(struct proc *p)
{
	for (int i = 0; i < 3; i++) {
		relay_stop(&p->relays[i]);
		close_fd(&p->outer[i]);
	}
}

bool proc_streams_open(const struct proc *p)
{
	for (int i = 0; i < 3; i++)
		if (p->relays[i].open)
			return true;
	return false;
}

void proc_settle(struct proc *p)
{
	if ((p->flags & GPROC_TERMINAL) && p->outer[1] < 0 && !p->relays[1].open)
		relay_stop(&p->relays[0]);
}

/* --- the report socket --------------------------------------------------------------------------
 */

/* Takes fd, which may be -1. */
static void said_take(struct proc *p, const struct child_msg *m, int fd)
{
	if (m->kind == CHILD_TERMINAL && fd >= 0 && (p->flags & GPROC_TERMINAL))
		start_terminal(p, take_fd(&fd));
	else if (m->kind == CHILD_READY || m->kind == CHILD_FAILED)
		p->ops->said(p, m);
	close_fd(&fd);
}

void proc_hear(struct proc *p)
{
	while (p->sock >= 0) {
		struct child_msg m;
		unsigned n_fds = 0;
		struct pollfd pf = {.fd = p->sock, .events = POLLIN};
		int fd = -1;

		if (poll(&pf, 1, 0) != 1)
			return;
		if (recv_fds(p->sock, &m, sizeof(m), &fd, 1, &n_fds) == sizeof(m)) {
			said_take(p, &m, n_fds ? fd : -1);
			continue;
		}
		watch_off(&p->w_sock);
		close_fd(&p->sock);
		p->ops->closed(p);
	}
}

static void sock_ready(struct watch *w, uint32_t events)
{
	proc_hear(container_of(w, struct proc, w_sock));
}

int proc_listen_take(struct proc *p, int *sock)
{
	p->sock = take_fd(sock);
	return watch_set(&p->w_sock, p->sock, EPOLLIN);
}

/* --- the process --------------------------------------------------------------------------------
 */

void proc_init(struct proc *p, const struct proc_ops *ops, uint32_t flags, uint8_t *bufs,
	uint32_t buf_bytes)
{
	*p = (struct proc){
		.ops = ops,
		.flags = flags,
		.pid = -1,
		.sock = -1,
		.w_sock = WATCH_OFF(sock_ready),
		.outer = {-1, -1, -1},
		.bufs = bufs,
		.buf_bytes = buf_bytes,
	};
}

int proc_signal(const struct proc *p, uint32_t signo)
{
	if (p->reaped || p->pid <= 0)
		return ESRCH;
	return kill(p->pid, (int)signo) < 0 ? errno : 0;
}
