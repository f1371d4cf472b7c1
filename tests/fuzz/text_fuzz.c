/* SPDX-License-Identifier: Apache-2.0 */
/* Text helpers of common/: UTF-8, numbers, base64, identifiers. Checks laws, not only the absence
 * of crashes. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/api_key.h"
#include "common/buf.h"
#include "common/crypto.h"
#include "common/err.h"
#include "common/id.h"
#include "common/mem.h"
#include "common/str.h"

static void check_utf8(const char *text, size_t len)
{
    bool valid = vg_utf8_valid(text, len);
    size_t cut = vg_utf8_cut(text, len);
    VG_ASSERT(cut <= len && len - cut <= 3);
    VG_ASSERT(vg_utf8_length(text, len) <= len);
    if (valid) {
        VG_ASSERT(cut == len);
        for (size_t n = 0; n < len && n < 64; n++)
            VG_ASSERT(vg_utf8_valid(text, vg_utf8_cut(text, n)));
    }
}

static void check_base64(const char *text, size_t len)
{
    uint8_t *bytes = vg_xalloc((len / 4 + 1) * 3);
    size_t size;
    if (vg_base64_decode(bytes, &size, text, len) == 0) {
        char *again = vg_xalloc(vg_base64_encoded_size(size) + 1);
        uint8_t *back = vg_xalloc((size / 3 + 2) * 3);
        size_t back_size;
        vg_base64_encode(again, bytes, size);
        VG_ASSERT(vg_base64_decode(back, &back_size, again, strlen(again)) == 0);
        VG_ASSERT(back_size == size && memcmp(back, bytes, size) == 0);
        free(again);
        free(back);
    }
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    /* An exact heap copy, so that a read past the end is seen. */
    char *text = malloc(len ? len : 1);
    if (!text)
        return 0;
    if (len)
        memcpy(text, data, len);
    check_utf8(text, len);
    check_base64(text, len);
    int64_t value;
    if (vg_parse_i64((struct vg_view){text, len}, -1000, 1000, &value) == 0)
        VG_ASSERT(value >= -1000 && value <= 1000);
    (void)vg_id_valid(text, len, "video");
    char id[VG_ID_SIZE];
    if (vg_api_key_read((struct vg_view){text, len}, id) == VG_API_KEY_WITH_ID)
        VG_ASSERT(vg_id_valid(id, strlen(id), "key"));
    free(text);
    return 0;
}
