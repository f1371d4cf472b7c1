/* SPDX-License-Identifier: Apache-2.0 */
/* Test events: one attempt through the webhook sender, at once, with nothing recorded. */
#include <string.h>

#include "common/str.h"
#include "service/jobs/jobs_priv.h"
#include "service/jobs/webhook_call.h"
#include "videogate/v1/webhook.pb-c.h"

static void end_probe(struct vg_webhook_probe *probe)
{
    struct vg_jobs *jobs = probe->jobs;

    vg_post(probe->executor, &probe->done); /* it is the caller's again */
    vg_jobs_busy(jobs, -1);
}

static void refuse(struct vg_webhook_probe *probe, enum vg_err_kind kind, const char *text)
{
    (void)vg_err_set(&probe->err, kind, "%s", text);
    end_probe(probe);
}

static void unlink_probe(struct vg_webhook_probe *probe)
{
    if (probe->prev)
        probe->prev->next = probe->next;
    else
        probe->jobs->probes = probe->next;
    if (probe->next)
        probe->next->prev = probe->prev;
}

static void answered(struct vg_task *task)
{
    struct vg_webhook_probe *probe = VG_CONTAINER(task, struct vg_webhook_probe, call.done);
    ProtobufCMessage *message = probe->call.response;

    unlink_probe(probe);
    probe->ok = probe->call.ok;
    if (probe->ok) {
        const Videogate__V1__DeliverResponse *response = (const void *)message;

        probe->http_status = response->http_status;
        (void)vg_strcpy(probe->reason, sizeof(probe->reason), response->reason); /* cut is fine */
    } else {
        (void)vg_err_set(&probe->err, VG_ERR_UNAVAILABLE, "The webhook sender is away.");
    }
    if (message)
        protobuf_c_message_free_unpacked(message, NULL);
    end_probe(probe);
}

static void start_probe(struct vg_task *task)
{
    struct vg_webhook_probe *probe = VG_CONTAINER(task, struct vg_webhook_probe, start);
    struct vg_jobs *jobs = probe->jobs;
    struct vg_rpc_channel *channel = vg_deliveries_channel(jobs);
    const struct vg_webhook_call call = {
        .id = probe->id,
        .url = probe->url,
        .body = probe->body,
        .keyring = jobs->options.keyring,
        .aad = probe->aad,
        .sealed = probe->sealed,
        .sealed_count = probe->sealed_count,
        .timeout_ms = probe->timeout_ms,
        .executor = jobs->executor,
    };

    if (jobs->draining || !channel) {
        refuse(probe, VG_ERR_UNAVAILABLE,
               channel ? "The service is stopping." : "No webhook sender is configured.");
        return;
    }
    if (vg_webhook_call_start(channel, &call, answered, &probe->call)) {
        refuse(probe, VG_ERR_INTERNAL, "The secret cannot be read.");
        return;
    }
    probe->prev = NULL;
    probe->next = jobs->probes;
    if (probe->next)
        probe->next->prev = probe;
    jobs->probes = probe;
}

void vg_jobs_probe(struct vg_jobs *jobs, struct vg_webhook_probe *probe)
{
    probe->jobs = jobs;
    probe->ok = false;
    probe->http_status = 0;
    probe->reason[0] = '\0';
    probe->start.run = start_probe;
    vg_jobs_busy(jobs, 1);
    vg_post(jobs->executor, &probe->start);
}

void vg_probes_cut_short(struct vg_jobs *jobs)
{
    for (struct vg_webhook_probe *probe = jobs->probes; probe; probe = probe->next)
        vg_rpc_unary_cancel(&probe->call);
}
