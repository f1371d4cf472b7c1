/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/content.h"

#include "common/json_writer.h"

bool vg_content_check(struct vg_call *call)
{
    const Videogate__V1__SubmitRequest *s = call->submit;
    bool frames = s->first_frame || s->last_frame;
    bool seen = s->n_reference_images > 0 || s->n_reference_videos > 0;

    if (s->source)
        vg_call_refuse(call, "This provider takes source videos by address only.");
    else if (s->last_frame && !s->first_frame)
        vg_call_refuse(call, "A last frame needs a first frame.");
    else if (frames && (seen || s->n_reference_audios > 0))
        vg_call_refuse(call, "Frames and references cannot stand together.");
    else if (s->n_reference_audios > 0 && !seen)
        vg_call_refuse(call, "Reference audio needs a reference picture or video.");
    else
        return true;
    return false;
}

static void open_item(struct vg_json_writer *w, const char *type)
{
    vg_json_object_open(w);
    vg_put_text(w, "type", type);
    vg_json_put_key(w, type);
}

static void close_item(struct vg_json_writer *w, const char *role)
{
    vg_put_text(w, "role", role);
    vg_json_object_close(w);
}

static void put_picture(struct vg_json_writer *w, const Videogate__V1__MediaBlob *blob,
                        const char *role)
{
    if (!blob)
        return;
    open_item(w, "image_url");
    vg_json_object_open(w);
    vg_json_put_key(w, "url");
    vg_put_data_url(w, blob);
    vg_json_object_close(w);
    close_item(w, role);
}

static void put_address(struct vg_json_writer *w, const char *type, const char *url,
                        const char *role)
{
    open_item(w, type);
    vg_json_object_open(w);
    vg_put_text(w, "url", url);
    vg_json_object_close(w);
    close_item(w, role);
}

void vg_content_put(struct vg_call *call, struct vg_json_writer *w)
{
    const Videogate__V1__SubmitRequest *s = call->submit;

    vg_json_put_key(w, "content");
    vg_json_array_open(w);
    open_item(w, "text");
    vg_json_put_text(w, s->prompt);
    vg_json_object_close(w);
    put_picture(w, s->first_frame, "first_frame");
    put_picture(w, s->last_frame, "last_frame");
    for (size_t i = 0; i < s->n_reference_images; i++)
        put_picture(w, s->reference_images[i], "reference_image");
    for (size_t i = 0; i < s->n_reference_videos; i++)
        put_address(w, "video_url", s->reference_videos[i], "reference_video");
    for (size_t i = 0; i < s->n_reference_audios; i++)
        put_address(w, "audio_url", s->reference_audios[i], "reference_audio");
    vg_json_array_close(w);
}
