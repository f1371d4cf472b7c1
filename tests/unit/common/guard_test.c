/* SPDX-License-Identifier: Apache-2.0 */
#include "common/http/guard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include <cmocka.h>

#include "common/mem.h"

/* As open as it can be without private nets: what is refused here is refused for what it is. */
static const struct vg_http_guard open_guard = {.allow_http = true, .allow_any_port = true};
static const struct vg_http_guard strict_guard = {0};

static int judge(const struct vg_http_guard *guard, const char *url)
{
    return vg_http_guard_url(guard, url, "callback_url", NULL, NULL);
}

static void expect_refused(const struct vg_http_guard *guard, const char *const *urls, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (judge(guard, urls[i]) == 0)
            fail_msg("passed: %s", urls[i]);
}

static void guard__refuses_every_spelling_of_a_private_ipv4_address(void **state)
{
    static const char *const urls[] = {
        "http://127.0.0.1/",
        "http://127.0.0.1",
        "http://127.0.0.1:8080/",
        "http://127.1/",
        "http://127.0.1/",
        "http://127/",
        "http://127.255.255.254/",
        "http://2130706433/",
        "http://017700000001/",
        "http://0177.0.0.1/",
        "http://0177.1/",
        "http://00177.0.0.1/",
        "http://0x7f000001/",
        "http://0x7f.0.0.1/",
        "http://0x7F.1/",
        "http://0X7f.0.0.1/",
        "http://0x7f.0x0.0x0.0x1/",
        "http://0x0000007f.0.0.1/",
        "http://0o177.0.0.1/",
        "http://127.0.0.01/",
        "http://127.0x0.0.1/",
        "http://0/",
        "http://0.0.0.0/",
        "http://0.0/",
        "http://0x0/",
        "http://00000000000/",
        "http://127.0.0.1./",
        "http://127.0.0.1../",
        "http://127..1/",
        "http://127.0.0.1.5/",
        "http://1.2.3.256/",
        "http://999.1.1.1/",
        "http://4294967296/",
        "http://99999999999999999999/",
        "http://0x100000000/",
        "http://10.0.0.1/",
        "http://10.255.255.255/",
        "http://10.1/",
        "http://167772161/",
        "http://0xa000001/",
        "http://012.0.0.1/",
        "http://100.64.0.1/",
        "http://100.127.255.255/",
        "http://100.100.100.200/latest/meta-data/",
        "http://168.63.129.16/",
        "http://169.254.169.254/latest/meta-data/",
        "http://169.254.0.1/",
        "http://2852039166/",
        "http://0xA9FEA9FE/",
        "http://0251.0376.0251.0376/",
        "http://169.254.43518/",
        "http://169.16689662/",
        "http://169.254.170.2/",
        "http://172.16.0.1/",
        "http://172.31.255.255/",
        "http://192.0.0.192/",
        "http://192.0.0.1/",
        "http://192.0.2.1/",
        "http://192.88.99.1/",
        "http://192.168.0.1/",
        "http://192.168.257/",
        "http://3232235777/",
        "http://0300.0250.0.1/",
        "http://198.18.0.1/",
        "http://198.19.255.255/",
        "http://198.51.100.7/",
        "http://203.0.113.7/",
        "http://224.0.0.1/",
        "http://239.255.255.250/",
        "http://240.0.0.1/",
        "http://255.255.255.255/",
        "http://4294967295/",
        "http://0xffffffff/",
    };

    (void)state;
    expect_refused(&open_guard, urls, VG_COUNT(urls));
}

