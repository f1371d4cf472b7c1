/* SPDX-License-Identifier: Apache-2.0 */
#include "common/json_scan.h"

#include <string.h>

#include "common/json.h"
#include "common/mem.h"

enum {
    MAX_NUMBER = 60,        /* characters; cJSON copies numbers into 64 bytes and cuts the rest */
    UNICODE_ESCAPE_LEN = 6, /* \uXXXX */
};

struct scan {
    const char *start, *at, *end;
    unsigned depth;
    bool in_object[VG_JSON_MAX_DEPTH];
    size_t values;
};

enum want {
    WANT_VALUE,
    WANT_VALUE_OR_CLOSE, /* just behind [ */
    WANT_KEY_OR_CLOSE,   /* just behind { */
    WANT_KEY,
    WANT_COMMA_OR_CLOSE,
    WANT_END
};

static void skip_space(struct scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r'))
        s->at++;
}

static bool is_digit(const struct scan *s)
{
    return s->at < s->end && *s->at >= '0' && *s->at <= '9';
}

static size_t skip_digits(struct scan *s)
{
    const char *from = s->at;

    while (is_digit(s))
        s->at++;
    return (size_t)(s->at - from);
}

/* The scanners return NULL, or what is wrong at s->at. */

static const char *scan_number(struct scan *s)
{
    const char *from = s->at;

    if (*s->at == '-')
        s->at++;
    const char *digits = s->at;
    size_t count = skip_digits(s);
    if (count == 0)
        return "a digit is missing";
    if (count > 1 && *digits == '0')
        return "a number must not begin with 0";
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (skip_digits(s) == 0)
            return "a digit is missing";
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        if (skip_digits(s) == 0)
            return "a digit is missing";
    }
    return s->at - from > MAX_NUMBER ? "the number is too long" : NULL;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The code unit of the \uXXXX at `at`; -1 when there is none. */
