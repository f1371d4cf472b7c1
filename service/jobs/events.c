/* SPDX-License-Identifier: Apache-2.0 */
/* What workers say, cleaned and bounded, as events of the decision core. */
#include <stdio.h>
#include <string.h>

#include "common/mem.h"
#include "common/str.h"
#include "service/jobs/error_class.h"
#include "service/jobs/jobs_priv.h"

const char *vg_clean_text(struct vg_arena *arena, const char *text, size_t max)
{
    size_t len = text ? strnlen(text, max) : 0;
    char *out = vg_arena_memdup(arena, len ? text : "", len);
    size_t whole = vg_utf8_cut(out, len);
    if (vg_utf8_valid(out, whole)) {
        out[whole] = '\0';
    }
    bool ascii_only = !vg_utf8_valid(out, strlen(out));
    for (char *c = out; ascii_only && *c; c++) {
        if ((unsigned char)*c >= 0x80) {
            *c = '?';
        }
    }
    for (char *c = out; *c; c++) {
        if ((unsigned char)*c < 0x20) {
            *c = ' ';
        }
    }
    return out;
}

enum { ECHO_MIN = 8, ECHO_KEY = 24 };

/* How many bytes at `text` repeat the prompt, whose beginning they must be. */
static size_t echo_length(const char *text, const char *prompt, size_t key)
{
    size_t n = 0;
    if (key < ECHO_MIN || strncmp(text, prompt, key) != 0) {
        return 0;
    }
    while (prompt[n] && text[n] == prompt[n]) {
        n++;
    }
    return n;
}

const char *vg_scrub_reason(struct vg_arena *arena, const char *reason, const char *prompt)
{
    size_t len = strlen(reason), at = 0;
    size_t key = strnlen(prompt, ECHO_KEY);
    bool in_address = false;
    char *out = vg_arena_alloc(arena, len + 1); /* it never grows */
    for (const char *c = reason; *c;) {
        size_t echo = echo_length(c, prompt, key);
        in_address = strncmp(c, "://", 3) == 0 || (in_address && !strchr(" \"'<>", *c));
        if (echo > 0) {
            memcpy(out + at, "[prompt]", 8);
            at += 8;
            c += echo;
        } else if (in_address && *c == '?') {
            out[at++] = '?';
            c += strcspn(c, " \"'<>");
        } else {
            out[at++] = *c++;
        }
    }
    out[at] = '\0';
    return out;
}

static const char *http_phrase(int32_t status)
{
    static const struct {
        int32_t status;
        const char *phrase;
    } phrases[] = {
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {413, "Payload Too Large"},
        {415, "Unsupported Media Type"},
        {422, "Unprocessable Entity"},
        {429, "Too Many Requests"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
    };

    for (size_t i = 0; i < VG_COUNT(phrases); i++) {
        if (phrases[i].status == status) {
            return phrases[i].phrase;
        }
    }
    return "";
}

/* What a caller reads of a provider that must not be known: its status at most. "" leaves it to the
 * error's class, as with refusals by content, which are no secret. */
static const char *stealth_message(const Videogate__V1__ProviderError *error,
                                   struct vg_arena *arena)
{
    const char *phrase = http_phrase(error->http_status);

    if (error->class_ == VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_CONTENT_FILTERED ||
        error->http_status < 400 || error->http_status > 599) {
        return "";
    }
    return vg_arena_printf(arena, "Upstream provider error (%d%s%s)", (int)error->http_status,
                           phrase[0] ? " " : "", phrase);
}

void vg_event_from_error(struct vg_fsm_event *event, const Videogate__V1__ProviderError *error,
                         bool stealth, struct vg_arena *arena)
{
    event->kind = VG_EV_ERROR;
    event->wait_ms = error->retry_after_ms > 0 ? error->retry_after_ms : 0;
    event->error = (struct vg_fsm_error){
        .class = error->class_,
        .retryable = error->retryable,
        .fallback_ok = error->fallback_ok,
        .maybe_submitted = error->maybe_submitted,
        .charged = error->charged,
        .public_message = stealth ? stealth_message(error, arena)
                                  : vg_clean_text(arena, error->public_message, VG_PUBLIC_SIZE - 1),
    };
    char raw[2 * VG_REASON_SIZE];
    (void)snprintf(raw, sizeof(raw), "%s http=%d code=%.80s: %.800s",
                   vg_error_class(error->class_)->word, error->http_status, error->upstream_code,
                   error->upstream_message);
    event->reason = vg_clean_text(arena, raw, VG_REASON_SIZE - 1);
}

/* The provider has a job that we cannot follow: it may cost money, so nothing is tried again. */
static void unusable(struct vg_fsm_event *event)
{
    event->kind = VG_EV_ERROR;
    event->reason = "the worker's answer cannot be used";
    event->error = (struct vg_fsm_error){
        .class = VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_UPSTREAM_INTERNAL, .charged = true};
}

static void upstream(struct vg_fsm_event *event, const char *id, const ProtobufCBinaryData *state)
{
    size_t len = strnlen(id, VG_UPSTREAM_ID_MAX + 1);
    if (len > VG_UPSTREAM_ID_MAX || !vg_utf8_valid(id, len) || state->len > VG_POLL_STATE_MAX) {
        unusable(event);
        return;
    }
    event->upstream_id = id;
    event->poll_state = state->data;
    event->poll_state_size = state->len;
}

void vg_event_from_accepted(struct vg_fsm_event *event, const Videogate__V1__Accepted *accepted)
{
    event->kind = VG_EV_ACCEPTED;
    event->wait_ms = accepted->poll_after_ms;
    upstream(event, accepted->upstream_id, &accepted->poll_state);
}

void vg_event_from_finished(struct vg_fsm_event *event, const Videogate__V1__Finished *finished)
{
    event->kind = VG_EV_FINISHED;
    upstream(event, finished->upstream_id, &finished->poll_state);
}

bool vg_rpc_malformed(int grpc_code)
{
    return grpc_code == VG_GRPC_INVALID_ARGUMENT || grpc_code == VG_GRPC_UNIMPLEMENTED;
}

bool vg_rpc_refused(int grpc_code)
{
    return grpc_code == VG_GRPC_UNAUTHENTICATED || grpc_code == VG_GRPC_PERMISSION_DENIED ||
           grpc_code == VG_GRPC_FAILED_PRECONDITION;
}
