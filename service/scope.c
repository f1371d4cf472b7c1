/* SPDX-License-Identifier: Apache-2.0 */
#include "service/scope.h"

#include <string.h>

#include "common/err.h"
#include "common/mem.h"
#include "common/str.h"

static const struct {
    enum vg_scope scope;
    const char *name;
} table[] = {
    {VG_SCOPE_VIDEOS_READ, "videos.read"},       {VG_SCOPE_VIDEOS_WRITE, "videos.write"},
    {VG_SCOPE_USAGE_READ, "usage.read"},         {VG_SCOPE_WEBHOOKS_READ, "webhooks.read"},
    {VG_SCOPE_WEBHOOKS_WRITE, "webhooks.write"},
};

const char *vg_scope_name(enum vg_scope scope)
{
    for (size_t i = 0; i < VG_COUNT(table); i++)
        if (table[i].scope == scope)
            return table[i].name;
    return "";
}

uint32_t vg_scope_by_name(const char *name, size_t len)
{
    for (size_t i = 0; i < VG_COUNT(table); i++)
        if (strlen(table[i].name) == len && memcmp(table[i].name, name, len) == 0)
            return (uint32_t)table[i].scope;
    return 0;
}

uint32_t vg_scopes_parse(const char *text)
{
    uint32_t scopes = 0;

    if (!text[0])
        return VG_SCOPE_ALL;
    while (*text) {
        size_t len = strcspn(text, " ");

        scopes |= vg_scope_by_name(text, len);
        text += len + strspn(text + len, " ");
    }
    return scopes;
}

void vg_scopes_format(uint32_t scopes, char out[VG_SCOPES_TEXT_SIZE])
{
    size_t len = 0;

    out[0] = '\0';
    if (scopes == VG_SCOPE_ALL)
        return;
    for (size_t i = 0; i < VG_COUNT(table); i++)
        if (scopes & (uint32_t)table[i].scope) {
            if (len > 0)
                out[len++] = ' ';
            VG_ASSERT(vg_strcpy(out + len, VG_SCOPES_TEXT_SIZE - len, table[i].name));
            len += strlen(table[i].name);
        }
}
