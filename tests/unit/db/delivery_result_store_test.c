/* SPDX-License-Identifier: Apache-2.0 */
/* What results of attempts do to receivers and endpoints, and sending a range again. */
#include "db/redelivery_store.h"
#include "db/sealed_store.h"
#include "tests/unit/db/deliveries.h"

static const struct vg_receiver_policy policy = {
    .failures = 3, .wait_ms = 30000, .disable_ms = 120 * 3600000LL};

static struct vg_delivery_result *told(struct fixture *f, const struct vg_delivery *d,
                                       enum vg_receiver_sign sign, int64_t hold_ms)
{
    struct vg_delivery_result *op = vg_arena_alloc(f->arena, sizeof(*op));

    op->id = d->id;
    op->lease_seq = d->lease_seq;
    op->policy = &policy;
    op->sign = sign;
    op->hold_ms = hold_ms;
    op->state = sign == VG_RECEIVER_GOOD ? VG_DELIVERY_DELIVERED : VG_DELIVERY_PENDING;
    op->http_status = sign == VG_RECEIVER_GOOD ? 200 : 500;
    op->reason = sign == VG_RECEIVER_GOOD ? "" : "status_500";
    op->answer = "said \u00e9";
    RUN_OK(f, vg_delivery_result, op);
    assert_true(op->applied);
    return op;
}

/* Its next attempt is due at once. */
static void fail_times(struct fixture *f, int times, enum vg_receiver_sign sign, int64_t hold_ms)
{
    for (int i = 0; i < times; i++) {
        struct vg_delivery_claim *c = take(f, 1, 8);

        assert_int_equal(c->count, 1);
        (void)told(f, &c->deliveries[0], sign, hold_ms);
    }
}

static int64_t held_s(struct fixture *f)
{
    return sql_int(f, "SELECT coalesce(round(extract(epoch FROM max(held_until) - now())), -1)::int"
                      " FROM receivers");
}

static void delivery_result_store__failures_hold_a_receiver_back(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 3; i++)
        (void)ended(f, 7, "https://dead.example/hook");
    (void)ended(f, 8, "https://dead.example/hook"); /* another project's are its own affair */
    (void)sql(f, "UPDATE deliveries SET due_at = now() + interval '1 hour' WHERE host_id ="
                 " (SELECT d.host_id FROM deliveries d JOIN videos v ON v.id = d.video_id"
                 "  WHERE v.project_id = 8)");
    fail_times(f, 2, VG_RECEIVER_BAD, 0);
    assert_int_equal(held_s(f), -1);
    fail_times(f, 1, VG_RECEIVER_BAD, 0);
    assert_in_range(held_s(f), 25, 30);
    struct vg_delivery_claim *c = take(f, 10, 8);
    assert_int_equal(c->count, 0);
    assert_in_range(c->next_due_ms, 20000, 30000);
    (void)sql(f, "UPDATE deliveries SET due_at = now() WHERE due_at > now()");
    assert_int_equal(take(f, 10, 8)->count, 1);

    /* After the wait one at a time; it fails: twice as long. */
    (void)sql(f, "UPDATE receivers SET held_until = now()");
    c = take(f, 10, 8);
    assert_int_equal(c->count, 1);
    (void)told(f, &c->deliveries[0], VG_RECEIVER_BAD, 0);
    assert_in_range(held_s(f), 55, 60);
    (void)sql(f, "UPDATE receivers SET held_until = now()");
    c = take(f, 10, 8);
    assert_int_equal(c->count, 1);
    (void)told(f, &c->deliveries[0], VG_RECEIVER_GOOD, 0);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM receivers"), 0);
    assert_int_equal(take(f, 10, 8)->count, 2);
}

static void delivery_result_store__success_between_resets(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 2; i++)
        (void)ended(f, 7, "https://flaky.example/hook");
    fail_times(f, 2, VG_RECEIVER_BAD, 0);
    fail_times(f, 1, VG_RECEIVER_GOOD, 0);
    fail_times(f, 2, VG_RECEIVER_BAD, 0);
    fail_times(f, 4, VG_RECEIVER_ANSWERED, 0); /* 4xx: it is there */
    fail_times(f, 2, VG_RECEIVER_UNKNOWN, 0);  /* our fault */
    assert_int_equal(held_s(f), -1);
}

