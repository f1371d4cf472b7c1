/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/upstream/elide.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/json.h"
#include "common/mem.h"

enum state {
    OUTSIDE,        /* between strings */
    IN_STRING,      /* behind a whole character of one */
    IN_ESCAPE,      /* behind its backslash */
    IN_UNICODE,     /* among the four digits of \uXXXX */
    WANT_BACKSLASH, /* behind a high surrogate, whose low one must follow */
    WANT_U,         /* behind the backslash of the low one */
    SPOILT          /* a failure was reported */
};

struct vg_elide {
    struct vg_elide_options options;
    size_t key_len;
    enum state state;

    unsigned depth;
    bool in_object[VG_JSON_MAX_DEPTH];
    bool wanted[VG_JSON_MAX_DEPTH]; /* strings of this level stand under the key */
    bool wants_key;                 /* the next string is a key */
    size_t seen;                    /* strings under the key so far */
    bool found;

    /* The string being read. */
    bool is_key;
    bool dropped; /* left out of `out` */
    bool handed;  /* goes to on_string */
    size_t raw;   /* its bytes so far, as written */
    size_t mark;  /* where it begins in `out` */
    size_t same;  /* bytes of a key that are those of the wanted one */
    bool differs;
    unsigned unit, digits, high; /* of \uXXXX; high surrogate before it, or 0 */
    unsigned utf8_left;          /* bytes missing of a character */
    unsigned char utf8_low, utf8_high;
};

struct vg_elide *vg_elide_new(const struct vg_elide_options *options)
{
    struct vg_elide *self = vg_xalloc(sizeof(*self));
    self->options = *options;
    self->key_len = options->key ? strlen(options->key) : 0;
    return self;
}

struct vg_elide *vg_elide_free(struct vg_elide *self)
{
    free(self);
    return NULL;
}

/* The bytes of a string as they are written. */
static int put_raw(struct vg_elide *self, const char *data, size_t len)
{
    struct vg_buf *out = self->options.out;

    if (self->dropped)
        return 0;
    if (!self->is_key && len > self->options.keep - self->raw) {
        if (out->max - self->mark < self->options.keep)
            return -1; /* smaller pieces would have filled it */
        self->dropped = true;
        vg_buf_cut(out, self->mark);
        return 0;
    }
    self->raw += len;
    return vg_buf_add(out, data, len);
}

/* What they mean. */
static int put_text(struct vg_elide *self, const char *data, size_t len)
{
    if (self->is_key && self->options.key && !self->differs) {
        self->differs = len > self->key_len - self->same ||
                        memcmp(self->options.key + self->same, data, len) != 0;
        if (!self->differs)
            self->same += len;
    }
    if (!self->handed || len == 0)
        return 0;
    return self->options.on_string(self->options.ctx, data, len) ? 0 : -1;
}

static int put_code_point(struct vg_elide *self, unsigned c)
{
    char text[4];
    size_t len = 0;

    if (c < 0x80) {
        text[len++] = (char)c;
    } else if (c < 0x800) {
        text[len++] = (char)(0xc0 | c >> 6);
        text[len++] = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        text[len++] = (char)(0xe0 | c >> 12);
        text[len++] = (char)(0x80 | (c >> 6 & 0x3f));
        text[len++] = (char)(0x80 | (c & 0x3f));
    } else {
        text[len++] = (char)(0xf0 | c >> 18);
        text[len++] = (char)(0x80 | (c >> 12 & 0x3f));
        text[len++] = (char)(0x80 | (c >> 6 & 0x3f));
        text[len++] = (char)(0x80 | (c & 0x3f));
    }
    return put_text(self, text, len);
}

static int string_begin(struct vg_elide *self)
{
    bool in_object = self->depth && self->in_object[self->depth - 1];

    if (vg_buf_addc(self->options.out, '"') != 0)
        return -1;
    self->state = IN_STRING;
    self->is_key = in_object && self->wants_key;
    self->handed = false;
    if (!self->is_key && self->depth && self->wanted[self->depth - 1])
        self->handed = self->seen++ == self->options.index;
    self->dropped = self->handed;
    self->raw = self->same = 0;
    self->differs = false;
    self->mark = self->options.out->len;
    return 0;
}

static int string_end(struct vg_elide *self)
{
    if (self->is_key)
        self->wanted[self->depth - 1] =
            self->options.key && !self->differs && self->same == self->key_len;
    self->found = self->found || self->handed;
    self->state = OUTSIDE;
    return vg_buf_addc(self->options.out, '"');
}

static int open_container(struct vg_elide *self, bool object)
{
    if (self->depth == VG_JSON_MAX_DEPTH)
        return -1;
    /* Elements of an array stand under the array's key. */
    self->wanted[self->depth] = !object && self->depth && self->wanted[self->depth - 1];
    self->in_object[self->depth++] = object;
    self->wants_key = object;
    return 0;
}

static int close_container(struct vg_elide *self, bool object)
{
    if (self->depth == 0 || self->in_object[self->depth - 1] != object)
        return -1;
    self->depth--;
    self->wants_key = false;
    return 0;
}

static int structure(struct vg_elide *self, char c)
{
    switch (c) {
    case '{':
    case '[':
        return open_container(self, c == '{');
    case '}':
    case ']':
        return close_container(self, c == '}');
    case ',':
        self->wants_key = self->depth && self->in_object[self->depth - 1];
        return 0;
    case ':':
        self->wants_key = false;
        return 0;
    default:
        return 0;
    }
}

