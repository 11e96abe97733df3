/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <linux/openat2.h>

#include "lib/cleanup.h"

#define LINKS_MAX 40 /* as the kernel's own limit */

/* Appends one component to the clean path `out`, or strips one for "..". */
static int push(char out[PATH_BYTES], size_t *len, const char *name, size_t n)
{
	if (n == 0 || (n == 1 && name[0] == '.'))
		return 0;
	if (n == 2 && name[0] == '.' && name[1] == '.') {
		while (*len && out[*len - 1] != '/')
			--*len;
		if (*len)
			--*len;
		out[*len] = '\0';
		return 0;
	}
	if (n > NAME_MAX || *len + 1 + n >= PATH_BYTES)
		return -ENAMETOOLONG;
	out[(*len)++] = '/';
	memcpy(out + *len, name, n);
	*len += n;
	out[*len] = '\0';
	return 0;
}

int path_clean(const char *path, char out[PATH_BYTES])
{
	size_t len = 0;

	out[0] = '\0';
	while (*path) {
		size_t n = strcspn(path, "/");
		int r = push(out, &len, path, n);

		if (r < 0)
			return r;
		path += n;
		path += *path == '/';
	}
	if (!len) {
		out[0] = '/';
		out[1] = '\0';
	}
	return 0;
}

/* Neither libc wraps it. */
static int open_in_root(int root, const char *path, int flags, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t)flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | resolve};
	int fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

int path_open(int root, const char *path, int flags)
{
	return open_in_root(root, path, flags, RESOLVE_NO_MAGICLINKS);
}

int path_open_nolink(int root, const char *path, int flags)
{
	return open_in_root(root, path, flags, RESOLVE_NO_SYMLINKS);
}

/* Makes `name` in `parent` and opens it. Whatever appears there meanwhile is not followed. */
static int make_one(int parent, const char *name, bool dir)
{
	int fd;

	if (dir) {
		if (mkdirat(parent, name, 0755) < 0 && errno != EEXIST)
			return -errno;
		fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
	} else {
		fd = openat(
			parent, name, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0755);
		if (fd >= 0)
			close(fd);
		else if (errno != EEXIST)
			return -errno;
		fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	}
	return fd < 0 ? -errno : fd;
}

/* The state of a walk: `done` holds no symlink and exists; `rest` is still to be walked. */
struct walk {
	char done[PATH_BYTES], rest[PATH_BYTES];
	size_t done_len;
	unsigned links;
};

/* Puts a link's target in front of the rest of the path. */
static int follow(struct walk *w, int link, const char *after)
{
	char text[PATH_BYTES];
	ssize_t n = readlinkat(link, "", text, sizeof(text));
	size_t after_len = strlen(after);

	if (n < 0)
		return -errno;
	if (++w->links > LINKS_MAX)
		return -ELOOP;
	if ((size_t)n + 1 + after_len >= sizeof(w->rest))
		return -ENAMETOOLONG;
	memmove(w->rest + n + 1, after, after_len + 1);
	memcpy(w->rest, text, (size_t)n);
	w->rest[n] = '/';
	if (text[0] == '/') {
		w->done_len = 0;
		w->done[0] = '\0';
	}
	return 0;
}

static int open_done(int root, const char *done)
{
	return path_open_nolink(root, done[0] ? done : "/", O_PATH);
}

/* One component: makes it when it is missing. Returns 1 when it was a link, now in `rest`; 0;
 * -errno. */
static int step(struct walk *w, int root, size_t n, bool dir, bool *ret_made)
{
	size_t before = w->done_len;
	autofd int parent = -1, fd = -1;
	char name[NAME_MAX + 1];
	struct stat st;
	int r;

	if (n > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, w->rest, n);
	name[n] = '\0';
	parent = open_done(root, w->done);
	if (parent < 0)
		return parent;
	r = push(w->done, &w->done_len, name, n);
	if (r < 0)
		return r;
	/* A single component of a pinned directory leads nowhere else; ".." never comes here. */
	fd = openat(parent, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	*ret_made = fd < 0 && errno == ENOENT;
	if (*ret_made)
		fd = make_one(parent, name, dir);
	else if (fd < 0)
		return -errno;
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (S_ISLNK(st.st_mode)) {
		w->done_len = before;
		w->done[before] = '\0';
		r = follow(w, fd, w->rest + n);
		return r < 0 ? r : 1;
	}
	return 0;
}

static int walk(struct walk *w, int root, bool dir, bool *ret_made)
{
	for (;;) {
		size_t skip = strspn(w->rest, "/"), n;
		bool at_end;
		int r;

		memmove(w->rest, w->rest + skip, strlen(w->rest + skip) + 1);
		n = strcspn(w->rest, "/");
		if (!n)
			break;
		if ((n == 1 && w->rest[0] == '.') || (n == 2 && !strncmp(w->rest, "..", 2))) {
			push(w->done, &w->done_len, w->rest, n);
			memmove(w->rest, w->rest + n, strlen(w->rest + n) + 1);
			continue;
		}
		at_end = w->rest[n + strspn(w->rest + n, "/")] == '\0';
		r = step(w, root, n, dir || !at_end, ret_made);
		if (r < 0)
			return r;
		if (r == 0)
			memmove(w->rest, w->rest + n, strlen(w->rest + n) + 1);
	}
	return open_done(root, w->done);
}

int path_make(int root, const char *path, bool dir, bool *ret_made)
{
	static struct walk w; /* 8 KiB; one thread */
	bool made = false;
	int fd = path_open(root, path, O_PATH);

	if (fd == -ENOENT) {
		memset(&w, 0, sizeof(w));
		if ((size_t)snprintf(w.rest, sizeof(w.rest), "%s", path) >= sizeof(w.rest))
			return -ENAMETOOLONG;
		fd = walk(&w, root, dir, &made);
	}
	if (ret_made)
		*ret_made = made;
	return fd;
}
