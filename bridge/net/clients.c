/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/net/clients.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/mem.h"

#define BUCKETS 4096
#define V4_MAPPED 12 /* bytes of ::ffff: in front of an IPv4 address */

struct vg_client {
    unsigned char address[8];
    int count;
    size_t bucket;
    struct vg_client *next;
};

struct vg_clients {
    int max;
    pthread_mutex_t lock;
    struct vg_client *buckets[BUCKETS]; /* owned */
};

struct vg_clients *vg_clients_new(int max)
{
    struct vg_clients *clients = vg_xalloc(sizeof(*clients));
    clients->max = max;
    VG_ASSERT(pthread_mutex_init(&clients->lock, NULL) == 0);
    return clients;
}

struct vg_clients *vg_clients_free(struct vg_clients *clients)
{
    if (!clients)
        return NULL;
    for (size_t i = 0; i < BUCKETS; i++)
        VG_ASSERT(!clients->buckets[i]);
    pthread_mutex_destroy(&clients->lock);
    free(clients);
    return NULL;
}

/* The address as eight bytes; false: of another family. */
static bool read_address(const struct sockaddr_storage *from, unsigned char out[8])
{
    memset(out, 0, 8);
    if (from->ss_family == AF_INET) {
        memcpy(out, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
        return true;
    }
    if (from->ss_family != AF_INET6)
        return false;
    const struct in6_addr *v6 = &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr;
    if (IN6_IS_ADDR_V4MAPPED(v6))
        memcpy(out, v6->s6_addr + V4_MAPPED, 4);
    else
        memcpy(out, v6->s6_addr, 8);
    return true;
}

static size_t bucket_of(const unsigned char address[8])
{
    uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
    for (size_t i = 0; i < 8; i++)
        hash = (hash ^ address[i]) * UINT64_C(1099511628211);
    return (size_t)(hash >> 32) % BUCKETS;
}

static struct vg_client *find_or_add(struct vg_clients *clients, const unsigned char address[8])
{
    size_t bucket = bucket_of(address);
    struct vg_client *one = clients->buckets[bucket];
    while (one && memcmp(one->address, address, sizeof(one->address)) != 0)
        one = one->next;
    if (one)
        return one;
    one = vg_xalloc(sizeof(*one));
    memcpy(one->address, address, sizeof(one->address));
    one->bucket = bucket;
    one->next = clients->buckets[bucket];
    clients->buckets[bucket] = one;
    return one;
}

int vg_clients_enter(struct vg_clients *clients, const struct sockaddr_storage *from,
                     struct vg_client **out)
{
    unsigned char address[8];
    *out = NULL;
    if (!clients || clients->max == 0 || !read_address(from, address))
        return 0;
    pthread_mutex_lock(&clients->lock);
    struct vg_client *client = find_or_add(clients, address);
    bool full = client->count >= clients->max;
    if (!full)
        client->count++;
    pthread_mutex_unlock(&clients->lock);
    if (full)
        return -1;
    *out = client;
    return 0;
}

void vg_clients_leave(struct vg_clients *clients, struct vg_client *client)
{
    if (!client)
        return;
    pthread_mutex_lock(&clients->lock);
    if (--client->count == 0) {
        struct vg_client **at = &clients->buckets[client->bucket];
        while (*at != client)
            at = &(*at)->next;
        *at = client->next;
        free(client);
    }
    pthread_mutex_unlock(&clients->lock);
}
