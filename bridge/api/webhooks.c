/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/webhook_endpoints as OpenAI's SDK v7 uses it, and beside it what was delivered: one call
 * each.
 */
#include <string.h>

#include "bridge/api/exchange.h"
#include "bridge/api/handlers.h"
#include "bridge/api/respond.h"
#include "common/json.h"
#include "common/json_pb.h"
#include "common/str.h"
#include "videogate/v1/admin.pb-c.h"

#define MAX_ANSWER ((size_t)4 * 1024 * 1024)

struct answer {
    struct vg_buf body;
    struct vg_json_writer w;
};

static void answer_open(struct answer *a)
{
    vg_buf_init(&a->body, MAX_ANSWER);
    vg_json_begin(&a->w, &a->body);
    vg_json_object_open(&a->w);
}

static void answer_text(struct answer *a, const char *key, const char *value)
{
    vg_json_put_key(&a->w, key);
    vg_json_put_text(&a->w, value);
}

static void bad_answer(struct vg_exchange *ex)
{
    struct vg_err err;
    (void)vg_err_set(&err, VG_ERR_BAD_GATEWAY, NULL);
    vg_respond_error(ex, &err);
}

static void answer_send(struct vg_exchange *ex, struct answer *a)
{
    vg_json_object_close(&a->w);
    if (vg_buf_ok(&a->body))
        vg_respond_json(ex, 200, &a->body);
    else
        bad_answer(ex);
    vg_buf_fini(&a->body);
}

/* The endpoint, with its secret where that is new. */
static void answer_endpoint(struct vg_exchange *ex, const Videogate__V1__WebhookEndpoint *endpoint,
                            const char *secret)
{
    struct answer a;
    if (!endpoint) {
        bad_answer(ex);
        return;
    }
    answer_open(&a);
    vg_pb_members_to_json(&endpoint->base, vg_api_shape(), &a.w);
    if (secret)
        answer_text(&a, "signing_secret", secret);
    answer_send(ex, &a);
}

/* An empty body stands for an empty object. */
static int read_body(struct vg_exchange *ex, ProtobufCMessage *message)
{
    struct vg_json *root = NULL;
    struct vg_err err;
    int rc = 0;
    if (ex->body.len > 0)
        rc = vg_json_parse(&root, vg_buf_view(&ex->body), &err);
    vg_exchange_drop_body(ex);
    if (root && vg_json_type(root) != VG_JSON_OBJECT)
        rc = vg_err_set(&err, VG_ERR_INVALID_JSON,
                        "The request body must be a JSON object, got %s.", vg_json_type_name(root));
    else if (root)
        rc = vg_pb_from_json(root, message, vg_api_shape(), ex->arena, &err);
    root = vg_json_free(root);
    if (rc != 0)
        vg_respond_error(ex, &err);
    return rc;
}

/* The query of a page; -1: answered. */
static int read_page(struct vg_exchange *ex, int32_t *out_limit, char after[VG_PARAM_SIZE])
{
    struct vg_view query = ex->stream->request.query;
    char text[16];
    int64_t limit = 0;
    struct vg_err err;
    long len = vg_http_query_get(query, "limit", text, sizeof(text));
    int rc = 0;
    if (len == -1 ||
        (len >= 0 && vg_parse_i64((struct vg_view){text, (size_t)len}, 0, 100, &limit) != 0))
        rc = vg_err_param(&err, VG_ERR_INVALID_REQUEST, "limit", "limit: 0 to 100 is allowed.");
    len = vg_http_query_get(query, "after", after, VG_PARAM_SIZE);
    if (rc == 0 && len == -1)
        rc = vg_err_param(&err, VG_ERR_INVALID_REQUEST, "after", "after: is not an id.");
    if (len < 0)
        after[0] = '\0';
    *out_limit = (int32_t)limit;
    if (rc != 0)
        vg_respond_error(ex, &err);
    return rc;
}

static void list_open(struct answer *a)
{
    answer_open(a);
    answer_text(a, "object", "list");
    vg_json_put_key(&a->w, "data");
    vg_json_array_open(&a->w);
}

static void list_send(struct vg_exchange *ex, struct answer *a, const char *first, const char *last,
                      bool has_more)
{
    vg_json_array_close(&a->w);
    answer_text(a, "first_id", first);
    answer_text(a, "last_id", last);
    vg_json_put_key(&a->w, "has_more");
    vg_json_put_bool(&a->w, has_more);
    answer_send(ex, a);
}

/* --- endpoints --- */

