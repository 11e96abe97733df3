/* SPDX-License-Identifier: Apache-2.0 */
/* The init that kernel/bootcost boots: says when it was reached and what memory is left, and ends. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void show_file(const char *path, const char *const *want)
{
	char line[256];
	FILE *f = fopen(path, "re");

	if (!f)
		return;
	while (fgets(line, sizeof(line), f)) {
		for (const char *const *w = want; *w; w++)
			if (!strncmp(line, *w, strlen(*w)))
				printf("bootcost: %s", line);
	}
	fclose(f);
}

int main(void)
{
	static const char *const fields[] = {
		"MemTotal", "MemFree", "MemAvailable", "Slab", "Percpu", NULL};
	static const char *const any[] = {"", NULL};
	struct timespec ts, real;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	clock_gettime(CLOCK_REALTIME, &real);
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	printf("bootcost: init at %ld.%06ld s, %ld CPUs, wall clock %ld\n", (long)ts.tv_sec,
		ts.tv_nsec / 1000, sysconf(_SC_NPROCESSORS_ONLN), (long)real.tv_sec);
	show_file("/proc/meminfo", fields);
	show_file("/proc/version", any);
	show_file("/sys/devices/system/clocksource/clocksource0/current_clocksource", any);
	fflush(stdout);
	reboot(RB_AUTOBOOT);
	for (;;)
		pause();
}
