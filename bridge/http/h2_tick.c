/* SPDX-License-Identifier: Apache-2.0 */
/* What an HTTP/2 session does by the clock: ends what is late and what stands still. */
#include "bridge/http/h2_priv.h"
#include "common/clock.h"

/* An answer that has not moved for so long stands still. */
#define STILL_MS 1000

static void tick_stream(struct vg_h2 *h2, struct vg_h2_stream *s)
{
    struct vg_stream *stream = &s->base;
    const struct vg_http_env *env = h2->base.env;
    struct vg_err err;
    bool stalled = stream->state != VG_STREAM_OPEN && vg_stream_pending(stream) > 0 &&
                   env->now_ns - stream->progress_ns > env->limits.stall_ms * VG_NS_PER_MS;
    if (stalled) {
        vg_h2_bite(h2, VG_HTTP_LIMIT_STALL);
        vg_h2_reset(h2, s, NGHTTP2_CANCEL);
    } else if (s->fields && h2->block_since_ns == 0 && vg_stream_body_late(stream)) {
        vg_h2_bite(h2, VG_HTTP_LIMIT_BODY_TIME);
        (void)vg_err_set(&err, VG_ERR_REQUEST_TIMEOUT, "The request body did not arrive in time.");
        if (stream->state == VG_STREAM_OPEN && !stream->failed)
            vg_stream_fail(stream, &err);
        else if (vg_stream_pending(stream) == 0)
            vg_h2_reset(h2, s, NGHTTP2_CANCEL);
    }
}

/* Answers that nobody takes may not pile up until their time is over. */
static void reap_stalled(struct vg_h2 *h2)
{
    const struct vg_http_env *env = h2->base.env;
    size_t still = 0;
    for (struct vg_h2_stream *s = h2->streams; s; s = s->next) {
        if (s->reset_submitted || env->now_ns - s->base.progress_ns < STILL_MS * VG_NS_PER_MS)
            continue;
        still += vg_stream_pending(&s->base);
        if (still <= env->limits.max_stalled || vg_stream_pending(&s->base) == 0)
            continue;
        vg_h2_bite(h2, VG_HTTP_LIMIT_STALLED);
        vg_h2_reset(h2, s, NGHTTP2_CANCEL);
    }
}

void vg_h2_tick(struct vg_session *session)
{
    struct vg_h2 *h2 = vg_h2_of(session);
    const struct vg_http_env *env = session->env;
    if (h2->block_since_ns &&
        env->now_ns - h2->block_since_ns > env->limits.header_ms * VG_NS_PER_MS) {
        vg_h2_bite(h2, VG_HTTP_LIMIT_HEAD_TIME);
        h2->block_since_ns = 0;
        vg_h2_terminate(h2, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    if (!h2->streams && env->now_ns - h2->idle_since_ns > env->limits.idle_ms * VG_NS_PER_MS)
        vg_h2_terminate(h2, NGHTTP2_NO_ERROR);
    for (struct vg_h2_stream *s = h2->streams; s; s = s->next)
        tick_stream(h2, s);
    reap_stalled(h2);
    /* The first GOAWAY has had time to arrive: what came since is served, now comes the final one.
     */
    if (h2->drain_ns && !h2->goaway && env->now_ns > h2->drain_ns) {
        h2->goaway = true;
        int32_t last = nghttp2_session_get_last_proc_stream_id(h2->ng);
        vg_h2_must(
            h2, nghttp2_submit_goaway(h2->ng, NGHTTP2_FLAG_NONE, last, NGHTTP2_NO_ERROR, NULL, 0));
        vg_h2_wake(h2);
    }
}