static void reply_create(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    const Videogate__V1__CreateWebhookEndpointResponse *r = (const void *)response;
    answer_endpoint(ex, r->endpoint, r->signing_secret);
}

void vg_handle_webhook_create(struct vg_exchange *ex)
{
    Videogate__V1__CreateWebhookEndpointRequest request =
        VIDEOGATE__V1__CREATE_WEBHOOK_ENDPOINT_REQUEST__INIT;
    if (read_body(ex, &request.base) == 0)
        vg_exchange_call(ex, "/videogate.v1.AdminService/CreateWebhookEndpoint", &request.base,
                         &videogate__v1__create_webhook_endpoint_response__descriptor,
                         reply_create);
}

static void reply_get(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    const Videogate__V1__GetWebhookEndpointResponse *r = (const void *)response;
    answer_endpoint(ex, r->endpoint, NULL);
}

void vg_handle_webhook_get(struct vg_exchange *ex)
{
    Videogate__V1__GetWebhookEndpointRequest request =
        VIDEOGATE__V1__GET_WEBHOOK_ENDPOINT_REQUEST__INIT;
    request.id = ex->param;
    vg_exchange_call(ex, "/videogate.v1.AdminService/GetWebhookEndpoint", &request.base,
                     &videogate__v1__get_webhook_endpoint_response__descriptor, reply_get);
}

static void reply_list(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    const Videogate__V1__ListWebhookEndpointsResponse *page = (const void *)response;
    struct answer a;
    list_open(&a);
    for (size_t i = 0; i < page->n_data; i++)
        vg_pb_to_json(&page->data[i]->base, vg_api_shape(), &a.w);
    list_send(ex, &a, page->n_data ? page->data[0]->id : NULL,
              page->n_data ? page->data[page->n_data - 1]->id : NULL, page->has_more);
}

void vg_handle_webhook_list(struct vg_exchange *ex)
{
    Videogate__V1__ListWebhookEndpointsRequest request =
        VIDEOGATE__V1__LIST_WEBHOOK_ENDPOINTS_REQUEST__INIT;
    char after[VG_PARAM_SIZE];
    if (read_page(ex, &request.limit, after) != 0)
        return;
    request.after = after;
    vg_exchange_call(ex, "/videogate.v1.AdminService/ListWebhookEndpoints", &request.base,
                     &videogate__v1__list_webhook_endpoints_response__descriptor, reply_list);
}

static void reply_update(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    const Videogate__V1__UpdateWebhookEndpointResponse *r = (const void *)response;
    answer_endpoint(ex, r->endpoint, NULL);
}

void vg_handle_webhook_update(struct vg_exchange *ex)
{
    Videogate__V1__UpdateWebhookEndpointRequest request =
        VIDEOGATE__V1__UPDATE_WEBHOOK_ENDPOINT_REQUEST__INIT;
    if (read_body(ex, &request.base) != 0)
        return;
    request.id = ex->param;
    vg_exchange_call(ex, "/videogate.v1.AdminService/UpdateWebhookEndpoint", &request.base,
                     &videogate__v1__update_webhook_endpoint_response__descriptor, reply_update);
}

static void reply_delete(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    const Videogate__V1__DeleteWebhookEndpointResponse *deleted = (const void *)response;
    struct answer a;
    answer_open(&a);
    answer_text(&a, "id", deleted->id);
    answer_text(&a, "object", "webhook_endpoint.deleted");
    vg_json_put_key(&a.w, "deleted");
    vg_json_put_bool(&a.w, true);
    answer_send(ex, &a);
}

void vg_handle_webhook_delete(struct vg_exchange *ex)
{
    Videogate__V1__DeleteWebhookEndpointRequest request =
        VIDEOGATE__V1__DELETE_WEBHOOK_ENDPOINT_REQUEST__INIT;
    request.id = ex->param;
    vg_exchange_call(ex, "/videogate.v1.AdminService/DeleteWebhookEndpoint", &request.base,
                     &videogate__v1__delete_webhook_endpoint_response__descriptor, reply_delete);
}

static void reply_rotate(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    const Videogate__V1__RotateWebhookSecretResponse *r = (const void *)response;
    answer_endpoint(ex, r->endpoint, r->signing_secret);
}

void vg_handle_webhook_rotate(struct vg_exchange *ex)
{
    Videogate__V1__RotateWebhookSecretRequest request =
        VIDEOGATE__V1__ROTATE_WEBHOOK_SECRET_REQUEST__INIT;
    if (read_body(ex, &request.base) != 0)
        return;
    request.id = ex->param;
    vg_exchange_call(ex, "/videogate.v1.AdminService/RotateWebhookSecret", &request.base,
                     &videogate__v1__rotate_webhook_secret_response__descriptor, reply_rotate);
}

