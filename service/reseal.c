/* SPDX-License-Identifier: Apache-2.0 */
/* AdminService.ResealSecrets: one step through all callback secrets; what the first key has not
 * sealed is sealed anew. */
#include <string.h>

#include "common/keyring.h"
#include "common/log.h"
#include "common/mem.h"
#include "common/str.h"
#include "db/sealed_store.h"
#include "service/service_priv.h"
#include "videogate/v1/admin.pb-c.h"

enum { USUAL_LIMIT = 500, MOST_LIMIT = 1000, MAX_SECRET = 1024, MAX_CURSOR = 256 };

/* A cursor is the table's letter and the last id looked at. */
static const char letters[VG_SEALED_TABLE_MAX + 1] = "vds";

struct reseal {
    struct vg_request request;
    struct vg_sealed_page page;
    struct vg_sealed_put put;
    int32_t unreadable;
};

static char *base64_of(struct vg_arena *arena, const void *data, size_t size)
{
    char *text = vg_arena_alloc(arena, vg_base64_encoded_size(size) + 1);

    vg_base64_encode(text, data, size);
    return text;
}

static bool is_current(const struct vg_keyring *ring, const struct vg_sealed_row *row)
{
    return row->size >= VG_KEYRING_MARK &&
           memcmp(row->sealed, ring->marks[0], VG_KEYRING_MARK) == 0;
}

/* NULL: no key opens it. */
static const char *seal_anew(const struct vg_keyring *ring, struct vg_arena *arena,
                             const struct vg_sealed_row *row)
{
    struct vg_buf plain, sealed;
    const char *out = NULL;
    struct vg_view aad = vg_view_of(row->aad);

    vg_buf_init(&plain, MAX_SECRET);
    vg_buf_init(&sealed, MAX_SECRET + 64);
    if (vg_keyring_open(ring, &plain, aad, (struct vg_view){row->sealed, row->size}) == 0 &&
        vg_keyring_seal(ring, &sealed, aad, vg_buf_view(&plain)) == 0)
        out = base64_of(arena, sealed.data, sealed.len);
    if (plain.data)
        explicit_bzero(plain.data, plain.len);
    vg_buf_fini(&plain);
    vg_buf_fini(&sealed);
    return out;
}

/* Where the next step goes on; "" at the end. */
static char *next_cursor(const struct reseal *r)
{
    struct vg_arena *arena = vg_rpc_call_arena(r->request.call);
    unsigned table = r->page.table;

    if ((int32_t)r->page.count == r->page.limit)
        return vg_arena_printf(arena, "%c%s", letters[table], r->page.rows[r->page.count - 1].id);
    return table + 1 < VG_SEALED_TABLE_MAX ? vg_arena_printf(arena, "%c", letters[table + 1])
                                           : vg_pb_text(NULL);
}

static void reply(struct reseal *r)
{
    Videogate__V1__ResealSecretsResponse response = VIDEOGATE__V1__RESEAL_SECRETS_RESPONSE__INIT;

    response.examined = (int32_t)r->page.count;
    response.sealed = r->put.changed;
    response.unreadable = r->unreadable;
    response.cursor = next_cursor(r);
    if (r->put.changed > 0 || r->unreadable > 0)
        vg_log(VG_LOG_INFO, "secrets sealed anew", VG_I("sealed", r->put.changed),
               VG_I("unreadable", r->unreadable));
    vg_request_reply(&r->request, &response.base);
}

static void put_done(struct vg_task *task)
{
    struct reseal *r = VG_CONTAINER(task, struct reseal, put.op.done);

    if (r->put.op.ok)
        reply(r);
    else
        vg_request_fail(&r->request, &r->put.op.err);
}

static void page_done(struct vg_task *task)
{
    struct reseal *r = VG_CONTAINER(task, struct reseal, page.op.done);
    const struct vg_keyring *ring = r->request.service->keyring;
    struct vg_arena *arena = vg_request_arena(&r->request);

    if (!r->page.op.ok) {
        vg_request_fail(&r->request, &r->page.op.err);
        return;
    }
    const char **texts = vg_arena_alloc(arena, (r->page.count * 3 + 1) * sizeof(*texts));
    const char **ids = texts, **olds = ids + r->page.count, **news = olds + r->page.count;

    for (size_t i = 0; i < r->page.count; i++) {
        const struct vg_sealed_row *row = &r->page.rows[i];

        if (!row->sealed || is_current(ring, row))
            continue;
        const char *fresh = seal_anew(ring, arena, row);
        if (!fresh) {
            r->unreadable++;
            continue;
        }
        ids[r->put.count] = row->id;
        olds[r->put.count] = base64_of(arena, row->sealed, row->size);
        news[r->put.count++] = fresh;
    }
    if (r->put.count == 0) {
        reply(r);
        return;
    }
    r->put.table = r->page.table;
    r->put.ids = ids;
    r->put.olds = olds;
    r->put.news = news;
    vg_request_op(&r->request, &r->put.op, put_done);
    vg_sealed_put(r->request.service->db, &r->put);
}

static void reseal_run(struct vg_request *request)
{
    struct reseal *r = VG_CONTAINER(request, struct reseal, request);
    const Videogate__V1__ResealSecretsRequest *in = vg_request_message(request);
    const char *letter = in->cursor[0] ? strchr(letters, in->cursor[0]) : letters;

    if (!letter || strlen(in->cursor) > MAX_CURSOR) {
        vg_request_refuse(request, VG_ERR_INVALID_REQUEST, "cursor", "cursor: is none of ours.");
        return;
    }
    if (in->limit < 0 || in->limit > MOST_LIMIT) {
        vg_request_refuse(request, VG_ERR_INVALID_REQUEST, "limit", "limit: 0 to 1000 is allowed.");
        return;
    }
    r->page.table = (enum vg_sealed_table)(letter - letters);
    r->page.after = in->cursor[0] ? in->cursor + 1 : "";
    r->page.limit = in->limit > 0 ? in->limit : USUAL_LIMIT;
    vg_request_op(request, &r->page.op, page_done);
    vg_sealed_page(request->service->db, &r->page);
}

void vg_handle_reseal(void *ctx, struct vg_rpc_call *call)
{
    vg_request_begin_admin(ctx, call, sizeof(struct reseal), reseal_run);
}
