/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/upstream/credentials.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/crypto.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"

enum {
    MAX_KEYS = 1024,
    MAX_KEY = 64 * 1024,
    MAX_FILE = 4 * 1024 * 1024,
    REFUSED_REST_MS = 60 * 1000,
    LIMITED_REST_MS = 5 * 1000
};

struct vg_credentials {
    struct vg_credential *list; /* owned, as are the keys; fixed addresses: MAX_KEYS long */
    size_t count;
    char *text, *file; /* owned; may be NULL */
    struct timespec changed;
    off_t size;
    int64_t default_rpm;
};

/* --- reading --- */

/* The next word and the text behind it; empty at the end. */
static struct vg_view next_word(const char **at)
{
    static const char dividers[] = " \t\r\n,";

    for (;;) {
        *at += strspn(*at, dividers);
        if (**at != '#')
            break;
        *at += strcspn(*at, "\n");
    }
    struct vg_view word = {*at, strcspn(*at, dividers)};
    *at += word.len;
    return word;
}

static void key_id(char out[VG_CREDENTIAL_ID_SIZE], struct vg_view key)
{
    uint8_t hash[VG_SHA256_SIZE];
    char hex[VG_SHA256_HEX_SIZE];

    vg_sha256(hash, key.data, key.len);
    vg_hex_encode(hex, hash, sizeof(hash));
    (void)vg_strcpy(out, VG_CREDENTIAL_ID_SIZE, hex);
}

static struct vg_credential *add(struct vg_credentials *self, struct vg_view key)
{
    char id[VG_CREDENTIAL_ID_SIZE];

    key_id(id, key);
    struct vg_credential *known = vg_credentials_find(self, id);
    if (!known) {
        if (self->count == MAX_KEYS)
            return NULL;
        known = &self->list[self->count++];
        memcpy(known->id, id, sizeof(id));
        known->key = vg_xmemdup(key.data, key.len);
    }
    known->retired = false;
    known->rpm = self->default_rpm;
    return known;
}

static bool is_rate(struct vg_view word)
{
    return word.len > 4 && memcmp(word.data, "rpm=", 4) == 0;
}

static int parse_rate(struct vg_view word, int64_t *out)
{
    return vg_parse_i64((struct vg_view){word.data + 4, word.len - 4}, 1, 1000000, out);
}

static int check_text(const char *text, const char *name, struct vg_err *err)
{
    size_t keys = 0;

    for (const char *at = text;;) {
        struct vg_view word = next_word(&at);
        int64_t rpm = 0;
        if (word.len == 0)
            return 0;
        if (is_rate(word)) {
            if (keys == 0 || parse_rate(word, &rpm) != 0)
                return vg_err_param(err, VG_ERR_INVALID_REQUEST, name,
                                    "%s: \"rpm=N\" stands behind a key, N from 1 to 1000000.",
                                    name);
        } else if (word.len > MAX_KEY || ++keys > MAX_KEYS) {
            return vg_err_param(err, VG_ERR_INVALID_REQUEST, name,
                                "%s: at most %d keys of at most %d bytes.", name, MAX_KEYS,
                                MAX_KEY);
        }
    }
}

/* Has been checked. */
static void take_text(struct vg_credentials *self, const char *text)
{
    struct vg_credential *last = NULL;

    for (const char *at = text ? text : "";;) {
        struct vg_view word = next_word(&at);
        int64_t rpm = 0;
        if (word.len == 0)
            return;
        if (!is_rate(word))
            last = add(self, word);
        else if (last && parse_rate(word, &rpm) == 0)
            last->rpm = rpm;
    }
}

static int read_file(const char *path, struct vg_buf *out, struct stat *seen, struct vg_err *err)
{
    FILE *file = fopen(path, "re");
    bool ok = file && fstat(fileno(file), seen) == 0 && seen->st_size <= MAX_FILE;

    if (ok) {
        char *room = vg_buf_reserve(out, (size_t)seen->st_size);
        size_t got = room ? fread(room, 1, (size_t)seen->st_size, file) : 0;
        vg_buf_commit(out, got);
        ok = got == (size_t)seen->st_size && !memchr(out->data ? out->data : "", '\0', out->len);
    }
    if (file)
        (void)fclose(file);
    return ok ? 0
              : vg_err_param(err, VG_ERR_INVALID_REQUEST, "keys-file",
                             "keys-file: %.200s cannot be read (%s).", path,
                             file ? "not a text of at most 4 MiB" : strerror(errno));
}

