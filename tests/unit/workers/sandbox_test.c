/* SPDX-License-Identifier: Apache-2.0 */
/* The whole provider through its vtable, with a sink that records instead of gRPC. */
#include "workers/providers/sandbox/sandbox.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/id.h"
#include "common/str.h"
#include "tests/unit/workers/media.h"
#include "tests/unit/workers/recorder.h"
#include "workers/providers.h"
#include "workers/providers/sandbox/files.h"

static char dir[64];
static struct vg_sandbox_config config;
/* --- calls that wait --- */

static const struct vg_provider *provider;

static void *start(void)
{
    void *self;
    struct vg_err err;
    const struct vg_provider_env env = {.config = &config};
    assert_int_equal(provider->start(&self, &env, &err), 0);
    return self;
}

static Videogate__V1__SubmitRequest request_of(const char *model, const char *token)
{
    Videogate__V1__SubmitRequest request = VIDEOGATE__V1__SUBMIT_REQUEST__INIT;
    request.token = (char *)token;
    request.model = (char *)model;
    request.prompt = "A prompt";
    request.width = 160;
    request.height = 96;
    request.seconds = 1;
    request.audio = true;
    return request;
}

/* NULL: the call itself failed, with `err`. */
static Videogate__V1__SubmitResponse *
submit_request(void *self, const Videogate__V1__SubmitRequest *request, struct vg_err *err)
{
    struct call call;
    Videogate__V1__SubmitResponse *response = NULL;
    call_init(&call);
    provider->submit(self, request, &call.op);
    call_wait(&call);
    *err = call.err;
    if (!call.failed)
        response = call_unpack(&call, &videogate__v1__submit_response__descriptor);
    call_fini(&call);
    return response;
}

static Videogate__V1__SubmitResponse *submit(void *self, const char *model, const char *token)
{
    struct vg_err err;
    Videogate__V1__SubmitRequest request = request_of(model, token);
    Videogate__V1__SubmitResponse *response = submit_request(self, &request, &err);
    assert_non_null(response);
    return response;
}

/* Submits, expects acceptance, gives the id. */
static void accept_job(void *self, const char *model, const char *token, char id[VG_ID_SIZE])
{
    Videogate__V1__SubmitResponse *response = submit(self, model, token);
    assert_int_equal(response->outcome_case, VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ACCEPTED);
    (void)snprintf(id, VG_ID_SIZE, "%s", response->accepted->upstream_id);
    videogate__v1__submit_response__free_unpacked(response, NULL);
}

static ProtobufCBinaryData state_of(const char *id)
{
    static char text[128];
    int len = snprintf(text, sizeof(text), "sandbox/1 %s", id);
    return (ProtobufCBinaryData){(size_t)len, (uint8_t *)text};
}

static Videogate__V1__PollResponse *poll_job(void *self, const char *id)
{
    struct call call;
    Videogate__V1__PollRequest request = VIDEOGATE__V1__POLL_REQUEST__INIT;
    request.upstream_id = (char *)id;
    request.poll_state = state_of(id);
    call_init(&call);
    provider->poll(self, &request, &call.op);
    call_wait(&call);
    assert_false(call.failed);
    Videogate__V1__PollResponse *response =
        call_unpack(&call, &videogate__v1__poll_response__descriptor);
    call_fini(&call);
    return response;
}

static int poll_state(void *self, const char *id)
{
    Videogate__V1__PollResponse *response = poll_job(self, id);
    int state = (int)response->state_case;
    videogate__v1__poll_response__free_unpacked(response, NULL);
    return state;
}

static void wait_finished(void *self, const char *id)
{
    int state;
    while ((state = poll_state(self, id)) == VIDEOGATE__V1__POLL_RESPONSE__STATE_RUNNING)
        usleep(10000);
    assert_int_equal(state, VIDEOGATE__V1__POLL_RESPONSE__STATE_FINISHED);
}

static void fetch_job(void *self, const char *id, struct call *call)
{
    Videogate__V1__FetchRequest request = VIDEOGATE__V1__FETCH_REQUEST__INIT;
    request.upstream_id = (char *)id;
    request.poll_state = state_of(id);
    call_init(call);
    provider->fetch(self, &request, &call->op);
    call_wait(call);
    assert_false(call->failed);
}

static void expect_whole(const struct call *call)
{
    uint8_t hash[VG_SHA256_SIZE];
    char hex[VG_SHA256_HEX_SIZE];
    assert_int_equal(call->fetch_error, 0);
    assert_int_equal(call->data.len, call->announced);
    vg_sha256(hash, call->data.data, call->data.len);
    vg_hex_encode(hex, hash, sizeof(hash));
    assert_string_equal(hex, call->sha256);
}

