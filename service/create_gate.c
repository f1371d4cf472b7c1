/* SPDX-License-Identifier: Apache-2.0 */
/* Whose video a create is: that of an idempotency key, that of an SDK's earlier attempt, or one of
 * its own.
 *
 * SDKs send no key, repeat a create that failed or hung, and count (x-stainless-retry-count). A
 * first attempt leaves a record that rides in the insert (video_match_store.h); a repeat waits
 * while an attempt is under way in this process, then asks for its video. When that id has no video
 * (the process died in between) the repeat makes it, under this id. */
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/str.h"
#include "service/create_priv.h"

#define MAX_ATTEMPT 99
#define TURN_MS 50
/* How long the second of two calls waits for the first: another caller hears 409 soon; for an SDK's
 * own repeat it is the very answer that it wants. */
#define KEY_WAIT_MS 2000
#define REPEAT_WAIT_MS 15000
#define CONFLICT_RETRY_MS 1000
/* No SDK repeats before (its least wait is 375 ms): a first attempt as young cannot be overtaken.
 */
#define OVERTAKEN_MS 250

/* --- what the caller said --- */

/* gRPC callers say request_id, the bridge forwards the headers. */
int vg_create_take_key(struct vg_create *c, const char *request_id)
{
    struct vg_view header = vg_rpc_call_metadata(c->request.call, "idempotency-key");
    struct vg_view count = vg_rpc_call_metadata(c->request.call, "x-stainless-retry-count");
    int64_t attempt = 0;

    if (!request_id && header.len > 0)
        request_id = vg_arena_memdup(vg_request_arena(&c->request), header.data, header.len);
    c->op.idempotency_key = request_id;
    c->started_ns = vg_now_ns();
    if (vg_parse_i64(count, 0, MAX_ATTEMPT, &attempt) == 0)
        c->gate = attempt > 0 ? VG_GATE_REPEAT : VG_GATE_FIRST;
    c->attempt = (int32_t)attempt;
    if (request_id)
        c->gate = VG_GATE_KEY;
    return vg_validate_request_id(request_id, &c->err);
}

bool vg_create_needs_fingerprint(const struct vg_create *c)
{
    return c->gate != VG_GATE_NONE;
}

/* --- one at a time --- */

static void hash_lines(uint8_t out[32], const struct vg_create *c, const char *a, const void *b,
                       size_t b_size)
{
    struct vg_buf text;

    vg_buf_init(&text, 8192);
    (void)vg_buf_addf(&text, "%lld\n%s\n", (long long)c->request.who.project_id, a);
    (void)vg_buf_add(&text, b, b_size);
    vg_sha256(out, text.data, text.len);
    vg_buf_fini(&text);
}

/* The key, or method, API key and parameters. */
static void flight_key(struct vg_create *c, uint8_t out[32])
{
    char caller[160];

    if (c->gate == VG_GATE_KEY) {
        hash_lines(out, c, "", c->op.idempotency_key, strlen(c->op.idempotency_key));
        return;
    }
    (void)snprintf(caller, sizeof(caller), "%s\n%s", c->request.who.key_id,
                   vg_rpc_call_method(c->request.call));
    hash_lines(out, c, caller, c->op.fingerprint, sizeof(c->op.fingerprint));
    vg_hex_encode(c->match, out, (VG_MATCH_SIZE - 1) / 2);
}

static void take_turn(struct vg_create *c);

static void turn_came(struct vg_timer *timer)
{
    take_turn(VG_CONTAINER(timer, struct vg_create, turn));
}

/* On the loop: timers are its own. */
static void wait_turn(struct vg_task *task)
{
    struct vg_create *c = VG_CONTAINER(task, struct vg_create, disk);

    vg_timer_init(&c->turn, c->request.service->loop, turn_came);
    vg_timer_start(&c->turn, vg_deadline_in_ms(TURN_MS));
}

static void ask_key(struct vg_create *c);
static void ask_match(struct vg_create *c);

static void take_turn(struct vg_create *c)
{
    struct vg_service *service = c->request.service;
    uint8_t key[32];

    flight_key(c, key);
    if (vg_flight_start(service->flights, &c->flight, key, true)) {
        if (c->gate == VG_GATE_KEY)
            ask_key(c);
        else
            ask_match(c);
        return;
    }
    if (vg_now_ns() >= c->give_up_ns || vg_rpc_call_cancelled(c->request.call)) {
        (void)vg_err_param(&c->err, VG_ERR_CONFLICT, c->gate == VG_GATE_KEY ? "request_id" : NULL,
                           NULL);
        c->err.retry_after_ms = CONFLICT_RETRY_MS;
        vg_create_refuse(c, &c->err);
        return;
    }
    c->disk.run = wait_turn;
    vg_post(vg_loop_executor(service->loop), &c->disk);
}

static void start_waiting(struct vg_create *c)
{
    int64_t caller = vg_rpc_call_deadline(c->request.call) - VG_NS_PER_S;

    c->give_up_ns = vg_deadline_in_ms(c->attempt > 0 ? REPEAT_WAIT_MS : KEY_WAIT_MS);
    if (caller < c->give_up_ns)
        c->give_up_ns = caller;
    take_turn(c);
}

