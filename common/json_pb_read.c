/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/json_pb_priv.h"
#include "common/str.h"

enum { MAX_PATH = 128, MAX_NUMBER = 60 };

/* Where a value stands, as a chain on the stack; only an error makes text of it. */
struct path {
    const struct path *up;
    const char *name;
    size_t index;
    bool indexed;
};

struct reader {
    const struct vg_json_shape *shape;
    struct vg_arena *arena;
    struct vg_err *err;
};

static size_t path_text(const struct path *path, char out[MAX_PATH])
{
    size_t len = path->up ? path_text(path->up, out) : 0;
    int more = snprintf(out + len, MAX_PATH - len, "%s%s", len > 0 ? "." : "", path->name);

    len += (size_t)more;
    if (path->indexed && len < MAX_PATH) {
        more = snprintf(out + len, MAX_PATH - len, "[%zu]", path->index);
        len += (size_t)more;
    }
    return len < MAX_PATH ? len : MAX_PATH - 1;
}

static int fail(const struct reader *r, const struct path *path, const char *why, const char *got)
{
    char text[MAX_PATH];

    (void)path_text(path, text); /* cut is fine */
    return vg_err_param(r->err, VG_ERR_INVALID_REQUEST, text, "%s: %s%s%s", text, why,
                        got ? ", got " : "", got ? got : "");
}

static int expected(const struct reader *r, const struct path *path, const char *what,
                    const struct vg_json *value)
{
    char why[MAX_PATH];

    (void)snprintf(why, sizeof(why), "expected %s", what);
    return fail(r, path, why, vg_json_type_name(value));
}

/* Integers of JSON text are exact below 2^53 only; a larger one comes as text. */
static int read_int(const struct reader *r, const struct path *path,
                    const struct vg_json_rule *rule, const struct vg_json *value, int64_t min,
                    int64_t max, int64_t *out)
{
    const char *text = vg_json_string(value);

    if (text && (rule->flags & VG_JSON_INT_OR_TEXT)) {
        if (vg_parse_i64(vg_view_of(text), INT64_MIN, INT64_MAX, out) != 0)
            return expected(r, path, "an integer", value);
    } else if (vg_json_type(value) != VG_JSON_NUMBER) {
        return expected(r, path, "an integer", value);
    } else if (!vg_json_int(value, out)) {
        return fail(r, path, "expected an integer", "a fraction or a number too large");
    }
    if (*out < min || *out > max) {
        char why[MAX_PATH];
        (void)snprintf(why, sizeof(why), "must be between %" PRId64 " and %" PRId64, min, max);
        return fail(r, path, why, NULL);
    }
    return 0;
}

static int read_enum(const struct reader *r, const struct path *path,
                     const struct vg_json_rule *rule, const ProtobufCEnumDescriptor *desc,
                     const struct vg_json *value, int *out)
{
    const char *text = vg_json_string(value);
    char name[VG_PB_ENUM_NAME];

    if (!text)
        return expected(r, path, "a string", value);
    for (unsigned i = 0; i < desc->n_values; i++) {
        if (strcmp(vg_pb_enum_name(rule, desc->values[i].name, name), text) == 0) {
            *out = desc->values[i].value;
            return 0;
        }
    }
    return fail(r, path, "unknown value", NULL);
}

static int read_bytes(const struct reader *r, const struct path *path, const struct vg_json *value,
                      ProtobufCBinaryData *out)
{
    const char *text = vg_json_string(value);

    if (!text)
        return expected(r, path, "a string", value);
    size_t len = strlen(text);
    out->data = vg_arena_alloc(r->arena, (len / 4 + 1) * 3);
    if (vg_base64_decode(out->data, &out->len, text, len) != 0)
        return fail(r, path, "expected base64", NULL);
    return 0;
}

static int read_members(const struct reader *r, const struct path *up, const struct vg_json *object,
                        ProtobufCMessage *message);

static int read_message(const struct reader *r, const struct path *path,
                        const ProtobufCMessageDescriptor *desc, const struct vg_json *value,
                        ProtobufCMessage **out)
{
    ProtobufCMessage *message = vg_arena_alloc(r->arena, desc->sizeof_message);

    protobuf_c_message_init(desc, message);
    *out = message;
    for (size_t i = 0; i < r->shape->reader_count; i++) {
        if (strcmp(r->shape->readers[i].message, desc->name) == 0) {
            char text[MAX_PATH];
            (void)path_text(path, text); /* cut is fine */
            return r->shape->readers[i].read(value, message, r->arena, text, r->err);
        }
    }
    if (vg_json_type(value) != VG_JSON_OBJECT)
        return expected(r, path, "an object", value);
    return read_members(r, path, value, message);
}

static int read_number(const struct reader *r, const struct path *path, const struct vg_json *value,
                       double *out)
{
    if (vg_json_type(value) != VG_JSON_NUMBER)
        return expected(r, path, "a number", value);
    *out = vg_json_number(value);
    return 0;
}

