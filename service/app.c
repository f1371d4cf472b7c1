/* SPDX-License-Identifier: Apache-2.0 */
#include "service/app.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/monitor.h"
#include "service/app_setup.h"
#include "service/binding.h"
#include "service/flight.h"
#include "service/health.h"
#include "service/janitor.h"
#include "service/key_use.h"
#include "service/rate.h"
#include "service/service_priv.h"
#include "service/throttle.h"
#include "service/watch.h"

static const char *const create_outcomes[] = {"new", "replayed", "refused", "failed", NULL};
static const char *const event_outcomes[VG_EVENTS_MAX + 1] = {
    [VG_EVENTS_DUE] = "due",
    [VG_EVENTS_ENDED] = "ended",
    [VG_EVENTS_STALE] = "stale",
    [VG_EVENTS_OTHER_JOB] = "other_job",
    [VG_EVENTS_UNKNOWN] = "unknown",
    [VG_EVENTS_CHALLENGE] = "challenge",
    [VG_EVENTS_BAD_ADDRESS] = "bad_address",
    [VG_EVENTS_REFUSED] = "refused",
    [VG_EVENTS_FAILED] = "failed",
};
/* By enum vg_attempt_series, and by enum vg_throttle_by. */
static const char *const failure_reasons[] = {"malformed", "unknown", "admin", NULL};
static const char *const throttled_by[] = {"client", "key", NULL};
#define TABLE_NAME(name, text) (text),
static const char *const retention_tables[] = {VG_RETENTION_TABLES(TABLE_NAME) NULL};
static const struct vg_metric_desc metric_table[] = {
    [VG_SM_CREATES] = {"videogate_creates_total", VG_METRIC_COUNTER,
                       "Create and remix calls by outcome.", "outcome", create_outcomes},
    [VG_SM_DOWNLOAD_BYTES] = {"videogate_download_bytes_total", VG_METRIC_COUNTER,
                              "Bytes of content handed to callers.", NULL, NULL},
    [VG_SM_WATCHERS] = {"videogate_watchers", VG_METRIC_GAUGE, "Open WatchVideo streams.", NULL,
                        NULL},
    [VG_SM_PURGED] = {"videogate_files_purged_total", VG_METRIC_COUNTER,
                      "Files the janitor removed.", NULL, NULL},
    [VG_SM_PROVIDER_EVENTS] = {"videogate_provider_events_total", VG_METRIC_COUNTER,
                               "Webhooks of providers by what became of them.", "outcome",
                               event_outcomes},
    [VG_SM_RETIRED] = {"videogate_rows_retired_total", VG_METRIC_COUNTER,
                       "Old rows the janitor removed.", "table", retention_tables},
    [VG_SM_AUTH_FAILURES] = {"videogate_auth_failures_total", VG_METRIC_COUNTER,
                             "Failed authentications: keys that are none by their form, unknown "
                             "ones, wrong admin keys.",
                             "reason", failure_reasons},
    [VG_SM_AUTH_THROTTLED] = {"videogate_auth_throttled_total", VG_METRIC_COUNTER,
                              "Attempts that were not looked at, by what had failed too often.",
                              "by", throttled_by},
};

const char *const *vg_event_outcomes(void)
{
    return event_outcomes;
}

/* The process's parts in the order they are started; stopped in reverse. */
struct vg_app {
    struct vg_app_config config;
    struct vg_app_setup setup;  /* owned */
    struct vg_metrics *metrics; /* owned, as all below */
    struct vg_blob_store *blobs;
    struct vg_loop *loop;
    bool loop_runs;
    struct vg_work_pool *pool;
    struct vg_variants *variants;
    struct vg_health *health;
    struct vg_jobs *jobs;
    struct vg_db *db;
    struct vg_key_use *key_use;
    struct vg_auth *auth;
    struct vg_media *media;
    struct vg_hub *hub;
    struct vg_flights *flights;
    struct vg_rate *rate;
    struct vg_throttle *throttle;
    struct vg_binding *binding;
    struct vg_janitor *janitor;
    struct vg_catalog_live *catalog;
    struct vg_rpc_server *server;
    struct vg_monitor *monitor;
    struct vg_service service;
    atomic_bool draining;
};

