/* SPDX-License-Identifier: Apache-2.0 */
/* A growing byte buffer born with its maximum, and (pointer, length) views. One thread at a time.
 *
 * An append that would pass the maximum fails, sets `overflow` and leaves the content as it was;
 * callers may append several times and check once with vg_buf_ok. Content is always followed by a
 * NUL that is not counted. */
#ifndef VG_COMMON_BUF_H
#define VG_COMMON_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vg_view {
    const char *data; /* borrowed */
    size_t len;
};
#define VG_VIEW(literal) ((struct vg_view){(literal), sizeof(literal) - 1})

struct vg_view vg_view_of(const char *s); /* NULL gives an empty view */
bool vg_view_eq(struct vg_view a, struct vg_view b);
bool vg_view_eqs(struct vg_view a, const char *s);
bool vg_view_eq_nocase(struct vg_view a, struct vg_view b); /* ASCII case, as the next */
bool vg_view_eqs_nocase(struct vg_view a, const char *s);
struct vg_view vg_view_trim(struct vg_view v); /* spaces and tabs */

struct vg_buf {
    char *data; /* owned; NULL while empty and never grown */
    size_t len;
    size_t cap;
    size_t max;
    bool overflow;
    bool secret; /* what is dropped, moved or freed is overwritten first */
};

void vg_buf_init(struct vg_buf *buf, size_t max);
/* For bytes that hold keys: no copy stays behind in memory that is given up. */
void vg_buf_init_secret(struct vg_buf *buf, size_t max);
void vg_buf_fini(struct vg_buf *buf);
void vg_buf_clear(struct vg_buf *buf); /* keeps the memory, clears overflow */
bool vg_buf_ok(const struct vg_buf *buf);
struct vg_view vg_buf_view(const struct vg_buf *buf);
/* Gives the bytes away (free() them) and leaves the buffer empty; never NULL. */
char *vg_buf_take(struct vg_buf *buf, size_t *out_len);

/* Appends return 0, or -1 on overflow; no memory for more than 64 KiB is one, for less an abort. */
int vg_buf_add(struct vg_buf *buf, const void *data, size_t len);
int vg_buf_adds(struct vg_buf *buf, const char *s);
int vg_buf_addc(struct vg_buf *buf, char c);
int vg_buf_addf(struct vg_buf *buf, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Room for `len` more bytes; write there, then vg_buf_commit what was written. NULL on overflow. */
char *vg_buf_reserve(struct vg_buf *buf, size_t len);
void vg_buf_commit(struct vg_buf *buf, size_t len);
/* Drops `len` bytes from the front. */
void vg_buf_consume(struct vg_buf *buf, size_t len);
/* Drops what stands behind the first `len` bytes. */
void vg_buf_cut(struct vg_buf *buf, size_t len);

#endif
