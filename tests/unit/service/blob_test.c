/* SPDX-License-Identifier: Apache-2.0 */
#include "service/blob.h"

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/id.h"
#include "common/mem.h"

struct fixture {
    char dir[64];
    struct vg_blob_store *store;
    char video[VG_ID_SIZE];
    char key[VG_BLOB_KEY_SIZE];
};

static struct vg_blob_store *open_store(const struct fixture *f, int64_t reserve)
{
    struct vg_blob_store *store = NULL;
    struct vg_err err;
    const struct vg_blob_options options = {.dir = f->dir, .reserve_bytes = reserve};
    if (vg_blob_store_open(&store, &options, &err) < 0)
        fail_msg("%s", vg_err_text(&err));
    return store;
}

static int set_up(void **state)
{
    struct fixture *f = vg_xalloc(sizeof(*f));
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/vg_blob_XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->store = open_store(f, 0);
    vg_id_new(f->video, "video");
    vg_blob_output_key(f->key, f->video, 0, 7);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    char command[96];
    (void)vg_blob_store_close(f->store);
    (void)snprintf(command, sizeof(command), "rm -rf %s", f->dir);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): a path of our own */
    free(f);
    return 0;
}

static size_t files_in_tmp(const struct fixture *f)
{
    char path[96];
    size_t n = 0;
    (void)snprintf(path, sizeof(path), "%s/tmp", f->dir);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e; e = readdir(dir))
        n += e->d_name[0] != '.';
    (void)closedir(dir);
    return n;
}

static void put(struct fixture *f, const char *key, const char *text)
{
    struct vg_err err;
    if (vg_blob_put(f->store, key, text, strlen(text), NULL, &err) < 0)
        fail_msg("%s", vg_err_text(&err));
}

static void assert_holds(struct fixture *f, const char *key, const char *text)
{
    struct vg_err err;
    void *data = NULL;
    size_t len = 0;
    if (vg_blob_get(f->store, key, 1 << 20, &data, &len, &err) < 0)
        fail_msg("%s", vg_err_text(&err));
    assert_int_equal(len, strlen(text));
    assert_memory_equal(data, text, len);
    free(data);
}

static void assert_absent(struct fixture *f, const char *key)
{
    struct vg_err err;
    struct vg_blob_reader *reader = NULL;
    assert_int_equal(vg_blob_open(f->store, key, &reader, &err), -1);
    assert_int_equal(err.kind, VG_ERR_NOT_FOUND);
}

