/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/db/fixture.h"

/* ---- states */

static void generation_store__knows_legal_changes(void **state)
{
    (void)state;
    assert_true(vg_generation_may(VG_GEN_PENDING, VG_GEN_SUBMITTING));
    assert_true(vg_generation_may(VG_GEN_SUBMITTING, VG_GEN_UNKNOWN));
    assert_true(vg_generation_may(VG_GEN_SUBMITTING, VG_GEN_SUBMITTING));
    assert_true(vg_generation_may(VG_GEN_RUNNING, VG_GEN_PENDING));
    assert_true(vg_generation_may(VG_GEN_FETCHING, VG_GEN_STORED));
    assert_false(vg_generation_may(VG_GEN_PENDING, VG_GEN_RUNNING));
    assert_false(vg_generation_may(VG_GEN_PENDING, VG_GEN_STORED));
    assert_false(vg_generation_may(VG_GEN_RUNNING, VG_GEN_SUBMITTING));
    assert_false(vg_generation_may(VG_GEN_FETCHING, VG_GEN_PENDING));
    for (int from = VG_GEN_STORED; from < VG_GEN_STATE_MAX; from++) {
        assert_true(vg_generation_state_terminal((enum vg_generation_state)from));
        for (int to = 0; to < VG_GEN_STATE_MAX; to++)
            assert_false(
                vg_generation_may((enum vg_generation_state)from, (enum vg_generation_state)to));
    }
    assert_string_equal(vg_generation_state_name(VG_GEN_UNKNOWN), "unknown");
    assert_false(vg_generation_state_terminal(VG_GEN_FETCHING));
}

static void generation_store__refuses_illegal_and_stale_changes(void **state)
{
    struct fixture *f = *state;

    (void)create(f, 7, 1);
    struct vg_generation_claim *c = claim(f, 10, 100);
    struct vg_generation g = c->generations[0];
    struct vg_generation_change *illegal = new_change(f, &g, VG_GEN_PENDING, VG_GEN_STORED);

    assert_int_equal(c->count, 1);
    RUN(f, vg_generation_change, illegal);
    assert_false(illegal->op.ok);
    assert_int_equal(illegal->op.err.kind, VG_ERR_INTERNAL);

    g.lease_seq--; /* an earlier holder */
    assert_false(change(f, &g, VG_GEN_PENDING, VG_GEN_SUBMITTING)->applied);
    g.lease_seq += 2;
    assert_false(change(f, &g, VG_GEN_PENDING, VG_GEN_SUBMITTING)->applied);
    g.lease_seq--;
    assert_false(change(f, &g, VG_GEN_RUNNING, VG_GEN_FETCHING)->applied); /* other state */
    assert_int_equal(sql_int(f, "SELECT state FROM generations"), VG_GEN_PENDING);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM attempts"), 0);

    struct vg_generation_change *release = new_change(f, &g, VG_GEN_PENDING, VG_GEN_PENDING);

    release->lease_ms = 0;
    RUN_OK(f, vg_generation_change, release);
    assert_true(release->applied);
    assert_false(change(f, &g, VG_GEN_PENDING, VG_GEN_SUBMITTING)->applied); /* released */
}

/* The same operation sent again after its COMMIT answer was lost: the store recognises its token.
 */
