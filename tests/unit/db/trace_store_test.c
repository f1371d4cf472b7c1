/* SPDX-License-Identifier: Apache-2.0 */
#include "db/trace_store.h"
#include "tests/unit/db/fixture.h"

static struct vg_video_trace *trace(struct fixture *f, const char *id)
{
    struct vg_video_trace *op = vg_arena_alloc(f->arena, sizeof(*op));

    op->id = id;
    RUN_OK(f, vg_video_trace, op);
    return op;
}

static struct vg_submissions_near *near(struct fixture *f, const struct vg_generation *g,
                                        int64_t submitted_at_ms)
{
    struct vg_submissions_near *op = vg_arena_alloc(f->arena, sizeof(*op));

    op->generation_id = g->id;
    op->provider = "sandbox";
    op->submitted_at_ms = submitted_at_ms;
    op->before_ms = 1000;
    RUN_OK(f, vg_submissions_near, op);
    return op;
}

/* Passed over, refused, then made; callers see the provider of the last submission. */
static void trace_store__tells_every_try_and_why(void **state)
{
    struct fixture *f = *state;
    const char *id = create(f, 7, 1);
    struct vg_generation g = claim(f, 10, 100)->generations[0];
    struct vg_generation_change *left = new_change(f, &g, VG_GEN_PENDING, VG_GEN_PENDING);

    left->route = 1;
    left->provider = "second";
    left->left_provider = "sandbox";
    left->reason = "breaker open";
    RUN_OK(f, vg_generation_change, left);
    g.route = 1;
    g.provider = "second";
    assert_null(get(f, id, 7)->made_by);
    assert_int_equal(get(f, id, 7)->attempts, 0);
    struct vg_generation_change *sent = change(f, &g, VG_GEN_PENDING, VG_GEN_SUBMITTING);

    assert_true(sent->submitted_at_ms > 0);
    assert_string_equal(get(f, id, 7)->made_by, "second");
    assert_int_equal(get(f, id, 7)->attempts, 1);
    struct vg_generation_change *fell = new_change(f, &g, VG_GEN_SUBMITTING, VG_GEN_PENDING);

    fell->route = 2;
    fell->provider = "third";
    fell->stealth = true;
    fell->reason = "auth http=401 code=bad: no";
    RUN_OK(f, vg_generation_change, fell);
    assert_string_equal(get(f, id, 7)->made_by, "second"); /* not submitted there yet */
    g.route = 2;
    g.attempts = 1;
    g.provider = "third";
    struct vg_generation_change *again = new_change(f, &g, VG_GEN_PENDING, VG_GEN_SUBMITTING);

    again->stealth = true;
    RUN_OK(f, vg_generation_change, again);
    assert_null(get(f, id, 7)->made_by); /* hidden */
    assert_int_equal(get(f, id, 7)->attempts, 2);
    struct vg_generation_change *runs = new_change(f, &g, VG_GEN_SUBMITTING, VG_GEN_RUNNING);

    RUN_OK(f, vg_generation_change, runs);
    const struct vg_video_trace *t = trace(f, id);

    assert_string_equal(t->video.id, id);
    assert_int_equal(t->generation_count, 1);
    const struct vg_trace_generation *way = &t->generations[0];

    assert_int_equal(way->state, VG_GEN_RUNNING);
    assert_int_equal(way->route, 2);
    assert_int_equal(way->try_count, 3);
    assert_int_equal(way->tries[0].number, 0);
    assert_string_equal(way->tries[0].provider, "sandbox");
    assert_string_equal(way->tries[0].reason, "breaker open");
    assert_int_equal(way->tries[1].number, 1);
    assert_string_equal(way->tries[1].provider, "second");
    assert_int_equal(way->tries[1].outcome, VG_GEN_PENDING);
    assert_string_equal(way->tries[1].reason, "auth http=401 code=bad: no");
    assert_true(way->tries[1].ended_ms >= way->tries[1].started_ms);
    assert_int_equal(way->tries[2].number, 2);
    assert_int_equal(way->tries[2].ended_ms, 0);
    assert_string_equal(way->tries[2].upstream_id, "up-1");
}

static void trace_store__no_such_video(void **state)
{
    struct fixture *f = *state;
    struct vg_video_trace op = {.id = "video_none"};

    RUN(f, vg_video_trace, &op);
    assert_false(op.op.ok);
    assert_int_equal(op.op.err.kind, VG_ERR_NOT_FOUND);
}

/* An absent token that is sent again was first sent when it was first sent. */
static void trace_store__a_token_keeps_its_first_time(void **state)
{
    struct fixture *f = *state;

    (void)create(f, 7, 1);
    struct vg_generation g = claim(f, 10, 100)->generations[0];
    struct vg_generation_change *first = new_change(f, &g, VG_GEN_PENDING, VG_GEN_SUBMITTING);

    first->route_attempts = 1;
    RUN_OK(f, vg_generation_change, first);
    (void)sql(f, "UPDATE attempts SET started_at = started_at - interval '1 minute'");
    struct vg_generation_change *absent = new_change(f, &g, VG_GEN_SUBMITTING, VG_GEN_PENDING);

    absent->attempts = 0;
    absent->route_attempts = 1;
    RUN_OK(f, vg_generation_change, absent);
    struct vg_generation_change *second = new_change(f, &g, VG_GEN_PENDING, VG_GEN_SUBMITTING);

    second->route_attempts = 2;
    RUN_OK(f, vg_generation_change, second);
    assert_true(second->submitted_at_ms <= first->submitted_at_ms - 60000);
    struct vg_generation_change *unsent = new_change(f, &g, VG_GEN_SUBMITTING, VG_GEN_PENDING);

    unsent->attempts = 0;
    RUN_OK(f, vg_generation_change, unsent);
    struct vg_generation_change *third = new_change(f, &g, VG_GEN_PENDING, VG_GEN_SUBMITTING);

    third->route_attempts = 1;
    RUN_OK(f, vg_generation_change, third);
    assert_true(third->submitted_at_ms >= first->submitted_at_ms);
}

