/* SPDX-License-Identifier: Apache-2.0 */
/* From parameters to the committed row and the answer, for CreateVideo and RemixVideo alike.
 *
 * Input files are written just before the insert. When the insert says that nothing was recorded
 * they are removed; when nobody can say (the commit's answer was lost) they stay, for the row may
 * stand: the janitor asks later. */
#include <string.h>

#include "common/clock.h"
#include "common/keyring.h"
#include "common/log.h"
#include "service/create_priv.h"
#include "service/price.h"

/* An SDK repeats what hangs; a first attempt that the database has not taken by then gives up, so
 * that it is not overtaken by its own repeat through another process. */
#define FIRST_MS 3000

struct vg_create *vg_create_of(struct vg_request *request)
{
    return VG_CONTAINER(request, struct vg_create, request);
}

/* What is not the arena's goes here; nothing is touched afterwards but the end of the call. */
static void release(struct vg_create *c)
{
    for (size_t i = 0; i < c->picture_count; i++)
        vg_picture_fini(&c->pictures[i]);
    if (c->spec)
        videogate__store__v1__job_spec__free_unpacked(c->spec, NULL);
    c->spec = NULL;
    vg_flight_land(c->request.service->flights, &c->flight);
}

static void count(const struct vg_create *c, enum vg_create_series series)
{
    vg_metric_add(c->request.service->metrics, VG_SM_CREATES, series, 1);
}

void vg_create_refuse(struct vg_create *c, const struct vg_err *err)
{
    count(c, vg_err_info(err->kind)->retryable ? VG_CREATES_FAILED : VG_CREATES_REFUSED);
    release(c);
    vg_request_fail(&c->request, err);
}

/* --- the end --- */

static void reply(struct vg_create *c)
{
    static const char *const done[] = {[VG_CREATE_PLAIN] = "video created",
                                       [VG_CREATE_REMIX] = "video remixed",
                                       [VG_CREATE_EDIT] = "video edited",
                                       [VG_CREATE_EXTEND] = "video extended"};
    bool replayed = c->op.outcome == VG_CREATE_REPLAYED;
    Videogate__V1__Video *video = vg_request_video(&c->request, &c->op.video);

    count(c, replayed ? VG_CREATES_REPLAYED : VG_CREATES_NEW);
    vg_log(VG_LOG_INFO, done[c->kind], VG_S("video", c->op.video.id),
           VG_S("req", vg_request_metadata(&c->request, "x-request-id")),
           VG_I("project", c->request.who.project_id), VG_S("key", c->request.who.key_id),
           VG_S("model", c->op.video.model), VG_I("n", c->op.video.n), VG_I("replayed", replayed));
    release(c);
    Videogate__V1__CreateVideoResponse plain = VIDEOGATE__V1__CREATE_VIDEO_RESPONSE__INIT;
    Videogate__V1__RemixVideoResponse remix = VIDEOGATE__V1__REMIX_VIDEO_RESPONSE__INIT;
    Videogate__V1__EditVideoResponse edit = VIDEOGATE__V1__EDIT_VIDEO_RESPONSE__INIT;
    Videogate__V1__ExtendVideoResponse extend = VIDEOGATE__V1__EXTEND_VIDEO_RESPONSE__INIT;
    const ProtobufCMessage *const answers[] = {[VG_CREATE_PLAIN] = &plain.base,
                                               [VG_CREATE_REMIX] = &remix.base,
                                               [VG_CREATE_EDIT] = &edit.base,
                                               [VG_CREATE_EXTEND] = &extend.base};
    plain.video = remix.video = edit.video = extend.video = video;
    plain.replayed = replayed;
    vg_request_reply(&c->request, answers[c->kind]);
}

static void finish(struct vg_create *c)
{
    if (c->op.outcome != VG_CREATE_MISMATCH) {
        reply(c);
        return;
    }
    (void)vg_err_param(&c->err, VG_ERR_IDEMPOTENCY_MISMATCH, "request_id", NULL);
    vg_create_refuse(c, &c->err);
}

void vg_create_remove_files(struct vg_create *c)
{
    struct vg_err ignored; /* what cannot be removed now is the janitor's */

    for (size_t i = 0; i < c->written; i++)
        if (vg_blob_remove(c->request.service->blobs, c->keys[i], &ignored) < 0)
            vg_log(VG_LOG_WARN, "input picture not removed, the janitor tries again",
                   VG_S("video", c->id));
    c->written = 0;
}

static void run_remove(struct vg_task *task)
{
    struct vg_create *c = VG_CONTAINER(task, struct vg_create, disk);

    vg_create_remove_files(c);
    finish(c);
}

void vg_create_settle(struct vg_create *c)
{
    if (c->op.outcome == VG_CREATE_NEW || c->written == 0) {
        finish(c);
        return;
    }
    c->disk.run = run_remove;
    vg_post(c->request.service->pool, &c->disk);
}

