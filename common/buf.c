/* SPDX-License-Identifier: Apache-2.0 */
#include "common/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/err.h"
#include "common/mem.h"

#define BUF_FIRST_CAP 256
#define BUF_SMALL (64u << 10) /* who has not even that is in no state to go on */

struct vg_view vg_view_of(const char *s)
{
    return s ? (struct vg_view){s, strlen(s)} : (struct vg_view){"", 0};
}

bool vg_view_eq(struct vg_view a, struct vg_view b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

bool vg_view_eqs(struct vg_view a, const char *s)
{
    return vg_view_eq(a, vg_view_of(s));
}

static char ascii_lower(char c)
{
    if (c >= 'A' && c <= 'Z')
        c = (char)(c + ('a' - 'A'));
    return c;
}

bool vg_view_eq_nocase(struct vg_view a, struct vg_view b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (ascii_lower(a.data[i]) != ascii_lower(b.data[i]))
            return false;
    }
    return true;
}

bool vg_view_eqs_nocase(struct vg_view a, const char *s)
{
    return vg_view_eq_nocase(a, vg_view_of(s));
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

struct vg_view vg_view_trim(struct vg_view v)
{
    while (v.len && is_blank(v.data[0])) {
        v.data++;
        v.len--;
    }
    while (v.len && is_blank(v.data[v.len - 1]))
        v.len--;
    return v;
}

void vg_buf_init(struct vg_buf *buf, size_t max)
{
    VG_ASSERT(max < SIZE_MAX / 2);
    *buf = (struct vg_buf){.max = max};
}

void vg_buf_init_secret(struct vg_buf *buf, size_t max)
{
    vg_buf_init(buf, max);
    buf->secret = true;
}

/* Of a secret buffer: overwrites `len` bytes from `at` on that hold content no more. */
static void buf_wipe(struct vg_buf *buf, size_t at, size_t len)
{
    if (buf->secret && buf->data)
        explicit_bzero(buf->data + at, len);
}

void vg_buf_fini(struct vg_buf *buf)
{
    buf_wipe(buf, 0, buf->len);
    free(buf->data);
    *buf = (struct vg_buf){.max = buf->max, .secret = buf->secret};
}

void vg_buf_clear(struct vg_buf *buf)
{
    buf_wipe(buf, 0, buf->len);
    buf->len = 0;
    buf->overflow = false;
    if (buf->data)
        buf->data[0] = '\0';
}

bool vg_buf_ok(const struct vg_buf *buf)
{
    return !buf->overflow;
}

struct vg_view vg_buf_view(const struct vg_buf *buf)
{
    return (struct vg_view){buf->data ? buf->data : "", buf->len};
}

char *vg_buf_take(struct vg_buf *buf, size_t *out_len)
{
    char *data = buf->data ? buf->data : vg_xmemdup("", 0);
    if (out_len)
        *out_len = buf->len;
    *buf = (struct vg_buf){.max = buf->max, .secret = buf->secret};
    return data;
}

/* Makes room for `len` more bytes and the NUL. */
static int buf_grow(struct vg_buf *buf, size_t len)
{
    if (buf->overflow || len > buf->max - buf->len) {
        buf->overflow = true;
        return -1;
    }
    size_t need = buf->len + len + 1;
    if (need <= buf->cap)
        return 0;
    size_t cap = buf->cap ? buf->cap : BUF_FIRST_CAP;
    while (cap < need)
        cap *= 2;
    if (cap > buf->max + 1)
        cap = buf->max + 1;
    /* A secret buffer is not left to realloc, which may move it and leave the old bytes. */
    char *old = buf->secret ? NULL : buf->data;
    char *data = cap <= BUF_SMALL ? vg_xrealloc(old, cap) : realloc(old, cap);
    if (data && buf->secret && buf->data) {
        memcpy(data, buf->data, buf->len + 1);
        buf_wipe(buf, 0, buf->len);
        free(buf->data);
    }
    if (!data) {
        buf->overflow = true; /* sized by a peer: an error, not an abort */
        return -1;
    }
    buf->data = data;
    buf->cap = cap;
    return 0;
}

int vg_buf_add(struct vg_buf *buf, const void *data, size_t len)
{
    if (buf_grow(buf, len) != 0)
        return -1;
    if (len)
        memcpy(buf->data + buf->len, data, len);
    buf->len += len;
    buf->data[buf->len] = '\0';
    return 0;
}

int vg_buf_adds(struct vg_buf *buf, const char *s)
{
    return vg_buf_add(buf, s, strlen(s));
}

int vg_buf_addc(struct vg_buf *buf, char c)
{
    return vg_buf_add(buf, &c, 1);
}

int vg_buf_addf(struct vg_buf *buf, const char *fmt, ...)
{
    va_list args, again;
    va_start(args, fmt);
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    int rc = -1;
    if (n >= 0 && buf_grow(buf, (size_t)n) == 0) {
        (void)vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, again);
        buf->len += (size_t)n;
        rc = 0;
    }
    va_end(again);
    return rc;
}

char *vg_buf_reserve(struct vg_buf *buf, size_t len)
{
    return buf_grow(buf, len) == 0 ? buf->data + buf->len : NULL;
}

void vg_buf_commit(struct vg_buf *buf, size_t len)
{
    VG_ASSERT(len == 0 || (buf->cap > buf->len && len <= buf->cap - buf->len - 1));
    buf->len += len;
    if (buf->data)
        buf->data[buf->len] = '\0';
}

void vg_buf_consume(struct vg_buf *buf, size_t len)
{
    VG_ASSERT(len <= buf->len);
    if (len == 0)
        return;
    buf->len -= len;
    memmove(buf->data, buf->data + len, buf->len + 1);
    buf_wipe(buf, buf->len, len);
}

void vg_buf_cut(struct vg_buf *buf, size_t len)
{
    VG_ASSERT(len <= buf->len);
    buf_wipe(buf, len, buf->len - len);
    buf->len = len;
    if (buf->data)
        buf->data[len] = '\0';
}
