/* SPDX-License-Identifier: Apache-2.0 */
#include "service/translate.h"

#include <stdlib.h>
#include <string.h>

#include "common/crypto.h"
#include "service/limits.h"
#include "service/price.h"

static const struct {
    const char *word;
    bool terminal;
} statuses[VG_VIDEO_STATUS_MAX] = {
    [VG_VIDEO_QUEUED] = {"queued", false},      [VG_VIDEO_IN_PROGRESS] = {"in_progress", false},
    [VG_VIDEO_COMPLETED] = {"completed", true}, [VG_VIDEO_FAILED] = {"failed", true},
    [VG_VIDEO_CANCELED] = {"canceled", true},   [VG_VIDEO_EXPIRED] = {"expired", true},
};

const char *vg_status_word(enum vg_video_status status)
{
    VG_ASSERT(status >= VG_VIDEO_QUEUED && status < VG_VIDEO_STATUS_MAX);
    return statuses[status].word;
}

bool vg_status_terminal(enum vg_video_status status)
{
    VG_ASSERT(status >= VG_VIDEO_QUEUED && status < VG_VIDEO_STATUS_MAX);
    return statuses[status].terminal;
}

bool vg_content_expired(const struct vg_video *video, int64_t now_s)
{
    return video->expires_at > 0 && now_s >= video->expires_at;
}

char *vg_pb_text(const char *s)
{
    const union {
        const char *in;
        char *out;
    } text = {.in = s ? s : ""};

    return text.out;
}

void vg_pb_sha256(const ProtobufCMessage *message, uint8_t out[32])
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = vg_xalloc(size);

    (void)protobuf_c_message_pack(message, packed);
    vg_sha256(out, packed, size);
    free(packed);
}

/* Young jobs are often short ones; old ones are asked for less often. */
static int32_t poll_after_ms(const struct vg_video *video, int64_t now_s)
{
    int64_t age_s = now_s - video->created_at;

    if (vg_status_terminal(video->status))
        return 0;
    if (age_s < 15)
        return 1000;
    return age_s < 90 ? 2000 : 5000;
}

/* What a look at the file found. */
static void translate_media(const struct vg_output *o, Videogate__V1__VideoContent *c)
{
    if (o->width == 0)
        return;
    c->opt_width_case = VIDEOGATE__V1__VIDEO_CONTENT__OPT_WIDTH_WIDTH;
    c->width = o->width;
    c->opt_height_case = VIDEOGATE__V1__VIDEO_CONTENT__OPT_HEIGHT_HEIGHT;
    c->height = o->height;
    c->opt_duration_ms_case = VIDEOGATE__V1__VIDEO_CONTENT__OPT_DURATION_MS_DURATION_MS;
    c->duration_ms = o->duration_ms;
    c->opt_has_audio_case = VIDEOGATE__V1__VIDEO_CONTENT__OPT_HAS_AUDIO_HAS_AUDIO;
    c->has_audio = o->has_audio;
    if (!o->codec)
        return;
    c->opt_codec_case = VIDEOGATE__V1__VIDEO_CONTENT__OPT_CODEC_CODEC;
    c->codec = vg_pb_text(o->codec);
}

static void translate_outputs(const struct vg_video *video, const struct vg_links *links,
                              int64_t now_s, struct vg_arena *arena, Videogate__V1__Video *out)
{
    size_t n = video->output_count;

    out->content = vg_arena_alloc(arena, (n ? n : 1) * sizeof(Videogate__V1__VideoContent *));
    for (size_t i = 0; i < n; i++) {
        const struct vg_output *o = &video->outputs[i];
        Videogate__V1__VideoContent *c = vg_arena_alloc(arena, sizeof(*c));
        videogate__v1__video_content__init(c);
        c->type = vg_pb_text("video");
        c->url = vg_link_url(links, video->id, o->index, now_s, video->expires_at, arena);
        c->mime_type = vg_pb_text(o->mime_type);
        c->index = o->index;
        c->bytes = o->bytes;
        c->sha256 = vg_pb_text(o->sha256);
        translate_media(o, c);
        out->content[i] = c;
    }
    out->n_content = n;
}

