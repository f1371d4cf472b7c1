/* SPDX-License-Identifier: Apache-2.0 */
/* The handlers that routes.c names. Each is called once with a complete request and answers now or
 * later. */
#ifndef VG_BRIDGE_API_HANDLERS_H
#define VG_BRIDGE_API_HANDLERS_H

struct vg_exchange;

void vg_handle_characters(struct vg_exchange *exchange);     /* create.c */
void vg_handle_edit(struct vg_exchange *exchange);           /* create.c */
void vg_handle_extend(struct vg_exchange *exchange);         /* create.c */
void vg_handle_create(struct vg_exchange *exchange);         /* create.c */
void vg_handle_remix(struct vg_exchange *exchange);          /* create.c */
void vg_handle_get(struct vg_exchange *exchange);            /* videos.c */
void vg_handle_list(struct vg_exchange *exchange);           /* videos.c */
void vg_handle_delete(struct vg_exchange *exchange);         /* videos.c */
void vg_handle_cancel(struct vg_exchange *exchange);         /* videos.c */
void vg_handle_models(struct vg_exchange *exchange);         /* videos.c */
void vg_handle_model(struct vg_exchange *exchange);          /* videos.c */
void vg_handle_content(struct vg_exchange *exchange);        /* content.c */
void vg_handle_events(struct vg_exchange *exchange);         /* events.c */
void vg_handle_healthz(struct vg_exchange *exchange);        /* health.c */
void vg_handle_readyz(struct vg_exchange *exchange);         /* health.c */
void vg_handle_metrics(struct vg_exchange *exchange);        /* health.c */
void vg_handle_static(struct vg_exchange *exchange);         /* document.c */
void vg_handle_provider_event(struct vg_exchange *exchange); /* provider_event.c */
void vg_handle_usage(struct vg_exchange *exchange);          /* usage.c */
void vg_handle_webhook_create(struct vg_exchange *exchange); /* webhooks.c, as all below */
void vg_handle_webhook_get(struct vg_exchange *exchange);
void vg_handle_webhook_list(struct vg_exchange *exchange);
void vg_handle_webhook_update(struct vg_exchange *exchange);
void vg_handle_webhook_delete(struct vg_exchange *exchange);
void vg_handle_webhook_rotate(struct vg_exchange *exchange);
void vg_handle_webhook_test(struct vg_exchange *exchange);
void vg_handle_webhook_types(struct vg_exchange *exchange);
void vg_handle_endpoint_deliveries(struct vg_exchange *exchange);
void vg_handle_video_deliveries(struct vg_exchange *exchange);
void vg_handle_redeliver(struct vg_exchange *exchange);
void vg_handle_redeliver_range(struct vg_exchange *exchange);

#endif
