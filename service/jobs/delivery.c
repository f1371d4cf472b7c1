/* SPDX-License-Identifier: Apache-2.0 */
#include "service/jobs/delivery.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/crash_point.h"
#include "common/id.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "service/jobs/delivery_lease.h"
#include "service/jobs/webhook_call.h"
#include "service/jobs/webhook_event.h"
#include "videogate/v1/webhook.pb-c.h"

enum {
    ATTEMPT_MS = 30 * 1000,
    GIVE_UP_MS = 2 * 60 * 1000, /* on a result that cannot be recorded */
    RECORD_DEADLINE_MS = 10 * 1000,
    AWAY_WAIT_MS = 2000, /* a delivery whose sender went away in mid-call */
    MAX_BODY = 1024 * 1024,
    MAX_REASON = 200,
    MAX_ANSWER = 512
};

struct vg_delivering {
    struct vg_delivering_list *list; /* borrowed */
    struct vg_delivering *prev, *next;
    struct vg_arena *arena; /* owned */
    struct vg_delivery row; /* strings in the arena */
    int64_t claimed_ns;
    struct vg_delivery_lease lease;
    struct vg_delivery_body body;
    struct vg_rpc_unary call;
    struct vg_delivery_result result;
    struct vg_timer retry;
    bool calling, storing;
    bool unrecorded; /* a result that could not be recorded yet */
};

static void record(struct vg_delivering *d);

static void release(struct vg_delivery_lease *lease)
{
    struct vg_delivering *d = VG_CONTAINER(lease, struct vg_delivering, lease);
    struct vg_jobs *jobs = d->list->jobs;
    vg_arena_free(d->arena);
    free(d);
    vg_jobs_busy(jobs, -1);
}

static void free_delivery(struct vg_delivering *d)
{
    struct vg_delivering_list *list = d->list;
    struct vg_jobs *jobs = list->jobs;
    if (d->prev) {
        d->prev->next = d->next;
    } else {
        list->first = d->next;
    }
    if (d->next) {
        d->next->prev = d->prev;
    }
    list->count--;
    list->unrecorded -= d->unrecorded;
    vg_timer_stop(&d->retry);
    vg_deliveries_kick(jobs);
    if (vg_delivery_lease_end(&d->lease)) {
        release(&d->lease);
    }
}

/* Another process may send it soon: hang up, so that the receiver never has two at once. What was
 * answered meanwhile is recorded, if the row is still ours. */
static void lease_lost(struct vg_delivery_lease *lease)
{
    struct vg_delivering *d = VG_CONTAINER(lease, struct vg_delivering, lease);
    vg_log(VG_LOG_WARN, "delivery lease lost", VG_S("delivery", d->row.id),
           VG_S("video", d->row.video_id));
    if (d->calling) {
        vg_rpc_unary_cancel(&d->call);
    }
}

static void log_result(const struct vg_delivering *d)
{
    const struct vg_delivery_result *r = &d->result;
    vg_log(VG_LOG_INFO, "delivery", VG_S("delivery", d->row.id), VG_S("video", d->row.video_id),
           VG_S("state", vg_delivery_state_name(r->state)), VG_I("attempt", d->row.attempts + 1),
           VG_I("http_status", r->http_status), VG_S("reason", r->reason),
           VG_I("duration_ms", r->duration_ms), VG_I("due_ms", r->due_ms));
}

/* The owner sees it at the endpoint: disabled_at, disabled_reason. */
static void tell_disabled(const struct vg_delivering *d)
{
    bool gone = strcmp(d->result.disabled, "gone") == 0;
    vg_log(VG_LOG_WARN, "webhook endpoint disabled", VG_S("endpoint", d->row.endpoint_id),
           VG_S("reason", d->result.disabled), VG_S("next", "an update takes it back"));
    vg_metric_add(d->list->jobs->metrics, VG_JM_ENDPOINTS_DISABLED, gone ? 0 : 1, 1);
}

static void record_done(struct vg_task *task)
{
    struct vg_delivering *d = VG_CONTAINER(task, struct vg_delivering, result.op.done);
    struct vg_jobs *jobs = d->list->jobs;
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
    if (jobs->dying || !vg_err_info(err->kind)->retryable || held_ms > GIVE_UP_MS) {
        vg_log(VG_LOG_ERROR, "delivery not recorded", VG_S("delivery", d->row.id),
               VG_S("error", vg_err_info(err->kind)->reason),
               VG_S("next", "sent again when its lease has run out"));
        free_delivery(d);
        return;
    }
    d->list->unrecorded += !d->unrecorded;
    d->unrecorded = true;
    vg_timer_start(&d->retry, vg_deadline_in_ms(VG_DELIVERY_RECORD_RETRY_MS));
}

