/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/peer.h"
#include "common/str.h"
#include "common/webhook_secret.h"
#include "service/app_priv.h"
#include "service/route_order.h"

#define AT(member) offsetof(struct vg_app_config, member)
#define DAY_MS (INT64_C(24) * 3600 * 1000)

static const struct vg_config_key keys[] = {
    {.name = "listen",
     .type = VG_CONFIG_ADDRESS,
     .offset = AT(listen),
     .fallback = "127.0.0.1:8082",
     .help = "address of the gRPC server"},
    {.name = "monitor",
     .type = VG_CONFIG_ADDRESS,
     .offset = AT(monitor),
     .fallback = "127.0.0.1:8083",
     .help = "address of /healthz, /readyz, /metrics"},
    {.name = "tls-cert",
     .type = VG_CONFIG_TEXT,
     .offset = AT(tls_cert),
     .help = "certificate chain of the gRPC server (PEM); unset: no TLS"},
    {.name = "tls-key",
     .type = VG_CONFIG_TEXT,
     .offset = AT(tls_key),
     .help = "its private key (PEM)"},
    {.name = "tls-client-ca",
     .type = VG_CONFIG_TEXT,
     .offset = AT(tls_client_ca),
     .help = "demand client certificates from this authority (PEM)"},
    {.name = "database-url",
     .type = VG_CONFIG_TEXT,
     .offset = AT(database_url),
     .secret = true,
     .required = true,
     .help = "PostgreSQL connection string; of several hosts, the one that takes writes"},
    {.name = "database-listen-url",
     .type = VG_CONFIG_TEXT,
     .offset = AT(database_listen_url),
     .secret = true,
     .help = "the same past a pooler in transaction mode, for LISTEN alone; unset: database-url"},
    {.name = "database-pooled",
     .type = VG_CONFIG_BOOL,
     .offset = AT(database_pooled),
     .fallback = "false",
     .help = "database-url leads to a pooler in transaction mode"},
    {.name = "db-connections",
     .type = VG_CONFIG_INT,
     .offset = AT(db_connections),
     .fallback = "3",
     .min = 1,
     .max = 64,
     .help = "connections to PostgreSQL, besides one that listens"},
    {.name = "blob-dir",
     .type = VG_CONFIG_TEXT,
     .offset = AT(blob_dir),
     .required = true,
     .help = "folder of the blob store, shared by all replicas"},
    {.name = "blob-reserve",
     .type = VG_CONFIG_SIZE,
     .offset = AT(blob_reserve),
     .fallback = "64m",
     .max = INT64_C(1) << 50,
     .help = "free space to leave on the blob store's disk; while less than twice as much is free, "
             "new videos are refused with 507"},
    {.name = "catalog",
     .type = VG_CONFIG_TEXT,
     .offset = AT(catalog),
     .help = "models as data (JSON); unset: the service/catalog.json this program was built with"},
    {.name = "catalog-check",
     .type = VG_CONFIG_DURATION,
     .offset = AT(catalog_check_ms),
     .fallback = "5s",
     .max = DAY_MS,
     .help = "wait between two looks whether that file has changed; 0s: reload on SIGHUP alone"},
    {.name = "workers",
     .type = VG_CONFIG_TEXT,
     .offset = AT(workers),
     .fallback = "",
     .help = "providers and their workers: NAME=HOST:PORT,..."},
    {.name = "webhook",
     .type = VG_CONFIG_ADDRESS,
     .offset = AT(webhook),
     .fallback = "",
     .help = "address of the webhook sender"},
    {.name = "workers-tls-ca",
     .type = VG_CONFIG_TEXT,
     .offset = AT(workers_tls_ca),
     .help = "roots to trust (PEM) towards the workers and the webhook sender; turns TLS on"},
    {.name = "workers-tls-cert",
     .type = VG_CONFIG_TEXT,
     .offset = AT(workers_tls_cert),
     .help = "certificate chain shown to them (PEM; mutual TLS)"},
    {.name = "workers-tls-key",
     .type = VG_CONFIG_TEXT,
     .offset = AT(workers_tls_key),
     .help = "its private key (PEM)"},
    {.name = "webhook-schedule",
     .type = VG_CONFIG_TEXT,
     .offset = AT(webhook_schedule),
     .fallback = "0s,5s,5m,30m,2h,5h,10h,14h,20h,24h",
     .help = "waits before each attempt of a callback"},
    {.name = "webhook-concurrency",
     .type = VG_CONFIG_INT,
     .offset = AT(webhook_concurrency),
     .fallback = "8",
     .min = 1,
     .max = 256,
     .help = "callbacks of one project under way to one receiver (scheme, name and port), over all "
             "replicas"},
    {.name = "webhook-breaker-failures",
     .type = VG_CONFIG_INT,
     .offset = AT(webhook_breaker_failures),
     .fallback = "10",
     .max = 1000,
     .help = "failures of such a receiver in a row after which it is left alone for a while; 0: "
             "never"},
    {.name = "webhook-breaker-wait",
     .type = VG_CONFIG_DURATION,
     .offset = AT(webhook_breaker_wait_ms),
     .fallback = "30s",
     .min = 100,
     .max = 3600000,
     .help = "that while; doubled up to 16 times as long when the one after it fails"},
    {.name = "webhook-disable-after",
     .type = VG_CONFIG_DURATION,
     .offset = AT(webhook_disable_after_ms),
     .fallback = "120h",
     .max = 365 * DAY_MS,
     .help = "a webhook endpoint that only failed for so long is disabled; 0s: never"},
    {.name = "webhook-secret-overlap",
     .type = VG_CONFIG_DURATION,
     .offset = AT(webhook_secret_overlap_ms),
     .fallback = "24h",
     .min = 1000,
     .max = 30 * DAY_MS,
     .help = "how long an endpoint's old secrets sign along after a rotation that keeps them"},
    {.name = "admin-key",
     .type = VG_CONFIG_TEXT,
     .offset = AT(admin_key),
     .secret = true,
     .help = "key for AdminService, at least 16 characters; unset: admin calls are refused"},
    {.name = "secret-key",
     .type = VG_CONFIG_TEXT,
     .offset = AT(secret_key),
     .secret = true,
     .required = true,
     .help = "seals callback secrets at rest, at least 16 characters; the same on all replicas"},
    {.name = "key-peppers",
     .type = VG_CONFIG_TEXT,
     .offset = AT(key_peppers),
     .secret = true,
     .help = "comma separated, at least 16 characters each: API keys are stored as HMACs under the "
             "first, all are good, and so is, always, the one derived from secret-key"},
    {.name = "old-secret-key",
     .type = VG_CONFIG_TEXT,
     .offset = AT(old_secret_keys),
     .secret = true,
     .help = "comma separated, earlier or coming ones: they open what they sealed, and seal "
             "nothing"},
    {.name = "public-url",
     .type = VG_CONFIG_TEXT,
     .offset = AT(public_url),
     .fallback = "",
     .help = "base address of the public API, for links; empty: relative links"},
    {.name = "events-url",
     .type = VG_CONFIG_TEXT,
     .offset = AT(events_url),
     .fallback = "",
     .help = "base address of the bridge as providers reach it, https for most of them, for their "
             "webhooks, a hint to poll at once; empty: none are asked for"},
    {.name = "link-secrets",
     .type = VG_CONFIG_TEXT,
     .offset = AT(link_secrets),
     .secret = true,
     .help = "comma separated, at least 16 characters each: the first signs links to content, all "
             "are good; unset: one derived from secret-key"},
    {.name = "link-ttl",
     .type = VG_CONFIG_DURATION,
     .offset = AT(link_ttl_ms),
     .fallback = "7d",
     .min = 1000,
     .max = 365 * DAY_MS,
     .help = "least time that a link to content is good for"},
    {.name = "route-all",
     .type = VG_CONFIG_TEXT,
     .offset = AT(route_all),
     .fallback = "",
     .help = "send every route to this PROVIDER or PROVIDER/MODEL; empty: off"},
    {.name = "route-order",
     .type = VG_CONFIG_TEXT,
     .offset = AT(route_order),
     .fallback = "catalog",
     .help = "which of a model's routes is tried first: catalog (as written there), price (of this "
             "very job) or health (share of jobs made and time taken, as this process saw it)"},
    {.name = "breaker-failures",
     .type = VG_CONFIG_INT,
     .offset = AT(breaker_failures),
     .fallback = "10",
     .max = 1000,
     .help = "failures of a provider, in a row or half of a minute's, after which nothing is "
             "submitted to it for a while; 0: never"},
    {.name = "breaker-wait",
     .type = VG_CONFIG_DURATION,
     .offset = AT(breaker_wait_ms),
     .fallback = "15s",
     .min = 100,
     .max = 3600000,
     .help = "that while; doubled up to 16 times as long when the probe after it fails"},
    {.name = "allow-closed",
     .type = VG_CONFIG_BOOL,
     .offset = AT(allow_closed),
     .fallback = "false",
     .help = "use routes the catalog marks as closed (your own engine answers for them)"},
    {.name = "on-unknown-submit",
     .type = VG_CONFIG_TEXT,
     .offset = AT(on_unknown_submit),
     .fallback = "fail",
     .help = "fail or retry a submission nobody can tell about; retry may pay twice"},
    {.name = "project-concurrency",
     .type = VG_CONFIG_INT,
     .offset = AT(project_concurrency),
     .fallback = "64",
     .min = 1,
     .max = 100000,
     .help = "generations of one project at providers at a time"},
    {.name = "lease",
     .type = VG_CONFIG_DURATION,
     .offset = AT(lease_ms),
     .fallback = "30s",
     .min = 1000,
     .max = 3600000,
     .help = "how long a job stays with a process that says nothing"},
    {.name = "job-deadline",
     .type = VG_CONFIG_DURATION,
     .offset = AT(job_deadline_ms),
     .fallback = "0s",
     .max = 30 * DAY_MS,
     .help = "cap on the catalog's job deadlines; 0s: none"},
    {.name = "retention",
     .type = VG_CONFIG_DURATION,
     .offset = AT(retention_ms),
     .fallback = "0s",
     .max = 3650 * DAY_MS,
     .help = "how long finished files are kept; 0s: for ever"},
    {.name = "janitor-interval",
     .type = VG_CONFIG_DURATION,
     .offset = AT(janitor_interval_ms),
     .fallback = "15s",
     .min = 100,
     .max = DAY_MS,
     .help =
         "wait between two rounds of the janitor, who removes files of deleted and expired videos"},
    {.name = "orphan-age",
     .type = VG_CONFIG_DURATION,
     .offset = AT(orphan_age_ms),
     .fallback = "24h",
     .min = 60000,
     .max = 30 * DAY_MS,
     .help = "files without a video are removed when older than this"},
    {.name = "idempotency-retention",
     .type = VG_CONFIG_DURATION,
     .offset = AT(idempotency_retention_ms),
     .fallback = "72h",
     .min = DAY_MS,
     .max = 3650 * DAY_MS,
     .help = "how long an idempotency key is remembered"},
    {.name = "delivery-retention",
     .type = VG_CONFIG_DURATION,
     .offset = AT(delivery_retention_ms),
     .fallback = "90d",
     .max = 3650 * DAY_MS,
     .help = "how long a callback that ended and its log are kept; 0s: as long as the video"},
    {.name = "trace-retention",
     .type = VG_CONFIG_DURATION,
     .offset = AT(trace_retention_ms),
     .fallback = "90d",
     .max = 3650 * DAY_MS,
     .help = "how long the attempts of an ended job are kept; 0s: as long as the video"},
    {.name = "video-retention",
     .type = VG_CONFIG_DURATION,
     .offset = AT(video_retention_ms),
     .fallback = "0s",
     .max = 3650 * DAY_MS,
     .help = "ended videos older than this are deleted whole, as by their callers; usage stays; "
             "0s: never"},
    {.name = "retention-batch",
     .type = VG_CONFIG_INT,
     .offset = AT(retention_batch),
     .fallback = "1000",
     .min = 10,
     .max = 10000,
     .help = "old rows that one statement may look at; 50 of them a table and round"},
    {.name = "rate-share",
     .type = VG_CONFIG_INT,
     .offset = AT(rate_share),
     .fallback = "1",
     .min = 1,
     .max = 1024,
     .help = "service processes behind one address; each admits its part of a limit of requests"},
    {.name = "retry-window",
     .type = VG_CONFIG_DURATION,
     .offset = AT(retry_window_ms),
     .fallback = "15m",
     .min = 1000,
     .max = DAY_MS,
     .help = "how long an SDK's repeat of a create without a key finds the attempt before it"},
    {.name = "auth-failures",
     .type = VG_CONFIG_INT,
     .offset = AT(auth_failures),
     .fallback = "120",
     .max = 1000000,
     .help = "failed authentications of one address a minute; beyond it only keys that were good "
             "before are let through from there; 0: no limit"},
    {.name = "auth-failures-key",
     .type = VG_CONFIG_INT,
     .offset = AT(auth_failures_key),
     .fallback = "30",
     .max = 1000000,
     .help = "the same of one key's id, from anywhere"},
    {.name = "trusted-peers",
     .type = VG_CONFIG_TEXT,
     .offset = AT(trusted_peers),
     .fallback = "127.0.0.0/8,::1",
     .help = "nets of the bridges (CIDR,...), which say what a caller's address is"},
    {.name = "callback-allow-http",
     .type = VG_CONFIG_BOOL,
     .offset = AT(callback_allow_http),
     .fallback = "false",
     .help = "callbacks may be plain http"},
    {.name = "callback-allow-any-port",
     .type = VG_CONFIG_BOOL,
     .offset = AT(callback_allow_any_port),
     .fallback = "false",
     .help = "callbacks may use ports other than 80 and 443"},
    {.name = "callback-allow-nets",
     .type = VG_CONFIG_TEXT,
     .offset = AT(callback_allow_nets),
     .fallback = "",
     .help = "private nets callbacks may reach (CIDR,...)"},
    {.name = "callback-egress",
     .type = VG_CONFIG_TEXT,
     .offset = AT(callback_egress),
     .fallback = "",
     .help = "hosts (hooks.example.com), domains (.example.com) and nets that callbacks alone may "
             "reach; empty: every public one. As the webhook sender's egress"},
    {.name = "default-callback-url",
     .type = VG_CONFIG_TEXT,
     .offset = AT(default_callback_url),
     .fallback = "",
     .help = "callback of creates that name none; needs default-callback-secret"},
    {.name = "default-callback-secret",
     .type = VG_CONFIG_TEXT,
     .offset = AT(default_callback_secret),
     .secret = true,
     .help = "signs those callbacks"},
    {.name = "image-allow-http",
     .type = VG_CONFIG_BOOL,
     .offset = AT(image_allow_http),
     .fallback = "false",
     .help = "pictures may be fetched over plain http"},
    {.name = "image-allow-any-port",
     .type = VG_CONFIG_BOOL,
     .offset = AT(image_allow_any_port),
     .fallback = "false",
     .help = "pictures may be fetched from ports other than 80 and 443"},
    {.name = "image-allow-nets",
     .type = VG_CONFIG_TEXT,
     .offset = AT(image_allow_nets),
     .fallback = "",
     .help = "private nets pictures may be fetched from (CIDR,...)"},
    {.name = "image-egress",
     .type = VG_CONFIG_TEXT,
     .offset = AT(image_egress),
     .fallback = "",
     .help = "hosts, .domains and nets that pictures alone may be fetched from, and reference "
             "videos and audios name; empty: every public one"},
    {.name = "rpc-threads",
     .type = VG_CONFIG_INT,
     .offset = AT(rpc_threads),
     .fallback = "1",
     .min = 1,
     .max = 32,
     .help = "threads that take gRPC calls"},
    {.name = "max-in-flight",
     .type = VG_CONFIG_INT,
     .offset = AT(max_in_flight),
     .fallback = "20000",
     .min = 16,
     .max = 1000000,
     .help = "calls at a time, without watchers; beyond it they are refused"},
    {.name = "max-watchers",
     .type = VG_CONFIG_INT,
     .offset = AT(max_watchers),
     .fallback = "20000",
     .min = 1,
     .max = 1000000,
     .help = "open WatchVideo streams; beyond it they are refused"},
    {.name = "max-message",
     .type = VG_CONFIG_SIZE,
     .offset = AT(max_message),
     .fallback = "96m",
     .min = 1 << 20,
     .max = 512 << 20,
     .help = "largest request message"},
    {.name = "pool-threads",
     .type = VG_CONFIG_INT,
     .offset = AT(pool_threads),
     .fallback = "4",
     .min = 1,
     .max = 64,
     .help = "threads that read and write files"},
    {.name = "variant-threads",
     .type = VG_CONFIG_INT,
     .offset = AT(variant_threads),
     .fallback = "1",
     .min = 1,
     .max = 16,
     .help = "threads that make thumbnails and spritesheets"},
    {.name = "variant-timeout",
     .type = VG_CONFIG_DURATION,
     .offset = AT(variant_timeout_ms),
     .fallback = "30s",
     .min = 100,
     .max = 3600000,
     .help = "time for making one of them"},
};