struct vg_app *vg_app_new(void)
{
    return vg_xalloc(sizeof(struct vg_app));
}

struct vg_app *vg_app_free(struct vg_app *app)
{
    free(app);
    return NULL;
}

void *vg_app_config(struct vg_app *app)
{
    return &app->config;
}

int vg_app_check(void *ctx, struct vg_err *err)
{
    struct vg_app *app = ctx;
    struct vg_app_setup setup;

    if (vg_app_setup_make(&setup, &app->config, err) < 0)
        return -1;
    vg_app_setup_fini(&setup);
    return 0;
}

/* --- what other parts call back --- */

static void lookup_key(void *ctx, struct vg_key_lookup *op)
{
    struct vg_app *app = ctx;

    vg_key_lookup(app->db, op);
}

static void video_changed(void *ctx, const char *video_id)
{
    struct vg_app *app = ctx;

    vg_watch_nudge(app->hub, video_id);
}

static void video_translate(void *ctx, const struct vg_video *video, Videogate__V1__Video *out,
                            struct vg_arena *arena)
{
    struct vg_app *app = ctx;

    vg_translate_video(video, app->setup.links, vg_wall_ms() / 1000, arena, out);
}

static void keys_gone(void *ctx, const char *const *key_ids, size_t count)
{
    struct vg_app *app = ctx;

    for (size_t i = 0; i < count; i++)
        vg_auth_forget(app->auth, key_ids[i]);
    vg_watch_end_gone(app->hub);
}

/* Work is claimed only into the right folder. */
static void bound(void *ctx)
{
    struct vg_app *app = ctx;

    vg_jobs_start(app->jobs, app->db);
}

static bool ready(void *ctx, char *why, size_t why_size)
{
    struct vg_app *app = ctx;

    if (atomic_load(&app->draining)) {
        (void)snprintf(why, why_size, "stopping");
        return false;
    }
    return vg_db_ready(app->db, why, why_size) && vg_binding_holds(app->binding, why, why_size) &&
           vg_jobs_ready(app->jobs, why, why_size);
}

/* --- start --- */

static int start_store(struct vg_app *app, struct vg_err *err)
{
    const struct vg_blob_options options = {
        .dir = app->config.blob_dir, .reserve_bytes = app->config.blob_reserve, .stale_ms = 60000};

    return vg_blob_store_open(&app->blobs, &options, err);
}

static int start_threads(struct vg_app *app, struct vg_err *err)
{
    app->loop = vg_loop_new();
    if (vg_loop_start(app->loop, "service", err) < 0)
        return -1;
    app->loop_runs = true;
    if (vg_work_pool_start(&app->pool, "files", (int)app->config.pool_threads, err) < 0)
        return -1;
    const struct vg_variants_options variants = {
        .blobs = app->blobs,
        .threads = (int)app->config.variant_threads,
        .timeout_ms = app->config.variant_timeout_ms,
        .metrics = app->metrics,
    };
    return vg_variants_start(&app->variants, &variants, err);
}

/* An empty text is a file not given. */
static const char *file_or_null(const char *text)
{
    return text && *text ? text : NULL;
}

