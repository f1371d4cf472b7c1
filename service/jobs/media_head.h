/* SPDX-License-Identifier: Apache-2.0 */
/* Whether the first bytes of a result are those of a video of its type. Pure. */
#ifndef VG_SERVICE_JOBS_MEDIA_HEAD_H
#define VG_SERVICE_JOBS_MEDIA_HEAD_H

#include <stdbool.h>
#include <stddef.h>

#define VG_MEDIA_HEAD_SIZE 12

struct vg_media_head {
    unsigned char bytes[VG_MEDIA_HEAD_SIZE];
    size_t len;
};

/* The types that the store takes. */
bool vg_media_type_known(const char *mime_type);
void vg_media_head_add(struct vg_media_head *head, const void *data, size_t len);
/* True once enough bytes are there and they belong to something else. */
bool vg_media_head_wrong(const struct vg_media_head *head, const char *mime_type);
/* At the end: too short for any video. */
bool vg_media_head_short(const struct vg_media_head *head);

#endif