static int load(struct vg_credentials *self, struct vg_err *err)
{
    struct stat seen = {0};
    struct vg_buf file;
    int rc = 0;

    vg_buf_init(&file, MAX_FILE);
    if (self->text)
        rc = check_text(self->text, "keys", err);
    if (rc == 0 && self->file)
        rc = read_file(self->file, &file, &seen, err);
    if (rc == 0 && file.len > 0)
        rc = check_text(file.data, "keys-file", err);
    if (rc == 0) {
        for (size_t i = 0; i < self->count; i++)
            self->list[i].retired = true;
        take_text(self, self->text);
        take_text(self, file.data);
    }
    self->changed = seen.st_mtim;
    self->size = seen.st_size;
    if (file.data)
        explicit_bzero(file.data, file.len);
    vg_buf_fini(&file);
    return rc;
}

int vg_credentials_new(struct vg_credentials **out, const char *text, const char *file,
                       int64_t default_rpm, struct vg_err *err)
{
    struct vg_credentials *self = vg_xalloc(sizeof(*self));

    self->list = vg_xcalloc(MAX_KEYS, sizeof(*self->list));
    self->text = text ? vg_xstrdup(text) : NULL;
    self->file = file && *file ? vg_xstrdup(file) : NULL;
    self->default_rpm = default_rpm;
    if (load(self, err) != 0) {
        vg_credentials_free(self);
        return -1;
    }
    *out = self;
    return 0;
}

struct vg_credentials *vg_credentials_free(struct vg_credentials *self)
{
    if (!self)
        return NULL;
    for (size_t i = 0; i < self->count; i++)
        vg_free_secret(self->list[i].key);
    free(self->list);
    vg_free_secret(self->text);
    free(self->file);
    free(self);
    return NULL;
}

void vg_credentials_refresh(struct vg_credentials *self)
{
    struct stat now;
    struct vg_err err;

    if (!self->file || stat(self->file, &now) != 0)
        return; /* gone for a moment, or for good: what was read stays */
    if (now.st_mtim.tv_sec == self->changed.tv_sec &&
        now.st_mtim.tv_nsec == self->changed.tv_nsec && now.st_size == self->size)
        return;
    if (load(self, &err) != 0)
        vg_log(VG_LOG_ERROR, "keys not renewed", VG_S("error", vg_err_text(&err)));
    else
        vg_log(VG_LOG_INFO, "keys renewed", VG_I("keys", (int64_t)vg_credentials_count(self)));
}

/* --- choosing --- */

size_t vg_credentials_count(const struct vg_credentials *self)
{
    size_t n = 0;

    for (size_t i = 0; i < self->count; i++)
        n += !self->list[i].retired;
    return n;
}

struct vg_credential *vg_credentials_at(struct vg_credentials *self, size_t i)
{
    for (size_t k = 0; k < self->count; k++)
        if (!self->list[k].retired && i-- == 0)
            return &self->list[k];
    return NULL;
}

static double capacity(const struct vg_credential *c)
{
    return c->rpm < 6 ? 1 : (double)c->rpm / 6; /* ten seconds' worth */
}

/* Milliseconds until the budget has a request; 0: now. */
static int64_t budget_wait(struct vg_credential *c, int64_t now_ns)
{
    if (c->rpm == 0)
        return 0;
    double per_ms = (double)c->rpm / 60000;
    if (c->filled_ns == 0)
        c->tokens = capacity(c);
    else
        c->tokens += (double)(now_ns - c->filled_ns) / VG_NS_PER_MS * per_ms;
    c->filled_ns = now_ns;
    if (c->tokens > capacity(c))
        c->tokens = capacity(c);
    return c->tokens >= 1 ? 0 : (int64_t)((1 - c->tokens) / per_ms) + 1;
}

static int64_t rest_wait(const struct vg_credential *c, int64_t now_ns)
{
    return c->rest_until_ns > now_ns ? (c->rest_until_ns - now_ns) / VG_NS_PER_MS + 1 : 0;
}

