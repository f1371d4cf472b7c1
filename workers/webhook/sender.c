/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/webhook/sender.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/crash_point.h"
#include "common/http/client.h"
#include "common/loop.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/webhook_secret.h"

#define MAX_ID 128
#define MAX_SECRET 1024
#define MAX_OLD_SECRETS ((size_t)10)
#define MAX_SIGNATURES ((size_t)12 << 10) /* 11 texts of 10 secrets each */
#define MAX_BODY ((size_t)1 << 20)
#define MAX_ANSWER ((size_t)64 << 10)
#define LEAST_TIMEOUT_MS 1000
#define MOST_TIMEOUT_MS 60000
#define USUAL_TIMEOUT_MS 30000
#define CONNECT_TIMEOUT_MS 10000
#define SECOND_TRY_MS 1000
/* At 2,000 callbacks a second longer than the lease of a delivery. */
#define MAX_KNOWN ((size_t)1 << 16)
#define MAX_KNOWN_BYTES ((size_t)16 << 20)
#define KNOWN_MS 120000

static const char user_agent[] = "User-Agent: Videogate/" VG_VERSION;

static const char *const outcome_names[] = {"delivered", "retry", "gone", "refused", NULL};
static const char *const origin_names[] = {"made", "joined", "remembered", NULL};
enum { METRIC_ATTEMPTS, METRIC_SECONDS, METRIC_IN_FLIGHT, METRIC_ANSWERS };
static const struct vg_metric_desc metric_table[] = {
    [METRIC_ATTEMPTS] = {"videogate_webhook_attempts_total", VG_METRIC_COUNTER,
                         "Delivery attempts by outcome.", "outcome", outcome_names},
    [METRIC_SECONDS] = {"videogate_webhook_attempt_seconds", VG_METRIC_HISTOGRAM,
                        "Time of one delivery attempt.", NULL, NULL},
    [METRIC_IN_FLIGHT] = {"videogate_webhook_in_flight", VG_METRIC_GAUGE,
                          "Delivery attempts under way.", NULL, NULL},
    [METRIC_ANSWERS] = {"videogate_webhook_answers_total", VG_METRIC_COUNTER,
                        "Calls answered, by whose attempt it was.", "origin", origin_names},
};

struct vg_sender {
    struct vg_sender_options options;
    struct vg_metric_set *metrics; /* the registry's; may be NULL */
    struct vg_loop *loop;          /* owned */
    struct vg_http_client *client; /* owned; the loop's thread */
    struct vg_attempts *attempts;  /* owned; the loop's thread */
    bool stopping;                 /* the loop's thread */
    atomic_int in_flight;
    struct vg_task close;
};

static void close_client(struct vg_task *task)
{
    struct vg_sender *self = VG_CONTAINER(task, struct vg_sender, close);
    self->stopping = true;
    self->client = vg_http_client_free(self->client);
    vg_loop_stop(self->loop);
}

int vg_sender_start(struct vg_sender **out, const struct vg_sender_options *options,
                    struct vg_err *err)
{
    if (vg_http_guard_check(&options->guard, err))
        return -1;
    struct vg_sender *self = vg_xalloc(sizeof(*self));
    self->options = *options;
    self->close.run = close_client;
    if (options->metrics)
        self->metrics = vg_metrics_register(options->metrics, metric_table, VG_COUNT(metric_table));
    self->loop = vg_loop_new();
    if (vg_http_client_new(&self->client, self->loop, &self->options.guard, err) ||
        vg_loop_start(self->loop, "webhook", err)) {
        vg_http_client_free(self->client);
        vg_loop_free(self->loop);
        free(self);
        return -1;
    }
    self->attempts = vg_attempts_new(&(struct vg_attempts_options){
        .max_count = MAX_KNOWN, .max_bytes = MAX_KNOWN_BYTES, .keep_ns = KNOWN_MS * VG_NS_PER_MS});
    *out = self;
    return 0;
}

struct vg_sender *vg_sender_stop(struct vg_sender *sender)
{
    if (!sender)
        return NULL;
    vg_post(vg_loop_executor(sender->loop), &sender->close);
    vg_loop_join(sender->loop);
    vg_loop_free(sender->loop);
    vg_attempts_free(sender->attempts);
    free(sender);
    return NULL;
}

/* ---- one caller's ---- */

static void end_delivery(struct vg_delivery *delivery)
{
    struct vg_sender *self = delivery->sender;
    if (delivery->ok && !delivery->gone)
        vg_metric_add(self->metrics, METRIC_ANSWERS, delivery->origin, 1);
    vg_metric_add(self->metrics, METRIC_IN_FLIGHT, 0, -1);
    if (!delivery->gone)
        atomic_fetch_sub(&self->in_flight, 1);
    delivery->done(delivery);
}

