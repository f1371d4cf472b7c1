/* SPDX-License-Identifier: Apache-2.0 */
#include "common/http/url.h"

#include <curl/curl.h>
#include <string.h>
#include <strings.h>

static CURLU *parse(const char *text)
{
    CURLU *url = curl_url();

    if (url && curl_url_set(url, CURLUPART_URL, text, CURLU_DISALLOW_USER) == CURLUE_OK)
        return url;
    curl_url_cleanup(url);
    return NULL;
}

static bool part_equal(CURLU *a, CURLU *b, CURLUPart part, unsigned flags)
{
    char *x = NULL, *y = NULL;
    bool same = curl_url_get(a, part, &x, flags) == CURLUE_OK &&
                curl_url_get(b, part, &y, flags) == CURLUE_OK && strcasecmp(x, y) == 0;

    curl_free(x);
    curl_free(y);
    return same;
}

bool vg_url_same_origin(const char *a, const char *b)
{
    CURLU *x = parse(a), *y = parse(b);
    bool same = x && y && part_equal(x, y, CURLUPART_SCHEME, 0) &&
                part_equal(x, y, CURLUPART_HOST, 0) &&
                part_equal(x, y, CURLUPART_PORT, CURLU_DEFAULT_PORT);

    curl_url_cleanup(x);
    curl_url_cleanup(y);
    return same;
}

static bool is_web(CURLU *url)
{
    char *scheme = NULL;
    bool web = curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
               (strcmp(scheme, "https") == 0 || strcmp(scheme, "http") == 0);

    curl_free(scheme);
    return web;
}

bool vg_url_resolve(const char *base, const char *reference, struct vg_buf *out)
{
    CURLU *url = parse(base);
    char *text = NULL;
    bool ok =
        url && curl_url_set(url, CURLUPART_URL, reference, CURLU_DISALLOW_USER) == CURLUE_OK &&
        is_web(url) && curl_url_set(url, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_URL, &text, 0) == CURLUE_OK && vg_buf_adds(out, text) == 0;

    curl_free(text);
    curl_url_cleanup(url);
    return ok;
}

void vg_url_escape(const char *text, struct vg_buf *out)
{
    static const char hex[] = "0123456789ABCDEF";

    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        bool plain = (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'Z') ||
                     (*p >= 'a' && *p <= 'z') || strchr("-._~", *p);
        char escaped[3] = {'%', hex[*p >> 4], hex[*p & 15]};
        (void)(plain ? vg_buf_addc(out, (char)*p) : vg_buf_add(out, escaped, sizeof(escaped)));
    }
}