static void generation_store__recognises_its_own_change(void **state)
{
    struct fixture *f = *state;
    const char *id = create(f, 7, 1);
    struct vg_generation_claim *c = claim(f, 10, 100);
    struct vg_generation_change *first =
        change(f, &c->generations[0], VG_GEN_PENDING, VG_GEN_SUBMITTING);
    char forge[256];

    assert_true(first->applied);
    /* A second run differs from a first only by the token it carries; vg_db_submit gives tokens by
     * counting. */
    (void)snprintf(forge, sizeof(forge),
                   "UPDATE generations SET last_change = %lld + 1 WHERE id = %lld",
                   (long long)first->op.token, (long long)first->id);
    (void)sql(f, forge);
    struct vg_generation_change *again =
        new_change(f, &c->generations[0], VG_GEN_PENDING, VG_GEN_SUBMITTING);

    RUN_OK(f, vg_generation_change, again);
    assert_int_equal(again->op.token, first->op.token + 1);
    assert_true(again->applied);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM attempts"), 1);
    assert_int_equal(get(f, id, 7)->version, 2);
    /* Its own, but somebody else holds the lease by now: not to go on with. */
    (void)snprintf(forge, sizeof(forge),
                   "UPDATE generations SET lease_seq = lease_seq + 1, last_change = %lld",
                   (long long)again->op.token + 1);
    (void)sql(f, forge);
    assert_false(change(f, &c->generations[0], VG_GEN_PENDING, VG_GEN_SUBMITTING)->applied);
}

/* ---- the life of a video */

static void generation_store__completes_a_video(void **state)
{
    struct fixture *f = *state;
    struct vg_video_create *op = new_create(f, 7, 1);

    op->callback_url = "https://example.com:8443/hook?x=1";
    op->secret_sealed = "sealed";
    op->secret_size = 6;
    RUN_OK(f, vg_video_create, op);
    struct vg_generation_claim *c = claim(f, 10, 100);
    struct vg_generation *g = &c->generations[0];

    assert_string_equal(g->video_id, op->id);
    assert_int_equal(g->project_id, 7);
    assert_int_equal(g->state, VG_GEN_PENDING);
    assert_false(g->rescued);
    assert_true(g->age_ms >= 0 && g->deadline_left_ms > 3500000);
    assert_memory_equal(g->spec, "\x01\x00\xff", 3);
    assert_true(change(f, g, VG_GEN_PENDING, VG_GEN_SUBMITTING)->applied);
    assert_int_equal(get(f, op->id, 7)->status, VG_VIDEO_IN_PROGRESS);
    assert_true(change(f, g, VG_GEN_SUBMITTING, VG_GEN_RUNNING)->applied);
    struct vg_generation_change *more = new_change(f, g, VG_GEN_RUNNING, VG_GEN_RUNNING);

    more->progress = 40;
    RUN_OK(f, vg_generation_change, more);
    assert_int_equal(get(f, op->id, 7)->progress, 40);
    more = new_change(f, g, VG_GEN_RUNNING, VG_GEN_RUNNING);
    more->progress = 30; /* never falls */
    RUN_OK(f, vg_generation_change, more);
    assert_int_equal(get(f, op->id, 7)->progress, 40);
    assert_true(change(f, g, VG_GEN_RUNNING, VG_GEN_FETCHING)->applied);
    struct vg_generation_change *end = change(f, g, VG_GEN_FETCHING, VG_GEN_STORED);
    const struct vg_video *v = get(f, op->id, 7);

    assert_true(end->applied && end->video_terminal && end->delivery_created);
    assert_int_equal(v->status, VG_VIDEO_COMPLETED);
    assert_int_equal(v->progress, 100);
    assert_null(v->error_code);
    assert_true(v->completed_at > 0);
    assert_int_equal(v->expires_at, v->completed_at + 3600);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM deliveries"), 1);
    assert_string_equal(sql(f, "SELECT attempt || ' ' || outcome || ' ' || (ended_at IS NOT NULL) "
                               "FROM attempts"),
                        "1 4 true");
}

static struct vg_generation_change *fail_one(struct fixture *f, const struct vg_generation *g,
                                             enum vg_generation_state to, const char *code,
                                             const char *message)
{
    struct vg_generation_change *op = new_change(f, g, VG_GEN_PENDING, to);

    op->error_code = code;
    op->error_message = message;
    op->reason = "private";
    RUN_OK(f, vg_generation_change, op);
    assert_true(op->applied);
    return op;
}

static const struct vg_generation *of_index(const struct vg_generation_claim *c, int index)
{
    for (size_t i = 0; i < c->count; i++) {
        if (c->generations[i].index == index)
            return &c->generations[i];
    }
    fail_msg("no generation %d", index);
    return NULL;
}

