/* SPDX-License-Identifier: Apache-2.0 */
#include "common/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mem.h"

struct sample {
    char *listen;
    char *secret;
    int64_t threads;
    int64_t lease_ms;
    int64_t max_body;
    bool strict;
};

static const struct vg_config_key keys[] = {
    {.name = "listen",
     .type = VG_CONFIG_TEXT,
     .offset = offsetof(struct sample, listen),
     .required = true,
     .help = "Where to listen | address."},
    {.name = "secret-key",
     .type = VG_CONFIG_TEXT,
     .offset = offsetof(struct sample, secret),
     .secret = true,
     .help = "Seals."},
    {.name = "threads",
     .type = VG_CONFIG_INT,
     .offset = offsetof(struct sample, threads),
     .fallback = "2",
     .min = 1,
     .max = 64,
     .help = "Loop threads."},
    {.name = "lease",
     .type = VG_CONFIG_DURATION,
     .offset = offsetof(struct sample, lease_ms),
     .fallback = "30s",
     .min = 1000,
     .max = 3600000,
     .help = "Lease."},
    {.name = "max-body",
     .type = VG_CONFIG_SIZE,
     .offset = offsetof(struct sample, max_body),
     .fallback = "64m",
     .help = "Body."},
    {.name = "strict",
     .type = VG_CONFIG_BOOL,
     .offset = offsetof(struct sample, strict),
     .fallback = "false",
     .help = "Strict."},
};

struct fixture {
    struct sample sample;
    struct vg_config config;
    struct vg_err err;
};

/* `env` and `args` are NULL-terminated lists; at most 8 arguments. */
static int load(struct fixture *f, char **env, char **args)
{
    char program[] = "test";
    char *argv[10] = {program};
    int argc = 1;
    for (; args[argc - 1]; argc++)
        argv[argc] = args[argc - 1];
    *f = (struct fixture){.config = {.keys = keys, .count = VG_COUNT(keys)}};
    f->config.target = &f->sample;
    return vg_config_load(&f->config, argc, argv, env, &f->err);
}

#define LIST(...)                                                                                  \
    (char *[])                                                                                     \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
#define NONE LIST(NULL)

static void config__defaults_then_environment_then_flags(void **state)
{
    (void)state;
    struct fixture f;
    assert_int_equal(load(&f, LIST("VIDEOGATE_LISTEN=a:1", NULL), NONE), 0);
    assert_string_equal(f.sample.listen, "a:1");
    assert_int_equal(f.sample.threads, 2);
    assert_int_equal(f.sample.lease_ms, 30000);
    assert_int_equal(f.sample.max_body, 64 << 20);
    assert_false(f.sample.strict);
    assert_null(f.sample.secret);
    vg_config_fini(&f.config);
    assert_null(f.sample.listen);

    char **env = LIST("VIDEOGATE_LISTEN=a:1", "VIDEOGATE_THREADS=3", "VIDEOGATE_MAX_BODY=1k",
                      "VIDEOGATE_LISTENER=no", "VIDEOGATE_STRICT=", NULL);
    assert_int_equal(load(&f, env, LIST("--threads", "4", "--lease=5m", "--strict", NULL)), 0);
    assert_int_equal(f.sample.threads, 4);
    assert_int_equal(f.sample.lease_ms, 300000);
    assert_int_equal(f.sample.max_body, 1024);
    assert_true(f.sample.strict);
    vg_config_fini(&f.config);
}

static void config__bool_flag_takes_only_its_words(void **state)
{
    (void)state;
    struct fixture f;
    assert_int_equal(load(&f, NONE, LIST("--strict", "--listen", "x", NULL)), 0);
    assert_true(f.sample.strict);
    vg_config_fini(&f.config);
    assert_int_equal(load(&f, NONE, LIST("--strict", "no", "--listen=x", NULL)), 0);
    assert_false(f.sample.strict);
    vg_config_fini(&f.config);
    assert_int_equal(load(&f, NONE, LIST("--strict=maybe", "--listen=x", NULL)), -1);
    assert_string_equal(f.err.param, "strict");
}