static int start_jobs(struct vg_app *app, struct vg_err *err)
{
    const struct vg_app_config *c = &app->config;
    char host[64] = "";
    char owner[96];
    struct vg_jobs_options options = {
        .blobs = app->blobs,
        .metrics = app->metrics,
        .owner = owner,
        .workers = c->workers,
        .webhook = c->webhook,
        .tls = {.cert_file = file_or_null(c->workers_tls_cert),
                .key_file = file_or_null(c->workers_tls_key),
                .ca_file = file_or_null(c->workers_tls_ca)},
        .use_tls = file_or_null(c->workers_tls_ca) != NULL,
        .event_addresses = app->setup.event_addresses,
        .keyring = &app->setup.keyring,
        .webhook_schedule = c->webhook_schedule,
        .receiver_concurrency = (int32_t)c->webhook_concurrency,
        .receivers = {.failures = (int32_t)c->webhook_breaker_failures,
                      .wait_ms = c->webhook_breaker_wait_ms,
                      .disable_ms = c->webhook_disable_after_ms},
        .project_concurrency = (int32_t)c->project_concurrency,
        .lease_ms = c->lease_ms,
        .breaker = {.failures = (int32_t)c->breaker_failures, .wait_ms = c->breaker_wait_ms},
        .retry_unknown_submit = strcmp(c->on_unknown_submit, "retry") == 0,
        .retention_s = c->retention_ms / 1000,
        .changed = video_changed,
        .translate = video_translate,
        .ctx = app,
    };

    app->health = vg_health_new();
    options.health = app->health;
    (void)gethostname(host, sizeof(host) - 1);
    (void)snprintf(owner, sizeof(owner), "%s:%ld", host, (long)getpid());
    return vg_jobs_new(&app->jobs, &options, err);
}

static int start_database(struct vg_app *app, struct vg_err *err)
{
    const struct vg_db_options options = {
        .url = app->config.database_url,
        .listen_url = app->config.database_listen_url,
        .pooled = app->config.database_pooled,
        .executors = (int)app->config.db_connections,
        .metrics = app->metrics,
        .wake_executor = vg_jobs_executor(app->jobs),
        .wake = vg_jobs_wake(app->jobs),
    };

    return vg_db_start(&app->db, &options, err);
}

/* What handlers are given: all of it stands by now. */
static void share_parts(struct vg_app *app)
{
    const struct vg_app_config *c = &app->config;
    const struct vg_app_setup *setup = &app->setup;
    struct vg_service *s = &app->service;

    s->db = app->db;
    s->keyring = &app->setup.keyring;
    s->secret_overlap_s = (int32_t)(c->webhook_secret_overlap_ms / 1000);
    s->auth = app->auth;
    s->peppers = setup->peppers;
    s->key_use = app->key_use;
    s->catalog = app->catalog;
    s->base_env = (struct vg_validate_env){
        .callback_guard = &setup->callback_guard,
        .media_guard = &setup->image_guard,
        .providers = setup->providers,
        .provider_count = setup->provider_count,
        .route_all_provider = setup->route_all_provider,
        .route_all_model = setup->route_all_model,
        .allow_closed = c->allow_closed,
        .order = setup->order,
        .health = app->health,
        .max_deadline_s = c->job_deadline_ms / 1000,
        .default_callback_url = setup->default_callback_url,
        .default_callback_secret = setup->default_callback_url ? c->default_callback_secret : NULL,
    };
    s->blobs = app->blobs;
    s->pool = vg_work_pool_executor(app->pool);
    s->loop = app->loop;
    s->media = app->media;
    s->variants = app->variants;
    s->jobs = app->jobs;
    s->metrics = vg_metrics_register(app->metrics, metric_table, VG_COUNT(metric_table));
    s->links = setup->links;
    s->event_addresses = setup->event_addresses;
    s->flights = app->flights;
    s->rate = app->rate;
    s->throttle = app->throttle;
    s->trusted_peers = c->trusted_peers;
    s->retry_window_ms = c->retry_window_ms;
    s->max_watchers = (size_t)c->max_watchers;
    s->binding = app->binding;
}

