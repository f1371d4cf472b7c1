/* SPDX-License-Identifier: Apache-2.0 */
#include "common/json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/str.h"

enum {
    MAX_NUMBER = 60,        /* characters; cJSON copies numbers into 64 bytes and cuts the rest */
    FEW_KEYS = 8,           /* up to here, comparing each with each beats sorting */
    MAX_SHOWN_KEY = 64,     /* bytes of a key in a message */
    UNICODE_ESCAPE_LEN = 6, /* \uXXXX */
};

/* The strict pre-pass: a full RFC 8259 grammar without recursion, so that cJSON only ever sees what
 * is known to be good and shallow. */
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

static int scan_all(struct vg_view text, struct vg_err *err)
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

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A key that stands twice in the object; NULL: none. */
static const char *duplicate_key(const cJSON *object, size_t count)
{
    const char *found = NULL;

    if (count <= FEW_KEYS) {
        for (const cJSON *a = object->child; a && !found; a = a->next)
            for (const cJSON *b = a->next; b && !found; b = b->next)
                found = strcmp(a->string, b->string) == 0 ? a->string : NULL;
        return found;
    }
    const char **keys = vg_xcalloc(count, sizeof(*keys));
    size_t n = 0;
    for (const cJSON *m = object->child; m; m = m->next)
        keys[n++] = m->string;
    qsort(keys, n, sizeof(*keys), compare_keys);
    for (size_t i = 1; i < n && !found; i++)
        found = strcmp(keys[i - 1], keys[i]) == 0 ? keys[i] : NULL;
    free(keys);
    return found;
}

/* What only the tree shows. Recursion is bounded by VG_JSON_MAX_DEPTH. */
static int check_tree(const cJSON *value, struct vg_err *err)
{
    size_t count = 0;

    if (cJSON_IsNumber(value) && !isfinite(value->valuedouble))
        return vg_err_set(err, VG_ERR_INVALID_JSON, "Invalid JSON: a number is out of range.");
    for (const cJSON *child = value->child; child; child = child->next) {
        if (check_tree(child, err) != 0)
            return -1;
        count++;
    }
    if (!cJSON_IsObject(value))
        return 0;
    const char *key = duplicate_key(value, count);
    if (!key)
        return 0;
    size_t len = strlen(key);
    int shown = (int)(len > MAX_SHOWN_KEY ? vg_utf8_cut(key, MAX_SHOWN_KEY) : len);
    return vg_err_set(err, VG_ERR_INVALID_JSON, "Invalid JSON: the key \"%.*s\" stands twice.",
                      shown, key);
}

int vg_json_parse(struct vg_json **out, struct vg_view text, struct vg_err *err)
{
    if (scan_all(text, err) != 0)
        return -1;
    cJSON *root = cJSON_ParseWithLengthOpts(text.data, text.len, NULL, false);
    if (!root)
        return vg_err_set(err, VG_ERR_OVERLOADED, "There is no memory for this JSON text.");
    if (check_tree(root, err) != 0) {
        cJSON_Delete(root);
        return -1;
    }
    *out = (struct vg_json *)root;
    return 0;
}

struct vg_json *vg_json_free(struct vg_json *root)
{
    cJSON_Delete((cJSON *)root);
    return NULL;
}

static const cJSON *node(const struct vg_json *value)
{
    return (const cJSON *)value;
}

enum vg_json_type vg_json_type(const struct vg_json *value)
{
    switch (node(value)->type & 0xFF) {
    case cJSON_True:
    case cJSON_False:
        return VG_JSON_BOOL;
    case cJSON_Number:
        return VG_JSON_NUMBER;
    case cJSON_String:
        return VG_JSON_STRING;
    case cJSON_Array:
        return VG_JSON_ARRAY;
    case cJSON_Object:
        return VG_JSON_OBJECT;
    case cJSON_Raw:
        return VG_JSON_BYTES;
    default:
        return VG_JSON_NULL;
    }
}

const char *vg_json_type_name(const struct vg_json *value)
{
    static const char *const names[] = {
        [VG_JSON_NULL] = "null",       [VG_JSON_BOOL] = "a boolean", [VG_JSON_NUMBER] = "a number",
        [VG_JSON_STRING] = "a string", [VG_JSON_ARRAY] = "an array", [VG_JSON_OBJECT] = "an object",
        [VG_JSON_BYTES] = "a file",
    };
    return names[vg_json_type(value)];
}

const struct vg_json *vg_json_get(const struct vg_json *object, const char *key)
{
    if (!object || !cJSON_IsObject(node(object)))
        return NULL;
    for (const cJSON *m = node(object)->child; m; m = m->next)
        if (strcmp(m->string, key) == 0)
            return (const struct vg_json *)m;
    return NULL;
}

const struct vg_json *vg_json_first(const struct vg_json *container)
{
    return container ? (const struct vg_json *)node(container)->child : NULL;
}

const struct vg_json *vg_json_next(const struct vg_json *value)
{
    return (const struct vg_json *)node(value)->next;
}

const char *vg_json_key(const struct vg_json *member)
{
    return node(member)->string;
}

size_t vg_json_count(const struct vg_json *container)
{
    size_t count = 0;

    for (const cJSON *c = container ? node(container)->child : NULL; c; c = c->next)
        count++;
    return count;
}

const char *vg_json_string(const struct vg_json *value)
{
    return value && cJSON_IsString(node(value)) ? node(value)->valuestring : NULL;
}

bool vg_json_bool(const struct vg_json *value)
{
    return value && cJSON_IsTrue(node(value));
}

bool vg_json_bytes(const struct vg_json *value, struct vg_view *out)
{
    if (!value || !cJSON_IsRaw(node(value)))
        return false;
    *out = (struct vg_view){node(value)->valuestring, (size_t)node(value)->valuedouble};
    return true;
}

double vg_json_number(const struct vg_json *value)
{
    return value && cJSON_IsNumber(node(value)) ? node(value)->valuedouble : 0;
}

bool vg_json_int(const struct vg_json *value, int64_t *out)
{
    const double limit = 9007199254740992.0; /* 2^53: from here on doubles merge neighbours */

    if (!value || !cJSON_IsNumber(node(value)))
        return false;
    double number = node(value)->valuedouble;
    if (!(number > -limit && number < limit) || trunc(number) < number || trunc(number) > number)
        return false;
    *out = (int64_t)number;
    return true;
}

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
