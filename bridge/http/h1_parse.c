/* SPDX-License-Identifier: Apache-2.0 */
/* A head to a request: llhttp, then our own rules. */
#include "bridge/http/h1_priv.h"

#include <string.h>

/* --- llhttp callbacks: their pointers are into the head's copy in the stream's arena --- */

static void extend(struct vg_view *view, const char *at, size_t len)
{
    if (view->len == 0)
        view->data = at;
    view->len += len;
}

static int push_header(struct vg_h1 *h1)
{
    if (!h1->have_name)
        return 0;
    h1->have_name = false;
    if (h1->name.len == 0)
        return vg_err_set(h1->err, VG_ERR_INVALID_REQUEST, "A header has no name.");
    char *name = h1->head + (h1->name.data - h1->head);
    for (size_t i = 0; i < h1->name.len; i++)
        if (name[i] >= 'A' && name[i] <= 'Z')
            name[i] = (char)(name[i] | 0x20);
    struct vg_view value = vg_view_trim(h1->value);
    if (!value.data)
        value = VG_VIEW("");
    return vg_stream_add_header(h1->stream, h1->name, value, h1->err);
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    struct vg_h1 *h1 = parser->data;
    extend(&h1->stream->request.target, at, len);
    return 0;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t len)
{
    struct vg_h1 *h1 = parser->data;
    if (h1->state == H1_BODY)
        return 0; /* trailers are dropped */
    if (h1->have_name && h1->name.data + h1->name.len == at && !h1->value.data) {
        h1->name.len += len;
        return 0;
    }
    if (push_header(h1) != 0)
        return HPE_USER;
    h1->name = (struct vg_view){at, len};
    h1->value = (struct vg_view){NULL, 0};
    h1->have_name = true;
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len)
{
    struct vg_h1 *h1 = parser->data;
    if (h1->state == H1_BODY)
        return 0;
    extend(&h1->value, at, len);
    return 0;
}

static int on_headers_complete(llhttp_t *parser)
{
    struct vg_h1 *h1 = parser->data;
    parser->upgrade = 0; /* an Upgrade is ignored (RFC 9110 7.8) */
    return push_header(h1) == 0 ? 0 : HPE_USER;
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct vg_h1 *h1 = parser->data;
    vg_stream_body(h1->stream, at, len);
    return 0;
}

static int on_message_complete(llhttp_t *parser)
{
    (void)parser;
    return HPE_PAUSED; /* stop right behind the message */
}

static const llhttp_settings_t settings = {
    .on_url = on_url,
    .on_header_field = on_header_field,
    .on_header_value = on_header_value,
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* --- the head --- */

/* One space on each side of the target and HTTP/1.0 or 1.1 behind it: llhttp is more generous. */
static int check_request_line(struct vg_h1 *h1, struct vg_err *err)
{
    struct vg_request *req = &h1->stream->request;
    const char *method = llhttp_method_name((llhttp_method_t)h1->parser.method);
    req->method = vg_view_of(method);
    if (h1->parser.method == HTTP_CONNECT)
        return vg_err_set(err, VG_ERR_METHOD_NOT_ALLOWED, NULL);
    const char *version = req->target.data + req->target.len;
    if (memcmp(h1->head, method, req->method.len) != 0 || !req->target.data ||
        req->target.data != h1->head + req->method.len + 1 || memcmp(version, " HTTP/1.", 8) != 0 ||
        (version[8] != '0' && version[8] != '1') || version[9] != '\r')
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "The request line is not valid.");
    req->version = version[8] == '1' ? VG_HTTP_1_1 : VG_HTTP_1_0;
    return 0;
}

/* Host exactly once (RFC 9112 3.2); a transfer coding is "chunked" alone. */
static int check_framing(struct vg_h1 *h1, struct vg_err *err)
{
    const struct vg_request *req = &h1->stream->request;
    int hosts = 0, codings = 0;
    bool close = false, keep = false;
    for (size_t i = 0; i < req->header_count; i++) {
        const struct vg_header *h = &req->headers[i];
        if (vg_view_eqs(h->name, "host")) {
            hosts++;
            if (!vg_http_host_valid(h->value))
                return vg_err_set(err, VG_ERR_INVALID_REQUEST, "The Host header is not valid.");
        } else if (vg_view_eqs(h->name, "transfer-encoding")) {
            codings++;
            if (!vg_view_eqs_nocase(h->value, "chunked"))
                return vg_err_set(err, VG_ERR_UNIMPLEMENTED,
                                  "This transfer encoding is not supported; send chunked.");
        } else if (vg_view_eqs(h->name, "connection")) {
            close = close || vg_http_has_token(h->value, "close");
            keep = keep || vg_http_has_token(h->value, "keep-alive");
        }
    }
    bool old = req->version == VG_HTTP_1_0;
    if (hosts > 1 || (hosts == 0 && !old))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "Exactly one Host header is needed.");
    if (codings > 1 || (codings && old))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "The Transfer-Encoding is not valid.");
    h1->keep_alive = !close && (!old || keep);
    return 0;
}

static int parse_error(int code, struct vg_err *err)
{
    if (code == HPE_INVALID_METHOD)
        return vg_err_set(err, VG_ERR_METHOD_NOT_ALLOWED, NULL);
    if (code == HPE_INVALID_VERSION)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "This HTTP version is not supported.");
    if (code == HPE_INVALID_CONTENT_LENGTH || code == HPE_UNEXPECTED_CONTENT_LENGTH)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "The Content-Length is not valid.");
    if (code == HPE_INVALID_TRANSFER_ENCODING)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "The Transfer-Encoding is not valid.");
    return vg_err_set(err, VG_ERR_INVALID_REQUEST, "The HTTP request is not valid.");
}

int vg_h1_parse_head(struct vg_h1 *h1, const char *data, size_t len, struct vg_err *err)
{
    h1->head = vg_arena_memdup(h1->stream->arena, data, len);
    llhttp_init(&h1->parser, HTTP_REQUEST, &settings);
    h1->parser.data = h1;
    h1->have_name = false;
    struct vg_err own = {.kind = VG_ERR_MAX};
    h1->err = &own;
    int code = (int)llhttp_execute(&h1->parser, h1->head, len);
    h1->err = NULL;
    if (own.kind != VG_ERR_MAX) {
        *err = own;
        return -1;
    }
    if (code != HPE_OK && code != HPE_PAUSED && code != HPE_PAUSED_UPGRADE)
        return parse_error(code, err);
    if (check_request_line(h1, err) != 0 || check_framing(h1, err) != 0 ||
        vg_stream_finish_head(h1->stream, err) != 0)
        return -1;
    h1->stream->request.has_body = code == HPE_OK;
    return 0;
}
