/* SPDX-License-Identifier: Apache-2.0 */
/* VG_RETENTION_ROWS (default 2,000): ended videos to begin with, each with a delivery, an attempt
 * and a skip. */
#include "db/retention_store.h"
#include "tests/unit/db/fixture.h"

#define DAY_S INT64_C(86400)
enum { BATCH = 100 };

static int rows(void)
{
    const char *text = getenv("VG_RETENTION_ROWS");
    int64_t value = 2000;

    if (text)
        assert_int_equal(vg_parse_i64(vg_view_of(text), 100, 10000000, &value), 0);
    return (int)value;
}

/* Of `rows` videos a half ended 20 days ago, every tenth of them has a pending delivery; the others
 * ended just now. Ids say when. */
static void fill(struct fixture *f)
{
    char text[4096];

    (void)snprintf(
        text, sizeof(text),
        "WITH v AS (SELECT i, now() - CASE WHEN i %% 2 = 0 THEN 20 ELSE 0 END * interval '1 day' + "
        "i * interval '1 ms'"
        "   AS at FROM generate_series(1, %d) i),"
        " n AS (SELECT i, at, 'video_' || lpad(to_hex((extract(epoch FROM at) * 1000)::int8), 12,"
        "   '0') || lpad(to_hex(i), 20, '0') AS id FROM v),"
        " a AS (INSERT INTO videos (id, project_id, created_at, deadline_at, completed_at, width,"
        "   height, seconds, n, audio, model, provider, prompt, spec, status)"
        "  SELECT id, 7, at, at, at, 1, 1, 1, 1, true, 'm', 'sandbox', 'p', 'x', 3 FROM n)"
        " INSERT INTO generations (video_id, project_id, idx, provider, created_at, due_at, "
        "wake_at,"
        "   deadline_at, state, ended_at)"
        "  SELECT id, 7, 0, 'sandbox', at, at, at, at, 5, at FROM n ORDER BY at, i;"
        "INSERT INTO deliveries (id, video_id, host_id, url, state, ended_at)"
        " SELECT 'evt_' || id, id, 1, 'https://x', CASE WHEN r %% 10 = 0 THEN 1 ELSE 2 END,"
        "  CASE WHEN r %% 10 <> 0 THEN completed_at END"
        "  FROM (SELECT *, row_number() OVER (ORDER BY id) AS r FROM videos) v;"
        "INSERT INTO delivery_attempts SELECT id, 1, now(), 200, '', 1 FROM deliveries;"
        "INSERT INTO attempts (generation_id, attempt, route, provider)"
        " SELECT id, a, 0, 'sandbox' FROM generations, generate_series(1, 2) a;"
        "INSERT INTO skips (generation_id, route, provider)"
        " SELECT id, 0, 'sandbox' FROM generations;"
        "INSERT INTO outputs (video_id, idx, blob, mime_type, bytes, sha256, retention_s)"
        " SELECT id, 0, id, '', 1, '', 0 FROM videos;"
        "INSERT INTO usage_days VALUES (7, now()::date, '', 'm', 0, 1, 1, 1, 1)",
        rows());
    (void)sql(f, text);
}

/* One whole pass; the rows removed. */
static int64_t pass(struct fixture *f, enum vg_retention what, int64_t max_age_s)
{
    struct vg_retention_slice slice = {.what = what, .max_age_s = max_age_s, .limit = BATCH};
    int64_t removed = 0;
    int calls = 0;

    while (!slice.ended) {
        RUN_OK(f, vg_retention_slice, &slice);
        assert_true(slice.removed <= BATCH);
        removed += slice.removed;
        assert_true(++calls <= 2 * rows() / BATCH + 10);
    }
    return removed;
}

static void retention_store__takes_what_is_old_by_batches(void **state)
{
    struct fixture *f = *state;
    int old = rows() / 2;

    fill(f);
    assert_int_equal(pass(f, VG_RETENTION_DELIVERIES, 30 * DAY_S), 0);
    assert_int_equal(pass(f, VG_RETENTION_DELIVERIES, 10 * DAY_S), old - old / 10);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM deliveries"), rows() - (old - old / 10));
    assert_int_equal(sql_int(f, "SELECT count(*) FROM delivery_attempts"),
                     sql_int(f, "SELECT count(*) FROM deliveries"));
    assert_int_equal(sql_int(f, "SELECT count(*) FROM deliveries WHERE state = 1 AND"
                                " created_at <= now()"),
                     rows() / 10);
    assert_int_equal(pass(f, VG_RETENTION_ATTEMPTS, 10 * DAY_S), 2 * old);
    assert_int_equal(pass(f, VG_RETENTION_SKIPS, 10 * DAY_S), old);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM attempts"), 2 * (rows() - old));
    assert_int_equal(pass(f, VG_RETENTION_ATTEMPTS, 10 * DAY_S), 0);
}

