/* SPDX-License-Identifier: Apache-2.0 */
/* /v1/webhook_endpoints as OpenAI's SDK v7 uses it, and beside it what was delivered: one call
 * each.
 */
#include "bridge/api/answer.h"
#include "bridge/api/body.h"
#include "bridge/api/exchange.h"
#include "bridge/api/handlers.h"
#include "bridge/api/respond.h"
#include "common/json.h"
#include "common/json_pb.h"
#include "common/json_writer.h"
#include "videogate/v1/admin.pb-c.h"

#define MAX_ANSWER ((size_t)4 * 1024 * 1024)

/* The endpoint, with its secret where that is new. */
static void answer_endpoint(struct vg_exchange *ex, const Videogate__V1__WebhookEndpoint *endpoint,
                            const char *secret)
{
    struct vg_answer a;
    if (!endpoint) {
        vg_respond_kind(ex, VG_ERR_BAD_GATEWAY);
        return;
    }
    vg_answer_open(&a, ex, MAX_ANSWER);
    vg_answer_members(&a, &endpoint->base);
    if (secret && *secret)
        vg_answer_text(&a, "signing_secret", secret);
    vg_answer_send(&a);
}

/* An empty body stands for an empty object. */
static int read_body(struct vg_exchange *ex, ProtobufCMessage *message)
{
    const struct vg_view no_form = {NULL, 0};
    struct vg_json *root = NULL;
    struct vg_err err;
    int rc = 0;
    if (ex->body.len > 0)
        rc = vg_body_tree(no_form, vg_buf_view(&ex->body), &root, &err);
    vg_exchange_drop_body(ex);
    if (root)
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
    int64_t limit = 0;
    struct vg_err err;
    int rc = 0;
    if (vg_http_query_number(query, "limit", 100, &limit) != 0)
        rc = vg_err_param(&err, VG_ERR_INVALID_REQUEST, "limit", "limit: 0 to 100 is allowed.");
    long len = vg_http_query_get(query, "after", after, VG_PARAM_SIZE);
    if (rc == 0 && len == -1)
        rc = vg_err_param(&err, VG_ERR_INVALID_REQUEST, "after", "after: is not an id.");
    if (len < 0)
        after[0] = '\0';
    *out_limit = (int32_t)limit;
    if (rc != 0)
        vg_respond_error(ex, &err);
    return rc;
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
    struct vg_answer a;
    vg_answer_list_open(&a, ex, MAX_ANSWER);
    for (size_t i = 0; i < page->n_data; i++)
        vg_answer_item(&a, &page->data[i]->base);
    vg_answer_page_close(&a, page->n_data ? page->data[0]->id : NULL,
                         page->n_data ? page->data[page->n_data - 1]->id : NULL, page->has_more);
    vg_answer_send(&a);
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
    struct vg_answer a;
    vg_answer_open(&a, ex, MAX_ANSWER);
    vg_answer_text(&a, "id", deleted->id);
    vg_answer_text(&a, "object", "webhook_endpoint.deleted");
    vg_answer_bool(&a, "deleted", true);
    vg_answer_send(&a);
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
    struct vg_answer a;
    struct vg_err err;
    if (!test->success) {
        (void)vg_err_set(&err, VG_ERR_INVALID_REQUEST, "The endpoint did not answer (%.40s).",
                         test->reason);
        vg_respond_error(ex, &err);
        return;
    }
    vg_answer_open(&a, ex, MAX_ANSWER);
    vg_answer_text(&a, "object", "webhook_endpoint.test");
    vg_answer_text(&a, "webhook_endpoint_id", test->id);
    vg_answer_text(&a, "event_type", test->event_type);
    vg_json_put_key(&a.w, "status_code");
    vg_json_put_int(&a.w, test->status_code);
    vg_answer_bool(&a, "success", true);
    vg_answer_send(&a);
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
    struct vg_answer a;
    vg_answer_list_open(&a, ex, MAX_ANSWER);
    for (size_t i = 0; i < types->n_data; i++)
        vg_json_put_text(&a.w, types->data[i]);
    vg_answer_list_close(&a);
    vg_answer_send(&a);
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
    struct vg_answer a;
    size_t n = page->n_deliveries;
    vg_answer_list_open(&a, ex, MAX_ANSWER);
    for (size_t i = 0; i < n; i++)
        vg_answer_item(&a, &page->deliveries[i]->base);
    vg_answer_page_close(&a, n ? page->deliveries[0]->id : NULL,
                         n ? page->deliveries[n - 1]->id : NULL, page->has_more);
    vg_answer_send(&a);
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
    struct vg_answer a;
    if (!r->delivery) {
        vg_respond_kind(ex, VG_ERR_BAD_GATEWAY);
        return;
    }
    vg_answer_open(&a, ex, MAX_ANSWER);
    vg_answer_members(&a, &r->delivery->base);
    vg_answer_send(&a);
}

void vg_handle_redeliver(struct vg_exchange *ex)
{
    Videogate__V1__RedeliverWebhookRequest request = VIDEOGATE__V1__REDELIVER_WEBHOOK_REQUEST__INIT;
    request.id = ex->param;
    vg_exchange_call(ex, "/videogate.v1.AdminService/RedeliverWebhook", &request.base,
                     &videogate__v1__redeliver_webhook_response__descriptor, reply_redeliver);
}

static void reply_redeliver_range(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    const Videogate__V1__RedeliverWebhooksResponse *r = (const void *)response;
    struct vg_answer a;
    vg_answer_open(&a, ex, MAX_ANSWER);
    vg_answer_text(&a, "object", "webhook_redelivery");
    vg_json_put_key(&a.w, "count");
    vg_json_put_int(&a.w, r->count);
    if (r->last_id[0])
        vg_answer_text(&a, "last_id", r->last_id);
    vg_answer_bool(&a, "has_more", r->has_more);
    vg_answer_send(&a);
}

void vg_handle_redeliver_range(struct vg_exchange *ex)
{
    Videogate__V1__RedeliverWebhooksRequest request =
        VIDEOGATE__V1__REDELIVER_WEBHOOKS_REQUEST__INIT;
    if (read_body(ex, &request.base) == 0)
        vg_exchange_call(ex, "/videogate.v1.AdminService/RedeliverWebhooks", &request.base,
                         &videogate__v1__redeliver_webhooks_response__descriptor,
                         reply_redeliver_range);
}
