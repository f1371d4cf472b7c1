/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/script.h"

#include <string.h>

#include "common/mem.h"

/* Sorted by model. */
static const struct vg_sandbox_script scripts[] = {
    {.model = "sandbox-ambiguous", .renders = true, .loses_answer = true},
    {.model = "sandbox-fail",
     .failure = VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_UPSTREAM_INTERNAL,
     .fallback_ok = true,
     .code = "sandbox_failure",
     .text = "The provider failed to make this video."},
    {.model = "sandbox-flaky", .renders = true, .refuses_first = true},
    {.model = "sandbox-instant", .instant = true},
    {.model = "sandbox-moderation",
     .failure = VIDEOGATE__V1__ERROR_CLASS__ERROR_CLASS_CONTENT_FILTERED,
     .code = "sandbox_moderation",
     .text = "The request was refused by the provider's content moderation."},
    {.model = "sandbox-never"},
    {.model = "sandbox-slow", .renders = true, .waits = true},
    {.model = "sandbox-truncated", .renders = true, .cuts_first_fetch = true},
};
static const struct vg_sandbox_script plain = {.model = "sandbox", .renders = true};

const char *vg_sandbox_script_model(const Videogate__V1__SubmitRequest *request)
{
    const char *model = request->model;

    if (strcmp(model, "sandbox-partial") == 0)
        model = request->index % 2 == 0 ? "sandbox-instant" : "sandbox-fail";
    return request->source && strcmp(model, "sandbox-instant") == 0 ? plain.model : model;
}

const struct vg_sandbox_script *vg_sandbox_script_of(const char *model)
{
    for (size_t i = 0; i < VG_COUNT(scripts); i++) {
        if (strcmp(scripts[i].model, model) == 0)
            return &scripts[i];
    }
    return &plain;
}
