/* SPDX-License-Identifier: Apache-2.0 */
/* Which routes of a model can make what was asked for, and if none, why not in one sentence. */
#include <stdio.h>
#include <string.h>

#include "common/str.h"
#include "service/media.h"
#include "service/route_order.h"
#include "service/validate_priv.h"

/* One route judged: what it would make, or its reasons against it. */
struct verdict {
    const struct vg_route *route;
    struct vg_size size;
    int32_t seconds;
    bool audio;
    bool fits;
};

static struct vg_rule_case case_of(const struct vg_ask *ask, struct vg_size size)
{
    return (struct vg_rule_case){
        .size = size,
        .image = ask->image,
        .last_frame = ask->last_frame,
        .references = ask->references + ask->reference_videos + ask->reference_audios > 0,
    };
}

static int32_t shortest(vg_seconds_set set)
{
    int32_t s = 1;

    while (s < VG_MAX_SECONDS && !vg_seconds_has(set, s))
        s++;
    return s;
}

/* Joins reasons with "; ", remembering the field of the first. */
struct reasons {
    struct vg_buf text;
    const char *param;
};

static void reason(struct reasons *r, const char *param, const char *text)
{
    if (!r)
        return;
    if (r->text.len > 0)
        (void)vg_buf_adds(&r->text, "; ");
    (void)vg_buf_adds(&r->text, text);
    if (!r->param)
        r->param = param;
}

static void reason_size(struct reasons *r, const struct vg_size *sizes, size_t count,
                        struct vg_size size)
{
    char text[400];
    size_t len = 0;

    if (!r)
        return;
    len = (size_t)snprintf(text, sizeof(text),
                           "size %dx%d is unsupported (supported sizes: ", size.width, size.height);
    for (size_t i = 0; i < count && len < sizeof(text) - 16; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%dx%d", i ? ", " : "",
                                sizes[i].width, sizes[i].height);
    (void)snprintf(text + len, sizeof(text) - len, ")");
    reason(r, "size", text);
}

/* With the circumstances that leave no other lengths. */
static void reason_seconds(struct reasons *r, const struct vg_route *route,
                           const struct vg_rule_case *of, vg_seconds_set set, int32_t seconds)
{
    char text[800];
    size_t len = 0;
    const char *comma = "";

    if (!r)
        return;
    len = (size_t)snprintf(text, sizeof(text),
                           "duration %ds is unsupported (supported durations: ", (int)seconds);
    for (int32_t s = 1; s <= VG_MAX_SECONDS && len < sizeof(text) - 16; s++)
        if (vg_seconds_has(set, s)) {
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%ds", comma, (int)s);
            comma = ", ";
        }
    for (size_t i = 0; of && i < route->rule_count; i++)
        if (vg_rule_applies(&route->rules[i], of) && len < sizeof(text) - 400)
            len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", route->rules[i].where);
    (void)snprintf(text + len, sizeof(text) - len, ")");
    reason(r, "seconds", text);
}

/* NULL: what the route makes anew. */
static const struct vg_extension *extension_of(const struct vg_ask *ask, const struct verdict *v)
{
    return ask->operation == VG_OPERATION_EXTEND ? &v->route->extension : NULL;
}

static bool judge_size(const struct vg_ask *ask, struct verdict *v, struct reasons *r)
{
    const struct vg_extension *extension = extension_of(ask, v);
    bool narrower = extension && extension->size_count > 0;
    const struct vg_size *sizes = narrower ? extension->sizes : v->route->sizes;
    size_t count = narrower ? extension->size_count : v->route->size_count;
    struct vg_size wanted = ask->has_size ? ask->size : ask->pick.model->default_size;

    v->size = wanted;
    for (size_t i = 0; i < count; i++)
        if (vg_size_eq(sizes[i], wanted))
            return true;
    v->size = sizes[0];
    if (!ask->has_size)
        return true;
    reason_size(r, sizes, count, wanted);
    return false;
}

/* `seconds` of a verdict is what the route makes anew: of an extension what is added. */
static int32_t whole_length(const struct vg_ask *ask, const struct verdict *v)
{
    return ask->operation == VG_OPERATION_EXTEND ? ask->source_seconds + v->seconds : v->seconds;
}

static bool judge_operation(const struct vg_ask *ask, const struct verdict *v, struct reasons *r)
{
    static const char *const names[] = {
        [VG_OPERATION_EDIT] = "edits are not supported",
        [VG_OPERATION_EXTEND] = "extensions are not supported",
    };

    if (v->route->operations & ask->operation)
        return true;
    if (ask->operation != VG_OPERATION_NONE)
        reason(r, "model", names[ask->operation]);
    return ask->operation == VG_OPERATION_NONE;
}

