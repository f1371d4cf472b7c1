/* SPDX-License-Identifier: Apache-2.0 */
/* Access tokens of a Google service account: a signed JWT is exchanged at the token endpoint
 * (RFC 7523; reference/providers.md 2.5), the token is kept until shortly before its end, and
 * however many ask at once, one exchange is under way. Everything belongs to the loop's thread.
 * Neither token nor key is ever logged. */
#ifndef VG_WORKERS_UPSTREAM_OAUTH_H
#define VG_WORKERS_UPSTREAM_OAUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/http/client.h"

struct vg_oauth_options {
    struct vg_view account; /* the service account's JSON */
    const char *token_url;  /* NULL: the account's own token_uri, or Google's */
};

struct vg_oauth;

/* `client` is borrowed. Fails with VG_ERR_INVALID_REQUEST and a detail that
 * names the member, never its value. */
VG_MUSTCHECK int vg_oauth_new(struct vg_oauth **out, struct vg_http_client *client,
                              const struct vg_oauth_options *options, struct vg_err *err);
/* Nobody is waiting, and this is no `done` of it: it may be freed. */
bool vg_oauth_is_idle(const struct vg_oauth *self);
/* Of one that is idle, or whose client is freed. */
struct vg_oauth *vg_oauth_free(struct vg_oauth *self);
/* The project of the account; "" when it names none. */
const char *vg_oauth_project(const struct vg_oauth *self);

struct vg_oauth_failure {
    bool
        retryable; /* the endpoint could not be asked or is unwell; false: the account is refused */
    int http_status;        /* 0: no answer */
    int64_t retry_after_ms; /* 0: unknown */
    char code[64];          /* "invalid_grant" and the like; a reason of vg_http_result */
    char description[256];  /* the endpoint's; may be empty */
};

struct vg_oauth_waiter {
    /* Exactly one of token and failure is set; both live until it returns. */
    void (*done)(struct vg_oauth_waiter *waiter, const char *token,
                 const struct vg_oauth_failure *failure);
    struct vg_oauth_waiter *next; /* the queue's */
    uint64_t serial;              /* of the token, for vg_oauth_drop */
};

/* `done` comes once, at once when a token is at hand. */
void vg_oauth_get(struct vg_oauth *self, struct vg_oauth_waiter *waiter);
/* The token with this serial was refused (401): the next one who asks gets another. */
void vg_oauth_drop(struct vg_oauth *self, uint64_t serial);

#endif
