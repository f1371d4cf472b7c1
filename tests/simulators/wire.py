# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 as the simulators speak it: strict about what comes in, free in what goes out (faults.py sends nonsense)."""
import base64
import binascii
import json
import re
import socket
import struct
import threading
import urllib.parse

MAX_HEAD = 64 << 10
MAX_BODY = 256 << 20
REASONS = {100: "Continue", 200: "OK", 201: "Created", 202: "Accepted", 204: "No Content", 206: "Partial Content", 302: "Found",
           400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 403: "Forbidden", 404: "Not Found",
           405: "Method Not Allowed", 409: "Conflict", 410: "Gone", 413: "Payload Too Large", 415: "Unsupported Media Type",
           416: "Range Not Satisfiable", 422: "Unprocessable Entity", 429: "Too Many Requests", 500: "Internal Server Error",
           501: "Not Implemented", 502: "Bad Gateway", 503: "Service Unavailable", 504: "Gateway Timeout"}


class Malformed(Exception):
    """What came in is not what it must be; `rule` is the check's name."""

    def __init__(self, rule, detail):
        super().__init__(detail)
        self.rule, self.detail = rule, detail


# Checks that every simulator has by this file.
RULES = ("http.head", "http.length", "http.body_limit", "json.content_type", "json.utf8", "json.syntax", "json.duplicate_key",
         "json.number", "json.object", "form.content_type", "form.boundary", "form.part_head", "form.name", "form.twice", "form.end",
         "form.utf8")


def strict_json(body):
    """Parses JSON: UTF-8, no member twice, no NaN."""
    def members(pairs):
        seen = {}
        for name, value in pairs:
            if name in seen:
                raise Malformed("json.duplicate_key", f"duplicate key {name!r}")
            seen[name] = value
        return seen

    def constant(name):
        raise Malformed("json.number", f"{name} is not JSON")

    try:
        return json.loads(body.decode("utf-8"), object_pairs_hook=members, parse_constant=constant)
    except UnicodeDecodeError as error:
        raise Malformed("json.utf8", str(error)) from None
    except (ValueError, RecursionError) as error:
        raise Malformed("json.syntax", str(error)) from None


def decode_base64(text):
    """Strict base64; None when it is not."""
    try:
        return base64.b64decode(text, validate=True) if text else None
    except (binascii.Error, ValueError):
        return None


def decode_data_url(text):
    """(media type, bytes) of a data: URL in base64; None when it is not one."""
    match = re.match(r"data:([a-z]+/[a-z0-9.+-]+);base64,", text[:200])
    data = decode_base64(text[match.end():]) if match else None
    return (match[1], data) if data else None


class Part:
    """One part of a form."""

    def __init__(self, name, filename, content_type, data):
        self.name, self.filename, self.content_type, self.data = name, filename, content_type, data

    @property
    def text(self):
        try:
            return self.data.decode("utf-8")
        except UnicodeDecodeError as error:
            raise Malformed("form.utf8", f"{self.name}: {error}") from None


def strict_form(content_type, body):
    """The parts of a multipart/form-data body, in order."""
    match = re.fullmatch(r'multipart/form-data;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', content_type or "")
    if not match:
        raise Malformed("form.content_type", f"not multipart/form-data with a boundary: {content_type}")
    mark = b"--" + (match[1] or match[2]).encode()
    if not body.startswith(mark + b"\r\n"):
        raise Malformed("form.boundary", "the body does not begin with the boundary")
    pieces = (b"\r\n" + body).split(b"\r\n" + mark)
    if pieces[-1] not in (b"--", b"--\r\n"):
        raise Malformed("form.end", "the closing boundary is missing")
    parts = []
    for piece in pieces[1:-1]:
        head, found, data = piece.partition(b"\r\n\r\n")
        if not piece.startswith(b"\r\n") or not found:
            raise Malformed("form.part_head", "a part has no head")
        fields = {}
        for line in head[2:].decode("latin-1").split("\r\n"):
            name, colon, value = line.partition(":")
            if not colon or name.lower() in fields:
                raise Malformed("form.part_head", f"bad header in a part: {line!r}")
            fields[name.lower()] = value.strip()
        names = dict(re.findall(r';\s*(name|filename)="([^"]*)"', fields.get("content-disposition", "")))
        if not names.get("name"):
            raise Malformed("form.name", "a part has no name")
        parts.append(Part(names["name"], names.get("filename"), fields.get("content-type"), data))
    return parts


class Request:
    """One request. `route`, `kind` and `params` are set once it is known what is asked."""

    def __init__(self, method, target, headers, body):
        self.method, self.target, self.headers, self.body = method, target, headers, body
        path, _, query = target.partition("?")
        self.path = path
        self.query = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        self.kind, self.params, self.key = "other", {}, None

    def header(self, name):
        return self.headers.get(name)

    def json(self):
        """The body as a JSON object."""
        if (self.header("content-type") or "").split(";")[0].strip().lower() != "application/json":
            raise Malformed("json.content_type", f"content-type is {self.header('content-type')}, not application/json")
        value = strict_json(self.body)
        if not isinstance(value, dict):
            raise Malformed("json.object", "the body is not an object")
        return value

    def is_form(self):
        return (self.header("content-type") or "").startswith("multipart/form-data")

    def form(self, repeated=()):
        """The body as {name: Part}, of `repeated` names {name: [Part, ...]}."""
        fields = {}
        for part in strict_form(self.header("content-type"), self.body):
            if part.name in repeated:
                fields.setdefault(part.name, []).append(part)
            elif part.name in fields:
                raise Malformed("form.twice", f"{part.name} is there twice")
            else:
                fields[part.name] = part
        return fields


