/* SPDX-License-Identifier: Apache-2.0 */
/* A connection: a non-blocking socket, TLS or not, under an HTTP session that never sees a socket.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bridge/net/net_priv.h"
#include "common/clock.h"
#include "common/log.h"
#include "common/mem.h"

/* Bytes read ahead of the session (a head, pipelined requests). */
#define IN_HIGH ((size_t)64 * 1024)
/* Bytes produced ahead of the socket; above it neither requests nor windows are taken either. */
#define OUT_HIGH ((size_t)128 * 1024)
/* What is written already and one frame more may stand in the buffer beside it. */
#define OUT_MAX (4 * OUT_HIGH)
#define KEEP_BUFFER 4096
#define MIN_PROGRESS 1024 /* bytes; a reader that takes fewer stands still */
#define LINGER_MS 2000    /* without a byte */
#define LINGER_TOTAL_MS 30000
#define LINGER_BYTES (256 << 20)
#define LINGER_HOSTILE (256 << 10) /* is thrown out; its answer may be lost */
/* Bytes read at once: as many as the session chews in a part of a slice. */
#define PIECE_MIN ((size_t)2 * 1024)
#define PIECE_FIRST ((size_t)8 * 1024)

enum conn_state {
    CONN_HANDSHAKE, /* TLS -> SNIFF, OPEN, DEAD */
    CONN_SNIFF,     /* the first bytes decide -> OPEN, DEAD */
    CONN_OPEN,      /* a session works -> LINGER, DEAD */
    CONN_LINGER, /* our end is shut; what still comes is dropped, or a reset could eat the answer ->
                    DEAD */
    CONN_DEAD,   /* closed, waits to be freed */
};

struct vg_conn {
    struct vg_net *net;       /* borrowed */
    int fd;                   /* owned */
    struct vg_watch *watch;   /* owned */
    struct vg_tls *tls;       /* owned; NULL: plain */
    struct vg_client *client; /* NULL: not counted */
    enum conn_state state;
    struct vg_session *session; /* owned; from OPEN on */
    struct vg_buf in, out;
    size_t in_off, out_off;
    int events; /* as last set on the watch */
    bool readable, writable;
    bool eof; /* the peer has shut its end */
    bool running, again;
    struct vg_turn_entry turn;
    struct vg_conn *prev, *next; /* of net->conns; `next` of doomed, too */
    int64_t since_ns;            /* start of this state */
    int64_t moved_ns; /* when enough of the output last moved; in LINGER, when input came */
    size_t moved;     /* bytes written since */
    int64_t linger;   /* bytes that LINGER still drops */
    size_t piece;     /* bytes to read at once */
    bool piece_full;  /* the last read filled it */
};

static size_t in_pending(const struct vg_conn *conn)
{
    return conn->in.len - conn->in_off;
}

static size_t out_pending(const struct vg_conn *conn)
{
    return conn->out.len - conn->out_off;
}

static void set_state(struct vg_conn *conn, enum conn_state state)
{
    VG_ASSERT(conn->state < CONN_DEAD && state > conn->state);
    conn->state = state;
    conn->since_ns = conn->net->env.now_ns;
}

void vg_conn_mark(struct vg_conn *conn)
{
    vg_turn_add(&conn->net->turn, &conn->turn, conn->state == CONN_OPEN, conn->net->env.now_ns);
}

/* The session has something: now if it is being run, else at the end of the turn. */
static void conn_wake(void *owner)
{
    struct vg_conn *conn = owner;
    if (conn->running)
        conn->again = true;
    else
        vg_conn_mark(conn);
}

static void on_ready(void *ctx, int events)
{
    struct vg_conn *conn = ctx;
    conn->readable = conn->readable || (events & VG_READABLE);
    conn->writable = conn->writable || (events & VG_WRITABLE);
    vg_conn_mark(conn);
}

