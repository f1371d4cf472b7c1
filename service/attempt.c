/* SPDX-License-Identifier: Apache-2.0 */
#include "service/attempt.h"

#include "common/clock.h"
#include "common/log.h"
#include "common/peer.h"
#include "service/service_priv.h"
#include "service/throttle.h"

static void client_of(const struct vg_service *service, const struct vg_rpc_call *call,
                      char out[VG_PEER_SIZE])
{
    char peer[VG_PEER_SIZE], said[VG_PEER_SIZE];

    if (vg_rpc_call_peer(call, peer) && vg_peer_in(peer, service->trusted_peers) &&
        vg_peer_parse(vg_rpc_call_metadata(call, "x-videogate-client"), said))
        vg_peer_group(said, out);
    else
        vg_peer_group(peer, out);
}

bool vg_attempt_admit(struct vg_service *service, const struct vg_rpc_call *call,
                      const char *key_id, struct vg_err *err)
{
    char client[VG_PEER_SIZE];
    struct vg_throttle_answer answer;

    client_of(service, call, client);
    const struct vg_throttle_who who = {client, key_id};
    vg_throttle_look(service->throttle, &who, vg_now_ns(), &answer);
    if (answer.wait_ms == 0)
        return true;
    if (answer.began)
        vg_log(VG_LOG_WARN, "failed authentications are slowed down",
               VG_S("by", answer.by == VG_THROTTLE_KEY ? "key" : "client"), VG_S("client", client),
               VG_S("key", answer.by == VG_THROTTLE_KEY ? key_id : ""));
    vg_metric_add(service->metrics, VG_SM_AUTH_THROTTLED, (size_t)answer.by, 1);
    (void)vg_err_set(err, VG_ERR_RATE_LIMITED, "Too many failed authentications %s. Wait a while.",
                     answer.by == VG_THROTTLE_KEY ? "with this key" : "from this address");
    err->retry_after_ms = answer.wait_ms;
    return false;
}

void vg_attempt_failed(struct vg_service *service, const struct vg_rpc_call *call,
                       enum vg_attempt_series why, const char *key_id)
{
    char client[VG_PEER_SIZE];

    client_of(service, call, client);
    const struct vg_throttle_who who = {client, key_id};
    vg_throttle_failed(service->throttle, &who, vg_now_ns());
    vg_metric_add(service->metrics, VG_SM_AUTH_FAILURES, (size_t)why, 1);
}