struct vg_credential *vg_credentials_pick(struct vg_credentials *self, int64_t now_ns,
                                          struct vg_fault *fault)
{
    struct vg_credential *best = NULL;
    int64_t least = INT64_MAX;

    vg_fault_of_class(fault, VG_CLASS(AUTH));
    for (size_t i = 0; i < self->count; i++) {
        struct vg_credential *c = &self->list[i];
        if (c->retired)
            continue;
        int64_t rest = rest_wait(c, now_ns), wait = budget_wait(c, now_ns);
        if (wait < rest)
            wait = rest;
        if (wait == 0 && (!best || c->used < best->used))
            best = c;
        if (wait < least) {
            least = wait;
            vg_fault_of_class(fault, rest > 0 ? c->rest_class : VG_CLASS(RATE_LIMITED));
            fault->retry_after_ms = wait;
        }
    }
    return best;
}

struct vg_credential *vg_credentials_find(struct vg_credentials *self, const char *id)
{
    for (size_t i = 0; id && i < self->count; i++)
        if (strcmp(self->list[i].id, id) == 0)
            return &self->list[i];
    return NULL;
}

struct vg_credential *vg_credentials_ready(struct vg_credentials *self, const char *id,
                                           int64_t now_ns)
{
    struct vg_credential *c = vg_credentials_find(self, id);

    return c && !c->retired && rest_wait(c, now_ns) == 0 && budget_wait(c, now_ns) == 0 ? c : NULL;
}

int64_t vg_credential_take(struct vg_credential *credential, int64_t now_ns)
{
    int64_t wait = budget_wait(credential, now_ns);

    if (wait > 0)
        return wait;
    credential->used++;
    if (credential->rpm > 0)
        credential->tokens -= 1;
    return 0;
}

void vg_credential_report(struct vg_credential *credential, const struct vg_fault *fault,
                          int64_t now_ns)
{
    int64_t rest = 0;

    if (fault->class == VG_CLASS(AUTH) || fault->class == VG_CLASS(BILLING))
        rest = REFUSED_REST_MS;
    else if (fault->class == VG_CLASS(RATE_LIMITED))
        rest = fault->retry_after_ms > 0 ? fault->retry_after_ms : LIMITED_REST_MS;
    if (rest == 0)
        return;
    credential->rest_until_ns = now_ns + rest * VG_NS_PER_MS;
    credential->rest_class = fault->class;
}

/* --- texts of providers --- */

enum { BLOT_MIN = 8 }; /* what is shorter is no secret, but a word */

static void cut_out(char *at, size_t len)
{
    static const char mark[] = "[key]";

    memcpy(at, mark, sizeof(mark) - 1); /* never longer than what it stands for */
    memmove(at + sizeof(mark) - 1, at + len, strlen(at + len) + 1);
}

static void blot_word(char *text, struct vg_view word)
{
    if (word.len < BLOT_MIN)
        return;
    for (char *at = text; (at = memmem(at, strlen(at), word.data, word.len)) != NULL;)
        cut_out(at, word.len);
    size_t len = strlen(text);
    for (size_t n = word.len - 1 < len ? word.len - 1 : len; n >= BLOT_MIN; n--)
        if (memcmp(text + len - n, word.data, n) == 0) {
            cut_out(text + len - n, n);
            return;
        }
}

static void blot_bearer(char *text)
{
    static const char scheme[] = "Bearer ";

    for (char *at = text; (at = strcasestr(at, scheme)) != NULL;) {
        at += sizeof(scheme) - 1;
        size_t len = strcspn(at, " \t\r\n\"',;:<>(){}[]");
        if (len >= BLOT_MIN)
            cut_out(at, len);
    }
}

void vg_credentials_blot(const struct vg_credentials *self, char *text)
{
    for (size_t i = 0; i < self->count; i++) {
        const char *key = self->list[i].key;
        for (const char *part = key; part; part = strchr(part, ':') ? strchr(part, ':') + 1 : NULL)
            blot_word(text, (struct vg_view){part, strcspn(part, ":")});
    }
    blot_bearer(text);
}
