/* SPDX-License-Identifier: Apache-2.0 */
/* What an adapter is: one provider's HTTP API as a table of facts and five functions. The base
 * (upstream.c, call.c, fetch.c) owns threads, credentials, transfers, redirects and faults; an
 * adapter only says what to send and what an answer means. All its functions run on the base's
 * loop, never block, and end each call exactly once (call.h). */
#ifndef VG_WORKERS_UPSTREAM_ADAPTER_H
#define VG_WORKERS_UPSTREAM_ADAPTER_H

#include "common/config.h"
#include "workers/provider.h"
#include "workers/upstream/call.h"
#include "workers/upstream/events.h"
#include "workers/upstream/fault.h"

/* Every adapter's configuration struct begins with this. */
struct vg_adapter_config {
    char *keys;         /* NAME-keys */
    char *event_secret; /* NAME-event-secret */
    char *jwks_url;     /* NAME-jwks-url; "" or NULL: none */
    char *audience;     /* NAME-event-audience */
};

/* clang-format off */
#define VG_ADAPTER_KEYS_ROW(name, what)                                                            \
    {name "-keys", VG_CONFIG_TEXT, offsetof(struct vg_adapter_config, keys), NULL, 0, 0, true,     \
     false, what}
#define VG_ADAPTER_EVENT_ROW(name, what)                                                           \
    {name "-event-secret", VG_CONFIG_TEXT, offsetof(struct vg_adapter_config, event_secret), NULL, \
     0, 0, true, false, what}
#define VG_ADAPTER_JWKS_ROW(name, address)                                                         \
    {name "-jwks-url", VG_CONFIG_TEXT, offsetof(struct vg_adapter_config, jwks_url), address, 0,   \
     0, false, false, "Where the public keys of its webhooks are; empty: they are not checked."}
#define VG_ADAPTER_AUDIENCE_ROW(name, what)                                                        \
    {name "-event-audience", VG_CONFIG_TEXT, offsetof(struct vg_adapter_config, audience), NULL,   \
     0, 0, false, false, what}
/* clang-format on */

struct vg_adapter {
    const char *name;     /* the provider's, as in the catalog */
    const char *base_url; /* default of --base-url; NULL: must be configured */
    /* How a key travels: the header up to the key, e.g. "Authorization: Bearer ". */
    const char *auth;
    /* Instead of `auth`, when a key must first be turned into something: ends by vg_call_authorized
     * or vg_call_failed, at once or later. */
    void (*authorize)(struct vg_call *call, const char *key);
    /* With authorize: the header was answered with 401; forget it. The request is sent once more.
     */
    void (*unauthorized)(struct vg_call *call, const char *key);
    const char *const
        *headers; /* sent with each request to the base; NULL-terminated; may be NULL */
    /* A second origin of the provider's that may see the key, e.g. its store of files; the
     * operator's configuration says where it is. */
    const char *(*also_base)(const void *config);
    bool key_optional;     /* engines of one's own need none */
    bool hidden;           /* callers must not know the provider: its texts are for operators */
    bool result_needs_key; /* the result's address wants the key, where its origin is the base's */
    int32_t max_concurrency; /* jobs at once per key; 0: no limit known */
    int64_t max_submit_ms;   /* 0: the usual 60 s per request */
    int64_t first_poll_ms, poll_ms;
    int64_t typical_ms; /* length of a usual job, for progress where the provider tells none */

    /* How its JSON tells failures; paths as in vg_json_at, tried in order. */
    const char *ok_path; /* a 2xx answer where this member is there and not `ok_value` (or
                            `ok_value2`) is a failure; NULL: none */
    const char *ok_value, *ok_value2;
    bool ok_is_status; /* the member's value (400 to 599) counts as HTTP status */
    const char *const *code_paths, *const *message_paths; /* NULL-terminated */
    const struct vg_fault_row *faults;
    size_t fault_count;
    /* Wait asked for in the body, e.g. google.rpc.RetryInfo; 0: none. NULL: headers alone. */
    int64_t (*retry_after)(const struct vg_answer *answer);
    const struct vg_event_scheme *events; /* NULL: sends no webhooks */

    /* Own things beside the configuration, e.g. a token cache; may be NULL. */
    int (*open)(struct vg_upstream *upstream, const void *config, void **out, struct vg_err *err);
    void (*close)(void *own);
    int (*check)(const void *config, struct vg_err *err);

    void (*submit)(struct vg_call *call);
    void (*poll)(struct vg_call *call);    /* NULL: Submit finishes */
    void (*fetch)(struct vg_call *call);   /* NULL: GET state->result */
    void (*cancel)(struct vg_call *call);  /* NULL: not offered */
    bool (*cancels)(const char *base_url); /* whether it is offered there; NULL: everywhere */
    void (*lookup)(struct vg_call *call);  /* NULL: not offered */
};

/* The functions of workers/upstream/upstream.c, for the provider's static vtable:
 *   static const struct vg_provider provider = {VG_UPSTREAM_PROVIDER(adapter, keys, struct
 * config)};
 */
#define VG_UPSTREAM_PROVIDER(adapter_, keys_, config_type)                                         \
    .adapter = &(adapter_), .keys = (keys_), .key_count = VG_COUNT(keys_),                         \
    .config_size = sizeof(config_type), .check = NULL, .start = vg_upstream_start,                 \
    .ready = vg_upstream_ready, .stop = vg_upstream_stop, .describe = vg_upstream_describe,        \
    .submit = vg_upstream_submit, .poll = vg_upstream_poll, .fetch = vg_upstream_fetch,            \
    .cancel = vg_upstream_cancel, .lookup = vg_upstream_lookup,                                    \
    .read_event = vg_upstream_read_event

vg_provider_start_f vg_upstream_start;
vg_provider_ready_f vg_upstream_ready;
vg_provider_stop_f vg_upstream_stop;
vg_provider_describe_f vg_upstream_describe;
vg_provider_submit_f vg_upstream_submit;
vg_provider_poll_f vg_upstream_poll;
vg_provider_fetch_f vg_upstream_fetch;
vg_provider_cancel_f vg_upstream_cancel;
vg_provider_lookup_f vg_upstream_lookup;
vg_provider_read_event_f vg_upstream_read_event;

#endif
