# SPDX-License-Identifier: Apache-2.0
"""Addresses that must be refused (reliability.md 6.3), and ordinary ones that must pass."""
import ipaddress
import random

# One of each class of 6.1, each of which answers on port 80 in the test's network.
INNER4 = ("127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "100.64.0.1", "100.100.100.200", "168.63.129.16", "169.254.169.254", "172.16.0.1",
          "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "240.0.0.1",
          "255.255.255.255")
INNER6 = ("::1", "::", "::10.0.0.1", "::ffff:0:10.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::8.8.8.8", "64:ff9b:1::1", "100::1", "2001::1",
          "2001:db8::1", "2001:20::1", "2002:a00:1::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "4000::1")


def spellings4(text):
    """Every way that some resolver or browser reads as this IPv4 address."""
    a, b, c, d = (int(part) for part in text.split("."))
    whole = int(ipaddress.IPv4Address(text))
    return [text, str(whole), hex(whole), f"0{whole:o}", f"0x{a:x}.{b}.{c}.{d}", f"0{a:o}.0{b:o}.0{c:o}.0{d:o}", f"0x{a:x}.0x{b:x}.0x{c:x}.0x{d:x}",
            f"{a}.{whole & 0xffffff}", f"{a}.{b}.{whole & 0xffff}", text + ".", f"0x{0xabc:x}{whole:08x}", f"0o{a:o}.{b}.{c}.{d}",
            f"[::ffff:{text}]", f"[::ffff:{whole >> 16:x}:{whole & 0xffff:x}]", f"[0:0:0:0:0:ffff:{text}]", f"[::{text}]", f"[64:ff9b::{text}]",
            f"[2002:{whole >> 16:x}:{whole & 0xffff:x}::]", f"[::ffff:0:{text}]"]


def spellings6(text):
    address = ipaddress.IPv6Address(text)
    return [f"[{text}]", f"[{address.exploded}]", f"[{text.upper()}]", f"[{text}%25lo]", f"[{text}%lo]"]


NAMES = ("localhost", "LOCALHOST", "LocalHost", "localhost.", "a.localhost", "x.y.LOCALHOST", "localhost.localdomain", "ip6-localhost", "metadata",
         "metadata.google.internal", "METADATA.google.internal", "instance-data", "kubernetes", "kubernetes.default.svc.cluster.local", "printer.local",
         "router.lan", "nas.home.arpa", "x.intranet", "internal", "postgres")
TRICKS = (
    "http://user@127.0.0.1/", "http://u:p@127.0.0.1/", "http://public.test@127.0.0.1/", "http://127.0.0.1@public.test/", "http://@127.0.0.1/",
    "http://public.test:80@127.0.0.1:80/", "http://127.0.0.1:80@public.test/", "http://a@b@127.0.0.1/", "http://public.test#@127.0.0.1/",
    "http://127.0.0.1#@public.test/", "http://127.0.0.1?@public.test/", "http://public.test?@127.0.0.1/", "http://public.test/#@127.0.0.1/",
    "http://public.test\\@127.0.0.1/", "http://127.0.0.1\\@public.test/", "http:\\\\127.0.0.1\\", "http://127.0.0.1\\", "http:/127.0.0.1/",
    "http:127.0.0.1/", "http:///127.0.0.1/", "http:////127.0.0.1/", "//127.0.0.1/", "127.0.0.1", "127.0.0.1:80", "http://127.0.0.1%2f@public.test/",
    "http://%31%32%37.0.0.1/", "http://127%2e0%2e0%2e1/", "http://%6c%6f%63%61%6c%68%6f%73%74/", "http://loc%61lhost/", "http://public.test%00.evil.test/",
    "http://public.test%2eevil.test/", "http://\u2460\u2461\u2466.0.0.1/", "http://127\u30020\u30020\u30021/", "http://127\uff0e0\uff0e0\uff0e1/",
    "http://\uff11\uff12\uff17.0.0.1/", "http://\u24c1ocalhost/", "http://loca\u217ehost/", "http://locaLho\u017ft/", "http://\u0661\u0662\u0667.0.0.1/",
    "http://ex\u00e4mple.test/", " http://public.test/", "http://public.test/ ", "http://public.test\t/", "http://public.test\r\n/",
    "http://public.test/\r\nHost: 127.0.0.1", "http://public.test\n.evil.test/", "http://pub\tlic.test/", "http://public.test/\x01", "http://\x7fpublic.test/",
    "http://public.test:0/", "http://public.test:65536/", "http://public.test:99999/", "http://public.test:-1/", "http://public.test:80:80/",
    "http://public.test:8o/", "http://public.test:+80/", "http://public.test:4294967376/", "http://public.test./", "http://.public.test/",
    "http://public..test/", "http://./", "http://../", "http://...../", "http://[::1", "http://::1]/", "http://::1/", "http://[]/", "http://[:]/",
    "http://[127.0.0.1]/", "http://[::1]]/", "http://[[::1]]/", "http://[::1].public.test/", "http://[v1.x]/", "http://[1:2:3:4:5:6:7]/",
    "http://public.1/", "http://public.0x7f/", "http://127.0.0.1.5/", "http://127..1/", "http://1.2.3.256/", "http://999.1.1.1/", "http://4294967296/",
    "http://0x100000000/", "http://99999999999999999999/", "http://127/", "http://127.1/", "http://127.0.1/", "http://0/", "http://0x0/", "http://0.0/",
    "http://a,b.test/", "http://a;b.test/", "http://(a).test/", "http://{a}.test/", "http://a|b.test/", "http://<a>.test/", "http://`id`.test/",
    "http://exam*ple.test/", "http://a'b.test/", "http://a=b.test/", "http://\"a\".test/", "http://a^b.test/", "http://a~b.test/",
    "file:///etc/passwd", "file://127.0.0.1/etc/passwd", "ftp://public.test/", "ftps://public.test/", "gopher://127.0.0.1:6379/_INFO", "dict://127.0.0.1:11211/stats",
    "ldap://127.0.0.1/", "ldaps://127.0.0.1/", "smb://127.0.0.1/x", "smtp://127.0.0.1/", "telnet://127.0.0.1/", "tftp://127.0.0.1/x", "sftp://127.0.0.1/x",
    "scp://127.0.0.1/x", "imap://127.0.0.1/", "pop3://127.0.0.1/", "rtsp://127.0.0.1/", "mqtt://127.0.0.1/", "ws://127.0.0.1/", "wss://127.0.0.1/",
    "jar:http://127.0.0.1!/", "javascript:alert(1)", "view-source:http://127.0.0.1/", "unix:///run/x", "http+unix://%2Frun%2Fx/", "httpx://public.test/",
    "netdoc:///etc/passwd", "http", "http:", "http://", "http:///", "")


def bypasses():
    """Every string; none twice."""
    hosts = [one for text in INNER4 for one in spellings4(text)] + [one for text in INNER6 for one in spellings6(text)] + list(NAMES)
    found = [f"http://{host}/" for host in hosts]
    found += [f"https://{host}:8443/x?y=1" for host in hosts[::7]] + [f"HTTP://{host}" for host in hosts[3::11]]
    return list(dict.fromkeys(found + list(TRICKS)))


WORDS = ("api app hooks events video media studio cloud data notify relay edge push queue jobs render clips assets cdn img static files blue north river "
         "maple pixel lumen orbit cedar delta harbor signal paper stone bright local internal metadata localhost private").split()
ENDS = ("com net org io dev app ai co.uk com.br de fr jp co.jp in eu tech cloud studio xyz museum xn--p1ai travel com.au ca").split()
PATHS = ("", "/", "/hook", "/v1/webhooks/videogate", "/api/callback?job=%d", "/services/T%d/B00/xYz", "/a/b/c/d.php?id=%d&x=a%%20b", "/~user/in.cgi",
         "/hooks;v=2/%d", "/%%e4%%bd%%a0/%d", "/in#frag", "/a@b/c?mail=x@y.z", "/.well-known/hook", "/x/../y/./z", "/path//double/%d", "/q?u=http://10.0.0.1/",
         "/cb?host=127.0.0.1&port=%d", "/!$&'()*+,;=:/%d", "?only=query", "/UPPER/Case%d")


def _octet_free(dice):
    """A public IPv4 address."""
    while True:
        address = ipaddress.IPv4Address(dice.randrange(1 << 32))
        if address.is_global and not address.is_multicast and str(address) not in INNER4 and not str(address).startswith("192.88.99."):
            return str(address)


def ordinary(count, seed=6):
    """`count` public addresses as callers write them: names of every shape, ports, queries, addresses as literals."""
    dice, found = random.Random(seed), {}
    while len(found) < count:
        number, kind = dice.randrange(100000), dice.random()
        name = dice.choice(WORDS) + dice.choice(("", "", "-" + dice.choice(WORDS), str(number % 100), "_" + dice.choice(WORDS)))
        if kind < 0.08:
            host = _octet_free(dice)
        elif kind < 0.12:
            host = f"[{ipaddress.IPv6Address((0x2a00 << 112) | dice.getrandbits(110))}]"
        elif kind < 0.16:
            host = f"{name}.{'xn--bcher-kva'}.{dice.choice(ENDS)}"
        else:
            middle = dice.choice(WORDS) + dice.choice(("", "-" + dice.choice(WORDS), str(number % 1000)))
            host = ".".join([name] * dice.choice((0, 1, 1, 1)) + [dice.choice(WORDS)] * dice.choice((0, 0, 1)) + [middle, dice.choice(ENDS)])
        if kind > 0.95:
            host = host.upper()
        path = dice.choice(PATHS)
        found[dice.choice(("https://", "https://", "https://", "HTTPS://")) + host + dice.choice(("", "", "", ":443")) + (path % number if "%d" in path else path.replace("%%", "%"))] = 1
    return list(found)