/* It asked for an attempt that another made. */
static void tell(struct vg_delivery *delivery, const struct vg_attempt_end *end,
                 enum vg_delivery_origin origin)
{
    delivery->ok = true;
    delivery->origin = origin;
    delivery->outcome = end->outcome;
    delivery->http_status = end->http_status;
    delivery->retry_after_ms = end->retry_after_ms;
    delivery->duration_ms = end->duration_ms;
    (void)vg_strcpy(delivery->reason, sizeof(delivery->reason), end->reason); /* fit */
    (void)vg_strcpy(delivery->answer, sizeof(delivery->answer), end->answer);
}

/* ---- one attempt ---- */

/* Who asks for it from now on is told `end`, or, NULL, has it made anew. */
static void settle(struct vg_delivery *delivery, const struct vg_attempt_end *end)
{
    if (delivery->known)
        vg_attempts_end(delivery->sender->attempts, delivery->known, end, vg_now_ns());
    delivery->known = NULL;
}

static void end_attempt(struct vg_delivery *delivery)
{
    struct vg_sender *self = delivery->sender;
    const struct vg_attempt_end end = {.outcome = delivery->outcome,
                                       .http_status = delivery->http_status,
                                       .retry_after_ms = delivery->retry_after_ms,
                                       .duration_ms = delivery->duration_ms,
                                       .reason = delivery->reason,
                                       .answer = delivery->answer};
    if (delivery->ok) {
        vg_metric_add(self->metrics, METRIC_ATTEMPTS, delivery->outcome, 1);
        vg_metric_observe_ns(self->metrics, METRIC_SECONDS, 0,
                             delivery->duration_ms * VG_NS_PER_MS);
    }
    vg_timer_stop(&delivery->linger);
    /* Only what the receiver said is kept: anything else may go better the next time. */
    settle(delivery, end.http_status > 0 ? &end : NULL);
    for (struct vg_delivery *one = delivery->joined, *next; one; one = next) {
        next = one->next;
        if (delivery->ok)
            tell(one, &end, VG_DELIVERY_JOINED);
        else
            one->err = delivery->err;
        end_delivery(one);
    }
    end_delivery(delivery);
}

static void judge_status(struct vg_delivery *delivery, int status)
{
    delivery->http_status = status;
    if (status >= 200 && status < 300) {
        delivery->outcome = VG_DELIVERY_DELIVERED;
        return;
    }
    delivery->outcome = status == 410 ? VG_DELIVERY_GONE : VG_DELIVERY_RETRY;
    (void)snprintf(delivery->reason, sizeof(delivery->reason), "status_%d", status);
}

/* Nobody heard the first: at once once more. */
static bool worth_a_second(const struct vg_delivery *delivery, const struct vg_http_result *result)
{
    const char *reason = result->reason ? result->reason : "";
    return !delivery->again && !delivery->cancelled && !delivery->sender->stopping &&
           !result->sent && result->status == 0 && result->duration_ms < SECOND_TRY_MS &&
           (strcmp(reason, "connect") == 0 || strcmp(reason, "reset") == 0);
}

static void try_now(struct vg_delivery *delivery);

/* What the receiver said counts by its status alone: nothing that becomes of the rest (too long,
 * cut, dripping beyond the time) changes it, so it is not sent again for that. */
static void on_done(void *ctx, const struct vg_http_result *result)
{
    struct vg_delivery *delivery = ctx;
    const char *reason = result->reason ? result->reason : "";
    vg_crash_point("attempt", "callback", "after");
    delivery->transfer = NULL;
    delivery->duration_ms = delivery->spent_ms + result->duration_ms;
    if (worth_a_second(delivery, result)) {
        delivery->again = true;
        delivery->spent_ms = delivery->duration_ms;
        try_now(delivery);
        return;
    }
    delivery->ok = true;
    delivery->retry_after_ms = result->retry_after_ms;
    vg_webhook_answer(delivery->answer, result->body);
    if (result->status > 0 && strcmp(reason, "cancelled") != 0) {
        judge_status(delivery, result->status);
    } else {
        bool refused = strcmp(reason, "refused") == 0 || strcmp(reason, "url") == 0;
        delivery->outcome = refused ? VG_DELIVERY_REFUSED : VG_DELIVERY_RETRY;
        (void)vg_strcpy(delivery->reason, sizeof(delivery->reason), reason); /* cut is fine */
    }
    end_attempt(delivery);
}

/* Visible ASCII without the dot that separates the signed parts. */
static bool id_ok(const char *id)
{
    size_t len = strnlen(id, MAX_ID + 1);
    if (len < 1 || len > MAX_ID)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (id[i] < 0x21 || id[i] > 0x7e || id[i] == '.')
            return false;
    }
    return true;
}

