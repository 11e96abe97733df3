/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base.h"
#include "tests/tap.h"

static struct err err;

/* What the gate says about text, "" when it lets it pass. */
static const char *says_len(const char *text, size_t len)
{
	struct jdoc doc;

	err = (struct err)ERR_INIT;
	if (!jdoc_parse(&doc, "config.json", text, len, JSON_CONFIG_MAX, &err))
		jdoc_release(&doc);
	return err.msg;
}

static const char *says(const char *text)
{
	return says_len(text, strlen(text));
}

static void test_accepted(void)
{
	static const char *const good[] = {"{}", " {\n} \n",
		"{\"a\":[1,-1,0,1.5,1e3,true,false,null,\"\"]}",
		"{\"a\":{\"b\":1},\"b\":{\"b\":1}}", "{\"a\":18446744073709551615}",
		"{\"a\":-9223372036854775808}", "{\"\":\"\\\\\\\"\"}", "{\"\\\"\":1,\"\\\\\":2}",
		"{\"a\":\"\\ud83d\\ude00 \xf0\x9f\x98\x80 \xc3\xa9 \xe2\x82\xac\"}",
		"{\"a\":\"\\\\u0000\"}" /* a backslash, then text */};

	for (size_t i = 0; i < ARRAY_SIZE(good); i++)
		ok(!*says(good[i]), "good text number %zu: '%s'", i, err.msg);
}

