/* SPDX-License-Identifier: Apache-2.0 */
#include "init/passwd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"

#define LINE_BYTES 1024

/* name:password:uid:gid:gecos:home:shell. True when the line has this uid; the home, if good, is
 * copied. */
static bool parse_line(char *line, uint32_t uid, char *home, size_t home_bytes)
{
	char *field[7] = {line}, *p = line;
	uint64_t got = 0;
	unsigned n = 1;

	while (n < 7 && (p = strchr(p, ':'))) {
		*p++ = '\0';
		field[n++] = p;
	}
	if (n < 6 || !field[2][0])
		return false;
	for (p = field[2]; *p; p++) {
		if (*p < '0' || *p > '9' || got > UINT32_MAX)
			return false;
		got = got * 10 + (unsigned)(*p - '0');
	}
	if (got != uid)
		return false;
	if (field[5][0] && strlen(field[5]) < home_bytes)
		memcpy(home, field[5], strlen(field[5]) + 1);
	return true;
}

void passwd_home(int fd, uint32_t uid, char *home, size_t home_bytes)
{
	char buf[4096], line[LINE_BYTES];
	size_t len = 0, seen = 0;
	bool too_long = false;

	snprintf(home, home_bytes, "/");
	while (seen < PASSWD_BYTES_MAX) {
		ssize_t n = read(fd, buf, sizeof(buf));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		seen += (size_t)n;
		for (ssize_t i = 0; i < n; i++) {
			if (buf[i] != '\n') {
				too_long |= len == sizeof(line) - 1 || !buf[i];
				if (!too_long)
					line[len++] = buf[i];
				continue;
			}
			line[len] = '\0';
			if (!too_long && parse_line(line, uid, home, home_bytes))
				return;
			len = 0;
			too_long = false;
		}
	}
	line[len] = '\0';
	if (!too_long)
		parse_line(line, uid, home, home_bytes);
}

void passwd_home_at(const char *path, uint32_t uid, char *home, size_t home_bytes)
{
	/* O_NONBLOCK: it may be a fifo */
	autofd int fd = open(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	struct stat st;

	snprintf(home, home_bytes, "/");
	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode))
		passwd_home(fd, uid, home, home_bytes);
}
