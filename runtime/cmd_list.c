/* SPDX-License-Identifier: Apache-2.0 */
/* coracle list: all containers of a root, as a table, as JSON, or their ids. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "runtime/command.h"
#include "runtime/log.h"

struct listing {
	struct container *c;
	struct cstate_row *rows;
	size_t n;
};

static int not_hidden(const struct dirent *e)
{
	return strcmp(e->d_name, ".") && strcmp(e->d_name, "..");
}

/* What cannot be read is told and left out: one broken container must not hide the others. */
static void add(struct listing *l, const char *root, const char *id)
{
	struct container *c = &l->c[l->n];
	struct err err = ERR_INIT;

	*c = (struct container)CONTAINER_INIT;
	if (container_open(c, root, id, false, &err) < 0) {
		if (err.errnum != ENOENT)
			log_msg(LOG_LEVEL_WARNING, "%s", err.msg);
		container_release(c);
		return;
	}
	if (!c->has_state) {
		container_release(c);
		return;
	}
	l->rows[l->n].state = &c->state;
	l->rows[l->n].status = container_status_name(container_status(c));
	l->n++;
	close_fd(&c->dir_fd);
	close_fd(&c->root_fd);
}

static int print_listing(const struct listing *l, const char *format, bool quiet, struct err *err)
{
	int r;

	if (quiet) {
		for (size_t i = 0; i < l->n; i++)
			printf("%s\n", l->rows[i].state->id);
		return 0;
	}
	r = strcmp(format, "json") ? cstate_list_table(stdout, l->rows, l->n)
				   : cstate_list_json(stdout, l->rows, l->n);
	return r < 0 ? err_set(err, -r, "cannot print the list") : 0;
}

static int list_root(const char *root, const char *format, bool quiet, struct err *err)
{
	struct dirent **names = NULL;
	int count = scandir(root, &names, not_hidden, alphasort);
	struct listing l = {0};
	int r;

	if (count < 0 && errno != ENOENT)
		return err_set(err, errno, "cannot read '%s'", root);
	count = MAX(count, 0);
	l.c = calloc((size_t)count + 1, sizeof(*l.c));
	l.rows = calloc((size_t)count + 1, sizeof(*l.rows));
	for (int i = 0; i < count; i++) {
		if (l.c && l.rows)
			add(&l, root, names[i]->d_name);
		free(names[i]);
	}
	free(names);
	r = l.c && l.rows ? print_listing(&l, format, quiet, err)
			  : err_set(err, ENOMEM, "cannot list '%s'", root);
	for (size_t i = 0; i < l.n; i++)
		container_release(&l.c[i]);
	free(l.c);
	free(l.rows);
	return r;
}

int cmd_list(const struct global *g, int argc, char **argv, struct err *err)
{
	const char *format = "table";
	bool quiet = false;
	const struct option_def options[] = {
		{"format", 'f', OPTION_STRING, "FORMAT", "table (default) or json", &format},
		{"quiet", 'q', OPTION_FLAG, NULL, "ids only", &quiet},
	};
	const struct usage u = {
		"list [OPTION]...", "Lists the containers.", options, ARRAY_SIZE(options)};
	int first = options_parse(&u, argc, argv, err);

	if (first <= 0)
		return first;
	if (strcmp(format, "table") && strcmp(format, "json"))
		return err_plain(err, EINVAL, "--format: expected table or json, got '%s'", format);
	return container_check_root(g->root, err) < 0 ? -err->errnum
						      : list_root(g->root, format, quiet, err);
}
