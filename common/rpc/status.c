/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc/status.h"

#include <google/rpc/status.pb-c.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/rpc/message.h"
#include "common/str.h"

#define DOMAIN "videogate"
#define TYPE_PREFIX "type.googleapis.com/"

/* Appends a packed message; details are bounded by vg_err's own fields. */
static ProtobufCBinaryData pack_into(struct vg_buf *buf, const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    char *at = vg_buf_reserve(buf, size);

    VG_ASSERT(at != NULL);
    protobuf_c_message_pack(message, (uint8_t *)at);
    vg_buf_commit(buf, size);
    return (ProtobufCBinaryData){size, (uint8_t *)at};
}

/* One google.protobuf.Any, with the memory of its value. */
struct any {
    Google__Protobuf__Any any;
    struct vg_buf value;
};

static void any_init(struct any *any, const char *type_url, const ProtobufCMessage *message)
{
    google__protobuf__any__init(&any->any);
    vg_buf_init(&any->value, VG_RPC_DETAILS_MAX);
    any->any.type_url = (char *)type_url; /* protobuf-c only reads it */
    any->any.value = pack_into(&any->value, message);
}

static void error_info(struct any *any, const struct vg_err *err)
{
    Google__Rpc__ErrorInfo info = GOOGLE__RPC__ERROR_INFO__INIT;
    Google__Rpc__ErrorInfo__MetadataEntry entry = GOOGLE__RPC__ERROR_INFO__METADATA_ENTRY__INIT;
    Google__Rpc__ErrorInfo__MetadataEntry *entries[] = {&entry};

    info.reason = (char *)vg_err_info(err->kind)->reason;
    info.domain = (char *)DOMAIN;
    if (err->param[0] != '\0') {
        entry.key = (char *)"param";
        entry.value = (char *)err->param;
        info.metadata = entries;
        info.n_metadata = 1;
    }
    any_init(any, TYPE_PREFIX "google.rpc.ErrorInfo", &info.base);
}

static void bad_request(struct any *any, const struct vg_err *err)
{
    Google__Rpc__BadRequest bad = GOOGLE__RPC__BAD_REQUEST__INIT;
    Google__Rpc__BadRequest__FieldViolation violation =
        GOOGLE__RPC__BAD_REQUEST__FIELD_VIOLATION__INIT;
    Google__Rpc__BadRequest__FieldViolation *violations[] = {&violation};

    violation.field = (char *)err->param;
    violation.description = (char *)vg_err_text(err);
    bad.field_violations = violations;
    bad.n_field_violations = 1;
    any_init(any, TYPE_PREFIX "google.rpc.BadRequest", &bad.base);
}

static void retry_info(struct any *any, const struct vg_err *err)
{
    Google__Rpc__RetryInfo retry = GOOGLE__RPC__RETRY_INFO__INIT;
    Google__Protobuf__Duration delay = GOOGLE__PROTOBUF__DURATION__INIT;

    delay.seconds = err->retry_after_ms / 1000;
    delay.nanos = (int32_t)(err->retry_after_ms % 1000 * VG_NS_PER_MS);
    retry.retry_delay = &delay;
    any_init(any, TYPE_PREFIX "google.rpc.RetryInfo", &retry.base);
}

void vg_rpc_status_details(const struct vg_err *err, struct vg_buf *out)
{
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    struct any anys[3];
    Google__Protobuf__Any *details[VG_COUNT(anys)];

    error_info(&anys[status.n_details++], err);
    if (err->param[0] != '\0' && vg_err_info(err->kind)->grpc == VG_GRPC_INVALID_ARGUMENT)
        bad_request(&anys[status.n_details++], err);
    if (err->retry_after_ms > 0)
        retry_info(&anys[status.n_details++], err);
    for (size_t i = 0; i < status.n_details; i++)
        details[i] = &anys[i].any;
    status.code = (int32_t)vg_err_info(err->kind)->grpc;
    status.message = (char *)vg_err_text(err);
    status.details = details;
    (void)pack_into(out, &status.base);
    for (size_t i = 0; i < status.n_details; i++)
        vg_buf_fini(&anys[i].value);
}

