/* SPDX-License-Identifier: Apache-2.0 */
#include "service/app_setup.h"

#include <stdlib.h>
#include <string.h>

#include "common/mem.h"
#include "common/peer.h"
#include "common/str.h"
#include "common/webhook_secret.h"

static bool set(const char *text)
{
    return text && *text;
}

static int check_texts(const struct vg_app_config *c, struct vg_err *err)
{
    if (!set(c->database_url) || !set(c->blob_dir))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                          "database-url and blob-dir must not be empty");
    if (set(c->admin_key) && strlen(c->admin_key) < 16)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                          "admin-key must have at least 16 characters");
    if (strcmp(c->on_unknown_submit, "fail") != 0 && strcmp(c->on_unknown_submit, "retry") != 0)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "on-unknown-submit must be fail or retry");
    if (set(c->tls_cert) != set(c->tls_key))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "tls-cert and tls-key go together");
    if (set(c->tls_client_ca) && !set(c->tls_cert))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "tls-client-ca needs tls-cert");
    if (set(c->workers_tls_cert) != set(c->workers_tls_key))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                          "workers-tls-cert and workers-tls-key go together");
    if (set(c->workers_tls_cert) && !set(c->workers_tls_ca))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "workers-tls-cert needs workers-tls-ca");
    return 0;
}

static int make_public_url(struct vg_app_setup *s, const char *text, struct vg_err *err)
{
    size_t len = text ? strlen(text) : 0;

    if (len > 0 && strncmp(text, "http://", 7) != 0 && strncmp(text, "https://", 8) != 0)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                          "public-url must begin with http:// or https://");
    while (len > 0 && text[len - 1] == '/')
        len--;
    s->public_url = vg_xmemdup(len ? text : "", len);
    return 0;
}

/* Names alone; the addresses are for the jobs' side. */
static int make_providers(struct vg_app_setup *s, const char *text, struct vg_err *err)
{
    size_t size = text ? strlen(text) + 1 : 1, max = 1;
    struct vg_view one;

    for (const char *p = text; p && *p; p++)
        max += *p == ',';
    s->providers = vg_xcalloc(max, sizeof(*s->providers));
    s->providers_text = vg_xcalloc(size, 1);
    char *to = s->providers_text; /* a name and its end fit where "NAME=" stood */
    while (text && *text && vg_list_cut(&text, &one)) {
        const char *equals = memchr(one.data, '=', one.len);
        if (!equals || equals == one.data || equals + 1 == one.data + one.len)
            return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                              "workers: \"%.*s\" is not NAME=HOST:PORT",
                              (int)(one.len < 80 ? one.len : 80), one.data);
        size_t len = (size_t)(equals - one.data);
        memcpy(to, one.data, len);
        s->providers[s->provider_count++] = to;
        to += len + 1;
    }
    return 0;
}

static int make_links(struct vg_app_setup *s, const struct vg_app_config *c, struct vg_err *err)
{
    const struct vg_link_options options = {.secrets = c->link_secrets,
                                            .secret_key = c->secret_key,
                                            .old_secret_keys = c->old_secret_keys,
                                            .public_url = s->public_url,
                                            .ttl_s = c->link_ttl_ms / 1000};

    return vg_links_new(&s->links, &options, err);
}

static bool has_provider(const struct vg_app_setup *s, const char *name)
{
    for (size_t i = 0; i < s->provider_count; i++)
        if (strcmp(s->providers[i], name) == 0)
            return true;
    return false;
}

static int make_route_all(struct vg_app_setup *s, const char *text, struct vg_err *err)
{
    if (!set(text))
        return 0;
    const char *slash = strchr(text, '/');
    size_t len = slash ? (size_t)(slash - text) : strlen(text);
    s->route_all_provider = vg_xmemdup(text, len);
    s->route_all_model = vg_xstrdup(slash ? slash + 1 : s->route_all_provider);
    if (!*s->route_all_model)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST, "route-all: the model is empty");
    if (!has_provider(s, s->route_all_provider))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                          "route-all: no worker for \"%s\" is configured", s->route_all_provider);
    return 0;
}