int vg_conn_open(struct vg_net *net, int fd, struct vg_tls_ctx *tls, struct vg_client *client)
{
    struct vg_conn *conn = vg_xalloc(sizeof(*conn));
    int on = 1;
    conn->watch = vg_watch_new(net->loop, fd, on_ready, conn);
    if (!conn->watch) {
        free(conn);
        return -1;
    }
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    conn->net = net;
    conn->fd = fd;
    conn->client = client;
    conn->tls = tls ? vg_tls_new(tls, fd) : NULL;
    conn->state = tls ? CONN_HANDSHAKE : CONN_SNIFF;
    conn->writable = true;
    conn->piece = PIECE_FIRST;
    conn->since_ns = conn->moved_ns = net->env.now_ns;
    vg_buf_init_secret(&conn->in, IN_HIGH + VG_NET_SCRATCH);
    vg_buf_init(&conn->out, OUT_MAX);
    conn->events = VG_READABLE;
    vg_watch_set(conn->watch, conn->events);
    conn->next = net->conns;
    if (conn->next)
        conn->next->prev = conn;
    net->conns = conn;
    vg_net_count(net, VG_NET_CONNECTIONS, 1);
    return 0;
}

static void free_session(struct vg_conn *conn)
{
    if (conn->session->hostile)
        vg_clients_strike(conn->net->shared->clients, conn->client, conn->net->env.now_ns);
    conn->session->ops->free(conn->session);
    conn->session = NULL;
}

void vg_conn_kill(struct vg_conn *conn)
{
    struct vg_net *net = conn->net;
    if (conn->state == CONN_DEAD)
        return;
    set_state(conn, CONN_DEAD);
    if (conn->session)
        free_session(conn);
    conn->watch = vg_watch_free(conn->watch);
    conn->tls = vg_tls_free(conn->tls);
    (void)close(conn->fd);
    if (conn->prev)
        conn->prev->next = conn->next;
    else
        net->conns = conn->next;
    if (conn->next)
        conn->next->prev = conn->prev;
    conn->next = net->doomed;
    net->doomed = conn;
    vg_clients_leave(net->shared->clients, conn->client, net->env.now_ns);
    atomic_fetch_sub(&net->shared->connections, 1);
    vg_net_count(net, VG_NET_CONNECTIONS, -1);
}

void vg_conn_reap(struct vg_net *net)
{
    struct vg_conn **at = &net->doomed;
    while (*at) {
        struct vg_conn *conn = *at;
        if (conn->turn.queued) { /* next time */
            at = &conn->next;
            continue;
        }
        *at = conn->next;
        vg_buf_fini(&conn->in);
        vg_buf_fini(&conn->out);
        free(conn);
    }
}

struct vg_conn *vg_conn_next(const struct vg_conn *conn)
{
    return conn->next;
}

/* --- socket --- */

static ssize_t io_result(ssize_t n)
{
    if (n >= 0)
        return n;
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? VG_IO_AGAIN : VG_IO_ERROR;
}

/* Reads a piece into the scratch buffer. */
static ssize_t read_some(struct vg_conn *conn)
{
    char *to = conn->net->scratch;
    ssize_t n = conn->tls ? vg_tls_read(conn->tls, to, conn->piece)
                          : io_result(read(conn->fd, to, conn->piece));
    conn->piece_full = n == (ssize_t)conn->piece;
    if (n == VG_IO_AGAIN || (n > 0 && !conn->piece_full && !conn->tls))
        conn->readable = false;
    if (n > 0)
        vg_net_count(conn->net, VG_NET_BYTES_IN, n);
    return n;
}

