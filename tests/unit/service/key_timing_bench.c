/* SPDX-License-Identifier: Apache-2.0 */
/* Not a test: whether the time of a refusal tells an id that exists from one that does not. Welch's
 * t over two classes in random order, as dudect does it (Reparaz, Balasch, Verbauwhede 2017): |t|
 * below 4.5 finds no difference. The database answers at once, so that only our own work is timed.
 *
 *   key_timing_bench [SAMPLES]
 *
 * The first line compares a class with itself, the last one a comparison that is not constant-time:
 * the bench must call the one equal and the other not. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/api_key.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/mem.h"
#include "common/str.h"
#include "service/auth.h"

#define KEYS 64 /* of each class; their texts differ from sample to sample */
#define CROPS 5

struct bench {
    struct vg_executor executor;
    struct vg_auth *auth;
    struct vg_peppers *peppers;
    struct vg_peppered rows[KEYS]; /* of the right secrets */
    char keys[KEYS][VG_API_KEY_SIZE];
    size_t at;
    bool exists;
};

/* Welch's t, once over all samples and once each below some percentile: the tail is noise. */
struct moments {
    double n[2], mean[2], m2[2];
};

static void push(struct moments *m, int class, double x)
{
    double d = x - m->mean[class];

    m->n[class]++;
    m->mean[class] += d / m->n[class];
    m->m2[class] += d * (x - m->mean[class]);
}

static double welch(const struct moments *m)
{
    double a = m->m2[0] / (m->n[0] - 1) / m->n[0], b = m->m2[1] / (m->n[1] - 1) / m->n[1];

    return (m->mean[0] - m->mean[1]) / sqrt(a + b);
}

static void run_now(struct vg_executor *self, struct vg_task *task)
{
    (void)self;
    task->run(task);
}

static void ignore(struct vg_task *task)
{
    (void)task;
}

/* Both classes are given a row: what the store copies is not what is measured. */
static void answer_lookup(void *ctx, struct vg_key_lookup *op)
{
    struct bench *b = ctx;

    op->op.ok = true;
    op->found = b->exists;
    op->pepper = b->rows[b->at].pepper;
    memcpy(op->stored, b->rows[b->at].hash, sizeof(op->stored));
    op->project_id = 1;
    op->key_id = "key_x";
    op->scopes = "";
    op->op.done.run(&op->op.done);
}

/* One refused key; its time in ns. A new secret each time: the answers are cached. */
static double refuse(struct bench *b, int class)
{
    struct vg_auth_wait wait = {.executor = &b->executor, .done.run = ignore};
    char id[VG_ID_SIZE], key[VG_API_KEY_SIZE];

    b->at = (size_t)(vg_random_unit() * KEYS);
    b->exists = class == 1;
    VG_ASSERT(vg_api_key_read(vg_view_of(b->keys[b->at]), id) == VG_API_KEY_WITH_ID);
    vg_api_key_new(key, id);
    int64_t start = vg_now_ns();
    (void)vg_auth_check(b->auth, vg_view_of(key), &wait);
    int64_t took = vg_now_ns() - start;
    VG_ASSERT(!wait.ok && wait.err.kind == VG_ERR_UNAUTHENTICATED);
    return (double)took;
}

static double same_class(struct bench *b, int class)
{
    (void)class;
    return refuse(b, 0);
}

/* What must be found: stops at the first byte that differs. */
static double leaky(struct bench *b, int class)
{
    static uint8_t secret[4096], guess[4096];
    volatile bool same = true;

    (void)b;
    memset(guess, 0, sizeof(guess));
    guess[class ? sizeof(guess) - 1 : 0] = 1;
    int64_t start = vg_now_ns();
    for (size_t i = 0; same && i < sizeof(guess); i++)
        same = secret[i] == guess[i];
    return (double)(vg_now_ns() - start);
}

/* The comparison itself: a difference in the first byte and one in the last. */
static double compare(struct bench *b, int class)
{
    static uint8_t secret[VG_SHA256_SIZE], guess[VG_SHA256_SIZE];
    volatile bool same = false;

    (void)b;
    memset(guess, 0, sizeof(guess));
    guess[class ? sizeof(guess) - 1 : 0] = 1;
    int64_t start = vg_now_ns();
    for (int i = 0; i < 64; i++)
        same = vg_equal_ct(secret, guess, sizeof(guess)) || same;
    return (double)(vg_now_ns() - start);
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void measure(const char *name, struct bench *b, double (*sample)(struct bench *, int),
                    int64_t samples)
{
    static const double crops[CROPS] = {1, 0.99, 0.9, 0.7, 0.5};
    double first[2000], limits[CROPS], worst = 0;
    struct moments m[CROPS] = {{{0}, {0}, {0}}};

    for (size_t i = 0; i < VG_COUNT(first); i++)
        first[i] = sample(b, (int)(i % 2));
    qsort(first, VG_COUNT(first), sizeof(first[0]), by_size);
    for (size_t c = 0; c < CROPS; c++)
        limits[c] = c == 0 ? INFINITY : first[(size_t)(crops[c] * (double)(VG_COUNT(first) - 1))];
    for (int64_t i = 0; i < samples; i++) {
        int class = vg_random_unit() < 0.5;
        double ns = sample(b, class);
        for (size_t c = 0; c < CROPS; c++)
            if (ns <= limits[c])
                push(&m[c], class, ns);
    }
    for (size_t c = 0; c < CROPS; c++)
        worst = fabs(welch(&m[c])) > fabs(worst) ? welch(&m[c]) : worst;
    (void)printf("%-34s %lld samples, means %.0f and %.0f ns, largest |t| %.2f: %s\n", name,
                 (long long)samples, m[2].mean[0], m[2].mean[1], fabs(worst),
                 fabs(worst) < 4.5 ? "no difference" : "DIFFERENT");
}

int main(int argc, char **argv)
{
    static struct bench b = {.executor.post = run_now};
    int64_t samples = 1000000;
    struct vg_err err;

    if ((argc > 1 && vg_parse_i64(vg_view_of(argv[1]), 10000, INT32_MAX, &samples) < 0) ||
        vg_peppers_new(&b.peppers, NULL, "a secret key of the bench", NULL, &err) < 0)
        return 2;
    const struct vg_auth_options options = {.lookup = answer_lookup,
                                            .lookup_ctx = &b,
                                            .executor = &b.executor,
                                            .peppers = b.peppers,
                                            .max_entries = 4};
    b.auth = vg_auth_new(&options);
    for (size_t i = 0; i < KEYS; i++) {
        char id[VG_ID_SIZE];
        vg_id_new(id, "key");
        vg_api_key_new(b.keys[i], id);
        vg_pepper_make(b.peppers, vg_view_of(b.keys[i]), &b.rows[i]);
    }
    measure("the same twice", &b, same_class, samples);
    measure("unknown id, id with wrong secret", &b, refuse, samples);
    measure("first byte wrong, last byte wrong", &b, compare, samples);
    measure("control: not constant-time", &b, leaky, samples / 10);
    (void)vg_auth_free(b.auth);
    (void)vg_peppers_free(b.peppers);
    return 0;
}
