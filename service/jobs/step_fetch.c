/* SPDX-License-Identifier: Apache-2.0 */
/* Fetch: the result streams from the worker into the blob store. The next message is asked for only
 * after the last one is on its way to the disk, so that memory stays bounded whatever the size. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/crash_point.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "service/jobs/jobs_priv.h"
#include "service/jobs/media_head.h"
#include "service/jobs/result_probe.h"

enum {
    FETCH_MS = 30 * 60 * 1000,
    STALL_MS = 60 * 1000, /* without a message */
};
#define MAX_RESULT (INT64_C(8) * 1024 * 1024 * 1024)

enum disk_op { DISK_CREATE, DISK_APPEND, DISK_COMMIT, DISK_PROBE, DISK_ABORT, DISK_REMOVE };

struct vg_fetch {
    struct vg_job *job;
    struct vg_rpc_stream stream;
    bool open; /* started, its end not seen */
    bool owed; /* an event of the stream will come */
    struct vg_timer stall;

    /* Disk work: belongs to the disk thread while `disk_busy`. */
    struct vg_task disk;
    bool disk_busy;
    enum disk_op op;
    struct vg_blob_store *blobs;
    struct vg_executor *back;
    struct vg_blob_writer *writer; /* owned */
    ProtobufCMessage *message;     /* owned; what DISK_APPEND writes */
    char key[VG_BLOB_KEY_SIZE];
    int64_t bytes; /* as announced; 0: unknown */
    char sha256[VG_SHA256_HEX_SIZE];
    struct vg_blob_info info;
    struct vg_result result;
    bool disk_ok;
    struct vg_err disk_err;

    struct vg_media_head head;
    char mime_type[64];
    int64_t received;
    bool informed; /* the first message has come */
    bool kept;     /* the file stands under its key */
    bool decided;  /* `event` is the end; what still comes is dropped */
    struct vg_fsm_event event;
};

static void settle(struct vg_fetch *f);

/* ---- disk thread --------------------------------------------------------------------------- */

static void disk_back(struct vg_task *task);

static const Videogate__V1__FetchResponse *part_of(const ProtobufCMessage *message)
{
    return (const Videogate__V1__FetchResponse *)(const void *)message;
}

static int op_create(struct vg_fetch *f)
{
    return vg_blob_create(f->blobs, f->key, &f->writer, &f->disk_err);
}

static int op_append(struct vg_fetch *f)
{
    const ProtobufCBinaryData *data = &part_of(f->message)->data;
    return vg_blob_append(f->writer, data->data, data->len, &f->disk_err);
}

static int op_commit(struct vg_fetch *f)
{
    struct vg_blob_writer *writer = f->writer;
    f->writer = NULL;
    return vg_blob_commit(writer, f->bytes, f->sha256, &f->info, &f->disk_err);
}

static int op_probe(struct vg_fetch *f)
{
    vg_result_probe(f->blobs, f->key, &f->result);
    return 0;
}

static int op_abort(struct vg_fetch *f)
{
    f->writer = vg_blob_abort(f->writer);
    return 0;
}

static int op_remove(struct vg_fetch *f)
{
    return vg_blob_remove(f->blobs, f->key, &f->disk_err);
}

static int (*const disk_ops[])(struct vg_fetch *f) = {
    [DISK_CREATE] = op_create, [DISK_APPEND] = op_append, [DISK_COMMIT] = op_commit,
    [DISK_PROBE] = op_probe,   [DISK_ABORT] = op_abort,   [DISK_REMOVE] = op_remove,
};

static void disk_run(struct vg_task *task)
{
    struct vg_fetch *f = VG_CONTAINER(task, struct vg_fetch, disk);
    f->disk_ok = disk_ops[f->op](f) == 0;
    f->disk.run = disk_back;
    vg_post(f->back, &f->disk);
}

/* ---- loop thread --------------------------------------------------------------------------- */

