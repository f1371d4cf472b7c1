/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/avalanche.h"

#include <string.h>

#include "common/http/guard.h"
#include "common/mem.h"
#include "workers/providers/avalanche_follow.h"
#include "workers/upstream/adapter.h"
#include "workers/upstream/events.h"

#define BASE "https://api.kie.ai"
#define UPLOADS "https://kieai.redpandaai.co"
#define UPLOAD "/api/file-base64-upload"
#define VEO "/api/v1/veo"
#define JOBS "/api/v1/jobs"

enum {
    MAX_PICTURES = 3,
    VEO_SECONDS = 8,
    SEED_MIN = 10000,
    SEED_MAX = 99999,
};

struct avalanche_config {
    struct vg_adapter_config base;
    char *upload_url;
};

/* Pictures become addresses before the job is made. */
struct inputs {
    const Videogate__V1__MediaBlob *blobs[MAX_PICTURES];
    char *urls[MAX_PICTURES];
    size_t count, done;
    const char *kind; /* generationType */
};

/* --- what it answers --- */

static const char *const code_paths[] = {"code", NULL};
static const char *const message_paths[] = {"msg", NULL};

/* Most failures come as HTTP 200 with a code in the body. */
static const struct vg_fault_row faults[] = {
    {0, NULL, "content polic", VG_CLASS(CONTENT_FILTERED), 0},
    {0, NULL, "unsafe image", VG_CLASS(CONTENT_FILTERED), 0},
    {422, NULL, "recordInfo is null", VG_CLASS(NOT_FOUND), 0},
    {451, NULL, NULL, VG_CLASS(INVALID_REQUEST), 0}, /* a picture could not be fetched */
    {455, NULL, NULL, VG_CLASS(OVERLOADED), 0},      /* maintenance */
    {501, NULL, NULL, VG_CLASS(UPSTREAM_INTERNAL), 0},
    {505, NULL, NULL, VG_CLASS(MODEL_GONE), 0}, /* switched off */
    {0, "402", NULL, VG_CLASS(BILLING), 0},
    {0, "400", NULL, VG_CLASS(INVALID_REQUEST), 0}, /* codes of jobs that failed */
    {0, "422", NULL, VG_CLASS(INVALID_REQUEST), 0},
    {0, "408", NULL, VG_CLASS(TIMEOUT), VG_FAULT_UNSURE},
};

static bool is_pro(const struct vg_call *call)
{
    return strncmp(call->state->model, "sora-2-pro", 10) == 0;
}

/* --- submit: uploads, then the job --- */

static void on_created(struct vg_call *call, const struct vg_answer *answer)
{
    vg_call_take_id(call, answer, "data.taskId");
}

/* The caller's, one more for each further output. */
static void put_seed(struct vg_call *call, struct vg_json_writer *w)
{
    int64_t seed = 0;

    if (vg_json_int(vg_call_extra(call, "seeds"), &seed) && seed >= SEED_MIN && seed <= SEED_MAX)
        vg_put_int(w, "seeds",
                   SEED_MIN + (seed - SEED_MIN + call->submit->index) % (SEED_MAX - SEED_MIN + 1));
}

static void create_veo(struct vg_call *call, const struct inputs *in)
{
    static const char *const own[] = {"prompt",         "model",          "aspect_ratio",
                                      "generationType", "enableFallback", "imageUrls",
                                      "callBackUrl",    "seeds",          NULL};
    struct vg_json_writer *w = vg_call_json(call);

    vg_json_object_open(w);
    vg_put_text(w, "prompt", call->submit->prompt);
    vg_put_text(w, "model", call->submit->model);
    vg_put_text(w, "aspect_ratio", vg_call_aspect(call));
    vg_put_text(w, "generationType", in->kind);
    vg_put_bool(w, "enableFallback", false); /* another model's film is not what was asked for */
    vg_put_texts(w, "imageUrls", in->urls, in->count);
    if (*call->submit->event_url)
        vg_put_text(w, "callBackUrl", call->submit->event_url);
    put_seed(call, w);
    vg_call_put_extra(call, w, own);
    vg_json_object_close(w);
    vg_call_post(call, VEO "/generate", true, on_created);
}

