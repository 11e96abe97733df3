/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/pid_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

#include "lib/cleanup.h"
#include "lib/fd.h"
#include "tests/tap.h"
#include "tests/unit/runtime_dir.h"

static unsigned entries(void)
{
	DIR *d = opendir(test_dir);
	unsigned n = 0;

	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void check(const char *name, const char *want)
{
	autofd int fd = open(in_dir(name), O_RDONLY | O_CLOEXEC);
	autofree char *text = NULL;
	struct stat st;
	size_t len = 0;

	ok(fd >= 0 && read_file(fd, 64, &text, &len) == 0, "it can be read");
	eq_str(text, want, "the pid, without a newline");
	BUG_ON(fstat(fd, &st) < 0);
	eq_int(st.st_mode & 07777, 0644, "anybody may read it");
}

int main(void)
{
	struct err err = ERR_INIT;

	test_dir_make();
	umask(077);
	eq_int(pid_file_write(NULL, 1, &err), 0, "none is wanted");
	eq_int(pid_file_write(in_dir("pid"), 12345, &err), 0, "written");
	check("pid", "12345");
	eq_int(pid_file_write(in_dir("pid"), 7, &err), 0, "written over");
	check("pid", "7");
	close(open(in_dir("other"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	BUG_ON(symlink("other", in_dir("link")));
	eq_int(pid_file_write(in_dir("link"), 8, &err), 0, "in the place of a link");
	check("link", "8");
	eq_int(entries(), 3, "nothing else is left");
	eq_int(pid_file_write(in_dir("nowhere/pid"), 1, &err), -ENOENT, "no such directory");
	has_str(err.msg, "cannot make the pid file");
	BUG_ON(mkdir(in_dir("dir"), 0700));
	ok(pid_file_write(in_dir("dir"), 1, &err) < 0, "a directory is in the way");
	eq_int(entries(), 4, "and nothing is left of the attempt");
	return tap_done();
}
