/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* One request per stream, so that the client's server streams can ask; longer sessions are held by
 * buf and python in the integration tests. */
#include <grpc/reflection/v1/reflection.pb-c.h>
#include <grpc/reflection/v1alpha/reflection.pb-c.h>
#include <pthread.h>

#include "proto/descriptors.h"
#include "tests/unit/rpc/fixture.h"

#define ASK(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name
#define GOT(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##name

typedef Grpc__Reflection__V1__ServerReflectionRequest asked;
typedef Grpc__Reflection__V1__ServerReflectionResponse answered;

struct session {
    struct vg_rpc_stream stream;
    struct fixture_group *group;
    answered *answer;
};

static void on_event(struct vg_task *task)
{
    struct session *session = VG_CONTAINER(task, struct session, stream.event);

    if (session->stream.ended) {
        fixture_group_done(session->group);
        return;
    }
    assert_null(session->answer);
    session->answer = (answered *)session->stream.message;
    session->stream.message = NULL;
    vg_rpc_stream_next(&session->stream);
}

/* Owned by the caller. */
static answered *ask(struct fixture *fixture, const asked *request)
{
    struct session session = {.group = fixture_group_new(1)};

    session.stream.service_method = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    session.stream.request = &request->base;
    session.stream.response_type = &grpc__reflection__v1__server_reflection_response__descriptor;
    session.stream.event.run = on_event;
    vg_rpc_stream_start(fixture_channel(fixture), &session.stream);
    fixture_group_wait(session.group);
    assert_true(session.stream.ok);
    assert_non_null(session.answer);
    return session.answer;
}

static asked question(int which, const char *text)
{
    asked request = GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__INIT;

    request.message_request_case =
        (Grpc__Reflection__V1__ServerReflectionRequest__MessageRequestCase)which;
    request.list_services = (char *)text; /* the strings share the place */
    return request;
}

static void expect_files(struct fixture *fixture, int which, const char *text,
                         const char *const *names)
{
    asked request = question(which, text);
    answered *answer = ask(fixture, &request);
    size_t count = 0;

    assert_int_equal(answer->message_response_case, GOT(FILE_DESCRIPTOR_RESPONSE));
    for (; names[count] != NULL; count++) {
        const ProtobufCBinaryData *got =
            &answer->file_descriptor_response->file_descriptor_proto[count];
        const struct vg_proto_file *file = NULL;

        assert_true(count < answer->file_descriptor_response->n_file_descriptor_proto);
        for (size_t i = 0; i < vg_proto_file_count; i++) {
            if (strcmp(vg_proto_files[i].name, names[count]) == 0)
                file = &vg_proto_files[i];
        }
        VG_ASSERT(file != NULL);
        assert_int_equal(got->len, file->size);
        assert_memory_equal(got->data, file->data, file->size);
    }
    assert_int_equal(answer->file_descriptor_response->n_file_descriptor_proto, count);
    assert_int_equal(answer->original_request->message_request_case, which);
    protobuf_c_message_free_unpacked(&answer->base, NULL);
}

static void reflection__serves_files_with_their_imports(void **state)
{
    static const char *const worker[] = {"videogate/v1/worker.proto", NULL};
    static const char *const status[] = {"google/rpc/status.proto", "google/protobuf/any.proto",
                                         "google/protobuf/duration.proto", NULL};
    struct fixture *fixture = fixture_start(&(struct fixture_options){0});

    (void)state;
    expect_files(fixture, ASK(FILE_BY_FILENAME), "videogate/v1/worker.proto", worker);
    expect_files(fixture, ASK(FILE_CONTAINING_SYMBOL), "videogate.v1.ProviderWorkerService",
                 worker);
    expect_files(fixture, ASK(FILE_CONTAINING_SYMBOL), "videogate.v1.ProviderWorkerService.Submit",
                 worker);
    expect_files(fixture, ASK(FILE_CONTAINING_SYMBOL), "google.rpc.BadRequest.FieldViolation",
                 status);
    (void)fixture_stop(fixture);
}

static void reflection__lists_services(void **state)
{
    struct fixture *fixture = fixture_start(&(struct fixture_options){0});
    asked request = question(ASK(LIST_SERVICES), "");
    answered *answer;

    (void)state;
    answer = ask(fixture, &request);
    assert_int_equal(answer->message_response_case, GOT(LIST_SERVICES_RESPONSE));
    assert_int_equal(answer->list_services_response->n_service, 4);
    assert_string_equal(answer->list_services_response->service[0]->name,
                        "videogate.v1.ProviderWorkerService");
    protobuf_c_message_free_unpacked(&answer->base, NULL);
    (void)fixture_stop(fixture);
}

static void expect_error(struct fixture *fixture, const asked *request, int code)
{
    answered *answer = ask(fixture, request);

    assert_int_equal(answer->message_response_case, GOT(ERROR_RESPONSE));
    assert_int_equal(answer->error_response->error_code, code);
    protobuf_c_message_free_unpacked(&answer->base, NULL);
}

static void reflection__says_what_it_does_not_have(void **state)
{
    struct fixture *fixture = fixture_start(&(struct fixture_options){0});
    Grpc__Reflection__V1__ExtensionRequest extension =
        GRPC__REFLECTION__V1__EXTENSION_REQUEST__INIT;
    asked request;

    (void)state;
    request = question(ASK(FILE_BY_FILENAME), "no.proto");
    expect_error(fixture, &request, VG_GRPC_NOT_FOUND);
    request = question(ASK(FILE_CONTAINING_SYMBOL), "no.Symbol");
    expect_error(fixture, &request, VG_GRPC_NOT_FOUND);
    request = question(ASK(ALL_EXTENSION_NUMBERS_OF_TYPE), "no.Type");
    expect_error(fixture, &request, VG_GRPC_NOT_FOUND);
    request = question(ASK(FILE_CONTAINING_EXTENSION), NULL);
    request.file_containing_extension = &extension;
    expect_error(fixture, &request, VG_GRPC_NOT_FOUND);
    request = question(0, NULL);
    expect_error(fixture, &request, VG_GRPC_UNIMPLEMENTED);
    (void)fixture_stop(fixture);
}

static void reflection__speaks_v1alpha(void **state)
{
    struct fixture *fixture = fixture_start(&(struct fixture_options){0});
    struct session session = {.group = fixture_group_new(1)};
    Grpc__Reflection__V1alpha__ServerReflectionRequest request =
        GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_REQUEST__INIT;

    (void)state;
    request.message_request_case =
        GRPC__REFLECTION__V1ALPHA__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_LIST_SERVICES;
    request.list_services = (char *)"";
    session.stream.service_method =
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
    session.stream.request = &request.base;
    session.stream.response_type =
        &grpc__reflection__v1alpha__server_reflection_response__descriptor;
    session.stream.event.run = on_event;
    vg_rpc_stream_start(fixture_channel(fixture), &session.stream);
    fixture_group_wait(session.group);
    const Grpc__Reflection__V1alpha__ServerReflectionResponse *answer =
        (const Grpc__Reflection__V1alpha__ServerReflectionResponse *)(const void *)session.answer;
    assert_non_null(answer);
    assert_int_equal(answer->list_services_response->n_service, 4);
    protobuf_c_message_free_unpacked((ProtobufCMessage *)session.answer, NULL);
    (void)fixture_stop(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reflection__serves_files_with_their_imports),
        cmocka_unit_test(reflection__lists_services),
        cmocka_unit_test(reflection__says_what_it_does_not_have),
        cmocka_unit_test(reflection__speaks_v1alpha),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
