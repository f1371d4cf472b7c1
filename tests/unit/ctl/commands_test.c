/* SPDX-License-Identifier: Apache-2.0 */
/* The commands against a service of this test over real gRPC: what they send, print and survive. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/crypto.h"
#include "common/mem.h"
#include "common/rpc/client.h"
#include "common/rpc/server.h"
#include "common/work_pool.h"
#include "service/ctl/commands.h"
#include "videogate/v1/admin.pb-c.h"

#define VIDEO "video_0123456789abcdef0123456789abcdef"
#define CHUNK 65536
#define FILE_SIZE (5 * CHUNK + 123)

struct fixture {
    struct vg_rpc_server *server;
    char listen[32];
    uint8_t content[FILE_SIZE];
    char sha256[VG_SHA256_HEX_SIZE];
    /* How the service behaves */
    int64_t break_after; /* bytes of a stream after which it breaks off; 0: never */
    bool lie;            /* sends other bytes than announced */
    atomic_int streams;  /* opened so far */
    atomic_int watches;
    bool fail_video;
    char seen[512]; /* what CreateVideo got */
};

static bool authorized(struct vg_rpc_call *call, const char *bearer)
{
    if (vg_view_eqs(vg_rpc_call_metadata(call, "authorization"), bearer))
        return true;
    struct vg_err err;
    (void)vg_err_set(&err, VG_ERR_UNAUTHENTICATED, NULL);
    vg_rpc_call_fail(call, &err);
    return false;
}

static char *text(const char *s)
{
    return (char *)(uintptr_t)s;
}

static void fill_video(Videogate__V1__Video *video, Videogate__V1__VideoStatus status,
                       int64_t version)
{
    videogate__v1__video__init(video);
    video->id = text(VIDEO);
    video->status = status;
    video->progress = status == VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_QUEUED ? 0 : 50;
    video->version = version;
    video->prompt = text("two\nlines \x1b[31m");
}

static void on_create(void *ctx, struct vg_rpc_call *call)
{
    struct fixture *f = ctx;
    const Videogate__V1__CreateVideoRequest *request = (const void *)vg_rpc_call_request(call);
    if (!authorized(call, "Bearer k"))
        return;
    (void)snprintf(f->seen, sizeof f->seen, "%s|%s|%d|%d|%d|%zu|%s|%s|%.4s", request->prompt,
                   request->opt_model_case ? request->model : "-",
                   request->opt_seconds_case ? request->seconds : -1,
                   request->opt_audio_case ? request->audio : -1,
                   request->image ? (int)request->image->data.len : -1, request->n_reference_images,
                   request->n_reference_images ? request->reference_images[0]->url : "-",
                   request->opt_extra_case ? request->extra : "-",
                   request->opt_request_id_case ? request->request_id : "-");
    Videogate__V1__Video video;
    fill_video(&video, VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_QUEUED, 1);
    Videogate__V1__CreateVideoResponse response = VIDEOGATE__V1__CREATE_VIDEO_RESPONSE__INIT;
    response.video = &video;
    vg_rpc_call_reply(call, &response.base);
}

static void on_list(void *ctx, struct vg_rpc_call *call)
{
    (void)ctx;
    if (!authorized(call, "Bearer k"))
        return;
    Videogate__V1__Video first, second;
    fill_video(&first, VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_QUEUED, 1);
    fill_video(&second, VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_COMPLETED, 3);
    Videogate__V1__Video *videos[] = {&first, &second};
    Videogate__V1__ListVideosResponse response = VIDEOGATE__V1__LIST_VIDEOS_RESPONSE__INIT;
    response.data = videos;
    response.n_data = 2;
    vg_rpc_call_reply(call, &response.base);
}

static void on_get(void *ctx, struct vg_rpc_call *call)
{
    (void)ctx;
    struct vg_err err;
    if (!authorized(call, "Bearer k"))
        return;
    (void)vg_err_set(&err, VG_ERR_NOT_FOUND, "There is no such video.");
    vg_rpc_call_fail(call, &err);
}

