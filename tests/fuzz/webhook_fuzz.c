/* SPDX-License-Identifier: Apache-2.0 */
/* A callback secret as callers write it, then what a receiver answered: the first line and the
 * rest. Every good secret signs, and what is kept of an answer is short, printable UTF-8. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/keyring.h"
#include "common/mem.h"
#include "common/str.h"
#include "common/webhook_secret.h"
#include "workers/webhook/answer.h"

enum { MAX_SIGNATURES = 1024 };

static void check_secret(const char *text)
{
    char key[VG_WEBHOOK_KEY_SIZE];
    struct vg_buf out;

    vg_buf_init(&out, MAX_SIGNATURES);
    VG_ASSERT(vg_webhook_secret_sign(&out, text, "evt_1", 1, VG_VIEW("{}")) == 0);
    for (size_t i = 0; i < out.len; i++)
        VG_ASSERT(out.data[i] >= ' ' && out.data[i] <= '~');
    if (vg_webhook_secret_public(key, text))
        VG_ASSERT(vg_webhook_secret_ok(text) && strncmp(out.data, " v1a,", 5) == 0);
    vg_buf_fini(&out);
}

static void check_answer(struct vg_view body)
{
    char out[VG_WEBHOOK_ANSWER + 1];

    vg_webhook_answer(out, body);
    size_t len = strlen(out);

    VG_ASSERT(len <= VG_WEBHOOK_ANSWER && vg_utf8_valid(out, len));
    for (size_t i = 0; i < len; i++)
        VG_ASSERT((unsigned char)out[i] >= ' ' && out[i] != 0x7f);
}

/* What nobody has sealed does not open. */
static void check_sealed(struct vg_view text)
{
    struct vg_keyring ring;
    struct vg_buf plain;

    vg_buf_init(&plain, 4096);
    VG_ASSERT(vg_keyring_init(&ring, "a secret key of the fuzzer", "another one, or two", NULL) ||
              vg_keyring_open(&ring, &plain, VG_VIEW("video_1"), text) == -1);
    VG_ASSERT(plain.len == 0);
    vg_buf_fini(&plain);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct vg_view all = {(const char *)data, size};
    const char *line = memchr(data, '\n', size);
    size_t len = line ? (size_t)(line - all.data) : size;
    char *secret = vg_xmemdup(data, len);

    check_secret(secret);
    free(secret);
    check_answer(line ? (struct vg_view){line + 1, size - len - 1} : all);
    check_sealed(all);
    return 0;
}
