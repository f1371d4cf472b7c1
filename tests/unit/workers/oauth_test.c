/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/upstream/oauth.h"

/* clang-format off */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
/* clang-format on */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/json.h"
#include "common/loop.h"
#include "common/mem.h"
#include "common/str.h"

/* Made for this test, with the line breaks of a JSON text. */
#define PRIVATE_KEY                                                                                \
    "-----BEGIN PRIVATE KEY-----\\n"                                                               \
    "MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQC6i+st9dv5dPnx\\n"                          \
    "SpQ+genVUgiCnJ/eZeAWwqYf1gUq+h9s/6ehxBVjH4qVBcWaZUUygUPWJdmBx7SI\\n"                          \
    "Iy0nsa/D4CWPclpPJgYpYVE6jv2IaaktVwArgs8IXF3RK6rJovnZKNDlJ1y4APHM\\n"                          \
    "64twkjvha+mWOrU1g20XPbFK7wJxksSGFB5ZqaBRR1P0gq/wzCYeDJ5SMubwo4O9\\n"                          \
    "Jn3MLJyPsuD8dqeyFmE50LSykFkoq5sPFFcmTAuJGj0fcaDtp0tfd1LTZLn1N2Wd\\n"                          \
    "OoSnWUrB4+fQ4DScHsxVEzfIblHDmN6zreZEDkV8WH0XmOC9ZcykIarHcST4FGMW\\n"                          \
    "CJ9k04C5AgMBAAECggEACq99FzLgGNf0gTfOag4zAL8kMacbGTgor+UScvxla2LM\\n"                          \
    "bgfu6Ds9JmJmI8ci3Ic0gYIaCqg8X0y7MJkjOwTYlpW+UQsx1RrOe4xRhNMv/qJe\\n"                          \
    "yHQVVGi3xzjTPuoLbGVjfmbyIE4y529WanCLmjUmLPFrfel6+8e9dflYsHwkXbD7\\n"                          \
    "SanJeIhWQyg7x5VtGzr4iQJ412ZrXnAhzIKKzM3rDZ8NLeXFmkVQpuUO+8/7Pq5c\\n"                          \
    "MGgQ56SEddhd4cgDedbQ27++xkQOmCCdDk2Mh4PAA+ejxrSzwO3DKIXV1N6spOvW\\n"                          \
    "XUDTWkXajHXjwJOazJooz2DbqC8BphdO4sWg09IaCQKBgQD3nFYs3GS5X9LWxWBX\\n"                          \
    "xkaNzEpwVd6hXiSA26TqHwZMPNVZpMXdT85rWFPMOdGxexJ3GFb9+bfZ2CuZoSsQ\\n"                          \
    "Z+51LNE+PrYngee7JaHCfbrJXUpXecSq3LmZ6KQ5NL1Cupx9+Fzfu8hMrwHXnOkq\\n"                          \
    "ijr0aboETb1hai2GY9sZyabyrwKBgQDA3fB3Q5cW/Hf4oKm7AKVAwnuKdyDv/6P0\\n"                          \
    "ygYxYqIG+nqXx994I53SZ9mGE52TuGZYSNPmOBMqB1h+haXQXKY9ipPntVu52pxf\\n"                          \
    "HluZlTXKqCKnxoD6s7Luno550s4Bj25yY0PkFnGPWlVnhwFQcL/R/F78vOVrpUuW\\n"                          \
    "CqiSMQA9FwKBgAowk9dKxpZeXCXcf4d9MGAbfSC8V+oaHrRy1YmQ90hh5IHI5x+h\\n"                          \
    "biQ6wVARPRDpuKvQA5x2D1vWqoyq9kO5kzWdP4spN4POs8Oe29ZOKEarISkSaMaD\\n"                          \
    "SNwNl9yG0BcT6ObCNsg6SRbmyNOfsHTAtYZjZ3VP4bBFl1QFffnEs6sfAoGAD5Xf\\n"                          \
    "yMN9gi4Ew+K31JTIxeLxeM8Hql1OMong1jzSOx4iqgFM3biDGG2r9lm/ciCEpL29\\n"                          \
    "4ezGH69YR2EldSEHjhGUwjS1pN81o7ogTNjx796GbmhsI9ZBr2bAvLd8TkP4+OVs\\n"                          \
    "pxHpO1xhamxOfuGdnqp2QpZBM+G3qfhShv3OtyECgYA8XgzqkH1gHAqJVQr0AjH5\\n"                          \
    "FA1eaj6TGL+3DOPseNROA28f8EfT+4V0d5kDCoz0gandSeJ8Z5EC63C1q+Hj+Jk2\\n"                          \
    "Lj0JkxutkoRhyIAtQ9I1oPGEM960SprvpeUX2Za+47GPkkcXzRhQPcAt7zaIGCNM\\n"                          \
    "ecuLirduWSTqpmgUFZQQDw==\\n"                                                                  \
    "-----END PRIVATE KEY-----\\n"

