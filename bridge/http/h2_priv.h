/* SPDX-License-Identifier: Apache-2.0 */
/* What h2.c, h2_mem.c and h2_tick.c share. */
#ifndef VG_BRIDGE_HTTP_H2_PRIV_H
#define VG_BRIDGE_HTTP_H2_PRIV_H

#include <nghttp2/nghttp2.h>

#include "bridge/http/h2_limits.h"
#include "bridge/http/session.h"

struct vg_h2_stream {
    struct vg_stream base;
    int32_t id;
    size_t fields;        /* of the block being received */
    bool refused;         /* the head is over a limit */
    bool crowded;         /* the heads of the connection are, together */
    bool deferred;        /* nghttp2 waits for vg_session_resume_data */
    bool reset_submitted; /* RST_STREAM is queued */
    struct vg_h2_stream *prev, *next;
};

struct vg_h2 {
    struct vg_session base;
    nghttp2_session *ng;
    struct vg_h2_stream *streams; /* owned */
    int64_t idle_since_ns;        /* when the last stream went */
    int64_t block_since_ns;       /* start of an unfinished header block; 0: none */
    struct vg_h2_limits limits;
    size_t head_memory; /* of all streams */
    int32_t last_id;    /* the highest that HEADERS came on */
    uint32_t fatal;     /* why a callback ended the connection; 0: its limit */
    int64_t drain_ns;   /* when drain began; 0: not */
    bool goaway;        /* the final GOAWAY is queued */
    bool notify;        /* some stream may be writable again */
    bool dead;          /* close after what is queued */
};

static inline struct vg_h2 *vg_h2_of(struct vg_session *session)
{
    return VG_CONTAINER(session, struct vg_h2, base);
}

static inline struct vg_h2_stream *vg_h2_stream_of(struct vg_stream *stream)
{
    return VG_CONTAINER(stream, struct vg_h2_stream, base);
}

void vg_h2_wake(struct vg_h2 *h2);
/* nghttp2 fails here only without memory; the connection is then of no use. */
void vg_h2_must(struct vg_h2 *h2, int code);
void vg_h2_reset(struct vg_h2 *h2, struct vg_h2_stream *s, uint32_t code);
/* Sends GOAWAY and ends. */
void vg_h2_terminate(struct vg_h2 *h2, uint32_t code);
/* Counts that this limit bit. */
void vg_h2_bite(struct vg_h2 *h2, enum vg_http_limit limit);
/* Overwrites what it takes back. */
nghttp2_mem *vg_h2_mem(void);
/* The session's tick. */
void vg_h2_tick(struct vg_session *session);

#endif
