# SPDX-License-Identifier: Apache-2.0
"""A reader of Server-Sent Events over HTTP/1.1 that sees every byte: status, headers, fields, comments."""
import json
import socket

from vg import PATIENCE


class Events:
    def __init__(self, stack, path, headers=None, key=True, method="GET", receive_buffer=0):
        self.status, self.headers, self.raw, self.closed = 0, {}, b"", False
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        self.socket.connect(("127.0.0.1", stack.base))
        out = {"host": "localhost", "accept": "text/event-stream", **(headers or {})}
        if key:
            out["authorization"] = f"Bearer {stack.key if key is True else key}"
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in out.items()), "", ""]
        self.socket.sendall("\r\n".join(lines).encode())

    def __enter__(self):
        self.read_head()
        return self

    def __exit__(self, *_):
        self.socket.close()

    def _line(self):
        while b"\r\n" not in self.raw:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError("the connection ended")
            self.raw += more
        line, self.raw = self.raw.split(b"\r\n", 1)
        return line

    def _take(self, size):
        while len(self.raw) < size:
            more = self.socket.recv(65536)
            if not more:
                raise EOFError("the connection ended")
            self.raw += more
        taken, self.raw = self.raw[:size], self.raw[size:]
        return taken

    def read_head(self):
        if self.status:
            return
        self.status = int(self._line().split(b" ")[1])
        while line := self._line():
            name, value = line.decode().split(": ", 1)
            self.headers[name.lower()] = value

    def body(self):
        """The rest of an ordinary answer."""
        return self._take(int(self.headers.get("content-length", 0)))

    def _text(self):
        """Whole fields and comments, one block (up to a blank line) at a time."""
        text = b""
        while True:
            size = int(self._line(), 16)
            text += self._take(size)
            assert self._take(2) == b"\r\n"
            if size == 0:
                assert text == b"", f"a block was cut off: {text!r}"
                self.closed = True
                return
            while b"\n\n" in text:
                block, text = text.split(b"\n\n", 1)
                yield block.decode()

    def blocks(self):
        """Each block as a dict of its fields; a comment is {"comment": TEXT}."""
        for text in self._text():
            block = {}
            for line in text.split("\n"):
                name, _, value = line.partition(":")
                block[name or "comment"] = value.removeprefix(" ")
            yield block

    def events(self):
        """(id, event, video) of each event, without hints and comments."""
        for block in self.blocks():
            if "data" in block:
                yield int(block["id"]) if "id" in block else None, block["event"], json.loads(block["data"])
