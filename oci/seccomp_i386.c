/* SPDX-License-Identifier: Apache-2.0 */
/* i386's numbers, in a file that includes no others. */
#ifdef __x86_64__
#include <asm/unistd_32.h>
#endif

#include <stddef.h>
#include <string.h>

int seccomp_i386_number(const char *name);

static const struct {
	const char *name;
	int nr;
} calls[] = {
#ifdef __x86_64__
	{"accept4", __NR_accept4},
	{"bind", __NR_bind},
	{"connect", __NR_connect},
	{"getpeername", __NR_getpeername},
	{"getsockname", __NR_getsockname},
	{"getsockopt", __NR_getsockopt},
	{"listen", __NR_listen},
	{"recvfrom", __NR_recvfrom},
	{"recvmmsg", __NR_recvmmsg},
	{"recvmsg", __NR_recvmsg},
	{"sendmmsg", __NR_sendmmsg},
	{"sendmsg", __NR_sendmsg},
	{"sendto", __NR_sendto},
	{"setsockopt", __NR_setsockopt},
	{"shutdown", __NR_shutdown},
	{"socket", __NR_socket},
	{"socketpair", __NR_socketpair},
	{"msgctl", __NR_msgctl},
	{"msgget", __NR_msgget},
	{"msgrcv", __NR_msgrcv},
	{"msgsnd", __NR_msgsnd},
	{"semctl", __NR_semctl},
	{"semget", __NR_semget},
	{"shmat", __NR_shmat},
	{"shmctl", __NR_shmctl},
	{"shmdt", __NR_shmdt},
	{"shmget", __NR_shmget},
#endif
	{"", -1},
};

int seccomp_i386_number(const char *name)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (!strcmp(calls[i].name, name))
			return calls[i].nr;
	return -1;
}
