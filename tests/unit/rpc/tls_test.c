/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <unistd.h>

#include "common/clock.h"
#include "tests/unit/rpc/fixture.h"

/* A certificate authority, a server's and a client's certificate, and a second authority with a
 * client's. */
static const char make_certificates[] =
    "set -e\n"
    "ca() { openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    " -subj /CN=$1 -keyout $1.key -out $1.pem; }\n"
    "leaf() { openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=$1"
    " -keyout $1.key -out $1.csr; printf 'subjectAltName=DNS:localhost,IP:127.0.0.1' >ext;"
    " openssl x509 -req -in $1.csr -CA $2.pem -CAkey $2.key -CAcreateserial -days 2"
    " -extfile ext -out $1.pem; }\n"
    "{ ca root; leaf server root; leaf client root; ca other; leaf stranger other; } 2>log\n";

static char folder[] = "/tmp/vg-rpc-tls-XXXXXX";

static int setup(void **state)
{
    FILE *shell;

    (void)state;
    if (mkdtemp(folder) == NULL)
        return -1;
    shell = popen("sh", "w"); /* NOLINT(cert-env33-c): the script is a constant */
    if (shell == NULL)
        return -1;
    (void)fprintf(shell, "cd %s\n%s", folder, make_certificates);
    return pclose(shell);
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    return system(command); /* NOLINT(cert-env33-c): our own folder */
}

/* One of a few names at a time. */
static const char *path_of(const char *name)
{
    static char paths[8][128];
    static int next;
    char *path = paths[next++ % 8];

    (void)snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static struct fixture *server(bool mutual)
{
    struct fixture_options options = {.no_channel = true};

    options.server.tls.cert_file = path_of("server.pem");
    options.server.tls.key_file = path_of("server.key");
    options.server.tls.ca_file = mutual ? path_of("root.pem") : NULL;
    return fixture_start(&options);
}

/* Echoes once over a channel with these credentials; 0 or the status code. */
static int echo_code(struct fixture *fixture, const char *ca, const char *client,
                     const char *name_override)
{
    struct vg_rpc_channel_options options = {.use_tls = true};
    char cert[32];
    char key[32];
    struct submit submit;

    options.tls.ca_file = path_of(ca);
    if (client != NULL) {
        (void)snprintf(cert, sizeof cert, "%s.pem", client);
        (void)snprintf(key, sizeof key, "%s.key", client);
        options.tls.cert_file = path_of(cert);
        options.tls.key_file = path_of(key);
    }
    options.tls.name_override = name_override;
    struct vg_rpc_channel *channel = fixture_open(fixture, options);
    submit_init(&submit, "echo", "secret");
    submit.call.deadline_ns = vg_deadline_in_ms(20000);
    if (submit_wait(&submit, channel) == 0)
        assert_string_equal(submit_echo(&submit), "secret");
    submit_fini(&submit);
    (void)vg_rpc_channel_free(channel);
    return submit.call.grpc_code;
}

static void tls__carries_calls(void **state)
{
    struct fixture *fixture = server(false);

    (void)state;
    assert_int_equal(echo_code(fixture, "root.pem", NULL, NULL), VG_GRPC_OK);
    assert_int_equal(echo_code(fixture, "root.pem", NULL, "localhost"), VG_GRPC_OK);
    (void)fixture_stop(fixture);
}

static void tls__checks_the_server(void **state)
{
    struct fixture *fixture = server(false);

    (void)state;
    assert_int_equal(echo_code(fixture, "other.pem", NULL, NULL), VG_GRPC_UNAVAILABLE);
    assert_int_equal(echo_code(fixture, "root.pem", NULL, "example.com"), VG_GRPC_UNAVAILABLE);
    (void)fixture_stop(fixture);
}

static void tls__mutual_demands_a_certificate_of_its_authority(void **state)
{
    struct fixture *fixture = server(true);

    (void)state;
    assert_int_equal(echo_code(fixture, "root.pem", "client", NULL), VG_GRPC_OK);
    assert_int_equal(echo_code(fixture, "root.pem", NULL, NULL), VG_GRPC_UNAVAILABLE);
    assert_int_equal(echo_code(fixture, "root.pem", "stranger", NULL), VG_GRPC_UNAVAILABLE);
    assert_int_equal(fixture_submits(fixture), 1);
    (void)fixture_stop(fixture);
}

static void tls__refuses_plain_clients(void **state)
{
    struct fixture *fixture = server(false);
    struct vg_rpc_channel *channel = fixture_open(fixture, (struct vg_rpc_channel_options){0});
    struct submit submit;

    (void)state;
    submit_init(&submit, "echo", "");
    submit.call.deadline_ns = vg_deadline_in_ms(20000);
    assert_int_equal(submit_wait(&submit, channel), -1);
    assert_int_equal(submit.call.grpc_code, VG_GRPC_UNAVAILABLE);
    (void)vg_rpc_channel_free(channel);
    (void)fixture_stop(fixture);
}

static void expect_no_server(const char *cert, const char *key)
{
    struct vg_rpc_server_options options = {.listen = "127.0.0.1:0"};
    struct vg_rpc_server *out = NULL;
    struct vg_err err = {0};

    options.tls.cert_file = cert;
    options.tls.key_file = key;
    assert_int_equal(vg_rpc_server_start(&out, &options, &err), -1);
    assert_null(out);
    assert_int_equal(err.kind, VG_ERR_INTERNAL);
    assert_true(err.detail[0] != '\0');
}

static void tls__files_that_do_not_fit_are_errors(void **state)
{
    struct vg_rpc_channel_options options = {.target = "127.0.0.1:1", .use_tls = true};
    struct vg_rpc_channel *channel = NULL;
    struct vg_err err = {0};

    (void)state;
    expect_no_server(path_of("nowhere.pem"), path_of("server.key"));
    expect_no_server(path_of("server.pem"), NULL);
    expect_no_server(path_of("server.pem"), "/dev/null");
    options.tls.ca_file = path_of("nowhere.pem");
    assert_int_equal(vg_rpc_channel_new(&channel, &options, &err), -1);
    assert_non_null(strstr(vg_err_text(&err), "nowhere.pem"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tls__carries_calls),
        cmocka_unit_test(tls__checks_the_server),
        cmocka_unit_test(tls__mutual_demands_a_certificate_of_its_authority),
        cmocka_unit_test(tls__refuses_plain_clients),
        cmocka_unit_test(tls__files_that_do_not_fit_are_errors),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
