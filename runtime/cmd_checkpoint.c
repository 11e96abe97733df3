/* SPDX-License-Identifier: Apache-2.0 */
/* coracle checkpoint and restore: runc's, refused by name. Engines ask for them when their users do. */
#include <errno.h>
#include <limits.h>

#include "runtime/command.h"

int cmd_checkpoint(const struct global *g, int argc, char **argv, struct err *err)
{
	const struct usage u = {
		argv[0][0] == 'c' ? "checkpoint ID" : "restore ID",
		"Refused: CRIU saves processes of the host's kernel, and the container's are a "
		"guest's.",
		.max = INT_MAX,
	};
	int argc_help = argc > 1 ? 2 : 1; /* only --help is looked at: runc's options are many */
	int r = options_parse(&u, argc_help, argv, err);

	(void)g;
	if (r == 0)
		return 0;
	*err = (struct err)ERR_INIT;
	return err_plain(err, EOPNOTSUPP, "%s is not supported: a VM cannot be saved", argv[0]);
}
