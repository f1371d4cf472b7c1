/* SPDX-License-Identifier: Apache-2.0 */
/* Who works when: time is told, so that a flood costs the test nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "bridge/net/turn.h"
#include "common/clock.h"
#include "common/mem.h"

#define US INT64_C(1000)

static struct vg_turn turn;
static int64_t now_ns;

static int start(void **state)
{
    (void)state;
    vg_turn_init(&turn);
    now_ns = VG_NS_PER_S;
    return 0;
}

/* Takes the next and lets it work so long. */
static struct vg_turn_entry *work(int64_t spent_ns)
{
    struct vg_turn_entry *entry = vg_turn_next(&turn, now_ns);

    if (!entry)
        return NULL;
    now_ns += spent_ns;
    vg_turn_charge(entry, now_ns, spent_ns);
    return entry;
}

static void turn__light_ones_come_first_and_in_order(void **state)
{
    (void)state;
    struct vg_turn_entry heavy = {0}, one = {0}, two = {0};

    vg_turn_add(&turn, &heavy, false, now_ns);
    vg_turn_add(&turn, &one, true, now_ns);
    vg_turn_add(&turn, &two, true, now_ns);
    vg_turn_add(&turn, &one, true, now_ns); /* is there already */
    vg_turn_begin(&turn);
    assert_ptr_equal(work(US), &one);
    assert_ptr_equal(work(US), &two);
    assert_ptr_equal(work(US), &heavy);
    assert_null(work(US));
    assert_false(vg_turn_waits(&turn));
}

/* However many they are, all of them come in turn, and a light one waits for a part of a turn. */
static void turn__a_flood_shares_a_part_of_each_turn(void **state)
{
    (void)state;
    enum { FLOOD = 50, TURNS = 100 };
    struct vg_turn_entry flood[FLOOD] = {0}, light = {0};
    int worked[FLOOD] = {0};
    int64_t longest = 0;

    for (int i = 0; i < FLOOD; i++)
        vg_turn_add(&turn, &flood[i], false, now_ns);
    for (int i = 0; i < TURNS; i++) {
        vg_turn_begin(&turn);
        int64_t before = now_ns;
        vg_turn_add(&turn, &light, true, now_ns);
        assert_ptr_equal(work(10 * US), &light);
        struct vg_turn_entry *entry;
        while ((entry = work(VG_TURN_SLICE_NS))) {
            worked[entry - flood]++;
            vg_turn_add(&turn, entry, false, now_ns); /* has more to do, always */
        }
        assert_true(vg_turn_waits(&turn));
        if (now_ns - before > longest)
            longest = now_ns - before;
    }
    assert_true(longest <= VG_NS_PER_MS);
    for (int i = 0; i < FLOOD; i++)
        assert_in_range(worked[i], TURNS * 3 / FLOOD - 1, TURNS * 3 / FLOOD + 1);
    vg_turn_drop(&turn);
    assert_false(vg_turn_waits(&turn));
}

static void turn__who_took_more_than_a_share_of_late_is_heavy_for_a_while(void **state)
{
    (void)state;
    struct vg_turn_entry busy = {0}, light = {0};

    for (int i = 0; i < 10; i++) { /* a millisecond and more at once */
        vg_turn_add(&turn, &busy, true, now_ns);
        vg_turn_begin(&turn);
        assert_ptr_equal(work(150 * US), &busy);
    }
    vg_turn_add(&turn, &busy, true, now_ns);
    vg_turn_add(&turn, &light, true, now_ns);
    vg_turn_begin(&turn);
    assert_ptr_equal(work(US), &light);
    assert_ptr_equal(work(US), &busy);

    now_ns += VG_NS_PER_S; /* has been quiet */
    vg_turn_add(&turn, &busy, true, now_ns);
    vg_turn_add(&turn, &light, true, now_ns);
    vg_turn_begin(&turn);
    assert_ptr_equal(work(US), &busy);
    assert_ptr_equal(work(US), &light);
}

/* A caller that polls all the time stays light: a hundredth of a core. */
static void turn__a_steady_small_share_stays_light(void **state)
{
    (void)state;
    struct vg_turn_entry poller = {0}, other = {0};

    for (int i = 0; i < 10000; i++) {
        vg_turn_add(&turn, &other, false, now_ns);
        vg_turn_add(&turn, &poller, true, now_ns);
        vg_turn_begin(&turn);
        assert_ptr_equal(work(40 * US), &poller);
        assert_ptr_equal(work(40 * US), &other);
        now_ns += 4 * VG_NS_PER_MS;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(turn__light_ones_come_first_and_in_order, start),
        cmocka_unit_test_setup(turn__a_flood_shares_a_part_of_each_turn, start),
        cmocka_unit_test_setup(turn__who_took_more_than_a_share_of_late_is_heavy_for_a_while,
                               start),
        cmocka_unit_test_setup(turn__a_steady_small_share_stays_light, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
