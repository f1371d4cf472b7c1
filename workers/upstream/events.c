/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/upstream/events.h"

#include <string.h>

#include "common/crypto.h"
#include "common/json.h"
#include "common/json_writer.h"
#include "common/str.h"
#include "workers/upstream/call.h"
#include "workers/upstream/jws.h"

#define MAX_TEXT 1024 /* of a job's id or a challenge */
#define MAX_SECRET 1024
#define SEPARATORS ", \t\r\n"
#define SIGNATURE_SIZE 48 /* "v1," and base64 of a MAC, with NUL */

enum verdict { RIGHT, WRONG, NONE };

/* One event while it is judged. */
struct event {
    const struct vg_event_scheme *scheme;
    const Videogate__V1__ReadEventRequest *request;
    const struct vg_event_trust *trust;
    struct vg_arena *arena;
    struct vg_json *root; /* owned; the body */
    const char *id;       /* arena; NULL: not told */
    bool no_key;
};

/* --- secrets --- */

/* The next one, arena's; NULL: no more. */
static const char *next_secret(const char **at, struct vg_arena *arena)
{
    if (!*at)
        return NULL;
    *at += strspn(*at, SEPARATORS);
    size_t len = strcspn(*at, SEPARATORS);
    const char *secret = len > 0 ? vg_arena_memdup(arena, *at, len) : NULL;
    *at += len;
    return secret;
}

static int read_key(const char *text, uint8_t out[VG_ED25519_KEY_SIZE])
{
    size_t len = 0;

    return vg_jwk_decode(text, out, VG_ED25519_KEY_SIZE, &len) == 0 && len == VG_ED25519_KEY_SIZE
               ? 0
               : -1;
}

int vg_event_check(const struct vg_event_scheme *scheme, const char *secrets, struct vg_err *err)
{
    struct vg_arena *arena = vg_arena_new();
    uint8_t key[VG_ED25519_KEY_SIZE];
    const char *secret;
    int count = 0, rc = 0;

    while (rc == 0 && (secret = next_secret(&secrets, arena)))
        if (++count > VG_EVENT_SECRETS || strlen(secret) > MAX_SECRET)
            rc = vg_err_param(err, VG_ERR_INVALID_REQUEST, "event-secret",
                              "event-secret: at most %d, of at most %d characters.",
                              VG_EVENT_SECRETS, MAX_SECRET);
        else if (scheme->sign == VG_EVENT_UNSIGNED)
            rc = vg_err_param(err, VG_ERR_INVALID_REQUEST, "event-secret",
                              "event-secret: this provider does not sign its webhooks.");
        else if (scheme->sign == VG_EVENT_ED25519 && read_key(secret, key) != 0)
            rc = vg_err_param(err, VG_ERR_INVALID_REQUEST, "event-secret",
                              "event-secret: must be Ed25519 public keys of 32 bytes in base64.");
    vg_arena_free(arena);
    return rc;
}

/* --- headers --- */

static const char *header(const struct event *e, const char *name)
{
    for (size_t i = 0; i < e->request->n_headers; i++)
        if (strcmp(e->request->headers[i]->name, name) == 0)
            return e->request->headers[i]->value;
    return "";
}

static bool is_fresh(const struct event *e, const char *seconds, int64_t *out)
{
    return vg_parse_i64(vg_view_of(seconds), 0, INT64_C(1) << 40, out) == 0 &&
           *out >= e->trust->now_s - VG_EVENT_TOLERANCE_S &&
           *out <= e->trust->now_s + VG_EVENT_TOLERANCE_S;
}

static struct vg_view body_of(const struct event *e)
{
    return (struct vg_view){(const char *)e->request->body.data, e->request->body.len};
}

/* --- the ways to sign; each is given one secret --- */

typedef enum verdict judge_f(const struct event *e, const char *secret);

/* The header holds one or more "VERSION,SIGNATURE" with a space between. */
static enum verdict judge_standard(const struct event *e, const char *secret)
{
    const char *id = header(e, "webhook-id");
    const char *given = header(e, "webhook-signature");
    char expected[SIGNATURE_SIZE];
    int64_t at = 0;

