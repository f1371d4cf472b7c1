/* SPDX-License-Identifier: Apache-2.0 */
/* TLS credentials from PEM files. Read at start; a change of certificate takes a restart. */
#include <errno.h>
#include <grpc/grpc_security.h>
#include <stdio.h>
#include <string.h>

#include "common/mem.h"
#include "common/rpc/core.h"
#include "common/rpc/server.h"

#define PEM_MAX (1U << 20)

/* `path` NULL gives NULL and success. */
static int read_pem(const char *path, char **out, struct vg_err *err)
{
    struct vg_buf buf;
    size_t got;

    *out = NULL;
    if (path == NULL)
        return 0;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return vg_err_set(err, VG_ERR_INTERNAL, "cannot open %s: %s", path, strerror(errno));
    vg_buf_init(&buf, PEM_MAX);
    do {
        char *room = vg_buf_reserve(&buf, 4096);

        got = room != NULL ? fread(room, 1, 4096, file) : 0;
        vg_buf_commit(&buf, got);
    } while (got > 0);
    bool failed = ferror(file) != 0 || !vg_buf_ok(&buf) || buf.len == 0;
    (void)fclose(file); /* only read */
    if (failed) {
        if (buf.data != NULL)
            explicit_bzero(buf.data, buf.len);
        vg_buf_fini(&buf);
        return vg_err_set(err, VG_ERR_INTERNAL, "cannot read %s", path);
    }
    *out = vg_buf_take(&buf, &got);
    return 0;
}

struct pems {
    char *ca;   /* owned; may be NULL */
    char *cert; /* owned; may be NULL */
    char *key;  /* owned, secret; may be NULL */
};

static void pems_fini(struct pems *pems)
{
    vg_free_secret(pems->ca);
    vg_free_secret(pems->cert);
    vg_free_secret(pems->key);
}

static int pems_read(struct pems *pems, const struct vg_rpc_tls *tls, struct vg_err *err)
{
    *pems = (struct pems){0};
    if ((tls->cert_file == NULL) != (tls->key_file == NULL))
        return vg_err_set(err, VG_ERR_INTERNAL, "a certificate and its key go together");
    if (read_pem(tls->ca_file, &pems->ca, err) == 0 &&
        read_pem(tls->cert_file, &pems->cert, err) == 0 &&
        read_pem(tls->key_file, &pems->key, err) == 0)
        return 0;
    pems_fini(pems);
    return -1;
}

grpc_server_credentials *vg_rpc_tls_server(const struct vg_rpc_tls *tls, struct vg_err *err)
{
    struct pems pems;
    grpc_server_credentials *credentials;

    if (pems_read(&pems, tls, err) != 0)
        return NULL;
    grpc_ssl_pem_key_cert_pair pair = {pems.key, pems.cert};
    credentials = grpc_ssl_server_credentials_create_ex(
        pems.ca, &pair, 1,
        pems.ca != NULL ? GRPC_SSL_REQUEST_AND_REQUIRE_CLIENT_CERTIFICATE_AND_VERIFY
                        : GRPC_SSL_DONT_REQUEST_CLIENT_CERTIFICATE,
        NULL);
    pems_fini(&pems);
    if (credentials == NULL)
        (void)vg_err_set(err, VG_ERR_INTERNAL, "cannot use %s", tls->cert_file);
    return credentials;
}

grpc_channel_credentials *vg_rpc_tls_client(const struct vg_rpc_tls *tls, struct vg_err *err)
{
    struct pems pems;
    grpc_channel_credentials *credentials;

    if (pems_read(&pems, tls, err) != 0)
        return NULL;
    grpc_ssl_pem_key_cert_pair pair = {pems.key, pems.cert};
    credentials =
        grpc_ssl_credentials_create(pems.ca, pems.cert != NULL ? &pair : NULL, NULL, NULL);
    pems_fini(&pems);
    if (credentials == NULL)
        (void)vg_err_set(err, VG_ERR_INTERNAL, "cannot use the TLS files");
    return credentials;
}