/* One step of a stream; the task comes back when the message went out. */
struct step {
    struct vg_task task;
    struct fixture *f;
    struct vg_rpc_call *call;
    int64_t at, sent;
    int number;
};

static void break_off(struct step *step)
{
    struct vg_err err;
    (void)vg_err_set(&err, VG_ERR_UNAVAILABLE, "The service stops.");
    vg_rpc_call_fail(step->call, &err);
    free(step);
}

/* Executes posted tasks on a thread of the server's choice: at once would recurse, so a small pool
 * does it. */
static struct vg_work_pool *pool;

static void send_data(struct vg_task *task)
{
    struct step *step = VG_CONTAINER(task, struct step, task);
    struct fixture *f = step->f;
    if (f->break_after && step->sent >= f->break_after) {
        break_off(step);
        return;
    }
    if (step->at == FILE_SIZE) {
        vg_rpc_call_finish(step->call);
        free(step);
        return;
    }
    int64_t len = FILE_SIZE - step->at < CHUNK ? FILE_SIZE - step->at : CHUNK;
    Videogate__V1__DownloadVideoResponse response = VIDEOGATE__V1__DOWNLOAD_VIDEO_RESPONSE__INIT;
    response.part_case = VIDEOGATE__V1__DOWNLOAD_VIDEO_RESPONSE__PART_DATA;
    response.data.data = f->content + (f->lie ? 0 : step->at);
    response.data.len = (size_t)len;
    step->at += len;
    step->sent += len;
    vg_rpc_call_send(step->call, &response.base, vg_work_pool_executor(pool), &step->task);
}

static void on_download(void *ctx, struct vg_rpc_call *call)
{
    struct fixture *f = ctx;
    const Videogate__V1__DownloadVideoRequest *request = (const void *)vg_rpc_call_request(call);
    if (!authorized(call, "Bearer k"))
        return;
    (void)atomic_fetch_add(&f->streams, 1);
    struct step *step = vg_xalloc(sizeof *step);
    *step = (struct step){.task = {.run = send_data}, .f = f, .call = call};
    step->at = request->opt_first_case ? request->first : 0;
    Videogate__V1__DownloadInfo info = VIDEOGATE__V1__DOWNLOAD_INFO__INIT;
    info.total_bytes = FILE_SIZE;
    info.first = step->at;
    info.length = FILE_SIZE - step->at;
    info.etag = f->sha256;
    Videogate__V1__DownloadVideoResponse response = VIDEOGATE__V1__DOWNLOAD_VIDEO_RESPONSE__INIT;
    response.part_case = VIDEOGATE__V1__DOWNLOAD_VIDEO_RESPONSE__PART_INFO;
    response.info = &info;
    vg_rpc_call_send(call, &response.base, vg_work_pool_executor(pool), &step->task);
}

static void send_state(struct vg_task *task)
{
    struct step *step = VG_CONTAINER(task, struct step, task);
    if (step->number == 0 && step->sent == 1) { /* the first stream breaks after one state */
        break_off(step);
        return;
    }
    if (step->at > 3) {
        vg_rpc_call_finish(step->call);
        free(step);
        return;
    }
    static const Videogate__V1__VideoStatus states[] = {
        VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_QUEUED,
        VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_IN_PROGRESS,
        VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_COMPLETED,
    };
    Videogate__V1__Video video;
    Videogate__V1__VideoError error = VIDEOGATE__V1__VIDEO_ERROR__INIT;
    fill_video(&video, states[step->at - 1], step->at);
    if (step->at == 3 && step->f->fail_video) {
        video.status = VIDEOGATE__V1__VIDEO_STATUS__VIDEO_STATUS_FAILED;
        error.code = text("content_filtered");
        error.message = text("Refused.");
        video.error = &error;
    }
    Videogate__V1__WatchVideoResponse response = VIDEOGATE__V1__WATCH_VIDEO_RESPONSE__INIT;
    response.video = &video;
    step->at++;
    step->sent++;
    vg_rpc_call_send(step->call, &response.base, vg_work_pool_executor(pool), &step->task);
}

