/* SPDX-License-Identifier: Apache-2.0 */
/* Any JSON read as a request must give a message that packs, unpacks and writes as JSON. */
#include "common/json_pb.h"

#include <stdint.h>
#include <stdlib.h>

#include "videogate/v1/video.pb-c.h"

static void check(const struct vg_json *root, const ProtobufCMessageDescriptor *desc,
                  const struct vg_json_shape *shape)
{
    struct vg_arena *arena = vg_arena_new();
    ProtobufCMessage *message = vg_arena_alloc(arena, desc->sizeof_message);
    struct vg_err err = {.kind = VG_ERR_MAX};
    struct vg_json_writer w;
    struct vg_buf out;

    protobuf_c_message_init(desc, message);
    if (vg_pb_from_json(root, message, shape, arena, &err) != 0) {
        VG_ASSERT(err.kind == VG_ERR_INVALID_REQUEST && err.detail[0]);
        vg_arena_free(arena);
        return;
    }
    size_t len = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = vg_xalloc(len + 1);
    VG_ASSERT(protobuf_c_message_pack(message, bytes) == len);
    ProtobufCMessage *again = protobuf_c_message_unpack(desc, NULL, len, bytes);
    VG_ASSERT(again);
    vg_buf_init(&out, 64 << 20);
    vg_json_begin(&w, &out);
    vg_pb_to_json(again, shape, &w);
    VG_ASSERT(vg_buf_ok(&out));
    struct vg_json *written;
    VG_ASSERT(vg_json_parse(&written, vg_buf_view(&out), NULL) == 0);
    vg_json_free(written);
    vg_buf_fini(&out);
    protobuf_c_message_free_unpacked(again, NULL);
    free(bytes);
    vg_arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct vg_json_shape plain = {.rules = NULL};
    struct vg_json *root;

    if (vg_json_parse(&root, (struct vg_view){(const char *)data, size}, NULL) != 0)
        return 0;
    check(root, &videogate__v1__create_video_request__descriptor, vg_api_shape());
    check(root, &videogate__v1__create_video_request__descriptor, vg_api_form_shape());
    check(root, &videogate__v1__remix_video_request__descriptor, vg_api_shape());
    check(root, &videogate__v1__list_videos_response__descriptor, vg_api_shape());
    check(root, &videogate__v1__create_video_request__descriptor, &plain);
    check(root, &videogate__v1__video__descriptor, &plain);
    vg_json_free(root);
    return 0;
}
