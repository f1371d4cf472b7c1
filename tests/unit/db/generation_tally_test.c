/* SPDX-License-Identifier: Apache-2.0 */
/* What claims know without looking (db/generation_tally.h) is what stands in the table: after any
 * changes, in whatever order they commit, and when the tally is lost. */
#include "tests/unit/db/tally.h"

/* Sums of the tally and the flow that it has not seen, beside what the rows say: 0 are wrong. The
 * condition is written here a second time on purpose: of all flow, what its snapshot does not see.
 */
static const char wrong_sql[] =
    "WITH b AS (SELECT * FROM tally ORDER BY seq DESC LIMIT 1), s AS (SELECT f.* FROM flow f, b "
    "WHERE NOT pg_visible_in_snapshot(f.xid::text::xid8, b.snap)), k AS (SELECT project_id, "
    "provider, sum(pending) AS p, sum(held) AS h, min(floor) AS floor FROM (SELECT u.* FROM b, "
    "unnest(projects, providers, pending, held, floors) AS u(project_id, provider, pending, held, "
    "floor) UNION ALL SELECT project_id, provider, pending, held, due_min FROM s) e GROUP BY 1, "
    "2), r AS (SELECT project_id, provider, count(*) FILTER (WHERE state = 1) AS p, count(*) "
    "FILTER (WHERE state > 1 OR lease_owner IS NOT NULL) AS h, min(due_at) FILTER (WHERE state = "
    "1) AS due FROM generations WHERE state < 5 GROUP BY 1, 2) "
    "SELECT (SELECT count(*) FROM k FULL JOIN r USING (project_id, provider) WHERE "
    "coalesce(k.p, 0) <> coalesce(r.p, 0) OR coalesce(k.h, 0) <> coalesce(r.h, 0) OR k.floor > "
    "r.due) + (SELECT count(*) FROM generations g, b WHERE g.state < 5 AND g.wake_at < "
    "least(b.wake_floor, (SELECT min(wake_min) FROM s))) + (SELECT count(*) FROM generations g, b "
    "WHERE g.state = 1 AND g.lease_owner IS NOT NULL AND g.due_at < least(b.taken_floor, (SELECT "
    "min(taken_min) FROM s))) + (SELECT count(*) <> 1 FROM b)::int";

static void expect_right(struct fixture *f)
{
    assert_int_equal(sql_int(f, wrong_sql), 0);
}

static void release(struct fixture *f, const struct vg_generation *g, int64_t due_ms)
{
    struct vg_generation_change *op = new_change(f, g, g->state, g->state);

    op->lease_ms = 0;
    op->due_ms = due_ms;
    op->upstream_id = g->upstream_id;
    RUN_OK(f, vg_generation_change, op);
    assert_true(op->applied);
}

/* One more job comes and goes, and a new tally stands. */
static void carry(struct fixture *f)
{
    int64_t before = sql_int(f, "SELECT max(seq) FROM tally");
    const char *id = create(f, 9, 1);

    (void)usleep(TALLY_AGE_US);
    struct vg_generation_claim *c = claim(f, 1, 1000);

    assert_int_equal(c->count, 1);
    assert_string_equal(c->generations[0].video_id, id);
    advance(f, &c->generations[0]);
    assert_true(change(f, &c->generations[0], VG_GEN_FETCHING, VG_GEN_STORED)->applied);
    assert_true(sql_int(f, "SELECT max(seq) FROM tally") > before);
}

/* A pending job and a running one, both asleep for an hour. */
static void two_asleep(struct fixture *f)
{
    (void)create(f, 7, 1);
    (void)create(f, 8, 1);
    struct vg_generation_claim *c = claim(f, 2, 1000);

    assert_int_equal(c->count, 2);
    release(f, &c->generations[0], 3600000);
    struct vg_generation g = c->generations[1];

    assert_true(change(f, &g, VG_GEN_PENDING, VG_GEN_SUBMITTING)->applied);
    assert_true(change(f, &g, VG_GEN_SUBMITTING, VG_GEN_RUNNING)->applied);
    g.state = VG_GEN_RUNNING;
    release(f, &g, 3000000);
    assert_int_equal(claim(f, 2, 1000)->count, 0);
}

static void generation_tally__finds_what_is_moved_back(void **state)
{
    struct fixture *f = *state;

    two_asleep(f);
    for (int i = 0; i < 3; i++)
        carry(f);
    (void)sql(f, "UPDATE generations SET due_at = now() - interval '1 hour', wake_at = CASE state "
                 "WHEN 1 THEN wake_at ELSE now() - interval '1 hour' END WHERE state < 5");
    assert_int_equal(claim(f, 9, 1000)->count, 2);
    expect_right(f);
}

/* What commits late has times that all have passed by since. */
static void generation_tally__finds_what_commits_late(void **state)
{
    struct fixture *f = *state;

    two_asleep(f);
    late_begin(f, "UPDATE generations SET due_at = now(), wake_at = CASE state WHEN 1 THEN wake_at "
                  "ELSE now() END WHERE state < 5");
    for (int i = 0; i < 3; i++)
        carry(f);
    late_commit(f);
    assert_int_equal(claim(f, 9, 1000)->count, 2);
    expect_right(f);
}

