/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/db/fixture.h"

/* ---- create */

static void video_store__create_shows_in_get(void **state)
{
    struct fixture *f = *state;
    struct vg_video_create *op = new_create(f, 7, 3);

    op->remixed_from = "video_x";
    RUN_OK(f, vg_video_create, op);
    assert_int_equal(op->outcome, VG_CREATE_NEW);
    assert_int_equal(op->video.status, VG_VIDEO_QUEUED);
    assert_int_equal(op->video.version, 1);

    const struct vg_video *v = get(f, op->id, 7);

    assert_string_equal(v->id, op->id);
    assert_string_equal(v->model, "sandbox-1");
    assert_string_equal(v->prompt, "A lighthouse at dusk");
    assert_string_equal(v->remixed_from, "video_x");
    assert_int_equal(v->created_at, op->video.created_at);
    assert_int_equal(v->completed_at, 0);
    assert_int_equal(v->expires_at, 0);
    assert_null(v->error_code);
    assert_int_equal(v->width * v->height, 1280 * 720);
    assert_true(v->audio);
    assert_int_equal(v->n, 3);
    assert_int_equal(v->spec_size, 3);
    assert_memory_equal(v->spec, "\x01\x00\xff", 3);
    assert_int_equal(v->output_count, 0);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM generations WHERE state = 1"), 3);
}

static void video_store__get_hides_other_projects(void **state)
{
    struct fixture *f = *state;
    struct vg_video_get op = {.id = create(f, 7, 1), .project_id = 8};

    RUN(f, vg_video_get, &op);
    assert_false(op.op.ok);
    assert_int_equal(op.op.err.kind, VG_ERR_NOT_FOUND);
    op.id = "video_none";
    RUN(f, vg_video_get, &op);
    assert_int_equal(op.op.err.kind, VG_ERR_NOT_FOUND);
}

static struct vg_video_create *keyed(struct fixture *f, int64_t project, const char *key, int fill)
{
    struct vg_video_create *op = new_create(f, project, 1);

    op->idempotency_key = key;
    memset(op->fingerprint, fill, sizeof(op->fingerprint));
    return op;
}

static void video_store__replays_and_rejects_a_used_key(void **state)
{
    struct fixture *f = *state;
    struct vg_video_create *first = keyed(f, 7, "k1", 1);
    struct vg_video_create *again = keyed(f, 7, "k1", 1);
    struct vg_video_create *other = keyed(f, 7, "k1", 2);
    struct vg_video_create *elsewhere = keyed(f, 8, "k1", 2);

    RUN_OK(f, vg_video_create, first);
    RUN_OK(f, vg_video_create, again);
    RUN_OK(f, vg_video_create, other);
    RUN_OK(f, vg_video_create, elsewhere);
    assert_int_equal(first->outcome, VG_CREATE_NEW);
    assert_int_equal(again->outcome, VG_CREATE_REPLAYED);
    assert_string_equal(again->video.id, first->id);
    assert_int_equal(other->outcome, VG_CREATE_MISMATCH);
    assert_int_equal(elsewhere->outcome, VG_CREATE_NEW);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM videos"), 2);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM generations"), 2);
}

static struct vg_video_replay replay(struct fixture *f, int64_t project, const char *key, int fill)
{
    struct vg_video_replay op = {.project_id = project, .idempotency_key = key};

    memset(op.fingerprint, fill, sizeof(op.fingerprint));
    RUN(f, vg_video_replay, &op);
    return op;
}

static void video_store__tells_what_a_key_would_find(void **state)
{
    struct fixture *f = *state;
    struct vg_video_create *op = keyed(f, 7, "k1", 1);

    assert_int_equal(replay(f, 7, "k1", 1).outcome, VG_CREATE_NEW);
    RUN_OK(f, vg_video_create, op);
    struct vg_video_replay same = replay(f, 7, "k1", 1);
    assert_int_equal(same.outcome, VG_CREATE_REPLAYED);
    assert_string_equal(same.video.id, op->id);
    assert_string_equal(same.video.prompt, op->prompt);
    assert_int_equal(replay(f, 7, "k1", 2).outcome, VG_CREATE_MISMATCH);
    assert_int_equal(replay(f, 8, "k1", 1).outcome, VG_CREATE_NEW);
    assert_int_equal(replay(f, 7, "k2", 1).outcome, VG_CREATE_NEW);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM videos"), 1);
    (void)sql(f, "UPDATE videos SET status = 5, completed_at = now(), deleted_at = now()");
    struct vg_video_replay gone = replay(f, 7, "k1", 1);
    assert_false(gone.op.ok);
    assert_int_equal(gone.op.err.kind, VG_ERR_GONE);
}