static void to_disk(struct vg_fetch *f, enum disk_op op)
{
    f->disk_busy = true;
    f->op = op;
    f->disk.run = disk_run;
    vg_post(f->job->jobs->disk, &f->disk);
}

static void next_message(struct vg_fetch *f)
{
    f->owed = true;
    vg_timer_start(&f->stall, vg_deadline_in_ms(STALL_MS));
    vg_rpc_stream_next(&f->stream);
}

/* The outcome is known; whatever the stream still has is not wanted. */
static void decide(struct vg_fetch *f, enum vg_fsm_event_kind kind, const char *reason)
{
    if (!f->decided) {
        f->decided = true;
        f->event.kind = kind;
        f->event.reason = reason ? reason : f->event.reason;
        if (f->open) {
            vg_rpc_stream_cancel(&f->stream);
        }
    }
    if (f->open && !f->owed && !f->disk_busy) {
        next_message(f);
    }
}

static void free_fetch(struct vg_fetch *f)
{
    vg_timer_stop(&f->stall);
    if (f->message) {
        protobuf_c_message_free_unpacked(f->message, NULL);
    }
    free(f);
}

static void fill_output(struct vg_fetch *f)
{
    struct vg_job *job = f->job;
    job->change.output = (struct vg_output){
        .index = job->row.index,
        .blob = vg_arena_strdup(job->arena, f->key),
        .mime_type = vg_arena_strdup(job->arena, f->mime_type),
        .bytes = f->info.bytes,
        .sha256 = vg_arena_strdup(job->arena, f->info.sha256),
        .stored_at = vg_wall_ms() / 1000,
        .width = f->result.facts.width,
        .height = f->result.facts.height,
        .duration_ms = (f->result.facts.length_us + 500) / 1000,
        .has_audio = f->result.facts.has_audio,
        .codec = f->result.facts.codec,
    };
    vg_metric_add(job->jobs->metrics, VG_JM_FETCHED_BYTES, 0, f->info.bytes);
}

static void finish(struct vg_fetch *f)
{
    struct vg_job *job = f->job;
    struct vg_fsm_event event = f->event;
    bool stored = event.kind == VG_EV_STORED;
    job->fetch = NULL;
    vg_metric_observe_ns(job->jobs->metrics, VG_JM_STEP_SECONDS, VG_STEP_FETCH,
                         vg_now_ns() - job->step_ns);
    if (stored && !job->ended) {
        fill_output(f);
    }
    free_fetch(f);
    vg_gate_leave(job);
    if (job->lost || job->ended || job->jobs->dying) {
        vg_job_end(job);
    } else {
        vg_job_event(job, &event);
    }
}

/* Goes on to the end once neither stream nor disk has anything of ours. */
static void settle(struct vg_fetch *f)
{
    if (f->open || f->disk_busy) {
        return;
    }
    if (f->writer) {
        to_disk(f, DISK_ABORT);
        return;
    }
    bool nobody = f->job->lost || f->job->ended;
    if (f->kept && (nobody || f->event.kind != VG_EV_STORED)) {
        f->kept = false;
        to_disk(f, DISK_REMOVE); /* no row will ever name the file */
        return;
    }
    finish(f);
}

static void disk_failed(struct vg_fetch *f)
{
    bool differs = f->op == DISK_COMMIT && f->disk_err.kind == VG_ERR_BAD_GATEWAY;
    decide(f, differs ? VG_EV_BAD_BODY : VG_EV_STORE_FAILED,
           differs ? "size or checksum differs from what was announced"
                   : vg_err_info(f->disk_err.kind)->reason);
}

static void log_result(const struct vg_fetch *f, enum vg_log_level level, const char *what)
{
    const struct vg_job *job = f->job;
    struct vg_buf asked, got;

    vg_buf_init(&asked, 128);
    vg_buf_init(&got, 128);
    vg_result_say_asked(job->spec.message, &asked);
    vg_result_say(&f->result, &got);
    vg_log(level, what, VG_I("generation", job->row.id), VG_S("video", job->row.video_id),
           VG_I("index", job->row.index), VG_S("provider", job->row.provider),
           VG_S("asked", asked.data), VG_S("got", got.data),
           VG_S("why", f->result.kind > VG_RESULT_DIFFERS ? vg_err_text(&f->result.err) : ""));
    vg_buf_fini(&got);
    vg_buf_fini(&asked);
}

