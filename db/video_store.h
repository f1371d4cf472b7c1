/* SPDX-License-Identifier: Apache-2.0 */
/* Videos as callers see them: create, read, list, cancel, delete. Strings of results live in
 * op.arena. */
#ifndef VG_DB_VIDEO_STORE_H
#define VG_DB_VIDEO_STORE_H

#include "db/db.h"

/* As stored in videos.status; the same numbers as videogate.v1.VideoStatus. */
enum vg_video_status {
    VG_VIDEO_QUEUED = 1,
    VG_VIDEO_IN_PROGRESS,
    VG_VIDEO_COMPLETED,
    VG_VIDEO_FAILED,
    VG_VIDEO_CANCELED,
    VG_VIDEO_EXPIRED,
    VG_VIDEO_STATUS_MAX
};

struct vg_output {
    int32_t index;
    const char *blob; /* blob key */
    const char *mime_type;
    int64_t bytes;
    const char *sha256; /* hex */
    int64_t stored_at;  /* Unix seconds */
    /* What a look at it found; width 0 and codec NULL: nobody has looked. */
    int32_t width, height; /* pixels */
    int64_t duration_ms;
    bool has_audio;
    const char *codec;
};

struct vg_video {
    const char *id;
    int64_t project_id;
    const char *model;
    enum vg_video_status status;
    int32_t progress;
    int64_t created_at;     /* Unix seconds */
    int64_t completed_at;   /* 0: none */
    int64_t expires_at;     /* 0: none */
    const char *error_code; /* NULL: none */
    const char *error_message;
    const char *prompt;
    int32_t width, height;
    int32_t seconds;
    bool audio;
    int32_t n;
    const char *remixed_from; /* NULL: none */
    int64_t version;
    int64_t output_micros; /* price of one output, millionths of a US dollar */
    int64_t input_micros;  /* price of the pictures given */
    int32_t made;          /* outputs stored when it ended; they may be gone by now */
    int32_t attempts;      /* submissions of all outputs */
    const char *made_by;   /* provider, as callers may know it; NULL: none yet, or hidden */
    const void *spec;      /* packed videogate.store.v1.JobSpec */
    size_t spec_size;
    struct vg_output *outputs; /* stored ones, by index */
    size_t output_count;
};

enum vg_create_outcome {
    VG_CREATE_NEW,      /* recorded */
    VG_CREATE_REPLAYED, /* same key, same parameters: `video` is the earlier one */
    VG_CREATE_MISMATCH  /* same key, other parameters */
};

/* The video of a new create borrows its strings from the operation's parameters; a replayed one has
 * its own. VG_ERR_GONE: the key's video was deleted. VG_ERR_CONCURRENCY_LIMITED, VG_ERR_BILLING: a
 * limit of the key or the project is reached; nothing was recorded.
 *
 * One transaction: video, n generations (state pending, due now), idempotency record. Running it
 * twice with the same id changes nothing (a lost COMMIT answer is retried). Concurrent creates with
 * one idempotency key: one wins, the others see REPLAYED or MISMATCH. Notifies dispatchers once per
 * batch. */
struct vg_video_create {
    struct vg_db_op op;
    const char *id; /* "video_..." */
    int64_t project_id;
    const char *key_id;
    const char *model;
    const char *prompt;
    int32_t width, height, seconds, n;
    bool audio;
    const char *provider;      /* of the first route */
    const char *remixed_from;  /* NULL: none */
    const char *callback_url;  /* NULL: none */
    const void *secret_sealed; /* sealed callback_secret; NULL: none */
    size_t secret_size;
    const void *spec;
    size_t spec_size;
    const char *const
        *inputs; /* blob keys of input pictures, to be purged with the video; no newline in them */
    size_t input_count;
    int64_t deadline_s;          /* seconds from now until the job is given up */
    const char *idempotency_key; /* NULL: none */
    uint8_t fingerprint[32];     /* of the parsed parameters */
    int64_t match_lock;          /* vg_match_lock of a key made by vg_match_key; 0: none */
    int64_t output_micros;       /* price of one output, millionths of a US dollar */
    int64_t input_micros;        /* price of the pictures given */
    bool limited; /* key or project has a limit of active videos or spend: decided here, exactly */
    /* results */
    enum vg_create_outcome outcome;
    struct vg_video video;
};
void vg_video_create(struct vg_db *db, struct vg_video_create *op);

