/* SPDX-License-Identifier: Apache-2.0 */
/* The combiner under trouble: killed connections, a stopped server, overload, deadlines, stop. */
#include <stdatomic.h>

#include "tests/unit/db/fixture.h"

static const char kill_sql[] = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                               "WHERE application_name LIKE 'videogate%'";

static void nap_ms(int ms)
{
    (void)usleep((useconds_t)ms * 1000);
}

static bool wait_ready(const struct vg_db *db, bool wanted)
{
    char why[200];

    for (int i = 0; i < 600; i++) {
        if (vg_db_ready(db, why, sizeof(why)) == wanted)
            return true;
        nap_ms(50);
    }
    return false;
}

/* ---- a load of creates from its own thread */

enum { LOAD = 6000 };
struct load {
    struct fixture *f;
    struct vg_video_create ops[LOAD];
    char ids[LOAD][VG_ID_SIZE];
    char keys[LOAD][24];
    struct vg_arena *arenas[LOAD];
    atomic_bool stop;
    atomic_int sent;
};

static void load_one(struct load *load, int i)
{
    struct vg_video_create *op = &load->ops[i];
    struct vg_video_create model = {.project_id = 1 + i % 5,
                                    .key_id = "k",
                                    .model = "m",
                                    .prompt = "p",
                                    .width = 1,
                                    .height = 1,
                                    .seconds = 1,
                                    .n = 1 + i % 3,
                                    .provider = "sandbox",
                                    .spec = "s",
                                    .spec_size = 1,
                                    .deadline_s = 3600};

    *op = model;
    vg_id_new(load->ids[i], "video");
    op->id = load->ids[i];
    if (i % 2 == 0) {
        (void)snprintf(load->keys[i], sizeof(load->keys[i]), "key-%d", i);
        op->idempotency_key = load->keys[i];
    }
    load->arenas[i] = vg_arena_new();
    begin(&op->op, load->arenas[i]);
    vg_video_create(load->f->db, op);
}

static void *load_main(void *arg)
{
    struct load *load = arg;

    while (load->sent < LOAD && !atomic_load(&load->stop)) {
        int i = atomic_fetch_add(&load->sent, 1);

        load_one(load, i);
        if (i % 50 == 0)
            nap_ms(5);
    }
    return NULL;
}

static int64_t expected_generations(const struct load *load)
{
    int64_t total = 0;

    for (int i = 0; i < load->sent; i++)
        total += load->ops[i].n;
    return total;
}

static void load_free(struct load *load)
{
    for (int i = 0; i < load->sent; i++)
        load->arenas[i] = vg_arena_free(load->arenas[i]);
    free(load);
}

static void combiner__killed_connections_lose_and_double_nothing(void **state)
{
    struct fixture *f = *state;
    struct load *load = vg_xalloc(sizeof(*load));
    pthread_t thread;
    int64_t killed = 0;

    load->f = f;
    assert_int_equal(pthread_create(&thread, NULL, load_main, load), 0);
    while (load->sent < LOAD / 10)
        nap_ms(1);
    for (int i = 0; i < 25; i++) {
        killed += sql_int(f, kill_sql);
        nap_ms(10);
    }
    (void)pthread_join(thread, NULL);
    finish();
    assert_true(killed > 10);
    for (int i = 0; i < load->sent; i++) {
        if (!load->ops[i].op.ok)
            fail_msg("create %d: %s", i, vg_err_text(&load->ops[i].op.err));
        assert_int_equal(load->ops[i].outcome, VG_CREATE_NEW);
    }
    assert_int_equal(sql_int(f, "SELECT count(*) FROM videos"), LOAD);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM generations"), expected_generations(load));
    assert_int_equal(sql_int(f, "SELECT count(*) FROM idempotency"), LOAD / 2);
    load_free(load);
}

/* Every generation goes its whole way while connections die; each change that says applied is one,
 * each lost lease is claimed again, and each video ends exactly once. */
static void walk(struct fixture *f, const struct vg_generation *g, int64_t *stored)
{
    static const enum vg_generation_state path[] = {VG_GEN_PENDING, VG_GEN_SUBMITTING,
                                                    VG_GEN_RUNNING, VG_GEN_FETCHING, VG_GEN_STORED};
    size_t at = 0;

    while (path[at] != g->state)
        at++;
    for (; at + 1 < VG_COUNT(path); at++) {
        struct vg_generation_change *op = change(f, g, path[at], path[at + 1]);

        /* Nobody else claims here: a change under a live lease must be told as applied, however
         * often it was sent. */
        assert_true(op->applied);
        *stored += path[at + 1] == VG_GEN_STORED;
    }
}

struct killer {
    struct fixture *f;
    atomic_bool stop;
    int rounds;
};

