/* SPDX-License-Identifier: Apache-2.0 */
#include "db/redelivery_store.h"
#include "tests/unit/db/deliveries.h"

static void delivery_store__lives_through_retries(void **state)
{
    struct fixture *f = *state;
    const char *video = ended(f, 7, "https://example.com/hook");
    struct vg_delivery_claim *c = take(f, 10, 5);
    struct vg_delivery d = c->deliveries[0];

    assert_int_equal(c->count, 1);
    assert_memory_equal(d.id, "evt_video_", 10);
    assert_string_equal(d.video_id, video);
    assert_string_equal(d.url, "https://example.com/hook");
    assert_memory_equal(d.secret_sealed, "se\0led", 6);
    assert_null(d.body);
    assert_string_equal(d.video.id, video);
    assert_int_equal(d.video.status, VG_VIDEO_COMPLETED);
    assert_int_equal(d.video.output_count, 1);
    assert_int_equal(take(f, 10, 5)->count, 0);

    struct vg_delivery_body body = {
        .id = d.id, .lease_seq = d.lease_seq, .body = "{}", .body_size = 2};
    struct vg_delivery_body stale = {
        .id = d.id, .lease_seq = d.lease_seq - 1, .body = "xx", .body_size = 2};

    RUN_OK(f, vg_delivery_body, &body);
    assert_true(body.applied);
    body.body = "[]"; /* what is stored first stays */
    RUN_OK(f, vg_delivery_body, &body);
    assert_true(body.applied);
    RUN_OK(f, vg_delivery_body, &stale);
    assert_false(stale.applied);

    assert_true(result(f, &d, VG_DELIVERY_PENDING, 30000)->applied);
    assert_false(result(f, &d, VG_DELIVERY_PENDING, 30000)->applied); /* released */
    c = take(f, 10, 5);
    assert_int_equal(c->count, 0);
    assert_in_range(c->next_due_ms, 1, 30000);
    (void)sql(f, "UPDATE deliveries SET due_at = now()");
    c = take(f, 10, 5);
    assert_int_equal(c->count, 1);
    assert_int_equal(c->deliveries[0].attempts, 1);
    assert_memory_equal(c->deliveries[0].body, "{}", 2);
    assert_null(c->deliveries[0].video.id);
    assert_false(result(f, &d, VG_DELIVERY_DELIVERED, 0)->applied); /* the earlier lease */
    assert_true(result(f, &c->deliveries[0], VG_DELIVERY_DELIVERED, 0)->applied);
    c = take(f, 10, 5);
    assert_int_equal(c->count, 0);
    assert_true(c->next_due_ms == INT64_MAX);

    struct vg_delivery_list list = {.video_id = video, .limit = 20};

    RUN_OK(f, vg_delivery_list, &list);
    assert_int_equal(list.count, 1);
    assert_int_equal(list.deliveries[0].state, VG_DELIVERY_DELIVERED);
    assert_int_equal(list.deliveries[0].attempts, 2);
    assert_int_equal(list.deliveries[0].last_status, 204);
    assert_string_equal(list.deliveries[0].last_reason, "");
    assert_int_equal(list.deliveries[0].next_attempt_at, 0);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM delivery_attempts"), 2);
}

static void delivery_store__not_made_leaves_no_trace(void **state)
{
    struct fixture *f = *state;

    (void)ended(f, 7, "https://example.com/hook");
    struct vg_delivery_claim *c = take(f, 10, 5);
    struct vg_delivery_result op = {.id = c->deliveries[0].id,
                                    .lease_seq = c->deliveries[0].lease_seq,
                                    .state = VG_DELIVERY_PENDING,
                                    .not_made = true};

    RUN_OK(f, vg_delivery_result, &op);
    assert_true(op.applied);
    c = take(f, 10, 5);
    assert_int_equal(c->count, 1);
    assert_int_equal(c->deliveries[0].attempts, 0);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM delivery_attempts"), 0);
}

static void delivery_store__a_dead_host_delays_nobody(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < 12; i++)
        (void)ended(f, 7, "https://dead.example/hook");
    (void)ended(f, 7, "https://DEAD.example/other?x=1"); /* the same host */
    (void)ended(f, 7, "https://good.example/hook");
    struct vg_delivery_claim *c = take(f, 10, 3);
    int good = 0;

    for (size_t i = 0; i < c->count; i++)
        good += strstr(c->deliveries[i].url, "good") != NULL;
    assert_int_equal(c->count, 4);
    assert_int_equal(good, 1);
    c = take(f, 10, 3);
    assert_int_equal(c->count, 0);
    assert_true(c->next_due_ms > 0); /* waiting for the cap is not due */
    assert_int_equal(take(f, 10, 5)->count, 2);
    assert_int_equal(take(f, 3, 13)->next_due_ms, 0); /* more than the limit */
}

static int of_good(const struct vg_delivery_claim *c)
{
    int good = 0;

    for (size_t i = 0; i < c->count; i++)
        good += strstr(c->deliveries[i].url, "good") != NULL;
    return good;
}