const struct vg_config_key *vg_app_config_keys(size_t *out_count)
{
    *out_count = VG_COUNT(keys);
    return keys;
}

static bool set(const char *text)
{
    return text && *text;
}

static int check_texts(const struct vg_app_config *c, struct vg_err *err)
{
    if (!set(c->database_url) || !set(c->blob_dir))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                          "database-url and blob-dir must not be empty");
    if (set(c->admin_key) && strlen(c->admin_key) < 16)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                          "admin-key must have at least 16 characters");
    if (strcmp(c->on_unknown_submit, "fail") != 0 && strcmp(c->on_unknown_submit, "retry") != 0)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "on-unknown-submit must be fail or retry");
    if (set(c->tls_cert) != set(c->tls_key))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "tls-cert and tls-key go together");
    if (set(c->tls_client_ca) && !set(c->tls_cert))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "tls-client-ca needs tls-cert");
    if (set(c->workers_tls_cert) != set(c->workers_tls_key))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                          "workers-tls-cert and workers-tls-key go together");
    if (set(c->workers_tls_cert) && !set(c->workers_tls_ca))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "workers-tls-cert needs workers-tls-ca");
    return 0;
}

static int make_public_url(struct vg_app_setup *s, const char *text, struct vg_err *err)
{
    size_t len = text ? strlen(text) : 0;

    if (len > 0 && strncmp(text, "http://", 7) != 0 && strncmp(text, "https://", 8) != 0)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                          "public-url must begin with http:// or https://");
    while (len > 0 && text[len - 1] == '/')
        len--;
    s->public_url = vg_xmemdup(len ? text : "", len);
    return 0;
}

