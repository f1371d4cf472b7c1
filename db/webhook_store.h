/* SPDX-License-Identifier: Apache-2.0 */
/* Webhook endpoints of projects and the secrets that sign for them. Every operation but create is
 * scoped: `project_id` 0 means any project, else an endpoint of another one is VG_ERR_NOT_FOUND, as
 * is a deleted one. */
#ifndef VG_DB_WEBHOOK_STORE_H
#define VG_DB_WEBHOOK_STORE_H

#include "db/db.h"

#define VG_WEBHOOK_MAX_ENDPOINTS 32 /* live ones in a project: each end of a video goes to all */
#define VG_WEBHOOK_MAX_OLD_SECRETS 10

struct vg_webhook_endpoint {
    const char *id; /* "whe_..." */
    const char *project;
    const char *name;
    const char *url;
    const char *event_types; /* separated by commas */
    const char *hint;        /* of the current secret */
    const char *public_key;  /* of the current secret, "whpk_..."; NULL: it is symmetric */
    int64_t created_at;      /* Unix seconds, as all of them */
    int64_t updated_at;
    int64_t disabled_at;         /* 0: live */
    const char *disabled_reason; /* "gone", "failing"; NULL: live */
    int64_t failing_since;       /* 0: it is not */
};

/* A new secret, sealed. */
struct vg_webhook_secret {
    const char *id;
    const void *sealed;
    size_t sealed_size;
    const char *hint;
    const char *public_key; /* NULL: symmetric */
};

/* VG_ERR_NOT_FOUND: no such project; VG_ERR_INVALID_REQUEST: it has all the endpoints it may have.
 */
struct vg_webhook_create {
    struct vg_db_op op;
    const char *id;
    int64_t project_id;  /* 0: by name */
    const char *project; /* name; with project_id 0 */
    const char *name;
    const char *url;
    const char *event_types;
    struct vg_webhook_secret secret;
    struct vg_webhook_endpoint endpoint; /* result */
};
void vg_webhook_create(struct vg_db *db, struct vg_webhook_create *op);

struct vg_webhook_get {
    struct vg_db_op op;
    const char *id;
    int64_t project_id;
    struct vg_webhook_endpoint endpoint;                   /* result */
    struct vg_view sealed[VG_WEBHOOK_MAX_OLD_SECRETS + 1]; /* result; newest first */
    size_t sealed_count;
};
void vg_webhook_get(struct vg_db *db, struct vg_webhook_get *op);

struct vg_webhook_list {
    struct vg_db_op op;
    int64_t project_id;
    const char *project; /* name; with project_id 0; NULL: all projects */
    const char *after;   /* id; NULL: from the newest */
    int32_t limit;
    struct vg_webhook_endpoint *endpoints; /* result, newest first */
    size_t count;
    bool has_more;
};
void vg_webhook_list(struct vg_db *db, struct vg_webhook_list *op);

/* Takes a disabled endpoint back. What is pending goes to the new address. */
struct vg_webhook_update {
    struct vg_db_op op;
    const char *id;
    int64_t project_id;
    const char *name; /* NULL: as it is; so the next two */
    const char *url;
    const char *event_types;
    struct vg_webhook_endpoint endpoint; /* result */
};
void vg_webhook_update(struct vg_db *db, struct vg_webhook_update *op);

/* What is pending is gone; secrets go too. */
struct vg_webhook_delete {
    struct vg_db_op op;
    const char *id;
    int64_t project_id;
};
void vg_webhook_delete(struct vg_db *db, struct vg_webhook_delete *op);

struct vg_webhook_rotate {
    struct vg_db_op op;
    const char *id;
    int64_t project_id;
    int32_t keep_s; /* earlier secrets sign along so long; 0: they end now */
    struct vg_webhook_secret secret;
    struct vg_webhook_endpoint endpoint; /* result */
};
void vg_webhook_rotate(struct vg_db *db, struct vg_webhook_rotate *op);

#endif
