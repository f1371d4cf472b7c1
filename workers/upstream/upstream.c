/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/upstream/upstream.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "workers/upstream/events.h"
#include "workers/upstream/jwks.h"
#include "workers/upstream/upstream_priv.h"

enum { REFRESH_MS = 1000 };

static const char *const outcome_names[] = {"ok", "client_error", "server_error", "no_answer",
                                            NULL};
static const struct vg_metric_desc metric_table[] = {
    [VG_UM_REQUESTS] = {"videogate_upstream_requests_total", VG_METRIC_COUNTER,
                        "HTTP requests to the provider by outcome.", "outcome", outcome_names},
    [VG_UM_SECONDS] = {"videogate_upstream_request_seconds", VG_METRIC_HISTOGRAM,
                       "Time of one HTTP request to the provider.", NULL, NULL},
    [VG_UM_KEYS] = {"videogate_upstream_keys", VG_METRIC_GAUGE, "Keys that may make new jobs.",
                    NULL, NULL},
};

struct vg_loop *vg_upstream_loop(struct vg_upstream *upstream)
{
    return upstream->loop;
}

struct vg_http_client *vg_upstream_client(struct vg_upstream *upstream)
{
    return upstream->client;
}

/* --- life --- */

static int add_base(struct vg_upstream *self, struct vg_view url, struct vg_err *err)
{
    const struct vg_http_guard form = {
        .allow_http = true, .allow_any_port = true, .allow_nets = "0.0.0.0/0,::/0"};

    while (url.len > 0 && url.data[url.len - 1] == '/')
        url.len--;
    char *text = vg_xmemdup(url.data, url.len);
    if (self->base_count == VG_UPSTREAM_BASES_MAX ||
        vg_http_guard_url(&form, text, "base-url", NULL, NULL) != 0 || strpbrk(text, "?#")) {
        free(text);
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "base-url",
                            "base-url: http or https addresses, divided by commas, at most %d.",
                            VG_UPSTREAM_BASES_MAX);
    }
    self->bases[self->base_count++].url = text;
    return 0;
}

static int add_bases(struct vg_upstream *self, struct vg_err *err)
{
    const char *text = self->config->base_url && *self->config->base_url ? self->config->base_url
                                                                         : self->adapter->base_url;

    if (!text)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "base-url",
                            "base-url: --provider %s needs the address of its API.",
                            self->adapter->name);
    for (const char *at = text; *at;) {
        size_t len = strcspn(at, ", ");
        if (len > 0 && add_base(self, (struct vg_view){at, len}, err) != 0)
            return -1;
        at += len + (at[len] != '\0');
    }
    return 0;
}

static int add_keys(struct vg_upstream *self, struct vg_err *err)
{
    if (vg_credentials_new(&self->credentials, self->adapter_config->keys, self->config->keys_file,
                           self->config->key_rate, err) != 0)
        return -1;
    if (vg_credentials_count(self->credentials) == 0 && !self->adapter->key_optional)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "keys-file",
                            "keys-file: --provider %s needs a key: in VIDEOGATE_..._KEYS or in "
                            "the file that --keys-file names.",
                            self->adapter->name);
    return 0;
}

static int check_events(const struct vg_upstream *self, struct vg_err *err)
{
    const struct vg_http_guard form = {
        .allow_http = true, .allow_any_port = true, .allow_nets = "0.0.0.0/0,::/0"};
    const char *url = self->adapter_config->jwks_url;

    if (!self->adapter->events)
        return 0;
    if (url && *url && vg_http_guard_url(&form, url, "jwks-url", NULL, NULL) != 0)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "jwks-url",
                            "jwks-url: an http or https address.");
    return vg_event_check(self->adapter->events, self->adapter_config->event_secret, err);
}

static void refresh(struct vg_timer *timer)
{
    struct vg_upstream *self = VG_CONTAINER(timer, struct vg_upstream, refresh);

    vg_credentials_refresh(self->credentials);
    int64_t keys = (int64_t)vg_credentials_count(self->credentials);
    if (self->metrics)
        vg_metric_add(self->metrics, VG_UM_KEYS, 0, keys - self->keys_shown);
    self->keys_shown = keys;
    vg_timer_start(timer, vg_deadline_in_ms(REFRESH_MS));
}

static int open_all(struct vg_upstream *self, struct vg_err *err)
{
    if (add_bases(self, err) != 0 || add_keys(self, err) != 0 || check_events(self, err) != 0 ||
        vg_http_client_new(&self->client, self->loop, NULL, err) != 0 ||
        vg_http_client_new(&self->outside, self->loop, &self->guard, err) != 0)
        return -1;
    if (self->adapter->events && self->adapter_config->jwks_url && *self->adapter_config->jwks_url)
        self->jwks = vg_jwks_new(self->client, self->adapter_config->jwks_url);
    return self->adapter->open ? self->adapter->open(self, self->adapter_config, &self->own, err)
                               : 0;
}

static struct vg_http_guard guard_of(const struct vg_upstream_config *config)
{
    return (struct vg_http_guard){.allow_http = config->result_allow_http,
                                  .allow_any_port = config->result_allow_any_port,
                                  .allow_nets = config->result_allow_nets,
                                  .egress = config->result_egress};
}

static void free_settings(struct vg_upstream *self)
{
    self->credentials = vg_credentials_free(self->credentials);
    for (size_t i = 0; i < self->base_count; i++)
        free(self->bases[i].url);
    self->base_count = 0;
}

