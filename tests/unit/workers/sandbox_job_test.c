/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/job.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

static struct vg_sandbox_job *sample(void)
{
    struct vg_sandbox_job *job = vg_sandbox_job_new();
    vg_id_new(job->id, "sbx");
    job->token = vg_xstrdup("gen_1:1");
    job->model = vg_xstrdup("sandbox");
    job->prompt = vg_xstrdup("Line one\nline \"two\" \xe2\x82\xac \x01");
    job->created_ms = 1700000000123;
    job->width = 1280;
    job->height = 720;
    job->seconds = 8;
    job->index = 3;
    job->audio = true;
    job->has_inputs = true;
    return job;
}

static struct vg_view line_in(const struct vg_buf *buf)
{
    assert_true(vg_buf_ok(buf));
    assert_int_equal(buf->data[buf->len - 1], '\n');
    assert_null(memchr(buf->data, '\n', buf->len - 1));
    return (struct vg_view){buf->data, buf->len - 1};
}

static void job__survives_the_journal(void **state)
{
    struct vg_buf buf;
    struct vg_err err;
    struct vg_sandbox_line line;
    (void)state;
    struct vg_sandbox_job *job = sample();
    vg_buf_init(&buf, 1 << 20);
    vg_sandbox_write_submit(&buf, job);
    assert_int_equal(vg_sandbox_parse_line(&line, line_in(&buf), &err), 0);
    assert_non_null(line.job);
    assert_string_equal(line.id, job->id);
    assert_string_equal(line.job->id, job->id);
    assert_string_equal(line.job->token, job->token);
    assert_string_equal(line.job->model, job->model);
    assert_string_equal(line.job->prompt, job->prompt);
    assert_int_equal(line.job->created_ms, job->created_ms);
    assert_int_equal(line.job->width, 1280);
    assert_int_equal(line.job->height, 720);
    assert_int_equal(line.job->seconds, 8);
    assert_int_equal(line.job->index, 3);
    assert_true(line.job->audio);
    assert_true(line.job->has_inputs);
    vg_sandbox_job_free(line.job);
    vg_sandbox_job_free(job);
    vg_buf_fini(&buf);
}