static int cancel_job(void *self, const char *id)
{
    struct call call;
    Videogate__V1__CancelRequest request = VIDEOGATE__V1__CANCEL_REQUEST__INIT;
    request.upstream_id = (char *)id;
    request.poll_state = state_of(id);
    call_init(&call);
    provider->cancel(self, &request, &call.op);
    call_wait(&call);
    Videogate__V1__CancelResponse *response =
        call_unpack(&call, &videogate__v1__cancel_response__descriptor);
    int outcome = (int)response->outcome;
    videogate__v1__cancel_response__free_unpacked(response, NULL);
    call_fini(&call);
    return outcome;
}

static int lookup_job(void *self, const char *token, char id[VG_ID_SIZE])
{
    struct call call;
    Videogate__V1__LookupRequest request = VIDEOGATE__V1__LOOKUP_REQUEST__INIT;
    request.token = (char *)token;
    call_init(&call);
    provider->lookup(self, &request, &call.op);
    call_wait(&call);
    Videogate__V1__LookupResponse *response =
        call_unpack(&call, &videogate__v1__lookup_response__descriptor);
    int outcome = (int)response->outcome;
    if (response->accepted)
        (void)snprintf(id, VG_ID_SIZE, "%s", response->accepted->upstream_id);
    videogate__v1__lookup_response__free_unpacked(response, NULL);
    call_fini(&call);
    return outcome;
}

static int logged(void)
{
    char path[VG_SANDBOX_PATH_SIZE];
    struct vg_buf text;
    int lines = 0;
    vg_sandbox_path(path, dir, ".", "submissions.log");
    vg_buf_init(&text, 1 << 20);
    assert_int_equal(vg_sandbox_read_file(&text, path, NULL), 0);
    for (size_t i = 0; i < text.len; i++)
        lines += text.data[i] == '\n';
    vg_buf_fini(&text);
    return lines;
}

/* --- the cases --- */

static void sandbox__renders_and_streams(void **state)
{
    char id[VG_ID_SIZE];
    char path[VG_SANDBOX_PATH_SIZE];
    struct call call;
    struct test_clip clip;
    (void)state;
    void *self = start();
    accept_job(self, "sandbox", "g:1", id);
    wait_finished(self, id);
    fetch_job(self, id, &call);
    expect_whole(&call);
    vg_sandbox_path(path, dir, ".", "fetched.mp4");
    FILE *file = fopen(path, "wb");
    assert_int_equal(fwrite(call.data.data, 1, call.data.len, file), call.data.len);
    assert_int_equal(fclose(file), 0);
    test_clip_probe(&clip, path);
    assert_int_equal(clip.width, 160);
    assert_int_equal(clip.height, 96);
    assert_int_equal(clip.frames, 24);
    assert_int_equal(clip.streams, 2);
    test_clip_fini(&clip);
    call_fini(&call);
    assert_int_equal(cancel_job(self, id), VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_TOO_LATE);
    provider->stop(self);
}

static void sandbox__same_token_is_one_submission(void **state)
{
    char a[VG_ID_SIZE];
    char b[VG_ID_SIZE];
    (void)state;
    void *self = start();
    accept_job(self, "sandbox-never", "g:1", a);
    accept_job(self, "sandbox-never", "g:1", b);
    assert_string_equal(a, b);
    assert_int_equal(logged(), 1);
    provider->stop(self);
    self = start();
    accept_job(self, "sandbox-never", "g:1", b);
    assert_string_equal(a, b);
    assert_int_equal(logged(), 1);
    provider->stop(self);
}

static void sandbox__instant_is_finished_at_once(void **state)
{
    struct call call;
    char id[VG_ID_SIZE];
    (void)state;
    void *self = start();
    for (int i = 0; i < 3; i++) {
        char token[16];
        (void)snprintf(token, sizeof(token), "g%d:1", i);
        Videogate__V1__SubmitResponse *response = submit(self, "sandbox-instant", token);
        assert_int_equal(response->outcome_case, VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_FINISHED);
        assert_string_equal(response->finished->mime_type, "video/mp4");
        assert_true(response->finished->bytes > 1000);
        (void)snprintf(id, sizeof(id), "%s", response->finished->upstream_id);
        videogate__v1__submit_response__free_unpacked(response, NULL);
        assert_int_equal(poll_state(self, id), VIDEOGATE__V1__POLL_RESPONSE__STATE_FINISHED);
        fetch_job(self, id, &call);
        expect_whole(&call);
        call_fini(&call);
    }
    provider->stop(self);
    self = start();
    fetch_job(self, id, &call);
    expect_whole(&call);
    call_fini(&call);
    assert_int_equal(logged(), 3);
    provider->stop(self);
}

