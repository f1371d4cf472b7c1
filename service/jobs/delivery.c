/* SPDX-License-Identifier: Apache-2.0 */
/* Callback deliveries: claim, build the body once, store it, send it, record what came of it. The
 * schedule and the log are ours, one attempt is the webhook sender's. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/crash_point.h"
#include "common/id.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "service/jobs/jobs_priv.h"
#include "service/jobs/webhook_call.h"
#include "service/jobs/webhook_event.h"
#include "videogate/v1/webhook.pb-c.h"

enum {
    ATTEMPT_MS = 30 * 1000,
    LEASE_MS = 60 * 1000, /* an attempt and its record, with room; no heartbeat */
    CLAIM_DEADLINE_MS = 10 * 1000,
    GAP_MS = 5, /* between claims that leave nothing behind, however often we are woken */
    RECORD_DEADLINE_MS = 10 * 1000,
    RECORD_RETRY_MS = 300,
    MAX_SLEEP_MS = 1000,
    MAX_CLAIM = 256,
    RETRY_MIN_MS = 100,
    RETRY_MAX_MS = 5000,
    SENDER_AWAY_MS = 250, /* look again */
    AWAY_WAIT_MS = 2000,  /* a delivery whose sender went away in mid-call */
    MAX_BODY = 1024 * 1024,
    MAX_REASON = 200,
    MAX_ANSWER = 512,
    MAX_FRAME = 4 * 1024 * 1024
};

struct delivery {
    struct vg_deliveries *all; /* borrowed */
    struct delivery *prev, *next;
    struct vg_arena *arena; /* owned */
    struct vg_delivery row; /* strings in the arena */
    int64_t claimed_ns;
    struct vg_delivery_body body;
    struct vg_rpc_unary call;
    struct vg_delivery_result result;
    struct vg_timer retry;
    bool calling, storing;
};

struct vg_deliveries {
    struct vg_jobs *jobs;
    struct vg_rpc_channel *channel; /* owned; NULL: no sender configured */
    struct vg_timer timer;
    struct vg_delivery_claim claim;
    bool claiming, again;
    int64_t next_ns; /* no claim for a mere wake-up before */
    int32_t failures;
    struct delivery *list;
    int32_t count;
};

static void record(struct delivery *d);
static void send(struct delivery *d);

/* ---- one delivery -------------------------------------------------------------------------- */

static void free_delivery(struct delivery *d)
{
    struct vg_deliveries *all = d->all;
    if (d->prev) {
        d->prev->next = d->next;
    } else {
        all->list = d->next;
    }
    if (d->next) {
        d->next->prev = d->prev;
    }
    all->count--;
    vg_timer_stop(&d->retry);
    vg_arena_free(d->arena);
    free(d);
    vg_jobs_busy(all->jobs, -1);
    vg_deliveries_kick(all->jobs);
}

static void log_result(const struct delivery *d)
{
    const struct vg_delivery_result *r = &d->result;
    vg_log(VG_LOG_INFO, "delivery", VG_S("delivery", d->row.id), VG_S("video", d->row.video_id),
           VG_S("state", vg_delivery_state_name(r->state)), VG_I("attempt", d->row.attempts + 1),
           VG_I("http_status", r->http_status), VG_S("reason", r->reason),
           VG_I("duration_ms", r->duration_ms), VG_I("due_ms", r->due_ms));
}

/* The owner sees it at the endpoint: disabled_at, disabled_reason. */
static void tell_disabled(const struct delivery *d)
{
    bool gone = strcmp(d->result.disabled, "gone") == 0;
    vg_log(VG_LOG_WARN, "webhook endpoint disabled", VG_S("endpoint", d->row.endpoint_id),
           VG_S("reason", d->result.disabled), VG_S("next", "an update takes it back"));
    vg_metric_add(d->all->jobs->metrics, VG_JM_ENDPOINTS_DISABLED, gone ? 0 : 1, 1);
}

