/* SPDX-License-Identifier: Apache-2.0 */
#include "init/first.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "init/cgroup.h"
#include "init/log.h"
#include "init/namespaces.h"
#include "init/say.h"
#include "lib/base.h"
#include "lib/cleanup.h"

#define BUF_BYTES (64u << 10)

static uint8_t bufs[3][BUF_BYTES];

static void say_times(const struct first *f, enum proto_type type)
{
	struct proto_ready m = {.rootfs_ns = f->rootfs_ns, .now_ns = boot_ns()};

	say(type, &m, sizeof(m));
}

/* The container cannot be had. */
static void give_up(struct first *f, const struct err *err)
{
	struct proto_failed m = say_why(err);

	f->phase = FIRST_OVER;
	proc_stop_streams(&f->p);
	log_msg("%s", m.text);
	say(PROTO_FAILED, &m, sizeof(m));
}

static void ready(struct first *f, const struct child_msg *m)
{
	struct err err = ERR_INIT;

	f->rootfs_ns = ns_boot_time(f->spec, m->rootfs_ns);
	if (cgroup_attach_devices(f->c.group, f->spec, &err) < 0) {
		give_up(f, &err);
		return;
	}
	f->phase = FIRST_CREATED;
	say_times(f, PROTO_READY);
}

static void said(struct proc *p, const struct child_msg *m)
{
	struct first *f = container_of(p, struct first, p);
	struct err err = ERR_INIT;

	if (m->kind == CHILD_READY && f->phase == FIRST_PREPARING) {
		ready(f, m);
	} else if (m->kind == CHILD_FAILED && f->phase != FIRST_OVER) {
		err_plain(&err, m->errnum, "%.*s", (int)sizeof(m->text) - 1, m->text);
		err.exit_status = (int)m->exit_status;
		give_up(f, &err);
	}
}

/* execve(2) closed the report socket, or the child died; first_ended() finds out which. */
static void closed(struct proc *p)
{
	struct first *f = container_of(p, struct first, p);

	if (f->phase != FIRST_STARTING)
		return;
	f->phase = FIRST_RUNNING;
	say_times(f, PROTO_STARTED);
}

static const struct proc_ops ops = {.said = said, .closed = closed};

void first_spawn(struct first *f, const struct init_env *env, const struct gspec *spec)
{
	struct err err = ERR_INIT;
	int outer[3], r;

	f->env = env;
	f->spec = spec;
	proc_init(&f->p, &ops, spec->proc.flags, bufs[0], BUF_BYTES);
	r = ns_time(spec, &err);
	if (r == 0)
		r = container_spawn(env, spec, &f->c, &err);
	if (r == 0) {
		f->p.pid = f->c.pid;
		memcpy(outer, env->streams, sizeof(outer));
		proc_streams_take(&f->p, outer, f->c.stdio);
		r = proc_listen_take(&f->p, &f->c.sock);
		if (r < 0)
			err_set(&err, -r, "epoll");
	}
	if (r < 0)
		give_up(f, &err);
}

void first_start(struct first *f)
{
	if (f->phase != FIRST_CREATED || f->p.reaped) {
		log_msg("START ignored: nothing waits for it");
		return;
	}
	f->phase = FIRST_STARTING;
	if (send(f->p.sock, "", 1, MSG_NOSIGNAL) < 0)
		log_msg("the first process is gone: %s", strerror(errno)); /* its end tells more */
}

void first_ended(struct first *f, int wait_status)
{
	struct err err = ERR_INIT;
	uint32_t signo;
	int status;

	proc_hear(&f->p); /* what it said last comes before its end */
	f->p.reaped = true;
	f->p.wait_status = wait_status;
	relay_stop(&f->p.relays[0]);
	if (!(f->spec->namespaces & GNS_PID)) {
		int r = cgroup_kill(f->c.group);

		if (r < 0)
			log_msg("cannot kill the container's cgroup: %s", strerror(-r));
	}
	status = exit_status_of(wait_status, &signo);
	if (f->phase != FIRST_PREPARING)
		return;
	err_plain(&err, ESRCH,
		"the container's first process ended while it was being prepared (%s %d)",
		signo ? "signal" : "status", signo ? (int)signo : status);
	give_up(f, &err);
}

bool first_done(const struct first *f)
{
	return f->p.reaped && f->phase != FIRST_OVER && !f->p.relays[1].open &&
	       !f->p.relays[2].open;
}

static void flush_files(const struct first *f)
{
	autofd int share = -1;

	/* From now on the host's disk is not waited for. */
	if (faccessat(f->env->share, PROTO_SHARE_ENDED, F_OK, 0) == 0)
		log_msg("the share has an entry " PROTO_SHARE_ENDED);
	sync();
	/* Once more: what sync() made loop-mounted file systems write lands in files of the share.
	 */
	share = openat(f->env->share, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (share < 0 || syncfs(share) < 0)
		log_msg("cannot sync the share: %s", strerror(errno));
}

void first_exit(struct first *f)
{
	struct proto_exited m = {0};

	flush_files(f);
	m.status = exit_status_of(f->p.wait_status, &m.signo);
	m.now_ns = boot_ns();
	f->phase = FIRST_OVER;
	say(PROTO_EXITED, &m, sizeof(m));
}
