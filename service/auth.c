/* SPDX-License-Identifier: Apache-2.0 */
#include "service/auth.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/api_key.h"
#include "common/clock.h"
#include "common/crypto.h"
#include "common/mem.h"
#include "common/str.h"
#include "service/scope.h"

#define WAYS 4
#define PENDING_BUCKETS 256
#define LOOKUP_MS 3000

enum { AUTH_CHECKS, AUTH_OLD };
enum { OLD_ACCEPTED, OLD_REFUSED };
enum { AUTH_HIT, AUTH_MISS, AUTH_JOINED, AUTH_JUNK };
static const char *const check_results[] = {"hit", "miss", "joined", "malformed", NULL};
static const char *const old_results[] = {"accepted", "refused", NULL};
static const struct vg_metric_desc metric_table[] = {
    [AUTH_CHECKS] = {"videogate_auth_checks_total", VG_METRIC_COUNTER,
                     "API key checks by how the cache answered.", "result", check_results},
    [AUTH_OLD] = {"videogate_auth_old_keys_total", VG_METRIC_COUNTER,
                  "Checks of API keys without an id: good ones, and what old-keys=false refuses.",
                  "result", old_results},
};

struct entry {
    uint8_t hash[VG_SHA256_SIZE];
    int64_t expires_ns; /* 0: free */
    bool found;
    struct vg_identity who;
};

/* One lookup under way with everyone who waits for it. */
struct lookup {
    struct vg_key_lookup db;
    struct vg_auth *auth;         /* borrowed */
    struct vg_arena *arena;       /* owned; the database's results */
    struct vg_auth_wait *waiters; /* borrowed, each given back by its done */
    int64_t started_ns;
    char id[VG_ID_SIZE];       /* "" for a key without one */
    char key[VG_API_KEY_SIZE]; /* wiped at the end */
    struct lookup *next;
};

struct vg_auth {
    struct vg_auth_options options; /* admin_key is not kept */
    bool has_admin;
    uint8_t admin_hash[VG_SHA256_SIZE];
    struct vg_metric_set *metrics; /* borrowed */
    size_t sets;
    pthread_mutex_t lock;
    struct entry *entries;                   /* owned, sets * WAYS */
    struct lookup *pending[PENDING_BUCKETS]; /* owned until their done */
    size_t pending_count;
};

struct vg_auth *vg_auth_new(const struct vg_auth_options *options)
{
    struct vg_auth *auth = vg_xalloc(sizeof(*auth));

    auth->options = *options;
    auth->options.admin_key = NULL;
    if (auth->options.ttl_ms <= 0)
        auth->options.ttl_ms = 800;
    if (auth->options.max_entries < WAYS)
        auth->options.max_entries = 4096;
    if (auth->options.max_pending == 0)
        auth->options.max_pending = 1024;
    if (options->admin_key && options->admin_key[0]) {
        auth->has_admin = true;
        vg_sha256(auth->admin_hash, options->admin_key, strlen(options->admin_key));
    }
    auth->sets = auth->options.max_entries / WAYS;
    auth->entries = vg_xcalloc(auth->sets * WAYS, sizeof(*auth->entries));
    if (options->metrics)
        auth->metrics = vg_metrics_register(options->metrics, metric_table, VG_COUNT(metric_table));
    VG_ASSERT(pthread_mutex_init(&auth->lock, NULL) == 0);
    return auth;
}

struct vg_auth *vg_auth_free(struct vg_auth *auth)
{
    if (!auth)
        return NULL;
    VG_ASSERT(auth->pending_count == 0);
    (void)pthread_mutex_destroy(&auth->lock);
    free(auth->entries);
    free(auth);
    return NULL;
}

static struct entry *set_of(struct vg_auth *auth, const uint8_t hash[VG_SHA256_SIZE])
{
    uint64_t n;

    memcpy(&n, hash, sizeof(n)); /* SHA-256 bits are even */
    return &auth->entries[(n % auth->sets) * WAYS];
}

/* Also one whose time is over: it says whether the key was good when last asked for. */
static struct entry *find_entry(struct vg_auth *auth, const uint8_t hash[VG_SHA256_SIZE])
{
    struct entry *set = set_of(auth, hash);

    for (size_t i = 0; i < WAYS; i++)
        if (set[i].expires_ns > 0 && vg_equal_ct(set[i].hash, hash, VG_SHA256_SIZE))
            return &set[i];
    return NULL;
}

/* Refused keys, which anybody can make up, go before good ones, then what ends first. */
static bool goes_before(const struct entry *a, const struct entry *b)
{
    return a->found != b->found ? b->found : a->expires_ns < b->expires_ns;
}

/* Takes the place of the same key, or of what is least worth keeping; a refused key never takes
 * that of a good one. */
