/* SPDX-License-Identifier: Apache-2.0 */
/* What CreateVideo (create.c) and RemixVideo (remix.c) share: one call's state and the recording of
 * a new video (create_record.c). Private to the three. */
#ifndef VG_SERVICE_CREATE_PRIV_H
#define VG_SERVICE_CREATE_PRIV_H

#include "service/service_priv.h"
#include "videogate/store/v1/job.pb-c.h"

#define VG_CREATE_MAX_PICTURES (2 + VG_MAX_REFERENCES)

struct vg_create;
typedef void vg_create_f(struct vg_create *c);

/* One call of either kind. */
struct vg_create {
    struct vg_request request;
    char id[VG_ID_SIZE];
    struct vg_job job; /* create only */
    struct vg_picture pictures[VG_CREATE_MAX_PICTURES];
    size_t picture_count;
    struct vg_media_group group;
    char keys[VG_CREATE_MAX_PICTURES][VG_BLOB_KEY_SIZE]; /* files of this video */
    const char *sources[VG_CREATE_MAX_PICTURES];         /* remix: files they are copied from */
    const char *inputs[VG_CREATE_MAX_PICTURES];
    size_t key_count;
    size_t written;
    struct vg_task disk;
    struct vg_err err;
    struct vg_video_get source;          /* remix */
    Videogate__Store__V1__JobSpec *spec; /* owned (protobuf-c); remix, the source's */
    struct vg_video_replay replay;
    vg_create_f *go_on; /* when it is none */
    struct vg_video_create op;
};

struct vg_create *vg_create_of(struct vg_request *request);
/* Takes the idempotency key from the request or the metadata; -1: c->err. */
VG_MUSTCHECK int vg_create_take_key(struct vg_create *c, const char *request_id);
/* Answers when the key was used before, else goes on; op.fingerprint is filled. For calls with
 * steps before the insert that may fail the second time. */
void vg_create_unless_replay(struct vg_create *c, vg_create_f *go_on);
/* Writes the row and answers. On the pool when files were written. */
void vg_create_insert(struct vg_create *c, const Videogate__Store__V1__JobSpec *spec,
                      const char *callback_url, const char *callback_secret);
/* Removes the files written so far. On the pool. */
void vg_create_remove_files(struct vg_create *c);
/* Ends the call. */
void vg_create_refuse(struct vg_create *c, const struct vg_err *err);

#endif
