/* SPDX-License-Identifier: Apache-2.0 */
/* What a fetched result is, and how far that is from what was asked for. */
#ifndef VG_SERVICE_JOBS_RESULT_PROBE_H
#define VG_SERVICE_JOBS_RESULT_PROBE_H

#include <stdbool.h>

#include "common/buf.h"
#include "service/blob.h"
#include "service/variant_reader.h"
#include "videogate/store/v1/job.pb-c.h"

enum vg_result_kind {
    VG_RESULT_AS_ASKED,
    VG_RESULT_DIFFERS, /* in size, length or sound: stored and shown as it is, for it is paid for */
    VG_RESULT_UNSEEN,  /* nobody could tell in time: stored without facts */
    VG_RESULT_BAD,     /* no video, or an empty one */
    VG_RESULT_UNREAD,  /* the disk failed */
    VG_RESULT_KIND_MAX
};

struct vg_result {
    enum vg_result_kind kind;      /* AS_ASKED until it was compared */
    struct vg_variant_facts facts; /* zeros where there are none */
    struct vg_err err;             /* bad, unread, unseen: why */
};

/* Looks at a file of the store. Blocks, some seconds at most; any thread. */
void vg_result_probe(struct vg_blob_store *blobs, const char *key, struct vg_result *out);

/* Sets DIFFERS where it does. Pure. */
void vg_result_compare(struct vg_result *result, const Videogate__Store__V1__JobSpec *asked);
/* "1280x720, 8000 ms, sound": what was asked for, what came. */
void vg_result_say(const struct vg_result *result, struct vg_buf *out);
void vg_result_say_asked(const Videogate__Store__V1__JobSpec *asked, struct vg_buf *out);

#endif