int vg_upstream_check(const struct vg_adapter *adapter, const struct vg_upstream_config *config,
                      const void *adapter_config, struct vg_err *err)
{
    struct vg_upstream *self = vg_xalloc(sizeof(*self));
    const struct vg_http_guard guard = guard_of(config);

    self->adapter = adapter;
    self->config = config;
    self->adapter_config = adapter_config;
    int rc = vg_http_guard_check(&guard, err) != 0 || add_bases(self, err) != 0 ||
                     add_keys(self, err) != 0 || check_events(self, err) != 0 ||
                     (adapter->check && adapter->check(adapter_config, err) != 0)
                 ? -1
                 : 0;
    free_settings(self);
    free(self);
    return rc;
}

void vg_upstream_stop(void *ctx)
{
    struct vg_upstream *self = ctx;

    vg_loop_join(self->loop);
    self->stopping = true;
    vg_timer_stop(&self->refresh);
    self->outside = vg_http_client_free(self->outside);
    self->client = vg_http_client_free(self->client);
    if (self->own && self->adapter->close)
        self->adapter->close(self->own);
    vg_loop_free(self->loop); /* calls still queued end in here */
    vg_jwks_free(self->jwks);
    free_settings(self);
    free(self);
}

int vg_upstream_start(void **out_self, const struct vg_provider_env *env, struct vg_err *err)
{
    struct vg_upstream *self = vg_xalloc(sizeof(*self));

    self->adapter = env->provider->adapter;
    self->config = env->upstream;
    self->adapter_config = env->config;
    self->guard = guard_of(env->upstream);
    self->guard.own[0] = env->listen;
    self->guard.own[1] = env->monitor;
    self->loop = vg_loop_new();
    vg_timer_init(&self->refresh, self->loop, refresh);
    if (open_all(self, err) != 0) {
        vg_upstream_stop(self);
        return -1;
    }
    if (env->metrics)
        self->metrics = vg_metrics_register(env->metrics, metric_table, VG_COUNT(metric_table));
    vg_timer_start(&self->refresh, vg_now_ns());
    if (vg_loop_start(self->loop, self->adapter->name, err) != 0) {
        vg_upstream_stop(self);
        return -1;
    }
    *out_self = self;
    return 0;
}

bool vg_upstream_ready(void *self, char *why, size_t why_size)
{
    (void)self, (void)why, (void)why_size;
    return true; /* whether the provider answers is for the jobs to find out */
}

static bool supports_cancel(const struct vg_upstream *self)
{
    bool somewhere = self->adapter->cancel && !self->adapter->cancels;

    for (size_t i = 0; self->adapter->cancels && i < self->base_count; i++)
        somewhere = somewhere || self->adapter->cancels(self->bases[i].url);
    return somewhere;
}

void vg_upstream_describe(void *ctx, Videogate__V1__DescribeResponse *response)
{
    const struct vg_upstream *self = ctx;

    response->provider = (char *)self->adapter->name; /* protobuf-c's messages are not const */
    response->supports_cancel = supports_cancel(self);
    response->supports_lookup = self->adapter->lookup != NULL;
    response->max_concurrency = self->config->concurrency > 0 ? (int32_t)self->config->concurrency
                                                              : self->adapter->max_concurrency;
    response->max_submit_ms = self->adapter->max_submit_ms;
    response->supports_events = self->adapter->events && self->adapter->events->per_job;
}

/* --- arrival: any thread --- */

static void arrive(struct vg_task *task)
{
    struct vg_call_run *run = VG_CONTAINER(task, struct vg_call_run, task);

    vg_call_begin(run);
}

static struct vg_call_run *new_call(void *ctx, enum vg_call_kind kind, struct vg_op *op)
{
    struct vg_upstream *self = ctx;
    struct vg_call_run *run = vg_xalloc(sizeof(*run));

    run->upstream = self;
    run->op = op;
    run->call.kind = kind;
    run->call.arena = op->arena;
    run->call.config = self->adapter_config;
    run->call.own = self->own;
    run->task.run = arrive;
    return run;
}

static void *arena_alloc(void *arena, size_t size)
{
    return vg_arena_alloc(arena, size);
}

static void arena_keep(void *arena, void *ptr)
{
    (void)arena, (void)ptr;
}

Videogate__Store__V1__UpstreamState *vg_call_unpack_state(struct vg_call_run *run,
                                                          ProtobufCBinaryData state)
{
    ProtobufCAllocator allocator = {arena_alloc, arena_keep, run->call.arena};

    return videogate__store__v1__upstream_state__unpack(&allocator, state.len, state.data);
}

void vg_upstream_submit(void *ctx, const Videogate__V1__SubmitRequest *request, struct vg_op *op)
{
    struct vg_call_run *run = new_call(ctx, VG_CALL_SUBMIT, op);

    run->call.submit = request;
    vg_post(vg_loop_executor(run->upstream->loop), &run->task);
}

void vg_upstream_lookup(void *ctx, const Videogate__V1__LookupRequest *request, struct vg_op *op)
{
    struct vg_call_run *run = new_call(ctx, VG_CALL_LOOKUP, op);

    run->call.lookup = request;
    run->call.submit = request->submit;
    vg_post(vg_loop_executor(run->upstream->loop), &run->task);
}

#define FOLLOW(verb, KIND, Request)                                                                \
    void vg_upstream_##verb(void *ctx, const Videogate__V1__##Request *request, struct vg_op *op)  \
    {                                                                                              \
        struct vg_call_run *run = new_call(ctx, VG_CALL_##KIND, op);                               \
        run->call.upstream_id = request->upstream_id;                                              \
        /* NULL stays for vg_call_begin to judge. */                                               \
        run->call.state = vg_call_unpack_state(run, request->poll_state);                          \
        vg_post(vg_loop_executor(run->upstream->loop), &run->task);                                \
    }
FOLLOW(poll, POLL, PollRequest)
FOLLOW(fetch, FETCH, FetchRequest)
FOLLOW(cancel, CANCEL, CancelRequest)
