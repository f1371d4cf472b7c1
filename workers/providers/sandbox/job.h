/* SPDX-License-Identifier: Apache-2.0 */
/* A job of the sandbox and its two lines in the journal: one when it was accepted, one when it
 * ended. The functions here are pure; who may touch a job when is said in sandbox_store.h. */
#ifndef VG_WORKERS_PROVIDERS_SANDBOX_JOB_H
#define VG_WORKERS_PROVIDERS_SANDBOX_JOB_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/crypto.h"
#include "common/err.h"
#include "common/id.h"

#define VG_SANDBOX_MAX_TOKEN 255
#define VG_SANDBOX_MAX_MODEL 128
#define VG_SANDBOX_MAX_PROMPT ((size_t)128 << 10)
#define VG_SANDBOX_MAX_SIDE 4096
#define VG_SANDBOX_MIN_SIDE 64
#define VG_SANDBOX_MAX_SECONDS 120

enum vg_sandbox_state {
    VG_SANDBOX_ACCEPTED, /* -> finished, failed, canceled */
    VG_SANDBOX_FINISHED, /* -> canceled (while the caller has not been told) */
    VG_SANDBOX_FAILED,
    VG_SANDBOX_CANCELED,
    VG_SANDBOX_STATE_MAX
};
bool vg_sandbox_may(enum vg_sandbox_state from, enum vg_sandbox_state to);

struct vg_sandbox_job {
    char id[VG_ID_SIZE]; /* "sbx_..." */
    char *token;         /* owned */
    char *model;         /* owned */
    char *prompt;        /* owned; NULL once ended */
    int64_t created_ms;  /* Unix */
    int32_t width, height, seconds, index;
    bool audio;
    bool has_inputs; /* pictures stand in inputs/ID */

    enum vg_sandbox_state state;
    int64_t bytes;                   /* of the finished file; 0 for shared clips */
    char sha256[VG_SHA256_HEX_SIZE]; /* "" for shared clips */

    atomic_int progress;
    atomic_bool cancel;
    atomic_bool fetched; /* a first fetch has begun */

    /* the store's */
    struct vg_sandbox_job *next[2]; /* chains by id and by token */
    struct vg_sandbox_job *younger; /* order of acceptance */
    unsigned refs;
    bool durable; /* its record is on disk: only then others may see it */
    bool logged;
};

struct vg_sandbox_job *vg_sandbox_job_new(void);
struct vg_sandbox_job *vg_sandbox_job_free(struct vg_sandbox_job *job);

/* 0, or VG_ERR_INVALID_REQUEST naming the field: the bounds above, even sides, printable token and
 * model. */
VG_MUSTCHECK int vg_sandbox_job_check(const struct vg_sandbox_job *job, struct vg_err *err);

/* Journal lines, with the newline. */
void vg_sandbox_write_submit(struct vg_buf *out, const struct vg_sandbox_job *job);
void vg_sandbox_write_end(struct vg_buf *out, const char *id, enum vg_sandbox_state state,
                          int64_t bytes, const char *sha256);
/* One parsed line: an accepted job, or the end of one. */
struct vg_sandbox_line {
    struct vg_sandbox_job *job; /* owned by the caller; NULL for an end line */
    char id[VG_ID_SIZE];
    enum vg_sandbox_state state;
    int64_t bytes;
    char sha256[VG_SHA256_HEX_SIZE];
};
VG_MUSTCHECK int vg_sandbox_parse_line(struct vg_sandbox_line *out, struct vg_view line,
                                       struct vg_err *err);

#endif
