/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/clips.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "workers/providers/sandbox/render.h"

#define MAX_CLIPS 256

enum clip_state {
    CLIP_MAKING, /* -> ready, or forgotten on failure */
    CLIP_READY
};

struct clip {
    struct vg_sandbox_clips *owner; /* borrowed */
    int width, height, seconds;
    bool audio;
    enum clip_state state;
    int64_t bytes;
    char sha256[VG_SHA256_HEX_SIZE];
    struct vg_sandbox_clip_get *waiting; /* borrowed until done */
    struct vg_task task;
};

struct vg_sandbox_clips {
    const char *dir, *font_file;   /* borrowed */
    struct vg_executor *executor;  /* borrowed */
    pthread_mutex_t mutex;         /* guards what follows */
    struct clip *clips[MAX_CLIPS]; /* owned */
    size_t count;
};

struct vg_sandbox_clips *vg_sandbox_clips_new(const char *dir, const char *font_file,
                                              struct vg_executor *executor)
{
    struct vg_sandbox_clips *self = vg_xalloc(sizeof(*self));
    self->dir = dir;
    self->font_file = font_file;
    self->executor = executor;
    pthread_mutex_init(&self->mutex, NULL);
    return self;
}

struct vg_sandbox_clips *vg_sandbox_clips_free(struct vg_sandbox_clips *clips)
{
    if (!clips)
        return NULL;
    for (size_t i = 0; i < clips->count; i++)
        free(clips->clips[i]);
    pthread_mutex_destroy(&clips->mutex);
    free(clips);
    return NULL;
}

static void clip_name(char out[64], int width, int height, int seconds, bool audio)
{
    (void)snprintf(out, 64, "%dx%d-%ds%s.mp4", width, height, seconds, audio ? "-audio" : "");
}

void vg_sandbox_clip_path(char out[VG_SANDBOX_PATH_SIZE], const char *dir, int width, int height,
                          int seconds, bool audio)
{
    char name[64];
    clip_name(name, width, height, seconds, audio);
    vg_sandbox_path(out, dir, "clips", name);
}

static int make_clip(struct clip *clip, struct vg_err *err)
{
    char name[64];
    char path[VG_SANDBOX_PATH_SIZE];
    char temp[VG_SANDBOX_PATH_SIZE];
    const char *dir = clip->owner->dir;
    clip_name(name, clip->width, clip->height, clip->seconds, clip->audio);
    vg_sandbox_path(temp, dir, "tmp", name);
    vg_sandbox_path(path, dir, "clips", name);
    /* Made by an earlier process: whole, since it has its name. */
    if (access(path, R_OK) == 0 && vg_sandbox_hash_file(path, &clip->bytes, clip->sha256, err) == 0)
        return 0;
    struct vg_render render = {.path = temp, .audio = clip->audio};
    render.scene.width = clip->width;
    render.scene.height = clip->height;
    render.scene.seconds = clip->seconds;
    render.scene.still = true;
    render.scene.prompt = "Videogate sandbox: an instant clip";
    render.scene.model = "sandbox-instant";
    render.scene.font_file = clip->owner->font_file;
    if (vg_render_run(&render, err) || vg_sandbox_hash_file(temp, &clip->bytes, clip->sha256, err))
        return -1;
    return vg_sandbox_publish(temp, path, err);
}

static void answer(struct vg_sandbox_clip_get *get, const struct clip *clip)
{
    get->ok = true;
    get->bytes = clip->bytes;
    memcpy(get->sha256, clip->sha256, sizeof(get->sha256));
}

/* With the mutex held. */
static void forget(struct vg_sandbox_clips *self, const struct clip *clip)
{
    size_t i = 0;
    while (self->clips[i] != clip)
        i++;
    self->clips[i] = self->clips[--self->count];
}

static void make(struct vg_task *task)
{
    struct clip *clip = VG_CONTAINER(task, struct clip, task);
    struct vg_sandbox_clips *self = clip->owner;
    struct vg_err err;
    int rc = make_clip(clip, &err);

    pthread_mutex_lock(&self->mutex);
    struct vg_sandbox_clip_get *get = clip->waiting;
    clip->waiting = NULL;
    clip->state = CLIP_READY;
    for (struct vg_sandbox_clip_get *g = get; g; g = g->next) {
        if (rc)
            g->err = err;
        else
            answer(g, clip);
    }
    if (rc)
        forget(self, clip); /* the next wish tries again */
    pthread_mutex_unlock(&self->mutex);
    if (rc)
        free(clip);
    while (get) {
        struct vg_sandbox_clip_get *next = get->next;
        get->done(get);
        get = next;
    }
}

static struct clip *find(const struct vg_sandbox_clips *self, const struct vg_sandbox_clip_get *get)
{
    for (size_t i = 0; i < self->count; i++) {
        struct clip *clip = self->clips[i];
        if (clip->width == get->width && clip->height == get->height &&
            clip->seconds == get->seconds && clip->audio == get->audio)
            return clip;
    }
    return NULL;
}

static struct clip *add(struct vg_sandbox_clips *self, const struct vg_sandbox_clip_get *get)
{
    if (self->count == MAX_CLIPS)
        return NULL;
    struct clip *clip = vg_xalloc(sizeof(*clip));
    clip->owner = self;
    clip->width = get->width;
    clip->height = get->height;
    clip->seconds = get->seconds;
    clip->audio = get->audio;
    clip->task.run = make;
    self->clips[self->count++] = clip;
    vg_post(self->executor, &clip->task);
    return clip;
}

void vg_sandbox_clips_get(struct vg_sandbox_clips *clips, struct vg_sandbox_clip_get *get)
{
    get->ok = false;
    bool now = true;
    pthread_mutex_lock(&clips->mutex);
    struct clip *clip = find(clips, get);
    if (!clip)
        clip = add(clips, get);
    if (!clip) {
        (void)vg_err_set(&get->err, VG_ERR_INVALID_REQUEST,
                         "More than %d kinds of instant clip were asked for.", MAX_CLIPS);
    } else if (clip->state == CLIP_READY) {
        answer(get, clip);
    } else {
        get->next = clip->waiting;
        clip->waiting = get;
        now = false;
    }
    pthread_mutex_unlock(&clips->mutex);
    if (now)
        get->done(get);
}
