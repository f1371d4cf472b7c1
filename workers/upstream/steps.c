/* SPDX-License-Identifier: Apache-2.0 */
/* Steps that many adapters take alike. */
#include <string.h>

#include "common/clock.h"
#include "workers/upstream/multipart.h"
#include "workers/upstream/upstream_priv.h"

void vg_call_take_id(struct vg_call *call, const struct vg_answer *answer, const char *path)
{
    if (!vg_call_ok(call, answer))
        return;
    const char *id = vg_call_text(call, answer->json, path);
    if (id)
        vg_call_accepted(call, id, 0);
    else
        vg_call_nonsense(call, answer, "a job without an id");
}

bool vg_call_about(struct vg_call *call, const struct vg_answer *answer, const char *path)
{
    if (!vg_call_ok(call, answer))
        return false;
    const char *id = vg_call_text(call, answer->json, path);
    if (id && strcmp(id, call->upstream_id) == 0)
        return true;
    vg_call_nonsense(call, answer, "the job answered for has another id");
    return false;
}

void vg_call_take_result(struct vg_call *call, const struct vg_answer *answer, const char *url)
{
    if (!url) {
        vg_call_nonsense(call, answer, "a finished job without a video");
        return;
    }
    call->state->result = (char *)url; /* protobuf-c's messages are not const */
    vg_call_finished(call, NULL);
}

int vg_word_of(const struct vg_word *words, size_t count, const char *text)
{
    for (size_t i = 0; text && i < count; i++)
        if (strcmp(words[i].text, text) == 0)
            return words[i].word;
    return 0;
}

void vg_put_text(struct vg_json_writer *w, const char *name, const char *text)
{
    vg_json_put_key(w, name);
    vg_json_put_text(w, text);
}

void vg_put_int(struct vg_json_writer *w, const char *name, int64_t value)
{
    vg_json_put_key(w, name);
    vg_json_put_int(w, value);
}

void vg_put_bool(struct vg_json_writer *w, const char *name, bool value)
{
    vg_json_put_key(w, name);
    vg_json_put_bool(w, value);
}

void vg_put_texts(struct vg_json_writer *w, const char *name, char *const *texts, size_t count)
{
    if (count == 0)
        return;
    vg_json_put_key(w, name);
    vg_json_array_open(w);
    for (size_t i = 0; i < count; i++)
        vg_json_put_text(w, texts[i]);
    vg_json_array_close(w);
}

void vg_call_post_form(struct vg_call *call, const char *url, const struct vg_form_part *parts,
                       size_t count, bool creates, vg_call_then_f *then)
{
    struct vg_buf *body = &vg_call_run_of(call)->body;
    char type[VG_FORM_TYPE_SIZE];

    vg_buf_clear(body);
    if (vg_form_write(body, parts, count, (uint64_t)vg_now_ns(), type) != 0)
        vg_call_refuse(call, "The pictures are too large for this provider.");
    else
        vg_call_http(call, &(struct vg_call_http){.method = "POST",
                                                  .url = url,
                                                  .body = vg_buf_view(body),
                                                  .content_type = vg_call_printf(call, "%s", type),
                                                  .creates = creates,
                                                  .then = then});
}

const char *vg_picture_name(struct vg_call *call, const Videogate__V1__MediaBlob *blob)
{
    const char *slash = strchr(blob->mime_type, '/');

    return vg_call_printf(call, "picture.%s", slash ? slash + 1 : "bin");
}