/* Operations in one batch each get their own answer, outputs included. */
static void video_store__replays_in_one_batch_are_told_apart(void **state)
{
    enum { MANY = 20 };
    struct fixture *f = *state;
    struct vg_video_create *made[MANY];
    struct vg_video_replay ops[MANY] = {{.project_id = 0}};
    char keys[MANY][16];

    for (int i = 0; i < MANY; i++) {
        (void)snprintf(keys[i], sizeof(keys[i]), "many-%d", i);
        made[i] = keyed(f, 7, keys[i], i);
        if (i % 2)
            RUN_OK(f, vg_video_create, made[i]);
    }
    for (int i = 0; i < MANY; i++) {
        ops[i].project_id = 7;
        ops[i].idempotency_key = keys[i];
        memset(ops[i].fingerprint, i, sizeof(ops[i].fingerprint));
        begin(&ops[i].op, arena_apart());
        vg_video_replay(f->db, &ops[i]);
    }
    finish();
    for (int i = 0; i < MANY; i++) {
        assert_true(ops[i].op.ok);
        assert_int_equal(ops[i].outcome, i % 2 ? VG_CREATE_REPLAYED : VG_CREATE_NEW);
        if (i % 2)
            assert_string_equal(ops[i].video.id, made[i]->id);
    }
}

/* The retry of a create whose COMMIT answer was lost is the same operation with the same id. */
static void video_store__running_a_create_twice_changes_nothing(void **state)
{
    struct fixture *f = *state;
    struct vg_video_create *plain = new_create(f, 7, 2);
    struct vg_video_create *with_key = keyed(f, 7, "k1", 1);

    for (int i = 0; i < 2; i++) {
        RUN_OK(f, vg_video_create, plain);
        assert_int_equal(plain->outcome, VG_CREATE_NEW);
        RUN_OK(f, vg_video_create, with_key);
        assert_int_equal(with_key->outcome, VG_CREATE_NEW);
    }
    assert_int_equal(sql_int(f, "SELECT count(*) FROM videos"), 2);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM generations"), 3);
}

static void video_store__same_keys_in_one_batch_make_one_video_each(void **state)
{
    struct fixture *f = *state;
    enum { OPS = 200, KEYS = 10 };
    struct vg_video_create *ops[OPS];
    int fresh = 0, replayed = 0, mismatched = 0;

    for (int i = 0; i < OPS; i++)
        ops[i] = keyed(f, 7, vg_arena_printf(f->arena, "key-%d", i % KEYS), 1 + (i % 4 == 3));
    for (int i = 0; i < OPS; i++) {
        begin(&ops[i]->op, arena_apart());
        vg_video_create(f->db, ops[i]);
    }
    finish();
    for (int i = 0; i < OPS; i++) {
        assert_true(ops[i]->op.ok);
        fresh += ops[i]->outcome == VG_CREATE_NEW;
        replayed += ops[i]->outcome == VG_CREATE_REPLAYED;
        mismatched += ops[i]->outcome == VG_CREATE_MISMATCH;
        for (int k = 0; k < OPS; k++) {
            if (k % KEYS == i % KEYS && ops[k]->outcome == VG_CREATE_NEW &&
                ops[i]->outcome == VG_CREATE_REPLAYED)
                assert_string_equal(ops[i]->video.id, ops[k]->id);
        }
    }
    assert_int_equal(fresh, KEYS);
    assert_int_equal(fresh + replayed + mismatched, OPS);
    assert_true(replayed > 0 && mismatched > 0);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM videos"), KEYS);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM generations"), KEYS);
}