/* In OpenAI's form a result is one only when the receiver answered. */
static void reply_test(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    const Videogate__V1__TestWebhookEndpointResponse *test = (const void *)response;
    struct answer a;
    struct vg_err err;
    if (!test->success) {
        (void)vg_err_set(&err, VG_ERR_INVALID_REQUEST, "The endpoint did not answer (%.40s).",
                         test->reason);
        vg_respond_error(ex, &err);
        return;
    }
    answer_open(&a);
    answer_text(&a, "object", "webhook_endpoint.test");
    answer_text(&a, "webhook_endpoint_id", test->id);
    answer_text(&a, "event_type", test->event_type);
    vg_json_put_key(&a.w, "status_code");
    vg_json_put_int(&a.w, test->status_code);
    vg_json_put_key(&a.w, "success");
    vg_json_put_bool(&a.w, true);
    answer_send(ex, &a);
}

void vg_handle_webhook_test(struct vg_exchange *ex)
{
    Videogate__V1__TestWebhookEndpointRequest request =
        VIDEOGATE__V1__TEST_WEBHOOK_ENDPOINT_REQUEST__INIT;
    if (read_body(ex, &request.base) != 0)
        return;
    request.id = ex->param;
    vg_exchange_call(ex, "/videogate.v1.AdminService/TestWebhookEndpoint", &request.base,
                     &videogate__v1__test_webhook_endpoint_response__descriptor, reply_test);
}

static void reply_types(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    const Videogate__V1__ListWebhookEventTypesResponse *types = (const void *)response;
    struct answer a;
    list_open(&a);
    for (size_t i = 0; i < types->n_data; i++)
        vg_json_put_text(&a.w, types->data[i]);
    vg_json_array_close(&a.w);
    answer_send(ex, &a);
}

void vg_handle_webhook_types(struct vg_exchange *ex)
{
    const Videogate__V1__ListWebhookEventTypesRequest request =
        VIDEOGATE__V1__LIST_WEBHOOK_EVENT_TYPES_REQUEST__INIT;
    vg_exchange_call(ex, "/videogate.v1.AdminService/ListWebhookEventTypes", &request.base,
                     &videogate__v1__list_webhook_event_types_response__descriptor, reply_types);
}

/* --- deliveries --- */

static void reply_deliveries(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    const Videogate__V1__ListDeliveriesResponse *page = (const void *)response;
    struct answer a;
    size_t n = page->n_deliveries;
    list_open(&a);
    for (size_t i = 0; i < n; i++)
        vg_pb_to_json(&page->deliveries[i]->base, vg_api_shape(), &a.w);
    list_send(ex, &a, n ? page->deliveries[0]->id : NULL, n ? page->deliveries[n - 1]->id : NULL,
              page->has_more);
}

static void list_deliveries(struct vg_exchange *ex, bool of_video)
{
    Videogate__V1__ListDeliveriesRequest request = VIDEOGATE__V1__LIST_DELIVERIES_REQUEST__INIT;
    char after[VG_PARAM_SIZE];
    if (read_page(ex, &request.limit, after) != 0)
        return;
    request.after = after;
    if (of_video)
        request.video_id = ex->param;
    else
        request.endpoint_id = ex->param;
    vg_exchange_call(ex, "/videogate.v1.AdminService/ListDeliveries", &request.base,
                     &videogate__v1__list_deliveries_response__descriptor, reply_deliveries);
}

void vg_handle_video_deliveries(struct vg_exchange *ex)
{
    list_deliveries(ex, true);
}

void vg_handle_endpoint_deliveries(struct vg_exchange *ex)
{
    list_deliveries(ex, false);
}

static void reply_redeliver(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    const Videogate__V1__RedeliverWebhookResponse *r = (const void *)response;
    struct answer a;
    if (!r->delivery) {
        bad_answer(ex);
        return;
    }
    answer_open(&a);
    vg_pb_members_to_json(&r->delivery->base, vg_api_shape(), &a.w);
    answer_send(ex, &a);
}

void vg_handle_redeliver(struct vg_exchange *ex)
{
    Videogate__V1__RedeliverWebhookRequest request = VIDEOGATE__V1__REDELIVER_WEBHOOK_REQUEST__INIT;
    request.id = ex->param;
    vg_exchange_call(ex, "/videogate.v1.AdminService/RedeliverWebhook", &request.base,
                     &videogate__v1__redeliver_webhook_response__descriptor, reply_redeliver);
}
