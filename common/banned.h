/* SPDX-License-Identifier: Apache-2.0 */
/* Forced into every source of ours (-include): calls that have no safe use here fail to compile,
 * under -Werror.
 *
 * The names are declared again as deprecated instead of poisoned: headers of OpenSSL, libpq and
 * FreeType have them in macros and as parameter names, and only a call of ours shall fail. */
#ifndef VG_COMMON_BANNED_H
#define VG_COMMON_BANNED_H

#include <stdarg.h>
#include <sys/types.h>

/* clang-tidy takes them for careless repetitions. */
#ifndef __clang_analyzer__

struct tm;

#define VG_BANNED(instead) __attribute__((deprecated("banned here; use " instead)))

char *strcpy(char *, const char *) VG_BANNED("vg_strcpy or vg_buf");
char *strcat(char *, const char *) VG_BANNED("vg_buf");
int sprintf(char *, const char *, ...) VG_BANNED("snprintf or vg_buf_addf");
int vsprintf(char *, const char *, va_list) VG_BANNED("vsnprintf");
char *strtok(char *, const char *) VG_BANNED("struct vg_view");
int atoi(const char *) VG_BANNED("vg_parse_i64");
long atol(const char *) VG_BANNED("vg_parse_i64");
long long atoll(const char *) VG_BANNED("vg_parse_i64");
long strtol(const char *, char **, int) VG_BANNED("vg_parse_i64");
long long strtoll(const char *, char **, int) VG_BANNED("vg_parse_i64");
unsigned long strtoul(const char *, char **, int) VG_BANNED("vg_parse_i64");
unsigned long long strtoull(const char *, char **, int) VG_BANNED("vg_parse_i64");
struct tm *gmtime(const time_t *) VG_BANNED("gmtime_r");
struct tm *localtime(const time_t *) VG_BANNED("localtime_r");
int rand(void) VG_BANNED("vg_random");

#endif
#endif
