/* SPDX-License-Identifier: Apache-2.0 */
/* Structured log lines on standard error: one line per event, `ts= level= proc= msg= key=value ...`
 * or JSON.
 *
 * Only edges log (main, connection, RPC handler, dispatcher); common, common/rpc and db return
 * errors instead. Never pass secrets, prompts or signed links. Any thread; a line is one write(2).
 * Values are escaped and cut at 1 KiB. */
#ifndef VG_COMMON_LOG_H
#define VG_COMMON_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum vg_log_level { VG_LOG_ERROR, VG_LOG_WARN, VG_LOG_INFO, VG_LOG_DEBUG, VG_LOG_LEVEL_MAX };

/* Once at start, before any thread. `proc` is borrowed for ever (a literal). */
void vg_log_setup(const char *proc, enum vg_log_level level, bool json);
bool vg_log_enabled(enum vg_log_level level);

struct vg_log_field {
    const char *key;
    const char *text; /* NULL: `number` is the value */
    int64_t number;
};
static inline struct vg_log_field vg_log_text(const char *key, const char *text)
{
    return (struct vg_log_field){key, text ? text : "", 0};
}
static inline struct vg_log_field vg_log_number(const char *key, int64_t number)
{
    return (struct vg_log_field){key, 0, number};
}
#define VG_S(k, v) vg_log_text((k), (v)) /* NULL is written as "" */
#define VG_I(k, v) vg_log_number((k), (int64_t)(v))

void vg_log_write(enum vg_log_level level, const char *msg, const struct vg_log_field *fields,
                  int count);

/* vg_log(VG_LOG_INFO, "video stored", VG_S("video", id), VG_I("bytes", n)); at least one field. */
#define vg_log(level, msg, ...)                                                                    \
    do {                                                                                           \
        if (vg_log_enabled(level)) {                                                               \
            const struct vg_log_field vg_log_f_[] = {__VA_ARGS__};                                 \
            vg_log_write(level, msg, vg_log_f_, (int)(sizeof(vg_log_f_) / sizeof(vg_log_f_[0])));  \
        }                                                                                          \
    } while (0)

#endif
