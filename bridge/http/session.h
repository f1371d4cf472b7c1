/* SPDX-License-Identifier: Apache-2.0 */
/* What a connection needs of a protocol, without any I/O: bytes in, bytes out, time by vg_http_env.
 * One loop thread.
 *
 * The owner sets env->now_ns, then calls these; none may be called inside an event of a stream.
 * `wake` tells the owner that produce (or feed, for bytes it kept) is worth calling; it only marks.
 */
#ifndef VG_BRIDGE_HTTP_SESSION_H
#define VG_BRIDGE_HTTP_SESSION_H

#include <stdbool.h>
#include <stddef.h>

#include "bridge/http/stream.h"
#include "common/buf.h"
#include "common/peer.h"

struct vg_session;

struct vg_session_ops {
    /* Takes bytes of the peer and says how many; the rest must be offered again, with what came
     * since. */
    size_t (*feed)(struct vg_session *session, const char *data, size_t len);
    /* Appends output while out->len is below `until`. */
    void (*produce)(struct vg_session *session, struct vg_buf *out, size_t until);
    /* Looks at the clock: ends what is late. Every quarter of a second or so. */
    void (*tick)(struct vg_session *session);
    /* The peer will send nothing more. */
    void (*eof)(struct vg_session *session);
    /* Takes no new requests, finishes those under way, then wants to be closed. */
    void (*drain)(struct vg_session *session);
    /* True once the connection is to be closed after all output is written. */
    bool (*finished)(struct vg_session *session);
    /* Closes every stream and frees. */
    void (*free)(struct vg_session *session);
};

struct vg_session {
    const struct vg_session_ops *ops;
    struct vg_http_env *env; /* borrowed */
    void (*wake)(void *owner);
    void *owner;
    bool hostile;            /* ended by a limit that no honest peer reaches */
    char peer[VG_PEER_SIZE]; /* set by the owner; "": unknown */
};

struct vg_session *vg_h1_session_new(struct vg_http_env *env, void (*wake)(void *owner),
                                     void *owner);
struct vg_session *vg_h2_session_new(struct vg_http_env *env, void (*wake)(void *owner),
                                     void *owner);

/* The first bytes of a connection: what it speaks. */
enum vg_http_sniff { VG_SNIFF_MORE, VG_SNIFF_H1, VG_SNIFF_H2 };
enum vg_http_sniff vg_http_sniff(const char *data, size_t len);

#endif