static bool judge_source(const struct vg_ask *ask, const struct verdict *v, struct reasons *r)
{
    const struct vg_extension *extension = extension_of(ask, v);
    struct vg_buf text;

    if (!extension ||
        vg_extension_takes(extension, ask->any_maker ? NULL : v->route->provider, &ask->source))
        return true;
    vg_buf_init(&text, 1024);
    vg_extension_say(extension, &text);
    reason(r, "video", text.data);
    vg_buf_fini(&text);
    return false;
}

static bool judge_seconds(const struct vg_ask *ask, struct verdict *v, struct reasons *r)
{
    if (ask->operation == VG_OPERATION_EDIT) { /* as long as its source */
        v->seconds = ask->source_seconds;
        return true;
    }
    const struct vg_extension *extension = extension_of(ask, v);
    bool own = extension && extension->seconds;
    const struct vg_rule_case of = case_of(ask, v->size);
    vg_seconds_set set = own ? extension->seconds : vg_route_lengths(v->route, &of);
    int32_t wanted = ask->seconds ? ask->seconds : ask->pick.model->default_seconds;

    v->seconds = wanted;
    if (vg_seconds_has(set, wanted))
        return true;
    v->seconds = shortest(set);
    if (!ask->seconds && set)
        return true;
    reason_seconds(r, v->route, own ? NULL : &of, set, wanted);
    return false;
}

static bool judge_audio(const struct vg_ask *ask, struct verdict *v, struct reasons *r)
{
    enum vg_audio_mode mode = v->route->audio;

    v->audio = ask->has_audio ? ask->audio : mode != VG_AUDIO_OFF;
    if (v->audio && mode == VG_AUDIO_OFF) {
        reason(r, "audio", "audio output is unsupported");
        return false;
    }
    if (!v->audio && mode == VG_AUDIO_ON) {
        reason(r, "audio",
               "audio=false is unsupported because this provider mapping only supports "
               "audio-enabled output");
        return false;
    }
    return true;
}

static bool judge_frames(const struct vg_ask *ask, const struct vg_route *route, struct reasons *r)
{
    if (ask->image && route->image == VG_NEED_NONE) {
        reason(r, "image", "frame inputs (image, last_frame) are unsupported");
        return false;
    }
    if (ask->last_frame && !route->last_frame) {
        reason(r, "last_frame", "last_frame is unsupported");
        return false;
    }
    if (!ask->image && route->image == VG_NEED_REQUIRED) {
        reason(r, "image", "an image input is required");
        return false;
    }
    return true;
}

static bool judge_references(const struct vg_ask *ask, const struct vg_route *route,
                             struct reasons *r)
{
    char text[80];

    if (ask->references == 0) {
        if (route->references_required)
            reason(r, "reference_images", "a reference picture is required");
        return !route->references_required;
    }
    if (route->references_max == 0) {
        reason(r, ask->reference_param, "reference inputs are unsupported");
        return false;
    }
    if (ask->references >= route->references_min && ask->references <= route->references_max)
        return true;
    if (route->references_min == route->references_max)
        (void)snprintf(text, sizeof(text), "exactly %d reference image%s supported",
                       (int)route->references_max, route->references_max == 1 ? " is" : "s are");
    else if (route->references_min == 1)
        (void)snprintf(text, sizeof(text), "at most %d reference images are supported",
                       (int)route->references_max);
    else
        (void)snprintf(text, sizeof(text),
                       "at least %d and at most %d reference images are supported",
                       (int)route->references_min, (int)route->references_max);
    reason(r, ask->reference_param, text);
    return false;
}

/* The first that is not taken is told. */
static bool judge_pictures(const struct vg_ask *ask, const struct verdict *v, struct reasons *r)
{
    for (size_t i = 0; i < ask->picture_count; i++) {
        const struct vg_picture *p = &ask->pictures[i];
        struct vg_buf why;
        vg_buf_init(&why, 512);
        bool fits = vg_buf_addf(&why, "%s ", p->param) == 0 &&
                    vg_image_fits(&v->route->images, p, v->size, r ? &why : NULL);
        if (!fits && r)
            reason(r, p->param, why.data);
        vg_buf_fini(&why);
        if (!fits)
            return false;
    }
    return true;
}

static bool judge_links(int32_t count, int32_t max, const char *param, const char *what,
                        struct reasons *r)
{
    char text[80];