static void create_sora(struct vg_call *call, const struct inputs *in)
{
    static const char *const own[] = {
        "prompt",        "aspect_ratio", "n_frames", "remove_watermark",
        "upload_method", "image_urls",   "size",     NULL};
    const Videogate__V1__SubmitRequest *s = call->submit;
    struct vg_json_writer *w = vg_call_json(call);

    vg_json_object_open(w);
    vg_put_text(w, "model",
                vg_call_printf(call, "%s-%s-to-video", s->model, in->count > 0 ? "image" : "text"));
    vg_json_put_key(w, "input");
    vg_json_object_open(w);
    vg_put_text(w, "prompt", s->prompt);
    vg_put_text(w, "aspect_ratio", s->width > s->height ? "landscape" : "portrait");
    vg_put_text(w, "n_frames",
                vg_call_printf(call, "%d", (int)s->seconds)); /* seconds, for all its name */
    vg_put_bool(w, "remove_watermark", true);
    vg_put_text(w, "upload_method", "s3");
    vg_put_texts(w, "image_urls", in->urls, in->count);
    if (is_pro(call))
        vg_put_text(w, "size", s->width == 1792 || s->height == 1792 ? "high" : "standard");
    vg_call_put_extra(call, w, own);
    vg_json_object_close(w);
    if (*s->event_url)
        vg_put_text(w, "callBackUrl", s->event_url);
    vg_json_object_close(w);
    vg_call_post(call, JOBS "/createTask", true, on_created);
}

static const char *upload_host(const void *own)
{
    const struct avalanche_config *config = own;

    return config->upload_url && *config->upload_url ? config->upload_url : UPLOADS;
}

/* The configured host, or the vendor's own where its API is asked; a relay takes uploads itself. */
static const char *upload_address(struct vg_call *call)
{
    const struct avalanche_config *config = call->config;
    const char *host = upload_host(config);
    size_t len = strlen(host);

    if (!config->upload_url && strcmp(call->state->base_url, BASE) != 0)
        return UPLOAD;
    return vg_call_printf(call, "%.*s" UPLOAD, (int)(len - (host[len - 1] == '/')), host);
}

static void go_on(struct vg_call *call);

static void on_uploaded(struct vg_call *call, const struct vg_answer *answer)
{
    struct inputs *in = call->scratch;

    if (!vg_call_ok(call, answer))
        return;
    const char *url = vg_call_text(call, answer->json, "data.downloadUrl");
    if (!url)
        url = vg_call_text(call, answer->json, "data.fileUrl");
    if (!url) {
        vg_call_nonsense(call, answer, "an upload without an address");
        return;
    }
    in->urls[in->done++] = (char *)url; /* only ever read */
    go_on(call);
}

static void upload(struct vg_call *call, const Videogate__V1__MediaBlob *blob)
{
    struct vg_json_writer *w = vg_call_json(call);

    vg_json_object_open(w);
    vg_json_put_key(w, "base64Data");
    vg_put_data_url(w, blob);
    vg_put_text(w, "uploadPath", "videos/input-images");
    vg_json_object_close(w);
    vg_call_http(call, &(struct vg_call_http){.method = "POST",
                                              .url = upload_address(call),
                                              .body = vg_buf_view(w->out),
                                              .then = on_uploaded});
}

static void go_on(struct vg_call *call)
{
    const struct inputs *in = call->scratch;

    if (in->done < in->count)
        upload(call, in->blobs[in->done]);
    else if (vg_avalanche_is_sora(call))
        create_sora(call, in);
    else
        create_veo(call, in);
}

static bool is_shape(const struct vg_call *call, const int (*sizes)[2], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if ((call->submit->width == sizes[i][0] && call->submit->height == sizes[i][1]) ||
            (call->submit->width == sizes[i][1] && call->submit->height == sizes[i][0]))
            return true;
    return false;
}

/* NULL: it can be made. */
static const char *why_no_veo(const struct vg_call *call)
{
    static const int sizes[][2] = {{1280, 720}, {1920, 1080}, {3840, 2160}};
    const Videogate__V1__SubmitRequest *s = call->submit;

    if (!is_shape(call, sizes, VG_COUNT(sizes)))
        return "This model makes 1280x720, 1920x1080 and 3840x2160, and these upright.";
    if (s->seconds != VEO_SECONDS)
        return "This model makes videos of 8 seconds.";
    if (s->n_reference_images > 0 && (s->first_frame || s->last_frame))
        return "Frames and reference pictures cannot stand together.";
    if (s->n_reference_images > 0 && strcmp(s->model, "veo3") == 0)
        return "This model takes no reference pictures.";
    if (s->last_frame && !s->first_frame)
        return "A last frame needs a first one.";
    return s->n_reference_images > MAX_PICTURES ? "This model takes 3 reference pictures at most."
                                                : NULL;
}

