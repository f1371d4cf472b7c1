/* SPDX-License-Identifier: Apache-2.0 */
/* db_queue_bench URL RATE SECONDS: RATE jobs a second go through the queue, as the job machine
 * takes them: created, claimed, submitted, released while they run for a second, claimed again,
 * fetched, stored, and their callback claimed, given its body and told; 0: as many as it can. A
 * line a second: jobs that were told, claims of jobs and of callbacks, ms in one on average and the
 * longest. Migrates the database first. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/mem.h"
#include "common/str.h"
#include "db/delivery_store.h"
#include "db/generation_store.h"
#include "db/video_store.h"
#include "tests/unit/db/bench.h"

enum { BATCH = 64, PROJECTS = 8, RUN_MS = 1000, LEASE_MS = 60000 };

static struct {
    struct vg_db *db;
    struct vg_arena *apart[BATCH]; /* of this turn, for operations under way together */
    pthread_mutex_t lock;
    pthread_cond_t cond;
    int pending;
    bool draining;
    int64_t start_ns, rate, made, told, failed;
    struct claims {
        int64_t count, ns, worst_ns; /* since the last line */
    } jobs, callbacks;
} bench = {.lock = PTHREAD_MUTEX_INITIALIZER, .cond = PTHREAD_COND_INITIALIZER};

static void on_done(struct vg_task *task)
{
    struct vg_db_op *op = VG_CONTAINER(task, struct vg_db_op, done);

    (void)pthread_mutex_lock(&bench.lock);
    bench.failed += !op->ok;
    bench.pending--;
    (void)pthread_cond_broadcast(&bench.cond);
    (void)pthread_mutex_unlock(&bench.lock);
}

static void begin(struct vg_db_op *op, struct vg_arena *arena)
{
    op->executor = &inline_executor;
    op->done.run = on_done;
    op->deadline_ns = vg_deadline_in_ms(60000);
    op->arena = arena;
    (void)pthread_mutex_lock(&bench.lock);
    bench.pending++;
    (void)pthread_mutex_unlock(&bench.lock);
}

static void finish(void)
{
    (void)pthread_mutex_lock(&bench.lock);
    while (bench.pending > 0)
        (void)pthread_cond_wait(&bench.cond, &bench.lock);
    (void)pthread_mutex_unlock(&bench.lock);
}

/* ---- jobs */

static void create(struct vg_arena *arena, int count)
{
    static const char *const hooks[] = {"https://a.example/hook", "https://b.example/hook",
                                        "https://c.example/hook"};
    struct vg_video_create *ops = vg_arena_alloc(arena, BATCH * sizeof(*ops));

    for (int i = 0; i < count; i++) {
        char *id = vg_arena_alloc(arena, VG_ID_SIZE);

        vg_id_new(id, "video");
        ops[i] = (struct vg_video_create){.id = id,
                                          .project_id = (bench.made + i) % PROJECTS,
                                          .key_id = "key_1",
                                          .model = "sandbox-1",
                                          .prompt = "A lighthouse at dusk, waves, slow pan",
                                          .width = 1280,
                                          .height = 720,
                                          .seconds = 8,
                                          .n = 1,
                                          .provider = "sandbox",
                                          .spec = "x",
                                          .spec_size = 1,
                                          .deadline_s = 86400,
                                          .callback_url = hooks[(bench.made + i) % 3]};
        begin(&ops[i].op, bench.apart[i]);
        vg_video_create(bench.db, &ops[i]);
    }
    finish();
    bench.made += count;
}

static void count_claim(struct claims *claims, int64_t start_ns)
{
    int64_t took = vg_now_ns() - start_ns;

    claims->count++;
    claims->ns += took;
    claims->worst_ns = took > claims->worst_ns ? took : claims->worst_ns;
}

static struct vg_generation_claim *claim(struct vg_arena *arena)
{
    static const struct vg_provider_places places = {.provider = "sandbox", .places = 100000};
    struct vg_generation_claim *op = vg_arena_alloc(arena, sizeof(*op));
    int64_t start = vg_now_ns();

    *op = (struct vg_generation_claim){.owner = "bench",
                                       .limit = BATCH,
                                       .lease_ms = LEASE_MS,
                                       .project_concurrency = 100000,
                                       .providers = &places,
                                       .provider_count = 1,
                                       .ahead_ms = 1000};
    begin(&op->op, arena);
    vg_generation_claim(bench.db, op);
    finish();
    count_claim(&bench.jobs, start);
    return op;
}

/* All of the claimed that are in `from`. */
static void change(struct vg_arena *arena, const struct vg_generation_claim *c,
                   enum vg_generation_state claimed, enum vg_generation_state from,
                   enum vg_generation_state to)
{
    struct vg_generation_change *ops = vg_arena_alloc(arena, BATCH * sizeof(*ops));

    for (size_t i = 0; i < c->count; i++) {
        const struct vg_generation *g = &c->generations[i];

        if (g->state != claimed)
            continue;
        ops[i] = (struct vg_generation_change){.id = g->id,
                                               .lease_seq = g->lease_seq,
                                               .from = from,
                                               .to = to,
                                               .provider = g->provider,
                                               .attempts = 1,
                                               .due_ms = RUN_MS};
        if (to == VG_GEN_SUBMITTING || to == VG_GEN_FETCHING)
            ops[i].lease_ms = LEASE_MS;
        if (to >= VG_GEN_RUNNING)
            ops[i].upstream_id = "up-1";
        if (to == VG_GEN_STORED) {
            ops[i].output = (struct vg_output){
                .blob = g->video_id, .mime_type = "video/mp4", .bytes = 1, .sha256 = "ab"};
        }
        begin(&ops[i].op, bench.apart[i]);
        vg_generation_change(bench.db, &ops[i]);
    }
    finish();
}

