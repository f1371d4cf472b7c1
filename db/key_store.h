/* SPDX-License-Identifier: Apache-2.0 */
/* Projects and API keys. A key is stored as an HMAC of its text (service/pepper.h), one made before
 * as its SHA-256; the text itself is never stored. */
#ifndef VG_DB_KEY_STORE_H
#define VG_DB_KEY_STORE_H

#include "db/db.h"

/* What a key or a project may do at most. */
struct vg_limits {
    int32_t requests_per_minute; /* 0: no limit */
    int32_t max_active;          /* videos not ended at a time; 0: no limit */
    int64_t max_spend_micros;    /* a month, millionths of a US dollar; 0: no limit */
};

struct vg_key {
    const char *id; /* "key_..." */
    const char *project;
    const char *name;
    const char *hint;
    int64_t created_at; /* Unix seconds */
    int64_t revoked_at; /* 0: active */
    int64_t expires_at; /* 0: never */
    const char *scopes; /* names with a space between; "": all */
    struct vg_limits limits;
    int64_t last_used_at; /* 0: never */
    bool old;             /* without an id in its text; stored as plain SHA-256 */
};

/* Looks a key up by its id, or by hash; batched. Whether the one found by id is the right one is
 * for the caller to say. */
struct vg_key_lookup {
    struct vg_db_op op;
    const char *id;   /* NULL: it has none */
    uint8_t hash[32]; /* of a key without an id, which is stored so */
    /* results */
    bool found; /* false also for a revoked or expired key */
    int64_t project_id;
    const char *key_id;
    const char *scopes;
    bool archived;   /* the project is */
    bool limited;    /* key or project has a limit of active videos or spend */
    int32_t key_rpm; /* requests a minute; 0: no limit */
    int32_t project_rpm;
    int32_t pepper; /* 0: found by hash */
    uint8_t stored[32];
};
void vg_key_lookup(struct vg_db *db, struct vg_key_lookup *op);

struct vg_key_create {
    struct vg_db_op op;
    const char *project; /* created when new */
    const char *name;
    const char *id;
    const char *hint;
    uint8_t hash[32];
    int32_t pepper;     /* that made `hash`; 0: none, it is of a key without an id */
    int64_t expires_at; /* Unix seconds; 0: never */
    const char *scopes;
    struct vg_limits limits;
    struct vg_key key; /* result */
};
void vg_key_create(struct vg_db *db, struct vg_key_create *op);

struct vg_key_list {
    struct vg_db_op op;
    const char *project; /* NULL: all */
    struct vg_key *keys; /* result, newest first, at most 1,000 */
    size_t count;
};
void vg_key_list(struct vg_db *db, struct vg_key_list *op);

/* VG_ERR_NOT_FOUND when there is none; revoking twice is fine. */
struct vg_key_revoke {
    struct vg_db_op op;
    const char *id;
    struct vg_key key; /* result */
};
void vg_key_revoke(struct vg_db *db, struct vg_key_revoke *op);

#endif
