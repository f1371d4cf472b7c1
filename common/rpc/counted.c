/* SPDX-License-Identifier: Apache-2.0 */
#include "common/rpc/counted.h"

#include <stdlib.h>

void vg_rpc_counted_free(void *memory)
{
    free(memory);
}
