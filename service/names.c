/* SPDX-License-Identifier: Apache-2.0 */
#include "service/names.h"

#include <string.h>

#include "common/str.h"

static bool label_ok(const char *name)
{
    size_t len = strlen(name);

    if (!vg_utf8_valid(name, len) || vg_utf8_length(name, len) > 128)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return true;
}

int vg_name_label(const char *name, struct vg_err *err)
{
    if (label_ok(name))
        return 0;
    return vg_err_param(err, VG_ERR_INVALID_REQUEST, "name",
                        "name: must have at most 128 characters, no control characters");
}

int vg_name_project(const char *project, struct vg_err *err)
{
    size_t len = strlen(project);

    if (len >= 1 && len <= 64 && strspn(project, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len)
        return 0;
    return vg_err_param(err, VG_ERR_INVALID_REQUEST, "project",
                        "project: must be 1 to 64 characters of [a-z0-9_-]");
}

bool vg_name_id_ok(const char *id)
{
    size_t len = strlen(id);

    return len >= 1 && len <= 80 && strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}
