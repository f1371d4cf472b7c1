# SPDX-License-Identifier: Apache-2.0
"""Five proxies as Debian ships them, each in front of a bridge, each told to mark every request that it forwards: `x-request-id: px-NAME`.
Between proxy and bridge a relay keeps what was forwarded."""
import pathlib
import re
import shutil
import socket
import subprocess
import threading
import time

from vg import free_base, wait_for


class Relay:
    """Bytes through and through, the way up kept."""

    def __init__(self, port):
        self.to, self.up, self.lock = port, b"", threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self.to))
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.pump, args=(client, server, True), daemon=True).start()
            threading.Thread(target=self.pump, args=(server, client, False), daemon=True).start()

    def pump(self, source, target, up):
        try:
            while data := source.recv(65536):
                if up:
                    with self.lock:
                        self.up += data
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            for one in (source, target):
                one.close()

    def take(self):
        with self.lock:
            out, self.up = self.up, b""
        return out

    def close(self):
        self.listener.close()


class Proxy:
    """One of them: `configure` writes its files into `folder` and returns the command."""

    def __init__(self, folder, back):
        self.folder, self.back, self.port = pathlib.Path(folder), back, free_base(2)
        self.folder.mkdir(parents=True)

    def __enter__(self):
        command = self.configure()
        self.log = (self.folder / "proxy.log").open("w")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, cwd=self.folder)
        wait_for(self.answers, f"{self.name} to answer", patience=60)
        return self

    def answers(self):
        assert self.process.poll() is None, f"{self.name} ended:\n" + (self.folder / "proxy.log").read_text()[-2000:]
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as one:
                one.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                got = b""
                while data := one.recv(65536):
                    got += data
                return b" 200 " in got[:20]
        except OSError:
            return False

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()

    @property
    def mark(self):
        return f"px-{self.name}"

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path


class Nginx(Proxy):
    name, program = "nginx", "nginx"

    def configure(self):
        path = self.write("nginx.conf", f"""daemon off; user root; pid {self.folder}/pid; error_log {self.folder}/error.log; worker_processes 1;
events {{ }}
http {{
  access_log off; client_body_temp_path {self.folder}/body; proxy_temp_path {self.folder}/temp; fastcgi_temp_path {self.folder}/f; uwsgi_temp_path {self.folder}/u;
  scgi_temp_path {self.folder}/s;
  upstream bridge {{ server 127.0.0.1:{self.back}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{self.port}; proxy_request_buffering off; ignore_invalid_headers off; underscores_in_headers on;
    location / {{ proxy_pass http://bridge; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header X-Request-Id {self.mark}; proxy_next_upstream off; }}
  }}
}}
""")
        return ["nginx", "-p", str(self.folder), "-c", str(path)]


class Haproxy(Proxy):
    name, program = "haproxy", "haproxy"

    def configure(self):
        path = self.write("haproxy.cfg", f"""defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 5s
  retries 0
  http-reuse always
  option accept-invalid-http-request
frontend in
  bind 127.0.0.1:{self.port}
  http-request set-header X-Request-Id {self.mark}
  default_backend bridge
backend bridge
  server one 127.0.0.1:{self.back}
""")
        return ["haproxy", "-f", str(path), "-db"]


class Varnish(Proxy):
    name, program = "varnish", "varnishd"

    def configure(self):
        path = self.write("vcl", f"""vcl 4.1;
backend default {{ .host = "127.0.0.1"; .port = "{self.back}"; }}
sub vcl_recv {{ return (pass); }}
sub vcl_backend_fetch {{ set bereq.http.X-Request-Id = "{self.mark}"; }}
""")
        return ["varnishd", "-F", "-j", "none", "-a", f"127.0.0.1:{self.port}", "-f", str(path), "-n", str(self.folder / "work"), "-s", "malloc,16m",
                "-T", "none"]


class TrafficServer(Proxy):
    name, program = "trafficserver", "traffic_server"

    def configure(self):
        etc = self.folder / "etc"
        shutil.copytree("/etc/trafficserver", etc)
        for name in ("run", "log", "cache"):
            (self.folder / name).mkdir()
        here = {"sysconfdir": "etc", "datadir": "cache", "localstatedir": "run", "runtimedir": "run", "logdir": "log", "cachedir": "cache"}
        paths = {"prefix": self.folder, "exec_prefix": self.folder, "bindir": "/usr/bin", "sbindir": "/usr/sbin", "includedir": "/usr/include",
                 "libdir": "/usr/lib/trafficserver", "libexecdir": "/usr/lib/trafficserver/modules", **{key: self.folder / value for key, value in here.items()}}
        root = self.write("runroot.yaml", "".join(f"{key}: {value}\n" for key, value in paths.items()))
        self.write("etc/records.config", f"""CONFIG proxy.config.http.server_ports STRING {self.port}:ip-in=127.0.0.1
CONFIG proxy.config.admin.user_id STRING #-1
CONFIG proxy.config.http.cache.http INT 0
CONFIG proxy.config.url_remap.remap_required INT 1
CONFIG proxy.config.http.connect_attempts_max_retries INT 0
CONFIG proxy.config.http.strict_uri_parsing INT 0
CONFIG proxy.config.log.logging_enabled INT 0
""")
        mark = self.write("mark.conf", f"cond %{{SEND_REQUEST_HDR_HOOK}}\nset-header X-Request-Id {self.mark}\n")
        self.write("etc/remap.config", f"map / http://127.0.0.1:{self.back}/ @plugin=header_rewrite.so @pparam={mark}\n")
        self.write("etc/storage.config", f"{self.folder}/cache 16M\n")
        return ["traffic_server", f"--run-root={root}"]


class Nghttpx(Proxy):
    name, program = "nghttpx", "nghttpx"

    def configure(self):
        return ["nghttpx", "--conf=/dev/null", f"--frontend=127.0.0.1,{self.port};no-tls", f"--backend=127.0.0.1,{self.back}", "--workers=1",
                f"--add-request-header=x-request-id: {self.mark}", "--accesslog-file=/dev/null", f"--errorlog-file={self.folder}/error.log"]


class Naive(Proxy):
    """What must be found: it believes that a connection is one request whose body is what Content-Length says, and forwards everything."""

    name, program = "naive", "python3"

    def __enter__(self):
        self.listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self.accept, daemon=True).start()
        wait_for(self.answers, "the naive proxy")
        return self

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        client.settimeout(0.15)
        data = b""
        try:
            while got := client.recv(65536):
                data += got
        except OSError:
            pass
        head, _, rest = data.partition(b"\r\n")
        with socket.create_connection(("127.0.0.1", self.back), timeout=5) as server:
            try:
                server.sendall(head + b"\r\nX-Request-Id: " + self.mark.encode() + b"\r\n" + rest)
                server.shutdown(socket.SHUT_WR)
                while got := server.recv(65536):
                    client.sendall(got)
            except OSError:
                pass
            client.close()

    def answers(self):
        return True

    def __exit__(self, *_):
        self.listener.close()


PROXIES = (Nginx, Haproxy, Varnish, TrafficServer, Nghttpx)


def missing():
    return [one.program for one in PROXIES if not shutil.which(one.program)]


def marks(forwarded, mark):
    """How many requests the proxy says it forwarded."""
    return len(re.findall(rb"\r\nx-request-id: *" + mark.encode() + rb"\r\n", forwarded, re.I))


def settle(quiet=0.05, *, size):
    """Waits until `size()` stands still."""
    last, still = size(), time.monotonic()
    while time.monotonic() - still < quiet:
        time.sleep(0.005)
        if size() != last:
            last, still = size(), time.monotonic()
