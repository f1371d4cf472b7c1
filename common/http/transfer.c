/* SPDX-License-Identifier: Apache-2.0 */
#include "common/http/transfer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/http/length.h"
#include "common/mem.h"

enum {
    DEFAULT_TIMEOUT_MS = 30000,
    DEFAULT_CONNECT_MS = 10000,
    MAX_HEADERS = 64 * 1024,    /* bytes of response headers, interim answers included */
    MAX_ERROR_BODY = 64 * 1024, /* kept of an answer that is not 2xx when the body is streamed */
    MAX_RETRY_AFTER_S = 86400,
    IDLE_S = 60,      /* a pooled connection older than this is not used again */
    LIFETIME_S = 300, /* nor one older than this, so that moved names are noticed */
    STALLED_S = 60,   /* a streamed body may stand still for so long */
    STREAM_BUFFER = 128 * 1024,
};

/* The guard at the socket: the address is the one that connect(2) gets, whatever the name said. */
static curl_socket_t on_open_socket(void *ctx, curlsocktype purpose, struct curl_sockaddr *address)
{
    struct vg_http_transfer *t = ctx;
    const struct vg_http_guard *guard = t->guard;

    (void)purpose;
    if (guard && !vg_http_guard_allows(guard, &address->addr, t->named)) {
        t->guarded = true;
        return CURL_SOCKET_BAD; /* libcurl goes on with the next address */
    }
    t->opened = true;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static bool peer_allowed(const struct vg_http_transfer *t, const char *text, int port)
{
    const struct vg_http_guard *guard = t->guard;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};

    if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
        return vg_http_guard_allows(guard, (const struct sockaddr *)&in, t->named);
    if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1)
        return vg_http_guard_allows(guard, (const struct sockaddr *)&in6, t->named);
    return false;
}

/* The last moment before the request leaves, on new and on pooled connections alike. */
static int on_before_request(void *ctx, char *peer_ip, char *local_ip, int peer_port,
                             int local_port)
{
    struct vg_http_transfer *t = ctx;

    (void)local_ip, (void)local_port;
    if (t->sent && !t->may_repeat)
        return CURL_PREREQFUNC_ABORT; /* libcurl wants to send it a second time */
    if (t->guard && !peer_allowed(t, peer_ip, peer_port)) {
        t->guarded = true;
        t->opened = false;
        return CURL_PREREQFUNC_ABORT;
    }
    t->sent = true;
    return CURL_PREREQFUNC_OK;
}

static size_t on_curl_header(char *data, size_t size, size_t count, void *ctx)
{
    struct vg_http_transfer *t = ctx;

    t->header_bytes += size * count;
    if (t->header_bytes > MAX_HEADERS ||
        !vg_http_length_hear(&t->said_length, (struct vg_view){data, size * count})) {
        t->bad_headers = true;
        return 0;
    }
    return size * count;
}

static int status_of(const struct vg_http_transfer *t)
{
    long status = 0;

    (void)curl_easy_getinfo(t->easy, CURLINFO_RESPONSE_CODE, &status); /* stays 0 */
    return status >= 200 ? (int)status : 0;
}

static const char *content_type_of(const struct vg_http_transfer *t)
{
    char *text = NULL;

    (void)curl_easy_getinfo(t->easy, CURLINFO_CONTENT_TYPE, &text); /* stays NULL */
    return text;
}

static void give_head(struct vg_http_transfer *t, int status)
{
    curl_off_t length = -1;

    if (t->head_given || !t->on_head)
        return;
    t->head_given = true;
    (void)curl_easy_getinfo(t->easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &length); /* stays -1 */
    struct vg_http_head head = {
        .status = status, .content_type = content_type_of(t), .length = length};
    t->on_head(t->ctx, &head);
}

static size_t on_curl_data(char *data, size_t size, size_t count, void *ctx)
{
    struct vg_http_transfer *t = ctx;
    size_t len = size * count;
    int status = status_of(t);
    bool streamed = t->on_data && status >= 200 && status < 300;

    if (t->cancelled)
        return 0;
    if (streamed && t->paused) {
        t->held = true;
        return CURL_WRITEFUNC_PAUSE; /* libcurl keeps these bytes */
    }
    if (!streamed && t->on_data) {
        size_t room = t->body.max - t->body.len;
        (void)vg_buf_add(&t->body, data, len < room ? len : room); /* fits */
        return len;
    }
    if (len > t->max_response - t->received) {
        t->too_large = true;
        return 0;
    }
    t->received += len;
    if (!streamed)
        return vg_buf_add(&t->body, data, len) == 0 ? len : 0;
    give_head(t, status);
    if (t->cancelled || !t->on_data(t->ctx, data, len)) {
        t->cancelled = true;
        return 0;
    }
    return len;
}