static void config__refuses_and_names_the_rule(void **state)
{
    (void)state;
    static const struct {
        const char *arg, *says;
    } cases[] = {
        {"--threads=0", "--threads must be from 1 to 64."},
        {"--threads=65", "--threads must be from 1 to 64."},
        {"--threads=two", "--threads must be a whole number."},
        {"--threads=9999999999999999999", "--threads must be a whole number."},
        {"--lease=30", "--lease must be a duration such as 250ms, 30s, 5m, 2h or 3d."},
        {"--lease=30x", "--lease must be a duration such as 250ms, 30s, 5m, 2h or 3d."},
        {"--lease=s", "--lease must be a duration such as 250ms, 30s, 5m, 2h or 3d."},
        {"--lease=1ms", "--lease must be from 1s to 1h."},
        {"--lease=9223372036854775807d",
         "--lease must be a duration such as 250ms, 30s, 5m, 2h or 3d."},
        {"--max-body=-1", "--max-body must be at least 0."},
        {"--max-body=1kb", "--max-body must be a size such as 512, 64k, 20m or 4g."},
        {"--nonsense=1", "Unknown flag '--nonsense'."},
        {"--thread=1", "Unknown flag '--thread'."},
        {"-t", "Unexpected argument '-t'."},
        {"word", "Unexpected argument 'word'."},
        {"--", "Unexpected argument '--'."},
        {"--threads", "--threads needs a value."},
    };
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct fixture f;
        char *arg = vg_xstrdup(cases[i].arg);
        assert_int_equal(load(&f, LIST("VIDEOGATE_LISTEN=a:1", NULL), LIST(arg, NULL)), -1);
        assert_string_equal(vg_err_text(&f.err), cases[i].says);
        assert_null(f.sample.listen); /* nothing is left behind */
        free(arg);
    }
}

static void config__required_key_must_be_there(void **state)
{
    (void)state;
    struct fixture f;
    assert_int_equal(load(&f, NONE, NONE), -1);
    assert_string_equal(f.err.param, "listen");
    assert_non_null(strstr(vg_err_text(&f.err), "VIDEOGATE_LISTEN (--listen) is required"));
    assert_int_equal(load(&f, NONE, LIST("--listen=", NULL)), -1);
}

static void config__secret_is_never_a_flag(void **state)
{
    (void)state;
    struct fixture f;
    assert_int_equal(load(&f, NONE, LIST("--listen=x", "--secret-key=hunter2", NULL)), -1);
    assert_null(strstr(vg_err_text(&f.err), "hunter2"));
    assert_non_null(strstr(vg_err_text(&f.err), "VIDEOGATE_SECRET_KEY_FILE"));
    assert_int_equal(load(&f, LIST("VIDEOGATE_SECRET_KEY=hunter2", NULL), LIST("--listen=x", NULL)),
                     0);
    assert_string_equal(f.sample.secret, "hunter2");
    vg_config_fini(&f.config);
}

static void config__secret_comes_from_a_file(void **state)
{
    (void)state;
    static const struct {
        const char *content;
        size_t len;
        const char *expected; /* NULL: refused */
    } cases[] = {
        {"hunter2\n", 8, "hunter2"},
        {"hunter2\r\n", 9, "hunter2"},
        {"two\n\n", 5, "two\n"},
        {"bare", 4, "bare"},
        {"", 0, ""},
        {"a\0b", 3, NULL},
    };
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        char path[] = "/tmp/vg_config_test_XXXXXX", variable[100];
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        assert_int_equal(write(fd, cases[i].content, cases[i].len), cases[i].len);
        (void)close(fd);
        (void)snprintf(variable, sizeof variable, "VIDEOGATE_SECRET_KEY_FILE=%s", path);
        struct fixture f;
        int rc = load(&f, LIST(variable, NULL), LIST("--listen=x", NULL));
        (void)unlink(path);
        assert_int_equal(rc, cases[i].expected ? 0 : -1);
        if (cases[i].expected) {
            assert_string_equal(f.sample.secret, cases[i].expected);
            vg_config_fini(&f.config);
        }
    }
    struct fixture f;
    char **missing = LIST("VIDEOGATE_SECRET_KEY_FILE=/no/such/file", NULL);
    assert_int_equal(load(&f, missing, LIST("--listen=x", NULL)), -1);
    assert_non_null(strstr(vg_err_text(&f.err), "/no/such/file"));
    char **both = LIST("VIDEOGATE_SECRET_KEY_FILE=/dev/null", "VIDEOGATE_SECRET_KEY=x", NULL);
    assert_int_equal(load(&f, both, LIST("--listen=x", NULL)), -1);
}