static ssize_t write_some(struct vg_conn *conn)
{
    const char *from = conn->out.data + conn->out_off;
    size_t len = out_pending(conn);
    ssize_t n = conn->tls ? vg_tls_write(conn->tls, from, len)
                          : io_result(send(conn->fd, from, len, MSG_NOSIGNAL));
    if (n == VG_IO_AGAIN)
        conn->writable = false;
    if (n > 0) {
        conn->out_off += (size_t)n;
        conn->moved += (size_t)n;
        if (conn->moved >= MIN_PROGRESS) {
            conn->moved = 0;
            conn->moved_ns = conn->net->env.now_ns;
        }
        vg_net_count(conn->net, VG_NET_BYTES_OUT, n);
    }
    return n;
}

/* --- steps of a run; each returns whether anything moved --- */

static bool wants_read(const struct vg_conn *conn)
{
    return !conn->eof && in_pending(conn) < IN_HIGH && out_pending(conn) < OUT_HIGH;
}

static void write_peer(int fd, char out[VG_PEER_SIZE])
{
    char host[NI_MAXHOST];
    struct sockaddr_storage at;
    socklen_t len = sizeof(at);

    out[0] = '\0';
    if (getpeername(fd, (struct sockaddr *)&at, &len) == 0 &&
        getnameinfo((struct sockaddr *)&at, len, host, sizeof(host), NULL, 0, NI_NUMERICHOST) == 0)
        (void)vg_peer_parse(vg_view_of(host), out);
}

static void open_session(struct vg_conn *conn, bool h2)
{
    struct vg_http_env *env = &conn->net->env;
    conn->session =
        h2 ? vg_h2_session_new(env, conn_wake, conn) : vg_h1_session_new(env, conn_wake, conn);
    write_peer(conn->fd, conn->session->peer);
    set_state(conn, CONN_OPEN);
}

static bool step_handshake(struct vg_conn *conn)
{
    int r = vg_tls_handshake(conn->tls);
    if (r == VG_IO_AGAIN) {
        conn->readable = false;
        conn->writable = !vg_tls_wants_write(conn->tls);
        return false;
    }
    if (r == VG_IO_ERROR) {
        vg_net_count(conn->net, VG_NET_HANDSHAKE_FAILED, 1);
        vg_log(VG_LOG_DEBUG, "TLS handshake failed", VG_I("fd", conn->fd));
        vg_conn_kill(conn);
        return false;
    }
    conn->readable = conn->writable = true;
    if (vg_tls_is_h2(conn->tls))
        open_session(conn, true);
    else
        set_state(conn, CONN_SNIFF);
    return true;
}

/* Hands bytes to the session; what it does not take is kept. */
static bool feed(struct vg_conn *conn, const char *data, size_t len)
{
    bool first = conn->state == CONN_SNIFF;
    if (first) {
        enum vg_http_sniff sniff = vg_http_sniff(data, len);
        if (sniff == VG_SNIFF_MORE && !conn->eof)
            return false;
        open_session(conn, sniff == VG_SNIFF_H2);
    }
    size_t used = conn->session->ops->feed(conn->session, data, len);
    VG_ASSERT(used <= len);
    if (data != conn->net->scratch) {
        explicit_bzero(conn->in.data + conn->in_off, used); /* a key may be among it */
        conn->in_off += used;
    } else if (used < len)
        VG_ASSERT(vg_buf_add(&conn->in, data + used, len - used) == 0);
    if (first && conn->net->draining) /* only now: the request that has come is served */
        conn->session->ops->drain(conn->session);
    return used > 0;
}

static bool step_read(struct vg_conn *conn)
{
    if (!conn->readable || !wants_read(conn))
        return false;
    ssize_t n = read_some(conn);
    if (n == VG_IO_AGAIN)
        return false;
    if (n == VG_IO_ERROR || (n == 0 && conn->state == CONN_SNIFF && in_pending(conn) == 0)) {
        vg_conn_kill(conn);
        return false;
    }
    if (n == 0) {
        conn->eof = true;
        conn->readable = false;
        return true;
    }
    if (in_pending(conn) == 0 && conn->state == CONN_OPEN) {
        vg_buf_clear(&conn->in);
        conn->in_off = 0;
        (void)feed(conn, conn->net->scratch, (size_t)n);
    } else {
        vg_buf_consume(&conn->in, conn->in_off);
        conn->in_off = 0;
        VG_ASSERT(vg_buf_add(&conn->in, conn->net->scratch, (size_t)n) == 0);
    }
    explicit_bzero(conn->net->scratch, (size_t)n);
    return true;
}

