# SPDX-License-Identifier: Apache-2.0
"""Many event streams from one thread: HTTP/1.1 on a connection each, HTTP/2 with many on each connection."""
import pathlib
import selectors
import socket
import time

import h2.config
import h2.connection
import h2.events


def rss(pid):
    """Resident bytes of a process."""
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{pid} has no memory")


def cpu(pid):
    """Seconds of processor time that a process has used."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


class One:
    """What one watcher has seen: bytes are only looked at for the words that matter."""

    def __init__(self):
        self.status, self.events, self.comments, self.ended, self.tail = 0, 0, 0, False, b""
        self.last = ""

    def take(self, data):
        text = self.tail + data
        cut = text.rfind(b"\n") + 1
        self.tail = text[cut:]
        for line in text[:cut].split(b"\n"):
            if line.startswith(b"event: "):
                self.events += 1
                self.last = line[7:].decode().strip()
            elif line.startswith(b":"):
                self.comments += 1


class H1:
    def __init__(self, stack, paths):
        self.sock = socket.create_connection(("127.0.0.1", stack.base))
        self.sock.setblocking(False)
        (path,) = paths
        self.ones, self.head = [One()], b""
        self.sock.send(f"GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {stack.key}\r\n\r\n".encode())

    def read(self):
        (one,) = self.ones
        data = self.sock.recv(65536)
        if not one.status:
            self.head += data
            if b"\r\n\r\n" not in self.head:
                return data != b""
            one.status, data = int(self.head[9:12]), self.head.split(b"\r\n\r\n", 1)[1]
        if data:
            one.take(data)  # with chunk sizes between; lines that matter do not look like them
        one.ended = one.ended or data.endswith(b"\r\n0\r\n\r\n")
        return data != b""


class H2:
    def __init__(self, stack, paths):
        self.sock = socket.create_connection(("127.0.0.1", stack.base))
        self.conn = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8", validate_outbound_headers=False))
        self.conn.initiate_connection()
        self.sock.sendall(self.conn.data_to_send())
        self.by_stream, self.ones = {}, []
        self.closed = set()  # streams that are given no credit
        for path in paths:
            stream = self.conn.get_next_available_stream_id()
            head = [(":method", "GET"), (":scheme", "http"), (":authority", "a"), (":path", path), ("authorization", f"Bearer {stack.key}")]
            self.conn.send_headers(stream, head, end_stream=True)
            self.by_stream[stream] = One()
            self.ones.append(self.by_stream[stream])
        self.sock.sendall(self.conn.data_to_send())
        self.sock.setblocking(False)

    def read(self):
        data = self.sock.recv(65536)
        for event in self.conn.receive_data(data) if data else ():
            one = self.by_stream.get(getattr(event, "stream_id", None))
            if isinstance(event, h2.events.ResponseReceived):
                one.status = int(dict(event.headers)[":status"])
            elif isinstance(event, h2.events.DataReceived):
                if event.stream_id in self.closed:
                    self.conn.increment_flow_control_window(event.flow_controlled_length)
                else:
                    self.conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                one.take(event.data)
            elif isinstance(event, h2.events.StreamEnded):
                one.ended = True
            elif isinstance(event, h2.events.StreamReset):
                one.last = f"reset {event.error_code}"
        self.flush()
        return data != b""

    def flush(self):
        out = self.conn.data_to_send()
        if out:
            self.sock.setblocking(True)
            self.sock.sendall(out)
            self.sock.setblocking(False)


    def credit(self, stream):
        """Opens a stream's window wide."""
        self.conn.increment_flow_control_window(1 << 20, stream)
        self.flush()


class Many:
    """Watches each of `paths`; `per_connection` 0 is HTTP/1.1."""

    def __init__(self, stack, paths, per_connection=0):
        self.selector, self.connections, self.ones = selectors.DefaultSelector(), [], []
        size = per_connection or 1
        for at in range(0, len(paths), size):
            connection = (H2 if per_connection else H1)(stack, paths[at:at + size])
            self.connections.append(connection)
            self.ones += connection.ones
            self.selector.register(connection.sock, selectors.EVENT_READ, connection)
            self.pump(0)

    def pump(self, patience):
        for key, _ in self.selector.select(patience):
            if not key.data.read():
                self.selector.unregister(key.data.sock)

    def until(self, check, patience):
        """Reads until check(one) holds for all; returns the seconds it took."""
        begin = time.monotonic()
        while not all(check(one) for one in self.ones):
            left = begin + patience - time.monotonic()
            assert left > 0, f"{sum(map(check, self.ones))} of {len(self.ones)} got there in {patience} s"
            now = time.monotonic()
            while time.monotonic() < now + 0.1:  # looking at all of them costs something, too
                self.pump(0.02)
        return time.monotonic() - begin

    def idle(self, seconds):
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.pump(min(left, 0.2))

    def close(self):
        for connection in self.connections:
            connection.sock.close()
        self.selector.close()
