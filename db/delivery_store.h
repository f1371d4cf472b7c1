/* SPDX-License-Identifier: Apache-2.0 */
/* Deliveries (the outbox): rows appear in the transaction that ends a video, one for its own
 * callback and one for each webhook endpoint of its project that wants the event; their body is
 * built once, stored before the first attempt, and sent byte for byte the same afterwards. */
#ifndef VG_DB_DELIVERY_STORE_H
#define VG_DB_DELIVERY_STORE_H

#include "db/db.h"
#include "db/video_store.h"
#include "db/webhook_store.h"

enum vg_delivery_state {
    VG_DELIVERY_PENDING = 1,
    VG_DELIVERY_DELIVERED, /* 2xx */
    VG_DELIVERY_FAILED,    /* schedule used up, or the address is refused */
    VG_DELIVERY_GONE,      /* 410, or the endpoint is deleted or disabled */
    VG_DELIVERY_STATE_MAX
};
const char *vg_delivery_state_name(enum vg_delivery_state state);

enum vg_delivery_endpoint {
    VG_ENDPOINT_LIVE,     /* also: there is none */
    VG_ENDPOINT_DISABLED, /* it answered 410 */
    VG_ENDPOINT_DELETED
};

/* What the owner may read of one attempt. */
struct vg_delivery_attempt {
    int64_t ended_at; /* Unix seconds */
    int32_t http_status;
    const char *reason;
    int64_t duration_ms;
    const char *answer; /* first characters of what the receiver said */
};
#define VG_DELIVERY_LOG 16 /* attempts that are shown: the latest */

struct vg_delivery {
    const char *id; /* webhook-id: "evt_" and the video's id; "_" and the endpoint's tail */
    const char *video_id;
    enum vg_delivery_state state;
    const char *url;
    const void *secret_sealed; /* of the video's own callback */
    size_t secret_size;
    const void *body; /* NULL: not built yet */
    size_t body_size;
    int32_t attempts; /* made in this round */
    int32_t round;    /* redeliveries before it */
    int64_t lease_seq;
    int64_t created_at; /* Unix seconds */
    int32_t last_status;
    const char *last_reason;
    int64_t next_attempt_at; /* Unix seconds; 0: none */
    const char *endpoint_id; /* NULL: the video's own callback */
    const char *event_type;  /* NULL: by the video's status */

    /* lists only, oldest first */
    const struct vg_delivery_attempt *log;
    size_t log_count;

    /* claim only */
    enum vg_delivery_endpoint endpoint;
    struct vg_view endpoint_sealed[VG_WEBHOOK_MAX_OLD_SECRETS + 1]; /* newest first */
    size_t endpoint_sealed_count;
    struct vg_video video; /* only while body is NULL */
};

struct vg_delivery_claim {
    struct vg_db_op op;
    int32_t limit; /* 1 to 256 */
    int64_t lease_ms;
    int32_t per_host;    /* claims in flight for one host (scheme, name, port) over all processes */
    int32_t per_project; /* the same for all hosts of one project */
    int64_t ahead_ms;    /* what is due later than that need not be found; 0: all */
    struct vg_delivery *deliveries;
    size_t count;
    int64_t next_due_ms; /* until one that waits is due (0: more are due now); INT64_MAX: none known
                            within ahead_ms. Leases that run out meanwhile do not count. */
};
void vg_delivery_claim(struct vg_db *db, struct vg_delivery_claim *op);

/* The lease lasts `lease_ms` from now. `applied` false: it was lost, or is over. Batched. */
struct vg_delivery_renew {
    struct vg_db_op op;
    const char *id;
    int64_t lease_seq;
    int64_t lease_ms;
    bool applied;
};
void vg_delivery_renew(struct vg_db *db, struct vg_delivery_renew *op);

/* Stores the body when there is none yet. `applied` false: the lease was lost. */
struct vg_delivery_body {
    struct vg_db_op op;
    const char *id;
    int64_t lease_seq;
    const void *body;
    size_t body_size;
    bool applied;
};
void vg_delivery_body(struct vg_db *db, struct vg_delivery_body *op);

/* What an attempt says of its receiver. */
enum vg_receiver_sign {
    VG_RECEIVER_UNKNOWN,  /* nothing: the fault was ours */
    VG_RECEIVER_GOOD,     /* it took the delivery */
    VG_RECEIVER_ANSWERED, /* it is there, and did not take it */
    VG_RECEIVER_BAD,      /* no answer, or a server error */
    VG_RECEIVER_BUSY,     /* it asks for less */
    VG_RECEIVER_SIGN_MAX
};

/* When receivers are held back and endpoints disabled. */
struct vg_receiver_policy {
    int32_t failures; /* of a receiver in a row, after which it is held back; 0: never */
    int64_t wait_ms;  /* so long at first, then doubled up to 16 times as long */
    /* An endpoint is disabled that failed only, so long. Its clock starts with the first of two
     * failures within a fifth of it (24 h of 120 h) and is forgotten after twice of it without an
     * attempt. 0: never. */
    int64_t disable_ms;
};

/* Records one attempt and what comes next; releases the lease. A 410 disables the endpoint.
 * Batched; the policy is the same for all. */
struct vg_delivery_result {
    struct vg_db_op op;
    const struct vg_receiver_policy *policy; /* borrowed */
    enum vg_receiver_sign sign;
    int64_t hold_ms;    /* BUSY: so long; 0: it did not say */
    const char *answer; /* NULL: none */
    const char *id;
    int64_t lease_seq;
    enum vg_delivery_state state;
    int64_t due_ms; /* pending: wait before the next attempt */
    int32_t http_status;
    const char *reason; /* "" when delivered */
    int64_t duration_ms;
    bool not_made; /* no attempt was made: while it stays pending (the sender was away) only the
                      lease is released and due_ms set; else (its endpoint is gone) it ends */
    bool applied;
    const char *disabled; /* why this batch disabled its endpoint: "gone", "failing"; one delivery
                             of an endpoint tells; NULL: it did not */
};
void vg_delivery_result(struct vg_db *db, struct vg_delivery_result *op);

/* Oldest first; of a video, of an endpoint, or of both. VG_ERR_NOT_FOUND: there is no such video
 * (or endpoint, where no video is named) in the project. A deleted endpoint still shows its own. */
struct vg_delivery_list {
    struct vg_db_op op;
    int64_t project_id;      /* 0: any */
    const char *video_id;    /* NULL: any; one of the two is needed */
    const char *endpoint_id; /* NULL: any */
    const char *after;       /* delivery; NULL: from the oldest */
    int32_t limit;
    struct vg_delivery *deliveries;
    size_t count;
    bool has_more;
};
void vg_delivery_list(struct vg_db *db, struct vg_delivery_list *op);

#endif
