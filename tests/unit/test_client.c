/* SPDX-License-Identifier: Apache-2.0 */
/* The commands' end of the control protocol, against a fake VMM that answers well, badly or not at all. */
#include "runtime/container.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tests/tap.h"
#include "tests/unit/runtime_dir.h"

#define SHORT_WAIT_MS 50    /* for an answer that never comes */
#define LONG_WAIT_MS  30000 /* for one that does */

/* What the fake VMM does with one connection: reads one request, sends `len` bytes, and closes. */
struct fake {
	struct container c;
	int listener;
	struct {
		struct ctl_timeline_reply msg;
		char more[16];
	} answer;
	size_t len;     /* 0: no answer */
	bool keep_open; /* until the client closes */
	struct ctl_request got;
	pthread_t thread;
};

static struct err err;

static void *serve(void *arg)
{
	struct fake *f = arg;
	autofd int fd = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
	char byte;

	BUG_ON(fd < 0 || read(fd, &f->got, sizeof(f->got)) < 0);
	if (f->len)
		send_fds(fd, &f->answer, f->len, NULL, 0);
	if (f->keep_open)
		(void)!read(fd, &byte, 1);
	return NULL;
}

static void fake_init(struct fake *f, const char *id)
{
	*f = (struct fake){.c = CONTAINER_INIT};
	BUG_ON(container_new(&f->c, in_dir("root"), id, &err) < 0);
	f->listener = bind_control(&f->c, 4);
	f->answer.msg.reply.version = CTL_VERSION;
	f->len = sizeof(struct ctl_reply);
}

static void fake_release(struct fake *f)
{
	close_fd(&f->listener);
	container_remove(&f->c, &err);
	container_release(&f->c);
}

static int request(struct fake *f, enum ctl_type type, uint32_t arg, int timeout_ms,
	struct ctl_reply *ret_reply)
{
	int r;

	err = (struct err)ERR_INIT;
	pthread_create(&f->thread, NULL, serve, f);
	r = container_request(&f->c, type, arg, timeout_ms, ret_reply, &err);
	pthread_join(f->thread, NULL);
	return r;
}

static void test_request(void)
{
	struct ctl_reply reply = {0};
	struct fake f;

	fake_init(&f, "good");
	f.answer.msg.reply.phase = VM_RUNNING;
	eq_int(request(&f, CTL_SIGNAL, 15, LONG_WAIT_MS, &reply), 0, "a request");
	eq_int(reply.phase, VM_RUNNING, "its answer");
	eq_int(f.got.version, CTL_VERSION, "the request's version");
	eq_int(f.got.type, CTL_SIGNAL, "its type");
	eq_int(f.got.arg, 15, "its argument");
	eq_int(f.got.flags, 0, "nothing else");
	eq_int(request(&f, CTL_STATE, 0, -1, NULL), 0, "without a limit, nor interest");
	fake_release(&f);
}

struct bad_answer {
	const char *name;
	uint32_t version;
	size_t len;
	int32_t errnum;
	uint32_t exit_status;
	const char *text;
	int want;
	const char *says;
	int want_status;
};

static const struct bad_answer bad_answers[] = {
	{"another version", CTL_VERSION + 1, sizeof(struct ctl_reply), 0, 0, "", -EPROTO,
		"another version", 0},
	{"version 0", 0, sizeof(struct ctl_reply), 0, 0, "", -EPROTO, "another version", 0},
	{"a byte too few", CTL_VERSION, sizeof(struct ctl_reply) - 1, 0, 0, "", -EPROTO,
		"answers in another version", 0},
	{"one byte", CTL_VERSION, 1, 0, 0, "", -EPROTO, "answers in another version", 0},
	{"a byte too many", CTL_VERSION, sizeof(struct ctl_reply) + 1, 0, 0, "", -EMSGSIZE,
		"the VMM of container", 0},
	{"a refusal with its reason", CTL_VERSION, sizeof(struct ctl_reply), ENOENT, 127,
		"no such program", -ENOENT, "no such program", 127},
	{"a refusal without one", CTL_VERSION, sizeof(struct ctl_reply), EBUSY, 0, "", -EBUSY,
		"the VMM refused", 0},
	{"an error that is none", CTL_VERSION, sizeof(struct ctl_reply), -7, 0x1234, "odd", -EIO,
		"odd", 0x34},
};

