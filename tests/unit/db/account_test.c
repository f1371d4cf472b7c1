/* SPDX-License-Identifier: Apache-2.0 */
/* Limits, settling and the usage report: project_store, usage_store, and what creates and changes
 * do with accounts. */
#include "tests/unit/db/fixture.h"

#include "db/project_store.h"
#include "db/usage_store.h"

static int64_t project_of(struct fixture *f, const char *name)
{
    char text[128];

    (void)snprintf(text, sizeof(text), "SELECT id FROM projects WHERE name = '%s'", name);
    return sql_int(f, text);
}

static int64_t new_project(struct fixture *f, const char *name, struct vg_limits limits)
{
    struct vg_project_create op = {.name = name, .limits = limits};

    RUN_OK(f, vg_project_create, &op);
    return project_of(f, name);
}

static void new_key(struct fixture *f, const char *project, const char *id, struct vg_limits limits)
{
    struct vg_key_create *op = vg_arena_alloc(f->arena, sizeof(*op));

    op->project = project;
    op->name = op->hint = "x";
    op->id = id;
    op->limits = limits;
    for (size_t i = 0; i < sizeof(op->hash); i++)
        op->hash[i] = (uint8_t)id[i % strlen(id)];
    RUN_OK(f, vg_key_create, op);
}

/* A create at 0.30 an output and 0.01 for pictures. */
static struct vg_video_create *limited(struct fixture *f, int64_t project, const char *key, int n)
{
    struct vg_video_create *op = new_create(f, project, n);

    op->key_id = key;
    op->output_micros = 300000;
    op->input_micros = 10000;
    op->limited = true;
    return op;
}

/* "active reserved spent" of one account. */
static const char *account(struct fixture *f, const char *key)
{
    char text[256];

    (void)snprintf(text, sizeof(text),
                   "SELECT active || ' ' || reserved_micros || ' ' || spent_micros FROM accounts "
                   "WHERE key_id = '%s'",
                   key);
    return sql(f, text);
}

/* What is counted is what stands in the videos. */
static void expect_consistent(struct fixture *f)
{
    assert_int_equal(
        sql_int(f, "SELECT count(*) FROM accounts a WHERE (active, reserved_micros) <> (SELECT "
                   "count(*), coalesce(sum(n * output_micros + input_micros), 0) FROM videos v "
                   "WHERE v.project_id = a.project_id AND v.status < 3 AND "
                   "CASE a.key_id WHEN '' THEN v.charged & 2 > 0 ELSE v.charged & 1 > 0 AND "
                   "v.key_id = a.key_id END)"),
        0);
}

static void end_all(struct fixture *f, enum vg_generation_state state)
{
    struct vg_generation_claim *c = claim(f, 100, 1000);

    for (size_t i = 0; i < c->count; i++) {
        advance(f, &c->generations[i]);
        assert_true(change(f, &c->generations[i], VG_GEN_FETCHING, state)->applied);
    }
}

static void account__active_videos_are_bounded_exactly(void **state)
{
    struct fixture *f = *state;
    struct vg_video_create *ops[200];
    int64_t project = new_project(f, "busy", (struct vg_limits){.max_active = 7});
    int made = 0;

    new_key(f, "busy", "key_tight", (struct vg_limits){.max_active = 3});
    new_key(f, "busy", "key_loose", (struct vg_limits){0});
    for (int i = 0; i < 200; i++) {
        ops[i] = limited(f, project, i % 2 ? "key_tight" : "key_loose", 1);
        begin(&ops[i]->op, arena_apart());
        vg_video_create(f->db, ops[i]);
    }
    finish();
    for (int i = 0; i < 200; i++) {
        made += ops[i]->op.ok;
        if (!ops[i]->op.ok) {
            assert_int_equal(ops[i]->op.err.kind, VG_ERR_CONCURRENCY_LIMITED);
            assert_true(ops[i]->op.err.retry_after_ms > 0);
        }
    }
    assert_int_equal(made, 7);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM videos"), 7);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM generations"), 7);
    assert_true(sql_int(f, "SELECT count(*) FROM videos WHERE key_id = 'key_tight'") <= 3);
    expect_consistent(f);

    end_all(f, VG_GEN_FAILED);
    assert_string_equal(account(f, ""), "0 0 0");
    assert_string_equal(account(f, "key_tight"), "0 0 0");
    struct vg_video_create *next = limited(f, project, "key_tight", 1);
    RUN_OK(f, vg_video_create, next);
    assert_string_equal(account(f, "key_tight"), "1 310000 0");
}

