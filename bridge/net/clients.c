/* SPDX-License-Identifier: Apache-2.0 */
#include "bridge/net/clients.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/mem.h"
#include "common/nets.h"

#define BUCKETS 4096
#define WINDOW_NS (10 * VG_NS_PER_S)
/* Addresses kept for their strikes alone. */
#define MAX_KEPT 65536

struct vg_client {
    unsigned char address[8];
    int count;
    int strikes;      /* since then */
    int64_t since_ns; /* of the first strike */
    size_t bucket;
    struct vg_client *next;
};

struct vg_clients {
    int max, strikes;
    pthread_mutex_t lock;
    size_t kept;                        /* addresses in the table */
    struct vg_client *buckets[BUCKETS]; /* owned */
};

struct vg_clients *vg_clients_new(int max, int strikes)
{
    struct vg_clients *clients = vg_xalloc(sizeof(*clients));
    clients->max = max;
    clients->strikes = strikes;
    VG_ASSERT(pthread_mutex_init(&clients->lock, NULL) == 0);
    return clients;
}

struct vg_clients *vg_clients_free(struct vg_clients *clients)
{
    if (!clients)
        return NULL;
    for (size_t i = 0; i < BUCKETS; i++) {
        while (clients->buckets[i]) {
            struct vg_client *one = clients->buckets[i];
            VG_ASSERT(one->count == 0);
            clients->buckets[i] = one->next;
            free(one);
        }
    }
    pthread_mutex_destroy(&clients->lock);
    free(clients);
    return NULL;
}

/* The address as eight bytes; false: of another family. */
static bool read_address(const struct sockaddr_storage *from, unsigned char out[8])
{
    struct vg_net_address address;
    unsigned port;

    if (!vg_net_address_of((const struct sockaddr *)(const void *)from, &address, &port))
        return false;
    (void)vg_net_address_unmap(&address);
    memset(out, 0, 8);
    memcpy(out, address.bytes, address.len == 4 ? 4 : 8);
    return true;
}

static size_t bucket_of(const unsigned char address[8])
{
    uint64_t hash = vg_fnv1a((struct vg_view){(const char *)address, 8}, 0);
    return (size_t)(hash >> 32) % BUCKETS;
}

static bool is_struck(const struct vg_client *client, int64_t now_ns)
{
    return client->strikes > 0 && now_ns - client->since_ns < WINDOW_NS;
}

/* On the way those go that nobody needs any more. */
static struct vg_client *find_or_add(struct vg_clients *clients, const unsigned char address[8],
                                     int64_t now_ns)
{
    size_t bucket = bucket_of(address);
    struct vg_client **at = &clients->buckets[bucket], *found = NULL;
    while (*at) {
        struct vg_client *one = *at;
        if (memcmp(one->address, address, sizeof(one->address)) == 0) {
            found = one;
        } else if (one->count == 0 && !is_struck(one, now_ns)) {
            *at = one->next;
            free(one);
            clients->kept--;
            continue;
        }
        at = &one->next;
    }
    if (found)
        return found;
    found = vg_xalloc(sizeof(*found));
    memcpy(found->address, address, sizeof(found->address));
    found->bucket = bucket;
    found->next = clients->buckets[bucket];
    clients->buckets[bucket] = found;
    clients->kept++;
    return found;
}

int vg_clients_enter(struct vg_clients *clients, const struct sockaddr_storage *from,
                     int64_t now_ns, struct vg_client **out)
{
    unsigned char address[8];
    *out = NULL;
    if (!clients || clients->max == 0 || !read_address(from, address))
        return 0;
    pthread_mutex_lock(&clients->lock);
    struct vg_client *client = find_or_add(clients, address, now_ns);
    bool struck =
        clients->strikes > 0 && is_struck(client, now_ns) && client->strikes >= clients->strikes;
    bool full = struck || client->count >= clients->max;
    if (!full)
        client->count++;
    pthread_mutex_unlock(&clients->lock);
    if (full)
        return -1;
    *out = client;
    return 0;
}

void vg_clients_strike(struct vg_clients *clients, struct vg_client *client, int64_t now_ns)
{
    if (!client)
        return;
    pthread_mutex_lock(&clients->lock);
    if (!is_struck(client, now_ns)) {
        client->strikes = 0;
        client->since_ns = now_ns;
    }
    client->strikes++;
    pthread_mutex_unlock(&clients->lock);
}

void vg_clients_leave(struct vg_clients *clients, struct vg_client *client, int64_t now_ns)
{
    if (!client)
        return;
    pthread_mutex_lock(&clients->lock);
    bool last = --client->count == 0;
    if (last && (clients->kept > MAX_KEPT || !is_struck(client, now_ns))) {
        struct vg_client **at = &clients->buckets[client->bucket];
        while (*at != client)
            at = &(*at)->next;
        *at = client->next;
        free(client);
        clients->kept--;
    }
    pthread_mutex_unlock(&clients->lock);
}
