/* SPDX-License-Identifier: Apache-2.0 */
#include "service/variant.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/work_pool.h"
#include "service/variant_media.h"

enum { VARIANTS_MADE, VARIANTS_SECONDS };
enum { OUTCOME_MADE, OUTCOME_FAILED };
static const char *const outcomes[] = {"made", "failed", NULL};
static const struct vg_metric_desc metric_table[] = {
    [VARIANTS_MADE] = {"videogate_variants_total", VG_METRIC_COUNTER,
                       "Makings of thumbnails and spritesheets.", "outcome", outcomes},
    [VARIANTS_SECONDS] = {"videogate_variant_seconds", VG_METRIC_HISTOGRAM,
                          "Time that a making took.", NULL, NULL},
};

static const struct kind {
    const char *name;
    const char *mime_type;
    const char *suffix; /* of the output's key */
    int (*render)(const struct vg_variant_source *source, struct vg_buf *out, struct vg_err *err);
} kinds[VG_VARIANT_MAX] = {
    [VG_VARIANT_THUMBNAIL] = {"thumbnail", "image/webp", ".thumbnail.webp", vg_variant_thumbnail},
    [VG_VARIANT_SPRITESHEET] = {"spritesheet", "image/jpeg", ".spritesheet.jpg",
                                vg_variant_spritesheet},
};

/* One output being made into what its waiters want, on one thread. */
struct making {
    struct vg_task task;
    struct vg_variants *all; /* borrowed */
    char output[VG_BLOB_KEY_SIZE];
    struct vg_variant_wait *waiters; /* under the lock; borrowed, given back by their done */
    struct making *next;
};

struct vg_variants {
    struct vg_variants_options options;
    struct vg_metric_set *metrics; /* borrowed */
    struct vg_work_pool *pool;     /* owned */
    atomic_bool cancelled;
    pthread_mutex_t lock;   /* guards what follows */
    struct making *makings; /* owned */
    size_t count;
};

/* --- names --- */

const char *vg_variant_mime_type(enum vg_variant variant)
{
    return kinds[variant].mime_type;
}

void vg_variant_key(char out[VG_BLOB_KEY_SIZE], const char *output, enum vg_variant variant)
{
    int len = snprintf(out, VG_BLOB_KEY_SIZE, "%s%s", output, kinds[variant].suffix);

    VG_ASSERT(len > 0 && len < VG_BLOB_KEY_SIZE);
}

/* The output's file goes first: see publish. */
int vg_variant_remove(struct vg_blob_store *store, const char *key, struct vg_err *err)
{
    char variant_key[VG_BLOB_KEY_SIZE];

    if (vg_blob_remove(store, key, err) < 0)
        return -1;
    if (strncmp(key, "outputs/", 8) != 0)
        return 0;
    for (int v = 0; v < VG_VARIANT_MAX; v++) {
        vg_variant_key(variant_key, key, (enum vg_variant)v);
        if (vg_blob_remove(store, variant_key, err) < 0)
            return -1;
    }
    return 0;
}

static bool exists(struct vg_blob_store *store, const char *key)
{
    struct vg_blob_reader *reader = NULL;
    struct vg_err err = {.kind = VG_ERR_MAX};

    if (vg_blob_open(store, key, &reader, &err) < 0)
        return err.kind != VG_ERR_NOT_FOUND; /* a disk that fails proves nothing */
    (void)vg_blob_close(reader);
    return true;
}

bool vg_variant_stray(struct vg_blob_store *store, const char *key)
{
    size_t len = strlen(key);
    char output[VG_BLOB_KEY_SIZE];

    for (int v = 0; v < VG_VARIANT_MAX; v++) {
        size_t tail = strlen(kinds[v].suffix);
        if (len >= sizeof(output) || len <= tail || strcmp(key + len - tail, kinds[v].suffix) != 0)
            continue;
        memcpy(output, key, len - tail);
        output[len - tail] = '\0';
        return !exists(store, output);
    }
    return false;
}