static void blob__is_written_whole_with_size_and_hash(void **state)
{
    struct fixture *f = *state;
    struct vg_blob_writer *w = NULL;
    struct vg_blob_info info;
    struct vg_err err;
    assert_int_equal(vg_blob_create(f->store, f->key, &w, &err), 0);
    assert_int_equal(vg_blob_append(w, "ab", 2, &err), 0);
    assert_absent(f, f->key);
    assert_int_equal(vg_blob_append(w, "c", 1, &err), 0);
    assert_int_equal(vg_blob_written(w), 3);
    assert_int_equal(
        vg_blob_commit(w, 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                       &info, &err),
        0);
    assert_int_equal(info.bytes, 3);
    assert_string_equal(info.sha256,
                        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_holds(f, f->key, "abc");
    assert_int_equal(files_in_tmp(f), 0);
}

static void blob__refuses_a_wrong_size_or_hash(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int64_t bytes;
        const char *sha256;
    } wrong[] = {{4, NULL},
                 {2, NULL},
                 {0, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ae"}};
    for (size_t i = 0; i < VG_COUNT(wrong); i++) {
        struct vg_blob_writer *w = NULL;
        struct vg_err err;
        assert_int_equal(vg_blob_create(f->store, f->key, &w, &err), 0);
        assert_int_equal(vg_blob_append(w, "abc", 3, &err), 0);
        assert_int_equal(vg_blob_commit(w, wrong[i].bytes, wrong[i].sha256, NULL, &err), -1);
        assert_int_equal(err.kind, VG_ERR_BAD_GATEWAY);
        assert_absent(f, f->key);
        assert_int_equal(files_in_tmp(f), 0);
    }
}

static void blob__abort_leaves_nothing(void **state)
{
    struct fixture *f = *state;
    struct vg_blob_writer *w = NULL;
    struct vg_err err;
    assert_int_equal(vg_blob_create(f->store, f->key, &w, &err), 0);
    assert_int_equal(vg_blob_append(w, "abc", 3, &err), 0);
    assert_null(vg_blob_abort(w));
    assert_null(vg_blob_abort(NULL));
    assert_absent(f, f->key);
    assert_int_equal(files_in_tmp(f), 0);
}

/* A process killed in mid-write leaves a temporary file, which the next start sweeps; one that
 * lives is not touched. */
static void blob__sweeps_what_a_dead_writer_left(void **state)
{
    struct fixture *f = *state;
    struct vg_blob_writer *mine = NULL;
    struct vg_err err;
    int ready[2];
    char c;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        struct vg_blob_writer *w = NULL;
        if (vg_blob_create(f->store, f->key, &w, NULL) < 0 ||
            vg_blob_append(w, "abc", 3, NULL) < 0 || write(ready[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            (void)pause();
    }
    assert_int_equal(read(ready[0], &c, 1), 1);
    assert_int_equal(vg_blob_sweep(f->store), 0); /* the child holds its lock */
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(vg_blob_create(f->store, f->key, &mine, &err), 0);
    assert_int_equal(files_in_tmp(f), 2);
    struct vg_blob_store *second = open_store(f, 0); /* another process starts */
    assert_int_equal(files_in_tmp(f), 1);
    assert_int_equal(vg_blob_append(mine, "live", 4, &err), 0);
    assert_int_equal(vg_blob_commit(mine, 4, NULL, NULL, &err), 0);
    assert_holds(f, f->key, "live");
    (void)vg_blob_store_close(second);
    (void)close(ready[0]);
    (void)close(ready[1]);
}

static void blob__young_leftovers_wait(void **state)
{
    struct fixture *f = *state;
    struct vg_blob_store *second = NULL;
    struct vg_err err;
    char path[96];
    const struct vg_blob_options options = {.dir = f->dir, .stale_ms = 3600000};
    (void)snprintf(path, sizeof(path), "%s/tmp/tmp_young", f->dir);
    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_true(fd >= 0);
    (void)close(fd);
    assert_int_equal(vg_blob_store_open(&second, &options, &err), 0);
    assert_int_equal(files_in_tmp(f), 1);
    (void)vg_blob_store_close(second);
    assert_int_equal(vg_blob_sweep(f->store), 1);
}

static void blob__a_reserve_is_kept_free(void **state)
{
    struct fixture *f = *state;
    struct vg_blob_store *full = open_store(f, INT64_MAX);
    struct vg_blob_writer *w = NULL;
    struct vg_err err;
    assert_false(vg_blob_scarce(full));
    assert_int_equal(vg_blob_create(full, f->key, &w, &err), -1);
    assert_int_equal(err.kind, VG_ERR_STORAGE_FULL);
    assert_int_equal(files_in_tmp(f), 0);
    assert_true(vg_blob_scarce(full));
    (void)vg_blob_store_close(full);
    full = open_store(f, 1 << 20);
    vg_blob_look(full);
    assert_false(vg_blob_scarce(full));
    (void)vg_blob_store_close(full);
}

/* A real failing write(2): the kernel's limit on file size stands in for a full disk. */
static void blob__a_failed_write_is_storage_full_and_final(void **state)
{
    struct fixture *f = *state;
    struct rlimit old;
    static char block[8192];
    struct vg_blob_writer *w = NULL;
    struct vg_err err;
    assert_int_equal(vg_blob_create(f->store, f->key, &w, &err), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    const struct rlimit small = {4096, old.rlim_max};
    void (*was)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    int rc = vg_blob_append(w, block, sizeof(block), &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    (void)signal(SIGXFSZ, was);
    assert_int_equal(rc, -1);
    assert_int_equal(err.kind, VG_ERR_STORAGE_FULL);
    assert_int_equal(vg_blob_append(w, "x", 1, &err), -1);
    assert_int_equal(vg_blob_commit(w, 0, NULL, NULL, &err), -1);
    assert_absent(f, f->key);
    assert_int_equal(files_in_tmp(f), 0);
}

static void blob__reads_at_an_offset_while_removed(void **state)
{
    struct fixture *f = *state;
    struct vg_blob_reader *r = NULL;
    struct vg_err err;
    char buf[8];
    size_t got = 0;
    put(f, f->key, "0123456789");
    assert_int_equal(vg_blob_open(f->store, f->key, &r, &err), 0);
    assert_int_equal(vg_blob_size(r), 10);
    assert_int_equal(vg_blob_remove(f->store, f->key, &err), 0);
    assert_int_equal(vg_blob_remove(f->store, f->key, &err), 0);
    assert_int_equal(vg_blob_read(r, 3, buf, 4, &got, &err), 0);
    assert_int_equal(got, 4);
    assert_memory_equal(buf, "3456", 4);
    assert_int_equal(vg_blob_read(r, 8, buf, 8, &got, &err), 0);
    assert_int_equal(got, 2);
    assert_int_equal(vg_blob_read(r, 10, buf, 8, &got, &err), 0);
    assert_int_equal(got, 0);
    assert_null(vg_blob_close(r));
    assert_absent(f, f->key);
}

static void blob__get_is_bounded(void **state)
{
    struct fixture *f = *state;
    struct vg_err err;
    void *data = NULL;
    size_t len = 0;
    put(f, f->key, "0123456789");
    assert_int_equal(vg_blob_get(f->store, f->key, 9, &data, &len, &err), -1);
    assert_int_equal(err.kind, VG_ERR_TOO_LARGE);
}

static void blob__a_link_lives_on_its_own(void **state)
{
    struct fixture *f = *state;
    struct vg_err err;
    char from[VG_BLOB_KEY_SIZE];
    char to[VG_BLOB_KEY_SIZE];
    char id[VG_ID_SIZE];
    vg_id_new(id, "video");
    vg_blob_input_key(from, f->video, 0);
    vg_blob_input_key(to, id, 2);
    assert_int_equal(vg_blob_link(f->store, from, to, &err), -1);
    assert_int_equal(err.kind, VG_ERR_NOT_FOUND);
    put(f, from, "picture");
    assert_int_equal(vg_blob_link(f->store, from, to, &err), 0);
    assert_int_equal(vg_blob_link(f->store, from, to, &err), 0);
    assert_int_equal(vg_blob_remove(f->store, from, &err), 0);
    assert_holds(f, to, "picture");
    assert_int_equal(files_in_tmp(f), 0);
}

static void blob__only_plain_keys_pass(void **state)
{
    struct fixture *f = *state;
    char long_key[VG_BLOB_KEY_SIZE] = "inputs/abc/";
    const char *const bad[] = {"",
                               "x",
                               "outputs/abc",
                               "outputs/abc/",
                               "/outputs/abc/x",
                               "outputs/../x",
                               "outputs/abc/../x",
                               "outputs/abc/.x",
                               "outputs/abc/x/y",
                               "outputs/ABC/x",
                               "outputs/abcd/x",
                               "tmp/abc/x",
                               "inputs/abc/X",
                               "inputs/abc/a b",
                               long_key};
    memset(long_key + 11, 'a', sizeof(long_key) - 12); /* fits a key, but not a file name */
    for (size_t i = 0; i < VG_COUNT(bad); i++) {
        struct vg_blob_reader *r = NULL;
        struct vg_err err;
        if (vg_blob_key_valid(bad[i]))
            fail_msg("accepted \"%s\"", bad[i]);
        assert_int_equal(vg_blob_open(f->store, bad[i], &r, &err), -1);
        assert_int_equal(vg_blob_remove(f->store, bad[i], &err), -1);
    }
    assert_true(vg_blob_key_valid(f->key));
}

struct seen {
    size_t count;
    char video[VG_ID_SIZE];
};

static bool see(void *ctx, const char *key, const char *video_id)
{
    struct seen *s = ctx;
    assert_true(vg_blob_key_valid(key));
    (void)snprintf(s->video, sizeof(s->video), "%s", video_id);
    s->count++;
    return true;
}

static void blob__walks_every_file_once_over_all_slices(void **state)
{
    struct fixture *f = *state;
    struct seen s = {0};
    char key[VG_BLOB_KEY_SIZE];
    put(f, f->key, "out");
    vg_blob_input_key(key, f->video, 1);
    put(f, key, "in");
    for (unsigned slice = 0; slice < VG_BLOB_SLICES; slice++)
        vg_blob_each(f->store, slice, 0, see, &s);
    assert_int_equal(s.count, 2);
    assert_string_equal(s.video, f->video);
    s.count = 0;
    for (unsigned slice = 0; slice < VG_BLOB_SLICES; slice++)
        vg_blob_each(f->store, slice, 3600, see, &s);
    assert_int_equal(s.count, 0); /* all of them young */
}

static bool bind_to(const struct fixture *f, const char *identity)
{
    struct vg_err err;
    bool ours = false;

    if (vg_blob_bind(f->store, identity, &ours, &err) < 0)
        fail_msg("%s", vg_err_text(&err));
    return ours;
}

static void blob__a_folder_is_the_first_ones_for_good(void **state)
{
    struct fixture *f = *state;
    struct vg_err err;
    bool ours = false;

    assert_true(bind_to(f, "one"));
    assert_true(bind_to(f, "one"));
    assert_false(bind_to(f, "two"));
    (void)vg_blob_store_close(f->store);
    f->store = open_store(f, 0);
    assert_false(bind_to(f, "two"));
    assert_true(bind_to(f, "one"));
    assert_int_equal(files_in_tmp(f), 0);
    assert_int_equal(vg_blob_bind(f->store, "", &ours, &err), -1);
    assert_int_equal(vg_blob_bind(f->store, "a\nb", &ours, &err), -1);
}

static void blob__a_damaged_identity_is_nobodys(void **state)
{
    struct fixture *f = *state;
    char path[96];

    (void)snprintf(path, sizeof(path), "%s/identity", f->dir);
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    assert_true(fd >= 0);
    assert_false(bind_to(f, "one")); /* empty */
    assert_int_equal(write(fd, "onetwo\n", 7), 7);
    assert_false(bind_to(f, "one"));
    (void)close(fd);
}

/* Many processes at once on a new folder: exactly one gets it. */
static void blob__one_of_many_gets_a_new_folder(void **state)
{
    enum { MANY = 12 };
    struct fixture *f = *state;
    pid_t pids[MANY];
    int winners = 0;

    for (int i = 0; i < MANY; i++) {
        pids[i] = fork();
        if (pids[i] == 0) {
            char name[16];
            struct vg_err err;
            bool ours = false;
            (void)snprintf(name, sizeof(name), "db-%d", i);
            _exit(vg_blob_bind(f->store, name, &ours, &err) < 0 ? 2 : ours);
        }
    }
    for (int i = 0; i < MANY; i++) {
        int status = 0;
        assert_int_equal(waitpid(pids[i], &status, 0), pids[i]);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) < 2);
        winners += WEXITSTATUS(status);
    }
    assert_int_equal(winners, 1);
}

static void blob__says_that_the_folder_cannot_be_made(void **state)
{
    (void)state;
    struct vg_blob_store *store = NULL;
    struct vg_err err;
    const struct vg_blob_options options = {.dir = "/proc/nothing/here"};
    assert_int_equal(vg_blob_store_open(&store, &options, &err), -1);
    assert_non_null(strstr(vg_err_text(&err), "mkdir"));
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(blob__is_written_whole_with_size_and_hash),
        CASE(blob__refuses_a_wrong_size_or_hash),
        CASE(blob__abort_leaves_nothing),
        CASE(blob__sweeps_what_a_dead_writer_left),
        CASE(blob__young_leftovers_wait),
        CASE(blob__a_reserve_is_kept_free),
        CASE(blob__a_failed_write_is_storage_full_and_final),
        CASE(blob__reads_at_an_offset_while_removed),
        CASE(blob__get_is_bounded),
        CASE(blob__a_link_lives_on_its_own),
        CASE(blob__only_plain_keys_pass),
        CASE(blob__walks_every_file_once_over_all_slices),
        CASE(blob__a_folder_is_the_first_ones_for_good),
        CASE(blob__a_damaged_identity_is_nobodys),
        CASE(blob__one_of_many_gets_a_new_folder),
        cmocka_unit_test(blob__says_that_the_folder_cannot_be_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
