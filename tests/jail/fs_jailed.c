/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Linked to the file server's unit tests with --wrap: each server's requests are served by a thread
 * of its own, under the policy "fs", while the test itself stays free to look at the tree.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "seccomp/policy.h"
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

static struct jailed server[SERVERS_MAX];
static unsigned n_servers;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;

int __real_fs_serve(struct fs_thread *t, const struct virtq_chain *chain, uint32_t *ret_written);
int __wrap_fs_serve(struct fs_thread *t, const struct virtq_chain *chain, uint32_t *ret_written);
int __real_fs_thread_enter(struct fs_thread *t, int jail_fd, struct err *err);
int __wrap_fs_thread_enter(struct fs_thread *t, int jail_fd, struct err *err);

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

int __wrap_fs_thread_enter(struct fs_thread *t, int jail_fd, struct err *err)
{
	static bool reporting;
	struct jailed *j = &server[n_servers];
	pthread_t thread;
	int r;

	if (n_servers == SERVERS_MAX)
		exit(1);
	if (!reporting && policy_init(STDERR_FILENO, false, err) < 0)
		exit(1);
	reporting = true;
	*j = (struct jailed){.t = t, .jail_fd = jail_fd, .err = err};
	n_servers++;
	umask(0); /* the tests are used to the server's */
	if (pthread_create(&thread, NULL, serve, j) != 0)
		exit(1);
	pthread_detach(thread);
	pthread_mutex_lock(&lock);
	r = wait_for(j);
	pthread_mutex_unlock(&lock);
	return r;
}
