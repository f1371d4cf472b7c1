/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/http/multipart.h"

#include <string.h>
#include <strings.h>

#include "common/str.h"

#define MAX_HEADERS 16

static int refuse(struct vg_err *err, const char *why)
{
    return vg_err_set(err, VG_ERR_INVALID_REQUEST, "The multipart body is not valid: %s.", why);
}

static struct vg_view from(struct vg_view v, size_t at)
{
    return (struct vg_view){v.data + at, v.len - at};
}

/* --- parameters: NAME=token or NAME="quoted" behind a media type or a disposition --- */

static bool token_char(char c)
{
    return c > 0x20 && c < 0x7f && !strchr("()<>@,;:\\\"/[]?=", c);
}

/* A quoted string from behind its opening quote; backslash escapes one character. False when it is
 * not closed or longer than `size` - 1; `*rest` ends behind the closing quote. */
static bool unquote(struct vg_view *rest, char *out, size_t size)
{
    size_t len = 0, i = 0;

    for (; i < rest->len && rest->data[i] != '"'; i++) {
        if (rest->data[i] == '\\' && i + 1 < rest->len)
            i++;
        if (len + 1 >= size)
            return false;
        out[len++] = rest->data[i];
    }
    out[len] = '\0';
    if (i == rest->len)
        return false;
    *rest = from(*rest, i + 1);
    return true;
}

/* RFC 2046 lets more characters stand in a boundary than in a token; clients send them unquoted. */
static bool take_plain(struct vg_view *rest, char *out, size_t size)
{
    size_t len = 0;

    while (len < rest->len && rest->data[len] != ';' && rest->data[len] != ' ' &&
           rest->data[len] != '\t')
        len++;
    if (len == 0 || len >= size || memchr(rest->data, '\0', len))
        return false;
    memcpy(out, rest->data, len);
    out[len] = '\0';
    *rest = from(*rest, len);
    return true;
}

/* The next parameter of "...; name=value; ..."; false at the end, with `*broken` when it is not
 * one. A value longer than `size` - 1 is broken. */
static bool next_parameter(struct vg_view *rest, struct vg_view *out_name, char *value, size_t size,
                           bool *broken)
{
    struct vg_view v = vg_view_trim(*rest);
    size_t len = 0;

    if (v.len == 0)
        return false;
    *broken = true;
    if (v.data[0] != ';')
        return false;
    v = vg_view_trim(from(v, 1));
    while (len < v.len && token_char(v.data[len]))
        len++;
    if (len == 0 || len == v.len || v.data[len] != '=')
        return false;
    *out_name = (struct vg_view){v.data, len};
    v = from(v, len + 1);
    bool quoted = v.len > 0 && v.data[0] == '"';
    if (quoted)
        v = from(v, 1);
    if (quoted ? !unquote(&v, value, size) : !take_plain(&v, value, size))
        return false;
    *rest = v;
    *broken = false;
    return true;
}

static size_t head_word(struct vg_view v)
{
    const char *semicolon = v.len ? memchr(v.data, ';', v.len) : NULL;

    return semicolon ? (size_t)(semicolon - v.data) : v.len;
}

/* --- the boundary --- */

static bool boundary_ok(const char *boundary)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "'()+_,-./:=? ";
    size_t len = strlen(boundary);

    return len >= 1 && len <= VG_MULTIPART_MAX_BOUNDARY && strspn(boundary, allowed) == len &&
           boundary[len - 1] != ' ';
}

static int read_boundary(struct vg_multipart *form, struct vg_view content_type, struct vg_err *err)
{
    struct vg_view rest = from(content_type, head_word(content_type)), name;
    char value[VG_MULTIPART_MAX_BOUNDARY + 1];
    bool broken = false;

    while (next_parameter(&rest, &name, value, sizeof(value), &broken)) {
        if (!vg_view_eqs_nocase(name, "boundary"))
            continue;
        if (!boundary_ok(value))
            break;
        memcpy(form->delimiter, "\r\n--", 4);
        form->delimiter_len = 4 + strlen(value);
        memcpy(form->delimiter + 4, value, strlen(value));
        return 0;
    }
    return refuse(err, "the Content-Type has no usable boundary");
}

int vg_multipart_begin(struct vg_multipart *form, struct vg_view content_type, struct vg_view body,
                       struct vg_err *err)
{
    *form = (struct vg_multipart){.parts = 0};
    if (read_boundary(form, content_type, err) < 0)
        return -1;
    size_t dashed = form->delimiter_len - 2; /* at the very start no line break comes before */
    if (body.len >= dashed && memcmp(body.data, form->delimiter + 2, dashed) == 0) {
        form->rest = from(body, dashed);
        return 0;
    }
    const char *at =
        body.len ? memmem(body.data, body.len, form->delimiter, form->delimiter_len) : NULL;
    if (!at)
        return refuse(err, "its boundary does not occur");
    form->rest = from(body, (size_t)(at - body.data) + form->delimiter_len);
    return 0;
}

