/* SPDX-License-Identifier: Apache-2.0 */
/* Webhooks of providers, handed to the service as they came: /v1/provider-events/PROVIDER/TOKEN for
 * one submission, /v1/provider-events/PROVIDER for a whole account. No key of ours is needed, and
 * none is passed on. */
#include <string.h>

#include "bridge/api/exchange.h"
#include "bridge/api/handlers.h"
#include "bridge/api/respond.h"
#include "common/str.h"
#include "videogate/v1/provider_event.pb-c.h"

#define ALONE_FROM ((size_t)32 * 1024) /* larger ones would make a batch of small calls slow */

/* What a caller may have put there for us, or for a proxy in front of us. */
static bool is_credential(struct vg_view name)
{
    static const char *const names[] = {"authorization", "cookie", "proxy-authorization",
                                        "x-api-key"};

    for (size_t i = 0; i < VG_COUNT(names); i++)
        if (vg_view_eqs(name, names[i]))
            return true;
    return false;
}

static void take_headers(struct vg_exchange *ex, Videogate__V1__TakeEventRequest *out)
{
    const struct vg_request *request = &ex->stream->request;
    size_t count = request->header_count;
    Videogate__V1__EventHeader *headers = vg_arena_alloc(ex->arena, (count + 1) * sizeof(*headers));

    out->headers = vg_arena_alloc(ex->arena, (count + 1) * sizeof(Videogate__V1__EventHeader *));
    for (size_t i = 0; i < count; i++) {
        const struct vg_header *h = &request->headers[i];
        Videogate__V1__EventHeader *header = &headers[out->n_headers];

        if (is_credential(h->name) || !vg_utf8_valid(h->value.data, h->value.len))
            continue;
        videogate__v1__event_header__init(header);
        header->name = vg_arena_memdup(ex->arena, h->name.data, h->name.len);
        header->value = vg_arena_memdup(ex->arena, h->value.data, h->value.len);
        out->headers[out->n_headers++] = header;
    }
}

static void reply_taken(struct vg_exchange *ex, const ProtobufCMessage *response)
{
    const Videogate__V1__TakeEventResponse *taken = (const void *)response;
    struct vg_buf body;

    vg_buf_init(&body, strlen(taken->reply) + 32);
    VG_ASSERT(vg_buf_adds(&body, taken->reply[0] ? taken->reply : "{\"received\":true}") == 0);
    vg_respond_body(ex, 200, "application/json", &body, NULL, 0);
    vg_buf_fini(&body);
}

void vg_handle_provider_event(struct vg_exchange *ex)
{
    Videogate__V1__TakeEventRequest request = VIDEOGATE__V1__TAKE_EVENT_REQUEST__INIT;
    struct vg_rpc_metadata metadata[VG_EXCHANGE_METADATA];
    char *slash = strchr(ex->param, '/');
    struct vg_err err;

    if (slash)
        *slash = '\0';
    request.provider = ex->param;
    request.token = slash ? slash + 1 : ex->param + strlen(ex->param);
    request.body.data = (uint8_t *)ex->body.data;
    request.body.len = ex->body.len;
    take_headers(ex, &request);
    if (vg_exchange_prepare(ex, "/videogate.v1.ProviderEventService/TakeEvent",
                            &videogate__v1__take_event_response__descriptor, reply_taken, metadata,
                            &err) != 0) {
        vg_respond_error(ex, &err);
        return;
    }
    ex->unary.request = &request.base;
    ex->unary.alone = ex->body.len >= ALONE_FROM;
    vg_exchange_hold(ex);
    vg_exchange_start(ex);
    vg_exchange_drop_body(ex);
}
