/* SPDX-License-Identifier: Apache-2.0 */
/* A BatchRequest from outside, through unpacking, dispatch and the packed answer. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <videogate/v1/edge.pb-c.h>
#include <videogate/v1/worker.pb-c.h>

#include "common/rpc/batch.h"
#include "common/rpc/message.h"

struct outer {
    struct vg_rpc_call base;
    int ends;
};

static void outer_end(struct vg_rpc_call *base, const ProtobufCMessage *response,
                      const struct vg_err *err)
{
    VG_CONTAINER(base, struct outer, base)->ends++;
    VG_ASSERT((response == NULL) != (err == NULL));
    if (response != NULL) {
        size_t size = protobuf_c_message_get_packed_size(response);
        uint8_t *bytes = vg_xalloc(size + 1);

        VG_ASSERT(protobuf_c_message_pack(response, bytes) == size);
        free(bytes);
    }
}

static const struct vg_rpc_transport outer_transport = {.end = outer_end};

static void submit(void *ctx, struct vg_rpc_call *call)
{
    Videogate__V1__SubmitResponse response = VIDEOGATE__V1__SUBMIT_RESPONSE__INIT;

    (void)ctx;
    (void)vg_rpc_call_metadata(call, "authorization");
    vg_rpc_call_reply(call, &response.base);
}

static const struct vg_rpc_method rows[] = {{"Submit", submit, false}};
static const struct vg_rpc_service service = {&videogate__v1__provider_worker_service__descriptor,
                                              rows, 1, NULL};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct vg_rpc_methods methods;
    static struct vg_rpc_load load;
    static struct vg_rpc_deadlines *deadlines;
    static struct vg_rpc_batcher batcher;
    struct outer outer = {.ends = 0};

    if (deadlines == NULL) {
        VG_ASSERT(vg_rpc_deadlines_start(&deadlines, "fuzz", NULL) == 0);
        vg_rpc_methods_init(&methods);
        vg_rpc_load_init(&load, 100, NULL);
        batcher = (struct vg_rpc_batcher){&methods, &load, deadlines};
        VG_ASSERT(vg_rpc_methods_add(&methods, &service, false, NULL) == 0);
        VG_ASSERT(vg_rpc_batch_add(&batcher, &methods, NULL) == 0);
        vg_rpc_methods_seal(&methods);
    }
    const struct vg_rpc_entry *entry =
        vg_rpc_methods_find(&methods, "/videogate.v1.EdgeService/Batch");
    vg_rpc_call_init(&outer.base, &outer_transport, entry);
    outer.base.request = vg_rpc_message_unpack(entry->input, data, size, true);
    if (outer.base.request != NULL) {
        entry->handler(entry->ctx, &outer.base);
        VG_ASSERT(outer.ends == 1 && atomic_load(&load.in_flight) == 0);
    }
    vg_rpc_call_fini(&outer.base);
    return 0;
}
