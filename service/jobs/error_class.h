/* SPDX-License-Identifier: Apache-2.0 */
/* What the classes of a provider's error mean: a table, for the decisions about a job, for the
 * breaker of its provider, and for the log. */
#ifndef VG_SERVICE_JOBS_ERROR_CLASS_H
#define VG_SERVICE_JOBS_ERROR_CLASS_H

#include <stdbool.h>

#include "videogate/v1/worker.pb-c.h"

struct vg_error_class {
    const char *word;      /* in the log and in an attempt's reason */
    const char *code;      /* what the caller reads when the job ends with it */
    const char *message;   /* and, where the worker said nothing to show */
    bool final;            /* neither another try nor another provider */
    bool better_elsewhere; /* another provider before another try here */
    bool throttled;        /* not a failure: uses up no budget while there is nowhere else */
    enum vg_error_blame {  /* whose fault it is */
                          VG_BLAME_NOBODY, /* the caller's, or a limit that passes by itself */
                          VG_BLAME_MODEL,  /* the provider's other models are not concerned */
                          VG_BLAME_PROVIDER
    } blame;
};

/* Never NULL: a class that is not in the table is as ERROR_CLASS_UNSPECIFIED. */
const struct vg_error_class *vg_error_class(Videogate__V1__ErrorClass class);

#endif
