/* SPDX-License-Identifier: Apache-2.0 */
#include "db/pg_value.h"

#include <endian.h>
#include <string.h>

#include <libpq-fe.h>

/* Seconds from 1970 to 2000, where PostgreSQL's timestamps start. */
#define PG_EPOCH_S INT64_C(946684800)

/* Element types by their fixed oids (pg_type.dat). */
static const uint32_t type_oids[VG_PG_TYPE_MAX] = {
    [VG_PG_TEXT] = 25, [VG_PG_I32] = 23,   [VG_PG_I64] = 20,
    [VG_PG_BOOL] = 16, [VG_PG_BYTES] = 17, [VG_PG_HASH] = 17,
};

/* One encoded element; data NULL: SQL NULL. */
struct element {
    const void *data;
    size_t len;
    char scratch[8];
};

/* ---- parameters */

void vg_pg_params_init(struct vg_pg_params *params, struct vg_arena *arena)
{
    params->arena = arena;
    params->count = 0;
}

static void put(struct vg_pg_params *params, const char *data, size_t len)
{
    VG_ASSERT(params->count < VG_PG_MAX_PARAMS);
    VG_ASSERT(len <= INT32_MAX);
    params->values[params->count] = data;
    params->lengths[params->count] = (int)len;
    params->formats[params->count] = 1;
    params->count++;
}

static void store_i32(void *at, int32_t value)
{
    uint32_t big = htobe32((uint32_t)value);

    memcpy(at, &big, sizeof(big));
}

static void store_i64(void *at, int64_t value)
{
    uint64_t big = htobe64((uint64_t)value);

    memcpy(at, &big, sizeof(big));
}

void vg_pg_put_i32(struct vg_pg_params *params, int32_t value)
{
    char *at = vg_arena_alloc(params->arena, sizeof(value));

    store_i32(at, value);
    put(params, at, sizeof(value));
}

void vg_pg_put_i64(struct vg_pg_params *params, int64_t value)
{
    char *at = vg_arena_alloc(params->arena, sizeof(value));

    store_i64(at, value);
    put(params, at, sizeof(value));
}

void vg_pg_put_text(struct vg_pg_params *params, const char *value)
{
    put(params, value, value ? strlen(value) : 0);
}

void vg_pg_put_bytes(struct vg_pg_params *params, const void *value, size_t size)
{
    put(params, value, size);
}

/* `e->data` may point into `e`: the element must not move. */
static void encode(struct element *e, const struct vg_pg_field *field, const char *object)
{
    const char *at = object + field->offset;

    e->data = e->scratch;
    switch (field->type) {
    case VG_PG_TEXT:
        e->data = *(const char *const *)(const void *)at;
        e->len = e->data ? strlen(e->data) : 0;
        break;
    case VG_PG_I32:
        store_i32(e->scratch, *(const int32_t *)(const void *)at);
        e->len = 4;
        break;
    case VG_PG_I64:
        store_i64(e->scratch, *(const int64_t *)(const void *)at);
        e->len = 8;
        break;
    case VG_PG_BOOL:
        e->scratch[0] = *(const bool *)(const void *)at ? 1 : 0;
        e->len = 1;
        break;
    case VG_PG_BYTES:
        e->data = *(const void *const *)(const void *)at;
        e->len = *(const size_t *)(const void *)(object + field->size_offset);
        break;
    case VG_PG_HASH:
        e->data = at;
        e->len = 32;
        break;
    case VG_PG_TIME: /* the database's clock alone counts: a time is never passed in */
    case VG_PG_TYPE_MAX:
        VG_ASSERT(field->type < VG_PG_TIME);
    }
}

/* Array wire form: dimensions, null flag, element oid, length, lower bound, then length-prefixed
 * elements. */
enum { ARRAY_HEADER = 20, ARRAY_EMPTY = 12 };

static char *array_header(char *at, uint32_t oid, size_t count)
{
    store_i32(at, count > 0 ? 1 : 0);
    store_i32(at + 4, 1);
    store_i32(at + 8, (int32_t)oid);
    if (count == 0)
        return at + ARRAY_EMPTY;
    store_i32(at + 12, (int32_t)count);
    store_i32(at + 16, 1);
    return at + ARRAY_HEADER;
}

static char *array_element(char *at, const struct element *e)
{
    if (!e->data) {
        store_i32(at, -1);
        return at + 4;
    }
    store_i32(at, (int32_t)e->len);
    memcpy(at + 4, e->data, e->len);
    return at + 4 + e->len;
}

/* `item` gives the i-th struct that holds the field. */
static void put_array(struct vg_pg_params *params, const struct vg_pg_field *field, size_t count,
                      const char *(*item)(const void *ctx, size_t i), const void *ctx)
{
    size_t size = ARRAY_HEADER;
    struct element e;

    for (size_t i = 0; i < count; i++) {
        encode(&e, field, item(ctx, i));
        size += 4 + (e.data ? e.len : 0);
    }
    char *start = vg_arena_alloc(params->arena, size);
    char *at = array_header(start, type_oids[field->type], count);

    for (size_t i = 0; i < count; i++) {
        encode(&e, field, item(ctx, i));
        at = array_element(at, &e);
    }
    put(params, start, (size_t)(at - start));
}

