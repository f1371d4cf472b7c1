/* SPDX-License-Identifier: Apache-2.0 */
#include "common/json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/json_scan.h"
#include "common/mem.h"
#include "common/str.h"

enum {
    FEW_KEYS = 8,       /* up to here, comparing each with each beats sorting */
    MAX_SHOWN_KEY = 64, /* bytes of a key in a message */
};

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
    if (vg_json_scan(text, err) != 0)
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
