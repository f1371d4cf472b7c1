/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/str.h"
#include "workers/providers/sandbox/files.h"
#include "workers/providers/sandbox/store_priv.h"

#define COMPACT_BUFFER ((size_t)1 << 20)

void vg_sandbox_log_line(struct vg_buf *out, const struct vg_sandbox_job *job)
{
    /* Overflow is seen in the buffer. */
    (void)vg_buf_addf(out, "%s %s %s %" PRId64 "\n", job->token, job->id, job->model,
                      job->created_ms);
}

void vg_sandbox_forget_files(const struct vg_sandbox_store *store, const struct vg_sandbox_job *job)
{
    char name[VG_ID_SIZE + 8];
    char path[VG_SANDBOX_PATH_SIZE];
    (void)snprintf(name, sizeof(name), "%s.mp4", job->id);
    vg_sandbox_path(path, store->dir, "videos", name);
    (void)unlink(path); /* absent for shared clips */
    if (job->has_inputs) {
        vg_sandbox_path(path, store->dir, "inputs", job->id);
        (void)unlink(path); /* absent once rendered */
    }
}

static void apply_line(struct vg_sandbox_store *store, struct vg_view text, int64_t oldest)
{
    struct vg_sandbox_line line;
    /* A torn tail, or damage: a line that cannot be read is no job. */
    if (vg_sandbox_parse_line(&line, text, NULL))
        return;
    struct vg_sandbox_job *job = vg_sandbox_index_find(&store->index, VG_SANDBOX_BY_ID, line.id);
    if (!line.job) {
        if (job && vg_sandbox_may(job->state, line.state)) {
            job->state = line.state;
            job->bytes = line.bytes;
            memcpy(job->sha256, line.sha256, sizeof(job->sha256));
        }
        return;
    }
    if (job || line.job->created_ms < oldest ||
        vg_sandbox_index_find(&store->index, VG_SANDBOX_BY_TOKEN, line.job->token)) {
        vg_sandbox_job_free(line.job);
        return;
    }
    line.job->refs = 1;
    line.job->durable = true;
    vg_sandbox_index_add(&store->index, line.job);
}

static int read_lines(const char *path, void (*line)(void *ctx, struct vg_view text), void *ctx,
                      struct vg_err *err)
{
    FILE *file = fopen(path, "re");
    if (!file)
        return errno == ENOENT ? 0 : vg_sandbox_errno(err, "Cannot open", path);
    char *text = NULL;
    size_t size = 0;
    ssize_t len;
    errno = 0;
    while ((len = getline(&text, &size, file)) > 0) {
        if (text[len - 1] == '\n')
            line(ctx, (struct vg_view){text, (size_t)len - 1});
    }
    int rc = ferror(file) ? vg_sandbox_errno(err, "Cannot read", path) : 0;
    free(text);
    (void)fclose(file); /* only read */
    return rc;
}

struct journal_reader {
    struct vg_sandbox_store *store;
    int64_t oldest;
};

static void journal_line(void *ctx, struct vg_view text)
{
    struct journal_reader *reader = ctx;
    apply_line(reader->store, text, reader->oldest);
}

static void log_line(void *ctx, struct vg_view text)
{
    struct vg_sandbox_store *store = ctx;
    char token[VG_SANDBOX_MAX_TOKEN + 1];
    const char *space = memchr(text.data, ' ', text.len);
    size_t len = space ? (size_t)(space - text.data) : sizeof(token);
    if (len >= sizeof(token))
        return;
    memcpy(token, text.data, len);
    token[len] = '\0';
    struct vg_sandbox_job *job = vg_sandbox_index_find(&store->index, VG_SANDBOX_BY_TOKEN, token);
    if (job)
        job->logged = true;
}

static int write_jobs(struct vg_sandbox_store *store, int fd, off_t *out_size)
{
    struct vg_buf lines;
    off_t size = 0;
    int rc = 0;
    vg_buf_init(&lines, COMPACT_BUFFER + 8 * VG_SANDBOX_MAX_PROMPT);
    for (struct vg_sandbox_job *job = store->index.oldest; job && !rc; job = job->younger) {
        vg_sandbox_write_submit(&lines, job);
        if (job->state != VG_SANDBOX_ACCEPTED)
            vg_sandbox_write_end(&lines, job->id, job->state, job->bytes, job->sha256);
        if (lines.len < COMPACT_BUFFER && job->younger)
            continue;
        rc = vg_buf_ok(&lines) ? vg_sandbox_write_all(fd, lines.data, lines.len) : -1;
        size += (off_t)lines.len;
        vg_buf_clear(&lines);
    }
    vg_buf_fini(&lines);
    *out_size = size;
    return rc;
}

