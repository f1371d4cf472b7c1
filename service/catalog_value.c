/* SPDX-License-Identifier: Apache-2.0 */
#include "service/catalog_value.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/str.h"

#define MAX_NOTE 1000

int vg_catalog_fail(struct vg_catalog_reader *r, const char *fmt, ...)
{
    char why[256];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(why, sizeof(why), fmt, args);
    va_end(args);
    return vg_err_set(r->err, VG_ERR_INVALID_REQUEST, "%s: %s: %s", r->file,
                      r->path[0] ? r->path : "top", why);
}

size_t vg_catalog_enter(struct vg_catalog_reader *r, const char *fmt, ...)
{
    size_t old = strlen(r->path);
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(r->path + old, sizeof(r->path) - old, fmt, args);
    va_end(args);
    return old;
}

void vg_catalog_leave(struct vg_catalog_reader *r, size_t old)
{
    r->path[old] = '\0';
}

int vg_catalog_read_object(struct vg_catalog_reader *r, const struct vg_json *object,
                           const struct vg_catalog_member *members, size_t count, void *target)
{
    unsigned seen = 0;

    if (vg_json_type(object) != VG_JSON_OBJECT)
        return vg_catalog_fail(r, "must be an object, is %s", vg_json_type_name(object));
    for (const struct vg_json *v = vg_json_first(object); v; v = vg_json_next(v)) {
        size_t i = 0;
        while (i < count && strcmp(members[i].name, vg_json_key(v)) != 0)
            i++;
        if (i == count)
            return vg_catalog_fail(r, "unknown key \"%.40s\"", vg_json_key(v));
        seen |= 1u << i;
        size_t at = vg_catalog_enter(r, "%s%s", r->path[0] ? "." : "", members[i].name);
        if (members[i].read(r, v, target) < 0)
            return -1;
        vg_catalog_leave(r, at);
    }
    for (size_t i = 0; i < count; i++)
        if (members[i].required && !(seen & (1u << i)))
            return vg_catalog_fail(r, "\"%s\" is missing", members[i].name);
    return 0;
}

/* --- values --- */

int vg_catalog_read_int(struct vg_catalog_reader *r, const struct vg_json *value, int64_t min,
                        int64_t max, int64_t *out)
{
    if (!vg_json_int(value, out) || *out < min || *out > max)
        return vg_catalog_fail(r, "must be a whole number from %lld to %lld", (long long)min,
                               (long long)max);
    return 0;
}

int vg_catalog_read_bool(struct vg_catalog_reader *r, const struct vg_json *value, bool *out)
{
    if (vg_json_type(value) != VG_JSON_BOOL)
        return vg_catalog_fail(r, "must be true or false, is %s", vg_json_type_name(value));
    *out = vg_json_bool(value);
    return 0;
}

int vg_catalog_read_name(struct vg_catalog_reader *r, const struct vg_json *value, bool upstream,
                         const char **out)
{
    const char *s = vg_json_string(value);
    size_t max = upstream ? 128 : 64;

    if (!s)
        return vg_catalog_fail(r, "must be a string, is %s", vg_json_type_name(value));
    size_t len = strlen(s);
    size_t good =
        strspn(s, upstream ? "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@"
                           : "abcdefghijklmnopqrstuvwxyz0123456789._-");
    if (len == 0 || len > max || good != len)
        return vg_catalog_fail(r, "must be 1 to %zu characters of [%s0-9._-%s]", max,
                               upstream ? "A-Za-z" : "a-z", upstream ? "/:@" : "");
    *out = vg_arena_strdup(r->arena, s);
    return 0;
}

int vg_catalog_read_word(struct vg_catalog_reader *r, const struct vg_json *value,
                         const char *const *words, size_t count, int *out)
{
    const char *s = vg_json_string(value);
    char all[80] = "";

    for (size_t i = 0; i < count; i++) {
        if (s && strcmp(s, words[i]) == 0) {
            *out = (int)i;
            return 0;
        }
        size_t len = strlen(all);
        (void)snprintf(all + len, sizeof(all) - len, "%s\"%s\"", i ? ", " : "", words[i]);
    }
    return vg_catalog_fail(r, "must be one of %s", all);
}

int vg_catalog_read_number(struct vg_catalog_reader *r, const struct vg_json *value, double min,
                           double max, double *out)
{
    double n = vg_json_number(value);

    if (vg_json_type(value) != VG_JSON_NUMBER || n < min || n > max)
        return vg_catalog_fail(r, "must be a number from %g to %g", min, max);
    *out = n;
    return 0;
}

int vg_catalog_read_status(struct vg_catalog_reader *r, const struct vg_json *value,
                           enum vg_catalog_status *out)
{
    static const char *const words[] = {"live", "preview", "closed"};
    int word = 0;

    if (vg_catalog_read_word(r, value, words, VG_COUNT(words), &word) < 0)
        return -1;
    *out = (enum vg_catalog_status)word;
    return 0;
}

