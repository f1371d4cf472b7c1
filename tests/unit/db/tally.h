/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the tallies share. */
#ifndef VG_TESTS_DB_TALLY_H
#define VG_TESTS_DB_TALLY_H

#include <sys/stat.h>

#include "tests/unit/db/fixture.h"

enum { TALLY_AGE_US = 300000 }; /* after that a claim makes a new one */

static unsigned roll(unsigned *dice)
{
    *dice = *dice * 1664525u + 1013904223u;
    return *dice >> 16;
}

/* ---- commits that come late */

static void flag_path(char *out, size_t size, const struct fixture *f, const char *name)
{
    assert_in_range(snprintf(out, size, "%s/%s", f->dir, name), 1, (int)size - 1);
}

static void wait_flag(const struct fixture *f, const char *name)
{
    char path[128];

    flag_path(path, sizeof(path), f, name);
    while (access(path, F_OK) != 0)
        (void)usleep(10000);
}

/* Runs the statement in a transaction that commits with late_commit. */
static void late_begin(struct fixture *f, const char *statement)
{
    char command[2048];

    assert_int_equal(chmod(f->dir, 0777), 0);
    (void)snprintf(command, sizeof(command),
                   "cd %s && rm -f began go ended && psql -X -q -v ON_ERROR_STOP=1 -d '%s'"
                   " >/dev/null 2>&1 <<'END' &\nBEGIN;\n%s;\n\\! touch began; while ! test -e go; "
                   "do sleep 0.02; done\nCOMMIT;\n\\! touch ended\nEND\n",
                   f->dir, f->url, statement);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c): our own text */
    wait_flag(f, "began");
}

static void late_commit(const struct fixture *f)
{
    char path[128];

    flag_path(path, sizeof(path), f, "go");
    FILE *go = fopen(path, "we");

    assert_non_null(go);
    (void)fclose(go);
    wait_flag(f, "ended");
}

#endif
