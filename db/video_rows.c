/* SPDX-License-Identifier: Apache-2.0 */
#include "db/video_rows.h"

static const struct vg_pg_field video_fields[VG_VIDEO_COLUMN_COUNT] = {
    VG_PG_FIELD(TEXT, vg_video, id),           VG_PG_FIELD(I64, vg_video, project_id),
    VG_PG_FIELD(TEXT, vg_video, model),        VG_PG_FIELD(I32, vg_video, status),
    VG_PG_FIELD(I32, vg_video, progress),      VG_PG_FIELD(TIME, vg_video, created_at),
    VG_PG_FIELD(TIME, vg_video, completed_at), VG_PG_FIELD(TIME, vg_video, expires_at),
    VG_PG_FIELD(TEXT, vg_video, error_code),   VG_PG_FIELD(TEXT, vg_video, error_message),
    VG_PG_FIELD(TEXT, vg_video, prompt),       VG_PG_FIELD(I32, vg_video, width),
    VG_PG_FIELD(I32, vg_video, height),        VG_PG_FIELD(I32, vg_video, seconds),
    VG_PG_FIELD(BOOL, vg_video, audio),        VG_PG_FIELD(I32, vg_video, n),
    VG_PG_FIELD(TEXT, vg_video, remixed_from), VG_PG_FIELD(I64, vg_video, version),
    VG_PG_FIELD(I64, vg_video, output_micros), VG_PG_FIELD(I64, vg_video, input_micros),
    VG_PG_FIELD(I32, vg_video, made),          VG_PG_FIELD(I32, vg_video, attempts),
    VG_PG_FIELD(TEXT, vg_video, made_by),      VG_PG_FIELD_BYTES(vg_video, spec, spec_size),
};

static const struct vg_pg_field output_fields[] = {
    VG_PG_FIELD(I32, vg_output, index),       VG_PG_FIELD(TEXT, vg_output, blob),
    VG_PG_FIELD(TEXT, vg_output, mime_type),  VG_PG_FIELD(I64, vg_output, bytes),
    VG_PG_FIELD(TEXT, vg_output, sha256),     VG_PG_FIELD(TIME, vg_output, stored_at),
    VG_PG_FIELD(I32, vg_output, width),       VG_PG_FIELD(I32, vg_output, height),
    VG_PG_FIELD(I64, vg_output, duration_ms), VG_PG_FIELD(BOOL, vg_output, has_audio),
    VG_PG_FIELD(TEXT, vg_output, codec),
};

void vg_video_row_read(const struct vg_pg_rows *rows, int row, int first_column,
                       struct vg_arena *arena, struct vg_video *out)
{
    vg_pg_read(rows, row, first_column, video_fields, VG_COUNT(video_fields), arena, out);
    out->outputs = NULL;
    out->output_count = 0;
}

void vg_video_rows_outputs(const struct vg_pg_rows *rows, int *row, int64_t ord,
                           struct vg_arena *arena, struct vg_video *video)
{
    int first = *row;

    while (*row < vg_pg_count(rows) && vg_pg_i64(rows, *row, 0) == ord)
        (*row)++;
    if (*row == first || video->status != VG_VIDEO_COMPLETED)
        return;
    video->output_count = (size_t)(*row - first);
    video->outputs = vg_arena_alloc(arena, video->output_count * sizeof(*video->outputs));
    for (size_t i = 0; i < video->output_count; i++)
        vg_pg_read(rows, first + (int)i, 1, output_fields, VG_COUNT(output_fields), arena,
                   &video->outputs[i]);
}

static const struct vg_pg_statement load_statement = {
    "vg_video_load",
    "SELECT i.ord, " VG_VIDEO_COLUMNS " FROM unnest($1::text[]) WITH ORDINALITY AS i(id, ord)"
    " JOIN videos v ON v.id = i.id ORDER BY i.ord"};
static const struct vg_pg_statement load_outputs_statement = {
    "vg_video_load_outputs",
    "SELECT i.ord, " VG_OUTPUT_COLUMNS " FROM unnest($1::text[]) WITH ORDINALITY AS i(id, ord)"
    " JOIN outputs o ON o.video_id = i.id ORDER BY i.ord, o.idx"};

int vg_video_rows_load(struct vg_db_run *run, const char *const *ids, size_t count,
                       struct vg_arena *arena, struct vg_video *const *out)
{
    struct vg_pg_params params;
    int row = 0;

    vg_pg_params_init(&params, run->scratch);
    vg_pg_put_texts(&params, ids, count);
    vg_pg_begin(run->pg, false);
    size_t videos = vg_pg_add(run->pg, &load_statement, &params);
    size_t outputs = vg_pg_add(run->pg, &load_outputs_statement, &params);

    if (vg_db_pg_run(run) < 0)
        return -1;
    const struct vg_pg_rows *rows = vg_pg_rows(run->pg, videos);
    const struct vg_pg_rows *output_rows = vg_pg_rows(run->pg, outputs);

    for (int i = 0; i < vg_pg_count(rows); i++) {
        int64_t ord = vg_pg_i64(rows, i, 0);

        vg_video_row_read(rows, i, 1, arena, out[ord - 1]);
        vg_video_rows_outputs(output_rows, &row, ord, arena, out[ord - 1]);
    }
    return 0;
}