static void account__spend_is_reserved_and_settled(void **state)
{
    struct fixture *f = *state;
    int64_t project = new_project(f, "rich", (struct vg_limits){.max_spend_micros = 1000000});
    struct vg_video_create *two = limited(f, project, "key_1", 2);  /* 610,000 */
    struct vg_video_create *over = limited(f, project, "key_1", 2); /* would be 1,220,000 */
    struct vg_video_create *one = limited(f, project, "key_1", 1);  /* 310,000: fits */

    RUN_OK(f, vg_video_create, two);
    RUN(f, vg_video_create, over);
    assert_false(over->op.ok);
    assert_int_equal(over->op.err.kind, VG_ERR_BILLING);
    RUN_OK(f, vg_video_create, one);
    assert_string_equal(account(f, ""), "2 920000 0");

    /* One of two outputs: pays for what exists. */
    struct vg_generation_claim *c = claim(f, 10, 10);
    assert_int_equal(c->count, 3);
    for (size_t i = 0; i < c->count; i++) {
        bool first =
            strcmp(c->generations[i].video_id, two->id) == 0 && c->generations[i].index == 0;

        advance(f, &c->generations[i]);
        (void)change(f, &c->generations[i], VG_GEN_FETCHING, first ? VG_GEN_STORED : VG_GEN_FAILED);
    }
    assert_string_equal(account(f, ""), "0 0 310000");
    const struct vg_video *done = get(f, two->id, project);
    assert_int_equal(done->made, 1);
    assert_int_equal(done->output_micros, 300000);
    assert_int_equal(get(f, one->id, project)->made, 0);

    /* Another month. */
    struct vg_video_create *more = limited(f, project, "key_1", 2);
    RUN_OK(f, vg_video_create, more);
    assert_string_equal(account(f, ""), "1 610000 310000");
    (void)sql(f, "UPDATE accounts SET month = month - interval '1 month'");
    struct vg_video_create *fresh = limited(f, project, "key_1", 1);
    RUN_OK(f, vg_video_create, fresh);
    assert_string_equal(account(f, ""), "2 920000 0");
    (void)sql(f, "UPDATE accounts SET month = month - interval '1 month', spent_micros = 5");
    end_all(f, VG_GEN_STORED);
    assert_string_equal(account(f, ""), "0 0 920000");
}

static void account__a_replay_is_neither_refused_nor_counted(void **state)
{
    struct fixture *f = *state;
    int64_t project = new_project(f, "once", (struct vg_limits){.max_active = 1});
    struct vg_video_create *first = limited(f, project, "key_1", 1);
    struct vg_video_create *again = limited(f, project, "key_1", 1);
    struct vg_video_create *other = limited(f, project, "key_1", 1);
    struct vg_video_create *fresh = limited(f, project, "key_1", 1);

    first->idempotency_key = again->idempotency_key = other->idempotency_key = "k";
    fresh->idempotency_key = "l";
    memset(other->fingerprint, 9, sizeof(other->fingerprint));
    RUN_OK(f, vg_video_create, first);
    RUN_OK(f, vg_video_create, again);
    assert_int_equal(again->outcome, VG_CREATE_REPLAYED);
    assert_string_equal(again->video.id, first->id);
    RUN_OK(f, vg_video_create, other);
    assert_int_equal(other->outcome, VG_CREATE_MISMATCH);
    RUN(f, vg_video_create, fresh);
    assert_int_equal(fresh->op.err.kind, VG_ERR_CONCURRENCY_LIMITED);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM idempotency"), 1);

    /* The same operation once more: its COMMIT answer was lost. */
    RUN_OK(f, vg_video_create, first);
    assert_int_equal(first->outcome, VG_CREATE_NEW);
    assert_string_equal(account(f, ""), "1 310000 0");
    expect_consistent(f);

    end_all(f, VG_GEN_STORED);
    RUN_OK(f, vg_video_create, fresh); /* the refused key was not used up */
    assert_int_equal(fresh->outcome, VG_CREATE_NEW);
}

