/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/azure.h"

#include <string.h>

#include "workers/providers/openai.h"

#define JOBS "/video/generations/jobs"
#define VERSION "api-version=preview"

/* A deployment of Sora 1. */
static const char *job_model(const char *model)
{
    static const char prefix[] = "jobs/";

    return strncmp(model, prefix, strlen(prefix)) == 0 ? model + strlen(prefix) : NULL;
}

static void on_created(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_ok(call, answer))
        return;
    const char *id = vg_call_text(call, answer->json, "id");
    if (id)
        vg_call_accepted(call, id, 0);
    else
        vg_call_nonsense(call, answer, "a job without an id");
}

static void submit_job(struct vg_call *call, const char *model)
{
    const Videogate__V1__SubmitRequest *s = call->submit;

    if (s->first_frame || s->last_frame || s->n_reference_images > 0 || s->source) {
        vg_call_refuse(call, "This model takes no pictures and no source video here.");
        return;
    }
    struct vg_json_writer *w = vg_call_json(call);
    vg_json_object_open(w);
    vg_json_put_key(w, "model");
    vg_json_put_text(w, model);
    vg_json_put_key(w, "prompt");
    vg_json_put_text(w, s->prompt);
    vg_json_put_key(w, "width");
    vg_json_put_int(w, s->width);
    vg_json_put_key(w, "height");
    vg_json_put_int(w, s->height);
    vg_json_put_key(w, "n_seconds");
    vg_json_put_int(w, s->seconds);
    vg_json_put_key(w, "n_variants");
    vg_json_put_int(w, 1);
    vg_json_object_close(w);
    vg_call_post(call, JOBS "?" VERSION, true, on_created);
}

static void submit(struct vg_call *call)
{
    const char *model = job_model(call->submit->model);

    if (model)
        submit_job(call, model);
    else
        vg_openai_submit(call);
}

static void take_job(struct vg_call *call, const struct vg_answer *answer, const char *status)
{
    const char *film = vg_call_text(call, answer->json, "generations.0.id");

    if (strcmp(status, "succeeded") == 0 && film) {
        call->state->result = (char *)vg_call_printf(
            call, "/video/generations/%s/content/video?" VERSION, vg_call_escape(call, film));
        vg_call_finished(call, NULL);
    } else if (strcmp(status, "succeeded") == 0) {
        vg_call_job_failed(call, "empty_result", "The job has no video.");
    } else if (strcmp(status, "failed") == 0) {
        vg_call_job_failed(call, vg_call_text(call, answer->json, "failure_reason"), NULL);
    } else if (strcmp(status, "cancelled") == 0) {
        vg_call_canceled(call);
    } else {
        vg_call_running(call, -1, 0);
    }
}

static void on_polled(struct vg_call *call, const struct vg_answer *answer)
{
    if (!vg_call_ok(call, answer))
        return;
    const char *id = vg_call_text(call, answer->json, "id");
    const char *status = vg_call_text(call, answer->json, "status");
    if (!id || !status || strcmp(id, call->upstream_id) != 0)
        vg_call_nonsense(call, answer, "the job answered for is another");
    else
        take_job(call, answer, status);
}

static const char *job_url(struct vg_call *call)
{
    return vg_call_printf(call, JOBS "/%s?" VERSION, vg_call_escape(call, call->upstream_id));
}

static void poll(struct vg_call *call)
{
    if (job_model(call->state->model))
        vg_call_get(call, job_url(call), on_polled);
    else
        vg_openai_poll(call);
}

/* DELETE stops a job that runs and forgets one that ended. */
static void on_deleted(struct vg_call *call, const struct vg_answer *answer)
{
    if (answer->status == 204)
        vg_call_cancel_ended(call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_CANCELED);
    else if (vg_call_ok(call, answer))
        vg_call_nonsense(call, answer, "a deletion answered with a body");
}

static void cancel(struct vg_call *call)
{
    if (job_model(call->state->model))
        vg_call_http(call, &(struct vg_call_http){
                               .method = "DELETE", .url = job_url(call), .then = on_deleted});
    else
        vg_call_cancel_ended(call, VIDEOGATE__V1__CANCEL_OUTCOME__CANCEL_OUTCOME_UNSUPPORTED);
}

/* A list of jobs names their prompts, but not when each was asked for by whom: only Sora 2's form
 * tells enough. */
static void lookup(struct vg_call *call)
{
    if (job_model(call->submit->model))
        vg_call_lookup_ended(call, VIDEOGATE__V1__LOOKUP_OUTCOME__LOOKUP_OUTCOME_UNSUPPORTED);
    else
        vg_openai_lookup(call);
}

const struct vg_provider *vg_azure_provider(void)
{
    static const struct vg_adapter adapter = {
        .name = "azure",
        .auth = "api-key: ",
        VG_OPENAI_ANSWERS,
        .submit = submit,
        .poll = poll,
        .cancel = cancel,
        .lookup = lookup,
    };
    static const struct vg_config_key keys[] = {
        VG_ADAPTER_KEYS_ROW("azure", "Keys of the Azure OpenAI resource.")};
    static const struct vg_provider provider = {
        VG_UPSTREAM_PROVIDER(adapter, keys, struct vg_adapter_config)};

    return &provider;
}
