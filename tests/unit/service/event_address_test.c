/* SPDX-License-Identifier: Apache-2.0 */
#include "service/event_address.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <string.h>

#define KEY "a key of the service for tests"
#define TOKEN "video_0123456789abcdef0123456789abcdef.3-12"
#define PREFIX "https://video.example/v1/provider-events/fal/"

static struct vg_event_addresses *open_with(const char *base_url, const char *key)
{
    struct vg_event_addresses *addresses = NULL;
    struct vg_err err;
    assert_int_equal(vg_event_addresses_new(&addresses, base_url, key, NULL, &err), 0);
    return addresses;
}

static void address__names_one_submission(void **state)
{
    (void)state;
    struct vg_arena *arena = vg_arena_new();
    struct vg_event_addresses *one = open_with("https://video.example//", KEY);
    struct vg_event_addresses *two = open_with("", KEY); /* another replica, differently set */
    struct vg_event_job job;
    const char *address = vg_event_address(one, "fal", TOKEN, arena);

    assert_memory_equal(address, PREFIX TOKEN ".", strlen(PREFIX TOKEN "."));
    assert_int_equal(strlen(address), strlen(PREFIX TOKEN ".") + 43);
    assert_null(strstr(address, KEY));
    assert_null(vg_event_address(two, "fal", TOKEN, arena));
    assert_int_equal(vg_event_address_read(two, "fal", address + strlen(PREFIX), &job), 0);
    assert_string_equal(job.video_id, "video_0123456789abcdef0123456789abcdef");
    assert_int_equal(job.index, 3);
    assert_int_equal(job.attempt, 12);
    vg_event_addresses_free(one);
    vg_event_addresses_free(two);
    vg_arena_free(arena);
}

static void address__nothing_else_is_read(void **state)
{
    (void)state;
    struct vg_arena *arena = vg_arena_new();
    struct vg_event_addresses *ours = open_with("https://video.example", KEY);
    struct vg_event_addresses *theirs = open_with("https://video.example", KEY "!");
    struct vg_event_job job;
    char *good = vg_event_address(ours, "fal", TOKEN, arena) + strlen(PREFIX);
    size_t len = strlen(good);

    assert_int_equal(vg_event_address_read(ours, "kling", good, &job), -1);
    assert_int_equal(vg_event_address_read(theirs, "fal", good, &job), -1);
    for (size_t i = 0; i < len; i++) {
        char *text = vg_arena_strdup(arena, good);
        text[i] = text[i] == 'A' ? 'B' : 'A';
        assert_int_equal(vg_event_address_read(ours, "fal", text, &job), -1);
        text[i] = '\0';
        assert_int_equal(vg_event_address_read(ours, "fal", text, &job), -1);
    }
    static const char *const tails[] = {"A", "=", ".", " ", "%00"};
    for (size_t i = 0; i < VG_COUNT(tails); i++)
        assert_int_equal(vg_event_address_read(
                             ours, "fal", vg_arena_printf(arena, "%s%s", good, tails[i]), &job),
                         -1);
    assert_int_equal(vg_event_address_read(ours, "fal", "", &job), -1);
    assert_int_equal(vg_event_address_read(ours, "fal", ".", &job), -1);
    vg_event_addresses_free(ours);
    vg_event_addresses_free(theirs);
    vg_arena_free(arena);
}

static void address__the_base_is_an_http_address(void **state)
{
    (void)state;
    struct vg_event_addresses *addresses = NULL;
    struct vg_err err;
    assert_int_equal(vg_event_addresses_new(&addresses, "video.example", KEY, NULL, &err), -1);
    assert_int_equal(err.kind, VG_ERR_INVALID_REQUEST);
    assert_null(addresses);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(address__names_one_submission),
        cmocka_unit_test(address__nothing_else_is_read),
        cmocka_unit_test(address__the_base_is_an_http_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
