/* SPDX-License-Identifier: Apache-2.0 */
#include "service/link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ID "video_0123456789abcdef0123456789abcdef"
#define OTHER "video_0123456789abcdef0123456789abcdee"
#define DAY INT64_C(86400)
#define NOW INT64_C(1800000000)
#define SECRET_A "aaaaaaaaaaaaaaaa"
#define SECRET_B "bbbbbbbbbbbbbbbb"

struct fixture {
    struct vg_links *links;
    struct vg_arena *arena;
};

static struct vg_links *make(const char *secrets, int64_t ttl_s)
{
    const struct vg_link_options options = {.secrets = secrets,
                                            .secret_key = "the key of the process",
                                            .public_url = "https://x.test",
                                            .ttl_s = ttl_s};
    struct vg_links *links = NULL;
    assert_int_equal(vg_links_new(&links, &options, NULL), 0);
    return links;
}

static int setup(void **state)
{
    struct fixture *f = vg_xalloc(sizeof(*f));
    f->links = make(NULL, 0);
    f->arena = vg_arena_new();
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    (void)vg_links_free(f->links);
    (void)vg_arena_free(f->arena);
    free(f);
    return 0;
}

static const char *token_at(const struct fixture *f, const struct vg_links *links, int64_t now)
{
    const char *mark = "&token=";
    const char *url = vg_link_url(links, ID, 2, now, 0, f->arena);
    assert_non_null(strstr(url, mark));
    return strstr(url, mark) + strlen(mark);
}

static enum vg_err_kind refusal(const struct vg_links *links, const char *token, const char *id,
                                int32_t index, int64_t now)
{
    struct vg_err err = {.kind = VG_ERR_MAX};
    int64_t end = 0;
    assert_int_equal(vg_link_verify(links, token, id, index, now, &end, &err), -1);
    assert_int_equal(end, 0);
    return err.kind;
}

static void link__opens_its_output_for_its_time(void **state)
{
    struct fixture *f = *state;
    const char *token = token_at(f, f->links, NOW);
    int64_t end = 0;
    assert_int_equal(vg_link_verify(f->links, token, ID, 2, NOW, &end, NULL), 0);
    assert_true(end >= NOW + 7 * DAY && end <= NOW + 8 * DAY);
    assert_int_equal(vg_link_verify(f->links, token, ID, 2, end - 1, &end, NULL), 0);
    assert_int_equal(refusal(f->links, token, ID, 2, end), VG_ERR_UNAUTHENTICATED);
    assert_int_equal(refusal(f->links, token, ID, 1, NOW), VG_ERR_UNAUTHENTICATED);
    assert_int_equal(refusal(f->links, token, OTHER, 2, NOW), VG_ERR_UNAUTHENTICATED);
    const char *prefix = "https://x.test/v1/videos/" ID "/content?index=2&token=";
    const char *url = vg_link_url(f->links, ID, 2, NOW, 0, f->arena);
    assert_int_equal(strncmp(url, prefix, strlen(prefix)), 0);
}

static void link__stays_the_same_for_a_while(void **state)
{
    struct fixture *f = *state;
    int64_t start = NOW / DAY * DAY;
    const char *token = token_at(f, f->links, start);
    assert_string_equal(token, token_at(f, f->links, start + DAY - 1));
    assert_string_not_equal(token, token_at(f, f->links, start + DAY));
}

static void link__ends_with_the_content(void **state)
{
    struct fixture *f = *state;
    const char *url = vg_link_url(f->links, ID, 2, NOW, NOW + 100, f->arena);
    int64_t end = 0;
    assert_int_equal(vg_link_verify(f->links, strstr(url, "token=") + 6, ID, 2, NOW, &end, NULL),
                     0);
    assert_int_equal(end, NOW + 100);
}

static void link__one_changed_character_is_too_many(void **state)
{
    struct fixture *f = *state;
    char token[64];
    size_t len = strlen(token_at(f, f->links, NOW));
    for (size_t i = 0; i < len; i++) {
        memcpy(token, token_at(f, f->links, NOW), len + 1);
        token[i] = token[i] == 'A' ? 'B' : 'A';
        assert_int_equal(refusal(f->links, token, ID, 2, NOW), VG_ERR_UNAUTHENTICATED);
    }
}

static void link__junk_is_refused(void **state)
{
    struct fixture *f = *state;
    char long_id[2000];
    static const char *const junk[] = {"",
                                       "x",
                                       "....",
                                       "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
                                       "++++++++++++++++++++++++++++++++++++++++++++++++++++++++",
                                       "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
    for (size_t i = 0; i < sizeof(junk) / sizeof(junk[0]); i++)
        assert_int_equal(refusal(f->links, junk[i], ID, 2, NOW), VG_ERR_UNAUTHENTICATED);
    memset(long_id, 'v', sizeof(long_id));
    long_id[sizeof(long_id) - 1] = '\0';
    assert_int_equal(refusal(f->links, token_at(f, f->links, NOW), long_id, 2, NOW),
                     VG_ERR_UNAUTHENTICATED);
}

static void link__secrets_rotate(void **state)
{
    struct fixture *f = *state;
    struct vg_links *old = make(SECRET_A, 0);
    struct vg_links *both = make(SECRET_B ", " SECRET_A, 0);
    struct vg_links *fresh = make(SECRET_B, 0);
    int64_t end;
    const char *by_old = token_at(f, old, NOW);
    const char *by_both = token_at(f, both, NOW);
    assert_int_equal(vg_link_verify(both, by_old, ID, 2, NOW, &end, NULL), 0);
    assert_int_equal(vg_link_verify(fresh, by_both, ID, 2, NOW, &end, NULL), 0);
    assert_int_equal(refusal(fresh, by_old, ID, 2, NOW), VG_ERR_UNAUTHENTICATED);
    assert_int_equal(refusal(f->links, by_old, ID, 2, NOW), VG_ERR_UNAUTHENTICATED);
    (void)vg_links_free(old);
    (void)vg_links_free(both);
    (void)vg_links_free(fresh);
}

static void link__weak_and_too_many_secrets_are_named(void **state)
{
    (void)state;
    static const char *const bad[] = {"short", SECRET_A ",", "," SECRET_A, SECRET_A ",short",
                                      SECRET_A "," SECRET_A "," SECRET_A "," SECRET_A "," SECRET_A
                                               "," SECRET_A "," SECRET_A "," SECRET_A "," SECRET_A};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        const struct vg_link_options options = {.secrets = bad[i]};
        struct vg_links *links = NULL;
        struct vg_err err;
        assert_int_equal(vg_links_new(&links, &options, &err), -1);
        assert_null(links);
        assert_non_null(strstr(err.detail, "link-secrets"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(link__opens_its_output_for_its_time, setup, teardown),
        cmocka_unit_test_setup_teardown(link__stays_the_same_for_a_while, setup, teardown),
        cmocka_unit_test_setup_teardown(link__ends_with_the_content, setup, teardown),
        cmocka_unit_test_setup_teardown(link__one_changed_character_is_too_many, setup, teardown),
        cmocka_unit_test_setup_teardown(link__junk_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(link__secrets_rotate, setup, teardown),
        cmocka_unit_test(link__weak_and_too_many_secrets_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
