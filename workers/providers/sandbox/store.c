/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/str.h"
#include "workers/providers/sandbox/files.h"
#include "workers/providers/sandbox/store_priv.h"

#define MAX_LINES ((size_t)64 << 20)
#define BATCH_BYTES ((size_t)4 << 20) /* a batch is closed when its lines are longer */
#define COMPACT_LEAST ((off_t)64 << 20)
#define LOCK_TRIES 50
#define LOCK_WAIT_US 100000

static void flush(struct vg_task *task);

/* A process that is stopping may hold the lock a moment longer. */
static int take_lock(struct vg_sandbox_store *self, struct vg_err *err)
{
    char path[VG_SANDBOX_PATH_SIZE];
    vg_sandbox_path(path, self->dir, ".", "lock");
    self->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0640);
    if (self->lock_fd < 0)
        return vg_sandbox_errno(err, "Cannot open", path);
    for (int i = 0; i < LOCK_TRIES; i++) {
        if (flock(self->lock_fd, LOCK_EX | LOCK_NB) == 0)
            return 0;
        (void)usleep(LOCK_WAIT_US);
    }
    return vg_err_set(err, VG_ERR_UNAVAILABLE, "Another process uses the sandbox folder %s.",
                      self->dir);
}

static int make_folders(const struct vg_sandbox_store *self, struct vg_err *err)
{
    static const char *const folders[] = {"videos", "inputs", "clips", "tmp"};
    if (vg_sandbox_make_dir(self->dir, err))
        return -1;
    for (size_t i = 0; i < VG_COUNT(folders); i++) {
        char path[VG_SANDBOX_PATH_SIZE];
        vg_sandbox_path(path, self->dir, ".", folders[i]);
        if (vg_sandbox_make_dir(path, err))
            return -1;
    }
    return 0;
}

int vg_sandbox_store_open(struct vg_sandbox_store **out, const char *dir, int64_t retention_ms,
                          struct vg_err *err)
{
    if (strlen(dir) > VG_SANDBOX_PATH_SIZE / 2)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "The name of the sandbox folder is long.");
    struct vg_sandbox_store *self = vg_xalloc(sizeof(*self));
    self->dir = vg_xstrdup(dir);
    self->retention_ms = retention_ms;
    self->lock_fd = self->journal.fd = self->log.fd = -1;
    self->last = &self->first;
    self->flush.run = flush;
    pthread_mutex_init(&self->mutex, NULL);
    vg_sandbox_index_init(&self->index);
    vg_buf_init(&self->lines, MAX_LINES);
    vg_buf_init(&self->log_lines, MAX_LINES);
    if (make_folders(self, err) || take_lock(self, err) || vg_sandbox_recover(self, err) ||
        vg_work_pool_start(&self->pool, "sandbox-store", 1, err)) {
        vg_sandbox_store_close(self);
        return -1;
    }
    *out = self;
    return 0;
}

static void close_file(int fd)
{
    if (fd >= 0)
        (void)close(fd); /* synced before */
}

struct vg_sandbox_store *vg_sandbox_store_close(struct vg_sandbox_store *store)
{
    if (!store)
        return NULL;
    vg_work_pool_stop(store->pool);
    vg_sandbox_index_fini(&store->index);
    vg_buf_fini(&store->lines);
    vg_buf_fini(&store->log_lines);
    close_file(store->journal.fd);
    close_file(store->log.fd);
    close_file(store->lock_fd);
    pthread_mutex_destroy(&store->mutex);
    free(store->dir);
    free(store);
    return NULL;
}

const char *vg_sandbox_store_dir(const struct vg_sandbox_store *store)
{
    return store->dir;
}

bool vg_sandbox_store_sound(struct vg_sandbox_store *store)
{
    pthread_mutex_lock(&store->mutex);
    bool sound = !store->broken;
    pthread_mutex_unlock(&store->mutex);
    return sound;
}

void vg_sandbox_store_each_open(struct vg_sandbox_store *store,
                                void (*visit)(void *ctx, struct vg_sandbox_job *job), void *ctx)
{
    for (struct vg_sandbox_job *job = store->index.oldest; job; job = job->younger) {
        if (job->state == VG_SANDBOX_ACCEPTED)
            visit(ctx, job);
    }
}

static struct vg_sandbox_job *find(struct vg_sandbox_store *store, enum vg_sandbox_key by,
                                   const char *key)
{
    pthread_mutex_lock(&store->mutex);
    struct vg_sandbox_job *job = vg_sandbox_index_find(&store->index, by, key);
    if (job && !job->durable)
        job = NULL;
    if (job)
        job->refs++;
    pthread_mutex_unlock(&store->mutex);
    return job;
}