/* A key without limits races for the same idempotency key: the loser's place is not kept. */
static void account__a_lost_race_reserves_nothing(void **state)
{
    struct fixture *f = *state;
    struct vg_video_create *ops[64];
    int64_t project = new_project(f, "race", (struct vg_limits){0});

    new_key(f, "race", "key_a", (struct vg_limits){.max_active = 64});
    for (int round = 0; round < 8; round++) {
        for (int i = 0; i < 64; i++) {
            ops[i] = limited(f, project, i % 2 ? "key_a" : "key_b", 1);
            ops[i]->limited = i % 2;
            ops[i]->idempotency_key = vg_arena_printf(f->arena, "k%d-%d", round, i / 4);
            begin(&ops[i]->op, arena_apart());
            vg_video_create(f->db, ops[i]);
        }
        finish();
        for (int i = 0; i < 64; i++)
            if (!ops[i]->op.ok)
                assert_int_equal(ops[i]->op.err.kind, VG_ERR_CONCURRENCY_LIMITED);
        assert_int_equal(sql_int(f, "SELECT count(*) FROM videos"), (round + 1) * 16);
        expect_consistent(f);
    }
}

static void account__new_limits_count_what_is_under_way(void **state)
{
    struct fixture *f = *state;
    int64_t project = new_project(f, "late", (struct vg_limits){0});
    struct vg_video_create *done = limited(f, project, "key_1", 1);
    struct vg_video_create *open = limited(f, project, "key_1", 2);
    struct vg_project_update set = {
        .name = "late", .set_limits = true, .archived = -1, .limits = {.max_active = 2}};

    done->limited = open->limited = false;
    RUN_OK(f, vg_video_create, done);
    end_all(f, VG_GEN_STORED);
    RUN_OK(f, vg_video_create, open);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM accounts"), 0);
    RUN_OK(f, vg_project_update, &set);
    assert_int_equal(set.project.limits.max_active, 2);
    assert_string_equal(account(f, ""), "1 610000 310000");
    set.limits = (struct vg_limits){.max_active = 1, .requests_per_minute = 5};
    RUN_OK(f, vg_project_update, &set); /* twice is once */
    assert_string_equal(account(f, ""), "1 610000 310000");
    struct vg_video_create *over = limited(f, project, "key_1", 1);
    RUN(f, vg_video_create, over);
    assert_int_equal(over->op.err.kind, VG_ERR_CONCURRENCY_LIMITED);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM videos"), 2);
    end_all(f, VG_GEN_FAILED);
    assert_string_equal(account(f, ""), "0 0 310000");
    expect_consistent(f);
}

static void account__projects_are_made_once_listed_and_archived(void **state)
{
    struct fixture *f = *state;
    struct vg_project_create twice = {.name = "alpha"};
    struct vg_project_list list = {0};
    struct vg_project_update update = {.name = "alpha", .archived = 1};
    struct vg_project_update none = {.name = "none", .archived = 1};

    (void)new_project(f, "beta", (struct vg_limits){.max_active = 5});
    (void)new_project(f, "alpha", (struct vg_limits){0});
    RUN(f, vg_project_create, &twice);
    assert_int_equal(twice.op.err.kind, VG_ERR_ALREADY_EXISTS);
    RUN_OK(f, vg_project_list, &list);
    assert_int_equal(list.count, 2);
    assert_string_equal(list.projects[0].name, "alpha");
    assert_int_equal(list.projects[1].limits.max_active, 5);

    new_key(f, "alpha", "key_a", (struct vg_limits){.requests_per_minute = 9});
    struct vg_key_lookup found = {0};
    for (size_t i = 0; i < sizeof(found.hash); i++)
        found.hash[i] = (uint8_t) "key_a"[i % 5];
    RUN_OK(f, vg_key_lookup, &found);
    assert_true(found.found && !found.archived && !found.limited);
    assert_int_equal(found.key_rpm, 9);
    RUN_OK(f, vg_project_update, &update);
    assert_true(update.project.archived_at > 0);
    RUN_OK(f, vg_key_lookup, &found);
    assert_true(found.found && found.archived);
    update.archived = 0;
    RUN_OK(f, vg_project_update, &update);
    assert_int_equal(update.project.archived_at, 0);
    RUN(f, vg_project_update, &none);
    assert_int_equal(none.op.err.kind, VG_ERR_NOT_FOUND);
    (void)sql(f, "UPDATE api_keys SET expires_at = now() - interval '1 s'");
    RUN_OK(f, vg_key_lookup, &found);
    assert_false(found.found);
}

