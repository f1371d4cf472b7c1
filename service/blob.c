/* SPDX-License-Identifier: Apache-2.0 */
#include "service/blob.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/crash_point.h"
#include "common/id.h"
#include "common/mem.h"
#include "common/str.h"
#include "service/blob_priv.h"

struct vg_blob_writer {
    struct vg_blob_store *store; /* borrowed */
    int fd;
    bool failed; /* an append failed: never commit */
    int64_t bytes;
    struct vg_sha256 *sha; /* owned */
    char key[VG_BLOB_KEY_SIZE];
    char tmp_name[VG_ID_SIZE];
};

struct vg_blob_reader {
    int fd;
    int64_t size;
};

int vg_blob_disk_error(struct vg_err *err, const char *what, int error)
{
    if (error == ENOSPC || error == EDQUOT || error == EFBIG)
        return vg_err_set(err, VG_ERR_STORAGE_FULL, NULL);
    if (error == EMFILE || error == ENFILE || error == ENOMEM)
        return vg_err_set(err, VG_ERR_OVERLOADED, NULL);
    return vg_err_set(err, VG_ERR_INTERNAL, "blob store: %s: %s", what, strerror(error));
}

int vg_blob_fsync(int fd)
{
    int rc;

    do
        rc = fsync(fd);
    while (rc < 0 && errno == EINTR);
    return rc;
}

/* --- store --- */

static int ensure_dir(int at, const char *name, struct vg_err *err)
{
    if (mkdirat(at, name, 0750) == 0)
        return vg_blob_fsync(at) < 0 ? vg_blob_disk_error(err, "fsync folder", errno) : 0;
    return errno == EEXIST ? 0 : vg_blob_disk_error(err, "mkdir", errno);
}

int vg_blob_store_open(struct vg_blob_store **out, const struct vg_blob_options *options,
                       struct vg_err *err)
{
    static const char *const dirs[] = {"tmp", "inputs", "outputs"};
    struct vg_blob_store *store = vg_xalloc(sizeof(*store));

    store->options = *options;
    store->options.dir = NULL;
    store->tmp = -1;
    if (mkdir(options->dir, 0750) < 0 && errno != EEXIST) {
        (void)vg_blob_disk_error(err, "mkdir", errno);
        free(store);
        return -1;
    }
    store->root = open(options->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->root < 0) {
        (void)vg_blob_disk_error(err, "open folder", errno);
        free(store);
        return -1;
    }
    for (size_t i = 0; i < VG_COUNT(dirs); i++)
        if (ensure_dir(store->root, dirs[i], err) < 0)
            goto fail;
    store->tmp = openat(store->root, "tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (store->tmp < 0) {
        (void)vg_blob_disk_error(err, "open folder", errno);
        goto fail;
    }
    if (faccessat(store->root, "tmp", W_OK, 0) < 0) {
        (void)vg_blob_disk_error(err, "the folder is not writable", errno);
        goto fail;
    }
    (void)vg_blob_sweep(store);
    *out = store;
    return 0;
fail:
    (void)vg_blob_store_close(store);
    return -1;
}

struct vg_blob_store *vg_blob_store_close(struct vg_blob_store *store)
{
    if (!store)
        return NULL;
    if (store->tmp >= 0)
        (void)close(store->tmp);
    (void)close(store->root);
    free(store);
    return NULL;
}

/* --- writing --- */

/* Free bytes by the file system's word; -1 with errno. */
static int64_t free_bytes(struct vg_blob_store *store)
{
    struct statvfs vfs;

    if (fstatvfs(store->tmp, &vfs) < 0)
        return -1;
    uint64_t block = vfs.f_frsize ? vfs.f_frsize : vfs.f_bsize;
    uint64_t bytes = (uint64_t)vfs.f_bavail * block;
    return bytes > INT64_MAX ? INT64_MAX : (int64_t)bytes;
}

static int check_reserve(struct vg_blob_store *store, struct vg_err *err)
{
    int64_t reserve = store->options.reserve_bytes;

    if (reserve <= 0)
        return 0;
    int64_t left = free_bytes(store);
    if (left < 0)
        return vg_blob_disk_error(err, "statvfs", errno);
    atomic_store(&store->scarce, left / 2 < reserve);
    return left < reserve ? vg_err_set(err, VG_ERR_STORAGE_FULL, NULL) : 0;
}

void vg_blob_look(struct vg_blob_store *store)
{
    struct vg_err ignored; /* a disk that does not answer says so at the next write */

    (void)check_reserve(store, &ignored);
}

bool vg_blob_scarce(const struct vg_blob_store *store)
{
    return atomic_load(&store->scarce);
}

