/* SPDX-License-Identifier: Apache-2.0 */
#include "common/json_form.h"

#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/str.h"

/* One step of a name: a member's key, or "" and an array index (or the end of the array). */
struct step {
    char *key; /* owned */
    bool item;
    int64_t index; /* -1: "[]" */
};

struct steps {
    struct step at[VG_JSON_FORM_MAX_DEPTH];
    size_t count;
};

static void steps_fini(struct steps *steps)
{
    for (size_t i = 0; i < steps->count; i++)
        free(steps->at[i].key);
}

static bool add_step(struct steps *steps, const char *text, size_t len, bool bracketed)
{
    struct vg_view v = {text, len};
    int64_t index = -1;

    if (steps->count == VG_JSON_FORM_MAX_DEPTH)
        return false;
    bool item = bracketed && (len == 0 || vg_parse_i64(v, 0, VG_JSON_MAX_VALUES, &index) == 0);
    steps->at[steps->count++] = (struct step){vg_xmemdup(text, len), item, index};
    return true;
}

/* Brackets that do not close belong to the name. */
static bool split(struct steps *steps, const char *name)
{
    const char *open = strchr(name, '[');
    size_t len = strlen(name);

    if (!open || open == name || name[len - 1] != ']')
        return add_step(steps, name, len, false);
    if (!add_step(steps, name, (size_t)(open - name), false))
        return false;
    while (open) {
        const char *close = strchr(open, ']');
        if (!close || (close[1] != '\0' && close[1] != '[') ||
            !add_step(steps, open + 1, (size_t)(close - open - 1), true))
            return false;
        open = close[1] ? close + 1 : NULL;
    }
    return true;
}

static cJSON *last_of(const cJSON *array)
{
    return array->child ? array->child->prev : NULL; /* cJSON keeps the tail there */
}

/* The value that a step names in its container; NULL: there is none yet. With "[]" the last item
 * goes on being filled until a key comes again. */
static cJSON *find(const cJSON *container, const struct step *step, const struct step *next)
{
    if (!step->item)
        return cJSON_GetObjectItemCaseSensitive(container, step->key);
    if (step->index >= 0)
        return cJSON_GetArrayItem(container, (int)step->index);
    cJSON *last = last_of(container);
    bool open = last && next && !next->item && cJSON_IsObject(last) &&
                !cJSON_GetObjectItemCaseSensitive(last, next->key);
    return open ? last : NULL;
}

/* Adds a value where nothing is yet; false: an index with a gap before it. Takes the value. */
static bool add(cJSON *container, const struct step *step, cJSON *value)
{
    bool gap = step->item && step->index > cJSON_GetArraySize(container);

    if (gap || !(step->item ? cJSON_AddItemToArray(container, value)
                            : cJSON_AddItemToObject(container, step->key, value))) {
        cJSON_Delete(value);
        return false;
    }
    return true;
}

/* A name that comes again: its values become a list. Takes the value. */
static bool add_again(cJSON *container, const struct step *step, cJSON *there, cJSON *value)
{
    if (cJSON_IsArray(there))
        return cJSON_AddItemToArray(there, value);
    if (step->item || cJSON_IsObject(there)) {
        cJSON_Delete(value);
        return false;
    }
    cJSON *list = cJSON_CreateArray();
    VG_ASSERT(list);
    (void)cJSON_AddItemToArray(list, cJSON_DetachItemViaPointer(container, there));
    (void)cJSON_AddItemToArray(list, value);
    return cJSON_AddItemToObject(container, step->key, list);
}

/* Takes the value. */
static bool place(cJSON *container, const struct steps *steps, cJSON *value)
{
    for (size_t i = 0; i < steps->count; i++) {
        const struct step *step = &steps->at[i];
        const struct step *next = i + 1 < steps->count ? &steps->at[i + 1] : NULL;
        cJSON *there = find(container, step, next);
        if (!next)
            return there ? add_again(container, step, there, value) : add(container, step, value);
        if (!there) {
            there = next->item ? cJSON_CreateArray() : cJSON_CreateObject();
            VG_ASSERT(there);
            if (!add(container, step, there))
                there = NULL;
        }
        if (!there || !(next->item ? cJSON_IsArray(there) : cJSON_IsObject(there)))
            break;
        container = there;
    }
    cJSON_Delete(value);
    return false;
}

static int add_value(struct vg_json *root, const char *name, cJSON *value, struct vg_err *err)
{
    struct steps steps = {.count = 0};
    bool placed = false;

    if (!value)
        return vg_err_set(err, VG_ERR_OVERLOADED, "There is no memory for this form.");
    if (split(&steps, name))
        placed = place((cJSON *)root, &steps, value);
    else
        cJSON_Delete(value);
    steps_fini(&steps);
    return placed ? 0
                  : vg_err_param(err, VG_ERR_INVALID_REQUEST, name,
                                 "%s: this form field nests too deep or is used in two ways", name);
}

struct vg_json *vg_json_form_new(void)
{
    cJSON *root = cJSON_CreateObject();

    VG_ASSERT(root);
    return (struct vg_json *)root;
}

int vg_json_form_add_text(struct vg_json *root, const char *name, struct vg_view text,
                          struct vg_err *err)
{
    cJSON *value = cJSON_CreateNull();
    char *copy = value ? malloc(text.len + 1) : NULL; /* cJSON frees it with free() */

    if (copy) {
        if (text.len > 0)
            memcpy(copy, text.data, text.len);
        copy[text.len] = '\0';
        value->type = cJSON_String;
        value->valuestring = copy;
    } else {
        cJSON_Delete(value);
        value = NULL;
    }
    return add_value(root, name, value, err);
}

int vg_json_form_add_bytes(struct vg_json *root, const char *name, struct vg_view bytes,
                           struct vg_err *err)
{
    cJSON *value = cJSON_CreateNull();
    const union {
        const char *in;
        char *out;
    } data = {.in = bytes.data};

    if (value) {
        value->type = cJSON_Raw | cJSON_IsReference;
        value->valuestring = data.out;
        value->valuedouble = (double)bytes.len;
    }
    return add_value(root, name, value, err);
}
