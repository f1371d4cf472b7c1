/* SPDX-License-Identifier: Apache-2.0 */
/* TLS for server connections (TLS 1.2 and 1.3, ALPN h2 and http/1.1), non-blocking on a socket. A
 * context may be shared by threads; a connection belongs to one. */
#ifndef VG_BRIDGE_NET_TLS_H
#define VG_BRIDGE_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "common/err.h"

struct vg_tls_ctx;
struct vg_tls;

VG_MUSTCHECK int vg_tls_ctx_new(struct vg_tls_ctx **out, const char *cert_file,
                                const char *key_file, struct vg_err *err);
struct vg_tls_ctx *vg_tls_ctx_free(struct vg_tls_ctx *ctx);

/* Results of the calls below besides byte counts. */
enum { VG_IO_EOF = 0, VG_IO_AGAIN = -1, VG_IO_ERROR = -2 };

/* `fd` is borrowed. */
struct vg_tls *vg_tls_new(struct vg_tls_ctx *ctx, int fd);
struct vg_tls *vg_tls_free(struct vg_tls *tls);
/* 1 when done, VG_IO_AGAIN, VG_IO_ERROR. */
int vg_tls_handshake(struct vg_tls *tls);
ssize_t vg_tls_read(struct vg_tls *tls, void *buf, size_t len);
ssize_t vg_tls_write(struct vg_tls *tls, const void *data, size_t len);
/* After VG_IO_AGAIN: whether it waits for the socket to become writable. */
bool vg_tls_wants_write(const struct vg_tls *tls);
/* Sends close_notify as far as that is possible now. */
void vg_tls_shutdown(struct vg_tls *tls);
/* Whether ALPN chose h2. */
bool vg_tls_is_h2(const struct vg_tls *tls);

#endif
