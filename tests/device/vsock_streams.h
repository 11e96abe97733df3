/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of the vsock device over host descriptors: what its tests have in common. Failures of the set-up
 * are the program's end. */
#ifndef TESTS_DEVICE_VSOCK_STREAMS_H
#define TESTS_DEVICE_VSOCK_STREAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/cleanup.h" /* before p, which its parameters would shadow */
#include "tests/device/vsock_peer.h"
#include "vmm/virtio/vsock.h"

#define BIG (4u << 20)

extern struct peer p;
extern uint8_t *pattern, *sink; /* BIG bytes: to send, to receive */
extern uint32_t next_port;      /* none from here on has been used */

void make_pipe(int fd[2]);
void make_pair(int fd[2]);
int make_file(const void *data, size_t len); /* at its beginning */
/* Binds (closing our ends: the device has its own) and connects; the port. */
uint32_t open_stream(struct gstream *s, int *rx_fd, int *tx_fd);
/* Sends up to len bytes as credit allows; returns how many. */
uint32_t send_some(struct gstream *s, const uint8_t *data, uint32_t len);
/* Sends until nothing more is taken: pipe and window are full. */
uint32_t fill_up(struct gstream *s);
/* Keeps received buffers from here on (p.hold_rx), until s has had an answer in each: none is out. */
void use_up_rx(struct gstream *s);
uint32_t read_some(int fd, uint8_t *to, uint32_t len, int ms);
bool at_eof(int fd);

/* One test after the other on one device; main()'s result. */
int streams_run(void (*const tests[])(void), size_t n);

#endif
