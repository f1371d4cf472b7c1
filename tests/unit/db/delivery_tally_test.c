/* SPDX-License-Identifier: Apache-2.0 */
/* What claims of deliveries know without looking (db/delivery_tally.h) is what stands in the table:
 * after any changes, in whatever order they commit, and when the tally is lost. */
#include "db/redelivery_store.h"
#include "tests/unit/db/deliveries.h"
#include "tests/unit/db/tally.h"

/* As in generation_tally_test.c: 0 are wrong. */
static const char wrong_sql[] =
    "WITH b AS (SELECT * FROM delivery_tally ORDER BY seq DESC LIMIT 1), s AS (SELECT f.* FROM "
    "delivery_flow f, b WHERE NOT pg_visible_in_snapshot(f.xid::text::xid8, b.snap)), k AS (SELECT "
    "host_id, max(p) AS p, sum(waiting) AS w, sum(leased) AS l, min(floor) AS floor FROM (SELECT "
    "u.* FROM b, unnest(hosts, projects, waiting, leased, floors) AS u(host_id, p, waiting, "
    "leased, floor) UNION ALL SELECT host_id, project_id, waiting, leased, due_min FROM s) e GROUP "
    "BY 1), r AS (SELECT d.host_id, max(v.project_id) AS p, count(*) FILTER (WHERE NOT d.leased) "
    "AS w, count(*) FILTER (WHERE d.leased) AS l, min(d.due_at) AS due FROM deliveries d JOIN "
    "videos v ON v.id = d.video_id WHERE d.state = 1 GROUP BY 1) "
    "SELECT (SELECT count(*) FROM k FULL JOIN r USING (host_id) WHERE coalesce(k.w, 0) <> "
    "coalesce(r.w, 0) OR coalesce(k.l, 0) <> coalesce(r.l, 0) OR k.floor > r.due OR k.p <> r.p) + "
    "(SELECT count(*) FROM deliveries d, b WHERE d.state = 1 AND d.leased AND d.due_at < "
    "least(b.taken_floor, (SELECT min(taken_min) FROM s))) + (SELECT count(*) <> 1 FROM b)::int";

static void expect_right(struct fixture *f)
{
    assert_int_equal(sql_int(f, wrong_sql), 0);
}

/* One more delivery comes and goes, and a new tally stands. */
static void carry(struct fixture *f)
{
    int64_t before = sql_int(f, "SELECT max(seq) FROM delivery_tally");

    (void)ended(f, 9, "https://passing.example/hook");
    (void)usleep(TALLY_AGE_US);
    struct vg_delivery_claim *c = take(f, 1, 1);

    assert_int_equal(c->count, 1);
    assert_non_null(strstr(c->deliveries[0].url, "passing"));
    assert_true(result(f, &c->deliveries[0], VG_DELIVERY_DELIVERED, 0)->applied);
    assert_true(sql_int(f, "SELECT max(seq) FROM delivery_tally") > before);
}

/* Two that failed and wait an hour. */
static void two_asleep(struct fixture *f)
{
    (void)ended(f, 7, "https://a.example/hook");
    (void)ended(f, 8, "https://b.example/hook");
    struct vg_delivery_claim *c = take(f, 2, 8);

    assert_int_equal(c->count, 2);
    for (size_t i = 0; i < c->count; i++)
        assert_true(result(f, &c->deliveries[i], VG_DELIVERY_PENDING, 3600000)->applied);
    assert_int_equal(take(f, 2, 8)->count, 0);
}

static void delivery_tally__finds_what_is_moved_back(void **state)
{
    struct fixture *f = *state;

    two_asleep(f);
    for (int i = 0; i < 3; i++)
        carry(f);
    expect_right(f);
    (void)sql(f, "UPDATE deliveries SET due_at = now() - interval '1 hour' WHERE state = 1");
    assert_int_equal(take(f, 9, 8)->count, 2);
    expect_right(f);
}

/* A floor may lie ahead, but not behind what comes then. */
static void delivery_tally__knows_when_the_next_is_due(void **state)
{
    struct fixture *f = *state;

    two_asleep(f);
    for (int i = 0; i < 2; i++) {
        carry(f);
        assert_in_range(take(f, 9, 8)->next_due_ms, 3500000, 3600000);
    }
    (void)sql(f, "UPDATE deliveries SET due_at = now() + interval '2 hours' WHERE state = 1");
    for (int i = 0; i < 2; i++) {
        assert_in_range(take(f, 9, 8)->next_due_ms, 3500000, 7200000);
        carry(f);
    }
    (void)sql(f, "UPDATE deliveries SET due_at = now() + interval '1 s' WHERE state = 1");
    assert_in_range(take(f, 9, 8)->next_due_ms, 0, 1000);
}

/* What commits late has times that all have passed by since. */
static void delivery_tally__finds_what_commits_late(void **state)
{
    struct fixture *f = *state;

    two_asleep(f);
    late_begin(f, "UPDATE deliveries SET due_at = now() WHERE state = 1");
    for (int i = 0; i < 3; i++)
        carry(f);
    late_commit(f);
    assert_int_equal(take(f, 9, 8)->count, 2);
    expect_right(f);
}

