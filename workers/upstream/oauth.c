/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/upstream/oauth.h"

#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/json.h"
#include "common/json_writer.h"
#include "common/mem.h"
#include "common/str.h"
#include "workers/upstream/call.h"
#include "workers/upstream/jwt.h"

#define DEFAULT_TOKEN_URL "https://oauth2.googleapis.com/token"
#define AUDIENCE DEFAULT_TOKEN_URL /* whatever the account's token_uri says */
#define SCOPE "https://www.googleapis.com/auth/cloud-platform"
#define GRANT "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion="

enum {
    LIFE_S = 3600, /* of an assertion; Google takes no longer one */
    SKEW_S = 30,   /* an assertion from the future is refused, and clocks differ */
    EARLY_S = 300, /* a token is renewed so long before its end */
    MAX_TOKEN_LIFE_S = 24 * 3600,
    MAX_TOKEN = 16 * 1024,
    MAX_ANSWER = 64 * 1024,
    MAX_ASSERTION = 16 * 1024, /* each of its three parts */
    MAX_BODY = 64 * 1024,
    EXCHANGE_MS = 20 * 1000
};

struct vg_oauth {
    struct vg_http_client *client;              /* borrowed */
    char *email, *key_id, *project, *token_url; /* owned; key_id "" when the account has none */
    struct vg_rsa_key *key;                     /* owned */
    char *token;                                /* owned; NULL: none */
    uint64_t serial;                            /* of the token */
    int64_t fresh_until_ns, ends_ns;            /* when to renew it, when it is over */
    bool exchanging;
    bool giving; /* in the loop over those who waited */
    int64_t asked_ns;
    struct vg_oauth_waiter *first, **last; /* who waits, in order */
};

/* --- the account --- */

static const char *member(const struct vg_json *account, const char *name)
{
    return vg_json_string(vg_json_get(account, name));
}

static int refuse(struct vg_err *err, const char *what)
{
    return vg_err_param(err, VG_ERR_INVALID_REQUEST, "keys", "The service account: %s", what);
}

static int take_account(struct vg_oauth *self, const struct vg_json *account, const char *token_url,
                        struct vg_err *err)
{
    const char *type = member(account, "type"), *email = member(account, "client_email");
    const char *pem = member(account, "private_key"), *uri = member(account, "token_uri");
    const char *key_id = member(account, "private_key_id"),
               *project = member(account, "project_id");

    if (!type || strcmp(type, "service_account") != 0)
        return refuse(err, "\"type\" is not \"service_account\".");
    if (!email || !*email)
        return refuse(err, "\"client_email\" is missing.");
    if (!pem || vg_rsa_key_load(&self->key, vg_view_of(pem)) != 0)
        return refuse(err, "\"private_key\" is no RSA key in PEM.");
    if (!token_url)
        token_url = uri ? uri : DEFAULT_TOKEN_URL;
    else
        uri = NULL;
    if (uri && strncmp(uri, "https://", strlen("https://")) != 0)
        return refuse(err, "\"token_uri\" is no https address.");
    self->email = vg_xstrdup(email);
    self->key_id = vg_xstrdup(key_id ? key_id : "");
    self->project = vg_xstrdup(project ? project : "");
    self->token_url = vg_xstrdup(token_url);
    return 0;
}

int vg_oauth_new(struct vg_oauth **out, struct vg_http_client *client,
                 const struct vg_oauth_options *options, struct vg_err *err)
{
    struct vg_json *account;

    if (vg_json_parse(&account, options->account, NULL) != 0) /* its detail would quote the text */
        return refuse(err, "this is no JSON.");
    struct vg_oauth *self = vg_xalloc(sizeof(*self));
    self->client = client;
    self->last = &self->first;
    int rc = take_account(self, account, options->token_url, err);
    vg_json_free(account);
    if (rc == 0)
        *out = self;
    else
        vg_oauth_free(self);
    return rc;
}

struct vg_oauth *vg_oauth_free(struct vg_oauth *self)
{
    if (!self)
        return NULL;
    VG_ASSERT(vg_oauth_is_idle(self));
    vg_rsa_key_free(self->key);
    vg_free_secret(self->token);
    free(self->email);
    free(self->key_id);
    free(self->project);
    free(self->token_url);
    free(self);
    return NULL;
}

