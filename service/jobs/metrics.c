/* SPDX-License-Identifier: Apache-2.0 */
#include "common/metrics.h"

#include <string.h>

#include "service/jobs/jobs_priv.h"
#include "service/jobs/result_probe.h"

static const char *const states[] = {"?",        "pending", "submitting", "running",
                                     "fetching", "stored",  "failed",     "canceled",
                                     "expired",  "unknown", NULL};
_Static_assert(VG_COUNT(states) == VG_GEN_STATE_MAX + 1, "a name for each state");

static const char *const claim_results[] = {"ok", "failed", NULL};

static const char *const delivery_ends[] = {"delivered", "retry",       "gone", "refused",
                                            "exhausted", "sender_away", NULL};
_Static_assert(VG_COUNT(delivery_ends) == VG_DE_MAX + 1, "a name for each end");

static const char *const disabled_reasons[] = {"gone", "failing", NULL};

static const char *const steps[] = {"end", "submit", "lookup", "poll", "fetch", "cancel", NULL};
_Static_assert(VG_COUNT(steps) == VG_STEP_MAX + 1, "a name for each step");

static const char *const results[] = {"as_asked", "differs", "unseen", "bad", "unread", NULL};
_Static_assert(VG_COUNT(results) == VG_RESULT_KIND_MAX + 1, "a name for each kind");

static const struct vg_metric_desc table[VG_JM_MAX] = {
    [VG_JM_TRANSITIONS] = {"videogate_generation_transitions_total", VG_METRIC_COUNTER,
                           "Changes of state that were committed, by new state.", "state", states},
    [VG_JM_IN_FLIGHT] = {"videogate_generations_held", VG_METRIC_GAUGE,
                         "Generations whose lease this process holds, by provider.", "provider",
                         NULL},
    [VG_JM_WORKER_UP] = {"videogate_worker_up", VG_METRIC_GAUGE,
                         "Whether the provider's worker is there.", "provider", NULL},
    [VG_JM_WORKER_CLOCK] = {"videogate_worker_clock_ahead_ms", VG_METRIC_GAUGE,
                            "Milliseconds that the worker's clock is ahead of this process's; "
                            "one that is too far ahead refuses submissions.",
                            "provider", NULL},
    [VG_JM_BREAKER] = {"videogate_provider_breaker", VG_METRIC_GAUGE,
                       "The provider's circuit breaker: 0 closed, 1 open, 2 half-open.", "provider",
                       NULL},
    [VG_JM_HELD_BACK] = {"videogate_submissions_held_back_total", VG_METRIC_COUNTER,
                         "Submissions not made because the breaker was open or the provider full.",
                         "provider", NULL},
    [VG_JM_SUCCESS] = {"videogate_provider_success_permille", VG_METRIC_GAUGE,
                       "Share of recent jobs that the provider made, over its models.", "provider",
                       NULL},
    [VG_JM_LEASE_LOST] = {"videogate_generation_lease_lost_total", VG_METRIC_COUNTER,
                          "Leases that another process took over.", NULL, NULL},
    [VG_JM_CLAIMS] = {"videogate_generation_claims_total", VG_METRIC_COUNTER,
                      "Claims asked of the database.", "result", claim_results},
    [VG_JM_DELIVERIES] = {"videogate_deliveries_total", VG_METRIC_COUNTER,
                          "Callback attempts by how they ended.", "outcome", delivery_ends},
    [VG_JM_ENDPOINTS_DISABLED] = {"videogate_webhook_endpoints_disabled_total", VG_METRIC_COUNTER,
                                  "Webhook endpoints that get nothing more until their owner "
                                  "takes them back.",
                                  "reason", disabled_reasons},
    [VG_JM_FETCHED_BYTES] = {"videogate_fetched_bytes_total", VG_METRIC_COUNTER,
                             "Bytes of results stored.", NULL, NULL},
    [VG_JM_STEP_SECONDS] = {"videogate_generation_step_seconds", VG_METRIC_HISTOGRAM,
                            "Duration of upstream steps.", "step", steps},
    [VG_JM_RESULTS] = {"videogate_results_total", VG_METRIC_COUNTER,
                       "Results by what a look at them found; bad ones are fetched again.", "found",
                       results},
};

void vg_jobs_metrics_register(struct vg_jobs *jobs, struct vg_metrics *metrics)
{
    size_t n = vg_workers_count(jobs->workers);
    jobs->provider_names = vg_xcalloc(n + 2, sizeof(*jobs->provider_names));
    for (size_t i = 0; i < n; i++) {
        jobs->provider_names[i] = vg_workers_at(jobs->workers, i)->name;
    }
    if (n == 0) {
        jobs->provider_names[0] = "none";
    }
    memcpy(jobs->metric_table, table, sizeof(table));
    jobs->metric_table[VG_JM_IN_FLIGHT].values = jobs->provider_names;
    jobs->metric_table[VG_JM_WORKER_UP].values = jobs->provider_names;
    jobs->metric_table[VG_JM_WORKER_CLOCK].values = jobs->provider_names;
    jobs->metric_table[VG_JM_BREAKER].values = jobs->provider_names;
    jobs->metric_table[VG_JM_HELD_BACK].values = jobs->provider_names;
    jobs->metric_table[VG_JM_SUCCESS].values = jobs->provider_names;
    if (metrics) {
        jobs->metrics = vg_metrics_register(metrics, jobs->metric_table, VG_JM_MAX);
    }
}
