/* SPDX-License-Identifier: Apache-2.0 */
/* How Google's APIs tell failures (reference/providers.md 1.5 and 2.6): the same envelope and
 * details for the Gemini API, Vertex AI and Cloud Storage. Pure; any thread. */
#ifndef VG_WORKERS_PROVIDERS_GOOGLE_ERROR_H
#define VG_WORKERS_PROVIDERS_GOOGLE_ERROR_H

#include <stdint.h>

#include "workers/upstream/fault.h"

/* ErrorInfo's reason says more than the status, and stands at no fixed place among the details. */
#define VG_GOOGLE_CODE_PATHS                                                                       \
    "error.details.0.reason", "error.details.1.reason", "error.details.2.reason", "error.status",  \
        NULL
#define VG_GOOGLE_MESSAGE_PATHS "error.message", NULL

/* clang-format off */
#define VG_GOOGLE_FAULTS \
    {400, "API_KEY_INVALID", NULL, VG_CLASS(AUTH), 0}, \
    {400, NULL, "API key not valid", VG_CLASS(AUTH), 0}, \
    {400, NULL, "API key expired", VG_CLASS(AUTH), 0}, \
    {400, "FAILED_PRECONDITION", NULL, VG_CLASS(BILLING), 0}, \
    {403, "BILLING_DISABLED", NULL, VG_CLASS(BILLING), 0}, \
    {403, "SERVICE_DISABLED", NULL, VG_CLASS(AUTH), 0}, \
    {403, "IAM_PERMISSION_DENIED", NULL, VG_CLASS(AUTH), 0}, \
    {400, NULL, "no longer available", VG_CLASS(MODEL_GONE), 0}, \
    {429, "MODEL_CAPACITY_EXHAUSTED", NULL, VG_CLASS(OVERLOADED), 0}, \
    {503, "MODEL_CAPACITY_EXHAUSTED", NULL, VG_CLASS(OVERLOADED), 0}, \
    {0, VG_GOOGLE_FILTERED, NULL, VG_CLASS(CONTENT_FILTERED), 0}, \
    {400, NULL, "Responsible AI", VG_CLASS(CONTENT_FILTERED), 0}, \
    {400, NULL, "usage guidelines", VG_CLASS(CONTENT_FILTERED), 0}, \
    {400, NULL, "sensitive words", VG_CLASS(CONTENT_FILTERED), 0}, \
    {400, NULL, "safety", VG_CLASS(CONTENT_FILTERED), 0}, \
    {400, NULL, "Support codes", VG_CLASS(CONTENT_FILTERED), 0}, \
    {0, "operation:*", "Responsible AI", VG_CLASS(CONTENT_FILTERED), 0}, \
    {0, "operation:*", "usage guidelines", VG_CLASS(CONTENT_FILTERED), 0}, \
    {0, "operation:*", "sensitive words", VG_CLASS(CONTENT_FILTERED), 0}, \
    {0, "operation:*", "safety", VG_CLASS(CONTENT_FILTERED), 0}, \
    {0, "operation:*", "Support codes", VG_CLASS(CONTENT_FILTERED), 0}, \
    {0, "operation:INVALID_ARGUMENT", NULL, VG_CLASS(INVALID_REQUEST), 0}, \
    {0, "operation:DEADLINE_EXCEEDED", NULL, VG_CLASS(TIMEOUT), 0}, \
    {0, "operation:NOT_FOUND", NULL, VG_CLASS(UPSTREAM_INTERNAL), 0}, \
    {0, "operation:PERMISSION_DENIED", NULL, VG_CLASS(AUTH), 0}, \
    {0, "operation:RESOURCE_EXHAUSTED", NULL, VG_CLASS(OVERLOADED), 0}, \
    {0, "operation:FAILED_PRECONDITION", NULL, VG_CLASS(INVALID_REQUEST), 0}, \
    {0, "operation:UNAVAILABLE", NULL, VG_CLASS(OVERLOADED), 0}, \
    {0, "operation:UNAUTHENTICATED", NULL, VG_CLASS(AUTH), 0}
/* clang-format on */

/* What jobs are said to have failed of where the API has no word for it. */
#define VG_GOOGLE_FILTERED "rai_media_filtered"
#define VG_GOOGLE_EMPTY "no_video"

/* "operation:INVALID_ARGUMENT" and the like for the number in an operation's error. */
const char *vg_google_operation_code(int64_t code);
/* The wait that the details of an error ask for, in milliseconds: RetryInfo, or for a quota by the
 * day until it begins anew (midnight Pacific). 0: none. */
int64_t vg_google_retry_after(const struct vg_answer *answer);
/* The same for a given time, for tests. */
int64_t vg_google_wait(const struct vg_json *root, int64_t wall_ms);

#endif