static void record_again(struct vg_timer *timer)
{
    record(VG_CONTAINER(timer, struct vg_delivering, retry));
}

static void record(struct vg_delivering *d)
{
    if (d->list->jobs->dying) {
        free_delivery(d);
        return;
    }
    d->storing = true;
    d->result.op = (struct vg_db_op){
        .executor = d->list->jobs->executor,
        .done = {.run = record_done},
        .deadline_ns = vg_deadline_in_ms(RECORD_DEADLINE_MS),
        .arena = d->arena,
    };
    d->result.policy = &d->list->jobs->options.receivers;
    d->result.id = d->row.id;
    d->result.lease_seq = d->row.lease_seq;
    vg_delivery_result(d->list->jobs->db, &d->result);
}

static void count_end(const struct vg_delivering *d, enum vg_delivery_end end)
{
    vg_metric_add(d->list->jobs->metrics, VG_JM_DELIVERIES, end, 1);
}

/* What the schedule says; the rest of the result is there. */
static void plan_next(struct vg_delivering *d, Videogate__V1__DeliverOutcome outcome,
                      int64_t retry_after_ms)
{
    const struct vg_delivery_next next = vg_delivery_next(
        &d->list->jobs->schedule, d->row.attempts + 1, outcome, retry_after_ms, vg_random_unit());
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
static void answered(struct vg_delivering *d, const Videogate__V1__DeliverResponse *r)
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
static void failed_here(struct vg_delivering *d, const char *reason)
{
    d->result.reason = reason;
    d->result.duration_ms = (vg_now_ns() - d->claimed_ns) / VG_NS_PER_MS;
    plan_next(d, VIDEOGATE__V1__DELIVER_OUTCOME__DELIVER_OUTCOME_RETRY, 0);
}

/* The receiver saw nothing: only the row goes back. */
static void not_attempted(struct vg_delivering *d, int64_t wait_ms)
{
    d->result.not_made = true;
    d->result.state = VG_DELIVERY_PENDING;
    d->result.due_ms = wait_ms;
    d->result.reason = d->lease.is_lost ? "lease_lost" : "sender_away";
    count_end(d, VG_DE_SENDER_AWAY);
    record(d);
}

static void deliver_done(struct vg_task *task)
{
    struct vg_delivering *d = VG_CONTAINER(task, struct vg_delivering, call.done);
    struct vg_jobs *jobs = d->list->jobs;
    d->calling = false;
    vg_crash_point("call", "Deliver", "after");
    ProtobufCMessage *message = d->call.response;
    d->call.response = NULL;
    if (d->call.ok) {
        answered(d, (const Videogate__V1__DeliverResponse *)(const void *)message);
    } else if (d->call.grpc_code == VG_GRPC_UNAVAILABLE || jobs->draining || d->lease.is_lost) {
        not_attempted(d, jobs->draining || d->lease.is_lost ? 0 : AWAY_WAIT_MS);
    } else {
        failed_here(d, "sender_failed");
    }
    if (message) {
        protobuf_c_message_free_unpacked(message, NULL);
    }
}

/* The owner has taken the endpoint away, or it asked for no more. */
static void end_without_endpoint(struct vg_delivering *d)
{
    d->result.not_made = true;
    d->result.state = VG_DELIVERY_GONE;
    d->result.reason =
        d->row.endpoint == VG_ENDPOINT_DELETED ? "endpoint_deleted" : "endpoint_disabled";
    count_end(d, VG_DE_GONE);
    record(d);
}

static void send(struct vg_delivering *d)
{
    struct vg_jobs *jobs = d->list->jobs;
    if (jobs->draining) {
        not_attempted(d, 0);
        return;
    }
    if (!vg_delivery_lease_holds(&d->lease)) {
        free_delivery(d); /* claimed again */
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
        .attempt = d->row.attempts + 1,
        .round = d->row.round,
        .executor = jobs->executor,
    };
    d->calling = true;
    vg_crash_point("call", "Deliver", "before");
    if (vg_webhook_call_start(d->list->channel, &call, deliver_done, &d->call)) {
        d->calling = false;
        failed_here(d, "secret_unreadable"); /* the key may be put right */
    }
}

/* ---- the body ------------------------------------------------------------------------------ */

static void body_done(struct vg_task *task)
{
    struct vg_delivering *d = VG_CONTAINER(task, struct vg_delivering, body.op.done);
    d->storing = false;
    if (d->body.op.ok && d->body.applied && !d->list->jobs->dying) {
        send(d);
    } else {
        free_delivery(d); /* nothing was sent; again when the lease has run out */
    }
}

static int build_body(struct vg_delivering *d, struct vg_buf *out)
{
    const struct vg_video *video = &d->row.video;
    Videogate__V1__Video message = VIDEOGATE__V1__VIDEO__INIT;
    d->list->jobs->options.translate(d->list->jobs->options.ctx, video, &message, d->arena);
    const struct vg_webhook_event event = {
        .id = d->row.id,
        .type = d->row.event_type ? d->row.event_type : vg_webhook_plain_type(video->status),
        .created_at = video->completed_at ? video->completed_at : d->row.created_at,
    };
    return vg_webhook_event_write(&event, &message, out);
}

static void store_body(struct vg_delivering *d)
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
        .op = {.executor = d->list->jobs->executor,
               .done = {.run = body_done},
               .deadline_ns = vg_deadline_in_ms(RECORD_DEADLINE_MS),
               .arena = d->arena},
        .id = d->row.id,
        .lease_seq = d->row.lease_seq,
        .body = d->row.body,
        .body_size = d->row.body_size,
    };
    vg_delivery_body(d->list->jobs->db, &d->body);
}

