/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/google_veo.h"

#include <string.h>

#include "common/mem.h"
#include "workers/providers/google_error.h"
#include "workers/upstream/adapter.h"

enum { MAX_OPERATION = 512, EXTENSION_S = 7 };

/* --- what is asked --- */

static bool has_size(const struct vg_call *call)
{
    static const struct {
        int32_t longer, shorter;
    } sizes[] = {{1280, 720}, {1920, 1080}, {3840, 2160}};
    const Videogate__V1__SubmitRequest *s = call->submit;

    for (size_t i = 0; i < VG_COUNT(sizes); i++) {
        if ((s->width == sizes[i].longer && s->height == sizes[i].shorter) ||
            (s->width == sizes[i].shorter && s->height == sizes[i].longer))
            return true;
    }
    return false;
}

const char *vg_veo_refusal(const struct vg_call *call, enum vg_veo_api api)
{
    const Videogate__V1__SubmitRequest *s = call->submit;
    bool frames = s->first_frame || s->last_frame;

    if (!has_size(call))
        return "Veo makes 1280x720, 1920x1080 and 3840x2160, either way up.";
    if (api == VG_VEO_GEMINI && !s->audio)
        return "The Gemini API always makes a sound track.";
    if (s->last_frame && !s->first_frame)
        return "Veo takes a last frame only with a first one.";
    if (s->n_reference_images && (frames || s->source))
        return "Veo takes reference pictures alone, without frames or a source video.";
    if (s->n_reference_videos || s->n_reference_audios)
        return "Veo takes no reference videos or sounds.";
    if (s->source &&
        s->source->operation != VIDEOGATE__V1__SOURCE_OPERATION__SOURCE_OPERATION_EXTEND)
        return "Veo extends videos, but does not edit them.";
    if (s->source && s->source->seconds && s->seconds != s->source->seconds + EXTENSION_S)
        return "Veo extends a video by 7 seconds.";
    if (s->source && frames)
        return "Veo takes no frames beside a video to extend.";
    return NULL;
}

static void put_blob(struct vg_json_writer *w, const char *key,
                     const Videogate__V1__MediaBlob *blob)
{
    vg_json_put_key(w, key);
    vg_json_object_open(w);
    vg_json_put_key(w, "bytesBase64Encoded");
    vg_put_base64(w, blob);
    vg_put_text(w, "mimeType", blob->mime_type);
    vg_json_object_close(w);
}

static void put_references(struct vg_json_writer *w, const Videogate__V1__SubmitRequest *s)
{
    vg_json_put_key(w, "referenceImages");
    vg_json_array_open(w);
    for (size_t i = 0; i < s->n_reference_images; i++) {
        vg_json_object_open(w);
        put_blob(w, "image", s->reference_images[i]);
        vg_put_text(w, "referenceType", "asset");
        vg_json_object_close(w);
    }
    vg_json_array_close(w);
}

/* The two APIs have other words for it. */
static void put_source(struct vg_json_writer *w, const struct vg_veo_request *request,
                       const Videogate__V1__MediaBlob *video)
{
    if (request->api == VG_VEO_VERTEX && !request->source_uri) {
        put_blob(w, "video", video);
        return;
    }
    vg_json_put_key(w, "video");
    vg_json_object_open(w);
    if (request->source_uri) {
        vg_put_text(w, request->api == VG_VEO_VERTEX ? "gcsUri" : "uri", request->source_uri);
        if (request->api == VG_VEO_VERTEX)
            vg_put_text(w, "mimeType", video->mime_type);
    } else {
        vg_json_put_key(w, "encodedVideo");
        vg_put_base64(w, video);
        vg_put_text(w, "encoding", video->mime_type);
    }
    vg_json_object_close(w);
}

static void put_instance(struct vg_json_writer *w, const struct vg_veo_request *request,
                         const Videogate__V1__SubmitRequest *s)
{
    vg_json_object_open(w);
    vg_put_text(w, "prompt", s->prompt);
    if (s->first_frame)
        put_blob(w, "image", s->first_frame);
    if (s->last_frame)
        put_blob(w, "lastFrame", s->last_frame);
    if (s->n_reference_images)
        put_references(w, s);
    if (s->source)
        put_source(w, request, s->source->video);
    vg_json_object_close(w);
}