static void config__dump_masks_secrets_and_shortens_units(void **state)
{
    (void)state;
    struct fixture f;
    struct vg_buf out;
    vg_buf_init(&out, 10000);
    assert_int_equal(load(&f, LIST("VIDEOGATE_SECRET_KEY=hunter2", NULL),
                          LIST("--listen=x", "--lease=90s", "--max-body=1536k", NULL)),
                     0);
    vg_config_dump(&f.config, &out);
    assert_string_equal(vg_buf_view(&out).data, "listen=x\nsecret-key=********\nthreads=2\n"
                                                "lease=90s\nmax-body=1536k\nstrict=false\n");
    vg_config_fini(&f.config);
    vg_buf_fini(&out);
}

static void config__markdown_has_a_row_per_key(void **state)
{
    (void)state;
    struct vg_config config = {.keys = keys, .count = VG_COUNT(keys)};
    struct vg_buf out;
    vg_buf_init(&out, 10000);
    vg_config_markdown(&config, &out);
    assert_string_equal(
        vg_buf_view(&out).data,
        "| flag | variable | type | default | range | what |\n"
        "|---|---|---|---|---|---|\n"
        "| `--listen` | `VIDEOGATE_LISTEN` | text | required |  | Where to listen \\| address. |\n"
        "| - | `VIDEOGATE_SECRET_KEY` | text, secret |  |  | Seals. |\n"
        "| `--threads` | `VIDEOGATE_THREADS` | integer | `2` | 1 to 64 | Loop threads. |\n"
        "| `--lease` | `VIDEOGATE_LEASE` | duration | `30s` | 1s to 1h | Lease. |\n"
        "| `--max-body` | `VIDEOGATE_MAX_BODY` | size | `64m` | from 0 | Body. |\n"
        "| `--strict` | `VIDEOGATE_STRICT` | bool | `false` |  | Strict. |\n");
    vg_buf_clear(&out);
    vg_config_help(&config, &out);
    assert_non_null(strstr(vg_buf_view(&out).data, "--threads integer (VIDEOGATE_THREADS)"));
    assert_null(strstr(vg_buf_view(&out).data, "--secret-key"));
    vg_buf_fini(&out);
}

static void config__address_has_host_and_port(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool good;
    } cases[] = {
        {"127.0.0.1:80", true}, {":0", true},      {"[::1]:65535", true},
        {"host:1", true},       {"", true},        {"nowhere", false},
        {"host:", false},       {"host:x", false}, {"host:65536", false},
        {"::1:80", false},      {"[::1]", false},  {"host:-1", false},
    };
    static const struct vg_config_key key[] = {
        {.name = "monitor", .type = VG_CONFIG_ADDRESS, .help = "Monitor."}};
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        char *target = NULL, name[] = "test", flag[] = "--monitor";
        char *text = vg_xstrdup(cases[i].text);
        char *argv[] = {name, flag, text, NULL};
        struct vg_config config = {.keys = key, .count = 1, .target = &target};
        struct vg_err err;
        assert_int_equal(vg_config_load(&config, 3, argv, NONE, &err), cases[i].good ? 0 : -1);
        if (cases[i].good)
            assert_string_equal(target, text);
        vg_config_fini(&config);
        free(text);
    }
}

static void config__second_table_is_read_too(void **state)
{
    (void)state;
    struct sample first = {0};
    int64_t drain = 0;
    const struct vg_config_key more[] = {
        {.name = "drain", .type = VG_CONFIG_DURATION, .fallback = "30s", .help = "Drain."}};
    struct vg_config also = {.keys = more, .count = 1, .target = &drain};
    struct vg_config config = {
        .keys = keys, .count = VG_COUNT(keys), .target = &first, .also = &also};
    struct vg_err err;
    char *argv[] = {"test", "--drain", "5s", "--listen", "x", NULL};
    assert_int_equal(vg_config_load(&config, 5, argv, NONE, &err), 0);
    assert_int_equal(drain, 5000);
    assert_string_equal(first.listen, "x");
    vg_config_fini(&config);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(config__defaults_then_environment_then_flags),
        cmocka_unit_test(config__bool_flag_takes_only_its_words),
        cmocka_unit_test(config__refuses_and_names_the_rule),
        cmocka_unit_test(config__required_key_must_be_there),
        cmocka_unit_test(config__secret_is_never_a_flag),
        cmocka_unit_test(config__secret_comes_from_a_file),
        cmocka_unit_test(config__dump_masks_secrets_and_shortens_units),
        cmocka_unit_test(config__markdown_has_a_row_per_key),
        cmocka_unit_test(config__address_has_host_and_port),
        cmocka_unit_test(config__second_table_is_read_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
