/* SPDX-License-Identifier: Apache-2.0 */
/* What the configuration comes to: its mistakes named, its texts read. Starts nothing. Private to
 * app.c. */
#ifndef VG_SERVICE_APP_SETUP_H
#define VG_SERVICE_APP_SETUP_H

#include "common/http/guard.h"
#include "common/keyring.h"
#include "service/app_config.h"
#include "service/catalog.h"
#include "service/event_address.h"
#include "service/link.h"
#include "service/pepper.h"
#include "service/route_order.h"

/* Texts owned. */
struct vg_app_setup {
    const char *catalog_path;                         /* borrowed from the configuration */
    struct vg_catalog *catalog;                       /* a reference */
    struct vg_http_guard callback_guard, image_guard; /* texts borrowed from the configuration */
    char *public_url;                                 /* without a slash at its end */
    struct vg_links *links;
    struct vg_peppers *peppers;
    struct vg_event_addresses *event_addresses;
    struct vg_keyring keyring;
    char *route_all_provider, *route_all_model;
    enum vg_route_order order;
    char *default_callback_url; /* normalised */
    char *providers_text;       /* holds what `providers` points to */
    const char **providers;
    size_t provider_count;
};

VG_MUSTCHECK int vg_app_setup_make(struct vg_app_setup *out, const struct vg_app_config *config,
                                   struct vg_err *err);
void vg_app_setup_fini(struct vg_app_setup *setup);

#endif
