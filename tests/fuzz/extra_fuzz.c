/* SPDX-License-Identifier: Apache-2.0 */
/* Further parameters: what is kept is bounded, is JSON, and is the same when it is read again. */
#include <stdint.h>
#include <string.h>

#include "common/json.h"
#include "service/extra.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *names[] = {"seed", "negative_prompt", "lora"};
    struct vg_route route = {.extra = names, .extra_count = 3};
    const struct vg_model model = {.routes = &route, .route_count = 1};
    struct vg_arena *arena = vg_arena_new();
    const char *text = vg_arena_memdup(arena, data, size);
    struct vg_extra extra, again;
    struct vg_err err;

    if (vg_extra_read(text, &model, arena, &extra, &err) < 0) {
        VG_ASSERT(err.kind == VG_ERR_INVALID_REQUEST && err.param[0]);
    } else {
        const char *kept = vg_extra_of(&extra, &route, arena);
        VG_ASSERT((kept != NULL) == (extra.count > 0));
        if (kept) {
            VG_ASSERT(strlen(kept) <= VG_EXTRA_MAX_BYTES);
            VG_ASSERT(vg_extra_read(kept, &model, arena, &again, &err) == 0);
            VG_ASSERT(strcmp(vg_extra_of(&again, NULL, arena), kept) == 0);
        }
    }
    (void)vg_arena_free(arena);
    return 0;
}
