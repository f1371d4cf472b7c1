/* SPDX-License-Identifier: Apache-2.0 */
/* Operations whose ends are recorded instead of sent: what tests drive a provider's vtable with. */
#ifndef VG_TESTS_UNIT_WORKERS_RECORDER_H
#define VG_TESTS_UNIT_WORKERS_RECORDER_H

#include "common/buf.h"
#include "workers/provider.h"

struct call {
    struct vg_op op; /* first */
    bool ended, failed;
    struct vg_err err;
    void *packed;
    size_t packed_size;
    struct vg_buf data; /* of a fetch */
    int messages;
    int64_t announced;
    char sha256[72];
    int fetch_error; /* class; 0: none */
};

void call_init(struct call *call);
void call_fini(struct call *call);
void call_wait(struct call *call);
/* The answer; protobuf_c_message_free_unpacked it. */
void *call_unpack(const struct call *call, const ProtobufCMessageDescriptor *descriptor);

#endif
