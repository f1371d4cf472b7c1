/* SPDX-License-Identifier: Apache-2.0 */
/* Any body read as a form: parts lie inside it, and what becomes of them is a message that packs.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "bridge/api/body.h"
#include "bridge/http/multipart.h"
#include "common/json_pb.h"
#include "common/str.h"
#include "videogate/v1/video.pb-c.h"

static const struct vg_view type = VG_VIEW("multipart/form-data; boundary=b");

static void check_parts(struct vg_view body)
{
    struct vg_multipart form;
    struct vg_part part;

    if (vg_multipart_begin(&form, type, body, NULL) != 0)
        return;
    while (vg_multipart_next(&form, &part, NULL) > 0) {
        VG_ASSERT(part.body.data >= body.data &&
                  part.body.data + part.body.len <= body.data + body.len);
        VG_ASSERT(part.name[0] && vg_utf8_valid(part.name, strlen(part.name)));
    }
}

static void check_message(const struct vg_json *root, const ProtobufCMessageDescriptor *desc)
{
    struct vg_arena *arena = vg_arena_new();
    ProtobufCMessage *message = vg_arena_alloc(arena, desc->sizeof_message);

    protobuf_c_message_init(desc, message);
    if (vg_pb_from_json(root, message, vg_api_shape(), arena, NULL) == 0) {
        size_t len = protobuf_c_message_get_packed_size(message);
        uint8_t *packed = vg_xalloc(len + 1);
        VG_ASSERT(protobuf_c_message_pack(message, packed) == len);
        ProtobufCMessage *again = protobuf_c_message_unpack(desc, NULL, len, packed);
        VG_ASSERT(again);
        protobuf_c_message_free_unpacked(again, NULL);
        free(packed);
    }
    vg_arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vg_view body = {(const char *)data, size};
    struct vg_multipart form;
    struct vg_json *root;

    (void)!vg_multipart_begin(&form, body, VG_VIEW("--b--"), NULL); /* as a Content-Type */
    check_parts(body);
    if (vg_body_tree(type, body, &root, NULL) != 0)
        return 0;
    check_message(root, &videogate__v1__create_video_request__descriptor);
    check_message(root, &videogate__v1__edit_video_request__descriptor);
    check_message(root, &videogate__v1__extend_video_request__descriptor);
    check_message(root, &videogate__v1__remix_video_request__descriptor);
    vg_json_free(root);
    return 0;
}
