/* SPDX-License-Identifier: Apache-2.0 */
#include "common/api_key.h"

#include <string.h>

#include "common/crypto.h"
#include "common/err.h"
#include "common/str.h"

#define PREFIX "vg_"
#define ID_PREFIX "key"
#define UUID_SIZE 16
enum { ID_AT = 3, ID_LEN = 22, SECRET_AT = ID_AT + ID_LEN + 1, SECRET_LEN = 33, CHECK_LEN = 6 };
enum { NEW_LEN = SECRET_AT + SECRET_LEN + CHECK_LEN, OLD_LEN = 3 + 40 + CHECK_LEN };

static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

static uint32_t crc32_of(const char *data, size_t len)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < len; i++) {
        crc ^= (uint8_t)data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0xedb88320) : 0);
    }
    return ~crc;
}

static void write_check(char out[CHECK_LEN], const char *key, size_t len)
{
    uint32_t crc = crc32_of(key, len);

    for (int i = CHECK_LEN - 1; i >= 0; i--) {
        out[i] = digits[crc % 62];
        crc /= 62;
    }
}

/* --- the id: 128 bits as 22 digits, the highest first --- */

static int hex_value(char c)
{
    return c <= '9' ? c - '0' : c - 'a' + 10;
}

static void write_id(char out[ID_LEN], const char *id)
{
    uint8_t number[UUID_SIZE];

    VG_ASSERT(vg_id_valid(id, strlen(id), ID_PREFIX));
    for (size_t i = 0; i < UUID_SIZE; i++) {
        const char *hex = id + sizeof(ID_PREFIX) + 2 * i;
        number[i] = (uint8_t)(hex_value(hex[0]) << 4 | hex_value(hex[1]));
    }
    for (int d = ID_LEN - 1; d >= 0; d--) {
        unsigned rest = 0;
        for (size_t i = 0; i < UUID_SIZE; i++) {
            unsigned part = rest << 8 | number[i];
            number[i] = (uint8_t)(part / 62);
            rest = part % 62;
        }
        out[d] = digits[rest];
    }
}

/* -1: more than 128 bits. */
static int read_id(const char *text, char out_id[VG_ID_SIZE])
{
    uint8_t number[UUID_SIZE] = {0};

    for (size_t d = 0; d < ID_LEN; d++) {
        unsigned carry = (unsigned)(strchr(digits, text[d]) - digits);
        for (int i = UUID_SIZE - 1; i >= 0; i--) {
            unsigned part = number[i] * 62U + carry;
            number[i] = (uint8_t)part;
            carry = part >> 8;
        }
        if (carry)
            return -1;
    }
    memcpy(out_id, ID_PREFIX "_", sizeof(ID_PREFIX));
    vg_hex_encode(out_id + sizeof(ID_PREFIX), number, sizeof(number));
    return 0;
}

/* --- the whole --- */

static void write_random(char *out, size_t len)
{
    uint8_t pool[64];

    for (size_t at = 0; at < len;) {
        vg_random(pool, sizeof(pool));
        for (size_t i = 0; i < sizeof(pool) && at < len; i++)
            if (pool[i] < 248) /* the largest multiple of 62: every digit is equally likely */
                out[at++] = digits[pool[i] % 62];
    }
    explicit_bzero(pool, sizeof(pool));
}

void vg_api_key_new(char out[VG_API_KEY_SIZE], const char *id)
{
    memcpy(out, PREFIX, ID_AT);
    write_id(out + ID_AT, id);
    out[SECRET_AT - 1] = '_';
    write_random(out + SECRET_AT, SECRET_LEN);
    write_check(out + SECRET_AT + SECRET_LEN, out, SECRET_AT + SECRET_LEN);
    out[NEW_LEN] = '\0';
}

static bool all_digits(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (!memchr(digits, text[i], sizeof(digits) - 1))
            return false;
    return true;
}

enum vg_api_key_form vg_api_key_read(struct vg_view key, char out_id[VG_ID_SIZE])
{
    char check[CHECK_LEN];
    bool with_id = key.len == NEW_LEN;

    out_id[0] = '\0';
    if ((!with_id && key.len != OLD_LEN) || memcmp(key.data, PREFIX, ID_AT) != 0)
        return VG_API_KEY_JUNK;
    if (with_id ? !all_digits(key.data + ID_AT, ID_LEN) || key.data[SECRET_AT - 1] != '_' ||
                      !all_digits(key.data + SECRET_AT, NEW_LEN - SECRET_AT)
                : !all_digits(key.data + ID_AT, OLD_LEN - ID_AT))
        return VG_API_KEY_JUNK;
    write_check(check, key.data, key.len - CHECK_LEN);
    if (!vg_equal_ct(check, key.data + key.len - CHECK_LEN, CHECK_LEN) ||
        (with_id && read_id(key.data + ID_AT, out_id) < 0))
        return VG_API_KEY_JUNK;
    return with_id ? VG_API_KEY_WITH_ID : VG_API_KEY_OLD;
}
