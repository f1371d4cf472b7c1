/* SPDX-License-Identifier: Apache-2.0 */
/* One signed delivery attempt per call (Standard Webhooks 1.0.0), on a loop of its own. Deliver may
 * be called from any thread; `done` comes on the loop's. No redirect is followed; the answer's body
 * is read to 64 KiB, and its first characters are kept. */
#ifndef VG_WORKERS_WEBHOOK_SENDER_H
#define VG_WORKERS_WEBHOOK_SENDER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/http/guard.h"
#include "common/metrics.h"
#include "common/task.h"
#include "workers/webhook/answer.h"

struct vg_sender;

struct vg_sender_options {
    struct vg_http_guard guard; /* strings are borrowed */
    int max_attempts;           /* in flight at once; beyond it VG_ERR_OVERLOADED */
    struct vg_metrics *metrics; /* outlives the sender; may be NULL */
};

VG_MUSTCHECK int vg_sender_start(struct vg_sender **out, const struct vg_sender_options *options,
                                 struct vg_err *err);
/* Ends what is under way as "cancelled" and joins. */
struct vg_sender *vg_sender_stop(struct vg_sender *sender);

enum vg_delivery_outcome {
    VG_DELIVERY_DELIVERED, /* 2xx */
    VG_DELIVERY_RETRY,     /* any other answer, none, or a broken one */
    VG_DELIVERY_GONE,      /* 410 */
    VG_DELIVERY_REFUSED,   /* the guard, or a URL that is none */
    VG_DELIVERY_OUTCOME_MAX
};

/* One attempt, made twice when the connection failed within a second and nothing was sent: a
 * receiver that restarts is there again. Embedded in its owner and the sender's until `done`. The
 * strings and the body live as long. */
struct vg_delivery {
    const char *id, *url, *secret;
    const char *const *old_secrets; /* that sign along, newest first */
    size_t old_count;               /* at most 10 */
    struct vg_view body;
    int64_t timeout_ms; /* 1,000 to 60,000; 0: 30,000 */
    void (*done)(struct vg_delivery *delivery);

    /* results */
    bool ok; /* an attempt was made or refused; false: `err` */
    struct vg_err err;
    enum vg_delivery_outcome outcome;
    int http_status;
    int64_t retry_after_ms;
    char reason[24];
    int64_t duration_ms;
    char answer[VG_WEBHOOK_ANSWER + 1]; /* as answer.h has it */

    /* the sender's */
    struct vg_sender *sender;
    bool again; /* this is the second time */
    int64_t spent_ms;
    struct vg_task task;
};
void vg_sender_deliver(struct vg_sender *sender, struct vg_delivery *delivery);

#endif
