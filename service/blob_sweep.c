/* SPDX-License-Identifier: Apache-2.0 */
/* Housekeeping: what dead writers left, and walking the store. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "common/id.h"
#include "common/mem.h"
#include "service/blob_priv.h"

/* Opens a folder for reading its entries; the caller owns the DIR. */
static DIR *open_dir(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (!dir && fd >= 0)
        (void)close(fd);
    return dir;
}

/* By ctime: a fresh hard link to an old file counts as young. */
static bool older_than_ms(const struct stat *st, int64_t ms)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_REALTIME, &now);
    int64_t age = (int64_t)(now.tv_sec - st->st_ctim.tv_sec) * 1000 +
                  (int64_t)(now.tv_nsec - st->st_ctim.tv_nsec) / 1000000;
    return age >= ms;
}

/* A file that can be locked has no live writer; its age covers the moment between open and flock.
 */
static bool sweep_one(struct vg_blob_store *store, const char *name)
{
    struct stat st;
    bool removed = false;
    int fd = openat(store->tmp, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && older_than_ms(&st, store->options.stale_ms) &&
        flock(fd, LOCK_EX | LOCK_NB) == 0)
        removed = unlinkat(store->tmp, name, 0) == 0;
    (void)close(fd);
    return removed;
}

size_t vg_blob_sweep(struct vg_blob_store *store)
{
    size_t removed = 0;
    DIR *dir = open_dir(store->root, "tmp");

    if (!dir)
        return 0;
    for (struct dirent *e = readdir(dir); e; e = readdir(dir))
        if (e->d_name[0] != '.' && sweep_one(store, e->d_name))
            removed++;
    (void)closedir(dir);
    return removed;
}

/* One fan-out folder; false ends the walk. */
static bool walk_fan(struct vg_blob_store *store, const char *fan, int64_t age_ms,
                     vg_blob_each_f *each, void *ctx)
{
    bool go = true;
    DIR *dir = open_dir(store->root, fan);

    if (!dir)
        return true;
    for (struct dirent *e = readdir(dir); go && e; e = readdir(dir)) {
        char key[VG_BLOB_KEY_SIZE];
        char video_id[VG_ID_SIZE];
        struct stat st;
        size_t id_len = strcspn(e->d_name, ".");
        if (!vg_id_valid(e->d_name, id_len, "video") || strlen(e->d_name) > VG_BLOB_NAME_MAX)
            continue;
        if (fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
            !older_than_ms(&st, age_ms))
            continue;
        (void)snprintf(key, sizeof(key), "%.16s/%.*s", fan, VG_BLOB_NAME_MAX, e->d_name);
        (void)snprintf(video_id, sizeof(video_id), "%.*s", (int)id_len, e->d_name);
        go = each(ctx, key, video_id);
    }
    (void)closedir(dir);
    return go;
}

void vg_blob_each(struct vg_blob_store *store, unsigned slice, int64_t age_s, vg_blob_each_f *each,
                  void *ctx)
{
    static const char *const kinds[] = {"inputs", "outputs"};
    bool go = true;

    for (size_t k = 0; go && k < VG_COUNT(kinds); k++)
        for (unsigned low = 0; go && low < 16; low++) {
            char fan[24];
            (void)snprintf(fan, sizeof(fan), "%s/%02x%x", kinds[k], slice & 0xffu, low);
            go = walk_fan(store, fan, age_s * 1000, each, ctx);
        }
}
