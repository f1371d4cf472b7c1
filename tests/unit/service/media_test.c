/* SPDX-License-Identifier: Apache-2.0 */
/* Sniffing by table; fetching against a small server on loopback. */
#include "service/media.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/mem.h"

#define PNG(w1, w2, w3, w4, h1, h2, h3, h4)                                                        \
    "\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR" w1 w2 w3 w4 h1 h2 h3 h4 "\x08\x02\0\0\0"
#define SMALL_PNG PNG("\0", "\0", "\0", "\x40", "\0", "\0", "\0", "\x24")
/* What follows a head to make a picture of it. */
#define PNG_REST "....\0\0\0\1IDATx....\0\0\0\0IEND...."
#define WHOLE_PNG SMALL_PNG PNG_REST
#define JPEG_HEAD "\xff\xd8\xff\xe0\0\x04JF"

#define BYTES(literal) (const uint8_t *)(literal), sizeof(literal) - 1

static void sniff__knows_the_four_kinds(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const uint8_t *data;
        size_t len;
        const char *mime_type;
        int32_t width, height;
    } cases[] = {
        {"png", BYTES(SMALL_PNG), "image/png", 64, 36},
        {"gif", BYTES("GIF89a\x40\x01\xb4\0\0\0\0"), "image/gif", 320, 180},
        {"old gif", BYTES("GIF87a\x01\0\x02\0\0\0\0"), "image/gif", 1, 2},
        {"jpeg", BYTES(JPEG_HEAD "\xff\xc0\0\x11\x08\0\xb4\x01\x40\x03"), "image/jpeg", 320, 180},
        {"progressive jpeg with fill bytes",
         BYTES(JPEG_HEAD "\xff\xff\xff\xc2\0\x11\x08\0\x05\0\x07\x03"), "image/jpeg", 7, 5},
        {"webp lossy", BYTES("RIFF\0\0\0\0WEBPVP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x40\x01\xb4\0"),
         "image/webp", 320, 180},
        {"webp lossless", BYTES("RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f\x3f\xc1\x2c\0\0\0\0\0\0"),
         "image/webp", 320, 180},
        {"webp extended", BYTES("RIFF\0\0\0\0WEBPVP8X\0\0\0\0\0\0\0\0\x3f\x01\0\xb3\0\0"),
         "image/webp", 320, 180},
    };
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        struct vg_media_info info = {NULL, 0, 0};
        if (!vg_media_sniff(cases[i].data, cases[i].len, &info))
            fail_msg("not known: %s", cases[i].name);
        assert_string_equal(info.mime_type, cases[i].mime_type);
        assert_int_equal(info.width, cases[i].width);
        assert_int_equal(info.height, cases[i].height);
    }
}

static void sniff__refuses_what_is_cut_or_else(void **state)
{
    (void)state;
    static const char jpeg[] = JPEG_HEAD "\xff\xc0\0\x11\x08\0\xb4\x01\x40";
    static const char png[] = SMALL_PNG;
    struct vg_media_info info;
    for (size_t len = 0; len < sizeof(png) - 1; len++)
        assert_false(vg_media_sniff((const uint8_t *)png, len, &info));
    for (size_t len = 0; len < sizeof(jpeg) - 1; len++)
        assert_false(vg_media_sniff((const uint8_t *)jpeg, len, &info));
    assert_false(vg_media_sniff(BYTES("<svg xmlns='http://www.w3.org/2000/svg'/>      "), &info));
    assert_false(vg_media_sniff(BYTES("%PDF-1.7                                       "), &info));
    assert_false(vg_media_sniff(BYTES("RIFF\0\0\0\0WAVEfmt                            "), &info));
    assert_false(vg_media_sniff(BYTES(PNG("\0", "\0", "\0", "\0", "\0", "\0", "\0", "\x24")),
                                &info)); /* no width */
    assert_false(
        vg_media_sniff(BYTES("\xff\xd8\xff\xda\0\x04xx\xff\xc0\0\x11\x08\0\1\0\1\3"), &info));
    assert_false(vg_media_sniff(BYTES("\xff\xd8\xff\xe0\0\0xx\xff\xc0\0\x11\x08\0\1\0\1\3"),
                                &info)); /* length 0 */
}

