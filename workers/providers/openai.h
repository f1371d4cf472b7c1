/* SPDX-License-Identifier: Apache-2.0 */
/* OpenAI's /v1/videos (reference/providers.md section 3): OpenAI's own, and any engine or relay
 * that speaks it, by base address; engines of one's own need no key. */
#ifndef VG_WORKERS_PROVIDERS_OPENAI_H
#define VG_WORKERS_PROVIDERS_OPENAI_H

#include "workers/provider.h"
#include "workers/upstream/adapter.h"

const struct vg_provider *vg_openai_provider(void);

/* For Azure, which speaks it, too. */
void vg_openai_submit(struct vg_call *call);
void vg_openai_poll(struct vg_call *call);
void vg_openai_lookup(struct vg_call *call);
int64_t vg_openai_retry_after(const struct vg_answer *answer);
enum { VG_OPENAI_FAULTS = 12 };
extern const struct vg_fault_row vg_openai_faults[VG_OPENAI_FAULTS];
extern const char *const vg_openai_codes[], *const vg_openai_messages[];
/* Members of the adapter that go with these answers. */
#define VG_OPENAI_ANSWERS                                                                          \
    .code_paths = vg_openai_codes, .message_paths = vg_openai_messages,                            \
    .faults = vg_openai_faults, .fault_count = VG_OPENAI_FAULTS,                                   \
    .retry_after = vg_openai_retry_after, .first_poll_ms = 10000, .poll_ms = 10000,                \
    .typical_ms = 180000

#endif
