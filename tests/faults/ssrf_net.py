# SPDX-License-Identifier: Apache-2.0
"""An internet in a network namespace: public and inner addresses on the loopback interface, a real DNS server, and a web server that answers on the
public ones and writes down whoever reaches an inner one. Only for `unshare --net --mount` (ssrf_inside.py)."""
import base64
import gzip
import ipaddress
import itertools
import pathlib
import socket
import struct
import subprocess
import tempfile
import threading
import time

import dnslib
import dnslib.server

from simulators import media

PUBLIC4, OTHER4, PUBLIC6 = "93.184.216.34", "151.101.1.69", "2606:2800:220:1::34"
DEAD4 = "93.184.216.99"  # no way leads there
PORTS = (80, 443, 8080)
# What the registries of Python's ipaddress do not call private: the judge of this test is not the guard's own table.
MORE4 = [ipaddress.ip_network(one) for one in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32", "224.0.0.0/4", "100.64.0.0/10")]
MORE6 = [ipaddress.ip_network(one) for one in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")]


# As deploy/systemd/sysusers.conf makes them.
USERS = {"videogate-bridge": 60101, "videogate-service": 60102, "videogate-worker-kling": 60103, "videogate-webhook": 60104}


def as_user(name):
    """Before a command: it runs as that user."""
    return "setpriv", f"--reuid={USERS[name]}", f"--regid={USERS[name]}", "--clear-groups"


def is_public(text):
    address = ipaddress.ip_address(text.split("%")[0])
    if address.version == 6:
        return address in ipaddress.ip_network("2000::/3") and not any(address in net for net in MORE6)
    return address.is_global and not any(address in net for net in MORE4)


def run(*command):
    return subprocess.run(command, capture_output=True, text=True).returncode == 0


def up():
    """Every address there is becomes ours, so that whatever the guard lets out arrives; our own resolv.conf."""
    assert run("ip", "link", "set", "lo", "up")
    for family, everything in (("-4", "0.0.0.0/0"), ("-6", "::/0")):
        assert run("ip", family, "route", "add", "local", everything, "dev", "lo"), "no routes to everywhere"
    assert run("ip", "route", "add", "prohibit", f"{DEAD4}/32", "table", "local")
    users = "".join(f"{name}:x:{uid}:{uid}::/:/usr/sbin/nologin\n" for name, uid in USERS.items())
    group = f"videogate-worker:x:{USERS['videogate-worker-kling']}:\n"
    files = {path: pathlib.Path(path).read_text() + more for path, more in (("/etc/passwd", users), ("/etc/group", group))}
    files |= {"/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:2 attempts:1\n", "/etc/hosts": "127.0.0.1 localhost\n::1 localhost\n",
              "/etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\n"}
    for path, text in files.items():
        file = tempfile.NamedTemporaryFile("w", suffix=".conf", delete=False)
        file.write(text)
        file.close()
        pathlib.Path(file.name).chmod(0o644)
        assert run("mount", "--bind", file.name, path), path


def reachable(address, port=80):
    """Whether a program without a guard gets there: most inner addresses must be, or their tests would say nothing."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as one:
        one.settimeout(2)
        try:
            one.connect((address, port))
        except OSError:
            return False
        return True


class Names(dnslib.server.BaseResolver):
    """`records` maps a name to a list of (type, text), or to a function of (type, number of the query) that returns one. Others are public."""

    def __init__(self):
        self.records, self.counts, self.lock = {}, {}, threading.Lock()
        quiet = dnslib.server.DNSLogger(logf=lambda _: None)
        self.servers = [dnslib.server.DNSServer(self, port=53, address="127.0.0.1", tcp=tcp, logger=quiet) for tcp in (False, True)]
        for server in self.servers:
            server.start_thread()

    def resolve(self, request, handler):
        reply, name, kind = request.reply(), str(request.q.qname).rstrip(".").lower(), dnslib.QTYPE[request.q.qtype]
        for _ in range(12):
            told = self.records.get(name, [("A", PUBLIC4), ("AAAA", PUBLIC6)])
            if callable(told):
                with self.lock:
                    self.counts[name, kind] = self.counts.get((name, kind), 0) + 1
                told = told(kind, self.counts[name, kind])
            target = next((text for one, text in told if one == "CNAME"), None)
            for one, text in told:
                if one in (kind, "CNAME"):
                    data = dnslib.CNAME(text) if one == "CNAME" else getattr(dnslib, one)(tuple(ipaddress.ip_address(text).packed))
                    reply.add_answer(dnslib.RR(name, getattr(dnslib.QTYPE, one), rdata=data, ttl=0))
            if target is None:
                break
            name = target
        return reply


def head(status="200 OK", **headers):
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode()


class Web:
    """Paths: /ok, /keep, /picture, /film, /to/STATUS/BASE64 (a redirect), /loop, /odd/NAME. `inner` is who reached an inner address."""

    def __init__(self):
        self.inner, self.requests, self.lock = [], [], threading.Lock()
        self.picture = media.png(64, 64)
        for port in PORTS:
            listener = socket.socket(socket.AF_INET6)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            listener.bind(("::", port))
            listener.listen(512)
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def _accept(self, listener):
        while True:
            connection, _ = listener.accept()
            here = ipaddress.ip_address(connection.getsockname()[0].split("%")[0])
            here = str(here.ipv4_mapped or here)
            if not is_public(here):
                with self.lock:
                    self.inner.append(f"{here}:{connection.getsockname()[1]}")
                connection.close()
                continue
            threading.Thread(target=self._serve, args=(connection, here), daemon=True).start()

    def _serve(self, connection, here):
        connection.settimeout(60)
        try:
            with connection:
                while self._answer(connection, here):
                    pass
        except OSError:
            pass

    def _answer(self, connection, here):
        got = b""
        while b"\r\n\r\n" not in got:
            more = connection.recv(65536)
            if not more:
                return False
            got += more
        text, body = got.split(b"\r\n\r\n", 1)
        lines = text.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        left = int(headers.get("content-length", 0)) - len(body)
        while left > 0:
            left -= len(connection.recv(65536)) or left
        path = lines[0].split(" ")[1]
        with self.lock:
            self.requests.append((here, headers.get("host", ""), path))
        return self._reply(connection, path.strip("/").split("?")[0].split("/"))

    def _reply(self, connection, words):
        if words[0] == "odd":
            getattr(self, "odd_" + words[1])(connection)
            return False
        if words[0] == "to":
            location = base64.urlsafe_b64decode(words[2]).decode("latin-1")
            connection.sendall(head(f"{words[1]} Elsewhere", location=location, content_length=0))
        elif words[0] == "loop":
            connection.sendall(head("302 Found", location=f"/loop/{len(self.requests)}", content_length=0))
        elif words[0] == "picture":
            connection.sendall(head(content_type="image/png", content_length=len(self.picture)) + self.picture)
        elif words[0] == "film":
            connection.sendall(head(content_type="video/mp4", content_length=4) + b"film")
        else:
            connection.sendall(head(content_type="text/plain", content_length=2, connection="keep-alive" if words[0] == "keep" else "close") + b"ok")
        return words[0] == "keep"

    # --- odd answers: each is bounded by the client, not by us ---

    @staticmethod
    def _pour(connection, piece, most=96 << 20):
        """Until the client hangs up, or has taken far too much."""
        sent = 0
        while sent < most:
            connection.sendall(piece)
            sent += len(piece)

    def odd_continue_flood(self, connection):
        self._pour(connection, head("100 Continue") * 1000)

    def odd_early_hints_flood(self, connection):
        self._pour(connection, head("103 Early Hints", link="</x>; rel=preload") * 500)

    def odd_header_bomb(self, connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        self._pour(connection, b"".join(b"x-%d: %s\r\n" % (number, b"a" * 900) for number in range(100)))

    def odd_one_endless_header(self, connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nx: ")
        self._pour(connection, b"a" * 65536)

    def odd_gzip_bomb(self, connection):
        body = gzip.compress(bytes(64 << 20))
        connection.sendall(head(content_type="application/octet-stream", content_encoding="gzip", content_length=len(body)) + body)

    def odd_endless_chunked(self, connection):
        connection.sendall(head(content_type="application/octet-stream", transfer_encoding="chunked"))
        self._pour(connection, b"10000\r\n" + bytes(65536) + b"\r\n")

    def odd_endless_chunk_extension(self, connection):
        connection.sendall(head(content_type="application/octet-stream", transfer_encoding="chunked") + b"1;")
        self._pour(connection, b"a" * 65536)

    def odd_length_too_long(self, connection):
        connection.sendall(head(content_type="application/octet-stream", content_length=1000) + b"x" * 10)

    def odd_length_huge(self, connection):
        connection.sendall(head(content_type="application/octet-stream", content_length=1 << 62) + b"x" * 10)

    def odd_length_too_short(self, connection):
        connection.sendall(head(content_type="application/octet-stream", content_length=4) + b"x" * 4096)

    def odd_length_twice(self, connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\nokk")

    def odd_drip(self, connection):
        connection.sendall(head(content_type="application/octet-stream", content_length=1000))
        for _ in itertools.count():
            connection.sendall(b"x")
            time.sleep(0.2)

    def odd_silence(self, connection):
        connection.recv(1)  # returns when the client hangs up

    def odd_early_close(self, connection):
        pass

    def odd_reset(self, connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def odd_not_http(self, connection):
        connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n" + bytes(range(256)))

    def odd_nul_in_header(self, connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nx: a\0b\r\ncontent-length: 0\r\n\r\n")


ODD = sorted(name.removeprefix("odd_") for name in vars(Web) if name.startswith("odd_"))


def redirect(status, location, host="public.test"):
    return f"http://{host}/to/{status}/{base64.urlsafe_b64encode(location.encode('latin-1')).decode()}"
