/* SPDX-License-Identifier: Apache-2.0 */
/* Headers and a body under every way to sign: "NAME: VALUE" lines, an empty line, the body. With a
 * secret nothing is verified that was not signed with it, and no text leaves its bounds. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/mem.h"
#include "workers/upstream/events.h"

#define NOW INT64_C(1800000000)
enum { MAX_HEADERS = 16, MAX_ID = 1024, MAX_REPLY = 8192 };

/* The seeds are signed with these; what the fuzzer makes of them is not. */
static const char *const secrets[VG_EVENT_SIGN_MAX] = {
    [VG_EVENT_STANDARD] = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    [VG_EVENT_ED25519] = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
    [VG_EVENT_TASK_HMAC] = "key",
};

/* Takes one line's header; false: it is none. */
static bool take_header(char *line, Videogate__V1__EventHeader *out)
{
    char *colon = strchr(line, ':');

    if (!colon)
        return false;
    videogate__v1__event_header__init(out);
    *colon = '\0';
    out->name = line;
    out->value = colon + 1 + strspn(colon + 1, " ");
    return true;
}

static void check(const Videogate__V1__ReadEventRequest *request, enum vg_event_sign sign,
                  const char *secret)
{
    const struct vg_event_scheme scheme = {
        .sign = sign, .id_paths = {"data.id", "task_id", "0.x"}, .challenge = "challenge"};
    Videogate__V1__ReadEventResponse response = VIDEOGATE__V1__READ_EVENT_RESPONSE__INIT;
    struct vg_arena *arena = vg_arena_new();

    const struct vg_event_trust trust = {.secrets = secret, .now_s = NOW};
    bool no_key = false;
    vg_event_read(&scheme, &trust, request, arena, &response, &no_key);
    VG_ASSERT(strlen(response.upstream_id) <= MAX_ID && strlen(response.reply) <= MAX_REPLY);
    bool refused = response.verdict == VIDEOGATE__V1__EVENT_VERDICT__EVENT_VERDICT_REFUSED;
    bool verified = response.verdict == VIDEOGATE__V1__EVENT_VERDICT__EVENT_VERDICT_VERIFIED;
    if (refused)
        VG_ASSERT(!*response.upstream_id && !*response.reply);
    if (!secret)
        VG_ASSERT(!verified);
    else
        VG_ASSERT(verified || refused);
    vg_arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Videogate__V1__EventHeader headers[MAX_HEADERS];
    Videogate__V1__EventHeader *list[MAX_HEADERS];
    Videogate__V1__ReadEventRequest request = VIDEOGATE__V1__READ_EVENT_REQUEST__INIT;
    char *text = vg_xmemdup((const char *)data, size);
    char *at = text;

    request.headers = list;
    while (request.n_headers < MAX_HEADERS) {
        char *end = strchr(at, '\n');
        if (!end)
            break;
        *end = '\0';
        char *line = at;
        at = end + 1;
        if (!take_header(line, &headers[request.n_headers]))
            break; /* the empty line */
        list[request.n_headers] = &headers[request.n_headers];
        request.n_headers++;
    }
    request.body.data = (uint8_t *)at;
    request.body.len = size - (size_t)(at - text);
    for (int sign = 0; sign < VG_EVENT_SIGN_MAX; sign++) {
        check(&request, (enum vg_event_sign)sign, NULL);
        if (secrets[sign])
            check(&request, (enum vg_event_sign)sign, secrets[sign]);
    }
    free(text);
    return 0;
}
