/* SPDX-License-Identifier: Apache-2.0 */
#include "common/log.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/err.h"
#include "common/str.h"

#define LOG_VALUE_MAX 1024
#define LOG_LINE_MAX 16384

/* The one piece of process-wide state in common/: set once before threads start, read by all. */
static struct {
    const char *proc; /* borrowed for ever */
    atomic_int level;
    bool json;
} log_state = {.proc = "videogate", .level = VG_LOG_INFO};

static const char *const level_names[VG_LOG_LEVEL_MAX] = {
    [VG_LOG_ERROR] = "error",
    [VG_LOG_WARN] = "warn",
    [VG_LOG_INFO] = "info",
    [VG_LOG_DEBUG] = "debug",
};

void vg_log_setup(const char *proc, enum vg_log_level level, bool json)
{
    log_state.proc = proc;
    log_state.json = json;
    atomic_store(&log_state.level, (int)level);
}

bool vg_log_enabled(enum vg_log_level level)
{
    return (int)level <= atomic_load_explicit(&log_state.level, memory_order_relaxed);
}

/* Escapes as JSON does, which logfmt readers take as well; bytes that are not UTF-8 become U+FFFD.
 */
static void put_escaped(struct vg_buf *line, struct vg_view text)
{
    static const char short_from[] = "\"\\\n\r\t";
    static const char short_to[] = "\"\\nrt";
    size_t at = 0;
    while (at < text.len) {
        char c = text.data[at];
        const char *found = c ? strchr(short_from, c) : NULL;
        if (found) {
            (void)vg_buf_addf(line, "\\%c", short_to[found - short_from]);
            at++;
        } else if ((unsigned char)c < 0x20 || c == 0x7f) {
            (void)vg_buf_addf(line, "\\u%04x", (unsigned)(unsigned char)c);
            at++;
        } else {
            size_t n = 1;
            while (n < 4 && at + n < text.len && ((unsigned char)text.data[at + n] & 0xc0) == 0x80)
                n++;
            if (vg_utf8_valid(text.data + at, n)) {
                (void)vg_buf_add(line, text.data + at, n);
                at += n;
            } else {
                (void)vg_buf_adds(line, "\xef\xbf\xbd");
                at++;
            }
        }
    }
}

static bool needs_quotes(struct vg_view text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c <= ' ' || c >= 0x7f || c == '"' || c == '=' || c == '\\')
            return true;
    }
    return text.len == 0;
}

static void put_text(struct vg_buf *line, const char *key, const char *text)
{
    struct vg_view value = vg_view_of(text);
    bool cut = value.len > LOG_VALUE_MAX;
    if (cut)
        value.len = vg_utf8_cut(value.data, LOG_VALUE_MAX);
    (void)vg_buf_addf(line, log_state.json ? ",\"%s\":" : " %s=", key);
    bool plain = !needs_quotes(value);
    bool quotes = log_state.json || cut || !plain;
    if (quotes)
        (void)vg_buf_addc(line, '"');
    if (plain)
        (void)vg_buf_add(line, value.data, value.len);
    else
        put_escaped(line, value);
    if (cut)
        (void)vg_buf_adds(line, "...");
    if (quotes)
        (void)vg_buf_addc(line, '"');
}

static void put_field(struct vg_buf *line, const struct vg_log_field *field)
{
    if (field->text)
        put_text(line, field->key, field->text);
    else
        (void)vg_buf_addf(line, log_state.json ? ",\"%s\":%lld" : " %s=%lld", field->key,
                          (long long)field->number);
}

static void put_head(struct vg_buf *line, enum vg_log_level level, const char *msg)
{
    int64_t ms = vg_wall_ms();
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char ts[32] = "";
    if (gmtime_r(&seconds, &tm))
        (void)strftime(ts, sizeof ts, "%Y-%m-%dT%H:%M:%S", &tm);
    (void)vg_buf_addf(line, log_state.json ? "{\"ts\":\"%s.%03dZ\"" : "ts=%s.%03dZ", ts,
                      (int)(ms % 1000));
    put_text(line, "level", level_names[level]);
    put_text(line, "proc", log_state.proc);
    put_text(line, "msg", msg);
}

static void write_line(const char *data, size_t len)
{
    /* A full or closed standard error must not stop the process: what cannot be written is dropped.
     */
    ssize_t n;
    do
        n = write(STDERR_FILENO, data, len);
    while (n < 0 && errno == EINTR);
}

void vg_log_write(enum vg_log_level level, const char *msg, const struct vg_log_field *fields,
                  int count)
{
    if (!vg_log_enabled(level))
        return;
    int saved_errno = errno;
    struct vg_buf line;
    vg_buf_init(&line, LOG_LINE_MAX);
    put_head(&line, level, msg);
    const size_t tail = sizeof ",\"cut\":true}\n";
    for (int i = 0; i < count; i++) {
        size_t before = line.len;
        put_field(&line, &fields[i]);
        if (line.overflow || line.len > LOG_LINE_MAX - tail) {
            line.len = before;
            line.overflow = false;
            (void)vg_buf_adds(&line, log_state.json ? ",\"cut\":true" : " cut=true");
            break;
        }
    }
    (void)vg_buf_adds(&line, log_state.json ? "}\n" : "\n");
    struct vg_view all = vg_buf_view(&line);
    write_line(all.data, all.len);
    vg_buf_fini(&line);
    errno = saved_errno;
}
