/* SPDX-License-Identifier: Apache-2.0 */
/* coracle spec: writes a default config.json. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "oci/defaults.h"
#include "oci/json.h"
#include "runtime/command.h"

static int write_spec(const char *dir, bool rootless, struct err *err)
{
	autofd int dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct json_object *o;
	FILE *f;
	int fd, r;

	if (dir_fd < 0)
		return err_set(err, errno, "cannot open the bundle '%s'", dir);
	fd = openat(dir_fd, "config.json", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
	if (fd < 0 && errno == EEXIST)
		return err_plain(err, EEXIST, "file config.json exists: remove it first");
	if (fd < 0)
		return err_set(err, errno, "cannot make '%s/config.json'", dir);
	f = fdopen(fd, "w");
	o = defaults_json(rootless);
	r = f && o ? json_print(f, o, JSON_TABS) : -ENOMEM;
	json_object_put(o);
	if (f && fclose(f) != 0 && r >= 0)
		r = -errno;
	if (r < 0) {
		unlinkat(dir_fd, "config.json", 0);
		return err_set(err, -r, "cannot write '%s/config.json'", dir);
	}
	return 0;
}

int cmd_spec(const struct global *g, int argc, char **argv, struct err *err)
{
	const char *bundle = ".";
	bool rootless = false;
	const struct option_def options[] = {
		{"bundle", 'b', OPTION_STRING, "DIR", "where to write it (default: .)", &bundle},
		{"rootless", 0, OPTION_FLAG, NULL, "one that maps only this user", &rootless},
	};
	const struct usage u = {
		"spec [OPTION]...", "Writes a default config.json.", options, ARRAY_SIZE(options)};
	int first = options_parse(&u, argc, argv, err);

	(void)g;
	return first <= 0 ? first : write_spec(bundle, rootless, err);
}
