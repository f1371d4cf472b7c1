/* SPDX-License-Identifier: Apache-2.0 */
#include "service/media_whole.h"

#include <string.h>

static size_t be16(const uint8_t *p)
{
    return (size_t)p[0] << 8 | p[1];
}

static size_t be32(const uint8_t *p)
{
    return be16(p) << 16 | be16(p + 2);
}

static size_t le32(const uint8_t *p)
{
    return (size_t)p[3] << 24 | (size_t)p[2] << 16 | (size_t)p[1] << 8 | p[0];
}

/* Chunks of length, name, data, checksum; one of them picture data. */
bool vg_png_whole(const uint8_t *data, size_t len)
{
    size_t at = 8;
    bool seen = false;

    while (len - at >= 12) {
        size_t size = be32(data + at);
        const uint8_t *name = data + at + 4;
        if (size > len - at - 12)
            return false;
        if (memcmp(name, "IEND", 4) == 0)
            return seen;
        seen |= memcmp(name, "IDAT", 4) == 0 && size > 0;
        at += 12 + size;
    }
    return false;
}

/* Where the scan's data begins; 0: nowhere. */
static size_t jpeg_scan(const uint8_t *data, size_t len)
{
    size_t at = 2;

    while (len - at >= 4) {
        uint8_t marker = data[at + 1];
        if (data[at] != 0xff)
            return 0;
        if (marker == 0xff) { /* fill byte */
            at++;
            continue;
        }
        if (marker == 0x01 || (marker >= 0xd0 && marker <= 0xd8)) { /* stand alone */
            at += 2;
            continue;
        }
        size_t size = be16(data + at + 2);
        if (size < 2 || size > len - at - 2)
            return 0;
        at += 2 + size;
        if (marker == 0xda)
            return at;
    }
    return 0;
}

/* Within a scan 0xff is followed by 0 or a restart, so the mark that ends it is found from behind.
 */
bool vg_jpeg_whole(const uint8_t *data, size_t len)
{
    size_t scan = jpeg_scan(data, len);

    while (scan > 0 && len > scan + 1) {
        const uint8_t *end = memrchr(data + scan, 0xd9, len - scan);
        if (!end)
            return false;
        len = (size_t)(end - data);
        if (len > scan && data[len - 1] == 0xff)
            return true;
    }
    return false;
}

/* A container that says its size, around chunks that say theirs. */
bool vg_webp_whole(const uint8_t *data, size_t len)
{
    size_t end = le32(data + 4);
    size_t at = 12;

    if (end < 4 || end > len - 8)
        return false;
    end += 8;
    while (end - at >= 8) {
        size_t size = le32(data + at + 4);
        if (size > end - at - 8)
            return false;
        at += 8 + size + (size & 1);
        if (at > end)
            return at == end + 1; /* the last one's padding was left out */
    }
    return at == end;
}

/* Past a row of blocks that say their sizes, up to an empty one; 0: cut short. */
static size_t gif_blocks(const uint8_t *data, size_t len, size_t at)
{
    while (at < len && data[at] > 0)
        at += 1 + (size_t)data[at];
    return at < len ? at + 1 : 0;
}

static size_t gif_colours(uint8_t flags)
{
    return flags & 0x80 ? (size_t)3 << ((flags & 7) + 1) : 0;
}

bool vg_gif_whole(const uint8_t *data, size_t len)
{
    size_t at = len >= 13 ? 13 + gif_colours(data[10]) : 0;
    bool seen = false;

    while (at > 0 && at < len) {
        if (data[at] == 0x3b)
            return seen;
        if (data[at] == 0x21) { /* an extension: its kind, blocks */
            at = gif_blocks(data, len, at + 2);
        } else if (data[at] == 0x2c && len - at > 10) { /* a picture: place, colours, code size */
            at = gif_blocks(data, len, at + 11 + gif_colours(data[at + 9]));
            seen = true;
        } else {
            return false;
        }
    }
    return false;
}
