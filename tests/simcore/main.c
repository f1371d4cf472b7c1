/* SPDX-License-Identifier: Apache-2.0 */
/* simcore: runs simulated worlds by seed, and holds each broken variant against the checker. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/mem.h"
#include "common/str.h"
#include "tests/simcore/world.h"

struct options {
    int64_t seeds, start, within;
    enum sim_break broken;
    bool breaks, trace, list;
};

static const char usage[] =
    "usage: simcore [--seeds N] [--start S] [--break NAME] [--trace]\n"
    "       simcore --breaks [--within N] [--start S]   each variant must be caught\n"
    "       simcore --list                              names the variants\n";

/* ---- options ------------------------------------------------------------------------------- */

static bool number(const char *text, int64_t *out)
{
    return text && vg_parse_i64((struct vg_view){text, strlen(text)}, 0, INT64_MAX / 2, out) == 0;
}

/* How many arguments it took; 0: not understood. */
static int take_option(char *const *argv, struct options *o)
{
    const char *name = argv[0], *value = argv[1];

    if (strcmp(name, "--seeds") == 0)
        return number(value, &o->seeds) ? 2 : 0;
    if (strcmp(name, "--start") == 0)
        return number(value, &o->start) ? 2 : 0;
    if (strcmp(name, "--within") == 0)
        return number(value, &o->within) ? 2 : 0;
    if (strcmp(name, "--break") == 0 && value) {
        o->broken = sim_break_named(value);
        return o->broken < SIM_BREAK_MAX ? 2 : 0;
    }
    o->breaks = o->breaks || strcmp(name, "--breaks") == 0;
    o->trace = o->trace || strcmp(name, "--trace") == 0;
    o->list = o->list || strcmp(name, "--list") == 0;
    return strcmp(name, "--breaks") == 0 || strcmp(name, "--trace") == 0 ||
           strcmp(name, "--list") == 0;
}

static int read_options(int argc, char **argv, struct options *o)
{
    for (int i = 1; i < argc;) {
        int took = take_option(&argv[i], o);

        if (took == 0) {
            (void)fprintf(stderr, "%s: not understood\n%s", argv[i], usage);
            return -1;
        }
        i += took;
    }
    return 0;
}

/* ---- telling ------------------------------------------------------------------------------- */

static double seconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void tell_figures(const struct sim_figures *f, double took)
{
    (void)printf("%" PRId64 " seeds in %.1f s (%.0f/s), %" PRId64 " messages, %" PRId64
                 " generations\n",
                 f->seeds, took, (double)f->seeds / took, f->messages, f->generations);
    (void)printf("ends:");
    for (int s = VG_GEN_STORED; s < VG_GEN_STATE_MAX; s++)
        (void)printf(" %s %" PRId64, vg_generation_state_name((enum vg_generation_state)s),
                     f->ends[s]);
    (void)printf("\nfaults: %" PRId64 " crashes, %" PRId64 " stops, %" PRId64
                 " commits nobody heard of, %" PRId64 " stale writes refused\n",
                 f->crashes, f->stalls, f->lost_commits, f->refused);
    (void)printf("providers: %" PRId64 " submissions, %" PRId64 " lookups, %" PRId64
                 " jobs; unknown %" PRId64 ", of these with a job %" PRId64 "\n",
                 f->submissions, f->lookups, f->jobs, f->unknown, f->unknown_paid);
    (void)printf("receivers: %" PRId64 " callbacks, %" PRId64 " of them again after a 2xx\n",
                 f->callbacks, f->callbacks_twice);
    (void)printf("rescues: %" PRId64 ", longest %.1f s after the last sign of the holder; "
                 "longest wait for a claim %.1f s\n",
                 f->rescues, (double)f->longest_rescue_ms / 1000,
                 (double)f->longest_claim_ms / 1000);
}

static void tell_replay(const struct sim *sim)
{
    (void)printf("seed %" PRIu64 " breaks %s: %s\nreplay: simcore --start %" PRIu64
                 " --seeds 1 --trace%s%s\n",
                 sim->seed, sim->invariant, sim->why, sim->seed, sim->broken ? " --break " : "",
                 sim->broken ? sim_break_info(sim->broken)->name : "");
}

/* ---- running ------------------------------------------------------------------------------- */

/* The first seed that breaks something is told in full. */
static int run_seeds(struct sim *sim, const struct options *o)
{
    struct sim_figures figures = {0}, again = {0};
    double began = seconds();

    for (int64_t i = 0; i < o->seeds; i++) {
        uint64_t seed = (uint64_t)(o->start + i);

        sim_world_run(sim, seed, o->broken, o->trace, &figures);
        if (!sim->failed)
            continue;
        if (!o->trace)
            sim_world_run(sim, seed, o->broken, true, &again);
        tell_replay(sim);
        return 1;
    }
    tell_figures(&figures, seconds() - began);
    return 0;
}

/* 0: caught, by the invariant that it belongs to. */
static int catch_break(struct sim *sim, enum sim_break broken, const struct options *o)
{
    const struct sim_break_info *info = sim_break_info(broken);
    struct sim_figures figures = {0};

    for (int64_t i = 0; i < o->within; i++) {
        sim_world_run(sim, (uint64_t)(o->start + i), broken, false, &figures);
        if (sim->failed && strcmp(sim->invariant, info->invariant) == 0) {
            (void)printf("%-18s %-2s caught after %5" PRId64 " seeds, by seed %" PRIu64 ": %s\n",
                         info->name, info->invariant, i + 1, sim->seed, sim->why);
            return 0;
        }
    }
    (void)printf("%-18s %-2s NOT CAUGHT in %" PRId64 " seeds (%s)\n", info->name, info->invariant,
                 o->within, info->what);
    return 1;
}

static int catch_breaks(struct sim *sim, const struct options *o)
{
    int missed = 0;

    for (int b = SIM_BREAK_NONE + 1; b < SIM_BREAK_MAX; b++)
        missed += catch_break(sim, (enum sim_break)b, o);
    (void)printf("%d variants, %d not caught\n", SIM_BREAK_MAX - 1, missed);
    return missed > 0;
}

static int list_breaks(void)
{
    for (int b = SIM_BREAK_NONE + 1; b < SIM_BREAK_MAX; b++) {
        const struct sim_break_info *info = sim_break_info((enum sim_break)b);
        (void)printf("%-18s %-2s %s\n", info->name, info->invariant, info->what);
    }
    return 0;
}

int main(int argc, char **argv)
{
    struct options o = {.seeds = 20000, .start = 1, .within = 20000};

    if (read_options(argc, argv, &o))
        return 2;
    if (o.list)
        return list_breaks();
    struct sim *sim = vg_xalloc(sizeof(*sim));
    int failed = o.breaks ? catch_breaks(sim, &o) : run_seeds(sim, &o);

    free(sim);
    return failed;
}
