/* SPDX-License-Identifier: Apache-2.0 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "common/id.h"
#include "common/mem.h"
#include "common/str.h"
#include "service/blob_priv.h"

#define FAN_DIGITS 3

static bool name_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-';
}

bool vg_blob_place(const char *key, struct vg_blob_place *out)
{
    static const char *const kinds[] = {"inputs/", "outputs/"};
    size_t kind = 0;

    while (kind < VG_COUNT(kinds) && strncmp(key, kinds[kind], strlen(kinds[kind])) != 0)
        kind++;
    if (kind == VG_COUNT(kinds))
        return false;
    size_t at = strlen(kinds[kind]);
    const char *fan = key + at;
    for (size_t i = 0; i < FAN_DIGITS; i++)
        if (!isxdigit((unsigned char)fan[i]) || isupper((unsigned char)fan[i]))
            return false;
    if (fan[FAN_DIGITS] != '/')
        return false;
    const char *name = fan + FAN_DIGITS + 1;
    size_t len = strlen(name);
    if (len == 0 || len > VG_BLOB_NAME_MAX || name[0] == '.')
        return false;
    for (size_t i = 0; i < len; i++)
        if (!name_char(name[i]))
            return false;
    (void)snprintf(out->kind, sizeof(out->kind), "%.*s", (int)(at - 1), key);
    (void)snprintf(out->dir, sizeof(out->dir), "%.*s", (int)(at + FAN_DIGITS), key);
    (void)vg_strcpy(out->name, sizeof(out->name), name);
    return true;
}

bool vg_blob_key_valid(const char *key)
{
    struct vg_blob_place place;

    return strlen(key) < VG_BLOB_KEY_SIZE && vg_blob_place(key, &place);
}

/* The last digits of a UUIDv7 are random: they spread files evenly. */
static const char *fan_of(const char *video_id)
{
    size_t len = strlen(video_id);

    VG_ASSERT(len > FAN_DIGITS && len < VG_ID_SIZE);
    return video_id + len - FAN_DIGITS;
}

void vg_blob_output_key(char out[VG_BLOB_KEY_SIZE], const char *video_id, int32_t index,
                        int64_t serial)
{
    (void)snprintf(out, VG_BLOB_KEY_SIZE, "outputs/%s/%s.%d.%lld", fan_of(video_id), video_id,
                   (int)index, (long long)serial);
}

void vg_blob_input_key(char out[VG_BLOB_KEY_SIZE], const char *video_id, int32_t position)
{
    (void)snprintf(out, VG_BLOB_KEY_SIZE, "inputs/%s/%s.i%d", fan_of(video_id), video_id,
                   (int)position);
}
