/* SPDX-License-Identifier: Apache-2.0 */
/* What the handlers of this folder share: the service's parts and one request's life.
 *
 * A request lives in its call's arena: it dies with vg_request_reply, _fail or _finish, each of
 * which ends the call exactly once. Between two asynchronous steps it belongs to the step under way
 * (a lookup, a database operation, a pool task), which always comes back; a caller who went away is
 * noticed by the runtime, not here. */
#ifndef VG_SERVICE_PRIV_H
#define VG_SERVICE_PRIV_H

#include <stdatomic.h>

#include "common/loop.h"
#include "common/metrics.h"
#include "common/rpc/server.h"
#include "common/work_pool.h"
#include "db/db.h"
#include "db/video_store.h"
#include "service/auth.h"
#include "service/blob.h"
#include "service/catalog_live.h"
#include "service/jobs/jobs.h"
#include "service/media.h"
#include "service/scope.h"
#include "service/translate.h"
#include "service/validate.h"
#include "service/variant.h"

enum vg_service_metric {
    VG_SM_CREATES,
    VG_SM_DOWNLOAD_BYTES,
    VG_SM_WATCHERS,
    VG_SM_PURGED,
    VG_SM_PROVIDER_EVENTS,
    VG_SM_RETIRED,
    VG_SM_AUTH_FAILURES,
    VG_SM_AUTH_THROTTLED
};
enum vg_create_series {
    VG_CREATES_NEW,
    VG_CREATES_REPLAYED,
    VG_CREATES_REFUSED,
    VG_CREATES_FAILED
};

/* What became of a provider's webhook. */
enum vg_event_series {
    VG_EVENTS_DUE,
    VG_EVENTS_ENDED,
    VG_EVENTS_STALE,
    VG_EVENTS_OTHER_JOB,
    VG_EVENTS_UNKNOWN,
    VG_EVENTS_CHALLENGE,
    VG_EVENTS_BAD_ADDRESS,
    VG_EVENTS_REFUSED,
    VG_EVENTS_FAILED,
    VG_EVENTS_MAX
};
/* Their names, NULL-terminated. */
const char *const *vg_event_outcomes(void);

struct vg_binding;
struct vg_event_addresses;
struct vg_flights;
struct vg_rate;
struct vg_throttle;
struct vg_hub;

/* Set up by app.c before the first call, constant while calls come. Everything borrowed from the
 * app. */
struct vg_service {
    struct vg_db *db;
    struct vg_auth *auth;
    const struct vg_peppers *peppers;
    struct vg_key_use *key_use;
    struct vg_validate_env base_env; /* all but the catalog: handlers use vg_request_env */
    struct vg_catalog_live *catalog;
    struct vg_blob_store *blobs;
    struct vg_executor *pool; /* for what blocks on the disk */
    struct vg_loop *loop;     /* where database operations end */
    struct vg_media *media;
    struct vg_variants *variants;
    struct vg_binding *binding; /* until it holds, callers are sent away */
    struct vg_hub *hub;
    struct vg_jobs *jobs;
    struct vg_flights *flights;
    struct vg_rate *rate;
    struct vg_throttle *throttle;
    const char *trusted_peers; /* nets whose word for a caller's address is taken */
    struct vg_metric_set *metrics;
    const struct vg_links *links;
    const struct vg_event_addresses *event_addresses;
    int64_t retry_window_ms; /* how long an SDK's repeat finds its first attempt */
    size_t max_watchers;
    const struct vg_keyring *keyring; /* seals callback secrets */
    uint8_t secret_key[32]; /* for fingerprints: the oldest, so that replicas agree in a rotation */
    int32_t secret_overlap_s;             /* of webhook secrets that are kept at a rotation */
    atomic_int_fast64_t in_flight;        /* requests not ended yet */
    atomic_int_fast64_t events_in_flight; /* webhooks of providers at their workers */
};

struct vg_request;
typedef void vg_request_f(struct vg_request *request);

