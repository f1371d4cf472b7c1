/* SPDX-License-Identifier: Apache-2.0 */
#include "common/mem.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static void arena__gives_zeroed_aligned_memory(void **state)
{
    (void)state;
    struct vg_arena *arena = vg_arena_new();
    for (size_t size = 0; size < 3000; size += 7) {
        unsigned char *p = vg_arena_alloc(arena, size);
        assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
        for (size_t i = 0; i < size; i++)
            assert_int_equal(p[i], 0);
        memset(p, 0xa5, size);
    }
    assert_null(vg_arena_free(arena));
    assert_null(vg_arena_free(NULL));
}

static void arena__keeps_what_was_written(void **state)
{
    (void)state;
    struct vg_arena *arena = vg_arena_new();
    char *big = vg_arena_alloc(arena, 1 << 20);
    memset(big, 'b', 1 << 20);
    const char *words[200];
    for (int i = 0; i < 200; i++) {
        words[i] = vg_arena_printf(arena, "%d:%0200d", i, i);
        if (i % 50 == 0)
            memset(vg_arena_alloc(arena, 5000), 'x', 5000);
    }
    for (int i = 0; i < 200; i++) {
        char expected[256];
        (void)snprintf(expected, sizeof expected, "%d:%0200d", i, i);
        assert_string_equal(words[i], expected);
    }
    assert_int_equal(big[(1 << 20) - 1], 'b');
    vg_arena_free(arena);
}

static bool aborts(void (*misuse)(struct vg_arena *))
{
    pid_t child = fork();
    if (child == 0) {
        struct vg_arena *arena = vg_arena_new();
        vg_arena_lend(arena);
        misuse(arena);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT;
}

static void free_lent(struct vg_arena *arena)
{
    vg_arena_free(arena);
}

static void lend_returned(struct vg_arena *arena)
{
    vg_arena_take_back(arena);
    vg_arena_lend(arena);
    vg_arena_take_back(arena);
    vg_arena_free(arena);
}

static void arena__is_lent_to_one_at_a_time(void **state)
{
    (void)state;
    assert_true(aborts(vg_arena_lend));
    assert_true(aborts(free_lent));
    assert_false(aborts(lend_returned));
}

static void arena__copies_bytes_and_text(void **state)
{
    (void)state;
    struct vg_arena *arena = vg_arena_new();
    assert_memory_equal(vg_arena_memdup(arena, "a\0b", 3), "a\0b", 4);
    assert_string_equal(vg_arena_strdup(arena, "text"), "text");
    assert_null(vg_arena_strdup(arena, NULL));
    assert_string_equal(vg_arena_memdup(arena, NULL, 0), "");
    vg_arena_free(arena);
}

static void xalloc__never_gives_null(void **state)
{
    (void)state;
    void *none = vg_xcalloc(0, 8);
    assert_non_null(none);
    none = vg_xrealloc(none, 0);
    assert_non_null(none);
    free(none);
    char *copy = vg_xmemdup("abc", 2);
    assert_string_equal(copy, "ab");
    vg_free_secret(copy);
    vg_free_secret(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arena__gives_zeroed_aligned_memory),
        cmocka_unit_test(arena__keeps_what_was_written),
        cmocka_unit_test(arena__is_lent_to_one_at_a_time),
        cmocka_unit_test(arena__copies_bytes_and_text),
        cmocka_unit_test(xalloc__never_gives_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
