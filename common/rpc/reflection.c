/* SPDX-License-Identifier: Apache-2.0 */
/* grpc.reflection.v1 and v1alpha over the table of proto/descriptors.h. The two are the same but
 * for the package, so v1alpha's structs are the v1 ones with other descriptors: both are built and
 * read through `struct dialect`.
 *
 * One stream, on the pump threads: read, answer, send, read ... until the client half-closes. */
#include <grpc/reflection/v1/reflection.pb-c.h>
#include <grpc/reflection/v1alpha/reflection.pb-c.h>
#include <stdlib.h>
#include <string.h>

#include "common/rpc/server_priv.h"
#include "proto/descriptors.h"

#define V1(name) Grpc__Reflection__V1__##name
#define CASE(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_REQUEST__MESSAGE_REQUEST_##name
#define ANSWER(name) GRPC__REFLECTION__V1__SERVER_REFLECTION_RESPONSE__MESSAGE_RESPONSE_##name

/* The v1alpha structs are generated from the same fields, so their layout is the same; only
 * descriptors differ. */
_Static_assert(sizeof(V1(ServerReflectionRequest)) ==
                       sizeof(Grpc__Reflection__V1alpha__ServerReflectionRequest) &&
                   sizeof(V1(ServerReflectionResponse)) ==
                       sizeof(Grpc__Reflection__V1alpha__ServerReflectionResponse) &&
                   offsetof(V1(ServerReflectionResponse), error_response) ==
                       offsetof(Grpc__Reflection__V1alpha__ServerReflectionResponse,
                                error_response) &&
                   sizeof(V1(ErrorResponse)) == sizeof(Grpc__Reflection__V1alpha__ErrorResponse) &&
                   sizeof(V1(FileDescriptorResponse)) ==
                       sizeof(Grpc__Reflection__V1alpha__FileDescriptorResponse) &&
                   sizeof(V1(ServiceResponse)) ==
                       sizeof(Grpc__Reflection__V1alpha__ServiceResponse),
               "the dialects have the same shape");

struct dialect {
    const ProtobufCMessageDescriptor *response;
    const ProtobufCMessageDescriptor *files;
    const ProtobufCMessageDescriptor *services;
    const ProtobufCMessageDescriptor *service;
    const ProtobufCMessageDescriptor *error;
};

static const struct dialect dialect_v1 = {
    &grpc__reflection__v1__server_reflection_response__descriptor,
    &grpc__reflection__v1__file_descriptor_response__descriptor,
    &grpc__reflection__v1__list_service_response__descriptor,
    &grpc__reflection__v1__service_response__descriptor,
    &grpc__reflection__v1__error_response__descriptor,
};
static const struct dialect dialect_v1alpha = {
    &grpc__reflection__v1alpha__server_reflection_response__descriptor,
    &grpc__reflection__v1alpha__file_descriptor_response__descriptor,
    &grpc__reflection__v1alpha__list_service_response__descriptor,
    &grpc__reflection__v1alpha__service_response__descriptor,
    &grpc__reflection__v1alpha__error_response__descriptor,
};

struct session {
    const struct dialect *dialect;
    const struct vg_rpc_methods *methods; /* borrowed */
    struct vg_rpc_call *call;             /* ours until finished */
    struct vg_task read_task;
    struct vg_task sent_task;
};

/* What one answer points at. */
struct answer {
    V1(ServerReflectionResponse) response;
    V1(FileDescriptorResponse) files;
    V1(ListServiceResponse) services;
    V1(ErrorResponse) error;
};

static char *unconst(const char *s)
{
    return (char *)s; /* protobuf-c only reads it */
}

static void answer_error(struct answer *answer, enum vg_grpc_code code, const char *text)
{
    answer->error.error_code = (int32_t)code;
    answer->error.error_message = unconst(text);
    answer->response.message_response_case = ANSWER(ERROR_RESPONSE);
    answer->response.error_response = &answer->error;
}

static const struct vg_proto_file *file_by_name(const char *name)
{
    for (size_t i = 0; i < vg_proto_file_count; i++) {
        if (strcmp(vg_proto_files[i].name, name) == 0)
            return &vg_proto_files[i];
    }
    return NULL;
}

static const struct vg_proto_file *file_by_symbol(const char *symbol)
{
    for (size_t i = 0; i < vg_proto_file_count; i++) {
        for (const char *const *at = vg_proto_files[i].symbols; *at != NULL; at++) {
            if (strcmp(*at, symbol) == 0)
                return &vg_proto_files[i];
        }
    }
    return NULL;
}

/* Adds a file and, after it, what it imports, each once. */
static void add_file(V1(FileDescriptorResponse) * files, const struct vg_proto_file *file)
{
    const struct vg_proto_file *import;

    for (size_t i = 0; i < files->n_file_descriptor_proto; i++) {
        if (files->file_descriptor_proto[i].data == file->data)
            return;
    }
    files->file_descriptor_proto[files->n_file_descriptor_proto++] =
        (ProtobufCBinaryData){file->size, (uint8_t *)file->data};
    for (const char *const *at = file->imports; *at != NULL; at++) {
        import = file_by_name(*at);
        if (import != NULL)
            add_file(files, import);
    }
}

