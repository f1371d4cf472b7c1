/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/google_vertex.h"

#include <string.h>

#include "common/mem.h"
#include "workers/providers/google_accounts.h"
#include "workers/providers/google_error.h"
#include "workers/providers/google_veo.h"
#include "workers/upstream/adapter.h"

#define GS "gs://"
#define INLINE_KEY "bytesBase64Encoded"

enum { MAX_LISTED = 20, SETTLE_MS = 20 * 60 * 1000 };

/* state->stage: where the file is */
enum { UNKNOWN_YET, IN_BUCKET, INSIDE_OPERATION, LOOKED_FOR };

struct config {
    struct vg_adapter_config base; /* first */
    char *location;
    char *project;
    char *storage_uri;
    char *storage_url;
    char *token_url;
};

/* --- addresses --- */

/* "publishers/google/models/M" with the project in front, where there is one: an API key alone
 * (express mode) knows its own. */
static const char *model_path(struct vg_call *call)
{
    const struct config *config = call->config;
    const char *model = vg_call_escape(call, call->submit->model), *project = config->project;

    if (!project || !*project)
        project = vg_google_accounts_project(call->own, vg_call_key(call));
    if (!project)
        return vg_call_printf(call, "publishers/google/models/%s", model);
    return vg_call_printf(call, "projects/%s/locations/%s/publishers/google/models/%s",
                          vg_call_escape(call, project), config->location, model);
}

/* gs://bucket/prefix/TOKEN/ is this submission's alone, so what lies there is its result. NULL: no
 * bucket is configured, or the key is none that could read it. */
static const char *storage_uri(struct vg_call *call, const char *token)
{
    const struct config *config = call->config;
    const char *uri = config->storage_uri;

    if (!uri || !*uri || !vg_google_is_account(vg_call_key(call)))
        return NULL;
    size_t len = strlen(uri);
    while (len > strlen(GS) && uri[len - 1] == '/')
        len--;
    char *name = vg_arena_strdup(call->arena, token);
    for (char *c = name; *c; c++) {
        if (!strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", *c))
            *c = '-';
    }
    return vg_call_printf(call, "%.*s/%s/", (int)len, uri, name);
}

/* The bucket of gs://bucket/object, and the object; false: not of this form. */
static bool split(struct vg_call *call, const char *uri, const char **out_bucket,
                  const char **out_object)
{
    if (strncmp(uri, GS, strlen(GS)) != 0)
        return false;
    const char *bucket = uri + strlen(GS), *slash = strchr(bucket, '/');
    if (!slash || slash == bucket || !slash[1])
        return false;
    *out_bucket = vg_call_printf(call, "%.*s", (int)(slash - bucket), bucket);
    *out_object = slash + 1;
    return true;
}

static const char *storage_base(const void *ctx)
{
    const struct config *config = ctx;

    return config->storage_url;
}

/* --- how an operation is asked about --- */

static void write_question(struct vg_call *call, const char *operation)
{
    struct vg_json_writer *w = vg_call_json(call);

    vg_json_object_open(w);
    vg_put_text(w, "operationName", operation);
    vg_json_object_close(w);
}

/* The resource stands before "/operations/". */
static const char *question_url(struct vg_call *call, const char *operation)
{
    size_t len = (size_t)(strstr(operation, "/operations/") - operation);

    return vg_call_printf(call, "/v1/%.*s:fetchPredictOperation", (int)len, operation);
}

static void ask(struct vg_call *call, const char *operation, vg_call_then_f *then)
{
    write_question(call, operation);
    vg_call_http(call, &(struct vg_call_http){.method = "POST",
                                              .url = question_url(call, operation),
                                              .body = vg_call_body(call),
                                              .elide = true,
                                              .repeatable = true,
                                              .then = then});
}

/* --- submit --- */

static void on_created(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_ok(call, answer))
        return;
    const char *name = vg_veo_operation(call, answer, "");
    if (!name)
        vg_call_nonsense(call, answer, "the answer names no operation");
    else
        vg_call_accepted(call, name, 0);
}

static void create(struct vg_call *call, const char *source_uri)
{
    const struct vg_veo_request request = {.api = VG_VEO_VERTEX,
                                           .storage_uri = storage_uri(call, call->submit->token),
                                           .source_uri = source_uri};

    vg_veo_write(call, &request);
    vg_call_post(call, vg_call_printf(call, "/v1/%s:predictLongRunning", model_path(call)), true,
                 on_created);
}

