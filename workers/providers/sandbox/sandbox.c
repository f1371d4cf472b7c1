/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/sandbox.h"

#include <libavutil/log.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "workers/providers/sandbox/sandbox_priv.h"
#include "workers/providers/sandbox/script.h"

#define IO_THREADS 2

static const struct vg_config_key keys[] = {
    {"sandbox-dir", VG_CONFIG_TEXT, offsetof(struct vg_sandbox_config, dir), NULL, 0, 0, false,
     false, "Folder of the sandbox's jobs and clips; --provider sandbox needs it."},
    {"sandbox-font", VG_CONFIG_TEXT, offsetof(struct vg_sandbox_config, font),
     "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf", 0, 0, false, false,
     "Font file for the text in the sandbox's clips."},
    {"sandbox-queue", VG_CONFIG_INT, offsetof(struct vg_sandbox_config, queue), "1024", 1, 100000,
     false, false, "Sandbox jobs waiting or rendering; beyond it a submission is refused."},
    {"sandbox-retention", VG_CONFIG_DURATION, offsetof(struct vg_sandbox_config, retention_ms),
     "24h", 60000, INT64_C(31536000000), false, false, "Age at which the sandbox forgets a job."},
    {"sandbox-slow", VG_CONFIG_DURATION, offsetof(struct vg_sandbox_config, slow_ms), "20s", 0,
     86400000, false, false, "Least time that a job of model sandbox-slow takes."},
    {"sandbox-threads", VG_CONFIG_INT, offsetof(struct vg_sandbox_config, threads), "0", 0, 256,
     false, false, "Rendering threads; 0: cores less one, at least one."},
};

static const char *const render_outcomes[] = {"ok", "failed", "canceled", NULL};
static const struct vg_metric_desc metric_table[] = {
    [VG_SANDBOX_M_SUBMISSIONS] = {"videogate_sandbox_submissions_total", VG_METRIC_COUNTER,
                                  "Jobs recorded.", NULL, NULL},
    [VG_SANDBOX_M_RENDERS] = {"videogate_sandbox_renders_total", VG_METRIC_COUNTER,
                              "Clips rendered, by outcome.", "outcome", render_outcomes},
    [VG_SANDBOX_M_RENDER_SECONDS] = {"videogate_sandbox_render_seconds", VG_METRIC_HISTOGRAM,
                                     "Time to render one clip.", NULL, NULL},
    [VG_SANDBOX_M_QUEUE] = {"videogate_sandbox_queue", VG_METRIC_GAUGE,
                            "Jobs waiting for a renderer or being rendered.", NULL, NULL},
};

static int check(const void *config, struct vg_err *err)
{
    const struct vg_sandbox_config *c = config;
    if (!c->dir || !*c->dir)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "sandbox-dir",
                            "sandbox-dir: --provider sandbox needs a folder.");
    if (access(c->font, R_OK))
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, "sandbox-font",
                            "sandbox-font: %s cannot be read; install fonts-dejavu-core or name "
                            "another font file.",
                            c->font);
    return 0;
}

/* --- start and stop --- */

static void resume(void *ctx, struct vg_sandbox_job *job)
{
    struct vg_sandbox *self = ctx;
    if (vg_sandbox_script_of(job->model)->renders)
        vg_sandbox_enqueue(self, vg_sandbox_store_ref(self->store, job));
}

static int render_threads(const struct vg_sandbox_config *config)
{
    if (config->threads > 0)
        return (int)config->threads;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores > 2 ? (int)cores - 1 : 1;
}

static void stop(void *ctx)
{
    struct vg_sandbox *self = ctx;
    atomic_store(&self->stopping, true);
    pthread_mutex_lock(&self->mutex);
    self->closed = true;
    pthread_mutex_unlock(&self->mutex);
    /* Renderers give up at the next frame; the io pool ends streams and pending submissions; both
     * may still write to the store, which goes last. */
    vg_work_pool_stop(self->renderers);
    vg_work_pool_stop(self->io);
    vg_sandbox_store_close(self->store);
    vg_sandbox_clips_free(self->clips);
    pthread_mutex_destroy(&self->mutex);
    free(self);
}

static int start(void **out_self, const struct vg_provider_env *env, struct vg_err *err)
{
    struct vg_sandbox *self = vg_xalloc(sizeof(*self));
    self->config = env->config;
    pthread_mutex_init(&self->mutex, NULL);
    av_log_set_level(AV_LOG_QUIET);
    if (check(env->config, err) ||
        vg_sandbox_store_open(&self->store, self->config->dir, self->config->retention_ms, err) ||
        vg_work_pool_start(&self->io, "sandbox-io", IO_THREADS, err) ||
        vg_work_pool_start(&self->renderers, "sandbox-render", render_threads(self->config), err)) {
        stop(self);
        return -1;
    }
    self->clips = vg_sandbox_clips_new(vg_sandbox_store_dir(self->store), self->config->font,
                                       vg_work_pool_executor(self->io));
    if (env->metrics)
        self->metrics = vg_metrics_register(env->metrics, metric_table, VG_COUNT(metric_table));
    vg_sandbox_store_each_open(self->store, resume, self);
    *out_self = self;
    return 0;
}

static bool ready(void *ctx, char *why, size_t why_size)
{
    struct vg_sandbox *self = ctx;
    if (vg_sandbox_store_sound(self->store))
        return true;
    (void)snprintf(why, why_size, "the sandbox's journal could not be written");
    return false;
}

static void describe(void *ctx, Videogate__V1__DescribeResponse *response)
{
    const struct vg_sandbox *self = ctx;
    response->provider = "sandbox";
    response->supports_cancel = true;
    response->supports_lookup = true;
    response->max_concurrency = (int32_t)self->config->queue;
}

const struct vg_provider *vg_sandbox_provider(void)
{
    static const struct vg_provider provider = {
        .name = "sandbox",
        .keys = keys,
        .key_count = VG_COUNT(keys),
        .config_size = sizeof(struct vg_sandbox_config),
        .check = check,
        .start = start,
        .ready = ready,
        .stop = stop,
        .describe = describe,
        .submit = vg_sandbox_submit,
        .poll = vg_sandbox_poll,
        .fetch = vg_sandbox_fetch,
        .cancel = vg_sandbox_cancel,
        .lookup = vg_sandbox_lookup,
    };
    return &provider;
}
