/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/videos/{id}/events: Server-Sent Events over WatchVideo. The handler is in handlers.h;
 * what the loop and the app need of it is here. */
#ifndef VG_BRIDGE_API_EVENTS_H
#define VG_BRIDGE_API_EVENTS_H

#include "bridge/api/api.h"

struct vg_metric_set *vg_events_register(struct vg_metrics *metrics);
/* Ends every event stream of this loop, so that its client comes back to another process; later
 * ones are refused. The loop's thread. */
void vg_events_drain(struct vg_api_loop *at);

#endif