static bool secret_ok(const char *secret)
{
    size_t len = strnlen(secret, MAX_SECRET + 1);
    return len >= 1 && len <= MAX_SECRET;
}

static int check_secrets(const struct vg_delivery *delivery, struct vg_err *err)
{
    if (!secret_ok(delivery->secret))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "secret",
                            "secret: must have 1 to %d bytes.", MAX_SECRET);
    if (delivery->old_count > MAX_OLD_SECRETS)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "old_secrets", "old_secrets: at most %zu.",
                            MAX_OLD_SECRETS);
    for (size_t i = 0; i < delivery->old_count; i++) {
        if (!secret_ok(delivery->old_secrets[i]))
            return vg_err_param(err, VG_ERR_INVALID_REQUEST, "old_secrets",
                                "old_secrets: each must have 1 to %d bytes.", MAX_SECRET);
    }
    return 0;
}

static int check_delivery(const struct vg_delivery *delivery, struct vg_err *err)
{
    if (!id_ok(delivery->id))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "id",
                            "id: must be 1 to %d visible characters without a dot.", MAX_ID);
    if (check_secrets(delivery, err))
        return -1;
    if (delivery->body.len > MAX_BODY)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "body", "body: at most 1 MiB.");
    int64_t timeout = delivery->timeout_ms;
    if (timeout && (timeout < LEAST_TIMEOUT_MS || timeout > MOST_TIMEOUT_MS))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "timeout_ms",
                            "timeout_ms: must be 0 or between %d and %d.", LEAST_TIMEOUT_MS,
                            MOST_TIMEOUT_MS);
    return 0;
}

/* One signature for each secret that is good, newest first, separated by spaces. */
static void write_signatures(struct vg_buf *out, const struct vg_delivery *delivery,
                             int64_t timestamp)
{
    VG_ASSERT(vg_buf_adds(out, "webhook-signature:") == 0);
    for (size_t i = 0; i <= delivery->old_count; i++) {
        const char *secret = i == 0 ? delivery->secret : delivery->old_secrets[i - 1];
        VG_ASSERT(vg_webhook_secret_sign(out, secret, delivery->id, timestamp, delivery->body) ==
                  0);
    }
}

static void send_request(struct vg_delivery *delivery, const char *url)
{
    char id[MAX_ID + 16];
    char timestamp[48];
    struct vg_buf signatures;
    int64_t now = vg_wall_ms() / 1000;
    vg_buf_init(&signatures, MAX_SIGNATURES);
    write_signatures(&signatures, delivery, now);
    (void)snprintf(id, sizeof(id), "webhook-id: %s", delivery->id);
    (void)snprintf(timestamp, sizeof(timestamp), "webhook-timestamp: %" PRId64, now);
    const char *const headers[] = {
        id, timestamp, signatures.data, "Content-Type: application/json", user_agent, NULL};
    const struct vg_http_request request = {
        .method = "POST",
        .url = url,
        .headers = headers,
        .body = delivery->body,
        .timeout_ms = delivery->timeout_ms ? delivery->timeout_ms : USUAL_TIMEOUT_MS,
        .connect_timeout_ms = CONNECT_TIMEOUT_MS,
        .max_response = MAX_ANSWER,
        .on_done = on_done,
        .ctx = delivery,
        .repeatable = true, /* the receiver tells repetitions by webhook-id */
    };
    vg_crash_point("attempt", "callback", "before");
    delivery->transfer = vg_http_start(delivery->sender->client, &request);
    vg_buf_fini(&signatures);
}

static void try_now(struct vg_delivery *delivery)
{
    struct vg_sender *self = delivery->sender;
    struct vg_buf url;
    struct vg_err err;
    if (self->stopping) {
        (void)vg_err_set(&delivery->err, VG_ERR_UNAVAILABLE, "The sender is stopping.");
        end_attempt(delivery);
        return;
    }
    vg_buf_init(&url, 16 << 10);
    if (vg_http_guard_url(&self->options.guard, delivery->url, "url", &url, &err)) {
        delivery->ok = true;
        delivery->outcome = VG_DELIVERY_REFUSED;
        (void)vg_strcpy(delivery->reason, sizeof(delivery->reason), "url"); /* fits */
        end_attempt(delivery);
    } else {
        send_request(delivery, url.data);
    }
    vg_buf_fini(&url);
}

static void linger_over(struct vg_timer *timer);

static void join(struct vg_delivery *delivery, struct vg_delivery *first)
{
    delivery->first = first;
    delivery->next = first->joined;
    first->joined = delivery;
    first->listeners++;
    vg_timer_stop(&first->linger);
}

