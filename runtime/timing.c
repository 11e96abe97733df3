/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/timing.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "lib/base.h"
#include "lib/cleanup.h"
#include "lib/fd.h"
#include "oci/json.h"

#define TIMING_VERSION 1
#define TIMING_MAX     (64u << 10) /* bytes of a timing file */
#define DURATION_MAX   (1ull << 62)

/* A phase ends at its point and starts where the one before ended. */
static const struct {
	enum timeline_point to;
	const char *name;
} phases[] = {
	{TL_SPEC, "spec"},
	{TL_NAMESPACES, "namespaces"},
	{TL_VMM, "vmm"},
	{TL_KVM, "kvm"},
	{TL_MEMORY, "memory"},
	{TL_DEVICES, "devices"},
	{TL_KERNEL, "enter"},
	{TL_INIT, "kernel"},
	{TL_HELLO, "init"},
	{TL_ROOTFS, "rootfs"},
	{TL_READY, "prepare"},
	{TL_EXEC_ASKED, "start"},
	{TL_EXEC, "exec"},
	{TL_EXIT, "run"},
	{TL_END, "end"},
};

static struct json_object *build(const struct timeline *t, bool *ok)
{
	struct json_object *o = jnew_object(ok), *list = jnew_array(ok);
	uint64_t zero = t->ns[TL_START], last = zero;

	jput_i64(o, "version", TIMING_VERSION, ok);
	jput_str(o, "unit", "ns", ok);
	for (size_t i = 0; i < ARRAY_SIZE(phases); i++) {
		uint64_t end = MAX(t->ns[phases[i].to], last);
		struct json_object *e;

		if (!t->ns[phases[i].to])
			continue;
		e = jnew_object(ok);
		jput_str(e, "name", phases[i].name, ok);
		jput_u64(e, "start", last - zero, ok);
		jput_u64(e, "duration", end - last, ok);
		jadd(list, e, ok);
		last = end;
	}
	jput(o, "phases", list, ok);
	jput_u64(o, "total", last - zero, ok);
	return o;
}

int timing_write(int fd, const struct timeline *t, struct err *err)
{
	bool ok = true;
	struct json_object *o = build(t, &ok);
	int copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	FILE *f = copy < 0 ? NULL : fdopen(copy, "w");
	int r = !f ? -errno : ok ? json_print(f, o, JSON_INDENT) : -ENOMEM;

	json_object_put(o);
	if (f && fclose(f) != 0 && r >= 0)
		r = -errno;
	return r < 0 ? err_set(err, -r, "cannot write the timing file") : 0;
}

static int read_phase(const struct jnode *n, struct timing *t, struct err *err)
{
	struct timing_entry *e = &t->entry[t->n];
	const char *name;
	int r = jget_str(n, "name", sizeof(e->name) - 1, &name, err);

	if (r < 0)
		return r;
	for (const char *p = name; *p; p++)
		if ((*p < 'a' || *p > 'z') && *p != '-')
			return jnode_err(n, err, "a phase's name is lower-case letters");
	snprintf(e->name, sizeof(e->name), "%s", name);
	r = jget_u64(n, "start", 0, DURATION_MAX, &e->start, err);
	if (r >= 0)
		r = jget_u64(n, "duration", 0, DURATION_MAX, &e->duration, err);
	if (r >= 0 && e->start + e->duration > t->total)
		return jnode_err(n, err, "the phase ends after the total");
	t->n++;
	return r;
}

static int read_doc(const struct jdoc *doc, struct timing *ret, struct err *err)
{
	struct jnode root = jdoc_root(doc), list, n;
	struct jiter it = {0};
	uint64_t version;
	bool found = false;
	int r = jget_u64(&root, "version", TIMING_VERSION, TIMING_VERSION, &version, err);

	if (r >= 0)
		r = jget_u64(&root, "total", 0, DURATION_MAX, &ret->total, err);
	if (r >= 0)
		r = jopt_array(&root, "phases", ARRAY_SIZE(ret->entry), &list, &found, err);
	if (r < 0)
		return r;
	if (!found)
		return jnode_err(&root, err, "phases is missing");
	while (r >= 0 && jiter_next(&it, &list, &n))
		r = read_phase(&n, ret, err);
	return r;
}