static int read_bool(const struct reader *r, const struct path *path,
                     const struct vg_json_rule *rule, const struct vg_json *value,
                     protobuf_c_boolean *out)
{
    const char *text = rule->flags & VG_JSON_BOOL_OR_TEXT ? vg_json_string(value) : NULL;
    bool yes = text && (strcmp(text, "true") == 0 || strcmp(text, "1") == 0);
    bool no = text && (strcmp(text, "false") == 0 || strcmp(text, "0") == 0);

    if (vg_json_type(value) != VG_JSON_BOOL && !yes && !no)
        return expected(r, path, "a boolean", value);
    *out = yes || vg_json_bool(value);
    return 0;
}

/* Reads one value to `out`, which has the size of the field's type. */
static int read_value(const struct reader *r, const struct path *path,
                      const struct vg_json_rule *rule, const ProtobufCFieldDescriptor *field,
                      const struct vg_json *value, void *out)
{
    int64_t number = 0;
    double real = 0;

    switch (field->type) {
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
        if (read_int(r, path, rule, value, INT32_MIN, INT32_MAX, &number) != 0)
            return -1;
        *(int32_t *)out = (int32_t)number;
        return 0;
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
        if (read_int(r, path, rule, value, 0, UINT32_MAX, &number) != 0)
            return -1;
        *(uint32_t *)out = (uint32_t)number;
        return 0;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return read_int(r, path, rule, value, INT64_MIN, INT64_MAX, out);
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
        return read_int(r, path, rule, value, 0, INT64_MAX, out);
    case PROTOBUF_C_TYPE_FLOAT:
        if (read_number(r, path, value, &real) != 0)
            return -1;
        *(float *)out = (float)real;
        return 0;
    case PROTOBUF_C_TYPE_DOUBLE:
        return read_number(r, path, value, out);
    case PROTOBUF_C_TYPE_BOOL:
        return read_bool(r, path, rule, value, out);
    case PROTOBUF_C_TYPE_ENUM:
        return read_enum(r, path, rule, field->descriptor, value, out);
    case PROTOBUF_C_TYPE_STRING:
        if (vg_json_type(value) != VG_JSON_STRING)
            return expected(r, path, "a string", value);
        *(char **)out = vg_arena_strdup(r->arena, vg_json_string(value));
        return 0;
    case PROTOBUF_C_TYPE_BYTES:
        return read_bytes(r, path, value, out);
    case PROTOBUF_C_TYPE_MESSAGE:
        return read_message(r, path, field->descriptor, value, out);
    }
    return fail(r, path, "has a type this program does not know", NULL);
}

static int read_list(const struct reader *r, struct path *path, const struct vg_json_rule *rule,
                     const ProtobufCFieldDescriptor *field, const struct vg_json *value,
                     ProtobufCMessage *message)
{
    bool list = vg_json_type(value) == VG_JSON_ARRAY;

    if (!list && !(rule->flags & VG_JSON_ONE_OR_LIST))
        return expected(r, path, "an array", value);
    size_t count = list ? vg_json_count(value) : 1, size = vg_pb_size_of(field->type);
    if (count == 0)
        return rule->flags & VG_JSON_NOT_EMPTY ? fail(r, path, "needs at least one item", NULL) : 0;
    char *items = vg_arena_alloc(r->arena, count * size);
    const struct vg_json *item = list ? vg_json_first(value) : value;
    path->indexed = list;
    for (size_t i = 0; i < count; i++) {
        path->index = i;
        if (read_value(r, path, rule, field, item, items + i * size) != 0)
            return -1;
        item = vg_json_next(item);
    }
    *(void **)vg_pb_at(message, field->offset) = items;
    *(size_t *)vg_pb_at(message, field->quantifier_offset) = count;
    return 0;
}

static int read_field(const struct reader *r, struct path *path, const struct vg_json_rule *rule,
                      const ProtobufCFieldDescriptor *field, const struct vg_json *value,
                      ProtobufCMessage *message)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED)
        return read_list(r, path, rule, field, value, message);
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF) {
        uint32_t *which = vg_pb_at(message, field->quantifier_offset);
        if (*which != 0)
            return fail(r, path, "excludes another field that was given", NULL);
        if (read_value(r, path, rule, field, value, vg_pb_at(message, field->offset)) != 0)
            return -1;
        *which = field->id;
        return 0;
    }
    if (read_value(r, path, rule, field, value, vg_pb_at(message, field->offset)) != 0)
        return -1;
    if (field->label == PROTOBUF_C_LABEL_OPTIONAL && field->quantifier_offset != 0)
        *(protobuf_c_boolean *)vg_pb_at(message, field->quantifier_offset) = true;
    return 0;
}

/* --- the rest --- */

