/* SPDX-License-Identifier: Apache-2.0 */
/* Reading videos with their outputs, for every store that returns them. Private to db/. */
#ifndef VG_DB_VIDEO_ROWS_H
#define VG_DB_VIDEO_ROWS_H

#include "db/db_priv.h"
#include "db/video_store.h"

/* Columns of `videos AS v`, in the order that vg_video_row_read expects. Before the end there is no
 * expiry. */
#define VG_VIDEO_COLUMNS                                                                           \
    "v.id, v.project_id, v.model, v.status, v.progress, v.created_at, v.completed_at, "            \
    "v.expires_at, v.error_code, v.error_message, v.prompt, v.width, v.height, v.seconds, "        \
    "v.audio, v.n, v.remixed_from, v.version, v.output_micros, v.input_micros, v.made, "           \
    "v.attempts, "                                                                                 \
    "v.made_by, v.spec"
#define VG_VIDEO_COLUMN_COUNT 24

void vg_video_row_read(const struct vg_pg_rows *rows, int row, int first_column,
                       struct vg_arena *arena, struct vg_video *out);

/* Columns of `outputs AS o` behind an ordinal that says which video. Rows come by ordinal and
 * index. */
#define VG_OUTPUT_COLUMNS                                                                          \
    "o.idx::int4, o.blob, o.mime_type, o.bytes, o.sha256, o.stored_at, o.width, o.height, "        \
    "o.duration_ms, o.has_audio, o.codec"
/* Moves *row over the rows of `ord` and attaches them to `video` when it is completed: content
 * shows at the end only. */
void vg_video_rows_outputs(const struct vg_pg_rows *rows, int *row, int64_t ord,
                           struct vg_arena *arena, struct vg_video *video);

/* Reads whole videos, also deleted ones, by `ids`; videos not there keep id NULL. For claims. */
VG_MUSTCHECK int vg_video_rows_load(struct vg_db_run *run, const char *const *ids, size_t count,
                                    struct vg_arena *arena, struct vg_video *const *out);

#endif