/* Many receivers of one project, each within its own cap. */
static void delivery_store__a_project_leaves_places_to_others(void **state)
{
    struct fixture *f = *state;
    char url[64];

    for (int i = 0; i < 20; i++) {
        (void)snprintf(url, sizeof(url), "https://slow%d.example/hook", i);
        (void)ended(f, 7, url);
    }
    for (int i = 0; i < 3; i++) {
        (void)snprintf(url, sizeof(url), "https://good%d.example/hook", i);
        (void)ended(f, 8, url);
    }
    struct vg_delivery_claim *c = take_of(f, 4, 8, 6);
    assert_int_equal(c->count, 4); /* by turns */
    assert_int_equal(of_good(c), 2);
    assert_int_equal(c->next_due_ms, 0);
    c = take_of(f, 10, 8, 6);
    assert_int_equal(c->count, 5); /* two had been claimed: four more, and the last of the others */
    assert_int_equal(of_good(c), 1);
    struct vg_delivery_claim *none = take_of(f, 10, 8, 6);
    assert_int_equal(none->count, 0);
    assert_true(none->next_due_ms > 0); /* waiting for a place is not due */
    for (size_t i = 0; i < c->count; i++)
        if (!strstr(c->deliveries[i].url, "good"))
            assert_true(result(f, &c->deliveries[i], VG_DELIVERY_DELIVERED, 0)->applied);
    assert_int_equal(take_of(f, 10, 8, 6)->count, 4);
    /* A lease that has run out holds no place. */
    (void)sql(f, "UPDATE deliveries SET due_at = now() - interval '1 s' WHERE leased");
    assert_int_equal(take_of(f, 20, 8, 6)->count, 6 + 3);
}

static void delivery_store__an_expired_lease_is_claimed_again(void **state)
{
    struct fixture *f = *state;

    (void)ended(f, 7, "https://example.com/hook");
    struct vg_delivery d = take(f, 10, 1)->deliveries[0];

    (void)sql(f, "UPDATE deliveries SET due_at = now() - interval '1 s'");
    struct vg_delivery_claim *c = take(f, 10, 1);

    assert_int_equal(c->count, 1);
    assert_int_equal(c->deliveries[0].lease_seq, d.lease_seq + 1);
    assert_false(result(f, &d, VG_DELIVERY_DELIVERED, 0)->applied);
}

static void delivery_store__a_lease_is_renewed_while_it_is_held(void **state)
{
    struct fixture *f = *state;

    (void)ended(f, 7, "https://example.com/hook");
    struct vg_delivery d = take(f, 10, 1)->deliveries[0];
    struct vg_delivery_renew renew = {.id = d.id, .lease_seq = d.lease_seq, .lease_ms = 90000};
    struct vg_delivery_renew stale = {.id = d.id, .lease_seq = d.lease_seq - 1, .lease_ms = 1};

    (void)sql(f, "UPDATE deliveries SET due_at = now() - interval '1 s'");
    RUN_OK(f, vg_delivery_renew, &renew); /* nobody has taken it yet */
    assert_true(renew.applied);
    RUN_OK(f, vg_delivery_renew, &stale);
    assert_false(stale.applied);
    assert_int_equal(take(f, 10, 1)->count, 0);
    assert_int_equal(
        sql_int(f, "SELECT count(*) FROM deliveries WHERE due_at > now() + interval '70 s'"), 1);
    assert_true(result(f, &d, VG_DELIVERY_PENDING, 0)->applied);
    RUN_OK(f, vg_delivery_renew, &renew); /* a renewal that comes late leases it to nobody */
    assert_false(renew.applied);
    assert_int_equal(take(f, 10, 1)->count, 1);
}

static void delivery_store__redelivers_from_any_state(void **state)
{
    struct fixture *f = *state;

    (void)ended(f, 7, "https://example.com/hook");
    struct vg_delivery d = take(f, 10, 1)->deliveries[0];
    struct vg_redelivery again = {.id = d.id}, none = {.id = "evt_none"};

    assert_true(result(f, &d, VG_DELIVERY_GONE, 0)->applied);
    RUN_OK(f, vg_redelivery, &again);
    assert_int_equal(again.delivery.state, VG_DELIVERY_PENDING);
    assert_int_equal(again.delivery.attempts, 0);
    struct vg_delivery_claim *c = take(f, 10, 1);

    assert_int_equal(c->count, 1);
    RUN_OK(f, vg_redelivery, &again); /* while an attempt is under way */
    assert_false(result(f, &c->deliveries[0], VG_DELIVERY_FAILED, 0)->applied);
    assert_int_equal(take(f, 10, 1)->count, 1);
    RUN(f, vg_redelivery, &none);
    assert_int_equal(none.op.err.kind, VG_ERR_NOT_FOUND);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(delivery_store__##name, fixture_clean)
    const struct CMUnitTest tests[] = {
        CASE(lives_through_retries),
        CASE(not_made_leaves_no_trace),
        CASE(a_dead_host_delays_nobody),
        CASE(an_expired_lease_is_claimed_again),
        CASE(redelivers_from_any_state),
        CASE(a_project_leaves_places_to_others),
        CASE(a_lease_is_renewed_while_it_is_held),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