static void guard__refuses_every_spelling_of_a_private_ipv6_address(void **state)
{
    static const char *const urls[] = {
        "http://[::1]/",
        "http://[::1]:8080/",
        "http://[0:0:0:0:0:0:0:1]/",
        "http://[0000:0000:0000:0000:0000:0000:0000:0001]/",
        "http://[::0001]/",
        "http://[0::1]/",
        "http://[::0:1]/",
        "http://[::]/",
        "http://[0:0:0:0:0:0:0:0]/",
        "http://[::0]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[::ffff:7f00:1]/",
        "http://[::FFFF:7F00:0001]/",
        "http://[0:0:0:0:0:ffff:127.0.0.1]/",
        "http://[0:0:0:0:0:ffff:7f00:1]/",
        "http://[::ffff:10.0.0.1]/",
        "http://[::ffff:169.254.169.254]/",
        "http://[::ffff:a9fe:a9fe]/",
        "http://[::ffff:192.168.0.1]/",
        "http://[::ffff:0.0.0.0]/",
        "http://[::127.0.0.1]/",
        "http://[::7f00:1]/",
        "http://[::10.0.0.1]/",
        "http://[::8.8.8.8]/",
        "http://[::ffff:0:127.0.0.1]/",
        "http://[::ffff:0:7f00:1]/",
        "http://[64:ff9b::127.0.0.1]/",
        "http://[64:ff9b::7f00:1]/",
        "http://[64:ff9b::169.254.169.254]/",
        "http://[64:ff9b::a00:1]/",
        "http://[64:ff9b::8.8.8.8]/",
        "http://[64:ff9b:1::1]/",
        "http://[64:ff9b:1:a9fe:a9fe::]/",
        "http://[100::1]/",
        "http://[2001::1]/",
        "http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
        "http://[2001:10::1]/",
        "http://[2001:20::1]/",
        "http://[2001:2::1]/",
        "http://[2001:1ff:ffff::1]/",
        "http://[2001:db8::1]/",
        "http://[2002:7f00:1::]/",
        "http://[2002:a00:1::1]/",
        "http://[2002:a9fe:a9fe::]/",
        "http://[2002:808:808::1]/",
        "http://[3fff::1]/",
        "http://[3fff:fff::1]/",
        "http://[4000::1]/",
        "http://[5f00::1]/",
        "http://[fc00::1]/",
        "http://[fd00::1]/",
        "http://[fd00:ec2::254]/latest/meta-data/",
        "http://[fdff:ffff::1]/",
        "http://[fe80::1]/",
        "http://[fe80::1%25eth0]/",
        "http://[fe80::1%eth0]/",
        "http://[fe80::1%25lo]/",
        "http://[::1%25lo]/",
        "http://[2606:4700::1%25eth0]/",
        "http://[febf::1]/",
        "http://[fec0::1]/",
        "http://[feff::1]/",
        "http://[ff02::1]/",
        "http://[ff0e::1]/",
        "http://[ff05::1:3]/",
        "http://[1::1]/",
        "http://[1fff::1]/",
        "http://[::1",
        "http://::1]/",
        "http://::1/",
        "http://[]/",
        "http://[:]/",
        "http://[127.0.0.1]/",
        "http://[::1]]/",
        "http://[[::1]]/",
        "http://[::1].example.com/",
        "http://[g::1]/",
        "http://[1:2:3:4:5:6:7]/",
        "http://[v1.x]/",
    };

    (void)state;
    expect_refused(&open_guard, urls, VG_COUNT(urls));
}

static void guard__refuses_local_names(void **state)
{
    static const char *const urls[] = {
        "http://localhost/",
        "http://LOCALHOST/",
        "http://LocalHost:8080/",
        "http://localhost./",
        "http://foo.localhost/",
        "http://a.b.LOCALHOST/",
        "http://localhost.localdomain/",
        "http://metadata.google.internal/computeMetadata/v1/",
        "http://metadata/",
        "http://METADATA.GOOGLE.INTERNAL/",
        "http://instance-data/",
        "http://intranet/",
        "http://printer.local/",
        "http://router.lan/",
        "http://nas.home.arpa/",
        "http://x.internal/",
        "http://internal/",
        "http://kubernetes/",
        "http://ip6-localhost/",
    };

    (void)state;
    expect_refused(&open_guard, urls, VG_COUNT(urls));
}

