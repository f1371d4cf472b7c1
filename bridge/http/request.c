/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/http/request.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "common/mem.h"
#include "common/str.h"

static bool starts_nocase(struct vg_view text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && vg_view_eqs_nocase((struct vg_view){text.data, len}, prefix);
}

static struct vg_view skip(struct vg_view v, size_t n)
{
    return (struct vg_view){v.data + n, v.len - n};
}

/* The part before the first `c`; `rest` gets what follows it. */
static struct vg_view split(struct vg_view v, char c, struct vg_view *rest)
{
    const char *at = v.len ? memchr(v.data, c, v.len) : NULL;
    if (!at) {
        *rest = (struct vg_view){NULL, 0};
        return v;
    }
    size_t n = (size_t)(at - v.data);
    *rest = skip(v, n + 1);
    return (struct vg_view){v.data, n};
}

int vg_http_target(struct vg_view target, struct vg_view method, struct vg_view *out_path,
                   struct vg_view *out_query, struct vg_err *err)
{
    if (target.len > VG_HTTP_MAX_TARGET)
        return vg_err_set(err, VG_ERR_URI_TOO_LONG, NULL);
    for (size_t i = 0; i < target.len; i++) {
        unsigned char c = (unsigned char)target.data[i];
        if (c <= 0x20 || c >= 0x7f || c == '#')
            return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                              "The request target has a character that is not allowed.");
    }
    if (vg_view_eqs(target, "*") && vg_view_eqs(method, "OPTIONS")) {
        *out_path = target;
        *out_query = (struct vg_view){NULL, 0};
        return 0;
    }
    size_t scheme = starts_nocase(target, "http://")    ? 7
                    : starts_nocase(target, "https://") ? 8
                                                        : 0;
    if (scheme) {
        target = skip(target, scheme);
        size_t host = 0;
        while (host < target.len && target.data[host] != '/' && target.data[host] != '?')
            host++;
        if (host == 0 || !vg_http_host_valid((struct vg_view){target.data, host}))
            return vg_err_set(err, VG_ERR_INVALID_REQUEST, "The request target is not valid.");
        target = skip(target, host);
        if (target.len == 0)
            target = VG_VIEW("/");
    }
    struct vg_view query;
    struct vg_view path = split(target, '?', &query);
    if (scheme && path.len == 0)
        path = VG_VIEW("/");
    if (path.len == 0 || path.data[0] != '/')
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "The request target is not valid.");
    *out_path = path;
    *out_query = query;
    return 0;
}

bool vg_http_host_valid(struct vg_view host)
{
    if (host.len == 0 || host.len > 255 + 6)
        return false;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.data[i];
        bool alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (!alnum && !(c && strchr("-._~%:[]!$&'()*+,;=", c)))
            return false;
    }
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

long vg_http_decode(char *dst, size_t size, struct vg_view text, bool form)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        if (c == '%') {
            if (text.len - i < 3)
                return -1;
            int high = hex_digit(text.data[i + 1]), low = hex_digit(text.data[i + 2]);
            if (high < 0 || low < 0)
                return -1;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (form && c == '+') {
            c = ' ';
        }
        if (c == '\0' || n + 1 >= size)
            return -1;
        dst[n++] = c;
    }
    if (size == 0 || !vg_utf8_valid(dst, n))
        return -1;
    dst[n] = '\0';
    return (long)n;
}

bool vg_http_query_next(struct vg_view *rest, struct vg_view *out_name, struct vg_view *out_value)
{
    while (rest->len) {
        struct vg_view pair = split(*rest, '&', rest);
        if (pair.len == 0)
            continue;
        *out_name = split(pair, '=', out_value);
        return true;
    }
    return false;
}

long vg_http_query_get(struct vg_view query, const char *name, char *dst, size_t size)
{
    struct vg_view key, value;
    while (vg_http_query_next(&query, &key, &value)) {
        char decoded[64];
        long len = vg_http_decode(decoded, sizeof(decoded), key, true);
        if (len >= 0 && vg_view_eqs((struct vg_view){decoded, (size_t)len}, name))
            return vg_http_decode(dst, size, value, true);
    }
    return -2;
}

int vg_http_query_number(struct vg_view query, const char *name, int64_t max, int64_t *out)
{
    char text[16];
    long len = vg_http_query_get(query, name, text, sizeof(text));
    if (len == -2)
        return 0;
    return len < 0 ? -1 : vg_parse_i64((struct vg_view){text, (size_t)len}, 0, max, out);
}

/* Digits only; saturates. */
static bool range_number(struct vg_view text, int64_t *out)
{
    if (text.len == 0)
        return false;
    int64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        int digit = text.data[i] - '0';
        n = n > (INT64_MAX - digit) / 10 ? INT64_MAX : n * 10 + digit;
    }
    *out = n;
    return true;
}

