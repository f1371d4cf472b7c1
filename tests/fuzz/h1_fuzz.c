/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/1 session with bytes in pieces: the first byte sizes the pieces, its high bit lets time
 * pass between them. */
#include <stddef.h>
#include <stdint.h>

#include "tests/unit/bridge/session_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fixture f;
    if (size < 1)
        return 0;
    size_t piece = (data[0] & 0x7f) + 1;
    bool slow = data[0] & 0x80;
    fixture_init(&f, false);
    for (size_t at = 1; at < size; at += piece) {
        fixture_feed(&f, data + at, size - at < piece ? size - at : piece);
        if (slow)
            fixture_after(&f, 700);
        if (f.held_count)
            fixture_release(&f);
        /* What is kept is bounded, whatever comes. */
        VG_ASSERT(f.in.len <= 64 * 1024 || f.session->ops->finished(f.session) || f.open == 1);
    }
    f.session->ops->eof(f.session);
    fixture_run(&f);
    f.session->ops->drain(f.session);
    fixture_release(&f);
    fixture_fini(&f);
    return 0;
}
