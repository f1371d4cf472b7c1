/* SPDX-License-Identifier: Apache-2.0 */
#include "db/hint_store.h"
#include "tests/unit/db/fixture.h"

enum { FAR_MS = 60000 };

/* A claimed generation handed to the provider; held. */
static struct vg_generation submitted(struct fixture *f)
{
    (void)create(f, 7, 1);
    struct vg_generation_claim *c = claim(f, 10, 100);

    assert_int_equal(c->count, 1);
    assert_true(change(f, &c->generations[0], VG_GEN_PENDING, VG_GEN_SUBMITTING)->applied);
    return c->generations[0];
}

static void release(struct fixture *f, const struct vg_generation *g, enum vg_generation_state from)
{
    struct vg_generation_change *op = new_change(f, g, from, VG_GEN_RUNNING);

    op->lease_ms = 0;
    op->due_ms = FAR_MS;
    op->attempts = 1;
    RUN_OK(f, vg_generation_change, op);
    assert_true(op->applied);
}

static struct vg_generation running(struct fixture *f)
{
    struct vg_generation g = submitted(f);

    release(f, &g, VG_GEN_SUBMITTING);
    assert_int_equal(claim(f, 10, 100)->count, 0);
    return g;
}

static enum vg_hint_result hint(struct fixture *f, struct vg_hint op)
{
    op.provider = op.provider ? op.provider : "sandbox";
    RUN_OK(f, vg_hint, &op);
    return op.result;
}

static enum vg_hint_result hint_at(struct fixture *f, const struct vg_generation *g)
{
    return hint(f, (struct vg_hint){.video_id = g->video_id, .attempt = 1});
}

static void hint_store__a_running_generation_becomes_due(void **state)
{
    struct fixture *f = *state;
    struct vg_generation g = running(f);

    assert_int_equal(hint_at(f, &g), VG_HINT_DUE);
    assert_int_equal(claim(f, 10, 100)->count, 1);
}

/* Whether the poll is due a second after the last one that a hint asked for, or later. */
static const char *second_later(struct fixture *f, const char *before)
{
    return sql(f, vg_arena_printf(f->arena,
                                  "SELECT wake_at = hint_at AND due_at = hint_at AND hint_at >= "
                                  "'%s'::timestamptz + interval '1 s' FROM generations",
                                  before));
}

static const char *last_hint(struct fixture *f)
{
    return vg_arena_strdup(f->arena, sql(f, "SELECT hint_at FROM generations"));
}

static void hint_store__polls_come_a_second_apart(void **state)
{
    struct fixture *f = *state;
    struct vg_generation g = running(f);

    assert_int_equal(hint_at(f, &g), VG_HINT_DUE);
    const char *first = last_hint(f);

    g = claim(f, 10, 100)->generations[0];
    release(f, &g, VG_GEN_RUNNING);
    assert_int_equal(hint_at(f, &g), VG_HINT_DUE);
    assert_string_equal(second_later(f, first), "t");
    const char *second = last_hint(f);

    /* That poll has been; a hint after it is not dropped. */
    (void)sql(f, "UPDATE generations SET wake_at = now() + interval '1 hour'");
    assert_int_equal(hint_at(f, &g), VG_HINT_DUE);
    assert_string_equal(second_later(f, second), "t");
    const char *before = vg_arena_strdup(f->arena, sql(f, "SELECT xmin, xmax FROM generations"));

    for (int i = 0; i < 20; i++) /* a poll is due by then: nothing to write, or to lock */
        assert_int_equal(hint_at(f, &g), VG_HINT_DUE);
    assert_string_equal(sql(f, "SELECT xmin, xmax FROM generations"), before);
}

static void hint_store__one_that_is_held_is_due_when_released(void **state)
{
    struct fixture *f = *state;
    struct vg_generation g = submitted(f);

    assert_int_equal(hint_at(f, &g), VG_HINT_DUE); /* while Submit is under way */
    assert_int_equal(claim(f, 10, 100)->count, 0);
    release(f, &g, VG_GEN_SUBMITTING);
    struct vg_generation_claim *c = claim(f, 10, 100);

    assert_int_equal(c->count, 1);
    g = c->generations[0];
    (void)sql(f, "UPDATE generations SET hint_at = now() - interval '1 hour'");
    assert_int_equal(hint_at(f, &g), VG_HINT_DUE); /* while Poll is under way */
    release(f, &g, VG_GEN_RUNNING);
    c = claim(f, 10, 100);
    assert_int_equal(c->count, 1);
    release(f, &c->generations[0], VG_GEN_RUNNING); /* no hint since */
    assert_int_equal(claim(f, 10, 100)->count, 0);
    assert_string_equal(sql(f, "SELECT hinted FROM generations"), "f");
}

