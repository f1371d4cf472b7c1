/* SPDX-License-Identifier: Apache-2.0 */
#include "service/variant_probe.h"

#include <libavutil/frame.h>
#include <string.h>

#include "common/clock.h"
#include "service/variant_reader.h"

#define PROBE_MS 5000

struct memory {
    struct vg_view bytes;
    int64_t deadline_ns;
};

static int read_memory(void *ctx, int64_t offset, void *buf, size_t len, size_t *out_len)
{
    const struct memory *m = ctx;
    size_t left = m->bytes.len - (size_t)offset;

    *out_len = len < left ? len : left;
    memcpy(buf, m->bytes.data + offset, *out_len);
    return 0;
}

static bool stop(void *ctx)
{
    return vg_now_ns() >= ((const struct memory *)ctx)->deadline_ns;
}

int vg_variant_probe_source(const struct vg_variant_source *source, struct vg_variant_facts *out,
                            struct vg_err *err)
{
    struct vg_variant_reader *reader = NULL;
    const struct AVFrame *frame = NULL;

    if (vg_variant_reader_open(&reader, source, err) < 0)
        return -1;
    struct vg_variant_facts facts = vg_variant_reader_facts(reader);
    int rc = facts.decodable ? vg_variant_reader_frame(reader, 0, &frame, err) : 0;
    if (rc == 0 && frame) {
        facts.width = frame->width;
        facts.height = frame->height;
    }
    (void)vg_variant_reader_close(reader);
    if (rc == 0 && (facts.length_us <= 1 || facts.width <= 0 || facts.height <= 0))
        rc = vg_err_set(err, VG_ERR_NO_VARIANT, "no length or no size");
    if (rc == 0)
        *out = facts;
    return rc;
}

int vg_variant_probe(struct vg_view bytes, const char *param, struct vg_variant_info *out,
                     struct vg_err *err)
{
    struct memory memory = {bytes, vg_deadline_in_ms(PROBE_MS)};
    const struct vg_variant_source source = {
        .ctx = &memory, .size = (int64_t)bytes.len, .read = read_memory, .stop = stop};
    struct vg_variant_facts facts = {0};

    if (vg_variant_probe_source(&source, &facts, err) < 0)
        return vg_err_param(err, VG_ERR_INVALID_REQUEST, param,
                            "%s: this is not a video that can be decoded", param);
    int64_t seconds = (facts.length_us + 500000) / 1000000;
    *out = (struct vg_variant_info){facts.width, facts.height, seconds < 1 ? 1 : (int32_t)seconds};
    return 0;
}
