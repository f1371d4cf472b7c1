/* SPDX-License-Identifier: Apache-2.0 */
/* What h1.c and h1_parse.c share. */
#ifndef VG_BRIDGE_HTTP_H1_PRIV_H
#define VG_BRIDGE_HTTP_H1_PRIV_H

#include <llhttp.h>

#include "bridge/http/h1_chunks.h"
#include "bridge/http/h1_head.h"
#include "bridge/http/session.h"

enum h1_state {
    H1_IDLE,   /* between requests -> HEAD, CLOSED */
    H1_HEAD,   /* part of a head is here -> BODY, WAIT, CLOSED */
    H1_BODY,   /* head handed over, body arriving -> WAIT, CLOSED */
    H1_WAIT,   /* request whole, response under way -> IDLE, CLOSED */
    H1_CLOSED, /* nothing more is read; the connection closes after what is queued */
    H1_STATE_MAX
};

struct vg_h1 {
    struct vg_session base;
    enum h1_state state;
    struct vg_stream *stream; /* owned; the request under way */
    llhttp_t parser;
    struct vg_h1_scan scan;
    int64_t since_ns; /* start of IDLE or HEAD */
    bool draining;
    bool keep_alive;
    bool chunked_out;
    bool discard;      /* answered early; the rest of the body is dropped */
    bool continue_due; /* 100 Continue is to be sent */
    size_t overhead;   /* bytes of chunk framing so far */
    struct vg_h1_chunks chunks;
    /* While llhttp runs over a head. */
    char *head; /* borrowed from the stream's arena */
    struct vg_view name, value;
    bool have_name;
    struct vg_err *err;
};

/* Parses a whole head into h1->stream's request and sets keep_alive. */
VG_MUSTCHECK int vg_h1_parse_head(struct vg_h1 *h1, const char *data, size_t len,
                                  struct vg_err *err);

#endif
