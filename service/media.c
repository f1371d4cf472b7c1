/* SPDX-License-Identifier: Apache-2.0 */
#include "service/media.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/mem.h"
#include "service/media_whole.h"

struct vg_media {
    struct vg_media_options options;
    struct vg_http_client *client; /* owned */
    size_t transfers;              /* under way */
};

/* --- what the bytes are --- */

static uint32_t be16(const uint8_t *p)
{
    return (uint32_t)p[0] << 8 | p[1];
}

static uint32_t be32(const uint8_t *p)
{
    return be16(p) << 16 | be16(p + 2);
}

static uint32_t le16(const uint8_t *p)
{
    return (uint32_t)p[1] << 8 | p[0];
}

static bool dimensions(struct vg_media_info *out, const char *mime_type, uint32_t width,
                       uint32_t height)
{
    if (width == 0 || height == 0 || width > INT32_MAX || height > INT32_MAX)
        return false;
    *out = (struct vg_media_info){mime_type, (int32_t)width, (int32_t)height};
    return true;
}

static bool sniff_png(const uint8_t *p, size_t len, struct vg_media_info *out)
{
    if (len < 29 || be32(p + 8) != 13 || memcmp(p + 12, "IHDR", 4) != 0)
        return false;
    return dimensions(out, "image/png", be32(p + 16), be32(p + 20));
}

static bool sniff_gif(const uint8_t *p, size_t len, struct vg_media_info *out)
{
    if (len < 13 || (p[4] != '7' && p[4] != '9') || p[5] != 'a')
        return false;
    return dimensions(out, "image/gif", le16(p + 6), le16(p + 8));
}

static bool sniff_webp(const uint8_t *p, size_t len, struct vg_media_info *out)
{
    if (len < 30 || memcmp(p + 8, "WEBP", 4) != 0)
        return false;
    if (memcmp(p + 12, "VP8X", 4) == 0)
        return dimensions(out, "image/webp", 1 + (le16(p + 24) | (uint32_t)p[26] << 16),
                          1 + (le16(p + 27) | (uint32_t)p[29] << 16));
    if (memcmp(p + 12, "VP8L", 4) == 0 && p[20] == 0x2f) {
        uint32_t bits = le16(p + 21) | le16(p + 23) << 16;
        return dimensions(out, "image/webp", 1 + (bits & 0x3fff), 1 + (bits >> 14 & 0x3fff));
    }
    if (memcmp(p + 12, "VP8 ", 4) == 0 && p[23] == 0x9d && p[24] == 0x01 && p[25] == 0x2a)
        return dimensions(out, "image/webp", le16(p + 26) & 0x3fff, le16(p + 28) & 0x3fff);
    return false;
}

/* Walks the segments to the frame header; they all say their length. */
static bool sniff_jpeg(const uint8_t *p, size_t len, struct vg_media_info *out)
{
    size_t at = 2;

    while (at + 4 <= len) {
        if (p[at] != 0xff)
            return false;
        uint8_t marker = p[at + 1];
        if (marker == 0xff) { /* fill byte */
            at++;
            continue;
        }
        if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8)) { /* stand alone */
            at += 2;
            continue;
        }
        if (marker == 0xd9 || marker == 0xda) /* end, or picture data before any frame header */
            return false;
        size_t size = be16(p + at + 2);
        if (size < 2)
            return false;
        bool frame =
            marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
        if (frame)
            return at + 9 <= len && size >= 8 &&
                   dimensions(out, "image/jpeg", be16(p + at + 7), be16(p + at + 5));
        at += 2 + size;
    }
    return false;
}

struct kind {
    const char *magic;
    size_t len;
    bool (*sniff)(const uint8_t *p, size_t len, struct vg_media_info *out);
    bool (*whole)(const uint8_t *p, size_t len);
};