/* ---- callbacks */

static struct vg_delivery_claim *take(struct vg_arena *arena)
{
    struct vg_delivery_claim *op = vg_arena_alloc(arena, sizeof(*op));
    int64_t start = vg_now_ns();

    *op = (struct vg_delivery_claim){.limit = BATCH,
                                     .lease_ms = LEASE_MS,
                                     .per_host = 100000,
                                     .per_project = 100000,
                                     .ahead_ms = 1000};
    begin(&op->op, arena);
    vg_delivery_claim(bench.db, op);
    finish();
    count_claim(&bench.callbacks, start);
    return op;
}

static void tell_all(struct vg_arena *arena, const struct vg_delivery_claim *c)
{
    struct vg_delivery_body *bodies = vg_arena_alloc(arena, BATCH * sizeof(*bodies));
    struct vg_delivery_result *results = vg_arena_alloc(arena, BATCH * sizeof(*results));

    for (size_t i = 0; i < c->count; i++) {
        const struct vg_delivery *d = &c->deliveries[i];

        bodies[i] = (struct vg_delivery_body){
            .id = d->id, .lease_seq = d->lease_seq, .body = "{}", .body_size = 2};
        begin(&bodies[i].op, bench.apart[i]);
        vg_delivery_body(bench.db, &bodies[i]);
    }
    finish();
    for (size_t i = 0; i < c->count; i++) {
        const struct vg_delivery *d = &c->deliveries[i];

        results[i] = (struct vg_delivery_result){.id = d->id,
                                                 .lease_seq = d->lease_seq,
                                                 .sign = VG_RECEIVER_GOOD,
                                                 .state = VG_DELIVERY_DELIVERED,
                                                 .http_status = 204,
                                                 .reason = ""};
        begin(&results[i].op, bench.apart[i]);
        vg_delivery_result(bench.db, &results[i]);
    }
    finish();
    for (size_t i = 0; i < c->count; i++)
        bench.told += results[i].applied;
}

static int64_t owed(void)
{
    int64_t now = vg_now_ns();

    if (bench.draining)
        return 0;
    return bench.rate > 0 ? (now - bench.start_ns) * bench.rate / (int64_t)VG_NS_PER_S - bench.made
                          : BATCH;
}

static void turn(void)
{
    struct vg_arena *arena = vg_arena_new();
    int64_t count = owed();

    for (int i = 0; i < BATCH; i++)
        bench.apart[i] = vg_arena_new();
    if (count > 0)
        create(arena, count < BATCH ? (int)count : BATCH);
    struct vg_generation_claim *c = claim(arena);

    change(arena, c, VG_GEN_PENDING, VG_GEN_PENDING, VG_GEN_SUBMITTING);
    change(arena, c, VG_GEN_PENDING, VG_GEN_SUBMITTING, VG_GEN_RUNNING);
    change(arena, c, VG_GEN_RUNNING, VG_GEN_RUNNING, VG_GEN_FETCHING);
    change(arena, c, VG_GEN_RUNNING, VG_GEN_FETCHING, VG_GEN_STORED);
    struct vg_delivery_claim *d = take(arena);

    tell_all(arena, d);
    if (c->count == 0 && d->count == 0 && count <= 0) {
        struct timespec nap = {.tv_nsec = 5000000};

        (void)nanosleep(&nap, NULL);
    }
    for (int i = 0; i < BATCH; i++)
        bench.apart[i] = vg_arena_free(bench.apart[i]);
    (void)vg_arena_free(arena);
}

static void tell_claims(const char *what, struct claims *claims)
{
    double count = claims->count > 0 ? (double)claims->count : 1.0;

    (void)printf("%lld %s, %.2f ms, longest %.2f ms, ", (long long)claims->count, what,
                 (double)claims->ns / count / 1e6, (double)claims->worst_ns / 1e6);
    *claims = (struct claims){0};
}

static void tell(int64_t told)
{
    (void)printf("%lld jobs, ", (long long)told);
    tell_claims("claims", &bench.jobs);
    tell_claims("of callbacks", &bench.callbacks);
    (void)printf("%lld under way\n", (long long)(bench.made - bench.told));
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    int64_t seconds = 0;

    if (argc != 4 || vg_parse_i64(vg_view_of(argv[2]), 0, 100000, &bench.rate) < 0 ||
        vg_parse_i64(vg_view_of(argv[3]), 1, 86400, &seconds) < 0) {
        (void)fprintf(stderr, "usage: db_queue_bench URL RATE SECONDS\n");
        return 2;
    }
    if (bench_start(&bench.db, argv[1]) < 0)
        return 1;
    bench.start_ns = vg_now_ns();
    for (int64_t second = 1, told = 0; second <= seconds; second++) {
        while (vg_now_ns() < bench.start_ns + second * (int64_t)VG_NS_PER_S)
            turn();
        tell(bench.told - told);
        told = bench.told;
    }
    bench.draining = true;
    for (int64_t end_ns = vg_deadline_in_ms((int64_t)2 * LEASE_MS);
         bench.told < bench.made && vg_now_ns() < end_ns;)
        turn();
    (void)printf("%lld made, %lld told, %lld failed\n", (long long)bench.made,
                 (long long)bench.told, (long long)bench.failed);
    bench.db = vg_db_stop(bench.db, vg_deadline_in_ms(5000));
    return bench.failed > 0 || bench.told != bench.made;
}