static void test_bad_answers(void)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad_answers); i++) {
		const struct bad_answer *b = &bad_answers[i];
		struct ctl_reply *reply;
		struct fake f;

		fake_init(&f, "bad");
		reply = &f.answer.msg.reply;
		reply->version = b->version;
		reply->errnum = b->errnum;
		reply->exit_status = b->exit_status;
		snprintf(reply->text, sizeof(reply->text), "%s", b->text);
		f.len = b->len;
		eq_int(request(&f, CTL_START, 0, LONG_WAIT_MS, NULL), b->want, b->name);
		ok(strstr(err.msg, b->says), "says '%s': %s", b->says, err.msg);
		eq_int(err.exit_status, b->want_status, "exit status");
		fake_release(&f);
	}
}

static void test_text_without_end(void)
{
	struct fake f;

	fake_init(&f, "endless");
	f.answer.msg.reply.errnum = EINVAL;
	memset(f.answer.msg.reply.text, 'x', sizeof(f.answer.msg.reply.text));
	eq_int(request(&f, CTL_START, 0, LONG_WAIT_MS, NULL), -EINVAL, "a text without an end");
	eq_int((intmax_t)strlen(err.msg), CTL_TEXT_MAX - 1, "is cut");
	fake_release(&f);
}

static void test_silence(void)
{
	struct fake f;

	fake_init(&f, "silent");
	f.len = 0;
	eq_int(request(&f, CTL_STATE, 0, LONG_WAIT_MS, NULL), -ECONNRESET, "closed instead");
	has_str(err.msg, "container silent has ended");
	f.keep_open = true;
	eq_int(request(&f, CTL_STATE, 0, SHORT_WAIT_MS, NULL), -ETIMEDOUT, "no answer");
	has_str(err.msg, "the VMM of container silent does not answer");
	close(f.listener);
	f.listener = -1;
	err = (struct err)ERR_INIT;
	eq_int(container_request(&f.c, CTL_STATE, 0, LONG_WAIT_MS, NULL, &err), -ECONNREFUSED,
		"nobody listens");
	has_str(err.msg, "cannot reach the VMM of container silent");
	unlinkat(f.c.dir_fd, CONTAINER_SOCKET, 0);
	err = (struct err)ERR_INIT;
	eq_int(container_request(&f.c, CTL_STATE, 0, LONG_WAIT_MS, NULL, &err), -ENOENT,
		"no socket");
	fake_release(&f);
}

/* A VMM that is stopped takes no connection: the queue fills up. */
static void test_full_backlog(void)
{
	int filler[8], n = 0, r = 0;
	struct fake f;

	fake_init(&f, "full");
	listen(f.listener, 0);
	while (n < 8 && r >= 0) {
		r = filler[n] = container_connect(&f.c);
		n += r >= 0;
	}
	eq_int(r, -EAGAIN, "connecting to a full queue ends, with an error");
	ok(n >= 1, "%d connections were queued", n);
	while (n)
		close(filler[--n]);
	fake_release(&f);
}

static void test_timeline(void)
{
	struct timeline t = {{0}};
	struct fake f;

	fake_init(&f, "timeline");
	f.len = sizeof(f.answer.msg);
	f.answer.msg.timeline.ns[TL_EXEC] = 77;
	err = (struct err)ERR_INIT;
	pthread_create(&f.thread, NULL, serve, &f);
	eq_int(container_timeline(&f.c, LONG_WAIT_MS, &t, &err), 0, "the timeline");
	pthread_join(f.thread, NULL);
	eq_int((intmax_t)t.ns[TL_EXEC], 77, "arrives");
	eq_int(f.got.type, CTL_TIMELINE, "by its request");
	f.len = sizeof(struct ctl_reply);
	pthread_create(&f.thread, NULL, serve, &f);
	eq_int(container_timeline(&f.c, LONG_WAIT_MS, &t, &err), -EPROTO,
		"a reply of the other kind");
	pthread_join(f.thread, NULL);
	f.len = 0;
	f.keep_open = true;
	err = (struct err)ERR_INIT;
	pthread_create(&f.thread, NULL, serve, &f);
	eq_int(container_timeline(&f.c, SHORT_WAIT_MS, &t, &err), -ETIMEDOUT, "none");
	pthread_join(f.thread, NULL);
	fake_release(&f);
}

