/* SPDX-License-Identifier: Apache-2.0 */
/* Requests a minute, of keys and projects: a generic cell rate algorithm (ITU-T I.371) in memory,
 * exact within one process. A limit lets a burst of a whole minute through, then one request each
 * 60 s / limit. Any thread. */
#ifndef VG_SERVICE_RATE_H
#define VG_SERVICE_RATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vg_rate;

/* `share`: how many processes stand behind one address; each admits that part of a limit, at least
 * one request a minute. */
struct vg_rate *vg_rate_new(int share);
struct vg_rate *vg_rate_free(struct vg_rate *rate);

/* One limit that a request falls under. */
struct vg_rate_limit {
    uint64_t id;        /* whose: see below */
    int32_t per_minute; /* at least 1 */
};
uint64_t vg_rate_key(const char *key_id);
uint64_t vg_rate_project(int64_t project_id);

struct vg_rate_answer {
    bool allowed;
    size_t tightest;   /* of the limits: the one that refuses, else the one with least left */
    int32_t limit;     /* of that one, a minute */
    int32_t remaining; /* requests that it would let through at once */
    int64_t reset_ms;  /* until all of it is there again */
    int64_t retry_ms;  /* refused: until one request is let through; at most 60,000 */
};
/* Counts one request against every limit, or against none when one refuses. 1 to 2 limits. */
void vg_rate_take(struct vg_rate *rate, const struct vg_rate_limit *limits, size_t count,
                  int64_t now_ns, struct vg_rate_answer *out);

/* "12ms", "1s", "6m0s": a time as OpenAI's x-ratelimit-reset-requests says it. */
#define VG_RATE_DURATION_SIZE 24
void vg_rate_duration(char out[VG_RATE_DURATION_SIZE], int64_t ms);

#endif
