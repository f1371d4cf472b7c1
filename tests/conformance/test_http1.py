# SPDX-License-Identifier: Apache-2.0
"""Each row of http1_cases.py against a bridge, in one write and in many."""
import socket
import time

from http1_cases import CASES, PROBE
from target import Bridge, run

NAME = "HTTP/1.1 (RFC 9112, RFC 9110)"
PATIENCE = 10
TAKEN = (400, 401, 503)  # what a POST gets once it is whole


class Reader:
    """Answers out of a connection; HEAD's have no body, whatever they say."""

    def __init__(self, connection):
        self.connection, self.buffer, self.closed = connection, b"", False

    def more(self):
        try:
            data = self.connection.recv(65536)
        except ConnectionError:
            data = b""
        self.closed = not data
        self.buffer += data
        return bool(data)

    def answer(self, method):
        """Its status, 0 for the probe's; None at the end."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.more():
                assert not self.buffer, f"ends with {self.buffer[:60]}"
                return None
        head, _, rest = self.buffer.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        assert lines[0].startswith("HTTP/1.1 "), lines[0]
        fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines[1:])}
        status = int(lines[0].split(" ")[1])
        none = status < 200 or status in (204, 304) or method == "HEAD"
        size = 0 if none else int(fields["content-length"])
        while len(rest) < size and self.more():
            rest = self.buffer.partition(b"\r\n\r\n")[2]
        assert len(rest) >= size, "an answer that is cut"
        self.buffer = rest[size:]
        return 0 if fields.get("x-request-id") == "probe" else status


def methods(data):
    """Of the requests in the bytes: only to know which answers are HEAD's."""
    return ["HEAD" if line.startswith(b"HEAD ") else "GET" for line in data.split(b"\r\n") if b" HTTP/1." in line] + ["GET"]


def exchange(port, data, pieces):
    """The statuses that come back, "!" at the end when the probe got no answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as one:
        one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader, out, heads = Reader(one), [], methods(data)
        try:
            for at in range(0, len(data), pieces):
                one.sendall(data[at : at + pieces])
            one.sendall(PROBE)
        except ConnectionError:
            pass
        while True:
            try:
                status = reader.answer(heads[min(len(out), len(heads) - 1)])
            except TimeoutError:
                return out, "?"
            if not status:
                return out, "!" if status is None else ""
            out.append(status)


def fits(expect, statuses, end):
    for choice in expect.split("|"):
        words = choice.rstrip("!").split()
        wanted_end = "!" if choice.endswith("!") else ""
        if end == wanted_end and len(words) == len(statuses) and all(
                status in TAKEN if word == "+" else status == int(word) for word, status in zip(words, statuses)):
            return True
    return False


def one_case(port):
    def one(case):
        for pieces in (1 << 20, 7) if len(case.data) < 2000 else (1 << 20,):
            try:
                statuses, end = exchange(port, case.data, pieces)
            except (AssertionError, OSError) as error:
                return f"in pieces of {pieces}: {error}"
            if not fits(case.expect, statuses, end):
                return f"in pieces of {pieces}: wanted {case.expect}, got {' '.join(map(str, statuses))}{end}"
        return None

    return one


def test_http1(tmp_path):
    assert len(CASES) >= 215
    with Bridge(tmp_path / "bridge.log", log_level="warn", max_client_strikes=0) as bridge:
        failures, _ = run(CASES, one_case(bridge.port), NAME)
    assert not failures, "\n".join(failures)