static void inserted(struct vg_task *task)
{
    struct vg_create *c = VG_CONTAINER(task, struct vg_create, op.op.done);

    if (!c->op.op.ok) {
        vg_log(VG_LOG_WARN, "video not created",
               VG_S("reason", vg_err_info(c->op.op.err.kind)->reason),
               VG_S("req", vg_request_metadata(&c->request, "x-request-id")),
               VG_I("project", c->request.who.project_id));
        vg_create_refuse(c, &c->op.op.err);
        return;
    }
    /* Our own id: an earlier run of this very operation was committed. */
    if (c->op.outcome == VG_CREATE_REPLAYED && strcmp(c->op.video.id, c->id) == 0)
        c->op.outcome = VG_CREATE_NEW;
    vg_create_settle(c);
}

int vg_create_copy_files(struct vg_create *c, const char *gone)
{
    for (size_t i = 0; i < c->key_count; i++) {
        if (vg_blob_link(c->request.service->blobs, c->sources[i], c->keys[i], &c->err) < 0) {
            if (c->err.kind == VG_ERR_NOT_FOUND)
                (void)vg_err_set(&c->err, VG_ERR_GONE, "%s", gone);
            return -1;
        }
        c->written++;
    }
    return 0;
}

static void put_routes(struct vg_arena *arena, const struct vg_job *job,
                       Videogate__Store__V1__JobSpec *spec)
{
    size_t count = job->route_count;

    spec->routes = vg_arena_alloc(arena, count * sizeof(Videogate__Store__V1__Route *));
    for (size_t i = 0; i < count; i++) {
        Videogate__Store__V1__Route *route = vg_arena_alloc(arena, sizeof(*route));
        videogate__store__v1__route__init(route);
        route->provider = vg_pb_text(job->routes[i].provider);
        route->model = vg_pb_text(job->routes[i].model);
        route->max_attempts = job->routes[i].max_attempts;
        route->stealth = job->routes[i].stealth;
        route->extra = vg_pb_text(job->routes[i].extra);
        spec->routes[i] = route;
    }
    spec->n_routes = count;
}

void vg_create_put_job(struct vg_create *c, Videogate__Store__V1__JobSpec *spec)
{
    const struct vg_job *job = &c->job;

    spec->prompt = vg_pb_text(job->prompt);
    spec->width = job->width;
    spec->height = job->height;
    spec->seconds = job->seconds;
    spec->audio = job->audio;
    put_routes(vg_request_arena(&c->request), job, spec);
    c->op.model = job->model;
    c->op.prompt = job->prompt;
    c->op.width = job->width;
    c->op.height = job->height;
    c->op.seconds = job->seconds;
    c->op.n = job->n;
    c->op.audio = job->audio;
    c->op.deadline_s = job->deadline_s;
}

static void record(struct vg_create *c)
{
    int64_t soon = vg_deadline_in_ms(FIRST_MS);

    vg_request_op(&c->request, &c->op.op, inserted);
    if (c->op.match_lock && soon < c->op.op.deadline_ns)
        c->op.op.deadline_ns = soon;
    vg_video_create(c->request.service->db, &c->op);
}

static int seal_secret(struct vg_create *c, const char *secret)
{
    struct vg_buf sealed;

    vg_buf_init(&sealed, VG_MAX_CALLBACK_SECRET + 64);
    int rc = vg_keyring_seal(c->request.service->keyring, &sealed, vg_view_of(c->id),
                             vg_view_of(secret));
    if (rc == 0) {
        c->op.secret_sealed =
            vg_arena_memdup(vg_request_arena(&c->request), sealed.data, sealed.len);
        c->op.secret_size = sealed.len;
    }
    vg_buf_fini(&sealed);
    return rc;
}

void vg_create_insert(struct vg_create *c, const Videogate__Store__V1__JobSpec *spec)
{
    size_t size = protobuf_c_message_get_packed_size(&spec->base);
    uint8_t *packed = vg_arena_alloc(vg_request_arena(&c->request), size);

    c->op.spec_size = protobuf_c_message_pack(&spec->base, packed);
    c->op.spec = packed;
    c->op.id = c->id;
    c->op.project_id = c->request.who.project_id;
    c->op.key_id = c->request.who.key_id;
    c->op.provider = spec->routes[0]->provider;
    const struct vg_price_quote quote =
        vg_price_of(vg_request_env(&c->request)->catalog, c->op.model, spec, c->op.seconds);
    c->op.output_micros = quote.output;
    c->op.input_micros = quote.input;
    c->op.limited = c->request.who.limited;
    for (size_t i = 0; i < c->key_count; i++)
        c->inputs[i] = c->keys[i];
    c->op.inputs = c->inputs;
    c->op.input_count = c->key_count;
    c->op.callback_url = c->job.callback_url;
    bool scarce = vg_blob_scarce(c->request.service->blobs);
    if (scarce || (c->job.callback_url && seal_secret(c, c->job.callback_secret) < 0)) {
        (void)vg_err_set(&c->err, scarce ? VG_ERR_STORAGE_FULL : VG_ERR_INTERNAL, NULL);
        /* on the pool: files are written there, and without files there are none */
        vg_create_remove_files(c);
        vg_create_refuse(c, &c->err);
        return;
    }
    vg_create_unless_overtaken(c, record);
}
