/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>
#include <strings.h>

#include "common/json_pb.h"
#include "common/str.h"

enum {
    MAX_VIDEO = 64 * 1024 * 1024,
    MAX_IMAGE = 20 * 1024 * 1024,
    MAX_IMAGE_URL = 8192,
    MAX_MEDIA_TYPE = 100
};

/* Sorted by (message, field). */
static const struct vg_json_rule rules[] = {
    {"videogate.v1.CreateVideoRequest", "audio", VG_JSON_BOOL_OR_TEXT, NULL},
    {"videogate.v1.CreateVideoRequest", "extra", VG_JSON_REST, NULL},
    {"videogate.v1.CreateVideoRequest", "input_reference", VG_JSON_ONE_OR_LIST | VG_JSON_NOT_EMPTY,
     NULL},
    {"videogate.v1.CreateVideoRequest", "n", VG_JSON_INT_OR_TEXT, NULL},
    {"videogate.v1.CreateVideoRequest", "no_fallback", VG_JSON_HIDDEN, NULL}, /* a header */
    {"videogate.v1.CreateVideoRequest", "reference_audios", VG_JSON_ONE_OR_LIST | VG_JSON_NOT_EMPTY,
     NULL},
    {"videogate.v1.CreateVideoRequest", "reference_images", VG_JSON_ONE_OR_LIST | VG_JSON_NOT_EMPTY,
     NULL},
    {"videogate.v1.CreateVideoRequest", "reference_videos", VG_JSON_ONE_OR_LIST | VG_JSON_NOT_EMPTY,
     NULL},
    {"videogate.v1.CreateVideoRequest", "request_id", VG_JSON_HIDDEN, NULL}, /* a header */
    {"videogate.v1.CreateVideoRequest", "seconds", VG_JSON_INT_OR_TEXT, NULL},
    {"videogate.v1.CreateWebhookEndpointRequest", "event_types", VG_JSON_NOT_EMPTY, NULL},
    {"videogate.v1.Delivery", "endpoint_id", VG_JSON_OMIT_EMPTY, NULL},
    {"videogate.v1.Delivery", "next_attempt_at", VG_JSON_NULL_IF_UNSET, NULL},
    {"videogate.v1.EditVideoRequest", "request_id", VG_JSON_HIDDEN, NULL},   /* a header */
    {"videogate.v1.ExtendVideoRequest", "request_id", VG_JSON_HIDDEN, NULL}, /* a header */
    {"videogate.v1.ExtendVideoRequest", "seconds", VG_JSON_INT_OR_TEXT, NULL},
    {"videogate.v1.GetVideoTraceResponse", "status", 0, "VIDEO_STATUS_"},
    {"videogate.v1.RemixVideoRequest", "id", VG_JSON_HIDDEN, NULL},          /* from the path */
    {"videogate.v1.RemixVideoRequest", "request_id", VG_JSON_HIDDEN, NULL},  /* a header */
    {"videogate.v1.RotateWebhookSecretRequest", "id", VG_JSON_HIDDEN, NULL}, /* from the path */
    {"videogate.v1.TestWebhookEndpointRequest", "id", VG_JSON_HIDDEN, NULL}, /* from the path */
    {"videogate.v1.UpdateWebhookEndpointRequest", "event_types", VG_JSON_NOT_EMPTY, NULL},
    {"videogate.v1.UpdateWebhookEndpointRequest", "id", VG_JSON_HIDDEN, NULL}, /* from the path */
    {"videogate.v1.Video", "completed_at", VG_JSON_NULL_IF_UNSET, NULL},
    {"videogate.v1.Video", "content", VG_JSON_OMIT_EMPTY, NULL},
    {"videogate.v1.Video", "error", VG_JSON_NULL_IF_UNSET, NULL},
    {"videogate.v1.Video", "expires_at", VG_JSON_NULL_IF_UNSET, NULL},
    {"videogate.v1.Video", "poll_after_ms", VG_JSON_HIDDEN, NULL},
    {"videogate.v1.Video", "remixed_from_video_id", VG_JSON_NULL_IF_UNSET, NULL},
    {"videogate.v1.Video", "seconds", VG_JSON_AS_TEXT, NULL},
    {"videogate.v1.Video", "status", 0, "VIDEO_STATUS_"},
    {"videogate.v1.Video", "version", VG_JSON_HIDDEN, NULL},
    {"videogate.v1.VideoError", "code", VG_JSON_OMIT_EMPTY, NULL}, /* null breaks a client */
    {"videogate.v1.WebhookEndpoint", "disabled_reason", VG_JSON_OMIT_EMPTY, NULL},
    {"videogate.v1.WebhookEndpoint", "project", VG_JSON_OMIT_EMPTY, NULL},
    {"videogate.v1.WebhookEndpoint", "public_key", VG_JSON_OMIT_EMPTY, NULL},
};

