/* SPDX-License-Identifier: Apache-2.0 */
/* Sending deliveries again: they become pending and due at once, and their attempts start again.
 * A receiver that is held back is tried at once, too. */
#ifndef VG_DB_REDELIVERY_STORE_H
#define VG_DB_REDELIVERY_STORE_H

#include "db/delivery_store.h"

/* Whatever its state. VG_ERR_NOT_FOUND, also when its endpoint is deleted. */
struct vg_redelivery {
    struct vg_db_op op;
    const char *id;
    int64_t project_id;          /* 0: any */
    struct vg_delivery delivery; /* result */
};
void vg_redelivery(struct vg_db *db, struct vg_redelivery *op);

/* Of a project, or to an endpoint: those that began in a time and have ended. VG_ERR_NOT_FOUND: no
 * such project or endpoint. */
struct vg_redelivery_range {
    struct vg_db_op op;
    int64_t project_id;
    const char *project;     /* name, where project_id is 0 and there is no endpoint */
    const char *endpoint_id; /* NULL: the project's, also those of callback_url */
    int64_t since, until;    /* Unix seconds; until is not in it */
    bool delivered_too;      /* else those that failed or are gone */
    const char *after;       /* delivery that was the last of the page before; NULL: none */
    int32_t limit;
    int32_t count;       /* result */
    const char *last_id; /* result; NULL: none */
};
void vg_redelivery_range(struct vg_db *db, struct vg_redelivery_range *op);

#endif