struct vg_sandbox_job *vg_sandbox_store_find(struct vg_sandbox_store *store, const char *id)
{
    return find(store, VG_SANDBOX_BY_ID, id);
}

struct vg_sandbox_job *vg_sandbox_store_find_token(struct vg_sandbox_store *store,
                                                   const char *token)
{
    return find(store, VG_SANDBOX_BY_TOKEN, token);
}

struct vg_sandbox_job *vg_sandbox_store_ref(struct vg_sandbox_store *store,
                                            struct vg_sandbox_job *job)
{
    pthread_mutex_lock(&store->mutex);
    job->refs++;
    pthread_mutex_unlock(&store->mutex);
    return job;
}

/* With the mutex held. */
static void drop(struct vg_sandbox_job *job)
{
    VG_ASSERT(job->refs > 0);
    if (--job->refs == 0)
        vg_sandbox_job_free(job);
}

struct vg_sandbox_job *vg_sandbox_store_unref(struct vg_sandbox_store *store,
                                              struct vg_sandbox_job *job)
{
    if (!job)
        return NULL;
    pthread_mutex_lock(&store->mutex);
    drop(job);
    pthread_mutex_unlock(&store->mutex);
    return NULL;
}

void vg_sandbox_store_shed(struct vg_sandbox_store *store, struct vg_sandbox_job *job)
{
    pthread_mutex_lock(&store->mutex);
    free(job->prompt);
    job->prompt = NULL;
    pthread_mutex_unlock(&store->mutex);
}

void vg_sandbox_store_view(struct vg_sandbox_store *store, const struct vg_sandbox_job *job,
                           struct vg_sandbox_view *out)
{
    pthread_mutex_lock(&store->mutex);
    out->state = job->state;
    out->bytes = job->bytes;
    memcpy(out->sha256, job->sha256, sizeof(out->sha256));
    pthread_mutex_unlock(&store->mutex);
}

void vg_sandbox_store_write(struct vg_sandbox_store *store, struct vg_sandbox_write *write)
{
    write->ok = write->existed = write->applied = false;
    write->next = NULL;
    pthread_mutex_lock(&store->mutex);
    *store->last = write;
    store->last = &write->next;
    bool wake = !store->busy;
    store->busy = true;
    pthread_mutex_unlock(&store->mutex);
    if (wake)
        vg_post(vg_work_pool_executor(store->pool), &store->flush);
}

/* --- the writing thread --- */

/* A new job enters the index at once, unseen, so that a second one with its token in the same batch
 * finds it. */
static void prepare_new(struct vg_sandbox_store *self, struct vg_sandbox_write *write)
{
    struct vg_sandbox_job *known =
        vg_sandbox_index_find(&self->index, VG_SANDBOX_BY_TOKEN, write->job->token);
    if (known) {
        vg_sandbox_job_free(write->job);
        write->job = known;
        write->existed = true;
    } else {
        write->job->refs = 1;
        vg_sandbox_index_add(&self->index, write->job);
        vg_sandbox_write_submit(&self->lines, write->job);
        vg_sandbox_log_line(&self->log_lines, write->job);
    }
    write->job->refs++;
}

static void prepare_end(struct vg_sandbox_store *self, struct vg_sandbox_write *write)
{
    write->applied = vg_sandbox_may(write->job->state, write->state);
    if (!write->applied)
        return;
    /* At once, so that a second end in the same batch is judged by it; a lost line only means that
     * the work is done again after a restart. */
    write->job->state = write->state;
    write->job->bytes = write->bytes;
    memcpy(write->job->sha256, write->sha256, sizeof(write->job->sha256));
    vg_sandbox_write_end(&self->lines, write->job->id, write->state, write->bytes, write->sha256);
}

/* Takes writes off the queue and makes their lines; with the mutex held. */
static struct vg_sandbox_write *prepare_batch(struct vg_sandbox_store *self)
{
    struct vg_sandbox_write *batch = self->first;
    struct vg_sandbox_write **at = &batch;
    vg_buf_clear(&self->lines);
    vg_buf_clear(&self->log_lines);
    while (*at && self->lines.len < BATCH_BYTES) {
        if ((*at)->ends)
            prepare_end(self, *at);
        else
            prepare_new(self, *at);
        at = &(*at)->next;
    }
    self->first = *at;
    if (!self->first)
        self->last = &self->first;
    *at = NULL;
    return batch;
}

