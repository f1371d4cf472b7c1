/* SPDX-License-Identifier: Apache-2.0 */
#include "service/validate.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "common/crypto.h"
#include "common/str.h"
#include "common/webhook_secret.h"
#include "service/translate.h"
#include "service/validate_priv.h"

#define MODEL_CHARS 128
#define MAX_LINK 8192

/* --- texts --- */

int vg_validate_prompt(const char *prompt, struct vg_err *err)
{
    size_t len = strlen(prompt);

    if (!vg_utf8_valid(prompt, len))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "prompt", "prompt: is not valid UTF-8");
    size_t chars = vg_utf8_length(prompt, len);
    if (chars < 1 || chars > VG_MAX_PROMPT_CHARS)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "prompt",
                            "prompt: must have 1 to %d characters, has %zu", VG_MAX_PROMPT_CHARS,
                            chars);
    return 0;
}

int vg_validate_request_id(const char *request_id, struct vg_err *err)
{
    if (!request_id)
        return 0;
    size_t len = strlen(request_id);
    bool clean = vg_utf8_valid(request_id, len);
    for (size_t i = 0; clean && i < len; i++)
        clean = (unsigned char)request_id[i] >= 0x20 && request_id[i] != 0x7f;
    size_t chars = clean ? vg_utf8_length(request_id, len) : 0;
    if (chars < 1 || chars > VG_MAX_REQUEST_ID_CHARS)
        return vg_err_param(
            err, VG_ERR_INVALID_REQUEST, "request_id",
            "request_id: must have 1 to %d characters, none of them a control character",
            VG_MAX_REQUEST_ID_CHARS);
    return 0;
}

static int take_texts(const Videogate__V1__CreateVideoRequest *request, struct vg_job *out,
                      struct vg_err *err)
{
    out->prompt = request->prompt;
    if (request->opt_request_id_case)
        out->request_id = request->request_id;
    if (vg_validate_prompt(out->prompt, err) < 0)
        return -1;
    return vg_validate_request_id(out->request_id, err);
}

/* --- callback --- */

int vg_validate_callback(const struct vg_validate_env *env, const char *url, const char *secret,
                         struct vg_arena *arena, struct vg_job *out, struct vg_err *err)
{
    if (!url && !secret) {
        out->callback_url = env->default_callback_url;
        out->callback_secret = env->default_callback_secret;
        return 0;
    }
    if (!url || !secret) {
        const char *missing = url ? "callback_secret" : "callback_url";
        return vg_err_param(
            err, VG_ERR_INVALID_REQUEST, missing,
            "%s: callback_url and callback_secret go together: give both or neither", missing);
    }
    size_t len = strlen(secret);
    if (len < 1 || len > VG_MAX_CALLBACK_SECRET)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "callback_secret",
                            "callback_secret: must have 1 to %d bytes", VG_MAX_CALLBACK_SECRET);
    if (!vg_webhook_secret_ok(secret))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "callback_secret",
                            "callback_secret: whsk_ must be followed by base64 of an ed25519 key");
    if (strlen(url) > VG_MAX_CALLBACK_URL)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "callback_url",
                            "callback_url: must have at most %d characters", VG_MAX_CALLBACK_URL);
    struct vg_buf normal;
    vg_buf_init(&normal, (size_t)VG_MAX_CALLBACK_URL * 3);
    int rc = vg_http_guard_url(env->callback_guard, url, "callback_url", &normal, err);
    if (rc == 0) {
        out->callback_url = vg_arena_memdup(arena, normal.data, normal.len);
        out->callback_secret = secret;
    }
    vg_buf_fini(&normal);
    return rc;
}

static int take_callback(const struct vg_validate_env *env,
                         const Videogate__V1__CreateVideoRequest *request, struct vg_arena *arena,
                         struct vg_job *out, struct vg_err *err)
{
    return vg_validate_callback(env, request->opt_callback_url_case ? request->callback_url : NULL,
                                request->opt_callback_secret_case ? request->callback_secret : NULL,
                                arena, out, err);
}

/* --- pictures --- */

static int check_picture(const Videogate__V1__MediaInput *picture, const char *param,
                         struct vg_err *err)
{
    if (picture->source_case == VIDEOGATE__V1__MEDIA_INPUT__SOURCE_URL) {
        if (picture->url[0])
            return 0;
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, param, "%s: the address is empty", param);
    }
    if (picture->source_case != VIDEOGATE__V1__MEDIA_INPUT__SOURCE_DATA || picture->data.len == 0)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, param, "%s: the picture is empty", param);
    if (picture->data.len > VG_MAX_PICTURE_BYTES)
        return vg_err_param(
            err, VG_ERR_INVALID_REQUEST, param,
            "Invalid image input: Image size (%.1fMB) exceeds the 20MB limit for image inputs",
            (double)picture->data.len / (1 << 20));
    return 0;
}