static void answer_file(struct answer *answer, const struct vg_proto_file *file,
                        struct vg_arena *arena)
{
    if (file == NULL) {
        answer_error(answer, VG_GRPC_NOT_FOUND, "No such file or symbol.");
        return;
    }
    answer->files.file_descriptor_proto =
        vg_arena_alloc(arena, vg_proto_file_count * sizeof(ProtobufCBinaryData));
    add_file(&answer->files, file);
    answer->response.message_response_case = ANSWER(FILE_DESCRIPTOR_RESPONSE);
    answer->response.file_descriptor_response = &answer->files;
}

static void answer_services(struct answer *answer, const struct session *session,
                            struct vg_arena *arena)
{
    size_t count = session->methods->service_count;
    V1(ServiceResponse) *rows = vg_arena_alloc(arena, count * sizeof *rows);

    answer->services.service = vg_arena_alloc(arena, count * sizeof(void *));
    answer->services.n_service = count;
    for (size_t i = 0; i < count; i++) {
        protobuf_c_message_init(session->dialect->service, &rows[i]);
        rows[i].name = unconst(session->methods->services[i]);
        answer->services.service[i] = &rows[i];
    }
    answer->response.message_response_case = ANSWER(LIST_SERVICES_RESPONSE);
    answer->response.list_services_response = &answer->services;
}

static void answer_fill(struct answer *answer, const struct session *session,
                        const V1(ServerReflectionRequest) * request, struct vg_arena *arena)
{
    if (request->message_request_case == CASE(FILE_BY_FILENAME))
        answer_file(answer, file_by_name(request->file_by_filename), arena);
    else if (request->message_request_case == CASE(FILE_CONTAINING_SYMBOL))
        answer_file(answer, file_by_symbol(request->file_containing_symbol), arena);
    else if (request->message_request_case == CASE(LIST_SERVICES))
        answer_services(answer, session, arena);
    else if (request->message_request_case == CASE(FILE_CONTAINING_EXTENSION) ||
             request->message_request_case == CASE(ALL_EXTENSION_NUMBERS_OF_TYPE))
        answer_error(answer, VG_GRPC_NOT_FOUND, "There are no extensions.");
    else
        answer_error(answer, VG_GRPC_UNIMPLEMENTED, "Unknown kind of request.");
}

static void session_read(struct vg_task *task)
{
    struct session *session = VG_CONTAINER(task, struct session, read_task);
    const ProtobufCMessage *message = vg_rpc_call_request(session->call);
    struct answer answer;

    if (message == NULL) { /* half-closed, cancelled or garbage */
        vg_rpc_call_finish(session->call);
        free(session);
        return;
    }
    const V1(ServerReflectionRequest) *request = (const V1(ServerReflectionRequest) *)message;
    struct vg_arena *arena = vg_arena_new();
    protobuf_c_message_init(session->dialect->response, &answer.response);
    protobuf_c_message_init(session->dialect->files, &answer.files);
    protobuf_c_message_init(session->dialect->services, &answer.services);
    protobuf_c_message_init(session->dialect->error, &answer.error);
    answer.response.valid_host = request->host;
    answer.response.original_request = (V1(ServerReflectionRequest) *)request;
    answer_fill(&answer, session, request, arena);
    vg_rpc_call_send(session->call, &answer.response.base, vg_rpc_inline_executor(),
                     &session->sent_task);
    (void)vg_arena_free(arena); /* packed by now */
}

static void session_sent(struct vg_task *task)
{
    struct session *session = VG_CONTAINER(task, struct session, sent_task);

    vg_rpc_call_read(session->call, vg_rpc_inline_executor(), &session->read_task);
}

static void session_start(const struct vg_rpc_methods *methods, const struct dialect *dialect,
                          struct vg_rpc_call *call)
{
    struct session *session = vg_xalloc(sizeof *session);

    session->dialect = dialect;
    session->methods = methods;
    session->call = call;
    session->read_task.run = session_read;
    session->sent_task.run = session_sent;
    vg_rpc_call_read(call, vg_rpc_inline_executor(), &session->read_task);
}

static void handle_v1(void *ctx, struct vg_rpc_call *call)
{
    session_start(ctx, &dialect_v1, call);
}

static void handle_v1alpha(void *ctx, struct vg_rpc_call *call)
{
    session_start(ctx, &dialect_v1alpha, call);
}

int vg_rpc_reflection_add(struct vg_rpc_methods *methods, struct vg_err *err)
{
    static const struct vg_rpc_method v1[] = {{"ServerReflectionInfo", handle_v1, true}};
    static const struct vg_rpc_method v1alpha[] = {{"ServerReflectionInfo", handle_v1alpha, true}};
    const struct vg_rpc_service services[] = {
        {&grpc__reflection__v1__server_reflection__descriptor, v1, VG_COUNT(v1), methods},
        {&grpc__reflection__v1alpha__server_reflection__descriptor, v1alpha, VG_COUNT(v1alpha),
         methods},
    };

    for (size_t i = 0; i < VG_COUNT(services); i++) {
        if (vg_rpc_methods_add(methods, &services[i], true, err) != 0)
            return -1;
    }
    vg_rpc_methods_mark_bidi(methods, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
    vg_rpc_methods_mark_bidi(methods,
                             "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo");
    return 0;
}
