/* SPDX-License-Identifier: Apache-2.0 */
/* How an upstream's failure becomes a ProviderError: an adapter's rows first, then what is common
 * to all (reference/providers.md section 6). Pure; any thread. */
#ifndef VG_WORKERS_UPSTREAM_FAULT_H
#define VG_WORKERS_UPSTREAM_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <videogate/v1/worker.pb-c.h>

#include "common/buf.h"
#include "common/json.h"

struct vg_adapter;
struct vg_http_result;

/* Short names of the classes, for the tables. */
#define VG_CLASS(name) VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_##name

/* What an upstream said to one request. Lives until the handler returns. */
struct vg_answer {
    int status;                 /* HTTP status; 0: no answer */
    const char *reason;         /* NULL: it came whole; else as in vg_http_result */
    bool sent;                  /* the request may have reached the upstream */
    struct vg_view body;        /* as received, long strings left out where that was asked for */
    const struct vg_json *json; /* NULL: not JSON */
    int64_t retry_after_ms;     /* 0: none */
    const struct vg_http_result *http; /* for headers */
};

/* In which call it happened: the same status means different things. */
enum vg_fault_phase {
    VG_PHASE_CREATE, /* the request that makes the paid job */
    VG_PHASE_BEFORE, /* requests of a Submit before that one: uploads, tokens */
    VG_PHASE_POLL,   /* poll, cancel, lookup: the job is there whatever happened */
    VG_PHASE_FETCH
};

enum vg_fault_flags {
    VG_FAULT_CHARGED = 1,     /* the provider charges for the failed job */
    VG_FAULT_FINAL = 2,       /* not retryable although its class is */
    VG_FAULT_NO_FALLBACK = 4, /* another provider would say the same */
    VG_FAULT_UNSURE = 8       /* said of a Submit, it may have been accepted */
};

/* First match wins. */
struct vg_fault_row {
    int status;       /* HTTP status; 0: any, and failures of jobs */
    const char *code; /* exact, or with a '*' at its end a prefix; NULL: any */
    const char *text; /* part of the message, any ASCII case; NULL: any */
    Videogate__V1__ErrorClass class;
    unsigned flags;
};

struct vg_fault {
    Videogate__V1__ErrorClass class;
    bool retryable, fallback_ok, maybe_submitted, charged;
    bool hidden; /* the texts are not for callers */
    int64_t retry_after_ms;
    int http_status;
    char code[96];     /* the provider's; may be empty */
    char message[512]; /* the provider's; may be empty */
};

/* Fills class and flags with what the class means by itself. */
void vg_fault_of_class(struct vg_fault *out, Videogate__V1__ErrorClass class);
/* `answer` is not what was hoped for. */
void vg_fault_of_answer(struct vg_fault *out, const struct vg_adapter *adapter,
                        const struct vg_answer *answer, enum vg_fault_phase phase);
/* A job ended badly; code and message as the provider gave them, NULL: none. */
void vg_fault_of_job(struct vg_fault *out, const struct vg_adapter *adapter, const char *code,
                     const char *message);
/* Whether a message or code speaks of moderation (LLM Gateway's signals and the vendors'). */
bool vg_fault_says_filtered(const char *text);

#endif