static void delivery_result_store__who_asks_for_less_gets_less(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 3; i++)
        (void)ended(f, 7, "https://busy.example/hook");
    fail_times(f, 1, VG_RECEIVER_BUSY, 40000);
    assert_in_range(held_s(f), 35, 40);
    (void)sql(f, "UPDATE receivers SET held_until = now()");
    fail_times(f, 1, VG_RECEIVER_BUSY, 0); /* it did not say: 1 s, doubled each time */
    assert_in_range(held_s(f), 1, 2);
    (void)sql(f, "UPDATE receivers SET held_until = now()");
    struct vg_delivery_claim *c = take(f, 10, 8);
    assert_int_equal(c->count, 1); /* one at a time until it takes one */
    (void)told(f, &c->deliveries[0], VG_RECEIVER_GOOD, 0);
    assert_int_equal(take(f, 10, 8)->count, 2);
}

static const char *endpoint(struct fixture *f, const char *url)
{
    struct vg_webhook_create *op = vg_arena_alloc(f->arena, sizeof(*op));

    (void)sql(f, "INSERT INTO projects (id, name) OVERRIDING SYSTEM VALUE VALUES (7, 'seven')"
                 " ON CONFLICT DO NOTHING");
    op->id = "whe_0123456789abcdef0123456789abcdef";
    op->project_id = 7;
    op->name = "hook";
    op->url = url;
    op->event_types = "video.completed";
    op->secret = (struct vg_webhook_secret){"whs_1", "se\0led", 6, "hint", "whpk_1"};
    RUN_OK(f, vg_webhook_create, op);
    assert_string_equal(op->endpoint.public_key, "whpk_1");
    return op->id;
}

static struct vg_webhook_endpoint look(struct fixture *f, const char *id)
{
    struct vg_webhook_get *op = vg_arena_alloc(f->arena, sizeof(*op));

    op->id = id;
    RUN_OK(f, vg_webhook_get, op);
    return op->endpoint;
}

static void past(struct fixture *f, const char *columns)
{
    char text[512];

    (void)snprintf(text, sizeof(text), "UPDATE webhook_endpoints SET %s", columns);
    (void)sql(f, text);
    (void)sql(f, "UPDATE receivers SET held_until = NULL, failures = 0");
}

static const char *fail_endpoint(struct fixture *f, enum vg_receiver_sign sign)
{
    struct vg_delivery_claim *c = take(f, 1, 8);

    assert_int_equal(c->count, 1);
    return told(f, &c->deliveries[0], sign, 0)->disabled;
}

static void delivery_result_store__an_endpoint_that_only_failed_is_disabled(void **state)
{
    struct fixture *f = *state;
    const char *id = endpoint(f, "https://dead.example/hook");

    (void)ended(f, 7, NULL);
    assert_null(fail_endpoint(f, VG_RECEIVER_ANSWERED));
    assert_int_equal(look(f, id).failing_since, 0); /* one failure starts no clock */
    past(f, "failed_at = now() - interval '25 hours'");
    assert_null(fail_endpoint(f, VG_RECEIVER_BAD));
    assert_int_equal(look(f, id).failing_since, 0); /* nor does one a day */
    past(f, "failed_at = now() - interval '23 hours'");
    assert_null(fail_endpoint(f, VG_RECEIVER_BAD));
    assert_true(look(f, id).failing_since > 0);
    past(f,
         "failing_since = now() - interval '119 hours', failed_at = now() - interval '30 hours'");
    assert_null(fail_endpoint(f, VG_RECEIVER_BAD));
    past(f, "failing_since = now() - interval '121 hours', failed_at = now() - interval '1 hour'");
    assert_null(fail_endpoint(f, VG_RECEIVER_UNKNOWN)); /* our own faults are not its */
    assert_string_equal(fail_endpoint(f, VG_RECEIVER_BAD), "failing");
    assert_true(look(f, id).disabled_at > 0);
    assert_string_equal(look(f, id).disabled_reason, "failing");
    assert_int_equal(take(f, 1, 8)->deliveries[0].endpoint, VG_ENDPOINT_DISABLED);

    struct vg_webhook_update back = {.id = id};
    RUN_OK(f, vg_webhook_update, &back);
    assert_int_equal(back.endpoint.disabled_at, 0);
    assert_int_equal(back.endpoint.failing_since, 0);
    assert_null(back.endpoint.disabled_reason);
}

