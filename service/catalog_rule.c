/* SPDX-License-Identifier: Apache-2.0 */
#include "service/catalog_rule.h"

#include "service/catalog_value.h"

#define WHERE_SIZE 400

static bool wish_holds(enum vg_rule_wish wish, bool given)
{
    return wish == VG_RULE_EITHER || (wish == VG_RULE_GIVEN) == given;
}

static bool size_holds(const struct vg_rule *rule, struct vg_size size)
{
    const char *class = vg_size_class(size);

    for (size_t i = 0; i < rule->size_count; i++)
        if (vg_size_eq(rule->sizes[i], size))
            return true;
    for (size_t i = 0; i < rule->class_count; i++)
        if (rule->classes[i] == class) /* literals of one table */
            return true;
    return rule->size_count + rule->class_count == 0;
}

bool vg_rule_applies(const struct vg_rule *rule, const struct vg_rule_case *of)
{
    return size_holds(rule, of->size) && wish_holds(rule->image, of->image) &&
           wish_holds(rule->last_frame, of->last_frame) &&
           wish_holds(rule->references, of->references);
}

/* --- reading --- */

static int when_sizes(struct vg_catalog_reader *r, const struct vg_json *value, void *t)
{
    struct vg_rule *rule = t;
    size_t count = vg_json_count(value);

    if (vg_json_type(value) != VG_JSON_ARRAY || count == 0 || count > VG_CATALOG_MAX_RULE_SIZES)
        return vg_catalog_fail(r, "must be a list of 1 to %d sizes", VG_CATALOG_MAX_RULE_SIZES);
    rule->sizes = vg_arena_alloc(r->arena, count * sizeof(*rule->sizes));
    for (const struct vg_json *v = vg_json_first(value); v; v = vg_json_next(v))
        if (vg_catalog_read_size(r, v, &rule->sizes[rule->size_count++]) < 0)
            return -1;
    return 0;
}

static int when_classes(struct vg_catalog_reader *r, const struct vg_json *value, void *t)
{
    struct vg_rule *rule = t;
    size_t count = vg_json_count(value);

    if (vg_json_type(value) != VG_JSON_ARRAY || count == 0 || count > VG_CATALOG_MAX_RULE_SIZES)
        return vg_catalog_fail(r, "must be a list of 1 to %d classes", VG_CATALOG_MAX_RULE_SIZES);
    rule->classes = vg_arena_alloc(r->arena, count * sizeof(*rule->classes));
    for (const struct vg_json *v = vg_json_first(value); v; v = vg_json_next(v)) {
        const char *name = vg_json_string(v);
        const char *class = name ? vg_size_class_find(vg_view_of(name)) : NULL;
        if (!class)
            return vg_catalog_fail(r, "\"%.40s\" is not a class of sizes", name ? name : "");
        rule->classes[rule->class_count++] = class;
    }
    return 0;
}

static int read_wish(struct vg_catalog_reader *r, const struct vg_json *value,
                     enum vg_rule_wish *out)
{
    bool given = false;

    if (vg_catalog_read_bool(r, value, &given) < 0)
        return -1;
    *out = given ? VG_RULE_GIVEN : VG_RULE_ABSENT;
    return 0;
}

static int when_image(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return read_wish(r, v, &((struct vg_rule *)t)->image);
}

static int when_last_frame(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return read_wish(r, v, &((struct vg_rule *)t)->last_frame);
}

static int when_references(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return read_wish(r, v, &((struct vg_rule *)t)->references);
}

static int rule_when(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    static const struct vg_catalog_member members[] = {{"class", when_classes, false},
                                                       {"image", when_image, false},
                                                       {"last_frame", when_last_frame, false},
                                                       {"references", when_references, false},
                                                       {"size", when_sizes, false}};

    if (vg_catalog_read_object(r, v, members, VG_COUNT(members), t) < 0)
        return -1;
    return vg_json_count(v) > 0 ? 0 : vg_catalog_fail(r, "must have a condition");
}

static int rule_seconds(struct vg_catalog_reader *r, const struct vg_json *v, void *t)
{
    return vg_catalog_read_seconds(r, v, &((struct vg_rule *)t)->seconds);
}

static void say_wish(struct vg_buf *text, enum vg_rule_wish wish, const char *what)
{
    if (wish != VG_RULE_EITHER)
        (void)vg_buf_addf(text, " %s %s", wish == VG_RULE_GIVEN ? "with" : "without", what);
}

static const char *say_where(const struct vg_rule *rule, struct vg_arena *arena)
{
    struct vg_buf text;
    const char *between = " at ";

    vg_buf_init(&text, WHERE_SIZE);
    for (size_t i = 0; i < rule->class_count; i++, between = ", ")
        (void)vg_buf_addf(&text, "%s%s", between, rule->classes[i]);
    for (size_t i = 0; i < rule->size_count; i++, between = ", ")
        (void)vg_buf_addf(&text, "%s%dx%d", between, (int)rule->sizes[i].width,
                          (int)rule->sizes[i].height);
    say_wish(&text, rule->image, "image");
    say_wish(&text, rule->last_frame, "last_frame");
    say_wish(&text, rule->references, "references");
    const char *where = vg_arena_memdup(arena, text.data, text.len);
    vg_buf_fini(&text);
    return where;
}

static int read_rule(struct vg_catalog_reader *r, const struct vg_json *value, struct vg_rule *rule)
{
    static const struct vg_catalog_member members[] = {{"when", rule_when, true},
                                                       {"seconds", rule_seconds, true}};

    if (vg_catalog_read_object(r, value, members, VG_COUNT(members), rule) < 0)
        return -1;
    rule->where = say_where(rule, r->arena);
    return 0;
}

int vg_catalog_read_rules(struct vg_catalog_reader *r, const struct vg_json *value, void *target)
{
    struct vg_route *route = target;
    size_t count = vg_json_count(value);

    if (vg_json_type(value) != VG_JSON_ARRAY || count == 0 || count > VG_CATALOG_MAX_RULES)
        return vg_catalog_fail(r, "must be a list of 1 to %d rules", VG_CATALOG_MAX_RULES);
    route->rules = vg_arena_alloc(r->arena, count * sizeof(*route->rules));
    for (const struct vg_json *v = vg_json_first(value); v; v = vg_json_next(v)) {
        size_t at = vg_catalog_enter(r, "[%zu]", route->rule_count);
        if (read_rule(r, v, &route->rules[route->rule_count]) < 0)
            return -1;
        route->rule_count++;
        vg_catalog_leave(r, at);
    }
    return 0;
}
