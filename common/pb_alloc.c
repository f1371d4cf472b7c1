/* SPDX-License-Identifier: Apache-2.0 */
#include "common/pb_alloc.h"

#include <stdlib.h>

#include "common/mem.h"

static void *take(void *ctx, size_t size)
{
    (void)ctx;
    return vg_xrealloc(NULL, size);
}

static void give(void *ctx, void *ptr)
{
    (void)ctx;
    free(ptr);
}

ProtobufCAllocator *vg_pb_allocator(void)
{
    static ProtobufCAllocator allocator = {take, give, NULL};

    return &allocator;
}