static void expect_poll_error(void *self, const char *id, int class, bool fallback_ok)
{
    Videogate__V1__PollResponse *response = poll_job(self, id);
    assert_int_equal(response->state_case, VIDEOGATE__V1__POLL_RESPONSE__STATE_ERROR);
    assert_int_equal(response->error->class_, class);
    assert_false(response->error->retryable);
    assert_false(response->error->charged);
    assert_int_equal(response->error->fallback_ok, fallback_ok);
    assert_true(strlen(response->error->public_message) > 10);
    videogate__v1__poll_response__free_unpacked(response, NULL);
}

static void sandbox__scripted_failures(void **state)
{
    char id[VG_ID_SIZE];
    (void)state;
    void *self = start();
    accept_job(self, "sandbox-fail", "a:1", id);
    expect_poll_error(self, id, VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_UPSTREAM_INTERNAL, true);
    assert_int_equal(cancel_job(self, id), VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_TOO_LATE);
    accept_job(self, "sandbox-moderation", "b:1", id);
    expect_poll_error(self, id, VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_CONTENT_FILTERED, false);
    expect_poll_error(self, id, VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_CONTENT_FILTERED, false);
    provider->stop(self);
}

static void sandbox__flaky_refuses_once_per_generation(void **state)
{
    char id[VG_ID_SIZE];
    (void)state;
    void *self = start();
    Videogate__V1__SubmitResponse *response = submit(self, "sandbox-flaky", "gen_a:1");
    assert_int_equal(response->outcome_case, VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ERROR);
    assert_int_equal(response->error->class_, VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_OVERLOADED);
    assert_true(response->error->retryable);
    assert_false(response->error->maybe_submitted);
    assert_int_equal(response->error->retry_after_ms, 200);
    videogate__v1__submit_response__free_unpacked(response, NULL);
    assert_int_equal(logged(), 0);
    accept_job(self, "sandbox-flaky", "gen_a:2", id);
    wait_finished(self, id);
    assert_int_equal(logged(), 1);
    response = submit(self, "sandbox-flaky", "gen3-1");
    assert_int_equal(response->outcome_case, VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ERROR);
    videogate__v1__submit_response__free_unpacked(response, NULL);
    accept_job(self, "sandbox-flaky", "gen3-2", id);
    wait_finished(self, id);
    provider->stop(self);
}

static void sandbox__ambiguous_is_found_by_lookup(void **state)
{
    char id[VG_ID_SIZE];
    char again[VG_ID_SIZE];
    struct vg_err err;
    (void)state;
    void *self = start();
    Videogate__V1__SubmitRequest request = request_of("sandbox-ambiguous", "gen_b:1");
    assert_null(submit_request(self, &request, &err));
    assert_int_equal(err.kind, VG_ERR_UNAVAILABLE);
    assert_int_equal(lookup_job(self, "gen_b:1", id),
                     VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_FOUND);
    assert_int_equal(lookup_job(self, "gen_b:2", id),
                     VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_ABSENT);
    accept_job(self, "sandbox-ambiguous", "gen_b:1", again);
    assert_string_equal(id, again);
    wait_finished(self, id);
    assert_int_equal(logged(), 1);
    provider->stop(self);
}

static void sandbox__truncated_ends_half_way_once(void **state)
{
    char id[VG_ID_SIZE];
    struct call call;
    (void)state;
    void *self = start();
    accept_job(self, "sandbox-truncated", "g:1", id);
    wait_finished(self, id);
    fetch_job(self, id, &call);
    assert_int_equal(call.data.len, call.announced / 2);
    call_fini(&call);
    fetch_job(self, id, &call);
    expect_whole(&call);
    call_fini(&call);
    provider->stop(self);
}

