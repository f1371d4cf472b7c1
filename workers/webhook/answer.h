/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of a receiver's answer: its first bytes as text for the owner's eyes. Pure. */
#ifndef VG_WORKERS_WEBHOOK_ANSWER_H
#define VG_WORKERS_WEBHOOK_ANSWER_H

#include "common/buf.h"

#define VG_WEBHOOK_ANSWER 512 /* bytes */

/* UTF-8, cut at a character; control characters become spaces, other bytes question marks. */
void vg_webhook_answer(char out[VG_WEBHOOK_ANSWER + 1], struct vg_view body);

#endif
