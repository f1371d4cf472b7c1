/* SPDX-License-Identifier: Apache-2.0 */
/* Chunk framing, whole and in single bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "bridge/http/h1_chunks.h"

static const struct {
    const char *text;
    size_t len; /* of it; 0: strlen */
    enum vg_h1_chunks_state end;
    size_t rest; /* bytes behind the body */
} table[] = {
    {"0\r\n\r\n", 0, VG_H1_CHUNK_DONE, 0},
    {"2\r\n{}\r\n0\r\n\r\nGET", 0, VG_H1_CHUNK_DONE, 3},
    {"A;a=b;c=\"d e\"\r\n0123456789\r\n00\r\nx: y\r\nz:\r\n\r\n", 0, VG_H1_CHUNK_DONE, 0},
    {"2\r\n\r\n\r\n0\r\n\r\n", 0, VG_H1_CHUNK_DONE, 0},
    {"2\r\n{}", 0, VG_H1_CHUNK_DATA_CR, 0},
    {"2\r\n{", 0, VG_H1_CHUNK_DATA, 0},
    {"10000000000\r\n", 0, VG_H1_CHUNK_DATA, 0},
    {"10000000001\r\n", 0, VG_H1_CHUNK_BAD, 0},
    {"00000000000000000", 0, VG_H1_CHUNK_BAD, 0},
    {";a\r\n", 0, VG_H1_CHUNK_BAD, 0},
    {"\r\n", 0, VG_H1_CHUNK_BAD, 0},
    {"2 \r\n", 0, VG_H1_CHUNK_BAD, 0},
    {"0x2\r\n", 0, VG_H1_CHUNK_BAD, 0},
    {"2\n{}", 0, VG_H1_CHUNK_BAD, 0},
    {"2\r{}", 0, VG_H1_CHUNK_BAD, 0},
    {"2;a\n", 0, VG_H1_CHUNK_BAD, 0},
    {"2;\0\r\n", 5, VG_H1_CHUNK_BAD, 0},
    {"2\r\n{}\n", 0, VG_H1_CHUNK_BAD, 0},
    {"2\r\n{}\rX", 0, VG_H1_CHUNK_BAD, 0},
    {"0\r\n\n", 0, VG_H1_CHUNK_BAD, 0},
    {"0\r\n\rX", 0, VG_H1_CHUNK_BAD, 0},
    {"0\r\n x: y\r\n", 0, VG_H1_CHUNK_BAD, 0},
    {"0\r\nx: y\r\n z\r\n", 0, VG_H1_CHUNK_BAD, 0},
    {"0\r\nx\r\n", 0, VG_H1_CHUNK_BAD, 0},
    {"0\r\nx : y\r\n", 0, VG_H1_CHUNK_BAD, 0},
    {"0\r\nx: y\n", 0, VG_H1_CHUNK_BAD, 0},
    {"0\r\n: y\r\n", 0, VG_H1_CHUNK_BAD, 0},
};

static size_t length(size_t i)
{
    return table[i].len ? table[i].len : strlen(table[i].text);
}

static void chunks__whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct vg_h1_chunks c = {0};
        size_t used = vg_h1_chunks_scan(&c, table[i].text, length(i));
        assert_int_equal(c.state, table[i].end);
        if (table[i].end == VG_H1_CHUNK_DONE)
            assert_int_equal(length(i) - used, table[i].rest);
    }
}

static void chunks__in_single_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct vg_h1_chunks c = {0};
        size_t used = 0;
        while (used < length(i) && vg_h1_chunks_scan(&c, table[i].text + used, 1) == 1)
            used++;
        assert_int_equal(c.state, table[i].end);
        if (table[i].end == VG_H1_CHUNK_DONE)
            assert_int_equal(length(i) - used, table[i].rest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks__whole),
        cmocka_unit_test(chunks__in_single_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
