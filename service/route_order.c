/* SPDX-License-Identifier: Apache-2.0 */
#include "service/route_order.h"

#include <math.h>
#include <string.h>

#include "common/mem.h"
#include "service/health.h"

enum { USUAL_MS = 60000 };

struct key {
    bool down;
    double weight; /* lower is better */
};

int vg_route_order_parse(const char *text, enum vg_route_order *out, struct vg_err *err)
{
    static const char *const names[VG_ORDER_MAX] = {
        [VG_ORDER_CATALOG] = "catalog", [VG_ORDER_PRICE] = "price", [VG_ORDER_HEALTH] = "health"};

    for (size_t i = 0; i < VG_COUNT(names); i++)
        if (strcmp(text, names[i]) == 0) {
            *out = (enum vg_route_order)i;
            return 0;
        }
    return vg_err_param(err, VG_ERR_INVALID_REQUEST, "route-order",
                        "route-order: \"%.20s\" is not catalog, price or health", text);
}

/* What stands for a time nobody has measured: the mean of those that were. */
static double usual_ms(const struct vg_validate_env *env, const struct vg_job *job)
{
    double sum = 0;
    int known = 0;

    for (size_t i = 0; i < job->route_count; i++) {
        int64_t ms = vg_health_of(env->health, job->routes[i].provider, job->routes[i].model).ms;
        sum += (double)ms;
        known += ms > 0;
    }
    return known > 0 ? sum / known : USUAL_MS;
}

static struct key key_of(const struct vg_validate_env *env, const struct vg_job_route *route,
                         double usual)
{
    struct key key = {.down = vg_health_down(env->health, route->provider)};

    if (env->order == VG_ORDER_PRICE)
        key.weight = route->price_usd < 0 ? INFINITY : route->price_usd + route->input_usd;
    else if (env->order == VG_ORDER_HEALTH)
        key.weight =
            vg_health_cost(vg_health_of(env->health, route->provider, route->model), usual);
    return key;
}

static bool before(struct key a, struct key b)
{
    return a.down != b.down ? !a.down : a.weight < b.weight;
}

void vg_route_order_apply(const struct vg_validate_env *env, struct vg_job *job)
{
    struct key keys[VG_CATALOG_MAX_ROUTES];
    double usual = env->order == VG_ORDER_HEALTH ? usual_ms(env, job) : 0;

    for (size_t i = 0; i < job->route_count; i++) {
        struct vg_job_route route = job->routes[i];
        struct key key = key_of(env, &route, usual);
        size_t at = i;
        for (; at > 0 && before(key, keys[at - 1]); at--) {
            keys[at] = keys[at - 1];
            job->routes[at] = job->routes[at - 1];
        }
        keys[at] = key;
        job->routes[at] = route;
    }
}
