/* SPDX-License-Identifier: Apache-2.0 */
/* Rows to messages. Pure; results live in the arena or point into the row. */
#ifndef VG_SERVICE_TRANSLATE_H
#define VG_SERVICE_TRANSLATE_H

#include "common/mem.h"
#include "db/delivery_store.h"
#include "db/key_store.h"
#include "db/video_store.h"
#include "service/catalog.h"
#include "service/link.h"
#include "videogate/v1/admin.pb-c.h"
#include "videogate/v1/video.pb-c.h"

/* `now_s`: Unix seconds. Content that has expired is not shown. */
void vg_translate_video(const struct vg_video *video, const struct vg_links *links, int64_t now_s,
                        struct vg_arena *arena, Videogate__V1__Video *out);
void vg_translate_model(const struct vg_model *model, struct vg_arena *arena,
                        Videogate__V1__Model *out);
void vg_translate_key(const struct vg_key *key, struct vg_arena *arena, Videogate__V1__ApiKey *out);
void vg_translate_delivery(const struct vg_delivery *delivery, struct vg_arena *arena,
                           Videogate__V1__Delivery *out);

/* For protobuf-c, which has no const: packing only reads. NULL gives "". */
char *vg_pb_text(const char *s);
/* SHA-256 over the packed message. */
void vg_pb_sha256(const ProtobufCMessage *message, uint8_t out[32]);

/* "queued", "in_progress", ...: the public word of a status. */
const char *vg_status_word(enum vg_video_status status);
bool vg_status_terminal(enum vg_video_status status);
/* Its retention is over: the janitor removes the files, or has. */
bool vg_content_expired(const struct vg_video *video, int64_t now_s);

#endif
