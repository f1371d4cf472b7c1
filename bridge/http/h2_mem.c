/* SPDX-License-Identifier: Apache-2.0 */
/* Memory for nghttp2 that is overwritten when it is given back: header fields, and with them keys,
 * stand in its buffers and in HPACK's dynamic table. */
#include "bridge/http/h2_priv.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static void *take(size_t size, void *user)
{
    (void)user;
    return malloc(size);
}

static void *take_zeroed(size_t count, size_t size, void *user)
{
    (void)user;
    return calloc(count, size);
}

static void give(void *ptr, void *user)
{
    (void)user;
    if (ptr)
        explicit_bzero(ptr, malloc_usable_size(ptr));
    free(ptr);
}

/* realloc would leave the old bytes where it moves them from. */
static void *resize(void *ptr, size_t size, void *user)
{
    size_t old = ptr ? malloc_usable_size(ptr) : 0;
    void *more = malloc(size);
    if (!more)
        return NULL;
    if (ptr)
        memcpy(more, ptr, old < size ? old : size);
    give(ptr, user);
    return more;
}

nghttp2_mem *vg_h2_mem(void)
{
    static nghttp2_mem mem = {NULL, take, give, take_zeroed, resize}; /* copied by the session */
    return &mem;
}