/* Whether it needs no attempt of its own. */
static bool use_known(struct vg_delivery *delivery)
{
    struct vg_attempts *attempts = delivery->sender->attempts;
    int64_t now = vg_now_ns();
    struct vg_attempt *known = vg_attempts_find(attempts, &delivery->key, now);
    if (!known) {
        delivery->known = vg_attempts_begin(attempts, &delivery->key, delivery, now);
        return false;
    }
    struct vg_delivery *first = vg_attempt_owner(known);
    if (first) {
        join(delivery, first);
    } else {
        struct vg_attempt_end end;
        vg_attempt_read(known, &end);
        tell(delivery, &end, VG_DELIVERY_REMEMBERED);
        end_delivery(delivery);
    }
    return true;
}

static void on_loop(struct vg_task *task)
{
    struct vg_delivery *delivery = VG_CONTAINER(task, struct vg_delivery, task);
    struct vg_sender *self = delivery->sender;

    vg_timer_init(&delivery->linger, self->loop, linger_over);
    delivery->began_ns = vg_now_ns();
    if (delivery->begun)
        delivery->begun(delivery);
    if (self->stopping || delivery->attempt <= 0 || !use_known(delivery))
        try_now(delivery);
}

struct vg_executor *vg_sender_executor(struct vg_sender *sender)
{
    return vg_loop_executor(sender->loop);
}

static void cut(struct vg_delivery *delivery)
{
    delivery->cancelled = true;
    settle(delivery, NULL);
    if (delivery->transfer)
        vg_http_cancel(delivery->transfer);
}

static void linger_over(struct vg_timer *timer)
{
    cut(VG_CONTAINER(timer, struct vg_delivery, linger));
}

static void end_alone(struct vg_task *task)
{
    end_delivery(VG_CONTAINER(task, struct vg_delivery, task));
}

/* One that has joined and waits no longer. */
static void leave(struct vg_delivery *delivery)
{
    const struct vg_attempt_end end = {
        .outcome = VG_DELIVERY_RETRY, .reason = "cancelled", .answer = ""};
    struct vg_delivery **at = &delivery->first->joined;
    while (*at != delivery)
        at = &(*at)->next;
    *at = delivery->next;
    tell(delivery, &end, VG_DELIVERY_JOINED);
    delivery->task.run = end_alone;
    vg_post(vg_loop_executor(delivery->sender->loop), &delivery->task);
}

void vg_sender_cancel(struct vg_delivery *delivery)
{
    struct vg_delivery *first = delivery->first;
    if (delivery->gone)
        return;
    delivery->gone = true;
    atomic_fetch_sub(&delivery->sender->in_flight, 1); /* it keeps no other out */
    if (first != delivery)
        leave(delivery);
    if (--first->listeners > 0)
        return;
    int64_t until = first->began_ns + delivery->sender->options.linger_ms * VG_NS_PER_MS;
    if (first->known && until > vg_now_ns())
        vg_timer_start(&first->linger, until);
    else
        cut(first);
}

void vg_sender_deliver(struct vg_sender *sender, struct vg_delivery *delivery)
{
    delivery->sender = sender;
    delivery->ok = false;
    delivery->outcome = VG_DELIVERY_RETRY;
    delivery->http_status = 0;
    delivery->retry_after_ms = delivery->duration_ms = 0;
    delivery->reason[0] = delivery->answer[0] = '\0';
    delivery->origin = VG_DELIVERY_MADE;
    delivery->again = delivery->cancelled = delivery->gone = false;
    delivery->transfer = NULL;
    delivery->known = NULL;
    delivery->first = delivery;
    delivery->joined = delivery->next = NULL;
    delivery->listeners = 1;
    delivery->spent_ms = 0;
    delivery->task.run = on_loop;
    if (check_delivery(delivery, &delivery->err)) {
        delivery->done(delivery);
        return;
    }
    if (atomic_fetch_add(&sender->in_flight, 1) >= sender->options.max_attempts) {
        atomic_fetch_sub(&sender->in_flight, 1);
        (void)vg_err_set(&delivery->err, VG_ERR_OVERLOADED, "Too many attempts are under way.");
        delivery->err.retry_after_ms = 1000;
        delivery->done(delivery);
        return;
    }
    if (delivery->attempt > 0)
        vg_attempt_key(&delivery->key, &(struct vg_attempt_name){.id = delivery->id,
                                                                 .url = delivery->url,
                                                                 .body = delivery->body,
                                                                 .attempt = delivery->attempt,
                                                                 .round = delivery->round});
    vg_metric_add(sender->metrics, METRIC_IN_FLIGHT, 0, 1);
    vg_post(vg_loop_executor(sender->loop), &delivery->task);
}