static void record_done(struct vg_task *task)
{
    struct delivery *d = VG_CONTAINER(task, struct delivery, result.op.done);
    struct vg_jobs *jobs = d->all->jobs;
    d->storing = false;
    const struct vg_err *err = &d->result.op.err;
    if (d->result.op.ok) {
        if (d->result.applied) {
            log_result(d);
        }
        if (d->result.disabled) {
            tell_disabled(d);
        }
        free_delivery(d);
        return;
    }
    int64_t held_ms = (vg_now_ns() - d->claimed_ns) / VG_NS_PER_MS;
    if (jobs->dying || !vg_err_info(err->kind)->retryable || held_ms > 2 * (int64_t)LEASE_MS) {
        vg_log(VG_LOG_ERROR, "delivery not recorded", VG_S("delivery", d->row.id),
               VG_S("error", vg_err_info(err->kind)->reason),
               VG_S("next", "sent again when its lease has run out"));
        free_delivery(d);
        return;
    }
    vg_timer_start(&d->retry, vg_deadline_in_ms(RECORD_RETRY_MS));
}

static void record_again(struct vg_timer *timer)
{
    record(VG_CONTAINER(timer, struct delivery, retry));
}

static void record(struct delivery *d)
{
    if (d->all->jobs->dying) {
        free_delivery(d);
        return;
    }
    d->storing = true;
    d->result.op = (struct vg_db_op){
        .executor = d->all->jobs->executor,
        .done = {.run = record_done},
        .deadline_ns = vg_deadline_in_ms(RECORD_DEADLINE_MS),
        .arena = d->arena,
    };
    d->result.policy = &d->all->jobs->options.receivers;
    d->result.id = d->row.id;
    d->result.lease_seq = d->row.lease_seq;
    vg_delivery_result(d->all->jobs->db, &d->result);
}

static void count_end(const struct delivery *d, enum vg_delivery_end end)
{
    vg_metric_add(d->all->jobs->metrics, VG_JM_DELIVERIES, end, 1);
}

/* What the schedule says; the rest of the result is there. */
static void plan_next(struct delivery *d, Videogate__V1__DeliverOutcome outcome,
                      int64_t retry_after_ms)
{
    const struct vg_delivery_next next = vg_delivery_next(
        &d->all->jobs->schedule, d->row.attempts + 1, outcome, retry_after_ms, vg_random_unit());
    d->result.state = next.state;
    d->result.due_ms = next.wait_ms;
    static const enum vg_delivery_end ends[VG_DELIVERY_STATE_MAX] = {
        [VG_DELIVERY_PENDING] = VG_DE_RETRY,
        [VG_DELIVERY_DELIVERED] = VG_DE_DELIVERED,
        [VG_DELIVERY_FAILED] = VG_DE_EXHAUSTED,
        [VG_DELIVERY_GONE] = VG_DE_GONE,
    };
    bool refused = outcome == VIDEOGATE__V1__DELIVER_OUTCOME__DELIVER_OUTCOME_REFUSED;
    count_end(d, refused ? VG_DE_REFUSED : ends[next.state]);
    record(d);
}

/* An attempt was made. */
static void answered(struct delivery *d, const Videogate__V1__DeliverResponse *r)
{
    const struct vg_delivery_sign said =
        vg_delivery_sign(r->outcome, r->http_status, r->retry_after_ms);
    d->result.sign = said.sign;
    d->result.hold_ms = said.hold_ms;
    d->result.http_status = r->http_status;
    d->result.reason = vg_clean_text(d->arena, r->reason, MAX_REASON);
    d->result.duration_ms = r->duration_ms;
    d->result.answer = r->answer[0] ? vg_clean_text(d->arena, r->answer, MAX_ANSWER) : NULL;
    plan_next(d, r->outcome, r->retry_after_ms);
}

/* It counts as an attempt, but the fault is ours: the schedule gives the time to mend it. */
static void failed_here(struct delivery *d, const char *reason)
{
    d->result.reason = reason;
    d->result.duration_ms = (vg_now_ns() - d->claimed_ns) / VG_NS_PER_MS;
    plan_next(d, VIDEOGATE__V1__DELIVER_OUTCOME__DELIVER_OUTCOME_RETRY, 0);
}