#define ACCOUNT_OF(type, uri)                                                                      \
    "{\"type\":\"" type                                                                            \
    "\",\"project_id\":\"p-1\",\"private_key_id\":\"kid-1\",\"private_key\":\"" PRIVATE_KEY        \
    "\",\"client_email\":\"a@p-1.iam.gserviceaccount.com\",\"token_uri\":\"" uri "\"}"
#define ACCOUNT ACCOUNT_OF("service_account", "https://oauth2.googleapis.com/token")
#define TOKEN(name, life)                                                                          \
    "200 {\"access_token\":\"" name "\",\"expires_in\":" life ",\"token_type\":\"Bearer\"}"

/* --- a token endpoint: the scripted answers in turn, one connection each --- */

struct endpoint {
    int fd, port;
    pthread_t thread;
    const char *const *answers; /* "200 {...}" and the like */
    int requests;               /* read after the loop has stopped */
    char last[8192];
};

static size_t whole_length(const char *text)
{
    const char *head = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "content-length: ");
    return head && length ? (size_t)(head + 4 - text) + (size_t)strtod(length + 16, NULL)
                          : SIZE_MAX;
}

static void serve(struct endpoint *self, int fd)
{
    char answer[2048];
    size_t len = 0;
    self->last[0] = '\0';
    while (len < sizeof(self->last) - 1 && len < whole_length(self->last)) {
        ssize_t n = recv(fd, self->last + len, sizeof(self->last) - 1 - len, 0);
        if (n <= 0)
            return;
        len += (size_t)n;
        self->last[len] = '\0';
    }
    const char *script = self->answers[self->requests++];
    int n = snprintf(answer, sizeof(answer),
                     "HTTP/1.1 %.3s X\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n%s",
                     script, strlen(script + 4), script + 4);
    (void)send(fd, answer, (size_t)n, MSG_NOSIGNAL);
}

static void *accept_all(void *arg)
{
    struct endpoint *self = arg;
    int fd;
    while ((fd = accept(self->fd, NULL, NULL)) >= 0) {
        serve(self, fd);
        close(fd);
    }
    return NULL;
}

/* --- one test's parts --- */

struct bench {
    struct endpoint endpoint;
    struct vg_loop *loop;
    struct vg_http_client *client;
    struct vg_oauth *oauth;
    int waiting;
};

struct asker {
    struct vg_oauth_waiter waiter;
    struct bench *bench;
    char token[64]; /* "" after a failure */
    struct vg_oauth_failure failure;
};

static void bench_start(struct bench *b, const char *const *answers)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    struct vg_err err;
    char url[64];
    memset(b, 0, sizeof(*b));
    b->endpoint.answers = answers;
    b->endpoint.fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(b->endpoint.fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(b->endpoint.fd, 16), 0);
    assert_int_equal(getsockname(b->endpoint.fd, (struct sockaddr *)&address, &size), 0);
    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/token", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&b->endpoint.thread, NULL, accept_all, &b->endpoint), 0);
    b->loop = vg_loop_new();
    assert_int_equal(vg_http_client_new(&b->client, b->loop, NULL, &err), 0);
    const struct vg_oauth_options options = {.account = VG_VIEW(ACCOUNT), .token_url = url};
    assert_int_equal(vg_oauth_new(&b->oauth, b->client, &options, &err), 0);
}

