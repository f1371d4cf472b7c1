/* SPDX-License-Identifier: Apache-2.0 */
/* Callback deliveries (the outbox): rows appear in the transaction that ends a video; their body is
 * built once, stored before the first attempt, and sent byte for byte the same afterwards. */
#ifndef VG_DB_DELIVERY_STORE_H
#define VG_DB_DELIVERY_STORE_H

#include "db/db.h"
#include "db/video_store.h"

enum vg_delivery_state {
    VG_DELIVERY_PENDING = 1,
    VG_DELIVERY_DELIVERED, /* 2xx */
    VG_DELIVERY_FAILED,    /* schedule used up, or the address is refused */
    VG_DELIVERY_GONE,      /* 410 */
    VG_DELIVERY_STATE_MAX
};
const char *vg_delivery_state_name(enum vg_delivery_state state);

struct vg_delivery {
    const char *id; /* webhook-id: "evt_" and the video's id */
    const char *video_id;
    enum vg_delivery_state state;
    const char *url;
    const void *secret_sealed;
    size_t secret_size;
    const void *body; /* NULL: not built yet */
    size_t body_size;
    int32_t attempts; /* made */
    int64_t lease_seq;
    int64_t created_at; /* Unix seconds */
    int32_t last_status;
    const char *last_reason;
    int64_t next_attempt_at; /* Unix seconds; 0: none */
    struct vg_video video;   /* claim only, and only while body is NULL */
};

struct vg_delivery_claim {
    struct vg_db_op op;
    int32_t limit; /* 1 to 256 */
    int64_t lease_ms;
    int32_t per_host; /* claims in flight for one host (scheme, name, port) over all processes */
    struct vg_delivery *deliveries;
    size_t count;
    int64_t next_due_ms;
};
void vg_delivery_claim(struct vg_db *db, struct vg_delivery_claim *op);

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

/* Records one attempt and what comes next; releases the lease. Batched. */
struct vg_delivery_result {
    struct vg_db_op op;
    const char *id;
    int64_t lease_seq;
    enum vg_delivery_state state;
    int64_t due_ms; /* pending: wait before the next attempt */
    int32_t http_status;
    const char *reason; /* "" when delivered */
    int64_t duration_ms;
    bool not_made; /* no attempt was made (the sender was away): only the lease is released and
                      due_ms set */
    bool applied;
};
void vg_delivery_result(struct vg_db *db, struct vg_delivery_result *op);

struct vg_delivery_list {
    struct vg_db_op op;
    const char *video_id;
    struct vg_delivery *deliveries;
    size_t count;
};
void vg_delivery_list(struct vg_db *db, struct vg_delivery_list *op);

/* Makes it pending and due at once, whatever its state; attempts start again. VG_ERR_NOT_FOUND. */
struct vg_delivery_redeliver {
    struct vg_db_op op;
    const char *id;
    struct vg_delivery delivery; /* result */
};
void vg_delivery_redeliver(struct vg_db *db, struct vg_delivery_redeliver *op);

#endif
