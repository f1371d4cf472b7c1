#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A small callback receiver for quickstart, development and tests.

usage: callback_receiver.py --listen HOST:PORT --log FILE [--secret SECRET]

Every POST is appended to FILE as one JSON line: path, headers, body, and whether the Standard Webhooks signature holds
for SECRET. Answers 200. A test steers the answer by the path: /status/503 answers 503, /slow/5 waits 5 s first,
/fail/3/... answers 500 to the first three requests of that path, /redirect answers 302.
"""
import argparse
import base64
import hashlib
import hmac
import http.server
import json
import threading
import time


def key_of(secret: str) -> bytes:
    if secret.startswith("whsec_"):
        return base64.b64decode(secret[len("whsec_") :])
    return secret.encode()


def verify(secret: str, headers, body: bytes) -> bool:
    signed = f"{headers.get('webhook-id', '')}.{headers.get('webhook-timestamp', '')}.".encode() + body
    want = "v1," + base64.b64encode(hmac.new(key_of(secret), signed, hashlib.sha256).digest()).decode()
    given = headers.get("webhook-signature", "").split(" ")
    fresh = abs(time.time() - float(headers.get("webhook-timestamp") or 0)) < 300
    return fresh and any(hmac.compare_digest(want, one) for one in given)


class Receiver(http.server.BaseHTTPRequestHandler):
    server_version = "VideogateCallbackReceiver"
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, headers=()) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.answer(200 if self.path == "/readyz" else 404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = self.path.strip("/").split("/")
        status, extra = self.server.steer(parts, self.path)
        headers = {k.lower(): v for k, v in self.headers.items()}
        record = {
            "time": time.time(),
            "path": self.path,
            "answered": status,
            "headers": headers,
            "body": body.decode("utf-8", "replace"),
            "verified": bool(self.server.secret) and verify(self.server.secret, headers, body),
        }
        self.server.record(record)
        self.answer(status, extra)

    def log_message(self, *_args) -> None:
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address, secret, log):
        super().__init__(address, Receiver)
        self.secret = secret
        self.log = log
        self.lock = threading.Lock()
        self.seen = {}

    def record(self, record) -> None:
        with self.lock:
            self.log.write(json.dumps(record) + "\n")
            self.log.flush()

    def steer(self, parts, path):
        with self.lock:
            self.seen[path] = self.seen.get(path, 0) + 1
            count = self.seen[path]
        if parts[0] == "status":
            return int(parts[1]), [("retry-after", parts[2])] if len(parts) > 2 else ()
        if parts[0] == "slow":
            time.sleep(float(parts[1]))
        if parts[0] == "fail":
            return (500 if count <= int(parts[1]) else 200), ()
        if parts[0] == "redirect":
            return 302, [("location", "/elsewhere")]
        return 200, ()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--listen", required=True)
    parser.add_argument("--log", required=True)
    parser.add_argument("--secret", default="")
    args = parser.parse_args()
    host, port = args.listen.rsplit(":", 1)
    with open(args.log, "a", encoding="utf-8") as log:
        Server((host, int(port)), args.secret, log).serve_forever()


main()