class Reply:
    """One answer. The body is bytes, something that becomes JSON, or a function that makes bytes (called without the lock)."""

    def __init__(self, status=200, body=b"", headers=None, content_type=None):
        self.status, self.headers = status, dict(headers or {})
        self._body = body
        self.content_type = content_type or ("application/json" if isinstance(body, (dict, list)) else "application/octet-stream")

    @property
    def body(self):
        if callable(self._body):
            self._body = self._body()
        if isinstance(self._body, (dict, list)):
            self._body = json.dumps(self._body).encode()
        return self._body

    @body.setter
    def body(self, value):
        self._body = value

    def head(self, length=None):
        """The head as bytes; `length` is what to announce, true or not."""
        lines = [f"HTTP/1.1 {self.status} {REASONS.get(self.status, 'Status')}", f"content-type: {self.content_type}",
                 f"content-length: {len(self.body) if length is None else length}"]
        lines += [f"{name}: {value}" for name, value in self.headers.items()]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


class Connection:
    """One accepted socket."""

    def __init__(self, sock):
        self.sock, self.held, self.closed = sock, b"", False

    def _more(self):
        got = self.sock.recv(1 << 18)
        if not got:
            raise ConnectionError("closed")
        return got

    def read_head(self):
        """Request without body; None when the client is done."""
        while b"\r\n\r\n" not in self.held:
            if len(self.held) > MAX_HEAD or not (self.held[:1].isalpha() or not self.held):
                raise Malformed("http.head", "head too long, or no head at all (TLS?)")
            try:
                self.held += self._more()
            except OSError:
                return None
        head, _, self.held = self.held.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        match = re.fullmatch(r"([A-Z]+) (/\S*) HTTP/1\.1", first)
        headers = {}
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", name) or name.lower() in headers:
                raise Malformed("http.head", f"bad or doubled header {name!r}")
            headers[name.lower()] = value.strip()
        if not match or "host" not in headers:
            raise Malformed("http.head", f"bad request line or no host: {first!r}")
        return Request(match[1], match[2], headers, b"")

    def read_body(self, request):
        length, coding = request.header("content-length"), request.header("transfer-encoding")
        if request.header("expect") == "100-continue":
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        if coding is not None:
            if coding != "chunked" or length is not None:
                raise Malformed("http.length", "transfer-encoding other than chunked, or beside content-length")
            request.body = self._chunks()
        elif length is not None:
            if not re.fullmatch(r"\d{1,12}", length):
                raise Malformed("http.length", f"content-length {length!r}")
            request.body = self._exactly(int(length))

    def _exactly(self, length):
        if length > MAX_BODY:
            raise Malformed("http.body_limit", "body too long")
        pieces, have = [self.held], len(self.held)
        while have < length:
            pieces.append(self._more())
            have += len(pieces[-1])
        whole = b"".join(pieces)
        self.held = whole[length:]
        return whole[:length]

    def _line(self):
        while b"\r\n" not in self.held:
            self.held += self._more()
        line, _, self.held = self.held.partition(b"\r\n")
        return line

    def _chunks(self):
        body = b""
        while True:
            size = self._line().split(b";")[0]
            if not re.fullmatch(rb"[0-9A-Fa-f]{1,8}", size):
                raise Malformed("http.length", "bad chunk size")
            if int(size, 16) == 0:
                while self._line():
                    pass
                return body
            body += self._exactly(int(size, 16))
            if len(body) > MAX_BODY or self._line():
                raise Malformed("http.body_limit", "body too long, or a chunk without its end")

    def send(self, data):
        self.sock.sendall(data)

    def send_reply(self, reply, method="GET"):
        body = reply.body
        self.send(reply.head() + (b"" if method == "HEAD" else body))

    def client_gone(self, patience):
        """Waits until the client hangs up or `patience` seconds are over."""
        self.sock.settimeout(patience)
        try:
            return self.sock.recv(1) == b""
        except TimeoutError:
            return False

    def reset(self):
        """Ends the connection with a TCP reset."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        if not self.closed:
            self.closed = True
            self.sock.close()

    def interrupt(self):
        """Wakes the thread that uses it."""
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


class Server:
    """Listens and gives each connection a thread that calls `serve(connection)`."""

    def __init__(self, address, port, serve):
        self.address, self.port, self.serve = address, port, serve
        self.listener, self.open = None, set()

    def start(self):
        self.listener = socket.create_server((self.address, self.port), backlog=256)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def stop(self):
        """Closes the port and every connection; start() opens the same port again."""
        if self.listener:
            # close() alone leaves the port open while accept() waits.
            self.listener.shutdown(socket.SHUT_RDWR)
            self.listener.close()
        self.listener = None
        for connection in list(self.open):
            connection.interrupt()

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = Connection(sock)
            self.open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        try:
            self.serve(connection)
        except OSError:
            pass  # the client went away
        finally:
            connection.close()
            self.open.discard(connection)
