/* SPDX-License-Identifier: Apache-2.0 */
/* What the webhook sender knows of attempts, by a hash of what makes two of them the same: those
 * under way, so that whoever asks for one again joins it, and for a while what the receiver said to
 * those that have ended. Bounded; those that ended first are forgotten first. One thread; the clock
 * is the caller's. */
#ifndef VG_WORKERS_WEBHOOK_ATTEMPTS_H
#define VG_WORKERS_WEBHOOK_ATTEMPTS_H

#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/crypto.h"

enum vg_delivery_outcome {
    VG_DELIVERY_DELIVERED, /* 2xx */
    VG_DELIVERY_RETRY,     /* any other answer, none, or a broken one */
    VG_DELIVERY_GONE,      /* 410 */
    VG_DELIVERY_REFUSED,   /* the guard, or a URL that is none */
    VG_DELIVERY_OUTCOME_MAX
};

struct vg_attempt_name {
    const char *id, *url;
    struct vg_view body;
    int32_t attempt, round;
};

struct vg_attempt_key {
    uint8_t hash[VG_SHA256_SIZE];
};
/* Any thread. */
void vg_attempt_key(struct vg_attempt_key *out, const struct vg_attempt_name *name);

struct vg_attempts;
struct vg_attempt;

struct vg_attempts_options {
    size_t max_count; /* more are not known */
    size_t max_bytes; /* of all of them */
    int64_t keep_ns;  /* so long after its end */
};

struct vg_attempts *vg_attempts_new(const struct vg_attempts_options *options);
struct vg_attempts *vg_attempts_free(struct vg_attempts *self);

/* What became of one. The texts are borrowed. */
struct vg_attempt_end {
    enum vg_delivery_outcome outcome;
    int http_status;
    int64_t retry_after_ms, duration_ms;
    const char *reason, *answer;
};

/* NULL: not known. What is returned, when it has ended, is good until the next call that changes
 * something. */
struct vg_attempt *vg_attempts_find(struct vg_attempts *self, const struct vg_attempt_key *key,
                                    int64_t now_ns);
/* Whose it is while it is under way; NULL: it has ended. */
void *vg_attempt_owner(const struct vg_attempt *attempt);
void vg_attempt_read(const struct vg_attempt *attempt, struct vg_attempt_end *out);

/* Under way from now on; its key is not known yet. NULL: so many are under way that it will not be
 * remembered. */
struct vg_attempt *vg_attempts_begin(struct vg_attempts *self, const struct vg_attempt_key *key,
                                     void *owner, int64_t now_ns);
/* `end` NULL: it is forgotten. The pointer is the table's again. */
void vg_attempts_end(struct vg_attempts *self, struct vg_attempt *attempt,
                     const struct vg_attempt_end *end, int64_t now_ns);

#endif