/* What a create with this key would find, asked before work that a replay can do without; the
 * insert decides again. VG_ERR_GONE as there. */
struct vg_video_replay {
    struct vg_db_op op;
    int64_t project_id;
    const char *idempotency_key;
    uint8_t fingerprint[32];
    /* results */
    enum vg_create_outcome outcome; /* NEW: nobody has used the key */
    struct vg_video video;          /* when REPLAYED */
};
void vg_video_replay(struct vg_db *db, struct vg_video_replay *op);

/* Batched with = ANY. VG_ERR_NOT_FOUND also for another project's video and a deleted one. */
struct vg_video_get {
    struct vg_db_op op;
    const char *id;
    int64_t project_id;
    bool any_project;      /* whosever it is: the caller has shown a signed link */
    struct vg_video video; /* result */
};
void vg_video_get(struct vg_db *db, struct vg_video_get *op);

struct vg_video_list {
    struct vg_db_op op;
    int64_t project_id;
    const char *after; /* behind this id, there or not; NULL: from the start */
    int32_t limit;     /* 1 to 100 */
    bool ascending;
    struct vg_video *videos; /* result */
    size_t count;
    bool has_more;
};
void vg_video_list(struct vg_db *db, struct vg_video_list *op);

/* Marks the video; generations that no one holds become due at once, so that a dispatcher ends
 * them. Terminal videos are returned unchanged. */
struct vg_video_cancel {
    struct vg_db_op op;
    const char *id;
    int64_t project_id;
    struct vg_video video; /* result */
};
void vg_video_cancel(struct vg_db *db, struct vg_video_cancel *op);

/* Only terminal videos (else VG_ERR_NOT_READY). The row stays, hidden, until its deliveries ended
 * and vg_video_purged said that the files are gone. The result lists the blobs to remove; a janitor
 * gets them from vg_video_purge a minute later in case this process dies. */
struct vg_video_delete {
    struct vg_db_op op;
    const char *id;
    int64_t project_id;
    const char **blobs; /* result: outputs and inputs */
    size_t blob_count;
};
void vg_video_delete(struct vg_db *db, struct vg_video_delete *op);

/* For the janitor: files of deleted videos and of videos whose expires_at passed. A video is handed
 * out again after five minutes unless vg_video_purged has named it. */
struct vg_video_purge {
    struct vg_db_op op;
    int32_t limit; /* videos, 1 to 256 */
    struct vg_purge {
        const char *video_id;
        const char **blobs;
        size_t blob_count;
    } * purges; /* result */
    size_t count;
};
void vg_video_purge(struct vg_db *db, struct vg_video_purge *op);

/* The files of these videos are gone (naming one twice or in vain is fine). Rows of deleted videos
 * whose deliveries have ended go with them; the others go in a later sweep. */
struct vg_video_purged {
    struct vg_db_op op;
    const char *const *ids;
    size_t count;
};
void vg_video_purged(struct vg_db *db, struct vg_video_purged *op);

/* Removes idempotency records older than `max_age_s` (never younger than 24 h) and the rows of
 * deleted videos that nothing needs any more. */
struct vg_idempotency_sweep {
    struct vg_db_op op;
    int64_t max_age_s;
    int32_t limit; /* of each, 1 to 10,000 */
    /* results */
    int64_t removed; /* records */
    bool more;       /* there may be */
};
void vg_idempotency_sweep(struct vg_db *db, struct vg_idempotency_sweep *op);

/* Versions of watched videos, for WatchVideo: 0 for a video that is gone. */
struct vg_video_versions {
    struct vg_db_op op;
    const char *const *ids;
    size_t count;
    int64_t *versions; /* result, same order */
};
void vg_video_versions(struct vg_db *db, struct vg_video_versions *op);

#endif
