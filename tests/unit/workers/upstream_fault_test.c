/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/upstream/fault.h"

#include "workers/upstream/adapter.h"
/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */

#include "common/mem.h"

static const char *const codes[] = {"error.code", "code", NULL};
static const char *const messages[] = {"error.message", NULL};
static const struct vg_fault_row rows[] = {
    {429, "quota*", NULL, VG_CLASS(BILLING), 0},
    {0, "blocked", NULL, VG_CLASS(CONTENT_FILTERED), VG_FAULT_CHARGED},
    {500, NULL, "try another", VG_CLASS(UPSTREAM_INTERNAL), VG_FAULT_FINAL | VG_FAULT_NO_FALLBACK},
};
static const struct vg_adapter adapter = {
    .code_paths = codes, .message_paths = messages, .faults = rows, .fault_count = VG_COUNT(rows)};

enum { RETRY = 1, FALLBACK = 2, MAYBE = 4, CHARGED = 8 };

static void judge(int status, const char *reason, bool sent, const char *json_text,
                  enum vg_fault_phase phase, struct vg_fault *out)
{
    struct vg_json *json = NULL;

    if (json_text)
        assert_int_equal(vg_json_parse(&json, vg_view_of(json_text), NULL), 0);
    const struct vg_answer answer = {
        .status = status, .reason = reason, .sent = sent, .json = json};
    vg_fault_of_answer(out, &adapter, &answer, phase);
    vg_json_free(json);
}

static void test_answers(void **state)
{
    static const struct {
        int status;
        const char *reason;
        bool sent;
        const char *json;
        enum vg_fault_phase phase;
        Videogate__V1__ErrorClass class;
        unsigned flags;
    } cases[] = {
        /* no answer */
        {0, "connect", false, NULL, VG_PHASE_CREATE, VG_CLASS(NETWORK), RETRY | FALLBACK},
        {0, "reset", true, NULL, VG_PHASE_CREATE, VG_CLASS(NETWORK), RETRY | FALLBACK | MAYBE},
        {0, "timeout", true, NULL, VG_PHASE_CREATE, VG_CLASS(TIMEOUT), RETRY | FALLBACK | MAYBE},
        {0, "reset", true, NULL, VG_PHASE_BEFORE, VG_CLASS(NETWORK), RETRY | FALLBACK},
        {200, "truncated", true, NULL, VG_PHASE_CREATE, VG_CLASS(UPSTREAM_INTERNAL),
         RETRY | FALLBACK | MAYBE},
        {200, NULL, true, NULL, VG_PHASE_CREATE, VG_CLASS(UPSTREAM_INTERNAL),
         RETRY | FALLBACK | MAYBE},
        /* gateways */
        {502, NULL, true, "{}", VG_PHASE_CREATE, VG_CLASS(UPSTREAM_INTERNAL),
         RETRY | FALLBACK | MAYBE},
        {504, NULL, true, NULL, VG_PHASE_CREATE, VG_CLASS(TIMEOUT), RETRY | FALLBACK | MAYBE},
        {500, NULL, true, NULL, VG_PHASE_CREATE, VG_CLASS(UPSTREAM_INTERNAL),
         RETRY | FALLBACK | MAYBE},
        {500, NULL, true, "{\"error\":{}}", VG_PHASE_CREATE, VG_CLASS(UPSTREAM_INTERNAL),
         RETRY | FALLBACK},
        {503, NULL, true, NULL, VG_PHASE_CREATE, VG_CLASS(OVERLOADED), RETRY | FALLBACK},
        /* plain statuses */
        {400, NULL, true, "{}", VG_PHASE_CREATE, VG_CLASS(INVALID_REQUEST), FALLBACK},
        {401, NULL, true, "{}", VG_PHASE_CREATE, VG_CLASS(AUTH), FALLBACK},
        {402, NULL, true, "{}", VG_PHASE_CREATE, VG_CLASS(BILLING), FALLBACK},
        {404, NULL, true, "{}", VG_PHASE_CREATE, VG_CLASS(MODEL_GONE), FALLBACK},
        {429, NULL, true, "{}", VG_PHASE_CREATE, VG_CLASS(RATE_LIMITED), RETRY | FALLBACK},
        /* rows */
        {429, NULL, true, "{\"error\":{\"code\":\"quota_day\"}}", VG_PHASE_CREATE,
         VG_CLASS(BILLING), FALLBACK},
        {400, NULL, true, "{\"code\":\"blocked\"}", VG_PHASE_CREATE, VG_CLASS(CONTENT_FILTERED),
         CHARGED},
        {500, NULL, true, "{\"error\":{\"message\":\"Please TRY ANOTHER day\"}}", VG_PHASE_CREATE,
         VG_CLASS(UPSTREAM_INTERNAL), 0},
        {400, NULL, true, "{\"error\":{\"message\":\"rejected by the safety system\"}}",
         VG_PHASE_CREATE, VG_CLASS(CONTENT_FILTERED), 0},
        /* a job that is there */
        {404, NULL, true, "{}", VG_PHASE_POLL, VG_CLASS(NOT_FOUND), RETRY},
        {403, NULL, true, "{}", VG_PHASE_POLL, VG_CLASS(AUTH), RETRY},
        {502, NULL, true, NULL, VG_PHASE_POLL, VG_CLASS(UPSTREAM_INTERNAL), RETRY},
        /* a file */
        {403, NULL, true, NULL, VG_PHASE_FETCH, VG_CLASS(RESULT_EXPIRED), 0},
        {410, NULL, true, NULL, VG_PHASE_FETCH, VG_CLASS(RESULT_EXPIRED), 0},
        {503, NULL, true, NULL, VG_PHASE_FETCH, VG_CLASS(OVERLOADED), RETRY},
    };
    (void)state;
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct vg_fault f;
        judge(cases[i].status, cases[i].reason, cases[i].sent, cases[i].json, cases[i].phase, &f);
        unsigned flags = (f.retryable ? RETRY : 0) | (f.fallback_ok ? FALLBACK : 0) |
                         (f.maybe_submitted ? MAYBE : 0) | (f.charged ? CHARGED : 0);
        if (f.class != cases[i].class || flags != cases[i].flags)
            fail_msg("case %zu: class %d, flags %u", i, (int)f.class, flags);
    }
}

