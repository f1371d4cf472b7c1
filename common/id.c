/* SPDX-License-Identifier: Apache-2.0 */
#include "common/id.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/str.h"

#define ID_HEX_LEN 32
#define ID_PREFIX_MAX 14
#define ID_RANDOM 8

void vg_random(void *out, size_t len)
{
    uint8_t *p = out;
    while (len) {
        ssize_t n = getrandom(p, len, 0);
        if (n < 0 && errno == EINTR)
            continue;
        VG_ASSERT(n > 0);
        p += n;
        len -= (size_t)n;
    }
}

double vg_random_unit(void)
{
    uint64_t bits;
    vg_random(&bits, sizeof bits);
    return (double)(bits >> 11) * 0x1.0p-53;
}

/* Counts the forks behind this process: a child must not go on with its parent's random bytes. */
static atomic_uint forks;

static void forked(void)
{
    atomic_fetch_add_explicit(&forks, 1, memory_order_relaxed);
}

static void watch_forks(void)
{
    VG_ASSERT(pthread_atfork(NULL, NULL, forked) == 0);
}

/* A system call per 32 identifiers instead of one for each. */
static void random_tail(uint8_t out[ID_RANDOM])
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static _Thread_local struct {
        uint8_t bytes[32 * ID_RANDOM];
        size_t left;
        unsigned forks;
    } pool;

    (void)pthread_once(&once, watch_forks);
    unsigned now = atomic_load_explicit(&forks, memory_order_relaxed);
    if (pool.left == 0 || pool.forks != now) {
        pool.forks = now;
        vg_random(pool.bytes, sizeof pool.bytes);
        pool.left = sizeof pool.bytes;
    }
    pool.left -= ID_RANDOM;
    memcpy(out, pool.bytes + pool.left, ID_RANDOM);
}

/* RFC 9562 method 1: milliseconds in the upper 48 bits, a counter in the 12 below; more than 4,096
 * identifiers in a millisecond run into the next one, so that the order holds. */
static uint64_t next_stamp(void)
{
    static _Atomic uint64_t last;
    uint64_t now = (uint64_t)vg_wall_ms() << 12;
    uint64_t seen = atomic_load_explicit(&last, memory_order_relaxed);
    uint64_t next;
    do
        next = seen >= now ? seen + 1 : now;
    while (!atomic_compare_exchange_weak_explicit(&last, &seen, next, memory_order_relaxed,
                                                  memory_order_relaxed));
    return next;
}

void vg_id_new(char out[VG_ID_SIZE], const char *prefix)
{
    size_t prefix_len = strlen(prefix);
    VG_ASSERT(prefix_len <= ID_PREFIX_MAX);
    uint64_t stamp = next_stamp();
    uint8_t uuid[16];
    random_tail(uuid + 8);
    for (int i = 0; i < 6; i++)
        uuid[i] = (uint8_t)(stamp >> (52 - 8 * i));
    uuid[6] = (uint8_t)(0x70 | ((stamp >> 8) & 0x0f));
    uuid[7] = (uint8_t)stamp;
    uuid[8] = (uint8_t)(0x80 | (uuid[8] & 0x3f));
    (void)vg_strcpy(out, VG_ID_SIZE, prefix);
    out[prefix_len] = '_';
    vg_hex_encode(out + prefix_len + 1, uuid, sizeof uuid);
}

bool vg_id_valid(const char *id, size_t len, const char *prefix)
{
    size_t prefix_len = strlen(prefix);
    if (len != prefix_len + 1 + ID_HEX_LEN || memcmp(id, prefix, prefix_len) != 0 ||
        id[prefix_len] != '_')
        return false;
    for (size_t i = prefix_len + 1; i < len; i++) {
        char c = id[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f')))
            return false;
    }
    return true;
}

int64_t vg_id_time_ms(const char *id)
{
    const char *hex = strrchr(id, '_');
    int64_t ms = 0;
    VG_ASSERT(hex && strlen(hex) == 1 + ID_HEX_LEN);
    hex++;
    if (hex[12] != '7' || !strchr("89ab", hex[16]))
        return -1;
    for (int i = 0; i < 12; i++)
        ms = ms * 16 + (hex[i] <= '9' ? hex[i] - '0' : hex[i] - 'a' + 10);
    return ms;
}
