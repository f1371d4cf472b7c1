/* SPDX-License-Identifier: Apache-2.0 */
#include "workers/providers/sandbox/index.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/str.h"

#define FIRST_SIZE 1024

/* Tokens come from the service, which makes them itself. */
static size_t hash_of(const char *key)
{
    uint64_t hash = vg_fnv1a(vg_view_of(key), 0);
    return (size_t)(hash ^ hash >> 32);
}

static const char *key_of(const struct vg_sandbox_job *job, int by)
{
    return by == VG_SANDBOX_BY_ID ? job->id : job->token;
}

void vg_sandbox_index_init(struct vg_sandbox_index *index)
{
    memset(index, 0, sizeof(*index));
    index->size = FIRST_SIZE;
    for (int by = 0; by < 2; by++)
        index->slots[by] = vg_xcalloc(index->size, sizeof(struct vg_sandbox_job *));
}

void vg_sandbox_index_fini(struct vg_sandbox_index *index)
{
    struct vg_sandbox_job *job = index->oldest;
    while (job) {
        struct vg_sandbox_job *younger = job->younger;
        vg_sandbox_job_free(job);
        job = younger;
    }
    for (int by = 0; by < 2; by++)
        free(index->slots[by]);
    memset(index, 0, sizeof(*index));
}

struct vg_sandbox_job *vg_sandbox_index_find(const struct vg_sandbox_index *index,
                                             enum vg_sandbox_key by, const char *key)
{
    struct vg_sandbox_job *job = index->slots[by][hash_of(key) & (index->size - 1)];
    while (job && strcmp(key_of(job, (int)by), key) != 0)
        job = job->next[by];
    return job;
}

static void link_job(struct vg_sandbox_index *index, struct vg_sandbox_job *job)
{
    for (int by = 0; by < 2; by++) {
        struct vg_sandbox_job **slot =
            &index->slots[by][hash_of(key_of(job, by)) & (index->size - 1)];
        job->next[by] = *slot;
        *slot = job;
    }
}

static void grow(struct vg_sandbox_index *index)
{
    index->size *= 2;
    for (int by = 0; by < 2; by++) {
        free(index->slots[by]);
        index->slots[by] = vg_xcalloc(index->size, sizeof(struct vg_sandbox_job *));
    }
    for (struct vg_sandbox_job *job = index->oldest; job; job = job->younger)
        link_job(index, job);
}

void vg_sandbox_index_add(struct vg_sandbox_index *index, struct vg_sandbox_job *job)
{
    if (index->count >= index->size)
        grow(index);
    link_job(index, job);
    job->younger = NULL;
    if (index->youngest)
        index->youngest->younger = job;
    else
        index->oldest = job;
    index->youngest = job;
    index->count++;
}

void vg_sandbox_index_remove(struct vg_sandbox_index *index, struct vg_sandbox_job *job)
{
    for (int by = 0; by < 2; by++) {
        struct vg_sandbox_job **at =
            &index->slots[by][hash_of(key_of(job, by)) & (index->size - 1)];
        while (*at != job)
            at = &(*at)->next[by];
        *at = job->next[by];
    }
    /* Almost always the oldest goes. */
    struct vg_sandbox_job *older = NULL;
    struct vg_sandbox_job **at = &index->oldest;
    while (*at != job) {
        older = *at;
        at = &older->younger;
    }
    *at = job->younger;
    if (index->youngest == job)
        index->youngest = older;
    index->count--;
}