static void hint_store__a_deadline_still_comes_first(void **state)
{
    struct fixture *f = *state;
    struct vg_generation g = submitted(f);

    (void)sql(f, "UPDATE generations SET deadline_at = now() + interval '0.2 s',"
                 " hint_at = now() + interval '1 hour'");
    assert_int_equal(hint_at(f, &g), VG_HINT_DUE);
    release(f, &g, VG_GEN_SUBMITTING);
    assert_string_equal(sql(f, "SELECT wake_at <= deadline_at FROM generations"), "t");
}

static void hint_store__others_stay_as_they_are(void **state)
{
    struct fixture *f = *state;
    struct vg_generation g = running(f);
    const struct {
        struct vg_hint op;
        enum vg_hint_result result;
    } rows[] = {
        {{.video_id = "video_x", .attempt = 1}, VG_HINT_UNKNOWN},
        {{.video_id = g.video_id, .index = 1, .attempt = 1}, VG_HINT_UNKNOWN},
        {{.video_id = g.video_id, .attempt = 2}, VG_HINT_STALE},
        {{.video_id = g.video_id, .attempt = 1, .provider = "other"}, VG_HINT_STALE},
        {{.video_id = g.video_id, .attempt = 1, .upstream_id = "up-2"}, VG_HINT_OTHER_JOB},
        {{.video_id = g.video_id, .attempt = 1, .upstream_id = "xup-1"}, VG_HINT_OTHER_JOB},
        {{.upstream_id = "up-2"}, VG_HINT_UNKNOWN},
        {{.upstream_id = "up-1", .provider = "other"}, VG_HINT_UNKNOWN},
    };

    for (size_t i = 0; i < VG_COUNT(rows); i++)
        assert_int_equal(hint(f, rows[i].op), rows[i].result);
    assert_int_equal(claim(f, 10, 100)->count, 0);
    assert_int_equal(hint(f, (struct vg_hint){.video_id = g.video_id,
                                              .attempt = 1,
                                              .upstream_id = "models/veo/operations/up-1"}),
                     VG_HINT_DUE);
    g = claim(f, 10, 100)->generations[0];
    (void)change(f, &g, VG_GEN_RUNNING, VG_GEN_FETCHING);
    assert_int_equal(hint_at(f, &g), VG_HINT_ENDED);
    (void)change(f, &g, VG_GEN_FETCHING, VG_GEN_STORED);
    assert_int_equal(hint_at(f, &g), VG_HINT_ENDED);
    assert_int_equal(hint(f, (struct vg_hint){.upstream_id = "up-1"}), VG_HINT_UNKNOWN);
}

static void hint_store__what_runs_is_found_by_its_upstream_id(void **state)
{
    struct fixture *f = *state;

    (void)running(f);
    assert_int_equal(hint(f, (struct vg_hint){.upstream_id = "up-1"}), VG_HINT_DUE);
    assert_int_equal(claim(f, 10, 100)->count, 1);
}

static void hint_store__a_flood_in_batches_wakes_once(void **state)
{
    enum { HINTS = 200 };
    struct fixture *f = *state;
    struct vg_generation g = running(f);
    struct vg_hint *hints = vg_arena_alloc(f->arena, HINTS * sizeof(*hints));

    for (int i = 0; i < HINTS; i++) {
        hints[i] = (struct vg_hint){
            .video_id = g.video_id, .attempt = i % 10 == 0 ? 2 : 1, .provider = "sandbox"};
        begin(&hints[i].op, arena_apart());
        vg_hint(f->db, &hints[i]);
    }
    finish();
    for (int i = 0; i < HINTS; i++) {
        assert_true(hints[i].op.ok);
        assert_int_equal(hints[i].result, i % 10 == 0 ? VG_HINT_STALE : VG_HINT_DUE);
    }
    struct vg_generation_claim *c = claim(f, 10, 100);

    assert_int_equal(c->count, 1);
    release(f, &c->generations[0], VG_GEN_RUNNING);
    assert_int_equal(claim(f, 10, 100)->count, 0);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup(f, fixture_clean)
    const struct CMUnitTest tests[] = {
        CASE(hint_store__a_running_generation_becomes_due),
        CASE(hint_store__polls_come_a_second_apart),
        CASE(hint_store__one_that_is_held_is_due_when_released),
        CASE(hint_store__a_deadline_still_comes_first),
        CASE(hint_store__others_stay_as_they_are),
        CASE(hint_store__what_runs_is_found_by_its_upstream_id),
        CASE(hint_store__a_flood_in_batches_wakes_once),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
