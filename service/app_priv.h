/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration struct, shared by app.c and app_config.c. Private to the two. */
#ifndef VG_SERVICE_APP_PRIV_H
#define VG_SERVICE_APP_PRIV_H

#include <stdbool.h>
#include <stdint.h>

#include "common/keyring.h"
#include "service/app.h"
#include "service/catalog.h"
#include "service/event_address.h"
#include "service/link.h"
#include "service/pepper.h"
#include "service/validate.h"

/* Filled from the table; texts owned by it. */
struct vg_app_config {
    char *listen, *monitor;
    char *tls_cert, *tls_key, *tls_client_ca;
    char *database_url;
    char *database_listen_url; /* NULL: none of its own */
    bool database_pooled;
    int64_t db_connections;
    char *blob_dir;
    int64_t blob_reserve;
    char *catalog;
    int64_t catalog_check_ms;
    char *workers, *webhook, *webhook_schedule;
    char *workers_tls_ca, *workers_tls_cert, *workers_tls_key;
    int64_t webhook_concurrency, webhook_breaker_failures, webhook_breaker_wait_ms;
    int64_t webhook_disable_after_ms, webhook_secret_overlap_ms;
    char *admin_key, *secret_key, *old_secret_keys, *key_peppers;
    char *public_url, *events_url;
    char *link_secrets;
    int64_t link_ttl_ms;
    char *route_all, *route_order;
    bool allow_closed;
    char *on_unknown_submit;
    int64_t breaker_failures, breaker_wait_ms;
    int64_t project_concurrency, lease_ms, job_deadline_ms, retention_ms;
    int64_t janitor_interval_ms, orphan_age_ms;
    int64_t delivery_retention_ms, trace_retention_ms, video_retention_ms, retention_batch;
    int64_t idempotency_retention_ms, retry_window_ms, rate_share;
    int64_t auth_failures, auth_failures_key;
    char *trusted_peers;
    bool callback_allow_http, callback_allow_any_port;
    char *callback_allow_nets, *callback_egress;
    char *default_callback_url, *default_callback_secret;
    bool image_allow_http, image_allow_any_port;
    char *image_allow_nets, *image_egress;
    int64_t rpc_threads, max_in_flight, max_watchers, max_message, pool_threads;
    int64_t variant_threads, variant_timeout_ms;
};

/* What the configuration comes to, checked; texts owned. */
struct vg_app_setup {
    const char *catalog_path;                         /* borrowed from the configuration */
    struct vg_catalog *catalog;                       /* a reference */
    struct vg_http_guard callback_guard, image_guard; /* texts borrowed from the configuration */
    char *public_url;                                 /* without a slash at its end */
    struct vg_links *links;
    struct vg_peppers *peppers;
    struct vg_event_addresses *event_addresses;
    struct vg_keyring keyring;
    char *route_all_provider, *route_all_model;
    enum vg_route_order order;
    char *default_callback_url; /* normalised */
    char *providers_text;       /* holds what `providers` points to */
    const char **providers;
    size_t provider_count;
};

VG_MUSTCHECK int vg_app_setup_make(struct vg_app_setup *out, const struct vg_app_config *config,
                                   struct vg_err *err);
void vg_app_setup_fini(struct vg_app_setup *setup);

#endif