static void retention_store__old_videos_go_with_their_files(void **state)
{
    struct fixture *f = *state;
    struct vg_video_purge purge = {.limit = 256};
    struct vg_idempotency_sweep sweep = {.limit = 10000};
    int old = rows() / 2;

    fill(f);
    assert_int_equal(pass(f, VG_RETENTION_VIDEOS, 10 * DAY_S), old);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM videos WHERE deleted_at IS NULL"),
                     rows() - old);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM purges WHERE due_at <= now()"), old);
    RUN_OK(f, vg_video_purge, &purge);
    assert_true(purge.count > 0);
    (void)sql(f, "DELETE FROM purges; UPDATE videos SET deleted_at = deleted_at - interval '1 hour'"
                 " WHERE deleted_at IS NOT NULL; UPDATE deliveries SET state = 2, ended_at = now()"
                 " WHERE state = 1");
    do
        RUN_OK(f, vg_idempotency_sweep, &sweep);
    while (sweep.more);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM videos"), rows() - old);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM generations"), rows() - old);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM deliveries"), rows() - old);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM usage_days"), 1);
}

static void retention_store__receivers_nobody_waits_for_go(void **state)
{
    struct fixture *f = *state;

    fill(f); /* pending deliveries of host 1 */
    (void)sql(f, "INSERT INTO receivers (host_id, failed_at, failures, holds) SELECT i, now() -"
                 " interval '20 days', 1, 1 FROM generate_series(-150, 150) i;"
                 "UPDATE receivers SET failed_at = now() WHERE host_id = 2");
    assert_int_equal(pass(f, VG_RETENTION_RECEIVERS, 10 * DAY_S), 299);
    assert_string_equal(sql(f, "SELECT string_agg(host_id::text, ' ' ORDER BY host_id)"
                               " FROM receivers"),
                        "1 2");
}

/* Rows that somebody works on wait for the next pass; nobody waits for them. */
static void retention_store__skips_what_is_locked(void **state)
{
    struct fixture *f = *state;

    fill(f);
    char command[512];

    (void)snprintf(command, sizeof(command),
                   "psql -X -q -d '%s' -c \"BEGIN; SELECT FROM deliveries WHERE id IN"
                   " (SELECT min(id) FROM deliveries WHERE state = 2) FOR UPDATE; SELECT "
                   "pg_sleep(600)\" >/dev/null 2>&1 &",
                   f->url);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): our own text */
    while (sql_int(f, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") == 0)
        (void)usleep(10000);
    int64_t old = rows() / 2 - rows() / 2 / 10;

    assert_int_equal(pass(f, VG_RETENTION_DELIVERIES, 10 * DAY_S), old - 1);
    (void)sql(f, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = "
                 "'PgSleep'");
    while (sql_int(f, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'") > 0)
        (void)usleep(10000);
    assert_int_equal(pass(f, VG_RETENTION_DELIVERIES, 10 * DAY_S), 1);
}

static void retention_store__a_slice_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct vg_retention_slice slice = {.what = VG_RETENTION_VIDEOS, .max_age_s = 1, .limit = 10001};

    RUN(f, vg_retention_slice, &slice);
    assert_false(slice.op.ok);
    slice.limit = 10;
    slice.max_age_s = 0;
    RUN(f, vg_retention_slice, &slice);
    assert_false(slice.op.ok);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(retention_store__takes_what_is_old_by_batches, fixture_clean),
        cmocka_unit_test_setup(retention_store__old_videos_go_with_their_files, fixture_clean),
        cmocka_unit_test_setup(retention_store__receivers_nobody_waits_for_go, fixture_clean),
        cmocka_unit_test_setup(retention_store__skips_what_is_locked, fixture_clean),
        cmocka_unit_test_setup(retention_store__a_slice_is_bounded, fixture_clean),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
