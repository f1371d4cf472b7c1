/* SPDX-License-Identifier: Apache-2.0 */
/* The service process: its configuration table and its life (start order, drain, stop). */
#ifndef VG_SERVICE_APP_H
#define VG_SERVICE_APP_H

#include "common/config.h"
#include "common/err.h"

struct vg_app;

struct vg_app *vg_app_new(void);
struct vg_app *vg_app_free(struct vg_app *app);

/* The table and its target, for vg_process. */
const struct vg_config_key *vg_app_config_keys(size_t *out_count);
void *vg_app_config(struct vg_app *app);

/* Members of struct vg_process; `ctx` is a struct vg_app. */
int vg_app_check(void *ctx, struct vg_err *err);
int vg_app_start(void *ctx, struct vg_err *err);
void vg_app_reload(void *ctx);
void vg_app_drain(void *ctx, int64_t deadline_ns);
void vg_app_stop(void *ctx);

#endif
