/* SPDX-License-Identifier: Apache-2.0 */
#include "service/auth.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/api_key.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/mem.h"
#include "common/str.h"

#define MAX_LOOKUPS 64
#define OLD_KEY "vg_000000000000000000000000000000000000000034arTE"

/* The database and the executor in the test's hands: lookups wait until they are answered, tasks
 * run when posted. */
struct fake {
    struct vg_executor executor;
    struct vg_peppers *peppers; /* owned */
    struct vg_key_lookup *lookups[MAX_LOOKUPS];
    char keys[MAX_LOOKUPS][VG_API_KEY_SIZE]; /* that they are for */
    const char *asking;
    size_t count;
};

struct asker {
    struct vg_auth_wait wait;
    int answers;
};

static void run_now(struct vg_executor *self, struct vg_task *task)
{
    (void)self;
    task->run(task);
}

static void start_lookup(void *ctx, struct vg_key_lookup *op)
{
    struct fake *fake = ctx;
    assert_true(fake->count < MAX_LOOKUPS);
    (void)vg_strcpy(fake->keys[fake->count], VG_API_KEY_SIZE, fake->asking);
    fake->lookups[fake->count++] = op;
}

static void answered(struct vg_task *task)
{
    VG_CONTAINER(task, struct asker, wait.done)->answers++;
}

static struct vg_auth *make(struct fake *fake, int64_t ttl_ms, size_t entries, size_t pending)
{
    memset(fake, 0, sizeof(*fake));
    struct vg_err err;
    fake->executor.post = run_now;
    assert_int_equal(vg_peppers_new(&fake->peppers, NULL, "a secret key of the tests", NULL, &err),
                     0);
    const struct vg_auth_options options = {.lookup = start_lookup,
                                            .lookup_ctx = fake,
                                            .executor = &fake->executor,
                                            .peppers = fake->peppers,
                                            .admin_key = "the-admin-key-0123",
                                            .ttl_ms = ttl_ms,
                                            .max_entries = entries,
                                            .max_pending = pending};
    return vg_auth_new(&options);
}

static void done(struct vg_auth *auth, struct fake *fake)
{
    (void)vg_auth_free(auth);
    (void)vg_peppers_free(fake->peppers);
}

static void new_key(char out[VG_API_KEY_SIZE])
{
    char id[VG_ID_SIZE];
    vg_id_new(id, "key");
    vg_api_key_new(out, id);
}

static bool ask(struct vg_auth *auth, struct fake *fake, struct asker *asker, const char *key)
{
    *asker = (struct asker){.answers = 0};
    asker->wait.executor = &fake->executor;
    asker->wait.done.run = answered;
    fake->asking = key;
    return vg_auth_check(auth, vg_view_of(key), &asker->wait);
}

/* The row of a key, as it would have been stored. */
static void set_row(const struct fake *fake, struct vg_key_lookup *op, const char *key)
{
    struct vg_peppered row;
    vg_pepper_make(fake->peppers, vg_view_of(key), &row);
    op->pepper = row.pepper;
    memcpy(op->stored, row.hash, sizeof(op->stored));
}

static void tell_row(struct fake *fake, size_t i, bool found, int64_t project, const char *key)
{
    struct vg_key_lookup *op = fake->lookups[i];
    if (found)
        set_row(fake, op, key);
    op->op.ok = true;
    op->found = found;
    op->project_id = project;
    op->key_id = "key_x";
    op->scopes = "";
    op->op.done.run(&op->op.done);
}

static void tell(struct fake *fake, size_t i, bool found, int64_t project)
{
    tell_row(fake, i, found, project, fake->keys[i]);
}

static void auth__junk_never_reaches_the_database(void **state)
{
    (void)state;
    struct fake fake;
    struct asker a;
    char key[VG_API_KEY_SIZE];
    struct vg_auth *auth = make(&fake, 0, 0, 0);
    new_key(key);
    key[10] = key[10] == 'a' ? 'b' : 'a';
    static const char *const junk[] = {"", "sk-123", "vg_"};
    for (size_t i = 0; i < VG_COUNT(junk); i++) {
        assert_true(ask(auth, &fake, &a, junk[i]));
        assert_false(a.wait.ok);
        assert_int_equal(a.wait.err.kind, VG_ERR_UNAUTHENTICATED);
    }
    assert_true(ask(auth, &fake, &a, key));
    assert_false(a.wait.ok);
    assert_int_equal(fake.count, 0);
    done(auth, &fake);
}