/* --- an idempotency key --- */

static void key_asked(struct vg_task *task)
{
    struct vg_create *c = VG_CONTAINER(task, struct vg_create, replay.op.done);

    if (!c->replay.op.ok) {
        vg_create_refuse(c, &c->replay.op.err);
        return;
    }
    if (c->replay.outcome == VG_CREATE_NEW) {
        c->go_on(c);
        return;
    }
    c->op.outcome = c->replay.outcome;
    c->op.video = c->replay.video;
    vg_create_settle(c);
}

static void ask_key(struct vg_create *c)
{
    c->replay = (struct vg_video_replay){.project_id = c->request.who.project_id,
                                         .idempotency_key = c->op.idempotency_key};
    memcpy(c->replay.fingerprint, c->op.fingerprint, sizeof(c->replay.fingerprint));
    vg_request_op(&c->request, &c->replay.op, key_asked);
    vg_video_replay(c->request.service->db, &c->replay);
}

/* --- an SDK's attempts --- */

static void twin_asked(struct vg_task *task)
{
    struct vg_create *c = VG_CONTAINER(task, struct vg_create, twin.op.done);
    const struct vg_err *err = &c->twin.op.err;

    if (c->twin.op.ok) {
        c->op.outcome = VG_CREATE_REPLAYED;
        c->op.video = c->twin.video;
        vg_create_settle(c);
    } else if (err->kind != VG_ERR_NOT_FOUND) {
        vg_create_refuse(c, err);
    } else if (c->gate == VG_GATE_FIRST) { /* its repeat has the id and makes the video just now */
        (void)vg_err_set(&c->err, VG_ERR_CONFLICT, NULL);
        vg_create_remove_files(c);
        vg_create_refuse(c, &c->err);
    } else { /* also when it was deleted: the insert says so */
        c->go_on(c);
    }
}

static void matched(struct vg_task *task)
{
    struct vg_create *c = VG_CONTAINER(task, struct vg_create, matching.op.done);
    const char *id = c->matching.id;

    if (!c->matching.op.ok) {
        if (c->gate == VG_GATE_FIRST)
            vg_create_remove_files(c);
        vg_create_refuse(c, &c->matching.op.err);
        return;
    }
    /* The record stands: the insert needs none, and may be done again under this id. */
    c->op.idempotency_key = NULL;
    c->op.match_lock = 0;
    if (strcmp(id, c->id) == 0) {
        c->go_on(c);
        return;
    }
    if (c->gate == VG_GATE_REPEAT)
        (void)vg_strcpy(c->id, sizeof(c->id), id);
    c->twin = (struct vg_video_get){.id = id, .project_id = c->request.who.project_id};
    vg_request_op(&c->request, &c->twin.op, twin_asked);
    vg_video_get(c->request.service->db, &c->twin);
}

static void ask_match(struct vg_create *c)
{
    int64_t age_ms = (vg_now_ns() - c->started_ns) / VG_NS_PER_MS;
    bool first = c->gate == VG_GATE_FIRST;

    c->matching =
        (struct vg_video_match){.project_id = c->request.who.project_id,
                                .match = c->match,
                                .level = c->attempt,
                                .within_ms = first ? age_ms : c->request.service->retry_window_ms,
                                .own_id = c->id};
    memcpy(c->matching.fingerprint, c->op.fingerprint, sizeof(c->matching.fingerprint));
    vg_request_op(&c->request, &c->matching.op, matched);
    vg_video_match(c->request.service->db, &c->matching);
}

/* Does not wait: calls on purpose may run side by side. */
static void leave_record(struct vg_create *c)
{
    char key[VG_MATCH_KEY_SIZE];
    uint8_t hash[32];

    flight_key(c, hash);
    (void)vg_flight_start(c->request.service->flights, &c->flight, hash, false);
    vg_match_key(key, c->match, c->id, 0);
    c->op.idempotency_key = vg_arena_memdup(vg_request_arena(&c->request), key, strlen(key));
    c->op.match_lock = vg_match_lock(c->match);
}

/* --- the gates --- */

void vg_create_unless_repeat(struct vg_create *c, vg_create_f *go_on)
{
    c->go_on = go_on;
    if (c->gate == VG_GATE_REPEAT) {
        start_waiting(c);
        return;
    }
    if (c->gate == VG_GATE_FIRST)
        leave_record(c);
    go_on(c);
}

void vg_create_unless_replay(struct vg_create *c, vg_create_f *go_on)
{
    c->go_on = go_on;
    if (c->gate == VG_GATE_KEY)
        start_waiting(c);
    else
        vg_create_unless_repeat(c, go_on);
}

void vg_create_unless_overtaken(struct vg_create *c, vg_create_f *insert)
{
    c->go_on = insert;
    if (c->op.match_lock && vg_now_ns() - c->started_ns > OVERTAKEN_MS * VG_NS_PER_MS)
        ask_match(c);
    else
        insert(c);
}