static void on_watch(void *ctx, struct vg_rpc_call *call)
{
    struct fixture *f = ctx;
    const Videogate__V1__WatchVideoRequest *request = (const void *)vg_rpc_call_request(call);
    if (!authorized(call, "Bearer k"))
        return;
    struct step *step = vg_xalloc(sizeof *step);
    *step = (struct step){.task = {.run = send_state}, .f = f, .call = call};
    step->at = request->after_version + 1;
    step->number = atomic_fetch_add(&f->watches, 1);
    send_state(&step->task);
}

static void on_create_key(void *ctx, struct vg_rpc_call *call)
{
    (void)ctx;
    const Videogate__V1__CreateApiKeyRequest *request = (const void *)vg_rpc_call_request(call);
    if (!authorized(call, "Bearer admin"))
        return;
    Videogate__V1__ApiKey key = VIDEOGATE__V1__API_KEY__INIT;
    key.id = text("key_1");
    key.project = request->project;
    key.name = request->name;
    Videogate__V1__CreateApiKeyResponse response = VIDEOGATE__V1__CREATE_API_KEY_RESPONSE__INIT;
    response.key = &key;
    response.secret = text("vg_secret");
    vg_rpc_call_reply(call, &response.base);
}

static const struct vg_rpc_method video_methods[] = {
    {"CreateVideo", on_create, false}, {"GetVideo", on_get, false},
    {"ListVideos", on_list, false},    {"DownloadVideo", on_download, true},
    {"WatchVideo", on_watch, true},
};
static const struct vg_rpc_method admin_methods[] = {{"CreateApiKey", on_create_key, false}};

static int setup(void **state)
{
    struct fixture *f = vg_xalloc(sizeof *f);
    struct vg_err err;
    uint8_t noise[VG_SHA256_SIZE] = {1};
    for (size_t i = 0; i < FILE_SIZE; i++) {
        if (i % sizeof noise == 0)
            vg_sha256(noise, noise, sizeof noise);
        f->content[i] = noise[i % sizeof noise];
    }
    struct vg_sha256 *sha = vg_sha256_new();
    vg_sha256_update(sha, f->content, FILE_SIZE);
    vg_sha256_hex(sha, f->sha256);
    vg_sha256_free(sha);
    vg_rpc_init();
    if (vg_work_pool_start(&pool, "test", 1, &err) != 0)
        return -1;
    const struct vg_rpc_service services[] = {
        {&videogate__v1__video_service__descriptor, video_methods, VG_COUNT(video_methods), f},
        {&videogate__v1__admin_service__descriptor, admin_methods, VG_COUNT(admin_methods), f},
    };
    const struct vg_rpc_server_options options = {
        .listen = "127.0.0.1:0", .services = services, .service_count = VG_COUNT(services)};
    if (vg_rpc_server_start(&f->server, &options, &err) != 0)
        return -1;
    (void)snprintf(f->listen, sizeof f->listen, "127.0.0.1:%d", vg_rpc_server_port(f->server));
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    vg_rpc_server_stop(f->server);
    vg_work_pool_stop(pool);
    vg_rpc_fini();
    free(f);
    return 0;
}

struct result {
    int rc;
    char out[65536];
    struct vg_err err;
};

/* Runs one command as main does, with standard output in a file. */
static const struct result *run(struct fixture *f, int argc, char **argv)
{
    static struct result result;
    char key[] = "VIDEOGATE_API_KEY=k", admin[] = "VIDEOGATE_ADMIN_KEY=admin", service[64];
    (void)snprintf(service, sizeof service, "VIDEOGATE_SERVICE=%s", f->listen);
    char *envp[] = {key, admin, service, NULL};
    struct vg_ctl ctl = {0};
    result = (struct result){0};
    assert_int_equal(vg_ctl_parse(&ctl, argc, argv, envp), 0);
    (void)fflush(stdout);
    int kept = dup(STDOUT_FILENO), file = memfd_create("stdout", 0);
    assert_true(dup2(file, STDOUT_FILENO) >= 0);
    result.rc = ctl.command->run(&ctl);
    (void)fflush(stdout);
    assert_true(dup2(kept, STDOUT_FILENO) >= 0);
    assert_true(pread(file, result.out, sizeof result.out - 1, 0) >= 0);
    (void)close(file);
    (void)close(kept);
    result.err = ctl.err;
    if (ctl.channel)
        vg_rpc_channel_free(ctl.channel);
    vg_ctl_fini(&ctl);
    return &result;
}
#define RUN(f, ...)                                                                                \
    run((f), (int)(sizeof((char *[]){"ctl", __VA_ARGS__}) / sizeof(char *)),                       \
        (char *[]){"ctl", __VA_ARGS__, NULL})