int vg_blob_create(struct vg_blob_store *store, const char *key, struct vg_blob_writer **out,
                   struct vg_err *err)
{
    if (!vg_blob_key_valid(key))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "blob store: bad key");
    if (check_reserve(store, err) < 0)
        return -1;
    struct vg_blob_writer *w = vg_xalloc(sizeof(*w));
    w->store = store;
    (void)vg_strcpy(w->key, sizeof(w->key), key);
    vg_id_new(w->tmp_name, "tmp");
    w->fd = openat(store->tmp, w->tmp_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (w->fd < 0) {
        int error = errno;
        free(w);
        return vg_blob_disk_error(err, "create", error);
    }
    w->sha = vg_sha256_new();
    if (flock(w->fd, LOCK_EX | LOCK_NB) < 0) {
        (void)vg_blob_disk_error(err, "flock", errno);
        (void)vg_blob_abort(w);
        return -1;
    }
    *out = w;
    return 0;
}

int vg_blob_append(struct vg_blob_writer *writer, const void *data, size_t len, struct vg_err *err)
{
    const char *at = data;
    size_t left = len;

    if (writer->failed)
        return vg_err_set(err, VG_ERR_INTERNAL, "blob store: the write has failed before");
    while (left > 0) {
        ssize_t n = write(writer->fd, at, left);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            writer->failed = true;
            return vg_blob_disk_error(err, "write", errno);
        }
        at += n;
        left -= (size_t)n;
    }
    vg_sha256_update(writer->sha, data, len);
    writer->bytes += (int64_t)len;
    return 0;
}

int64_t vg_blob_written(const struct vg_blob_writer *writer)
{
    return writer->bytes;
}

/* Opens the key's folder, making it when missing; -1 with err. */
static int open_place(struct vg_blob_store *store, const struct vg_blob_place *place, bool make,
                      struct vg_err *err)
{
    int fd = openat(store->root, place->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 && errno == ENOENT && make) {
        int kind = openat(store->root, place->kind, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (kind < 0)
            return vg_blob_disk_error(err, "open folder", errno);
        int rc = ensure_dir(kind, place->dir + strlen(place->kind) + 1, err);
        (void)close(kind);
        if (rc < 0)
            return -1;
        fd = openat(store->root, place->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    if (fd < 0 && errno == ENOENT)
        return vg_err_set(err, VG_ERR_NOT_FOUND, NULL);
    return fd < 0 ? vg_blob_disk_error(err, "open folder", errno) : fd;
}

/* Moves a finished temporary file to its key and makes the move durable. */
static int publish(struct vg_blob_store *store, const char *tmp_name, const char *key,
                   struct vg_err *err)
{
    struct vg_blob_place place;

    if (!vg_blob_place(key, &place))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "blob store: bad key");
    int dir = open_place(store, &place, true, err);
    if (dir < 0)
        return -1;
    int rc = 0;
    vg_crash_point("blob", "rename", "before");
    if (renameat(store->tmp, tmp_name, dir, place.name) < 0)
        rc = vg_blob_disk_error(err, "rename", errno);
    else if (vg_blob_fsync(dir) < 0)
        rc = vg_blob_disk_error(err, "fsync folder", errno);
    vg_crash_point("blob", "rename", "after");
    (void)close(dir);
    return rc;
}

static int check_expected(const struct vg_blob_info *info, int64_t bytes, const char *sha256,
                          struct vg_err *err)
{
    if (bytes > 0 && info->bytes != bytes)
        return vg_err_set(err, VG_ERR_BAD_GATEWAY, "The file has %lld bytes, %lld were announced.",
                          (long long)info->bytes, (long long)bytes);
    if (sha256 && *sha256 && strcmp(info->sha256, sha256) != 0)
        return vg_err_set(err, VG_ERR_BAD_GATEWAY, "The file's SHA-256 is not the announced one.");
    return 0;
}

int vg_blob_commit(struct vg_blob_writer *writer, int64_t expected_bytes,
                   const char *expected_sha256, struct vg_blob_info *out, struct vg_err *err)
{
    struct vg_blob_info info = {.bytes = writer->bytes};
    int rc = -1;

    if (writer->failed) {
        (void)vg_err_set(err, VG_ERR_INTERNAL, "blob store: the write has failed before");
        goto out;
    }
    vg_sha256_hex(writer->sha, info.sha256);
    if (check_expected(&info, expected_bytes, expected_sha256, err) < 0)
        goto out;
    if (vg_blob_fsync(writer->fd) < 0) {
        (void)vg_blob_disk_error(err, "fsync", errno);
        goto out;
    }
    rc = publish(writer->store, writer->tmp_name, writer->key, err);
    if (rc == 0 && out)
        *out = info;
out:
    (void)vg_blob_abort(writer); /* after a rename there is no temporary file left to remove */
    return rc;
}

struct vg_blob_writer *vg_blob_abort(struct vg_blob_writer *writer)
{
    if (!writer)
        return NULL;
    (void)unlinkat(writer->store->tmp, writer->tmp_name, 0);
    (void)close(writer->fd);
    (void)vg_sha256_free(writer->sha);
    free(writer);
    return NULL;
}

int vg_blob_put(struct vg_blob_store *store, const char *key, const void *data, size_t len,
                struct vg_blob_info *out, struct vg_err *err)
{
    struct vg_blob_writer *w;

    if (vg_blob_create(store, key, &w, err) < 0)
        return -1;
    if (vg_blob_append(w, data, len, err) < 0) {
        (void)vg_blob_abort(w);
        return -1;
    }
    return vg_blob_commit(w, 0, NULL, out, err);
}

/* For file systems without hard links. */
static int copy_blob(struct vg_blob_store *store, const char *from, const char *to,
                     struct vg_err *err)
{
    enum { PIECE = 256 * 1024 };
    struct vg_blob_reader *reader;
    struct vg_blob_writer *writer;
    size_t len = 0;
    int64_t at = 0;

    if (vg_blob_open(store, from, &reader, err) < 0)
        return -1;
    if (vg_blob_create(store, to, &writer, err) < 0) {
        (void)vg_blob_close(reader);
        return -1;
    }
    char *piece = vg_xalloc(PIECE);
    int rc;
    do {
        rc = vg_blob_read(reader, at, piece, PIECE, &len, err);
        if (rc == 0)
            rc = vg_blob_append(writer, piece, len, err);
        at += (int64_t)len;
    } while (rc == 0 && len == PIECE);
    free(piece);
    (void)vg_blob_close(reader);
    if (rc == 0)
        return vg_blob_commit(writer, 0, NULL, NULL, err);
    (void)vg_blob_abort(writer);
    return -1;
}

int vg_blob_link(struct vg_blob_store *store, const char *from, const char *to, struct vg_err *err)
{
    struct vg_blob_place place;
    char tmp_name[VG_ID_SIZE];

    if (!vg_blob_key_valid(from) || !vg_blob_key_valid(to) || !vg_blob_place(from, &place))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "blob store: bad key");
    int dir = open_place(store, &place, false, err);
    if (dir < 0)
        return -1;
    vg_id_new(tmp_name, "tmp");
    int rc = linkat(dir, place.name, store->tmp, tmp_name, 0);
    int error = errno;
    (void)close(dir);
    if (rc == 0) {
        rc = publish(store, tmp_name, to, err);
        /* Over a link to the same file rename(2) does nothing and leaves both names. */
        (void)unlinkat(store->tmp, tmp_name, 0);
        return rc;
    }
    if (error == ENOENT)
        return vg_err_set(err, VG_ERR_NOT_FOUND, NULL);
    if (error == EXDEV || error == EMLINK || error == EPERM || error == EOPNOTSUPP)
        return copy_blob(store, from, to, err);
    return vg_blob_disk_error(err, "link", error);
}

/* --- reading --- */

int vg_blob_open(struct vg_blob_store *store, const char *key, struct vg_blob_reader **out,
                 struct vg_err *err)
{
    struct stat st;

