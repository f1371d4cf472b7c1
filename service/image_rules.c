/* SPDX-License-Identifier: Apache-2.0 */
#include "service/image_rules.h"

#include <string.h>

#include "service/catalog_value.h"
#include "service/media.h"

#define MAX_ASPECT 100

static const char *const type_names[] = {"image/png", "image/jpeg", "image/webp", "image/gif"};

void vg_image_rules_default(struct vg_image_rules *out)
{
    *out = (struct vg_image_rules){
        .types = VG_IMAGE_PNG | VG_IMAGE_JPEG | VG_IMAGE_WEBP,
        .max_bytes = VG_PICTURE_MAX_BYTES,
        .min_side = 1,
        .max_side = VG_PICTURE_MAX_SIDE,
    };
}

static bool type_fits(const struct vg_image_rules *rules, const char *type, struct vg_buf *why)
{
    const char *between = "";

    for (size_t i = 0; i < VG_COUNT(type_names); i++)
        if (rules->types & 1U << i && strcmp(type_names[i], type) == 0)
            return true;
    if (!why)
        return false;
    (void)vg_buf_addf(why, "type %s is unsupported (supported types: ", type);
    for (size_t i = 0; i < VG_COUNT(type_names); i++)
        if (rules->types & 1U << i) {
            (void)vg_buf_addf(why, "%s%s", between, type_names[i]);
            between = ", ";
        }
    (void)vg_buf_adds(why, ")");
    return false;
}

static bool sides_fit(const struct vg_image_rules *rules, const struct vg_media_info *info,
                      struct vg_buf *why)
{
    int32_t shorter = info->width < info->height ? info->width : info->height;
    int32_t longer = info->width < info->height ? info->height : info->width;

    if (shorter >= rules->min_side && longer <= rules->max_side)
        return true;
    if (why)
        (void)vg_buf_addf(why, "%dx%d is unsupported (supported sides: %d to %d pixels)",
                          (int)info->width, (int)info->height, (int)rules->min_side,
                          (int)rules->max_side);
    return false;
}

static bool aspect_fits(const struct vg_image_rules *rules, const struct vg_media_info *info,
                        struct vg_buf *why)
{
    double aspect = (double)info->width / info->height;

    if ((rules->min_aspect <= 0 || aspect >= rules->min_aspect) &&
        (rules->max_aspect <= 0 || aspect <= rules->max_aspect))
        return true;
    if (why)
        (void)vg_buf_addf(why,
                          "%dx%d is unsupported (supported aspects, width over height: %g to %g)",
                          (int)info->width, (int)info->height, rules->min_aspect,
                          rules->max_aspect > 0 ? rules->max_aspect : MAX_ASPECT);
    return false;
}

bool vg_image_fits(const struct vg_image_rules *rules, const struct vg_picture *picture,
                   struct vg_size video, struct vg_buf *why)
{
    const struct vg_media_info *info = &picture->info;

    if (!type_fits(rules, info->mime_type, why) || !sides_fit(rules, info, why) ||
        !aspect_fits(rules, info, why))
        return false;
    if ((int64_t)picture->bytes.len > rules->max_bytes) {
        if (why)
            (void)vg_buf_addf(why, "%.1fMB are unsupported (supported: %.1fMB)",
                              (double)picture->bytes.len / (1 << 20),
                              (double)rules->max_bytes / (1 << 20));
        return false;
    }
    if (rules->match_size && (info->width != video.width || info->height != video.height)) {
        if (why)
            (void)vg_buf_addf(why, "%dx%d must match the size of the video, %dx%d",
                              (int)info->width, (int)info->height, (int)video.width,
                              (int)video.height);
        return false;
    }
    return true;
}

/* --- reading --- */

static int images_types(struct vg_catalog_reader *r, const struct vg_json *value, void *t)
{
    struct vg_image_rules *rules = t;
    int word = 0;

    if (vg_json_type(value) != VG_JSON_ARRAY || vg_json_count(value) == 0)
        return vg_catalog_fail(r, "must be a list of media types");
    rules->types = 0;
    for (const struct vg_json *v = vg_json_first(value); v; v = vg_json_next(v)) {
        if (vg_catalog_read_word(r, v, type_names, VG_COUNT(type_names), &word) < 0)
            return -1;
        if (rules->types & (1U << word))
            return vg_catalog_fail(r, "\"%s\" stands twice", type_names[word]);
        rules->types |= 1U << word;
    }
    return 0;
}

static int images_bytes(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return vg_catalog_read_int(r, v, 1024, VG_PICTURE_MAX_BYTES,
                               &((struct vg_image_rules *)t)->max_bytes);
}

static int read_side(struct vg_catalog_reader *r, const struct vg_json *v, int32_t *out)
{
    int64_t n = 0;
    int rc = vg_catalog_read_int(r, v, 1, VG_PICTURE_MAX_SIDE, &n);

    *out = (int32_t)n;
    return rc;
}

static int images_min_side(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return read_side(r, v, &((struct vg_image_rules *)t)->min_side);
}

static int images_max_side(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return read_side(r, v, &((struct vg_image_rules *)t)->max_side);
}

static int images_min_aspect(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return vg_catalog_read_number(r, v, 0.01, MAX_ASPECT,
                                  &((struct vg_image_rules *)t)->min_aspect);
}

static int images_max_aspect(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return vg_catalog_read_number(r, v, 0.01, MAX_ASPECT,
                                  &((struct vg_image_rules *)t)->max_aspect);
}

static int images_match(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return vg_catalog_read_bool(r, v, &((struct vg_image_rules *)t)->match_size);
}

int vg_catalog_read_images(struct vg_catalog_reader *r, const struct vg_json *value,
                           struct vg_image_rules *out)
{
    static const struct vg_catalog_member members[] = {
        {"types", images_types, false},           {"max_bytes", images_bytes, false},
        {"min_side", images_min_side, false},     {"max_side", images_max_side, false},
        {"min_aspect", images_min_aspect, false}, {"max_aspect", images_max_aspect, false},
        {"match_size", images_match, false}};

    if (vg_catalog_read_object(r, value, members, VG_COUNT(members), out) < 0)
        return -1;
    if (out->min_side > out->max_side)
        return vg_catalog_fail(r, "min_side is larger than max_side");
    if (out->min_aspect > 0 && out->max_aspect > 0 && out->min_aspect > out->max_aspect)
        return vg_catalog_fail(r, "min_aspect is larger than max_aspect");
    return 0;
}
