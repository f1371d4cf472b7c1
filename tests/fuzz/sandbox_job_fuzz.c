/* SPDX-License-Identifier: Apache-2.0 */
/* Journal lines: what is taken for a job keeps the rules and is the same after another round trip.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "workers/providers/sandbox/job.h"

static void check_job(struct vg_sandbox_job *job)
{
    struct vg_buf buf;
    struct vg_sandbox_line again;
    VG_ASSERT(vg_sandbox_job_check(job, NULL) == 0);
    vg_buf_init(&buf, 4 << 20);
    vg_sandbox_write_submit(&buf, job);
    VG_ASSERT(vg_buf_ok(&buf));
    struct vg_view line = {buf.data, buf.len - 1};
    VG_ASSERT(vg_sandbox_parse_line(&again, line, NULL) == 0 && again.job);
    VG_ASSERT(strcmp(again.job->token, job->token) == 0);
    VG_ASSERT(!again.job->prompt == !job->prompt);
    VG_ASSERT(!job->prompt || strcmp(again.job->prompt, job->prompt) == 0);
    vg_sandbox_job_free(again.job);
    vg_buf_fini(&buf);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vg_sandbox_line line;
    if (vg_sandbox_parse_line(&line, (struct vg_view){(const char *)data, size}, NULL))
        return 0;
    if (line.job)
        check_job(line.job);
    else
        VG_ASSERT(line.state > VG_SANDBOX_ACCEPTED && line.state < VG_SANDBOX_STATE_MAX);
    vg_sandbox_job_free(line.job);
    return 0;
}
