/* SPDX-License-Identifier: Apache-2.0 */
/* The sandbox's folder: names, whole-file writes that survive a crash, hashes. Blocking; any
 * thread. */
#ifndef VG_WORKERS_PROVIDERS_SANDBOX_FILES_H
#define VG_WORKERS_PROVIDERS_SANDBOX_FILES_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/crypto.h"
#include "common/err.h"

#define VG_SANDBOX_PATH_SIZE 1024

/* DIR/FOLDER/NAME. The configured folder is short enough (checked at start). */
void vg_sandbox_path(char out[VG_SANDBOX_PATH_SIZE], const char *dir, const char *folder,
                     const char *name);
VG_MUSTCHECK int vg_sandbox_make_dir(const char *path, struct vg_err *err);

/* Everything, or -1 with errno. */
VG_MUSTCHECK int vg_sandbox_write_all(int fd, const void *data, size_t len);
/* Makes what stands at `temp` durable under `path`: fsync, rename, fsync of the folder. */
VG_MUSTCHECK int vg_sandbox_publish(const char *temp, const char *path, struct vg_err *err);
/* temp, fsync, rename. */
VG_MUSTCHECK int vg_sandbox_write_file(const char *temp, const char *path, struct vg_view bytes,
                                       struct vg_err *err);
/* Reads a whole file of at most buf->max bytes. */
VG_MUSTCHECK int vg_sandbox_read_file(struct vg_buf *out, const char *path, struct vg_err *err);
VG_MUSTCHECK int vg_sandbox_hash_file(const char *path, int64_t *out_bytes,
                                      char out_sha256[VG_SHA256_HEX_SIZE], struct vg_err *err);
/* Unlinks every entry of a folder that `keep` (may be NULL: none) does not want. */
void vg_sandbox_clear_dir(const char *path, bool (*keep)(void *ctx, const char *name), void *ctx);
/* Fills `err` from errno: VG_ERR_STORAGE_FULL for a full disk or quota. Returns -1. */
int vg_sandbox_errno(struct vg_err *err, const char *what, const char *path);

#endif
