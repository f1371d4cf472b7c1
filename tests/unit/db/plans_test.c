/* SPDX-License-Identifier: Apache-2.0 */
/* What the statements read when the tables are large: counted by the server, so no clock is
 * involved. */
#include "db/video_match_store.h"
#include "tests/unit/db/fixture.h"

#include "db/hint_store.h"
#include "db/retention_store.h"
#include "db/usage_store.h"

/* 100,000 pending rows over 40 projects and two providers, 3,000 running ones, 100,000 that ended,
 * and 20,000 pending deliveries over 50 hosts. Sessions of the fixture prepared their plans while
 * all was empty. */
static const char fill_sql[] =
    "INSERT INTO videos (id, project_id, deadline_at, width, height, seconds, n, audio, model, "
    "provider, prompt, spec, status, completed_at, callback_url) "
    "SELECT 'video_' || lpad(i::text, 32, '0'), i % 40, now() + interval '1 day', 1, 1, 1, 1, "
    "true, 'm', 'sandbox', 'p', 'x', CASE WHEN i > 103000 THEN 3 ELSE 1 END, "
    "CASE WHEN i > 103000 THEN now() END, 'https://x' "
    "FROM generate_series(1, 203000) i; "
    "INSERT INTO generations (video_id, project_id, idx, provider, due_at, wake_at, deadline_at, "
    "state, ended_at) "
    "SELECT v.id, v.project_id, 0, CASE WHEN i % 3 = 0 THEN 'other' ELSE 'sandbox' END, "
    "now() - (i % 500) * interval '1 s', CASE WHEN i > 100000 AND i <= 103000 THEN now() + "
    "interval '1 hour' ELSE v.deadline_at END, v.deadline_at, "
    "CASE WHEN i > 103000 THEN 5 WHEN i > 100000 THEN 3 ELSE 1 END, "
    "CASE WHEN i > 103000 THEN now() - interval '2 days' END "
    "FROM (SELECT *, row_number() OVER (ORDER BY id) AS i FROM videos WHERE id < 'video_01') v; "
    "INSERT INTO deliveries (id, video_id, host_id, url) "
    "SELECT 'evt_' || id, id, i % 50, 'https://x' FROM "
    "(SELECT id, row_number() OVER (ORDER BY id DESC) AS i FROM videos WHERE id < 'video_01') v "
    "WHERE i <= 20000; "
    "INSERT INTO accounts (project_id, key_id, max_active) SELECT i % 1000, 'key_' || i, 1000000 "
    "FROM generate_series(1, 50000) i; "
    "INSERT INTO attempts (generation_id, attempt, route, provider) SELECT id, 1, 0, provider "
    "FROM generations WHERE state = 5 ON CONFLICT DO NOTHING; "
    "INSERT INTO skips (generation_id, route, provider) SELECT id, 0, provider FROM generations "
    "WHERE state = 5 ON CONFLICT DO NOTHING; "
    "INSERT INTO usage_days SELECT i % 40, '2020-01-01'::date + i / 40, 'key_1', 'm', 0, 1, 1, 1, "
    "1 "
    "FROM generate_series(1, 50000) i";

/* Counters reach the server's tables when a session ends. */
static void restart_db(struct fixture *f)
{
    f->db = vg_db_stop(f->db, vg_deadline_in_ms(10000));
    f->db = open_db(f, (struct vg_db_options){.executors = 1});
}

static void expect_rows(struct fixture *f, const char *what, int64_t most)
{
    restart_db(f);
    int64_t read = sql_int(f, "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes");

    print_message("%s: %lld index rows\n", what, (long long)read);
    if (read > most)
        print_message("%s\n", sql(f, "SELECT indexrelname, idx_scan, idx_tup_read "
                                     "FROM pg_stat_user_indexes WHERE idx_tup_read > 500"));
    assert_true(read <= most);
    assert_int_equal(sql_int(f, "SELECT sum(seq_scan) FROM pg_stat_user_tables WHERE relname <> "
                                "'schema_migrations'"),
                     0);
    (void)sql(f, "SELECT pg_stat_reset()");
}