static void ctl__keys_create_prints_the_secret(void **state)
{
    const struct result *r = RUN(*state, "keys", "create", "--project", "p", "--name", "n");
    assert_int_equal(r->rc, 0);
    assert_non_null(strstr(r->out, "id key_1\nproject p\nname n\n"));
    assert_non_null(strstr(r->out, "\nsecret vg_secret\n"));
}

static void ctl__create_sends_what_was_asked(void **state)
{
    struct fixture *f = *state;
    char image[] = "/tmp/vg_ctl_test_XXXXXX";
    int fd = mkstemp(image);
    assert_int_equal(write(fd, "PNG!", 4), 4);
    (void)close(fd);
    const struct result *r =
        RUN(f, "video", "create", "--prompt", "a b", "--model", "m", "--seconds=4", "--no-audio",
            "--image", image, "--reference", "https://x/1", "--reference", "https://x/2", "--extra",
            "{\"seed\":7}");
    (void)unlink(image);
    assert_int_equal(r->rc, 0);
    assert_string_equal(f->seen, "a b|m|4|0|4|2|https://x/1|{\"seed\":7}|ctl_");
    assert_non_null(strstr(r->out, "id " VIDEO "\n"));
    assert_non_null(strstr(r->out, "status queued\n"));
    assert_non_null(strstr(r->out, "prompt two\\x0alines \\x1b[31m\n")); /* steers no terminal */
    r = RUN(f, "video", "create", "--prompt", "p");
    assert_string_equal(f->seen, "p|-|-1|-1|-1|0|-|-|ctl_");
    r = RUN(f, "--json", "video", "create", "--prompt", "p");
    assert_non_null(strstr(r->out, "\"status\":\"queued\""));
    assert_int_equal(r->out[strlen(r->out) - 1], '\n');
}

static void ctl__create_refuses_bad_files(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(RUN(f, "video", "create", "--prompt", "p", "--image", "/no/such")->rc, -1);
    assert_int_equal(RUN(f, "video", "create", "--prompt", "p", "--image", "/dev/null")->rc, -1);
    assert_int_equal(RUN(f, "video", "create", "--prompt", "p", "--image", "/dev/zero")->rc, -1);
    assert_int_equal(RUN(f, "video", "create", "--prompt", "p", "--audio", "--no-audio")->rc, -1);
    assert_string_equal(f->seen, ""); /* nothing was sent */
}

static void ctl__list_has_a_line_per_video(void **state)
{
    const struct result *r = RUN(*state, "video", "list");
    const char *second = strchr(r->out, '\n');
    assert_int_equal(r->rc, 0);
    assert_memory_equal(r->out, "id=" VIDEO " ", strlen("id=" VIDEO " "));
    assert_non_null(second);
    assert_non_null(strstr(second, " status=completed "));
    assert_string_equal(strchr(second + 1, '\n'), "\n");
}

static void ctl__errors_are_told(void **state)
{
    struct fixture *f = *state;
    const struct result *r = RUN(f, "video", "get", VIDEO);
    assert_int_equal(r->rc, -1);
    assert_string_equal(vg_err_text(&r->err), "There is no such video.");
    assert_string_equal(r->out, "");
    r = RUN(f, "video", "get", VIDEO, "--service", "127.0.0.1:1");
    assert_int_equal(r->rc, -1);
    assert_non_null(strstr(vg_err_text(&r->err), "127.0.0.1:1"));
}