/* Neither of them holds the one renderer. */
static void sandbox__waiting_jobs_block_nobody(void **state)
{
    char never[VG_ID_SIZE] = "";
    char slow[VG_ID_SIZE];
    char quick[VG_ID_SIZE];
    char token[16];
    (void)state;
    void *self = start();
    for (int i = 0; i < 20; i++) {
        (void)snprintf(token, sizeof(token), "n%d:1", i);
        accept_job(self, "sandbox-never", token, never);
    }
    accept_job(self, "sandbox-slow", "s:1", slow);
    accept_job(self, "sandbox", "q:1", quick);
    wait_finished(self, quick);
    assert_int_equal(poll_state(self, slow), VIDEOGATE__V1__POLL_RESPONSE__STATE_RUNNING);
    assert_int_equal(poll_state(self, never), VIDEOGATE__V1__POLL_RESPONSE__STATE_RUNNING);
    assert_int_equal(cancel_job(self, never),
                     VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_CANCELED);
    assert_int_equal(cancel_job(self, never),
                     VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_CANCELED);
    assert_int_equal(poll_state(self, never), VIDEOGATE__V1__POLL_RESPONSE__STATE_CANCELED);
    provider->stop(self);
    /* What was slow is finished once its time is over: the clock went on meanwhile. */
    config.slow_ms = 0;
    self = start();
    wait_finished(self, slow);
    assert_int_equal(poll_state(self, never), VIDEOGATE__V1__POLL_RESPONSE__STATE_CANCELED);
    provider->stop(self);
}

static void sandbox__unfinished_jobs_are_rendered_after_a_restart(void **state)
{
    char ids[4][VG_ID_SIZE];
    struct vg_buf picture;
    struct vg_err err;
    (void)state;
    vg_buf_init(&picture, 1 << 20);
    test_picture(&picture, "png", 64, 64, 0);
    void *self = start();
    for (int i = 0; i < 4; i++) {
        char token[16];
        (void)snprintf(token, sizeof(token), "g%d:1", i);
        Videogate__V1__MediaBlob blob = VIDEOGATE__V1__MEDIA_BLOB__INIT;
        blob.data = (ProtobufCBinaryData){picture.len, (uint8_t *)picture.data};
        Videogate__V1__SubmitRequest request = request_of("sandbox", token);
        request.width = 1280;
        request.height = 720;
        request.seconds = 2;
        request.first_frame = &blob;
        Videogate__V1__SubmitResponse *response = submit_request(self, &request, &err);
        assert_non_null(response);
        assert_int_equal(response->outcome_case, VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ACCEPTED);
        (void)snprintf(ids[i], VG_ID_SIZE, "%s", response->accepted->upstream_id);
        videogate__v1__submit_response__free_unpacked(response, NULL);
    }
    provider->stop(self); /* in the middle of the first */
    assert_int_equal(logged(), 4);
    self = start();
    for (int i = 0; i < 4; i++) {
        struct call call;
        wait_finished(self, ids[i]);
        fetch_job(self, ids[i], &call);
        expect_whole(&call);
        call_fini(&call);
    }
    assert_int_equal(logged(), 4);
    provider->stop(self);
    vg_buf_fini(&picture);
}

static void sandbox__bad_requests_are_refused_at_submit(void **state)
{
    struct vg_err err;
    (void)state;
    void *self = start();
    Videogate__V1__MediaBlob blob = VIDEOGATE__V1__MEDIA_BLOB__INIT;
    blob.data = (ProtobufCBinaryData){7, (uint8_t *)"rubbish"};
    Videogate__V1__MediaBlob *blobs[1] = {&blob};
    Videogate__V1__SubmitRequest requests[5];
    for (int i = 0; i < 5; i++)
        requests[i] = request_of("sandbox", "g:1");
    requests[0].width = 161;
    requests[1].prompt = "";
    requests[2].first_frame = &blob;
    requests[3].reference_images = blobs;
    requests[3].n_reference_images = 1;
    requests[4].token = "";
    for (int i = 0; i < 5; i++) {
        Videogate__V1__SubmitResponse *response = submit_request(self, &requests[i], &err);
        assert_non_null(response);
        assert_int_equal(response->outcome_case, VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ERROR);
        assert_int_equal(response->error->class_,
                         VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_INVALID_REQUEST);
        assert_false(response->error->retryable);
        videogate__v1__submit_response__free_unpacked(response, NULL);
    }
    assert_int_equal(logged(), 0);
    provider->stop(self);
}

static void sandbox__unknown_ids_and_foreign_state(void **state)
{
    char id[VG_ID_SIZE];
    struct call call;
    (void)state;
    void *self = start();
    accept_job(self, "sandbox-never", "g:1", id);
    static const char *const unknown[] = {"", "x", "sbx_00000000000000000000000000000000"};
    for (int i = 0; i < 3; i++) {
        Videogate__V1__PollResponse *response = poll_job(self, unknown[i]);
        assert_int_equal(response->error->class_,
                         VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_NOT_FOUND);
        videogate__v1__poll_response__free_unpacked(response, NULL);
        assert_int_equal(cancel_job(self, unknown[i]),
                         VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_NOT_FOUND);
        fetch_job(self, unknown[i], &call);
        assert_int_equal(call.fetch_error, VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_NOT_FOUND);
        call_fini(&call);
    }
    fetch_job(self, id, &call); /* known, but not finished */
    assert_int_equal(call.fetch_error, VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_UPSTREAM_INTERNAL);
    call_fini(&call);
    Videogate__V1__PollRequest request = VIDEOGATE__V1__POLL_REQUEST__INIT;
    request.upstream_id = id;
    call_init(&call);
    provider->poll(self, &request, &call.op);
    call_wait(&call);
    Videogate__V1__PollResponse *response =
        call_unpack(&call, &videogate__v1__poll_response__descriptor);
    assert_string_equal(response->error->upstream_code, "poll_state");
    videogate__v1__poll_response__free_unpacked(response, NULL);
    call_fini(&call);
    provider->stop(self);
}

