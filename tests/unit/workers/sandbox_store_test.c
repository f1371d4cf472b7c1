/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/store.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "workers/providers/sandbox/files.h"

#define DAY_MS (INT64_C(24) * 3600 * 1000)

static char dir[64];

static struct vg_sandbox_store *open_store(int64_t retention_ms)
{
    struct vg_sandbox_store *store;
    struct vg_err err;
    assert_int_equal(vg_sandbox_store_open(&store, dir, retention_ms, &err), 0);
    return store;
}

static struct vg_sandbox_job *new_job(const char *token)
{
    struct vg_sandbox_job *job = vg_sandbox_job_new();
    vg_id_new(job->id, "sbx");
    job->token = vg_xstrdup(token);
    job->model = vg_xstrdup("sandbox");
    job->prompt = vg_xstrdup("prompt");
    job->created_ms = vg_wall_ms();
    job->width = job->height = 64;
    job->seconds = 1;
    return job;
}

/* Writes that are waited for. */
struct waiter {
    struct vg_sandbox_write write; /* first */
    bool done;
};
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;

static void on_done(struct vg_sandbox_write *write)
{
    struct waiter *waiter = (struct waiter *)write;
    pthread_mutex_lock(&mutex);
    waiter->done = true;
    pthread_cond_broadcast(&cond);
    pthread_mutex_unlock(&mutex);
}

static void begin(struct vg_sandbox_store *store, struct waiter *waiter)
{
    waiter->done = false;
    waiter->write.done = on_done;
    vg_sandbox_store_write(store, &waiter->write);
}

static void wait_for(struct waiter *waiter)
{
    pthread_mutex_lock(&mutex);
    while (!waiter->done)
        pthread_cond_wait(&cond, &mutex);
    pthread_mutex_unlock(&mutex);
}

/* Records a job and gives its id. */
static void put(struct vg_sandbox_store *store, const char *token, char id[VG_ID_SIZE])
{
    struct waiter waiter = {.write = {.job = new_job(token)}};
    begin(store, &waiter);
    wait_for(&waiter);
    assert_true(waiter.write.ok);
    memcpy(id, waiter.write.job->id, VG_ID_SIZE);
    vg_sandbox_store_unref(store, waiter.write.job);
}

static bool end(struct vg_sandbox_store *store, const char *id, enum vg_sandbox_state state)
{
    struct waiter waiter = {.write = {.ends = true, .state = state, .bytes = 7}};
    waiter.write.job = vg_sandbox_store_find(store, id);
    assert_non_null(waiter.write.job);
    memset(waiter.write.sha256, 'a', 64);
    begin(store, &waiter);
    wait_for(&waiter);
    assert_true(waiter.write.ok);
    vg_sandbox_store_unref(store, waiter.write.job);
    return waiter.write.applied;
}

static void read_text(const char *name, struct vg_buf *out)
{
    char path[VG_SANDBOX_PATH_SIZE];
    vg_sandbox_path(path, dir, ".", name);
    vg_buf_init(out, 16 << 20);
    assert_int_equal(vg_sandbox_read_file(out, path, NULL), 0);
}

static int count_lines(const char *name)
{
    struct vg_buf text;
    int lines = 0;
    read_text(name, &text);
    for (size_t i = 0; i < text.len; i++)
        lines += text.data[i] == '\n';
    vg_buf_fini(&text);
    return lines;
}

