/* SPDX-License-Identifier: Apache-2.0 */
/* The operator's routes, on the public port. */
#include "bridge/api/exchange.h"
#include "bridge/api/handlers.h"
#include "bridge/api/respond.h"

#define MAX_TEXT ((size_t)4 * 1024 * 1024)
/* Answers of /metrics at a time: each is tens of KiB, and anybody may ask and read nothing. */
#define MAX_SCRAPES 8

static void send_text(struct vg_exchange *ex, int status, const char *type, struct vg_buf *body)
{
    static const struct vg_header no_store = {{"cache-control", 13}, {"no-store", 8}};
    vg_respond_body(ex, status, type, body, &no_store, 1);
    vg_buf_fini(body);
}

void vg_handle_healthz(struct vg_exchange *ex)
{
    struct vg_buf body;
    vg_buf_init(&body, MAX_TEXT);
    int status = vg_monitor_healthz(&body);
    send_text(ex, status, "text/plain; charset=utf-8", &body);
}

void vg_handle_readyz(struct vg_exchange *ex)
{
    struct vg_buf body;
    vg_buf_init(&body, MAX_TEXT);
    int status = vg_monitor_readyz(&ex->at->api->monitor, &body);
    send_text(ex, status, "text/plain; charset=utf-8", &body);
}

static void on_scraped(struct vg_exchange *ex)
{
    atomic_fetch_sub(&ex->at->api->scrapes, 1);
}

void vg_handle_metrics(struct vg_exchange *ex)
{
    struct vg_buf body;
    if (atomic_fetch_add(&ex->at->api->scrapes, 1) >= MAX_SCRAPES) {
        atomic_fetch_sub(&ex->at->api->scrapes, 1);
        vg_respond_kind(ex, VG_ERR_OVERLOADED);
        return;
    }
    ex->op_closed = on_scraped;
    vg_buf_init(&body, MAX_TEXT);
    int status = vg_monitor_metrics(&ex->at->api->monitor, &body);
    send_text(ex, status, "text/plain; version=0.0.4; charset=utf-8", &body);
}