static int unicode_escape(const char *at, const char *end)
{
    int unit = 0;

    if (end - at < UNICODE_ESCAPE_LEN || at[0] != '\\' || at[1] != 'u')
        return -1;
    for (int i = 2; i < UNICODE_ESCAPE_LEN; i++) {
        int digit = hex_value(at[i]);
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

static const char *scan_escape(struct scan *s)
{
    if (s->end - s->at >= 2 && s->at[1] != '\0' && strchr("\"\\/bfnrt", s->at[1])) {
        s->at += 2;
        return NULL;
    }
    int unit = unicode_escape(s->at, s->end);
    if (unit < 0)
        return "unknown escape";
    if (unit == 0)
        return "\\u0000 is not allowed";
    if (unit >= 0xDC00 && unit <= 0xDFFF)
        return "lone surrogate";
    if (unit >= 0xD800 && unit <= 0xDBFF) {
        int low = unicode_escape(s->at + UNICODE_ESCAPE_LEN, s->end);
        if (low < 0xDC00 || low > 0xDFFF)
            return "lone surrogate";
        s->at += UNICODE_ESCAPE_LEN;
    }
    s->at += UNICODE_ESCAPE_LEN;
    return NULL;
}

/* Advances over bytes that need no look: eight at a time, since a body may be one picture of 28 MB.
 */
static void skip_plain(struct scan *s)
{
    const uint64_t ones = UINT64_C(0x0101010101010101), high = UINT64_C(0x8080808080808080);
    uint64_t word;

    while (s->end - s->at >= (ptrdiff_t)sizeof(word)) {
        memcpy(&word, s->at, sizeof(word));
        uint64_t quote = word ^ (ones * '"'), slash = word ^ (ones * '\\');
        /* A high bit is set for a byte >= 0x80, < 0x20, '"' or '\\' (or, rarely, for a good one
         * behind such). */
        uint64_t odd = word | (word - ones * 0x20) | (quote - ones) | (slash - ones);
        if (odd & high)
            break;
        s->at += sizeof(word);
    }
    while (s->at < s->end && (unsigned char)*s->at >= 0x20 && (unsigned char)*s->at < 0x80 &&
           *s->at != '"' && *s->at != '\\')
        s->at++;
}

static const char *scan_string(struct scan *s)
{
    const char *from = ++s->at;
    bool ascii = true;

    for (;;) {
        skip_plain(s);
        if (s->at == s->end)
            return "the string has no end";
        if (*s->at == '"')
            break;
        if (*s->at == '\\') {
            const char *why = scan_escape(s);
            if (why)
                return why;
        } else if ((unsigned char)*s->at < 0x20) {
            return "a control character must be escaped";
        } else {
            ascii = false;
            while (s->at < s->end && (unsigned char)*s->at >= 0x80)
                s->at++;
        }
    }
    if (!ascii && !vg_utf8_valid(from, (size_t)(s->at - from))) {
        s->at = from;
        return "the string is not valid UTF-8";
    }
    s->at++;
    return NULL;
}

static const char *scan_word(struct scan *s)
{
    static const struct vg_view words[] = {{"true", 4}, {"false", 5}, {"null", 4}};

    for (size_t i = 0; i < VG_COUNT(words); i++) {
        if ((size_t)(s->end - s->at) >= words[i].len &&
            memcmp(s->at, words[i].data, words[i].len) == 0) {
            s->at += words[i].len;
            return NULL;
        }
    }
    return "a value is missing";
}

static enum want after_value(const struct scan *s)
{
    return s->depth == 0 ? WANT_END : WANT_COMMA_OR_CLOSE;
}

static const char *scan_value(struct scan *s, enum want *want)
{
    char c = *s->at;
    const char *why;

    if (++s->values > VG_JSON_MAX_VALUES)
        return "too many values";
    if (c == '{' || c == '[') {
        if (s->depth == VG_JSON_MAX_DEPTH)
            return "nested too deep";
        s->in_object[s->depth++] = c == '{';
        s->at++;
        *want = c == '{' ? WANT_KEY_OR_CLOSE : WANT_VALUE_OR_CLOSE;
        return NULL;
    }
    if (c == '"')
        why = scan_string(s);
    else if (c == '-' || is_digit(s))
        why = scan_number(s);
    else
        why = scan_word(s);
    *want = after_value(s);
    return why;
}

static const char *scan_key(struct scan *s, enum want *want)
{
    if (*s->at != '"')
        return "a key is missing";
    const char *why = scan_string(s);
    if (why)
        return why;
    skip_space(s);
    if (s->at == s->end || *s->at != ':')
        return "a colon is missing";
    s->at++;
    *want = WANT_VALUE;
    return NULL;
}

/* One token at s->at, which is not a space; *want moves on. */
static const char *scan_token(struct scan *s, enum want *want)
{
    bool object = s->depth > 0 && s->in_object[s->depth - 1];
    bool may_close =
        *want == WANT_VALUE_OR_CLOSE || *want == WANT_KEY_OR_CLOSE || *want == WANT_COMMA_OR_CLOSE;

    if (may_close && *s->at == (object ? '}' : ']')) {
        s->at++;
        s->depth--;
        *want = after_value(s);
        return NULL;
    }
    switch (*want) {
    case WANT_KEY:
    case WANT_KEY_OR_CLOSE:
        return scan_key(s, want);
    case WANT_COMMA_OR_CLOSE:
        if (*s->at != ',')
            return "a comma or the end of the list is missing";
        s->at++;
        *want = object ? WANT_KEY : WANT_VALUE;
        return NULL;
    case WANT_END:
        return "something follows the value";
    default:
        return scan_value(s, want);
    }
}

int vg_json_scan(struct vg_view text, struct vg_err *err)
{
    struct scan s = {.start = text.data, .at = text.data, .end = text.data + text.len};
    enum want want = WANT_VALUE;
    const char *why = NULL;

    for (skip_space(&s); s.at < s.end && !why; skip_space(&s))
        why = scan_token(&s, &want);
    if (!why && want != WANT_END)
        why = "the text ends too early";
    if (why)
        return vg_err_set(err, VG_ERR_INVALID_JSON, "Invalid JSON at byte %zu: %s.",
                          (size_t)(s.at - s.start), why);
    return 0;
}