static void guard__refuses_tricks_of_form(void **state)
{
    static const char *const urls[] = {
        "",
        " ",
        "http",
        "http:",
        "http:/",
        "http://",
        "http:///",
        "http:///127.0.0.1/",
        "http:/127.0.0.1/",
        "http:127.0.0.1/",
        "http:////example.com/",
        "//example.com/",
        "example.com",
        "example.com:80",
        "https//example.com/",
        "https:example.com",
        "ftp://example.com/",
        "file:///etc/passwd",
        "gopher://example.com/",
        "dict://example.com:11211/",
        "ldap://example.com/",
        "javascript:alert(1)",
        "data:text/plain,x",
        "ws://example.com/",
        "unix:///run/x",
        "jar:http://example.com!/",
        "httpx://example.com/",
        "http+unix://%2Frun%2Fx/",
        "view-source:http://example.com/",
        "http://user@example.com/",
        "http://user:pass@example.com/",
        "http://:@example.com/",
        "http://@example.com/",
        "http://example.com@127.0.0.1/",
        "http://127.0.0.1@example.com/",
        "http://127.0.0.1:80@example.com/",
        "http://example.com:80@127.0.0.1:80/",
        "http://a@b@127.0.0.1/",
        "http://example.com#@127.0.0.1/",
        "http://127.0.0.1#@example.com/",
        "http://example.com?@127.0.0.1/",
        "http://127.0.0.1?@example.com/",
        "http://example.com/#@127.0.0.1/",
        "http://example.com\\@127.0.0.1/",
        "http://127.0.0.1\\@example.com/",
        "http:\\\\example.com\\",
        "http://example.com\\",
        "http://example.com/\\",
        "http://127.0.0.1%2f@example.com/",
        "http://%31%32%37.0.0.1/",
        "http://127%2e0%2e0%2e1/",
        "http://%6c%6f%63%61%6c%68%6f%73%74/",
        "http://loc%61lhost/",
        "http://example.com%00.evil.net/",
        "http://example%2ecom/",
        "http://\xe2\x91\xa0\xe2\x91\xa1\xe2\x91\xa6.0.0.1/", /* circled digits */
        "http://127\343\200\2020\343\200\2020\343\200\2021/", /* ideographic stops */
        "http://\xef\xbc\x91\xef\xbc\x92\xef\xbc\x97.0.0.1/", /* full-width digits */
        "http://\xe2\x93\x81ocalhost/",
        "http://locaLho\xc5\xbft/",
        "http://ex\xc3\xa4mple.com/",
        "http://example.com/\xc3\xa4",
        " http://example.com/",
        "http://example.com/ ",
        "http://exa mple.com/",
        "http://example.com/a b",
        "http://example.com/\r\nHost: x",
        "http://example.com\r\n/",
        "http://example.com\n.evil.net/",
        "http://example.com\t/",
        "http://\177example.com/",
        "http://example.com/\x01",
        "http://example.com:0/",
        "http://example.com:65536/",
        "http://example.com:99999/",
        "http://example.com:-1/",
        "http://example.com:80:80/",
        "http://example.com:8o/",
        "http://example.com:80a/",
        "http://example.com:+80/",
        "http://example.com: 80/",
        "http://example.com:4294967376/",
        "http://example.com./",
        "http://.example.com/",
        "http://example..com/",
        "http://./",
        "http://../",
        "http://.../",
        "http://-/",
        "http://_/",
        "http://example.com:80./",
        "http://exam*ple.com/",
        "http://exam!ple.com/",
        "http://ex$ample.com/",
        "http://a,b.com/",
        "http://a;b.com/",
        "http://a'b.com/",
        "http://a(b).com/",
        "http://a=b.com/",
        "http://a&b.com/",
        "http://a~b.com/",
        "http://<example>.com/",
        "http://\"example\".com/",
        "http://`id`.com/",
        "http://{a}.com/",
        "http://a|b.com/",
        "http://a^b.com/",

        "http://example.0x7f/",
        "http://example.1/",
    };

    (void)state;
    expect_refused(&open_guard, urls, VG_COUNT(urls));
}

