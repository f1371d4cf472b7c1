# SPDX-License-Identifier: Apache-2.0
"""A page in a real browser: a site of its own, Chromium on it, and what the page sends back to /result."""
import http.server
import json
import subprocess
import threading

from vg import PATIENCE, wait_for


class Site(http.server.ThreadingHTTPServer):
    """Serves `page` at /; GETs of other paths go to `other`, a function that gets the handler."""

    daemon_threads = True

    def __init__(self, other=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.page, self.result, self.other = "", None, other
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def run(self, page, profile):
        """Opens the page in Chromium; returns what it sends."""
        self.page = page
        browser = subprocess.Popen(["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
                                    "--disable-background-networking", "--remote-debugging-port=0", f"--user-data-dir={profile}",
                                    f"http://localhost:{self.server_port}/"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            return wait_for(lambda: self.result, "the page's result", PATIENCE)
        finally:
            browser.terminate()
            browser.wait(60)
            self.shutdown()


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path != "/" and self.path != "/favicon.ico" and self.server.other:
            self.server.other(self)
            return
        body = self.server.page.encode() if self.path == "/" else b""
        self.send_response(200 if body else 404)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self):
        self.server.result = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass
