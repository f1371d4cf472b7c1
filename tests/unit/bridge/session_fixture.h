/* SPDX-License-Identifier: Apache-2.0 */
/* A scripted handler above sessions that have no socket: for the unit tests and the fuzz targets.
 *   /echo    answers with the request's body, /len/N with N bytes 'x', /chunks with a body of
 * unknown length, /early   at once, before the body, /hold not before fixture_release, /cut breaks
 * off, /watch sends events for as long as the peer listens, one each time all are gone, else 404 */
#ifndef VG_TESTS_UNIT_BRIDGE_SESSION_FIXTURE_H
#define VG_TESTS_UNIT_BRIDGE_SESSION_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/http/session.h"
#include "common/clock.h"
#include "common/mem.h"

enum { FIXTURE_MAX_HELD = 512, FIXTURE_EVENT = 100000 };

struct fixture {
    struct vg_http_handler handler;
    struct vg_http_env env;
    struct vg_session *session;
    struct vg_buf in, out; /* as a connection has them */
    struct vg_buf log;     /* "GET /path body=3;" for each request */
    struct vg_stream *held[FIXTURE_MAX_HELD];
    size_t held_count;
    int requests, refusals, fails, closed, open, events;
    bool hoard; /* give no credit for body bytes */
    enum vg_err_kind last_err;
};

struct fixture_request {
    struct fixture *f;
    struct vg_buf body;
    size_t to_send;
    char *event; /* owned; of /watch */
};

static inline bool fixture_is(const struct vg_stream *s, const char *path)
{
    return vg_view_eqs(s->request.path, path);
}

static inline void fixture_answer(struct vg_stream *s, int status, int64_t length, const void *body,
                                  size_t len)
{
    const struct vg_header type = {VG_VIEW("content-type"), VG_VIEW("text/plain")};
    const struct vg_response response = {status, &type, 1, length};
    vg_stream_respond(s, &response);
    vg_stream_write(s, body, len);
    vg_stream_end(s);
}

/* Queues as much of a /len/N body as is wanted now. */
static inline void fixture_pump(struct vg_stream *s)
{
    struct fixture_request *r = s->user;
    char block[16384];
    if (r->event && vg_stream_drained(s)) {
        r->f->events++;
        vg_stream_write(s, r->event, FIXTURE_EVENT);
        (void)vg_stream_drained(s); /* asks to be told */
    }
    if (r->event)
        return;
    memset(block, 'x', sizeof(block));
    while (r->to_send && vg_stream_ready(s)) {
        size_t n = r->to_send < sizeof(block) ? r->to_send : sizeof(block);
        vg_stream_write(s, block, n);
        r->to_send -= n;
    }
    if (r->to_send == 0)
        vg_stream_end(s);
}

static inline void fixture_complete(struct vg_stream *s)
{
    struct fixture_request *r = s->user;
    struct fixture *f = r->f;
    (void)vg_buf_addf(&f->log, "%.*s %.*s body=%zu;", (int)s->request.method.len,
                      s->request.method.data,
                      (int)(s->request.path.len < 200 ? s->request.path.len : 200),
                      s->request.path.data, r->body.len);
    if (fixture_is(s, "/echo")) {
        fixture_answer(s, 200, (int64_t)r->body.len, r->body.data, r->body.len);
    } else if (fixture_is(s, "/chunks")) {
        fixture_answer(s, 200, -1, "hello", 5);
    } else if (fixture_is(s, "/hold") && f->held_count < FIXTURE_MAX_HELD) {
        f->held[f->held_count++] = s;
    } else if (fixture_is(s, "/watch")) {
        const struct vg_response response = {200, NULL, 0, -1};
        vg_stream_respond(s, &response);
        s->ends_with_peer = true;
        r->event = vg_xalloc(FIXTURE_EVENT);
        fixture_pump(s);
    } else if (fixture_is(s, "/cut")) {
        const struct vg_response response = {200, NULL, 0, 10};
        vg_stream_respond(s, &response);
        vg_stream_write(s, "12345", 5);
        vg_stream_reset(s);
    } else if (s->request.path.len > 5 && memcmp(s->request.path.data, "/len/", 5) == 0) {
        char digits[16] = {0};
        size_t n = s->request.path.len - 5;
        memcpy(digits, s->request.path.data + 5, n < 8 ? n : 8);
        r->to_send = 0;
        for (const char *c = digits; *c >= '0' && *c <= '9'; c++)
            r->to_send = r->to_send * 10 + (size_t)(*c - '0');
        const struct vg_response response = {200, NULL, 0, (int64_t)r->to_send};
        vg_stream_respond(s, &response);
        fixture_pump(s);
    } else {
        fixture_answer(s, 404, 4, "none", 4);
    }
}