/* One row with text that is not UTF-8 among good ones: it alone fails. */
static void video_store__a_poison_row_fails_alone(void **state)
{
    struct fixture *f = *state;
    enum { OPS = 120, BAD = 77 };
    struct vg_video_create *ops[OPS];

    for (int i = 0; i < OPS; i++)
        ops[i] = new_create(f, 7, 1);
    ops[BAD]->prompt = "broken \xff text";
    for (int i = 0; i < OPS; i++) {
        begin(&ops[i]->op, arena_apart());
        vg_video_create(f->db, ops[i]);
    }
    finish();
    for (int i = 0; i < OPS; i++)
        assert_int_equal(ops[i]->op.ok, i != BAD);
    assert_int_equal(ops[BAD]->op.err.kind, VG_ERR_INVALID_REQUEST);
    assert_null(strstr(vg_err_text(&ops[BAD]->op.err), "broken"));
    assert_int_equal(sql_int(f, "SELECT count(*) FROM videos"), OPS - 1);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM generations"), OPS - 1);
}

/* ---- list */

static struct vg_video_list page(struct fixture *f, const char *after, int limit, bool ascending)
{
    struct vg_video_list op = {
        .project_id = 7, .after = after, .limit = limit, .ascending = ascending};

    RUN(f, vg_video_list, &op);
    return op;
}

static void video_store__lists_pages_without_skips_or_repeats(void **state)
{
    struct fixture *f = *state;
    const char *ids[25];
    const char *after = NULL;
    int seen = 0;

    for (int i = 0; i < 25; i++)
        ids[i] = create(f, 7, 1);
    (void)create(f, 8, 1);
    for (;;) {
        struct vg_video_list op = page(f, after, 10, false);

        assert_true(op.op.ok);
        for (size_t i = 0; i < op.count; i++, seen++)
            assert_string_equal(op.videos[i].id, ids[24 - seen]);
        after = op.videos[op.count - 1].id;
        (void)create(f, 7, 1); /* newer ones do not move the pages behind */
        if (!op.has_more)
            break;
    }
    assert_int_equal(seen, 25);

    struct vg_video_list up = page(f, ids[3], 5, true);

    assert_int_equal(up.count, 5);
    assert_true(up.has_more);
    assert_string_equal(up.videos[0].id, ids[4]);
    char gone[VG_ID_SIZE];

    (void)snprintf(gone, sizeof(gone), "%.30s00000000", ids[3]); /* before it, behind the last */
    up = page(f, gone, 1, true);
    assert_true(up.op.ok);
    assert_string_equal(up.videos[0].id, ids[3]);
    struct vg_video_list wrong = page(f, NULL, 101, false);

    assert_int_equal(wrong.op.err.kind, VG_ERR_INVALID_REQUEST);
}

/* ---- ends */

static const char *completed(struct fixture *f, const char *callback, const char *const *inputs)
{
    struct vg_video_create *op = new_create(f, 7, 1);

    op->callback_url = callback;
    op->inputs = inputs;
    op->input_count = inputs ? 2 : 0;
    RUN_OK(f, vg_video_create, op);
    struct vg_generation_claim *c = claim(f, 10, 100);

    assert_int_equal(c->count, 1);
    advance(f, &c->generations[0]);
    struct vg_generation_change *end =
        change(f, &c->generations[0], VG_GEN_FETCHING, VG_GEN_STORED);

    assert_true(end->applied && end->video_terminal);
    return op->id;
}

static void video_store__list_and_get_show_outputs_of_completed(void **state)
{
    struct fixture *f = *state;
    const char *id = completed(f, NULL, NULL);
    struct vg_video_list op = page(f, NULL, 10, false);
    const struct vg_video *v = get(f, id, 7);

    assert_int_equal(v->status, VG_VIDEO_COMPLETED);
    assert_int_equal(v->output_count, 1);
    assert_string_equal(v->outputs[0].mime_type, "video/mp4");
    assert_int_equal(v->outputs[0].bytes, 1234);
    assert_true(v->outputs[0].stored_at > 1700000000);
    assert_int_equal(op.videos[0].output_count, 1);
}