static void judge__bounds_sides_pixels_and_bytes(void **state)
{
    (void)state;
    struct vg_media_info info;
    struct vg_err err;
    static const char wide[] =
        PNG("\0", "\0", "\x40", "\1", "\0", "\0", "\0", "\1"); /* 16385 x 1 */
    static const char many[] =
        PNG("\0", "\0", "\x30", "\0", "\0", "\0", "\x30", "\0"); /* 12288 x 12288 */
    static const char bomb[] = PNG("\x7f", "\xff", "\xff", "\xff", "\x7f", "\xff", "\xff", "\xff");
    static const char *const bad[] = {wide, many, bomb};
    for (size_t i = 0; i < VG_COUNT(bad); i++) {
        assert_int_equal(
            vg_media_judge((struct vg_view){bad[i], sizeof(wide) - 1}, "image", &info, &err), -1);
        assert_non_null(strstr(vg_err_text(&err), "pixels are too many"));
        assert_string_equal(err.param, "image");
    }
    assert_int_equal(vg_media_judge(VG_VIEW(WHOLE_PNG), "image", &info, &err), 0);
    assert_int_equal(vg_media_judge(VG_VIEW(SMALL_PNG), "image", &info, &err), -1);
    assert_non_null(strstr(vg_err_text(&err), "the picture in image is cut short or damaged"));
    char *large = vg_xalloc(VG_PICTURE_MAX_BYTES + 1);
    memcpy(large, WHOLE_PNG, sizeof(WHOLE_PNG) - 1);
    assert_int_equal(
        vg_media_judge((struct vg_view){large, VG_PICTURE_MAX_BYTES + 1}, "image", &info, &err),
        -1);
    assert_non_null(strstr(vg_err_text(&err), "20MB limit"));
    assert_int_equal(
        vg_media_judge((struct vg_view){large, VG_PICTURE_MAX_BYTES}, "image", &info, &err), 0);
    free(large);
}

/* --- fetching --- */

/* Answers by path until closed. */
struct server {
    int fd;
    int port;
    pthread_t thread;
};

static void send_text(int fd, const char *head, const void *body, size_t len)
{
    (void)send(fd, head, strlen(head), MSG_NOSIGNAL);
    (void)send(fd, body, len, MSG_NOSIGNAL);
}

static void send_endless(int fd)
{
    static char block[65536];
    send_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nConnection: close\r\n\r\n",
              WHOLE_PNG, sizeof(WHOLE_PNG) - 1);
    while (send(fd, block, sizeof(block), MSG_NOSIGNAL) > 0)
        ;
}

static void *serve(void *ctx)
{
    struct server *s = ctx;
    for (;;) {
        char request[2048] = "";
        int fd = accept(s->fd, NULL, NULL);
        if (fd < 0)
            return NULL;
        (void)recv(fd, request, sizeof(request) - 1, 0);
        if (strstr(request, "GET /ok"))
            send_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nConnection: close\r\n\r\n",
                      WHOLE_PNG, sizeof(WHOLE_PNG) - 1);
        else if (strstr(request, "GET /html"))
            send_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n",
                      "<html>", 6);
        else if (strstr(request, "GET /fake"))
            send_text(fd, "HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nConnection: close\r\n\r\n",
                      "<html>", 6);
        else if (strstr(request, "GET /moved"))
            send_text(fd,
                      "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 0\r\nConnection: "
                      "close\r\n\r\n",
                      "", 0);
        else if (strstr(request, "GET /endless"))
            send_endless(fd);
        else
            send_text(fd, "HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "",
                      0);
        (void)close(fd);
    }
}

static void start_server(struct server *s)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&at, len), 0);
    assert_int_equal(listen(s->fd, 16), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&at, &len), 0);
    s->port = ntohs(at.sin_port);
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void stop_server(struct server *s)
{
    (void)shutdown(s->fd, SHUT_RDWR);
    (void)pthread_join(s->thread, NULL);
    (void)close(s->fd);
}

struct fetch {
    struct vg_loop *loop;
    struct vg_media_group group;
};