static void bench_stop(struct bench *b)
{
    b->client = vg_http_client_free(b->client);
    assert_null(vg_oauth_free(b->oauth));
    vg_loop_free(b->loop);
    shutdown(b->endpoint.fd, SHUT_RDWR);
    pthread_join(b->endpoint.thread, NULL);
    close(b->endpoint.fd);
}

static void on_token(struct vg_oauth_waiter *waiter, const char *token,
                     const struct vg_oauth_failure *failure)
{
    struct asker *asker = (struct asker *)(void *)waiter;
    assert_true((token == NULL) != (failure == NULL));
    (void)vg_strcpy(asker->token, sizeof(asker->token), token ? token : "");
    if (failure)
        asker->failure = *failure;
    if (--asker->bench->waiting == 0)
        vg_loop_stop(asker->bench->loop);
}

static void ask(struct bench *b, struct asker *asker)
{
    memset(asker, 0, sizeof(*asker));
    asker->waiter.done = on_token;
    asker->bench = b;
    b->waiting++;
    vg_oauth_get(b->oauth, &asker->waiter);
}

static void ask_and_wait(struct bench *b, struct asker *asker)
{
    ask(b, asker);
    vg_loop_run(b->loop);
}

static void wait_and_ask(struct bench *b, struct asker *asker)
{
    const struct timespec pause = {.tv_nsec = 10 * VG_NS_PER_MS};
    (void)nanosleep(&pause, NULL);
    ask_and_wait(b, asker);
}

/* --- the assertion --- */

static size_t from_base64url(uint8_t *out, const char *text, size_t len)
{
    char standard[4096];
    size_t n;
    assert_true(len < sizeof(standard));
    for (size_t i = 0; i < len; i++)
        standard[i] = (char)(text[i] == '-' ? '+' : text[i] == '_' ? '/' : text[i]);
    assert_int_equal(vg_base64_decode(out, &n, standard, len), 0);
    return n;
}

static struct vg_json *json_part(const char *text, size_t len)
{
    uint8_t bytes[4096];
    struct vg_json *json;
    size_t n = from_base64url(bytes, text, len);
    assert_int_equal(vg_json_parse(&json, (struct vg_view){(const char *)bytes, n}, NULL), 0);
    return json;
}

