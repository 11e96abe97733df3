/* SPDX-License-Identifier: Apache-2.0 */
/* coracle ps: as a table the container's own processes, with the numbers they have there; as JSON the pids of
 * the host's processes that stand for the container: the VMM and the exec proxies, which engines know. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "oci/json.h"
#include "runtime/ask.h"
#include "runtime/command.h"
#include "runtime/exec_mark.h"
#include "runtime/ps_table.h"

#define PROCESSES_MAX 65536u /* what a guest may list */

/* What ps(1) shows when asked with the letter x alone. */
static bool wants_states(int argc, char **argv)
{
	bool x = false;

	for (int i = 0; i < argc; i++) {
		if (strpbrk(argv[i], "fFul"))
			return false;
		x = x || strchr(argv[i], 'x');
	}
	return x;
}

/* runc hands further arguments to ps(1). Of these, the ones that only select are what we print anyway. */
static int check_ps_options(int argc, char **argv, struct err *err)
{
	for (int i = 0; i < argc; i++) {
		const char *letters = argv[i] + (argv[i][0] == '-');

		if (!*letters || letters[strspn(letters, "aAdefFuxwl")])
			return err_plain(err, EOPNOTSUPP,
				"ps option '%.100s' is not supported: the table is that of ps -ef "
				"or "
				"ps -ex",
				argv[i]);
	}
	return 0;
}

struct table {
	bool states;
	uint64_t now_s;
	uint32_t n;
};

static int print_processes(void *arg, const void *data, size_t len, struct err *err)
{
	struct proto_process p;
	struct table *t = arg;
	size_t n = len / sizeof(p);

	if (!n || len % sizeof(p))
		return err_plain(err, EPROTO, "the guest's list of processes is malformed");
	if (n > PROCESSES_MAX - t->n)
		return err_plain(
			err, EPROTO, "the guest lists more than %u processes", PROCESSES_MAX);
	t->n += (uint32_t)n;
	for (size_t i = 0; i < n; i++) {
		memcpy(&p, (const char *)data + i * sizeof(p), sizeof(p));
		if (t->states)
			ps_states_row(stdout, &p);
		else
			ps_table_row(stdout, &p, t->now_s);
	}
	return 0;
}

/* Of a container that has ended the head alone, as in runc. */
static int print_table(const struct container *c, bool states, bool ended, struct err *err)
{
	struct table t = {.states = states, .now_s = (uint64_t)time(NULL)};

	printf("%s\n", states ? PS_STATES_HEAD : PS_TABLE_HEAD);
	return ended ? 0 : ask_guest(c, PROTO_ASK_PROCESSES, -1, print_processes, &t, err);
}

static int print_json(const struct container *c, bool ended, struct err *err)
{
	autofree pid_t *pids = NULL;
	bool ok = true;
	struct json_object *a;
	size_t n = 0;
	int r = ended ? 0 : exec_mark_list(c, &pids, &n, err);

	if (r < 0)
		return r;
	a = jnew_array(&ok);
	if (!ended)
		jadd(a, json_object_new_int64(c->state.pid), &ok);
	for (size_t i = 0; i < n; i++)
		jadd(a, json_object_new_int64(pids[i]), &ok);
	r = ok ? json_print(stdout, a, JSON_COMPACT) : -ENOMEM;
	json_object_put(a);
	return r < 0 ? err_set(err, -r, "cannot print the processes") : 0;
}

static int ps(const struct container *c, const char *format, bool states, struct err *err)
{
	bool json = !strcmp(format, "json"), ended = false;

	if (!json && strcmp(format, "table"))
		return err_plain(err, EINVAL, "invalid format option");
	switch (container_status(c)) {
	case CONTAINER_STOPPED: ended = true; break;
	case CONTAINER_CREATED:
	case CONTAINER_RUNNING:
	case CONTAINER_PAUSED: break;
	case CONTAINER_CREATING: return err_plain(err, ESRCH, "container not running");
	}
	return json ? print_json(c, ended, err) : print_table(c, states, ended, err);
}

int cmd_ps(const struct global *g, int argc, char **argv, struct err *err)
{
	const char *format = "table";
	const struct option_def options[] = {
		{"format", 'f', OPTION_STRING, "FORMAT",
			"table (default; the container's own pids) or json (the host's)", &format},
	};
	const struct usage u = {"ps [OPTION]... ID [PS OPTION]...",
		"Lists the processes of a container.", options, ARRAY_SIZE(options), 1, INT_MAX,
		.in_order = true};
	struct container c = CONTAINER_INIT;
	int first = command_open(&u, g, argc, argv, false, &c, err);
	int r;

	if (first <= 0)
		return first;
	r = check_ps_options(argc - first - 1, argv + first + 1, err);
	if (r >= 0)
		r = ps(&c, format, wants_states(argc - first - 1, argv + first + 1), err);
	container_release(&c);
	return r;
}
