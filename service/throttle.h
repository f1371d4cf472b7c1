/* SPDX-License-Identifier: Apache-2.0 */
/* Failed authentications, counted by the caller's address and by the key's id: beyond so many a
 * minute whoever is counted has to wait. A generic cell rate algorithm, as rate.h, in tables of a
 * fixed size: with more offenders than places those are forgotten who have failed least. Any
 * thread. */
#ifndef VG_SERVICE_THROTTLE_H
#define VG_SERVICE_THROTTLE_H

#include <stdbool.h>
#include <stdint.h>

struct vg_throttle;

/* Failures a minute, each up to 1,000,000; 0: as many as you like. */
struct vg_throttle *vg_throttle_new(int32_t per_client, int32_t per_key);
/* NULL is fine. */
struct vg_throttle *vg_throttle_free(struct vg_throttle *throttle);

enum vg_throttle_by { VG_THROTTLE_CLIENT, VG_THROTTLE_KEY, VG_THROTTLE_MAX };

/* Who asks; either may be "". */
struct vg_throttle_who {
    const char *client; /* peer.h's group */
    const char *key_id;
};
struct vg_throttle_answer {
    int64_t wait_ms; /* 0: go on */
    enum vg_throttle_by by;
    bool began; /* the first to wait since it was last empty: worth a log line */
};
void vg_throttle_look(struct vg_throttle *throttle, const struct vg_throttle_who *who,
                      int64_t now_ns, struct vg_throttle_answer *out);
void vg_throttle_failed(struct vg_throttle *throttle, const struct vg_throttle_who *who,
                        int64_t now_ns);

#endif
