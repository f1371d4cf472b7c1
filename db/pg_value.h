/* SPDX-License-Identifier: Apache-2.0 */
/* Values in PostgreSQL's binary format: parameters (scalars, and arrays for unnest) and typed
 * getters. Tables of fields say which member of a struct is which column, in order. Private to db/.
 */
#ifndef VG_DB_PG_VALUE_H
#define VG_DB_PG_VALUE_H

#include <stddef.h>
#include <stdint.h>

#include "common/mem.h"
#include "db/db.h"
#include "db/pg.h"

enum vg_pg_type {
    VG_PG_TEXT,  /* const char *; NULL is NULL              text */
    VG_PG_I32,   /* int32_t or an enum; NULL reads as 0     integer */
    VG_PG_I64,   /*                                         bigint */
    VG_PG_BOOL,  /*                                         boolean */
    VG_PG_BYTES, /* const void * and size_t; NULL is NULL   bytea */
    VG_PG_HASH,  /* uint8_t[32]                             bytea */
    VG_PG_TIME,  /* int64_t Unix seconds, 0 for NULL; read only   timestamptz */
    VG_PG_TYPE_MAX
};

struct vg_pg_field {
    enum vg_pg_type type;
    size_t offset;
    size_t size_offset; /* bytes: the size_t member */
};
#define VG_PG_FIELD(type, owner, member)                                                           \
    {                                                                                              \
        VG_PG_##type, offsetof(struct owner, member), 0                                            \
    }
#define VG_PG_FIELD_BYTES(owner, member, size)                                                     \
    {                                                                                              \
        VG_PG_BYTES, offsetof(struct owner, member), offsetof(struct owner, size)                  \
    }

#define VG_PG_MAX_PARAMS 32
struct vg_pg_params {
    struct vg_arena *arena; /* borrowed; holds the encoded values until the statement was added */
    int count;
    const char *values[VG_PG_MAX_PARAMS];
    int lengths[VG_PG_MAX_PARAMS];
    int formats[VG_PG_MAX_PARAMS];
};

void vg_pg_params_init(struct vg_pg_params *params, struct vg_arena *arena);
void vg_pg_put_i32(struct vg_pg_params *params, int32_t value);
void vg_pg_put_i64(struct vg_pg_params *params, int64_t value);
void vg_pg_put_text(struct vg_pg_params *params, const char *value);
void vg_pg_put_bytes(struct vg_pg_params *params, const void *value, size_t size);
/* One array parameter per field, one element per operation. */
void vg_pg_put_ops(struct vg_pg_params *params, const struct vg_pg_field *fields,
                   size_t field_count, struct vg_db_op *const *ops, size_t count);
void vg_pg_put_texts(struct vg_pg_params *params, const char *const *values, size_t count);
void vg_pg_put_i32s(struct vg_pg_params *params, const int32_t *values, size_t count);

int vg_pg_count(const struct vg_pg_rows *rows);
bool vg_pg_null(const struct vg_pg_rows *rows, int row, int column);
int64_t vg_pg_i64(const struct vg_pg_rows *rows, int row,
                  int column); /* of any integer or boolean; NULL: 0 */
int64_t vg_pg_time(const struct vg_pg_rows *rows, int row, int column); /* Unix seconds; NULL: 0 */
const char *vg_pg_text(const struct vg_pg_rows *rows, int row,
                       int column); /* borrowed; NULL: NULL */
/* Fills `target` from the columns that start at `first_column`; text and bytes are copied into
 * `arena`. */
void vg_pg_read(const struct vg_pg_rows *rows, int row, int first_column,
                const struct vg_pg_field *fields, size_t field_count, struct vg_arena *arena,
                void *target);

#endif
