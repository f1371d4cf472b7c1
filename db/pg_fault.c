/* SPDX-License-Identifier: Apache-2.0 */
/* What a SQLSTATE means for a batch. */
#include <string.h>

#include "common/mem.h"
#include "db/pg.h"

/* Longest matching prefix wins: longer ones stand first. */
static const struct {
    const char *prefix;
    enum vg_pg_fault fault;
    enum vg_err_kind kind;
} sqlstates[] = {
    {"0A000", VG_PG_FAULT_RESET, VG_ERR_UNAVAILABLE}, /* cached plan must not change result type */
    {"22021", VG_PG_FAULT_ROW, VG_ERR_INVALID_REQUEST}, /* bytes that are not UTF-8 */
    {"23505", VG_PG_FAULT_ROW, VG_ERR_CONFLICT},
    {"25006", VG_PG_FAULT_LOST, VG_ERR_UNAVAILABLE},  /* a standby: reconnect to the primary */
    {"26000", VG_PG_FAULT_RESET, VG_ERR_UNAVAILABLE}, /* the prepared statement is gone */
    {"42P01", VG_PG_FAULT_RESET, VG_ERR_UNAVAILABLE}, /* no table: the schema is missing */
    {"42P05", VG_PG_FAULT_RESET, VG_ERR_UNAVAILABLE},
    {"53100", VG_PG_FAULT_AGAIN, VG_ERR_STORAGE_FULL},
    {"55P03", VG_PG_FAULT_AGAIN, VG_ERR_UNAVAILABLE}, /* lock_timeout */
    {"57014", VG_PG_FAULT_AGAIN, VG_ERR_UNAVAILABLE}, /* statement_timeout */
    {"57P", VG_PG_FAULT_LOST, VG_ERR_UNAVAILABLE},    /* shutdown, terminated, starting up */
    {"08", VG_PG_FAULT_LOST, VG_ERR_UNAVAILABLE},
    {"25", VG_PG_FAULT_RESET, VG_ERR_UNAVAILABLE},
    {"40", VG_PG_FAULT_AGAIN, VG_ERR_UNAVAILABLE},
    {"53", VG_PG_FAULT_LOST, VG_ERR_UNAVAILABLE},
    {"54", VG_PG_FAULT_ROW, VG_ERR_TOO_LARGE},
    {"58", VG_PG_FAULT_LOST, VG_ERR_UNAVAILABLE},
};

enum vg_pg_fault vg_pg_fault_of(const char *sqlstate, enum vg_err_kind *out_kind)
{
    for (size_t i = 0; i < VG_COUNT(sqlstates); i++) {
        if (strncmp(sqlstate, sqlstates[i].prefix, strlen(sqlstates[i].prefix)) == 0) {
            *out_kind = sqlstates[i].kind;
            return sqlstates[i].fault;
        }
    }
    *out_kind = VG_ERR_INTERNAL;
    return VG_PG_FAULT_ROW;
}
