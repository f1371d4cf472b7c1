/* SPDX-License-Identifier: Apache-2.0 */
/* The catalog's reader. What it accepts keeps its promises: every default can be made, every model
 * is found. */
#include <stdint.h>
#include <string.h>

#include "service/catalog.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct vg_catalog *catalog = NULL;
    struct vg_err err;
    size_t count = 0;

    if (vg_catalog_parse(&catalog, "fuzz", (struct vg_view){(const char *)data, size}, &err) < 0) {
        VG_ASSERT(err.kind == VG_ERR_INVALID_REQUEST && vg_err_text(&err)[0] != '\0');
        return 0;
    }
    const struct vg_model *models = vg_catalog_models(catalog, &count);
    VG_ASSERT(count > 0 && vg_catalog_default(catalog) != NULL);
    for (size_t i = 0; i < count; i++) {
        const struct vg_model *m = &models[i];
        VG_ASSERT(vg_catalog_find(catalog, m->name, strlen(m->name)) == m);
        for (size_t a = 0; a < m->alias_count; a++)
            VG_ASSERT(vg_catalog_find(catalog, m->aliases[a], strlen(m->aliases[a])) == m);
        VG_ASSERT(m->route_count > 0 && m->max_seconds >= m->default_seconds);
        for (size_t r = 0; r < m->route_count; r++) {
            const struct vg_rule_case of = {.size = m->default_size, .image = true};
            VG_ASSERT(m->routes[r].size_count > 0 && m->routes[r].seconds != 0);
            VG_ASSERT((vg_route_lengths(&m->routes[r], &of) & ~m->routes[r].seconds_with_image) ==
                      0);
            (void)vg_route_price(&m->routes[r], m->default_size, m->default_seconds, true);
        }
    }
    (void)vg_catalog_free(catalog);
    return 0;
}