/* What an error of libcurl's means for the caller, where nothing of ours caused it. */
static const char *reason_of_code(CURLcode code)
{
    static const struct {
        CURLcode code;
        const char *reason;
    } table[] = {
        {CURLE_UNSUPPORTED_PROTOCOL, "url"},
        {CURLE_URL_MALFORMAT, "url"},
        {CURLE_COULDNT_RESOLVE_HOST, "dns"},
        {CURLE_COULDNT_CONNECT, "connect"},
        {CURLE_INTERFACE_FAILED, "connect"},
        {CURLE_OPERATION_TIMEDOUT, "timeout"},
        {CURLE_SSL_CONNECT_ERROR, "tls"},
        {CURLE_PEER_FAILED_VERIFICATION, "tls"},
        {CURLE_SSL_CERTPROBLEM, "tls"},
        {CURLE_SSL_CIPHER, "tls"},
        {CURLE_SSL_CACERT_BADFILE, "tls"},
        {CURLE_SSL_ISSUER_ERROR, "tls"},
        {CURLE_SSL_INVALIDCERTSTATUS, "tls"},
        {CURLE_PARTIAL_FILE, "truncated"},
        {CURLE_FILESIZE_EXCEEDED, "too_large"},
        {CURLE_GOT_NOTHING, "reset"},
        {CURLE_SEND_ERROR, "reset"},
        {CURLE_RECV_ERROR, "reset"},
        {CURLE_HTTP2_STREAM, "reset"},
        {CURLE_ABORTED_BY_CALLBACK, "reset"}, /* it would have been sent twice */
    };

    for (size_t i = 0; i < VG_COUNT(table); i++)
        if (table[i].code == code)
            return table[i].reason;
    return "protocol";
}

static const char *reason_of(const struct vg_http_transfer *t, CURLcode code)
{
    if (t->failed)
        return t->failed;
    if (t->cancelled)
        return "cancelled";
    if (code == CURLE_OK)
        return NULL;
    if (t->too_large)
        return "too_large";
    if (t->bad_headers)
        return "protocol";
    if (t->guarded && !t->opened)
        return "refused";
    if (t->sent && code == CURLE_UNSUPPORTED_PROTOCOL)
        return "protocol"; /* the answer is not HTTP/1 */
    if (code == CURLE_PARTIAL_FILE && status_of(t) == 0)
        return "reset"; /* an HTTP/2 stream that ended before its answer */
    return reason_of_code(code);
}

static int64_t retry_after_ms(const struct vg_http_transfer *t)
{
    curl_off_t seconds = 0;

    (void)curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &seconds); /* stays 0 */
    if (seconds < 0)
        return 0;
    return (seconds > MAX_RETRY_AFTER_S ? MAX_RETRY_AFTER_S : seconds) * 1000;
}

/* reference/reliability.md 6.2: nothing of the environment, no redirects, our sockets only. */
static void set_limits(struct vg_http_transfer *t, const struct vg_http_request *request)
{
    CURL *easy = t->easy;
    const struct vg_http_guard *guard = t->guard;
    int64_t connect_ms = request->connect_timeout_ms;

    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR,
                     guard && !guard->allow_http ? "https" : "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "https");
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, "");
    curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    curl_easy_setopt(easy, CURLOPT_HTTP09_ALLOWED, 0L);
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L); /* or ending a transfer waits for its DNS */
    curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, (long)IDLE_S);
    curl_easy_setopt(easy, CURLOPT_MAXLIFETIME_CONN, (long)LIFETIME_S);
    curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS,
                     (long)(request->timeout_ms > 0 ? request->timeout_ms : DEFAULT_TIMEOUT_MS));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
                     (long)(connect_ms > 0 ? connect_ms : DEFAULT_CONNECT_MS));
    if (request->max_response > 0 && strcmp(request->method, "HEAD") != 0)
        curl_easy_setopt(easy, CURLOPT_MAXFILESIZE_LARGE, (curl_off_t)request->max_response);
    if (t->on_data) {
        curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)STREAM_BUFFER);
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
        curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)STALLED_S);
    }
}

static void set_callbacks(struct vg_http_transfer *t)
{
    CURL *easy = t->easy;

    curl_easy_setopt(easy, CURLOPT_PRIVATE, (char *)t);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, on_open_socket);
    curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, t);
    curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_before_request);
    curl_easy_setopt(easy, CURLOPT_PREREQDATA, t);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_curl_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_curl_data);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
}