static const struct vg_json_object_name names[] = {
    {"videogate.v1.DeleteVideoResponse", "video.deleted"},
    {"videogate.v1.Delivery", "webhook_delivery"},
    {"videogate.v1.ListModelsResponse", "list"},
    {"videogate.v1.ListVideosResponse", "list"},
    {"videogate.v1.Model", "model"},
    {"videogate.v1.Video", "video"},
    {"videogate.v1.WebhookEndpoint", "webhook_endpoint"},
};

static int refuse(struct vg_err *err, const char *path, const char *why)
{
    return vg_err_param(err, VG_ERR_INVALID_REQUEST, path, "%s: %s", path, why);
}

/* The member of a message by name, chosen where it is one of a oneof: common/ does not include
 * generated code. */
static void *member(ProtobufCMessage *message, const char *name, ProtobufCType type)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, name);

    VG_ASSERT(field && field->type == type);
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        *(uint32_t *)(void *)((char *)message + field->quantifier_offset) = field->id;
    return (char *)message + field->offset;
}

/* "image/png;...;base64" between "data:" and the comma; NULL when it is good. */
static const char *check_data_head(struct vg_view head, struct vg_view *media_type)
{
    static const char base64[] = ";base64";
    const size_t tail = sizeof(base64) - 1;

    if (head.len < tail || strncasecmp(head.data + head.len - tail, base64, tail) != 0)
        return "a data URL must have the form data:image/...;base64,...";
    const char *semicolon = memchr(head.data, ';', head.len);
    *media_type = (struct vg_view){head.data, (size_t)(semicolon - head.data)};
    if (media_type->len > MAX_MEDIA_TYPE || media_type->len <= strlen("image/") ||
        strncasecmp(media_type->data, "image/", strlen("image/")) != 0)
        return "a data URL must hold an image";
    return NULL;
}

static int image_too_large(size_t bytes, const char *path, struct vg_err *err)
{
    return vg_err_param(err, VG_ERR_INVALID_REQUEST, path,
                        "%s: Image size (%.1fMB) exceeds the 20MB limit for image inputs", path,
                        (double)bytes / (1024 * 1024));
}

static int read_data_url(ProtobufCMessage *input, const char *url, struct vg_arena *arena,
                         const char *path, struct vg_err *err)
{
    const char *head = url + strlen("data:"), *comma = strchr(head, ',');
    struct vg_view media_type;

    if (!comma)
        return refuse(err, path, "a data URL must have the form data:image/...;base64,...");
    const char *why = check_data_head((struct vg_view){head, (size_t)(comma - head)}, &media_type);
    if (why)
        return refuse(err, path, why);
    const char *text = comma + 1;
    size_t len = strlen(text), padding = 0;
    while (padding < 2 && padding < len && text[len - 1 - padding] == '=')
        padding++;
    size_t bytes = (len - padding) / 4 * 3 + (len - padding) % 4 * 3 / 4;
    if (bytes > MAX_IMAGE)
        return image_too_large(bytes, path, err);
    uint8_t *data = vg_arena_alloc(arena, (len / 4 + 1) * 3);
    if (vg_base64_decode(data, &bytes, text, len) != 0 || bytes == 0)
        return refuse(err, path, "the data URL does not hold valid base64");
    ProtobufCBinaryData *bytes_out = member(input, "data", PROTOBUF_C_TYPE_BYTES);
    *bytes_out = (ProtobufCBinaryData){.len = bytes, .data = data};
    char *text_out = vg_arena_memdup(arena, media_type.data, media_type.len);
    for (char *c = text_out; *c; c++)
        if (*c >= 'A' && *c <= 'Z')
            *c = (char)(*c + ('a' - 'A'));
    *(char **)member(input, "mime_type", PROTOBUF_C_TYPE_STRING) = text_out;
    return 0;
}

/* The address in one of the forms clients send: "...", {KEY: "..."}, {KEY: {"url": "..."}},
 * {"url": "..."}. */