/* The receiver saw nothing: only the row goes back. */
static void not_attempted(struct delivery *d, int64_t wait_ms)
{
    d->result.not_made = true;
    d->result.state = VG_DELIVERY_PENDING;
    d->result.due_ms = wait_ms;
    d->result.reason = "sender_away";
    count_end(d, VG_DE_SENDER_AWAY);
    record(d);
}

static void deliver_done(struct vg_task *task)
{
    struct delivery *d = VG_CONTAINER(task, struct delivery, call.done);
    struct vg_jobs *jobs = d->all->jobs;
    d->calling = false;
    vg_crash_point("call", "Deliver", "after");
    ProtobufCMessage *message = d->call.response;
    d->call.response = NULL;
    if (d->call.ok) {
        answered(d, (const Videogate__V1__DeliverResponse *)(const void *)message);
    } else if (d->call.grpc_code == VG_GRPC_UNAVAILABLE || jobs->draining) {
        not_attempted(d, jobs->draining ? 0 : AWAY_WAIT_MS);
    } else {
        failed_here(d, "sender_failed");
    }
    if (message) {
        protobuf_c_message_free_unpacked(message, NULL);
    }
}

/* The owner has taken the endpoint away, or it asked for no more. */
static void end_without_endpoint(struct delivery *d)
{
    d->result.not_made = true;
    d->result.state = VG_DELIVERY_GONE;
    d->result.reason =
        d->row.endpoint == VG_ENDPOINT_DELETED ? "endpoint_deleted" : "endpoint_disabled";
    count_end(d, VG_DE_GONE);
    record(d);
}

static void send(struct delivery *d)
{
    struct vg_jobs *jobs = d->all->jobs;
    if (jobs->draining) {
        not_attempted(d, 0);
        return;
    }
    const struct vg_view own = {d->row.secret_sealed, d->row.secret_size};
    bool to_endpoint = d->row.endpoint_id != NULL;
    const struct vg_webhook_call call = {
        .id = d->row.id,
        .url = d->row.url,
        .body = {d->row.body, d->row.body_size},
        .keyring = jobs->options.keyring,
        .aad = to_endpoint ? d->row.endpoint_id : d->row.video_id,
        .sealed = to_endpoint ? d->row.endpoint_sealed : &own,
        .sealed_count = to_endpoint ? d->row.endpoint_sealed_count : 1,
        .timeout_ms = ATTEMPT_MS,
        .executor = jobs->executor,
    };
    d->calling = true;
    vg_crash_point("call", "Deliver", "before");
    if (vg_webhook_call_start(d->all->channel, &call, deliver_done, &d->call)) {
        d->calling = false;
        failed_here(d, "secret_unreadable"); /* the key may be put right */
    }
}

/* ---- the body ------------------------------------------------------------------------------ */

static void body_done(struct vg_task *task)
{
    struct delivery *d = VG_CONTAINER(task, struct delivery, body.op.done);
    d->storing = false;
    if (d->body.op.ok && d->body.applied && !d->all->jobs->dying) {
        send(d);
    } else {
        free_delivery(d); /* nothing was sent; again when the lease has run out */
    }
}

static int build_body(struct delivery *d, struct vg_buf *out)
{
    const struct vg_video *video = &d->row.video;
    Videogate__V1__Video message = VIDEOGATE__V1__VIDEO__INIT;
    d->all->jobs->options.translate(d->all->jobs->options.ctx, video, &message, d->arena);
    const struct vg_webhook_event event = {
        .id = d->row.id,
        .type = d->row.event_type ? d->row.event_type : vg_webhook_plain_type(video->status),
        .created_at = video->completed_at ? video->completed_at : d->row.created_at,
    };
    return vg_webhook_event_write(&event, &message, out);
}