static void auth__one_lookup_serves_all_who_wait(void **state)
{
    (void)state;
    struct fake fake;
    struct asker a[5];
    char key[VG_API_KEY_SIZE];
    struct vg_auth *auth = make(&fake, 1000, 0, 0);
    new_key(key);
    for (size_t i = 0; i < 5; i++)
        assert_false(ask(auth, &fake, &a[i], key));
    assert_int_equal(fake.count, 1);
    tell(&fake, 0, true, 42);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(a[i].answers, 1);
        assert_true(a[i].wait.ok);
        assert_int_equal(a[i].wait.who.project_id, 42);
        assert_string_equal(a[i].wait.who.key_id, "key_x");
    }
    assert_true(ask(auth, &fake, &a[0], key)); /* now known */
    assert_true(a[0].wait.ok);
    assert_int_equal(fake.count, 1);
    done(auth, &fake);
}

static void auth__an_answer_is_believed_for_its_time_only(void **state)
{
    (void)state;
    struct fake fake;
    struct asker a;
    char key[VG_API_KEY_SIZE];
    struct vg_auth *auth = make(&fake, 1, 0, 0);
    new_key(key);
    assert_false(ask(auth, &fake, &a, key));
    int64_t started = vg_now_ns();
    while (vg_now_ns() <
           started + 2 * VG_NS_PER_MS) /* the time counts from the question, not the answer */
        ;
    tell(&fake, 0, true, 1);
    assert_true(a.wait.ok);
    assert_false(ask(auth, &fake, &a, key));
    assert_int_equal(fake.count, 2);
    tell(&fake, 1, false, 0); /* revoked meanwhile */
    assert_false(a.wait.ok);
    assert_int_equal(a.wait.err.kind, VG_ERR_UNAUTHENTICATED);
    done(auth, &fake);
}

static void auth__a_forgotten_key_is_asked_for_again(void **state)
{
    (void)state;
    struct fake fake;
    struct asker a;
    char key[VG_API_KEY_SIZE];
    struct vg_auth *auth = make(&fake, 1000, 0, 0);
    new_key(key);
    assert_false(ask(auth, &fake, &a, key));
    tell(&fake, 0, true, 1);
    vg_auth_forget(auth, "key_y");
    assert_true(ask(auth, &fake, &a, key));
    vg_auth_forget(auth, "key_x");
    assert_false(ask(auth, &fake, &a, key));
    tell(&fake, 1, false, 0);
    assert_false(a.wait.ok);
    done(auth, &fake);
}

static void auth__unknown_keys_are_remembered_too(void **state)
{
    (void)state;
    struct fake fake;
    struct asker a;
    char key[VG_API_KEY_SIZE];
    struct vg_auth *auth = make(&fake, 1000, 0, 0);
    new_key(key);
    assert_false(ask(auth, &fake, &a, key));
    tell(&fake, 0, false, 0);
    assert_true(ask(auth, &fake, &a, key));
    assert_false(a.wait.ok);
    assert_int_equal(fake.count, 1);
    done(auth, &fake);
}

static void auth__a_failed_lookup_is_told_and_forgotten(void **state)
{
    (void)state;
    struct fake fake;
    struct asker a;
    char key[VG_API_KEY_SIZE];
    struct vg_auth *auth = make(&fake, 1000, 0, 0);
    new_key(key);
    assert_false(ask(auth, &fake, &a, key));
    struct vg_key_lookup *op = fake.lookups[0];
    op->op.ok = false;
    (void)vg_err_set(&op->op.err, VG_ERR_UNAVAILABLE, NULL);
    op->op.err.retry_after_ms = 1000;
    op->op.done.run(&op->op.done);
    assert_false(a.wait.ok);
    assert_int_equal(a.wait.err.kind, VG_ERR_UNAVAILABLE);
    assert_int_equal(a.wait.err.retry_after_ms, 1000);
    assert_false(ask(auth, &fake, &a, key)); /* asks again */
    tell(&fake, 1, true, 3);
    assert_true(a.wait.ok);
    done(auth, &fake);
}

