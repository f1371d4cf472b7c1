# SPDX-License-Identifier: Apache-2.0
"""A small TCP proxy that does what networks do. It stands between any two programs; `mode` says what happens to what passes.

    with Proxy(target_port) as proxy:
        proxy.set(delay=0.2)                      # every piece waits; jitter=0.1 more, at random
        proxy.set(drip=100)                       # so many bytes a second
        proxy.set(stall="down")                   # nothing comes back from the server until this is over; "up", "both"
        proxy.set(blackhole="down")               # what comes back is swallowed: the connection is half open; "up", "both"
        proxy.set(half_close="down", after=1000)  # the server's half ends after so many bytes, the other goes on
        proxy.set(reset=True, after=1000)         # RST after so many bytes of a connection
        proxy.set(refuse=True)                    # new connections are reset at once
        proxy.watch(said, answered)               # functions that judge each piece: "pass", "cut", "reset", "hold" (pg_wire.py)
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
        self.passed, self.holes = {"up": 0, "down": 0}, set()
        self.server = socket.create_connection(("127.0.0.1", proxy.target), timeout=10)
        self.server.settimeout(None)
        for one in (client, self.server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with proxy.lock:
            proxy.pipes.add(self)
        for direction, source, sink in (("up", client, self.server), ("down", self.server, client)):
            threading.Thread(target=self._run, args=(direction, source, sink), daemon=True).start()

    def _run(self, direction, source, sink):
        try:
            while not self.dead:
                if not select.select([source], [], [], 0.1)[0]:
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
        if proxy.judges[direction]:
            verdict = proxy.judges[direction](self, piece)
            if verdict == "hold":
                return True
            if verdict in ("cut", "reset"):
                self.end(reset=verdict == "reset")
                return False
        while proxy.mode.get("stall") in (direction, "both") and not self.dead:
            time.sleep(0.02)
        mode = proxy.mode
        if mode.get("blackhole") in (direction, "both"):
            self.holes.add(direction)
        if direction in self.holes:  # whatever the network does later, these bytes are missing
            return True
        if mode.get("delay"):
            time.sleep(mode["delay"] + random.random() * mode.get("jitter", 0))
        limit = mode.get("after")
        so_far = self.passed[direction] or 0
        if limit is not None and so_far + len(piece) >= limit and mode.get("half_close", direction) == direction:
            sink.sendall(piece[:max(limit - so_far, 0)])
            if "half_close" in mode:
                sink.shutdown(socket.SHUT_WR)
            else:
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
        self.target, self.mode, self.pipes = target, {}, set()
        self.judges = {"up": None, "down": None}
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
            Pipe(self, client)
        except OSError:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()

    def set(self, **mode):
        self.mode = mode

    def clear(self):
        self.mode = {}

    def watch(self, said=None, answered=None):
        """Each judges the pieces of one direction: judge(pipe, piece) is "pass", "hold" (swallowed), "cut" or "reset"."""
        self.judges = {"up": said, "down": answered}

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
