/* SPDX-License-Identifier: Apache-2.0 */
#include "common/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/str.h"

#define ERR_ROW(name, reason, grpc, http, type, code, retryable, text)                             \
    [VG_ERR_##name] = {(reason),    (grpc), (http), (type), sizeof(code) > 1 ? (code) : NULL,      \
                       (retryable), (text)},
static const struct vg_err_info err_infos[] = {VG_ERR_TABLE(ERR_ROW)};
#undef ERR_ROW

/* What a bare status of a foreign peer means to us; several kinds share a code, so this is a
 * choice. */
static const enum vg_err_kind kinds_by_grpc[VG_GRPC_MAX] = {
    [VG_GRPC_OK] = VG_ERR_INTERNAL,
    [VG_GRPC_CANCELLED] = VG_ERR_CANCELLED,
    [VG_GRPC_UNKNOWN] = VG_ERR_INTERNAL,
    [VG_GRPC_INVALID_ARGUMENT] = VG_ERR_INVALID_REQUEST,
    [VG_GRPC_DEADLINE_EXCEEDED] = VG_ERR_DEADLINE,
    [VG_GRPC_NOT_FOUND] = VG_ERR_NOT_FOUND,
    [VG_GRPC_ALREADY_EXISTS] = VG_ERR_CONFLICT,
    [VG_GRPC_PERMISSION_DENIED] = VG_ERR_PERMISSION_DENIED,
    [VG_GRPC_RESOURCE_EXHAUSTED] = VG_ERR_OVERLOADED,
    [VG_GRPC_FAILED_PRECONDITION] = VG_ERR_NOT_READY,
    [VG_GRPC_ABORTED] = VG_ERR_CONFLICT,
    [VG_GRPC_OUT_OF_RANGE] = VG_ERR_RANGE_NOT_SATISFIABLE,
    [VG_GRPC_UNIMPLEMENTED] = VG_ERR_UNIMPLEMENTED,
    [VG_GRPC_INTERNAL] = VG_ERR_INTERNAL,
    [VG_GRPC_UNAVAILABLE] = VG_ERR_UNAVAILABLE,
    [VG_GRPC_DATA_LOSS] = VG_ERR_INTERNAL,
    [VG_GRPC_UNAUTHENTICATED] = VG_ERR_UNAUTHENTICATED,
};

const struct vg_err_info *vg_err_info(enum vg_err_kind kind)
{
    VG_ASSERT((int)kind >= 0 && kind < VG_ERR_MAX);
    return &err_infos[kind];
}

int vg_err_kind_by_reason(const char *reason)
{
    if (!reason)
        return -1;
    for (size_t i = 0; i < VG_COUNT(err_infos); i++) {
        if (strcmp(err_infos[i].reason, reason) == 0)
            return (int)i;
    }
    return -1;
}

enum vg_err_kind vg_err_kind_by_grpc(int code)
{
    return code < 0 || code >= VG_GRPC_MAX ? VG_ERR_INTERNAL : kinds_by_grpc[code];
}

const char *vg_err_text(const struct vg_err *err)
{
    return err->detail[0] ? err->detail : vg_err_info(err->kind)->text;
}

static VG_PRINTF(4, 0) void err_fill(struct vg_err *err, enum vg_err_kind kind, const char *param,
                                     const char *fmt, va_list args)
{
    /* Formatted aside first: the arguments may point into `err` itself. */
    struct vg_err fresh = {.kind = kind};
    if (param)
        (void)vg_strcpy(fresh.param, sizeof fresh.param, param);
    if (fmt) {
        int n = vsnprintf(fresh.detail, sizeof fresh.detail, fmt, args);
        if (n >= (int)sizeof fresh.detail)
            fresh.detail[vg_utf8_cut(fresh.detail, sizeof fresh.detail - 1)] = '\0';
    }
    *err = fresh;
}

/* The definitions, not the analyzer's view of them. */
#undef vg_err_set
#undef vg_err_param

int vg_err_set(struct vg_err *err, enum vg_err_kind kind, const char *fmt, ...)
{
    if (!err)
        return -1;
    va_list args;
    va_start(args, fmt);
    err_fill(err, kind, NULL, fmt, args);
    va_end(args);
    return -1;
}

int vg_err_param(struct vg_err *err, enum vg_err_kind kind, const char *param, const char *fmt, ...)
{
    if (!err)
        return -1;
    va_list args;
    va_start(args, fmt);
    err_fill(err, kind, param, fmt, args);
    va_end(args);
    return -1;
}

_Noreturn void vg_assert_fail(const char *expr, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: assertion failed: %s\n", file, line, expr);
    abort();
}
