/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/webhook/answer.h"

#include <string.h>

#include "common/str.h"

/* Bytes of the character that begins there; 0: none does. */
static size_t width_of(const char *at, size_t left)
{
    const unsigned char c = (unsigned char)*at;
    size_t width = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : 2;

    return width <= left && vg_utf8_valid(at, width) ? width : 0;
}

void vg_webhook_answer(char out[VG_WEBHOOK_ANSWER + 1], struct vg_view body)
{
    size_t len = 0;

    for (size_t i = 0; i < body.len && len < VG_WEBHOOK_ANSWER;) {
        const unsigned char c = (unsigned char)body.data[i];
        size_t width = width_of(body.data + i, body.len - i);

        if (width > VG_WEBHOOK_ANSWER - len)
            break;
        if (width == 0 || c < 0x20 || c == 0x7f) {
            out[len++] = width == 0 ? '?' : ' ';
            i++;
        } else {
            memcpy(out + len, body.data + i, width);
            len += width;
            i += width;
        }
    }
    out[len] = '\0';
}