int vg_sandbox_compact(struct vg_sandbox_store *store, struct vg_err *err)
{
    char temp[VG_SANDBOX_PATH_SIZE];
    char path[VG_SANDBOX_PATH_SIZE];
    off_t size = 0;
    vg_sandbox_path(temp, store->dir, "tmp", VG_SANDBOX_JOURNAL);
    vg_sandbox_path(path, store->dir, ".", VG_SANDBOX_JOURNAL);
    int fd = open(temp, O_RDWR | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0)
        return vg_sandbox_errno(err, "Cannot create", temp);
    if (write_jobs(store, fd, &size)) {
        int rc = vg_sandbox_errno(err, "Cannot write", temp);
        (void)close(fd); /* given up */
        (void)unlink(temp);
        return rc;
    }
    if (vg_sandbox_publish(temp, path, err)) {
        (void)close(fd); /* given up */
        return -1;
    }
    if (store->journal.fd >= 0)
        (void)close(store->journal.fd); /* replaced */
    store->journal.fd = fd;
    store->journal.size = store->compacted_size = size;
    return 0;
}

/* Opens the log at the end of its last whole line. */
static int open_log(struct vg_sandbox_store *store, const char *path, struct vg_err *err)
{
    char c = '\n';
    store->log.fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    off_t size = store->log.fd < 0 ? -1 : lseek(store->log.fd, 0, SEEK_END);
    if (size < 0)
        return vg_sandbox_errno(err, "Cannot open", path);
    while (size > 0 && pread(store->log.fd, &c, 1, size - 1) == 1 && c != '\n')
        size--;
    if (ftruncate(store->log.fd, size))
        return vg_sandbox_errno(err, "Cannot cut", path);
    store->log.size = size;
    return 0;
}

/* Jobs that are in the journal but not in the log: the process died between the two. */
static int complete_log(struct vg_sandbox_store *store, const char *path, struct vg_err *err)
{
    vg_buf_clear(&store->log_lines);
    for (struct vg_sandbox_job *job = store->index.oldest; job; job = job->younger) {
        if (!job->logged)
            vg_sandbox_log_line(&store->log_lines, job);
        job->logged = true;
    }
    if (!store->log_lines.len)
        return 0;
    if (!vg_buf_ok(&store->log_lines) ||
        vg_sandbox_write_all(store->log.fd, store->log_lines.data, store->log_lines.len) ||
        fdatasync(store->log.fd))
        return vg_sandbox_errno(err, "Cannot write", path);
    store->log.size += (off_t)store->log_lines.len;
    return 0;
}

static bool keep_input(void *ctx, const char *name)
{
    const struct vg_sandbox_store *store = ctx;
    const struct vg_sandbox_job *job = vg_sandbox_index_find(&store->index, VG_SANDBOX_BY_ID, name);
    return job && job->state == VG_SANDBOX_ACCEPTED;
}

static bool keep_video(void *ctx, const char *name)
{
    const struct vg_sandbox_store *store = ctx;
    char id[VG_ID_SIZE];
    size_t len = strlen(name);
    if (len < 4 || len - 4 >= sizeof(id))
        return false;
    memcpy(id, name, len - 4);
    id[len - 4] = '\0';
    const struct vg_sandbox_job *job = vg_sandbox_index_find(&store->index, VG_SANDBOX_BY_ID, id);
    return job && job->state == VG_SANDBOX_FINISHED;
}

static void clear_leftovers(struct vg_sandbox_store *store)
{
    static const struct {
        const char *folder;
        bool (*keep)(void *ctx, const char *name);
    } folders[] = {{"tmp", NULL}, {"inputs", keep_input}, {"videos", keep_video}};
    for (size_t i = 0; i < VG_COUNT(folders); i++) {
        char path[VG_SANDBOX_PATH_SIZE];
        vg_sandbox_path(path, store->dir, ".", folders[i].folder);
        vg_sandbox_clear_dir(path, folders[i].keep, store);
    }
}

/* An ended job needs no prompt any more. */
static void shed_prompts(struct vg_sandbox_store *store)
{
    for (struct vg_sandbox_job *job = store->index.oldest; job; job = job->younger) {
        if (job->state != VG_SANDBOX_ACCEPTED) {
            free(job->prompt);
            job->prompt = NULL;
        }
    }
}

int vg_sandbox_recover(struct vg_sandbox_store *store, struct vg_err *err)
{
    char journal[VG_SANDBOX_PATH_SIZE];
    char log[VG_SANDBOX_PATH_SIZE];
    vg_sandbox_path(journal, store->dir, ".", VG_SANDBOX_JOURNAL);
    vg_sandbox_path(log, store->dir, ".", VG_SANDBOX_LOG);
    struct journal_reader reader = {store, vg_wall_ms() - store->retention_ms};
    if (read_lines(journal, journal_line, &reader, err))
        return -1;
    shed_prompts(store);
    clear_leftovers(store);
    if (vg_sandbox_compact(store, err) || open_log(store, log, err) ||
        read_lines(log, log_line, store, err))
        return -1;
    return complete_log(store, log, err);
}
