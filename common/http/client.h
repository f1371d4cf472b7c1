/* SPDX-License-Identifier: Apache-2.0 */
/* Outgoing HTTP over libcurl's multi interface, on a vg_loop; the only user of libcurl. Every
 * transfer is bounded in time, bytes and redirects (none are followed), ignores proxies, netrc and
 * cookies of the environment, and passes the address guard at the socket and again before a pooled
 * connection is reused (reference/reliability.md 6.2). All calls belong to the loop's thread; names
 * are resolved on threads of libcurl's. */
#ifndef VG_COMMON_HTTP_CLIENT_H
#define VG_COMMON_HTTP_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/http/guard.h"
#include "common/loop.h"

struct vg_http_client;
struct vg_http_transfer;

/* `guard` is borrowed and outlives the client; NULL lets every address pass (our own upstreams in
 * tests). */
VG_MUSTCHECK int vg_http_client_new(struct vg_http_client **out, struct vg_loop *loop,
                                    const struct vg_http_guard *guard, struct vg_err *err);
/* Ends every transfer (their done is called with reason "cancelled"; a vg_http_start in there
 * returns NULL) and frees. Not to be called from a callback of this client. */
struct vg_http_client *vg_http_client_free(struct vg_http_client *client);

struct vg_http_result;

struct vg_http_head {
    int status;
    const char *content_type; /* NULL: none */
    int64_t length;           /* announced bytes of body; -1: unknown */
};

struct vg_http_request {
    const char *method; /* "GET", "POST", ...; a literal */
    const char *url;
    const char *const *headers; /* "Name: value", NULL-terminated; CR and LF are refused */
    struct vg_view body;
    int64_t timeout_ms;         /* whole transfer; 0: 30,000 */
    int64_t connect_timeout_ms; /* 0: 10,000 */
    size_t max_response; /* bytes of body kept; more ends the transfer with reason "too_large" */
    /* Body of a 2xx answer as it comes; false ends the transfer. NULL: collect in result.body,
     * which always holds the body of other answers (of those at most 64 KiB when on_data is given).
     */
    bool (*on_data)(void *ctx, const char *data, size_t len);
    void (*on_head)(
        void *ctx,
        const struct vg_http_head *head); /* once before the first on_data; may be NULL */
    void (*on_done)(void *ctx, const struct vg_http_result *result);
    void *ctx;
    /* POST and PATCH: the receiver recognises a repetition, so an idle pooled connection may be
     * used, which libcurl may find dead after the request went out, and then sends it again. False:
     * a connection of its own, sent once at most. */
    bool repeatable;
};

struct vg_http_result {
    int status;         /* HTTP status; 0: no answer */
    const char *reason; /* NULL when an answer came whole; else "timeout", "connect", "dns", "tls",
                           "refused" (guard), "too_large", "reset", "truncated", "cancelled", "url",
                           "protocol" */
    bool sent;          /* the request may have reached the peer (matters after a failure) */
    struct vg_view body;
    const char *content_type; /* NULL: none */
    int64_t retry_after_ms;   /* parsed Retry-After, seconds or date, at most 86,400,000; 0: none */
    int64_t duration_ms;
    struct vg_http_transfer *transfer; /* for vg_http_header */
};
/* A header of the last answer, in on_done alone; NULL: not there. Borrowed. */
const char *vg_http_header(const struct vg_http_result *result, const char *name);

/* Strings and body are copied. `on_done` comes once, from the loop, never inside this call. */
struct vg_http_transfer *vg_http_start(struct vg_http_client *client,
                                       const struct vg_http_request *request);
/* Ends the transfer soon: on_done comes with "cancelled", on_data no more. Safe from every
 * callback; not after on_done. */
void vg_http_cancel(struct vg_http_transfer *transfer);
/* Back-pressure: after a pause (called from on_data or elsewhere) on_data is not called until the
 * resume; time goes on. */
void vg_http_pause(struct vg_http_transfer *transfer);
void vg_http_resume(struct vg_http_transfer *transfer);

#endif
