/* SPDX-License-Identifier: Apache-2.0 */
/* One call of ProviderWorkerService on its way through an upstream's HTTP: what adapters are
 * written against. A handler gets the call, sends one request (vg_call_http) whose `then` gets the
 * answer, and so on, until one of the endings at the foot of this file. After an ending, and after
 * vg_call_http, the handler returns and touches the call no more. Everything runs on the base's
 * loop. */
#ifndef VG_WORKERS_UPSTREAM_CALL_H
#define VG_WORKERS_UPSTREAM_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <videogate/store/v1/upstream.pb-c.h>
#include <videogate/v1/worker.pb-c.h>

#include "common/buf.h"
#include "common/json.h"
#include "common/json_writer.h"
#include "common/loop.h"
#include "common/mem.h"
#include "workers/upstream/fault.h"

struct vg_form_part;
struct vg_upstream;

enum vg_call_kind { VG_CALL_SUBMIT, VG_CALL_POLL, VG_CALL_FETCH, VG_CALL_CANCEL, VG_CALL_LOOKUP };

struct vg_call {
    enum vg_call_kind kind;
    struct vg_arena *arena;                     /* until the ending */
    const Videogate__V1__SubmitRequest *submit; /* SUBMIT, LOOKUP */
    const Videogate__V1__LookupRequest *lookup; /* LOOKUP */
    const char *upstream_id;                    /* POLL, FETCH, CANCEL */
    /* What the last answer kept, from Submit on: texts in it are the arena's, or literals. The base
     * fills credential, base_url, submitted_at_ms, model, width, height, seconds. */
    Videogate__Store__V1__UpstreamState *state;
    const void *config; /* the adapter's own, loaded */
    void *own;          /* what the adapter's `open` made */
    void *scratch;      /* the adapter's between its handlers; from the arena */
};

typedef void vg_call_then_f(struct vg_call *call, const struct vg_answer *answer);

struct vg_call_http {
    const char *method; /* a literal */
    /* "/v1/x?id=..." under the base address, or an address the provider gave. The credential goes
     * along only where the origin is the base's. */
    const char *url;
    struct vg_view body;        /* copied */
    const char *content_type;   /* NULL: application/json */
    const char *const *headers; /* further ones, NULL-terminated; may be NULL */
    int64_t timeout_ms;         /* 0: 60 s, in a poll 30 s */
    size_t max_answer;          /* 0: 1 MiB */
    bool elide;   /* strings over 64 KiB in the answer read as empty; max_answer counts the rest */
    bool creates; /* this request makes the job that is paid for: sent once, and when its answer
                     is lost the job may be there */
    bool repeatable; /* a POST that changes nothing */
    vg_call_then_f *then;
};
void vg_call_http(struct vg_call *call, const struct vg_call_http *http);

/* Shorthands. */
void vg_call_get(struct vg_call *call, const char *url, vg_call_then_f *then);
/* A JSON body: write it between the two. */
struct vg_json_writer *vg_call_json(struct vg_call *call);
/* What was written so far, for vg_call_http. */
struct vg_view vg_call_body(struct vg_call *call);
/* `creates` as above. */
void vg_call_post(struct vg_call *call, const char *url, bool creates, vg_call_then_f *then);

/* An answer that is 2xx, a JSON object, and no failure in disguise (adapter's ok_path). Otherwise
 * ends the call with what the fault tables say and returns false. */
bool vg_call_ok(struct vg_call *call, const struct vg_answer *answer);
/* As vg_call_ok; besides, the answer is about the job that was asked for: its id stands at `path`.
 */
bool vg_call_about(struct vg_call *call, const struct vg_answer *answer, const char *path);
/* The header of an answer; NULL: not there. */
const char *vg_answer_header(const struct vg_answer *answer, const char *name);

/* A value by path: members separated by '.', array elements by number ("data.outputs.0"). NULL:
 * not there. */
const struct vg_json *vg_json_at(const struct vg_json *root, const char *path);
/* As text in the arena: strings as they are, whole numbers in decimal, others NULL; "" is NULL. */
const char *vg_call_text(struct vg_call *call, const struct vg_json *root, const char *path);

