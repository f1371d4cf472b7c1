/* SPDX-License-Identifier: Apache-2.0 */
/* What a transaction that somebody forgot does to the queue, counted by the server, so that no
 * clock is involved. VG_HELD_JOBS: jobs that go by meanwhile (default 640).
 *
 * While it lasts nothing dead can be removed; a claim steps over none of it, whatever went by. */
#include "tests/unit/db/deliveries.h"

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

        begin(&op->op, arena_apart());
        vg_generation_change(f->db, op);
    }
    finish();
}

/* The callbacks of a batch are told. */
static void tell(struct fixture *f, const struct vg_delivery_claim *c)
{
    for (size_t i = 0; i < c->count; i++) {
        struct vg_delivery_result *op = new_result(f, &c->deliveries[i], VG_DELIVERY_DELIVERED, 0);

        begin(&op->op, arena_apart());
        vg_delivery_result(f->db, op);
    }
    finish();
}

static void live(struct fixture *f)
{
    for (int i = 0; i < BATCH; i++) {
        struct vg_video_create *op = new_create(f, 7, 1);

        op->callback_url = "https://a.example/hook";
        begin(&op->op, arena_apart());
        vg_video_create(f->db, op);
    }
    finish();
    struct vg_generation_claim *c = claim(f, BATCH, 1000);

    assert_int_equal(c->count, BATCH);
    change_all(f, c, VG_GEN_PENDING, VG_GEN_SUBMITTING);
    change_all(f, c, VG_GEN_SUBMITTING, VG_GEN_RUNNING);
    change_all(f, c, VG_GEN_RUNNING, VG_GEN_FETCHING);
    change_all(f, c, VG_GEN_FETCHING, VG_GEN_STORED);
    struct vg_delivery_claim *d = take(f, BATCH, 1000);

    assert_int_equal(d->count, BATCH);
    tell(f, d);
    f->arena = vg_arena_free(f->arena);
    f->arena = vg_arena_new();
}

/* As the dispatcher asks. */
static struct vg_generation_claim *claim_once(struct fixture *f)
{
    struct vg_provider_places places = {.provider = "sandbox", .places = 1000};
    struct vg_generation_claim *op = vg_arena_alloc(f->arena, sizeof(*op));

    *op = (struct vg_generation_claim){.owner = "test",
                                       .limit = BATCH,
                                       .lease_ms = 60000,
                                       .project_concurrency = 1000,
                                       .providers = &places,
                                       .provider_count = 1,
                                       .ahead_ms = 1000};
    RUN_OK(f, vg_generation_claim, op);
    return op;
}

/* Counters reach the server's tables when a session ends. */
static void begin_count(struct fixture *f)
{
    f->db = vg_db_stop(f->db, vg_deadline_in_ms(10000));
    (void)sql(f, "SELECT pg_stat_reset()");
    f->db = open_db(f, (struct vg_db_options){.executors = 1});
}

static int64_t end_count(struct fixture *f)
{
    f->db = vg_db_stop(f->db, vg_deadline_in_ms(10000));
    int64_t read = sql_int(f, "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes");

    f->db = open_db(f, (struct vg_db_options){0});
    return read;
}

static int64_t reads_of_a_claim(struct fixture *f, size_t expect)
{
    begin_count(f);
    struct vg_generation_claim *c = claim_once(f);

    assert_int_equal(c->count, expect);
    int64_t read = end_count(f);

    for (size_t i = 0; i < c->count; i++) {
        advance(f, &c->generations[i]);
        assert_true(change(f, &c->generations[i], VG_GEN_FETCHING, VG_GEN_STORED)->applied);
    }
    return read;
}

static int64_t reads_of_a_take(struct fixture *f, size_t expect)
{
    struct vg_delivery_claim op = {
        .limit = BATCH, .lease_ms = 20000, .per_host = 1000, .per_project = 1000, .ahead_ms = 1000};

    begin_count(f);
    RUN_OK(f, vg_delivery_claim, &op);
    assert_int_equal(op.count, expect);
    int64_t read = end_count(f);

    tell(f, &op);
    return read;
}

/* Claims that find nothing, and ones that find a batch: of generations, then of deliveries. */
static void measure(struct fixture *f, int64_t read[4])
{
    read[0] = reads_of_a_claim(f, 0);
    read[2] = reads_of_a_take(f, 0);
    for (int i = 0; i < BATCH; i++) {
        struct vg_video_create *op = new_create(f, 7, 1);

        op->callback_url = "https://a.example/hook";
        RUN_OK(f, vg_video_create, op);
    }
    read[1] = reads_of_a_claim(f, BATCH);
    read[3] = reads_of_a_take(f, BATCH);
}

/* What came since the last tally, at most a quarter of a second old, is all that differs: in a job
 * a dozen rows, here of two batches. Before there was a tally each job gone by was 11 in a claim of
 * generations, and 2 to 5 in one of deliveries. */
static const int64_t most[4] = {1000, 2000, 1000, 2000};

static void held_snapshot__a_claim_steps_over_nothing_dead(void **state)
{
    struct fixture *f = *state;
    int64_t read[3][4];

    live(f);
    (void)sql(f, "VACUUM");
    measure(f, read[0]);
    hold_snapshot(f);
    for (int half = 1; half <= 2; half++) {
        for (int i = 0; i < jobs() / BATCH / 2; i++)
            live(f);
        measure(f, read[half]);
    }
    let_go(f);
    print_message("index rows that a claim of generations reads, idle and full, and one of "
                  "deliveries; before, after half of %d jobs gone by, after all\n",
                  jobs());
    for (int i = 0; i < 3; i++)
        print_message("  %lld %lld   %lld %lld\n", (long long)read[i][0], (long long)read[i][1],
                      (long long)read[i][2], (long long)read[i][3]);
    for (int i = 0; i < 3; i++) {
        for (int kind = 0; kind < 4; kind++)
            assert_true(read[i][kind] <= most[kind]);
    }
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
            begin(&ops[i].op, arena_apart());
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
 * and a row that moves to another one, most of which is room for more, costs its indexes an entry
 * each. */
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
    assert_true(held >= RENEWALS * BATCH * 17 / 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(held_snapshot__a_claim_steps_over_nothing_dead, fixture_clean),
        cmocka_unit_test_setup(held_snapshot__renewals_stay_hot, fixture_clean),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
