/* SPDX-License-Identifier: Apache-2.0 */
/* The servers that a database URL names, one at a time: libpq waits for a server that drops packets
 * as long as the whole connection may take, and never asks the next one. Private to db/. */
#ifndef VG_DB_PG_HOSTS_H
#define VG_DB_PG_HOSTS_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { VG_PG_MAX_KEYS = 64, VG_PG_MAX_HOSTS = 16 };

struct vg_pg_hosts;

/* The parameters of one server for PQconnectStartParams; borrowed from the hosts. */
struct vg_pg_host {
    const char *keys[VG_PG_MAX_KEYS];
    const char *values[VG_PG_MAX_KEYS];
};

/* VG_ERR_UNAVAILABLE when the URL cannot be read. */
VG_MUSTCHECK int vg_pg_hosts_new(struct vg_pg_hosts **out, const char *url, const char *application,
                                 struct vg_err *err);
struct vg_pg_hosts *vg_pg_hosts_free(struct vg_pg_hosts *hosts);
/* At least 1: without a host in the URL libpq's own default is the one. */
size_t vg_pg_hosts_count(const struct vg_pg_hosts *hosts);
/* How long one server may take until it has let us in. */
int64_t vg_pg_hosts_timeout_ms(const struct vg_pg_hosts *hosts);
void vg_pg_hosts_get(const struct vg_pg_hosts *hosts, size_t index, struct vg_pg_host *out);

#endif