    if (!vg_blob_key_valid(key))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "blob store: bad key");
    int fd = openat(store->root, key, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0 && errno == ENOENT)
        return vg_err_set(err, VG_ERR_NOT_FOUND, NULL);
    if (fd < 0)
        return vg_blob_disk_error(err, "open", errno);
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        (void)close(fd);
        return vg_err_set(err, VG_ERR_INTERNAL, "blob store: not a file");
    }
    struct vg_blob_reader *reader = vg_xalloc(sizeof(*reader));
    reader->fd = fd;
    reader->size = st.st_size;
    *out = reader;
    return 0;
}

int64_t vg_blob_size(const struct vg_blob_reader *reader)
{
    return reader->size;
}

int vg_blob_read(struct vg_blob_reader *reader, int64_t offset, void *buf, size_t len,
                 size_t *out_len, struct vg_err *err)
{
    size_t got = 0;

    while (got < len) {
        ssize_t n = pread(reader->fd, (char *)buf + got, len - got, offset + (int64_t)got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return vg_blob_disk_error(err, "read", errno);
        if (n == 0)
            break;
        got += (size_t)n;
    }
    *out_len = got;
    return 0;
}

struct vg_blob_reader *vg_blob_close(struct vg_blob_reader *reader)
{
    if (reader) {
        (void)close(reader->fd);
        free(reader);
    }
    return NULL;
}

int vg_blob_get(struct vg_blob_store *store, const char *key, size_t max, void **out,
                size_t *out_len, struct vg_err *err)
{
    struct vg_blob_reader *reader = NULL;

    if (vg_blob_open(store, key, &reader, err) < 0)
        return -1;
    if ((uint64_t)reader->size > max) {
        (void)vg_blob_close(reader);
        return vg_err_set(err, VG_ERR_TOO_LARGE, "The stored file is larger than allowed here.");
    }
    size_t size = (size_t)reader->size;
    void *data = vg_xalloc(size ? size : 1);
    int rc = vg_blob_read(reader, 0, data, size, out_len, err);
    (void)vg_blob_close(reader);
    if (rc < 0) {
        free(data);
        return -1;
    }
    *out = data;
    return 0;
}

/* --- removing --- */

int vg_blob_remove(struct vg_blob_store *store, const char *key, struct vg_err *err)
{
    if (!vg_blob_key_valid(key))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "blob store: bad key");
    if (unlinkat(store->root, key, 0) < 0 && errno != ENOENT)
        return vg_blob_disk_error(err, "unlink", errno);
    return 0;
}
