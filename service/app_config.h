/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration of videogate-service as it is read. Private to app.c and app_setup.c. */
#ifndef VG_SERVICE_APP_CONFIG_H
#define VG_SERVICE_APP_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

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
    bool old_keys;
    char *trusted_peers;
    bool callback_allow_http, callback_allow_any_port;
    char *callback_allow_nets, *callback_egress;
    char *default_callback_url, *default_callback_secret;
    bool image_allow_http, image_allow_any_port;
    char *image_allow_nets, *image_egress;
    int64_t rpc_threads, max_in_flight, max_watchers, max_message, pool_threads;
    int64_t variant_threads, variant_timeout_ms;
};

#endif