static bool step_feed(struct vg_conn *conn)
{
    bool moved = false;
    if (in_pending(conn) > 0 && out_pending(conn) < OUT_HIGH)
        moved = feed(conn, conn->in.data + conn->in_off, in_pending(conn));
    if (conn->eof && conn->state == CONN_OPEN && !moved)
        conn->session->ops->eof(conn->session);
    return moved;
}

static bool step_write(struct vg_conn *conn)
{
    if (out_pending(conn) == 0) {
        vg_buf_clear(&conn->out);
        conn->out_off = 0;
        conn->moved_ns = conn->net->env.now_ns;
    }
    size_t before = conn->out.len;
    conn->session->ops->produce(conn->session, &conn->out, conn->out_off + OUT_HIGH);
    bool moved = conn->out.len != before;
    if (out_pending(conn) == 0 || !conn->writable)
        return moved;
    ssize_t n = write_some(conn);
    if (n == VG_IO_ERROR) {
        vg_conn_kill(conn);
        return false;
    }
    if (out_pending(conn) > 0 && conn->out_off > OUT_HIGH) {
        vg_buf_consume(&conn->out, conn->out_off);
        conn->out_off = 0;
    }
    return moved || n > 0;
}

/* Everything is written and the session is done: shut our end and wait for the peer's. */
static void begin_close(struct vg_conn *conn)
{
    if (conn->tls)
        vg_tls_shutdown(conn->tls);
    if (conn->eof || shutdown(conn->fd, SHUT_WR) != 0) {
        vg_conn_kill(conn);
        return;
    }
    conn->linger = conn->session->hostile ? LINGER_HOSTILE : LINGER_BYTES;
    free_session(conn);
    vg_buf_fini(&conn->in);
    conn->in_off = 0;
    conn->moved_ns = conn->net->env.now_ns;
    set_state(conn, CONN_LINGER);
}

static bool step_linger(struct vg_conn *conn)
{
    if (!conn->readable)
        return false;
    ssize_t n = io_result(read(conn->fd, conn->net->scratch, VG_NET_SCRATCH));
    explicit_bzero(conn->net->scratch, n > 0 ? (size_t)n : 0);
    if (n == VG_IO_AGAIN)
        conn->readable = false;
    else if (n <= 0 || (conn->linger -= n) < 0)
        vg_conn_kill(conn);
    else
        conn->moved_ns = conn->net->env.now_ns;
    return n > 0;
}

static bool step(struct vg_conn *conn)
{
    if (conn->state == CONN_HANDSHAKE)
        return step_handshake(conn);
    if (conn->state == CONN_LINGER)
        return step_linger(conn);
    bool moved = step_read(conn);
    if (conn->state == CONN_SNIFF || conn->state == CONN_OPEN)
        moved = step_feed(conn) || moved;
    if (conn->state == CONN_OPEN)
        moved = step_write(conn) || moved;
    if (conn->state == CONN_OPEN && out_pending(conn) == 0 &&
        conn->session->ops->finished(conn->session)) {
        begin_close(conn);
        return true;
    }
    return moved;
}

/* Gives buffers back that have grown and are empty. */
static void trim(struct vg_buf *buf, size_t *off)
{
    if (buf->len == *off && buf->cap > KEEP_BUFFER) {
        vg_buf_fini(buf);
        *off = 0;
    }
}