/* Escapes what is not unreserved (RFC 3986), for one path segment or query value. Arena. */
const char *vg_call_escape(struct vg_call *call, const char *text);
const char *vg_call_printf(struct vg_call *call, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* A provider's words for states: what `text` means in the table, 0 for others and NULL. */
struct vg_word {
    const char *text;
    int word;
};
int vg_word_of(const struct vg_word *words, size_t count, const char *text);

/* Members of an open object. */
void vg_put_text(struct vg_json_writer *w, const char *name, const char *text);
void vg_put_int(struct vg_json_writer *w, const char *name, int64_t value);
void vg_put_bool(struct vg_json_writer *w, const char *name, bool value);
/* A list of texts as a member; none: nothing is written. */
void vg_put_texts(struct vg_json_writer *w, const char *name, char *const *texts, size_t count);
/* A multipart form; `creates` as in vg_call_http. */
void vg_call_post_form(struct vg_call *call, const char *url, const struct vg_form_part *parts,
                       size_t count, bool creates, vg_call_then_f *then);
/* "picture.png" and the like: a name for a file in a form. */
const char *vg_picture_name(struct vg_call *call, const Videogate__V1__MediaBlob *blob);
/* Pictures into a JSON body. */
void vg_put_base64(struct vg_json_writer *w, const Videogate__V1__MediaBlob *blob);
void vg_put_data_url(struct vg_json_writer *w, const Videogate__V1__MediaBlob *blob);
/* "16:9" and the like for the submitted size: the simplest ratio among the usual ones. */
const char *vg_call_aspect(const struct vg_call *call);
/* "480p", "720p", "768p", "1080p", "4k" by the shorter side. */
const char *vg_call_resolution(const struct vg_call *call);
/* A member of SubmitRequest.extra; NULL: not there. Parsed once. */
const struct vg_json *vg_call_extra(struct vg_call *call, const char *name);
/* The first of its members, for going through them; NULL: none. */
const struct vg_json *vg_call_extra_first(struct vg_call *call);
/* Writes what `extra` holds into an open object, but for members named in `taken`
 * (NULL-terminated). */
void vg_call_put_extra(struct vg_call *call, struct vg_json_writer *w, const char *const *taken);

/* LOOKUP: the lost request ended at least so long ago; what the provider does not show by now it
 * never got. Each provider has its own time. */
bool vg_call_settled(const struct vg_call *call, int64_t settle_ms);
/* LOOKUP: whether an upstream id already belongs to another generation. */
bool vg_call_taken(const struct vg_call *call, const char *upstream_id);

/* The key that the call goes with; "" when there is none. */
const char *vg_call_key(const struct vg_call *call);
/* With an authorize hook: the whole header line, e.g. "Authorization: Bearer ya29...". Copied. */
void vg_call_authorized(struct vg_call *call, const char *header);

/* --- endings: each call has exactly one --- */

/* SUBMIT. poll_after_ms 0: the adapter's first_poll_ms. */
void vg_call_accepted(struct vg_call *call, const char *upstream_id, int64_t poll_after_ms);
/* SUBMIT: the answer is judged; the id of the accepted job stands at `path`. */
void vg_call_take_id(struct vg_call *call, const struct vg_answer *answer, const char *path);
/* POLL. progress -1: not told, made up from the time gone by; poll_after_ms 0: the adapter's. */
void vg_call_running(struct vg_call *call, int progress, int64_t poll_after_ms);
/* SUBMIT, POLL: state->result says where the file is. upstream_id NULL: as known. */
void vg_call_finished(struct vg_call *call, const char *upstream_id);
/* POLL: finished, the file is at `url`; NULL: the answer cannot be right, ask again. */
void vg_call_take_result(struct vg_call *call, const struct vg_answer *answer, const char *url);
/* POLL */
void vg_call_canceled(struct vg_call *call);
void vg_call_expired(struct vg_call *call);
/* POLL, SUBMIT: the provider says the job failed; texts may be NULL. */
void vg_call_job_failed(struct vg_call *call, const char *code, const char *message);
/* Any: the failure as judged. */
void vg_call_failed(struct vg_call *call, const struct vg_fault *fault);
/* Any: the upstream's answer cannot be what it should be; `what` is for operators. */
void vg_call_nonsense(struct vg_call *call, const struct vg_answer *answer, const char *what);
/* SUBMIT: this provider cannot make what is asked; nothing was sent. One sentence for the caller.
 */
void vg_call_refuse(struct vg_call *call, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* CANCEL */
void vg_call_cancel_ended(struct vg_call *call, Videogate__V1__CancelOutcome outcome);
/* LOOKUP: found. When one key says absent or retry, the base asks the other keys and base
 * addresses first. */
void vg_call_found(struct vg_call *call, const char *upstream_id);
void vg_call_lookup_ended(struct vg_call *call, Videogate__V1__LookupOutcome outcome);

/* --- fetch --- */

struct vg_call_stream {
    const char *method; /* NULL: GET */
    const char *url;    /* as in vg_call_http; redirects are followed by hand, at most 3, the key
                           stays with the base's origin */
    struct vg_view body;
    const char *mime_type; /* NULL: the answer's own, video/mp4 where that says nothing */
    /* The file is base64 in the JSON answer: the nth (from 0) string under this member name. */
    const char *inline_key;
    int32_t inline_index;
};
/* FETCH: streams the file and ends the call. A link that is refused (401, 403, 404, 410) is renewed
 * once by the adapter's poll. */
void vg_call_stream(struct vg_call *call, const struct vg_call_stream *stream);

#endif