static void generation_store__partial_success_is_completed_with_an_error(void **state)
{
    struct fixture *f = *state;
    const char *id = create(f, 7, 3);
    struct vg_generation_claim *c = claim(f, 10, 100);

    assert_int_equal(c->count, 3);
    (void)fail_one(f, of_index(c, 2), VG_GEN_FAILED, "timeout", "It took too long.");
    advance(f, of_index(c, 0));
    assert_false(change(f, of_index(c, 0), VG_GEN_FETCHING, VG_GEN_STORED)->video_terminal);
    assert_int_equal(get(f, id, 7)->output_count, 0); /* content shows at the end */
    struct vg_generation_change *last =
        fail_one(f, of_index(c, 1), VG_GEN_FAILED, "content_filtered", "Refused.");
    const struct vg_video *v = get(f, id, 7);

    assert_true(last->video_terminal);
    assert_int_equal(v->status, VG_VIDEO_COMPLETED);
    assert_int_equal(v->progress, 100);
    assert_int_equal(v->output_count, 1);
    assert_string_equal(v->error_code, "partial_failure");
    assert_string_equal(v->error_message, "2 of 3 outputs failed: Refused.");
    assert_true(v->expires_at > 0);
}

static void generation_store__ends_by_kind(void **state)
{
    struct fixture *f = *state;
    static const struct {
        enum vg_generation_state first, second;
        enum vg_video_status status;
        const char *code;
    } cases[] = {
        {VG_GEN_CANCELED, VG_GEN_CANCELED, VG_VIDEO_CANCELED, NULL},
        {VG_GEN_EXPIRED, VG_GEN_EXPIRED, VG_VIDEO_EXPIRED, "expired"},
        {VG_GEN_FAILED, VG_GEN_FAILED, VG_VIDEO_FAILED, "failed"},
        {VG_GEN_CANCELED, VG_GEN_EXPIRED, VG_VIDEO_FAILED, "expired"},
        {VG_GEN_CANCELED, VG_GEN_UNKNOWN, VG_VIDEO_FAILED, "submission_unknown"},
    };

    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        const char *id = create(f, 7, 2);
        struct vg_generation_claim *c = claim(f, 10, 100);

        assert_int_equal(c->count, 2);
        for (int k = 0; k < 2; k++) {
            (void)change(f, of_index(c, k), VG_GEN_PENDING, VG_GEN_SUBMITTING);
            assert_true(change(f, of_index(c, k), VG_GEN_SUBMITTING,
                               k == 0 ? cases[i].first : cases[i].second)
                            ->applied);
        }
        const struct vg_video *v = get(f, id, 7);

        assert_int_equal(v->status, cases[i].status);
        if (cases[i].code)
            assert_string_equal(v->error_code, cases[i].code);
        else
            assert_null(v->error_code);
    }
}

/* All generations of many videos change at once, in any batches; several also stand in one batch
 * twice. */
static void generation_store__changes_of_one_video_in_one_batch(void **state)
{
    struct fixture *f = *state;
    enum { VIDEOS = 12, N = 10, OPS = VIDEOS * N };
    struct vg_generation_change *ops[OPS];
    int terminal = 0;

    for (int i = 0; i < VIDEOS; i++)
        (void)create(f, 7, N);
    struct vg_generation_claim *c = claim(f, 256, 1000);

    assert_int_equal(c->count, OPS);
    for (int i = 0; i < OPS; i++) {
        ops[i] = new_change(f, &c->generations[i], VG_GEN_PENDING, VG_GEN_FAILED);
        begin(&ops[i]->op, arena_apart());
    }
    for (int i = 0; i < OPS; i++)
        vg_generation_change(f->db, ops[i]);
    finish();
    for (int i = 0; i < OPS; i++) {
        assert_true(ops[i]->op.ok && ops[i]->applied);
        terminal += ops[i]->video_terminal;
    }
    assert_true(terminal >= VIDEOS);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM videos WHERE status = 4"), VIDEOS);
}