static void store_entry(struct vg_auth *auth, const struct entry *fresh)
{
    struct entry *set = set_of(auth, fresh->hash);
    struct entry *victim = &set[0];

    for (size_t i = 0; i < WAYS; i++) {
        if (vg_equal_ct(set[i].hash, fresh->hash, VG_SHA256_SIZE)) {
            set[i] = *fresh;
            return;
        }
        if (goes_before(&set[i], victim))
            victim = &set[i];
    }
    if (fresh->found || !victim->found)
        *victim = *fresh;
}

static void answer(const struct vg_auth *auth, struct vg_auth_wait *wait, bool found,
                   const struct vg_identity *who)
{
    wait->ok = found;
    if (found) {
        wait->who = *who;
        vg_metric_add(auth->metrics, AUTH_OLD, OLD_ACCEPTED, who->old);
    } else {
        (void)vg_err_set(&wait->err, VG_ERR_UNAUTHENTICATED, NULL);
    }
}

static void unlink_lookup(struct vg_auth *auth, struct lookup *lookup)
{
    struct lookup **at = &auth->pending[lookup->db.hash[0]];

    while (*at != lookup)
        at = &(*at)->next;
    *at = lookup->next;
    auth->pending_count--;
}

static bool fill_identity(struct vg_identity *who, const struct vg_key_lookup *db)
{
    who->project_id = db->project_id;
    who->scopes = vg_scopes_parse(db->scopes);
    who->archived = db->archived;
    who->old = db->pepper == 0;
    who->limited = db->limited;
    who->key_rpm = db->key_rpm;
    who->project_rpm = db->project_rpm;
    return vg_strcpy(who->key_id, sizeof(who->key_id), db->key_id);
}

/* The row that was found by id must be this key's; as much work when there is none. */
static bool is_right(const struct lookup *lookup)
{
    const struct vg_key_lookup *db = &lookup->db;
    struct vg_peppered row = {.pepper = db->pepper};

    if (!lookup->id[0])
        return db->found;
    memcpy(row.hash, db->stored, sizeof(row.hash));
    return vg_pepper_check(lookup->auth->options.peppers, vg_view_of(lookup->key),
                           db->found ? &row : NULL);
}

static void lookup_done(struct vg_task *task)
{
    struct lookup *lookup = VG_CONTAINER(task, struct lookup, db.op.done);
    struct vg_auth *auth = lookup->auth;
    struct entry fresh = {.found = lookup->db.op.ok && is_right(lookup)};

    memcpy(fresh.hash, lookup->db.hash, VG_SHA256_SIZE);
    fresh.expires_ns = lookup->started_ns + auth->options.ttl_ms * VG_NS_PER_MS;
    bool good = lookup->db.op.ok;
    if (good && fresh.found)
        good = fill_identity(&fresh.who, &lookup->db);
    if (good && fresh.found && auth->options.uses)
        vg_key_use_note(auth->options.uses, fresh.who.key_id);
    (void)pthread_mutex_lock(&auth->lock);
    unlink_lookup(auth, lookup);
    if (good)
        store_entry(auth, &fresh);
    (void)pthread_mutex_unlock(&auth->lock);
    while (lookup->waiters) {
        struct vg_auth_wait *wait = lookup->waiters;
        lookup->waiters = wait->next;
        if (good) {
            answer(auth, wait, fresh.found, &fresh.who);
        } else {
            wait->ok = false;
            wait->err = lookup->db.op.err;
        }
        vg_post(wait->executor, &wait->done);
    }
    (void)vg_arena_free(lookup->arena);
    explicit_bzero(lookup->key, sizeof(lookup->key));
    free(lookup);
}

static struct lookup *find_pending(struct vg_auth *auth, const uint8_t hash[VG_SHA256_SIZE])
{
    struct lookup *l = auth->pending[hash[0]];

    while (l && !vg_equal_ct(l->db.hash, hash, VG_SHA256_SIZE))
        l = l->next;
    return l;
}

static struct lookup *add_pending(struct vg_auth *auth, const uint8_t hash[VG_SHA256_SIZE],
                                  struct vg_view key, const char *id, int64_t now)
{
    struct lookup *l = vg_xalloc(sizeof(*l));

    l->auth = auth;
    l->arena = vg_arena_new();
    l->started_ns = now;
    memcpy(l->db.hash, hash, VG_SHA256_SIZE);
    VG_ASSERT(key.len < sizeof(l->key));
    memcpy(l->key, key.data, key.len);
    (void)vg_strcpy(l->id, sizeof(l->id), id);
    l->db.id = l->id[0] ? l->id : NULL;
    l->db.op.executor = auth->options.executor;
    l->db.op.done.run = lookup_done;
    l->db.op.deadline_ns = vg_deadline_in_ms(LOOKUP_MS);
    l->db.op.arena = l->arena;
    l->next = auth->pending[hash[0]];
    auth->pending[hash[0]] = l;
    auth->pending_count++;
    return l;
}

/* --- a question --- */