/* What differs from what was asked for is stored all the same: it is made and paid for. */
static void probed(struct vg_fetch *f)
{
    static const struct {
        enum vg_fsm_event_kind event;
        const char *log;    /* NULL: nothing to tell */
        const char *reason; /* of the event */
    } ends[VG_RESULT_KIND_MAX] = {
        [VG_RESULT_AS_ASKED] = {VG_EV_STORED, NULL, NULL},
        [VG_RESULT_DIFFERS] = {VG_EV_STORED, "result differs from what was asked", NULL},
        [VG_RESULT_UNSEEN] = {VG_EV_STORED, "result stored without a look at it", NULL},
        [VG_RESULT_BAD] = {VG_EV_BAD_BODY, "result is not a video", "not a video that plays"},
        [VG_RESULT_UNREAD] = {VG_EV_STORE_FAILED, "result not read back", "read"},
    };

    vg_result_compare(&f->result, f->job->spec.message);
    enum vg_result_kind kind = f->result.kind;
    vg_metric_add(f->job->jobs->metrics, VG_JM_RESULTS, (size_t)kind, 1);
    if (ends[kind].log)
        log_result(f, VG_LOG_WARN, ends[kind].log);
    decide(f, ends[kind].event, ends[kind].reason);
}

static void disk_back(struct vg_task *task)
{
    struct vg_fetch *f = VG_CONTAINER(task, struct vg_fetch, disk);
    f->disk_busy = false;
    if (f->message) {
        protobuf_c_message_free_unpacked(f->message, NULL);
        f->message = NULL;
    }
    if (!f->disk_ok) {
        disk_failed(f);
    } else if (f->op == DISK_COMMIT) {
        f->kept = true;
        if (f->job->jobs->dying)
            decide(f, VG_EV_STORED, NULL); /* nobody will record it */
        else
            to_disk(f, DISK_PROBE);
    } else if (f->op == DISK_PROBE) {
        f->decided = false; /* done is done, although the end was asked for meanwhile */
        probed(f);
    } else if (f->decided) {
        decide(f, f->event.kind, NULL);
    } else {
        next_message(f);
    }
    settle(f);
}

static void take_info(struct vg_fetch *f, const Videogate__V1__FetchInfo *info)
{
    f->informed = true;
    bool fits = vg_strcpy(f->mime_type, sizeof(f->mime_type), info->mime_type) &&
                vg_strcpy(f->sha256, sizeof(f->sha256), info->sha256);
    f->mime_type[strcspn(f->mime_type, "; ")] = '\0';
    f->bytes = info->bytes;
    if (!fits || !vg_media_type_known(f->mime_type) || info->bytes < 0 ||
        info->bytes > MAX_RESULT) {
        decide(f, VG_EV_BAD_BODY, "not a video type, or too large");
        return;
    }
    to_disk(f, DISK_CREATE);
}

static void take_data(struct vg_fetch *f, ProtobufCMessage *message)
{
    const ProtobufCBinaryData *data = &part_of(message)->data;
    f->received += (int64_t)data->len;
    vg_media_head_add(&f->head, data->data, data->len);
    if (!f->informed || f->received > MAX_RESULT || vg_media_head_wrong(&f->head, f->mime_type)) {
        decide(f, VG_EV_BAD_BODY,
               f->informed ? "the body is not a video of its type" : "no info came first");
        return;
    }
    f->message = message;
    to_disk(f, DISK_APPEND);
}

