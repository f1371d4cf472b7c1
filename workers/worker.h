/* SPDX-License-Identifier: Apache-2.0 */
/* ProviderWorkerService over one provider: turns RPC calls into operations and counts how they end.
 */
#ifndef VG_WORKERS_WORKER_H
#define VG_WORKERS_WORKER_H

#include "common/metrics.h"
#include "common/rpc/server.h"
#include "workers/provider.h"

struct vg_worker;

/* `provider_self` is the started provider; both and the metrics outlive the worker. */
struct vg_worker *vg_worker_new(const struct vg_provider *provider, void *provider_self,
                                struct vg_metrics *metrics);
/* After the server has stopped and the provider has ended every operation. */
struct vg_worker *vg_worker_free(struct vg_worker *worker);
/* For the server's table; lives as long as the worker. */
const struct vg_rpc_service *vg_worker_service(const struct vg_worker *worker);

#endif
