/* SPDX-License-Identifier: Apache-2.0 */
/* The public REST API: turns streams of bridge/http into calls of VideoService and back. One struct
 * vg_api for the process, one struct vg_api_loop for each loop; a request stays on its loop. */
#ifndef VG_BRIDGE_API_API_H
#define VG_BRIDGE_API_API_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "bridge/http/stream.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/monitor.h"
#include "common/rpc/client.h"
#include "common/work_pool.h"

struct vg_cors;
struct vg_events;

struct vg_api {
    struct vg_rpc_channel *channel;    /* borrowed */
    struct vg_work_pool *pool;         /* borrowed; parses large bodies */
    struct vg_monitor_options monitor; /* what /readyz and /metrics say */
    struct vg_metric_set *metrics;     /* of vg_api_register; may be NULL */
    int64_t max_body;                  /* bytes of one JSON body */
    int64_t body_memory;               /* bytes of all bodies being held */
    int64_t rpc_ms;       /* deadline of a unary call, and of a download's first message */
    int64_t heartbeat_ms; /* of an event stream */
    int64_t recheck_ms;   /* the same: how long a key is trusted */
    int64_t max_watchers; /* event streams at a time */
    struct vg_metric_set *events_metrics; /* of vg_events_register; may be NULL */
    const struct vg_cors *cors;           /* borrowed; NULL: off */
    const char *trusted_proxies;          /* nets; borrowed, may be NULL */
    bool access_log;
    int64_t max_creates; /* calls at a time that make videos; beyond it 503, before the body */
    atomic_llong creates;
    atomic_llong watchers;
    atomic_int scrapes; /* answers of /metrics under way */
    atomic_llong body_held;
};

struct vg_api_loop {
    struct vg_api *api;             /* borrowed */
    struct vg_loop *loop;           /* borrowed */
    struct vg_http_handler handler; /* to be given to vg_net_new */
    struct vg_events *events;       /* open event streams: events.c */
    bool draining;                  /* no new event streams */
    int64_t warned_ns;              /* when a failed call was last logged */
};

/* Registers the requests' metrics. */
struct vg_metric_set *vg_api_register(struct vg_metrics *metrics);
void vg_api_loop_init(struct vg_api_loop *at, struct vg_api *api, struct vg_loop *loop);

#endif