static void delivery_result_store__the_clock_ends_with_a_success_or_with_time(void **state)
{
    struct fixture *f = *state;
    const char *id = endpoint(f, "https://dead.example/hook");

    for (int i = 0; i < 2; i++)
        (void)ended(f, 7, NULL);
    assert_null(fail_endpoint(f, VG_RECEIVER_BAD));
    past(f,
         "failing_since = now() - interval '300 hours', failed_at = now() - interval '241 hours'");
    assert_null(fail_endpoint(f, VG_RECEIVER_BAD)); /* forgotten */
    assert_int_equal(look(f, id).failing_since, 0);
    past(f, "failing_since = now() - interval '119 hours', failed_at = now() - interval '1 hour'");
    assert_null(fail_endpoint(f, VG_RECEIVER_GOOD));
    assert_int_equal(look(f, id).failing_since, 0);
    assert_null(fail_endpoint(f, VG_RECEIVER_BAD));
    assert_int_equal(look(f, id).failing_since, 0);
}

static int32_t again(struct fixture *f, struct vg_redelivery_range op)
{
    RUN_OK(f, vg_redelivery_range, &op);
    return op.count;
}

static void delivery_result_store__a_range_is_sent_again(void **state)
{
    struct fixture *f = *state;
    int64_t now = sql_int(f, "SELECT extract(epoch FROM now())::int8");
    const char *id = endpoint(f, "https://hooks.example/a");

    for (int i = 0; i < 3; i++)
        (void)ended(f, 7, "https://hooks.example/b");
    (void)ended(f, 8, "https://hooks.example/b");
    struct vg_redelivery_range all = {
        .project_id = 7, .since = now - 60, .until = now + 60, .limit = 100};
    assert_int_equal(again(f, all), 0); /* all pending */
    (void)sql(f, "UPDATE deliveries SET state = 3, ended_at = now()");
    (void)sql(f, "UPDATE deliveries SET state = 2 WHERE id IN (SELECT max(d.id) FROM deliveries d"
                 " JOIN videos v ON v.id = d.video_id WHERE v.project_id = 7)");
    struct vg_redelivery_range page = all;
    page.limit = 2;
    RUN_OK(f, vg_redelivery_range, &page);
    assert_int_equal(page.count, 2);
    page.after = page.last_id;
    page.limit = 100;
    RUN_OK(f, vg_redelivery_range, &page);
    assert_int_equal(page.count, 3); /* six, of which one was delivered */
    assert_int_equal(again(f, all), 0);
    all.delivered_too = true;
    assert_int_equal(again(f, all), 1);

    (void)sql(f, "UPDATE deliveries SET state = 4, ended_at = now()");
    struct vg_redelivery_range one = {
        .endpoint_id = id, .since = now - 60, .until = now + 60, .limit = 2};
    RUN_OK(f, vg_redelivery_range, &one);
    assert_int_equal(one.count, 2);
    one.after = one.last_id;
    assert_int_equal(again(f, one), 1);
    one.after = NULL;
    one.until = now - 30;
    assert_int_equal(again(f, one), 0);
    one.project_id = 8;
    RUN(f, vg_redelivery_range, &one);
    assert_int_equal(one.op.err.kind, VG_ERR_NOT_FOUND);
    struct vg_redelivery_range named = {.project = "nobody", .since = 1, .until = 2, .limit = 2};
    RUN(f, vg_redelivery_range, &named);
    assert_int_equal(named.op.err.kind, VG_ERR_NOT_FOUND);
}

static void delivery_result_store__a_redelivery_lets_a_receiver_go(void **state)
{
    struct fixture *f = *state;

    (void)ended(f, 7, "https://dead.example/hook");
    fail_times(f, 3, VG_RECEIVER_BAD, 0);
    assert_int_equal(take(f, 1, 8)->count, 0);
    struct vg_redelivery op = {.id = sql(f, "SELECT id FROM deliveries")};
    RUN_OK(f, vg_redelivery, &op);
    assert_int_equal(take(f, 1, 8)->count, 1);
}

/* Its attempts count from 1 again, and are told from those before: as often as it comes, and also
 * when what it replaces is still under way. */
