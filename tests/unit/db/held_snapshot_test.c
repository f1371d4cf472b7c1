/* SPDX-License-Identifier: Apache-2.0 */
/* What a transaction that somebody forgot does to the queue, counted by the server, so that no
 * clock is involved. VG_HELD_JOBS: jobs that go by meanwhile (default 640).
 *
 * While it lasts nothing dead can be removed, and a claim steps over it: so many index rows a job,
 * which is what the first test bounds; once it is gone a vacuum brings claims back to nothing. */
#include "tests/unit/db/fixture.h"

enum { BATCH = 64 };

static int jobs(void)
{
    const char *text = getenv("VG_HELD_JOBS");
    int64_t value = 640;

    if (text)
        assert_int_equal(vg_parse_i64(vg_view_of(text), BATCH, 1000000, &value), 0);
    return (int)value / BATCH * BATCH;
}

static void hold_snapshot(struct fixture *f)
{
    char command[512];

    (void)snprintf(command, sizeof(command),
                   "psql -X -q -d '%s' -c 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*)"
                   " FROM videos; SELECT pg_sleep(600)' >/dev/null 2>&1 &",
                   f->url);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): our own text */
    while (sql_int(f, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == 0)
        (void)usleep(10000);
}

static void let_go(struct fixture *f)
{
    (void)sql(f, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = "
                 "'PgSleep'");
}

/* Changes of a whole batch at once. */
static void change_all(struct fixture *f, const struct vg_generation_claim *c,
                       enum vg_generation_state from, enum vg_generation_state to)
{
    for (size_t i = 0; i < c->count; i++) {
        struct vg_generation_change *op = new_change(f, &c->generations[i], from, to);

        begin(&op->op, f->arena);
        vg_generation_change(f->db, op);
    }
    finish();
}

static void live(struct fixture *f)
{
    for (int i = 0; i < BATCH; i++) {
        struct vg_video_create *op = new_create(f, 7, 1);

        begin(&op->op, f->arena);
        vg_video_create(f->db, op);
    }
    finish();
    struct vg_generation_claim *c = claim(f, BATCH, 1000);

    assert_int_equal(c->count, BATCH);
    change_all(f, c, VG_GEN_PENDING, VG_GEN_SUBMITTING);
    change_all(f, c, VG_GEN_SUBMITTING, VG_GEN_RUNNING);
    change_all(f, c, VG_GEN_RUNNING, VG_GEN_FETCHING);
    change_all(f, c, VG_GEN_FETCHING, VG_GEN_STORED);
    f->arena = vg_arena_free(f->arena);
    f->arena = vg_arena_new();
}

/* Counters reach the server's tables when a session ends. */
static int64_t reads_of_a_claim(struct fixture *f)
{
    f->db = vg_db_stop(f->db, vg_deadline_in_ms(10000));
    (void)sql(f, "SELECT pg_stat_reset()");
    f->db = open_db(f, (struct vg_db_options){.executors = 1});
    assert_int_equal(claim(f, BATCH, 1000)->count, 0);
    f->db = vg_db_stop(f->db, vg_deadline_in_ms(10000));
    int64_t read = sql_int(f, "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes");

    f->db = open_db(f, (struct vg_db_options){0});
    return read;
}

static void held_snapshot__a_claim_steps_over_few_dead_rows_a_job(void **state)
{
    struct fixture *f = *state;

    live(f);
    (void)sql(f, "VACUUM");
    int64_t before = reads_of_a_claim(f);

    hold_snapshot(f);
    for (int i = 0; i < jobs() / BATCH; i++)
        live(f);
    int64_t held = reads_of_a_claim(f);

    let_go(f);
    (void)sql(f, "VACUUM");
    int64_t after = reads_of_a_claim(f);

    print_message("an idle claim reads %lld index rows; %lld with %d jobs gone by under a held "
                  "snapshot; %lld after a vacuum\n",
                  (long long)before, (long long)held, jobs(), (long long)after);
    assert_true(held <= (int64_t)12 * jobs() + 100);
    assert_true(after <= 100);
}

static int64_t counted(struct fixture *f, const char *what)
{
    char text[256];

    (void)snprintf(text, sizeof(text),
                   "SELECT %s FROM pg_stat_user_tables WHERE relname = 'generations'", what);
    return sql_int(f, text);
}

enum { RENEWALS = 30 };

/* Of RENEWALS renewals of each of a batch, how many were HOT. */
static int64_t hot_renewals(struct fixture *f, const struct vg_generation_claim *c)
{
    static struct vg_generation_renew ops[BATCH];

    f->db = vg_db_stop(f->db, vg_deadline_in_ms(10000));
    (void)sql(f, "SELECT pg_stat_reset()");
    f->db = open_db(f, (struct vg_db_options){0});
    for (int n = 0; n < RENEWALS; n++) {
        for (size_t i = 0; i < c->count; i++) {
            ops[i] = (struct vg_generation_renew){.id = c->generations[i].id,
                                                  .lease_seq = c->generations[i].lease_seq,
                                                  .lease_ms = 60000};
            begin(&ops[i].op, f->arena);
            vg_generation_renew(f->db, &ops[i]);
        }
        finish();
        assert_true(ops[0].applied);
    }
    f->db = vg_db_stop(f->db, vg_deadline_in_ms(10000));
    f->db = open_db(f, (struct vg_db_options){0});
    assert_int_equal(counted(f, "n_tup_upd"), RENEWALS * BATCH);
    return counted(f, "n_tup_hot_upd");
}

/* The only write that comes again and again while a job is under way is the renewal of its lease:
 * it touches no indexed column, and pages keep room for it. Under a held snapshot pages fill up,
 * and a row that moves to another one costs its indexes an entry each. */
static void held_snapshot__renewals_stay_hot(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < BATCH; i++)
        (void)create(f, 7, 1);
    struct vg_generation_claim *c = claim(f, BATCH, 1000);

    assert_int_equal(c->count, BATCH);
    (void)sql(f, "VACUUM generations");
    int64_t alone = hot_renewals(f, c);

    hold_snapshot(f);
    int64_t held = hot_renewals(f, c);

    let_go(f);
    print_message("of %d renewals %lld HOT, %lld under a held snapshot\n", RENEWALS * BATCH,
                  (long long)alone, (long long)held);
    assert_true(alone >= RENEWALS * BATCH * 9 / 10);
    assert_true(held >= RENEWALS * BATCH / 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(held_snapshot__a_claim_steps_over_few_dead_rows_a_job,
                               fixture_clean),
        cmocka_unit_test_setup(held_snapshot__renewals_stay_hot, fixture_clean),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