static void test_refused(void)
{
	static const struct {
		const char *text, *why;
	} bad[] = {
		{"", "config.json:1:1: parse error: premature EOF"},
		{"{", "config.json:1:2: parse error: premature EOF"},
		{"{\"a\":1", "premature EOF"},
		{"{} x", "config.json:1:4: "},
		{"{}{}", "trailing garbage"},
		{"{} \"x", "config.json:1:4: trailing garbage"}, /* yajl lets it pass */
		{"{'a':1}", "config.json:1:2: lexical error"},
		{"{a:1}", "lexical error"},
		{"{\"a\":1,}", "config.json:1:"},
		{"{\"a\":[1,]}", "config.json:1:"},
		{"{\"a\":01}", "config.json:1:"},
		{"{\"a\":NaN}", "lexical error"},
		{"{\"a\":Infinity}", "lexical error"},
		{"{\"a\":+1}", "lexical error"},
		{"{\"a\":.5}", "lexical error"},
		{"{\"a\":0x10}", "config.json:1:"},
		{"{\"a\":tru}", "lexical error"},
		{"{/* c */}", "lexical error"},
		{"{\f}", "config.json:1:2: control character 0x0c"}, /* a blank to yajl alone */
		{"{\"a\":\"\v\"}", "config.json:1:7: control character 0x0b"},
		{"{\"a\":\"\t\"}", "lexical error"},
		{"{\"a\":\"\\x\"}", "lexical error"},
		{"{\"a\":\"\\u12g4\"}", "lexical error"},
		{"\xef\xbb\xbf{}", "config.json:1:1: lexical error"},
		{"[]", "config.json:1:1: expected an object"},
		{"\"s\"", "config.json:1:1: expected an object"},
		{"\n 12", "config.json:2:2: expected an object"},
		{"null", "config.json:1:1: expected an object"},
		{"true", "config.json:1:1: expected an object"},
		{"{\"a\":1,\n  \"a\":2}", "config.json:2:3: duplicate key 'a'"},
		{"{\"a\":1,\"\\u0061\":2}", "config.json:1:8: duplicate key 'a'"},
		{"{\"x\":{\"k\":[{\"q\":1,\"r\":2,\"q\":3}]}}", "duplicate key 'q'"},
		{"{\"b\":1,\"b\":2,\"a\":1,\"a\":2}", "config.json:1:8: duplicate key 'b'"},
		{"{\"a\":\"\\u0000\"}", "config.json:1:7: NUL character"},
		{"{\"\\u0000\":1}", "config.json:1:3: NUL character"},
		{"{\"a\":\"\\ud800\"}", "config.json:1:7: half a surrogate pair (\\ud800)"},
		{"{\"a\":\"\\ud800\\u0041\"}", "half a surrogate pair"},
		{"{\"a\":\"\\udc00\"}", "half a surrogate pair (\\udc00)"},
		{"{\"a\":\"\\udc00\\ud800\"}", "half a surrogate pair"},
		{"{\"a\":\"\x80\"}", "config.json:1:7: byte 0x80 is not UTF-8"},
		{"{\"a\":\"\xc0\x80\"}", "byte 0xc0 is not UTF-8"}, /* overlong NUL */
		{"{\"a\":\"\xe0\x80\xaf\"}", "not UTF-8"},          /* overlong '/' */
		{"{\"a\":\"\xed\xa0\x80\"}", "not UTF-8"},          /* a surrogate */
		{"{\"a\":\"\xf0\x80\x80\x80\"}", "not UTF-8"},
		{"{\"a\":\"\xf4\x90\x80\x80\"}", "not UTF-8"}, /* above U+10FFFF */
		{"{\"a\":\"\xf5\x80\x80\x80\"}", "not UTF-8"},
		{"{\"a\":\"\xe2\x82\"}", "not UTF-8"},
		{"{\"a\":18446744073709551616}", "config.json:1:6: integer out of range"},
		{"{\"a\":-9223372036854775809}", "integer out of range"},
		{"{\"a\":99999999999999999999999999999999999999999}", "integer out of range"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		has_str(says(bad[i].text), bad[i].why);
	has_str(says_len("{\"a\":\"x\0y\"}", 11), "config.json:1:8: NUL byte");
	has_str(says_len("{}\0", 3), "config.json:1:3: NUL byte");
}

/* prefix, then n times unit, then suffix. */
static char *repeat(const char *prefix, const char *unit, size_t n, const char *suffix)
{
	size_t unit_len = strlen(unit);
	char *s = malloc(strlen(prefix) + n * unit_len + strlen(suffix) + 1), *p = s;

	p = stpcpy(p, prefix);
	for (size_t i = 0; i < n; i++)
		p = stpcpy(p, unit);
	strcpy(p, suffix);
	return s;
}

static void expect(char *text, const char *why, const char *what)
{
	const char *msg = says(text);

	ok(*why ? strstr(msg, why) != NULL : !*msg, "%s: '%s'", what, msg);
	free(text);
}

static void test_bounds(void)
{
	char *deep = repeat("{\"a\":", "[", JSON_DEPTH_MAX - 1, "");
	char *closed = repeat(deep, "]", JSON_DEPTH_MAX - 1, "}");

	expect(closed, "", "the deepest nesting");
	expect(repeat(deep, "[", 1, ""), "nested deeper than 32 levels", "one level more");
	free(deep);
	expect(repeat("{\"a\":", "{\"a\":", 100000, ""), "nested deeper",
		"a hundred thousand levels");
	expect(repeat("{\"a\":\"", "x", JSON_STRING_MAX, "\"}"), "", "the longest string");
	expect(repeat("{\"a\":\"", "x", JSON_STRING_MAX + 1, "\"}"), "1:6: string longer",
		"a longer one");
	expect(repeat("{\"", "x", JSON_KEY_MAX, "\":1}"), "", "the longest key");
	expect(repeat("{\"", "x", JSON_KEY_MAX + 1, "\":1}"), "1:2: key longer", "a longer one");
	expect(repeat("{\"", "\\\\", 250000, "\":1}"), "1:2: key longer",
		"one of backslashes, in good time");
	expect(repeat("{\"a\":[", "1,", JSON_VALUES_MAX - 2, "1]}"), "", "the most values");
	expect(repeat("{\"a\":[", "1,", JSON_VALUES_MAX - 1, "1]}"), "more than", "one value more");
	expect(repeat("{\"a\":[", "\"\",", JSON_VALUES_MAX, "1]}"), "more than",
		"too many strings");
	expect(repeat("{\"a\":1.", "1", 600, "}"), "number too long", "a long fraction");
	expect(repeat("{}", " ", JSON_CONFIG_MAX - 2, ""), "", "the largest file");
	expect(repeat("{}", " ", JSON_CONFIG_MAX - 1, ""), "more than the 1048576 allowed",
		"a larger one");
}

/* Many keys that any cheap hash would take as equal, in good time. */
static void test_many_keys(void)
{
	size_t cap = JSON_CONFIG_MAX + 64, len = 0;
	char *s = malloc(cap);

	len += (size_t)sprintf(s, "{");
	for (unsigned i = 0; i < 60000; i++)
		len += (size_t)sprintf(s + len, "\"%x\":0,", i);
	sprintf(s + len, "\"e000\":0}");
	has_str(says(s), "duplicate key 'e000'");
	free(s);
}

static struct jdoc parse(const char *text)
{
	struct jdoc doc = {0};

	if (jdoc_parse(&doc, "t", text, strlen(text), JSON_CONFIG_MAX, &err))
		BUG_ON(1);
	return doc;
}

static void test_getters(void)
{
	struct jdoc doc =
		parse("{\"o\":{\"s\":\"text\",\"n\":5,\"neg\":-1,\"big\":18446744073709551615,"
		      "\"f\":1.0,\"e\":1e3,\"b\":true,\"z\":null},\"a\":[\"x\",null,3],"
		      "\"m\":{\"a.b\":1,\"\\u0007\":1}}");
	struct jnode root = jdoc_root(&doc), o, a, x, m;
	const char *s = NULL;
	uint64_t u = 7;
	int64_t i = 7;
	bool b = false, found;

	eq_int(jopt_object(&root, "o", &o, &found, &err), 0, "an object");
	ok(found, "is found");
	eq_int(jget_str(&o, "s", 4, &s, &err), 0, "a string of exactly the length allowed");
	eq_str(s, "text", "its text");
	eq_int(jget_str(&o, "s", 3, &s, &err), -EINVAL, "a string too long");
	eq_str(err.msg, "t: o.s: expected a string of at most 3 bytes, got 4", "says so");
	eq_int(jget_u64(&o, "n", 5, 5, &u, &err), 0, "a number in range");
	eq_int((intmax_t)u, 5, "its value");
	eq_int(jget_u64(&o, "n", 6, 9, &u, &err), -EINVAL, "a number below");
	eq_str(err.msg, "t: o.n: expected an integer from 6 to 9, got 5", "says so");
	eq_int(jget_u64(&o, "neg", 0, 9, &u, &err), -EINVAL, "a negative one");
	eq_str(err.msg, "t: o.neg: expected an integer from 0 to 9, got -1", "says so");
	eq_int(jget_u64(&o, "big", 0, UINT64_MAX, &u, &err), 0, "the largest number");
	ok(u == UINT64_MAX, "its value");
	eq_int(jget_i64(&o, "big", INT64_MIN, INT64_MAX, &i, &err), -EINVAL, "too large for int64");
	has_str(err.msg, "got 18446744073709551615");
	eq_int(jget_i64(&o, "neg", -1, 0, &i, &err), 0, "a negative number");
	eq_int(i, -1, "its value");
	eq_int(jget_u64(&o, "f", 0, 9, &u, &err), -EINVAL, "1.0 is no integer");
	has_str(err.msg, "t: o.f: expected an integer from 0 to 9, got a number with a fraction");
	eq_int(jget_i64(&o, "e", 0, 9999, &i, &err), -EINVAL, "nor is 1e3");
	eq_int(jget_u64(&o, "s", 0, 4294967295, &u, &err), -EINVAL, "nor is a string");
	eq_str(err.msg, "t: o.s: expected an integer from 0 to 4294967295, got a string",
		"says so");
	eq_int(jget_u64(&o, "none", 0, 9, &u, &err), -EINVAL, "a missing one");
	eq_str(err.msg, "t: o.none is missing", "says so");
	eq_int(jget_str(&o, "z", 9, &s, &err), -EINVAL, "null is missing");
	u = 42;
	eq_int(jopt_u64(&o, "none", 0, 9, &u, &err), 0, "an optional one may be missing");
	eq_int((intmax_t)u, 42, "and leaves the value alone");
	eq_int(jopt_bool(&o, "b", &b, &err), 0, "a boolean");
	ok(b, "its value");
	eq_int(jopt_bool(&o, "n", &b, &err), -EINVAL, "a number is no boolean");
	eq_str(err.msg, "t: o.n: expected true or false, got an integer", "says so");
	eq_int(jopt_array(&root, "a", 2, &a, &found, &err), -EINVAL, "an array too long");
	eq_str(err.msg, "t: a: expected at most 2 elements, got 3", "says so");
	eq_int(jopt_array(&root, "a", 3, &a, &found, &err), 0, "an array");
	ok(jnode_element(&a, 2, &x), "its element");
	eq_int(jnode_str(&x, 9, &s, &err), -EINVAL, "of another type");
	eq_str(err.msg, "t: a[2]: expected a string, got an integer", "is named by index");
	ok(!jnode_element(&a, 1, &x) && !jnode_element(&a, 3, &x),
		"null and beyond are no elements");
	eq_int(jopt_object(&root, "a", &o, &found, &err), -EINVAL, "an array is no object");
	eq_int(jopt_object(&root, "m", &m, &found, &err), 0, "a map");
	struct jiter it = {0};
	ok(jiter_next(&it, &m, &x), "its first member");
	eq_int(jnode_bool(&x, &b, &err), -EINVAL, "is a number");
	eq_str(err.msg, "t: m[\"a.b\"]: expected true or false, got an integer",
		"odd keys are quoted");
	ok(jiter_next(&it, &m, &x), "the second");
	eq_int(jnode_bool(&x, &b, &err), -EINVAL, "is a number");
	has_str(err.msg, "t: m[\"?\"]: ");
	ok(!jiter_next(&it, &m, &x), "and no more");
	jdoc_release(&doc);
}

static void write_at(int dir, const char *name, const char *text)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		BUG_ON(1);
	close(fd);
}

static const char *reads(int dir, const char *name)
{
	struct jdoc doc;

	err = (struct err)ERR_INIT;
	if (!jdoc_read_at(&doc, dir, name, name, JSON_CONFIG_MAX, &err))
		jdoc_release(&doc);
	return err.msg;
}

static void test_files(void)
{
	char path[] = "/tmp/test_json.XXXXXX";
	int dir;

	BUG_ON(!mkdtemp(path));
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	write_at(dir, "good", "{}");
	write_at(dir, "bad", "{]");
	BUG_ON(symlinkat("good", dir, "inside") || symlinkat("/etc/hostname", dir, "outside") ||
		mkfifoat(dir, "fifo", 0600) || mkdirat(dir, "dir", 0700));
	eq_str(reads(dir, "good"), "", "a file");
	eq_str(reads(dir, "inside"), "", "a link within the directory");
	has_str(reads(dir, "bad"), "bad:1:2: ");
	eq_str(reads(dir, "none"), "none: cannot open: No such file or directory", "no file");
	eq_int(err.errnum, ENOENT, "ENOENT");
	eq_str(reads(dir, "outside"), "outside: a link that leads out of its directory",
		"a link to elsewhere");
	eq_str(reads(dir, "fifo"), "fifo: not a regular file", "a fifo does not hang us");
	eq_str(reads(dir, "dir"), "dir: not a regular file", "a directory");
	int fd = openat(dir, "large", O_WRONLY | O_CREAT, 0600);
	BUG_ON(ftruncate(fd, 1ll << 40));
	close(fd);
	eq_str(reads(dir, "large"), "large: more than the 1048576 bytes allowed", "a terabyte");
	static const char *const names[] = {"good", "bad", "inside", "outside", "fifo", "large"};
	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		unlinkat(dir, names[i], 0);
	unlinkat(dir, "dir", AT_REMOVEDIR);
	close(dir);
	rmdir(path);
}

static void test_writer(void)
{
	static const char *const strs[] = {"x", "y/z"};
	bool good = true;
	struct json_object *o = jnew_object(&good);
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	jput_str(o, "s", "a\"b", &good);
	jput_u64(o, "u", UINT64_MAX, &good);
	jput_i64(o, "i", -1, &good);
	jput_bool(o, "b", true, &good);
	jput_strs(o, "v", strs, 2, &good);
	eq_int(json_print(f, o, JSON_COMPACT), 0, "printed");
	fclose(f);
	ok(good, "nothing ran out of memory");
	eq_str(text,
		"{\"s\":\"a\\\"b\",\"u\":18446744073709551615,\"i\":-1,\"b\":true,\"v\":[\"x\",\"y/"
		"z\"]}\n",
		"what is written");
	free(text);
	json_object_put(o);
	jput_str(NULL, "k", "v", &good);
	ok(!good, "a failed object is noticed");
}

int main(void)
{
	test_accepted();
	test_refused();
	test_bounds();
	test_many_keys();
	test_getters();
	test_files();
	test_writer();
	return tap_done();
}
