/* SPDX-License-Identifier: Apache-2.0 */
/* What the database tests share: a private PostgreSQL, operations that are waited for, builders,
 * plain SQL. */
#ifndef VG_TESTS_DB_FIXTURE_H
#define VG_TESTS_DB_FIXTURE_H

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/mem.h"
#include "common/str.h"
#include "db/db.h"
#include "db/delivery_store.h"
#include "db/generation_store.h"
#include "db/key_store.h"
#include "db/video_store.h"
#include "db/webhook_store.h"
#include "tests/unit/db/inline_executor.h"

#define UNUSED __attribute__((unused))

struct fixture {
    char dir[64];
    char url[128];
    struct vg_db *db;
    struct vg_arena *arena;
};

/* ---- waiting for one operation */

struct waiter {
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int pending;
};
static struct waiter the_waiter UNUSED = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};

static UNUSED void op_done(struct vg_task *task)
{
    (void)task;
    (void)pthread_mutex_lock(&the_waiter.lock);
    the_waiter.pending--;
    (void)pthread_cond_broadcast(&the_waiter.cond);
    (void)pthread_mutex_unlock(&the_waiter.lock);
}

/* Arenas for operations under way together: each needs one of its own. */
struct apart {
    struct apart *next;
    struct vg_arena *arena; /* this stands in it */
};
static struct apart *all_apart UNUSED;

static UNUSED struct vg_arena *arena_apart(void)
{
    struct vg_arena *arena = vg_arena_new();
    struct apart *apart = vg_arena_alloc(arena, sizeof(*apart));

    *apart = (struct apart){.next = all_apart, .arena = arena};
    all_apart = apart;
    return arena;
}

static UNUSED void free_apart(void)
{
    while (all_apart) {
        struct vg_arena *arena = all_apart->arena;

        all_apart = all_apart->next;
        (void)vg_arena_free(arena);
    }
}

/* Prepares the head of an operation; `finish` waits for all that were begun. */
static UNUSED void begin(struct vg_db_op *op, struct vg_arena *arena)
{
    op->executor = &inline_executor;
    op->done.run = op_done;
    op->deadline_ns = vg_deadline_in_ms(60000);
    op->arena = arena;
    (void)pthread_mutex_lock(&the_waiter.lock);
    the_waiter.pending++;
    (void)pthread_mutex_unlock(&the_waiter.lock);
}

static UNUSED void finish(void)
{
    (void)pthread_mutex_lock(&the_waiter.lock);
    while (the_waiter.pending > 0)
        (void)pthread_cond_wait(&the_waiter.cond, &the_waiter.lock);
    (void)pthread_mutex_unlock(&the_waiter.lock);
}

#define RUN(fixture_, function, op_)                                                               \
    do {                                                                                           \
        begin(&(op_)->op, (fixture_)->arena);                                                      \
        function((fixture_)->db, (op_));                                                           \
        finish();                                                                                  \
    } while (0)
