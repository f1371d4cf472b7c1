/* SPDX-License-Identifier: Apache-2.0 */
/* The framing of a chunked body, strictly: llhttp lets bare LF, folds and absurd sizes pass, which
 * proxies in front may read otherwise. A state machine over bytes: may be fed in pieces of any
 * size. */
#ifndef VG_BRIDGE_HTTP_H1_CHUNKS_H
#define VG_BRIDGE_HTTP_H1_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vg_h1_chunks_state {
    VG_H1_CHUNK_SIZE,    /* hexadecimal digits */
    VG_H1_CHUNK_EXT,     /* behind ';' */
    VG_H1_CHUNK_SIZE_LF, /* the LF of that line */
    VG_H1_CHUNK_DATA,
    VG_H1_CHUNK_DATA_CR,
    VG_H1_CHUNK_DATA_LF,
    VG_H1_CHUNK_TRAILER, /* the start of a line */
    VG_H1_CHUNK_NAME,    /* of a trailer */
    VG_H1_CHUNK_VALUE,
    VG_H1_CHUNK_VALUE_LF,
    VG_H1_CHUNK_END_LF,
    VG_H1_CHUNK_DONE,
    VG_H1_CHUNK_BAD,
};

struct vg_h1_chunks {
    enum vg_h1_chunks_state state;
    int digits;    /* of this size */
    uint64_t size; /* of this chunk; in DATA what is left of it */
};

/* Takes bytes up to the end of the body and says how many; then state is DONE, or BAD. Zeroed at
 * the start. */
size_t vg_h1_chunks_scan(struct vg_h1_chunks *c, const char *data, size_t len);

#endif
