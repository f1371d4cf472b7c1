/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/2 session: behind a good preface and SETTINGS (unless the first byte is odd) come the
 * input's frames. */
#include <stddef.h>
#include <stdint.h>

#include "tests/unit/bridge/session_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char start[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    struct fixture f;
    if (size < 1)
        return 0;
    size_t piece = (size_t)(data[0] >> 2) * 8 + 1;
    fixture_init(&f, true);
    f.hoard = data[0] & 2;
    if (!(data[0] & 1))
        fixture_feed(&f, start, sizeof(start) - 1);
    for (size_t at = 1; at < size; at += piece) {
        fixture_feed(&f, data + at, size - at < piece ? size - at : piece);
        if (f.held_count)
            fixture_release(&f);
        fixture_after(&f, 100);
        VG_ASSERT(f.in.len == 0 && f.open <= 100);
        vg_buf_clear(&f.out);
    }
    f.session->ops->drain(f.session);
    fixture_after(&f, 5000);
    f.session->ops->eof(f.session);
    fixture_fini(&f);
    return 0;
}