/* Names alone; the addresses are for the jobs' side. */
static int make_providers(struct vg_app_setup *s, const char *text, struct vg_err *err)
{
    size_t max = 1;

    s->providers_text = vg_xstrdup(text ? text : "");
    for (const char *p = s->providers_text; *p; p++)
        max += *p == ',';
    s->providers = vg_xcalloc(max, sizeof(*s->providers));
    for (char *at = s->providers_text; at && *at;) {
        char *comma = strchr(at, ',');
        if (comma)
            *comma = '\0';
        char *equals = strchr(at, '=');
        if (!equals || equals == at || !equals[1])
            return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                              "workers: \"%.80s\" is not NAME=HOST:PORT", at);
        *equals = '\0';
        s->providers[s->provider_count++] = at;
        at = comma ? comma + 1 : NULL;
    }
    return 0;
}

static int make_links(struct vg_app_setup *s, const struct vg_app_config *c, struct vg_err *err)
{
    const struct vg_link_options options = {.secrets = c->link_secrets,
                                            .secret_key = c->secret_key,
                                            .old_secret_keys = c->old_secret_keys,
                                            .public_url = s->public_url,
                                            .ttl_s = c->link_ttl_ms / 1000};

    return vg_links_new(&s->links, &options, err);
}

static bool has_provider(const struct vg_app_setup *s, const char *name)
{
    for (size_t i = 0; i < s->provider_count; i++)
        if (strcmp(s->providers[i], name) == 0)
            return true;
    return false;
}