bool vg_oauth_is_idle(const struct vg_oauth *self)
{
    return !self->first && !self->exchanging && !self->giving;
}

const char *vg_oauth_project(const struct vg_oauth *self)
{
    return self->project;
}

/* --- the assertion --- */

static void write_header(struct vg_buf *out, const char *key_id)
{
    struct vg_json_writer w;

    vg_json_begin(&w, out);
    vg_json_object_open(&w);
    vg_put_text(&w, "alg", "RS256");
    vg_put_text(&w, "typ", "JWT");
    if (*key_id)
        vg_put_text(&w, "kid", key_id);
    vg_json_object_close(&w);
}

static void write_claims(struct vg_buf *out, const char *email, int64_t issued_s)
{
    struct vg_json_writer w;

    vg_json_begin(&w, out);
    vg_json_object_open(&w);
    vg_put_text(&w, "iss", email);
    vg_put_text(&w, "scope", SCOPE);
    vg_put_text(&w, "aud", AUDIENCE);
    vg_put_int(&w, "iat", issued_s);
    vg_put_int(&w, "exp", issued_s + LIFE_S);
    vg_json_object_close(&w);
}

/* Appends header.claims.signature; without room `out` is not ok. */
static void put_assertion(const struct vg_oauth *self, struct vg_buf *out, int64_t issued_s)
{
    struct vg_buf part;
    size_t start = out->len;

    vg_buf_init(&part, MAX_ASSERTION);
    write_header(&part, self->key_id);
    vg_jwt_put_part(out, vg_buf_view(&part));
    (void)vg_buf_addc(out, '.');
    vg_buf_clear(&part);
    write_claims(&part, self->email, issued_s);
    vg_jwt_put_part(out, vg_buf_view(&part));
    vg_buf_clear(&part);
    struct vg_view signed_part = {vg_buf_view(out).data + start, out->len - start};
    if (vg_rs256_sign(self->key, signed_part, &part) == 0) {
        (void)vg_buf_addc(out, '.');
        vg_jwt_put_part(out, vg_buf_view(&part));
    }
    vg_buf_fini(&part);
}

/* --- the answer --- */

/* Whether the token endpoint may give another answer later. */
static bool is_passing(int status, const char *code, const char *description)
{
    static const char *const passing[] = {"internal_failure", "server_error",
                                          "temporarily_unavailable"};

    if (status < 300 || status == 408 || status == 429 || status >= 500)
        return true; /* below 300: something in between said so, not Google */
    for (size_t i = 0; i < VG_COUNT(passing); i++) {
        if (strcmp(code, passing[i]) == 0 || strcmp(description, passing[i]) == 0)
            return true;
    }
    return false;
}

static void judge(const struct vg_http_result *result, const struct vg_json *json,
                  struct vg_oauth_failure *out)
{
    const char *code = member(json, "error"), *text = member(json, "error_description");

    *out = (struct vg_oauth_failure){.http_status = result->status,
                                     .retry_after_ms = result->retry_after_ms};
    if (result->reason)
        code = result->reason;
    else if (!code)
        code = "no_token";
    (void)vg_strcpy(out->code, sizeof(out->code), code);
    (void)vg_strcpy(out->description, sizeof(out->description), text ? text : "");
    out->description[vg_utf8_cut(out->description, strlen(out->description))] = '\0';
    out->code[vg_utf8_cut(out->code, strlen(out->code))] = '\0';
    out->retryable = result->reason || is_passing(result->status, out->code, out->description);
}

static bool is_header_text(const char *text)
{
    for (; *text; text++) {
        if (*text <= ' ' || *text > '~')
            return false;
    }
    return true;
}

/* Seconds; a number or, from odd services, a text. 0: none that makes sense. */
static int64_t life_of(const struct vg_json *json)
{
    const struct vg_json *value = vg_json_get(json, "expires_in");
    const char *text = vg_json_string(value);
    int64_t life = 0;

    if (text ? vg_parse_i64(vg_view_of(text), 1, INT64_MAX, &life) != 0
             : !vg_json_int(value, &life) || life < 1)
        return 0;
    return life < MAX_TOKEN_LIFE_S ? life : MAX_TOKEN_LIFE_S;
}