static void test_jobs(void **state)
{
    struct vg_fault f;
    (void)state;
    vg_fault_of_job(&f, &adapter, "blocked", NULL);
    assert_int_equal(f.class, VG_CLASS(CONTENT_FILTERED));
    assert_true(f.charged && !f.retryable && !f.fallback_ok);
    vg_fault_of_job(&f, &adapter, NULL, "the GPU caught fire");
    assert_int_equal(f.class, VG_CLASS(UPSTREAM_INTERNAL));
    assert_true(!f.charged && !f.retryable && f.fallback_ok);
    assert_string_equal(f.message, "the GPU caught fire");
    vg_fault_of_job(&f, &adapter, "SensitiveContentDetected.PolicyViolation", "");
    assert_int_equal(f.class, VG_CLASS(CONTENT_FILTERED));
    vg_fault_of_job(&f, &adapter, "quota_day", ""); /* that row is for a status */
    assert_int_equal(f.class, VG_CLASS(UPSTREAM_INTERNAL));
}

/* A code inside HTTP 200 counts as the status, and what a hidden provider says stays hidden. */
static void test_disguised(void **state)
{
    static const struct vg_adapter disguised = {.ok_path = "code",
                                                .ok_value = "200",
                                                .ok_is_status = true,
                                                .hidden = true,
                                                .code_paths = codes,
                                                .message_paths = messages};
    struct vg_json *json = NULL;
    struct vg_fault f;
    (void)state;
    assert_int_equal(vg_json_parse(&json, VG_VIEW("{\"code\":402}"), NULL), 0);
    const struct vg_answer answer = {.status = 200, .json = json};
    vg_fault_of_answer(&f, &disguised, &answer, VG_PHASE_CREATE);
    assert_int_equal(f.class, VG_CLASS(BILLING));
    assert_int_equal(f.http_status, 402);
    assert_true(f.hidden && !f.maybe_submitted);
    vg_fault_of_job(&f, &disguised, "1", "a text");
    assert_true(f.hidden);
    vg_fault_of_answer(&f, &adapter, &answer, VG_PHASE_CREATE);
    assert_int_equal(f.http_status, 200);
    assert_false(f.hidden);
    vg_json_free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers),
        cmocka_unit_test(test_disguised),
        cmocka_unit_test(test_jobs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
