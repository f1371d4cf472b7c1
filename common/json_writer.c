/* SPDX-License-Identifier: Apache-2.0 */
#include "common/json_writer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/str.h"

void vg_json_begin(struct vg_json_writer *w, struct vg_buf *out)
{
    *w = (struct vg_json_writer){.out = out};
}

/* Room for `len` bytes behind the comma that may be due; NULL on overflow, which the buffer
 * remembers. */
static char *room(struct vg_json_writer *w, size_t len)
{
    char *at = vg_buf_reserve(w->out, len + 1);

    if (at && w->comma) {
        *at++ = ',';
        vg_buf_commit(w->out, 1);
    }
    w->comma = true;
    return at;
}

static void put_raw(struct vg_json_writer *w, const char *text, size_t len)
{
    char *at = room(w, len);

    if (!at)
        return;
    memcpy(at, text, len);
    vg_buf_commit(w->out, len);
}

void vg_json_object_open(struct vg_json_writer *w)
{
    put_raw(w, "{", 1);
    w->comma = false;
}

void vg_json_object_close(struct vg_json_writer *w)
{
    (void)vg_buf_addc(w->out, '}'); /* overflow is remembered by the buffer */
    w->comma = true;
}

void vg_json_array_open(struct vg_json_writer *w)
{
    put_raw(w, "[", 1);
    w->comma = false;
}

void vg_json_array_close(struct vg_json_writer *w)
{
    (void)vg_buf_addc(w->out, ']');
    w->comma = true;
}

static void put_escape(struct vg_buf *out, unsigned char c)
{
    static const char *const shorts[0x20] = {
        ['\b'] = "\\b", ['\f'] = "\\f", ['\n'] = "\\n", ['\r'] = "\\r", ['\t'] = "\\t"};

    if (c == '"' || c == '\\') {
        (void)vg_buf_addc(out, '\\');
        (void)vg_buf_addc(out, (char)c);
    } else if (shorts[c]) {
        (void)vg_buf_adds(out, shorts[c]);
    } else {
        (void)vg_buf_addf(out, "\\u%04x", c);
    }
}

static bool needs_escape(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\';
}

static size_t plain_prefix(const char *data, size_t len)
{
    size_t n = 0;

    while (n < len && !needs_escape((unsigned char)data[n]))
        n++;
    return n;
}

/* The common case: nothing to escape. A key has a colon behind it. */
static void put_plain(struct vg_json_writer *w, const char *data, size_t len, bool key)
{
    size_t whole = len + (key ? 3 : 2);
    char *at = room(w, whole);

    if (!at)
        return;
    at[0] = '"';
    memcpy(at + 1, data, len);
    at[len + 1] = '"';
    if (key)
        at[len + 2] = ':';
    vg_buf_commit(w->out, whole);
}

static void put_quoted(struct vg_json_writer *w, const char *data, size_t len, bool key)
{
    size_t plain = len > 0 ? plain_prefix(data, len) : 0;

    if (plain == len) {
        put_plain(w, len > 0 ? data : "", len, key);
        return;
    }
    put_raw(w, "\"", 1);
    while (len > 0) {
        (void)vg_buf_add(w->out, data, plain); /* overflow is remembered, here and below */
        data += plain;
        len -= plain;
        if (len > 0) {
            put_escape(w->out, (unsigned char)*data);
            data++;
            len--;
        }
        plain = plain_prefix(data, len);
    }
    (void)vg_buf_adds(w->out, key ? "\":" : "\"");
}

void vg_json_put_key(struct vg_json_writer *w, const char *key)
{
    put_quoted(w, key, strlen(key), true);
    w->comma = false;
}

void vg_json_put_string(struct vg_json_writer *w, const char *data, size_t len)
{
    put_quoted(w, data, len, false);
}

void vg_json_put_text(struct vg_json_writer *w, const char *s)
{
    if (s)
        vg_json_put_string(w, s, strlen(s));
    else
        vg_json_put_null(w);
}

void vg_json_put_int(struct vg_json_writer *w, int64_t value)
{
    char text[24], *at = text + sizeof(text);
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    do
        *--at = (char)('0' + rest % 10);
    while ((rest /= 10) > 0);
    if (value < 0)
        *--at = '-';
    put_raw(w, at, (size_t)(text + sizeof(text) - at));
}

void vg_json_put_number(struct vg_json_writer *w, double value)
{
    if (!isfinite(value)) {
        vg_json_put_null(w);
        return;
    }
    put_raw(w, "", 0);
    (void)vg_buf_addf(w->out, "%.17g", value);
}

void vg_json_put_bool(struct vg_json_writer *w, bool value)
{
    put_raw(w, value ? "true" : "false", value ? 4 : 5);
}

void vg_json_put_null(struct vg_json_writer *w)
{
    put_raw(w, "null", 4);
}

void vg_json_put_raw(struct vg_json_writer *w, struct vg_view json)
{
    put_raw(w, json.data, json.len);
}

/* The shortest that is read as the same number again: 0.7 stays 0.7. */
static void put_shortest(struct vg_json_writer *w, double value)
{
    char text[40];

    (void)snprintf(text, sizeof(text), "%.15g", value);
    double again = strtod(text, NULL);
    if (!isfinite(value) || again < value || again > value)
        vg_json_put_number(w, value);
    else
        put_raw(w, text, strlen(text));
}

/* Recursion is bounded by VG_JSON_MAX_DEPTH. */
void vg_json_put_value(struct vg_json_writer *w, const struct vg_json *value)
{
    switch (vg_json_type(value)) {
    case VG_JSON_BOOL:
        vg_json_put_bool(w, vg_json_bool(value));
        return;
    case VG_JSON_NUMBER:
        put_shortest(w, vg_json_number(value));
        return;
    case VG_JSON_STRING:
        vg_json_put_text(w, vg_json_string(value));
        return;
    case VG_JSON_ARRAY:
        vg_json_array_open(w);
        for (const struct vg_json *v = vg_json_first(value); v; v = vg_json_next(v))
            vg_json_put_value(w, v);
        vg_json_array_close(w);
        return;
    case VG_JSON_OBJECT:
        vg_json_object_open(w);
        for (const struct vg_json *v = vg_json_first(value); v; v = vg_json_next(v)) {
            vg_json_put_key(w, vg_json_key(v));
            vg_json_put_value(w, v);
        }
        vg_json_object_close(w);
        return;
    case VG_JSON_NULL:
    case VG_JSON_BYTES:
        vg_json_put_null(w);
        return;
    }
}
