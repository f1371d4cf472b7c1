/* SPDX-License-Identifier: Apache-2.0 */
/* Calls per second of unary echo: rpc_echo_bench TARGET COALESCE IN_FLIGHT SECONDS. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "common/loop.h"
#include "common/str.h"
#include "tests/unit/rpc/fixture.h"

struct bench {
    struct vg_rpc_channel *channel;
    int64_t end_ns;
    int64_t done;
    int64_t failed;
    struct fixture_group *group;
};

struct lane {
    struct submit submit;
    struct bench *bench;
};

static void lane_done(struct vg_task *task)
{
    struct lane *lane = VG_CONTAINER(task, struct lane, submit.call.done);
    struct bench *bench = lane->bench;

    bench->done++; /* all on one loop thread */
    bench->failed += !lane->submit.call.ok;
    submit_fini(&lane->submit);
    if (vg_now_ns() >= bench->end_ns) {
        fixture_group_done(bench->group);
        return;
    }
    lane->submit.call.deadline_ns = vg_deadline_in_ms(30000);
    vg_rpc_unary_start(bench->channel, &lane->submit.call);
}

static int64_t cpu_ns(void)
{
    struct timespec at;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return at.tv_sec * VG_NS_PER_S + at.tv_nsec;
}

int main(int argc, char **argv)
{
    int64_t coalesce;
    int64_t in_flight;
    int64_t seconds;
    struct bench bench = {0};
    struct vg_err err = {0};
    struct vg_rpc_metadata metadata = {"authorization",
                                       "Bearer vg_0123456789abcdef0123456789abcdef"};

    if (argc != 5 || vg_parse_i64(vg_view_of(argv[2]), 0, 64, &coalesce) != 0 ||
        vg_parse_i64(vg_view_of(argv[3]), 1, 8000, &in_flight) != 0 ||
        vg_parse_i64(vg_view_of(argv[4]), 1, 600, &seconds) != 0) {
        (void)fprintf(stderr, "usage: %s TARGET COALESCE IN_FLIGHT SECONDS\n", argv[0]);
        return 2;
    }
    vg_rpc_init();
    struct vg_rpc_channel_options options = {.target = argv[1], .coalesce = (int)coalesce};
    VG_ASSERT(vg_rpc_channel_new(&bench.channel, &options, &err) == 0);
    struct vg_loop *loop = vg_loop_new();
    VG_ASSERT(vg_loop_start(loop, "bench", &err) == 0);
    struct lane *lanes = vg_xcalloc((size_t)in_flight, sizeof *lanes);
    int64_t start = vg_now_ns();
    int64_t cpu = cpu_ns();
    bench.end_ns = start + seconds * VG_NS_PER_S;
    bench.group = fixture_group_new((int)in_flight);
    for (int64_t i = 0; i < in_flight; i++) {
        submit_init(&lanes[i].submit, "echo", "a prompt of some fifty bytes, as a load has it");
        lanes[i].bench = &bench;
        lanes[i].submit.call.metadata = &metadata;
        lanes[i].submit.call.metadata_count = 1;
        lanes[i].submit.call.executor = vg_loop_executor(loop);
        lanes[i].submit.call.done.run = lane_done;
        vg_rpc_unary_start(bench.channel, &lanes[i].submit.call);
    }
    fixture_group_wait(bench.group);
    double took = (double)(vg_now_ns() - start) / 1e9;
    (void)printf("coalesce %d, %d in flight: %.0f calls/s, client CPU %.1f us/call, failed %lld\n",
                 (int)coalesce, (int)in_flight, (double)bench.done / took,
                 (double)(cpu_ns() - cpu) / 1e3 / (double)bench.done, (long long)bench.failed);
    (void)vg_rpc_channel_free(bench.channel);
    vg_loop_join(loop);
    (void)vg_loop_free(loop);
    free(lanes);
    vg_rpc_fini();
    return 0;
}
