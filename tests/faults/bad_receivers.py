# SPDX-License-Identifier: Apache-2.0
"""Callback receivers that do what receivers should not, over bare sockets. Each attempt that arrives whole is recorded."""
import datetime
import gzip
import json
import socket
import ssl
import struct
import tempfile
import threading
import time

import standard_webhooks

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def _answer(status, more=""):
    return f"HTTP/1.1 {status} X\r\n{more}Content-Length: 0\r\n\r\n".encode()


class BadReceiver:
    """A port of its own. `kind` names a method below; the first `times` attempts of each webhook-id meet it, then all is well."""

    def __init__(self, history, secret, kind, times=1, patience=31):
        self.history, self.secret, self.kind, self.times, self.patience = history, secret, kind, times, patience
        self.counts, self.lock, self.closed = {}, threading.Lock(), False
        self.context = _expired() if kind == "tls_expired" else None
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path="/done"):
        return f"{'https' if self.context else 'http'}://127.0.0.1:{self.socket.getsockname()[1]}{path}"

    def close(self):
        self.closed = True
        self.socket.close()

    def attempts(self):
        return sum(self.counts.values())

    def _accept(self):
        while not self.closed:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            if self.context:
                connection = self.context.wrap_socket(connection, server_side=True)
            connection.settimeout(self.patience * 2)
            while self._one(connection):
                pass
        except (OSError, ValueError):
            pass
        finally:
            connection.close()

    def _one(self, connection):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return False
            data += piece
        head, body = data.split(b"\r\n\r\n", 1)
        headers = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in head.decode().split("\r\n")[1:])}
        while len(body) < int(headers.get("content-length", 0)):
            body += connection.recv(65536)
        with self.lock:
            number = self.counts[headers["webhook-id"]] = self.counts.get(headers["webhook-id"], 0) + 1
        bad = number <= self.times
        status = self.says.get(self.kind, 0) if bad and not (self.kind == "slow" and self.patience < 30) else 200
        self.history.add("callback", answered=status, path=self.kind, webhook_id=headers["webhook-id"], video=json.loads(body)["data"]["id"],
                         body=body.decode(), timestamp=headers["webhook-timestamp"], signature=headers["webhook-signature"],
                         verified=standard_webhooks.verify(self.secret, headers, body))
        if bad:
            getattr(self, self.kind)(connection)
            return False
        connection.sendall(OK)
        return True

    # --- what the first attempts meet, and the status it says where it is one ---

    says = {"redirect": 302, "gone": 410, "busy": 429, "broken": 500, "unavailable": 503, "huge": 200, "bomb": 200, "flood": 200, "loses": 200,
            "drip": 200}

    def slow(self, connection):
        time.sleep(self.patience)
        connection.sendall(OK)

    def drip(self, connection):
        end = time.monotonic() + self.patience
        connection.sendall(b"HTTP/1.1 200 OK\r\nX: ")
        while time.monotonic() < end:
            connection.sendall(b"x")
            time.sleep(0.2)

    def redirect(self, connection):
        connection.sendall(_answer(302, "Location: /elsewhere\r\n"))

    def gone(self, connection):
        connection.sendall(_answer(410))

    def busy(self, connection):
        connection.sendall(_answer(429, "Retry-After: 1\r\n"))

    def unavailable(self, connection):
        at = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=2)
        connection.sendall(_answer(503, f"Retry-After: {at:%a, %d %b %Y %H:%M:%S} GMT\r\n"))

    def broken(self, connection):
        connection.sendall(_answer(500))

    def closes(self, connection):
        connection.shutdown(socket.SHUT_RDWR)

    def resets(self, connection):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def huge(self, connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        for _ in range(4096):
            connection.sendall(bytes(65536))

    def bomb(self, connection):
        body = gzip.compress(bytes(50 << 20))
        connection.sendall(f"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)

    def flood(self, connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n")
        for number in range(200000):
            connection.sendall(f"X-{number}: {'y' * 200}\r\n".encode())

    def loses(self, connection):
        connection.sendall(OK)

    def tls_expired(self, connection):
        raise AssertionError("the sender took a certificate that is over")


def _expired():
    """A server's context with a certificate that ended yesterday."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    day, now = datetime.timedelta(days=1), datetime.datetime.utcnow()
    made = (x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
            .not_valid_before(now - 9 * day).not_valid_after(now - day).sign(key, hashes.SHA256()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
        file.flush()
        context.load_cert_chain(file.name)
    return context


class Silence:
    """Takes connections and says nothing, until it is closed."""

    def __init__(self):
        self.socket, self.held = socket.create_server(("127.0.0.1", 0), backlog=512), []
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.socket.getsockname()[1]}{path}"

    def _accept(self):
        while True:
            try:
                self.held.append(self.socket.accept()[0])
            except OSError:
                return

    def let_go(self):
        while self.held:
            self.held.pop().close()

    def close(self):
        self.socket.close()
        self.let_go()