/* A claim whose holder died frees its place when the lease runs out, also of a pending row. */
static void generation_tally__a_lapsed_lease_holds_no_place(void **state)
{
    struct fixture *f = *state;

    (void)create(f, 7, 1);
    (void)create(f, 7, 1);
    assert_int_equal(claim(f, 1, 1)->count, 1);
    assert_int_equal(claim(f, 1, 1)->count, 0);
    carry(f);
    (void)sql(f, "UPDATE generations SET lease_until = now() - interval '1 s', due_at = now() - "
                 "interval '1 s' WHERE lease_owner IS NOT NULL AND state = 1");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(claim(f, 2, 1)->count, i == 0);
        expect_right(f);
    }
}

/* After a crash both tables are empty; a dump that was restored has snapshots of another server. */
static void generation_tally__counts_anew_when_it_is_lost(void **state)
{
    static const char *const losses[] = {
        "TRUNCATE tally, flow", "UPDATE tally SET snap = '9000000000:9000000000:'",
        "UPDATE tally SET made_at = now() - interval '2 hours'", "DELETE FROM tally"};
    struct fixture *f = *state;

    for (int i = 0; i < 30; i++)
        (void)create(f, i % 3, 1);
    for (int i = 0; i < (int)VG_COUNT(losses); i++) {
        assert_int_equal(claim(f, 4, 4 * i + 4)->count, 4);
        (void)sql(f, losses[i]);
        assert_int_equal(claim(f, 4, 4 * i + 4)->count, 0);
        expect_right(f);
    }
}

static void sleep_or_end(struct fixture *f, struct vg_generation *g, unsigned dice)
{
    if (dice % 4 == 0) {
        release(f, g, (int64_t)(dice % 3) * 100);
        return;
    }
    if (g->state == VG_GEN_PENDING && dice % 5 == 0) {
        struct vg_generation_change *op = new_change(f, g, g->state, VG_GEN_FAILED);

        op->error_code = op->error_message = "x";
        RUN_OK(f, vg_generation_change, op);
        return;
    }
    if (g->state == VG_GEN_PENDING)
        assert_true(change(f, g, VG_GEN_PENDING, VG_GEN_SUBMITTING)->applied);
    if (g->state <= VG_GEN_SUBMITTING)
        assert_true(change(f, g, VG_GEN_SUBMITTING, VG_GEN_RUNNING)->applied);
    g->state = VG_GEN_RUNNING;
    if (dice % 3 == 0) {
        release(f, g, dice % 200);
        return;
    }
    assert_true(change(f, g, VG_GEN_RUNNING, VG_GEN_FETCHING)->applied);
    if (dice % 7 != 0)
        assert_true(change(f, g, VG_GEN_FETCHING, VG_GEN_STORED)->applied);
}

/* A table that was changed behind the triggers' back is counted again after ten minutes. */
static void generation_tally__counts_anew_now_and_then(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 3; i++)
        (void)create(f, 7, 1);
    assert_int_equal(claim(f, 2, 2)->count, 2);
    (void)sql(f, "ALTER TABLE generations DISABLE TRIGGER ALL; UPDATE generations SET state = 6, "
                 "ended_at = now(), lease_owner = NULL, lease_until = NULL WHERE lease_owner IS "
                 "NOT NULL; ALTER TABLE generations ENABLE TRIGGER ALL");
    assert_int_equal(claim(f, 2, 2)->count, 0); /* it does not know */
    (void)sql(f, "UPDATE tally SET counted_at = now() - interval '11 minutes'");
    assert_int_equal(claim(f, 2, 2)->count, 1);
    expect_right(f);
}

static void create_some(struct fixture *f, unsigned *dice)
{
    for (int i = 0; i < 4; i++) {
        int64_t project = roll(dice) % 16;
        const char *id = create(f, project, (int)(roll(dice) % 3) + 1);
        struct vg_video_cancel cancel = {.id = id, .project_id = project};

        if (roll(dice) % 5 == 0)
            RUN_OK(f, vg_video_cancel, &cancel);
    }
}

static void generation_tally__stays_right_whatever_happens(void **state)
{
    struct fixture *f = *state;
    unsigned dice = 20261128;

    for (int round = 0; round < 60; round++) {
        create_some(f, &dice);
        struct vg_generation_claim *c = claim(f, 8, 40);

        for (size_t i = 0; i < c->count; i++) {
            if (c->generations[i].state <= VG_GEN_RUNNING)
                sleep_or_end(f, &c->generations[i], roll(&dice));
        }
        if (round % 20 == 19)
            (void)sql(f, "DELETE FROM generations WHERE id IN (SELECT id FROM generations ORDER BY "
                         "id DESC LIMIT 7)");
        expect_right(f);
    }
    assert_true(sql_int(f, "SELECT max(seq) - min(seq) FROM tally") > 0);
    assert_true(sql_int(f, "SELECT count(*) FROM tally") < 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(generation_tally__finds_what_is_moved_back, fixture_clean),
        cmocka_unit_test_setup(generation_tally__finds_what_commits_late, fixture_clean),
        cmocka_unit_test_setup(generation_tally__a_lapsed_lease_holds_no_place, fixture_clean),
        cmocka_unit_test_setup(generation_tally__counts_anew_when_it_is_lost, fixture_clean),
        cmocka_unit_test_setup(generation_tally__counts_anew_now_and_then, fixture_clean),
        cmocka_unit_test_setup(generation_tally__stays_right_whatever_happens, fixture_clean),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
