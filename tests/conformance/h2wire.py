# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 by hand: frames as bytes, so that a peer can send what no library would."""
import socket
import struct
import time

import hpack as hpack_library

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY_FLAG = 1, 1, 4, 8, 32
(NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR, SETTINGS_TIMEOUT, STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL,
 COMPRESSION_ERROR, CONNECT_ERROR, ENHANCE_YOUR_CALM) = range(12)
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = range(1, 7)


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    size = len(payload) if length is None else length
    return struct.pack(">BHBBI", size >> 16, size & 0xffff, kind, flags, stream) + payload


def settings(*pairs, ack=False):
    return frame(SETTINGS, ACK if ack else 0, 0, b"".join(struct.pack(">HI", name, value) for name, value in pairs))


def window_update(stream, size):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size))


def rst(stream, code=CANCEL):
    return frame(RST_STREAM, 0, stream, struct.pack(">I", code))


def ping(ack=False, data=b"12345678"):
    return frame(PING, ACK if ack else 0, 0, data)


def priority(stream, depends=0, weight=15):
    return frame(PRIORITY, 0, stream, struct.pack(">IB", depends, weight))


def hpack_int(value, bits, first=0):
    limit = (1 << bits) - 1
    if value < limit:
        return bytes([first | value])
    out, value = bytearray([first | limit]), value - limit
    while value >= 128:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def hpack(fields, index=False):
    """Literal fields with literal names, no Huffman code; `index` puts them into the dynamic table."""
    out = b""
    for name, value in fields:
        name, value = (one.encode("latin-1") if isinstance(one, str) else one for one in (name, value))
        out += b"\x40" if index else b"\x00"
        out += hpack_int(len(name), 7) + name + hpack_int(len(value), 7) + value
    return out


def request(path="/healthz", method="GET", more=(), scheme="http", authority="x"):
    return [(":method", method), (":scheme", scheme), (":path", path), (":authority", authority), *more]


def headers(stream, fields=None, end=True, block=None, flags=END_HEADERS):
    return frame(HEADERS, flags | (END_STREAM if end else 0), stream, hpack(fields or request()) if block is None else block)


class Peer:
    """A client's end. What the server says is kept as (kind, flags, stream, payload)."""

    def __init__(self, port, *pairs, preface=True, ack=True, timeout=10, receive_buffer=0):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.frames, self.buffer, self.closed, self.ack = [], b"", False, ack
        self.decoder, self.fields, self.block = hpack_library.Decoder(), [], b""
        if preface:
            self.send(PREFACE + settings(*pairs))

    def send(self, data):
        """False once the server has hung up."""
        try:
            self.socket.sendall(data)
            return True
        except OSError:
            self.closed = True
            return False

    def read(self):
        """Takes what has come; False at the end or when nothing comes in time."""
        try:
            data = self.socket.recv(262144)
        except TimeoutError:
            return False
        except OSError:
            data = b""
        self.closed = self.closed or not data
        self.buffer += data
        while len(self.buffer) >= 9:
            size = int.from_bytes(self.buffer[:3], "big")
            if len(self.buffer) < 9 + size:
                break
            kind, flags, stream = self.buffer[3], self.buffer[4], int.from_bytes(self.buffer[5:9], "big") & 0x7fffffff
            self.frames.append((kind, flags, stream, self.buffer[9 : 9 + size]))
            if kind in (HEADERS, CONTINUATION):
                self.block += self.buffer[9 : 9 + size]
                if flags & END_HEADERS:
                    self.fields.append((stream, self.decoder.decode(self.block)))
                    self.block = b""
            self.buffer = self.buffer[9 + size :]
            if kind == SETTINGS and not flags & ACK and self.ack:
                self.send(settings(ack=True))
        return bool(data)

    def until(self, check, timeout=10):
        """Reads until `check(self)` is true or the connection ends; what `check` then says."""
        end = time.monotonic() + timeout
        while not check(self) and not self.closed and time.monotonic() < end:
            self.socket.settimeout(max(0.01, end - time.monotonic()))
            self.read()
        return check(self)

    def of(self, kind, stream=None):
        return [one for one in self.frames if one[0] == kind and (stream is None or one[2] == stream)]

    @property
    def goaway(self):
        """The error code of the last GOAWAY, None without one."""
        found = self.of(GOAWAY)
        return int.from_bytes(found[-1][3][4:8], "big") if found else None

    def reset(self, stream):
        """The error code of the RST_STREAM, None without one."""
        found = self.of(RST_STREAM, stream)
        return int.from_bytes(found[0][3], "big") if found else None

    def ended(self, stream):
        return any(one[1] & END_STREAM for one in self.frames if one[2] == stream and one[0] in (DATA, HEADERS))

    def decoded(self, stream):
        """The field lists of the stream's HEADERS."""
        return [fields for number, fields in self.fields if number == stream]

    def pongs(self):
        return len([one for one in self.of(PING) if one[1] & ACK])

    def close(self):
        self.socket.close()