/* Everything the handlers touch is in place before the server is. */
static int start_parts(struct vg_app *app, struct vg_err *err)
{
    const struct vg_key_use_options key_use = {
        .db = app->db, .loop = app->loop, .gone = keys_gone, .ctx = app};
    app->key_use = vg_key_use_new(&key_use);
    const struct vg_auth_options auth = {.lookup = lookup_key,
                                         .lookup_ctx = app,
                                         .executor = vg_loop_executor(app->loop),
                                         .peppers = app->setup.peppers,
                                         .uses = app->key_use,
                                         .admin_key = app->config.admin_key,
                                         .refuse_old = !app->config.old_keys,
                                         .metrics = app->metrics};
    const struct vg_media_options media = {.loop = app->loop, .guard = &app->setup.image_guard};
    const struct vg_janitor_options janitor = {
        .service = &app->service,
        .interval_ms = app->config.janitor_interval_ms,
        .orphan_age_s = app->config.orphan_age_ms / 1000,
        .retention = {
            .idempotency_s = app->config.idempotency_retention_ms / 1000,
            .deliveries_s = app->config.delivery_retention_ms / 1000,
            .traces_s = app->config.trace_retention_ms / 1000,
            .videos_s = app->config.video_retention_ms / 1000,
            .batch = (int32_t)app->config.retention_batch,
        }};
    const struct vg_binding_options binding = {.db = app->db,
                                               .blobs = app->blobs,
                                               .loop = app->loop,
                                               .pool = vg_work_pool_executor(app->pool),
                                               .bound = bound,
                                               .ctx = app};
    const struct vg_catalog_live_options catalog = {
        .path = app->setup.catalog_path,
        .first = app->setup.catalog,
        .interval_ms = app->config.catalog_check_ms,
        .loop = app->loop,
        .pool = vg_work_pool_executor(app->pool),
        .metrics = app->metrics,
    };

    app->auth = vg_auth_new(&auth);
    if (vg_media_new(&app->media, &media, err) < 0)
        return -1;
    app->catalog = vg_catalog_live_new(&catalog);
    app->flights = vg_flights_new();
    app->rate = vg_rate_new((int)app->config.rate_share);
    app->throttle =
        vg_throttle_new((int32_t)app->config.auth_failures, (int32_t)app->config.auth_failures_key);
    app->binding = vg_binding_new(&binding);
    share_parts(app);
    app->service.hub = app->hub = vg_hub_new(&app->service);
    app->janitor = vg_janitor_new(&janitor);
    return 0;
}

static int start_server(struct vg_app *app, struct vg_err *err)
{
    const struct vg_app_config *c = &app->config;
    const struct vg_rpc_service services[] = {vg_video_service(&app->service),
                                              vg_admin_service(&app->service),
                                              vg_provider_event_service(&app->service)};
    const struct vg_rpc_server_options options = {
        .listen = c->listen,
        .tls = {.cert_file = file_or_null(c->tls_cert),
                .key_file = file_or_null(c->tls_key),
                .ca_file = file_or_null(c->tls_client_ca)},
        .services = services,
        .service_count = VG_COUNT(services),
        .threads = (int)c->rpc_threads,
        .max_in_flight = (int)c->max_in_flight,
        .idle_method = "/videogate.v1.VideoService/WatchVideo",
        .max_idle = (int)c->max_watchers,
        .max_message = (size_t)c->max_message,
        .edge_batch = true,
        .metrics = app->metrics,
    };

    return vg_rpc_server_start(&app->server, &options, err);
}

static int start_monitor(struct vg_app *app, struct vg_err *err)
{
    const struct vg_monitor_options options = {
        .listen = app->config.monitor, .metrics = app->metrics, .ready = ready, .ready_ctx = app};

    return vg_monitor_start(&app->monitor, &options, err);
}

static void stop_parts(struct vg_app *app);

