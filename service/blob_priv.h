/* SPDX-License-Identifier: Apache-2.0 */
/* What the blob store's files share: blob.c (writing, reading), blob_key.c, blob_sweep.c,
 * blob_bind.c. Private to them. */
#ifndef VG_SERVICE_BLOB_PRIV_H
#define VG_SERVICE_BLOB_PRIV_H

#include <stdatomic.h>

#include "service/blob.h"

#define VG_BLOB_NAME_MAX 90

struct vg_blob_store {
    int root;
    int tmp;
    struct vg_blob_options options; /* `dir` is not used after open */
    atomic_bool scarce;             /* as of the last look */
};

/* A key taken apart. */
struct vg_blob_place {
    char dir[24];  /* "outputs/abc" */
    char kind[12]; /* "outputs" */
    char name[VG_BLOB_NAME_MAX + 1];
};
bool vg_blob_place(const char *key, struct vg_blob_place *out);

/* The one mapping from errno: out of space is the operator's to mend, the rest is ours. */
int vg_blob_disk_error(struct vg_err *err, const char *what, int error);
int vg_blob_fsync(int fd);

#endif
