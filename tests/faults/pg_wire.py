# SPDX-License-Identifier: Apache-2.0
"""Reads PostgreSQL's protocol as it passes a Proxy, and cuts connections at the commit of chosen statements."""
import threading

SSL_REQUEST, GSS_REQUEST = 80877103, 80877104


class Conversation:
    """One connection: the prepared statements of each round trip (up to Sync), and when it is over (ReadyForQuery)."""

    def __init__(self, begun=False):
        """`begun`: it is watched from its middle on."""
        self.up, self.down = bytearray(), bytearray()
        self.begun, self.single = begun, 0  # the startup message has passed; one-byte answers to come
        self.names, self.trips, self.ready = [], [], begun

    def said(self, piece):
        """The client's bytes; the names of the round trips that end in this piece."""
        self.up += piece
        ended = []
        while message := self._message(self.up, typed=self.begun):
            kind, body = message
            if not self.begun:
                code = int.from_bytes(body[:4], "big")
                if code in (SSL_REQUEST, GSS_REQUEST):
                    self.single += 1
                else:
                    self.begun = True
            elif kind == b"B":
                self.names.append(body.split(b"\0", 2)[1].decode())
            elif kind == b"S" or kind == b"Q":
                self.trips.append(tuple(self.names))
                ended.append(self.trips[-1])
                self.names = []
        return ended

    def answered(self, piece):
        """The server's bytes; the round trips whose end is in this piece."""
        self.down += piece
        while self.single and self.down:
            del self.down[:1]
            self.single -= 1
        ended = []
        while message := self._message(self.down, typed=True):
            if message[0] == b"Z":
                if self.ready and self.trips:
                    ended.append(self.trips.pop(0))
                self.ready = True  # the first one ends the startup
        return ended

    @staticmethod
    def _message(buffer, typed):
        head = 1 if typed else 0
        if len(buffer) < head + 4:
            return None
        size = int.from_bytes(buffer[head:head + 4], "big")
        if len(buffer) < head + size:
            return None
        message = bytes(buffer[:head]), bytes(buffer[head + 4:head + size])
        del buffer[:head + size]
        return message


class CutAtCommit:
    """arm(name): the next round trip with this prepared statement is cut: at its answer (the commit is done and nobody is told) or at
    its request (nothing was done, and the client cannot tell the difference)."""

    def __init__(self, proxy):
        self.lock, self.name, self.where, self.cuts, self.seen, self.reset = threading.Lock(), None, None, 0, {}, False
        proxy.watch(self._said, self._answered)

    def arm(self, name, where="answer", reset=False):
        with self.lock:
            self.name, self.where, self.reset = name, where, reset

    def armed(self):
        return self.name is not None

    def disarm(self):
        with self.lock:
            self.name = None

    def _judge(self, trips, where):
        for trip in trips:
            for name in trip:
                self.seen[name] = self.seen.get(name, 0) + (where == "answer")
        with self.lock:
            if self.name and self.where == where and any(self.name in trip for trip in trips):
                self.name = None
                self.cuts += 1
                return "reset" if self.reset else "cut"
        return "pass"

    def _conversation(self, pipe):
        if not hasattr(pipe, "conversation"):
            pipe.conversation = Conversation(begun=bool(pipe.passed["up"]))
        return pipe.conversation

    def _said(self, pipe, piece):
        return self._judge(self._conversation(pipe).said(piece), "request")

    def _answered(self, pipe, piece):
        return self._judge(self._conversation(pipe).answered(piece), "answer")
