/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration from one table per process: flags (--name VALUE or --name=VALUE) over environment
 * (VIDEOGATE_NAME) over defaults. The table also makes --help, --check-config and the README's
 * table. Parsed once at start. */
#ifndef VG_COMMON_CONFIG_H
#define VG_COMMON_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"

enum vg_config_type {
    VG_CONFIG_TEXT,     /* char * (owned); default NULL means unset */
    VG_CONFIG_INT,      /* int64_t within [min, max] */
    VG_CONFIG_BOOL,     /* bool: true/false/1/0/yes/no */
    VG_CONFIG_DURATION, /* int64_t milliseconds: "250ms", "30s", "5m", "2h", "3d" */
    VG_CONFIG_SIZE,     /* int64_t bytes: "512", "64k", "20m", "4g" */
    VG_CONFIG_ADDRESS, /* char * (owned) like TEXT: "HOST:PORT", "[::1]:PORT" or ":PORT"; "" allowed
                          unless required */
    VG_CONFIG_TYPE_MAX
};

struct vg_config_key {
    const char
        *name; /* "listen" gives --listen and VIDEOGATE_LISTEN; '-' becomes '_' in the variable */
    enum vg_config_type type;
    size_t offset;        /* offsetof the target in the process's config struct */
    const char *fallback; /* default as text; NULL: unset */
    int64_t min, max;     /* for numbers, in the target's unit; both 0: from 0, no upper limit */
    bool secret;          /* environment or NAME_FILE only: never a flag, masked in every dump */
    bool required;
    const char *help;
};

struct vg_config {
    const struct vg_config_key *keys;
    size_t count;
    void *target; /* the process's config struct, zeroed */
    const struct vg_config
        *also; /* a further table with a target of its own; borrowed; NULL: none */
};

/* Reads environment (empty variables count as unset) and flags; a bool flag may stand without a
 * value. On failure `err` names the key and the rule. A secret may also come from the file named by
 * VIDEOGATE_NAME_FILE (trailing newline dropped). */
VG_MUSTCHECK int vg_config_load(const struct vg_config *config, int argc, char **argv, char **envp,
                                struct vg_err *err);
void vg_config_fini(const struct vg_config *config);
/* `key=value` lines with secrets masked. */
void vg_config_dump(const struct vg_config *config, struct vg_buf *out);
/* The table for --help. */
void vg_config_help(const struct vg_config *config, struct vg_buf *out);
/* The README's table, with its head. */
void vg_config_markdown(const struct vg_config *config, struct vg_buf *out);

#endif