static void fetch_done(struct vg_task *task)
{
    vg_loop_stop(VG_CONTAINER(task, struct fetch, group.done)->loop);
}

/* Fetches `count` pictures together; returns the group's error text, "" when all came. */
static const char *fetch(struct server *s, const struct vg_http_guard *guard,
                         const char *const *paths, size_t count, size_t max_transfers)
{
    static char why[512];
    struct fetch f = {.loop = vg_loop_new()};
    struct vg_picture pictures[4];
    char urls[4][64];
    struct vg_media *media = NULL;
    const struct vg_media_options options = {
        .loop = f.loop, .guard = guard, .max_transfers = max_transfers, .timeout_ms = 60000};

    memset(pictures, 0, sizeof(pictures));
    assert_int_equal(vg_media_new(&media, &options, NULL), 0);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(urls[i], sizeof(urls[i]), "http://127.0.0.1:%d%s", s->port, paths[i]);
        pictures[i].param = "image";
        pictures[i].url = urls[i];
    }
    f.group = (struct vg_media_group){.pictures = pictures,
                                      .count = count,
                                      .executor = vg_loop_executor(f.loop),
                                      .done.run = fetch_done};
    vg_media_group_start(media, &f.group);
    vg_loop_run(f.loop);
    (void)snprintf(why, sizeof(why), "%s", f.group.ok ? "" : vg_err_text(&f.group.err));
    for (size_t i = 0; i < count; i++) {
        if (f.group.ok) {
            assert_int_equal(pictures[i].info.width, 64);
            assert_int_equal(pictures[i].bytes.len, sizeof(WHOLE_PNG) - 1);
        }
        vg_picture_fini(&pictures[i]);
    }
    (void)vg_media_free(media);
    (void)vg_loop_free(f.loop);
    return why;
}

static const struct vg_http_guard open_guard = {
    .allow_http = true, .allow_any_port = true, .allow_nets = "127.0.0.0/8"};

static void fetch__brings_pictures_together(void **state)
{
    (void)state;
    struct server s;
    start_server(&s);
    const char *const paths[] = {"/ok", "/ok?2", "/ok?3"};
    assert_string_equal(fetch(&s, &open_guard, paths, 3, 0), "");
    stop_server(&s);
}

static void fetch__refuses_what_is_no_picture(void **state)
{
    (void)state;
    static const struct {
        const char *path, *says;
    } cases[] = {
        {"/missing", "answered with status 404"}, {"/moved", "answered with status 302"},
        {"/html", "does not serve a picture"},    {"/fake", "is not a whole PNG"},
        {"/endless", "exceeds the 20MB limit"},
    };
    struct server s;
    start_server(&s);
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        const char *why = fetch(&s, &open_guard, &cases[i].path, 1, 0);
        if (!strstr(why, cases[i].says))
            fail_msg("%s: \"%s\"", cases[i].path, why);
    }
    const char *const mixed[] = {"/ok", "/missing"};
    assert_non_null(strstr(fetch(&s, &open_guard, mixed, 2, 0), "404"));
    stop_server(&s);
}

static void fetch__never_reaches_private_addresses(void **state)
{
    (void)state;
    static const struct vg_http_guard strict = {.allow_http = true, .allow_any_port = true};
    struct server s;
    start_server(&s);
    const char *const path = "/ok";
    assert_string_not_equal(fetch(&s, &strict, &path, 1, 0), "");
    stop_server(&s);
}

static void fetch__is_bounded_in_number(void **state)
{
    (void)state;
    struct server s;
    start_server(&s);
    const char *const paths[] = {"/ok", "/ok?2", "/ok?3"};
    assert_string_equal(fetch(&s, &open_guard, paths, 3, 2), "The service is overloaded.");
    stop_server(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sniff__knows_the_four_kinds),
        cmocka_unit_test(sniff__refuses_what_is_cut_or_else),
        cmocka_unit_test(judge__bounds_sides_pixels_and_bytes),
        cmocka_unit_test(fetch__brings_pictures_together),
        cmocka_unit_test(fetch__refuses_what_is_no_picture),
        cmocka_unit_test(fetch__never_reaches_private_addresses),
        cmocka_unit_test(fetch__is_bounded_in_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
