/* SPDX-License-Identifier: Apache-2.0 */
/* The janitor: every so often removes the files of deleted and expired videos, files that no video
 * knows (a process died between file and row), temporary files of dead writers, and old rows
 * (retention.h).
 *
 * While the blob folder is not known to belong to the database (binding.h) it does nothing. Several
 * processes may do it side by side: every step may be done twice. Lives on the service's
 * loop. */
#ifndef VG_SERVICE_JANITOR_H
#define VG_SERVICE_JANITOR_H

#include <stdbool.h>
#include <stdint.h>

#include "service/retention.h"

struct vg_service;
struct vg_janitor;

struct vg_janitor_options {
    struct vg_service *service; /* borrowed */
    int64_t interval_ms;        /* between rounds; 0: 15,000 */
    int64_t orphan_age_s;       /* files without a video older than this are removed; 0: 86,400 */
    struct vg_retention_options retention;
};

struct vg_janitor *vg_janitor_new(const struct vg_janitor_options *options);
/* Begins with a round after one interval. Any thread. */
void vg_janitor_start(struct vg_janitor *janitor);
/* No further round; the step under way ends. Any thread, returns at once. */
void vg_janitor_close(struct vg_janitor *janitor);
/* Nothing is under way any more and nothing will be. Any thread. */
bool vg_janitor_idle(const struct vg_janitor *janitor);
/* NULL is fine. */
struct vg_janitor *vg_janitor_free(struct vg_janitor *janitor);

#endif