/* Parameters of `extra` that are ours to say, or cost more than was reckoned. */
static const char *const own_parameters[] = {
    "aspectRatio",   "durationSeconds", "resolution",  "sampleCount", "numberOfVideos",
    "generateAudio", "storageUri",      "pubsubTopic", "seed",        NULL};

static void put_extra(struct vg_call *call, struct vg_json_writer *w)
{
    int64_t seed = 0;

    if (vg_json_int(vg_call_extra(call, "seed"), &seed)) /* each further output has the next one */
        vg_put_int(w, "seed", seed < 0 ? seed : (seed + call->submit->index) & UINT32_MAX);
    vg_call_put_extra(call, w, own_parameters);
}

static void put_parameters(struct vg_call *call, struct vg_json_writer *w,
                           const struct vg_veo_request *request)
{
    const Videogate__V1__SubmitRequest *s = call->submit;

    vg_json_object_open(w);
    vg_put_text(w, "aspectRatio", s->width > s->height ? "16:9" : "9:16");
    /* An extension is always made of 8. */
    vg_put_int(w, "durationSeconds", s->source ? 8 : s->seconds);
    vg_put_text(w, "resolution", vg_call_resolution(call));
    vg_put_int(w, "sampleCount", 1);
    if (request->api == VG_VEO_VERTEX) {
        vg_put_bool(w, "generateAudio", s->audio);
        if (request->storage_uri)
            vg_put_text(w, "storageUri", request->storage_uri);
    }
    /* With pictures only this one is let in; without, some regions refuse to hear it. */
    if ((s->first_frame || s->n_reference_images) && !vg_call_extra(call, "personGeneration"))
        vg_put_text(w, "personGeneration", "allow_adult");
    put_extra(call, w);
    vg_json_object_close(w);
}

void vg_veo_write(struct vg_call *call, const struct vg_veo_request *request)
{
    struct vg_json_writer *w = vg_call_json(call);

    vg_json_object_open(w);
    vg_json_put_key(w, "instances");
    vg_json_array_open(w);
    put_instance(w, request, call->submit);
    vg_json_array_close(w);
    vg_json_put_key(w, "parameters");
    put_parameters(call, w, request);
    if (request->api == VG_VEO_GEMINI && *call->submit->event_url) {
        vg_json_put_key(w, "webhookConfig");
        vg_json_object_open(w);
        vg_put_texts(w, "uris", &call->submit->event_url, 1);
        vg_json_object_close(w);
    }
    vg_json_object_close(w);
}

/* --- what is answered --- */

bool vg_veo_is_operation(const char *name, const char *prefix)
{
    static const char plain[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._/:@";

    return strlen(name) <= MAX_OPERATION && strncmp(name, prefix, strlen(prefix)) == 0 &&
           strspn(name, plain) == strlen(name) && !strstr(name, "..") && !strstr(name, "//") &&
           strstr(name, "/operations/");
}

const char *vg_veo_operation(struct vg_call *call, const struct vg_answer *answer,
                             const char *prefix)
{
    const char *name = vg_call_text(call, answer->json, "name");

    return name && vg_veo_is_operation(name, prefix) ? name : NULL;
}

bool vg_veo_done(struct vg_call *call, const struct vg_answer *answer)
{
    int64_t code = 0;

    if (!vg_call_about(call, answer, "name"))
        return false;
    const struct vg_json *error = vg_json_get(answer->json, "error");
    if (!vg_json_bool(vg_json_get(answer->json, "done"))) {
        vg_call_running(call, -1, 0);
        return false;
    }
    if (error && vg_json_type(error) == VG_JSON_OBJECT) {
        if (!vg_json_int(vg_json_get(error, "code"), &code))
            code = -1;
        vg_call_job_failed(call, vg_google_operation_code(code),
                           vg_call_text(call, error, "message"));
        return false;
    }
    return true;
}

void vg_veo_without_video(struct vg_call *call, const struct vg_json *response)
{
    const struct vg_json *count = vg_json_get(response, "raiMediaFilteredCount");
    const char *reason = vg_call_text(call, response, "raiMediaFilteredReasons.0");

    if (reason || (count && vg_json_number(count) > 0))
        vg_call_job_failed(call, VG_GOOGLE_FILTERED, reason);
    else
        vg_call_job_failed(call, VG_GOOGLE_EMPTY, "the operation ended without a video");
}