static void generation_store__two_changes_of_one_generation_in_one_batch(void **state)
{
    struct fixture *f = *state;
    enum { OPS = 40 };
    struct vg_generation_change *ops[OPS];

    (void)create(f, 7, 1);
    struct vg_generation_claim *c = claim(f, 10, 100);
    int applied = 0;

    for (int i = 0; i < OPS; i++) {
        ops[i] = new_change(f, &c->generations[0], VG_GEN_PENDING, VG_GEN_SUBMITTING);
        begin(&ops[i]->op, arena_apart());
    }
    for (int i = 0; i < OPS; i++)
        vg_generation_change(f->db, ops[i]);
    finish();
    for (int i = 0; i < OPS; i++) {
        assert_true(ops[i]->op.ok);
        applied += ops[i]->applied;
    }
    assert_int_equal(applied, 1); /* compare-and-set: exactly one wins */
}

/* ---- claiming */

static void generation_store__claim_respects_places_and_concurrency(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 20; i++)
        (void)create(f, 7, 1);
    assert_int_equal(claim(f, 10, 4)->count, 4);
    struct vg_generation_claim *full = claim(f, 10, 4);

    assert_int_equal(full->count, 0);
    assert_true(full->next_due_ms > 0); /* waiting for a place is not due */
    struct vg_generation_claim *two = claim(f, 10, 6);

    assert_int_equal(two->count, 2);
    /* A place is free again once a generation ends. */
    (void)fail_one(f, &two->generations[0], VG_GEN_FAILED, "x", "x");
    assert_int_equal(claim(f, 10, 6)->count, 1);

    struct vg_provider_places p = {"sandbox", 1000};
    struct vg_generation_claim op = {.owner = "t",
                                     .limit = 100,
                                     .lease_ms = 60000,
                                     .project_concurrency = 9,
                                     .providers = &p,
                                     .provider_count = 1};

    RUN_OK(f, vg_generation_claim, &op);
    assert_int_equal(op.count, 3);
    p.provider = "other";
    op.project_concurrency = 100;
    RUN_OK(f, vg_generation_claim, &op);
    assert_int_equal(op.count, 0);
}

static void generation_store__claim_is_fair_between_projects(void **state)
{
    struct fixture *f = *state;
    int per_project[4] = {0};

    for (int i = 0; i < 100; i++)
        (void)create(f, 1, 1);
    for (int i = 0; i < 5; i++)
        (void)create(f, 2, 1);
    (void)create(f, 3, 1);
    struct vg_generation_claim *c = claim(f, 9, 1000);

    for (size_t i = 0; i < c->count; i++)
        per_project[c->generations[i].project_id]++;
    assert_int_equal(c->count, 9);
    assert_int_equal(per_project[1], 4);
    assert_int_equal(per_project[2], 4);
    assert_int_equal(per_project[3], 1);
    assert_int_equal(c->next_due_ms, 0); /* more are due */
    /* One place more: it goes to the project with the least under way that still waits. */
    c = claim(f, 1, 1000);
    assert_int_equal(c->count, 1);
    c = claim(f, 1, 1000);
    assert_int_equal(c->count, 1);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM generations WHERE project_id = 2 "
                                "AND lease_owner IS NOT NULL"),
                     5);
}

static void generation_store__claims_never_overlap(void **state)
{
    struct fixture *f = *state;
    enum { CLAIMS = 12 };
    struct vg_generation_claim ops[CLAIMS];
    struct vg_provider_places p = {"sandbox", 45};
    int64_t seen[512] = {0};
    size_t total = 0;

    for (int i = 0; i < 60; i++)
        (void)create(f, 1 + i % 3, 1);
    for (int i = 0; i < CLAIMS; i++) {
        ops[i] = (struct vg_generation_claim){.owner = "t",
                                              .limit = 8,
                                              .lease_ms = 60000,
                                              .project_concurrency = 100,
                                              .providers = &p,
                                              .provider_count = 1};
        begin(&ops[i].op, arena_apart());
    }
    for (int i = 0; i < CLAIMS; i++)
        vg_generation_claim(f->db, &ops[i]);
    finish();
    for (int i = 0; i < CLAIMS; i++) {
        assert_true(ops[i].op.ok);
        for (size_t k = 0; k < ops[i].count; k++) {
            for (size_t s = 0; s < total; s++)
                assert_int_not_equal(seen[s], ops[i].generations[k].id);
            seen[total++] = ops[i].generations[k].id;
        }
    }
    assert_int_equal(total, 45); /* no place is given twice */
}

