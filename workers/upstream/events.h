/* SPDX-License-Identifier: Apache-2.0 */
/* Webhooks of providers, judged: is the signature right, and which job is it about. What a provider
 * does is a row of data in its adapter; the ways to sign are known here. Nothing an event says is
 * believed: it only makes the service poll (service/provider_event.c). Pure; any thread.
 *
 * Secrets are divided by white space or commas, all of them are good, so that one can replace
 * another: for STANDARD "whsec_..." or raw text, for TASK_HMAC raw text, for ED25519 the public
 * keys in base64 as a JWKS has them ("x"). Without any, an event is UNSIGNED. */
#ifndef VG_WORKERS_UPSTREAM_EVENTS_H
#define VG_WORKERS_UPSTREAM_EVENTS_H

#include <stdbool.h>
#include <stdint.h>
#include <videogate/v1/worker.pb-c.h>

#include "common/err.h"
#include "common/mem.h"

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
    bool per_job;     /* takes SubmitRequest.event_url; false: one address for the whole account */
    bool other_signs; /* may also sign in ways not known here: without a v1 signature UNSIGNED */
    const char *id_paths[VG_EVENT_ID_PATHS]; /* of the job's id, as in vg_json_at, in turn */
    const char *challenge; /* member to be sent back when the address is registered; NULL: none */
};

/* Whether the secrets fit the scheme. Fails with VG_ERR_INVALID_REQUEST; the text names no secret.
 */
VG_MUSTCHECK int vg_event_check(const struct vg_event_scheme *scheme, const char *secrets,
                                struct vg_err *err);
/* Fills an initialised response; its texts are the arena's. `scheme` NULL: refused; `secrets` may
 * be NULL. */
void vg_event_read(const struct vg_event_scheme *scheme, const char *secrets, int64_t now_s,
                   const Videogate__V1__ReadEventRequest *request, struct vg_arena *arena,
                   Videogate__V1__ReadEventResponse *response);

#endif
