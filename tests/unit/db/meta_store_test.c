/* SPDX-License-Identifier: Apache-2.0 */
#include "db/meta_store.h"

#include "tests/unit/db/fixture.h"

static void meta_store__the_identity_stays(void **state)
{
    struct fixture *f = *state;
    struct vg_meta_identity first = {.identity = NULL}, second = {.identity = NULL};
    struct vg_err err;

    RUN_OK(f, vg_meta_identity, &first);
    assert_int_equal(strlen(first.identity), 36);
    assert_int_equal(vg_db_migrate(f->url, NULL, NULL, &err), 0);
    RUN_OK(f, vg_meta_identity, &second);
    assert_string_equal(second.identity, first.identity);
}

static void meta_store__another_database_has_another_identity(void **state)
{
    struct fixture *f = *state;
    struct vg_meta_identity here = {.identity = NULL}, there = {.identity = NULL};
    struct vg_err err;
    char url[160];
    struct vg_db *db = NULL;

    (void)sql(f, "CREATE DATABASE other");
    (void)snprintf(url, sizeof(url), "host=%s user=vg dbname=other", f->dir);
    assert_int_equal(vg_db_migrate(url, NULL, NULL, &err), 0);
    assert_int_equal(vg_db_start(&db, &(struct vg_db_options){.url = url}, &err), 0);
    begin(&there.op, f->arena);
    vg_meta_identity(db, &there);
    finish();
    assert_true(there.op.ok);
    db = vg_db_stop(db, vg_deadline_in_ms(5000));
    RUN_OK(f, vg_meta_identity, &here);
    assert_string_not_equal(here.identity, there.identity);
}

static void meta_store__a_lost_identity_is_an_error(void **state)
{
    struct fixture *f = *state;
    struct vg_meta_identity op = {.identity = NULL};

    (void)sql(f, "DELETE FROM meta");
    RUN(f, vg_meta_identity, &op);
    assert_false(op.op.ok);
    assert_int_equal(op.op.err.kind, VG_ERR_INTERNAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(meta_store__the_identity_stays),
        cmocka_unit_test(meta_store__another_database_has_another_identity),
        cmocka_unit_test(meta_store__a_lost_identity_is_an_error),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
