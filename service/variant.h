/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of outputs: made once, when first asked for, and kept in the blob store beside the
 * output under a key that comes from the output's, so that whoever removes the output can name them
 * without a row.
 *
 * They are made on threads of their own, one making of an output at a time: who asks meanwhile
 * waits for it. Remove an output with vg_variant_remove, which takes its variants along; a making
 * that was under way then removes what it has made, and one that died with its process leaves what
 * vg_variant_stray finds. */
#ifndef VG_SERVICE_VARIANT_H
#define VG_SERVICE_VARIANT_H

#include <stdbool.h>
#include <stddef.h>

#include "common/metrics.h"
#include "common/task.h"
#include "service/blob.h"

enum vg_variant { VG_VARIANT_THUMBNAIL, VG_VARIANT_SPRITESHEET, VG_VARIANT_MAX };

const char *vg_variant_mime_type(enum vg_variant variant);
/* Where the variant of the output under `output` is kept. */
void vg_variant_key(char out[VG_BLOB_KEY_SIZE], const char *output, enum vg_variant variant);

/* Removes a file of the store and, where it is an output, its variants. On a pool. */
VG_MUSTCHECK int vg_variant_remove(struct vg_blob_store *store, const char *key,
                                   struct vg_err *err);
/* Whether the key is a variant's whose output is gone. On a pool. */
bool vg_variant_stray(struct vg_blob_store *store, const char *key);

/* --- making --- */

struct vg_variants;

struct vg_variants_options {
    struct vg_blob_store *blobs; /* borrowed */
    int threads;
    int64_t timeout_ms; /* for one making */
    size_t max_pending; /* outputs being made or waiting; beyond it VG_ERR_OVERLOADED; 0: 256 */
    struct vg_metrics *metrics;
};

/* One question. Belongs to the makings until done. */
struct vg_variant_wait {
    const char *video_id; /* for the log; borrowed until done, as `output` */
    const char *output;   /* key of the output */
    enum vg_variant variant;
    struct vg_executor *executor; /* where `done.run` is called */
    struct vg_task done;
    /* results */
    bool ok;           /* the file is there */
    struct vg_err err; /* VG_ERR_NO_VARIANT, VG_ERR_NOT_FOUND (the output is gone), OVERLOADED,
                          UNAVAILABLE (stopping), and those of the blob store */

    struct vg_variant_wait *next;
};

VG_MUSTCHECK int vg_variants_start(struct vg_variants **out,
                                   const struct vg_variants_options *options, struct vg_err *err);
/* Makes it, whether or not it is there. Any thread; returns at once. */
void vg_variants_make(struct vg_variants *variants, struct vg_variant_wait *wait);
/* Makings end soon, with VG_ERR_UNAVAILABLE. Any thread. NULL is fine. */
void vg_variants_cancel(struct vg_variants *variants);
/* After the last wait has ended. NULL is fine. */
struct vg_variants *vg_variants_stop(struct vg_variants *variants);

#endif