static bool is_signed(const char *text, size_t len, const char *signature)
{
    struct vg_json *account;
    uint8_t bytes[1024];
    size_t n = from_base64url(bytes, signature, strlen(signature));
    assert_int_equal(vg_json_parse(&account, VG_VIEW(ACCOUNT), NULL), 0);
    BIO *bio = BIO_new_mem_buf(vg_json_string(vg_json_get(account, "private_key")), -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
    bool ok = EVP_DigestVerify(ctx, bytes, n, (const uint8_t *)text, len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    BIO_free(bio);
    vg_json_free(account);
    return ok;
}

static void check_text(const struct vg_json *object, const char *name, const char *expected)
{
    assert_string_equal(vg_json_string(vg_json_get(object, name)), expected);
}

static void assertion__is_what_google_asks_for(void **state)
{
    (void)state;
    static const char *const answers[] = {TOKEN("ya29.a", "3599")};
    static const char grant[] = "\r\n\r\ngrant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-"
                                "bearer&assertion=";
    struct bench b;
    struct asker asker;
    bench_start(&b, answers);
    assert_string_equal(vg_oauth_project(b.oauth), "p-1");
    ask_and_wait(&b, &asker);
    assert_string_equal(asker.token, "ya29.a");
    assert_non_null(strstr(b.endpoint.last, "POST /token "));
    assert_non_null(strcasestr(b.endpoint.last, "Content-Type: application/x-www-form-urlencoded"));
    const char *jwt = strstr(b.endpoint.last, grant);
    assert_non_null(jwt);
    jwt += strlen(grant);
    const char *dot = strchr(jwt, '.'), *second = strchr(dot + 1, '.');
    assert_true(is_signed(jwt, (size_t)(second - jwt), second + 1));
    struct vg_json *head = json_part(jwt, (size_t)(dot - jwt));
    check_text(head, "alg", "RS256");
    check_text(head, "kid", "kid-1");
    struct vg_json *claims = json_part(dot + 1, (size_t)(second - dot - 1));
    check_text(claims, "iss", "a@p-1.iam.gserviceaccount.com");
    check_text(claims, "aud", "https://oauth2.googleapis.com/token");
    check_text(claims, "scope", "https://www.googleapis.com/auth/cloud-platform");
    int64_t iat, exp;
    assert_true(vg_json_int(vg_json_get(claims, "iat"), &iat));
    assert_true(vg_json_int(vg_json_get(claims, "exp"), &exp));
    assert_int_equal(exp - iat, 3600);
    assert_true(iat <= (int64_t)time(NULL));
    vg_json_free(head);
    vg_json_free(claims);
    bench_stop(&b);
}

/* --- the cache --- */

static void token__one_exchange_serves_all_who_wait(void **state)
{
    (void)state;
    static const char *const answers[] = {TOKEN("first", "\"3599\""), TOKEN("second", "3599")};
    struct bench b;
    struct asker askers[5], late;
    bench_start(&b, answers);
    for (size_t i = 0; i < VG_COUNT(askers); i++)
        ask(&b, &askers[i]);
    vg_loop_run(b.loop);
    for (size_t i = 0; i < VG_COUNT(askers); i++)
        assert_string_equal(askers[i].token, "first");
    ask_and_wait(&b, &late);
    assert_string_equal(late.token, "first");
    assert_int_equal(b.endpoint.requests, 1);
    bench_stop(&b);
}

static void token__a_refused_one_is_replaced_once(void **state)
{
    (void)state;
    static const char *const answers[] = {TOKEN("first", "3599"), TOKEN("second", "3599")};
    struct bench b;
    struct asker one, two;
    bench_start(&b, answers);
    ask_and_wait(&b, &one);
    ask_and_wait(&b, &two);
    vg_oauth_drop(b.oauth, one.waiter.serial);
    ask_and_wait(&b, &one);
    assert_string_equal(one.token, "second");
    vg_oauth_drop(b.oauth, two.waiter.serial); /* the first again: the second stays */
    ask_and_wait(&b, &two);
    assert_string_equal(two.token, "second");
    assert_int_equal(b.endpoint.requests, 2);
    bench_stop(&b);
}

static void token__a_short_one_is_renewed_at_half_its_life(void **state)
{
    (void)state;
    static const char *const answers[] = {TOKEN("first", "1"), TOKEN("second", "100")};
    struct bench b;
    struct asker asker;
    bench_start(&b, answers);
    ask_and_wait(&b, &asker);
    int64_t asked = vg_now_ns();
    while (strcmp(asker.token, "first") == 0)
        wait_and_ask(&b, &asker);
    assert_true(vg_now_ns() - asked < 5 * VG_NS_PER_S);
    assert_string_equal(asker.token, "second");
    ask_and_wait(&b, &asker);
    assert_int_equal(b.endpoint.requests, 2);
    bench_stop(&b);
}

static void token__one_that_holds_does_while_the_endpoint_is_unwell(void **state)
{
    (void)state;
    static const char *const answers[] = {TOKEN("first", "4"), "503 {}",
                                          "400 {\"error\":\"invalid_grant\"}"};
    struct bench b;
    struct asker asker;
    bench_start(&b, answers);
    ask_and_wait(&b, &asker);
    while (b.endpoint.requests < 2)
        wait_and_ask(&b, &asker);
    assert_string_equal(asker.token, "first");
    ask_and_wait(&b, &asker); /* a refusal counts at once */
    assert_string_equal(asker.token, "");
    assert_false(asker.failure.retryable);
    bench_stop(&b);
}

/* --- failures --- */

static void failure__is_passing_or_for_good(void **state)
{
    (void)state;
    static const struct {
        const char *answer, *code;
        bool retryable;
    } rows[] = {
        {"400 {\"error\":\"invalid_grant\",\"error_description\":\"Invalid JWT Signature.\"}",
         "invalid_grant", false},
        {"400 {\"error\":\"invalid_scope\"}", "invalid_scope", false},
        {"401 {\"error\":\"unauthorized_client\"}", "unauthorized_client", false},
        {"400 {\"error\":\"server_error\"}", "server_error", true},
        {"400 {\"error\":\"x\",\"error_description\":\"internal_failure\"}", "x", true},
        {"500 <html>", "no_token", true},
        {"429 {\"error\":\"rate_limit_exceeded\"}", "rate_limit_exceeded", true},
        {"200 {\"access_token\":\"\",\"expires_in\":3599}", "no_token", true},
        {"200 {\"access_token\":\"a b\",\"expires_in\":3599}", "no_token", true},
        {"200 {\"access_token\":\"a\"}", "no_token", true},
        {"200 {\"access_token\":\"a\",\"expires_in\":-1}", "no_token", true},
        {"200 {\"access_token\":\"a\",\"expires_in\":\"soon\"}", "no_token", true},
        {"200 {\"access_token\":\"a\",\"expires_in\":1,\"token_type\":\"mac\"}", "no_token", true},
        {"200 [", "no_token", true},
        {"302 ", "no_token", false},
    };
    for (size_t i = 0; i < VG_COUNT(rows); i++) {
        struct bench b;
        struct asker asker;
        bench_start(&b, &rows[i].answer);
        ask_and_wait(&b, &asker);
        assert_string_equal(asker.token, "");
        assert_string_equal(asker.failure.code, rows[i].code);
        assert_int_equal(asker.failure.retryable, rows[i].retryable);
        bench_stop(&b);
    }
}

static void failure__who_waits_at_the_end_is_told(void **state)
{
    (void)state;
    static const char *const answers[] = {TOKEN("never", "3599")};
    struct bench b;
    struct asker asker;
    bench_start(&b, answers);
    ask(&b, &asker);
    b.client = vg_http_client_free(b.client);
    assert_string_equal(asker.failure.code, "cancelled");
    bench_stop(&b);
}

static void account__is_judged_without_quoting_it(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "SECRET",
        "[]",
        "{\"type\":\"authorized_user\",\"private_key\":\"SECRET\"}",
        "{\"type\":\"service_account\",\"private_key\":\"SECRET\"}",
        "{\"type\":\"service_account\",\"client_email\":\"a\",\"private_key\":\"SECRET\"}",
        ACCOUNT_OF("service_account", "http://SECRET"),
        ACCOUNT_OF("other", "https://a"),
    };
    for (size_t i = 0; i < VG_COUNT(bad); i++) {
        struct vg_oauth *oauth = NULL;
        struct vg_err err;
        const struct vg_oauth_options options = {.account = vg_view_of(bad[i])};
        assert_int_equal(vg_oauth_new(&oauth, NULL, &options, &err), -1);
        assert_int_equal(err.kind, VG_ERR_INVALID_REQUEST);
        assert_null(strstr(err.detail, "SECRET"));
        assert_null(oauth);
    }
    assert_null(vg_oauth_free(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(assertion__is_what_google_asks_for),
        cmocka_unit_test(token__one_exchange_serves_all_who_wait),
        cmocka_unit_test(token__a_refused_one_is_replaced_once),
        cmocka_unit_test(token__a_short_one_is_renewed_at_half_its_life),
        cmocka_unit_test(token__one_that_holds_does_while_the_endpoint_is_unwell),
        cmocka_unit_test(failure__is_passing_or_for_good),
        cmocka_unit_test(failure__who_waits_at_the_end_is_told),
        cmocka_unit_test(account__is_judged_without_quoting_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
