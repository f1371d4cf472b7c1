/* SPDX-License-Identifier: Apache-2.0 */
/* db_bench URL KIND SECONDS IN_FLIGHT: operations per second through the combiner, with IN_FLIGHT
 * always under way. KIND: create, create-key (with an idempotency key), get. Migrates the database
 * first. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/id.h"
#include "common/mem.h"
#include "common/str.h"
#include "db/video_store.h"
#include "tests/unit/db/bench.h"

struct slot {
    union {
        struct vg_db_op op;
        struct vg_video_create create;
        struct vg_video_get get;
    } u;
    char id[VG_ID_SIZE];
    char key[VG_ID_SIZE];
};

static struct {
    struct vg_db *db;
    bool keyed, get;
    int64_t until_ns;
    atomic_long done, failed;
    atomic_int running;
    char known[VG_ID_SIZE];
} bench;

static void send_one(struct slot *slot);

/* Sending from `done` keeps the number in flight; the executor's thread only queues it. */
static void on_done(struct vg_task *task)
{
    struct slot *slot = VG_CONTAINER(task, struct slot, u.op.done);

    if (slot->u.op.ok)
        (void)atomic_fetch_add(&bench.done, 1);
    else
        (void)atomic_fetch_add(&bench.failed, 1);
    slot->u.op.arena = vg_arena_free(slot->u.op.arena);
    if (vg_now_ns() < bench.until_ns)
        send_one(slot);
    else
        (void)atomic_fetch_sub(&bench.running, 1);
}

static void fill_create(struct slot *slot)
{
    vg_id_new(slot->id, "video");
    vg_id_new(slot->key, "key");
    slot->u.create = (struct vg_video_create){.id = slot->id,
                                              .project_id = 1,
                                              .key_id = "key_1",
                                              .model = "veo-3.1-generate-preview",
                                              .prompt = "A lighthouse at dusk, waves, slow pan",
                                              .width = 1280,
                                              .height = 720,
                                              .seconds = 8,
                                              .n = 1,
                                              .provider = "sandbox",
                                              .spec = "0123456789012345678901234567890123456789",
                                              .spec_size = 40,
                                              .deadline_s = 3600,
                                              .idempotency_key = bench.keyed ? slot->key : NULL};
}

static void send_one(struct slot *slot)
{
    if (bench.get)
        slot->u.get = (struct vg_video_get){.id = bench.known, .project_id = 1};
    else
        fill_create(slot);
    slot->u.op.executor = &inline_executor;
    slot->u.op.done.run = on_done;
    slot->u.op.deadline_ns = VG_NO_DEADLINE;
    slot->u.op.arena = vg_arena_new();
    if (bench.get)
        vg_video_get(bench.db, &slot->u.get);
    else
        vg_video_create(bench.db, &slot->u.create);
}

static void run(struct slot *slots, int in_flight, int64_t ms)
{
    bench.until_ns = vg_deadline_in_ms(ms);
    atomic_store(&bench.running, in_flight);
    for (int i = 0; i < in_flight; i++)
        send_one(&slots[i]);
    while (atomic_load(&bench.running) > 0) {
        struct timespec nap = {.tv_nsec = 1000000};

        (void)nanosleep(&nap, NULL);
    }
}

int main(int argc, char **argv)
{
    int64_t seconds = 0, in_flight = 0;

    if (argc != 5 || vg_parse_i64(vg_view_of(argv[3]), 1, 3600, &seconds) < 0 ||
        vg_parse_i64(vg_view_of(argv[4]), 1, 16000, &in_flight) < 0) {
        (void)fprintf(stderr, "usage: db_bench URL create|create-key|get SECONDS IN_FLIGHT\n");
        return 2;
    }
    if (bench_start(&bench.db, argv[1]) < 0)
        return 1;
    struct slot *slots = vg_xcalloc((size_t)in_flight, sizeof(*slots));

    run(slots, 1, 0); /* one create: plans are warm, and `get` has something to read */
    (void)vg_strcpy(bench.known, sizeof(bench.known), slots[0].id);
    bench.keyed = strcmp(argv[2], "create-key") == 0;
    bench.get = strcmp(argv[2], "get") == 0;
    atomic_store(&bench.done, 0);
    int64_t start = vg_now_ns();

    run(slots, (int)in_flight, seconds * 1000);
    double took = (double)(vg_now_ns() - start) / (double)VG_NS_PER_S;

    (void)printf("%s in_flight=%d: %.0f/s, %ld failed\n", argv[2], (int)in_flight,
                 (double)atomic_load(&bench.done) / took, atomic_load(&bench.failed));
    bench.db = vg_db_stop(bench.db, vg_deadline_in_ms(5000));
    free(slots);
    return atomic_load(&bench.failed) > 0;
}