/* Whoever finds a lost submission knows until when it may have been sent. */
static void trace_store__a_lost_submission_was_sent_by(void **state)
{
    struct fixture *f = *state;

    (void)create(f, 7, 1);
    struct vg_generation *g = claim(f, 10, 60000)->generations;
    assert_int_equal(g->sent_by_ms, 0);
    (void)change(f, g, VG_GEN_PENDING, VG_GEN_SUBMITTING);
    (void)sql(f, "UPDATE generations SET lease_until = now() - interval '5 s',"
                 " wake_at = now() - interval '5 s'"); /* its holder died */
    struct vg_generation *found = claim(f, 10, 60000)->generations;
    int64_t by = found->sent_by_ms;

    assert_true(by > 0 && by <= found->submitted_at_ms);
    /* Neither another look nor the death of who looks puts it off. */
    (void)change(f, found, VG_GEN_SUBMITTING, VG_GEN_SUBMITTING);
    (void)sql(f, "UPDATE generations SET lease_owner = NULL, lease_until = NULL, wake_at = now()");
    found = claim(f, 10, 60000)->generations;
    assert_int_equal(found->sent_by_ms, by);
    /* A release without a look: sent by now. The next submission begins anew. */
    (void)change(f, found, VG_GEN_SUBMITTING, VG_GEN_PENDING);
    (void)sql(f, "UPDATE generations SET lease_owner = NULL, lease_until = NULL, due_at = now()");
    g = claim(f, 10, 60000)->generations;
    assert_int_equal(g->sent_by_ms, 0);
    (void)change(f, g, VG_GEN_PENDING, VG_GEN_SUBMITTING);
    struct vg_generation_change *lost = new_change(f, g, VG_GEN_SUBMITTING, VG_GEN_SUBMITTING);

    lost->lease_ms = 0;
    RUN_OK(f, vg_generation_change, lost);
    (void)sql(f, "UPDATE generations SET wake_at = now(), due_at = now()");
    found = claim(f, 10, 60000)->generations;
    assert_true(found->sent_by_ms >= found->submitted_at_ms);
}

static void trace_store__ids_of_others_since_then(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 4; i++)
        (void)create(f, 7, 1);
    struct vg_generation_claim *c = claim(f, 10, 100);

    assert_int_equal(c->count, 4);
    struct vg_generation_change *mine =
        change(f, &c->generations[0], VG_GEN_PENDING, VG_GEN_SUBMITTING);
    int64_t at = mine->submitted_at_ms;

    assert_int_equal(near(f, &c->generations[0], at)->count, 0);
    advance(f, &c->generations[1]);
    advance(f, &c->generations[2]);
    (void)sql(f, "UPDATE attempts SET started_at = started_at - interval '1 hour' WHERE "
                 "generation_id = (SELECT max(generation_id) FROM attempts WHERE upstream_id IS "
                 "NOT NULL)");
    const struct vg_submissions_near *n = near(f, &c->generations[0], at);

    assert_int_equal(n->count, 1);
    assert_string_equal(n->ids[0], "up-1");
    assert_false(n->more);
    assert_false(n->open);
    /* One whose answer is still out may own what is found; with both looked up the older goes on.
     */
    (void)change(f, &c->generations[3], VG_GEN_PENDING, VG_GEN_SUBMITTING);
    assert_true(near(f, &c->generations[0], at)->open);
    assert_true(near(f, &c->generations[3], at)->open);
    (void)sql(f, "UPDATE generations SET poll_errors = 1 WHERE state = 2");
    assert_int_not_equal(near(f, &c->generations[0], at)->open,
                         near(f, &c->generations[3], at)->open);
    (void)sql(f, "UPDATE generations SET poll_errors = 0 WHERE state = 2; "
                 "UPDATE videos SET prompt = id");
    assert_false(near(f, &c->generations[0], at)->open);
    assert_true(near(f, &c->generations[0], at)->busy);
    (void)sql(f, "INSERT INTO attempts (generation_id, attempt, route, provider, upstream_id) "
                 "SELECT g.id, i, 0, 'sandbox', 'many-' || i FROM generations g, "
                 "generate_series(100, 1200) i WHERE g.state = 4");
    n = near(f, &c->generations[0], at);
    assert_int_equal(n->count, VG_NEAR_MAX);
    assert_true(n->more);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(trace_store__tells_every_try_and_why, fixture_clean),
        cmocka_unit_test_setup(trace_store__no_such_video, fixture_clean),
        cmocka_unit_test_setup(trace_store__a_token_keeps_its_first_time, fixture_clean),
        cmocka_unit_test_setup(trace_store__a_lost_submission_was_sent_by, fixture_clean),
        cmocka_unit_test_setup(trace_store__ids_of_others_since_then, fixture_clean),
    };

    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