static void delivery_tally__a_lapsed_lease_holds_no_place(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 2; i++)
        (void)ended(f, 7, "https://a.example/hook");
    assert_int_equal(take(f, 1, 1)->count, 1);
    assert_int_equal(take(f, 1, 1)->count, 0);
    carry(f);
    (void)sql(f, "UPDATE deliveries SET due_at = now() - interval '1 s' WHERE leased");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(take(f, 2, 1)->count, i == 0);
        expect_right(f);
    }
}

/* After a crash both tables are empty; a dump that was restored has snapshots of another server. */
static void delivery_tally__counts_anew_when_it_is_lost(void **state)
{
    static const char *const losses[] = {
        "TRUNCATE delivery_tally, delivery_flow",
        "UPDATE delivery_tally SET snap = '9000000000:9000000000:'",
        "UPDATE delivery_tally SET made_at = now() - interval '2 hours'",
        "DELETE FROM delivery_tally"};
    struct fixture *f = *state;

    for (int i = 0; i < 15; i++)
        (void)ended(f, i % 3, "https://a.example/hook");
    for (int i = 0; i < (int)VG_COUNT(losses); i++) {
        assert_int_equal(take(f, 3, i + 1)->count, 3);
        (void)sql(f, losses[i]);
        assert_int_equal(take(f, 3, i + 1)->count, 0);
        expect_right(f);
    }
}

/* A table that was changed behind the triggers' back is counted again after ten minutes. */
static void delivery_tally__counts_anew_now_and_then(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 3; i++)
        (void)ended(f, 7, "https://a.example/hook");
    assert_int_equal(take(f, 2, 2)->count, 2);
    (void)sql(f, "ALTER TABLE deliveries DISABLE TRIGGER ALL; UPDATE deliveries SET state = 3, "
                 "ended_at = now(), leased = false WHERE leased; ALTER TABLE deliveries ENABLE "
                 "TRIGGER ALL");
    assert_int_equal(take(f, 2, 2)->count, 0); /* it does not know */
    (void)sql(f, "UPDATE delivery_tally SET counted_at = now() - interval '11 minutes'");
    assert_int_equal(take(f, 2, 2)->count, 1);
    expect_right(f);
}

/* A claimed one ends, fails, keeps its lease for long, or is sent again while it is under way. */
static void go_on(struct fixture *f, const struct vg_delivery *d, unsigned dice)
{
    struct vg_delivery_renew renew = {
        .id = d->id, .lease_seq = d->lease_seq, .lease_ms = dice % 200};
    struct vg_redelivery again = {.id = d->id};

    switch (dice % 6) {
    case 0:
    case 1:
        (void)result(f, d, VG_DELIVERY_DELIVERED, 0);
        break;
    case 2:
        (void)result(f, d, VG_DELIVERY_PENDING, dice % 300);
        break;
    case 3:
        (void)result(f, d, VG_DELIVERY_FAILED, 0);
        break;
    case 4:
        RUN_OK(f, vg_delivery_renew, &renew);
        break;
    default:
        RUN_OK(f, vg_redelivery, &again);
    }
}

static void delivery_tally__stays_right_whatever_happens(void **state)
{
    struct fixture *f = *state;
    unsigned dice = 20261128;
    char url[64];

    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 3; i++) {
            (void)snprintf(url, sizeof(url), "https://host%u.example/hook", roll(&dice) % 5);
            (void)ended(f, roll(&dice) % 3, url);
        }
        struct vg_delivery_claim *c = take_of(f, 8, 3, 6);

        for (size_t i = 0; i < c->count; i++)
            go_on(f, &c->deliveries[i], roll(&dice));
        if (round % 10 == 5) /* as when an endpoint's address is changed */
            (void)sql(f, "UPDATE deliveries SET host_id = host_id + 1 WHERE id IN (SELECT id FROM "
                         "deliveries WHERE state = 1 ORDER BY id DESC LIMIT 2)");
        if (round % 20 == 19)
            (void)sql(f, "DELETE FROM videos WHERE id IN (SELECT id FROM videos ORDER BY id DESC "
                         "LIMIT 7)");
        expect_right(f);
    }
    assert_true(sql_int(f, "SELECT max(seq) - min(seq) FROM delivery_tally") > 0);
    assert_true(sql_int(f, "SELECT count(*) FROM delivery_tally") < 10);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(delivery_tally__##name, fixture_clean)
    const struct CMUnitTest tests[] = {
        CASE(finds_what_is_moved_back),     CASE(knows_when_the_next_is_due),
        CASE(finds_what_commits_late),      CASE(a_lapsed_lease_holds_no_place),
        CASE(counts_anew_when_it_is_lost),  CASE(counts_anew_now_and_then),
        CASE(stays_right_whatever_happens),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
