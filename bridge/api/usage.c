/* SPDX-License-Identifier: Apache-2.0 */
/* GET /v1/usage: what the key's project made and spent. */
#include "bridge/api/answer.h"
#include "bridge/api/exchange.h"
#include "bridge/api/handlers.h"
#include "bridge/api/respond.h"
#include "common/str.h"
#include "videogate/v1/admin.pb-c.h"

/* 10,000 rows of under 400 bytes. */
#define MAX_ANSWER ((size_t)4 * 1024 * 1024)
#define MAX_TIME (INT64_C(1) << 40)

static void reply_usage(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    const Videogate__V1__GetUsageResponse *usage = (const void *)response;
    struct vg_answer a;
    vg_answer_list_open(&a, ex, MAX_ANSWER);
    for (size_t i = 0; i < usage->n_rows; i++)
        vg_answer_item(&a, &usage->rows[i]->base);
    vg_answer_list_close(&a);
    vg_answer_bool(&a, "has_more", usage->truncated);
    vg_answer_send(&a);
}

static int read_time(struct vg_view query, const char *name, int64_t *out, struct vg_err *err)
{
    char text[24];
    long len = vg_http_query_get(query, name, text, sizeof(text));
    if (len == -1 ||
        (len >= 0 && vg_parse_i64((struct vg_view){text, (size_t)len}, 0, MAX_TIME, out) != 0))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, name, "%s: Unix seconds are needed.",
                            name);
    return 0;
}

void vg_handle_usage(struct vg_exchange *ex)
{
    Videogate__V1__GetUsageRequest request = VIDEOGATE__V1__GET_USAGE_REQUEST__INIT;
    struct vg_view query = ex->stream->request.query;
    struct vg_err err;
    if (read_time(query, "start_time", &request.start_time, &err) != 0 ||
        read_time(query, "end_time", &request.end_time, &err) != 0) {
        vg_respond_error(ex, &err);
        return;
    }
    vg_exchange_call(ex, "/videogate.v1.AdminService/GetUsage", &request.base,
                     &videogate__v1__get_usage_response__descriptor, reply_usage);
}
