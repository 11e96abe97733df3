/* SPDX-License-Identifier: Apache-2.0 */
/* coracle-init: the guest's first process. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/reboot.h>
#include <unistd.h>

#include "init/agent.h"
#include "init/fail.h"
#include "init/guest.h"
#include "init/log.h"
#include "init/namespaces.h"
#include "lib/gspec.h"
#include "lib/proto.h"

/* In .bss: costs memory only as far as the spec reaches. The arena's bound is gspec_arena_bytes().
 */
static uint8_t spec_bytes[GSPEC_BYTES_MAX + 1];
static _Alignas(16) uint8_t arena_bytes[GSPEC_ARENA_MAX];

static int decode_spec(size_t len, struct gspec *spec, struct err *err)
{
	struct garena arena = {.mem = arena_bytes, .cap = sizeof(arena_bytes)};
	struct rbuf b = rbuf_of(spec_bytes, len);
	const char *what = "";
	int r = gspec_decode(&b, &arena, spec, &what);

	return r < 0 ? fail(err, -r, "the container specification's %s", what) : 0;
}

static int open_streams(struct init_env *env, const struct gspec *spec, struct err *err)
{
	static const uint32_t null_flags[3] = {
		GPROC_STDIN_NULL, GPROC_STDOUT_NULL, GPROC_STDERR_NULL};

	for (unsigned i = 0; i < 3; i++) {
		/* With a terminal there is one stream each way. */
		if ((spec->proc.flags & null_flags[i]) ||
			((spec->proc.flags & GPROC_TERMINAL) && i == 2))
			continue;
		env->streams[i] = guest_connect(PROTO_PORT_STDIN + i, err);
		if (env->streams[i] < 0)
			return env->streams[i];
	}
	return 0;
}

static int say_hello(int control, uint64_t init_ns, struct err *err)
{
	struct proto_hello m = {.version = PROTO_VERSION, .init_ns = init_ns};
	int r = guest_connected(control, err);

	if (r < 0)
		return r;
	m.now_ns = boot_ns();
	r = proto_send(control, PROTO_HELLO, &m, sizeof(m));
	return r < 0 ? fail(err, -r, "cannot send HELLO") : 0;
}

/* Everything that does not need the host's answers, while the control channel connects. */
static int set_up(struct init_env *env, struct gspec *spec, struct err *err)
{
	size_t len;
	int r = guest_read_spec(spec_bytes, sizeof(spec_bytes), &len, err);

	if (r == 0)
		r = decode_spec(len, spec, err);
	if (r == 0)
		r = open_streams(env, spec, err);
	if (r == 0)
		r = guest_make_base(env, spec->flags & GSPEC_DEBUG, err);
	if (r == 0 && (spec->namespaces & GNS_NET))
		r = ns_loopback_up(err);
	return r;
}

static void serve(uint64_t init_ns)
{
	static struct init_env env = {
		.control = -1, .streams = {-1, -1, -1}, .share = -1, .cgroup = -1};
	static struct gspec spec;
	struct err err = ERR_INIT, hello_err = ERR_INIT;
	int r;

	env.control = guest_connect(PROTO_PORT_CONTROL, &hello_err);
	r = set_up(&env, &spec, &err);
	if (env.control < 0 || say_hello(env.control, init_ns, &hello_err) < 0) {
		log_msg("%s", hello_err.msg);
		return;
	}
	if (r == 0)
		r = guest_mount(&env, &err);
	if (r == 0) {
		agent_run(&env, &spec);
	} else {
		agent_fail(env.control, &err);
		agent_wait(env.control);
	}
	log_msg("the host has closed the control channel");
}

static int not_a_command(void)
{
	fprintf(stderr, "coracle-init is the first process of a Coracle guest, not a command\n");
	return 2;
}

int main(void)
{
	uint64_t init_ns = boot_ns();

	if (getpid() != 1)
		return not_a_command();
	guest_fill_stdio();
	serve(init_ns);
	/* Nobody is there to talk to: end the VM. A machine without ACPI cannot power off, so
	 * reset. */
	reboot(RB_AUTOBOOT);
	/* The first process of a container, whose image named it by /proc/self/exe. */
	return not_a_command();
}