static void account__the_report_counts_what_ended_and_keeps_what_was_deleted(void **state)
{
    struct fixture *f = *state;
    int64_t project = new_project(f, "sum", (struct vg_limits){0});
    int64_t now = vg_wall_ms() / 1000;
    struct vg_usage_report report = {
        .project_id = project, .start_time = now - 3600, .end_time = now + 3600};
    const char *ids[3];

    for (int i = 0; i < 3; i++) {
        struct vg_video_create *op = limited(f, project, i == 2 ? NULL : "key_1", 2);

        op->limited = false;
        RUN_OK(f, vg_video_create, op);
        ids[i] = op->id;
        end_all(f, i == 1 ? VG_GEN_FAILED : VG_GEN_STORED);
    }
    struct vg_video_delete gone = {.id = ids[0], .project_id = project};
    RUN_OK(f, vg_video_delete, &gone);
    RUN_OK(f, vg_usage_report, &report);
    assert_int_equal(report.count, 2);
    assert_false(report.truncated);
    assert_string_equal(report.rows[0].key_id, ""); /* sorted by key */
    assert_string_equal(report.rows[0].project, "sum");
    assert_string_equal(report.rows[0].model, "sandbox-1");
    assert_int_equal(report.rows[0].videos, 1);
    assert_string_equal(report.rows[1].key_id, "key_1");
    assert_int_equal(report.rows[1].videos, 2);
    assert_int_equal(report.rows[1].completed, 1);
    assert_int_equal(report.rows[1].seconds, 16);
    assert_int_equal(report.rows[1].cost_micros, 610000);

    report.project = "none";
    RUN_OK(f, vg_usage_report, &report);
    assert_int_equal(report.count, 0);
    report = (struct vg_usage_report){.start_time = 0, .end_time = now - 2 * 86400};
    RUN_OK(f, vg_usage_report, &report);
    assert_int_equal(report.count, 0);
}

/* No row of the sums is changed so often that a held snapshot makes changing it slow. */
static void account__sums_go_on_in_a_new_row(void **state)
{
    struct fixture *f = *state;
    int64_t project = new_project(f, "long", (struct vg_limits){0});
    int64_t now = vg_wall_ms() / 1000;
    struct vg_usage_report report = {
        .project_id = project, .start_time = now - 3600, .end_time = now + 3600};

    f->db = vg_db_stop(f->db, vg_deadline_in_ms(10000));
    f->db = open_db(f, (struct vg_db_options){.executors = 1}); /* one session */
    for (int i = 0; i < 4; i++) {
        struct vg_video_create *op = limited(f, project, "key_1", 1);

        op->limited = false;
        RUN_OK(f, vg_video_create, op);
        end_all(f, VG_GEN_STORED);
        if (i == 1)
            (void)sql(f, "UPDATE usage_days SET videos = 2000");
    }
    assert_int_equal(sql_int(f, "SELECT count(*) FROM usage_days"), 2);
    assert_int_equal(sql_int(f, "SELECT max(slot) - min(slot) FROM usage_days"), 1);
    RUN_OK(f, vg_usage_report, &report);
    assert_int_equal(report.count, 1);
    assert_int_equal(report.rows[0].videos, 2002);
    assert_int_equal(report.rows[0].completed, 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(account__active_videos_are_bounded_exactly, fixture_clean),
        cmocka_unit_test_setup(account__spend_is_reserved_and_settled, fixture_clean),
        cmocka_unit_test_setup(account__a_replay_is_neither_refused_nor_counted, fixture_clean),
        cmocka_unit_test_setup(account__a_lost_race_reserves_nothing, fixture_clean),
        cmocka_unit_test_setup(account__new_limits_count_what_is_under_way, fixture_clean),
        cmocka_unit_test_setup(account__projects_are_made_once_listed_and_archived, fixture_clean),
        cmocka_unit_test_setup(account__the_report_counts_what_ended_and_keeps_what_was_deleted,
                               fixture_clean),
        cmocka_unit_test_setup(account__sums_go_on_in_a_new_row, fixture_clean),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