static int take_references(const Videogate__V1__CreateVideoRequest *request, struct vg_job *out,
                           struct vg_err *err)
{
    bool openai = request->n_input_reference > 0;
    const char *param = openai ? "input_reference" : "reference_images";
    size_t count = openai ? request->n_input_reference : request->n_reference_images;
    Videogate__V1__MediaInput **list =
        openai ? request->input_reference : request->reference_images;

    if (openai && request->n_reference_images > 0)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "reference_images",
                            "reference_images: cannot be given together with input_reference");
    if (count > VG_MAX_REFERENCES)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, param, "%s: must hold 1 to %d pictures",
                            param, VG_MAX_REFERENCES);
    for (size_t i = 0; i < count; i++) {
        if (check_picture(list[i], param, err) < 0)
            return -1;
        out->references[i] = list[i];
    }
    out->reference_count = count;
    out->reference_param = param;
    return 0;
}

/* A reference video or sound: read by the provider, which may be an engine inside our own network.
 */
static int check_link(const struct vg_validate_env *env, const char *url, const char *param,
                      struct vg_err *err)
{
    size_t len = strlen(url);

    if (len > MAX_LINK || strncasecmp(url, "https://", 8) != 0 || len == 8 ||
        strcspn(url, " \t\r\n\"<>\\^`{|}") != len)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, param,
                            "%s: must be HTTPS URLs of at most %d characters", param, MAX_LINK);
    return vg_http_guard_url(env->media_guard, url, param, NULL, err);
}

static int take_links(const struct vg_validate_env *env, Videogate__V1__MediaLink *const *list,
                      size_t count, const char *param, char **out, struct vg_err *err)
{
    if (count > VG_MAX_LINKS)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, param, "%s: must hold 1 to %d addresses",
                            param, VG_MAX_LINKS);
    for (size_t i = 0; i < count; i++) {
        if (check_link(env, list[i]->url, param, err) < 0)
            return -1;
        out[i] = list[i]->url;
    }
    return 0;
}

static int take_media(const struct vg_validate_env *env,
                      const Videogate__V1__CreateVideoRequest *request, struct vg_arena *arena,
                      struct vg_job *out, struct vg_err *err)
{
    size_t videos = request->n_reference_videos, audios = request->n_reference_audios;

    out->reference_video_count = videos;
    out->reference_audio_count = audios;
    out->reference_videos = vg_arena_alloc(arena, (videos + 1) * sizeof(char *));
    out->reference_audios = vg_arena_alloc(arena, (audios + 1) * sizeof(char *));
    if (take_links(env, request->reference_videos, videos, "reference_videos",
                   out->reference_videos, err) < 0)
        return -1;
    return take_links(env, request->reference_audios, audios, "reference_audios",
                      out->reference_audios, err);
}

static int take_pictures(const Videogate__V1__CreateVideoRequest *request, struct vg_job *out,
                         struct vg_err *err)
{
    out->image = request->image;
    out->last_frame = request->last_frame;
    if (take_references(request, out, err) < 0)
        return -1;
    if (out->last_frame && !out->image)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "last_frame",
                            "last_frame: needs image, the first frame");
    if (out->image &&
        out->reference_count + out->reference_video_count + out->reference_audio_count > 0)
        return vg_err_param(
            err, VG_ERR_INVALID_REQUEST, "image",
            "Frame inputs (image, last_frame) cannot be combined with reference inputs");
    if (out->image && check_picture(out->image, "image", err) < 0)
        return -1;
    if (out->last_frame && check_picture(out->last_frame, "last_frame", err) < 0)
        return -1;
    return 0;
}

/* --- model, size, seconds, audio, n --- */

static int unknown_model(const char *text, struct vg_err *err)
{
    return vg_err_param(
        err, VG_ERR_INVALID_REQUEST, "model",
        "model: %.*s is not a video model here; use one from GET /v1/models, if wanted as "
        "provider/model",
        (int)vg_utf8_cut(text, strnlen(text, 80)), text);
}

static int take_model(const struct vg_validate_env *env, const char *text, struct vg_ask *ask,
                      struct vg_job *job, struct vg_err *err)
{
    size_t len = text ? strlen(text) : 0;

    if (!text)
        ask->pick.model = vg_catalog_default(env->catalog);
    else if (len < 1 || len > MODEL_CHARS || !vg_utf8_valid(text, len))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "model",
                            "model: must have 1 to %d characters", MODEL_CHARS);
    else if (!vg_catalog_pick(env->catalog, text, &ask->pick))
        return unknown_model(text, err);
    job->model = ask->pick.model->name;
    job->pin = ask->pick.provider;
    job->pin_model = ask->pick.upstream;
    return 0;
}

