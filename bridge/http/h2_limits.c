/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/http/h2_limits.h"

#include <nghttp2/nghttp2.h>

#include "common/clock.h"

#define BURST_S 10
#define RESET_BURST_S 15
/* A DATA frame with fewer bytes that does not end its stream is no honest upload's. */
#define SMALL_DATA 16
/* Readers give their window back in steps; none known takes smaller ones. */
#define BYTES_PER_UPDATE 1024
#define MAX_UPDATES 100000
/* A block of twice the bytes that its fields may have is an attack: decoding it costs, too. */
#define BLOCK_FACTOR 2
#define MAX_FRAME 16384 /* we never offer more */

/* Takes one token; false: there was none. */
static bool take(struct vg_h2_bucket *b, int64_t rate, int64_t burst_s, int64_t now_ns)
{
    int64_t burst = rate * burst_s;
    int64_t passed = now_ns - b->at_ns;
    int64_t more = passed < burst_s * VG_NS_PER_S ? passed * rate / VG_NS_PER_S : burst;
    if (more > 0) {
        b->at_ns = more < burst ? b->at_ns + more * VG_NS_PER_S / rate : now_ns;
        if (b->left < burst) /* `updates` may be above it */
            b->left = b->left + more < burst ? b->left + more : burst;
    }
    return --b->left >= 0;
}

void vg_h2_limits_init(struct vg_h2_limits *l, const struct vg_http_limits *limits, int64_t now_ns)
{
    const struct vg_h2_bucket frames = {(int64_t)limits->frame_rate * BURST_S, now_ns};
    *l = (struct vg_h2_limits){.limits = limits};
    l->control = l->updates = l->small = frames;
    l->errors = (struct vg_h2_bucket){(int64_t)limits->error_rate * BURST_S, now_ns};
    l->resets = (struct vg_h2_bucket){(int64_t)limits->reset_rate * RESET_BURST_S, now_ns};
}

static size_t frame_len(const struct vg_h2_limits *l)
{
    return (size_t)l->head[0] << 16 | (size_t)l->head[1] << 8 | l->head[2];
}

static int32_t frame_stream(const struct vg_h2_limits *l)
{
    return (int32_t)((uint32_t)(l->head[5] & 0x7f) << 24 | (uint32_t)l->head[6] << 16 |
                     (uint32_t)l->head[7] << 8 | l->head[8]);
}

static bool within(struct vg_h2_limits *l, struct vg_h2_bucket *b, int64_t now_ns)
{
    return take(b, l->limits->frame_rate, BURST_S, now_ns);
}

/* A frame that carries next to nothing and ends nothing. */
static bool is_small(const struct vg_h2_limits *l, size_t len)
{
    uint8_t flags = l->head[4];
    if (l->head[3] == NGHTTP2_DATA)
        return len < SMALL_DATA && !(flags & NGHTTP2_FLAG_END_STREAM);
    return len == 0 && !(flags & NGHTTP2_FLAG_END_HEADERS);
}

static enum vg_http_limit broken(struct vg_h2_limits *l, enum vg_http_limit limit, uint32_t code)
{
    l->code = code;
    return limit;
}

/* What nghttp2 lets pass: a long CONTINUATION, PRIORITY on stream 0, DATA of streams that it has
 * forgotten. */
static enum vg_http_limit check(struct vg_h2_limits *l, size_t len)
{
    uint8_t type = l->head[3];
    int32_t stream = frame_stream(l);
    if (type == NGHTTP2_CONTINUATION && len > MAX_FRAME)
        return broken(l, VG_HTTP_LIMIT_FRAME, NGHTTP2_FRAME_SIZE_ERROR);
    if (type == NGHTTP2_CONTINUATION && l->block + len > BLOCK_FACTOR * l->limits->max_header_bytes)
        return broken(l, VG_HTTP_LIMIT_HEADERS, NGHTTP2_ENHANCE_YOUR_CALM);
    if (type == NGHTTP2_PRIORITY && stream == 0)
        return broken(l, VG_HTTP_LIMIT_FRAME, NGHTTP2_PROTOCOL_ERROR);
    if (type == NGHTTP2_DATA && vg_h2_limits_reuse(l, stream) == VG_H2_REUSE_ENDED)
        return broken(l, VG_HTTP_LIMIT_STREAM_ID, NGHTTP2_STREAM_CLOSED);
    return VG_HTTP_LIMIT_MAX;
}

