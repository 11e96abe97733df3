/* SPDX-License-Identifier: Apache-2.0 */
/* What `events` prints: runc's JSON (its types/events.go), which containerd's shim reads back. */
#ifndef OCI_EVENTS_H
#define OCI_EVENTS_H

#include <json-c/json.h>

#include "lib/proto.h"

/* New references; NULL when out of memory. */
struct json_object *event_oom_json(const char *id);
struct json_object *event_stats_json(const char *id, const struct proto_stats *s);

#endif
