/* SPDX-License-Identifier: Apache-2.0 */
/* coracle create: the VM boots, the container is prepared, its program waits for `start`. */
#include <errno.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "runtime/command.h"
#include "runtime/launch.h"
#include "runtime/signals.h"

int cmd_create(const struct global *g, int argc, char **argv, struct err *err)
{
	struct container c = CONTAINER_INIT;
	struct launch l = LAUNCH_INIT;
	const struct option_def options[] = {LAUNCH_OPTIONS(&l)};
	const struct usage u = {"create [OPTION]... ID",
		"Boots a VM for the bundle's container. Its program runs after `coracle start ID`.",
		options, ARRAY_SIZE(options), 1, 1};
	int first = options_parse(&u, argc, argv, err);
	autofd int sfd = -1;
	int r;

	if (first <= 0)
		return first;
	l.detach = true;
	l.signal_fd = sfd = signals_open();
	if (sfd < 0)
		return err_set(err, errno, "cannot make a signalfd");
	r = launch_container(&l, g, argv[first], &c, err);
	close_fd(&l.report_fd);
	container_release(&c);
	return r;
}
