/* SPDX-License-Identifier: Apache-2.0 */
#include "common/harden.h"

#include <sys/prctl.h>
#include <sys/resource.h>

#include "common/err.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

void vg_harden_process(void)
{
    const struct rlimit none = {0, 0};

    /* None of them can fail. */
    VG_ASSERT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    VG_ASSERT(setrlimit(RLIMIT_CORE, &none) == 0);
    if (!SANITIZED)
        VG_ASSERT(prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0);
}