/* A video that lies in a bucket is named; one that came inside its answer is sent. */
static void on_source(struct vg_call *call, const struct vg_answer *answer)
{
    const char *uri = NULL;

    if (!answer->reason && answer->status == 200 && answer->json)
        uri = vg_call_text(call, answer->json, "response.videos.0.gcsUri");
    create(call, uri);
}

static void submit(struct vg_call *call)
{
    const char *refusal = vg_veo_refusal(call, VG_VEO_VERTEX);
    const Videogate__V1__SourceVideo *source = call->submit->source;

    if (refusal) {
        vg_call_refuse(call, "%s", refusal);
        return;
    }
    if (source && vg_veo_is_operation(source->upstream_id, ""))
        ask(call, source->upstream_id, on_source);
    else
        create(call, NULL);
}

/* --- poll --- */

static void on_polled(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_veo_done(call, answer))
        return;
    const struct vg_json *response = vg_json_get(answer->json, "response");
    const struct vg_json *video = vg_json_at(response, "videos.0");
    const char *uri = video ? vg_call_text(call, video, "gcsUri") : NULL;
    if (!video) {
        vg_veo_without_video(call, response);
        return;
    }
    if (!uri && !vg_json_get(video, INLINE_KEY)) {
        vg_call_nonsense(call, answer, "a video without address or bytes");
        return;
    }
    call->state->stage = uri ? IN_BUCKET : INSIDE_OPERATION;
    call->state->result = (char *)(uri ? uri : "");
    vg_call_finished(call, NULL);
}

/* --- what lies in the bucket --- */

static const char *video_in(struct vg_call *call, const struct vg_answer *answer)
{
    const struct vg_json *item = vg_json_first(vg_json_get(answer->json, "items"));

    for (; item; item = vg_json_next(item)) {
        const char *name = vg_call_text(call, item, "name");
        size_t len = name ? strlen(name) : 0;
        if (len > 4 && strcmp(name + len - 4, ".mp4") == 0)
            return name;
    }
    return NULL;
}

static bool list(struct vg_call *call, const char *uri, vg_call_then_f *then)
{
    const struct config *config = call->config;
    const char *bucket, *prefix;

    if (!split(call, uri, &bucket, &prefix))
        return false;
    vg_call_get(call,
                vg_call_printf(call, "%s/storage/v1/b/%s/o?prefix=%s&maxResults=%d",
                               config->storage_url, vg_call_escape(call, bucket),
                               vg_call_escape(call, prefix), MAX_LISTED),
                then);
    return true;
}

static void take_object(struct vg_call *call, const char *uri, const char *name)
{
    const char *bucket = "", *prefix = "";

    (void)split(call, uri, &bucket, &prefix); /* it was listed */
    call->state->stage = LOOKED_FOR;
    call->state->result = (char *)vg_call_printf(call, GS "%s/%s", bucket, name);
}

static void on_listed(struct vg_call *call, const struct vg_answer *answer)
{
    const char *uri = storage_uri(call, call->lookup->token);

    if (!vg_call_ok(call, answer))
        return;
    const char *name = video_in(call, answer);
    if (name) {
        take_object(call, uri, name);
        vg_call_found(call, uri);
    } else {
        /* Nothing there yet; later on it may have failed, or never begun: who knows. */
        bool early = !vg_call_settled(call, SETTLE_MS);
        vg_call_lookup_ended(call, early
                                       ? VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_RETRY
                                       : VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_UNSUPPORTED);
    }
}

static void lookup(struct vg_call *call)
{
    const char *uri = storage_uri(call, call->lookup->token);

    if (!uri || !list(call, uri, on_listed))
        vg_call_lookup_ended(call, VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_UNSUPPORTED);
}

/* A job that Lookup found is known by its folder, and was finished then. */
static void on_listed_again(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_ok(call, answer))
        return;
    const char *name = video_in(call, answer);
    if (!name) {
        vg_call_expired(call);
        return;
    }
    take_object(call, call->upstream_id, name);
    vg_call_finished(call, NULL);
}

static void poll(struct vg_call *call)
{
    if (call->state->stage == LOOKED_FOR) {
        if (!list(call, call->upstream_id, on_listed_again))
            vg_call_nonsense(call, NULL, "the job's state cannot be read");
        return;
    }
    if (!vg_veo_is_operation(call->upstream_id, "")) {
        vg_call_nonsense(call, NULL, "the job's state cannot be read");
        return;
    }
    ask(call, call->upstream_id, on_polled);
}