static int make_route_all(struct vg_app_setup *s, const char *text, struct vg_err *err)
{
    if (!set(text))
        return 0;
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    s->route_all_provider = vg_xmemdup(text, len);
    s->route_all_model = vg_xstrdup(slash ? slash + 1 : s->route_all_provider);
    if (!*s->route_all_model)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "route-all: the model is empty");
    if (!has_provider(s, s->route_all_provider))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                          "route-all: no worker for \"%s\" is configured", s->route_all_provider);
    return 0;
}

static int make_default_callback(struct vg_app_setup *s, const struct vg_app_config *c,
                                 struct vg_err *err)
{
    struct vg_buf normal;

    if (!set(c->default_callback_url) && !set(c->default_callback_secret))
        return 0;
    if (!set(c->default_callback_url) || !set(c->default_callback_secret))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                          "default-callback-url and default-callback-secret go together");
    if (strlen(c->default_callback_secret) > VG_MAX_CALLBACK_SECRET)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                          "default-callback-secret is longer than %d bytes",
                          VG_MAX_CALLBACK_SECRET);
    if (!vg_webhook_secret_ok(c->default_callback_secret))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                          "default-callback-secret: whsk_ is no ed25519 key");
    vg_buf_init(&normal, (size_t)VG_MAX_CALLBACK_URL * 4);
    int rc = vg_http_guard_url(&s->callback_guard, c->default_callback_url, "default-callback-url",
                               &normal, err);
    if (rc == 0)
        s->default_callback_url = vg_xmemdup(normal.data, normal.len);
    vg_buf_fini(&normal);
    return rc;
}