static const struct kind *kind_of(const uint8_t *data, size_t len)
{
    static const struct kind kinds[] = {
        {"\x89PNG\r\n\x1a\n", 8, sniff_png, vg_png_whole},
        {"\xff\xd8\xff", 3, sniff_jpeg, vg_jpeg_whole},
        {"RIFF", 4, sniff_webp, vg_webp_whole},
        {"GIF8", 4, sniff_gif, vg_gif_whole},
    };

    for (size_t i = 0; i < VG_COUNT(kinds); i++)
        if (len >= kinds[i].len && memcmp(data, kinds[i].magic, kinds[i].len) == 0)
            return &kinds[i];
    return NULL;
}

bool vg_media_sniff(const uint8_t *data, size_t len, struct vg_media_info *out)
{
    const struct kind *kind = kind_of(data, len);

    return kind && kind->sniff(data, len, out);
}

int vg_media_judge(struct vg_view bytes, const char *param, struct vg_media_info *out,
                   struct vg_err *err)
{
    if (bytes.len > VG_PICTURE_MAX_BYTES)
        return vg_err_param(
            err, VG_ERR_INVALID_REQUEST, param,
            "Invalid image input: Image size (%.1fMB) exceeds the 20MB limit for image inputs",
            (double)bytes.len / (1 << 20));
    const uint8_t *data = (const uint8_t *)bytes.data;
    const struct kind *kind = kind_of(data, bytes.len);
    if (!kind || !kind->sniff(data, bytes.len, out))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, param,
                            "Invalid image input: %s is not a whole PNG, JPEG, WebP or GIF picture",
                            param);
    if (out->width > VG_PICTURE_MAX_SIDE || out->height > VG_PICTURE_MAX_SIDE ||
        (int64_t)out->width * out->height > VG_PICTURE_MAX_PIXELS)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, param,
                            "Invalid image input: %dx%d pixels are too many (at most %d a side and "
                            "%d million in all)",
                            (int)out->width, (int)out->height, VG_PICTURE_MAX_SIDE,
                            VG_PICTURE_MAX_PIXELS / 1000000);
    if (!kind->whole(data, bytes.len))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, param,
                            "Invalid image input: the picture in %s is cut short or damaged",
                            param);
    return 0;
}

void vg_picture_fini(struct vg_picture *picture)
{
    vg_buf_fini(&picture->fetched);
}

/* --- fetching --- */

int vg_media_new(struct vg_media **out, const struct vg_media_options *options, struct vg_err *err)
{
    struct vg_media *media = vg_xalloc(sizeof(*media));

    media->options = *options;
    if (media->options.max_transfers == 0)
        media->options.max_transfers = 32;
    if (media->options.timeout_ms <= 0)
        media->options.timeout_ms = 20000;
    if (vg_http_client_new(&media->client, options->loop, options->guard, err) < 0) {
        free(media);
        return -1;
    }
    *out = media;
    return 0;
}

struct vg_media *vg_media_free(struct vg_media *media)
{
    if (media) {
        (void)vg_http_client_free(media->client);
        free(media);
    }
    return NULL;
}

/* One address under way. */
struct transfer {
    struct vg_media_group *group; /* borrowed; waits for us */
    struct vg_picture *picture;   /* borrowed from the group */
    bool too_large;
};

static void group_fail(struct vg_media_group *group, const struct vg_err *err)
{
    if (group->ok) { /* the first failure is told */
        group->ok = false;
        group->err = *err;
    }
}

static void group_step(struct vg_media_group *group)
{
    if (--group->left > 0)
        return;
    for (size_t i = 0; group->ok && i < group->count; i++) {
        struct vg_err err;
        struct vg_picture *p = &group->pictures[i];
        if (vg_media_judge(p->bytes, p->param, &p->info, &err) < 0)
            group_fail(group, &err);
    }
    vg_post(group->executor, &group->done);
}

static bool on_data(void *ctx, const char *data, size_t len)
{
    struct transfer *t = ctx;

    if (vg_buf_add(&t->picture->fetched, data, len) == 0)
        return true;
    t->too_large = true;
    return false;
}

