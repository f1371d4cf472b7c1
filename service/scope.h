/* SPDX-License-Identifier: Apache-2.0 */
/* What an API key may do: names on the wire and at rest, bits in memory. Pure, any thread. */
#ifndef VG_SERVICE_SCOPE_H
#define VG_SERVICE_SCOPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vg_scope {
    VG_SCOPE_VIDEOS_READ = 1,
    VG_SCOPE_VIDEOS_WRITE = 2,
    VG_SCOPE_USAGE_READ = 4,
    VG_SCOPE_WEBHOOKS_READ = 8,
    VG_SCOPE_WEBHOOKS_WRITE = 16,
    VG_SCOPE_ALL = 31
};

/* Room for all names with a space between, and NUL. */
#define VG_SCOPES_TEXT_SIZE 96

/* Of one bit. */
const char *vg_scope_name(enum vg_scope scope);
/* 0: there is no such scope. */
uint32_t vg_scope_by_name(const char *name, size_t len);
/* "videos.read usage.read" to bits; empty is all; names nobody knows give nothing. */
uint32_t vg_scopes_parse(const char *text);
/* Bits to text in the order of the enum; all gives "". */
void vg_scopes_format(uint32_t scopes, char out[VG_SCOPES_TEXT_SIZE]);

#endif