    if (count <= max)
        return true;
    if (max == 0)
        (void)snprintf(text, sizeof(text), "%s inputs are unsupported", what);
    else
        (void)snprintf(text, sizeof(text), "at most %d %ss are supported", (int)max, what);
    reason(r, param, text);
    return false;
}

/* All reasons are gathered, so every rule is asked. */
static void judge(const struct vg_ask *ask, struct verdict *v, struct reasons *r)
{
    bool ok = judge_operation(ask, v, r);

    ok = ok && judge_source(ask, v, r);
    ok = judge_size(ask, v, r) && ok;
    ok = judge_seconds(ask, v, r) && ok;
    ok = judge_audio(ask, v, r) && ok;
    ok = judge_frames(ask, v->route, r) && ok;
    ok = judge_references(ask, v->route, r) && ok;
    ok = judge_pictures(ask, v, r) && ok;
    ok = judge_links(ask->reference_videos, v->route->reference_videos_max, "reference_videos",
                     "reference video", r) &&
         ok;
    ok = judge_links(ask->reference_audios, v->route->reference_audios_max, "reference_audios",
                     "reference audio", r) &&
         ok;
    if (whole_length(ask, v) > VG_MAX_EXTENDED_SECONDS) {
        reason(r, "seconds", "the whole would be longer than 120s");
        ok = false;
    }
    v->fits = ok;
}

static bool has_worker(const struct vg_validate_env *env, const char *provider)
{
    if (!env->providers || env->route_all_provider)
        return true;
    for (size_t i = 0; i < env->provider_count; i++)
        if (strcmp(env->providers[i], provider) == 0)
            return true;
    return false;
}

/* Open for this request: pinned or unpinned, and not closed unless something of the operator's
 * answers for it. */
static bool open_route(const struct vg_validate_env *env, const struct vg_ask *ask,
                       const struct vg_route *route)
{
    if (!vg_catalog_picks(&ask->pick, route))
        return false;
    return env->route_all_provider || env->allow_closed ||
           !(route->closed || ask->pick.model->closed);
}

bool vg_model_open(const struct vg_validate_env *env, const struct vg_model *model)
{
    const struct vg_ask ask = {.pick = {.model = model}};

    for (size_t i = 0; i < model->route_count; i++)
        if (open_route(env, &ask, &model->routes[i]))
            return true;
    return false;
}

int vg_model_gone(const struct vg_catalog_pick *pick, struct vg_err *err)
{
    const struct vg_model *model = pick->model;
    const char *last = model->closed_on;

    for (size_t i = 0; i < model->route_count; i++) {
        const char *on = model->routes[i].closed_on;
        if (on && vg_catalog_picks(pick, &model->routes[i]) && (!last || strcmp(on, last) > 0))
            last = on;
    }
    return vg_err_param(err, VG_ERR_GONE, "model",
                        "The model %s%s%s has been deactivated and is no longer available%s%s%s",
                        pick->provider ? pick->provider : "", pick->provider ? "/" : "",
                        pick->upstream ? pick->upstream : model->name, last ? " (closed on " : "",
                        last ? last : "", last ? ")" : "");
}

bool vg_model_offered(const struct vg_validate_env *env, const struct vg_model *model)
{
    const struct vg_ask ask = {.pick = {.model = model}};

    for (size_t i = 0; i < model->route_count; i++)
        if (open_route(env, &ask, &model->routes[i]) && has_worker(env, model->routes[i].provider))
            return true;
    return false;
}

/* The name for a message; NULL: only a caller who said it may read it. */
static const char *shown_name(const struct vg_ask *ask, const struct vg_route *route)
{
    return route->stealth && !ask->pick.provider ? NULL : route->provider;
}

static int refuse(const struct vg_validate_env *env, const struct vg_ask *ask, struct vg_err *err)
{
    struct reasons all = {.param = NULL};
    const char *named = "";
    size_t asked = 0;

    vg_buf_init(&all.text, 4096);
    for (size_t i = 0; i < ask->pick.model->route_count; i++) {
        struct verdict v = {.route = &ask->pick.model->routes[i]};
        struct reasons one = {.param = NULL};
        if (!open_route(env, ask, v.route))
            continue;
        vg_buf_init(&one.text, 2048);
        judge(ask, &v, &one);
        /* Two routes of one provider are told apart by the reader through their reasons alone. */
        named = shown_name(ask, v.route);
        (void)vg_buf_addf(&all.text, "%s%s: %s", asked ? ". " : "",
                          named ? named : "another provider", one.text.data ? one.text.data : "");
        asked++;
        if (!all.param)
            all.param = one.param;
        vg_buf_fini(&one.text);
    }
    const char *text = all.text.data ? all.text.data : "";
    int rc = vg_err_param(err, VG_ERR_UNSUPPORTED, all.param ? all.param : "model",
                          "Requested parameters are not supported for %s%s%s. %s",
                          asked == 1 && named ? named : "", asked == 1 && named ? "/" : "",
                          ask->pick.model->name, text);
    vg_buf_fini(&all.text);
    return rc;
}

