/* SPDX-License-Identifier: Apache-2.0 */
/* Who calls: API key to project, through a small cache in front of db/key_store.h.
 *
 * An answer is believed for at most a second after it was asked for, so a revocation is felt
 * everywhere within one. Concurrent misses of one key become one lookup. Junk is turned away by its
 * checksum without a lookup; unknown keys are cached like known ones, but never in their place.
 * Keys are held as SHA-256, beside the lookups under way. A key whose id nobody has costs what one
 * with a wrong secret costs. Any thread. */
#ifndef VG_SERVICE_AUTH_H
#define VG_SERVICE_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/id.h"
#include "common/metrics.h"
#include "common/task.h"
#include "db/key_store.h"
#include "service/key_use.h"
#include "service/pepper.h"

struct vg_auth;

/* Starts a lookup; `op.done` must come, even on failure. In production this is vg_key_lookup. */
typedef void vg_auth_lookup_f(void *ctx, struct vg_key_lookup *op);

struct vg_auth_options {
    vg_auth_lookup_f *lookup;
    void *lookup_ctx;
    struct vg_executor *executor; /* where lookups end */
    const struct vg_peppers *peppers;
    struct vg_key_use *uses; /* is told which keys are in use; may be NULL */
    const char *admin_key;   /* NULL: no admin calls; read during new only */
    bool refuse_old;         /* keys without an id are as good as unknown, and not looked up */
    int64_t ttl_ms;          /* 0: 800; at most 1,000 */
    size_t max_entries;      /* 0: 4096 */
    size_t max_pending; /* distinct keys being looked up; beyond it VG_ERR_OVERLOADED; 0: 1024 */
    struct vg_metrics *metrics; /* may be NULL */
};

struct vg_auth *vg_auth_new(const struct vg_auth_options *options);
/* After the last lookup has ended. NULL is fine. */
struct vg_auth *vg_auth_free(struct vg_auth *auth);

struct vg_identity {
    int64_t project_id; /* 0: the admin key, which speaks for any */
    char key_id[VG_ID_SIZE];
    uint32_t scopes; /* enum vg_scope */
    bool archived;   /* the project is: nothing may be done */
    bool old;        /* the key has no id in its text */
    bool limited;    /* key or project has a limit of active videos or spend */
    int32_t key_rpm; /* requests a minute; 0: no limit */
    int32_t project_rpm;
};

/* One question. Belongs to the cache while pending. */
struct vg_auth_wait {
    struct vg_executor *executor; /* where `done.run` is called */
    struct vg_task done;
    /* Asked before any work is done for a key that was not good lately; `key_id` may be "". False:
     * it has set `err`, which is the answer. May be NULL. */
    bool (*admit)(struct vg_auth_wait *wait, const char *key_id);
    /* results, valid when known or in done.run */
    bool ok;
    struct vg_err
        err; /* VG_ERR_UNAUTHENTICATED, VG_ERR_OVERLOADED, VG_ERR_UNAVAILABLE, VG_ERR_DEADLINE */
    struct vg_identity who;

    struct vg_auth_wait *next;
};

/* True: the answer stands in `wait` now; false: `done` will be posted. */
bool vg_auth_check(struct vg_auth *auth, struct vg_view key, struct vg_auth_wait *wait);
/* What is known of this key is believed no more. */
void vg_auth_forget(struct vg_auth *auth, const char *key_id);
/* Constant-time comparison with the admin key. */
bool vg_auth_is_admin(const struct vg_auth *auth, struct vg_view key);
/* The key out of `authorization: Bearer KEY`, else `x_api_key`; empty when there is none. */
struct vg_view vg_auth_key_of(struct vg_view authorization, struct vg_view x_api_key);

#endif
