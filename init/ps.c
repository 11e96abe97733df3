/* SPDX-License-Identifier: Apache-2.0 */
#include "init/ps.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "init/container.h"
#include "init/procfs.h"
#include "lib/base.h"

#define TICKS_PER_S 100 /* USER_HZ: what procfs counts in, on every machine */

/* What stands after the name in /proc/N/stat, by its number in proc(5) less 3. */
enum {
	STAT_PPID = 1,
	STAT_GROUP = 2,
	STAT_SESSION = 3,
	STAT_TTY = 4,
	STAT_FOREGROUND = 5,
	STAT_UTIME = 11,
	STAT_STIME = 12,
	STAT_NICE = 16,
	STAT_THREADS = 17,
	STAT_START = 19,
	STAT_FIELDS,
};

static void copy_clean(const char *from, size_t len, char *out, size_t out_bytes)
{
	size_t n = MIN(len, out_bytes - 1);

	memset(out, 0, out_bytes);
	for (size_t i = 0; i < n; i++)
		out[i] = (unsigned char)from[i] < ' ' || from[i] == 0x7f ? '?' : from[i];
}

/* The letters of ps(1) under "PROCESS STATE CODES". */
static void state_letters(char state, uint64_t pid, const uint64_t *field, char *out)
{
	int64_t nice = (int64_t)field[STAT_NICE];

	*out++ = state < '!' || state > '~' ? '?' : state;
	if (nice)
		*out++ = nice < 0 ? '<' : 'N';
	if (field[STAT_SESSION] == pid)
		*out++ = 's';
	if (field[STAT_THREADS] > 1)
		*out++ = 'l';
	if (field[STAT_FOREGROUND] == field[STAT_GROUP])
		*out++ = '+';
	*out = '\0';
}

int ps_parse_stat(const char *text, struct ps_stat *ret_s)
{
	const char *open = strchr(text, '('), *close = strrchr(text, ')');
	uint64_t field[STAT_FIELDS] = {0};
	const char *p;

	if (!open || !close || close < open || close[1] != ' ' || !close[2])
		return -EINVAL;
	copy_clean(open + 1, (size_t)(close - open - 1), ret_s->comm, sizeof(ret_s->comm));
	p = close + 3; /* past the state, which is field 0 */
	for (unsigned i = 1; i < STAT_FIELDS; i++) {
		char *end;

		field[i] = strtoull(p, &end, 10);
		if (end == p)
			return -EINVAL;
		p = end;
	}
	ret_s->ppid = (uint32_t)field[STAT_PPID];
	ret_s->tty = (uint32_t)field[STAT_TTY];
	ret_s->ticks = field[STAT_UTIME] + field[STAT_STIME];
	ret_s->start_ticks = field[STAT_START];
	state_letters(close[2], strtoull(text, NULL, 10), field, ret_s->stat);
	return 0;
}

uint32_t ps_status_number(const char *text, const char *name, unsigned index)
{
	size_t len = strlen(name);

	for (const char *p = text; p; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (strncmp(p, name, len) != 0 || p[len] != ':')
			continue;
		p += len + 1;
		for (unsigned i = 0;; i++) {
			p += strspn(p, " \t");
			if (*p < '0' || *p > '9')
				return 0;
			if (i == index)
				return (uint32_t)strtoul(p, NULL, 10);
			p += strspn(p, "0123456789");
		}
	}
	return 0;
}

void ps_args(const char *cmdline, size_t len, char *out, size_t out_bytes)
{
	while (len && !cmdline[len - 1])
		len--;
	copy_clean(cmdline, len, out, out_bytes);
	for (size_t i = 0; i < MIN(len, out_bytes - 1); i++)
		if (!cmdline[i])
			out[i] = ' ';
}

static int read_of(pid_t pid, const char *name, char *buf, size_t buf_bytes)
{
	char path[64];

	snprintf(path, sizeof(path), "%d/%s", pid, name);
	return procfs_read(path, buf, buf_bytes);
}

/* The number that the container knows init's `pid` by; 0: none. */
static uint32_t own_number(pid_t pid, bool own_pids)
{
	char text[4096];

	if (!own_pids)
		return (uint32_t)pid;
	if (pid <= 0 || read_of(pid, "status", text, sizeof(text)) < 0)
		return 0;
	return ps_status_number(text, "NSpid", 1);
}

bool ps_read(pid_t pid, bool own_pids, struct proto_process *ret_p)
{
	char text[4096];
	struct timespec now;
	struct ps_stat st;
	uint64_t boot_ms = boot_ns() / 1000000, start_ms;
	int len;

	*ret_p = (struct proto_process){.pid = own_number(pid, own_pids)};
	if (!ret_p->pid || read_of(pid, "stat", text, sizeof(text)) < 0 ||
		ps_parse_stat(text, &st) < 0)
		return false;
	clock_gettime(CLOCK_REALTIME, &now);
	start_ms = st.start_ticks * (1000 / TICKS_PER_S);
	memcpy(ret_p->comm, st.comm, sizeof(ret_p->comm));
	memcpy(ret_p->stat, st.stat, sizeof(ret_p->stat));
	ret_p->ppid = own_number((pid_t)st.ppid, own_pids);
	ret_p->tty = st.tty;
	ret_p->cpu_ms = st.ticks * (1000 / TICKS_PER_S);
	ret_p->elapsed_ms = boot_ms > start_ms ? boot_ms - start_ms : 0;
	ret_p->start_s = (uint64_t)now.tv_sec - ret_p->elapsed_ms / 1000;
	if (read_of(pid, "status", text, sizeof(text)) < 0)
		return false;
	ret_p->uid = ps_status_number(text, "Uid", 1); /* the effective one */
	len = read_of(pid, "cmdline", text, sizeof(ret_p->args) + 1);
	if (len > 0)
		ps_args(text, (size_t)len, ret_p->args, sizeof(ret_p->args));
	return true;
}
