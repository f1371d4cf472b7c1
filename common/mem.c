/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mem.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"

#define ARENA_CHUNK_SIZE 4096
#define ARENA_WIPED_MAX (64u << 10) /* a head with its keys is smaller */

static _Noreturn void out_of_memory(void)
{
    (void)fputs("out of memory\n", stderr);
    abort();
}

void *vg_xalloc(size_t size)
{
    return vg_xcalloc(1, size);
}

void *vg_xcalloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (!p)
        out_of_memory();
    return p;
}

void *vg_xrealloc(void *ptr, size_t size)
{
    void *p = realloc(ptr, size ? size : 1);
    if (!p)
        out_of_memory();
    return p;
}

char *vg_xstrdup(const char *s)
{
    return vg_xmemdup(s, strlen(s));
}

char *vg_xmemdup(const void *data, size_t len)
{
    VG_ASSERT(len < SIZE_MAX);
    char *p = malloc(len + 1);
    if (!p)
        out_of_memory();
    if (len)
        memcpy(p, data, len);
    p[len] = '\0';
    return p;
}

void vg_free_secret(char *secret)
{
    if (!secret)
        return;
    explicit_bzero(secret, strlen(secret));
    free(secret);
}

struct arena_chunk {
    struct arena_chunk *next; /* owned; older ones */
    size_t used;
    size_t size;
    alignas(max_align_t) char bytes[];
};

struct vg_arena {
    struct arena_chunk *chunk; /* owned; the one being filled first */
    atomic_bool lent;
};

static struct arena_chunk *chunk_new(size_t size)
{
    struct arena_chunk *chunk = malloc(sizeof *chunk + size);
    if (!chunk)
        out_of_memory();
    chunk->next = NULL;
    chunk->used = 0;
    chunk->size = size;
    return chunk;
}

/* The arena itself stands in its first chunk: one malloc for a small request. */
struct vg_arena *vg_arena_new(void)
{
    struct arena_chunk *chunk = chunk_new(ARENA_CHUNK_SIZE - sizeof *chunk);
    struct vg_arena head = {.chunk = chunk};
    struct vg_arena *arena = vg_arena_alloc(&head, sizeof *arena);
    arena->chunk = chunk;
    return arena;
}

static void arena_drop(struct vg_arena *arena, size_t wiped_max)
{
    struct arena_chunk *chunk = arena ? arena->chunk : NULL;
    VG_ASSERT(!arena || !atomic_load(&arena->lent));
    while (chunk) {
        struct arena_chunk *next = chunk->next;
        if (chunk->used <= wiped_max)
            explicit_bzero(chunk->bytes, chunk->used);
        free(chunk);
        chunk = next;
    }
}

struct vg_arena *vg_arena_free(struct vg_arena *arena)
{
    arena_drop(arena, 0);
    return NULL;
}

struct vg_arena *vg_arena_free_secret(struct vg_arena *arena)
{
    arena_drop(arena, ARENA_WIPED_MAX);
    return NULL;
}

void *vg_arena_alloc(struct vg_arena *arena, size_t size)
{
    const size_t align = alignof(max_align_t);
    VG_ASSERT(size < SIZE_MAX / 2);
    size = (size + align - 1) / align * align;
    struct arena_chunk *chunk = arena->chunk;
    if (size > chunk->size - chunk->used) {
        if (size > ARENA_CHUNK_SIZE / 4) {
            /* A large piece gets its own chunk behind the current one, which goes on being filled.
             */
            struct arena_chunk *own = chunk_new(size);
            own->next = chunk->next;
            chunk->next = own;
            chunk = own;
        } else {
            chunk = chunk_new(ARENA_CHUNK_SIZE - sizeof *chunk);
            chunk->next = arena->chunk;
            arena->chunk = chunk;
        }
    }
    void *p = chunk->bytes + chunk->used;
    chunk->used += size;
    return memset(p, 0, size);
}

char *vg_arena_strdup(struct vg_arena *arena, const char *s)
{
    return s ? vg_arena_memdup(arena, s, strlen(s)) : NULL;
}

char *vg_arena_memdup(struct vg_arena *arena, const void *data, size_t len)
{
    VG_ASSERT(len < SIZE_MAX);
    char *p = vg_arena_alloc(arena, len + 1);
    if (len)
        memcpy(p, data, len);
    return p;
}

char *vg_arena_printf(struct vg_arena *arena, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    VG_ASSERT(n >= 0);
    char *p = vg_arena_alloc(arena, (size_t)n + 1);
    (void)vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

void vg_arena_lend(struct vg_arena *arena)
{
    bool lent = atomic_exchange(&arena->lent, true);

    VG_ASSERT(!lent);
}

void vg_arena_take_back(struct vg_arena *arena)
{
    atomic_store(&arena->lent, false);
}
