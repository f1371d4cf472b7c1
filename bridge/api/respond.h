/* SPDX-License-Identifier: Apache-2.0 */
/* Answers: JSON bodies, the OpenAI error envelope, the headers that every answer has. */
#ifndef VG_BRIDGE_API_RESPOND_H
#define VG_BRIDGE_API_RESPOND_H

#include <stdbool.h>
#include <stddef.h>

#include "bridge/http/stream.h"
#include "common/buf.h"
#include "common/err.h"

struct vg_exchange;

/* {"error":{"message","type","param","code"}}; all four keys, param and code may be null. */
void vg_envelope_write(const struct vg_err *err, struct vg_buf *out);
/* The wait that an answer names, in milliseconds; 0: none. Refusals that pass by themselves get one
 * second. */
int64_t vg_retry_after_ms(const struct vg_err *err);

/* Sends the head with the common headers and `extra` behind them; at most 12 extra. `length` -1:
 * unknown. Does nothing when the client is gone or has an answer; false then. */
bool vg_respond_head(struct vg_exchange *exchange, int status, const char *content_type,
                     int64_t length, const struct vg_header *extra, size_t extra_count);
/* A whole answer with a body. */
void vg_respond_body(struct vg_exchange *exchange, int status, const char *content_type,
                     const struct vg_buf *body, const struct vg_header *extra, size_t extra_count);

/* Conditional answers: a weak ETag (`etag` without quotes and W/) and a cache that must ask. */
#define VG_ETAG_SIZE 48
#define VG_CACHE_HEADERS 2
/* Writes the headers, in memory that lives as long as the exchange. Returns VG_CACHE_HEADERS. */
size_t vg_cache_headers(struct vg_exchange *exchange, const char *etag,
                        struct vg_header out[VG_CACHE_HEADERS]);
/* When the caller has this already (If-None-Match): answers 304 with these headers and `extra`;
 * true. */
bool vg_respond_unchanged(struct vg_exchange *exchange, const char *etag,
                          const struct vg_header *extra, size_t extra_count);
void vg_respond_error(struct vg_exchange *exchange, const struct vg_err *err);
/* An error with the text of the table. */
void vg_respond_kind(struct vg_exchange *exchange, enum vg_err_kind kind);
/* A failed call to the service. What a 5xx says (addresses, library texts) is for the log, not for
 * callers. */
void vg_respond_call_error(struct vg_exchange *exchange, const struct vg_err *err);
void vg_respond_error_with(struct vg_exchange *exchange, const struct vg_err *err,
                           const struct vg_header *extra, size_t extra_count);

#endif