static int take_numbers(const Videogate__V1__CreateVideoRequest *request, struct vg_ask *ask,
                        struct vg_job *out, struct vg_err *err)
{
    if (request->opt_size_case) {
        if (!vg_size_parse(vg_view_of(request->size), &ask->size))
            return vg_err_param(err, VG_ERR_INVALID_REQUEST, "size",
                                "size: must be \"WIDTHxHEIGHT\" in pixels, e.g. \"1280x720\"");
        ask->has_size = true;
    }
    if (request->opt_seconds_case) {
        if (request->seconds < 1)
            return vg_err_param(err, VG_ERR_INVALID_REQUEST, "seconds",
                                "seconds: must be a whole number of at least 1");
        if (request->seconds > ask->pick.model->max_seconds)
            return vg_err_param(err, VG_ERR_UNSUPPORTED, "seconds",
                                "seconds: %ds is longer than the %ds that %s makes at most",
                                (int)request->seconds, (int)ask->pick.model->max_seconds,
                                ask->pick.model->name);
        ask->seconds = request->seconds;
    }
    if (request->opt_audio_case) {
        ask->has_audio = true;
        ask->audio = request->audio != 0;
    }
    out->n = request->opt_n_case ? request->n : 1;
    if (out->n < 1 || out->n > VG_MAX_OUTPUTS)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "n", "n: must be from 1 to %d",
                            VG_MAX_OUTPUTS);
    return 0;
}

/* --- all together --- */

static int take_extra(const char *text, struct vg_arena *arena, struct vg_ask *ask,
                      struct vg_job *job, struct vg_err *err)
{
    if (!text[0])
        return 0;
    ask->arena = arena;
    if (vg_extra_read(text, ask->pick.model, arena, &ask->extra, err) < 0)
        return -1;
    job->extra = vg_extra_of(&ask->extra, NULL, arena);
    return 0;
}

int vg_validate_create(const struct vg_validate_env *env,
                       const Videogate__V1__CreateVideoRequest *request, struct vg_arena *arena,
                       struct vg_job *out, struct vg_err *err)
{
    return vg_validate_pictures(env, request, NULL, 0, arena, out, err);
}

int vg_validate_pictures(const struct vg_validate_env *env,
                         const Videogate__V1__CreateVideoRequest *request,
                         const struct vg_picture *pictures, size_t count, struct vg_arena *arena,
                         struct vg_job *out, struct vg_err *err)
{
    struct vg_job job = {.no_fallback = request->no_fallback != 0};
    struct vg_ask ask = {.pictures = pictures, .picture_count = count};

    if (take_texts(request, &job, err) < 0 ||
        take_model(env, request->opt_model_case ? request->model : NULL, &ask, &job, err) < 0 ||
        take_numbers(request, &ask, &job, err) < 0 ||
        take_media(env, request, arena, &job, err) < 0 || take_pictures(request, &job, err) < 0 ||
        take_callback(env, request, arena, &job, err) < 0)
        return -1;
    if (request->opt_extra_case && take_extra(request->extra, arena, &ask, &job, err) < 0)
        return -1;
    ask.image = job.image != NULL;
    ask.last_frame = job.last_frame != NULL;
    ask.references = (int32_t)job.reference_count;
    ask.reference_param = job.reference_param;
    ask.reference_videos = (int32_t)job.reference_video_count;
    ask.reference_audios = (int32_t)job.reference_audio_count;
    if (vg_resolve_routes(env, &ask, &job, err) < 0)
        return -1;
    *out = job;
    return 0;
}

int vg_validate_derive(const struct vg_validate_env *env, const struct vg_derive_ask *in,
                       struct vg_job *job, struct vg_err *err)
{
    struct vg_ask ask = {
        .operation = in->operation,
        .has_size = true,
        .size = in->source_size,
        .seconds = in->seconds,
        .has_audio = in->has_audio,
        .audio = in->audio,
        .source_seconds = in->source_seconds,
        .source = in->source,
        .any_maker = env->route_all_provider != NULL,
    };

    if (take_model(env, in->model, &ask, job, err) < 0)
        return -1;
    job->n = 1;
    return vg_resolve_routes(env, &ask, job, err);
}

/* --- fingerprint --- */

static void normal_links(Videogate__V1__MediaLink links[VG_MAX_LINKS],
                         Videogate__V1__MediaLink *list[VG_MAX_LINKS], char *const *urls,
                         size_t count)
{
    for (size_t i = 0; i < count; i++) {
        videogate__v1__media_link__init(&links[i]);
        links[i].url = urls[i];
        list[i] = &links[i];
    }
}