static void video_store__cancel_marks_and_wakes(void **state)
{
    struct fixture *f = *state;
    const char *id = create(f, 7, 2);
    struct vg_video_cancel op = {.id = id, .project_id = 7};
    struct vg_video_cancel other = {.id = id, .project_id = 8};

    RUN(f, vg_video_cancel, &other);
    assert_int_equal(other.op.err.kind, VG_ERR_NOT_FOUND);
    assert_int_equal(claim(f, 10, 0)->count, 0);
    RUN_OK(f, vg_video_cancel, &op);
    RUN_OK(f, vg_video_cancel, &op); /* again is fine */
    assert_int_equal(op.video.status, VG_VIDEO_QUEUED);

    /* Due although the provider has no place. */
    struct vg_generation_claim *c = claim(f, 10, 0);

    assert_int_equal(c->count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_true(c->generations[i].cancel_requested);
        assert_true(change(f, &c->generations[i], VG_GEN_PENDING, VG_GEN_CANCELED)->applied);
    }
    RUN_OK(f, vg_video_cancel, &op); /* terminal: unchanged */
    assert_int_equal(op.video.status, VG_VIDEO_CANCELED);
    assert_true(op.video.completed_at > 0);
}

static void video_store__delete_hides_lists_files_and_forgets(void **state)
{
    struct fixture *f = *state;
    static const char *const inputs[] = {"inputs/a", "inputs/b"};
    const char *running = create(f, 7, 1);
    struct vg_video_delete early = {.id = running, .project_id = 7};

    RUN(f, vg_video_delete, &early);
    assert_int_equal(early.op.err.kind, VG_ERR_NOT_READY);
    (void)fixture_clean(state);

    const char *id = completed(f, "https://example.com/hook", inputs);
    struct vg_video_delete op = {.id = id, .project_id = 7};

    RUN_OK(f, vg_video_delete, &op);
    assert_int_equal(op.blob_count, 3);
    struct vg_video_get gone = {.id = id, .project_id = 7};

    RUN(f, vg_video_get, &gone);
    assert_int_equal(gone.op.err.kind, VG_ERR_NOT_FOUND);
    struct vg_video_delete twice = {.id = id, .project_id = 7};

    RUN(f, vg_video_delete, &twice);
    assert_int_equal(twice.op.err.kind, VG_ERR_NOT_FOUND);

    /* The janitor waits a minute for the caller, then gets the files, once in five minutes. */
    struct vg_video_purge purge = {.limit = 10};

    RUN_OK(f, vg_video_purge, &purge);
    assert_int_equal(purge.count, 0);
    (void)sql(f, "UPDATE purges SET due_at = now()");
    RUN_OK(f, vg_video_purge, &purge);
    assert_int_equal(purge.count, 1);
    assert_int_equal(purge.purges[0].blob_count, 3);
    assert_string_equal(purge.purges[0].video_id, id);
    RUN_OK(f, vg_video_purge, &purge);
    assert_int_equal(purge.count, 0);

    /* The row stays for its delivery. */
    struct vg_video_purged purged = {.ids = &id, .count = 1};

    RUN_OK(f, vg_video_purged, &purged);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM videos"), 1);
    (void)sql(f, "UPDATE deliveries SET state = 2, ended_at = now()");
    (void)sql(f, "UPDATE videos SET deleted_at = now() - interval '1 hour'");
    struct vg_idempotency_sweep sweep = {.limit = 10};

    RUN_OK(f, vg_idempotency_sweep, &sweep);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM videos"), 0);
    assert_int_equal(sql_int(f, "SELECT count(*) FROM generations"), 0);
}

static void video_store__a_shared_picture_outlives_one_video(void **state)
{
    struct fixture *f = *state;
    static const char *const inputs[] = {"inputs/a", "inputs/b"};
    const char *first = completed(f, NULL, inputs);
    const char *second = completed(f, NULL, inputs);
    struct vg_video_delete a = {.id = first, .project_id = 7};
    struct vg_video_delete b = {.id = second, .project_id = 7};

    RUN_OK(f, vg_video_delete, &a);
    assert_int_equal(a.blob_count, 1);
    RUN_OK(f, vg_video_delete, &b);
    assert_int_equal(b.blob_count, 3);
}