#define RUN_OK(fixture_, function, op_)                                                            \
    do {                                                                                           \
        RUN(fixture_, function, op_);                                                              \
        if (!(op_)->op.ok)                                                                         \
            fail_msg("%s: %s", #function, vg_err_text(&(op_)->op.err));                            \
    } while (0)

/* ---- the server */

static UNUSED int script(const char *action, const char *dir)
{
    pid_t pid = fork();

    if (pid == 0) {
        (void)execl("/bin/sh", "sh", VG_PRIVATE_PG, action, dir, (char *)NULL);
        _exit(127);
    }
    int status = 0;

    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* psql, one line of output without the newline; for what the stores do not show. */
static UNUSED const char *sql(struct fixture *f, const char *text)
{
    static char out[4096];
    char command[8192];

    (void)snprintf(command, sizeof(command),
                   "psql -X -q -A -t -v ON_ERROR_STOP=1 -d '%s' -c \"%s\"", f->url, text);
    FILE *pipe = popen(command, "r"); /* NOLINT(cert-env33-c): our own text */

    assert_non_null(pipe);
    size_t len = fread(out, 1, sizeof(out) - 1, pipe);

    assert_int_equal(pclose(pipe), 0);
    while (len > 0 && out[len - 1] == '\n')
        len--;
    out[len] = '\0';
    return out;
}

static UNUSED int64_t sql_int(struct fixture *f, const char *text)
{
    int64_t value = 0;

    assert_int_equal(vg_parse_i64(vg_view_of(sql(f, text)), INT64_MIN, INT64_MAX, &value), 0);
    return value;
}

static UNUSED struct vg_db *open_db(struct fixture *f, struct vg_db_options options)
{
    struct vg_db *db = NULL;
    struct vg_err err = {0};

    options.url = f->url;
    assert_int_equal(vg_db_start(&db, &options, &err), 0);
    return db;
}

static UNUSED int fixture_start(void **state)
{
    struct fixture *f = vg_xalloc(sizeof(*f));
    struct vg_err err = {0};

    *state = f;
    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/vgpg-XXXXXX");
    if (!mkdtemp(f->dir) || script("start", f->dir) != 0)
        return -1;
    (void)snprintf(f->url, sizeof(f->url), "host=%s user=vg dbname=postgres", f->dir);
    if (vg_db_migrate(f->url, NULL, NULL, &err) < 0) {
        print_error("%s\n", vg_err_text(&err));
        return -1;
    }
    f->db = open_db(f, (struct vg_db_options){0});
    f->arena = vg_arena_new();
    return 0;
}

static UNUSED int fixture_stop(void **state)
{
    struct fixture *f = *state;

    f->db = vg_db_stop(f->db, vg_deadline_in_ms(5000));
    f->arena = vg_arena_free(f->arena);
    free_apart();
    (void)script("destroy", f->dir);
    free(f);
    return 0;
}

/* Empties every table, so that each test starts from nothing. */
static UNUSED int fixture_clean(void **state)
{
    free_apart();
    (void)sql(*state,
              "TRUNCATE projects, api_keys, key_uses, accounts, usage_days, videos, idempotency, "
              "generations, attempts, skips, outputs, inputs, purges, deliveries, "
              "delivery_attempts, webhook_endpoints, webhook_secrets, receivers");
    return 0;
}

/* ---- builders */

static UNUSED struct vg_video_create *new_create(struct fixture *f, int64_t project, int n)
{
    struct vg_video_create *op = vg_arena_alloc(f->arena, sizeof(*op));
    char id[VG_ID_SIZE];

    vg_id_new(id, "video");
    op->id = vg_arena_strdup(f->arena, id);
    op->project_id = project;
    op->key_id = "key_1";
    op->model = "sandbox-1";
    op->prompt = "A lighthouse at dusk";
    op->width = 1280;
    op->height = 720;
    op->seconds = 8;
    op->n = n;
    op->audio = true;
    op->provider = "sandbox";
    op->spec = "\x01\x00\xff";
    op->spec_size = 3;
    op->deadline_s = 3600;
    return op;
}

static UNUSED const char *create(struct fixture *f, int64_t project, int n)
{
    struct vg_video_create *op = new_create(f, project, n);

    RUN_OK(f, vg_video_create, op);
    assert_int_equal(op->outcome, VG_CREATE_NEW);
    return op->id;
}

static UNUSED struct vg_generation_claim *claim(struct fixture *f, int limit, int places)
{
    struct vg_generation_claim *op = vg_arena_alloc(f->arena, sizeof(*op));
    struct vg_provider_places *p = vg_arena_alloc(f->arena, sizeof(*p));

    p->provider = "sandbox";
    p->places = places;
    op->owner = "test";
    op->limit = limit;
    op->lease_ms = 60000;
    op->project_concurrency = 1000;
    op->providers = p;
    op->provider_count = 1;
    RUN_OK(f, vg_generation_claim, op);
    return op;
}

/* A change of a claimed generation that keeps its counters. */
static UNUSED struct vg_generation_change *new_change(struct fixture *f,
                                                      const struct vg_generation *g,
                                                      enum vg_generation_state from,
                                                      enum vg_generation_state to)
{
    struct vg_generation_change *op = vg_arena_alloc(f->arena, sizeof(*op));

    op->id = g->id;
    op->lease_seq = g->lease_seq;
    op->from = from;
    op->to = to;
    op->lease_ms = vg_generation_state_terminal(to) ? 0 : 60000;
    op->route = g->route;
    op->attempts = g->attempts + (from == VG_GEN_PENDING ? 0 : 1);
    if (to == VG_GEN_SUBMITTING && from == VG_GEN_PENDING)
        op->attempts = g->attempts + 1;
    op->provider = g->provider;
    op->upstream_id = to == VG_GEN_RUNNING || to == VG_GEN_FETCHING ? "up-1" : NULL;
    if (to == VG_GEN_STORED) {
        char blob[128];

        (void)snprintf(blob, sizeof(blob), "outputs/%s/%d", g->video_id, (int)g->index);
        op->output = (struct vg_output){.blob = vg_arena_strdup(f->arena, blob),
                                        .mime_type = "video/mp4",
                                        .bytes = 1234,
                                        .sha256 = "ab"};
        op->retention_s = 3600;
    }
    return op;
}

static UNUSED struct vg_generation_change *change(struct fixture *f, const struct vg_generation *g,
                                                  enum vg_generation_state from,
                                                  enum vg_generation_state to)
{
    struct vg_generation_change *op = new_change(f, g, from, to);

    RUN_OK(f, vg_generation_change, op);
    return op;
}

/* Takes a claimed pending generation to `fetching`, all under one lease. */
static UNUSED void advance(struct fixture *f, const struct vg_generation *g)
{
    assert_true(change(f, g, VG_GEN_PENDING, VG_GEN_SUBMITTING)->applied);
    assert_true(change(f, g, VG_GEN_SUBMITTING, VG_GEN_RUNNING)->applied);
    assert_true(change(f, g, VG_GEN_RUNNING, VG_GEN_FETCHING)->applied);
}

static UNUSED const struct vg_video *get(struct fixture *f, const char *id, int64_t project)
{
    struct vg_video_get *op = vg_arena_alloc(f->arena, sizeof(*op));

    op->id = id;
    op->project_id = project;
    RUN_OK(f, vg_video_get, op);
    return &op->video;
}

#endif
