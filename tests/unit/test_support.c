/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The support table against the specification, against the parser and against docs/oci-support.md.
 * `test_support --print` prints the tables for that page.
 */
#include "oci/support.h"

#include <errno.h>

#include "lib/base.h"
#include "oci/mounts.h"
#include "tests/tap.h"
#include "tests/unit/oci_config.h"
#include "tests/unit/spec_fields.h"

static bool refused(const struct field *f)
{
	return f->support == SUPPORT_REFUSED || f->support == SUPPORT_FOREIGN;
}

/* The nearest row above path, or NULL. */
static const struct field *row_above(const char *path)
{
	char buf[256];

	snprintf(buf, sizeof(buf), "%s", path);
	for (;;) {
		char *dot = strrchr(buf, '.'), *bracket = strrchr(buf, '[');
		char *cut = dot > bracket ? dot : bracket;
		const struct field *f;

		if (!cut)
			return NULL;
		*cut = '\0';
		f = support_find(buf);
		if (f)
			return f;
	}
}

static void test_complete(void)
{
	unsigned missing = 0, stray = 0;

	for (size_t i = 0; i < ARRAY_SIZE(spec_fields); i++) {
		const char *path = spec_fields[i].path;
		const struct field *above = row_above(path);

		/* Only a refused row speaks for what is below it. */
		if (support_find(path) || (above && refused(above)))
			continue;
		missing++;
		printf("# no row for %s (since %s)\n", path, spec_fields[i].since);
	}
	eq_int(missing, 0, "every field of the specification has a row");
	for (size_t i = 0; i < support_rows; i++) {
		const char *path = support_table[i].path;
		bool found = strchr(path, '*') || !strncmp(path, "vm.hwConfig", 11);

		for (size_t j = 0; !found && j < ARRAY_SIZE(spec_fields); j++)
			found = !strcmp(spec_fields[j].path, path);
		for (size_t j = 0; j < i; j++)
			found = found && strcmp(support_table[j].path, path);
		stray += !found;
		if (!found)
			printf("# %s is no field of the specification, or there twice\n", path);
	}
	eq_int(stray, 0, "every row is a field of the specification");
	for (size_t i = 0; i < support_rows; i++) {
		const struct field *above = row_above(support_table[i].path);
		size_t n = above ? strlen(above->path) : 0;

		/* The walk relies on it: what is below a row follows it, with nothing between. */
		for (const struct field *f = above; f && f <= &support_table[i]; f++)
			if (strncmp(f->path, above->path, n))
				ok(false, "%s stands apart from %s", support_table[i].path,
					above->path);
		if (above && refused(above) && !refused(&support_table[i]))
			ok(false, "%s is below a refused row", support_table[i].path);
	}
}

/* The path as it appears in full_config: first elements, key "k" in maps; unified wants a file's
 * name. */
static void example_path(const char *path, char *ret, char *ret_named)
{
	char *p = ret, *q = ret_named;

	for (; *path; path++) {
		if (path[0] == '[' && path[1] == ']') {
			p = stpcpy(p, "[0]");
			q = stpcpy(q, "[0]");
			path++;
		} else if (*path == '*') {
			*p++ = 'k';
			*q++ = 'k';
		} else {
			*p++ = *path;
			*q++ = *path;
		}
	}
	*p = *q = '\0';
}

/* No field of the specification is a fraction, so 1.5 is of the wrong type anywhere. */
static void test_supported_are_read(void)
{
	char path[256], named[256];

	container_spec_free(config_parse(full_config));
	eq_str(last_err.msg, "", "the configuration with everything is accepted");
	eq_str(warnings, "", "without a warning");
	container_spec_free(config_parse(least_config));
	eq_str(last_err.msg, "", "the one with the least as well");
	for (size_t i = 0; i < support_rows; i++) {
		const struct field *f = &support_table[i];
		const char *says;

		if (refused(f) || !strcmp(f->path, "linux.resources.unified.*"))
			continue;
		example_path(f->path, path, named);
		says = config_says(path, "1.5");
		ok(strstr(says, named) && strstr(says, "got a number with a fraction"), "%s: '%s'",
			f->path, says);
	}
	has_str(config_says("linux.resources.unified", "{\"memory.high\":1.5}"),
		"linux.resources.unified[\"memory.high\"]: expected a string");
}

static void test_one_refused(const struct field *f)
{
	static const char *const empty[] = {"null", "\"\"", "[]", "{}", "false", "0"};
	char path[256], named[256], want[320], *text;
	struct container_spec *spec;

	example_path(f->path, path, named);
	snprintf(want, sizeof(want), "config.json: %s is not supported", named);
	text = config_edit(full_config, path, "\"x\"");
	spec = config_parse(text);
	ok(!spec && last_err.errnum == ENOTSUP && !strncmp(last_err.msg, want, strlen(want)) &&
			strstr(last_err.msg, "--lenient"),
		"%s: '%s'", f->path, last_err.msg);
	container_spec_free(spec);
	spec = config_parse_with(text, true, false);
	ok(spec && n_warnings == 1 && !strncmp(warnings, want, strlen(want)),
		"%s: accepted when lenient, '%s'", f->path, warnings);
	container_spec_free(spec);
	free(text);
	for (size_t i = 0; i < ARRAY_SIZE(empty); i++) {
		bool counts =
			f->zero_counts && (!strcmp(empty[i], "0") || !strcmp(empty[i], "false"));

		/* cgroupsPath is read already, so its type is checked */
		if (!strcmp(f->path, "linux.cgroupsPath") && i > 1)
			continue;
		text = config_edit(full_config, path, empty[i]);
		spec = config_parse(text);
		if (!spec != counts)
			ok(false, "%s: %s is the same as absent: '%s'", f->path, empty[i],
				last_err.msg);
		container_spec_free(spec);
		free(text);
	}
}