void vg_translate_video(const struct vg_video *video, const struct vg_links *links, int64_t now_s,
                        struct vg_arena *arena, Videogate__V1__Video *out)
{
    videogate__v1__video__init(out);
    out->id = vg_pb_text(video->id);
    out->model = vg_pb_text(video->model);
    out->status = (Videogate__V1__VideoStatus)video->status;
    out->progress = video->progress;
    out->created_at = video->created_at;
    if (video->completed_at > 0) {
        out->opt_completed_at_case = VIDEOGATE__V1__VIDEO__OPT_COMPLETED_AT_COMPLETED_AT;
        out->completed_at = video->completed_at;
    }
    if (video->expires_at > 0) {
        out->opt_expires_at_case = VIDEOGATE__V1__VIDEO__OPT_EXPIRES_AT_EXPIRES_AT;
        out->expires_at = video->expires_at;
    }
    if (video->error_code) {
        out->error = vg_arena_alloc(arena, sizeof(*out->error));
        videogate__v1__video_error__init(out->error);
        out->error->code = vg_pb_text(video->error_code);
        out->error->message = vg_pb_text(video->error_message);
    }
    if (video->status == VG_VIDEO_COMPLETED && !vg_content_expired(video, now_s))
        translate_outputs(video, links, now_s, arena, out);
    out->prompt = vg_pb_text(video->prompt);
    out->size = vg_arena_printf(arena, "%dx%d", (int)video->width, (int)video->height);
    out->seconds = video->seconds;
    out->audio = video->audio;
    out->n = video->n;
    if (video->remixed_from) {
        out->opt_remixed_from_video_id_case =
            VIDEOGATE__V1__VIDEO__OPT_REMIXED_FROM_VIDEO_ID_REMIXED_FROM_VIDEO_ID;
        out->remixed_from_video_id = vg_pb_text(video->remixed_from);
    }
    if (video->made_by) {
        out->opt_provider_case = VIDEOGATE__V1__VIDEO__OPT_PROVIDER_PROVIDER;
        out->provider = vg_pb_text(video->made_by);
    }
    out->attempts = video->attempts;
    out->version = video->version;
    out->usage = vg_price_usage(video, arena);
    out->poll_after_ms = poll_after_ms(video, now_s);
}

static void model_sizes(const struct vg_model *model, struct vg_arena *arena,
                        Videogate__V1__Model *out)
{
    out->sizes = vg_arena_alloc(arena, (size_t)VG_CATALOG_MAX_ROUTES * VG_CATALOG_MAX_SIZES *
                                           sizeof(char *));
    for (size_t r = 0; r < model->route_count; r++)
        for (size_t s = 0; s < model->routes[r].size_count; s++) {
            struct vg_size size = model->routes[r].sizes[s];
            bool seen = false;
            for (size_t before = 0; before < r && !seen; before++)
                seen = vg_route_has_size(&model->routes[before], size);
            if (!seen)
                out->sizes[out->n_sizes++] =
                    vg_arena_printf(arena, "%dx%d", (int)size.width, (int)size.height);
        }
}

static int32_t most(int32_t a, int32_t b)
{
    return a > b ? a : b;
}

/* Over all routes: something that one of them takes can be asked of the model. */
static void model_capabilities(const struct vg_model *model, struct vg_arena *arena,
                               Videogate__V1__Model *out)
{
    Videogate__V1__ModelCapabilities *can = vg_arena_alloc(arena, sizeof(*can));

    videogate__v1__model_capabilities__init(can);
    can->image_required = true;
    for (size_t i = 0; i < model->route_count; i++) {
        const struct vg_route *route = &model->routes[i];
        can->audio |= route->audio != VG_AUDIO_OFF;
        can->silent |= route->audio != VG_AUDIO_ON;
        can->image |= route->image != VG_NEED_NONE;
        can->image_required &= route->image == VG_NEED_REQUIRED;
        can->last_frame |= route->last_frame;
        can->reference_images = most(can->reference_images, route->references_max);
        can->reference_videos = most(can->reference_videos, route->reference_videos_max);
        can->reference_audios = most(can->reference_audios, route->reference_audios_max);
        can->edit |= (route->operations & VG_OPERATION_EDIT) != 0;
        can->extend |= (route->operations & VG_OPERATION_EXTEND) != 0;
    }
    out->capabilities = can;
}

/* Of the first route that its provider still serves. */
static void model_pricing(const struct vg_model *model, struct vg_arena *arena,
                          Videogate__V1__Model *out)
{
    const struct vg_route *route = &model->routes[0];

    for (size_t i = model->route_count; i-- > 0;)
        if (!model->routes[i].closed)
            route = &model->routes[i];
    out->pricing = vg_arena_alloc(arena, route->price_count * sizeof(Videogate__V1__ModelPrice *));
    for (size_t i = 0; i < route->price_count; i++) {
        Videogate__V1__ModelPrice *price = vg_arena_alloc(arena, sizeof(*price));
        videogate__v1__model_price__init(price);
        price->key = vg_pb_text(route->prices[i].key);
        price->usd_per_second = route->prices[i].usd;
        out->pricing[out->n_pricing++] = price;
    }
    if (route->price_per_image > 0) {
        out->opt_usd_per_image_input_case =
            VIDEOGATE__V1__MODEL__OPT_USD_PER_IMAGE_INPUT_USD_PER_IMAGE_INPUT;
        out->usd_per_image_input = route->price_per_image;
    }
}

static const char *model_status(const struct vg_model *model)
{
    bool preview = false;

    for (size_t i = 0; i < model->route_count; i++) {
        const struct vg_route *route = &model->routes[i];
        if (!model->closed && !route->closed && !route->preview)
            return "live";
        preview |= !model->closed && route->preview;
    }
    return preview ? "preview" : "closed";
}

