/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/background.h"

#include <libswscale/swscale.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>

#include "common/mem.h"

#define PI 3.14159265358979323846

/* The gradient is computed on a coarse grid and scaled up: that is what makes it cheap. */
#define GRID_W 40
#define GRID_H 24
#define POOLS 5
#define LIGHTS 7

struct mover { /* a point that swings around the middle */
    double fx, fy, px, py;
};

struct vg_background {
    int width, height;
    struct SwsContext *sws; /* owned: grid to picture */
    struct {
        struct mover mover;
        double rgb[3];
    } pools[POOLS];
    struct {
        struct mover mover;
        int radius;
        uint8_t *alpha; /* owned, (2 * radius)^2 */
    } lights[LIGHTS];
    uint8_t grid[GRID_W * GRID_H * 3];
};

/* splitmix64: the same stream of numbers for the same seed on every machine. */
static double next_unit(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (double)((z ^ (z >> 31)) >> 11) / 9007199254740992.0;
}

static void hsv(double out[3], double hue, double saturation, double value)
{
    static const double shift[3] = {5, 3, 1};
    for (int i = 0; i < 3; i++) {
        double k = fmod(shift[i] + hue * 6, 6);
        double slope = fmax(0, fmin(fmin(k, 4 - k), 1));
        out[i] = 255 * (value - value * saturation * slope);
    }
}

static struct mover new_mover(uint64_t *state, double speed)
{
    struct mover m;
    m.fx = speed * (0.6 + 0.8 * next_unit(state));
    m.fy = speed * (0.6 + 0.8 * next_unit(state));
    m.px = next_unit(state);
    m.py = next_unit(state);
    return m;
}

static void where(const struct mover *m, double time, double *out_x, double *out_y)
{
    *out_x = 0.5 + 0.48 * sin(2 * PI * (time * m->fx + m->px));
    *out_y = 0.5 + 0.48 * sin(2 * PI * (time * m->fy + m->py));
}

static uint8_t *new_light(int radius, double strength)
{
    int side = 2 * radius;
    uint8_t *alpha = vg_xalloc((size_t)side * (size_t)side);
    for (int y = 0; y < side; y++) {
        for (int x = 0; x < side; x++) {
            double d = hypot(x + 0.5 - radius, y + 0.5 - radius) / radius;
            double edge = fmax(0, fmin(1, (1 - d) * 6));
            alpha[(ptrdiff_t)y * side + x] = (uint8_t)(strength * edge * (0.55 + 0.45 * d));
        }
    }
    return alpha;
}

int vg_background_new(struct vg_background **out, int width, int height, uint64_t seed,
                      struct vg_err *err)
{
    struct vg_background *self = vg_xalloc(sizeof(*self));
    self->width = width;
    self->height = height;
    self->sws = sws_getContext(GRID_W, GRID_H, AV_PIX_FMT_RGB24, width, height, AV_PIX_FMT_YUV420P,
                               SWS_BICUBIC | SWS_ACCURATE_RND, NULL, NULL, NULL);
    if (!self->sws) {
        vg_background_free(self);
        return vg_err_set(err, VG_ERR_INTERNAL, "No scaler for %dx%d.", width, height);
    }
    (void)sws_setColorspaceDetails(self->sws, sws_getCoefficients(SWS_CS_ITU601), 1,
                                   sws_getCoefficients(SWS_CS_ITU709), 0, 0, 1 << 16, 1 << 16);
    static const double hues[POOLS] = {0, 0.09, 0.55, 0.82, 0.95};
    static const double values[POOLS] = {0.55, 0.85, 0.35, 0.6, 0.16};
    double hue = next_unit(&seed);
    for (int i = 0; i < POOLS; i++) {
        hsv(self->pools[i].rgb, fmod(hue + hues[i], 1), 0.78, values[i]);
        self->pools[i].mover = new_mover(&seed, 0.09);
    }
    int side = width < height ? width : height;
    for (int i = 0; i < LIGHTS; i++) {
        int radius = (int)(side * (0.03 + 0.11 * next_unit(&seed)));
        self->lights[i].radius = radius < 2 ? 2 : radius;
        self->lights[i].alpha = new_light(self->lights[i].radius, 26 + 34 * next_unit(&seed));
        self->lights[i].mover = new_mover(&seed, 0.05);
    }
    *out = self;
    return 0;
}

struct vg_background *vg_background_free(struct vg_background *background)
{
    if (background) {
        sws_freeContext(background->sws);
        for (int i = 0; i < LIGHTS; i++)
            free(background->lights[i].alpha);
    }
    free(background);
    return NULL;
}

/* Every cell is the mean of the pools, weighted by nearness. */
static void fill_grid(struct vg_background *self, double time)
{
    double px[POOLS];
    double py[POOLS];
    for (int i = 0; i < POOLS; i++)
        where(&self->pools[i].mover, time, &px[i], &py[i]);
    uint8_t *to = self->grid;
    for (int cell = 0; cell < GRID_W * GRID_H; cell++) {
        double x = (cell % GRID_W + 0.5) / GRID_W;
        int row = cell / GRID_W;
        double y = (row + 0.5) / GRID_H;
        double sum[3] = {0, 0, 0};
        double total = 0;
        for (int i = 0; i < POOLS; i++) {
            double dx = x - px[i];
            double dy = y - py[i];
            double near = dx * dx + dy * dy + 0.02;
            double weight = 1 / (near * near);
            total += weight;
            for (int c = 0; c < 3; c++)
                sum[c] += weight * self->pools[i].rgb[c];
        }
        for (int c = 0; c < 3; c++)
            *to++ = (uint8_t)(sum[c] / total);
    }
}

static void lay_light(struct vg_picture *picture, const uint8_t *alpha, int radius, int cx, int cy)
{
    int side = 2 * radius;
    int from_x = cx - radius < 0 ? radius - cx : 0;
    int to_x = cx + radius > picture->width ? picture->width - cx + radius : side;
    for (int row = 0; row < side; row++) {
        int y = cy - radius + row;
        if (y < 0 || y >= picture->height)
            continue;
        uint8_t *to = picture->y + (ptrdiff_t)y * picture->width + cx - radius;
        const uint8_t *a = alpha + (ptrdiff_t)row * side;
        for (int x = from_x; x < to_x; x++)
            to[x] = (uint8_t)(to[x] + ((235 - to[x]) * a[x] >> 8));
    }
}

void vg_background_draw(struct vg_background *self, double time, struct vg_picture *picture)
{
    fill_grid(self, time);
    const uint8_t *from[4] = {self->grid};
    const int from_stride[4] = {GRID_W * 3};
    uint8_t *to[4] = {picture->y, picture->u, picture->v};
    const int to_stride[4] = {picture->width, picture->width / 2, picture->width / 2};
    (void)sws_scale(self->sws, from, from_stride, 0, GRID_H, to, to_stride);
    for (int i = 0; i < LIGHTS; i++) {
        double x;
        double y;
        where(&self->lights[i].mover, time, &x, &y);
        lay_light(picture, self->lights[i].alpha, self->lights[i].radius, (int)(x * self->width),
                  (int)(y * self->height));
    }
}
