/* SPDX-License-Identifier: Apache-2.0 */
/* video trace: what was tried where, as a table for people. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/mem.h"
#include "service/ctl/commands.h"
#include "videogate/v1/admin.pb-c.h"

enum { COLUMNS = 7, CELL = 96 };

/* The last column is printed whole and never padded. */
struct row {
    char cells[COLUMNS - 1][CELL];
    const char *last; /* borrowed */
};

/* What providers said must not steer the terminal. */
static void put_text(const char *text)
{
    for (; *text; text++)
        (void)putchar((unsigned char)*text < 0x20 || *text == 0x7f ? '?' : *text);
}

static void put_time(char *out, size_t size, int64_t ms)
{
    const time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    char text[32] = "-";

    if (ms > 0 && gmtime_r(&seconds, &tm))
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    if (ms > 0)
        (void)snprintf(out, size, "%s.%03dZ", text, (int)(ms % 1000));
    else
        (void)snprintf(out, size, "-");
}

static void put_rows(const struct row *rows, size_t count)
{
    int widths[COLUMNS - 1] = {0};

    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < COLUMNS - 1; c++) {
            int len = (int)strlen(rows[i].cells[c]);
            widths[c] = len > widths[c] ? len : widths[c];
        }
    for (size_t i = 0; i < count; i++) {
        (void)fputs("  ", stdout);
        for (size_t c = 0; c < COLUMNS - 1; c++) {
            put_text(rows[i].cells[c]);
            (void)printf("%*s", widths[c] - (int)strlen(rows[i].cells[c]) + 2, "");
        }
        put_text(rows[i].last);
        (void)putchar('\n');
    }
}

static void fill_row(struct row *row, const Videogate__V1__TraceAttempt *a)
{
    if (a->number > 0)
        (void)snprintf(row->cells[0], CELL, "%" PRId32, a->number);
    else
        (void)snprintf(row->cells[0], CELL, "skipped");
    (void)snprintf(row->cells[1], CELL, "%s/%s", a->provider, a->model);
    put_time(row->cells[2], CELL, a->started_at_ms);
    if (a->ended_at_ms >= a->started_at_ms)
        (void)snprintf(row->cells[3], CELL, "%.3f s",
                       (double)(a->ended_at_ms - a->started_at_ms) / 1000);
    else
        (void)snprintf(row->cells[3], CELL, "-");
    (void)snprintf(row->cells[4], CELL, "%s", a->outcome[0] ? a->outcome : "open");
    (void)snprintf(row->cells[5], CELL, "%s", a->upstream_id[0] ? a->upstream_id : "-");
    row->last = a->reason;
}

static void show_generation(const Videogate__V1__TraceGeneration *g)
{
    static const struct row head = {
        {"attempt", "provider/model", "started", "took", "then", "upstream id"}, "reason"};
    struct row *rows = vg_xcalloc(g->n_attempts + 1, sizeof(*rows));
    char when[CELL];

    (void)printf("output %" PRId32 ": %s, %" PRId32 " submissions, %" PRId32 "%%", g->index,
                 g->state, g->submissions, g->progress);
    if (g->failed_fetches > 0)
        (void)printf(", %" PRId32 " failed fetches", g->failed_fetches);
    if (g->failed_polls > 0)
        (void)printf(", %" PRId32 " failed polls or lookups in a row", g->failed_polls);
    if (g->due_at_ms > 0) {
        put_time(when, sizeof(when), g->due_at_ms);
        (void)printf(", next step %s", when);
    }
    if (g->owner[0]) {
        (void)fputs(", held by ", stdout);
        put_text(g->owner);
    }
    (void)putchar('\n');
    if (g->error) {
        (void)printf("  the caller reads %s: ", g->error->code);
        put_text(g->error->message);
        (void)putchar('\n');
    }
    rows[0] = head;
    for (size_t i = 0; i < g->n_attempts; i++)
        fill_row(&rows[i + 1], g->attempts[i]);
    if (g->n_attempts > 0)
        put_rows(rows, g->n_attempts + 1);
    free(rows);
}

static void show_routes(const Videogate__V1__GetVideoTraceResponse *trace)
{
    for (size_t i = 0; i < trace->n_routes; i++) {
        const Videogate__V1__TraceRoute *r = trace->routes[i];
        (void)printf("route %zu: %s/%s, at most %" PRId32 " submissions%s\n", i, r->provider,
                     r->model, r->max_attempts, r->stealth ? ", stealth" : "");
    }
}

static void show_deliveries(const Videogate__V1__GetVideoTraceResponse *trace)
{
    for (size_t i = 0; i < trace->n_deliveries; i++) {
        const Videogate__V1__Delivery *d = trace->deliveries[i];
        (void)printf("callback %s: %s, %" PRId32 " attempts, last status %" PRId32 "%s", d->id,
                     d->state, d->attempts, d->last_status, d->last_reason[0] ? ", " : "");
        put_text(d->last_reason);
        (void)putchar('\n');
    }
}

static int run_trace(struct vg_ctl *ctl)
{
    static const struct vg_ctl_rpc rpc = {"/videogate.v1.AdminService/GetVideoTrace",
                                          &videogate__v1__get_video_trace_response__descriptor,
                                          .admin = true};
    Videogate__V1__GetVideoTraceRequest request = VIDEOGATE__V1__GET_VIDEO_TRACE_REQUEST__INIT;
    ProtobufCMessage *message;
    char when[CELL];

    request.id = (char *)ctl->args[0];
    if (vg_ctl_call(ctl, &rpc, &request.base, &message) != 0)
        return -1;
    const Videogate__V1__GetVideoTraceResponse *trace = (void *)message;
    if (ctl->json) {
        vg_ctl_print(ctl, message);
    } else {
        put_time(when, sizeof(when), trace->created_at * 1000);
        (void)printf("%s: %s, created %s\n", trace->id, trace->model, when);
        show_routes(trace);
        for (size_t i = 0; i < trace->n_generations; i++)
            show_generation(trace->generations[i]);
        show_deliveries(trace);
        (void)fflush(stdout); /* main looks at ferror */
    }
    vg_ctl_message_free(message);
    return 0;
}

static const struct vg_ctl_command commands[] = {
    {.words = "video trace",
     .arguments = "ID",
     .summary = "Show what was tried at which provider, and why it ended so (admin key).",
     .arg_count = 1,
     .run = run_trace},
};

const struct vg_ctl_command *vg_ctl_trace_command(size_t at)
{
    return at < VG_COUNT(commands) ? &commands[at] : NULL;
}