static void job__end_survives_the_journal(void **state)
{
    static const char sha[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
    struct vg_buf buf;
    struct vg_sandbox_line line;
    char id[VG_ID_SIZE];
    (void)state;
    vg_id_new(id, "sbx");
    vg_buf_init(&buf, 4096);
    vg_sandbox_write_end(&buf, id, VG_SANDBOX_FINISHED, 12345, sha);
    assert_int_equal(vg_sandbox_parse_line(&line, line_in(&buf), NULL), 0);
    assert_null(line.job);
    assert_string_equal(line.id, id);
    assert_int_equal(line.state, VG_SANDBOX_FINISHED);
    assert_int_equal(line.bytes, 12345);
    assert_string_equal(line.sha256, sha);
    vg_buf_clear(&buf);
    vg_sandbox_write_end(&buf, id, VG_SANDBOX_CANCELED, 0, "");
    assert_int_equal(vg_sandbox_parse_line(&line, line_in(&buf), NULL), 0);
    assert_int_equal(line.state, VG_SANDBOX_CANCELED);
    vg_buf_fini(&buf);
}

static void job__every_cut_line_is_refused(void **state)
{
    struct vg_buf buf;
    struct vg_sandbox_line line;
    (void)state;
    struct vg_sandbox_job *job = sample();
    vg_buf_init(&buf, 1 << 20);
    vg_sandbox_write_submit(&buf, job);
    for (size_t len = 0; len < buf.len - 1; len++)
        assert_int_equal(vg_sandbox_parse_line(&line, (struct vg_view){buf.data, len}, NULL), -1);
    vg_sandbox_job_free(job);
    vg_buf_fini(&buf);
}

static void job__lines_that_lie_are_refused(void **state)
{
#define ID "\"id\":\"sbx_00112233445566778899aabbccddeeff\""
    static const char *const lines[] = {
        "",
        "null",
        "[]",
        "{}",
        "{\"id\":\"sbx_1\",\"end\":\"failed\",\"bytes\":0,\"sha256\":\"\"}",
        "{" ID "}",
        "{" ID ",\"end\":\"accepted\",\"bytes\":0,\"sha256\":\"\"}",
        "{" ID ",\"end\":\"done\",\"bytes\":0,\"sha256\":\"\"}",
        "{" ID ",\"end\":\"failed\",\"bytes\":-1,\"sha256\":\"\"}",
        "{" ID ",\"end\":\"failed\",\"bytes\":0,\"sha256\":\"zz\"}",
        "{" ID ",\"end\":\"failed\",\"bytes\":0}",
        "{" ID ",\"token\":\"a b\",\"model\":\"m\",\"created_ms\":1,\"width\":64,\"height\":64,"
        "\"seconds\":1,\"index\":0}",
        "{" ID ",\"token\":\"t\",\"model\":\"m\",\"created_ms\":1,\"width\":65,\"height\":64,"
        "\"seconds\":1,\"index\":0}",
        "{" ID ",\"token\":\"t\",\"model\":\"m\",\"width\":64,\"height\":64,\"seconds\":1,"
        "\"index\":0}",
    };
    struct vg_sandbox_line line;
    (void)state;
    for (size_t i = 0; i < VG_COUNT(lines); i++)
        assert_int_equal(vg_sandbox_parse_line(&line, vg_view_of(lines[i]), NULL), -1);
    /* The same with nothing wrong is taken: the list above fails for the reasons it is meant to. */
    assert_int_equal(vg_sandbox_parse_line(&line,
                                           VG_VIEW("{" ID ",\"token\":\"t\",\"model\":\"m\","
                                                   "\"created_ms\":1,\"width\":64,\"height\":64,"
                                                   "\"seconds\":1,\"index\":0}"),
                                           NULL),
                     0);
    vg_sandbox_job_free(line.job);
}

static void expect_param(struct vg_sandbox_job *job, const char *param)
{
    struct vg_err err;
    assert_int_equal(vg_sandbox_job_check(job, &err), -1);
    assert_int_equal(err.kind, VG_ERR_INVALID_REQUEST);
    assert_string_equal(err.param, param);
    vg_sandbox_job_free(job);
}

static void job__check_names_the_field(void **state)
{
    (void)state;
    struct vg_sandbox_job *job = sample();
    assert_int_equal(vg_sandbox_job_check(job, NULL), 0);
    job->width = 1281;
    expect_param(job, "width");
    job = sample();
    job->height = 0;
    expect_param(job, "height");
    job = sample();
    job->height = VG_SANDBOX_MAX_SIDE + 2;
    expect_param(job, "height");
    job = sample();
    job->seconds = VG_SANDBOX_MAX_SECONDS + 1;
    expect_param(job, "seconds");
    job = sample();
    job->index = -1;
    expect_param(job, "index");
    job = sample();
    job->token[3] = ' ';
    expect_param(job, "token");
    job = sample();
    job->token[0] = '\0';
    expect_param(job, "token");
    job = sample();
    job->model[0] = '\n';
    expect_param(job, "model");
    job = sample();
    job->prompt[0] = (char)0xff;
    expect_param(job, "prompt");
    job = sample();
    free(job->prompt);
    job->prompt = vg_xalloc(VG_SANDBOX_MAX_PROMPT + 2);
    memset(job->prompt, 'a', VG_SANDBOX_MAX_PROMPT + 1);
    expect_param(job, "prompt");
}

static void job__ends_once(void **state)
{
    (void)state;
    for (int to = VG_SANDBOX_FINISHED; to < VG_SANDBOX_STATE_MAX; to++)
        assert_true(vg_sandbox_may(VG_SANDBOX_ACCEPTED, (enum vg_sandbox_state)to));
    assert_true(vg_sandbox_may(VG_SANDBOX_FINISHED, VG_SANDBOX_CANCELED));
    assert_false(vg_sandbox_may(VG_SANDBOX_CANCELED, VG_SANDBOX_FINISHED));
    assert_false(vg_sandbox_may(VG_SANDBOX_FAILED, VG_SANDBOX_FINISHED));
    assert_false(vg_sandbox_may(VG_SANDBOX_FINISHED, VG_SANDBOX_FAILED));
    assert_false(vg_sandbox_may(VG_SANDBOX_FINISHED, VG_SANDBOX_ACCEPTED));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(job__survives_the_journal),
        cmocka_unit_test(job__end_survives_the_journal),
        cmocka_unit_test(job__every_cut_line_is_refused),
        cmocka_unit_test(job__lines_that_lie_are_refused),
        cmocka_unit_test(job__check_names_the_field),
        cmocka_unit_test(job__ends_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