void vg_translate_model(const struct vg_model *model, struct vg_arena *arena,
                        Videogate__V1__Model *out)
{
    vg_seconds_set all = 0;

    videogate__v1__model__init(out);
    out->id = vg_pb_text(model->name);
    out->created = model->created;
    out->owned_by = vg_pb_text(model->owned_by);
    model_sizes(model, arena, out);
    for (size_t r = 0; r < model->route_count; r++)
        all |= model->routes[r].seconds | model->routes[r].seconds_with_image |
               model->routes[r].seconds_with_references;
    out->seconds = vg_arena_alloc(arena, (size_t)VG_MAX_SECONDS * sizeof(*out->seconds));
    for (int32_t s = 1; s <= VG_MAX_SECONDS; s++)
        if (vg_seconds_has(all, s))
            out->seconds[out->n_seconds++] = s;
    out->default_seconds = model->default_seconds;
    out->default_size = vg_arena_printf(arena, "%dx%d", (int)model->default_size.width,
                                        (int)model->default_size.height);
    model_capabilities(model, arena, out);
    model_pricing(model, arena, out);
    out->status = vg_pb_text(model_status(model));
}

static void translate_scopes(const char *text, struct vg_arena *arena, Videogate__V1__ApiKey *out)
{
    out->scopes = vg_arena_alloc(arena, (strlen(text) / 2 + 1) * sizeof(*out->scopes));
    while (*text) {
        size_t len = strcspn(text, " ");

        out->scopes[out->n_scopes++] = vg_arena_printf(arena, "%.*s", (int)len, text);
        text += len + strspn(text + len, " ");
    }
}

void vg_translate_key(const struct vg_key *key, struct vg_arena *arena, Videogate__V1__ApiKey *out)
{
    videogate__v1__api_key__init(out);
    out->id = vg_pb_text(key->id);
    out->project = vg_pb_text(key->project);
    out->name = vg_pb_text(key->name);
    out->hint = vg_pb_text(key->hint);
    out->created_at = key->created_at;
    if (key->revoked_at > 0) {
        out->opt_revoked_at_case = VIDEOGATE__V1__API_KEY__OPT_REVOKED_AT_REVOKED_AT;
        out->revoked_at = key->revoked_at;
    }
    if (key->expires_at > 0) {
        out->opt_expires_at_case = VIDEOGATE__V1__API_KEY__OPT_EXPIRES_AT_EXPIRES_AT;
        out->expires_at = key->expires_at;
    }
    if (key->last_used_at > 0) {
        out->opt_last_used_at_case = VIDEOGATE__V1__API_KEY__OPT_LAST_USED_AT_LAST_USED_AT;
        out->last_used_at = key->last_used_at;
    }
    out->old = key->old;
    translate_scopes(key->scopes, arena, out);
    out->limits = vg_limits_translate(&key->limits, arena);
}

static void translate_log(const struct vg_delivery *delivery, struct vg_arena *arena,
                          Videogate__V1__Delivery *out)
{
    Videogate__V1__DeliveryAttempt *all =
        vg_arena_alloc(arena, (delivery->log_count + 1) * sizeof(*all));

    out->attempt_log =
        vg_arena_alloc(arena, (delivery->log_count + 1) * sizeof(Videogate__V1__DeliveryAttempt *));
    for (size_t i = 0; i < delivery->log_count; i++) {
        const struct vg_delivery_attempt *row = &delivery->log[i];

        videogate__v1__delivery_attempt__init(&all[i]);
        all[i].ended_at = row->ended_at;
        all[i].status = row->http_status;
        all[i].reason = vg_pb_text(row->reason);
        all[i].duration_ms = row->duration_ms;
        all[i].answer = vg_pb_text(row->answer);
        out->attempt_log[i] = &all[i];
    }
    out->n_attempt_log = delivery->log_count;
}

void vg_translate_delivery(const struct vg_delivery *delivery, struct vg_arena *arena,
                           Videogate__V1__Delivery *out)
{
    videogate__v1__delivery__init(out);
    out->id = vg_pb_text(delivery->id);
    out->video_id = vg_pb_text(delivery->video_id);
    out->state = vg_pb_text(vg_delivery_state_name(delivery->state));
    out->attempts = delivery->attempts;
    out->last_status = delivery->last_status;
    out->last_reason = vg_pb_text(delivery->last_reason);
    out->endpoint_id = vg_pb_text(delivery->endpoint_id);
    out->event_type = vg_pb_text(delivery->event_type);
    out->created_at = delivery->created_at;
    if (delivery->next_attempt_at > 0) {
        out->opt_next_attempt_at_case =
            VIDEOGATE__V1__DELIVERY__OPT_NEXT_ATTEMPT_AT_NEXT_ATTEMPT_AT;
        out->next_attempt_at = delivery->next_attempt_at;
    }
    translate_log(delivery, arena, out);
}
