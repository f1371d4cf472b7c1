/* SPDX-License-Identifier: Apache-2.0 */
#include "service/jobs/error_class.h"

#include "common/mem.h"

#define CLASS(x) VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_##x
#define PROVIDER_ERROR .code = "provider_error", .message = "The provider could not make the video."
#define BUSY .code = "provider_error", .message = "The provider is overloaded."

static const struct vg_error_class table[] = {
    [CLASS(UNSPECIFIED)] = {.word = "unspecified", PROVIDER_ERROR, .blame = VG_BLAME_PROVIDER},
    [CLASS(INVALID_REQUEST)] = {.word = "invalid_request",
                                .code = "invalid_request",
                                .message = "The provider refused the request as invalid.",
                                .final = true,
                                .blame = VG_BLAME_NOBODY},
    [CLASS(CONTENT_FILTERED)] = {.word = "content_filtered",
                                 .code = "content_filtered",
                                 .message = "The request was refused by the content policy.",
                                 .final = true,
                                 .blame = VG_BLAME_NOBODY},
    [CLASS(AUTH)] = {.word = "auth",
                     PROVIDER_ERROR,
                     .better_elsewhere = true,
                     .blame = VG_BLAME_PROVIDER},
    [CLASS(BILLING)] = {.word = "billing",
                        PROVIDER_ERROR,
                        .better_elsewhere = true,
                        .blame = VG_BLAME_PROVIDER},
    [CLASS(MODEL_GONE)] = {.word = "model_gone",
                           PROVIDER_ERROR,
                           .better_elsewhere = true,
                           .blame = VG_BLAME_MODEL},
    [CLASS(RATE_LIMITED)] = {.word = "rate_limited",
                             BUSY,
                             .throttled = true,
                             .blame = VG_BLAME_NOBODY},
    [CLASS(CONCURRENCY_FULL)] = {.word = "concurrency_full",
                                 BUSY,
                                 .better_elsewhere = true,
                                 .throttled = true,
                                 .blame = VG_BLAME_NOBODY},
    [CLASS(
        OVERLOADED)] = {.word = "overloaded", BUSY, .throttled = true, .blame = VG_BLAME_PROVIDER},
    [CLASS(UPSTREAM_INTERNAL)] = {.word = "upstream_internal",
                                  PROVIDER_ERROR,
                                  .blame = VG_BLAME_PROVIDER},
    [CLASS(TIMEOUT)] = {.word = "timeout",
                        .code = "timeout",
                        .message = "The provider did not answer in time.",
                        .blame = VG_BLAME_PROVIDER},
    [CLASS(NETWORK)] = {.word = "network", PROVIDER_ERROR, .blame = VG_BLAME_PROVIDER},
    [CLASS(RESULT_EXPIRED)] = {.word = "result_expired", PROVIDER_ERROR, .blame = VG_BLAME_MODEL},
    [CLASS(NOT_FOUND)] = {.word = "not_found", PROVIDER_ERROR, .blame = VG_BLAME_MODEL},
};

const struct vg_error_class *vg_error_class(Videogate__V1__ErrorClass class)
{
    size_t i = (size_t) class;
    return i < VG_COUNT(table) ? &table[i] : &table[CLASS(UNSPECIFIED)];
}