static void *killer_main(void *arg)
{
    struct killer *killer = arg;
    char command[512];

    (void)snprintf(command, sizeof(command), "psql -X -q -A -t -d '%s' -c \"%s\" >/dev/null 2>&1",
                   killer->f->url, kill_sql);
    while (!atomic_load(&killer->stop)) {
        (void)!system(command); /* NOLINT(cert-env33-c): our own text */
        killer->rounds++;
        nap_ms(15);
    }
    return NULL;
}

static void combiner__changes_survive_killed_connections(void **state)
{
    struct fixture *f = *state;
    enum { VIDEOS = 30, ALL = 2 * VIDEOS };
    struct killer killer = {.f = f};
    pthread_t thread;
    int64_t claimed = 0, stored = 0;

    for (int i = 0; i < VIDEOS; i++) {
        struct vg_video_create *op = new_create(f, 1 + i % 3, 2);

        op->callback_url = "https://example.com/hook";
        RUN_OK(f, vg_video_create, op);
    }
    assert_int_equal(pthread_create(&thread, NULL, killer_main, &killer), 0);
    while (claimed < ALL) {
        struct vg_generation_claim *c = claim(f, 7, 1000);

        /* A claim whose COMMIT answer was lost finds its rows again: none waits for its lease to
         * end. */
        assert_true(c->count > 0);
        claimed += (int64_t)c->count;
        for (size_t i = 0; i < c->count; i++)
            walk(f, &c->generations[i], &stored);
    }
    atomic_store(&killer.stop, true);
    (void)pthread_join(thread, NULL);
    assert_true(killer.rounds > 3);
    assert_int_equal(stored, ALL);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM videos WHERE status = 3"), VIDEOS);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM deliveries"), VIDEOS);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM attempts WHERE attempt = 1"), ALL);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM attempts"), ALL);
    assert_int_equal(sql_int(f, "SELECT max(lease_seq) FROM generations"), 1);
}

static atomic_bool hurried_done;
static void on_hurried(struct vg_task *task)
{
    atomic_store(&hurried_done, true);
    op_done(task);
}

static void combiner__survives_a_restart_of_the_server(void **state)
{
    struct fixture *f = *state;
    struct load *load = vg_xalloc(sizeof(*load));
    struct vg_video_get hurried = {.id = "video_none", .project_id = 1};
    pthread_t thread;
    char why[200] = "";

    load->f = f;
    assert_true(wait_ready(f->db, true));
    assert_int_equal(pthread_create(&thread, NULL, load_main, load), 0);
    nap_ms(100);
    assert_int_equal(script("stop", f->dir), 0);
    assert_true(wait_ready(f->db, false));
    assert_false(vg_db_ready(f->db, why, sizeof(why)));
    assert_true(strlen(why) > 0);

    /* While it is away an operation fails at its deadline, and says when to come again. */
    begin(&hurried.op, f->arena);
    hurried.op.done.run = on_hurried;
    hurried.op.deadline_ns = vg_deadline_in_ms(200);
    vg_video_get(f->db, &hurried);
    for (int i = 0; i < 600 && !atomic_load(&hurried_done); i++)
        nap_ms(20);
    assert_true(atomic_load(&hurried_done));
    atomic_store(&load->stop, true);
    (void)pthread_join(thread, NULL);
    assert_int_equal(hurried.op.err.kind, VG_ERR_UNAVAILABLE);
    assert_int_equal(hurried.op.err.retry_after_ms, 1000);

    assert_int_equal(script("restart", f->dir), 0);
    finish(); /* none hangs */
    for (int i = 0; i < load->sent; i++) {
        if (!load->ops[i].op.ok)
            fail_msg("create %d: %s", i, vg_err_text(&load->ops[i].op.err));
    }
    assert_true(wait_ready(f->db, true));
    assert_int_equal(sql_int(f, "SELECT count(*) FROM videos"), load->sent);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM generations"), expected_generations(load));
    load_free(load);
}

/* ---- limits */

static void combiner__starts_and_fails_without_a_server(void **state)
{
    struct fixture nowhere = {.url = "host=/nonexistent dbname=x"};
    struct vg_video_get op = {.id = "video_none", .project_id = 1};
    char why[200] = "";

    (void)state;
    nowhere.arena = vg_arena_new();
    nowhere.db = open_db(&nowhere, (struct vg_db_options){.max_queued = 3});
    assert_false(vg_db_ready(nowhere.db, why, sizeof(why)));
    begin(&op.op, nowhere.arena);
    op.op.deadline_ns = vg_deadline_in_ms(100);
    vg_video_get(nowhere.db, &op);
    finish();
    assert_false(op.op.ok);
    assert_int_equal(op.op.err.kind, VG_ERR_UNAVAILABLE);
    assert_int_equal(op.op.err.retry_after_ms, 1000);

    /* The queue is bounded; a stop fails what waits. */
    struct vg_video_get many[5];

    for (int i = 0; i < 5; i++) {
        many[i] = (struct vg_video_get){.id = "video_none", .project_id = 1};
        begin(&many[i].op, arena_apart());
        vg_video_get(nowhere.db, &many[i]);
    }
    assert_int_equal(many[3].op.err.kind, VG_ERR_OVERLOADED);
    assert_int_equal(many[4].op.err.kind, VG_ERR_OVERLOADED);
    nowhere.db = vg_db_stop(nowhere.db, vg_deadline_in_ms(100));
    finish();
    assert_int_equal(many[0].op.err.kind, VG_ERR_UNAVAILABLE);
    nowhere.arena = vg_arena_free(nowhere.arena);
}