/* --- a part's headers --- */

static int read_disposition(struct vg_view value, struct vg_part *out, struct vg_err *err)
{
    struct vg_view rest = from(value, head_word(value)), name;
    char text[1024];
    bool broken = false, named = false;

    if (!vg_view_eqs_nocase(vg_view_trim((struct vg_view){value.data, head_word(value)}),
                            "form-data"))
        return refuse(err, "a part is not form-data");
    while (next_parameter(&rest, &name, text, sizeof(text), &broken)) {
        out->file = out->file || vg_view_eqs_nocase(name, "filename") ||
                    vg_view_eqs_nocase(name, "filename*");
        if (!vg_view_eqs_nocase(name, "name"))
            continue;
        size_t len = strlen(text);
        named = len >= 1 && len < sizeof(out->name) && vg_utf8_valid(text, len);
        for (size_t i = 0; named && i < len; i++)
            named = (unsigned char)text[i] >= 0x20 && text[i] != 0x7f;
        if (!named)
            break;
        memcpy(out->name, text, len + 1);
    }
    return broken || !named ? refuse(err, "a part has no usable name") : 0;
}

static int read_header(struct vg_view line, struct vg_part *out, bool *disposed, struct vg_err *err)
{
    const char *colon = memchr(line.data, ':', line.len);

    if (!colon || colon == line.data || memchr(line.data, '\0', line.len) ||
        memchr(line.data, '\r', line.len) || memchr(line.data, '\n', line.len))
        return refuse(err, "a part has a broken header");
    struct vg_view name = {line.data, (size_t)(colon - line.data)};
    struct vg_view value = vg_view_trim(from(line, name.len + 1));
    if (vg_view_eqs_nocase(name, "content-disposition")) {
        if (*disposed)
            return refuse(err, "a part has two dispositions");
        *disposed = true;
        return read_disposition(value, out, err);
    }
    if (vg_view_eqs_nocase(name, "content-transfer-encoding") &&
        !vg_view_eqs_nocase(value, "binary") && !vg_view_eqs_nocase(value, "8bit") &&
        !vg_view_eqs_nocase(value, "7bit"))
        return refuse(err, "encoded parts are not supported, send them as they are");
    return 0;
}

/* Reads the header lines up to the empty one; `*rest` is then the body and what follows. */
static int read_head(struct vg_view *rest, struct vg_part *out, struct vg_err *err)
{
    size_t taken = 0;
    bool disposed = false;

    for (size_t lines = 0; lines <= MAX_HEADERS; lines++) {
        const char *end = rest->len ? memmem(rest->data, rest->len, "\r\n", 2) : NULL;
        size_t len = end ? (size_t)(end - rest->data) : 0;
        taken += len + 2;
        if (!end || taken > VG_MULTIPART_MAX_HEAD)
            break;
        struct vg_view line = {rest->data, len};
        *rest = from(*rest, len + 2);
        if (len == 0)
            return disposed ? 0 : refuse(err, "a part has no disposition");
        if (read_header(line, out, &disposed, err) < 0)
            return -1;
    }
    return refuse(err, "a part's headers do not end");
}

/* --- parts --- */

/* Behind a boundary: "--" closes, else blanks may stand before the line break. */
static int after_boundary(struct vg_view *rest)
{
    size_t i = 0;

    if (rest->len >= 2 && rest->data[0] == '-' && rest->data[1] == '-')
        return 0;
    while (i < rest->len && (rest->data[i] == ' ' || rest->data[i] == '\t'))
        i++;
    if (rest->len - i < 2 || rest->data[i] != '\r' || rest->data[i + 1] != '\n')
        return -1;
    *rest = from(*rest, i + 2);
    return 1;
}

int vg_multipart_next(struct vg_multipart *form, struct vg_part *out, struct vg_err *err)
{
    struct vg_view rest = form->rest;
    int more = after_boundary(&rest);

    if (more == 0)
        return 0;
    if (more < 0)
        return refuse(err, "a delimiter is broken");
    if (++form->parts > VG_MULTIPART_MAX_PARTS)
        return refuse(err, "it has more than 256 parts");
    *out = (struct vg_part){.file = false};
    if (read_head(&rest, out, err) < 0)
        return -1;
    /* A part without a byte: its delimiter's line break is the one that ended the headers. */
    size_t dashed = form->delimiter_len - 2;
    if (rest.len >= dashed && memcmp(rest.data, form->delimiter + 2, dashed) == 0) {
        out->body = (struct vg_view){rest.data, 0};
        form->rest = from(rest, dashed);
        return 1;
    }
    const char *end =
        rest.len ? memmem(rest.data, rest.len, form->delimiter, form->delimiter_len) : NULL;
    if (!end)
        return refuse(err, "it is cut off: the closing delimiter is missing");
    out->body = (struct vg_view){rest.data, (size_t)(end - rest.data)};
    form->rest = from(rest, out->body.len + form->delimiter_len);
    return 1;
}
