/* SPDX-License-Identifier: Apache-2.0 */
/* What a key of google-vertex may be: an API key, the path of a service account's JSON file, or
 * that JSON in base64. A file is read again once its account is refused. Turns it into the header
 * that goes along. On the base's loop. */
#ifndef VG_WORKERS_PROVIDERS_GOOGLE_ACCOUNTS_H
#define VG_WORKERS_PROVIDERS_GOOGLE_ACCOUNTS_H

#include <stdbool.h>

#include "workers/upstream/call.h"
#include "workers/upstream/upstream.h"

struct vg_google_accounts;

/* `token_url` is borrowed; NULL: Google's. */
struct vg_google_accounts *vg_google_accounts_new(struct vg_upstream *upstream,
                                                  const char *token_url);
/* The upstream's clients are gone. */
struct vg_google_accounts *vg_google_accounts_free(struct vg_google_accounts *self);

/* Whether the key names a service account, as against an API key. */
bool vg_google_is_account(const char *key);
/* The project that the account belongs to; NULL: the account cannot be read or names none. */
const char *vg_google_accounts_project(struct vg_google_accounts *self, const char *key);
/* The hooks of the adapter; call->scratch is theirs. */
void vg_google_authorize(struct vg_google_accounts *self, struct vg_call *call, const char *key);
void vg_google_unauthorized(struct vg_google_accounts *self, struct vg_call *call, const char *key);

#endif