/* A text that is a number or a boolean, as that; NULL: it is a text. Free it. */
static struct vg_json *typed(const char *text)
{
    struct vg_json *value = NULL;
    size_t len = text ? strnlen(text, MAX_NUMBER + 1) : 0;

    if (len == 0 || len > MAX_NUMBER || strpbrk(text, " \t\r\n") ||
        vg_json_parse(&value, vg_view_of(text), NULL) != 0)
        return NULL;
    bool is = vg_json_type(value) == VG_JSON_NUMBER || vg_json_type(value) == VG_JSON_BOOL;
    return is ? value : vg_json_free(value);
}

static void put_rest_value(const struct reader *r, struct vg_json_writer *w,
                           const struct vg_json *member)
{
    struct vg_json *other = r->shape->typeless ? typed(vg_json_string(member)) : NULL;
    struct vg_buf text;
    struct vg_json_writer one;

    vg_buf_init(&text, VG_JSON_REST_VALUE);
    vg_json_begin(&one, &text);
    vg_json_put_value(&one, other ? other : member);
    vg_json_put_key(w, vg_json_key(member));
    if (vg_buf_ok(&text))
        vg_json_put_raw(w, vg_buf_view(&text));
    else
        vg_json_put_null(w);
    vg_buf_fini(&text);
    (void)vg_json_free(other);
}

static bool is_rest(const ProtobufCMessage *message, const struct vg_json_rules *rules,
                    const struct vg_json *member)
{
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, vg_json_key(member));

    return (!field || (vg_json_rule_of(rules, field->name)->flags & VG_JSON_REST)) &&
           vg_json_type(member) != VG_JSON_NULL && vg_json_type(member) != VG_JSON_BYTES &&
           strlen(vg_json_key(member)) <= VG_JSON_REST_NAME;
}

static int read_rest(const struct reader *r, const struct vg_json_rules *rules,
                     const struct vg_json *object, ProtobufCMessage *message)
{
    const struct vg_json_rule *rule = rules->first;
    size_t left = rules->count;
    struct vg_buf text;
    struct vg_json_writer w;
    size_t count = 0;
    int rc = 0;

    for (; left > 0 && !(rule->flags & VG_JSON_REST); left--)
        rule++;
    if (left == 0)
        return 0;
    const ProtobufCFieldDescriptor *field =
        protobuf_c_message_descriptor_get_field_by_name(message->descriptor, rule->field);
    vg_buf_init(&text, VG_JSON_REST_SIZE);
    vg_json_begin(&w, &text);
    vg_json_object_open(&w);
    for (const struct vg_json *m = vg_json_first(object); m; m = vg_json_next(m))
        if (is_rest(message, rules, m)) {
            put_rest_value(r, &w, m);
            count++;
        }
    vg_json_object_close(&w);
    if (!vg_buf_ok(&text)) {
        rc = vg_err_param(r->err, VG_ERR_INVALID_REQUEST, rule->field,
                          "The fields that are not known here have more than %zu bytes together.",
                          VG_JSON_REST_SIZE);
    } else if (count > 0) {
        VG_ASSERT(field && field->type == PROTOBUF_C_TYPE_STRING);
        *(uint32_t *)vg_pb_at(message, field->quantifier_offset) = field->id;
        *(char **)vg_pb_at(message, field->offset) = vg_arena_memdup(r->arena, text.data, text.len);
    }
    vg_buf_fini(&text);
    return rc;
}

static int read_members(const struct reader *r, const struct path *up, const struct vg_json *object,
                        ProtobufCMessage *message)
{
    struct vg_json_rules rules = vg_json_rules_of(r->shape, message->descriptor->name);
    bool rest = false;

    for (const struct vg_json *m = vg_json_first(object); m; m = vg_json_next(m)) {
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field_by_name(message->descriptor, vg_json_key(m));
        if (!field) {
            rest = true;
            continue;
        }
        if (vg_json_type(m) == VG_JSON_NULL)
            continue;
        const struct vg_json_rule *rule = vg_json_rule_of(&rules, field->name);
        if (rule->flags & VG_JSON_REST) {
            rest = true;
            continue;
        }
        struct path path = {.up = up, .name = field->name};
        if (!(rule->flags & VG_JSON_HIDDEN) && read_field(r, &path, rule, field, m, message) != 0)
            return -1;
    }
    return rest ? read_rest(r, &rules, object, message) : 0;
}

int vg_pb_from_json(const struct vg_json *object, ProtobufCMessage *message,
                    const struct vg_json_shape *shape, struct vg_arena *arena, struct vg_err *err)
{
    struct reader r = {.shape = shape, .arena = arena, .err = err};

    if (vg_json_type(object) != VG_JSON_OBJECT)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "expected a JSON object, got %s",
                          vg_json_type_name(object));
    return read_members(&r, NULL, object, message);
}