static int no_worker(const struct vg_ask *ask, struct vg_size size, struct vg_err *err)
{
    return vg_err_param(err, VG_ERR_UNSUPPORTED, "model",
                        "No configured provider is available for model %s and size %dx%d",
                        ask->pick.model->name, size.width, size.height);
}

static bool same_product(const struct verdict *a, const struct verdict *b)
{
    return a->size.width == b->size.width && a->size.height == b->size.height &&
           a->seconds == b->seconds && a->audio == b->audio;
}

/* With route-all several routes may become one. */
static void add_route(const struct vg_validate_env *env, const struct vg_ask *ask,
                      const struct verdict *v, struct vg_job *job)
{
    const struct vg_route *route = v->route;
    int32_t pictures = (ask->image ? 1 : 0) + (ask->last_frame ? 1 : 0) + ask->references;
    double one = vg_route_price(route, v->size, job->seconds, v->audio);
    struct vg_job_route r = {
        .provider = route->provider,
        .model = route->model,
        .max_attempts = route->max_attempts,
        .stealth = route->stealth,
        .deadline_s = route->deadline_s,
        .price_usd = one < 0 ? -1 : one * job->n,
        .input_usd = route->price_per_image * pictures,
    };

    if (env->route_all_provider && strcmp(route->provider, env->route_all_provider) != 0) {
        r.provider = env->route_all_provider;
        r.model = env->route_all_model;
        r.stealth = false;
    }
    for (size_t i = 0; i < job->route_count; i++)
        if (strcmp(job->routes[i].provider, r.provider) == 0 &&
            strcmp(job->routes[i].model, r.model) == 0)
            return;
    if (ask->arena)
        r.extra = vg_extra_of(&ask->extra, route, ask->arena);
    job->routes[job->route_count++] = r;
}

/* What depends on which routes are tried, and which first. */
static void put_in_order(const struct vg_validate_env *env, struct vg_job *job)
{
    vg_route_order_apply(env, job);
    if (job->no_fallback)
        job->route_count = 1;
    job->price_usd = job->routes[0].price_usd;
    for (size_t i = 0; i < job->route_count; i++)
        if (job->routes[i].deadline_s > job->deadline_s)
            job->deadline_s = job->routes[i].deadline_s;
    if (env->max_deadline_s > 0 && job->deadline_s > env->max_deadline_s)
        job->deadline_s = env->max_deadline_s;
}

static void settle(const struct vg_ask *ask, const struct verdict *v, struct vg_job *job)
{
    job->width = v->size.width;
    job->height = v->size.height;
    job->seconds = whole_length(ask, v);
    job->audio = v->audio;
}

int vg_resolve_routes(const struct vg_validate_env *env, const struct vg_ask *ask,
                      struct vg_job *job, struct vg_err *err)
{
    struct vg_ask fixed =
        *ask; /* once the first route is taken, what was left open is what that one makes */
    struct verdict first = {.route = NULL};
    struct vg_size unserved = {0, 0};
    size_t open = 0;

    for (size_t i = 0; i < ask->pick.model->route_count; i++) {
        struct verdict v = {.route = &ask->pick.model->routes[i]};
        if (!open_route(env, ask, v.route))
            continue;
        open++;
        judge(&fixed, &v, NULL);
        if (!v.fits)
            continue;
        if (!has_worker(env, v.route->provider)) {
            unserved = v.size;
            continue;
        }
        if (!first.route) {
            first = v;
            fixed.has_size = fixed.has_audio = true;
            fixed.size = v.size;
            fixed.seconds = v.seconds;
            fixed.audio = v.audio;
            settle(ask, &v, job);
        }
        if (same_product(&first, &v))
            add_route(env, ask, &v, job);
    }
    if (open == 0)
        return vg_model_gone(&ask->pick, err);
    if (!first.route)
        return unserved.width ? no_worker(ask, unserved, err) : refuse(env, ask, err);
    put_in_order(env, job);
    return 0;
}