/* False: there is no usable token in the answer. */
static bool take_token(struct vg_oauth *self, const struct vg_json *json)
{
    const char *token = member(json, "access_token"), *type = member(json, "token_type");
    int64_t life = life_of(json);

    if (!token || !*token || strlen(token) > MAX_TOKEN || !is_header_text(token) || life == 0 ||
        (type && !vg_view_eqs_nocase(vg_view_of(type), "Bearer")))
        return false;
    vg_free_secret(self->token);
    self->token = vg_xstrdup(token);
    self->serial++;
    /* Counted from the question: the token is no younger. */
    self->ends_ns = self->asked_ns + life * VG_NS_PER_S;
    int64_t fresh =
        life > INT64_C(2) * EARLY_S ? (life - EARLY_S) * VG_NS_PER_S : life * VG_NS_PER_S / 2;
    self->fresh_until_ns = self->asked_ns + fresh;
    return true;
}

static void give(struct vg_oauth *self, struct vg_oauth_waiter *waiter,
                 const struct vg_oauth_failure *failure)
{
    waiter->serial = self->serial;
    waiter->done(waiter, failure ? NULL : self->token, failure);
}

static void on_done(void *ctx, const struct vg_http_result *result)
{
    struct vg_oauth *self = ctx;
    struct vg_oauth_failure failure;
    struct vg_json *json = NULL;

    if (vg_json_parse(&json, result->body, NULL) != 0)
        json = NULL;
    bool got = !result->reason && result->status == 200 && take_token(self, json);
    if (!got)
        judge(result, json, &failure);
    vg_json_free(json);
    /* One that still holds does while the endpoint is unwell. */
    bool usable = got || (failure.retryable && self->token && vg_now_ns() < self->ends_ns);
    struct vg_oauth_waiter *waiting = self->first;
    self->first = NULL;
    self->last = &self->first;
    self->exchanging = false; /* who asks in a `done` starts anew */
    self->giving = true;
    while (waiting) {
        struct vg_oauth_waiter *next = waiting->next;
        if (usable && !self->token)
            vg_oauth_get(self, waiting); /* dropped meanwhile by one before */
        else
            give(self, waiting, usable ? NULL : &failure);
        waiting = next;
    }
    self->giving = false;
}

/* --- use --- */

static bool start_exchange(struct vg_oauth *self)
{
    static const char *const headers[] = {"Content-Type: application/x-www-form-urlencoded",
                                          "Accept: application/json", NULL};
    struct vg_buf body;

    vg_buf_init(&body, MAX_BODY);
    (void)vg_buf_adds(&body, GRANT);
    put_assertion(self, &body, vg_wall_ms() / 1000 - SKEW_S);
    const struct vg_http_request request = {
        .method = "POST",
        .url = self->token_url,
        .headers = headers,
        .body = vg_buf_view(&body),
        .timeout_ms = EXCHANGE_MS,
        .max_response = MAX_ANSWER,
        .on_done = on_done,
        .ctx = self,
        .repeatable = true,
    };
    self->asked_ns = vg_now_ns();
    self->exchanging = vg_buf_ok(&body) && vg_http_start(self->client, &request) != NULL;
    vg_buf_fini(&body);
    return self->exchanging;
}

void vg_oauth_get(struct vg_oauth *self, struct vg_oauth_waiter *waiter)
{
    static const struct vg_oauth_failure leaving = {.retryable = true, .code = "cancelled"};

    if (self->token && vg_now_ns() < self->fresh_until_ns) {
        give(self, waiter, NULL);
        return;
    }
    if (!self->exchanging && !start_exchange(self)) {
        give(self, waiter, &leaving);
        return;
    }
    waiter->next = NULL;
    *self->last = waiter;
    self->last = &waiter->next;
}

void vg_oauth_drop(struct vg_oauth *self, uint64_t serial)
{
    if (serial != self->serial)
        return; /* another one took its place already */
    vg_free_secret(self->token);
    self->token = NULL;
}
