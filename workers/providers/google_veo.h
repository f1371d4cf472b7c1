/* SPDX-License-Identifier: Apache-2.0 */
/* What Veo is asked and answers, by the Gemini API and by Vertex AI alike (reference/providers.md
 * sections 1 and 2). */
#ifndef VG_WORKERS_PROVIDERS_GOOGLE_VEO_H
#define VG_WORKERS_PROVIDERS_GOOGLE_VEO_H

#include <stdbool.h>

#include "workers/upstream/call.h"

enum vg_veo_api { VG_VEO_GEMINI, VG_VEO_VERTEX };

/* NULL, or the sentence that says why the API cannot make this. What it says itself in a 400 is
 * left to it; here is what it would not notice or would do another way. */
const char *vg_veo_refusal(const struct vg_call *call, enum vg_veo_api api);

struct vg_veo_request {
    enum vg_veo_api api;
    const char *storage_uri; /* Vertex: where the file goes; NULL: into the answer */
    const char *source_uri;  /* where the API has the video to extend; NULL: its bytes are sent */
};
/* Writes the body of predictLongRunning. */
void vg_veo_write(struct vg_call *call, const struct vg_veo_request *request);

/* Whether this can be an operation's name under `prefix`: it becomes part of a path, and must not
 * lead elsewhere. */
bool vg_veo_is_operation(const char *name, const char *prefix);
/* The name of the operation in the answer to predictLongRunning; NULL: not one of `prefix`. */
const char *vg_veo_operation(struct vg_call *call, const struct vg_answer *answer,
                             const char *prefix);
/* POLL: judges the answer; true when the operation has ended with a response, otherwise the call is
 * ended here. */
bool vg_veo_done(struct vg_call *call, const struct vg_answer *answer);
/* Ends the call for an operation that made no video: filtered, or nothing at all. */
void vg_veo_without_video(struct vg_call *call, const struct vg_json *response);

#endif
