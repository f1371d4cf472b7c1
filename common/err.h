/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: one kind out of common/err_table.h plus a detail for this occasion. Plain values, any
 * thread.
 *
 * A fallible function returns 0, or -1 with `err` filled; it carries VG_MUSTCHECK. Out-parameters
 * are written only on success, `err` only on failure. `err` may be NULL where the caller does not
 * care. */
#ifndef VG_COMMON_ERR_H
#define VG_COMMON_ERR_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err_table.h"

#define VG_MUSTCHECK __attribute__((warn_unused_result))
#define VG_PRINTF(fmt_at, args_at) __attribute__((format(printf, fmt_at, args_at)))

/* gRPC status codes, https://grpc.github.io/grpc/core/md_doc_statuscodes.html */
enum vg_grpc_code {
    VG_GRPC_OK = 0,
    VG_GRPC_CANCELLED,
    VG_GRPC_UNKNOWN,
    VG_GRPC_INVALID_ARGUMENT,
    VG_GRPC_DEADLINE_EXCEEDED,
    VG_GRPC_NOT_FOUND,
    VG_GRPC_ALREADY_EXISTS,
    VG_GRPC_PERMISSION_DENIED,
    VG_GRPC_RESOURCE_EXHAUSTED,
    VG_GRPC_FAILED_PRECONDITION,
    VG_GRPC_ABORTED,
    VG_GRPC_OUT_OF_RANGE,
    VG_GRPC_UNIMPLEMENTED,
    VG_GRPC_INTERNAL,
    VG_GRPC_UNAVAILABLE,
    VG_GRPC_DATA_LOSS,
    VG_GRPC_UNAUTHENTICATED,
    VG_GRPC_MAX
};

#define VG_ERR_ENUM(name, reason, grpc, http, type, code, retryable, text) VG_ERR_##name,
enum vg_err_kind { VG_ERR_TABLE(VG_ERR_ENUM) VG_ERR_MAX };
#undef VG_ERR_ENUM

struct vg_err_info {
    const char *reason;
    enum vg_grpc_code grpc;
    int http;
    const char *type;
    const char *code; /* NULL: JSON null */
    bool retryable;
    const char *text;
};

struct vg_err {
    enum vg_err_kind kind;
    int64_t retry_after_ms; /* 0: none */
    char param[64];         /* field the error is about; "" none */
    char detail[448];       /* client-safe sentence; "" means the table's text */
};

/* The row of a kind. */
const struct vg_err_info *vg_err_info(enum vg_err_kind kind);
/* Finds a kind by reason; -1 when unknown. */
int vg_err_kind_by_reason(const char *reason);
/* The kind that stands for a bare gRPC status code (a peer that is not ours). */
enum vg_err_kind vg_err_kind_by_grpc(int code);
/* The text to show: detail, or the table's. Borrowed from `err`. */
const char *vg_err_text(const struct vg_err *err);

/* Fills `err` and returns -1. `fmt` NULL keeps the table's text. The detail is cut to fit on a
 * UTF-8 border. */
int vg_err_set(struct vg_err *err, enum vg_err_kind kind, const char *fmt, ...) VG_PRINTF(3, 4);
/* As vg_err_set, naming the field. */
int vg_err_param(struct vg_err *err, enum vg_err_kind kind, const char *param, const char *fmt, ...)
    VG_PRINTF(4, 5);

/* The analyzer cannot see into err.c; without the -1 it takes every failure for a possible success.
 */
#ifdef __clang_analyzer__
#define vg_err_set(...) ((void)vg_err_set(__VA_ARGS__), -1)
#define vg_err_param(...) ((void)vg_err_param(__VA_ARGS__), -1)
#endif

/* VG_ASSERT: for our own bugs alone; stays on in release, prints and aborts. */
_Noreturn void vg_assert_fail(const char *expr, const char *file, int line);
#define VG_ASSERT(expr) ((expr) ? (void)0 : vg_assert_fail(#expr, __FILE__, __LINE__))

#endif