/* Replaces the picture's bytes by their hash; an address stands for itself. */
static void normal_picture(const Videogate__V1__MediaInput *in, Videogate__V1__MediaInput *out,
                           uint8_t hash[32])
{
    videogate__v1__media_input__init(out);
    out->source_case = in->source_case;
    if (in->source_case == VIDEOGATE__V1__MEDIA_INPUT__SOURCE_DATA) {
        vg_sha256(hash, in->data.data, in->data.len);
        out->data = (ProtobufCBinaryData){.len = 32, .data = hash};
    } else {
        out->url = in->url;
    }
}

void vg_secret_mac(char out[VG_SECRET_MAC_SIZE], const uint8_t secret_key[32], const char *secret)
{
    uint8_t mac[32];

    vg_hmac_sha256(mac, (struct vg_view){(const char *)secret_key, 32}, vg_view_of(secret));
    vg_hex_encode(out, mac, sizeof(mac));
}

void vg_job_fingerprint(const struct vg_job *job, const uint8_t secret_key[32], uint8_t out[32])
{
    enum { PICTURES = 2 + VG_MAX_REFERENCES };
    Videogate__V1__CreateVideoRequest normal = VIDEOGATE__V1__CREATE_VIDEO_REQUEST__INIT;
    Videogate__V1__MediaInput pictures[PICTURES];
    Videogate__V1__MediaInput *references[VG_MAX_REFERENCES];
    uint8_t hashes[PICTURES][32];
    char mac_hex[VG_SECRET_MAC_SIZE];
    char size[24];
    char model[320];

    (void)snprintf(model, sizeof(model), "%s/%s%s%s", job->pin ? job->pin : "", job->model,
                   job->pin_model ? "/" : "", job->pin_model ? job->pin_model : "");
    (void)snprintf(size, sizeof(size), "%dx%d", (int)job->width, (int)job->height);
    normal.opt_model_case = VIDEOGATE__V1__CREATE_VIDEO_REQUEST__OPT_MODEL_MODEL;
    normal.model = model;
    normal.prompt = vg_pb_text(job->prompt);
    normal.opt_size_case = VIDEOGATE__V1__CREATE_VIDEO_REQUEST__OPT_SIZE_SIZE;
    normal.size = size;
    normal.opt_seconds_case = VIDEOGATE__V1__CREATE_VIDEO_REQUEST__OPT_SECONDS_SECONDS;
    normal.seconds = job->seconds;
    normal.opt_audio_case = VIDEOGATE__V1__CREATE_VIDEO_REQUEST__OPT_AUDIO_AUDIO;
    normal.audio = job->audio;
    normal.opt_n_case = VIDEOGATE__V1__CREATE_VIDEO_REQUEST__OPT_N_N;
    normal.n = job->n;
    normal.no_fallback = job->no_fallback;
    if (job->extra) {
        normal.opt_extra_case = VIDEOGATE__V1__CREATE_VIDEO_REQUEST__OPT_EXTRA_EXTRA;
        normal.extra = vg_pb_text(job->extra);
    }
    if (job->callback_url) {
        vg_secret_mac(mac_hex, secret_key, job->callback_secret);
        normal.opt_callback_url_case =
            VIDEOGATE__V1__CREATE_VIDEO_REQUEST__OPT_CALLBACK_URL_CALLBACK_URL;
        normal.callback_url = vg_pb_text(job->callback_url);
        normal.opt_callback_secret_case =
            VIDEOGATE__V1__CREATE_VIDEO_REQUEST__OPT_CALLBACK_SECRET_CALLBACK_SECRET;
        normal.callback_secret = mac_hex;
    }
    if (job->image) {
        normal_picture(job->image, &pictures[0], hashes[0]);
        normal.image = &pictures[0];
    }
    if (job->last_frame) {
        normal_picture(job->last_frame, &pictures[1], hashes[1]);
        normal.last_frame = &pictures[1];
    }
    for (size_t i = 0; i < job->reference_count; i++) {
        normal_picture(job->references[i], &pictures[2 + i], hashes[2 + i]);
        references[i] = &pictures[2 + i];
    }
    normal.reference_images = references;
    normal.n_reference_images = job->reference_count;
    Videogate__V1__MediaLink videos[VG_MAX_LINKS], audios[VG_MAX_LINKS];
    Videogate__V1__MediaLink *video_list[VG_MAX_LINKS], *audio_list[VG_MAX_LINKS];
    normal_links(videos, video_list, job->reference_videos, job->reference_video_count);
    normal_links(audios, audio_list, job->reference_audios, job->reference_audio_count);
    normal.reference_videos = video_list;
    normal.n_reference_videos = job->reference_video_count;
    normal.reference_audios = audio_list;
    normal.n_reference_audios = job->reference_audio_count;
    vg_pb_sha256(&normal.base, out);
}
