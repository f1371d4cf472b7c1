/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/api/routes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "common/mem.h"

static enum vg_route_result find(const char *method, const char *path,
                                 const struct vg_route **route, char *param, char *allow)
{
    *route = NULL;
    return vg_route_find(vg_view_of(method), vg_view_of(path), route, param, allow);
}

static void routes__find_their_row(void **state)
{
    (void)state;
    static const struct {
        const char *method, *path, *pattern, *param;
    } cases[] = {
        {"GET", "/healthz", "/healthz", ""},
        {"HEAD", "/healthz", "/healthz", ""},
        {"POST", "/v1/videos", "/v1/videos", ""},
        {"GET", "/v1/videos", "/v1/videos", ""},
        {"GET", "/v1/videos/video_1", "/v1/videos/{id}", "video_1"},
        {"DELETE", "/v1/videos/a%2Fb", "/v1/videos/{id}", "a/b"},
        {"HEAD", "/v1/videos/x/content", "/v1/videos/{id}/content", "x"},
        {"POST", "/v1/videos/x/remix", "/v1/videos/{id}/remix", "x"},
        {"GET", "/v1/models/openai/sora-2", "/v1/models/{id...}", "openai/sora-2"},
        {"GET", "/v1/models/openai%2Fsora-2", "/v1/models/{id...}", "openai/sora-2"},
        {"POST", "/v1/provider-events/fal", "/v1/provider-events/{id...}", "fal"},
        {"POST", "/v1/provider-events/fal/video_1.0-1.x", "/v1/provider-events/{id...}",
         "fal/video_1.0-1.x"},
    };
    const struct vg_route *route;
    char param[VG_PARAM_SIZE], allow[VG_ALLOW_SIZE];
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        assert_int_equal(find(cases[i].method, cases[i].path, &route, param, allow),
                         VG_ROUTE_FOUND);
        assert_string_equal(route->pattern, cases[i].pattern);
        assert_string_equal(param, cases[i].param);
        assert_true(vg_route_keyless(route) == (strstr(cases[i].path, "events") != NULL));
    }
}

static void routes__know_what_is_not_there(void **state)
{
    (void)state;
    static const char *const paths[] = {"/",
                                        "",
                                        "*",
                                        "/v1",
                                        "/v1/",
                                        "/v1/videos/",
                                        "//v1/videos",
                                        "/v1/videos//content",
                                        "/v1/videos/x/content/",
                                        "/v1/videos/x/nothing",
                                        "/v1/videos/%00",
                                        "/v1/videos/%ff",
                                        "/v1/models/",
                                        "/V1/videos",
                                        "/healthz/x"};
    const struct vg_route *route;
    char param[VG_PARAM_SIZE], allow[VG_ALLOW_SIZE];
    for (size_t i = 0; i < VG_COUNT(paths); i++)
        assert_int_equal(find("GET", paths[i], &route, param, allow), VG_ROUTE_NO_PATH);
    char longer[2 * VG_PARAM_SIZE] = "/v1/videos/";
    memset(longer + 11, 'a', VG_PARAM_SIZE);
    assert_int_equal(find("GET", longer, &route, param, allow), VG_ROUTE_NO_PATH);
}

static void routes__list_the_methods(void **state)
{
    (void)state;
    const struct vg_route *route;
    char param[VG_PARAM_SIZE], allow[VG_ALLOW_SIZE];
    assert_int_equal(find("PATCH", "/v1/videos/x", &route, param, allow), VG_ROUTE_NO_METHOD);
    assert_string_equal(allow, "DELETE, GET, HEAD, OPTIONS");
    assert_int_equal(find("HEAD", "/v1/videos/x/cancel", &route, param, allow), VG_ROUTE_NO_METHOD);
    assert_string_equal(allow, "POST, OPTIONS");
    assert_int_equal(find("GET", "/v1/provider-events/fal/x", &route, param, allow),
                     VG_ROUTE_NO_METHOD);
    assert_string_equal(allow, "POST, OPTIONS");
    assert_int_equal(find("get", "/v1/videos", &route, param, allow), VG_ROUTE_NO_METHOD);
    assert_string_equal(allow, "GET, HEAD, POST, OPTIONS");
}

static void routes__have_a_label_each(void **state)
{
    (void)state;
    const char *const *labels = vg_route_labels();
    size_t n = 0;
    while (labels[n])
        n++;
    assert_int_equal(n, vg_route_count() + 1);
    assert_string_equal(labels[vg_route_index(NULL)], "other");
    const struct vg_route *route;
    char param[VG_PARAM_SIZE], allow[VG_ALLOW_SIZE];
    assert_int_equal(find("POST", "/v1/videos", &route, param, allow), VG_ROUTE_FOUND);
    assert_string_equal(labels[vg_route_index(route)], "POST /v1/videos");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes__find_their_row),
        cmocka_unit_test(routes__know_what_is_not_there),
        cmocka_unit_test(routes__list_the_methods),
        cmocka_unit_test(routes__have_a_label_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
