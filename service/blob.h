/* SPDX-License-Identifier: Apache-2.0 */
/* The blob store: files under one folder, written whole or not at all.
 *
 * A write goes to DIR/tmp, is fsynced, renamed to DIR/KEY, and the folder is fsynced: after commit
 * returns the file survives a power cut; before it nothing can be seen under the key. Temporary
 * files are flock()ed while written, so that what a dead process left is told from what a live one
 * writes (several processes may share the folder).
 *
 * Every call blocks on the disk: call from a work pool thread. The store may be used from any
 * thread, a writer or reader from one thread at a time. Errors: VG_ERR_STORAGE_FULL (no space,
 * quota, reserve reached), VG_ERR_OVERLOADED (no descriptor or memory left), VG_ERR_NOT_FOUND
 * (open), VG_ERR_INVALID_REQUEST (bad key), VG_ERR_INTERNAL (the disk failed; detail names the call
 * and errno). */
#ifndef VG_SERVICE_BLOB_H
#define VG_SERVICE_BLOB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/crypto.h"
#include "common/err.h"

/* A key is "KIND/FAN/NAME": kind "inputs" or "outputs", three fan-out hex digits, a file name. */
#define VG_BLOB_KEY_SIZE 112 /* with NUL */

struct vg_blob_store;
struct vg_blob_writer;
struct vg_blob_reader;

struct vg_blob_options {
    const char *dir;       /* made when missing */
    int64_t reserve_bytes; /* refuse writes while the file system has less free; 0: off */
    int64_t stale_ms;      /* unlocked temporary files older than this are leftovers; 0: at once */
};

VG_MUSTCHECK int vg_blob_store_open(struct vg_blob_store **out,
                                    const struct vg_blob_options *options, struct vg_err *err);
struct vg_blob_store *vg_blob_store_close(struct vg_blob_store *store);
/* Whether less than twice the reserve was free at the last look: results of what is under way still
 * find room, so nothing new should be begun. Every vg_blob_create looks. Does not block. */
bool vg_blob_scarce(const struct vg_blob_store *store);
void vg_blob_look(struct vg_blob_store *store);
/* Removes temporary files of dead writers; returns how many. Done by open as well. */
size_t vg_blob_sweep(struct vg_blob_store *store);
/* Whether the folder's file `identity` says `identity` (1 to 64 characters); a folder without that
 * file is given it, once, whoever else tries at the same time. */
VG_MUSTCHECK int vg_blob_bind(struct vg_blob_store *store, const char *identity, bool *out_ours,
                              struct vg_err *err);

/* Keys. `serial` tells apart the tries to store one output (use lease_seq), so that a stale writer
 * never touches the file of its successor. */
void vg_blob_output_key(char out[VG_BLOB_KEY_SIZE], const char *video_id, int32_t index,
                        int64_t serial);
void vg_blob_input_key(char out[VG_BLOB_KEY_SIZE], const char *video_id, int32_t position);
bool vg_blob_key_valid(const char *key);

struct vg_blob_info {
    int64_t bytes;
    char sha256[VG_SHA256_HEX_SIZE];
};

/* Writing. */
VG_MUSTCHECK int vg_blob_create(struct vg_blob_store *store, const char *key,
                                struct vg_blob_writer **out, struct vg_err *err);
/* After a failure the writer must still be aborted (or committed, which fails). */
VG_MUSTCHECK int vg_blob_append(struct vg_blob_writer *writer, const void *data, size_t len,
                                struct vg_err *err);
int64_t vg_blob_written(const struct vg_blob_writer *writer);
/* Makes the file durable and visible, replacing one of the same key. `expected_bytes` 0 and
 * `expected_sha256` NULL or
 * "" mean unknown; on a difference it fails with VG_ERR_BAD_GATEWAY and nothing is stored. Frees
 * the writer in every case. */
VG_MUSTCHECK int vg_blob_commit(struct vg_blob_writer *writer, int64_t expected_bytes,
                                const char *expected_sha256, struct vg_blob_info *out,
                                struct vg_err *err);
/* Frees the writer and its temporary file; NULL is fine. */
struct vg_blob_writer *vg_blob_abort(struct vg_blob_writer *writer);
/* create, append, commit in one. */
VG_MUSTCHECK int vg_blob_put(struct vg_blob_store *store, const char *key, const void *data,
                             size_t len, struct vg_blob_info *out, struct vg_err *err);
/* Stores the bytes of `from` under `to` as well (a hard link where possible); either can be removed
 * alone. */
VG_MUSTCHECK int vg_blob_link(struct vg_blob_store *store, const char *from, const char *to,
                              struct vg_err *err);

/* Reading. An open reader goes on although the key is removed. */
VG_MUSTCHECK int vg_blob_open(struct vg_blob_store *store, const char *key,
                              struct vg_blob_reader **out, struct vg_err *err);
int64_t vg_blob_size(const struct vg_blob_reader *reader);
/* Reads up to `len` bytes at `offset`; *out_len is smaller only at the end of the file. */
VG_MUSTCHECK int vg_blob_read(struct vg_blob_reader *reader, int64_t offset, void *buf, size_t len,
                              size_t *out_len, struct vg_err *err);
struct vg_blob_reader *vg_blob_close(struct vg_blob_reader *reader);
/* The whole file into malloc'ed memory (free() it); more than `max` bytes fails with
 * VG_ERR_TOO_LARGE. */
VG_MUSTCHECK int vg_blob_get(struct vg_blob_store *store, const char *key, size_t max, void **out,
                             size_t *out_len, struct vg_err *err);

/* Removing; a missing file is success. */
VG_MUSTCHECK int vg_blob_remove(struct vg_blob_store *store, const char *key, struct vg_err *err);

/* Calls `each` for every file of one slice (0 to 255; together they are the store) that is older
 * than `age_s`, with its key and the video it was written for. `each` returning false ends the
 * walk. For the janitor. */
#define VG_BLOB_SLICES 256
typedef bool vg_blob_each_f(void *ctx, const char *key, const char *video_id);
void vg_blob_each(struct vg_blob_store *store, unsigned slice, int64_t age_s, vg_blob_each_f *each,
                  void *ctx);

#endif
