/* SPDX-License-Identifier: Apache-2.0 */
/* One transfer as libcurl's easy handle: what it is told of the request, what its callbacks do, and
 * what its end means to the owner. Private to client.c, which lets it run. */
#ifndef VG_COMMON_HTTP_TRANSFER_H
#define VG_COMMON_HTTP_TRANSFER_H

#include <curl/curl.h>

#include "common/http/client.h"

struct vg_http_transfer {
    /* client.c's. */
    struct vg_http_client *client; /* borrowed */
    struct vg_http_transfer *prev, *next;
    bool added;       /* in the multi */
    bool wants_sweep; /* failed, cancelled, resumed or not added: for the top of the loop */

    /* Both files'. */
    CURL *easy;         /* owned */
    const char *failed; /* reason when it could not even begin */
    bool cancelled;
    bool paused;
    bool held; /* libcurl was told to pause */
    void (*on_done)(void *ctx, const struct vg_http_result *result);
    void *ctx; /* borrowed */

    /* transfer.c's. */
    const struct vg_http_guard *guard; /* borrowed; NULL: everything passes */
    struct curl_slist *headers;        /* owned */
    char *request_body;                /* owned */
    struct vg_buf body;
    size_t received;
    size_t header_bytes;
    int64_t said_length; /* what this head says (length.h) */
    size_t max_response;
    int64_t started_ns;
    bool may_repeat;
    bool sent;      /* the request may have left */
    bool opened;    /* a socket passed the guard */
    bool guarded;   /* an address did not */
    bool named;     /* the host passed for its name (vg_http_guard_names) */
    bool too_large; /* body or headers */
    bool bad_headers;
    bool head_given;
    bool (*on_data)(void *ctx, const char *data, size_t len);
    void (*on_head)(void *ctx, const struct vg_http_head *head);
};

/* Ready to be added to a multi, unless `failed` says why it cannot begin. `guard` is borrowed. */
struct vg_http_transfer *vg_http_transfer_new(const struct vg_http_request *request,
                                              const struct vg_http_guard *guard, CURLSH *share);
/* What an ended one came to; borrows from it. */
struct vg_http_result vg_http_transfer_result(struct vg_http_transfer *transfer, CURLcode code);
/* Not while it is in a multi. */
struct vg_http_transfer *vg_http_transfer_free(struct vg_http_transfer *transfer);
/* Whose handle it is. */
struct vg_http_transfer *vg_http_transfer_of(CURL *easy);

#endif