int vg_catalog_read_date(struct vg_catalog_reader *r, const struct vg_json *value, const char **out)
{
    static const char form[] = "dddd-dd-dd";
    const char *s = vg_json_string(value);
    bool good = s && strlen(s) == sizeof(form) - 1;

    for (size_t i = 0; good && form[i]; i++)
        good = form[i] == 'd' ? s[i] >= '0' && s[i] <= '9' : s[i] == form[i];
    int month = good ? (s[5] - '0') * 10 + s[6] - '0' : 0;
    int day = good ? (s[8] - '0') * 10 + s[9] - '0' : 0;
    if (s == NULL || month < 1 || month > 12 || day < 1 || day > 31)
        return vg_catalog_fail(r, "must be a date \"YYYY-MM-DD\"");
    *out = vg_arena_strdup(r->arena, s);
    return 0;
}

int vg_catalog_read_note(struct vg_catalog_reader *r, const struct vg_json *value, void *target)
{
    const char *s = vg_json_string(value);

    (void)target;
    if (!s || !s[0] || vg_utf8_length(s, strlen(s)) > MAX_NOTE)
        return vg_catalog_fail(r, "must be a text of 1 to %d characters", MAX_NOTE);
    return 0;
}

int vg_catalog_read_day(struct vg_catalog_reader *r, const struct vg_json *value, void *target)
{
    const char *ignored = NULL;

    (void)target;
    return vg_catalog_read_date(r, value, &ignored);
}

int vg_catalog_read_names(struct vg_catalog_reader *r, const struct vg_json *value, size_t max,
                          bool upstream, const char ***out, size_t *out_count)
{
    size_t count = vg_json_count(value);
    size_t n = 0;

    if (vg_json_type(value) != VG_JSON_ARRAY || count == 0 || count > max)
        return vg_catalog_fail(r, "must be a list of 1 to %zu names", max);
    const char **names = vg_arena_alloc(r->arena, count * sizeof(*names));
    for (const struct vg_json *v = vg_json_first(value); v; v = vg_json_next(v)) {
        if (vg_catalog_read_name(r, v, upstream, &names[n]) < 0)
            return -1;
        for (size_t i = 0; i < n; i++)
            if (strcmp(names[i], names[n]) == 0)
                return vg_catalog_fail(r, "\"%s\" stands twice", names[n]);
        n++;
    }
    *out = names;
    *out_count = n;
    return 0;
}

int vg_catalog_read_size(struct vg_catalog_reader *r, const struct vg_json *value,
                         struct vg_size *out)
{
    const char *s = vg_json_string(value);
    struct vg_size size;

    if (!s || !vg_size_parse(vg_view_of(s), &size))
        return vg_catalog_fail(r, "must be a string \"WIDTHxHEIGHT\"");
    if (size.width < 16 || size.height < 16 || size.width > 8192 || size.height > 8192 ||
        size.width % 2 || size.height % 2)
        return vg_catalog_fail(r, "\"%s\": both sides must be even and from 16 to 8192", s);
    *out = size;
    return 0;
}

static int read_range_end(struct vg_catalog_reader *r, const struct vg_json *value, int64_t *out)
{
    return vg_catalog_read_int(r, value, 1, VG_MAX_SECONDS, out);
}

static int read_range_min(struct vg_catalog_reader *r, const struct vg_json *value, void *target)
{
    return read_range_end(r, value, &((int64_t *)target)[0]);
}

static int read_range_max(struct vg_catalog_reader *r, const struct vg_json *value, void *target)
{
    return read_range_end(r, value, &((int64_t *)target)[1]);
}

static vg_seconds_set bit_of(int64_t seconds)
{
    VG_ASSERT(seconds >= 1 && seconds <= VG_MAX_SECONDS);
    return UINT64_C(1) << (seconds - 1);
}

int vg_catalog_read_seconds(struct vg_catalog_reader *r, const struct vg_json *value,
                            vg_seconds_set *out)
{
    static const struct vg_catalog_member members[] = {{"min", read_range_min, true},
                                                       {"max", read_range_max, true}};
    int64_t s[2] = {0, 0};
    vg_seconds_set set = 0;

    if (vg_json_type(value) == VG_JSON_OBJECT) {
        if (vg_catalog_read_object(r, value, members, VG_COUNT(members), s) < 0)
            return -1;
        if (s[0] > s[1])
            return vg_catalog_fail(r, "min is larger than max");
        for (int64_t i = s[0]; i <= s[1]; i++)
            set |= bit_of(i);
    } else if (vg_json_type(value) != VG_JSON_ARRAY || vg_json_count(value) == 0) {
        return vg_catalog_fail(r, "must be a list of seconds or {\"min\": a, \"max\": b}");
    }
    for (const struct vg_json *v = vg_json_type(value) == VG_JSON_ARRAY ? vg_json_first(value)
                                                                        : NULL;
         v; v = vg_json_next(v)) {
        if (vg_catalog_read_int(r, v, 1, VG_MAX_SECONDS, &s[0]) < 0)
            return -1;
        if (set & bit_of(s[0]))
            return vg_catalog_fail(r, "%lld stands twice", (long long)s[0]);
        set |= bit_of(s[0]);
    }
    *out = set;
    return 0;
}
