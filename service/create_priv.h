/* SPDX-License-Identifier: Apache-2.0 */
/* What CreateVideo (create.c), RemixVideo (remix.c), EditVideo and ExtendVideo (derive.c) share:
 * one call's state, whose video it is (create_gate.c) and the recording of a new one
 * (create_record.c). Private to them. */
#ifndef VG_SERVICE_CREATE_PRIV_H
#define VG_SERVICE_CREATE_PRIV_H

#include "db/video_match_store.h"
#include "service/flight.h"
#include "service/service_priv.h"
#include "videogate/store/v1/job.pb-c.h"

#define VG_CREATE_MAX_PICTURES (2 + VG_MAX_REFERENCES)
#define VG_CREATE_MAX_FILES (VG_CREATE_MAX_PICTURES + 1) /* and a source video */

struct vg_create;
typedef void vg_create_f(struct vg_create *c);

/* What tells that two calls are one. */
enum vg_create_gate {
    VG_GATE_NONE,  /* nothing: each call makes a video */
    VG_GATE_KEY,   /* an idempotency key */
    VG_GATE_FIRST, /* an SDK's first attempt: makes a video that its repeats can find */
    VG_GATE_REPEAT /* a later attempt: looks for it */
};

enum vg_create_kind { VG_CREATE_PLAIN, VG_CREATE_REMIX, VG_CREATE_EDIT, VG_CREATE_EXTEND };

/* One call of any kind. */
struct vg_create {
    struct vg_request request;
    enum vg_create_kind kind;
    char id[VG_ID_SIZE];
    enum vg_create_gate gate;
    int32_t attempt; /* as the SDK counts */
    char match[VG_MATCH_SIZE];
    struct vg_flight flight;
    struct vg_timer turn; /* waits for a twin that is under way */
    int64_t started_ns, give_up_ns;
    struct vg_job job; /* remix: the callback alone */
    struct vg_picture pictures[VG_CREATE_MAX_PICTURES];
    size_t picture_count;
    struct vg_media_group group;
    char keys[VG_CREATE_MAX_FILES][VG_BLOB_KEY_SIZE]; /* files of this video */
    const char *sources[VG_CREATE_MAX_FILES];         /* files they are copied from */
    const char *inputs[VG_CREATE_MAX_FILES];
    size_t key_count;
    size_t written;
    struct vg_task disk;
    struct vg_err err;
    struct vg_video_get source;          /* all but plain creates */
    Videogate__Store__V1__JobSpec *spec; /* owned (protobuf-c); remix, the source's */
    union {                              /* one after the other */
        struct vg_video_replay replay;
        struct vg_video_match matching;
        struct vg_video_get twin;
    };
    vg_create_f *go_on; /* when it is none */
    struct vg_video_create op;
};

struct vg_create *vg_create_of(struct vg_request *request);
/* Takes the idempotency key from the request or the metadata, or the SDK's count; -1: c->err. */
VG_MUSTCHECK int vg_create_take_key(struct vg_create *c, const char *request_id);
/* Whether op.fingerprint must be filled before the next two. */
bool vg_create_needs_fingerprint(const struct vg_create *c);
/* Answers when this call's video is there already or under way, else goes on; c->id may be another
 * one then. For calls with steps before the insert that may fail or take long. */
void vg_create_unless_replay(struct vg_create *c, vg_create_f *go_on);
/* The same for calls that insert at once: an idempotency key is left to the insert. */
void vg_create_unless_repeat(struct vg_create *c, vg_create_f *go_on);
/* Just before the insert: a first attempt that took long looks for what its repeats did. */
void vg_create_unless_overtaken(struct vg_create *c, vg_create_f *insert);
/* Writes the row and answers. On the pool when files were written. */
void vg_create_insert(struct vg_create *c, const Videogate__Store__V1__JobSpec *spec);
/* Copies sources[] to keys[]. On the pool; -1: c->err, which calls a file that is gone `gone`. */
VG_MUSTCHECK int vg_create_copy_files(struct vg_create *c, const char *gone);
/* Writes the job (all but its inputs) to the JobSpec and the row; routes in the call's arena. */
void vg_create_put_job(struct vg_create *c, Videogate__Store__V1__JobSpec *spec);
/* Removes the files written so far. On the pool. */
void vg_create_remove_files(struct vg_create *c);
/* The call has its video (c->op.outcome, c->op.video): answers; files that are not its own go. */
void vg_create_settle(struct vg_create *c);
/* Ends the call. */
void vg_create_refuse(struct vg_create *c, const struct vg_err *err);

#endif
