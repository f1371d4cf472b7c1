/* SPDX-License-Identifier: Apache-2.0 */
#include "service/names.h"

#include <string.h>

#include "common/str.h"

bool vg_name_label_ok(const char *name)
{
    size_t len = strlen(name);

    if (!vg_utf8_valid(name, len) || vg_utf8_length(name, len) > 128)
        return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7f)
            return false;
    return true;
}

bool vg_name_project_ok(const char *project)
{
    size_t len = strlen(project);

    return len >= 1 && len <= 64 &&
           strspn(project, "abcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

bool vg_name_id_ok(const char *id)
{
    size_t len = strlen(id);

    return len >= 1 && len <= 80 && strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_") == len;
}
