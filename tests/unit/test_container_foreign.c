/* SPDX-License-Identifier: Apache-2.0 */
/* A directory below the state root that is no container's is not emptied. */
#include "runtime/container.h"

#include <errno.h>
#include <fcntl.h>

#include "tests/tap.h"
#include "tests/unit/runtime_dir.h"

static struct err err;

static void touch(const struct container *c, const char *name)
{
	close(openat(c->dir_fd, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
}

/* Whether the directory, which has no state, is left as it is, with what is in it. */
static bool refused(const char *name, mode_t type)
{
	struct container c = CONTAINER_INIT;
	struct err ignored = ERR_INIT;
	char path[64];
	bool stays;

	eq_int(container_new(&c, in_dir("foreign"), "f", &ignored), 0, "a directory");
	BUG_ON(mkdirat(c.dir_fd, CONTAINER_SHARE, 0700));
	touch(&c, "vmm.log");
	if (type == S_IFDIR)
		mkdirat(c.dir_fd, name, 0700);
	else if (type == S_IFLNK)
		(void)!symlinkat(".", c.dir_fd, name);
	else
		touch(&c, name);
	err = (struct err)ERR_INIT;
	snprintf(path, sizeof(path), "foreign/f/%s", name);
	stays = container_remove(&c, &err) == -EINVAL && exists(path) &&
		exists("foreign/f/share") && exists("foreign/f/vmm.log");
	container_release(&c);
	eq_int(container_open(&c, in_dir("foreign"), "f", true, &ignored), 0, "it is there");
	touch(&c, "state.json"); /* whatever it says */
	eq_int(container_remove(&c, &ignored), 0, "with a state it is a container's");
	container_release(&c);
	return stays;
}

int main(void)
{
	test_dir_make();
	ok(refused("photo.jpeg", S_IFREG), "a directory without a state, but with a file: stays");
	has_str(err.msg,
		"is not a container's directory: there is no state.json, but 'photo.jpeg'");
	ok(refused("photos", S_IFDIR), "with a directory");
	ok(refused("share/photo.jpeg", S_IFREG), "with a file where there is a mount point");
	ok(refused("share/photos", S_IFDIR), "or a directory");
	ok(refused("control.sock", S_IFREG), "with a file that should be a socket");
	ok(refused("state.json.tmp", S_IFLNK), "with a link that should be a file");
	ok(refused("exec.1", S_IFREG), "with a file that should be a link");
	ok(refused("a\nb", S_IFREG), "with a name of two lines");
	has_str(err.msg, "but 'a?b'");
	return tap_done();
}