    bool fresh = *id && is_fresh(e, header(e, "webhook-timestamp"), &at);
    vg_webhook_sign(expected, secret, id, at, body_of(e));
    while (*given) {
        given += strspn(given, " ");
        size_t len = strcspn(given, " ");
        if (fresh && len == strlen(expected) && vg_equal_ct(given, expected, len))
            return RIGHT;
        given += len;
    }
    return WRONG;
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef0123456789ABCDEF";
    const char *at = c ? strchr(digits, c) : NULL;

    return at ? (int)(at - digits) % 16 : -1;
}

static int read_hex(const char *text, uint8_t *out, size_t size)
{
    if (strlen(text) != size * 2)
        return -1;
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(text[2 * i]), low = hex_digit(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return -1;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return 0;
}

/* Over "request id, user id, time, hex SHA-256 of the body", a line each. */
static enum verdict judge_signed(const struct event *e, const uint8_t key[VG_ED25519_KEY_SIZE])
{
    uint8_t signature[VG_ED25519_SIGNATURE_SIZE], sum[VG_SHA256_SIZE];
    const char *time = header(e, "x-fal-webhook-timestamp");
    const char *id = header(e, "x-fal-webhook-request-id");
    char hex[VG_SHA256_HEX_SIZE];
    struct vg_view body = body_of(e);
    int64_t at = 0;

    if (!is_fresh(e, time, &at) || (e->id && strcmp(e->id, id) != 0))
        return WRONG;
    if (read_hex(header(e, "x-fal-webhook-signature"), signature, sizeof(signature)) != 0)
        return WRONG;
    vg_sha256(sum, body.data, body.len);
    vg_hex_encode(hex, sum, sizeof(sum));
    const char *text = vg_arena_printf(e->arena, "%s\n%s\n%s\n%s", id,
                                       header(e, "x-fal-webhook-user-id"), time, hex);
    return vg_ed25519_verify(key, signature, vg_view_of(text)) ? RIGHT : WRONG;
}

static enum verdict judge_ed25519(const struct event *e, const char *secret)
{
    uint8_t key[VG_ED25519_KEY_SIZE];

    return read_key(secret, key) == 0 ? judge_signed(e, key) : WRONG;
}

/* The body is not signed, only the job's id in it. */
static enum verdict judge_task_hmac(const struct event *e, const char *secret)
{
    const char *time = header(e, "x-webhook-timestamp");
    const char *given = header(e, "x-webhook-signature");
    uint8_t mac[VG_SHA256_SIZE];
    char expected[SIGNATURE_SIZE];
    int64_t at = 0;

    if (!e->id || !is_fresh(e, time, &at))
        return WRONG;
    const char *text = vg_arena_printf(e->arena, "%s.%s", e->id, time);
    vg_hmac_sha256(mac, vg_view_of(secret), vg_view_of(text));
    vg_base64_encode(expected, mac, sizeof(mac));
    return strlen(given) == strlen(expected) && vg_equal_ct(given, expected, strlen(expected))
               ? RIGHT
               : WRONG;
}

/* --- the ways that need the provider's public keys --- */

/* The signature names no key: each is tried. */
static enum verdict judge_by_keys(struct event *e)
{
    const struct vg_jwk_set *keys = e->trust->keys;

    for (size_t i = 0; keys && i < keys->count; i++)
        if (!keys->keys[i].is_rsa && judge_signed(e, keys->keys[i].ed25519) == RIGHT)
            return RIGHT;
    e->no_key = true;
    return WRONG;
}

/* Google's: what is signed says whom it is for, and not what the body says. Unless we know our own
 * name there, it only says that some event came from Google: the address must say which. */
static enum verdict judge_token(struct event *e, const char *token)
{
    int64_t at = 0;

    if (!is_fresh(e, header(e, "webhook-timestamp"), &at))
        return WRONG;
    switch (vg_jws_check(token, e->trust->keys, e->trust->audiences, e->trust->now_s)) {
    case VG_JWS_FOR_US:
        return RIGHT;
    case VG_JWS_RIGHT:
        return NONE;
    case VG_JWS_NO_KEY:
        e->no_key = true;
        return WRONG;
    case VG_JWS_WRONG:
        return WRONG;
    }
    return WRONG;
}

static enum verdict judge(struct event *e)
{
    static judge_f *const judges[VG_EVENT_SIGN_MAX] = {
        [VG_EVENT_STANDARD] = judge_standard,
        [VG_EVENT_ED25519] = judge_ed25519,
        [VG_EVENT_TASK_HMAC] = judge_task_hmac,
    };
    judge_f *one = judges[e->scheme->sign];
    const char *at = e->trust->secrets, *secret;
    const char *token = header(e, "webhook-signature");
    bool has_jwks = e->trust->has_jwks;
    enum verdict verdict = has_jwks ? WRONG : NONE;
    bool known = false;

    if (e->scheme->tokens && vg_jws_is(token))
        return has_jwks ? judge_token(e, token) : NONE;
    while (one && verdict != RIGHT && (secret = next_secret(&at, e->arena))) {
        verdict = one(e, secret);
        known = true;
    }
    return has_jwks && !known && e->scheme->sign == VG_EVENT_ED25519 ? judge_by_keys(e) : verdict;
}

/* --- the body --- */

/* NULL: not there, or not fit to be one. */
static const char *text_at(const struct event *e, const char *path)
{
    const struct vg_json *at = vg_json_at(e->root, path);
    const char *text = at ? vg_json_string(at) : NULL;
    int64_t number = 0;

    if (text)
        return *text && strlen(text) <= MAX_TEXT ? vg_arena_strdup(e->arena, text) : NULL;
    if (at && vg_json_int(at, &number))
        return vg_arena_printf(e->arena, "%lld", (long long)number);
    return NULL;
}

static const char *find_id(const struct event *e)
{
    const char *id = NULL;

    for (size_t i = 0; !id && i < VG_EVENT_ID_PATHS && e->scheme->id_paths[i]; i++)
        id = text_at(e, e->scheme->id_paths[i]);
    return id;
}

/* {"challenge": "as given"}; NULL: it asks for none. */
static char *answer_challenge(const struct event *e)
{
    const char *challenge = e->scheme->challenge ? text_at(e, e->scheme->challenge) : NULL;
    struct vg_json_writer w;
    struct vg_buf text;

    if (!challenge)
        return NULL;
    vg_buf_init(&text, (size_t)MAX_TEXT * 8);
    vg_json_begin(&w, &text);
    vg_json_object_open(&w);
    vg_json_put_key(&w, e->scheme->challenge);
    vg_json_put_text(&w, challenge);
    vg_json_object_close(&w);
    char *reply = vg_buf_ok(&text) ? vg_arena_memdup(e->arena, text.data, text.len) : NULL;
    vg_buf_fini(&text);
    return reply;
}

void vg_event_read(const struct vg_event_scheme *scheme, const struct vg_event_trust *trust,
                   const Videogate__V1__ReadEventRequest *request, struct vg_arena *arena,
                   Videogate__V1__ReadEventResponse *response, bool *out_no_key)
{
    static const Videogate__V1__EventVerdict words[] = {
        [RIGHT] = VIDEOGATE__V1__EVENT_VERDICT__EVENT_VERDICT_VERIFIED,
        [WRONG] = VIDEOGATE__V1__EVENT_VERDICT__EVENT_VERDICT_REFUSED,
        [NONE] = VIDEOGATE__V1__EVENT_VERDICT__EVENT_VERDICT_UNSIGNED,
    };
    struct event e = {
        .scheme = scheme, .request = request, .trust = trust, .arena = arena, .id = NULL};

    *out_no_key = false;
    response->verdict = words[WRONG];
    if (!scheme || vg_json_parse(&e.root, body_of(&e), NULL) != 0)
        return;
    if (vg_json_type(e.root) == VG_JSON_OBJECT) {
        e.id = find_id(&e);
        enum verdict verdict = judge(&e);
        char *reply = verdict == WRONG ? NULL : answer_challenge(&e);

        response->verdict = words[verdict];
        if (reply)
            response->reply = reply;
        if (e.id && verdict != WRONG)
            response->upstream_id = vg_arena_strdup(arena, e.id);
    }
    *out_no_key = e.no_key;
    vg_json_free(e.root);
}