/* Appends and syncs; on failure the file is as long as before. -2: its state is unknown. */
static int append(struct vg_sandbox_file *file, const struct vg_buf *lines, struct vg_err *err)
{
    if (!lines->len)
        return 0;
    if (vg_sandbox_write_all(file->fd, lines->data, lines->len)) {
        (void)vg_sandbox_errno(err, "Cannot append to", "the journal");
        return ftruncate(file->fd, file->size) ? -2 : -1;
    }
    if (fdatasync(file->fd)) {
        (void)vg_sandbox_errno(err, "Cannot sync", "the journal");
        return -2;
    }
    file->size += (off_t)lines->len;
    return 0;
}

/* Records first, log second: what the log lacks after a crash is completed at the next start. */
static int write_batch(struct vg_sandbox_store *self, struct vg_err *err)
{
    off_t before = self->journal.size;
    if (!vg_buf_ok(&self->lines) || !vg_buf_ok(&self->log_lines))
        return vg_err_set(err, VG_ERR_INTERNAL, "The batch of journal lines is too long.");
    int rc = append(&self->journal, &self->lines, err);
    if (rc)
        return rc;
    rc = append(&self->log, &self->log_lines, err);
    if (rc == -1) {
        if (ftruncate(self->journal.fd, before) || fdatasync(self->journal.fd))
            return -2;
        self->journal.size = before;
    }
    return rc;
}

/* With the mutex held: a new job becomes visible, or leaves again. */
static void settle(struct vg_sandbox_store *self, struct vg_sandbox_write *write, int rc,
                   const struct vg_err *err)
{
    write->ok = rc == 0;
    if (rc)
        write->err = *err;
    if (write->ends)
        return;
    if (rc && !write->existed)
        vg_sandbox_index_remove(&self->index, write->job);
    if (!rc && !write->existed)
        write->job->durable = write->job->logged = true;
    if (rc) {
        if (!write->existed)
            drop(write->job); /* the index's */
        drop(write->job);
        write->job = NULL;
    }
}

static void forget_old(struct vg_sandbox_store *self)
{
    int64_t oldest = vg_wall_ms() - self->retention_ms;
    struct vg_sandbox_job *job = self->index.oldest;
    while (job && job->created_ms < oldest && job->refs == 1) {
        struct vg_sandbox_job *younger = job->younger;
        vg_sandbox_index_remove(&self->index, job);
        vg_sandbox_forget_files(self, job);
        drop(job);
        job = younger;
    }
}

/* Whether the journal's name still stands for the file that is written. */
static bool journal_in_place(const struct vg_sandbox_store *self)
{
    char path[VG_SANDBOX_PATH_SIZE];
    struct stat named;
    struct stat open;
    vg_sandbox_path(path, self->dir, ".", VG_SANDBOX_JOURNAL);
    return stat(path, &named) == 0 && fstat(self->journal.fd, &open) == 0 &&
           named.st_ino == open.st_ino;
}

static void compact_if_grown(struct vg_sandbox_store *self)
{
    off_t limit =
        self->compacted_size * 4 > COMPACT_LEAST ? self->compacted_size * 4 : COMPACT_LEAST;
    struct vg_err err;
    if (self->journal.size <= limit || !vg_sandbox_compact(self, &err))
        return;
    self->compacted_size = self->journal.size; /* the old one stays; later again */
    /* Renamed, but not known to be durable: what is appended now might be lost. */
    if (!journal_in_place(self))
        self->broken = true;
}

static void flush(struct vg_task *task)
{
    struct vg_sandbox_store *self = VG_CONTAINER(task, struct vg_sandbox_store, flush);
    struct vg_err err;
    pthread_mutex_lock(&self->mutex);
    struct vg_sandbox_write *batch = prepare_batch(self);
    bool broken = self->broken;
    pthread_mutex_unlock(&self->mutex);

    int rc = broken ? vg_err_set(&err, VG_ERR_UNAVAILABLE, "The sandbox's journal is broken.")
                    : write_batch(self, &err);

    pthread_mutex_lock(&self->mutex);
    self->broken = self->broken || rc == -2;
    for (struct vg_sandbox_write *write = batch; write; write = write->next)
        settle(self, write, rc, &err);
    forget_old(self);
    compact_if_grown(self);
    self->busy = self->first != NULL;
    bool again = self->busy;
    pthread_mutex_unlock(&self->mutex);
    if (again)
        vg_post(vg_work_pool_executor(self->pool), &self->flush);
    while (batch) {
        struct vg_sandbox_write *write = batch;
        batch = batch->next;
        if (write->done)
            write->done(write);
    }
}
