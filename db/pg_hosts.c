/* SPDX-License-Identifier: Apache-2.0 */
#include "db/pg_hosts.h"

#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "common/mem.h"
#include "common/str.h"

enum { TIMEOUT_MS = 3000 };

/* What the URL may overrule. A dead server is noticed in about ten seconds: idle by keepalives,
 * with bytes under way by tcp_user_timeout. */
static const struct {
    const char *key, *value;
} defaults[] = {
    {"keepalives_idle", "5"},
    {"keepalives_interval", "2"},
    {"keepalives_count", "3"},
    {"tcp_user_timeout", "8000"},
    {"target_session_attrs", "read-write"},
    {"client_encoding", "UTF8"},
};

struct vg_pg_hosts {
    PQconninfoOption *options; /* owned */
    char *application;         /* owned */
    size_t count;
    int64_t timeout_ms;
    /* One for each server, owned; NULL: the URL names none. */
    char *host[VG_PG_MAX_HOSTS];
    char *hostaddr[VG_PG_MAX_HOSTS];
    char *port[VG_PG_MAX_HOSTS];
};

static const char *value_of(const struct vg_pg_hosts *hosts, const char *key)
{
    for (const PQconninfoOption *one = hosts->options; one->keyword; one++) {
        if (strcmp(one->keyword, key) == 0)
            return one->val;
    }
    return NULL;
}

/* The parts between commas; 0 of none, and of more than there is room for. */
static size_t split(const char *list, char *out[VG_PG_MAX_HOSTS])
{
    size_t count = 0;

    while (list && count < VG_PG_MAX_HOSTS) {
        size_t len = strcspn(list, ",");

        out[count] = vg_xalloc(len + 1);
        memcpy(out[count++], list, len);
        list = list[len] == ',' ? list + len + 1 : NULL;
    }
    return list ? 0 : count;
}

static int set_wrong(struct vg_err *err)
{
    return vg_err_set(err, VG_ERR_UNAVAILABLE, "The database URL cannot be read.");
}

static int split_all(struct vg_pg_hosts *hosts, struct vg_err *err)
{
    size_t names = split(value_of(hosts, "host"), hosts->host);
    size_t addresses = split(value_of(hosts, "hostaddr"), hosts->hostaddr);
    size_t ports = split(value_of(hosts, "port"), hosts->port);

    hosts->count = names > 0 ? names : addresses;
    if (hosts->count == 0) {
        hosts->count = 1;
        return value_of(hosts, "host") || value_of(hosts, "hostaddr") ? set_wrong(err) : 0;
    }
    if ((names > 0 && addresses > 0 && names != addresses) || (ports > 1 && ports != hosts->count))
        return set_wrong(err);
    for (size_t i = 1; ports == 1 && i < hosts->count; i++)
        hosts->port[i] = vg_xstrdup(hosts->port[0]);
    return 0;
}

int vg_pg_hosts_new(struct vg_pg_hosts **out, const char *url, const char *application,
                    struct vg_err *err)
{
    struct vg_pg_hosts *hosts = vg_xalloc(sizeof(*hosts));
    int64_t seconds = 0;

    hosts->options = PQconninfoParse(url, NULL);
    hosts->application = vg_xstrdup(application);
    hosts->timeout_ms = TIMEOUT_MS;
    if (!hosts->options || split_all(hosts, err) < 0) {
        (void)vg_pg_hosts_free(hosts);
        return set_wrong(err);
    }
    const char *timeout = value_of(hosts, "connect_timeout");

    if (timeout && vg_parse_i64(vg_view_of(timeout), 1, 3600, &seconds) == 0)
        hosts->timeout_ms = seconds * 1000;
    *out = hosts;
    return 0;
}

struct vg_pg_hosts *vg_pg_hosts_free(struct vg_pg_hosts *hosts)
{
    if (!hosts)
        return NULL;
    for (PQconninfoOption *one = hosts->options; one && one->keyword; one++) {
        if (one->val)
            explicit_bzero(one->val, strlen(one->val)); /* a password among them */
    }
    PQconninfoFree(hosts->options);
    for (size_t i = 0; i < VG_PG_MAX_HOSTS; i++) {
        free(hosts->host[i]);
        free(hosts->hostaddr[i]);
        free(hosts->port[i]);
    }
    free(hosts->application);
    free(hosts);
    return NULL;
}

size_t vg_pg_hosts_count(const struct vg_pg_hosts *hosts)
{
    return hosts->count;
}

int64_t vg_pg_hosts_timeout_ms(const struct vg_pg_hosts *hosts)
{
    return hosts->timeout_ms;
}

static void put(struct vg_pg_host *out, size_t *count, const char *key, const char *value)
{
    if (!value || *count + 1 >= VG_PG_MAX_KEYS)
        return;
    out->keys[*count] = key;
    out->values[(*count)++] = value;
}

void vg_pg_hosts_get(const struct vg_pg_hosts *hosts, size_t index, struct vg_pg_host *out)
{
    size_t count = 0;

    VG_ASSERT(index < hosts->count);
    memset(out, 0, sizeof(*out));
    put(out, &count, "fallback_application_name", hosts->application);
    for (size_t i = 0; i < VG_COUNT(defaults); i++) {
        if (!value_of(hosts, defaults[i].key))
            put(out, &count, defaults[i].key, defaults[i].value);
    }
    for (const PQconninfoOption *one = hosts->options; one->keyword; one++) {
        if (strcmp(one->keyword, "host") == 0)
            put(out, &count, "host", hosts->host[index]);
        else if (strcmp(one->keyword, "hostaddr") == 0)
            put(out, &count, "hostaddr", hosts->hostaddr[index]);
        else if (strcmp(one->keyword, "port") == 0)
            put(out, &count, "port", hosts->port[index]);
        else if (strcmp(one->keyword, "fallback_application_name") != 0)
            put(out, &count, one->keyword, one->val);
    }
}
