# SPDX-License-Identifier: Apache-2.0
"""A callback receiver inside the harness: every attempt is recorded with its verdict, and answered as told."""
import http.server
import json
import threading
import time
import urllib.parse

import standard_webhooks


class Receiver:
    """`secrets` maps a path to what it is signed with; others have `secret`. `answers` maps a path to a list of statuses, one for
    each attempt,
    or a function of (number of attempt, record) that returns status or (status, headers); then 200."""

    def __init__(self, history, secret, port=0):
        self.history, self.secret, self.secrets, self.answers = history, secret, {}, {}
        self.delay, self.lock, self.counts = 0.0, threading.Lock(), {}
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):  # noqa: N802
                receiver._post(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads, request_queue_size = True, 512

            def verify_request(self, _, address):
                return address[0].startswith("127.")

            def handle_error(self, *_):
                pass  # a caller that was killed

        # Every loopback address is another receiver for whoever counts them.
        self.server = Server(("0.0.0.0", port), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def port(self):
        return self.server.server_address[1]

    def url(self, path="/done", host="127.0.0.1"):
        return f"http://{host}:{self.port}{path}"

    def _post(self, request):
        size = int(request.headers.get("content-length") or -1)
        body = request.rfile.read(size) if size >= 0 else b""
        if len(body) < size or size < 0:  # the connection ended in the middle, perhaps of the head: nobody was called back
            request.close_connection = True
            return
        headers = {name.lower(): value for name, value in request.headers.items()}
        path = urllib.parse.urlsplit(request.path).path
        with self.lock:
            number = self.counts[path] = self.counts.get(path, 0) + 1
        try:
            video = json.loads(body)["data"]["id"]
        except (ValueError, KeyError, TypeError):
            video = None
        record = {"path": path, "webhook_id": headers.get("webhook-id"), "video": video, "body": body.decode("utf-8", "replace"),
                  "timestamp": headers.get("webhook-timestamp"), "signature": headers.get("webhook-signature"),
                  "verified": standard_webhooks.verify(self.secrets.get(path, self.secret), headers, body)}
        status, more = self._answer(path, number, record)
        if self.delay:
            time.sleep(self.delay)
        # Before the answer leaves: an answer that never arrives was still a delivery.
        self.history.add("callback" if not path.startswith("/endpoint") else "event", answered=status, **record)
        request.send_response(status)
        for name, value in {**more, "content-length": "0"}.items():
            request.send_header(name, value)
        request.end_headers()

    def _answer(self, path, number, record):
        told = self.answers.get(path)
        if callable(told):
            told = told(number, record)
            return told if isinstance(told, tuple) else (told or 200, {})
        return (told.pop(0) if told else 200), {}

    def close(self):
        self.server.shutdown()
        self.server.server_close()