static struct vg_http_range range_one(struct vg_view spec)
{
    struct vg_http_range none = {VG_RANGE_NONE, 0, 0}, r = none;
    if (spec.len == 0 || !memchr(spec.data, '-', spec.len))
        return none;
    struct vg_view last;
    struct vg_view first = vg_view_trim(split(spec, '-', &last));
    last = vg_view_trim(last);
    if (first.len == 0) {
        r.kind = VG_RANGE_SUFFIX;
        return range_number(last, &r.last) ? r : none;
    }
    if (!range_number(first, &r.first))
        return none;
    if (last.len == 0) {
        r.kind = VG_RANGE_FROM;
        return r;
    }
    r.kind = VG_RANGE_FROM_TO;
    return range_number(last, &r.last) && r.first <= r.last ? r : none;
}

struct vg_http_range vg_http_range(struct vg_view value)
{
    struct vg_http_range range = {VG_RANGE_NONE, 0, 0};
    value = vg_view_trim(value);
    if (!starts_nocase(value, "bytes="))
        return range;
    struct vg_view rest = skip(value, 6);
    int count = 0;
    while (rest.len) {
        struct vg_view spec = vg_view_trim(split(rest, ',', &rest));
        if (spec.len == 0)
            continue; /* RFC 9110 5.6.1.2: empty list elements are ignored */
        struct vg_http_range one = range_one(spec);
        if (one.kind == VG_RANGE_NONE)
            return one;
        range = one;
        count++;
    }
    if (count > 1)
        range = (struct vg_http_range){VG_RANGE_MULTIPLE, 0, 0};
    return range;
}

bool vg_http_etag_match(struct vg_view list, struct vg_view etag)
{
    list = vg_view_trim(list);
    if (vg_view_eqs(list, "*"))
        return true;
    while (list.len) { /* our tags hold no comma and no quote */
        struct vg_view item = vg_view_trim(split(list, ',', &list));
        if (item.len >= 2 && item.data[0] == 'W' && item.data[1] == '/')
            item = skip(item, 2);
        if (item.len >= 2 && item.data[0] == '"' && item.data[item.len - 1] == '"' &&
            vg_view_eq((struct vg_view){item.data + 1, item.len - 2}, etag))
            return true;
    }
    return false;
}

static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                   "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};

void vg_http_date(char out[VG_HTTP_DATE_SIZE], int64_t unix_seconds)
{
    time_t t = (time_t)unix_seconds;
    struct tm tm;
    /* Years of other than four digits do not fit the form. */
    if (unix_seconds < 0 || unix_seconds > INT64_C(253402300799) || !gmtime_r(&t, &tm)) {
        (void)vg_strcpy(out, VG_HTTP_DATE_SIZE, "Thu, 01 Jan 1970 00:00:00 GMT");
        return;
    }
    char buf[64];
    (void)snprintf(buf, sizeof(buf), "%s, %02d %s %04d %02d:%02d:%02d GMT", days[tm.tm_wday],
                   tm.tm_mday, months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min,
                   tm.tm_sec);
    (void)vg_strcpy(out, VG_HTTP_DATE_SIZE, buf);
}

static bool date_number(struct vg_view text, size_t at, size_t len, int max, int *out)
{
    int64_t n;
    if (text.data[at] == '-' ||
        vg_parse_i64((struct vg_view){text.data + at, len}, 0, max, &n) != 0)
        return false;
    *out = (int)n;
    return true;
}

bool vg_http_date_parse(struct vg_view text, int64_t *out_unix_seconds)
{
    text = vg_view_trim(text);
    if (text.len != VG_HTTP_DATE_SIZE - 1)
        return false;
    struct tm tm = {0};
    if (!date_number(text, 5, 2, 31, &tm.tm_mday) || !date_number(text, 12, 4, 9999, &tm.tm_year) ||
        !date_number(text, 17, 2, 23, &tm.tm_hour) || !date_number(text, 20, 2, 59, &tm.tm_min) ||
        !date_number(text, 23, 2, 60, &tm.tm_sec) || tm.tm_year < 1970)
        return false;
    while (tm.tm_mon < 12 && memcmp(text.data + 8, months[tm.tm_mon], 3) != 0)
        tm.tm_mon++;
    if (tm.tm_mon == 12)
        return false;
    tm.tm_year -= 1900;
    int64_t t = (int64_t)timegm(&tm);
    /* The separators and the weekday are checked by writing the date again. */
    char again[VG_HTTP_DATE_SIZE];
    vg_http_date(again, t);
    if (memcmp(again, text.data, text.len) != 0)
        return false;
    *out_unix_seconds = t;
    return true;
}

bool vg_http_visible(struct vg_view text, size_t min, size_t max)
{
    if (text.len < min || text.len > max)
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < 0x21 || text.data[i] > 0x7e)
            return false;
    return true;
}

bool vg_http_media_type(struct vg_view content_type, const char *type)
{
    struct vg_view params;
    return vg_view_eqs_nocase(vg_view_trim(split(content_type, ';', &params)), type);
}

bool vg_http_has_token(struct vg_view list, const char *token)
{
    while (list.len) {
        if (vg_view_eqs_nocase(vg_view_trim(split(list, ',', &list)), token))
            return true;
    }
    return false;
}