static void append_text(const char *name, const char *text)
{
    char path[VG_SANDBOX_PATH_SIZE];
    vg_sandbox_path(path, dir, ".", name);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void touch(const char *folder, const char *name)
{
    char path[VG_SANDBOX_PATH_SIZE];
    vg_sandbox_path(path, dir, folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
}

static bool there(const char *folder, const char *name)
{
    char path[VG_SANDBOX_PATH_SIZE];
    vg_sandbox_path(path, dir, folder, name);
    return access(path, F_OK) == 0;
}

static void store__same_token_is_one_job(void **state)
{
    enum { WRITES = 200, TOKENS = 10 };
    (void)state;
    struct vg_sandbox_store *store = open_store(DAY_MS);
    struct waiter *waiters = vg_xcalloc(WRITES, sizeof(*waiters));
    for (int i = 0; i < WRITES; i++) {
        char token[32];
        (void)snprintf(token, sizeof(token), "gen_%d:1", i % TOKENS);
        waiters[i].write.job = new_job(token);
        begin(store, &waiters[i]);
    }
    int existed = 0;
    for (int i = 0; i < WRITES; i++) {
        wait_for(&waiters[i]);
        assert_true(waiters[i].write.ok);
        existed += waiters[i].write.existed;
        assert_ptr_equal(waiters[i].write.job, waiters[i % TOKENS].write.job);
    }
    assert_int_equal(existed, WRITES - TOKENS);
    for (int i = 0; i < WRITES; i++)
        vg_sandbox_store_unref(store, waiters[i].write.job);
    vg_sandbox_store_close(store);
    free(waiters);
    assert_int_equal(count_lines("submissions.log"), TOKENS);
    assert_int_equal(count_lines("jobs.jsonl"), TOKENS);
}

static void count_open(void *ctx, struct vg_sandbox_job *job)
{
    (void)job;
    (*(int *)ctx)++;
}

static void store__jobs_and_ends_survive_a_restart(void **state)
{
    char running[VG_ID_SIZE];
    char finished[VG_ID_SIZE];
    char canceled[VG_ID_SIZE];
    struct vg_sandbox_view view;
    int open = 0;
    (void)state;
    struct vg_sandbox_store *store = open_store(DAY_MS);
    put(store, "a", running);
    put(store, "b", finished);
    put(store, "c", canceled);
    assert_true(end(store, finished, VG_SANDBOX_FINISHED));
    assert_true(end(store, canceled, VG_SANDBOX_CANCELED));
    assert_false(end(store, canceled, VG_SANDBOX_FINISHED));
    vg_sandbox_store_close(store);

    /* Twice: the second start reads what the first one wrote anew. */
    for (int round = 0; round < 2; round++) {
        store = open_store(DAY_MS);
        struct vg_sandbox_job *job = vg_sandbox_store_find_token(store, "a");
        assert_non_null(job);
        assert_string_equal(job->id, running);
        assert_string_equal(job->prompt, "prompt");
        vg_sandbox_store_view(store, job, &view);
        assert_int_equal(view.state, VG_SANDBOX_ACCEPTED);
        vg_sandbox_store_unref(store, job);
        job = vg_sandbox_store_find(store, finished);
        vg_sandbox_store_view(store, job, &view);
        assert_int_equal(view.state, VG_SANDBOX_FINISHED);
        assert_int_equal(view.bytes, 7);
        assert_int_equal(view.sha256[63], 'a');
        vg_sandbox_store_unref(store, job);
        job = vg_sandbox_store_find(store, canceled);
        vg_sandbox_store_view(store, job, &view);
        assert_int_equal(view.state, VG_SANDBOX_CANCELED);
        vg_sandbox_store_unref(store, job);
        assert_null(vg_sandbox_store_find_token(store, "d"));
        vg_sandbox_store_close(store);
    }
    store = open_store(DAY_MS);
    vg_sandbox_store_each_open(store, count_open, &open);
    assert_int_equal(open, 1);
    vg_sandbox_store_close(store);
    assert_int_equal(count_lines("submissions.log"), 3);
}

static void store__torn_tails_are_no_jobs(void **state)
{
    char id[VG_ID_SIZE];
    (void)state;
    struct vg_sandbox_store *store = open_store(DAY_MS);
    put(store, "a", id);
    vg_sandbox_store_close(store);
    append_text("jobs.jsonl", "{\"id\":\"sbx_00112233445566778899aabbccddeeff\",\"tok");
    append_text("submissions.log", "b sbx_0011");
    store = open_store(DAY_MS);
    assert_null(vg_sandbox_store_find(store, "sbx_00112233445566778899aabbccddeeff"));
    put(store, "c", id);
    vg_sandbox_store_close(store);
    store = open_store(DAY_MS);
    struct vg_sandbox_job *job = vg_sandbox_store_find_token(store, "c");
    assert_non_null(job);
    vg_sandbox_store_unref(store, job);
    job = vg_sandbox_store_find_token(store, "a");
    assert_non_null(job);
    vg_sandbox_store_unref(store, job);
    vg_sandbox_store_close(store);
    assert_int_equal(count_lines("submissions.log"), 2);
}

/* The process died between the journal and the log. */
static void store__log_is_completed(void **state)
{
    char id[VG_ID_SIZE];
    char path[VG_SANDBOX_PATH_SIZE];
    struct vg_buf text;
    (void)state;
    struct vg_sandbox_store *store = open_store(DAY_MS);
    put(store, "a", id);
    vg_sandbox_store_close(store);
    vg_sandbox_path(path, dir, ".", "submissions.log");
    assert_int_equal(truncate(path, 0), 0);
    for (int round = 0; round < 2; round++) {
        store = open_store(DAY_MS);
        vg_sandbox_store_close(store);
        assert_int_equal(count_lines("submissions.log"), 1);
    }
    read_text("submissions.log", &text);
    char start[128];
    (void)snprintf(start, sizeof(start), "a %s sandbox ", id);
    assert_memory_equal(text.data, start, strlen(start));
    vg_buf_fini(&text);
}

static void store__leftovers_go(void **state)
{
    char running[VG_ID_SIZE];
    char finished[VG_ID_SIZE];
    char name[VG_ID_SIZE + 8];
    (void)state;
    struct vg_sandbox_store *store = open_store(DAY_MS);
    put(store, "a", running);
    put(store, "b", finished);
    assert_true(end(store, finished, VG_SANDBOX_FINISHED));
    vg_sandbox_store_close(store);
    touch("tmp", "half.mp4");
    touch("inputs", running);
    touch("inputs", finished);
    touch("inputs", "sbx_ffffffffffffffffffffffffffffffff");
    (void)snprintf(name, sizeof(name), "%s.mp4", finished);
    touch("videos", name);
    touch("videos", "sbx_ffffffffffffffffffffffffffffffff.mp4");
    touch("videos", "x");
    vg_sandbox_store_close(open_store(DAY_MS));
    assert_false(there("tmp", "half.mp4"));
    assert_true(there("inputs", running));
    assert_false(there("inputs", finished));
    assert_false(there("inputs", "sbx_ffffffffffffffffffffffffffffffff"));
    assert_true(there("videos", name));
    assert_false(there("videos", "sbx_ffffffffffffffffffffffffffffffff.mp4"));
    assert_false(there("videos", "x"));
}

static void store__old_jobs_are_forgotten(void **state)
{
    char id[VG_ID_SIZE];
    (void)state;
    struct vg_sandbox_store *store = open_store(DAY_MS);
    struct waiter waiter = {.write = {.job = new_job("old")}};
    waiter.write.job->created_ms -= 2 * DAY_MS;
    begin(store, &waiter);
    wait_for(&waiter);
    memcpy(id, waiter.write.job->id, sizeof(id));
    char name[VG_ID_SIZE + 8];
    (void)snprintf(name, sizeof(name), "%s.mp4", id);
    touch("videos", name);
    /* Held: it stays. */
    char young[VG_ID_SIZE];
    put(store, "young", young);
    assert_true(there("videos", name));
    vg_sandbox_store_unref(store, waiter.write.job);
    put(store, "younger", young);
    put(store, "youngest", young);
    assert_null(vg_sandbox_store_find(store, id));
    assert_null(vg_sandbox_store_find_token(store, "old"));
    assert_false(there("videos", name));
    vg_sandbox_store_close(store);
    /* And at start. */
    usleep(5000); /* so that all are older than the millisecond they may live */
    vg_sandbox_store_close(open_store(1));
    assert_int_equal(count_lines("jobs.jsonl"), 0);
}

static void store__is_one_process_at_a_time(void **state)
{
    struct vg_sandbox_store *second;
    struct vg_err err;
    (void)state;
    struct vg_sandbox_store *store = open_store(DAY_MS);
    assert_int_equal(vg_sandbox_store_open(&second, dir, DAY_MS, &err), -1);
    assert_int_equal(err.kind, VG_ERR_UNAVAILABLE);
    vg_sandbox_store_close(store);
    vg_sandbox_store_close(open_store(DAY_MS));
}

/* A write that fails half way leaves no trace: neither job nor line, and later writes succeed. */
static void store__failed_write_leaves_nothing(void **state)
{
    char id[VG_ID_SIZE];
    struct rlimit limit;
    struct rlimit small;
    (void)state;
    struct vg_sandbox_store *store = open_store(DAY_MS);
    put(store, "before", id);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    struct waiter waiter = {.write = {.job = new_job("too-much")}};
    free(waiter.write.job->prompt);
    waiter.write.job->prompt = vg_xalloc(5001);
    memset(waiter.write.job->prompt, 'x', 5000);
    small = limit;
    small.rlim_cur = 3000;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    begin(store, &waiter);
    wait_for(&waiter);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_false(waiter.write.ok);
    assert_null(waiter.write.job);
    assert_true(vg_sandbox_store_sound(store));
    assert_null(vg_sandbox_store_find_token(store, "too-much"));
    put(store, "after", id);
    put(store, "too-much", id);
    vg_sandbox_store_close(store);
    assert_int_equal(count_lines("jobs.jsonl"), 3);
    assert_int_equal(count_lines("submissions.log"), 3);
}

static void store__many_jobs(void **state)
{
    enum { WRITES = 5000 };
    (void)state;
    struct vg_sandbox_store *store = open_store(DAY_MS);
    struct waiter *waiters = vg_xcalloc(WRITES, sizeof(*waiters));
    for (int i = 0; i < WRITES; i++) {
        char token[32];
        (void)snprintf(token, sizeof(token), "gen_%d:1", i);
        waiters[i].write.job = new_job(token);
        begin(store, &waiters[i]);
    }
    for (int i = 0; i < WRITES; i++) {
        wait_for(&waiters[i]);
        vg_sandbox_store_unref(store, waiters[i].write.job);
    }
    vg_sandbox_store_close(store);
    free(waiters);
    store = open_store(DAY_MS);
    for (int i = 0; i < WRITES; i += 97) {
        char token[32];
        (void)snprintf(token, sizeof(token), "gen_%d:1", i);
        struct vg_sandbox_job *job = vg_sandbox_store_find_token(store, token);
        assert_non_null(job);
        vg_sandbox_store_unref(store, job);
    }
    vg_sandbox_store_close(store);
    assert_int_equal(count_lines("submissions.log"), WRITES);
}

static off_t size_of(const char *name)
{
    char path[VG_SANDBOX_PATH_SIZE];
    struct stat st;
    vg_sandbox_path(path, dir, ".", name);
    assert_int_equal(stat(path, &st), 0);
    return st.st_size;
}

/* Ended jobs lose their prompts: past 64 MiB the journal is written anew, and nothing is missing
 * afterwards. */
static void store__grown_journal_is_written_anew(void **state)
{
    enum { JOBS = 560, PROMPT = 120000 };
    (void)state;
    struct vg_sandbox_store *store = open_store(DAY_MS);
    bool shrunk = false;
    off_t before = 0;
    for (int i = 0; i < JOBS; i++) {
        char token[32];
        (void)snprintf(token, sizeof(token), "gen_%d:1", i);
        struct waiter waiter = {.write = {.job = new_job(token)}};
        free(waiter.write.job->prompt);
        waiter.write.job->prompt = vg_xalloc(PROMPT + 1);
        memset(waiter.write.job->prompt, 'x', PROMPT);
        begin(store, &waiter);
        wait_for(&waiter);
        assert_true(waiter.write.ok);
        assert_true(end(store, waiter.write.job->id, VG_SANDBOX_FINISHED));
        vg_sandbox_store_shed(store, waiter.write.job);
        vg_sandbox_store_unref(store, waiter.write.job);
        off_t size = size_of("jobs.jsonl");
        shrunk = shrunk || size < before;
        before = size;
    }
    assert_true(shrunk);
    assert_true(vg_sandbox_store_sound(store));
    vg_sandbox_store_close(store);
    store = open_store(DAY_MS);
    for (int i = 0; i < JOBS; i++) {
        char token[32];
        struct vg_sandbox_view view;
        (void)snprintf(token, sizeof(token), "gen_%d:1", i);
        struct vg_sandbox_job *job = vg_sandbox_store_find_token(store, token);
        assert_non_null(job);
        vg_sandbox_store_view(store, job, &view);
        assert_int_equal(view.state, VG_SANDBOX_FINISHED);
        vg_sandbox_store_unref(store, job);
    }
    vg_sandbox_store_close(store);
    assert_int_equal(count_lines("submissions.log"), JOBS);
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/vg-store-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
    static const char *const folders[] = {"tmp", "inputs", "videos", "clips"};
    char path[VG_SANDBOX_PATH_SIZE];
    (void)state;
    for (size_t i = 0; i < VG_COUNT(folders); i++) {
        vg_sandbox_path(path, dir, ".", folders[i]);
        vg_sandbox_clear_dir(path, NULL, NULL);
        (void)rmdir(path);
    }
    vg_sandbox_clear_dir(dir, NULL, NULL);
    return rmdir(dir);
}

int main(void)
{
    (void)signal(SIGXFSZ, SIG_IGN);
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(store__same_token_is_one_job),
        CASE(store__jobs_and_ends_survive_a_restart),
        CASE(store__torn_tails_are_no_jobs),
        CASE(store__log_is_completed),
        CASE(store__leftovers_go),
        CASE(store__old_jobs_are_forgotten),
        CASE(store__is_one_process_at_a_time),
        CASE(store__failed_write_leaves_nothing),
        CASE(store__many_jobs),
        CASE(store__grown_journal_is_written_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