/* These take what they can from the front and return how much, or -1. */

static ptrdiff_t take_outside(struct vg_elide *self, const char *data, size_t len)
{
    size_t n = 0;

    for (; n < len && data[n] != '"'; n++) {
        if (structure(self, data[n]) != 0)
            return -1;
    }
    if (vg_buf_add(self->options.out, data, n) != 0)
        return -1;
    if (n == len)
        return (ptrdiff_t)n;
    return string_begin(self) == 0 ? (ptrdiff_t)(n + 1) : -1;
}

/* Bytes at the front that are plain ASCII; eight at a time, since there may be a hundred million.
 */
static size_t plain_bytes(const char *data, size_t len)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = UINT64_C(0x8080808080808080);
    size_t n = 0;
    uint64_t word;

    for (; len - n >= sizeof(word); n += sizeof(word)) {
        memcpy(&word, data + n, sizeof(word));
        uint64_t quote = word ^ (ones * '"'), slash = word ^ (ones * '\\');
        if ((word | (word - ones * 0x20) | (quote - ones) | (slash - ones)) & high)
            break; /* a byte to look at, or (rarely) one behind such */
    }
    while (n < len && (unsigned char)data[n] >= 0x20 && (unsigned char)data[n] < 0x80 &&
           data[n] != '"' && data[n] != '\\')
        n++;
    return n;
}

static int utf8_step(struct vg_elide *self, unsigned char c)
{
    if (self->utf8_left == 0) {
        if (c < 0xc2 || c > 0xf4)
            return -1;
        self->utf8_left = c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;
        /* Against overlong forms, surrogates and what lies above U+10FFFF. */
        self->utf8_low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
        self->utf8_high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
        return 0;
    }
    if (c < self->utf8_low || c > self->utf8_high)
        return -1;
    self->utf8_left--;
    self->utf8_low = 0x80;
    self->utf8_high = 0xbf;
    return 0;
}

static ptrdiff_t take_string(struct vg_elide *self, const char *data, size_t len)
{
    size_t n = 0;

    if (self->utf8_left == 0)
        n = plain_bytes(data, len);
    while (n < len && (unsigned char)data[n] >= 0x80) {
        if (utf8_step(self, (unsigned char)data[n++]) != 0)
            return -1;
    }
    if (n)
        return put_raw(self, data, n) == 0 && put_text(self, data, n) == 0 ? (ptrdiff_t)n : -1;
    if (self->utf8_left || (unsigned char)data[0] < 0x20)
        return -1;
    if (data[0] == '"')
        return string_end(self) == 0 ? 1 : -1;
    self->state = IN_ESCAPE; /* what else plain_bytes stops at */
    return put_raw(self, data, 1) == 0 ? 1 : -1;
}

static int escaped(struct vg_elide *self, char c)
{
    static const char names[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";
    const char *at = c ? strchr(names, c) : NULL;

    if (c == 'u') {
        self->state = IN_UNICODE;
        self->unit = self->digits = 0;
        return 0;
    }
    self->state = IN_STRING;
    return at ? put_text(self, means + (at - names), 1) : -1;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static int unicode_digit(struct vg_elide *self, char c)
{
    int digit = hex_value(c);

    if (digit < 0)
        return -1;
    self->unit = self->unit * 16 + (unsigned)digit;
    if (++self->digits < 4)
        return 0;
    bool low = self->unit >= 0xdc00 && self->unit <= 0xdfff;
    if (low != (self->high != 0) || self->unit == 0)
        return -1; /* a lone surrogate, or a NUL */
    if (self->unit >= 0xd800 && self->unit <= 0xdbff) {
        self->high = self->unit;
        self->state = WANT_BACKSLASH;
        return 0;
    }
    unsigned c32 = self->unit;
    if (low)
        c32 = 0x10000 + ((self->high - 0xd800) << 10) + (self->unit - 0xdc00);
    self->high = 0;
    self->state = IN_STRING;
    return put_code_point(self, c32);
}

/* One byte inside an escape. */
static int take_escape(struct vg_elide *self, char c)
{
    if (put_raw(self, &c, 1) != 0)
        return -1;
    switch (self->state) {
    case IN_ESCAPE:
        return escaped(self, c);
    case IN_UNICODE:
        return unicode_digit(self, c);
    case WANT_BACKSLASH:
        self->state = WANT_U;
        return c == '\\' ? 0 : -1;
    default:
        self->state = IN_UNICODE;
        self->unit = self->digits = 0;
        return c == 'u' ? 0 : -1;
    }
}

static ptrdiff_t take(struct vg_elide *self, const char *data, size_t len)
{
    switch (self->state) {
    case OUTSIDE:
        return take_outside(self, data, len);
    case IN_STRING:
        return take_string(self, data, len);
    case SPOILT:
        return -1;
    default:
        return take_escape(self, data[0]) == 0 ? 1 : -1;
    }
}

int vg_elide_feed(struct vg_elide *self, const char *data, size_t len)
{
    while (len) {
        ptrdiff_t n = take(self, data, len);
        if (n < 0) {
            self->state = SPOILT;
            return -1;
        }
        data += n;
        len -= (size_t)n;
    }
    return 0;
}

int vg_elide_end(const struct vg_elide *self)
{
    return self->state == OUTSIDE && self->depth == 0 ? 0 : -1;
}

bool vg_elide_found(const struct vg_elide *self)
{
    return self->found;
}
