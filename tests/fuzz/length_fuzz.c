/* SPDX-License-Identifier: Apache-2.0 */
/* Heads of answers, line by line, for the length that they give. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/http/length.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    int64_t said = VG_HTTP_LENGTH_NONE;
    const uint8_t *at = data, *end = data + len;

    while (at < end) {
        const uint8_t *newline = memchr(at, '\n', (size_t)(end - at));
        size_t size = newline ? (size_t)(newline + 1 - at) : (size_t)(end - at);
        char *line = malloc(size); /* its own, so that what is read behind it is seen */
        if (!line)
            return 0;
        memcpy(line, at, size);
        int64_t before = said;
        bool starts = size > 5 && memcmp(line, "HTTP/", 5) == 0;
        bool good = vg_http_length_hear(&said, (struct vg_view){line, size});
        VG_ASSERT(said >= VG_HTTP_LENGTH_NONE);
        /* Only a new answer takes back what was said. */
        VG_ASSERT(said == before || before == VG_HTTP_LENGTH_NONE || starts);
        VG_ASSERT(good || !starts);
        free(line);
        if (!good)
            return 0;
        at += size;
    }
    return 0;
}
