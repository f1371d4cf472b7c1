/* SPDX-License-Identifier: Apache-2.0 */
/* Memory: allocators that abort when a small fixed allocation fails, an arena for what lives as
 * long as one request, and the container macro. Sizes chosen by a peer go through vg_buf (bounded)
 * instead. */
#ifndef VG_COMMON_MEM_H
#define VG_COMMON_MEM_H

#include <stddef.h>

#define VG_CONTAINER(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))
#define VG_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Zeroed memory; aborts on failure. Free with free(). */
void *vg_xalloc(size_t size);
void *vg_xcalloc(size_t count, size_t size);
void *vg_xrealloc(void *ptr, size_t size);
char *vg_xstrdup(const char *s);
/* Copies `len` bytes and adds a NUL. */
char *vg_xmemdup(const void *data, size_t len);
/* Overwrites (explicit_bzero) and frees a NUL-terminated secret; NULL is fine. */
void vg_free_secret(char *secret);

/* Arena: one owner, one thread; everything is freed at once. */
struct vg_arena;
struct vg_arena *vg_arena_new(void);
struct vg_arena *vg_arena_free(struct vg_arena *arena);
/* For a request's: overwrites first what is in pieces of at most 64 KiB (all but a large body). */
struct vg_arena *vg_arena_free_secret(struct vg_arena *arena);
/* Zeroed, aligned for any type; aborts on failure. */
void *vg_arena_alloc(struct vg_arena *arena, size_t size);
char *vg_arena_strdup(struct vg_arena *arena, const char *s);                /* NULL stays NULL */
char *vg_arena_memdup(struct vg_arena *arena, const void *data, size_t len); /* adds a NUL */
char *vg_arena_printf(struct vg_arena *arena, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Work on another thread has the arena for itself between these: lending it twice, or freeing it
 * meanwhile, aborts. */
void vg_arena_lend(struct vg_arena *arena);
void vg_arena_take_back(struct vg_arena *arena);

#endif