static void auth__lookups_under_way_are_bounded(void **state)
{
    (void)state;
    struct fake fake;
    struct asker a[3];
    char key[VG_API_KEY_SIZE];
    struct vg_auth *auth = make(&fake, 1000, 0, 2);
    for (size_t i = 0; i < 2; i++) {
        new_key(key);
        assert_false(ask(auth, &fake, &a[i], key));
    }
    new_key(key);
    assert_true(ask(auth, &fake, &a[2], key));
    assert_int_equal(a[2].wait.err.kind, VG_ERR_OVERLOADED);
    tell(&fake, 0, true, 1);
    tell(&fake, 1, true, 1);
    done(auth, &fake);
}

/* More keys than places: answers stay right, the cache stays small. */
static void auth__a_full_cache_forgets_but_never_mixes_up(void **state)
{
    (void)state;
    struct fake fake;
    struct asker a;
    char keys[40][VG_API_KEY_SIZE];
    struct vg_auth *auth = make(&fake, 1000, 8, 0);
    for (size_t i = 0; i < 40; i++) {
        new_key(keys[i]);
        assert_false(ask(auth, &fake, &a, keys[i]));
        tell(&fake, fake.count - 1, true, (int64_t)i);
        assert_int_equal(a.wait.who.project_id, i);
    }
    size_t before = fake.count;
    size_t hits = 0;
    for (size_t i = 0; i < 20; i++) {
        bool known = ask(auth, &fake, &a, keys[20 + i]);
        hits += known;
        if (!known)
            tell(&fake, fake.count - 1, true, (int64_t)(20 + i));
        assert_int_equal(a.wait.who.project_id, 20 + i);
    }
    assert_true(hits <= 8);
    assert_true(fake.count - before >= 12);
    done(auth, &fake);
}

/* The id is public: the secret decides. A key with a good id and another secret looks like one
 * whose id nobody has. */
static void auth__a_known_id_with_another_secret_is_refused(void **state)
{
    (void)state;
    struct fake fake;
    struct asker a;
    char id[VG_ID_SIZE], key[VG_API_KEY_SIZE], other[VG_API_KEY_SIZE];
    struct vg_auth *auth = make(&fake, 1000, 0, 0);
    vg_id_new(id, "key");
    vg_api_key_new(key, id);
    vg_api_key_new(other, id);
    assert_false(ask(auth, &fake, &a, other));
    assert_string_equal(fake.lookups[0]->id, id);
    tell_row(&fake, 0, true, 1, key);
    assert_false(a.wait.ok);
    assert_int_equal(a.wait.err.kind, VG_ERR_UNAUTHENTICATED);
    assert_false(ask(auth, &fake, &a, key));
    tell_row(&fake, 1, true, 1, key);
    assert_true(a.wait.ok);
    done(auth, &fake);
}

/* Keys of before have no id: they are found by their SHA-256. */
static void auth__an_old_key_is_looked_up_by_its_hash(void **state)
{
    (void)state;
    static const char key[] = OLD_KEY;
    struct fake fake;
    struct asker a;
    uint8_t hash[VG_SHA256_SIZE];
    struct vg_auth *auth = make(&fake, 1000, 0, 0);
    vg_sha256(hash, key, strlen(key));
    assert_false(ask(auth, &fake, &a, key));
    assert_null(fake.lookups[0]->id);
    assert_memory_equal(fake.lookups[0]->hash, hash, sizeof(hash));
    tell_row(&fake, 0, true, 7, "");
    assert_true(a.wait.ok);
    done(auth, &fake);
}

