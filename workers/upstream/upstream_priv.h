/* SPDX-License-Identifier: Apache-2.0 */
/* The inside shared by upstream.c (life, arrival of calls), call.c (requests and endings) and
 * fetch.c (streams). Private to the three; everything belongs to the loop's thread. */
#ifndef VG_WORKERS_UPSTREAM_UPSTREAM_PRIV_H
#define VG_WORKERS_UPSTREAM_UPSTREAM_PRIV_H

#include "common/http/guard.h"
#include "common/metrics.h"
#include "workers/upstream/adapter.h"
#include "workers/upstream/call.h"
#include "workers/upstream/credentials.h"
#include "workers/upstream/elide.h"
#include "workers/upstream/upstream.h"

enum { VG_UPSTREAM_BASES_MAX = 64 };

struct vg_upstream_base {
    char *url;             /* owned; no '/' at its end */
    int64_t calls;         /* jobs made */
    int64_t down_until_ns; /* could not be reached */
};

enum vg_upstream_metric { VG_UM_REQUESTS, VG_UM_SECONDS, VG_UM_KEYS, VG_UM_MAX };
enum vg_upstream_outcome { VG_UO_OK, VG_UO_CLIENT_ERROR, VG_UO_SERVER_ERROR, VG_UO_NO_ANSWER };

struct vg_upstream {
    const struct vg_adapter *adapter;
    const struct vg_upstream_config *config;        /* borrowed */
    const struct vg_adapter_config *adapter_config; /* borrowed */
    struct vg_loop *loop;                           /* owned */
    struct vg_http_client *client;                  /* owned: base addresses */
    struct vg_http_client *outside;                 /* owned: everything else, guarded */
    struct vg_http_guard guard;
    struct vg_credentials *credentials; /* owned */
    struct vg_upstream_base bases[VG_UPSTREAM_BASES_MAX];
    size_t base_count;
    struct vg_timer refresh;
    int64_t keys_shown;            /* in the gauge */
    struct vg_metric_set *metrics; /* the registry's; NULL: none */
    void *own;                     /* the adapter's */
    struct vg_jwks *jwks;          /* owned; NULL: it has none */
    bool stopping;
};

struct vg_fetch;

struct vg_call_run {
    struct vg_call call;
    struct vg_task task;
    struct vg_upstream *upstream;     /* borrowed */
    struct vg_op *op;                 /* until the ending */
    struct vg_credential *credential; /* NULL: none */
    struct vg_upstream_base *base;
    struct vg_buf body;     /* of the request under way */
    struct vg_elide *elide; /* owned; of its answer, NULL: it is taken whole */
    struct vg_buf skeleton; /* the answer without its long strings */
    struct vg_json_writer writer;
    struct vg_json *extra;    /* owned */
    struct vg_call_http http; /* the request under way; texts are the arena's */
    char *url;                /* whole address of it; arena */
    bool to_base;             /* its origin is the base's */
    bool again;               /* it was sent a second time after a 401 */
    bool created;             /* the request that makes the job was sent */
    void (*authorized)(struct vg_call *call, const char *header); /* who waits for the header */
    bool ended;
    bool busy;              /* code of ours that still uses the run is on the stack */
    size_t lookup_at;       /* which key and base address is asked */
    bool lookup_unsure;     /* one of them could not be asked */
    struct vg_fetch *fetch; /* owned */
    bool renewing;          /* a fetch asks the adapter's poll for a new link */
};

struct vg_call_run *vg_call_run_of(struct vg_call *call);
/* Runs the adapter's function for what is asked, and frees when it ended at once. */
void vg_call_begin(struct vg_call_run *run);
/* In the arena; NULL: it cannot be read. */
Videogate__Store__V1__UpstreamState *vg_call_unpack_state(struct vg_call_run *run,
                                                          ProtobufCBinaryData state);
/* The state is filled. */
void vg_lookup_begin(struct vg_call_run *run);
/* The job as it is to be followed. In the arena, `upstream_id` borrowed. */
void vg_call_fill_accepted(struct vg_call_run *run, Videogate__V1__Accepted *out,
                           const char *upstream_id, int64_t after);
/* Ends the RPC with a message; the run is gone afterwards, unless busy. */
void vg_call_reply(struct vg_call_run *run, const ProtobufCMessage *message);
/* Frees the run when it has ended and nobody uses it. */
void vg_call_release(struct vg_call_run *run);
/* Fills what goes out over the wire. Texts borrowed from `fault`, where they are cleaned. */
void vg_fault_message(struct vg_call_run *run, struct vg_fault *fault,
                      Videogate__V1__ProviderError *out);
/* "Header: value" for the key, or NULL: none. Arena. */
const char *vg_call_auth_header(struct vg_call_run *run);
void vg_call_count(struct vg_call_run *run, int status, int64_t duration_ms);

/* The whole address, and whether its origin is the base's. Arena; NULL: not an address. */
char *vg_call_address(struct vg_call_run *run, const char *url, bool *to_base);

/* A fetch that can fail; then it may begin. */
void vg_fetch_new(struct vg_call_run *run);
void vg_fetch_begin(struct vg_call_run *run);
/* The link was renewed (state->result is new) or could not be. */
void vg_fetch_renewed(struct vg_call_run *run, const struct vg_fault *fault);
void vg_fetch_fail(struct vg_call_run *run, struct vg_fault *fault);

#endif
