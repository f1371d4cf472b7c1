/* SPDX-License-Identifier: Apache-2.0 */
#include "db/key_use_store.h"
#include "tests/unit/db/fixture.h"

static struct vg_key_create *make_key(struct fixture *f, const char *project, const char *id,
                                      int fill)
{
    struct vg_key_create *op = vg_arena_alloc(f->arena, sizeof(*op));

    op->project = project;
    op->name = "laptop";
    op->id = id;
    op->hint = "abcd";
    memset(op->hash, fill, sizeof(op->hash));
    RUN_OK(f, vg_key_create, op);
    return op;
}

static void key_store__creates_looks_up_and_revokes(void **state)
{
    struct fixture *f = *state;
    struct vg_key_create *a = make_key(f, "alpha", "key_a", 1);
    struct vg_key_create *b = make_key(f, "alpha", "key_b", 2);

    assert_string_equal(a->key.project, "alpha");
    assert_string_equal(a->key.hint, "abcd");
    assert_true(a->key.created_at > 1700000000);
    assert_int_equal(a->key.revoked_at, 0);
    (void)make_key(f, "beta", "key_c", 3);

    struct vg_key_lookup found[4];

    memset(found, 0, sizeof(found));
    for (int i = 0; i < 4; i++) {
        memset(found[i].hash, i + 1, 32);
        begin(&found[i].op, f->arena);
        vg_key_lookup(f->db, &found[i]);
        finish();
        assert_true(found[i].op.ok);
    }
    assert_true(found[0].found && found[1].found && found[2].found);
    assert_false(found[3].found);
    assert_int_equal(found[0].project_id, found[1].project_id);
    assert_int_not_equal(found[0].project_id, found[2].project_id);
    assert_string_equal(found[1].key_id, b->id);

    assert_string_equal(found[1].scopes, "");
    assert_false(found[1].archived || found[1].limited);
    assert_int_equal(found[1].key_rpm, 0);

    struct vg_key_revoke revoke = {.id = "key_a"};

    RUN_OK(f, vg_key_revoke, &revoke);
    assert_true(revoke.key.revoked_at > 0);
    int64_t first = revoke.key.revoked_at;

    RUN_OK(f, vg_key_revoke, &revoke);
    assert_int_equal(revoke.key.revoked_at, first);
    RUN_OK(f, vg_key_lookup, &found[0]);
    assert_false(found[0].found);

    struct vg_key_revoke none = {.id = "key_none"};

    RUN(f, vg_key_revoke, &none);
    assert_false(none.op.ok);
    assert_int_equal(none.op.err.kind, VG_ERR_NOT_FOUND);
}

static void key_store__lists_by_project(void **state)
{
    struct fixture *f = *state;
    struct vg_key_list all = {.project = NULL}, one = {.project = "beta"}, no = {.project = "x"};

    (void)make_key(f, "alpha", "key_a", 1);
    (void)make_key(f, "beta", "key_b", 2);
    (void)make_key(f, "beta", "key_c", 3);
    RUN_OK(f, vg_key_list, &all);
    RUN_OK(f, vg_key_list, &one);
    RUN_OK(f, vg_key_list, &no);
    assert_int_equal(all.count, 3);
    assert_string_equal(all.keys[0].id, "key_c");
    assert_int_equal(one.count, 2);
    assert_int_equal(no.count, 0);
}

static void key_store__create_twice_is_one_key(void **state)
{
    struct fixture *f = *state;

    (void)make_key(f, "alpha", "key_a", 1);
    (void)make_key(f, "alpha", "key_a", 1);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM api_keys"), 1);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM projects"), 1);
}

static void key_store__refuses_a_hash_twice_and_a_bad_project(void **state)
{
    struct fixture *f = *state;
    struct vg_key_create twin = {
        .project = "alpha", .name = "", .id = "key_z", .hint = "", .hash = {0}};
    struct vg_key_create bad = {
        .project = "No Such", .name = "", .id = "key_y", .hint = "", .hash = {9}};

    (void)make_key(f, "alpha", "key_a", 0);
    RUN(f, vg_key_create, &twin);
    assert_false(twin.op.ok);
    assert_int_equal(twin.op.err.kind, VG_ERR_CONFLICT);
    RUN(f, vg_key_create, &bad);
    assert_false(bad.op.ok);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM api_keys"), 1);
}

