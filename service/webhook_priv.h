/* SPDX-License-Identifier: Apache-2.0 */
/* What the webhook handlers share. Private to webhook_*.c. */
#ifndef VG_SERVICE_WEBHOOK_PRIV_H
#define VG_SERVICE_WEBHOOK_PRIV_H

#include "db/webhook_store.h"
#include "service/service_priv.h"
#include "videogate/v1/admin.pb-c.h"

enum { VG_WEBHOOK_PAGE = 20, VG_WEBHOOK_MAX_PAGE = 100 };

/* Ends the request with 404 unless the id can be one. */
bool vg_webhook_id_taken(struct vg_request *request, const char *id);
/* The page size for what the caller asked, or -1 and the request has ended. */
int32_t vg_webhook_page(struct vg_request *request, int32_t limit);

#endif