static void store_body(struct delivery *d)
{
    struct vg_buf buf;
    vg_buf_init(&buf, MAX_BODY);
    if (build_body(d, &buf)) {
        vg_buf_fini(&buf);
        failed_here(d, "body_too_large");
        return;
    }
    d->row.body = vg_arena_memdup(d->arena, buf.data, buf.len);
    d->row.body_size = buf.len;
    vg_buf_fini(&buf);
    d->storing = true;
    d->body = (struct vg_delivery_body){
        .op = {.executor = d->all->jobs->executor,
               .done = {.run = body_done},
               .deadline_ns = vg_deadline_in_ms(RECORD_DEADLINE_MS),
               .arena = d->arena},
        .id = d->row.id,
        .lease_seq = d->row.lease_seq,
        .body = d->row.body,
        .body_size = d->row.body_size,
    };
    vg_delivery_body(d->all->jobs->db, &d->body);
}

/* ---- claiming ------------------------------------------------------------------------------ */

static const char *dup_text(struct vg_arena *arena, const char *text)
{
    return text ? vg_arena_strdup(arena, text) : NULL;
}

/* The row without its video, which lives in the claim's arena. */
static void copy_row(struct delivery *d, const struct vg_delivery *row)
{
    d->row = *row;
    d->row.id = dup_text(d->arena, row->id);
    d->row.video_id = dup_text(d->arena, row->video_id);
    d->row.url = dup_text(d->arena, row->url);
    d->row.last_reason = NULL;
    d->row.secret_sealed =
        vg_arena_memdup(d->arena, row->secret_size ? row->secret_sealed : "", row->secret_size);
    d->row.endpoint_id = dup_text(d->arena, row->endpoint_id);
    d->row.event_type = dup_text(d->arena, row->event_type);
    for (size_t i = 0; i < row->endpoint_sealed_count; i++) {
        d->row.endpoint_sealed[i].data =
            vg_arena_memdup(d->arena, row->endpoint_sealed[i].data, row->endpoint_sealed[i].len);
    }
    if (row->body) {
        d->row.body = vg_arena_memdup(d->arena, row->body, row->body_size);
    }
}

/* Everything that needs the claim's arena happens before this returns. */
static void start_delivery(struct vg_deliveries *all, const struct vg_delivery *row)
{
    struct delivery *d = vg_xalloc(sizeof(*d));
    d->all = all;
    d->arena = vg_arena_new();
    d->claimed_ns = vg_now_ns();
    copy_row(d, row);
    vg_timer_init(&d->retry, all->jobs->loop, record_again);
    d->next = all->list;
    if (d->next) {
        d->next->prev = d;
    }
    all->list = d;
    all->count++;
    vg_jobs_busy(all->jobs, 1);
    if (d->row.endpoint != VG_ENDPOINT_LIVE) {
        end_without_endpoint(d);
    } else if (d->row.body) {
        send(d);
    } else {
        store_body(d);
    }
}

static int64_t sleep_ms(struct vg_deliveries *all, const struct vg_delivery_claim *claim)
{
    if (!claim->op.ok) {
        all->failures++;
        return vg_fsm_backoff(RETRY_MIN_MS, RETRY_MAX_MS, all->failures, vg_random_unit());
    }
    all->failures = 0;
    if (claim->next_due_ms <= 0) {
        return RETRY_MIN_MS; /* due, but its receiver has all it may have at once */
    }
    return claim->next_due_ms < MAX_SLEEP_MS ? claim->next_due_ms : MAX_SLEEP_MS;
}

static void claim_done(struct vg_task *task)
{
    struct vg_deliveries *all = VG_CONTAINER(task, struct vg_deliveries, claim.op.done);
    struct vg_jobs *jobs = all->jobs;
    struct vg_delivery_claim claim = all->claim;
    vg_jobs_busy(jobs, 1);
    if (claim.op.ok && !jobs->dying) {
        for (size_t i = 0; i < claim.count; i++) {
            start_delivery(all, &claim.deliveries[i]);
        }
    }
    all->claiming = false;
    if (!jobs->draining) {
        vg_timer_start(&all->timer, vg_deadline_in_ms(sleep_ms(all, &claim)));
        bool more = claim.op.ok && claim.count > 0 && (int32_t)claim.count == claim.limit;
        if (more) {
            all->next_ns = 0;
        }
        if (all->again || more) {
            vg_deliveries_kick(jobs);
        }
    }
    vg_arena_free(claim.op.arena);
    vg_jobs_busy(jobs, -1);
}

