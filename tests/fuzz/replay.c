/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over every file of a corpus directory, without libFuzzer. TAP: one line a file. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX (16u << 20)

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int replay_one(int dir, const char *name)
{
	autofd int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	autofree char *data = NULL;
	uint8_t *exact;
	size_t len;
	int r;

	if (fd < 0)
		return -errno;
	r = read_file(fd, INPUT_MAX, &data, &len);
	if (r < 0)
		return r;
	exact = malloc(len ? len : 1); /* no slack: the sanitizer sees a read past the end */
	if (!exact)
		return -ENOMEM;
	memcpy(exact, data, len);
	LLVMFuzzerTestOneInput(exact, len);
	free(exact);
	return 0;
}

int main(int argc, char **argv)
{
	struct dirent **list;
	int count, ran = 0, failed = 0;
	autofd int dir = -1;

	if (argc != 2) {
		fprintf(stderr, "usage: %s CORPUS-DIR\n", argv[0]);
		return 2;
	}
	dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	count = scandir(argv[1], &list, NULL, by_name);
	if (dir < 0 || count < 0) {
		fprintf(stderr, "cannot read '%s': %s\n", argv[1], strerror(errno));
		return 2;
	}
	for (int i = 0; i < count; i++) {
		autofree struct dirent *entry = list[i];
		const char *name = entry->d_name;
		int r;

		if (name[0] == '.')
			continue;
		r = replay_one(dir, name);
		printf("%s %d - %s\n", r < 0 ? "not ok" : "ok", ++ran, name);
		fflush(stdout);
		failed |= r < 0;
	}
	free(list);
	printf("1..%d\n", ran);
	return failed || !ran;
}