static void fetch(struct vg_call *call)
{
    const struct config *config = call->config;
    const char *bucket, *object;

    if (call->state->stage == INSIDE_OPERATION) {
        write_question(call, call->upstream_id);
        vg_call_stream(call, &(struct vg_call_stream){.method = "POST",
                                                      .url = question_url(call, call->upstream_id),
                                                      .body = vg_call_body(call),
                                                      .inline_key = INLINE_KEY});
    } else if (split(call, call->state->result, &bucket, &object)) {
        vg_call_stream(call, &(struct vg_call_stream){
                                 .url = vg_call_printf(
                                     call, "%s/storage/v1/b/%s/o/%s?alt=media", config->storage_url,
                                     vg_call_escape(call, bucket), vg_call_escape(call, object))});
    } else {
        vg_call_nonsense(call, NULL, "the result has no gs:// address");
    }
}

/* --- the provider --- */

static void authorize(struct vg_call *call, const char *key)
{
    vg_google_authorize(call->own, call, key);
}

static void unauthorized(struct vg_call *call, const char *key)
{
    vg_google_unauthorized(call->own, call, key);
}

static int open_accounts(struct vg_upstream *upstream, const void *ctx, void **out,
                         struct vg_err *err)
{
    const struct config *config = ctx;

    (void)err;
    *out = vg_google_accounts_new(upstream, config->token_url);
    return 0;
}

static void close_accounts(void *own)
{
    vg_google_accounts_free(own);
}

static int check(const void *ctx, struct vg_err *err)
{
    const struct config *config = ctx;
    const char *uri = config->storage_uri;

    if (uri && *uri && (strncmp(uri, GS, strlen(GS)) != 0 || !uri[strlen(GS)]))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "google-vertex-storage-uri",
                            "google-vertex-storage-uri: an address like gs://bucket/folder.");
    if (!*config->location || strspn(config->location, "abcdefghijklmnopqrstuvwxyz0123456789-") !=
                                  strlen(config->location))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "google-vertex-location",
                            "google-vertex-location: a location like us-central1.");
    return 0;
}

static const char *const code_paths[] = {VG_GOOGLE_CODE_PATHS};
static const char *const message_paths[] = {VG_GOOGLE_MESSAGE_PATHS};
static const struct vg_fault_row faults[] = {
    /* The folder in the bucket is ours to put right. */
    {0, "operation:NOT_FOUND", "bucket", VG_CLASS(AUTH), 0},
    {0, "operation:*", "storage.objects.", VG_CLASS(AUTH), 0},
    VG_GOOGLE_FAULTS};

static const struct vg_adapter google_vertex = {
    .name = "google-vertex",
    .base_url = "https://us-central1-aiplatform.googleapis.com",
    .authorize = authorize,
    .unauthorized = unauthorized,
    .also_base = storage_base,
    .result_needs_key = true,
    .first_poll_ms = 10000,
    .poll_ms = 10000,
    .typical_ms = 90000,
    .code_paths = code_paths,
    .message_paths = message_paths,
    .faults = faults,
    .fault_count = VG_COUNT(faults),
    .retry_after = vg_google_retry_after,
    .open = open_accounts,
    .close = close_accounts,
    .check = check,
    .submit = submit,
    .poll = poll,
    .fetch = fetch,
    .lookup = lookup,
};

const struct vg_provider *vg_google_vertex_provider(void)
{
    static const struct vg_config_key keys[] = {
        VG_ADAPTER_KEYS_ROW("google-vertex",
                            "Keys of Vertex AI: paths of service accounts' JSON files, such JSON "
                            "in base64, or API keys."),
        {"google-vertex-location", VG_CONFIG_TEXT, offsetof(struct config, location), "us-central1",
         0, 0, false, false, "Location of the models; another one needs its base-url, too."},
        {"google-vertex-project", VG_CONFIG_TEXT, offsetof(struct config, project), NULL, 0, 0,
         false, false, "Project; unset: the service account's own."},
        {"google-vertex-storage-uri", VG_CONFIG_TEXT, offsetof(struct config, storage_uri), NULL, 0,
         0, false, false,
         "gs:// address under which service accounts put results; unset: results come in JSON, and "
         "a lost submission cannot be looked up."},
        {"google-vertex-storage-url", VG_CONFIG_TEXT, offsetof(struct config, storage_url),
         "https://storage.googleapis.com", 0, 0, false, false,
         "Address of Cloud Storage; may see the credentials."},
        {"google-vertex-token-url", VG_CONFIG_TEXT, offsetof(struct config, token_url), NULL, 0, 0,
         false, false, "Token endpoint; unset: the service account's own."},
    };
    static const struct vg_provider provider = {
        VG_UPSTREAM_PROVIDER(google_vertex, keys, struct config)};

    return &provider;
}
