/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/upstream/base64_stream.h"

#include <string.h>

#include "common/str.h"

static int decode(const char *text, size_t len, struct vg_buf *out)
{
    char *at = vg_buf_reserve(out, (len / 4 + 1) * 3);
    size_t n;

    if (!at || vg_base64_decode(at, &n, text, len) != 0)
        return -1;
    vg_buf_commit(out, n);
    return 0;
}

/* Whole groups that others follow. */
static int decode_inner(const char *text, size_t len, struct vg_buf *out)
{
    if (len == 0)
        return 0;
    return text[len - 1] == '=' ? -1 : decode(text, len, out);
}

int vg_base64_stream_feed(struct vg_base64_stream *self, const char *text, size_t len,
                          struct vg_buf *out)
{
    while (self->kept_len < sizeof(self->kept) && len) {
        self->kept[self->kept_len++] = *text++;
        len--;
    }
    if (len == 0)
        return 0;
    /* More follows what was kept; keep the last one to four of the new ones instead. */
    size_t inner = (len - 1) / 4 * 4;
    if (decode_inner(self->kept, sizeof(self->kept), out) != 0 ||
        decode_inner(text, inner, out) != 0)
        return -1;
    self->kept_len = len - inner;
    memcpy(self->kept, text + inner, self->kept_len);
    return 0;
}

int vg_base64_stream_end(struct vg_base64_stream *self, struct vg_buf *out)
{
    size_t len = self->kept_len;

    self->kept_len = 0;
    return len ? decode(self->kept, len, out) : 0;
}
