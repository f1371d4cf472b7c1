/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/http/h1_head.h"

/* One LF that follows a CR. Returns true at the end of the head. */
static bool end_line(struct vg_h1_scan *scan)
{
    bool empty = scan->line == 1; /* the CR */
    scan->line = 0;
    scan->cr = false;
    if (!empty) {
        scan->any_line = true;
        return false;
    }
    if (!scan->any_line)
        scan->blank = scan->seen;
    return scan->any_line;
}

enum vg_h1_scan_result vg_h1_scan(struct vg_h1_scan *scan, const char *data, size_t len)
{
    while (scan->seen < len) {
        char c = data[scan->seen++];
        if (c == '\n') {
            if (!scan->cr)
                return VG_H1_BAD;
            if (end_line(scan))
                return VG_H1_HEAD;
            continue;
        }
        bool fold = scan->line == 0 && scan->any_line && (c == ' ' || c == '\t');
        if (scan->cr || c == '\0' || fold)
            return VG_H1_BAD;
        scan->cr = c == '\r';
        scan->line++;
        if (scan->seen > VG_H1_MAX_HEAD) {
            scan->first_long = !scan->any_line;
            return VG_H1_TOO_LONG;
        }
    }
    /* Empty lines count too, or they could go on for ever. */
    return scan->seen > VG_H1_MAX_HEAD ? VG_H1_TOO_LONG : VG_H1_MORE;
}
