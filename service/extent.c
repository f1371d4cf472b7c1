/* SPDX-License-Identifier: Apache-2.0 */
#include "service/extent.h"

#include <string.h>

#include "common/mem.h"
#include "common/str.h"

static const struct {
    int32_t shorter, longer;
    const char *name;
} classes[] = {
    {360, 640, "360p"},  {480, 848, "480p"},    {480, 854, "480p"},  {540, 960, "540p"},
    {720, 1280, "720p"}, {768, 1366, "768p"},   {960, 1696, "960p"}, {1080, 1920, "1080p"},
    {1024, 1792, "hd"},  {1440, 2560, "1440p"}, {2160, 3840, "4k"},
};

bool vg_size_eq(struct vg_size a, struct vg_size b)
{
    return a.width == b.width && a.height == b.height;
}

bool vg_size_parse(struct vg_view text, struct vg_size *out)
{
    int64_t w = 0;
    int64_t h = 0;
    const char *x = text.len ? memchr(text.data, 'x', text.len) : NULL;

    if (!x || text.data[0] == '0' || text.len > 11)
        return false;
    size_t at = (size_t)(x - text.data);
    struct vg_view left = {text.data, at};
    struct vg_view right = {x + 1, text.len - at - 1};
    if (right.len == 0 || right.data[0] == '0' || vg_parse_i64(left, 1, 99999, &w) < 0 ||
        vg_parse_i64(right, 1, 99999, &h) < 0)
        return false;
    out->width = (int32_t)w;
    out->height = (int32_t)h;
    return true;
}

const char *vg_size_class(struct vg_size size)
{
    int32_t shorter = size.width < size.height ? size.width : size.height;
    int32_t longer = size.width < size.height ? size.height : size.width;

    for (size_t i = 0; i < VG_COUNT(classes); i++)
        if (classes[i].shorter == shorter && classes[i].longer == longer)
            return classes[i].name;
    return "default";
}

const char *vg_size_class_find(struct vg_view name)
{
    for (size_t i = 0; i < VG_COUNT(classes); i++)
        if (vg_view_eqs(name, classes[i].name))
            return classes[i].name;
    return NULL;
}

bool vg_seconds_has(vg_seconds_set set, int64_t seconds)
{
    return seconds >= 1 && seconds <= VG_MAX_SECONDS && (set & (UINT64_C(1) << (seconds - 1))) != 0;
}
