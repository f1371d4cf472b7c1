/* SPDX-License-Identifier: Apache-2.0 */
/* One signed delivery attempt per call (Standard Webhooks 1.0.0), on a loop of its own. Deliver may
 * be called from any thread; `done` comes on the loop's. No redirect is followed; the answer's body
 * is read to 64 KiB, and its first characters are kept. An attempt that is asked for once more is
 * not made once more (attempts.h). */
#ifndef VG_WORKERS_WEBHOOK_SENDER_H
#define VG_WORKERS_WEBHOOK_SENDER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/http/guard.h"
#include "common/loop.h"
#include "common/metrics.h"
#include "common/task.h"
#include "workers/webhook/answer.h"
#include "workers/webhook/attempts.h"

struct vg_sender;

struct vg_sender_options {
    struct vg_http_guard guard; /* strings are borrowed */
    int max_attempts;           /* in flight at once; beyond it VG_ERR_OVERLOADED */
    int64_t linger_ms;          /* age up to which nobody needs to wait for an attempt */
    struct vg_metrics *metrics; /* outlives the sender; may be NULL */
};

VG_MUSTCHECK int vg_sender_start(struct vg_sender **out, const struct vg_sender_options *options,
                                 struct vg_err *err);
/* Ends what is under way as "cancelled" and joins. */
struct vg_sender *vg_sender_stop(struct vg_sender *sender);

/* Whether the receiver was asked for this very answer. */
enum vg_delivery_origin {
    VG_DELIVERY_MADE,
    VG_DELIVERY_JOINED,     /* another was making the same attempt */
    VG_DELIVERY_REMEMBERED, /* the same attempt had ended */
    VG_DELIVERY_ORIGIN_MAX
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
    int32_t attempt;    /* as DeliverRequest has them; 0: always made */
    int32_t round;
    void (*done)(struct vg_delivery *delivery);
    /* On the sender's thread before the attempt; from then on vg_sender_cancel may be called there.
     * Not called when the attempt is refused at once. May be NULL. */
    void (*begun)(struct vg_delivery *delivery);

    /* results */
    bool ok; /* an attempt was made or refused, or is known; false: `err` */
    enum vg_delivery_origin origin;
    struct vg_err err;
    enum vg_delivery_outcome outcome;
    int http_status;
    int64_t retry_after_ms;
    char reason[24];
    int64_t duration_ms;
    char answer[VG_WEBHOOK_ANSWER + 1]; /* as answer.h has it */

    /* the sender's */
    struct vg_sender *sender;
    struct vg_attempt_key key;
    struct vg_attempt *known;   /* NULL: not remembered */
    struct vg_delivery *first;  /* who makes the attempt: this one, or the one it has joined */
    struct vg_delivery *joined; /* the first's list */
    struct vg_delivery *next;   /* in it */
    int32_t listeners;          /* of the first: deliveries whose callers are there */
    bool gone;                  /* its caller is */
    struct vg_timer linger;     /* the first's */
    int64_t began_ns;
    struct vg_http_transfer *transfer; /* NULL: none under way */
    bool cancelled;
    bool again; /* this is the second time */
    int64_t spent_ms;
    struct vg_task task;
};
void vg_sender_deliver(struct vg_sender *sender, struct vg_delivery *delivery);
/* Where vg_sender_cancel may be called. */
struct vg_executor *vg_sender_executor(struct vg_sender *sender);
/* Its caller is gone. An attempt that others wait for goes on. One that nobody waits for is cut
 * ("cancelled"), but not before it is `linger_ms` old if its end will be remembered. Between begun
 * and done; `done` comes as ever. */
void vg_sender_cancel(struct vg_delivery *delivery);

#endif
