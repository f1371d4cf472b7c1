/* SPDX-License-Identifier: Apache-2.0 */
#include "service/key_use.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/loop.h"
#include "common/mem.h"
#include "common/str.h"
#include "db/key_use_store.h"

#define BUCKETS 1024
#define MAX_NOTES 4096
#define NOTE_SLOTS ((size_t)2 * MAX_NOTES)
#define OP_MS 5000

struct vg_key_use {
    struct vg_key_use_options options;
    struct vg_timer timer;
    struct vg_task start, close;
    bool closed;                              /* the loop's, as all to the lock */
    int under_way;                            /* operations */
    int64_t written;                          /* monotonic ns of the last write */
    struct vg_arena *ask_arena, *write_arena; /* owned, while their operation is under way */
    struct vg_keys_gone ask;
    struct vg_key_used write;
    atomic_bool idle;
    pthread_mutex_t lock;                   /* guards what follows */
    struct vg_key_stream *streams[BUCKETS]; /* borrowed; those of one key stand together */
    char (*notes)[VG_ID_SIZE];              /* owned; an open hash, "" is free */
    size_t note_count;
};

static size_t hash_of(const char *key_id)
{
    return (size_t)vg_fnv1a(vg_view_of(key_id), 0);
}

/* --- notes --- */

void vg_key_use_note(struct vg_key_use *use, const char *key_id)
{
    size_t i = hash_of(key_id) % NOTE_SLOTS;

    (void)pthread_mutex_lock(&use->lock);
    while (use->notes[i][0] && strcmp(use->notes[i], key_id) != 0)
        i = (i + 1) % NOTE_SLOTS; /* at most half of the slots are taken */
    if (!use->notes[i][0] && use->note_count < MAX_NOTES) {
        (void)vg_strcpy(use->notes[i], VG_ID_SIZE, key_id);
        use->note_count++;
    }
    (void)pthread_mutex_unlock(&use->lock);
}

/* Empties the notes into the arena. */
static size_t take_notes(struct vg_key_use *use, struct vg_arena *arena, const char *const **out)
{
    const char **ids = vg_arena_alloc(arena, MAX_NOTES * sizeof(*ids));
    size_t n = 0;

    (void)pthread_mutex_lock(&use->lock);
    for (size_t i = 0; i < NOTE_SLOTS && n < use->note_count; i++)
        if (use->notes[i][0]) {
            ids[n++] = vg_arena_strdup(arena, use->notes[i]);
            use->notes[i][0] = '\0';
        }
    use->note_count = 0;
    (void)pthread_mutex_unlock(&use->lock);
    *out = ids;
    return n;
}

/* --- streams --- */

void vg_key_stream_open(struct vg_key_use *use, struct vg_key_stream *stream, const char *key_id)
{
    if (!key_id[0])
        return;
    (void)vg_strcpy(stream->key_id, sizeof(stream->key_id), key_id);
    (void)pthread_mutex_lock(&use->lock);
    struct vg_key_stream **at = &use->streams[hash_of(key_id) % BUCKETS];
    while (*at && strcmp((*at)->key_id, key_id) != 0)
        at = &(*at)->next;
    stream->next = *at;
    stream->at = at;
    if (*at)
        (*at)->at = &stream->next;
    *at = stream;
    (void)pthread_mutex_unlock(&use->lock);
}

void vg_key_stream_close(struct vg_key_use *use, struct vg_key_stream *stream)
{
    if (!stream->key_id[0])
        return;
    (void)pthread_mutex_lock(&use->lock);
    if (stream->at) {
        *stream->at = stream->next;
        if (stream->next)
            stream->next->at = stream->at;
        stream->at = NULL;
    }
    (void)pthread_mutex_unlock(&use->lock);
}

/* Each key with streams once. */
static size_t list_keys(struct vg_key_use *use, struct vg_arena *arena, const char *const **out)
{
    size_t n = 0;

    (void)pthread_mutex_lock(&use->lock);
    for (int pass = 0; pass < 2; pass++) {
        const char **ids = pass ? vg_arena_alloc(arena, (n + 1) * sizeof(*ids)) : NULL;
        n = 0;
        for (size_t b = 0; b < BUCKETS; b++)
            for (const struct vg_key_stream *s = use->streams[b]; s; s = s->next) {
                if (s->next && strcmp(s->next->key_id, s->key_id) == 0)
                    continue;
                if (pass)
                    ids[n] = vg_arena_strdup(arena, s->key_id);
                n++;
            }
        *out = ids;
    }
    (void)pthread_mutex_unlock(&use->lock);
    return n;
}

static void mark(struct vg_key_use *use, const char *key_id)
{
    (void)pthread_mutex_lock(&use->lock);
    for (struct vg_key_stream *s = use->streams[hash_of(key_id) % BUCKETS]; s; s = s->next)
        if (strcmp(s->key_id, key_id) == 0)
            atomic_store(&s->gone, true);
    (void)pthread_mutex_unlock(&use->lock);
}