static void test_halves(void)
{
	struct fake f;
	int sock;

	fake_init(&f, "halves");
	f.answer.msg.reply.errnum = EAGAIN;
	snprintf(f.answer.msg.reply.text, CTL_TEXT_MAX, "not yet");
	err = (struct err)ERR_INIT;
	pthread_create(&f.thread, NULL, serve, &f);
	sock = container_send(&f.c, CTL_START, 3, &err);
	ok(sock >= 0, "sent");
	eq_int(container_receive(&f.c, sock, &err), -EAGAIN, "received");
	eq_str(err.msg, "not yet", "what the VMM says");
	pthread_join(f.thread, NULL);
	eq_int(f.got.type, CTL_START, "what it got");
	eq_int(f.got.arg, 3, "with its argument");
	close(sock);
	fake_release(&f);
}

static const struct {
	uint32_t phase;
	enum container_status want;
} phases[] = {
	{VM_BOOTING, CONTAINER_CREATING},
	{VM_CREATED, CONTAINER_CREATED},
	{VM_RUNNING, CONTAINER_RUNNING},
	{VM_STOPPED, CONTAINER_STOPPED},
};

/* Its VMM is a process that lives. */
static void fake_lives(struct fake *f)
{
	f->c.state.pid = getpid();
	cstate_pid_start(getpid(), &f->c.state.pid_start_ticks);
	f->c.has_state = true;
}

static void test_status(void)
{
	struct fake f;

	fake_init(&f, "status");
	fake_lives(&f);
	for (size_t i = 0; i < ARRAY_SIZE(phases); i++) {
		f.answer.msg.reply.phase = phases[i].phase;
		pthread_create(&f.thread, NULL, serve, &f);
		eq_int(container_status(&f.c), phases[i].want,
			container_status_name(phases[i].want));
		pthread_join(f.thread, NULL);
	}
	f.answer.msg.reply.version++;
	pthread_create(&f.thread, NULL, serve, &f);
	eq_int(container_status(&f.c), CONTAINER_RUNNING, "a VMM that is not understood runs");
	pthread_join(f.thread, NULL);
	fake_release(&f);
}

struct ending {
	struct fake f;
	unsigned
		n; /* connections that get no answer; the last one takes the listener along, or is answered */
	bool ends;
};

static void *serve_ending(void *arg)
{
	struct ending *e = arg;

	for (unsigned i = 0; i < e->n; i++) {
		int fd = accept4(e->f.listener, NULL, NULL, SOCK_CLOEXEC);

		if (e->ends && i == e->n - 1)
			close_fd(&e->f.listener);
		close(fd);
	}
	return e->ends ? NULL : serve(&e->f);
}

/* The process is there for as long as the kernel takes to free a VM's memory; its sockets are not. */
static void test_status_at_the_end(void)
{
	struct ending e = {.n = 3, .ends = true};

	fake_init(&e.f, "ending");
	fake_lives(&e.f);
	pthread_create(&e.f.thread, NULL, serve_ending, &e);
	eq_int(container_status(&e.f.c), CONTAINER_STOPPED,
		"a VMM that closes all connections and listens no more");
	pthread_join(e.f.thread, NULL);
	eq_int(container_status(&e.f.c), CONTAINER_STOPPED, "that listened no more already");
	fake_release(&e.f);

	e = (struct ending){.n = 3};
	fake_init(&e.f, "crowded");
	fake_lives(&e.f);
	e.f.answer.msg.reply.phase = VM_PAUSED;
	pthread_create(&e.f.thread, NULL, serve_ending, &e);
	eq_int(container_status(&e.f.c), CONTAINER_PAUSED,
		"one that makes room among its clients is asked again");
	pthread_join(e.f.thread, NULL);
	fake_release(&e.f);
}

/* As for a container whose state cannot be read: asked to end over one connection while another one
 * shows when nobody is left. */
static void *serve_end(void *arg)
{
	struct fake *f = arg;
	int first = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);

	serve(f);
	close(first);
	return NULL;
}

static void test_end_unknown(void)
{
	struct fake f;

	fake_init(&f, "end");
	pthread_create(&f.thread, NULL, serve_end, &f);
	container_end_unknown(&f.c);
	pthread_join(f.thread, NULL);
	eq_int(f.got.type, CTL_SIGNAL, "a signal");
	eq_int(f.got.arg, SIGKILL, "to end it");
	fake_release(&f);
}

int main(void)
{
	test_dir_make();
	test_request();
	test_bad_answers();
	test_text_without_end();
	test_silence();
	test_full_backlog();
	test_timeline();
	test_halves();
	test_status();
	test_status_at_the_end();
	test_end_unknown();
	return tap_done();
}