static void generation_store__rescues_expired_leases(void **state)
{
    struct fixture *f = *state;

    (void)create(f, 7, 2);
    struct vg_generation_claim *c = claim(f, 10, 100);
    struct vg_generation running = c->generations[0];
    struct vg_generation pending = c->generations[1];

    (void)change(f, &running, VG_GEN_PENDING, VG_GEN_SUBMITTING);
    (void)change(f, &running, VG_GEN_SUBMITTING, VG_GEN_RUNNING);
    assert_int_equal(claim(f, 10, 100)->count, 0);
    (void)sql(f, "UPDATE generations SET lease_until = now() - interval '1 s', due_at = now() - "
                 "interval '1 s', wake_at = CASE state WHEN 1 THEN wake_at ELSE now() END");
    c = claim(f, 10, 2);
    assert_int_equal(c->count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(c->generations[i].rescued, c->generations[i].id == running.id);
        assert_int_equal(c->generations[i].lease_seq, 2);
    }
    assert_false(change(f, &running, VG_GEN_RUNNING, VG_GEN_FETCHING)->applied);
    assert_false(change(f, &pending, VG_GEN_PENDING, VG_GEN_SUBMITTING)->applied);
}

static void generation_store__releases_wait_and_deadlines_pass(void **state)
{
    struct fixture *f = *state;

    (void)create(f, 7, 1);
    struct vg_generation_claim *c = claim(f, 10, 100);
    struct vg_generation g = c->generations[0];

    (void)change(f, &g, VG_GEN_PENDING, VG_GEN_SUBMITTING);
    struct vg_generation_change *release = new_change(f, &g, VG_GEN_SUBMITTING, VG_GEN_RUNNING);

    release->lease_ms = 0;
    release->due_ms = 30000;
    RUN_OK(f, vg_generation_change, release);
    c = claim(f, 10, 100);
    assert_int_equal(c->count, 0);
    assert_in_range(c->next_due_ms, 1, 30000);

    /* Back to pending with a wait: not before its time. Past the deadline: at once, whatever the
     * places. */
    (void)sql(f, "UPDATE generations SET due_at = now(), wake_at = now()");
    c = claim(f, 10, 100);
    assert_int_equal(c->count, 1);
    assert_string_equal(c->generations[0].upstream_id, "up-1");
    g = c->generations[0];
    release = new_change(f, &g, VG_GEN_RUNNING, VG_GEN_PENDING);
    release->lease_ms = 0;
    release->due_ms = 40000;
    RUN_OK(f, vg_generation_change, release);
    c = claim(f, 10, 100);
    assert_int_equal(c->count, 0);
    assert_in_range(c->next_due_ms, 30001, 40000);
    (void)sql(f, "UPDATE generations SET deadline_at = now(), wake_at = now()");
    c = claim(f, 10, 0);
    assert_int_equal(c->count, 1);
    assert_true(c->generations[0].deadline_left_ms <= 0);
    assert_int_equal(claim(f, 10, 0)->count, 0);
}