enum known { KNOWN_NOT, KNOWN_GOOD_ONCE, KNOWN_NOW };

static enum known look_up(struct vg_auth *auth, const uint8_t hash[VG_SHA256_SIZE], int64_t now,
                          struct vg_auth_wait *wait)
{
    enum known known = KNOWN_NOT;

    (void)pthread_mutex_lock(&auth->lock);
    const struct entry *entry = find_entry(auth, hash);
    if (entry && entry->expires_ns > now) {
        answer(auth, wait, entry->found, &entry->who);
        known = KNOWN_NOW;
    } else if (entry && entry->found) {
        known = KNOWN_GOOD_ONCE;
    }
    (void)pthread_mutex_unlock(&auth->lock);
    return known;
}

static bool refuse(struct vg_auth_wait *wait, enum vg_err_kind kind)
{
    wait->ok = false;
    (void)vg_err_set(&wait->err, kind, NULL);
    return true;
}

/* Waits for the lookup under way, or starts one. */
static bool join(struct vg_auth *auth, const uint8_t hash[VG_SHA256_SIZE], struct vg_view key,
                 const char *id, struct vg_auth_wait *wait)
{
    struct lookup *start = NULL;

    (void)pthread_mutex_lock(&auth->lock);
    struct lookup *lookup = find_pending(auth, hash);
    if (!lookup && auth->pending_count >= auth->options.max_pending) {
        (void)pthread_mutex_unlock(&auth->lock);
        (void)refuse(wait, VG_ERR_OVERLOADED);
        wait->err.retry_after_ms = 1000;
        return true;
    }
    if (!lookup)
        lookup = start = add_pending(auth, hash, key, id, vg_now_ns());
    wait->next = lookup->waiters;
    lookup->waiters = wait;
    (void)pthread_mutex_unlock(&auth->lock);
    vg_metric_add(auth->metrics, AUTH_CHECKS, start ? AUTH_MISS : AUTH_JOINED, 1);
    if (start) /* outside the lock; it cannot end before it is started */
        auth->options.lookup(auth->options.lookup_ctx, &start->db);
    return false;
}

bool vg_auth_check(struct vg_auth *auth, struct vg_view key, struct vg_auth_wait *wait)
{
    uint8_t hash[VG_SHA256_SIZE];
    char id[VG_ID_SIZE];

    enum vg_api_key_form form = vg_api_key_read(key, id);
    bool old = form == VG_API_KEY_OLD && auth->options.refuse_old;
    if (form == VG_API_KEY_JUNK || old) {
        if (old)
            vg_metric_add(auth->metrics, AUTH_OLD, OLD_REFUSED, 1);
        else
            vg_metric_add(auth->metrics, AUTH_CHECKS, AUTH_JUNK, 1);
        if (wait->admit && key.len > 0 && !wait->admit(wait, ""))
            return true;
        return refuse(wait, VG_ERR_UNAUTHENTICATED);
    }
    vg_sha256(hash, key.data, key.len);
    enum known known = look_up(auth, hash, vg_now_ns(), wait);
    if (known != KNOWN_GOOD_ONCE && !(known == KNOWN_NOW && wait->ok) && wait->admit &&
        !wait->admit(wait, id)) {
        wait->ok = false;
        return true;
    }
    if (known == KNOWN_NOW) {
        vg_metric_add(auth->metrics, AUTH_CHECKS, AUTH_HIT, 1);
        return true;
    }
    return join(auth, hash, key, id, wait);
}

void vg_auth_forget(struct vg_auth *auth, const char *key_id)
{
    (void)pthread_mutex_lock(&auth->lock);
    for (size_t i = 0; i < auth->sets * WAYS; i++)
        if (auth->entries[i].found && strcmp(auth->entries[i].who.key_id, key_id) == 0)
            auth->entries[i] = (struct entry){.expires_ns = 0};
    (void)pthread_mutex_unlock(&auth->lock);
}

bool vg_auth_is_admin(const struct vg_auth *auth, struct vg_view key)
{
    uint8_t hash[VG_SHA256_SIZE];

    /* Hashing both sides hides the length as well. */
    vg_sha256(hash, key.len ? key.data : "", key.len);
    return auth->has_admin && vg_equal_ct(hash, auth->admin_hash, sizeof(hash));
}

struct vg_view vg_auth_key_of(struct vg_view authorization, struct vg_view x_api_key)
{
    static const char scheme[] = "bearer";
    struct vg_view v = vg_view_trim(authorization);
    size_t len = sizeof(scheme) - 1;

    if (v.len > len && vg_view_eqs_nocase((struct vg_view){v.data, len}, scheme) &&
        (v.data[len] == ' ' || v.data[len] == '\t'))
        return vg_view_trim((struct vg_view){v.data + len, v.len - len});
    return authorization.len ? (struct vg_view){"", 0} : vg_view_trim(x_api_key);
}
