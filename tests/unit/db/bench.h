/* SPDX-License-Identifier: Apache-2.0 */
/* What the benches of this folder begin with. */
#ifndef VG_TESTS_UNIT_DB_BENCH_H
#define VG_TESTS_UNIT_DB_BENCH_H

#include <stdio.h>

#include "db/db.h"
#include "tests/unit/db/inline_executor.h"

/* Migrates the database and starts; -1 after a word on stderr. */
static int bench_start(struct vg_db **out, const char *url)
{
    const struct vg_db_options options = {.url = url};
    struct vg_err err = {0};

    if (vg_db_migrate(url, NULL, NULL, &err) == 0 && vg_db_start(out, &options, &err) == 0)
        return 0;
    (void)fprintf(stderr, "%s\n", vg_err_text(&err));
    return -1;
}

#endif