/* --- rounds --- */

static void arm(struct vg_key_use *use)
{
    if (use->closed && use->under_way == 0)
        atomic_store(&use->idle, true);
    else if (!use->closed && !vg_timer_armed(&use->timer))
        vg_timer_start(&use->timer, vg_deadline_in_ms(use->options.check_ms));
}

static void asked(struct vg_task *task)
{
    struct vg_key_use *use = VG_CONTAINER(task, struct vg_key_use, ask.op.done);
    size_t count = use->ask.op.ok ? use->ask.gone_count : 0;

    for (size_t i = 0; i < count; i++)
        mark(use, use->ask.gone[i]);
    if (count > 0 && !use->closed)
        use->options.gone(use->options.ctx, use->ask.gone, count);
    use->ask_arena = vg_arena_free(use->ask_arena);
    use->under_way--;
    arm(use);
}

static void written(struct vg_task *task)
{
    struct vg_key_use *use = VG_CONTAINER(task, struct vg_key_use, write.op.done);

    use->write_arena = vg_arena_free(use->write_arena);
    use->under_way--;
    arm(use);
}

static void prepare(struct vg_key_use *use, struct vg_db_op *op, struct vg_arena *arena,
                    void (*done)(struct vg_task *task))
{
    *op = (struct vg_db_op){.executor = vg_loop_executor(use->options.loop),
                            .done.run = done,
                            .deadline_ns = vg_deadline_in_ms(OP_MS),
                            .arena = arena};
    use->under_way++;
}

static void start_ask(struct vg_key_use *use)
{
    struct vg_arena *arena = vg_arena_new();

    use->ask = (struct vg_keys_gone){.count = 0};
    use->ask.count = list_keys(use, arena, &use->ask.ids);
    if (use->ask.count == 0) {
        (void)vg_arena_free(arena);
        return;
    }
    use->ask_arena = arena;
    prepare(use, &use->ask.op, arena, asked);
    vg_keys_gone(use->options.db, &use->ask);
}

static void start_write(struct vg_key_use *use)
{
    struct vg_arena *arena = vg_arena_new();

    use->written = vg_now_ns();
    use->write = (struct vg_key_used){.count = 0};
    use->write.count = take_notes(use, arena, &use->write.ids);
    if (use->write.count == 0) {
        (void)vg_arena_free(arena);
        return;
    }
    use->write_arena = arena;
    prepare(use, &use->write.op, arena, written);
    vg_key_used(use->options.db, &use->write);
}

static void run_round(struct vg_timer *timer)
{
    struct vg_key_use *use = VG_CONTAINER(timer, struct vg_key_use, timer);

    if (!use->ask_arena)
        start_ask(use);
    if (!use->write_arena && vg_now_ns() - use->written >= use->options.write_ms * VG_NS_PER_MS)
        start_write(use);
    arm(use);
}

/* --- life --- */

struct vg_key_use *vg_key_use_new(const struct vg_key_use_options *options)
{
    struct vg_key_use *use = vg_xalloc(sizeof(*use));

    use->options = *options;
    if (use->options.check_ms <= 0)
        use->options.check_ms = 400;
    if (use->options.write_ms <= 0)
        use->options.write_ms = 10000;
    use->notes = vg_xcalloc(NOTE_SLOTS, sizeof(*use->notes));
    vg_timer_init(&use->timer, options->loop, run_round);
    atomic_init(&use->idle, true);
    VG_ASSERT(pthread_mutex_init(&use->lock, NULL) == 0);
    return use;
}

static void run_start(struct vg_task *task)
{
    struct vg_key_use *use = VG_CONTAINER(task, struct vg_key_use, start);

    use->written = vg_now_ns();
    arm(use);
}

void vg_key_use_start(struct vg_key_use *use)
{
    atomic_store(&use->idle, false);
    use->start.run = run_start;
    vg_post(vg_loop_executor(use->options.loop), &use->start);
}

static void run_close(struct vg_task *task)
{
    struct vg_key_use *use = VG_CONTAINER(task, struct vg_key_use, close);

    use->closed = true;
    vg_timer_stop(&use->timer);
    arm(use);
}

void vg_key_use_close(struct vg_key_use *use)
{
    use->close.run = run_close;
    vg_post(vg_loop_executor(use->options.loop), &use->close);
}

bool vg_key_use_idle(const struct vg_key_use *use)
{
    return atomic_load(&use->idle);
}

struct vg_key_use *vg_key_use_free(struct vg_key_use *use)
{
    if (!use)
        return NULL;
    VG_ASSERT(vg_key_use_idle(use));
    (void)pthread_mutex_destroy(&use->lock);
    free(use->notes);
    free(use);
    return NULL;
}
