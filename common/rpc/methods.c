/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc/methods.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void vg_rpc_methods_init(struct vg_rpc_methods *methods)
{
    *methods = (struct vg_rpc_methods){0};
}

void vg_rpc_methods_fini(struct vg_rpc_methods *methods)
{
    for (size_t i = 0; i < methods->count; i++)
        free(methods->entries[i].path);
    free(methods->entries);
    free(methods->services);
    vg_rpc_methods_init(methods);
}

static char *make_path(const char *service, const char *method)
{
    size_t size = strlen(service) + strlen(method) + 3;
    char *path = vg_xalloc(size);

    (void)snprintf(path, size, "/%s/%s", service, method);
    return path;
}

static const ProtobufCMethodDescriptor *find_method(const ProtobufCServiceDescriptor *service,
                                                    const char *name)
{
    for (unsigned i = 0; i < service->n_methods; i++) {
        if (strcmp(service->methods[i].name, name) == 0)
            return &service->methods[i];
    }
    return NULL;
}

static struct vg_rpc_entry *push(struct vg_rpc_methods *methods)
{
    if (methods->count == methods->cap) {
        methods->cap = methods->cap ? methods->cap * 2 : 32;
        methods->entries = vg_xrealloc(methods->entries, methods->cap * sizeof *methods->entries);
    }
    return &methods->entries[methods->count++];
}

int vg_rpc_methods_add(struct vg_rpc_methods *methods, const struct vg_rpc_service *service,
                       bool builtin, struct vg_err *err)
{
    for (size_t i = 0; i < service->method_count; i++) {
        const struct vg_rpc_method *row = &service->methods[i];
        const ProtobufCMethodDescriptor *method = find_method(service->descriptor, row->name);

        if (method == NULL)
            return vg_err_set(err, VG_ERR_INTERNAL, "no method %s in %s", row->name,
                              service->descriptor->name);
        *push(methods) = (struct vg_rpc_entry){
            .path = make_path(service->descriptor->name, row->name),
            .input = method->input,
            .output = method->output,
            .kind = row->server_streaming ? VG_RPC_SERVER_STREAM : VG_RPC_UNARY,
            .handler = row->handler,
            .ctx = service->ctx,
            .builtin = builtin,
        };
    }
    methods->services =
        vg_xrealloc(methods->services, (methods->service_count + 1) * sizeof *methods->services);
    methods->services[methods->service_count++] = service->descriptor->name;
    return 0;
}

void vg_rpc_methods_mark_bidi(struct vg_rpc_methods *methods, const char *path)
{
    for (size_t i = 0; i < methods->count; i++) {
        if (strcmp(methods->entries[i].path, path) == 0)
            methods->entries[i].kind = VG_RPC_BIDI;
    }
}

static int by_path(const void *a, const void *b)
{
    const struct vg_rpc_entry *x = a;
    const struct vg_rpc_entry *y = b;

    return strcmp(x->path, y->path);
}

void vg_rpc_methods_seal(struct vg_rpc_methods *methods)
{
    qsort(methods->entries, methods->count, sizeof *methods->entries, by_path);
}

static int path_to_entry(const void *path, const void *entry)
{
    return strcmp(path, ((const struct vg_rpc_entry *)entry)->path);
}

struct vg_rpc_entry *vg_rpc_methods_find(const struct vg_rpc_methods *methods, const char *path)
{
    if (methods->count == 0)
        return NULL;
    return bsearch(path, methods->entries, methods->count, sizeof *methods->entries, path_to_entry);
}

bool vg_rpc_methods_has_service(const struct vg_rpc_methods *methods, const char *name)
{
    for (size_t i = 0; i < methods->service_count; i++) {
        if (strcmp(methods->services[i], name) == 0)
            return true;
    }
    return false;
}