static void delivery_result_store__a_redelivery_begins_a_round(void **state)
{
    struct fixture *f = *state;

    (void)ended(f, 7, "https://hooks.example/a");
    struct vg_delivery d = take(f, 1, 8)->deliveries[0];
    assert_int_equal(d.round, 0);
    for (int round = 1; round <= 3; round++) {
        struct vg_redelivery op = {.id = d.id};
        RUN_OK(f, vg_redelivery, &op);
        int64_t before = d.lease_seq;
        d = take(f, 1, 8)->deliveries[0];
        assert_int_equal(d.round, round);
        assert_int_equal(d.attempts, 0);
        assert_true(d.lease_seq > before);
    }
    (void)sql(f, "UPDATE deliveries SET leased = false, due_at = now()"); /* its lease ran out */
    assert_int_equal(take(f, 1, 8)->deliveries[0].round, 3);
}

static void delivery_result_store__the_log_is_kept(void **state)
{
    struct fixture *f = *state;
    const char *video = ended(f, 7, "https://hooks.example/a");

    fail_times(f, VG_DELIVERY_LOG + 1, VG_RECEIVER_ANSWERED, 0);
    fail_times(f, 1, VG_RECEIVER_GOOD, 0);
    struct vg_delivery_list list = {.video_id = video, .limit = 20};
    RUN_OK(f, vg_delivery_list, &list);
    const struct vg_delivery *d = &list.deliveries[0];

    assert_int_equal(d->log_count, VG_DELIVERY_LOG);
    assert_int_equal(d->log[0].http_status, 500);
    assert_string_equal(d->log[0].reason, "status_500");
    assert_int_equal(d->log[VG_DELIVERY_LOG - 1].http_status, 200);
    assert_string_equal(d->log[VG_DELIVERY_LOG - 1].answer, "said \u00e9");
}

static void delivery_result_store__sealed_texts_are_walked_and_changed(void **state)
{
    struct fixture *f = *state;

    (void)endpoint(f, "https://hooks.example/a");
    for (int i = 0; i < 3; i++)
        (void)ended(f, 7, "https://hooks.example/b");
    struct vg_video_create *open = new_create(f, 7, 1);
    open->callback_url = "https://hooks.example/b";
    open->secret_sealed = "se\0led";
    open->secret_size = 6;
    RUN_OK(f, vg_video_create, open);
    static const int texts[VG_SEALED_TABLE_MAX] = {1, 3, 1}; /* videos that ended need none */

    for (int t = 0; t < VG_SEALED_TABLE_MAX; t++) {
        int seen = 0;
        const char *after = "";
        for (bool more = true; more;) {
            struct vg_sealed_page page = {
                .table = (enum vg_sealed_table)t, .after = after, .limit = 2};
            RUN_OK(f, vg_sealed_page, &page);
            for (size_t i = 0; i < page.count; i++) {
                if (!page.rows[i].sealed)
                    continue;
                seen++;
                assert_memory_equal(page.rows[i].sealed, "se\0led", 6);
                const char *ids[] = {page.rows[i].id}, *olds[] = {"c2UAbGVk"}, *news[] = {"bmV3"};
                struct vg_sealed_put put = {
                    .table = page.table, .count = 1, .ids = ids, .olds = olds, .news = news};
                RUN_OK(f, vg_sealed_put, &put);
                assert_int_equal(put.changed, 1);
                RUN_OK(f, vg_sealed_put, &put);
                assert_int_equal(put.changed, 0); /* it is no longer the old one */
            }
            more = page.count == 2;
            if (more)
                after = page.rows[1].id;
        }
        assert_int_equal(seen, texts[t]);
    }
    assert_int_equal(sql_int(f, "SELECT count(*) FROM deliveries WHERE secret_sealed = 'new'"), 3);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(delivery_result_store__##name, fixture_clean)
    const struct CMUnitTest tests[] = {
        CASE(failures_hold_a_receiver_back),
        CASE(success_between_resets),
        CASE(who_asks_for_less_gets_less),
        CASE(an_endpoint_that_only_failed_is_disabled),
        CASE(the_clock_ends_with_a_success_or_with_time),
        CASE(a_range_is_sent_again),
        CASE(a_redelivery_lets_a_receiver_go),
        CASE(a_redelivery_begins_a_round),
        CASE(the_log_is_kept),
        CASE(sealed_texts_are_walked_and_changed),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