static int make_default_callback(struct vg_app_setup *s, const struct vg_app_config *c,
                                 struct vg_err *err)
{
    struct vg_buf normal;

    if (!set(c->default_callback_url) && !set(c->default_callback_secret))
        return 0;
    if (!set(c->default_callback_url) || !set(c->default_callback_secret))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                          "default-callback-url and default-callback-secret go together");
    if (strlen(c->default_callback_secret) > VG_MAX_CALLBACK_SECRET)
        return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                          "default-callback-secret is longer than %d bytes",
                          VG_MAX_CALLBACK_SECRET);
    if (!vg_webhook_secret_ok(c->default_callback_secret))
        return vg_err_set(err, VG_ERR_INVALID_REQUEST,
                          "default-callback-secret: whsk_ is no ed25519 key");
    vg_buf_init(&normal, (size_t)VG_MAX_CALLBACK_URL * 4);
    int rc = vg_http_guard_url(&s->callback_guard, c->default_callback_url, "default-callback-url",
                               &normal, err);
    if (rc == 0)
        s->default_callback_url = vg_xmemdup(normal.data, normal.len);
    vg_buf_fini(&normal);
    return rc;
}

int vg_app_setup_make(struct vg_app_setup *out, const struct vg_app_config *c, struct vg_err *err)
{
    struct vg_app_setup s = {.catalog_path = set(c->catalog) ? c->catalog : VG_CATALOG_FILE};

    s.callback_guard = (struct vg_http_guard){
        .allow_http = c->callback_allow_http,
        .allow_any_port = c->callback_allow_any_port,
        .allow_nets = c->callback_allow_nets,
        .egress = c->callback_egress,
        .own = {c->listen, c->monitor, c->workers, c->webhook},
    };
    s.image_guard = (struct vg_http_guard){
        .allow_http = c->image_allow_http,
        .allow_any_port = c->image_allow_any_port,
        .allow_nets = c->image_allow_nets,
        .egress = c->image_egress,
        .own = {c->listen, c->monitor, c->workers, c->webhook},
    };
    if (check_texts(c, err) < 0 || vg_peer_nets_check(c->trusted_peers, "trusted-peers", err) < 0 ||
        vg_keyring_init(&s.keyring, c->secret_key ? c->secret_key : "", c->old_secret_keys, err) <
            0 ||
        vg_http_guard_check(&s.callback_guard, err) < 0 ||
        vg_http_guard_check(&s.image_guard, err) < 0 ||
        make_public_url(&s, c->public_url, err) < 0 || make_links(&s, c, err) < 0 ||
        vg_peppers_new(&s.peppers, c->key_peppers, c->secret_key, c->old_secret_keys, err) < 0 ||
        vg_event_addresses_new(&s.event_addresses, c->events_url, c->secret_key, c->old_secret_keys,
                               err) < 0 ||
        make_providers(&s, c->workers, err) < 0 || make_route_all(&s, c->route_all, err) < 0 ||
        (set(c->route_order) && vg_route_order_parse(c->route_order, &s.order, err) < 0) ||
        make_default_callback(&s, c, err) < 0 ||
        vg_catalog_load(&s.catalog, s.catalog_path, err) < 0) {
        vg_app_setup_fini(&s);
        return -1;
    }
    *out = s;
    return 0;
}

void vg_app_setup_fini(struct vg_app_setup *setup)
{
    setup->catalog = vg_catalog_unref(setup->catalog);
    setup->links = vg_links_free(setup->links);
    setup->peppers = vg_peppers_free(setup->peppers);
    setup->event_addresses = vg_event_addresses_free(setup->event_addresses);
    free(setup->public_url);
    free(setup->route_all_provider);
    free(setup->route_all_model);
    free(setup->default_callback_url);
    free(setup->providers_text);
    free(setup->providers);
    vg_keyring_wipe(&setup->keyring);
    *setup = (struct vg_app_setup){.catalog = NULL};
}
