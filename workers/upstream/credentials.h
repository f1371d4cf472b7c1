/* SPDX-License-Identifier: Apache-2.0 */
/* A provider's keys: several, each with a rate budget; the one that made a job is found again by
 * its id. Read from the configuration or from a file that is read again when it changes. Keys that
 * went stay known, for the jobs they made, but make no new ones. One thread (the base's loop).
 *
 * Text: keys divided by white space or commas; "rpm=N" after a key bounds its requests a minute.
 * A line that begins with '#' is a comment. */
#ifndef VG_WORKERS_UPSTREAM_CREDENTIALS_H
#define VG_WORKERS_UPSTREAM_CREDENTIALS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "workers/upstream/fault.h"

#define VG_CREDENTIAL_ID_SIZE 13

struct vg_credential {
    char id[VG_CREDENTIAL_ID_SIZE]; /* first 12 hex digits of the key's SHA-256 */
    char *key;                      /* owned */
    int64_t rpm;                    /* 0: unbounded */
    bool retired;                   /* not in the newest text */
    double tokens;                  /* of the bucket: at most rpm/6, at least 1 */
    int64_t filled_ns;
    int64_t rest_until_ns; /* no new jobs before: the provider refused or limited the key */
    Videogate__V1__ErrorClass rest_class;
    int64_t used; /* requests in all */
};

struct vg_credentials;

/* `text` and `file` may be NULL; the file's keys come after the text's. A file that cannot be read
 * or holds a key over 64 KiB fails. */
VG_MUSTCHECK int vg_credentials_new(struct vg_credentials **out, const char *text, const char *file,
                                    int64_t default_rpm, struct vg_err *err);
struct vg_credentials *vg_credentials_free(struct vg_credentials *self);
/* Reads the file again when it changed; a bad one is logged and changes nothing. */
void vg_credentials_refresh(struct vg_credentials *self);

/* How many make new jobs. */
size_t vg_credentials_count(const struct vg_credentials *self);
/* The i-th of those, from 0. */
struct vg_credential *vg_credentials_at(struct vg_credentials *self, size_t i);
/* For a new job: of those with budget the least used. NULL: none now; `fault` says why and when. */
struct vg_credential *vg_credentials_pick(struct vg_credentials *self, int64_t now_ns,
                                          struct vg_fault *fault);
/* The one with this id, if it may make a new job now; else NULL. */
struct vg_credential *vg_credentials_ready(struct vg_credentials *self, const char *id,
                                           int64_t now_ns);
/* The one with this id, retired or not; NULL: unknown. */
struct vg_credential *vg_credentials_find(struct vg_credentials *self, const char *id);
/* Takes one request out of the budget; 0, or the milliseconds to wait first. */
int64_t vg_credential_take(struct vg_credential *credential, int64_t now_ns);
/* What came of making a job: refused and limited keys rest. */
void vg_credential_report(struct vg_credential *credential, const struct vg_fault *fault,
                          int64_t now_ns);

/* Takes the keys, each part of those with a ':', and what is behind "Bearer " out of a text that a
 * provider wrote; also the beginning of one that the text's end cuts off. */
void vg_credentials_blot(const struct vg_credentials *self, char *text);

#endif