static void guard__refuses_long_names_and_addresses(void **state)
{
    char url[8400];

    (void)state;
    for (size_t len = 8192; len <= 8193; len++) {
        memset(url, 'a', len);
        memcpy(url, "https://example.com/", strlen("https://example.com/"));
        url[len] = '\0';
        assert_int_equal(judge(&open_guard, url), len > 8192 ? -1 : 0);
    }
    for (size_t len = 63; len <= 64; len++) {
        strncpy(url, "https://", sizeof(url));
        memset(url + 8, 'a', len);
        memcpy(url + 8 + len, ".com/", 6);
        assert_int_equal(judge(&open_guard, url), len > 63 ? -1 : 0);
    }
    strncpy(url, "https://", sizeof(url));
    for (size_t i = 0; i < 130; i++)
        memcpy(url + 8 + 2 * i, "a.", 3);
    memcpy(url + 8 + 260, "com/", 5);
    assert_int_equal(judge(&open_guard, url), -1);
}

static void guard__takes_ordinary_public_urls(void **state)
{
    static const char *const urls[] = {
        "https://example.com",
        "https://example.com/",
        "https://EXAMPLE.com/Path",
        "HTTPS://example.com/",
        "https://www.example.co.uk/hooks/video?id=1&x=a%20b",
        "https://api.example.com:443/v1/callback",
        "https://hooks.example.io/services/T00/B00/XX",
        "https://a-b.example.com/",
        "https://a_b.example.com/",
        "https://xn--bcher-kva.example/",
        "https://1.example.com/",
        "https://123.com/",
        "https://3com.com/",
        "https://0x.org/",
        "https://example.museum/",
        "https://localhost.example.com/",
        "https://internal.example.com/",
        "https://127.0.0.1.nip.io/",
        "https://8.8.8.8/",
        "https://1.1.1.1/dns-query",
        "https://172.15.255.255/",
        "https://172.32.0.1/",
        "https://100.63.255.255/",
        "https://100.128.0.1/",
        "https://192.167.1.1/",
        "https://198.17.1.1/",
        "https://198.20.0.1/",
        "https://223.255.255.254/",
        "https://11.0.0.1/",
        "https://126.255.255.255/",
        "https://128.0.0.1/",
        "https://169.253.1.1/",
        "https://[2606:4700:4700::1111]/",
        "https://[2001:4860:4860::8888]/",
        "https://[2a00:1450:4001:81b::200e]:443/",
        "https://[2003::1]/",
        "https://[2400::1]/",
        "https://[::ffff:8.8.8.8]/",
        "https://storage.googleapis.com/bucket/o?X-Goog-Signature=abc%2Fdef",
        "https://example.com/path;v=1/a@b/c",
        "https://example.com/?q=a@b.c",
        "https://example.com/#top",
        "https://example.com/a/../b/./c",
        "https://example.com/%e4%bd%a0",
        "https://example.com?x=1",
        "https://sub.sub2.sub3.example.com/a//b",
        "https://example.com/~user/(x)!*'",
        "https://webhook.site/0f0f0f0f-0000-4000-8000-000000000000",
    };
    struct vg_err err;

    (void)state;
    for (size_t i = 0; i < VG_COUNT(urls); i++)
        if (vg_http_guard_url(&strict_guard, urls[i], "url", NULL, &err) != 0)
            fail_msg("refused: %s: %s", urls[i], err.detail);
}

static void guard__strict_means_https_and_web_ports(void **state)
{
    struct vg_http_guard guard = {0};

    (void)state;
    assert_int_equal(judge(&guard, "http://example.com/"), -1);
    assert_int_equal(judge(&guard, "https://example.com:8443/"), -1);
    assert_int_equal(judge(&guard, "https://example.com:22/"), -1);
    assert_int_equal(judge(&guard, "https://example.com:80/"), 0);
    guard.allow_http = true;
    assert_int_equal(judge(&guard, "http://example.com/"), 0);
    assert_int_equal(judge(&guard, "http://example.com:8080/"), -1);
    guard.allow_any_port = true;
    assert_int_equal(judge(&guard, "http://example.com:8080/"), 0);
    assert_int_equal(judge(&guard, "http://example.com:65535/"), 0);
}