static inline void fixture_body(struct vg_stream *s, const char *data, size_t len)
{
    struct fixture_request *r = s->user;
    (void)vg_buf_add(&r->body, data, len);
    if (!r->f->hoard)
        vg_stream_consume(s, len);
}

static inline void fixture_fail(struct vg_stream *s, const struct vg_err *err)
{
    struct fixture_request *r = s->user;
    r->f->fails++;
    r->f->last_err = err->kind;
    fixture_answer(s, vg_err_info(err->kind)->http, 4, "fail", 4);
}

static inline void fixture_closed(struct vg_stream *s)
{
    struct fixture_request *r = s->user;
    struct fixture *f = r->f;
    for (size_t i = 0; i < f->held_count; i++)
        if (f->held[i] == s)
            f->held[i] = f->held[--f->held_count];
    f->closed++;
    f->open--;
    vg_buf_fini(&r->body);
    free(r->event);
    free(r);
}

static inline void fixture_attach(struct fixture *f, struct vg_stream *s)
{
    static const struct vg_stream_events events = {fixture_body, fixture_complete, fixture_fail,
                                                   fixture_pump, fixture_closed};
    struct fixture_request *r = vg_xalloc(sizeof(*r));
    r->f = f;
    vg_buf_init(&r->body, 64 << 20);
    s->user = r;
    s->events = &events;
    f->open++;
}

static inline void fixture_request_cb(void *ctx, struct vg_stream *s)
{
    struct fixture *f = ctx;
    f->requests++;
    fixture_attach(f, s);
    if (fixture_is(s, "/early"))
        fixture_answer(s, 200, 5, "early", 5);
    else if (!s->request.has_body)
        fixture_complete(s);
}

static inline void fixture_refuse(void *ctx, struct vg_stream *s, const struct vg_err *err)
{
    struct fixture *f = ctx;
    f->refusals++;
    f->last_err = err->kind;
    fixture_attach(f, s);
    fixture_answer(s, vg_err_info(err->kind)->http, 7, "refused", 7);
}

static inline void fixture_wake(void *owner)
{
    (void)owner;
}

static inline void fixture_init(struct fixture *f, bool h2)
{
    memset(f, 0, sizeof(*f));
    f->handler = (struct vg_http_handler){f, fixture_request_cb, fixture_refuse};
    f->env.handler = &f->handler;
    f->env.limits = (struct vg_http_limits){
        .max_headers = 100,
        .max_header_bytes = (size_t)32 * 1024,
        .max_head_memory = (size_t)256 * 1024,
        .max_stalled = (size_t)1024 * 1024,
        .max_streams = 100,
        .max_continuations = 8,
        .frame_rate = 100,
        .reset_rate = 33,
        .error_rate = 20,
        .idle_ms = 10000,
        .header_ms = 1000,
        .body_ms = 2000,
        .stall_ms = 3000,
    };
    f->env.now_ns = 1000 * VG_NS_PER_S;
    f->env.wall_s = 784111777;
    vg_buf_init(&f->in, 64 << 20);
    vg_buf_init(&f->out, 256 << 20);
    vg_buf_init(&f->log, 1 << 20);
    f->session = h2 ? vg_h2_session_new(&f->env, fixture_wake, f)
                    : vg_h1_session_new(&f->env, fixture_wake, f);
}

static inline void fixture_fini(struct fixture *f)
{
    f->session->ops->free(f->session);
    VG_ASSERT(f->open == 0);
    vg_buf_fini(&f->in);
    vg_buf_fini(&f->out);
    vg_buf_fini(&f->log);
}

/* As a connection does: feeds and produces until nothing moves. */
static inline void fixture_run(struct fixture *f)
{
    for (;;) {
        size_t before = f->out.len;
        size_t used = f->session->ops->feed(f->session, f->in.data, f->in.len);
        VG_ASSERT(used <= f->in.len);
        vg_buf_consume(&f->in, used);
        f->session->ops->produce(f->session, &f->out, f->out.len + 65536);
        if (used == 0 && f->out.len == before)
            return;
    }
}

static inline void fixture_feed(struct fixture *f, const void *data, size_t len)
{
    (void)vg_buf_add(&f->in, data, len);
    fixture_run(f);
}

static inline void fixture_after(struct fixture *f, int64_t ms)
{
    f->env.now_ns += ms * VG_NS_PER_MS;
    f->session->ops->tick(f->session);
    fixture_run(f);
}

static inline void fixture_release(struct fixture *f)
{
    while (f->held_count) {
        struct vg_stream *s = f->held[--f->held_count];
        fixture_answer(s, 200, 4, "held", 4);
    }
    fixture_run(f);
}

#endif
