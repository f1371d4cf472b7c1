/* SPDX-License-Identifier: Apache-2.0 */
#include "service/jobs/media_head.h"

#include <string.h>

#include "common/mem.h"

/* What stands at `offset` in a file of this type. */
static const struct {
    const char *mime_type;
    size_t offset;
    const char *magic;
    size_t magic_len;
} types[] = {
    {"video/mp4", 4, "ftyp", 4},
    {"video/quicktime", 4, "ftyp", 4},
    {"video/webm", 0, "\x1a\x45\xdf\xa3", 4},
};

static size_t type_index(const char *mime_type)
{
    size_t i = 0;
    while (i < VG_COUNT(types) && strcmp(types[i].mime_type, mime_type) != 0) {
        i++;
    }
    return i;
}

bool vg_media_type_known(const char *mime_type)
{
    return type_index(mime_type) < VG_COUNT(types);
}

void vg_media_head_add(struct vg_media_head *head, const void *data, size_t len)
{
    size_t room = VG_MEDIA_HEAD_SIZE - head->len;
    size_t n = len < room ? len : room;
    if (n > 0) {
        memcpy(head->bytes + head->len, data, n);
        head->len += n;
    }
}

bool vg_media_head_wrong(const struct vg_media_head *head, const char *mime_type)
{
    size_t i = type_index(mime_type);
    if (i == VG_COUNT(types)) {
        return true;
    }
    if (head->len < types[i].offset + types[i].magic_len) {
        return false;
    }
    return memcmp(head->bytes + types[i].offset, types[i].magic, types[i].magic_len) != 0;
}

bool vg_media_head_short(const struct vg_media_head *head)
{
    return head->len < VG_MEDIA_HEAD_SIZE;
}