/* Takes the message. */
static void take_part(struct vg_fetch *f, ProtobufCMessage *message)
{
    const Videogate__V1__FetchResponse *part = part_of(message);
    if (f->decided) {
        next_message(f);
    } else if (part->part_case == VIDEOGATE__V1__FETCH_RESPONSE__PART_DATA) {
        take_data(f, message);
    } else if (part->part_case == VIDEOGATE__V1__FETCH_RESPONSE__PART_INFO && !f->informed) {
        take_info(f, part->info);
    } else if (part->part_case == VIDEOGATE__V1__FETCH_RESPONSE__PART_ERROR) {
        vg_event_from_error(&f->event, part->error, vg_job_stealth(f->job), f->job->arena);
        decide(f, VG_EV_ERROR, f->event.reason);
    } else {
        decide(f, VG_EV_BAD_BODY, "a message out of order");
    }
    if (f->message != message) {
        protobuf_c_message_free_unpacked(message, NULL);
    }
}

static void stream_ended(struct vg_fetch *f)
{
    f->open = false;
    vg_crash_point("call", "Fetch", "after");
    vg_worker_report(f->job->worker, f->stream.grpc_code);
    if (f->decided) {
        settle(f);
        return;
    }
    if (!f->stream.ok) {
        decide(f, VG_EV_LOST, vg_err_info(f->stream.err.kind)->reason);
    } else if (!f->informed || vg_media_head_short(&f->head) ||
               (f->bytes > 0 && f->received != f->bytes)) {
        decide(f, VG_EV_BAD_BODY, "truncated");
    } else {
        to_disk(f, DISK_COMMIT);
    }
    settle(f);
}

static void stream_event(struct vg_task *task)
{
    struct vg_fetch *f = VG_CONTAINER(task, struct vg_fetch, stream.event);
    f->owed = false;
    vg_timer_stop(&f->stall);
    if (f->stream.ended) {
        stream_ended(f);
        return;
    }
    ProtobufCMessage *message = f->stream.message;
    f->stream.message = NULL;
    take_part(f, message);
}

static void stalled(struct vg_timer *timer)
{
    struct vg_fetch *f = VG_CONTAINER(timer, struct vg_fetch, stall);
    decide(f, VG_EV_LOST, "no data for a minute");
}

void vg_fetch_cut_short(struct vg_job *job)
{
    if (job->fetch) {
        decide(job->fetch, VG_EV_PUT_OFF, "the process leaves");
    }
}

static void start(struct vg_job *job)
{
    if (job->jobs->draining || job->lost) {
        vg_gate_leave(job);
        vg_job_simple(job, VG_EV_PUT_OFF, 0);
        return;
    }
    struct vg_fetch *f = vg_xalloc(sizeof(*f));
    f->job = job;
    f->blobs = job->jobs->options.blobs;
    f->back = job->jobs->executor;
    vg_timer_init(&f->stall, job->jobs->loop, stalled);
    vg_blob_output_key(f->key, job->row.video_id, job->row.index, job->row.lease_seq);
    job->fetch = f;

    Videogate__V1__FetchRequest request = VIDEOGATE__V1__FETCH_REQUEST__INIT;
    request.upstream_id = (char *)(job->row.upstream_id ? job->row.upstream_id : "");
    request.poll_state.data = (uint8_t *)job->row.poll_state;
    request.poll_state.len = job->row.poll_state_size;
    f->stream = (struct vg_rpc_stream){
        .service_method = "/videogate.v1.ProviderWorkerService/Fetch",
        .request = &request.base,
        .response_type = &videogate__v1__fetch_response__descriptor,
        .deadline_ns = vg_deadline_in_ms(FETCH_MS),
        .executor = job->jobs->executor,
        .event = {.run = stream_event},
    };
    f->open = true;
    f->owed = true;
    vg_timer_start(&f->stall, vg_deadline_in_ms(STALL_MS));
    vg_crash_point("call", "Fetch", "before");
    vg_rpc_stream_start(job->worker->channel, &f->stream);
}

void vg_step_fetch(struct vg_job *job)
{
    vg_gate_enter(&job->worker->fetches, job, start);
}
