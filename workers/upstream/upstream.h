/* SPDX-License-Identifier: Apache-2.0 */
/* The base of all HTTP providers: one loop thread, two HTTP clients (the configured base addresses;
 * everything else through the guard), the keys. What an adapter's `open` may need of it. */
#ifndef VG_WORKERS_UPSTREAM_UPSTREAM_H
#define VG_WORKERS_UPSTREAM_UPSTREAM_H

#include "common/config.h"
#include "common/http/client.h"
#include "common/loop.h"

struct vg_upstream;

/* What all HTTP providers are configured with; rows of videogate-worker's table. */
struct vg_upstream_config {
    char *base_url;
    char *keys_file;
    int64_t concurrency;
    int64_t key_rate;
    int64_t poll_interval_ms;
    bool result_allow_http;
    bool result_allow_any_port;
    char *result_allow_nets;
    char *result_egress;
};

/* clang-format off */
/* NOLINTBEGIN(bugprone-macro-parentheses): a type and a member cannot stand in parentheses */
#define VG_UPSTREAM_KEYS(type, member) \
    {"base-url", VG_CONFIG_TEXT, offsetof(type, member.base_url), NULL, 0, 0, false, false, \
     "Address of the provider's API, or several divided by commas; unset: the provider's own."}, \
    {"concurrency", VG_CONFIG_INT, offsetof(type, member.concurrency), "0", 0, 100000, false, false, \
     "Jobs at the provider at once; 0: what is known of the provider."}, \
    {"key-rate", VG_CONFIG_INT, offsetof(type, member.key_rate), "0", 0, 1000000, false, false, \
     "Requests a minute for each key without rpm=N; 0: unbounded."}, \
    {"keys-file", VG_CONFIG_TEXT, offsetof(type, member.keys_file), NULL, 0, 0, false, false, \
     "File of the provider's keys, one a line, read again when it changes."}, \
    {"poll-interval", VG_CONFIG_DURATION, offsetof(type, member.poll_interval_ms), "0ms", 0, 3600000, false, false, \
     "Time between two polls of a job; 0: what suits the provider."}, \
    {"result-allow-any-port", VG_CONFIG_BOOL, offsetof(type, member.result_allow_any_port), "false", 0, 0, false, false, \
     "Results may come from ports other than 80 and 443."}, \
    {"result-allow-http", VG_CONFIG_BOOL, offsetof(type, member.result_allow_http), "false", 0, 0, false, false, \
     "Results may come over plain http."}, \
    {"result-allow-nets", VG_CONFIG_TEXT, offsetof(type, member.result_allow_nets), NULL, 0, 0, false, false, \
     "Private networks that results may come from, CIDRs divided by commas."}, \
    {"result-egress", VG_CONFIG_TEXT, offsetof(type, member.result_egress), NULL, 0, 0, false, false, \
     "Hosts, .domains and networks that results alone may come from; unset: every public one."}
/* NOLINTEND(bugprone-macro-parentheses) */
/* clang-format on */

struct vg_adapter;

/* Addresses, keys and the adapter's own rows, before start and for --check-config. */
VG_MUSTCHECK int vg_upstream_check(const struct vg_adapter *adapter,
                                   const struct vg_upstream_config *config,
                                   const void *adapter_config, struct vg_err *err);

struct vg_loop *vg_upstream_loop(struct vg_upstream *upstream);
/* For addresses of the operator's alone. */
struct vg_http_client *vg_upstream_client(struct vg_upstream *upstream);

#endif