static bool picture_type(const char *content_type)
{
    return !content_type || strncasecmp(content_type, "image/", 6) == 0 ||
           strncasecmp(content_type, "application/octet-stream", 24) == 0;
}

static void on_done(void *ctx, const struct vg_http_result *result)
{
    struct transfer *t = ctx;
    const char *param = t->picture->param;
    struct vg_err err;
    int rc = 0;

    if (t->too_large || (result->reason && strcmp(result->reason, "too_large") == 0))
        rc =
            vg_err_param(&err, VG_ERR_INVALID_REQUEST, param,
                         "Invalid image input: Image size exceeds the 20MB limit for image inputs");
    else if (result->reason && strcmp(result->reason, "cancelled") == 0)
        rc = vg_err_set(&err, VG_ERR_UNAVAILABLE, NULL);
    else if (result->reason)
        rc = vg_err_param(&err, VG_ERR_INVALID_REQUEST, param,
                          "Invalid image input: the address in %s could not be fetched (%s)", param,
                          result->reason);
    else if (result->status < 200 || result->status > 299)
        rc = vg_err_param(&err, VG_ERR_INVALID_REQUEST, param,
                          "Invalid image input: the address in %s answered with status %d", param,
                          result->status);
    else if (!picture_type(result->content_type))
        rc = vg_err_param(&err, VG_ERR_INVALID_REQUEST, param,
                          "Invalid image input: the address in %s does not serve a picture", param);
    t->picture->bytes = vg_buf_view(&t->picture->fetched);
    if (rc < 0)
        group_fail(t->group, &err);
    t->group->media->transfers--;
    struct vg_media_group *group = t->group;
    free(t);
    group_step(group);
}

static void fetch(struct vg_media *media, struct vg_media_group *group, struct vg_picture *picture)
{
    static const char *const headers[] = {"Accept: image/*", NULL};
    struct transfer *t = vg_xalloc(sizeof(*t));

    t->group = group;
    t->picture = picture;
    vg_buf_init(&picture->fetched, VG_PICTURE_MAX_BYTES);
    const struct vg_http_request request = {
        .method = "GET",
        .url = picture->url,
        .headers = headers,
        .timeout_ms = media->options.timeout_ms,
        .max_response = VG_PICTURE_MAX_BYTES,
        .on_data = on_data,
        .on_done = on_done,
        .ctx = t,
    };
    media->transfers++;
    (void)vg_http_start(media->client, &request);
}

/* On the loop. Addresses are judged before any of them is fetched. */
static void group_run(struct vg_task *task)
{
    struct vg_media_group *group = VG_CONTAINER(task, struct vg_media_group, start);
    struct vg_media *media = group->media;
    size_t urls = 0;

    group->ok = true;
    group->left = 1; /* held by this function */
    for (size_t i = 0; group->ok && i < group->count; i++) {
        struct vg_err err;
        struct vg_picture *p = &group->pictures[i];
        urls += p->url != NULL;
        if (p->url && vg_http_guard_url(media->options.guard, p->url, p->param, NULL, &err) < 0)
            group_fail(group, &err);
    }
    if (group->ok && media->transfers + urls > media->options.max_transfers) {
        struct vg_err err;
        (void)vg_err_set(&err, VG_ERR_OVERLOADED, NULL);
        err.retry_after_ms = 1000;
        group_fail(group, &err);
    }
    if (group->ok) {
        group->left += urls;
        for (size_t i = 0; i < group->count; i++)
            if (group->pictures[i].url)
                fetch(media, group, &group->pictures[i]);
    }
    group_step(group);
}

void vg_media_group_start(struct vg_media *media, struct vg_media_group *group)
{
    group->media = media;
    group->start.run = group_run;
    vg_post(vg_loop_executor(media->options.loop), &group->start);
}