static const char *op_item(const void *ctx, size_t i)
{
    return (const char *)((struct vg_db_op *const *)ctx)[i];
}

static const char *text_item(const void *ctx, size_t i)
{
    return (const char *)((const char *const *)ctx + i);
}

static const char *i32_item(const void *ctx, size_t i)
{
    return (const char *)((const int32_t *)ctx + i);
}

void vg_pg_put_ops(struct vg_pg_params *params, const struct vg_pg_field *fields,
                   size_t field_count, struct vg_db_op *const *ops, size_t count)
{
    for (size_t i = 0; i < field_count; i++)
        put_array(params, &fields[i], count, op_item, ops);
}

void vg_pg_put_texts(struct vg_pg_params *params, const char *const *values, size_t count)
{
    static const struct vg_pg_field field = {VG_PG_TEXT, 0, 0};

    put_array(params, &field, count, text_item, values);
}

void vg_pg_put_i32s(struct vg_pg_params *params, const int32_t *values, size_t count)
{
    static const struct vg_pg_field field = {VG_PG_I32, 0, 0};

    put_array(params, &field, count, i32_item, values);
}

/* ---- results */

static const PGresult *result_of(const struct vg_pg_rows *rows)
{
    return (const PGresult *)rows;
}

int vg_pg_count(const struct vg_pg_rows *rows)
{
    return PQntuples(result_of(rows));
}

bool vg_pg_null(const struct vg_pg_rows *rows, int row, int column)
{
    return PQgetisnull(result_of(rows), row, column);
}

int64_t vg_pg_i64(const struct vg_pg_rows *rows, int row, int column)
{
    const char *data = PQgetvalue(result_of(rows), row, column);
    uint16_t small = 0;
    uint32_t medium = 0;
    uint64_t large = 0;

    switch (PQgetlength(result_of(rows), row, column)) { /* 0: NULL */
    case 1:
        return data[0];
    case 2:
        memcpy(&small, data, sizeof(small));
        return (int16_t)be16toh(small);
    case 4:
        memcpy(&medium, data, sizeof(medium));
        return (int32_t)be32toh(medium);
    case 8:
        memcpy(&large, data, sizeof(large));
        return (int64_t)be64toh(large);
    default:
        return 0;
    }
}

const char *vg_pg_text(const struct vg_pg_rows *rows, int row, int column)
{
    return vg_pg_null(rows, row, column) ? NULL : PQgetvalue(result_of(rows), row, column);
}

int64_t vg_pg_time(const struct vg_pg_rows *rows, int row, int column)
{
    int64_t us = vg_pg_i64(rows, row, column);

    if (vg_pg_null(rows, row, column))
        return 0;
    /* Floor, also before 2000. */
    return (us >= 0 ? us / 1000000 : -((-us + 999999) / 1000000)) + PG_EPOCH_S;
}

static void read_bytes(const struct vg_pg_rows *rows, int row, int column,
                       const struct vg_pg_field *field, struct vg_arena *arena, char *target)
{
    const void *data = NULL;
    size_t len = 0;

    if (!vg_pg_null(rows, row, column)) {
        len = (size_t)PQgetlength(result_of(rows), row, column);
        data = vg_arena_memdup(arena, PQgetvalue(result_of(rows), row, column), len);
    }
    if (field->type == VG_PG_TEXT) {
        *(const char **)(void *)(target + field->offset) = data;
        return;
    }
    *(const void **)(void *)(target + field->offset) = data;
    *(size_t *)(void *)(target + field->size_offset) = len;
}

void vg_pg_read(const struct vg_pg_rows *rows, int row, int first_column,
                const struct vg_pg_field *fields, size_t field_count, struct vg_arena *arena,
                void *target)
{
    for (size_t i = 0; i < field_count; i++) {
        int column = first_column + (int)i;
        void *at = (char *)target + fields[i].offset;

        switch (fields[i].type) {
        case VG_PG_TEXT:
        case VG_PG_BYTES:
            read_bytes(rows, row, column, &fields[i], arena, target);
            break;
        case VG_PG_I32:
            *(int32_t *)at = (int32_t)vg_pg_i64(rows, row, column);
            break;
        case VG_PG_I64:
            *(int64_t *)at = vg_pg_i64(rows, row, column);
            break;
        case VG_PG_BOOL:
            *(bool *)at = vg_pg_i64(rows, row, column) != 0;
            break;
        case VG_PG_TIME:
            *(int64_t *)at = vg_pg_time(rows, row, column);
            break;
        case VG_PG_HASH:
            VG_ASSERT(PQgetlength(result_of(rows), row, column) == 32);
            memcpy(at, PQgetvalue(result_of(rows), row, column), 32);
            break;
        case VG_PG_TYPE_MAX:
            VG_ASSERT(fields[i].type < VG_PG_TYPE_MAX);
        }
    }
}
