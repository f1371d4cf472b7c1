/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/render.h"

#include <math.h>
#include <unistd.h>

#include "workers/providers/sandbox/clip.h"

#define PI 3.14159265358979323846
#define SAMPLES_PER_FRAME 2000 /* VG_CLIP_SAMPLE_RATE / VG_SCENE_FPS */

/* A soft chord that swells; the root follows the seed. */
static float sample(double time, double length, double root, double pan)
{
    static const double intervals[] = {1, 1.25, 1.5, 2};
    double sum = 0;
    for (int i = 0; i < 4; i++) {
        double swell = 0.6 + 0.4 * sin(2 * PI * (0.11 + 0.05 * i) * time + i + pan);
        sum += swell * sin(2 * PI * root * intervals[i] * time);
    }
    double edge = fmin(1, fmin(time, length - time) * 4);
    return (float)(0.07 * sum * fmax(0, edge));
}

static int add_sound(struct vg_clip *clip, const struct vg_scene_desc *scene, int number,
                     struct vg_err *err)
{
    static const double roots[] = {110, 123.47, 130.81, 146.83, 164.81, 196};
    double root = roots[(unsigned)scene->seed % 6];
    float left[SAMPLES_PER_FRAME] = {0};
    float right[SAMPLES_PER_FRAME] = {0};
    for (int i = 0; !scene->still && i < SAMPLES_PER_FRAME; i++) {
        double time = ((double)number * SAMPLES_PER_FRAME + i) / VG_CLIP_SAMPLE_RATE;
        left[i] = sample(time, scene->seconds, root, 0);
        right[i] = sample(time, scene->seconds, root, 1.3);
    }
    return vg_clip_audio(clip, left, right, SAMPLES_PER_FRAME, err);
}

static int write_frames(const struct vg_render *render, struct vg_scene *scene,
                        struct vg_clip *clip, struct vg_err *err)
{
    struct vg_picture *picture = vg_picture_new(render->scene.width, render->scene.height);
    int frames = vg_scene_frames(scene);
    int rc = 0;
    for (int i = 0; i < frames && !rc; i++) {
        bool key = i == 0 || (i == frames - 1 && render->scene.last_frame.len);
        if (i == 0 || !render->scene.still)
            vg_scene_draw(scene, i, picture);
        rc = vg_clip_video(clip, picture, key, err);
        if (!rc && render->audio)
            rc = add_sound(clip, &render->scene, i, err);
        if (!rc && render->progress && !render->progress(render->ctx, (i + 1) * 100 / frames))
            rc = vg_err_set(err, VG_ERR_CANCELLED, NULL);
    }
    vg_picture_free(picture);
    return rc;
}

int vg_render_run(const struct vg_render *render, struct vg_err *err)
{
    struct vg_scene *scene = NULL;
    struct vg_clip *clip = NULL;
    const struct vg_clip_desc desc = {render->path, render->scene.width, render->scene.height,
                                      VG_SCENE_FPS, render->audio,       render->scene.still};
    int rc = vg_scene_new(&scene, &render->scene, err);
    if (!rc)
        rc = vg_clip_open(&clip, &desc, err);
    if (!rc)
        rc = write_frames(render, scene, clip, err);
    if (!rc)
        rc = vg_clip_finish(clip, err);
    vg_clip_free(clip);
    vg_scene_free(scene);
    if (rc)
        (void)unlink(render->path);
    return rc;
}
