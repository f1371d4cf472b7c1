/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/google_accounts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/str.h"
#include "workers/upstream/oauth.h"

enum { MAX_ACCOUNT = 64 * 1024, MAX_TEXT = 128 * 1024 };

struct account {
    char *key;              /* owned */
    struct vg_oauth *oauth; /* owned */
    bool refused;           /* by the token endpoint: the file may hold another one by now */
    struct account *next;
};

struct vg_google_accounts {
    struct vg_upstream *upstream; /* borrowed */
    const char *token_url;        /* borrowed; may be NULL */
    struct account *first;        /* owned; those that could be read */
};

/* A call on its way to a token; in its arena. */
struct asked {
    struct vg_oauth_waiter waiter; /* first */
    struct vg_call *call;
    struct account *account;
};

struct vg_google_accounts *vg_google_accounts_new(struct vg_upstream *upstream,
                                                  const char *token_url)
{
    struct vg_google_accounts *self = vg_xalloc(sizeof(*self));

    self->upstream = upstream;
    self->token_url = token_url && *token_url ? token_url : NULL;
    return self;
}

static void drop(struct account **at)
{
    struct account *account = *at;

    *at = account->next;
    vg_oauth_free(account->oauth);
    vg_free_secret(account->key);
    free(account);
}

struct vg_google_accounts *vg_google_accounts_free(struct vg_google_accounts *self)
{
    while (self && self->first)
        drop(&self->first);
    free(self);
    return NULL;
}

/* --- reading --- */

static bool is_path(const char *key)
{
    size_t len = strlen(key);

    return key[0] == '/' || key[0] == '.' ||
           (len > strlen(".json") && strcmp(key + len - strlen(".json"), ".json") == 0);
}

/* "ey" is how base64 of a JSON object begins. */
bool vg_google_is_account(const char *key)
{
    return is_path(key) || (strncmp(key, "ey", 2) == 0 && strlen(key) > 256);
}

static int read_path(const char *path, struct vg_buf *out)
{
    FILE *file = fopen(path, "re");
    char *room = vg_buf_reserve(out, MAX_ACCOUNT);
    size_t got = file && room ? fread(room, 1, MAX_ACCOUNT, file) : 0;

    if (file)
        (void)fclose(file); /* was only read */
    vg_buf_commit(out, got);
    return got > 0 && got < MAX_ACCOUNT ? 0 : -1;
}

static int read_base64(const char *key, struct vg_buf *out)
{
    size_t len = strlen(key), n = 0;
    char *room = vg_buf_reserve(out, (len / 4 + 1) * 3);

    if (!room || vg_base64_decode(room, &n, key, len) != 0)
        return -1;
    vg_buf_commit(out, n);
    return 0;
}

/* Files are a few kilobytes and read once for each key that is new. */
static struct account *load(struct vg_google_accounts *self, const char *key)
{
    struct vg_oauth_options options = {.token_url = self->token_url};
    struct vg_oauth *oauth = NULL;
    struct vg_err err;
    struct vg_buf text;

    vg_buf_init(&text, MAX_TEXT);
    int rc = is_path(key) ? read_path(key, &text) : read_base64(key, &text);
    options.account = vg_buf_view(&text);
    if (rc != 0)
        (void)vg_err_set(&err, VG_ERR_INVALID_REQUEST, "The service account cannot be read.");
    else
        rc = vg_oauth_new(&oauth, vg_upstream_client(self->upstream), &options, &err);
    if (text.data)
        explicit_bzero(text.data, text.len);
    vg_buf_fini(&text);
    if (rc != 0) {
        vg_log(VG_LOG_ERROR, "service account refused", VG_S("error", vg_err_text(&err)));
        return NULL;
    }
    struct account *account = vg_xalloc(sizeof(*account));
    account->key = vg_xstrdup(key);
    account->oauth = oauth;
    account->next = self->first;
    self->first = account;
    return account;
}

static struct account *find(struct vg_google_accounts *self, const char *key)
{
    struct account **at = &self->first;

    while (*at && strcmp((*at)->key, key) != 0)
        at = &(*at)->next;
    if (*at && (*at)->refused && is_path(key) && vg_oauth_is_idle((*at)->oauth))
        drop(at);
    else if (*at)
        return *at;
    return load(self, key);
}

const char *vg_google_accounts_project(struct vg_google_accounts *self, const char *key)
{
    struct account *account = vg_google_is_account(key) ? find(self, key) : NULL;
    const char *project = account ? vg_oauth_project(account->oauth) : "";

    return *project ? project : NULL;
}

/* --- the header --- */

static void fail(struct vg_call *call, Videogate__V1__ErrorClass class,
                 const struct vg_oauth_failure *failure)
{
    struct vg_fault fault;

    vg_fault_of_class(&fault, class);
    fault.http_status = failure->http_status;
    fault.retry_after_ms = failure->retry_after_ms;
    (void)snprintf(fault.code, sizeof(fault.code), "token:%s", failure->code);
    (void)vg_strcpy(fault.message, sizeof(fault.message), failure->description);
    if (call->kind != VG_CALL_SUBMIT) { /* the job is there, whatever becomes of the account */
        fault.retryable = true;
        fault.fallback_ok = false;
    }
    vg_call_failed(call, &fault);
}

static Videogate__V1__ErrorClass class_of(const struct vg_oauth_failure *failure)
{
    if (!failure->retryable)
        return VG_CLASS(AUTH);
    if (failure->http_status == 0)
        return VG_CLASS(NETWORK);
    return failure->http_status == 429 ? VG_CLASS(RATE_LIMITED) : VG_CLASS(UPSTREAM_INTERNAL);
}

static void on_token(struct vg_oauth_waiter *waiter, const char *token,
                     const struct vg_oauth_failure *failure)
{
    struct asked *asked = (struct asked *)(void *)waiter;

    if (token) {
        asked->account->refused = false;
        vg_call_authorized(asked->call,
                           vg_call_printf(asked->call, "Authorization: Bearer %s", token));
        return;
    }
    asked->account->refused = !failure->retryable;
    fail(asked->call, class_of(failure), failure);
}

void vg_google_authorize(struct vg_google_accounts *self, struct vg_call *call, const char *key)
{
    static const struct vg_oauth_failure unreadable = {.code = "account"};

    if (!vg_google_is_account(key)) {
        vg_call_authorized(call, vg_call_printf(call, "x-goog-api-key: %s", key));
        return;
    }
    struct account *account = find(self, key);
    if (!account) {
        fail(call, VG_CLASS(AUTH), &unreadable);
        return;
    }
    struct asked *asked = call->scratch;
    if (!asked)
        asked = call->scratch = vg_arena_alloc(call->arena, sizeof(*asked));
    asked->call = call;
    asked->account = account;
    asked->waiter.done = on_token;
    vg_oauth_get(account->oauth, &asked->waiter);
}

void vg_google_unauthorized(struct vg_google_accounts *self, struct vg_call *call, const char *key)
{
    const struct asked *asked = call->scratch;
    struct account *account = vg_google_is_account(key) ? find(self, key) : NULL;

    if (asked && account)
        vg_oauth_drop(account->oauth, asked->waiter.serial);
}