static void guard__gives_the_normalised_address(void **state)
{
    struct vg_buf out;

    (void)state;
    vg_buf_init(&out, 256);
    assert_int_equal(
        vg_http_guard_url(&open_guard, "HTTP://example.com:8080/a/../b?x#frag", "u", &out, NULL),
        0);
    assert_string_equal(out.data, "http://example.com:8080/b?x");
    vg_buf_clear(&out);
    assert_int_equal(vg_http_guard_url(&open_guard, "http://0x8080808/", "u", &out, NULL), 0);
    assert_string_equal(out.data, "http://8.8.8.8/");
    vg_buf_fini(&out);
}

static void guard__names_the_field_and_the_reason(void **state)
{
    struct vg_err err;

    (void)state;
    assert_int_equal(vg_http_guard_url(&strict_guard, "https://10.1/", "callback_url", NULL, &err),
                     -1);
    assert_int_equal(err.kind, VG_ERR_INVALID_REQUEST);
    assert_string_equal(err.param, "callback_url");
    assert_string_equal(err.detail, "callback_url: the address is not a public one");
}

static void guard__configured_nets_pass(void **state)
{
    const struct vg_http_guard guard = {.allow_http = true,
                                        .allow_any_port = true,
                                        .allow_nets = "127.0.0.0/8, ::1/128,10.1.2.3,,fd00::/8"};

    (void)state;
    assert_int_equal(vg_http_guard_check(&guard, NULL), 0);
    assert_int_equal(judge(&guard, "http://127.0.0.1:8088/"), 0);
    assert_int_equal(judge(&guard, "http://[::ffff:127.0.0.1]/"), 0);
    assert_int_equal(judge(&guard, "http://localhost:8088/hook"), 0);
    assert_int_equal(judge(&guard, "http://receiver:8088/hook"), 0);
    assert_int_equal(judge(&guard, "http://[::1]/"), 0);
    assert_int_equal(judge(&guard, "http://10.1.2.3/"), 0);
    assert_int_equal(judge(&guard, "http://[fd12::1]/"), 0);
    assert_int_equal(judge(&guard, "http://10.1.2.4/"), -1);
    assert_int_equal(judge(&guard, "http://169.254.169.254/"), -1);
    assert_int_equal(judge(&guard, "http://[fc00::1]/"), -1);
    assert_int_equal(judge(&guard, "http://[::]/"), -1);
    assert_int_equal(judge(&guard, "http://0.0.0.0/"), -1);
}

static void guard__localhost_needs_its_net(void **state)
{
    const struct vg_http_guard guard = {
        .allow_http = true, .allow_any_port = true, .allow_nets = "10.0.0.0/8"};
    const struct vg_http_guard empty = {.allow_http = true, .allow_nets = ""};

    (void)state;
    assert_int_equal(judge(&empty, "http://receiver/"), -1);
    assert_int_equal(judge(&guard, "http://localhost/"), -1);
    assert_int_equal(judge(&guard, "http://a.localhost/"), -1);
    assert_int_equal(judge(&guard, "http://receiver/"), 0);
}

static void guard__checks_configured_nets(void **state)
{
    static const char *const bad[] = {"x",          "10.0.0.0/33", "10.0.0.0/-1",  "10.0.0/8",
                                      "::1/129",    "10.0.0.0/",   "10.0.0.0/8/8", "127.0.0.0/8,y",
                                      "1.2.3.4 /8", "10.0.0.0/ 8"};

    (void)state;
    for (size_t i = 0; i < VG_COUNT(bad); i++) {
        const struct vg_http_guard guard = {.allow_nets = bad[i]};
        struct vg_err err = {.kind = VG_ERR_MAX};
        assert_int_equal(vg_http_guard_check(&guard, &err), -1);
        assert_int_equal(err.kind, VG_ERR_INVALID_REQUEST);
    }
    assert_int_equal(vg_http_guard_check(&strict_guard, NULL), 0);
}

