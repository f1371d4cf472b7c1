/* SPDX-License-Identifier: Apache-2.0 */
/* Renews the lease of a job whose step lasts, every third of the lease. A renewal and a change of
 * one row are never in flight together: a renewal that overtook a release would lease the row to
 * nobody. */
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"
#include "service/jobs/jobs_priv.h"

enum { RETRY_MS = 500 };

static int64_t lease_ms(const struct vg_job *job)
{
    return job->jobs->options.lease_ms;
}

static void arm(struct vg_job *job, int64_t ms)
{
    if (!job->released && !job->ended) {
        vg_timer_start(&job->beat, vg_deadline_in_ms(ms));
    }
}

static void lease_lost(struct vg_job *job)
{
    vg_metric_add(job->jobs->metrics, VG_JM_LEASE_LOST, 0, 1);
    vg_log(VG_LOG_WARN, "lease lost", VG_I("generation", job->row.id),
           VG_S("video", job->row.video_id),
           VG_S("state", vg_generation_state_name(job->row.state)),
           VG_S("step", vg_step_name(job->step)));
    job->lost = true;
    vg_job_cut_short(job);
}

static void renewed(struct vg_job *job)
{
    job->lease_until_ns = job->renew_sent_ns + lease_ms(job) * VG_NS_PER_MS;
    job->row.cancel_requested = job->row.cancel_requested || job->renew.cancel_requested;
    arm(job, lease_ms(job) / 3);
    enum vg_step step = job->after_renew;
    job->after_renew = VG_STEP_END;
    if (job->commit_waits) {
        vg_job_commit_now(job);
    } else if (step != VG_STEP_END) {
        vg_job_run_step(job, step);
    }
}

static void renew_done(struct vg_task *task)
{
    struct vg_job *job = VG_CONTAINER(task, struct vg_job, renew.op.done);
    job->renewing = false;
    job->renew_arena = vg_arena_free(job->renew_arena);
    if (job->ended || job->jobs->dying) {
        vg_job_end(job);
        return;
    }
    if (job->renew.op.ok && job->renew.applied) {
        renewed(job);
    } else if (job->renew.op.ok) {
        lease_lost(job);
    } else if (job->commit_waits) {
        vg_job_commit_now(job);
    } else if (job->after_renew != VG_STEP_END && vg_now_ns() > job->lease_until_ns) {
        vg_job_end(job); /* a step must not start without a lease; the row is rescued */
    } else {
        arm(job, RETRY_MS);
    }
}

static void renew(struct vg_job *job)
{
    job->renewing = true;
    job->renew_arena = vg_arena_new();
    job->renew_sent_ns = vg_now_ns();
    job->renew = (struct vg_generation_renew){
        .op = {.executor = job->jobs->executor,
               .done = {.run = renew_done},
               .deadline_ns = vg_deadline_in_ms(lease_ms(job) / 3),
               .arena = job->renew_arena},
        .id = job->row.id,
        .lease_seq = job->row.lease_seq,
        .lease_ms = lease_ms(job),
    };
    vg_generation_renew(job->jobs->db, &job->renew);
}

static void beat(struct vg_timer *timer)
{
    struct vg_job *job = VG_CONTAINER(timer, struct vg_job, beat);
    if (job->jobs->dying || job->released || job->ended) {
        return;
    }
    if (job->changing || job->renewing || job->commit_waits) {
        arm(job, lease_ms(job) / 3);
        return;
    }
    renew(job);
}

void vg_heartbeat_start(struct vg_job *job)
{
    vg_timer_init(&job->beat, job->jobs->loop, beat);
    arm(job, lease_ms(job) / 3);
}

void vg_heartbeat_stop(struct vg_job *job)
{
    vg_timer_stop(&job->beat);
}

bool vg_heartbeat_fresh(struct vg_job *job, enum vg_step step)
{
    int64_t left_ms = (job->lease_until_ns - vg_now_ns()) / VG_NS_PER_MS;
    if (left_ms >= lease_ms(job) / 2) {
        return true;
    }
    job->after_renew = step;
    if (!job->renewing) {
        renew(job);
    }
    return false;
}
