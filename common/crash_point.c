/* SPDX-License-Identifier: Apache-2.0 */
#include "common/crash_point.h"

#ifdef VG_CRASH_POINTS

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/mem.h"
#include "common/str.h"

/* Each place before and after; and the processes that get there (tests/faults reads this). */
static const struct {
    const char *name, *processes;
} places[] = {
    /* A batch is sent to PostgreSQL; its commit is known. */
    {"commit.video_create", "service"},
    {"commit.video_cancel", "service"},
    {"commit.video_delete", "service"},
    {"commit.video_purge", "services"},
    {"commit.generation_claim", "services"},
    {"commit.generation_change", "services"},
    {"commit.generation_renew", "services"},
    {"commit.delivery_claim", "services"},
    {"commit.delivery_body", "services"},
    {"commit.delivery_result", "services"},
    /* A generation is about to be in this state; it is, and nothing else was done. */
    {"state.pending", "services"},
    {"state.submitting", "services"},
    {"state.running", "services"},
    {"state.fetching", "services"},
    {"state.stored", "services"},
    {"state.failed", "services"},
    {"state.canceled", "services"},
    {"state.expired", "services"},
    {"state.unknown", "services"},
    /* A call to a worker or the webhook sender leaves; its answer is here. */
    {"call.Submit", "services"},
    {"call.Poll", "services"},
    {"call.Fetch", "services"},
    {"call.Cancel", "services"},
    {"call.Lookup", "services"},
    {"call.Deliver", "services"},
    /* A file is about to have its name; it has, durably. */
    {"blob.rename", "services"},
    /* An answer to a gRPC caller. */
    {"answer.CreateVideo", "service"},
    {"answer.CancelVideo", "service"},
    {"answer.DeleteVideo", "service"},
    {"answer.Batch", "service"},
    {"answer.Submit", "worker worker-kling worker-xai"},
    {"answer.Poll", "worker worker-kling"},
    {"answer.Fetch", "worker worker-kling"},
    {"answer.Lookup", "worker worker-kling"},
    {"answer.Cancel", "worker"},
    {"answer.Deliver", "webhook"},
    /* A request to an upstream leaves; its answer is here. */
    {"upstream.submit", "worker-kling worker-xai"},
    {"upstream.poll", "worker-kling worker-xai"},
    {"upstream.fetch", "worker-kling worker-xai"},
    {"upstream.lookup", "worker-kling"},
    /* One callback. */
    {"attempt.callback", "webhook"},
    /* The bridge asks the service, and answers its caller. */
    {"forward.call", "bridge"},
    {"answer.http", "bridge"},
};

enum { NAME_SIZE = 64 };

static struct {
    char name[NAME_SIZE]; /* empty: none */
    int signal;
    int64_t nth;
    atomic_int_fast64_t reached;
} armed;

static void arm(void)
{
    const char *text = getenv("VIDEOGATE_CRASH_AT");
    armed.signal = text ? SIGKILL : SIGSTOP;
    text = text ? text : getenv("VIDEOGATE_FREEZE_AT");
    size_t len = text ? strcspn(text, ":") : 0;
    armed.nth = 1;
    if (len == 0)
        return;
    if (text[len] == ':' && vg_parse_i64(vg_view_of(text + len + 1), 1, 1 << 30, &armed.nth) != 0)
        len = NAME_SIZE; /* said below */
    bool known = false;
    for (size_t i = 0; i < VG_COUNT(places) && len < NAME_SIZE; i++) {
        size_t base = strlen(places[i].name);
        known = known || (len > base && strncmp(text, places[i].name, base) == 0 &&
                          (strncmp(text + base, ".before", len - base) == 0 ||
                           strncmp(text + base, ".after", len - base) == 0));
    }
    if (!known) {
        (void)fprintf(stderr, "VIDEOGATE_CRASH_AT: no place is called %s\n", text);
        abort();
    }
    memcpy(armed.name, text, len);
}

void vg_crash_point(const char *place, const char *what, const char *when)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char name[NAME_SIZE + 16];
    const char *last = strrchr(what, '/');

    (void)pthread_once(&once, arm);
    if (!armed.name[0])
        return;
    int len = snprintf(name, sizeof(name), "%s.%s.%s", place, last ? last + 1 : what, when);
    if (len >= NAME_SIZE || strcmp(name, armed.name) != 0 ||
        atomic_fetch_add(&armed.reached, 1) + 1 != armed.nth)
        return;
    static const char said[] = "crash point reached\n";
    (void)!write(STDERR_FILENO, said, sizeof(said) - 1);
    /* Of all threads; a stop that another one takes would let this one run on for a moment. */
    (void)raise(armed.signal);
}

#endif