static void test_refused_are_named(void)
{
	for (size_t i = 0; i < support_rows; i++) {
		const struct field *f = &support_table[i], *above = row_above(f->path);

		if (refused(f) && !(above && refused(above)))
			test_one_refused(f);
	}
	eq_str(config_says("linux.resources.memory.kernel", "-1"), "", "no limit is met");
	eq_str(config_says("linux.resources.memory.kernelTCP", "-1"), "", "likewise");
	has_str(config_says("linux.resources.memory.kernel", "-2"),
		"memory.kernel is not supported");
	has_str(config_says("linux.resources.cpu.realtimeRuntime", "-1"), "is not supported");
	eq_str(config_says("hooks", "{\"prestart\":[],\"poststop\":[]}"), "",
		"no hooks are no hooks");
	eq_str(config_says("process.ioPriority", "{\"class\":\"\",\"priority\":0}"), "",
		"zero values");
}

static void warned(const char *path, const char *value, const char *warning)
{
	struct container_spec *spec = config_try(path, value);

	ok(spec && strstr(warnings, warning), "%s: '%s'", path, warnings);
	container_spec_free(spec);
}

static void test_unknown_are_warned(void)
{
	struct container_spec *spec;
	char *text, path[32];

	warned("fooBar", "{\"a\":[1.5]}", "config.json: unknown field fooBar is ignored;");
	warned("linux.fooBar", "1", "unknown field linux.fooBar is ignored;");
	warned("Process", "{}", "unknown field Process is ignored;");
	warned("mounts[0].foo", "1", "unknown field mounts[0].foo is ignored;");
	warned("process.rlimits[0].foo", "1", "unknown field process.rlimits[0].foo is ignored;");
	warned("linux.resources.memory.foo", "1", "unknown field linux.resources.memory.foo");
	/* a key with a dot is not a path */
	text = config_edit(
		full_config, "process", "{\"cwd\":\"/\",\"args\":[\"a\"],\"user.uid\":1}");
	spec = config_parse(text);
	ok(spec && strstr(warnings, "unknown field process[\"user.uid\"]"), "dots: '%s'", warnings);
	container_spec_free(spec);
	free(text);
	text = strdup(full_config);
	for (unsigned i = 0; i < 100; i++) {
		char *more;

		snprintf(path, sizeof(path), "x%u", i);
		more = config_edit(text, path, "1");
		free(text);
		text = more;
	}
	spec = config_parse(text);
	ok(spec && n_warnings == 33 && strstr(warnings, "68 more unknown fields"),
		"a hundred unknown fields give %u warnings", n_warnings);
	container_spec_free(spec);
	free(text);
}

static const char *option_effect(const struct mount_option *o)
{
	switch (o->kind) {
	case MOPT_SET: return "sets a flag";
	case MOPT_CLEAR: return "clears a flag";
	case MOPT_SET_REC: return "sets a flag, also below";
	case MOPT_CLEAR_REC: return "clears a flag, also below";
	case MOPT_PROPAGATION: return "propagation";
	case MOPT_BIND: return "bind mount";
	case MOPT_COPY_UP: return "tmpfs only";
	case MOPT_IDMAP:
		return o->value ? "bind mounts: ids mapped by the host, also below"
				: "bind mounts: ids mapped by the host";
	case MOPT_REMOUNT: return "changes what is mounted there";
	}
	return "refused";
}

static int print_tables(FILE *f)
{
	int r = support_print(f);

	fprintf(f, "\n## Mount options\n\n| option | effect |\n|---|---|\n");
	for (size_t i = 0; i < mount_options_n; i++)
		fprintf(f, "| `%s` | %s |\n", mount_options[i].name,
			option_effect(&mount_options[i]));
	return r;
}

/* docs/ beside the source tree this was compiled in; meson runs tests in the build directory, which
 * is what __FILE__ is relative to. */
static FILE *open_page(void)
{
	char path[4096];
	const char *end = strstr(__FILE__, "tests/unit/");

	snprintf(path, sizeof(path), "%.*sdocs/oci-support.md", (int)(end - __FILE__), __FILE__);
	return fopen(path, "re");
}

static void test_page(void)
{
	FILE *page = open_page(), *f;
	char *want = NULL, *got;
	size_t want_len, len;

	if (!ok(page, "docs/oci-support.md is there"))
		return;
	f = open_memstream(&want, &want_len);
	eq_int(print_tables(f), 0, "tables printed");
	fclose(f);
	got = calloc(1, 1 << 20);
	len = fread(got, 1, (1 << 20) - 1, page);
	fclose(page);
	ok(len && strstr(got, want), "docs/oci-support.md holds the tables of the code (else put "
				     "`test_support --print` there)");
	free(got);
	free(want);
}

int main(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "--print"))
		return print_tables(stdout) != 0;
	test_complete();
	test_supported_are_read();
	test_refused_are_named();
	test_unknown_are_warned();
	test_page();
	return tap_done();
}
