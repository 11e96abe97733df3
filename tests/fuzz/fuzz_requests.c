/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What commands on a running container read: the process.json of exec, and the resources of update, over a
 * resources.json that somebody tampered with. The input is a process and a change; behind a NUL stands what the
 * state directory holds. What is accepted must encode, a process also decode to the same.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lib/base.h"
#include "lib/buf.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "lib/proto.h"
#include "oci/exec_process.h"
#include "oci/update.h"

static char state_path[] = "/tmp/coracle-fuzz-XXXXXX";
static int state_dir = -1;

static void check_message(const char *msg)
{
	BUG_ON(strpbrk(msg, "\n\r\033"));
}

static void on_warning(void *arg, const char *msg)
{
	check_message(msg);
}

static const struct spec_opts strict = {.warn = on_warning},
			      lenient = {
				      .warn = on_warning, .lenient = true, .allow_terminal = true};

static void remove_state(void)
{
	unlinkat(state_dir, UPDATE_FILE, 0);
	rmdir(state_path);
}

static int file_of(const uint8_t *data, size_t len)
{
	int fd = memfd_with("request", data, len, 0);

	BUG_ON(fd < 0);
	return fd;
}

static void put_state(const char *text, size_t len)
{
	autofd int fd = openat(state_dir, UPDATE_FILE,
		O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);

	BUG_ON(fd < 0 || write_full(fd, text, len) < 0);
}

static void check_process(const struct exec_process *p)
{
	autofree uint8_t *buf = NULL;
	struct garena arena = {0};
	struct err err = ERR_INIT;
	struct gproc got;
	const char *what;
	struct rbuf b;
	size_t len;

	if (exec_process_encode(p, &buf, &len, &err))
		return; /* too long once translated */
	arena.cap = gspec_arena_bytes(len);
	arena.mem = aligned_alloc(16, (arena.cap + 15) & ~(size_t)15);
	b = rbuf_of(buf, len);
	BUG_ON(gproc_decode(&b, &arena, &got, &what));
	BUG_ON(got.args.n != p->proc.args.n || got.env.n != p->proc.env.n ||
		got.uid != p->proc.uid || strcmp(got.cwd, p->proc.cwd));
	free(arena.mem);
}

static void try_process(const uint8_t *data, size_t len, const struct spec_opts *opts)
{
	autofd int fd = file_of(data, len);
	struct err err = ERR_INIT;
	struct exec_process p;
	int r = exec_process_read(&p, fd, opts, &err);

	BUG_ON(!r != !err_is_set(&err));
	check_message(err.msg);
	if (!r) {
		p.proc.cgroup = "";
		check_process(&p);
	}
	exec_process_release(&p);
}

static void try_update(const uint8_t *data, size_t len, const struct spec_opts *opts)
{
	static uint8_t buf[PROTO_ASK_MAX];
	autofd int fd = file_of(data, len);
	struct err err = ERR_INIT;
	struct update u;
	int r = update_load(&u, state_dir, &err);

	if (!r)
		r = update_read(&u, fd, &err);
	if (!r)
		r = update_merge(&u, opts, &err);
	BUG_ON(!r != !err_is_set(&err));
	if (!r && u.n_guest)
		(void)update_encode(&u, buf, sizeof(buf), &len, &err); /* or does not fit */
	check_message(err.msg);
	/* What is noted has to be what the next update can read. */
	if (!r && !update_save(&u, state_dir, false, &err)) {
		update_release(&u);
		BUG_ON(update_load(&u, state_dir, &err));
	}
	update_release(&u);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const uint8_t *nul = memchr(data, '\0', len);
	size_t n = nul ? (size_t)(nul - data) : len;

	if (state_dir < 0) {
		BUG_ON(!mkdtemp(state_path));
		state_dir = open(state_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		atexit(remove_state);
	}
	try_process(data, n, &strict);
	try_process(data, n, &lenient);
	for (int i = 0; i < 2; i++) {
		if (nul)
			put_state((const char *)nul + 1, len - n - 1);
		else
			put_state("{}", 2);
		try_update(data, n, i ? &lenient : &strict);
	}
	return 0;
}
