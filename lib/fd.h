/* SPDX-License-Identifier: Apache-2.0 */
/* File descriptors: whole reads and writes, and passing them over Unix sockets. */
#ifndef LIB_FD_H
#define LIB_FD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define FD_PASS_MAX 16 /* descriptors in one message */

/* Reads exactly len bytes, retrying EINTR. Returns 0, -EPIPE at an early end of file, or -errno. */
int read_full(int fd, void *buf, size_t len);

/* Writes exactly len bytes, retrying EINTR. Returns 0 or -errno. */
int write_full(int fd, const void *buf, size_t len);

/* Reads a whole file of at most max bytes into a new NUL-terminated buffer (the NUL is not
 * counted). Returns 0, -EFBIG when it is longer, -ENOMEM or -errno. The caller frees *ret_buf. */
int read_file(int fd, size_t max, char **ret_buf, size_t *ret_len);

/* Sends one message with n (0 to FD_PASS_MAX) descriptors on a Unix socket. Never raises SIGPIPE.
 * Returns 0 or -errno. A short send on a seqpacket socket cannot happen. */
int send_fds(int sock, const void *buf, size_t len, const int *fds, unsigned n);

/* Receives one message; every descriptor that arrives is CLOEXEC. At most max_fds are kept in fds,
 * any further ones are closed. Returns the bytes received (0: peer closed) or -errno; -EMSGSIZE
 * when the message was cut; -EMFILE when it is in buf and only descriptors were cut: there were more than
 * FD_PASS_MAX, or none are left to this process. Nothing is kept open then. */
ssize_t recv_fds(int sock, void *buf, size_t len, int *fds, unsigned max_fds, unsigned *ret_n);

/* A memfd with the given contents, sealed against change when seal is set, offset 0. Returns fd or
 * -errno. */
int memfd_with(const char *name, const void *buf, size_t len, int seal);

#endif