static void combiner__an_expired_operation_is_not_run(void **state)
{
    struct fixture *f = *state;
    struct vg_video_create *op = new_create(f, 7, 1);

    assert_true(wait_ready(f->db, true));
    begin(&op->op, f->arena);
    op->op.deadline_ns = vg_now_ns() - 1;
    vg_video_create(f->db, op);
    finish();
    assert_false(op->op.ok);
    assert_int_equal(op->op.err.kind, VG_ERR_DEADLINE);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM videos"), 0);
}

static void combiner__stop_runs_what_is_queued(void **state)
{
    struct fixture *f = *state;
    enum { OPS = 300 };
    struct vg_video_create *ops[OPS];
    struct vg_db *own = open_db(f, (struct vg_db_options){.executors = 1});
    struct vg_db *shared = f->db;

    f->db = own;
    for (int i = 0; i < OPS; i++) {
        ops[i] = new_create(f, 7, 1);
        begin(&ops[i]->op, arena_apart());
    }
    for (int i = 0; i < OPS; i++)
        vg_video_create(own, ops[i]);
    (void)vg_db_stop(own, vg_deadline_in_ms(60000));
    f->db = shared;
    finish();
    for (int i = 0; i < OPS; i++)
        assert_true(ops[i]->op.ok);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM videos"), OPS);
}

/* ---- wake-up */

static atomic_int woken;
static void on_wake(struct vg_task *task)
{
    (void)task;
    (void)atomic_fetch_add(&woken, 1);
}

static bool wait_woken(int from)
{
    for (int i = 0; i < 600; i++) {
        if (atomic_load(&woken) > from)
            return true;
        nap_ms(20);
    }
    return false;
}

static void combiner__wakes_this_and_other_processes(void **state)
{
    struct fixture *f = *state;
    struct vg_task wake = {.run = on_wake};
    struct vg_db *other =
        open_db(f, (struct vg_db_options){.wake_executor = &inline_executor, .wake = &wake});

    assert_true(wait_woken(0)); /* connected: what came before may have been missed */
    nap_ms(100);
    int before = atomic_load(&woken);

    (void)create(f, 7, 1); /* through the fixture's combiner: another process to `other` */
    assert_true(wait_woken(before));
    nap_ms(100);
    before = atomic_load(&woken);
    struct vg_db *shared = f->db;

    f->db = other;
    (void)create(f, 7, 1); /* its own */
    assert_true(wait_woken(before));
    f->db = shared;
    other = vg_db_stop(other, vg_deadline_in_ms(5000));
    assert_null(other);
}

/* ---- schema */

static void count_line(void *ctx, const char *line)
{
    (void)line;
    (*(int *)ctx)++;
}

static void combiner__needs_the_schema_and_migrates_once(void **state)
{
    struct fixture *f = *state;
    struct fixture empty = *f;
    struct vg_err err = {0};
    char why[200] = "";
    int lines = 0;

    (void)sql(f, "CREATE DATABASE empty");
    (void)snprintf(empty.url, sizeof(empty.url), "host=%s user=vg dbname=empty", f->dir);
    empty.db = open_db(&empty, (struct vg_db_options){0});
    for (int i = 0; i < 200 && !strstr(why, "migrate"); i++, nap_ms(20))
        assert_false(vg_db_ready(empty.db, why, sizeof(why)));
    assert_non_null(strstr(why, "migrate"));
    assert_int_equal(vg_db_migrate(empty.url, count_line, &lines, &err), 0);
    assert_true(lines > 0);
    int first = lines;

    assert_int_equal(vg_db_migrate(empty.url, count_line, &lines, &err), 0);
    assert_int_equal(lines, first);
    assert_true(wait_ready(empty.db, true)); /* without a restart */
    empty.db = vg_db_stop(empty.db, vg_deadline_in_ms(5000));
    assert_int_equal(vg_db_migrate("host=/nonexistent", NULL, NULL, &err), -1);
    assert_int_equal(err.kind, VG_ERR_UNAVAILABLE);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(combiner__##name, fixture_clean)
    const struct CMUnitTest tests[] = {
        CASE(killed_connections_lose_and_double_nothing),
        CASE(changes_survive_killed_connections),
        CASE(survives_a_restart_of_the_server),
        CASE(starts_and_fails_without_a_server),
        CASE(an_expired_operation_is_not_run),
        CASE(stop_runs_what_is_queued),
        CASE(wakes_this_and_other_processes),
        CASE(needs_the_schema_and_migrates_once),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
