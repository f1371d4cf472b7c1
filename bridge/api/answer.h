/* SPDX-License-Identifier: Apache-2.0 */
/* A JSON object as an answer, from its first brace to the client. Every answer that was opened is
 * sent or finished, once. */
#ifndef VG_BRIDGE_API_ANSWER_H
#define VG_BRIDGE_API_ANSWER_H

#include <protobuf-c/protobuf-c.h>
#include <stdbool.h>
#include <stddef.h>

#include "bridge/http/stream.h"
#include "common/buf.h"
#include "common/json_writer.h"

struct vg_exchange;

struct vg_answer {
    struct vg_exchange *ex; /* borrowed */
    struct vg_buf body;     /* owned until sent */
    struct vg_json_writer w;
};

/* Begins the object; an answer that outgrows `max` bytes becomes a 502. */
void vg_answer_open(struct vg_answer *answer, struct vg_exchange *exchange, size_t max);
/* The members of a message. */
void vg_answer_members(struct vg_answer *answer, const ProtobufCMessage *message);
void vg_answer_text(struct vg_answer *answer, const char *key, const char *value);
void vg_answer_bool(struct vg_answer *answer, const char *key, bool value);

/* OpenAI's lists: {"object":"list","data":[ items ] ... }. */
void vg_answer_list_open(struct vg_answer *answer, struct vg_exchange *exchange, size_t max);
void vg_answer_item(struct vg_answer *answer, const ProtobufCMessage *message);
void vg_answer_list_close(struct vg_answer *answer);
/* Closes the list and says where it goes on (openai-api.md 1.3); ids NULL: an empty page. */
void vg_answer_page_close(struct vg_answer *answer, const char *first_id, const char *last_id,
                          bool has_more);

/* Ends the object; its bytes are whole then, if vg_buf_ok. */
void vg_answer_close(struct vg_answer *answer);
/* Sends what was closed. */
void vg_answer_finish(struct vg_answer *answer, const struct vg_header *extra, size_t extra_count);
/* Both, without headers of its own. */
void vg_answer_send(struct vg_answer *answer);

#endif