static void auth__old_keys_can_be_refused(void **state)
{
    (void)state;
    static const char old[] = OLD_KEY;
    struct fake fake = {.count = 0};
    struct asker a = {.answers = 0};
    struct vg_metrics *metrics = vg_metrics_new();
    const struct vg_auth_options options = {
        .lookup = start_lookup, .lookup_ctx = &fake, .refuse_old = true, .metrics = metrics};
    struct vg_auth *auth = vg_auth_new(&options);
    assert_true(ask(auth, &fake, &a, old));
    assert_false(a.wait.ok);
    assert_int_equal(a.wait.err.kind, VG_ERR_UNAUTHENTICATED);
    assert_int_equal(fake.count, 0);
    struct vg_buf text;
    vg_buf_init(&text, 65536);
    vg_metrics_write(metrics, &text);
    assert_non_null(strstr(text.data, "videogate_auth_old_keys_total{result=\"refused\"} 1\n"));
    vg_buf_fini(&text);
    (void)vg_auth_free(auth);
    (void)vg_metrics_free(metrics);
}

/* Whoever makes keys up cannot drive good ones out of the cache. */
static void auth__refused_keys_never_take_a_good_ones_place(void **state)
{
    (void)state;
    struct fake fake;
    struct asker a;
    char good[VG_API_KEY_SIZE], bad[VG_API_KEY_SIZE];
    struct vg_auth *auth = make(&fake, 1000, 4, 0);
    new_key(good);
    assert_false(ask(auth, &fake, &a, good));
    tell(&fake, 0, true, 1);
    for (size_t i = 0; i < 40; i++) {
        new_key(bad);
        assert_false(ask(auth, &fake, &a, bad));
        tell(&fake, fake.count - 1, false, 0);
    }
    assert_true(ask(auth, &fake, &a, good));
    assert_true(a.wait.ok);
    done(auth, &fake);
}

static void auth__admin_key_is_compared_whole(void **state)
{
    (void)state;
    struct fake fake;
    struct vg_auth *auth = make(&fake, 0, 0, 0);
    assert_true(vg_auth_is_admin(auth, VG_VIEW("the-admin-key-0123")));
    assert_false(vg_auth_is_admin(auth, VG_VIEW("the-admin-key-012")));
    assert_false(vg_auth_is_admin(auth, VG_VIEW("the-admin-key-01234")));
    assert_false(vg_auth_is_admin(auth, VG_VIEW("")));
    (void)vg_auth_free(auth);
    const struct vg_auth_options none = {.lookup = start_lookup, .executor = &fake.executor};
    auth = vg_auth_new(&none);
    assert_false(vg_auth_is_admin(auth, VG_VIEW("")));
    done(auth, &fake);
}

static void auth__key_comes_from_either_header(void **state)
{
    (void)state;
    static const struct {
        const char *authorization, *x_api_key, *key;
    } cases[] = {
        {"Bearer abc", "", "abc"},   {"bearer abc", "", "abc"},
        {"BEARER\tabc ", "", "abc"}, {"  Bearer   abc", "", "abc"},
        {"", "xyz", "xyz"},          {"Bearer abc", "xyz", "abc"},
        {"Basic abc", "xyz", ""},    {"Bearer", "", ""},
        {"Bearerabc", "", ""},       {"", "", ""},
    };
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct vg_view key =
            vg_auth_key_of(vg_view_of(cases[i].authorization), vg_view_of(cases[i].x_api_key));
        if (!vg_view_eqs(key, cases[i].key))
            fail_msg("case %zu gives \"%.*s\"", i, (int)key.len, key.data);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auth__junk_never_reaches_the_database),
        cmocka_unit_test(auth__one_lookup_serves_all_who_wait),
        cmocka_unit_test(auth__an_answer_is_believed_for_its_time_only),
        cmocka_unit_test(auth__a_forgotten_key_is_asked_for_again),
        cmocka_unit_test(auth__unknown_keys_are_remembered_too),
        cmocka_unit_test(auth__a_failed_lookup_is_told_and_forgotten),
        cmocka_unit_test(auth__lookups_under_way_are_bounded),
        cmocka_unit_test(auth__a_full_cache_forgets_but_never_mixes_up),
        cmocka_unit_test(auth__a_known_id_with_another_secret_is_refused),
        cmocka_unit_test(auth__an_old_key_is_looked_up_by_its_hash),
        cmocka_unit_test(auth__old_keys_can_be_refused),
        cmocka_unit_test(auth__refused_keys_never_take_a_good_ones_place),
        cmocka_unit_test(auth__admin_key_is_compared_whole),
        cmocka_unit_test(auth__key_comes_from_either_header),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