static void set_method(struct vg_http_transfer *t, const struct vg_http_request *request)
{
    CURL *easy = t->easy;
    const char *method = request->method;
    bool post = strcmp(method, "POST") == 0, patch = strcmp(method, "PATCH") == 0;

    t->may_repeat = request->repeatable || (!post && !patch);
    if (!t->may_repeat)
        curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, 1L);
    if (strcmp(method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (post || patch || strcmp(method, "PUT") == 0 || request->body.len > 0) {
        t->request_body = vg_xmemdup(request->body.data, request->body.len);
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, t->request_body);
    } else {
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
    }
    if (!post && strcmp(method, "HEAD") != 0)
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, method);
}

static bool add_header(struct vg_http_transfer *t, const char *line)
{
    struct curl_slist *longer = curl_slist_append(t->headers, line);

    if (longer)
        t->headers = longer;
    return longer != NULL;
}

/* NULL, or why the transfer cannot begin. */
static const char *set_headers(struct vg_http_transfer *t, const struct vg_http_request *request)
{
    bool has_type = false, ok = add_header(t, "Expect:"); /* no 100-continue dance */

    for (const char *const *h = request->headers; h && *h; h++) {
        if (strpbrk(*h, "\r\n"))
            return "protocol";
        has_type = has_type || strncasecmp(*h, "content-type:", strlen("content-type:")) == 0;
        ok = ok && add_header(t, *h);
    }
    if (!has_type) /* or libcurl would call every body a form */
        ok = ok && add_header(t, "Content-Type:");
    curl_easy_setopt(t->easy, CURLOPT_HTTPHEADER, t->headers);
    curl_easy_setopt(t->easy, CURLOPT_USERAGENT, "videogate/" VG_VERSION);
    return ok ? NULL : "protocol";
}

static const char *set_url(struct vg_http_transfer *t, const char *url)
{
    const struct vg_http_guard *guard = t->guard;
    struct vg_buf normal;
    const char *why = NULL;

    if (!guard)
        return curl_easy_setopt(t->easy, CURLOPT_URL, url) == CURLE_OK ? NULL : "url";
    vg_buf_init(&normal, 3 * strlen(url) + 64);
    if (vg_http_guard_url(guard, url, "url", &normal, NULL) != 0)
        why = "refused";
    else if (curl_easy_setopt(t->easy, CURLOPT_URL, normal.data) != CURLE_OK)
        why = "url";
    else
        t->named = vg_http_guard_names(guard, normal.data);
    vg_buf_fini(&normal);
    return why;
}

static const char *set_up(struct vg_http_transfer *t, const struct vg_http_request *request)
{
    set_limits(t, request);
    set_callbacks(t);
    set_method(t, request);
    const char *why = set_headers(t, request);
    return why ? why : set_url(t, request->url);
}

struct vg_http_transfer *vg_http_transfer_new(const struct vg_http_request *request,
                                              const struct vg_http_guard *guard, CURLSH *share)
{
    struct vg_http_transfer *t = vg_xalloc(sizeof(*t));
    size_t kept = request->max_response;

    t->guard = guard;
    t->max_response = request->max_response;
    t->on_data = request->on_data;
    t->on_head = request->on_head;
    t->on_done = request->on_done;
    t->ctx = request->ctx;
    t->started_ns = vg_now_ns();
    t->said_length = VG_HTTP_LENGTH_NONE;
    if (request->on_data && kept > MAX_ERROR_BODY)
        kept = MAX_ERROR_BODY;
    vg_buf_init(&t->body, kept);
    t->easy = curl_easy_init();
    VG_ASSERT(t->easy);
    curl_easy_setopt(t->easy, CURLOPT_SHARE, share);
    t->failed = set_up(t, request);
    return t;
}

struct vg_http_result vg_http_transfer_result(struct vg_http_transfer *t, CURLcode code)
{
    return (struct vg_http_result){
        .status = status_of(t),
        .reason = reason_of(t, code),
        .sent = t->sent,
        .body = vg_buf_view(&t->body),
        .content_type = content_type_of(t),
        .retry_after_ms = retry_after_ms(t),
        .duration_ms = (vg_now_ns() - t->started_ns) / VG_NS_PER_MS,
        .transfer = t,
    };
}

struct vg_http_transfer *vg_http_transfer_of(CURL *easy)
{
    char *owner = NULL;

    VG_ASSERT(curl_easy_getinfo(easy, CURLINFO_PRIVATE, &owner) == CURLE_OK);
    return (struct vg_http_transfer *)(void *)owner;
}

struct vg_http_transfer *vg_http_transfer_free(struct vg_http_transfer *t)
{
    curl_easy_cleanup(t->easy);
    curl_slist_free_all(t->headers);
    free(t->request_body);
    vg_buf_fini(&t->body);
    free(t);
    return NULL;
}