static void claim_now(struct vg_deliveries *all)
{
    all->claiming = true;
    all->again = false;
    all->next_ns = vg_deadline_in_ms(GAP_MS);
    vg_timer_stop(&all->timer);
    int32_t room = VG_DELIVERIES_MAX - all->count;
    all->claim = (struct vg_delivery_claim){
        .op = {.executor = all->jobs->executor,
               .done = {.run = claim_done},
               .deadline_ns = vg_deadline_in_ms(CLAIM_DEADLINE_MS),
               .arena = vg_arena_new()},
        .limit = room < MAX_CLAIM ? room : MAX_CLAIM,
        .lease_ms = LEASE_MS,
        .per_host = all->jobs->options.receiver_concurrency,
    };
    vg_delivery_claim(all->jobs->db, &all->claim);
}

static void try_claim(struct vg_deliveries *all)
{
    if (all->claiming || all->count >= VG_DELIVERIES_MAX) {
        return;
    }
    if (!vg_rpc_channel_ready(all->channel, true)) {
        vg_timer_start(&all->timer, vg_deadline_in_ms(SENDER_AWAY_MS));
        return;
    }
    claim_now(all);
}

void vg_deliveries_kick(struct vg_jobs *jobs)
{
    if (!jobs->started || jobs->draining || !jobs->deliveries->channel) {
        return;
    }
    struct vg_deliveries *all = jobs->deliveries;
    all->again = true;
    bool may = !all->claiming && all->count < VG_DELIVERIES_MAX && all->failures == 0;
    if (may && (!vg_timer_armed(&all->timer) || all->next_ns < all->timer.at_ns)) {
        vg_timer_start(&all->timer, all->next_ns);
    }
}

static void time_to_claim(struct vg_timer *timer)
{
    struct vg_deliveries *all = VG_CONTAINER(timer, struct vg_deliveries, timer);
    if (!all->jobs->draining) {
        try_claim(all);
        if (!all->claiming && !vg_timer_armed(&all->timer)) {
            vg_timer_start(&all->timer, vg_deadline_in_ms(MAX_SLEEP_MS));
        }
    }
}

/* ---- life ---------------------------------------------------------------------------------- */

int vg_deliveries_new(struct vg_deliveries **out, struct vg_jobs *jobs,
                      const struct vg_jobs_options *options, struct vg_err *err)
{
    struct vg_deliveries *all = vg_xalloc(sizeof(*all));
    all->jobs = jobs;
    vg_timer_init(&all->timer, jobs->loop, time_to_claim);
    if (options->webhook && options->webhook[0]) {
        VG_ASSERT(options->translate);
        const struct vg_rpc_channel_options channel = {
            .target = options->webhook,
            .tls = options->tls,
            .use_tls = options->use_tls,
            .max_message = MAX_FRAME,
            .metrics = options->metrics,
        };
        if (vg_rpc_channel_new(&all->channel, &channel, err)) {
            free(all);
            return -1;
        }
    }
    *out = all;
    return 0;
}

void vg_deliveries_stop(struct vg_jobs *jobs)
{
    vg_timer_stop(&jobs->deliveries->timer);
}

void vg_deliveries_cut_short(struct vg_jobs *jobs)
{
    for (struct delivery *d = jobs->deliveries->list, *next; d; d = next) {
        next = d->next;
        if (d->calling) {
            vg_rpc_unary_cancel(&d->call);
        } else if (jobs->dying && !d->storing) {
            free_delivery(d);
        }
    }
}

void vg_deliveries_close(struct vg_deliveries *deliveries)
{
    if (deliveries->channel) {
        deliveries->channel = vg_rpc_channel_free(deliveries->channel);
    }
}

struct vg_rpc_channel *vg_deliveries_channel(const struct vg_jobs *jobs)
{
    return jobs->deliveries->channel;
}

struct vg_deliveries *vg_deliveries_free(struct vg_deliveries *deliveries)
{
    free(deliveries);
    return NULL;
}
