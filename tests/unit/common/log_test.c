/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mem.h"
#include "common/str.h"

static char line[32768];

/* Runs `write_it` with standard error in a pipe; the text lands in `line`. */
static void capture(void (*write_it)(void))
{
    int fds[2], kept = dup(STDERR_FILENO);
    assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
    assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
    write_it();
    assert_true(dup2(kept, STDERR_FILENO) >= 0);
    ssize_t n = read(fds[0], line, sizeof line - 1);
    line[n > 0 ? n : 0] = '\0';
    (void)close(fds[0]);
    (void)close(fds[1]);
    (void)close(kept);
}

static void write_plain(void)
{
    vg_log(VG_LOG_WARN, "video stored", VG_S("video", "video_1"), VG_I("bytes", -5),
           VG_S("empty", ""), VG_S("none", NULL));
}

static void write_hostile(void)
{
    vg_log(VG_LOG_INFO, "x\" level=error", VG_S("a", "one two=3"),
           VG_S("b", "new\nline\ttab\\\"q\" \x01\x7f"), VG_S("c", "\xc3\xa9\xff\xe2\x82"));
}

static void write_debug(void)
{
    vg_log(VG_LOG_DEBUG, "hidden", VG_I("x", 1));
}

static void write_long(void)
{
    static char text[3000];
    for (size_t i = 0; i + 3 < sizeof text; i += 3)
        memcpy(text + i, "\xe2\x82\xac", 3);
    vg_log(VG_LOG_INFO, "long", VG_S("v", text), VG_I("after", 1));
}

static void write_many(void)
{
    static char text[1000];
    struct vg_log_field fields[40];
    memset(text, '\n', sizeof text - 1);
    for (size_t i = 0; i < VG_COUNT(fields); i++)
        fields[i] = VG_S("v", text);
    vg_log_write(VG_LOG_INFO, "many", fields, VG_COUNT(fields));
}

/* After the time stamp, whose form alone is checked. */
static const char *tail(const char *lead)
{
    static const char form[] = "0000-00-00T00:00:00.000Z";
    assert_memory_equal(line, lead, strlen(lead));
    const char *at = line + strlen(lead);
    for (size_t i = 0; form[i]; i++) {
        if (form[i] == '0')
            assert_true(at[i] >= '0' && at[i] <= '9');
        else
            assert_int_equal(at[i], form[i]);
    }
    return at + sizeof form - 1;
}

static void log__writes_logfmt(void **state)
{
    (void)state;
    vg_log_setup("videogate-test", VG_LOG_INFO, false);
    capture(write_plain);
    assert_string_equal(tail("ts="),
                        " level=warn proc=videogate-test msg=\"video stored\" video=video_1 "
                        "bytes=-5 empty=\"\" none=\"\"\n");
}

static void log__writes_json(void **state)
{
    (void)state;
    vg_log_setup("videogate-test", VG_LOG_INFO, true);
    capture(write_plain);
    assert_string_equal(
        tail("{\"ts\":\""),
        "\",\"level\":\"warn\",\"proc\":\"videogate-test\",\"msg\":\"video stored\","
        "\"video\":\"video_1\",\"bytes\":-5,\"empty\":\"\",\"none\":\"\"}\n");
}

static void log__escapes_what_could_forge_a_line(void **state)
{
    (void)state;
    static const char expected_a[] = "one two=3";
    static const char expected_b[] = "new\\nline\\ttab\\\\\\\"q\\\" \\u0001\\u007f";
    static const char expected_c[] = "\xc3\xa9\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd";
    char expected[500];
    vg_log_setup("t", VG_LOG_INFO, false);
    capture(write_hostile);
    (void)snprintf(expected, sizeof expected,
                   " level=info proc=t msg=\"x\\\" level=error\" a=\"%s\" b=\"%s\" c=\"%s\"\n",
                   expected_a, expected_b, expected_c);
    assert_string_equal(tail("ts="), expected);
    vg_log_setup("t", VG_LOG_INFO, true);
    capture(write_hostile);
    assert_true(vg_utf8_valid(line, strlen(line)));
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void log__level_hides(void **state)
{
    (void)state;
    vg_log_setup("t", VG_LOG_INFO, false);
    assert_false(vg_log_enabled(VG_LOG_DEBUG));
    capture(write_debug);
    assert_string_equal(line, "");
    vg_log_setup("t", VG_LOG_DEBUG, false);
    capture(write_debug);
    assert_non_null(strstr(line, "msg=hidden x=1\n"));
}

static void log__cuts_long_values(void **state)
{
    (void)state;
    vg_log_setup("t", VG_LOG_INFO, false);
    capture(write_long);
    const char *value = strstr(line, "v=\"");
    const char *end = strstr(line, "...\" after=1\n");
    assert_non_null(value);
    assert_non_null(end);
    assert_int_equal(end - value - 3, 1023); /* whole code points within 1 KiB */
}

static void log__cuts_long_lines_but_keeps_their_form(void **state)
{
    (void)state;
    vg_log_setup("t", VG_LOG_INFO, true);
    capture(write_many);
    size_t len = strlen(line);
    assert_true(len <= 16384);
    assert_string_equal(line + len - strlen(",\"cut\":true}\n"), ",\"cut\":true}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(log__writes_logfmt),
        cmocka_unit_test(log__writes_json),
        cmocka_unit_test(log__escapes_what_could_forge_a_line),
        cmocka_unit_test(log__level_hides),
        cmocka_unit_test(log__cuts_long_values),
        cmocka_unit_test(log__cuts_long_lines_but_keeps_their_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