/* A key with an id is found by it alone, one without by its hash alone, though both are hashes. */
static void key_store__looks_up_by_what_the_key_has(void **state)
{
    struct fixture *f = *state;
    struct vg_key_create made = {.project = "alpha",
                                 .name = "",
                                 .id = "key_new",
                                 .hint = "",
                                 .hash = {7},
                                 .pepper = 1234567};
    struct vg_key_lookup by_id = {.id = "key_new"}, by_hash = {.hash = {7}},
                         old = {.id = "key_old"};

    (void)make_key(f, "alpha", "key_old", 9);
    RUN_OK(f, vg_key_create, &made);
    RUN_OK(f, vg_key_lookup, &by_id);
    assert_true(by_id.found);
    assert_string_equal(by_id.key_id, "key_new");
    assert_int_equal(by_id.pepper, 1234567);
    assert_memory_equal(by_id.stored, made.hash, 32);
    RUN_OK(f, vg_key_lookup, &by_hash);
    assert_false(by_hash.found); /* who knows the stored hash has no key */
    RUN_OK(f, vg_key_lookup, &old);
    assert_false(old.found);
    memset(old.hash, 9, sizeof(old.hash));
    old.id = NULL;
    RUN_OK(f, vg_key_lookup, &old);
    assert_true(old.found);
    assert_int_equal(old.pepper, 0);
}

static void key_store__notes_the_last_use(void **state)
{
    struct fixture *f = *state;
    static const char *const ids[] = {"key_b", "key_a", "key_none"};
    struct vg_key_used used = {.ids = ids, .count = 3};
    struct vg_key_list all = {.project = NULL};

    (void)make_key(f, "alpha", "key_a", 1);
    (void)make_key(f, "alpha", "key_b", 2);
    (void)make_key(f, "alpha", "key_c", 3);
    RUN_OK(f, vg_key_used, &used);
    RUN_OK(f, vg_key_used, &used);
    RUN_OK(f, vg_key_list, &all);
    assert_int_equal(all.count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(all.keys[i].last_used_at > 1700000000,
                         strcmp(all.keys[i].id, "key_c") != 0);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM key_uses"), 2);
    (void)sql(f, "UPDATE key_uses SET last_used_at = '2020-01-01'");
    RUN_OK(f, vg_key_used, &used);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM key_uses WHERE last_used_at > '2021-01-01'"),
                     2);
}

static void key_store__says_which_keys_are_gone(void **state)
{
    struct fixture *f = *state;
    static const char *const ids[] = {"key_a", "key_b", "key_c", "key_d", "key_none"};
    struct vg_keys_gone gone = {.ids = ids, .count = 5};

    (void)make_key(f, "alpha", "key_a", 1);
    (void)make_key(f, "alpha", "key_b", 2);
    (void)make_key(f, "beta", "key_c", 3);
    (void)make_key(f, "gamma", "key_d", 4);
    RUN_OK(f, vg_keys_gone, &gone);
    assert_int_equal(gone.gone_count, 0);
    (void)sql(f, "UPDATE api_keys SET revoked_at = now() WHERE id = 'key_b'");
    (void)sql(f, "UPDATE api_keys SET expires_at = now() WHERE id = 'key_d'");
    (void)sql(f, "UPDATE projects SET archived_at = now() WHERE name = 'beta'");
    RUN_OK(f, vg_keys_gone, &gone);
    assert_int_equal(gone.gone_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_not_equal(gone.gone[i], "key_a");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(key_store__creates_looks_up_and_revokes, fixture_clean),
        cmocka_unit_test_setup(key_store__lists_by_project, fixture_clean),
        cmocka_unit_test_setup(key_store__create_twice_is_one_key, fixture_clean),
        cmocka_unit_test_setup(key_store__refuses_a_hash_twice_and_a_bad_project, fixture_clean),
        cmocka_unit_test_setup(key_store__looks_up_by_what_the_key_has, fixture_clean),
        cmocka_unit_test_setup(key_store__notes_the_last_use, fixture_clean),
        cmocka_unit_test_setup(key_store__says_which_keys_are_gone, fixture_clean),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
