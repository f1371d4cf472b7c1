/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/mem.h"

#define CHUNK ((size_t)64 << 10)

void vg_sandbox_path(char out[VG_SANDBOX_PATH_SIZE], const char *dir, const char *folder,
                     const char *name)
{
    int len = snprintf(out, VG_SANDBOX_PATH_SIZE, "%s/%s/%s", dir, folder, name);
    VG_ASSERT(len > 0 && len < VG_SANDBOX_PATH_SIZE);
}

int vg_sandbox_errno(struct vg_err *err, const char *what, const char *path)
{
    char text[128] = "";
    int code = errno;
    bool full = code == ENOSPC || code == EDQUOT;
    const char *reason = strerror_r(code, text, sizeof(text));
    return vg_err_set(err, full ? VG_ERR_STORAGE_FULL : VG_ERR_INTERNAL, "%s %s: %s", what, path,
                      reason);
}

int vg_sandbox_make_dir(const char *path, struct vg_err *err)
{
    if (mkdir(path, 0750) && errno != EEXIST)
        return vg_sandbox_errno(err, "Cannot make the folder", path);
    return 0;
}

int vg_sandbox_write_all(int fd, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t n = write(fd, at, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        at += n;
        len -= (size_t)n;
    }
    return 0;
}

static int sync_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fsync(fd);
    int saved = errno;
    (void)close(fd); /* nothing was written through it */
    errno = saved;
    return rc;
}

static int sync_parent(const char *path)
{
    char parent[VG_SANDBOX_PATH_SIZE];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;
    if (len == 0 || len >= sizeof(parent)) {
        errno = EINVAL;
        return -1;
    }
    memcpy(parent, path, len);
    parent[len] = '\0';
    return sync_path(parent, O_RDONLY | O_DIRECTORY);
}

int vg_sandbox_publish(const char *temp, const char *path, struct vg_err *err)
{
    if (sync_path(temp, O_RDONLY) || rename(temp, path) || sync_parent(path)) {
        int rc = vg_sandbox_errno(err, "Cannot store", path);
        (void)unlink(temp); /* may be gone already */
        return rc;
    }
    return 0;
}

int vg_sandbox_write_file(const char *temp, const char *path, struct vg_view bytes,
                          struct vg_err *err)
{
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (fd < 0)
        return vg_sandbox_errno(err, "Cannot create", temp);
    int rc = vg_sandbox_write_all(fd, bytes.data, bytes.len);
    if (close(fd) || rc) {
        rc = vg_sandbox_errno(err, "Cannot write", temp);
        (void)unlink(temp); /* nothing more can be done */
        return rc;
    }
    return vg_sandbox_publish(temp, path, err);
}

int vg_sandbox_read_file(struct vg_buf *out, const char *path, struct vg_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return vg_sandbox_errno(err, "Cannot open", path);
    ssize_t n = 1;
    while (n != 0) {
        char *to = vg_buf_reserve(out, CHUNK);
        if (!to) {
            errno = EFBIG;
            break;
        }
        n = read(fd, to, CHUNK);
        if (n < 0 && errno != EINTR)
            break;
        if (n > 0)
            vg_buf_commit(out, (size_t)n);
    }
    int rc = n == 0 ? 0 : vg_sandbox_errno(err, "Cannot read", path);
    (void)close(fd); /* only read */
    return rc;
}

int vg_sandbox_hash_file(const char *path, int64_t *out_bytes, char out_sha256[VG_SHA256_HEX_SIZE],
                         struct vg_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return vg_sandbox_errno(err, "Cannot open", path);
    char *chunk = vg_xalloc(CHUNK);
    struct vg_sha256 *sha = vg_sha256_new();
    int64_t total = 0;
    ssize_t n;
    while ((n = read(fd, chunk, CHUNK)) > 0 || (n < 0 && errno == EINTR)) {
        if (n < 0)
            continue;
        vg_sha256_update(sha, chunk, (size_t)n);
        total += n;
    }
    int rc = n < 0 ? vg_sandbox_errno(err, "Cannot read", path) : 0;
    if (!rc) {
        vg_sha256_hex(sha, out_sha256);
        *out_bytes = total;
    }
    vg_sha256_free(sha);
    free(chunk);
    (void)close(fd); /* only read */
    return rc;
}

void vg_sandbox_clear_dir(const char *path, bool (*keep)(void *ctx, const char *name), void *ctx)
{
    DIR *dir = opendir(path);
    if (!dir)
        return;
    const struct dirent *entry;
    /* Each thread has its own DIR. */
    while ((entry = readdir(dir)) != NULL) { /* NOLINT(concurrency-mt-unsafe) */
        if (entry->d_name[0] == '.' || (keep && keep(ctx, entry->d_name)))
            continue;
        (void)unlinkat(dirfd(dir), entry->d_name, 0); /* a leftover: next start tries again */
    }
    (void)closedir(dir); /* only read */
}
