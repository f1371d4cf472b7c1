/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/webhook/attempts.h"

#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/mem.h"

struct vg_attempt {
    struct vg_attempt *next;  /* of its bucket */
    struct vg_attempt *after; /* that ended next */
    struct vg_attempt_key key;
    void *owner; /* borrowed; NULL: it has ended */
    int64_t ended_ns;
    int64_t retry_after_ms, duration_ms;
    enum vg_delivery_outcome outcome;
    int http_status;
    char *text; /* owned; reason, NUL, answer; NULL: both are empty */
    size_t text_size;
};

struct vg_attempts {
    struct vg_attempts_options options;
    struct vg_attempt **buckets; /* owned, as what is in them */
    size_t bucket_count;         /* a power of two */
    size_t count, bytes;
    struct vg_attempt *oldest, *newest; /* of those that have ended */
};

void vg_attempt_key(struct vg_attempt_key *out, const struct vg_attempt_name *name)
{
    struct {
        uint8_t id[VG_SHA256_SIZE], url[VG_SHA256_SIZE], body[VG_SHA256_SIZE];
        int32_t round, attempt;
    } parts = {.round = name->round, .attempt = name->attempt};

    vg_sha256(parts.id, name->id, strlen(name->id));
    vg_sha256(parts.url, name->url, strlen(name->url));
    vg_sha256(parts.body, name->body.data, name->body.len);
    vg_sha256(out->hash, &parts, sizeof(parts));
}

struct vg_attempts *vg_attempts_new(const struct vg_attempts_options *options)
{
    struct vg_attempts *self = vg_xalloc(sizeof(*self));

    self->options = *options;
    self->bucket_count = 1;
    while (self->bucket_count < options->max_count)
        self->bucket_count *= 2;
    self->buckets = vg_xcalloc(self->bucket_count, sizeof(struct vg_attempt *));
    return self;
}

struct vg_attempts *vg_attempts_free(struct vg_attempts *self)
{
    if (!self)
        return NULL;
    for (size_t i = 0; i < self->bucket_count; i++) {
        for (struct vg_attempt *one = self->buckets[i], *next; one; one = next) {
            next = one->next;
            free(one->text);
            free(one);
        }
    }
    free(self->buckets);
    free(self);
    return NULL;
}

static struct vg_attempt **bucket_of(struct vg_attempts *self, const struct vg_attempt_key *key)
{
    size_t number;

    memcpy(&number, key->hash, sizeof(number));
    return &self->buckets[number & (self->bucket_count - 1)];
}

static void drop(struct vg_attempts *self, struct vg_attempt *attempt)
{
    struct vg_attempt **at = bucket_of(self, &attempt->key);

    while (*at != attempt)
        at = &(*at)->next;
    *at = attempt->next;
    self->count--;
    self->bytes -= sizeof(*attempt) + attempt->text_size;
    free(attempt->text);
    free(attempt);
}

static void drop_oldest(struct vg_attempts *self)
{
    struct vg_attempt *oldest = self->oldest;

    self->oldest = oldest->after;
    if (!self->oldest)
        self->newest = NULL;
    drop(self, oldest);
}

static void expire(struct vg_attempts *self, int64_t now_ns)
{
    while (self->oldest && now_ns - self->oldest->ended_ns >= self->options.keep_ns)
        drop_oldest(self);
}

/* Forgets what has ended until there is room. */
static bool make_room(struct vg_attempts *self, size_t count, size_t bytes)
{
    while (self->count + count > self->options.max_count ||
           self->bytes + bytes > self->options.max_bytes) {
        if (!self->oldest)
            return false;
        drop_oldest(self);
    }
    return true;
}

struct vg_attempt *vg_attempts_find(struct vg_attempts *self, const struct vg_attempt_key *key,
                                    int64_t now_ns)
{
    expire(self, now_ns);
    struct vg_attempt *one = *bucket_of(self, key);

    while (one && memcmp(&one->key, key, sizeof(*key)) != 0)
        one = one->next;
    return one;
}

void *vg_attempt_owner(const struct vg_attempt *attempt)
{
    return attempt->owner;
}

void vg_attempt_read(const struct vg_attempt *attempt, struct vg_attempt_end *out)
{
    *out = (struct vg_attempt_end){
        .outcome = attempt->outcome,
        .http_status = attempt->http_status,
        .retry_after_ms = attempt->retry_after_ms,
        .duration_ms = attempt->duration_ms,
        .reason = attempt->text ? attempt->text : "",
        .answer = attempt->text ? attempt->text + strlen(attempt->text) + 1 : "",
    };
}

struct vg_attempt *vg_attempts_begin(struct vg_attempts *self, const struct vg_attempt_key *key,
                                     void *owner, int64_t now_ns)
{
    expire(self, now_ns);
    if (!make_room(self, 1, sizeof(struct vg_attempt)))
        return NULL;
    struct vg_attempt *attempt = vg_xalloc(sizeof(*attempt));
    struct vg_attempt **bucket = bucket_of(self, key);

    VG_ASSERT(owner);
    attempt->key = *key;
    attempt->owner = owner;
    attempt->next = *bucket;
    *bucket = attempt;
    self->count++;
    self->bytes += sizeof(*attempt);
    return attempt;
}

static void keep_text(struct vg_attempts *self, struct vg_attempt *attempt,
                      const struct vg_attempt_end *end)
{
    size_t reason = strlen(end->reason) + 1, answer = strlen(end->answer) + 1;

    if (reason + answer == 2)
        return;
    attempt->text_size = reason + answer;
    attempt->text = vg_xalloc(attempt->text_size);
    memcpy(attempt->text, end->reason, reason);
    memcpy(attempt->text + reason, end->answer, answer);
    self->bytes += attempt->text_size;
}

void vg_attempts_end(struct vg_attempts *self, struct vg_attempt *attempt,
                     const struct vg_attempt_end *end, int64_t now_ns)
{
    VG_ASSERT(attempt->owner);
    if (!end || !make_room(self, 0, strlen(end->reason) + strlen(end->answer) + 2)) {
        drop(self, attempt);
        return;
    }
    attempt->owner = NULL;
    attempt->ended_ns = now_ns;
    attempt->outcome = end->outcome;
    attempt->http_status = end->http_status;
    attempt->retry_after_ms = end->retry_after_ms;
    attempt->duration_ms = end->duration_ms;
    keep_text(self, attempt, end);
    *(self->newest ? &self->newest->after : &self->oldest) = attempt;
    self->newest = attempt;
}