/* Head of every handler's state; embed it first. */
struct vg_request {
    struct vg_service *service; /* borrowed */
    struct vg_rpc_call *call;   /* owned until the end */
    struct vg_identity who;
    enum vg_scope scope;        /* that the key must have */
    struct vg_catalog *catalog; /* owned: a snapshot, once vg_request_env was called */
    vg_request_f *run;          /* called once the caller is known, on the pump or the loop */
    struct vg_auth_wait wait;
};

/* Makes the state (`size` bytes, zeroed, in the call's arena) and authenticates; then `run`, or the
 * call fails: also when the key has not the scope. */
void vg_request_begin(void *service, struct vg_rpc_call *call, size_t size, enum vg_scope scope,
                      vg_request_f *run);
/* As above, or with the admin key: then who.project_id is 0 and stands for any project. */
void vg_request_begin_scoped(void *service, struct vg_rpc_call *call, size_t size,
                             enum vg_scope scope, vg_request_f *run);
/* As above for a caller who shows something else than a key: `judge` says whether it will do, and
 * fills `err`. Whose the request is (`who`) stays unknown. */
typedef int vg_request_judge_f(struct vg_request *request, struct vg_err *err);
void vg_request_begin_judged(void *service, struct vg_rpc_call *call, size_t size,
                             vg_request_judge_f *judge, vg_request_f *run);
/* As above with the admin key. */
void vg_request_begin_admin(void *service, struct vg_rpc_call *call, size_t size,
                            vg_request_f *run);
/* The caller's message. */
const void *vg_request_message(const struct vg_request *request);
/* Prepares an operation that ends on the loop, within the caller's deadline and 10 s. */
void vg_request_op(struct vg_request *request, struct vg_db_op *op,
                   void (*done)(struct vg_task *task));
struct vg_arena *vg_request_arena(struct vg_request *request);
/* What requests are validated by, with the catalog as it was at the first call; both live until the
 * request ends. */
const struct vg_validate_env *vg_request_env(struct vg_request *request);
/* Metadata as text in the arena, cut to 128 bytes; "" when absent. */
const char *vg_request_metadata(struct vg_request *request, const char *key);

/* The three ends. */
void vg_request_reply(struct vg_request *request, const ProtobufCMessage *response);
void vg_request_fail(struct vg_request *request, const struct vg_err *err);
void vg_request_finish(struct vg_request *request);
/* vg_request_fail with a field and a text. */
void vg_request_refuse(struct vg_request *request, enum vg_err_kind kind, const char *param,
                       const char *text);

/* A row as a message. */
Videogate__V1__Video *vg_request_video(struct vg_request *request, const struct vg_video *row);
bool vg_video_id_ok(const char *id);

/* Handlers; `ctx` is the struct vg_service. */
vg_rpc_handler_f vg_handle_create;
vg_rpc_handler_f vg_handle_edit;
vg_rpc_handler_f vg_handle_extend;
vg_rpc_handler_f vg_handle_remix;
vg_rpc_handler_f vg_handle_download;
vg_rpc_handler_f vg_handle_watch;
vg_rpc_handler_f vg_handle_trace;
vg_rpc_handler_f vg_handle_webhook_create;
vg_rpc_handler_f vg_handle_webhook_get;
vg_rpc_handler_f vg_handle_webhook_list;
vg_rpc_handler_f vg_handle_webhook_update;
vg_rpc_handler_f vg_handle_webhook_delete;
vg_rpc_handler_f vg_handle_webhook_rotate;
vg_rpc_handler_f vg_handle_webhook_test;
vg_rpc_handler_f vg_handle_webhook_types;
vg_rpc_handler_f vg_handle_delivery_list;
vg_rpc_handler_f vg_handle_redeliver;
vg_rpc_handler_f vg_handle_redeliver_range;
vg_rpc_handler_f vg_handle_reseal;

struct vg_rpc_service vg_video_service(struct vg_service *service);
struct vg_rpc_service vg_admin_service(struct vg_service *service);
struct vg_rpc_service vg_provider_event_service(struct vg_service *service);

#endif
