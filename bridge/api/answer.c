/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/api/answer.h"

#include "bridge/api/respond.h"
#include "common/json_pb.h"

void vg_answer_open(struct vg_answer *a, struct vg_exchange *ex, size_t max)
{
    a->ex = ex;
    vg_buf_init(&a->body, max);
    vg_json_begin(&a->w, &a->body);
    vg_json_object_open(&a->w);
}

void vg_answer_members(struct vg_answer *a, const ProtobufCMessage *message)
{
    vg_pb_members_to_json(message, vg_api_shape(), &a->w);
}

void vg_answer_text(struct vg_answer *a, const char *key, const char *value)
{
    vg_json_put_key(&a->w, key);
    vg_json_put_text(&a->w, value);
}

void vg_answer_bool(struct vg_answer *a, const char *key, bool value)
{
    vg_json_put_key(&a->w, key);
    vg_json_put_bool(&a->w, value);
}

void vg_answer_list_open(struct vg_answer *a, struct vg_exchange *ex, size_t max)
{
    vg_answer_open(a, ex, max);
    vg_answer_text(a, "object", "list");
    vg_json_put_key(&a->w, "data");
    vg_json_array_open(&a->w);
}

void vg_answer_item(struct vg_answer *a, const ProtobufCMessage *message)
{
    vg_pb_to_json(message, vg_api_shape(), &a->w);
}

void vg_answer_list_close(struct vg_answer *a)
{
    vg_json_array_close(&a->w);
}

void vg_answer_page_close(struct vg_answer *a, const char *first_id, const char *last_id,
                          bool has_more)
{
    vg_answer_list_close(a);
    vg_answer_text(a, "first_id", first_id);
    vg_answer_text(a, "last_id", last_id);
    vg_answer_bool(a, "has_more", has_more);
}

void vg_answer_close(struct vg_answer *a)
{
    vg_json_object_close(&a->w);
}

void vg_answer_finish(struct vg_answer *a, const struct vg_header *extra, size_t extra_count)
{
    if (vg_buf_ok(&a->body))
        vg_respond_body(a->ex, 200, "application/json", &a->body, extra, extra_count);
    else
        vg_respond_kind(a->ex, VG_ERR_BAD_GATEWAY);
    vg_buf_fini(&a->body);
}

void vg_answer_send(struct vg_answer *a)
{
    vg_answer_close(a);
    vg_answer_finish(a, NULL, 0);
}
