/* SPDX-License-Identifier: Apache-2.0 */
/* `content` as ByteDance and MiniMax (v2) take it: a list of texts, pictures, videos and sounds,
 * each with its role (reference/providers.md 5.1, 5.3). */
#ifndef VG_WORKERS_PROVIDERS_CONTENT_H
#define VG_WORKERS_PROVIDERS_CONTENT_H

#include "workers/upstream/call.h"

/* Whether what is given may stand together; otherwise the call has been refused. */
bool vg_content_check(struct vg_call *call);
/* "content" and its list, into an open object. Pictures are data: URLs. */
void vg_content_put(struct vg_call *call, struct vg_json_writer *w);

#endif
