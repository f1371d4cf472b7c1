/* SPDX-License-Identifier: Apache-2.0 */
/* Webhooks of providers, judged: is the signature right, and which job is it about. What a provider
 * does is a row of data in its adapter; the ways to sign are known here. Nothing an event says is
 * believed: it only makes the service poll (service/provider_event.c). Pure; any thread.
 * event_call.c has the public keys that some are signed with.
 *
 * Secrets are divided by white space or commas, all of them are good, so that one can replace
 * another: for STANDARD "whsec_..." or raw text, for TASK_HMAC raw text, for ED25519 the public
 * keys in base64 as a JWKS has them ("x"). Without any, and without a JWKS, an event is UNSIGNED.
 */
#ifndef VG_WORKERS_UPSTREAM_EVENTS_H
#define VG_WORKERS_UPSTREAM_EVENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <videogate/v1/worker.pb-c.h>

#include "common/err.h"
#include "common/mem.h"
#include "workers/upstream/jwks.h"

enum vg_event_sign {
    VG_EVENT_UNSIGNED,  /* the provider does not sign */
    VG_EVENT_STANDARD,  /* Standard Webhooks: webhook-id, webhook-timestamp, webhook-signature */
    VG_EVENT_ED25519,   /* fal: x-fal-webhook-signature and three more */
    VG_EVENT_TASK_HMAC, /* Kie: x-webhook-signature over job id and x-webhook-timestamp */
    VG_EVENT_SIGN_MAX
};

#define VG_EVENT_ID_PATHS 4
#define VG_EVENT_SECRETS 8
#define VG_EVENT_TOLERANCE_S 300 /* between the provider's clock and ours, for signed events */

struct vg_event_scheme {
    enum vg_event_sign sign;
    bool per_job; /* takes SubmitRequest.event_url; false: one address for the whole account */
    bool tokens;  /* with a JWKS: webhook-signature may be a JWT of the provider's instead */
    const char *id_paths[VG_EVENT_ID_PATHS]; /* of the job's id, as in vg_json_at, in turn */
    const char *challenge; /* member to be sent back when the address is registered; NULL: none */
};

/* Whether the secrets fit the scheme. Fails with VG_ERR_INVALID_REQUEST; the text names no secret.
 */
VG_MUSTCHECK int vg_event_check(const struct vg_event_scheme *scheme, const char *secrets,
                                struct vg_err *err);
/* What an event is judged by. */
struct vg_event_trust {
    const char *secrets;           /* NULL: none */
    bool has_jwks;                 /* else `keys` does not count */
    const struct vg_jwk_set *keys; /* NULL: not fetched */
    const char *audiences;         /* of tokens; NULL: not known */
    int64_t now_s;
};
/* Fills an initialised response; its texts are the arena's. `scheme` NULL: refused. `out_no_key`:
 * it was refused for want of the key that it names. */
void vg_event_read(const struct vg_event_scheme *scheme, const struct vg_event_trust *trust,
                   const Videogate__V1__ReadEventRequest *request, struct vg_arena *arena,
                   Videogate__V1__ReadEventResponse *response, bool *out_no_key);

#endif
