/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/http/h1_chunks.h"

#define MAX_DIGITS 16
#define MAX_SIZE (UINT64_C(1) << 40)

/* What a line may not hold: controls but the tab, which includes NUL and bare CR and LF. */
static bool is_control(unsigned char c)
{
    return (c < 0x20 && c != '\t') || c == 0x7f;
}

static int hex(unsigned char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static enum vg_h1_chunks_state in_size(struct vg_h1_chunks *c, unsigned char byte)
{
    int digit = hex(byte);
    if (digit < 0) {
        if (c->digits == 0)
            return VG_H1_CHUNK_BAD;
        return byte == ';' ? VG_H1_CHUNK_EXT : byte == '\r' ? VG_H1_CHUNK_SIZE_LF : VG_H1_CHUNK_BAD;
    }
    c->size = c->size * 16 + (uint64_t)digit;
    return ++c->digits > MAX_DIGITS || c->size > MAX_SIZE ? VG_H1_CHUNK_BAD : VG_H1_CHUNK_SIZE;
}

/* Within a line: to its LF at CR. */
static enum vg_h1_chunks_state in_line(unsigned char byte, enum vg_h1_chunks_state same,
                                       enum vg_h1_chunks_state lf)
{
    if (byte == '\r')
        return lf;
    return is_control(byte) ? VG_H1_CHUNK_BAD : same;
}

static enum vg_h1_chunks_state in_trailer(const struct vg_h1_chunks *c, unsigned char byte)
{
    if (c->state == VG_H1_CHUNK_TRAILER && byte == '\r')
        return VG_H1_CHUNK_END_LF;
    if (byte == ':' && c->state == VG_H1_CHUNK_NAME)
        return VG_H1_CHUNK_VALUE;
    /* A name has no space, so a fold is none either. */
    return byte > ' ' && byte != 0x7f && byte != ':' ? VG_H1_CHUNK_NAME : VG_H1_CHUNK_BAD;
}

static enum vg_h1_chunks_state expect(unsigned char byte, char wanted, enum vg_h1_chunks_state next)
{
    return byte == (unsigned char)wanted ? next : VG_H1_CHUNK_BAD;
}

static enum vg_h1_chunks_state step(struct vg_h1_chunks *c, unsigned char byte)
{
    switch (c->state) {
    case VG_H1_CHUNK_SIZE:
        return in_size(c, byte);
    case VG_H1_CHUNK_EXT:
        return in_line(byte, VG_H1_CHUNK_EXT, VG_H1_CHUNK_SIZE_LF);
    case VG_H1_CHUNK_SIZE_LF:
        c->digits = 0;
        return expect(byte, '\n', c->size ? VG_H1_CHUNK_DATA : VG_H1_CHUNK_TRAILER);
    case VG_H1_CHUNK_DATA_CR:
        return expect(byte, '\r', VG_H1_CHUNK_DATA_LF);
    case VG_H1_CHUNK_DATA_LF:
        return expect(byte, '\n', VG_H1_CHUNK_SIZE);
    case VG_H1_CHUNK_TRAILER:
    case VG_H1_CHUNK_NAME:
        return in_trailer(c, byte);
    case VG_H1_CHUNK_VALUE:
        return in_line(byte, VG_H1_CHUNK_VALUE, VG_H1_CHUNK_VALUE_LF);
    case VG_H1_CHUNK_VALUE_LF:
        return expect(byte, '\n', VG_H1_CHUNK_TRAILER);
    case VG_H1_CHUNK_END_LF:
        return expect(byte, '\n', VG_H1_CHUNK_DONE);
    case VG_H1_CHUNK_DATA: /* not byte by byte */
    case VG_H1_CHUNK_DONE:
    case VG_H1_CHUNK_BAD:
        break;
    }
    return VG_H1_CHUNK_BAD;
}

size_t vg_h1_chunks_scan(struct vg_h1_chunks *c, const char *data, size_t len)
{
    size_t at = 0;
    while (at < len && c->state != VG_H1_CHUNK_DONE && c->state != VG_H1_CHUNK_BAD) {
        if (c->state != VG_H1_CHUNK_DATA) {
            c->state = step(c, (unsigned char)data[at++]);
            continue;
        }
        size_t n = len - at < c->size ? len - at : (size_t)c->size;
        c->size -= n;
        at += n;
        if (c->size == 0)
            c->state = VG_H1_CHUNK_DATA_CR;
    }
    return at;
}
