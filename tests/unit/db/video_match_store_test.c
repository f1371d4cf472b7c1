/* SPDX-License-Identifier: Apache-2.0 */
#include "db/video_match_store.h"

#include "tests/unit/db/fixture.h"

#define MATCH "00112233445566778899aabbccddeeff"
#define MINUTES_MS INT64_C(900000)

/* What an attempt gets, copied. */
static const char *match(struct fixture *f, int32_t level, const char *own, int64_t within_ms)
{
    struct vg_video_match *op = vg_arena_alloc(f->arena, sizeof(*op));

    *op = (struct vg_video_match){
        .project_id = 7, .match = MATCH, .level = level, .within_ms = within_ms, .own_id = own};
    RUN_OK(f, vg_video_match, op);
    return op->id;
}

/* A first attempt that was not slow: its record rides in the insert. */
static const char *first(struct fixture *f)
{
    struct vg_video_create *op = new_create(f, 7, 1);
    char *key = vg_arena_alloc(f->arena, VG_MATCH_KEY_SIZE);

    vg_match_key(key, MATCH, op->id, 0);
    op->idempotency_key = key;
    op->match_lock = vg_match_lock(MATCH);
    RUN_OK(f, vg_video_create, op);
    assert_int_equal(op->outcome, VG_CREATE_NEW);
    return op->id;
}

static void match__finds_the_first_attempt(void **state)
{
    struct fixture *f = *state;
    const char *made = first(f);

    assert_string_equal(match(f, 1, "video_x1", MINUTES_MS), made);
    assert_string_equal(match(f, 2, "video_x2", MINUTES_MS), made);
}

static void match__keeps_equal_calls_apart(void **state)
{
    struct fixture *f = *state;
    const char *a = first(f);
    const char *b = first(f);

    assert_string_equal(match(f, 1, "video_b1", MINUTES_MS), b);
    assert_string_equal(match(f, 1, "video_a1", MINUTES_MS), a);
    const char *c = first(f); /* newer, but no attempt of level 1 has it */
    assert_string_equal(match(f, 2, "video_b2", MINUTES_MS), b);
    assert_string_equal(match(f, 2, "video_a2", MINUTES_MS), a);
    assert_string_equal(match(f, 1, "video_c1", MINUTES_MS), c);
}

static void match__promises_its_own_id_when_there_is_none(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(match(f, 2, "video_x2", MINUTES_MS), "video_x2");
    assert_string_equal(match(f, 1, "video_x1", MINUTES_MS), "video_x2"); /* overtaken */
    assert_string_equal(match(f, 3, "video_x3", MINUTES_MS), "video_x2");
    assert_int_equal(sql_int(f, "SELECT count(*) FROM videos"), 0);
}

static void match__knows_its_own_record(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(match(f, 1, "video_x1", MINUTES_MS), "video_x1");
    assert_string_equal(match(f, 1, "video_x1", MINUTES_MS), "video_x1");
    assert_int_equal(sql_int(f, "SELECT count(*) FROM idempotency"), 1);
}

static void match__forgets_after_the_window(void **state)
{
    struct fixture *f = *state;
    const char *made = first(f);

    (void)sql(f, "UPDATE idempotency SET created_at = created_at - interval '16 minutes'");
    assert_string_equal(match(f, 1, "video_x1", MINUTES_MS), "video_x1");
    assert_string_not_equal(match(f, 2, "video_x2", MINUTES_MS), made);
}

static void match__lets_a_slow_first_attempt_find_its_repeat(void **state)
{
    struct fixture *f = *state;

    assert_string_equal(match(f, 0, "video_a0", 5000), "video_a0"); /* nobody's yet */
    assert_string_equal(match(f, 0, "video_b0", 5000), "video_b0"); /* not its twin's */
    assert_string_equal(match(f, 1, "video_b1", MINUTES_MS), "video_b0");
    (void)sql(f, "DELETE FROM idempotency");
    assert_string_equal(match(f, 1, "video_c1", MINUTES_MS), "video_c1");
    assert_string_equal(match(f, 0, "video_c0", 5000), "video_c1");
    (void)sql(f, "DELETE FROM idempotency");
    assert_string_equal(match(f, 1, "video_d1", MINUTES_MS), "video_d1");
    (void)sql(f, "UPDATE idempotency SET created_at = created_at - interval '6 s'");
    assert_string_equal(match(f, 0, "video_d0", 5000), "video_d0"); /* made before it came */
}

static void match__is_the_project_s_own(void **state)
{
    struct fixture *f = *state;
    struct vg_video_match op = {
        .project_id = 8, .match = MATCH, .level = 1, .within_ms = MINUTES_MS, .own_id = "video_x"};

    (void)first(f);
    RUN_OK(f, vg_video_match, &op);
    assert_string_equal(op.id, "video_x");
}

/* A repeat waits for a create that is not committed yet: its lock is held to the end. */
static void match__waits_for_creates_under_way(void **state)
{
    struct fixture *f = *state;
    char command[512];

    (void)snprintf(command, sizeof(command),
                   "BEGIN; SELECT pg_advisory_xact_lock_shared(%lld); INSERT INTO idempotency"
                   " (project_id, key, video_id, fingerprint) VALUES (7, E'\\\\x7f' || '" MATCH
                   ":video_slow:0:', 'video_slow', decode(repeat('00', 32), 'hex'));"
                   " SELECT pg_sleep(0.5); COMMIT",
                   (long long)vg_match_lock(MATCH));
    char *shell = vg_arena_printf(f->arena, "psql -X -q -A -t -d '%s' -c \"%s\" >/dev/null &",
                                  f->url, command);
    assert_int_equal(system(shell), 0); /* NOLINT(cert-env33-c): our own text */
    while (sql_int(f, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND mode ="
                      " 'ShareLock'") == 0)
        continue;
    assert_string_equal(match(f, 1, "video_x1", MINUTES_MS), "video_slow");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(match__##name, fixture_clean)
    const struct CMUnitTest tests[] = {
        CASE(finds_the_first_attempt),
        CASE(keeps_equal_calls_apart),
        CASE(promises_its_own_id_when_there_is_none),
        CASE(knows_its_own_record),
        CASE(forgets_after_the_window),
        CASE(lets_a_slow_first_attempt_find_its_repeat),
        CASE(is_the_project_s_own),
        CASE(waits_for_creates_under_way),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