static enum vg_http_limit count(struct vg_h2_limits *l, size_t len, int64_t now_ns)
{
    l->code = NGHTTP2_ENHANCE_YOUR_CALM;
    bool continues = l->head[3] == NGHTTP2_CONTINUATION;
    l->block = (continues ? l->block : 0) + len;
    switch (l->head[3]) {
    case NGHTTP2_HEADERS:
        l->continuations = 0;
        break;
    case NGHTTP2_CONTINUATION:
        if (++l->continuations > l->limits->max_continuations)
            return VG_HTTP_LIMIT_CONTINUATIONS;
        break;
    case NGHTTP2_DATA:
        break;
    case NGHTTP2_RST_STREAM:
        return take(&l->resets, l->limits->reset_rate, RESET_BURST_S, now_ns)
                   ? VG_HTTP_LIMIT_MAX
                   : VG_HTTP_LIMIT_RESETS;
    case NGHTTP2_WINDOW_UPDATE:
        return within(l, &l->updates, now_ns) ? VG_HTTP_LIMIT_MAX : VG_HTTP_LIMIT_UPDATES;
    default:
        return within(l, &l->control, now_ns) ? VG_HTTP_LIMIT_MAX : VG_HTTP_LIMIT_CONTROL;
    }
    return !is_small(l, len) || within(l, &l->small, now_ns) ? VG_HTTP_LIMIT_MAX
                                                             : VG_HTTP_LIMIT_SMALL;
}

enum vg_http_limit vg_h2_limits_feed(struct vg_h2_limits *l, const uint8_t *data, size_t len,
                                     int64_t now_ns)
{
    size_t at = NGHTTP2_CLIENT_MAGIC_LEN - l->preface;
    at = at < len ? at : len;
    l->preface += at;
    while (at < len) {
        if (l->payload) {
            size_t n = l->payload < len - at ? l->payload : len - at;
            l->payload -= n;
            at += n;
            continue;
        }
        l->head[l->have++] = data[at++];
        if (l->have < VG_H2_FRAME_HEAD)
            continue;
        l->have = 0;
        l->payload = frame_len(l);
        enum vg_http_limit limit = check(l, l->payload);
        if (limit == VG_HTTP_LIMIT_MAX)
            limit = count(l, l->payload, now_ns);
        if (limit != VG_HTTP_LIMIT_MAX)
            return limit;
    }
    return VG_HTTP_LIMIT_MAX;
}

void vg_h2_limits_sent(struct vg_h2_limits *l, size_t len)
{
    l->updates.left += (int64_t)(len / BYTES_PER_UPDATE);
    if (l->updates.left > MAX_UPDATES)
        l->updates.left = MAX_UPDATES;
}

bool vg_h2_limits_error(struct vg_h2_limits *l, int64_t now_ns)
{
    return take(&l->errors, l->limits->error_rate, BURST_S, now_ns);
}

void vg_h2_limits_ended(struct vg_h2_limits *l, int32_t id, bool reset)
{
    l->ended[l->ended_count++ % VG_H2_ENDED] = reset ? -id : id;
}

enum vg_h2_reuse vg_h2_limits_reuse(const struct vg_h2_limits *l, int32_t id)
{
    enum vg_h2_reuse reuse = VG_H2_REUSE_UNKNOWN;
    for (size_t i = 0; i < VG_H2_ENDED; i++) {
        if (l->ended[i] == -id)
            return VG_H2_REUSE_RESET;
        if (l->ended[i] == id)
            reuse = VG_H2_REUSE_ENDED;
    }
    return reuse;
}
