/* SPDX-License-Identifier: Apache-2.0 */
/* The binding of the blob folder to its database: a service pointed at the wrong one of the two
 * would take every file for an orphan.
 *
 * The folder's file `identity` is compared with the database's at the start and every ten seconds;
 * in a folder without one it is written. Until both are known to belong together nothing is served,
 * swept or claimed. Lives on the service's loop. */
#ifndef VG_SERVICE_BINDING_H
#define VG_SERVICE_BINDING_H

#include <stdbool.h>
#include <stddef.h>

struct vg_binding;
struct vg_blob_store;
struct vg_db;
struct vg_executor;
struct vg_loop;

/* Everything borrowed. */
struct vg_binding_options {
    struct vg_db *db;
    struct vg_blob_store *blobs;
    struct vg_loop *loop;
    struct vg_executor *pool; /* for what blocks on the disk */
    void (*bound)(void *ctx); /* they belong together: called once, on the loop */
    void *ctx;
};

struct vg_binding *vg_binding_new(const struct vg_binding_options *options);
/* Any thread. */
void vg_binding_start(struct vg_binding *binding);
/* What the last comparison said; writes why not. Any thread. */
bool vg_binding_holds(const struct vg_binding *binding, char *why, size_t why_size);
/* No further comparison. Any thread, returns at once. */
void vg_binding_close(struct vg_binding *binding);
/* The close has been seen: `bound` is not called any more. Any thread. */
bool vg_binding_closed(const struct vg_binding *binding);
/* Nothing is under way any more and nothing will be. Any thread. */
bool vg_binding_idle(const struct vg_binding *binding);
/* NULL is fine. */
struct vg_binding *vg_binding_free(struct vg_binding *binding);

#endif
