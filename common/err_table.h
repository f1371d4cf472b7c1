/* SPDX-License-Identifier: Apache-2.0 */
/* The one error table: X(NAME, reason, grpc, http, type, code, retryable, text), sorted by HTTP
 * status. reason  ErrorInfo.reason on the wire and the name in logs grpc    gRPC status code http
 * HTTP status type    OpenAI `error.type`; code: OpenAI `error.code`, "" for null retryable  the
 * same request may succeed later text    what a caller reads when no better detail is given */
/* clang-format off */
#define VG_ERR_TABLE(X) \
    X(INVALID_REQUEST, "INVALID_REQUEST", VG_GRPC_INVALID_ARGUMENT, 400, "invalid_request_error", "", false, "The request is not valid.") \
    X(INVALID_JSON, "INVALID_JSON", VG_GRPC_INVALID_ARGUMENT, 400, "invalid_request_error", "", false, "Invalid JSON in request body.") \
    X(UNSUPPORTED, "UNSUPPORTED", VG_GRPC_INVALID_ARGUMENT, 400, "invalid_request_error", "", false, "The model does not support these parameters.") \
    X(UNAUTHENTICATED, "UNAUTHENTICATED", VG_GRPC_UNAUTHENTICATED, 401, "invalid_request_error", "invalid_api_key", false, "Missing or wrong API key. Send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'.") \
    X(BILLING, "BILLING", VG_GRPC_RESOURCE_EXHAUSTED, 402, "invalid_request_error", "billing_error", false, "The spend limit of this month is used up.") \
    X(PERMISSION_DENIED, "PERMISSION_DENIED", VG_GRPC_PERMISSION_DENIED, 403, "invalid_request_error", "permission_denied", false, "This key may not do that.") \
    X(NOT_FOUND, "NOT_FOUND", VG_GRPC_NOT_FOUND, 404, "invalid_request_error", "not_found", false, "Not found.") \
    X(METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED", VG_GRPC_UNIMPLEMENTED, 405, "invalid_request_error", "method_not_allowed", false, "This method is not allowed here.") \
    X(REQUEST_TIMEOUT, "REQUEST_TIMEOUT", VG_GRPC_CANCELLED, 408, "timeout_error", "timeout", true, "The request did not arrive in time.") \
    X(CONFLICT, "CONFLICT", VG_GRPC_ABORTED, 409, "invalid_request_error", "conflict", true, "Another request with the same idempotency key is in flight.") \
    X(ALREADY_EXISTS, "ALREADY_EXISTS", VG_GRPC_ALREADY_EXISTS, 409, "invalid_request_error", "already_exists", false, "This exists already.") \
    X(NOT_READY, "NOT_READY", VG_GRPC_FAILED_PRECONDITION, 409, "invalid_request_error", "not_ready", false, "The video is not ready yet.") \
    X(GONE, "GONE", VG_GRPC_FAILED_PRECONDITION, 410, "invalid_request_error", "gone", false, "This is gone.") \
    X(TOO_LARGE, "TOO_LARGE", VG_GRPC_RESOURCE_EXHAUSTED, 413, "invalid_request_error", "request_too_large", false, "The request body is too large.") \
    X(URI_TOO_LONG, "URI_TOO_LONG", VG_GRPC_INVALID_ARGUMENT, 414, "invalid_request_error", "uri_too_long", false, "The address is too long.") \
    X(UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", VG_GRPC_INVALID_ARGUMENT, 415, "invalid_request_error", "unsupported_media_type", false, "This content type is not supported.") \
    X(RANGE_NOT_SATISFIABLE, "RANGE_NOT_SATISFIABLE", VG_GRPC_OUT_OF_RANGE, 416, "invalid_request_error", "range_not_satisfiable", false, "The range cannot be served.") \
    X(IDEMPOTENCY_MISMATCH, "IDEMPOTENCY_MISMATCH", VG_GRPC_INVALID_ARGUMENT, 422, "invalid_request_error", "idempotency_mismatch", false, "The idempotency key was used with other parameters.") \
    X(NO_VARIANT, "NO_VARIANT", VG_GRPC_FAILED_PRECONDITION, 422, "invalid_request_error", "no_variant", false, "This picture cannot be made of the video.") \
    X(RATE_LIMITED, "RATE_LIMITED", VG_GRPC_RESOURCE_EXHAUSTED, 429, "rate_limit_error", "rate_limit_exceeded", true, "Too many requests.") \
    X(CONCURRENCY_LIMITED, "CONCURRENCY_LIMITED", VG_GRPC_RESOURCE_EXHAUSTED, 429, "rate_limit_error", "concurrency_limit_exceeded", true, "Too many videos are queued or in progress. Try again when one has ended.") \
    X(HEADERS_TOO_LARGE, "HEADERS_TOO_LARGE", VG_GRPC_INVALID_ARGUMENT, 431, "invalid_request_error", "headers_too_large", false, "The request headers are too large.") \
    X(CANCELLED, "CANCELLED", VG_GRPC_CANCELLED, 499, "api_error", "request_cancelled", false, "The caller went away.") \
    X(INTERNAL, "INTERNAL", VG_GRPC_INTERNAL, 500, "api_error", "", false, "Something went wrong on our side.") \
    X(UNIMPLEMENTED, "UNIMPLEMENTED", VG_GRPC_UNIMPLEMENTED, 501, "api_error", "", false, "This is not implemented.") \
    X(BAD_GATEWAY, "BAD_GATEWAY", VG_GRPC_UNAVAILABLE, 502, "api_error", "", true, "A service behind this one gave a bad answer.") \
    X(UNAVAILABLE, "UNAVAILABLE", VG_GRPC_UNAVAILABLE, 503, "api_error", "", true, "The service is not available right now.") \
    X(OVERLOADED, "OVERLOADED", VG_GRPC_RESOURCE_EXHAUSTED, 503, "api_error", "overloaded", true, "The service is overloaded.") \
    X(DEADLINE, "DEADLINE", VG_GRPC_DEADLINE_EXCEEDED, 504, "timeout_error", "timeout", true, "The deadline passed.") \
    X(STORAGE_FULL, "STORAGE_FULL", VG_GRPC_RESOURCE_EXHAUSTED, 507, "api_error", "storage_full", true, "The store has no space left.")
/* clang-format on */