int vg_app_setup_make(struct vg_app_setup *out, const struct vg_app_config *c, struct vg_err *err)
{
    struct vg_app_setup s = {.catalog_path = set(c->catalog) ? c->catalog : VG_CATALOG_FILE};

    s.callback_guard = (struct vg_http_guard){
        .allow_http = c->callback_allow_http,
        .allow_any_port = c->callback_allow_any_port,
        .allow_nets = c->callback_allow_nets,
        .egress = c->callback_egress,
        .own = {c->listen, c->monitor, c->workers, c->webhook},
    };
    s.image_guard = (struct vg_http_guard){
        .allow_http = c->image_allow_http,
        .allow_any_port = c->image_allow_any_port,
        .allow_nets = c->image_allow_nets,
        .egress = c->image_egress,
        .own = {c->listen, c->monitor, c->workers, c->webhook},
    };
    if (check_texts(c, err) < 0 || vg_peer_nets_check(c->trusted_peers, "trusted-peers", err) < 0 ||
        vg_keyring_init(&s.keyring, c->secret_key ? c->secret_key : "", c->old_secret_keys, err) <
            0 ||
        vg_http_guard_check(&s.callback_guard, err) < 0 ||
        vg_http_guard_check(&s.image_guard, err) < 0 ||
        make_public_url(&s, c->public_url, err) < 0 || make_links(&s, c, err) < 0 ||
        vg_peppers_new(&s.peppers, c->key_peppers, c->secret_key, c->old_secret_keys, err) < 0 ||
        vg_event_addresses_new(&s.event_addresses, c->events_url, c->secret_key, c->old_secret_keys,
                               err) < 0 ||
        make_providers(&s, c->workers, err) < 0 || make_route_all(&s, c->route_all, err) < 0 ||
        (set(c->route_order) && vg_route_order_parse(c->route_order, &s.order, err) < 0) ||
        make_default_callback(&s, c, err) < 0 ||
        vg_catalog_load(&s.catalog, s.catalog_path, err) < 0) {
        vg_app_setup_fini(&s);
        return -1;
    }
    *out = s;
    return 0;
}

void vg_app_setup_fini(struct vg_app_setup *setup)
{
    setup->catalog = vg_catalog_unref(setup->catalog);
    setup->links = vg_links_free(setup->links);
    setup->peppers = vg_peppers_free(setup->peppers);
    setup->event_addresses = vg_event_addresses_free(setup->event_addresses);
    free(setup->public_url);
    free(setup->route_all_provider);
    free(setup->route_all_model);
    free(setup->default_callback_url);
    free(setup->providers_text);
    free(setup->providers);
    vg_keyring_wipe(&setup->keyring);
    *setup = (struct vg_app_setup){.catalog = NULL};
}