static void parse_error_info(const ProtobufCMessage *message, struct vg_err *out)
{
    const Google__Rpc__ErrorInfo *info = (const Google__Rpc__ErrorInfo *)message;
    int kind;

    if (strcmp(info->domain, DOMAIN) != 0)
        return;
    kind = vg_err_kind_by_reason(info->reason);
    if (kind >= 0)
        out->kind = (enum vg_err_kind)kind;
    for (size_t i = 0; i < info->n_metadata; i++) {
        if (strcmp(info->metadata[i]->key, "param") == 0)
            (void)vg_strcpy(out->param, sizeof out->param, info->metadata[i]->value);
    }
}

static void parse_bad_request(const ProtobufCMessage *message, struct vg_err *out)
{
    const Google__Rpc__BadRequest *bad = (const Google__Rpc__BadRequest *)message;

    if (out->param[0] == '\0' && bad->n_field_violations > 0)
        (void)vg_strcpy(out->param, sizeof out->param, bad->field_violations[0]->field);
}

static void parse_retry_info(const ProtobufCMessage *message, struct vg_err *out)
{
    const Google__Rpc__RetryInfo *retry = (const Google__Rpc__RetryInfo *)message;
    const int64_t day_s = 86400;

    if (retry->retry_delay == NULL || retry->retry_delay->seconds < 0 ||
        retry->retry_delay->nanos < 0)
        return;
    if (retry->retry_delay->seconds > day_s)
        out->retry_after_ms = day_s * 1000;
    else
        out->retry_after_ms =
            retry->retry_delay->seconds * 1000 + retry->retry_delay->nanos / VG_NS_PER_MS;
}

static const struct detail_parser {
    const char *type_url;
    const ProtobufCMessageDescriptor *type;
    void (*parse)(const ProtobufCMessage *message, struct vg_err *out);
} detail_parsers[] = {
    {TYPE_PREFIX "google.rpc.BadRequest", &google__rpc__bad_request__descriptor, parse_bad_request},
    {TYPE_PREFIX "google.rpc.ErrorInfo", &google__rpc__error_info__descriptor, parse_error_info},
    {TYPE_PREFIX "google.rpc.RetryInfo", &google__rpc__retry_info__descriptor, parse_retry_info},
};

static void parse_detail(const Google__Protobuf__Any *any, struct vg_err *out)
{
    for (size_t i = 0; i < VG_COUNT(detail_parsers); i++) {
        if (strcmp(any->type_url, detail_parsers[i].type_url) != 0)
            continue;
        ProtobufCMessage *message =
            vg_rpc_message_unpack(detail_parsers[i].type, any->value.data, any->value.len, true);
        if (message != NULL) {
            detail_parsers[i].parse(message, out);
            protobuf_c_message_free_unpacked(message, NULL);
        }
    }
}

void vg_rpc_status_parse(int code, struct vg_view message, struct vg_view details,
                         struct vg_err *out)
{
    ProtobufCMessage *unpacked = NULL;
    int len = message.len > sizeof out->detail ? (int)sizeof out->detail : (int)message.len;

    *out = (struct vg_err){.kind = vg_err_kind_by_grpc(code)};
    if (len > 0 && vg_utf8_valid(message.data, message.len))
        (void)vg_err_set(out, out->kind, "%.*s", len, message.data);
    if (details.len > 0)
        unpacked = vg_rpc_message_unpack(&google__rpc__status__descriptor, details.data,
                                         details.len, true);
    if (unpacked == NULL)
        return;
    const Google__Rpc__Status *status = (const Google__Rpc__Status *)unpacked;
    for (size_t i = 0; i < status->n_details; i++)
        parse_detail(status->details[i], out);
    protobuf_c_message_free_unpacked(unpacked, NULL);
}
