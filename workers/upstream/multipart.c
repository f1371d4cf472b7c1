/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/upstream/multipart.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "common/str.h"

#define TYPE_PREFIX "multipart/form-data; boundary="

/* A fair guess at a boundary; the number of the guess makes the next one differ. */
static void guess(char *out, size_t size, uint64_t seed, unsigned number)
{
    char text[32];

    (void)snprintf(text, sizeof(text), "%u", number);
    uint64_t first = vg_fnv1a(vg_view_of(text), seed), second = vg_fnv1a(VG_VIEW("2"), first);
    (void)snprintf(out, size, "videogate-%016" PRIx64 "%016" PRIx64, first, second);
}

static bool occurs(const char *boundary, const struct vg_form_part *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (memmem(parts[i].data.data, parts[i].data.len, boundary, strlen(boundary)))
            return true;
    }
    return false;
}

/* A name inside quotes, as browsers write it. */
static int put_quoted(struct vg_buf *out, const char *text)
{
    static const char special[] = "\"\r\n";
    static const char *const written[] = {"%22", "%0D", "%0A"};

    while (*text) {
        size_t n = strcspn(text, special);
        if (vg_buf_add(out, text, n) != 0)
            return -1;
        text += n;
        if (!*text)
            break;
        if (vg_buf_adds(out, written[strchr(special, *text) - special]) != 0)
            return -1;
        text++;
    }
    return 0;
}

static int put_part(struct vg_buf *out, const struct vg_form_part *part, const char *boundary)
{
    if (part->content_type && strpbrk(part->content_type, "\r\n"))
        return -1;
    if (vg_buf_addf(out, "--%s\r\nContent-Disposition: form-data; name=\"", boundary) != 0 ||
        put_quoted(out, part->name) != 0)
        return -1;
    if (part->filename &&
        (vg_buf_adds(out, "\"; filename=\"") != 0 || put_quoted(out, part->filename) != 0))
        return -1;
    if (vg_buf_adds(out, "\"\r\n") != 0)
        return -1;
    if (part->content_type && vg_buf_addf(out, "Content-Type: %s\r\n", part->content_type) != 0)
        return -1;
    if (vg_buf_adds(out, "\r\n") != 0 || vg_buf_add(out, part->data.data, part->data.len) != 0)
        return -1;
    return vg_buf_adds(out, "\r\n");
}

int vg_form_write(struct vg_buf *out, const struct vg_form_part *parts, size_t count, uint64_t seed,
                  char out_type[VG_FORM_TYPE_SIZE])
{
    char boundary[VG_FORM_TYPE_SIZE - sizeof(TYPE_PREFIX)];
    unsigned number = 0;

    do {
        guess(boundary, sizeof(boundary), seed, number++);
    } while (occurs(boundary, parts, count));
    for (size_t i = 0; i < count; i++) {
        if (put_part(out, &parts[i], boundary) != 0)
            return -1;
    }
    if (vg_buf_addf(out, "--%s--\r\n", boundary) != 0)
        return -1;
    (void)snprintf(out_type, VG_FORM_TYPE_SIZE, TYPE_PREFIX "%s", boundary);
    return 0;
}
