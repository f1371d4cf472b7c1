/* SPDX-License-Identifier: Apache-2.0 */
/* Whose folder this is. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/id.h"
#include "service/blob_priv.h"

#define FILE_NAME "identity"
#define MAX_IDENTITY 64

/* 1: read into `out`; 0: there is none. */
static int read_identity(struct vg_blob_store *store, char out[MAX_IDENTITY + 2],
                         struct vg_err *err)
{
    int fd = openat(store->root, FILE_NAME, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return vg_blob_disk_error(err, "open identity", errno);
    ssize_t n = read(fd, out, MAX_IDENTITY + 1);
    int error = errno;
    (void)close(fd);
    if (n < 0)
        return vg_blob_disk_error(err, "read identity", error);
    out[n] = '\0';
    out[strcspn(out, "\n")] = '\0';
    return 1;
}

static int write_line(int fd, const char *identity, struct vg_err *err)
{
    char line[MAX_IDENTITY + 2];
    int len = snprintf(line, sizeof(line), "%s\n", identity);
    ssize_t n = write(fd, line, (size_t)len);

    if (n != len) /* a file system that takes less than a line has no room */
        return vg_blob_disk_error(err, "write identity", n < 0 ? errno : ENOSPC);
    return vg_blob_fsync(fd) < 0 ? vg_blob_disk_error(err, "fsync identity", errno) : 0;
}

/* Never over a file that is there: of several who come first at once, one wins. */
static int give_name(struct vg_blob_store *store, const char *tmp_name, struct vg_err *err)
{
    int rc = renameat2(store->tmp, tmp_name, store->root, FILE_NAME, RENAME_NOREPLACE);

    if (rc < 0 && (errno == EINVAL || errno == ENOSYS)) /* not every file system can */
        rc = linkat(store->tmp, tmp_name, store->root, FILE_NAME, 0);
    if (rc < 0 && errno != EEXIST)
        return vg_blob_disk_error(err, "rename identity", errno);
    return vg_blob_fsync(store->root) < 0 ? vg_blob_disk_error(err, "fsync folder", errno) : 0;
}

static int write_identity(struct vg_blob_store *store, const char *identity, struct vg_err *err)
{
    char tmp_name[VG_ID_SIZE];

    vg_id_new(tmp_name, "tmp");
    int fd = openat(store->tmp, tmp_name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (fd < 0)
        return vg_blob_disk_error(err, "create identity", errno);
    int rc = write_line(fd, identity, err);
    (void)close(fd);
    if (rc == 0)
        rc = give_name(store, tmp_name, err);
    (void)unlinkat(store->tmp, tmp_name, 0); /* gone after a rename */
    return rc;
}

int vg_blob_bind(struct vg_blob_store *store, const char *identity, bool *out_ours,
                 struct vg_err *err)
{
    char found[MAX_IDENTITY + 2];

    if (!*identity || strlen(identity) > MAX_IDENTITY || strchr(identity, '\n'))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "blob store: bad identity");
    int rc = read_identity(store, found, err);
    if (rc == 0 && write_identity(store, identity, err) == 0)
        rc = read_identity(store, found, err);
    else if (rc == 0)
        return -1;
    if (rc == 0)
        return vg_err_set(err, VG_ERR_INTERNAL, "blob store: the identity was removed");
    if (rc < 0)
        return -1;
    *out_ours = strcmp(found, identity) == 0;
    return 0;
}