int vg_app_start(void *ctx, struct vg_err *err)
{
    static int (*const steps[])(struct vg_app *, struct vg_err *) = {
        start_store, start_threads, start_jobs,  start_database,
        start_parts, start_monitor, start_server};
    struct vg_app *app = ctx;

    if (vg_app_setup_make(&app->setup, &app->config, err) < 0)
        return -1;
    vg_rpc_init();
    const struct vg_keyring *ring = &app->setup.keyring;
    memcpy(app->service.secret_key, ring->keys[ring->count - 1], sizeof(app->service.secret_key));
    app->metrics = vg_metrics_new();
    for (size_t i = 0; i < VG_COUNT(steps); i++)
        if (steps[i](app, err) < 0) {
            stop_parts(app);
            return -1;
        }
    vg_binding_start(app->binding);
    vg_key_use_start(app->key_use);
    vg_janitor_start(app->janitor);
    vg_catalog_live_start(app->catalog);
    vg_log(VG_LOG_INFO, "serving", VG_S("listen", app->config.listen),
           VG_I("port", vg_rpc_server_port(app->server)), VG_S("monitor", app->config.monitor));
    return 0;
}

void vg_app_reload(void *ctx)
{
    struct vg_app *app = ctx;

    vg_catalog_live_reload(app->catalog);
}

/* --- stop --- */

static void pause_a_moment(void)
{
    const struct timespec ms = {.tv_nsec = 2 * VG_NS_PER_MS};

    (void)nanosleep(&ms, NULL);
}

void vg_app_drain(void *ctx, int64_t deadline_ns)
{
    struct vg_app *app = ctx;

    atomic_store(&app->draining, true);
    vg_log(VG_LOG_INFO, "draining", VG_I("in_flight", atomic_load(&app->service.in_flight)));
    vg_janitor_close(app->janitor);
    vg_key_use_close(app->key_use);
    vg_catalog_live_close(app->catalog);
    vg_binding_close(app->binding);
    vg_hub_close(app->hub); /* watchers would keep the server from draining */
    vg_rpc_server_drain(app->server, deadline_ns);
    while (!vg_binding_closed(app->binding)) /* from here on nobody starts the jobs */
        pause_a_moment();
    vg_jobs_drain(app->jobs, deadline_ns);
}

/* Requests, janitor and binding end by themselves: their database operations have deadlines, the
 * rest is cancelled. */
static void wait_idle(struct vg_app *app)
{
    while (atomic_load(&app->service.in_flight) > 0 || !vg_janitor_idle(app->janitor) ||
           !vg_binding_idle(app->binding) || !vg_catalog_live_idle(app->catalog) ||
           !vg_key_use_idle(app->key_use))
        pause_a_moment();
}

/* Also undoes a start that failed half-way: then the later parts are NULL. */
static void stop_parts(struct vg_app *app)
{
    if (app->server)
        app->server = vg_rpc_server_stop(app->server);
    vg_variants_cancel(app->variants);
    if (app->janitor)
        wait_idle(app);
    if (app->monitor)
        app->monitor = vg_monitor_stop(app->monitor);
    if (app->db)
        app->db = vg_db_stop(app->db, vg_deadline_in_ms(2000));
    app->jobs = vg_jobs_free(app->jobs);
    app->health = vg_health_free(app->health);
    app->variants = vg_variants_stop(app->variants);
    if (app->pool)
        app->pool = vg_work_pool_stop(app->pool);
    if (app->loop_runs)
        vg_loop_join(app->loop);
    app->media = vg_media_free(app->media);
    if (app->loop)
        app->loop = vg_loop_free(app->loop);
    app->janitor = vg_janitor_free(app->janitor);
    app->catalog = vg_catalog_live_free(app->catalog);
    app->binding = vg_binding_free(app->binding);
    app->hub = vg_hub_free(app->hub);
    app->flights = vg_flights_free(app->flights);
    app->rate = vg_rate_free(app->rate);
    app->throttle = vg_throttle_free(app->throttle);
    app->auth = vg_auth_free(app->auth);
    app->key_use = vg_key_use_free(app->key_use);
    app->blobs = vg_blob_store_close(app->blobs);
    app->metrics = vg_metrics_free(app->metrics);
    vg_app_setup_fini(&app->setup);
    vg_rpc_fini();
}

void vg_app_stop(void *ctx)
{
    stop_parts(ctx);
}
