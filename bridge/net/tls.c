/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/net/tls.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

struct vg_tls_ctx {
    SSL_CTX *ssl;
};

struct vg_tls {
    SSL *ssl;
    bool wants_write;
};

/* RFC 9113 9.2.2: HTTP/2 needs forward secrecy and AEAD; TLS 1.3 has nothing else. */
static const char ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20";

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    static const unsigned char offered[] = "\x02h2\x08http/1.1";
    (void)ssl, (void)arg;
    unsigned char *chosen;
    if (SSL_select_next_proto(&chosen, out_len, offered, sizeof(offered) - 1, in, in_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = chosen;
    return SSL_TLSEXT_ERR_OK;
}

int vg_tls_ctx_new(struct vg_tls_ctx **out, const char *cert_file, const char *key_file,
                   struct vg_err *err)
{
    SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
    VG_ASSERT(ssl);
    const char *what = NULL;
    if (SSL_CTX_use_certificate_chain_file(ssl, cert_file) != 1)
        what = cert_file;
    else if (SSL_CTX_use_PrivateKey_file(ssl, key_file, SSL_FILETYPE_PEM) != 1 ||
             SSL_CTX_check_private_key(ssl) != 1)
        what = key_file;
    if (what) {
        unsigned long code = ERR_peek_last_error();
        const char *reason = ERR_reason_error_string(code);
        ERR_clear_error();
        SSL_CTX_free(ssl);
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "%s: %s", what,
                          reason ? reason : "unreadable");
    }
    VG_ASSERT(SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION) == 1);
    VG_ASSERT(SSL_CTX_set_cipher_list(ssl, ciphers) == 1);
    (void)SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                       SSL_OP_CIPHER_SERVER_PREFERENCE |
                                       SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_CLEANSE_PLAINTEXT);
    (void)SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(ssl, choose_alpn, NULL);
    struct vg_tls_ctx *ctx = vg_xalloc(sizeof(*ctx));
    ctx->ssl = ssl;
    *out = ctx;
    return 0;
}

struct vg_tls_ctx *vg_tls_ctx_free(struct vg_tls_ctx *ctx)
{
    if (ctx) {
        SSL_CTX_free(ctx->ssl);
        free(ctx);
    }
    return NULL;
}

struct vg_tls *vg_tls_new(struct vg_tls_ctx *ctx, int fd)
{
    struct vg_tls *tls = vg_xalloc(sizeof(*tls));
    tls->ssl = SSL_new(ctx->ssl);
    VG_ASSERT(tls->ssl && SSL_set_fd(tls->ssl, fd) == 1);
    SSL_set_accept_state(tls->ssl);
    return tls;
}

struct vg_tls *vg_tls_free(struct vg_tls *tls)
{
    if (tls) {
        SSL_free(tls->ssl);
        free(tls);
    }
    return NULL;
}

/* Turns a failed call into one of our results. */
static int result(struct vg_tls *tls, int code)
{
    int error = SSL_get_error(tls->ssl, code);
    ERR_clear_error();
    tls->wants_write = error == SSL_ERROR_WANT_WRITE;
    if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
        return VG_IO_AGAIN;
    return error == SSL_ERROR_ZERO_RETURN ? VG_IO_EOF : VG_IO_ERROR;
}

int vg_tls_handshake(struct vg_tls *tls)
{
    ERR_clear_error();
    int code = SSL_do_handshake(tls->ssl);
    if (code == 1)
        return 1;
    int r = result(tls, code);
    return r == VG_IO_EOF ? VG_IO_ERROR : r;
}

ssize_t vg_tls_read(struct vg_tls *tls, void *buf, size_t len)
{
    ERR_clear_error();
    int n = SSL_read(tls->ssl, buf, len > INT_MAX ? INT_MAX : (int)len);
    return n > 0 ? n : result(tls, n);
}

ssize_t vg_tls_write(struct vg_tls *tls, const void *data, size_t len)
{
    ERR_clear_error();
    int n = SSL_write(tls->ssl, data, len > INT_MAX ? INT_MAX : (int)len);
    if (n > 0)
        return n;
    int r = result(tls, n);
    return r == VG_IO_EOF ? VG_IO_ERROR : r;
}

bool vg_tls_wants_write(const struct vg_tls *tls)
{
    return tls->wants_write;
}

void vg_tls_shutdown(struct vg_tls *tls)
{
    ERR_clear_error();
    if (SSL_is_init_finished(tls->ssl))
        (void)SSL_shutdown(tls->ssl); /* one way is enough: the socket follows */
    ERR_clear_error();
}

bool vg_tls_is_h2(const struct vg_tls *tls)
{
    const unsigned char *name;
    unsigned len;
    SSL_get0_alpn_selected(tls->ssl, &name, &len);
    return len == 2 && memcmp(name, "h2", 2) == 0;
}
