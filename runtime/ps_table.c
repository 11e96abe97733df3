/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/ps_table.h"

#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "lib/base.h"

#define DAY_S           86400u
#define CPU_PERCENT_MAX 99u /* ps has two places */
#define MAJOR_TTY       4u
#define MAJOR_TTY_OTHER 5u
#define MAJOR_PTS_FIRST 136u /* Documentation/admin-guide/devices.txt: 136 to 143, 256 each */
#define MAJOR_PTS_LAST  143u
#define MAJOR_HVC       229u

/* A copy of at most size - 1 bytes of a text that may lack its NUL. */
static void printable(char *out, size_t size, const char *text, size_t text_size)
{
	size_t n = strnlen(text, MIN(text_size, size - 1));

	for (size_t i = 0; i < n; i++)
		out[i] = (char)(text[i] >= ' ' && text[i] <= '~' ? text[i] : '?');
	out[n] = '\0';
}

/* /proc/PID/stat's tty_nr: minor in bits 31 to 20 and 7 to 0, major in 15 to 8. */
static void tty_name(char *out, size_t size, uint32_t tty)
{
	uint32_t major = tty >> 8 & 0xfff, minor = (tty & 0xff) | (tty >> 12 & 0xfff00);

	if (!tty)
		snprintf(out, size, "?");
	else if (major >= MAJOR_PTS_FIRST && major <= MAJOR_PTS_LAST)
		snprintf(out, size, "pts/%u", (major - MAJOR_PTS_FIRST) * 256 + minor);
	else if (major == MAJOR_TTY)
		snprintf(out, size, "tty%u", minor);
	else if (major == MAJOR_TTY_OTHER && minor == 1)
		snprintf(out, size, "console");
	else if (major == MAJOR_HVC)
		snprintf(out, size, "hvc%u", minor);
	else
		snprintf(out, size, "%u:%u", major, minor);
}

/* ps: the time of day within a day, the day within a year, else the year. */
static void start_name(char *out, size_t size, uint64_t start_s, uint64_t now_s)
{
	time_t start = (time_t)MIN(start_s, (uint64_t)UINT32_MAX), now = (time_t)now_s;
	const char *format = "%H:%M";
	struct tm then, today;

	localtime_r(&start, &then);
	localtime_r(&now, &today);
	if (now_s > start_s && now_s - start_s >= DAY_S)
		format = then.tm_year == today.tm_year ? "%b%d" : "%Y";
	strftime(out, size, format, &then);
}

static void cpu_time(char *out, size_t size, uint64_t cpu_ms)
{
	uint64_t s = cpu_ms / 1000;
	unsigned in_day = (unsigned)(s % DAY_S);
	char days[24] = "";

	if (s >= DAY_S)
		snprintf(days, sizeof(days), "%" PRIu64 "-", s / DAY_S);
	snprintf(out, size, "%s%02u:%02u:%02u", days, in_day / 3600, in_day / 60 % 60, in_day % 60);
}

static unsigned cpu_percent(const struct proto_process *p)
{
	uint64_t whole = p->elapsed_ms / 100;

	return whole ? (unsigned)MIN(p->cpu_ms / whole, (uint64_t)CPU_PERCENT_MAX) : 0;
}

#define COMMAND_MAX (sizeof(((struct proto_process *)0)->args) + 3)

static void command_name(char out[COMMAND_MAX], const struct proto_process *p)
{
	char args[sizeof(p->args) + 1], comm[sizeof(p->comm) + 1];

	printable(args, sizeof(args), p->args, sizeof(p->args));
	printable(comm, sizeof(comm), p->comm, sizeof(p->comm));
	snprintf(out, COMMAND_MAX, *args ? "%s" : "[%s]", *args ? args : comm);
}

void ps_states_row(FILE *f, const struct proto_process *p)
{
	char tty[32], stat[sizeof(p->stat) + 1], command[COMMAND_MAX];
	uint64_t s = p->cpu_ms / 1000;

	tty_name(tty, sizeof(tty), p->tty);
	printable(stat, sizeof(stat), p->stat, sizeof(p->stat));
	command_name(command, p);
	fprintf(f, "%7u %-8s %-4s %3" PRIu64 ":%02u %s\n", p->pid, tty, stat, s / 60,
		(unsigned)(s % 60), command);
}

void ps_table_row(FILE *f, const struct proto_process *p, uint64_t now_s)
{
	char user[16], tty[32], start[16], cpu[40], command[COMMAND_MAX];

	/* The container's names for its users are not ours to read. */
	snprintf(user, sizeof(user), "%u", p->uid);
	tty_name(tty, sizeof(tty), p->tty);
	start_name(start, sizeof(start), p->start_s, now_s);
	cpu_time(cpu, sizeof(cpu), p->cpu_ms);
	command_name(command, p);
	fprintf(f, "%-8s %7u %7u %2u %-5s %-8s %8s %s\n", p->uid ? user : "root", p->pid, p->ppid,
		cpu_percent(p), start, tty, cpu, command);
}