/* ---- the start ----------------------------------------------------------------------------- */

/* The row without its video, which lives in the claim's arena. */
static void copy_row(struct vg_delivering *d, const struct vg_delivery *row)
{
    d->row = *row;
    d->row.id = vg_arena_strdup(d->arena, row->id);
    d->row.video_id = vg_arena_strdup(d->arena, row->video_id);
    d->row.url = vg_arena_strdup(d->arena, row->url);
    d->row.last_reason = NULL;
    d->row.secret_sealed =
        vg_arena_memdup(d->arena, row->secret_size ? row->secret_sealed : "", row->secret_size);
    d->row.endpoint_id = vg_arena_strdup(d->arena, row->endpoint_id);
    d->row.event_type = vg_arena_strdup(d->arena, row->event_type);
    for (size_t i = 0; i < row->endpoint_sealed_count; i++) {
        d->row.endpoint_sealed[i].data =
            vg_arena_memdup(d->arena, row->endpoint_sealed[i].data, row->endpoint_sealed[i].len);
    }
    if (row->body) {
        d->row.body = vg_arena_memdup(d->arena, row->body, row->body_size);
    }
}

void vg_delivering_start(struct vg_delivering_list *list, const struct vg_delivery *row,
                         int64_t asked_ns)
{
    struct vg_delivering *d = vg_xalloc(sizeof(*d));
    d->list = list;
    d->arena = vg_arena_new();
    d->claimed_ns = vg_now_ns();
    copy_row(d, row);
    vg_timer_init(&d->retry, list->jobs->loop, record_again);
    vg_delivery_lease_begin(&d->lease,
                            &(struct vg_delivery_lease_options){.db = list->jobs->db,
                                                                .loop = list->jobs->loop,
                                                                .id = d->row.id,
                                                                .lease_seq = d->row.lease_seq,
                                                                .asked_ns = asked_ns,
                                                                .lost = lease_lost,
                                                                .ended = release});
    d->next = list->first;
    if (d->next) {
        d->next->prev = d;
    }
    list->first = d;
    list->count++;
    vg_jobs_busy(list->jobs, 1);
    if (d->row.endpoint != VG_ENDPOINT_LIVE) {
        end_without_endpoint(d);
    } else if (d->row.body) {
        send(d);
    } else {
        store_body(d);
    }
}

void vg_delivering_cut_short(struct vg_delivering_list *list)
{
    for (struct vg_delivering *d = list->first, *next; d; d = next) {
        next = d->next;
        if (d->calling) {
            vg_rpc_unary_cancel(&d->call);
        } else if (list->jobs->dying && !d->storing) {
            free_delivery(d);
        }
    }
}
