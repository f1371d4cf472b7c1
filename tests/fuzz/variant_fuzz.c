/* SPDX-License-Identifier: Apache-2.0 */
/* Making pictures of a stored video, and looking at one: whatever the file is, the work ends within
 * its bounds, and what it gives is a file of its type, or facts that can be. */
#include <stdint.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "service/variant_media.h"
#include "service/variant_probe.h"

struct file {
    const uint8_t *data;
    size_t size;
    int64_t deadline_ns;
};

static int read_file(void *ctx, int64_t offset, void *buf, size_t len, size_t *out_len)
{
    const struct file *f = ctx;

    VG_ASSERT(offset >= 0 && (uint64_t)offset <= f->size);
    size_t left = f->size - (size_t)offset;
    *out_len = len < left ? len : left;
    if (*out_len > 0)
        memcpy(buf, f->data + offset, *out_len);
    return 0;
}

static bool stop(void *ctx)
{
    return vg_now_ns() >= ((const struct file *)ctx)->deadline_ns;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    vg_variant_media_setup();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct file file = {data, size, vg_deadline_in_ms(500)};
    const struct vg_variant_source source = {
        .ctx = &file, .size = (int64_t)size, .read = read_file, .stop = stop};
    struct vg_err err = {.kind = VG_ERR_MAX};
    struct vg_variant_facts facts;
    struct vg_buf out;

    vg_buf_init(&out, VG_VARIANT_MAX_BYTES);
    if (vg_variant_thumbnail(&source, &out, &err) == 0)
        VG_ASSERT(out.len > 12 && memcmp(out.data + 8, "WEBP", 4) == 0);
    else
        VG_ASSERT(err.kind == VG_ERR_NO_VARIANT && err.detail[0]);
    vg_buf_clear(&out);
    if (vg_variant_spritesheet(&source, &out, &err) == 0)
        VG_ASSERT(out.len > 3 && memcmp(out.data, "\xff\xd8\xff", 3) == 0);
    else
        VG_ASSERT(err.kind == VG_ERR_NO_VARIANT && err.detail[0]);
    vg_buf_fini(&out);
    struct vg_variant_source any = source;
    any.any_size = true;
    file.deadline_ns = vg_deadline_in_ms(500);
    if (vg_variant_probe_source(&any, &facts, &err) == 0)
        VG_ASSERT(facts.width > 0 && facts.height > 0 && facts.length_us > 1 && facts.codec);
    else
        VG_ASSERT(err.kind == VG_ERR_NO_VARIANT && err.detail[0]);
    return 0;
}
