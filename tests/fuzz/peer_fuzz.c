/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of callers as headers, metadata, the core and the configuration spell them. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/err.h"
#include "common/peer.h"

/* What was understood has one spelling, which is understood again. */
static void check_spelling(const char peer[VG_PEER_SIZE])
{
    char again[VG_PEER_SIZE], group[VG_PEER_SIZE];

    VG_ASSERT(strnlen(peer, VG_PEER_SIZE) < VG_PEER_SIZE);
    VG_ASSERT(vg_peer_parse(vg_view_of(peer), again) && strcmp(peer, again) == 0);
    vg_peer_group(peer, group);
    VG_ASSERT(vg_peer_in(peer, group) && vg_peer_in(peer, peer));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char peer[VG_PEER_SIZE];
    char *text = malloc(len + 1);
    struct vg_err err;

    if (!text)
        return 0;
    if (len)
        memcpy(text, data, len);
    text[len] = '\0';
    if (vg_peer_parse((struct vg_view){text, len}, peer))
        check_spelling(peer);
    if (vg_peer_of_core(text, peer))
        check_spelling(peer);
    memcpy(peer, "127.0.0.1", sizeof("127.0.0.1"));
    (void)vg_peer_forwarded(peer, (struct vg_view){text, len}, "127.0.0.0/8,10.0.0.0/8,::1");
    check_spelling(peer);
    bool good = vg_peer_nets_check(text, "nets", &err) == 0;
    (void)vg_peer_in("192.0.2.1", text);
    (void)good;
    free(text);
    return 0;
}