/* --- one making --- */

/* The output's file for the decoder. */
struct input {
    struct vg_blob_reader *reader;
    const struct vg_variants *all;
    int64_t deadline_ns;
};

static int input_read(void *ctx, int64_t offset, void *buf, size_t len, size_t *out_len)
{
    const struct input *in = ctx;

    return vg_blob_read(in->reader, offset, buf, len, out_len, NULL);
}

static bool input_stop(void *ctx)
{
    const struct input *in = ctx;

    return atomic_load(&in->all->cancelled) || vg_now_ns() >= in->deadline_ns;
}

/* After the file is there, look whether the output still is: who removes an output removes its file
 * first and its variants after, so one of the two sees the other's work. */
static int publish(const struct vg_variants *all, const char *output, const char *key,
                   const struct vg_buf *bytes, struct vg_err *err)
{
    struct vg_blob_store *blobs = all->options.blobs;

    if (vg_blob_put(blobs, key, bytes->data, bytes->len, NULL, err) < 0)
        return -1;
    if (exists(blobs, output))
        return 0;
    if (vg_blob_remove(blobs, key, err) < 0) /* then the janitor finds it */
        return -1;
    return vg_err_set(err, VG_ERR_NOT_FOUND, NULL);
}

static int render(const struct vg_variants *all, const char *output, enum vg_variant variant,
                  struct vg_buf *bytes, struct vg_err *err)
{
    struct input in = {.all = all, .deadline_ns = vg_deadline_in_ms(all->options.timeout_ms)};

    if (vg_blob_open(all->options.blobs, output, &in.reader, err) < 0)
        return -1;
    const struct vg_variant_source source = {
        .ctx = &in, .size = vg_blob_size(in.reader), .read = input_read, .stop = input_stop};
    int rc = kinds[variant].render(&source, bytes, err);
    (void)vg_blob_close(in.reader);
    if (rc < 0 && atomic_load(&all->cancelled))
        return vg_err_set(err, VG_ERR_UNAVAILABLE, NULL);
    return rc;
}

static int make(const struct making *m, enum vg_variant variant, const char *video_id,
                struct vg_err *err)
{
    const struct vg_variants *all = m->all;
    char key[VG_BLOB_KEY_SIZE];
    struct vg_buf bytes;
    int64_t start = vg_now_ns();

    vg_variant_key(key, m->output, variant);
    vg_buf_init(&bytes, VG_VARIANT_MAX_BYTES);
    int rc = render(all, m->output, variant, &bytes, err);
    if (rc == 0)
        rc = publish(all, m->output, key, &bytes, err);
    int64_t ns = vg_now_ns() - start;
    vg_metric_add(all->metrics, VARIANTS_MADE, rc == 0 ? OUTCOME_MADE : OUTCOME_FAILED, 1);
    vg_metric_observe_ns(all->metrics, VARIANTS_SECONDS, 0, ns);
    if (rc == 0)
        vg_log(VG_LOG_INFO, "variant made", VG_S("video", video_id),
               VG_S("variant", kinds[variant].name), VG_I("bytes", (int64_t)bytes.len),
               VG_I("ms", ns / VG_NS_PER_MS));
    else
        vg_log(VG_LOG_WARN, "variant not made", VG_S("video", video_id),
               VG_S("variant", kinds[variant].name), VG_S("why", vg_err_text(err)),
               VG_I("ms", ns / VG_NS_PER_MS));
    if (rc < 0 && err->kind == VG_ERR_NO_VARIANT)
        (void)vg_err_param(err, VG_ERR_NO_VARIANT, "variant", "No %s can be made of this video.",
                           kinds[variant].name);
    vg_buf_fini(&bytes);
    return rc;
}

/* --- makings --- */