static void generation_store__a_cancel_reaches_the_holder(void **state)
{
    struct fixture *f = *state;
    const char *id = create(f, 7, 1);
    struct vg_generation_claim *c = claim(f, 10, 100);
    struct vg_generation g = c->generations[0];
    struct vg_video_cancel cancel = {.id = id, .project_id = 7};
    struct vg_generation_renew renew = {.id = g.id, .lease_seq = g.lease_seq, .lease_ms = 60000};

    RUN_OK(f, vg_generation_renew, &renew);
    assert_true(renew.applied);
    assert_false(renew.cancel_requested);
    RUN_OK(f, vg_video_cancel, &cancel);
    assert_int_equal(claim(f, 10, 100)->count, 0); /* held */

    struct vg_generation_change *op = new_change(f, &g, VG_GEN_PENDING, VG_GEN_SUBMITTING);

    op->lease_ms = 0; /* released without knowing: due at once */
    op->due_ms = 600000;
    RUN_OK(f, vg_generation_change, op);
    assert_true(op->applied && op->cancel_requested);
    c = claim(f, 10, 100);
    assert_int_equal(c->count, 1);
    assert_true(c->generations[0].cancel_requested);
    g = c->generations[0];
    op = new_change(f, &g, VG_GEN_SUBMITTING, VG_GEN_RUNNING);
    op->lease_ms = 0; /* released knowing it: waits its time, no spinning */
    op->due_ms = 600000;
    RUN_OK(f, vg_generation_change, op);
    assert_int_equal(claim(f, 10, 100)->count, 0);
    renew.lease_seq = g.lease_seq;
    RUN_OK(f, vg_generation_renew, &renew);
    assert_false(renew.applied); /* released rows are not leased again */
}

static void generation_store__an_attempt_number_may_be_used_again(void **state)
{
    struct fixture *f = *state;

    (void)create(f, 7, 1);
    struct vg_generation_claim *c = claim(f, 10, 100);
    struct vg_generation g = c->generations[0];

    (void)change(f, &g, VG_GEN_PENDING, VG_GEN_SUBMITTING);
    struct vg_generation_change *back = new_change(f, &g, VG_GEN_SUBMITTING, VG_GEN_PENDING);

    back->attempts = 0;
    back->reason = "not sent";
    RUN_OK(f, vg_generation_change, back);
    assert_string_equal(sql(f, "SELECT outcome || reason FROM attempts"), "1not sent");
    (void)change(f, &g, VG_GEN_PENDING, VG_GEN_SUBMITTING);
    assert_string_equal(sql(f, "SELECT attempt || coalesce(reason, '-') FROM attempts"), "1-");
}

static void generation_store__counts_states(void **state)
{
    struct fixture *f = *state;
    struct vg_generation_stats op;

    (void)create(f, 7, 3);
    struct vg_generation_claim *c = claim(f, 2, 100);

    memset(&op, 0, sizeof(op));
    (void)change(f, &c->generations[0], VG_GEN_PENDING, VG_GEN_SUBMITTING);
    (void)fail_one(f, &c->generations[1], VG_GEN_FAILED, "x", "x");
    RUN_OK(f, vg_generation_stats, &op);
    assert_int_equal(op.counts[VG_GEN_PENDING], 1);
    assert_int_equal(op.counts[VG_GEN_SUBMITTING], 1);
    assert_int_equal(op.counts[VG_GEN_FAILED], 1);
    assert_int_equal(op.counts[VG_GEN_STORED], 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(generation_store__##name, fixture_clean)
    const struct CMUnitTest tests[] = {
        CASE(knows_legal_changes),
        CASE(refuses_illegal_and_stale_changes),
        CASE(recognises_its_own_change),
        CASE(completes_a_video),
        CASE(partial_success_is_completed_with_an_error),
        CASE(ends_by_kind),
        CASE(changes_of_one_video_in_one_batch),
        CASE(two_changes_of_one_generation_in_one_batch),
        CASE(claim_respects_places_and_concurrency),
        CASE(claim_is_fair_between_projects),
        CASE(claims_never_overlap),
        CASE(rescues_expired_leases),
        CASE(releases_wait_and_deadlines_pass),
        CASE(a_cancel_reaches_the_holder),
        CASE(an_attempt_number_may_be_used_again),
        CASE(counts_states),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
