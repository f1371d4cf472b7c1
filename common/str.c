/* SPDX-License-Identifier: Apache-2.0 */
#include "common/str.h"

#include <string.h>

#define ASCII_MASK UINT64_C(0x8080808080808080)

/* Length of the valid sequence that starts at p, 0 when there is none (RFC 3629 section 4). */
static size_t utf8_sequence(const uint8_t *p, size_t left)
{
    uint8_t lead = p[0];
    if (lead < 0x80)
        return 1;
    size_t n = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2 || lead > 0xf4 || left < n)
        return 0;
    /* The second byte's range shuts out overlong forms, surrogates and what lies above U+10FFFF. */
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return n;
}

bool vg_utf8_valid(const char *data, size_t len)
{
    const uint8_t *p = (const uint8_t *)data;
    size_t at = 0;
    while (at < len) {
        uint64_t word;
        if (len - at >= sizeof word) {
            memcpy(&word, p + at, sizeof word);
            if ((word & ASCII_MASK) == 0) {
                at += sizeof word;
                continue;
            }
        }
        size_t n = utf8_sequence(p + at, len - at);
        if (n == 0)
            return false;
        at += n;
    }
    return true;
}

size_t vg_utf8_length(const char *data, size_t len)
{
    size_t count = 0;
    for (size_t i = 0; i < len; i++)
        count += ((uint8_t)data[i] & 0xc0) != 0x80;
    return count;
}

size_t vg_utf8_cut(const char *data, size_t len)
{
    const uint8_t *p = (const uint8_t *)data;
    size_t back = 0;
    while (back < 3 && back < len && (p[len - 1 - back] & 0xc0) == 0x80)
        back++;
    if (back == len)
        return len;
    size_t start = len - 1 - back;
    uint8_t lead = p[start];
    size_t need = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : lead >= 0xc0 ? 2 : 1;
    return start + need > len ? start : len;
}

int vg_parse_i64(struct vg_view text, int64_t min, int64_t max, int64_t *out)
{
    bool negative = text.len > 0 && text.data[0] == '-';
    size_t at = negative ? 1 : 0;
    if (at == text.len)
        return -1;
    /* Gathered below zero, where the range is one larger. */
    int64_t value = 0;
    for (; at < text.len; at++) {
        char c = text.data[at];
        if (c < '0' || c > '9' || __builtin_mul_overflow(value, (int64_t)10, &value) ||
            __builtin_sub_overflow(value, (int64_t)(c - '0'), &value))
            return -1;
    }
    if (!negative && __builtin_sub_overflow((int64_t)0, value, &value))
        return -1;
    if (value < min || value > max)
        return -1;
    *out = value;
    return 0;
}

bool vg_strcpy(char *dst, size_t size, const char *src)
{
    size_t len = strlen(src);
    if (size == 0)
        return false;
    size_t n = len < size ? len : size - 1;
    memcpy(dst, src, n);
    dst[n] = '\0';
    return n == len;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

size_t vg_base64_encoded_size(size_t len)
{
    return len / 3 * 4 + (len % 3 ? 4 : 0);
}

void vg_base64_encode(char *dst, const void *data, size_t len)
{
    const uint8_t *p = data;
    for (; len >= 3; len -= 3, p += 3) {
        *dst++ = base64_digits[p[0] >> 2];
        *dst++ = base64_digits[(p[0] & 3) << 4 | p[1] >> 4];
        *dst++ = base64_digits[(p[1] & 15) << 2 | p[2] >> 6];
        *dst++ = base64_digits[p[2] & 63];
    }
    if (len) {
        uint8_t second = len == 2 ? p[1] : 0;
        *dst++ = base64_digits[p[0] >> 2];
        *dst++ = base64_digits[(p[0] & 3) << 4 | second >> 4];
        *dst++ = '=';
        if (len == 2)
            dst[-1] = base64_digits[(second & 15) << 2];
        *dst++ = '=';
    }
    *dst = '\0';
}

void vg_base64url_encode(char *dst, const void *data, size_t len)
{
    vg_base64_encode(dst, data, len);
    for (; *dst && *dst != '='; dst++) {
        if (*dst == '+')
            *dst = '-';
        else if (*dst == '/')
            *dst = '_';
    }
    *dst = '\0';
}

/* Value of a digit plus one; 0 marks what is none. */
static const uint8_t base64_values[256] = {
    ['A'] = 1,  ['B'] = 2,  ['C'] = 3,  ['D'] = 4,  ['E'] = 5,  ['F'] = 6,  ['G'] = 7,  ['H'] = 8,
    ['I'] = 9,  ['J'] = 10, ['K'] = 11, ['L'] = 12, ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16,
    ['Q'] = 17, ['R'] = 18, ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30, ['e'] = 31, ['f'] = 32,
    ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36, ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40,
    ['o'] = 41, ['p'] = 42, ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54, ['2'] = 55, ['3'] = 56,
    ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60, ['8'] = 61, ['9'] = 62, ['+'] = 63, ['/'] = 64,
};

/* Gathers n digits into 24 bits; false when one is not a digit. */
static bool base64_group(const uint8_t *p, size_t n, uint32_t *out_bits)
{
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; i++) {
        uint8_t value = i < n ? base64_values[p[i]] : 1;
        if (value == 0)
            return false;
        bits = bits << 6 | (uint32_t)(value - 1);
    }
    *out_bits = bits;
    return true;
}

int vg_base64_decode(void *dst, size_t *out_len, const char *text, size_t len)
{
    const uint8_t *p = (const uint8_t *)text;
    uint8_t *at = dst;
    if (len && len % 4 == 0 && p[len - 1] == '=')
        len -= p[len - 2] == '=' ? 2 : 1;
    if (len % 4 == 1)
        return -1;
    uint32_t bits;
    for (; len >= 4; len -= 4, p += 4) {
        if (!base64_group(p, 4, &bits))
            return -1;
        *at++ = (uint8_t)(bits >> 16);
        *at++ = (uint8_t)(bits >> 8);
        *at++ = (uint8_t)bits;
    }
    if (len) {
        if (!base64_group(p, len, &bits))
            return -1;
        *at++ = (uint8_t)(bits >> 16);
        if (len == 3)
            *at++ = (uint8_t)(bits >> 8);
    }
    *out_len = (size_t)(at - (uint8_t *)dst);
    return 0;
}

void vg_hex_encode(char *dst, const void *data, size_t len)
{
    static const char digits[] = "0123456789abcdef";
    const uint8_t *p = data;
    for (size_t i = 0; i < len; i++) {
        *dst++ = digits[p[i] >> 4];
        *dst++ = digits[p[i] & 15];
    }
    *dst = '\0';
}

bool vg_list_cut(const char **list, struct vg_view *out_item)
{
    const char *at = *list;
    if (!at)
        return false;
    size_t len = strcspn(at, ",");
    *out_item = vg_view_trim((struct vg_view){at, len});
    *list = at[len] ? at + len + 1 : NULL;
    return true;
}

bool vg_list_next(const char **list, struct vg_view *out_item)
{
    while (vg_list_cut(list, out_item))
        if (out_item->len > 0)
            return true;
    return false;
}

uint64_t vg_fnv1a(struct vg_view text, uint64_t seed)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325) ^ seed;
    for (size_t i = 0; i < text.len; i++)
        hash = (hash ^ (uint8_t)text.data[i]) * UINT64_C(0x100000001b3);
    return hash;
}
