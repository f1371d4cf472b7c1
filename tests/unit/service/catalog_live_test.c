/* SPDX-License-Identifier: Apache-2.0 */
#include "service/catalog_live.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mem.h"
#include "common/work_pool.h"

/* A catalog of one model whose name is given. */
#define TEXT                                                                                       \
    "{\"version\":1,\"default_model\":\"%s\",\"models\":[{\"name\":\"%s\",\"owned_by\":\"o\","     \
    "\"created\":7,\"default_size\":\"160x90\",\"default_seconds\":1,\"routes\":[{\"provider\":"   \
    "\"q\",\"model\":\"a\",\"sizes\":[\"160x90\"],\"seconds\":[1],\"audio\":\"off\","              \
    "\"price_per_second\":{\"default\":0},\"deadline_s\":60,\"max_attempts\":1}]}]}"

struct fixture {
    char path[64];
    struct vg_metrics *metrics;
    struct vg_loop *loop;
    struct vg_work_pool *pool;
    struct vg_catalog *first;
    struct vg_catalog_live *live;
};

static void write_text(const struct fixture *f, const char *text)
{
    char next[80];
    (void)snprintf(next, sizeof(next), "%s.next", f->path);
    FILE *file = fopen(next, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(next, f->path), 0);
}

static void write_catalog(const struct fixture *f, const char *model)
{
    char text[1024];
    (void)snprintf(text, sizeof(text), TEXT, model, model);
    write_text(f, text);
}

static void begin(struct fixture *f, int64_t interval_ms)
{
    struct vg_err err;
    (void)snprintf(f->path, sizeof(f->path), "/tmp/vg_catalog_live_%ld.json", (long)getpid());
    write_catalog(f, "first");
    f->metrics = vg_metrics_new();
    f->loop = vg_loop_new();
    assert_int_equal(vg_loop_start(f->loop, "test", &err), 0);
    assert_int_equal(vg_work_pool_start(&f->pool, "test", 1, &err), 0);
    assert_int_equal(vg_catalog_load(&f->first, f->path, &err), 0);
    const struct vg_catalog_live_options options = {.path = f->path,
                                                    .first = f->first,
                                                    .interval_ms = interval_ms,
                                                    .loop = f->loop,
                                                    .pool = vg_work_pool_executor(f->pool),
                                                    .metrics = f->metrics};
    f->live = vg_catalog_live_new(&options);
    vg_catalog_live_start(f->live);
}

static void finish(struct fixture *f)
{
    vg_catalog_live_close(f->live);
    while (!vg_catalog_live_idle(f->live))
        (void)usleep(1000);
    f->pool = vg_work_pool_stop(f->pool);
    vg_loop_join(f->loop);
    f->loop = vg_loop_free(f->loop);
    f->live = vg_catalog_live_free(f->live);
    f->first = vg_catalog_unref(f->first);
    f->metrics = vg_metrics_free(f->metrics);
    (void)unlink(f->path);
}

static bool shows(const struct fixture *f, const char *model)
{
    struct vg_catalog *catalog = vg_catalog_live_take(f->live);
    bool found = vg_catalog_find(catalog, model, strlen(model)) != NULL;
    (void)vg_catalog_unref(catalog);
    return found;
}

static void wait_until_shown(const struct fixture *f, const char *model)
{
    for (int i = 0; i < 60000 && !shows(f, model); i++)
        (void)usleep(1000);
    assert_true(shows(f, model));
}

static bool counted(const struct fixture *f, const char *result, int count)
{
    char line[100];
    struct vg_buf text;
    vg_buf_init(&text, 1 << 20);
    vg_metrics_write(f->metrics, &text);
    (void)snprintf(line, sizeof(line), "videogate_catalog_reloads_total{result=\"%s\"} %d\n",
                   result, count);
    bool found = strstr(text.data, line) != NULL;
    vg_buf_fini(&text);
    return found;
}

static void wait_until_counted(const struct fixture *f, const char *result, int count)
{
    for (int i = 0; i < 60000 && !counted(f, result, count); i++)
        (void)usleep(1000);
    assert_true(counted(f, result, count));
}

static void live__sees_a_changed_file(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 1);
    assert_true(shows(&f, "first"));
    struct vg_catalog *held = vg_catalog_live_take(f.live);
    write_catalog(&f, "second");
    wait_until_shown(&f, "second");
    assert_false(shows(&f, "first"));
    assert_non_null(vg_catalog_find(held, "first", 5)); /* who has it keeps it */
    (void)vg_catalog_unref(held);
    finish(&f);
}

static void live__a_bad_file_replaces_nothing(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 1);
    write_text(&f, "{\"version\":1,");
    wait_until_counted(&f, "failed", 1);
    (void)usleep(20000); /* the same bad file is read once */
    assert_true(counted(&f, "failed", 1) && counted(&f, "ok", 0));
    assert_true(shows(&f, "first"));
    assert_int_equal(unlink(f.path), 0);
    wait_until_counted(&f, "failed", 2);
    assert_true(shows(&f, "first"));
    write_catalog(&f, "third");
    wait_until_shown(&f, "third");
    finish(&f);
}

static void live__reads_on_demand(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f, 0);
    write_catalog(&f, "second");
    (void)usleep(5000);
    assert_true(shows(&f, "first"));
    vg_catalog_live_reload(f.live);
    wait_until_shown(&f, "second");
    vg_catalog_live_reload(f.live); /* also when nothing has changed */
    wait_until_counted(&f, "ok", 2);
    finish(&f);
}

static atomic_bool reading;

static void *read_on(void *arg)
{
    struct fixture *f = arg;
    while (atomic_load(&reading))
        (void)shows(f, "first");
    return NULL;
}

static void live__readers_and_reloads_meet(void **state)
{
    (void)state;
    struct fixture f;
    pthread_t threads[3];
    begin(&f, 1);
    atomic_store(&reading, true);
    for (size_t i = 0; i < VG_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_on, &f), 0);
    for (int i = 0; i < 50; i++) {
        write_catalog(&f, i % 2 ? "first" : "second");
        vg_catalog_live_reload(f.live);
        (void)usleep(500);
    }
    atomic_store(&reading, false);
    for (size_t i = 0; i < VG_COUNT(threads); i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(live__sees_a_changed_file),
        cmocka_unit_test(live__a_bad_file_replaces_nothing),
        cmocka_unit_test(live__reads_on_demand),
        cmocka_unit_test(live__readers_and_reloads_meet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