static const char *url_of(const struct vg_json *value, const char *key)
{
    const struct vg_json *inner = vg_json_get(value, key);

    if (inner)
        value = inner;
    inner = vg_json_get(value, "url");
    return vg_json_string(inner ? inner : value);
}

/* A file out of a form: the message lends its bytes from the body. */
static int read_file(ProtobufCMessage *message, struct vg_view file, size_t max, const char *path,
                     struct vg_err *err)
{
    const union {
        const char *in;
        uint8_t *out;
    } bytes = {.in = file.data};

    if (file.len == 0)
        return refuse(err, path, "the file is empty");
    if (file.len > max)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, path,
                            "%s: the file has %.1fMB; at most %zuMB are allowed", path,
                            (double)file.len / (1024 * 1024), max >> 20);
    ProtobufCBinaryData *data = member(message, "data", PROTOBUF_C_TYPE_BYTES);
    *data = (ProtobufCBinaryData){.len = file.len, .data = bytes.out};
    return 0;
}

static int read_media_input(const struct vg_json *value, ProtobufCMessage *message,
                            struct vg_arena *arena, const char *path, struct vg_err *err)
{
    const char *url = url_of(value, "image_url");
    struct vg_view file;

    if (vg_json_bytes(value, &file) && file.len > MAX_IMAGE)
        return image_too_large(file.len, path, err);
    if (vg_json_bytes(value, &file))
        return read_file(message, file, MAX_IMAGE, path, err);
    if (!url && vg_json_get(value, "file_id"))
        return refuse(err, path, "file_id is not supported; give image_url");
    if (!url)
        return vg_err_param(
            err, VG_ERR_INVALID_REQUEST, path,
            "%s: expected an image URL, a data URL, a file or an object with image_url, got %s",
            path, vg_json_type_name(value));
    if (!*url)
        return refuse(err, path, "must not be empty");
    if (strncasecmp(url, "data:", strlen("data:")) == 0)
        return read_data_url(message, url, arena, path, err);
    if (strlen(url) > MAX_IMAGE_URL)
        return refuse(err, path, "the address is longer than 8,192 bytes");
    *(char **)member(message, "url", PROTOBUF_C_TYPE_STRING) = vg_arena_strdup(arena, url);
    return 0;
}

/* A reference video or sound: an address, bare or under the name of its kind. Which addresses are
 * good is the service's to say. */
static int read_media_link(const struct vg_json *value, ProtobufCMessage *message,
                           struct vg_arena *arena, const char *path, struct vg_err *err)
{
    const char *url = url_of(value, "video_url");

    if (!url)
        url = url_of(value, "audio_url");
    if (!url)
        return vg_err_param(
            err, VG_ERR_INVALID_REQUEST, path,
            "%s: expected an HTTPS URL or an object with video_url or audio_url, got "
            "%s",
            path, vg_json_type_name(value));
    *(char **)member(message, "url", PROTOBUF_C_TYPE_STRING) = vg_arena_strdup(arena, url);
    return 0;
}

/* The source of an edit or an extension: "video_...", {"id": "video_..."} or a file. */
static int read_video_source(const struct vg_json *value, ProtobufCMessage *message,
                             struct vg_arena *arena, const char *path, struct vg_err *err)
{
    const struct vg_json *inner = vg_json_get(value, "id");
    const char *id = vg_json_string(inner ? inner : value);
    struct vg_view file;

    if (vg_json_bytes(value, &file))
        return read_file(message, file, MAX_VIDEO, path, err);
    if (!id)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, path,
                            "%s: expected a file, a video id or an object with id, got %s", path,
                            vg_json_type_name(value));
    if (!*id)
        return refuse(err, path, "must not be empty");
    *(char **)member(message, "id", PROTOBUF_C_TYPE_STRING) = vg_arena_strdup(arena, id);
    return 0;
}

static const struct vg_json_reader readers[] = {
    {"videogate.v1.MediaInput", read_media_input},
    {"videogate.v1.MediaLink", read_media_link},
    {"videogate.v1.VideoSource", read_video_source},
};

#define SHAPE                                                                                      \
    .rules = rules, .rule_count = VG_COUNT(rules), .readers = readers,                             \
    .reader_count = VG_COUNT(readers), .names = names, .name_count = VG_COUNT(names)

const struct vg_json_shape *vg_api_shape(void)
{
    static const struct vg_json_shape shape = {SHAPE};
    return &shape;
}

const struct vg_json_shape *vg_api_form_shape(void)
{
    static const struct vg_json_shape shape = {SHAPE, .typeless = true};
    return &shape;
}
