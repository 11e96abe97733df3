/* SPDX-License-Identifier: Apache-2.0 */
/* The two halves of life_exec.h: life_exec.c (proxies, the guest, deadlines) and life_exec_dev.c (the vsock
 * device). */
#ifndef VMM_LIFE_EXEC_PRIV_H
#define VMM_LIFE_EXEC_PRIV_H

#include "vmm/life_priv.h"

/* life_exec.c */
uint32_t life_exec_slot(const struct life *l, const struct exec_slot *e); /* its number */
/* The proxy's last reply, if there is one. */
void life_exec_tell_last(struct life *l, struct exec_slot *e, struct ctl_reply *reply);
/* The device has the stream that was bound last: the next one; after all of them the guest is asked. */
void life_exec_bind_next(struct life *l, struct exec_slot *e);

/* life_exec_dev.c */
int life_exec_pick_ports(struct life *l, struct exec_slot *e); /* 0 or -errno */
/* To a state that begins with a command to the device. */
void life_exec_enter(struct life *l, struct exec_slot *e, enum exec_state state);
/* BINDING: no (more) stream is to be bound, the proxy has been told. */
void life_exec_unbind(struct life *l, struct exec_slot *e);

#endif