static void ctl__watch_survives_a_broken_stream(void **state)
{
    struct fixture *f = *state;
    const struct result *r = RUN(f, "video", "watch", VIDEO);
    assert_int_equal(r->rc, 0);
    assert_int_equal(atomic_load(&f->watches), 2);
    assert_string_equal(r->out,
                        VIDEO " queued 0%\n" VIDEO " in_progress 50%\n" VIDEO " completed 50%\n");
}

static void ctl__watch_fails_with_the_video(void **state)
{
    struct fixture *f = *state;
    f->fail_video = true;
    const struct result *r = RUN(f, "video", "create", "--prompt", "p", "--wait");
    assert_int_equal(r->rc, -1);
    assert_string_equal(vg_err_text(&r->err), "The video ended failed: Refused.");
    assert_non_null(strstr(r->out, "status failed\n"));
    assert_null(strstr(r->out, "status queued\n"));
}

static char *temporary(void)
{
    static char path[] = "/tmp/vg_ctl_download_XXXXXX";
    memcpy(path + sizeof path - 7, "XXXXXX", 6);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
    (void)unlink(path);
    return path;
}

static void expect_content(const struct fixture *f, const char *path)
{
    static uint8_t read_back[FILE_SIZE + 1];
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fread(read_back, 1, sizeof read_back, file), FILE_SIZE);
    (void)fclose(file);
    assert_memory_equal(read_back, f->content, FILE_SIZE);
}

static void expect_no_part(const char *path)
{
    char part[100];
    struct stat st;
    (void)snprintf(part, sizeof part, "%s.part", path);
    assert_int_equal(stat(part, &st), -1);
}

static void ctl__download_writes_the_file(void **state)
{
    struct fixture *f = *state;
    char *path = temporary();
    const struct result *r = RUN(f, "video", "download", VIDEO, "-o", path);
    assert_int_equal(r->rc, 0);
    assert_int_equal(atomic_load(&f->streams), 1);
    assert_non_null(strstr(r->out, f->sha256));
    expect_content(f, path);
    expect_no_part(path);
    (void)unlink(path);
}

static void ctl__download_goes_on_where_it_broke(void **state)
{
    struct fixture *f = *state;
    char *path = temporary();
    f->break_after = 4 * CHUNK;
    const struct result *r = RUN(f, "video", "download", VIDEO, "-o", path);
    assert_int_equal(r->rc, 0);
    assert_int_equal(atomic_load(&f->streams), 2);
    expect_content(f, path);
    (void)unlink(path);
}

static void ctl__download_refuses_other_bytes(void **state)
{
    struct fixture *f = *state;
    char *path = temporary();
    struct stat st;
    f->lie = true;
    const struct result *r = RUN(f, "video", "download", VIDEO, "-o", path);
    assert_int_equal(r->rc, -1);
    assert_non_null(strstr(vg_err_text(&r->err), "SHA-256 differs"));
    assert_int_equal(stat(path, &st), -1);
    expect_no_part(path);
}

static void ctl__download_goes_to_standard_output(void **state)
{
    struct fixture *f = *state;
    const struct result *r = RUN(f, "video", "download", VIDEO, "-o", "-");
    assert_int_equal(r->rc, 0);
    assert_memory_equal(r->out, f->content, sizeof r->out - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ctl__keys_create_prints_the_secret, setup, teardown),
        cmocka_unit_test_setup_teardown(ctl__create_sends_what_was_asked, setup, teardown),
        cmocka_unit_test_setup_teardown(ctl__create_refuses_bad_files, setup, teardown),
        cmocka_unit_test_setup_teardown(ctl__list_has_a_line_per_video, setup, teardown),
        cmocka_unit_test_setup_teardown(ctl__errors_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(ctl__watch_survives_a_broken_stream, setup, teardown),
        cmocka_unit_test_setup_teardown(ctl__watch_fails_with_the_video, setup, teardown),
        cmocka_unit_test_setup_teardown(ctl__download_writes_the_file, setup, teardown),
        cmocka_unit_test_setup_teardown(ctl__download_goes_on_where_it_broke, setup, teardown),
        cmocka_unit_test_setup_teardown(ctl__download_refuses_other_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(ctl__download_goes_to_standard_output, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