static void video_store__expired_files_are_purged(void **state)
{
    struct fixture *f = *state;
    const char *id = completed(f, NULL, NULL);
    struct vg_video_purge purge = {.limit = 10};

    assert_true(get(f, id, 7)->expires_at > get(f, id, 7)->completed_at);
    RUN_OK(f, vg_video_purge, &purge);
    assert_int_equal(purge.count, 0);
    (void)sql(f, "UPDATE videos SET expires_at = now()");
    RUN_OK(f, vg_video_purge, &purge);
    assert_int_equal(purge.count, 1);
    assert_int_equal(get(f, id, 7)->output_count, 0);
    assert_int_equal(get(f, id, 7)->status, VG_VIDEO_COMPLETED);
}

static void video_store__sweep_keeps_keys_for_a_day(void **state)
{
    struct fixture *f = *state;
    struct vg_video_create *op = keyed(f, 7, "k1", 1);
    struct vg_idempotency_sweep sweep = {.max_age_s = 0, .limit = 10};

    RUN_OK(f, vg_video_create, op);
    (void)sql(f, "UPDATE idempotency SET created_at = now() - interval '23 hours'");
    RUN_OK(f, vg_idempotency_sweep, &sweep);
    assert_int_equal(sweep.removed, 0);
    (void)sql(f, "UPDATE idempotency SET created_at = now() - interval '25 hours'");
    RUN_OK(f, vg_idempotency_sweep, &sweep);
    assert_int_equal(sweep.removed, 1);
}

static void video_store__the_key_of_a_deleted_video_is_gone(void **state)
{
    struct fixture *f = *state;
    struct vg_video_create *op = keyed(f, 7, "k1", 1);
    struct vg_video_create *again = keyed(f, 7, "k1", 1);

    RUN_OK(f, vg_video_create, op);
    (void)sql(f, "UPDATE videos SET status = 5, completed_at = now(), deleted_at = now()");
    RUN(f, vg_video_create, again);
    assert_false(again->op.ok);
    assert_int_equal(again->op.err.kind, VG_ERR_GONE);
}

static void video_store__versions_tell_changes(void **state)
{
    struct fixture *f = *state;
    const char *ids[3] = {create(f, 7, 1), "video_none", NULL};
    struct vg_video_versions op = {.ids = ids, .count = 3};

    ids[2] = ids[0];
    RUN_OK(f, vg_video_versions, &op);
    assert_int_equal(op.versions[0], 1);
    assert_int_equal(op.versions[1], 0);
    assert_int_equal(op.versions[2], 1);
    struct vg_generation_claim *c = claim(f, 10, 100);

    (void)change(f, &c->generations[0], VG_GEN_PENDING, VG_GEN_SUBMITTING);
    RUN_OK(f, vg_video_versions, &op);
    assert_int_equal(op.versions[0], 2);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup(video_store__##name, fixture_clean)
    const struct CMUnitTest tests[] = {
        CASE(create_shows_in_get),
        CASE(get_hides_other_projects),
        CASE(replays_and_rejects_a_used_key),
        CASE(tells_what_a_key_would_find),
        CASE(replays_in_one_batch_are_told_apart),
        CASE(running_a_create_twice_changes_nothing),
        CASE(same_keys_in_one_batch_make_one_video_each),
        CASE(a_poison_row_fails_alone),
        CASE(lists_pages_without_skips_or_repeats),
        CASE(list_and_get_show_outputs_of_completed),
        CASE(cancel_marks_and_wakes),
        CASE(delete_hides_lists_files_and_forgets),
        CASE(a_shared_picture_outlives_one_video),
        CASE(expired_files_are_purged),
        CASE(sweep_keeps_keys_for_a_day),
        CASE(the_key_of_a_deleted_video_is_gone),
        CASE(versions_tell_changes),
    };
    return cmocka_run_group_tests(tests, fixture_start, fixture_stop);
}