/* A create that has limits. */
static void create_limited(struct fixture *f)
{
    struct vg_video_create *op = new_create(f, 3, 1);

    op->key_id = "key_3";
    op->limited = true;
    op->idempotency_key = op->id;
    RUN_OK(f, vg_video_create, op);
}

/* One of each operation; returns what the claim gave. */
static size_t use_all(struct fixture *f)
{
    const char *ids[2];

    ids[0] = create(f, 3, 2);
    ids[1] = create(f, 3, 1);
    (void)get(f, ids[0], 3);
    create_limited(f);
    struct vg_usage_report report = {
        .project_id = 3, .start_time = 1577836800, .end_time = 1578441600}; /* seven days */
    RUN_OK(f, vg_usage_report, &report);
    struct vg_video_list list = {.project_id = 3, .limit = 20, .after = ids[1]};
    struct vg_video_replay replay = {.project_id = 3, .idempotency_key = "none"};
    struct vg_video_match match = {.project_id = 3,
                                   .match = "00112233445566778899aabbccddeeff",
                                   .level = 1,
                                   .within_ms = 900000,
                                   .own_id = ids[0]};
    struct vg_video_versions versions = {.ids = ids, .count = 2};
    struct vg_video_cancel cancel = {.id = ids[1], .project_id = 3};
    struct vg_video_delete gone = {.id = ids[0], .project_id = 3};
    struct vg_video_purge purge = {.limit = 10};
    struct vg_video_purged purged = {.ids = ids, .count = 2};
    struct vg_idempotency_sweep sweep = {.limit = 10};
    struct vg_delivery_claim take = {
        .limit = 64, .per_host = 8, .per_project = 256, .lease_ms = 60000};
    struct vg_delivery_list deliveries = {.video_id = ids[0], .limit = 20};
    struct vg_delivery_result result = {.id = ids[0], .state = VG_DELIVERY_DELIVERED};

    struct vg_hint job = {.video_id = ids[1], .attempt = 1, .provider = "sandbox"};
    struct vg_hint upstream = {.provider = "sandbox", .upstream_id = "up-1"};

    RUN_OK(f, vg_hint, &job);
    RUN_OK(f, vg_hint, &upstream);
    RUN_OK(f, vg_video_list, &list);
    RUN_OK(f, vg_video_replay, &replay);
    RUN_OK(f, vg_video_match, &match);
    RUN_OK(f, vg_video_versions, &versions);
    struct vg_generation_claim *c = claim(f, 64, 100000);

    assert_true(c->count > 0);
    if (c->generations[0].state == VG_GEN_PENDING) {
        advance(f, &c->generations[0]);
        (void)change(f, &c->generations[0], VG_GEN_FETCHING, VG_GEN_STORED);
    }
    RUN_OK(f, vg_video_cancel, &cancel);
    RUN(f, vg_video_delete, &gone);
    RUN_OK(f, vg_video_purge, &purge);
    RUN_OK(f, vg_video_purged, &purged);
    RUN_OK(f, vg_idempotency_sweep, &sweep);
    for (enum vg_retention what = 0; what < VG_RETENTION_MAX; what++) {
        struct vg_retention_slice slice = {.what = what, .max_age_s = 86400, .limit = 10};

        RUN_OK(f, vg_retention_slice, &slice);
    }
    RUN_OK(f, vg_delivery_claim, &take);
    RUN_OK(f, vg_delivery_list, &deliveries);
    RUN_OK(f, vg_delivery_result, &result);
    return c->count;
}

static void plans__no_operation_reads_a_table(void **state)
{
    struct fixture *f = *state;

    restart_db(f);
    for (int i = 0; i < 10; i++) /* plans of empty tables, generic by now */
        (void)use_all(f);
    (void)sql(f, fill_sql);
    (void)sleep(6); /* plans are made anew after five seconds */
    (void)sql(f, "SELECT pg_stat_reset()");
    assert_int_equal(use_all(f), 64);
    expect_rows(f, "a session that began with empty tables, without statistics", 30000);
    assert_int_equal(use_all(f), 64);
    expect_rows(f, "a new session, without statistics", 30000);
    (void)sql(f, "ANALYZE");
    (void)sql(f, "SELECT pg_stat_reset()");
    assert_int_equal(use_all(f), 64);
    expect_rows(f, "with statistics", 30000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans__no_operation_reads_a_table),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