static void guard__egress_names_what_alone_may_be_reached(void **state)
{
    static const struct {
        const char *list, *url;
        bool passes;
    } cases[] = {
        {"hooks.example.com", "https://hooks.example.com/x", true},
        {"hooks.example.com", "https://HOOKS.example.COM/x", true},
        {"hooks.example.com", "https://a.hooks.example.com/", false},
        {"hooks.example.com", "https://example.com/", false},
        {"hooks.example.com", "https://hooks.example.com.evil.net/", false},
        {"hooks.example.com", "https://xhooks.example.com/", false},
        {".example.com", "https://example.com/", true},
        {".example.com", "https://a.b.example.com/", true},
        {".example.com", "https://notexample.com/", false},
        {".example.com", "https://example.com.net/", false},
        {"hooks.example.com", "https://8.8.8.8/", false},
        {"a.io, 8.8.0.0/16", "https://8.8.8.8/", true},
        {"a.io, 8.8.0.0/16", "https://8.9.8.8/", false},
        {"a.io, 8.8.0.0/16", "https://[2606:4700::1]/", false},
        {"2606:4700::/32", "https://[2606:4700::1]/", true},
        {"a.io, 8.8.0.0/16", "https://a.io/", true},
        {"a.io, 8.8.0.0/16", "https://b.io/", true}, /* its address decides, at the socket */
        {"10.0.0.0/8", "https://10.0.0.1/", false},  /* private all the same */
        {"", "https://b.io/", true},
        {" , ", "https://b.io/", false},
    };

    (void)state;
    for (size_t i = 0; i < VG_COUNT(cases); i++) {
        const struct vg_http_guard guard = {.egress = cases[i].list};
        assert_int_equal(vg_http_guard_check(&guard, NULL), 0);
        if ((judge(&guard, cases[i].url) == 0) != cases[i].passes)
            fail_msg("%s with %s", cases[i].url, cases[i].list);
    }
}

static void guard__egress_is_judged_at_the_socket_too(void **state)
{
    const struct vg_http_guard guard = {.egress = "a.io,.b.io,8.8.0.0/16"};
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(443)};
    const struct sockaddr *address = (const struct sockaddr *)&in;

    (void)state;
    assert_true(vg_http_guard_names(&guard, "https://a.io/"));
    assert_true(vg_http_guard_names(&guard, "https://x.b.io:443/y"));
    assert_false(vg_http_guard_names(&guard, "https://c.io/"));
    assert_true(vg_http_guard_names(&strict_guard, "https://c.io/"));
    in.sin_addr.s_addr = htonl(0x08080808);
    assert_true(vg_http_guard_allows(&guard, address, false));
    in.sin_addr.s_addr = htonl(0x09080808);
    assert_false(vg_http_guard_allows(&guard, address, false));
    assert_true(vg_http_guard_allows(&guard, address, true));
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK); /* a listed name may not lead inside */
    assert_false(vg_http_guard_allows(&guard, address, true));
}

static void guard__checks_the_egress_list(void **state)
{
    static const char *const bad[] = {
        "https://a.io", "a.io:443", "*.a.io",      "a..io",    "a.io.", ".",   "a b.io",
        "10.0.0.256",   "1.2.3",    "10.0.0.0/33", "a.io,b/c", "[::1]", "::g", "7"};

    (void)state;
    for (size_t i = 0; i < VG_COUNT(bad); i++) {
        const struct vg_http_guard guard = {.egress = bad[i]};
        struct vg_err err = {.kind = VG_ERR_MAX};
        if (vg_http_guard_check(&guard, &err) == 0)
            fail_msg("passed: %s", bad[i]);
        assert_int_equal(err.kind, VG_ERR_INVALID_REQUEST);
    }
}