static const char *why_no_sora(const struct vg_call *call)
{
    static const int sizes[][2] = {{1280, 720}, {1792, 1024}};
    const Videogate__V1__SubmitRequest *s = call->submit;

    if (!is_shape(call, sizes, is_pro(call) ? 2 : 1))
        return "This model does not make that size.";
    if (s->seconds != 10 && s->seconds != 15)
        return "This model makes videos of 10 or 15 seconds.";
    if (s->last_frame)
        return "This model takes no last frame.";
    return s->n_reference_images + (s->first_frame ? 1 : 0) > 1
               ? "This model takes one picture at most."
               : NULL;
}

static void take_pictures(const Videogate__V1__SubmitRequest *s, struct inputs *in)
{
    in->kind = "TEXT_2_VIDEO";
    if (s->first_frame) {
        in->kind = "FIRST_AND_LAST_FRAMES_2_VIDEO";
        in->blobs[in->count++] = s->first_frame;
    }
    if (s->last_frame)
        in->blobs[in->count++] = s->last_frame;
    if (s->n_reference_images > 0)
        in->kind = "REFERENCE_2_VIDEO";
    for (size_t i = 0; i < s->n_reference_images && in->count < MAX_PICTURES; i++)
        in->blobs[in->count++] = s->reference_images[i];
}

static void submit(struct vg_call *call)
{
    const Videogate__V1__SubmitRequest *s = call->submit;
    const char *why = vg_avalanche_is_sora(call) ? why_no_sora(call) : why_no_veo(call);

    if (!s->audio)
        why = "Videos of this model always have sound.";
    if (s->source || s->n_reference_videos > 0 || s->n_reference_audios > 0)
        why = "This model takes pictures alone.";
    if (why) {
        vg_call_refuse(call, "%s", why);
        return;
    }
    struct inputs *in = vg_arena_alloc(call->arena, sizeof(*in));
    memset(in, 0, sizeof(*in));
    take_pictures(s, in);
    call->scratch = in;
    go_on(call);
}

/* --- the table --- */

static int check(const void *own, struct vg_err *err)
{
    static const struct vg_http_guard form = {
        .allow_http = true, .allow_any_port = true, .allow_nets = "0.0.0.0/0,::/0"};
    const struct avalanche_config *config = own;

    if (config->upload_url && *config->upload_url &&
        (vg_http_guard_url(&form, config->upload_url, "avalanche-upload-url", NULL, NULL) != 0 ||
         strpbrk(config->upload_url, "?#")))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "avalanche-upload-url",
                            "avalanche-upload-url: an http or https address.");
    return 0;
}

/* What stands in front answers strangers with 403, "error code: 1010". */
static const char *const headers[] = {"User-Agent: Mozilla/5.0 (compatible; Videogate)", NULL};

static const struct vg_event_scheme events = {
    .sign = VG_EVENT_TASK_HMAC,
    .per_job = true,
    .id_paths = {"data.taskId", "data.task_id", "taskId"}};

static const struct vg_adapter avalanche = {
    .name = "avalanche",
    .base_url = BASE,
    .auth = "Authorization: Bearer ",
    .headers = headers,
    .also_base = upload_host,
    .hidden = true,
    .max_submit_ms = 240000, /* three uploads and the job */
    .max_concurrency = 100,
    .first_poll_ms = 10000,
    .poll_ms = 10000,
    .typical_ms = 180000,
    .ok_path = "code",
    .ok_value = "200",
    .ok_is_status = true,
    .code_paths = code_paths,
    .message_paths = message_paths,
    .faults = faults,
    .fault_count = VG_COUNT(faults),
    .events = &events,
    .check = check,
    .submit = submit,
    .poll = vg_avalanche_poll,
};

const struct vg_provider *vg_avalanche_provider(void)
{
    static const struct vg_config_key keys[] = {
        VG_ADAPTER_KEYS_ROW("avalanche", "Keys for avalanche."),
        VG_ADAPTER_EVENT_ROW("avalanche", "Keys that sign its webhooks."),
        {"avalanche-upload-url", VG_CONFIG_TEXT, offsetof(struct avalanche_config, upload_url),
         NULL, 0, 0, false, false,
         "Address that takes avalanche's input pictures; unset: the provider's own, or base-url."},
    };
    static const struct vg_provider provider = {
        VG_UPSTREAM_PROVIDER(avalanche, keys, struct avalanche_config)};

    return &provider;
}