static void update_watch(struct vg_conn *conn)
{
    int events = 0;
    if (conn->state == CONN_HANDSHAKE)
        events = conn->writable ? VG_READABLE : VG_WRITABLE;
    else if (conn->state == CONN_LINGER)
        events = VG_READABLE;
    else
        events = (wants_read(conn) && !conn->readable ? VG_READABLE : 0) |
                 (out_pending(conn) > 0 && !conn->writable ? VG_WRITABLE : 0);
    if (events != conn->events) {
        conn->events = events;
        vg_watch_set(conn->watch, events);
    }
}

/* A byte of a body costs next to nothing, a byte of small frames a thousand times as much. */
static void adapt_piece(struct vg_conn *conn, int64_t took_ns)
{
    if (took_ns > VG_TURN_SLICE_NS / 2 && conn->piece > PIECE_MIN)
        conn->piece /= 2;
    else if (took_ns < VG_TURN_SLICE_NS / 8 && conn->piece_full && conn->piece < VG_NET_SCRATCH)
        conn->piece *= 2;
    conn->piece_full = false;
}

/* Steps until nothing moves or the slice is over; says whether something did at last. */
static bool run_slice(struct vg_conn *conn)
{
    struct vg_http_env *env = &conn->net->env;
    int64_t start = env->now_ns;
    bool moved = true;
    conn->running = true;
    while (moved && env->now_ns - start < VG_TURN_SLICE_NS && conn->state != CONN_DEAD) {
        int64_t before = env->now_ns;
        conn->again = false;
        moved = step(conn);
        moved = moved || conn->again;
        env->now_ns = vg_now_ns();
        adapt_piece(conn, env->now_ns - before);
    }
    conn->running = false;
    vg_turn_charge(&conn->turn, env->now_ns, env->now_ns - start);
    return moved;
}

void vg_conn_run(struct vg_turn_entry *entry)
{
    struct vg_conn *conn = VG_CONTAINER(entry, struct vg_conn, turn);
    if (conn->state == CONN_DEAD)
        return;
    bool moved = run_slice(conn);
    if (conn->state == CONN_DEAD)
        return;
    if (moved) {
        vg_turn_add(&conn->net->turn, &conn->turn, false, conn->net->env.now_ns);
    } else {
        trim(&conn->in, &conn->in_off);
        trim(&conn->out, &conn->out_off);
    }
    update_watch(conn);
}

/* How long the connection may go on like this, from since_ns. */
static int64_t patience_ms(const struct vg_conn *conn)
{
    const struct vg_http_limits *limits = &conn->net->env.limits;
    if (conn->state == CONN_LINGER)
        return LINGER_TOTAL_MS;
    if (conn->state == CONN_HANDSHAKE || in_pending(conn) > 0)
        return limits->header_ms;
    return conn->net->draining ? LINGER_MS : limits->idle_ms;
}

void vg_conn_tick(struct vg_conn *conn)
{
    const struct vg_http_env *env = &conn->net->env;
    int64_t waited_ms = (env->now_ns - conn->since_ns) / VG_NS_PER_MS;
    int64_t still_ms = (env->now_ns - conn->moved_ns) / VG_NS_PER_MS;
    bool late;
    if (conn->state == CONN_OPEN) {
        conn->session->ops->tick(conn->session);
        late = out_pending(conn) > 0 && still_ms > env->limits.stall_ms;
        conn->net->env.bitten[VG_HTTP_LIMIT_STALL] += late;
    } else {
        late =
            waited_ms > patience_ms(conn) || (conn->state == CONN_LINGER && still_ms > LINGER_MS);
        bool opening = conn->state == CONN_HANDSHAKE || in_pending(conn) > 0;
        conn->net->env.bitten[VG_HTTP_LIMIT_HEAD_TIME] += late && opening;
    }
    if (late)
        vg_conn_kill(conn);
}

void vg_conn_drain(struct vg_conn *conn)
{
    if (conn->state == CONN_OPEN)
        conn->session->ops->drain(conn->session);
}