/* Whatever nets are allowed: nobody makes us call ourselves. */
static void guard__never_reaches_our_own_ports(void **state)
{
    const struct vg_http_guard guard = {
        .allow_http = true,
        .allow_any_port = true,
        .allow_nets = "0.0.0.0/0,::/0",
        .own = {"0.0.0.0:8086", NULL, "fal=127.0.0.1:8090,x,y=h:9"}};

    (void)state;
    assert_int_equal(judge(&guard, "http://127.0.0.1:8086/"), -1);
    assert_int_equal(judge(&guard, "http://127.9.9.9:8086/"), -1);
    assert_int_equal(judge(&guard, "http://[::ffff:127.0.0.1]:8086/"), -1);
    assert_int_equal(judge(&guard, "http://0.0.0.0:8086/"), -1);
    assert_int_equal(judge(&guard, "http://[::]:8086/"), -1);
    assert_int_equal(judge(&guard, "http://127.0.0.1:8090/"), -1);
    assert_int_equal(judge(&guard, "http://127.0.0.1:9/"), -1);
    assert_int_equal(judge(&guard, "http://127.0.0.1:8087/"), 0);
    assert_int_equal(judge(&guard, "http://8.8.8.8:8086/"), 0); /* somebody else's port */
}

static bool address_passes(const char *text)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
        return vg_http_guard_allows(&strict_guard, (const struct sockaddr *)&in, true);
    assert_int_equal(inet_pton(AF_INET6, text, &in6.sin6_addr), 1);
    return vg_http_guard_allows(&strict_guard, (const struct sockaddr *)&in6, true);
}

static void guard__judges_socket_addresses(void **state)
{
    static const char *const bad[] = {"0.0.0.0",
                                      "127.0.0.1",
                                      "10.0.0.0",
                                      "169.254.169.254",
                                      "192.168.255.255",
                                      "::",
                                      "::1",
                                      "::ffff:10.0.0.1",
                                      "64:ff9b::7f00:1",
                                      "64:ff9b::808:808",
                                      "fe80::1",
                                      "2002:808:808::1",
                                      "ff02::1"};
    static const char *const good[] = {"8.8.8.8", "9.255.255.255", "2606:4700::1",
                                       "::ffff:8.8.8.8"};
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    (void)state;
    for (size_t i = 0; i < VG_COUNT(bad); i++)
        if (address_passes(bad[i]))
            fail_msg("passed: %s", bad[i]);
    for (size_t i = 0; i < VG_COUNT(good); i++)
        if (!address_passes(good[i]))
            fail_msg("refused: %s", good[i]);
    assert_false(vg_http_guard_allows(&strict_guard, (const struct sockaddr *)&un, true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(guard__refuses_every_spelling_of_a_private_ipv4_address),
        cmocka_unit_test(guard__refuses_every_spelling_of_a_private_ipv6_address),
        cmocka_unit_test(guard__refuses_local_names),
        cmocka_unit_test(guard__refuses_tricks_of_form),
        cmocka_unit_test(guard__refuses_long_names_and_addresses),
        cmocka_unit_test(guard__takes_ordinary_public_urls),
        cmocka_unit_test(guard__strict_means_https_and_web_ports),
        cmocka_unit_test(guard__gives_the_normalised_address),
        cmocka_unit_test(guard__names_the_field_and_the_reason),
        cmocka_unit_test(guard__configured_nets_pass),
        cmocka_unit_test(guard__localhost_needs_its_net),
        cmocka_unit_test(guard__checks_configured_nets),
        cmocka_unit_test(guard__egress_names_what_alone_may_be_reached),
        cmocka_unit_test(guard__egress_is_judged_at_the_socket_too),
        cmocka_unit_test(guard__checks_the_egress_list),
        cmocka_unit_test(guard__never_reaches_our_own_ports),
        cmocka_unit_test(guard__judges_socket_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
