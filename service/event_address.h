/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses that providers send their webhooks to: one for each submission, which nobody can
 * guess. Immutable after new, any thread.
 *
 * "EVENTS-URL/v1/provider-events/PROVIDER/TOKEN"; TOKEN is the submission's own token
 * (jobs/spec.h), a dot, and base64url of an HMAC-SHA256 over both names. Its key is derived from
 * secret-key, so that any replica reads what another has written, and nothing is stored. */
#ifndef VG_SERVICE_EVENT_ADDRESS_H
#define VG_SERVICE_EVENT_ADDRESS_H

#include <stdint.h>

#include "common/err.h"
#include "common/id.h"
#include "common/mem.h"

struct vg_event_addresses;

/* One submission. */
struct vg_event_job {
    char video_id[VG_ID_SIZE];
    int32_t index, attempt;
};

/* `base_url` may be NULL or "": then no addresses are made, but those made before are read, also
 * with one of `old_keys` (a list with commas, or NULL). Fails with VG_ERR_INVALID_REQUEST: it is no
 * http or https address. */
VG_MUSTCHECK int vg_event_addresses_new(struct vg_event_addresses **out, const char *base_url,
                                        const char *secret_key, const char *old_keys,
                                        struct vg_err *err);
/* NULL is fine. */
struct vg_event_addresses *vg_event_addresses_free(struct vg_event_addresses *addresses);

/* `token` is the submission's. NULL: none are made. */
char *vg_event_address(const struct vg_event_addresses *addresses, const char *provider,
                       const char *token, struct vg_arena *arena);
/* -1: nobody here made this. Takes as long for any text of a length. */
VG_MUSTCHECK int vg_event_address_read(const struct vg_event_addresses *addresses,
                                       const char *provider, const char *text,
                                       struct vg_event_job *out);

#endif
