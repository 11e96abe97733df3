/* SPDX-License-Identifier: Apache-2.0 */
/* The guest's end of the vsock device, as honest or as hostile as a test wants it, and the VMM's
 * command end. */
#ifndef TESTS_DEVICE_VSOCK_PEER_H
#define TESTS_DEVICE_VSOCK_PEER_H

#include <linux/virtio_vsock.h>
#include <stdbool.h>
#include <stdint.h>

#include "tests/device/driver.h"

#define PEER_RX_BUFS  64
#define PEER_RX_BYTES 4096
#define PEER_TX_SLOTS 64
#define PEER_TX_BYTES (65536 + 128)

/* What the guest knows of one stream. */
struct gstream {
	uint32_t gport, hport;
	uint32_t buf_alloc; /* our window */
	uint32_t fwd_cnt;   /* read by us: raised by the test, or at once when eager */
	bool eager;
	uint32_t tx_cnt, peer_alloc, peer_fwd;
	uint64_t got;  /* bytes received */
	uint8_t *data; /* where they go, may be NULL */
	uint64_t data_max;
	bool response, rst;
	uint8_t shut; /* the device's SHUTDOWN flags */
	unsigned packets, credit_updates;
};

#define PEER_STREAMS_MAX 64

struct peer {
	struct drv d;
	uint64_t rx_gpa[PEER_RX_BUFS], tx_gpa[PEER_TX_SLOTS];
	int rx_head[PEER_RX_BUFS], tx_head[PEER_TX_SLOTS]; /* -1: not with the device */
	bool hold_rx;                                      /* received buffers are not given back */
	struct gstream *stream[PEER_STREAMS_MAX];
	unsigned n_streams;
	unsigned strangers;           /* packets for no stream of ours */
	struct virtio_vsock_hdr last; /* the latest packet */
	uint32_t next_id;
};

void peer_open(struct peer *p);
void peer_restart(
	struct peer *p); /* resets the device and starts it again; streams are forgotten */
void peer_close(struct peer *p);
void peer_give_rx(
	struct peer *p, unsigned n); /* posts up to n buffers that are not with the device */

/* Command socket. Return the reply's errnum; fds are borrowed, -1: none. */
int peer_bind(struct peer *p, uint32_t port, int rx_fd, int tx_fd);
int peer_unbind(struct peer *p, uint32_t port, uint32_t count);
uint32_t peer_drain_send(struct peer *p); /* of all streams */
uint32_t peer_drain_ports(struct peer *p, uint32_t port, uint32_t count);
bool peer_drain_done(struct peer *p, uint32_t id, int ms);

struct virtio_vsock_hdr peer_hdr(uint32_t gport, uint32_t hport, uint16_t op);
/* Puts one packet into the tx queue, as it is (no check of anything), and kicks; waits for a free
 * slot. */
void peer_raw(struct peer *p, const struct virtio_vsock_hdr *h, const void *data, uint32_t len);
/* Takes one packet from the rx queue, updating its stream. False: none within ms. */
bool peer_recv(struct peer *p, int ms);

void peer_stream(struct peer *p, struct gstream *s, uint32_t gport, uint32_t hport);
void peer_send(struct peer *p, struct gstream *s, uint16_t op, uint32_t flags, const void *data,
	uint32_t len);
bool peer_connect(struct peer *p, struct gstream *s, uint32_t gport, uint32_t hport);
uint32_t peer_room(const struct gstream *s); /* what the device lets us send */

/* Receives until cond is true or ms are over without any packet; the condition's last value. */
#define peer_until(p, cond, ms)                     \
	({                                          \
		while (!(cond) && peer_recv(p, ms)) \
			;                           \
		(cond);                             \
	})
#define peer_idle(p) /* lets the device do all it will do by itself */ \
	do {                                                           \
	} while (peer_recv(p, 100))

#endif
