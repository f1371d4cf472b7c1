/* SPDX-License-Identifier: Apache-2.0 */
#include "service/jobs/result_probe.h"

#include <inttypes.h>

#include "common/clock.h"
#include "service/variant_probe.h"

enum {
    PROBE_MS = 5000,
    NEAR_MS = 500, /* providers round lengths to frames and to sound blocks */
};

struct file {
    struct vg_blob_reader *reader;
    int64_t deadline_ns;
    bool late, unread;
    struct vg_err err;
};

static int read_file(void *ctx, int64_t offset, void *buf, size_t len, size_t *out_len)
{
    struct file *f = ctx;
    int rc = vg_blob_read(f->reader, offset, buf, len, out_len, &f->err);

    f->unread |= rc < 0;
    return rc;
}

static bool stop(void *ctx)
{
    struct file *f = ctx;

    f->late |= vg_now_ns() >= f->deadline_ns;
    return f->late;
}

void vg_result_probe(struct vg_blob_store *blobs, const char *key, struct vg_result *out)
{
    struct file file = {.deadline_ns = vg_deadline_in_ms(PROBE_MS)};

    *out = (struct vg_result){.kind = VG_RESULT_UNREAD};
    if (vg_blob_open(blobs, key, &file.reader, &out->err) < 0)
        return;
    const struct vg_variant_source source = {.ctx = &file,
                                             .size = vg_blob_size(file.reader),
                                             .read = read_file,
                                             .stop = stop,
                                             .any_size = true};
    int rc = vg_variant_probe_source(&source, &out->facts, &out->err);
    (void)vg_blob_close(file.reader);
    if (rc == 0)
        out->kind = VG_RESULT_AS_ASKED;
    else if (file.unread)
        out->err = file.err;
    else
        out->kind = file.late ? VG_RESULT_UNSEEN : VG_RESULT_BAD;
}

static int64_t length_ms(const struct vg_variant_facts *facts)
{
    return (facts->length_us + 500) / 1000;
}

void vg_result_compare(struct vg_result *result, const Videogate__Store__V1__JobSpec *asked)
{
    const struct vg_variant_facts *got = &result->facts;
    int64_t off_ms = length_ms(got) - (int64_t)asked->seconds * 1000;

    if (result->kind == VG_RESULT_AS_ASKED &&
        (got->width != asked->width || got->height != asked->height || off_ms > NEAR_MS ||
         off_ms < -NEAR_MS || got->has_audio != (asked->audio != 0)))
        result->kind = VG_RESULT_DIFFERS;
}

static void say(struct vg_buf *out, int32_t width, int32_t height, int64_t ms, bool audio)
{
    (void)vg_buf_addf(out, "%" PRId32 "x%" PRId32 ", %" PRId64 " ms, %s", width, height, ms,
                      audio ? "sound" : "silent");
}

void vg_result_say(const struct vg_result *result, struct vg_buf *out)
{
    const struct vg_variant_facts *got = &result->facts;

    say(out, got->width, got->height, length_ms(got), got->has_audio);
}

void vg_result_say_asked(const Videogate__Store__V1__JobSpec *asked, struct vg_buf *out)
{
    say(out, asked->width, asked->height, (int64_t)asked->seconds * 1000, asked->audio != 0);
}
