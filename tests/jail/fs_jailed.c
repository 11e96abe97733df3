/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked to the file server's unit tests with --wrap: each server's requests are served by a thread
 * of its own, in a mount namespace that holds the share only, without sockets (Landlock), under the policy "fs",
 * while the test itself stays free to look at the tree. As in a worker (vmm/jail.c), but for the descriptors, which
 * the test shares.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base.h"
#include "seccomp/policy.h"
#include "vmm/confine.h"
#include "vmm/virtio/fs/server.h"

#define SERVERS_MAX 64

struct jailed {
	struct fs_thread *t; /* NULL: a free place; the thread stays, its server is gone */
	int jail_fd;
	struct err *err;
	const struct virtq_chain *chain; /* a request, or NULL */
	uint32_t *ret_written;
	int result;
	bool done;
};

/* A server's first thread, from which the others have their root: it has nothing else to do. */
struct home {
	struct fs_server *fs;
	int root_fd;
	struct fs_thread opened; /* its view of its descriptors, which is theirs, too */
	struct jailed *wanted;   /* a thread to create, or NULL */
	bool over;               /* the server is gone */
	struct err *err;
	int result;
	bool done;
};

static struct home home[SERVERS_MAX];
static unsigned n_homes;
static int empty_ns = -1;
static struct jailed server[SERVERS_MAX];
static unsigned n_servers;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

int __real_fs_serve(struct fs_thread *t, const struct virtq_chain *chain, uint32_t *ret_written);
int __wrap_fs_serve(struct fs_thread *t, const struct virtq_chain *chain, uint32_t *ret_written);
int __real_fs_thread_enter(struct fs_thread *t, int jail_fd, struct err *err);
int __wrap_fs_thread_enter(struct fs_thread *t, int jail_fd, struct err *err);
int __real_fs_server_init(struct fs_server *fs, int root_fd, struct err *err);
int __wrap_fs_server_init(struct fs_server *fs, int root_fd, struct err *err);
void __real_fs_server_release(struct fs_server *fs);
void __wrap_fs_server_release(struct fs_server *fs);

static void answer(struct jailed *j, int result)
{
	pthread_mutex_lock(&lock);
	j->result = result;
	j->done = true;
	j->chain = NULL;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void *serve(void *arg)
{
	struct jailed *j = arg;
	int r = __real_fs_thread_enter(j->t, j->jail_fd, j->err);

	/* Seen from inside the share: there is no other file. */
	if (r == 0 && (access("/etc/passwd", F_OK) == 0 || access("/proc/self", F_OK) == 0 ||
			      access("/rootfs", F_OK) < 0))
		r = err_plain(j->err, EXDEV, "the file server's root is not the share");
	if (r == 0)
		r = confine_landlock(CONFINE_SOCKETS, j->err);
	if (r == 0)
		r = policy_install("fs", j->err);
	answer(j, r);
	while (r == 0) {
		const struct virtq_chain *chain;

		pthread_mutex_lock(&lock);
		while (!j->chain)
			pthread_cond_wait(&changed, &lock);
		chain = j->chain;
		pthread_mutex_unlock(&lock);
		answer(j, __real_fs_serve(j->t, chain, j->ret_written));
	}
	return NULL;
}

static int wait_for(struct jailed *j)
{
	while (!j->done)
		pthread_cond_wait(&changed, &lock);
	j->done = false;
	return j->result;
}

int __wrap_fs_serve(struct fs_thread *t, const struct virtq_chain *chain, uint32_t *ret_written)
{
	int r = -1;

	pthread_mutex_lock(&lock);
	for (unsigned i = n_servers; i-- > 0;) { /* the latest, when memory is used again */
		if (server[i].t != t)
			continue;
		server[i].chain = chain;
		server[i].ret_written = ret_written;
		pthread_cond_broadcast(&changed);
		r = wait_for(&server[i]);
		break;
	}
	pthread_mutex_unlock(&lock);
	return r;
}

static void *live(void *arg)
{
	struct home *h = arg;
	pthread_t thread;
	int r = fs_thread_open(&h->opened, true, h->err);

	if (r == 0)
		r = confine_tree(h->root_fd, empty_ns, h->err);
	pthread_mutex_lock(&lock);
	h->result = r;
	h->done = true;
	pthread_cond_broadcast(&changed);
	for (;;) {
		while (!h->wanted && !h->over)
			pthread_cond_wait(&changed, &lock);
		if (h->over)
			break;
		if (pthread_create(&thread, NULL, serve, h->wanted) != 0)
			exit(1);
		pthread_detach(thread);
		h->wanted = NULL;
		pthread_cond_broadcast(&changed);
	}
	pthread_mutex_unlock(&lock);
	return NULL;
}

__attribute__((constructor)) static void prepare(void)
{
	struct err err = ERR_INIT;

	if (policy_init(STDERR_FILENO, false, &err) < 0 ||
		confine_make_empty_ns(&empty_ns, &err) < 0) {
		printf("Bail out! %s\n", err.msg);
		exit(1);
	}
}

/* The caller's root_fd leads to the share in its own namespace from now on. */
int __wrap_fs_server_init(struct fs_server *fs, int root_fd, struct err *err)
{
	struct home *h = &home[n_homes];
	pthread_t thread;

	if (n_homes == SERVERS_MAX)
		exit(1);
	*h = (struct home){.fs = fs, .root_fd = root_fd, .err = err};
	n_homes++;
	if (pthread_create(&thread, NULL, live, h) != 0)
		exit(1);
	pthread_detach(thread);
	pthread_mutex_lock(&lock);
	while (!h->done)
		pthread_cond_wait(&changed, &lock);
	pthread_mutex_unlock(&lock);
	return h->result < 0 ? h->result : __real_fs_server_init(fs, root_fd, err);
}

static struct home *home_of(const struct fs_server *fs)
{
	for (unsigned i = n_homes; i-- > 0;) /* the latest, when memory is used again */
		if (home[i].fs == fs)
			return &home[i];
	exit(1);
}

void __wrap_fs_server_release(struct fs_server *fs)
{
	struct home *h = home_of(fs);

	pthread_mutex_lock(&lock);
	h->over = true;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
	fs_thread_leave(&h->opened);
	__real_fs_server_release(fs);
}

int __wrap_fs_thread_enter(struct fs_thread *t, int jail_fd, struct err *err)
{
	struct home *h = home_of(t->fs);
	struct jailed *j;
	int r;

	umask(0); /* the tests are used to the server's */
	pthread_mutex_lock(&lock);
	if (n_servers == SERVERS_MAX)
		exit(1);
	t->proc_fd = fcntl(h->opened.proc_fd, F_DUPFD_CLOEXEC, 0);
	j = &server[n_servers++];
	*j = (struct jailed){.t = t, .jail_fd = jail_fd, .err = err};
	while (h->wanted) /* of another of its threads */
		pthread_cond_wait(&changed, &lock);
	h->wanted = j;
	pthread_cond_broadcast(&changed);
	r = wait_for(j);
	pthread_mutex_unlock(&lock);
	return r;
}