static void sandbox__full_queue_refuses(void **state)
{
    char id[VG_ID_SIZE];
    (void)state;
    config.queue = 1;
    void *self = start();
    Videogate__V1__SubmitRequest request = request_of("sandbox", "g:1");
    struct vg_err err;
    request.width = 1280;
    request.height = 720;
    request.seconds = 60;
    Videogate__V1__SubmitResponse *response = submit_request(self, &request, &err);
    assert_int_equal(response->outcome_case, VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ACCEPTED);
    (void)snprintf(id, sizeof(id), "%s", response->accepted->upstream_id);
    videogate__v1__submit_response__free_unpacked(response, NULL);
    response = submit(self, "sandbox", "h:1");
    assert_int_equal(response->outcome_case, VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ERROR);
    assert_true(response->error->retryable);
    assert_true(response->error->retry_after_ms > 0);
    videogate__v1__submit_response__free_unpacked(response, NULL);
    /* A cancel frees the place, though the clip was being rendered. */
    assert_int_equal(cancel_job(self, id), VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_CANCELED);
    bool accepted = false;
    while (!accepted) {
        response = submit(self, "sandbox", "h:1");
        accepted = response->outcome_case == VIDEOGATE__V1__SUBMIT_RESPONSE__OUTCOME_ACCEPTED;
        videogate__v1__submit_response__free_unpacked(response, NULL);
        usleep(10000);
    }
    assert_int_equal(poll_state(self, id), VIDEOGATE__V1__POLL_RESPONSE__STATE_CANCELED);
    provider->stop(self);
}

static void sandbox__configuration_is_checked(void **state)
{
    struct vg_err err;
    (void)state;
    assert_int_equal(provider->check(&config, NULL), 0);
    config.font = "/nowhere.ttf";
    assert_int_equal(provider->check(&config, &err), -1);
    assert_string_equal(err.param, "sandbox-font");
    config.font = TEST_FONT;
    config.dir = NULL;
    assert_int_equal(provider->check(&config, &err), -1);
    assert_string_equal(err.param, "sandbox-dir");
    assert_null(vg_provider_find("nobody"));
    assert_ptr_equal(vg_provider_find("sandbox"), provider);
}

static int set_up(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/vg-sandbox-XXXXXX");
    if (!mkdtemp(dir))
        return -1;
    config = (struct vg_sandbox_config){.dir = dir,
                                        .font = TEST_FONT,
                                        .threads = 1,
                                        .queue = 100,
                                        .slow_ms = 3600000,
                                        .retention_ms = 86400000};
    provider = vg_sandbox_provider();
    return 0;
}

static int tear_down(void **state)
{
    static const char *const folders[] = {"tmp", "inputs", "videos", "clips"};
    char path[VG_SANDBOX_PATH_SIZE];
    (void)state;
    for (int i = 0; i < 4; i++) {
        vg_sandbox_path(path, dir, ".", folders[i]);
        vg_sandbox_clear_dir(path, NULL, NULL);
        (void)rmdir(path);
    }
    vg_sandbox_clear_dir(dir, NULL, NULL);
    return rmdir(dir);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        CASE(sandbox__renders_and_streams),
        CASE(sandbox__same_token_is_one_submission),
        CASE(sandbox__instant_is_finished_at_once),
        CASE(sandbox__scripted_failures),
        CASE(sandbox__flaky_refuses_once_per_generation),
        CASE(sandbox__ambiguous_is_found_by_lookup),
        CASE(sandbox__truncated_ends_half_way_once),
        CASE(sandbox__waiting_jobs_block_nobody),
        CASE(sandbox__unfinished_jobs_are_rendered_after_a_restart),
        CASE(sandbox__bad_requests_are_refused_at_submit),
        CASE(sandbox__unknown_ids_and_foreign_state),
        CASE(sandbox__full_queue_refuses),
        CASE(sandbox__configuration_is_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