/* Takes those who wait for this variant; the making itself goes with the last. */
static struct vg_variant_wait *take_waiters(struct making *m, enum vg_variant variant,
                                            bool *out_last)
{
    struct vg_variants *all = m->all;
    struct vg_variant_wait *taken = NULL;

    (void)pthread_mutex_lock(&all->lock);
    for (struct vg_variant_wait **at = &m->waiters; *at;) {
        struct vg_variant_wait *wait = *at;
        if (wait->variant != variant) {
            at = &wait->next;
            continue;
        }
        *at = wait->next;
        wait->next = taken;
        taken = wait;
    }
    *out_last = m->waiters == NULL;
    if (*out_last) {
        struct making **at = &all->makings;
        while (*at != m)
            at = &(*at)->next;
        *at = m->next;
        all->count--;
    }
    (void)pthread_mutex_unlock(&all->lock);
    return taken;
}

static void run_making(struct vg_task *task)
{
    struct making *m = VG_CONTAINER(task, struct making, task);
    bool last = false;

    while (!last) {
        struct vg_err err = {.kind = VG_ERR_INTERNAL};
        (void)pthread_mutex_lock(&m->all->lock);
        enum vg_variant variant = m->waiters->variant; /* it stays until we take it */
        const char *video_id = m->waiters->video_id;
        (void)pthread_mutex_unlock(&m->all->lock);
        bool ok = make(m, variant, video_id, &err) == 0;
        struct vg_variant_wait *wait = take_waiters(m, variant, &last);
        while (wait) {
            struct vg_variant_wait *next = wait->next;
            wait->ok = ok;
            wait->err = err;
            vg_post(wait->executor, &wait->done);
            wait = next;
        }
    }
    free(m);
}

static struct making *find(struct vg_variants *all, const char *output)
{
    struct making *m = all->makings;

    while (m && strcmp(m->output, output) != 0)
        m = m->next;
    return m;
}

static struct making *add(struct vg_variants *all, const char *output)
{
    struct making *m = vg_xalloc(sizeof(*m));

    m->task.run = run_making;
    m->all = all;
    VG_ASSERT(vg_strcpy(m->output, sizeof(m->output), output));
    m->next = all->makings;
    all->makings = m;
    all->count++;
    return m;
}

void vg_variants_make(struct vg_variants *variants, struct vg_variant_wait *wait)
{
    struct making *fresh = NULL;

    (void)pthread_mutex_lock(&variants->lock);
    struct making *m = find(variants, wait->output);
    if (!m && variants->count < variants->options.max_pending)
        m = fresh = add(variants, wait->output);
    if (m) {
        wait->next = m->waiters;
        m->waiters = wait;
    }
    (void)pthread_mutex_unlock(&variants->lock);
    if (fresh)
        vg_post(vg_work_pool_executor(variants->pool), &fresh->task);
    if (m)
        return;
    wait->ok = false;
    (void)vg_err_set(&wait->err, VG_ERR_OVERLOADED, NULL);
    vg_post(wait->executor, &wait->done);
}

int vg_variants_start(struct vg_variants **out, const struct vg_variants_options *options,
                      struct vg_err *err)
{
    struct vg_variants *all = vg_xalloc(sizeof(*all));

    all->options = *options;
    if (all->options.max_pending == 0)
        all->options.max_pending = 256;
    atomic_init(&all->cancelled, false);
    vg_variant_media_setup();
    if (vg_work_pool_start(&all->pool, "variants", options->threads, err) < 0) {
        free(all);
        return -1;
    }
    VG_ASSERT(pthread_mutex_init(&all->lock, NULL) == 0);
    all->metrics = vg_metrics_register(options->metrics, metric_table, VG_COUNT(metric_table));
    *out = all;
    return 0;
}

void vg_variants_cancel(struct vg_variants *variants)
{
    if (variants)
        atomic_store(&variants->cancelled, true);
}

struct vg_variants *vg_variants_stop(struct vg_variants *variants)
{
    if (!variants)
        return NULL;
    variants->pool = vg_work_pool_stop(variants->pool);
    VG_ASSERT(variants->count == 0);
    (void)pthread_mutex_destroy(&variants->lock);
    free(variants);
    return NULL;
}
