# SPDX-License-Identifier: Apache-2.0
"""A small TCP proxy that does what networks do. It stands between any two programs; `mode` says what happens to what passes.

    with Proxy(target_port) as proxy:
        proxy.set(delay=0.2)                      # every piece waits; jitter=0.1 more, at random
        proxy.set(drip=100)                       # so many bytes a second
        proxy.set(blackhole="down")               # what comes back from the server is swallowed; "up", "both"
        proxy.set(half_close="down", after=1000)  # the server's half ends after so many bytes, the other goes on
        proxy.set(reset=True, after=1000)         # RST after so many bytes of a connection
        proxy.set(refuse=True)                    # new connections are reset at once
        proxy.on_server(predicate, action)        # judges each piece that the server sends: "pass", "cut", "reset", "hold"
        proxy.cut(); proxy.reset()                # every connection that is open, now
        proxy.clear()
"""
import random
import select
import socket
import struct
import threading
import time

PIECE = 1 << 16


class Pipe:
    """One connection: two sockets and a thread for each direction."""

    def __init__(self, proxy, client):
        self.proxy, self.client, self.dead = proxy, client, False
        self.passed = {"up": 0, "down": 0}
        self.server = socket.create_connection(("127.0.0.1", proxy.target), timeout=10)
        self.server.settimeout(None)
        for one in (client, self.server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for direction, source, sink in (("up", client, self.server), ("down", self.server, client)):
            threading.Thread(target=self._run, args=(direction, source, sink), daemon=True).start()

    def _run(self, direction, source, sink):
        try:
            while not self.dead:
                if not select.select([source], [], [], 0.5)[0]:
                    continue
                piece = source.recv(PIECE)
                if not piece:
                    break
                if not self._pass(direction, piece, sink):
                    return
            sink.shutdown(socket.SHUT_WR)
        except (OSError, ValueError):
            self.end()
        finally:
            self._part(direction)

    def _part(self, direction):
        """The second direction to end closes both sockets."""
        with self.proxy.lock:
            self.passed[direction] = None
            over = all(one is None for one in self.passed.values())
        if over:
            self.end()

    def _pass(self, direction, piece, sink):
        """False when this direction is over."""
        proxy, mode = self.proxy, self.proxy.mode
        if direction == "down" and proxy.judge:
            verdict = proxy.judge(self, piece)
            if verdict == "hold":
                return True
            if verdict in ("cut", "reset"):
                self.end(reset=verdict == "reset")
                return False
        if mode.get("blackhole") in (direction, "both"):
            return True
        if mode.get("delay"):
            time.sleep(mode["delay"] + random.random() * mode.get("jitter", 0))
        limit = mode.get("after")
        so_far = self.passed[direction] or 0
        if limit is not None and so_far + len(piece) >= limit:
            sink.sendall(piece[:max(limit - so_far, 0)])
            if mode.get("half_close") == direction:
                sink.shutdown(socket.SHUT_WR)
                return False
            if "half_close" not in mode:
                self.end(reset=bool(mode.get("reset")))
                return False
        if mode.get("drip"):
            step = max(int(mode["drip"] / 20), 1)
            for at in range(0, len(piece), step):
                sink.sendall(piece[at:at + step])
                time.sleep(step / mode["drip"])
        else:
            sink.sendall(piece)
        self.passed[direction] = so_far + len(piece)
        return True

    def end(self, reset=False):
        with self.proxy.lock:
            if self.dead:
                return
            self.dead = True
            self.proxy.pipes.discard(self)
        for one in (self.client, self.server):
            try:
                if reset:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                else:
                    one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()


class Proxy:
    def __init__(self, target, port=0):
        self.target, self.mode, self.judge, self.pipes = target, {}, None, set()
        self.lock = threading.RLock()
        self.listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.accepted = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _listen(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._open, args=(client,), daemon=True).start()

    def _open(self, client):
        self.accepted += 1
        try:
            if self.mode.get("refuse"):
                raise OSError("refused")
            pipe = Pipe(self, client)
        except OSError:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            return
        with self.lock:
            self.pipes.add(pipe)

    def set(self, **mode):
        self.mode = mode

    def clear(self):
        self.mode, self.judge = {}, None

    def on_server(self, judge):
        """`judge(pipe, piece)` says "pass", "hold", "cut" or "reset" of each piece that comes from the server."""
        self.judge = judge

    def cut(self, reset=False):
        """Ends every open connection; how many."""
        with self.lock:
            pipes = list(self.pipes)
        for pipe in pipes:
            pipe.end(reset)
        return len(pipes)

    def close(self):
        self.listener.close()
        self.cut()


class CutAtCommit:
    """Cuts the connection when PostgreSQL's answer to a write passes: the commit is done and nobody is told.

    A CommandComplete message is 'C', a length, and a tag: "COMMIT", "INSERT 0 5", "UPDATE 3", "SELECT 2" (which a WITH that
    writes says, too). `tags`: beginnings of the tags that count; `every`: how many of these pass before one is cut."""

    def __init__(self, proxy, tags=(b"COMMIT", b"INSERT", b"UPDATE", b"DELETE"), every=1, times=1, reset=False, wanted=None):
        self.tags, self.left, self.times, self.verdict = tags, every, times, "reset" if reset else "cut"
        self.every, self.wanted, self.cuts, self.seen, self.lock = every, wanted, 0, {}, threading.Lock()
        proxy.on_server(self.judge)

    def judge(self, _, piece):
        for tag in command_tags(piece):
            if not tag.startswith(self.tags) or (self.wanted and not self.wanted(tag)):
                continue
            with self.lock:
                self.left -= 1
                if self.left <= 0 and self.cuts < self.times:
                    self.cuts, self.left = self.cuts + 1, self.every
                    self.seen[tag] = self.seen.get(tag, 0) + 1
                    return self.verdict
        return "pass"


def command_tags(piece):
    """The tags of the CommandComplete messages in a piece of the server's stream. Pieces begin with a message: the server writes
    whole ones, small enough for one segment; what does not look like a message ends the search."""
    found, at = [], 0
    while at + 5 <= len(piece):
        kind, size = piece[at:at + 1], int.from_bytes(piece[at + 1:at + 5], "big")
        if size < 4 or size > 1 << 30:
            break
        if kind == b"C":
            found.append(piece[at + 5:at + 1 + size].rstrip(b"\0"))
        at += 1 + size
    return found