int timing_parse(
	const char *name, const char *text, size_t len, struct timing *ret, struct err *err)
{
	struct jdoc doc;
	int r = jdoc_parse(&doc, name, text, len, TIMING_MAX, err);

	memset(ret, 0, sizeof(*ret));
	if (r < 0)
		return r;
	r = read_doc(&doc, ret, err);
	jdoc_release(&doc);
	return r;
}

int timing_read(const char *path, struct timing *ret, struct err *err)
{
	autofd int fd = open(path, O_RDONLY | O_CLOEXEC);
	autofree char *text = NULL;
	size_t len;
	int r;

	if (fd < 0)
		return err_set(err, errno, "cannot open the timing file '%s'", path);
	r = read_file(fd, TIMING_MAX, &text, &len);
	if (r < 0)
		return err_set(err, -r, "cannot read the timing file '%s'", path);
	return timing_parse(path, text, len, ret, err);
}

static double ms(uint64_t ns)
{
	return (double)ns / 1e6;
}

/* Columns [*ret_from, *ret_to) of a bar `width` wide; never empty for a phase that took time. */
static void bar(const struct timing *t, const struct timing_entry *e, unsigned width,
	unsigned *ret_from, unsigned *ret_to)
{
	double scale = t->total ? (double)width / (double)t->total : 0;
	unsigned from = (unsigned)((double)e->start * scale);
	unsigned to = (unsigned)((double)(e->start + e->duration) * scale + 0.5);

	from = MIN(from, width ? width - 1 : 0);
	*ret_from = from;
	*ret_to = MIN(MAX(to, from + (e->duration ? 1u : 0u)), width);
}

int timing_draw_text(FILE *f, const struct timing *t, unsigned columns)
{
	unsigned width = MAX(columns, 50u) - 34;

	for (unsigned i = 0; i < t->n; i++) {
		const struct timing_entry *e = &t->entry[i];
		unsigned from, to;

		bar(t, e, width, &from, &to);
		fprintf(f, "%-11s %10.3f ms %5.1f %%  ", e->name, ms(e->duration),
			t->total ? 100.0 * (double)e->duration / (double)t->total : 0.0);
		for (unsigned c = 0; c < to; c++)
			fputc(c < from ? ' ' : '#', f);
		fputc('\n', f);
	}
	fprintf(f, "%-11s %10.3f ms\n", "total", ms(t->total));
	return ferror(f) ? -EIO : 0;
}

int timing_draw_svg(FILE *f, const struct timing *t)
{
	static const char *const color[] = {"#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#76b7b2",
		"#edc948", "#b07aa1", "#9c755f"};
	const unsigned row = 22, left = 110, width = 620, right = 110, top = 40;
	unsigned height = top + row * t->n + 20;

	fprintf(f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" "
		"font-family=\"sans-serif\" font-size=\"13\">\n"
		"<rect width=\"100%%\" height=\"100%%\" fill=\"#ffffff\"/>\n"
		"<text x=\"10\" y=\"24\" font-size=\"15\" font-weight=\"bold\">One start: %.3f "
		"ms</text>\n",
		left + width + right, height, ms(t->total));
	for (unsigned i = 0; i < t->n; i++) {
		const struct timing_entry *e = &t->entry[i];
		double scale = t->total ? (double)width / (double)t->total : 0;
		double x = left + (double)e->start * scale, w = (double)e->duration * scale;
		unsigned y = top + row * i;

		fprintf(f,
			"<text x=\"%u\" y=\"%u\" text-anchor=\"end\">%s</text>\n"
			"<line x1=\"%u\" x2=\"%u\" y1=\"%u\" y2=\"%u\" stroke=\"#eeeeee\"/>\n"
			"<rect x=\"%.1f\" y=\"%u\" width=\"%.1f\" height=\"%u\" fill=\"%s\"/>\n"
			"<text x=\"%.1f\" y=\"%u\" fill=\"#555555\">%.3f ms</text>\n",
			left - 8, y + 15, e->name, left, left + width, y + row, y + row, x, y + 3,
			MAX(w, 1.0), row - 6, color[i % ARRAY_SIZE(color)], x + MAX(w, 1.0) + 6,
			y + 15, ms(e->duration));
	}
	fprintf(f, "</svg>\n");
	return ferror(f) ? -EIO : 0;
}
