/* SPDX-License-Identifier: Apache-2.0 */
#include "common/http/length.h"

#include <string.h>

#include "common/str.h"

static const char name[] = "content-length:";
enum { NAME = sizeof(name) - 1 };

bool vg_http_length_hear(int64_t *said, struct vg_view line)
{
    int64_t length;

    if (line.len > 5 && memcmp(line.data, "HTTP/", 5) == 0)
        *said = VG_HTTP_LENGTH_NONE;
    if (line.len < NAME || !vg_view_eqs_nocase((struct vg_view){line.data, NAME}, name))
        return true;
    struct vg_view value = {line.data + NAME, line.len - NAME};
    while (value.len && (value.data[value.len - 1] == '\n' || value.data[value.len - 1] == '\r'))
        value.len--;
    value = vg_view_trim(value);
    if (value.len == 0 || value.data[0] < '0' || value.data[0] > '9' ||
        vg_parse_i64(value, 0, INT64_MAX, &length) != 0 || (*said >= 0 && *said != length))
        return false;
    *said = length;
    return true;
}
