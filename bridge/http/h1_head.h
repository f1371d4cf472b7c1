/* SPDX-License-Identifier: Apache-2.0 */
/* Finds the end of an HTTP/1 head and refuses what llhttp lets pass: bare LF, bare CR, obs-fold,
 * NUL. A state machine over bytes: may be fed in pieces of any size, each byte once. */
#ifndef VG_BRIDGE_HTTP_H1_HEAD_H
#define VG_BRIDGE_HTTP_H1_HEAD_H

#include <stdbool.h>
#include <stddef.h>

/* Request line, headers and slack; the finer limits are checked on the parsed head. */
#define VG_H1_MAX_HEAD ((size_t)48 * 1024)

struct vg_h1_scan {
    size_t seen;     /* bytes of this head scanned so far */
    size_t blank;    /* empty lines in front of the request line (RFC 9112 2.2) */
    size_t line;     /* bytes of the current line */
    bool any_line;   /* a line that is not empty has ended */
    bool cr;         /* the last byte was CR */
    bool first_long; /* the limit was passed within the request line */
};

enum vg_h1_scan_result { VG_H1_MORE, VG_H1_HEAD, VG_H1_BAD, VG_H1_TOO_LONG };

/* Scans data[scan->seen..len). VG_H1_HEAD: the head is data[scan->blank..scan->seen). */
enum vg_h1_scan_result vg_h1_scan(struct vg_h1_scan *scan, const char *data, size_t len);

#endif
