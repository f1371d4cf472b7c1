# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 as RFC 9113 and RFC 7541 want it, one row for each thing a server must do or refuse.

A row: section, what, what must come of it, what is sent. Sent are bytes, or a wait: ("ended", STREAM), ("ack",), ("pause", SECONDS),
("frame", KIND). What must come: a function of the peer that is asked until it is true.
"""
import struct
from typing import NamedTuple

from h2wire import *  # noqa: F403


class Case(NamedTuple):
    section: str
    title: str
    expect: object
    steps: tuple
    settings: tuple = ()
    preface: bool = True


CASES = []


def case(section, title, expect, *steps, settings=(), preface=True):
    CASES.append(Case(section, title, expect, steps, tuple(settings), preface))


# --- what must come ---

class Expect:
    def __init__(self, text, check, after=b""):
        self.text, self.check, self.after = text, check, after


NAMES = ("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR",
         "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM")


def words(codes):
    return " or ".join(NAMES[code] for code in codes)


def connection(*codes):
    """GOAWAY with such a code, and the connection ends."""
    return Expect(f"GOAWAY {words(codes)}, end", lambda peer: peer.goaway in codes and peer.closed)


def stream(number, *codes):
    """RST_STREAM with such a code; a connection error with it will do (RFC 9113 5.4.2)."""
    return Expect(f"RST_STREAM {number} {words(codes)}", lambda peer: peer.reset(number) in codes or peer.goaway in codes)


def answer(number=1, *statuses):
    """A whole answer, and the connection lives."""
    wanted = statuses or (200,)
    return Expect(f"stream {number}: {wanted}", lambda peer: peer.ended(number) and status(peer, number) in wanted and peer.pongs() > 0,
                  after=ping())


def malformed(number=1):
    """A stream error PROTOCOL_ERROR or an answer 400 (RFC 9113 8.1.1)."""
    return Expect(f"stream {number}: PROTOCOL_ERROR or 400",
                  lambda peer: peer.reset(number) == PROTOCOL_ERROR or peer.goaway == PROTOCOL_ERROR or
                  (peer.ended(number) and status(peer, number) == 400))


def alive():
    return Expect("the connection lives", lambda peer: peer.pongs() > 0 and peer.goaway is None, after=ping())


def closes():
    return Expect("the connection ends", lambda peer: peer.closed)


def that(text, check, after=b""):
    return Expect(text, check, after)


def status(peer, number):
    """Of the last HEADERS on the stream (100 comes before it)."""
    found = 0
    for fields in peer.decoded(number):
        found = int(dict(fields).get(":status", found))
    return found


def sizes(peer, number=1):
    return [len(one[3]) for one in peer.of(DATA, number)]


GET = headers(1)
POST = headers(1, request("/v1/videos", "POST", [("content-type", "application/json")]), end=False)
HELD = [(INITIAL_WINDOW_SIZE, 0)]  # answers with a body stay open


def post(*more):
    return headers(1, request("/v1/videos", "POST", [("content-type", "application/json"), *more]), end=False)


def data(payload=b"", end=True, number=1, flags=0):
    return frame(DATA, flags | (END_STREAM if end else 0), number, payload)


ANSWERED = (400, 401, 404, 405, 413, 415, 503)

# --- 3.4 connection preface ---
case("3.4", "the server's first frame is SETTINGS", that("SETTINGS first", lambda p: p.frames and p.frames[0][0] == SETTINGS and not p.frames[0][1]))
case("3.4", "a preface in single bytes", answer(), *[bytes([one]) for one in PREFACE], settings(), GET, preface=False)
case("3.4", "a preface and a request in one write", answer(), PREFACE + settings() + GET, preface=False)
case("3.4", "something else than a preface", closes(), b"INVALID CONNECTION PREFACE\r\n\r\n", preface=False)
case("3.4", "a preface that goes wrong in its second half", closes(), b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", preface=False)
for kind, bad in (("PING", ping()), ("HEADERS", GET), ("WINDOW_UPDATE", window_update(0, 1)), ("DATA", data(b"x")), ("SETTINGS ACK", settings(ack=True))):
    if kind != "SETTINGS ACK":
        case("3.4", f"a preface with {kind} in the place of SETTINGS", connection(PROTOCOL_ERROR), PREFACE + bad, preface=False)
case("3.4", "SETTINGS are acknowledged", that("ACK", lambda p: any(one[1] & ACK for one in p.of(SETTINGS))))

# --- 4.1 frame format ---
for kind in (0x0b, 0x16, 0x7f, 0xff):
    case("4.1", f"a frame of unknown type {kind:#x} is ignored", answer(), frame(kind, 0, 0, b"12345678"), GET)
    case("4.1", f"a frame of unknown type {kind:#x} on a stream is ignored", alive(), frame(kind, 0xff, 1, b"x"))
case("4.1", "unknown flags of PING are ignored", that("pong", lambda p: p.pongs() == 1), frame(PING, 0x16, 0, b"12345678"))
case("4.1", "unknown flags of SETTINGS are ignored", answer(), frame(SETTINGS, 0xfe, 0), GET)
case("4.1", "unknown flags of HEADERS are ignored", answer(), headers(1, flags=END_HEADERS | 0x10 | 0x40 | 0x80))
case("4.1", "unknown flags of DATA are ignored", answer(1, *ANSWERED), POST, data(b"{}", flags=0x10 | 0x40))
case("4.1", "unknown flags of WINDOW_UPDATE are ignored", answer(), frame(WINDOW_UPDATE, 0xff, 0, struct.pack(">I", 1)), GET)
case("4.1", "the reserved bit of a stream identifier is ignored", answer(),
     frame(HEADERS, END_HEADERS | END_STREAM, 0x80000001, hpack(request())))
case("4.1", "the reserved bit of a PING is ignored", that("pong", lambda p: p.pongs() == 1), frame(PING, 0, 0x80000000, b"12345678"))

# --- 4.2 frame size ---
case("4.2", "DATA of 16,384 bytes", answer(1, *ANSWERED), POST, data(b" " * 16384))
case("4.2", "DATA of 16,385 bytes", connection(FRAME_SIZE_ERROR), POST, data(b" " * 16385))
case("4.2", "HEADERS of 16,385 bytes", connection(FRAME_SIZE_ERROR), headers(1, request(more=[("x-a", "v" * 16385)])))
case("4.2", "CONTINUATION of 16,385 bytes", connection(FRAME_SIZE_ERROR), headers(1, flags=0), frame(CONTINUATION, END_HEADERS, 1, b"\0" * 16385))
case("4.2", "SETTINGS of 16,386 bytes", connection(FRAME_SIZE_ERROR), frame(SETTINGS, 0, 0, b"\0" * 16386))
case("4.2", "an unknown frame of 16,385 bytes", connection(FRAME_SIZE_ERROR), frame(0x16, 0, 0, b"\0" * 16385))
case("4.2", "no frame of the server's is over 16,384 bytes", that("sizes", lambda p: p.ended(1) and max(sizes(p)) <= 16384), headers(1, request("/openapi.json")),
     window_update(0, 1 << 20), settings=[(INITIAL_WINDOW_SIZE, 1 << 20)])

# --- 4.3 field sections ---
case("4.3", "a field block that cannot be decoded", connection(COMPRESSION_ERROR), headers(1, block=b"\xff\xff\xff\xff\xff"))
for name, bad in (("PRIORITY", priority(1)), ("DATA", data(b"x")), ("PING", ping()), ("SETTINGS", settings()), ("WINDOW_UPDATE", window_update(0, 1)),
                  ("RST_STREAM", rst(1)), ("GOAWAY", frame(GOAWAY, 0, 0, b"\0" * 8)), ("HEADERS of another stream", headers(3)),
                  ("CONTINUATION of another stream", frame(CONTINUATION, END_HEADERS, 3, b"")), ("an unknown frame", frame(0x16, 0, 1, b"x"))):
    case("4.3", f"{name} inside a field block", connection(PROTOCOL_ERROR), headers(1, flags=0), bad)
case("4.3", "a field block in two pieces", answer(), frame(HEADERS, END_STREAM, 1, hpack(request())[:20]),
     frame(CONTINUATION, END_HEADERS, 1, hpack(request())[20:]))

# --- 5.1 stream states ---
case("5.1", "idle: DATA", connection(PROTOCOL_ERROR, STREAM_CLOSED), data(b"x"))
case("5.1", "idle: RST_STREAM", connection(PROTOCOL_ERROR), rst(1))
case("5.1", "idle: WINDOW_UPDATE", connection(PROTOCOL_ERROR), window_update(1, 100))
case("5.1", "idle: CONTINUATION", connection(PROTOCOL_ERROR), frame(CONTINUATION, END_HEADERS, 1, hpack(request())))
case("5.1", "idle: PRIORITY is allowed", answer(3), priority(1), headers(3))
case("5.1", "half-closed (remote): DATA", stream(1, STREAM_CLOSED), GET, data(b"x"), settings=HELD)
case("5.1", "half-closed (remote): HEADERS", stream(1, STREAM_CLOSED), GET, headers(1), settings=HELD)
case("5.1", "half-closed (remote): CONTINUATION", connection(PROTOCOL_ERROR, STREAM_CLOSED), GET, frame(CONTINUATION, END_HEADERS, 1, b""), settings=HELD)
case("5.1", "half-closed (remote): WINDOW_UPDATE", answer(), GET, window_update(1, 65535), settings=HELD)
case("5.1", "half-closed (remote): PRIORITY", alive(), GET, priority(1), settings=HELD)
case("5.1", "half-closed (remote): RST_STREAM", alive(), GET, rst(1), settings=HELD)
case("5.1", "closed by RST_STREAM: DATA", stream(1, STREAM_CLOSED), POST, rst(1), ("ping",), data(b"x"))
case("5.1", "closed by RST_STREAM: HEADERS", stream(1, STREAM_CLOSED), GET, rst(1), ("ping",), headers(1), settings=HELD)
case("5.1", "closed by RST_STREAM: CONTINUATION", connection(PROTOCOL_ERROR, STREAM_CLOSED), GET, rst(1), frame(CONTINUATION, END_HEADERS, 1, b""),
     settings=HELD)
case("5.1", "closed by END_STREAM: DATA", connection(STREAM_CLOSED), GET, ("ended", 1), data(b"x"))
case("5.1", "closed by END_STREAM: HEADERS", connection(STREAM_CLOSED), GET, ("ended", 1), headers(1))
case("5.1", "closed by END_STREAM: CONTINUATION", connection(PROTOCOL_ERROR, STREAM_CLOSED), GET, ("ended", 1), frame(CONTINUATION, END_HEADERS, 1, b""))
case("5.1", "closed by END_STREAM: WINDOW_UPDATE", alive(), GET, ("ended", 1), window_update(1, 100))
case("5.1", "closed by END_STREAM: PRIORITY", alive(), GET, ("ended", 1), priority(1))
case("5.1", "closed by END_STREAM: RST_STREAM", alive(), GET, ("ended", 1), rst(1))
case("5.1", "answered early: DATA under way is ignored", answer(3), headers(1, request("/nothing", "POST", [("content-length", "5")]), end=False),
     ("frame", RST_STREAM), data(b"12345"), headers(3))

# --- 5.1.1, 5.1.2 ---
case("5.1.1", "an even stream identifier", connection(PROTOCOL_ERROR), headers(2))
case("5.1.1", "a lower stream identifier, never used", connection(PROTOCOL_ERROR), headers(5), ("ended", 5), headers(3))
case("5.1.1", "a lower stream identifier while the higher is open", connection(PROTOCOL_ERROR), headers(7), headers(5), settings=HELD)
case("5.1.1", "stream 0", connection(PROTOCOL_ERROR), headers(0))
case("5.1.1", "identifiers may leave some out", answer(1001), headers(1001))
case("5.1.1", "the largest identifier", answer(0x7fffffff), headers(0x7fffffff))
case("5.1.2", "more streams than MAX_CONCURRENT_STREAMS", stream(201, REFUSED_STREAM, PROTOCOL_ERROR), *[headers(1 + 2 * n) for n in range(101)], settings=HELD)
case("5.1.2", "MAX_CONCURRENT_STREAMS are served", answer(199), *[headers(1 + 2 * n) for n in range(100)])
case("5.3", "a stream that depends on itself: the deprecated signal does no harm", alive(), GET, priority(1, 1))
case("5.3.2", "HEADERS with a priority", answer(), frame(HEADERS, END_HEADERS | END_STREAM | PRIORITY_FLAG, 1, b"\0\0\0\0\xff" + hpack(request())))
case("5.4.1", "a connection error closes the connection", closes(), frame(PING, 0, 0, b"1"))
case("5.4.1", "a connection error tells the last stream", that("last stream 1", lambda p: any(one[3][:4] == b"\0\0\0\1" for one in p.of(GOAWAY))),
     GET, ("ended", 1), frame(PING, 0, 0, b"1"))
case("5.4.2", "a stream error leaves the connection", answer(3), headers(1, request(more=[("Upper", "x")])), headers(3))
case("5.5", "an unknown setting is ignored", answer(), settings((0xff, 1)), GET)
case("5.5", "an unknown frame inside a field block is an error", connection(PROTOCOL_ERROR), headers(1, flags=0), frame(0xee, 0, 0, b"x"))

# --- 6.1 DATA ---
case("6.1", "DATA on stream 0", connection(PROTOCOL_ERROR), POST, data(b"x", number=0))
case("6.1", "padded DATA", answer(1, *ANSWERED), POST, data(b"\4{}\0\0\0\0", flags=PADDED))
case("6.1", "DATA of padding alone", answer(1, *ANSWERED), POST, data(b"\4\0\0\0\0", flags=PADDED, end=False), data(b"{}"))
case("6.1", "a pad length as long as the payload", connection(PROTOCOL_ERROR), POST, data(b"\5abcd", flags=PADDED))
case("6.1", "a pad length beyond the payload", connection(PROTOCOL_ERROR), POST, data(b"\xff{}", flags=PADDED))
case("6.1", "padded DATA without a pad length", connection(FRAME_SIZE_ERROR, PROTOCOL_ERROR), POST, data(b"", flags=PADDED))
case("6.1", "empty DATA that ends", answer(1, *ANSWERED), POST, data(b""))
case("6.1", "empty DATA in between", answer(1, *ANSWERED), POST, data(b"", end=False), data(b"{}"))

# --- 6.2 HEADERS ---
case("6.2", "padded HEADERS", answer(), frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\3" + hpack(request()) + b"\0\0\0"))
case("6.2", "padded HEADERS with a priority", answer(),
     frame(HEADERS, END_HEADERS | END_STREAM | PADDED | PRIORITY_FLAG, 1, b"\2\0\0\0\0\x10" + hpack(request()) + b"\0\0"))
case("6.2", "a pad length beyond the payload", connection(PROTOCOL_ERROR), frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\xff" + hpack(request())))
case("6.2", "too short for its priority", connection(FRAME_SIZE_ERROR, PROTOCOL_ERROR), frame(HEADERS, END_HEADERS | END_STREAM | PRIORITY_FLAG, 1, b"\0\0"))
case("6.2", "too short for its pad length", connection(FRAME_SIZE_ERROR, PROTOCOL_ERROR), frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b""))
case("6.2", "END_STREAM on HEADERS, then CONTINUATION", answer(), headers(1, block=hpack(request())[:9], flags=0),
     frame(CONTINUATION, END_HEADERS, 1, hpack(request())[9:]))
case("6.2", "an empty field block", malformed(), headers(1, block=b""))

# --- 6.3 PRIORITY, 6.4 RST_STREAM ---
case("6.3", "PRIORITY on stream 0", connection(PROTOCOL_ERROR), priority(0))
for size in (0, 4, 6):
    case("6.3", f"PRIORITY of {size} bytes", stream(1, FRAME_SIZE_ERROR), GET, frame(PRIORITY, 0, 1, b"\0" * size), settings=HELD)
case("6.4", "RST_STREAM on stream 0", connection(PROTOCOL_ERROR), rst(0))
for size in (0, 3, 5):
    case("6.4", f"RST_STREAM of {size} bytes", connection(FRAME_SIZE_ERROR), GET, frame(RST_STREAM, 0, 1, b"\0" * size), settings=HELD)
case("6.4", "after RST_STREAM nothing is sent on the stream", that("no DATA", lambda p: p.pongs() == 1 and not p.of(DATA, 1)), GET, rst(1),
     window_update(1, 65535), ping(), settings=HELD)

# --- 6.5 SETTINGS ---
case("6.5", "an acknowledgement with a payload", connection(FRAME_SIZE_ERROR), frame(SETTINGS, ACK, 0, b"\0" * 6))
case("6.5", "on a stream", connection(PROTOCOL_ERROR), frame(SETTINGS, 0, 1))
for size in (1, 5, 7):
    case("6.5", f"of {size} bytes", connection(FRAME_SIZE_ERROR), frame(SETTINGS, 0, 0, b"\0" * size))
for name, value, code in ((ENABLE_PUSH, 2, PROTOCOL_ERROR), (ENABLE_PUSH, 0xffffffff, PROTOCOL_ERROR), (INITIAL_WINDOW_SIZE, 1 << 31, FLOW_CONTROL_ERROR),
                          (INITIAL_WINDOW_SIZE, 0xffffffff, FLOW_CONTROL_ERROR), (MAX_FRAME_SIZE, 0, PROTOCOL_ERROR), (MAX_FRAME_SIZE, 16383, PROTOCOL_ERROR),
                          (MAX_FRAME_SIZE, 1 << 24, PROTOCOL_ERROR), (8, 2, PROTOCOL_ERROR), (9, 2, PROTOCOL_ERROR)):
    case("6.5.2", f"setting {name} with the value {value}", connection(code), settings((name, value)))
for name, value in ((HEADER_TABLE_SIZE, 0), (HEADER_TABLE_SIZE, 0xffffffff), (ENABLE_PUSH, 0), (ENABLE_PUSH, 1), (MAX_CONCURRENT_STREAMS, 0), (MAX_FRAME_SIZE, 16384),
                    (MAX_FRAME_SIZE, (1 << 24) - 1), (INITIAL_WINDOW_SIZE, (1 << 31) - 1), (MAX_HEADER_LIST_SIZE, 1)):
    case("6.5.2", f"setting {name} with the value {value} is fine", answer(), settings((name, value)), GET)
case("6.5.2", "setting 9 with the value 1 is fine", answer(), GET, settings=[(9, 1)])
case("6.5.3", "each SETTINGS frame is acknowledged", that("4 ACK", lambda p: len([one for one in p.of(SETTINGS) if one[1] & ACK]) == 4), *[settings()] * 3)
case("6.5.3", "of a setting given twice the last value holds", that("1 byte", lambda p: sizes(p) == [1]),
     settings((INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)), GET)

# --- 6.6 PUSH_PROMISE, 6.7 PING, 6.8 GOAWAY ---
case("6.6", "a client's PUSH_PROMISE", connection(PROTOCOL_ERROR), POST, frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2" + hpack(request())))
case("6.6", "a client's PUSH_PROMISE on stream 0", connection(PROTOCOL_ERROR), frame(PUSH_PROMISE, END_HEADERS, 0, b"\0\0\0\2"))
case("6.6", "the server pushes nothing", that("no PUSH_PROMISE", lambda p: p.ended(1) and not p.of(PUSH_PROMISE)), GET, settings=[(ENABLE_PUSH, 1)])
case("6.7", "a PING is answered with its bytes", that("its bytes", lambda p: any(one[1] & ACK and one[3] == b"abcdefgh" for one in p.of(PING))),
     ping(data=b"abcdefgh"))
case("6.7", "an acknowledgement is not answered", that("one pong", lambda p: [one[3] for one in p.of(PING)] == [b"12345678"]), ping(ack=True, data=b"abcdefgh"), ping())
case("6.7", "on a stream", connection(PROTOCOL_ERROR), frame(PING, 0, 1, b"12345678"))
for size in (0, 7, 9):
    case("6.7", f"of {size} bytes", connection(FRAME_SIZE_ERROR), frame(PING, 0, 0, b"\0" * size))
case("6.8", "GOAWAY on a stream", connection(PROTOCOL_ERROR), frame(GOAWAY, 0, 1, b"\0" * 8))
case("6.8", "GOAWAY of 7 bytes", connection(FRAME_SIZE_ERROR), frame(GOAWAY, 0, 0, b"\0" * 7))
case("6.8", "after a client's GOAWAY open streams are answered", that("answer", lambda p: p.ended(1)), GET, frame(GOAWAY, 0, 0, b"\0" * 8 + b"debug"))

# --- 6.9 WINDOW_UPDATE ---
case("6.9", "an increment of 0 on the connection", connection(PROTOCOL_ERROR), window_update(0, 0))
case("6.9", "an increment of 0 on a stream", stream(1, PROTOCOL_ERROR), GET, window_update(1, 0), settings=HELD)
for size in (0, 3, 5):
    case("6.9", f"of {size} bytes", connection(FRAME_SIZE_ERROR), frame(WINDOW_UPDATE, 0, 0, b"\0" * size))
case("6.9", "the reserved bit of the increment is ignored", answer(), GET, window_update(1, 0x80000000 | 65535), settings=HELD)
case("6.9.1", "a window of one byte", that("1 byte", lambda p: p.pongs() == 1 and sizes(p) == [1]), GET, ("frame", DATA), ping(), settings=[(INITIAL_WINDOW_SIZE, 1)])
case("6.9.1", "the connection's window over 2^31-1", connection(FLOW_CONTROL_ERROR), window_update(0, (1 << 31) - 1))
case("6.9.1", "the connection's window over 2^31-1 in two steps", connection(FLOW_CONTROL_ERROR), window_update(0, 1 << 30), window_update(0, 1 << 30))
case("6.9.1", "a stream's window over 2^31-1", stream(1, FLOW_CONTROL_ERROR), GET + window_update(1, (1 << 31) - 1) + window_update(1, 1), settings=HELD)
case("6.9.2", "a larger initial window lets a held answer go", answer(), GET, settings((INITIAL_WINDOW_SIZE, 65535)), settings=HELD)
case("6.9.2", "a window that was made negative", that("nothing, then all", lambda p: p.pongs() == 1 and sizes(p) == [3]),
     GET, ("frame", DATA), settings((INITIAL_WINDOW_SIZE, 0)), window_update(1, 2), ping(), settings=[(INITIAL_WINDOW_SIZE, 3)])
# nghttp2 makes it the stream's error. In one write: else the answer may be out, and the stream over, before the settings come.
case("6.9.2", "an initial window that takes a stream's over 2^31-1", stream(1, FLOW_CONTROL_ERROR),
     GET + window_update(1, 1000) + settings((INITIAL_WINDOW_SIZE, (1 << 31) - 1)), settings=HELD)
case("6.9.2", "HEADERS need no window", that("HEADERS", lambda p: p.of(HEADERS, 1) and not p.of(DATA, 1)), GET, settings=HELD)

# --- 6.10 CONTINUATION ---
BLOCK = hpack(request())
case("6.10", "eight CONTINUATION frames", answer(), headers(1, block=BLOCK[:4], flags=0), *[frame(CONTINUATION, 0, 1, BLOCK[4 + n : 5 + n]) for n in range(7)],
     frame(CONTINUATION, END_HEADERS, 1, BLOCK[11:]))
case("6.10", "an empty CONTINUATION", answer(), headers(1, block=BLOCK, flags=0), frame(CONTINUATION, END_HEADERS, 1, b""))
case("6.10", "on stream 0", connection(PROTOCOL_ERROR), headers(1, flags=0), frame(CONTINUATION, END_HEADERS, 0, b""))
case("6.10", "without HEADERS", connection(PROTOCOL_ERROR), frame(CONTINUATION, END_HEADERS, 1, BLOCK))
case("6.10", "after END_HEADERS", connection(PROTOCOL_ERROR, STREAM_CLOSED), POST, frame(CONTINUATION, END_HEADERS, 1, b""))
case("6.10", "after END_HEADERS of a CONTINUATION", connection(PROTOCOL_ERROR), headers(1, request("/v1/videos", "POST"), end=False, flags=0),
     frame(CONTINUATION, END_HEADERS, 1, b""), frame(CONTINUATION, END_HEADERS, 1, b""))
case("6.10", "after DATA", connection(PROTOCOL_ERROR), POST, data(b"x", end=False), frame(CONTINUATION, END_HEADERS, 1, b""))

# --- 7 error codes ---
case("7", "an unknown error code in RST_STREAM", alive(), GET, rst(1, 0xff), settings=HELD)
case("7", "an unknown error code in GOAWAY", that("answer", lambda p: p.ended(1)), GET, frame(GOAWAY, 0, 0, b"\0\0\0\0\0\0\0\xff"))

# --- 8.1 messages ---
TRAILERS = hpack([("x-checksum", "1")])
case("8.1", "trailers", answer(1, *ANSWERED), POST, data(b"{}", end=False), headers(1, block=TRAILERS))
case("8.1", "trailers without END_STREAM", malformed(), POST, data(b"{}", end=False), headers(1, block=TRAILERS, end=False), data(b""))
case("8.1", "a second HEADERS that does not end", malformed(), POST, headers(1, request("/v1/videos", "POST"), end=False))
case("8.1", "a pseudo-header in trailers", malformed(), POST, data(b"{}", end=False), headers(1, [(":path", "/")]))
case("8.1", "DATA after trailers", stream(1, STREAM_CLOSED), headers(1, request("/v1/videos", "POST", [("content-type", "application/json")]), end=False),
     headers(1, block=TRAILERS) + data(b"x"))
case("8.1", "HEAD: no DATA", that("no DATA", lambda p: p.ended(1) and not p.of(DATA, 1)), headers(1, request("/openapi.json", "HEAD")))
case("8.1", "an answer to what was not asked whole: RST_STREAM NO_ERROR", that("NO_ERROR", lambda p: p.ended(1) and p.reset(1) == NO_ERROR),
     headers(1, request("/nothing", "POST", [("content-length", "5")]), end=False))
case("8.1", "Expect: 100-continue gets 100", that("100", lambda p: [dict(one)[":status"] for one in p.decoded(1)][:1] == ["100"]),
     post(("expect", "100-continue"), ("content-length", "2")))
for name, length, parts in (("less than", 5, [b"{}"]), ("more than", 1, [b"{}"]), ("more than, in two frames,", 2, [b"{}", b"{}"]), ("some of none", 5, [b""])):
    case("8.1.1", f"a body with {name} its content-length", malformed(), post(("content-length", str(length))),
         *[data(one, end=number == len(parts) - 1) for number, one in enumerate(parts)])
case("8.1.1", "a content-length without a body", malformed(), headers(1, request("/v1/videos", "POST", [("content-length", "1")])))
case("8.1.1", "a content-length that is right", answer(1, *ANSWERED), post(("content-length", "2")), data(b"{}"))
for bad in ("-1", "1x", "", "1,1", "+2", "99999999999999999999"):
    case("8.1.1", f"content-length {bad!r}", malformed(), post(("content-length", bad)), data(b"{}"))
case("8.1.1", "two lengths", malformed(), post(("content-length", "2"), ("content-length", "3")), data(b"{}"))

# --- 8.2 fields ---
case("8.2", "the server's names are lower case, none is connection-specific",
     that("names", lambda p: p.ended(1) and not [name for name, _ in p.decoded(1)[0] if name != name.lower() or name in ("connection", "keep-alive", "transfer-encoding")]), GET)
for name in ("Upper", "x-Y", "x y", "x:y", "x\x00y", "x\x7fy", "x\x80y", "", "x\ry", "x\ny", "x\ty", "x(y", "x,y", 'x"y', "x/y", "x@y", "x{y"):
    case("8.2.1", f"the field name {name!r}", malformed(), headers(1, request(more=[(name, "v")])))
for value in ("a\x00b", "a\rb", "a\nb", " a", "a ", "\ta", "a\t", "a\x7fb", "a\x01b"):
    case("8.2.1", f"the field value {value!r}", malformed(), headers(1, request(more=[("x-a", value)])))
case("8.2.1", "an obs-text value is let in", answer(), headers(1, request(more=[("x-a", "caf\xe9")])))
for name, value in (("connection", "keep-alive"), ("proxy-connection", "keep-alive"), ("keep-alive", "timeout=5"), ("transfer-encoding", "chunked"),
                    ("upgrade", "h2c"), ("te", "gzip"), ("te", "trailers, deflate")):
    case("8.2.2", f"{name}: {value}", malformed(), headers(1, request(more=[(name, value)])))
case("8.2.2", "te: trailers", answer(), headers(1, request(more=[("te", "trailers")])))
case("8.2.3", "cookie in crumbs", answer(), headers(1, request(more=[("cookie", f"a{n}=b") for n in range(50)])))

# --- 8.3 pseudo-headers, 8.5 CONNECT ---
FOUR = dict(request())


def without(name, **others):
    fields = {**FOUR, **{":" + key: value for key, value in others.items()}}
    return headers(1, [(key, value) for key, value in fields.items() if key != name])


for name in (":method", ":scheme", ":path"):
    case("8.3.1", f"no {name}", malformed(), without(name))
for name in FOUR:
    case("8.3.1", f"{name} twice", malformed(), headers(1, [*request(), (name, FOUR[name])]))
case("8.3", "an unknown pseudo-header", malformed(), headers(1, [(":unknown", "x"), *request()]))
case("8.3", "a pseudo-header of answers", malformed(), headers(1, [(":status", "200"), *request()]))
case("8.3", "a pseudo-header behind a field", malformed(), headers(1, [*request()[:3], ("x-a", "b"), request()[3]]))
case("8.3.1", "an empty :path", malformed(), without("", path=""))
case("8.3.1", "a :path without its slash", malformed(), without("", path="healthz"))
case("8.3.1", "a :path with a space", malformed(), without("", path="/a b"))
case("8.3.1", "a :path with a fragment", malformed(), without("", path="/a#b"))
case("8.3.1", "a :path * that is not OPTIONS", malformed(), without("", path="*"))
case("8.3.1", "OPTIONS *", answer(1, 204, 200, 404), without("", path="*", method="OPTIONS"))
case("8.3.1", "an :authority with user information", malformed(), without("", authority="user@x"))
case("8.3.1", "an :authority with a space", malformed(), without("", authority="a b"))
case("8.3.1", "no :authority, a host", answer(), headers(1, [*request()[:3], ("host", "x")]))
case("8.3.1", "neither :authority nor host", malformed(), without(":authority"))
case("8.3.1", "a method with a space", malformed(), without("", method="GE T"))
case("8.3.1", "an unknown method", answer(1, 405), without("", method="BREW"))
case("8.3.1", "an unknown path", answer(1, 404), without("", path="/nothing"))
case("8.5", "CONNECT", answer(1, 405), headers(1, [(":method", "CONNECT"), (":authority", "x:443")]))
case("8.5", "CONNECT with a :path", malformed(), headers(1, [(":method", "CONNECT"), (":authority", "x:443"), (":path", "/")]))
case("8.5", "CONNECT without an :authority", malformed(), headers(1, [(":method", "CONNECT")]))
case("8.5", "extended CONNECT, which was not offered", malformed(), headers(1,
     [(":method", "CONNECT"), (":protocol", "websocket"), *request()[1:]]))

# --- 10.5 denial of service: the limits of the bridge ---
case("10.5", "101 fields: 431", answer(1, 431), headers(1, request(more=[("a", "")] * 101)))
case("10.5", "33 KiB of fields: 431", answer(1, 431), headers(1, request(more=[("x-a", "v" * 11000)]), flags=0), frame(CONTINUATION, 0, 1, hpack([("x-b", "v" * 11000)])),
     frame(CONTINUATION, END_HEADERS, 1, hpack([("x-c", "v" * 11000)])))
case("10.5", "2,001 fields: GOAWAY", connection(ENHANCE_YOUR_CALM), headers(1, request(more=[("a", "")] * 2001)))
case("10.5", "9 CONTINUATION frames: GOAWAY", connection(ENHANCE_YOUR_CALM), headers(1, flags=0), *[frame(CONTINUATION, 0, 1, b"")] * 9)
case("10.5", "a flood of PING: GOAWAY", connection(ENHANCE_YOUR_CALM), ping() * 1500)
case("10.5", "a flood of SETTINGS: GOAWAY", connection(ENHANCE_YOUR_CALM), settings() * 1500)
case("10.5", "a flood of PRIORITY: GOAWAY", connection(ENHANCE_YOUR_CALM), priority(1) * 1500)
case("10.5", "a flood of unknown frames: GOAWAY", connection(ENHANCE_YOUR_CALM), frame(0x16) * 1500)
case("10.5", "a flood of WINDOW_UPDATE: GOAWAY", connection(ENHANCE_YOUR_CALM), window_update(0, 1) * 1500)
case("10.5", "a flood of empty DATA: GOAWAY", connection(ENHANCE_YOUR_CALM), POST, data(b"", end=False) * 1500)
case("10.5", "a flood of RST_STREAM: GOAWAY", connection(ENHANCE_YOUR_CALM), *[headers(1 + 2 * n) + rst(1 + 2 * n) for n in range(1300)])
case("10.5", "a flood of errors of one's own: GOAWAY", connection(ENHANCE_YOUR_CALM),
     *[step for first in range(0, 400, 50) for step in
       (b"".join(headers(1 + 2 * n, request("/v1/videos", "POST"), end=False) + window_update(1 + 2 * n, (1 << 31) - 1)
                 for n in range(first, first + 50)), ("ping",))])

# --- RFC 7541 HPACK ---
STATIC = b"\x82\x86\x84\x41\x01x"  # GET, http, /, authority x
case("HPACK 2.3.3", "the index 0", connection(COMPRESSION_ERROR), headers(1, block=STATIC + b"\x80"))
case("HPACK 2.3.3", "an index beyond both tables", connection(COMPRESSION_ERROR), headers(1, block=hpack(request()) + b"\xbf"))
case("HPACK 2.3.3", "a name index beyond both tables", connection(COMPRESSION_ERROR), headers(1, block=hpack(request()) + b"\x7f\x00\x01v"))
case("HPACK 2.3.3", "a huge index", connection(COMPRESSION_ERROR), headers(1, block=hpack(request()) + b"\xff\xff\xff\x7f"))
case("HPACK 4.1", "an entry larger than the table empties it", connection(COMPRESSION_ERROR), headers(1, block=hpack(request()) + hpack([("x-a", "b")], True)),
     headers(3, block=hpack(request()) + hpack([("x-b", "v" * 5000)], True)), headers(5, block=hpack(request()) + b"\xbe"))
case("HPACK 4.2", "a table size over the one that was allowed", connection(COMPRESSION_ERROR), headers(1, block=hpack_int(4097, 5, 0x20) + hpack(request())))
case("HPACK 4.2", "a table size at the end of a block", connection(COMPRESSION_ERROR), headers(1, block=hpack(request()) + b"\x20"))
case("HPACK 4.2", "a table size in the middle of a block", connection(COMPRESSION_ERROR), headers(1, block=STATIC + b"\x20" + hpack([("x", "y")])))
case("HPACK 4.2", "two table sizes at the start", answer(), headers(1, block=b"\x20" + hpack_int(4096, 5, 0x20) + hpack(request())))
case("HPACK 4.3", "a smaller table drops entries", connection(COMPRESSION_ERROR), headers(1, block=hpack(request()) + hpack([("x-a", "b")], True)),
     headers(3, block=b"\x20" + hpack(request()) + b"\xbe"))
case("HPACK 5.1", "an integer that overflows", connection(COMPRESSION_ERROR), headers(1, block=hpack(request()) + b"\xff" + b"\xff" * 10 + b"\x01"))
case("HPACK 5.1", "an integer that does not end", connection(COMPRESSION_ERROR), headers(1, block=hpack(request()) + b"\xff\x80\x80"))
case("HPACK 5.2", "a string longer than the block", connection(COMPRESSION_ERROR), headers(1, block=hpack(request()) + b"\x00\x01x\x10abc"))
case("HPACK 5.2", "a name longer than the block", connection(COMPRESSION_ERROR), headers(1, block=hpack(request()) + b"\x00\x7f"))
case("HPACK 5.2", "Huffman padding of more than 7 bits", connection(COMPRESSION_ERROR), headers(1, block=hpack(request()) + b"\x00\x01x\x82\x1f\xff\xff"[:7]))
case("HPACK 5.2", "Huffman padding of zeros", connection(COMPRESSION_ERROR), headers(1, block=hpack(request()) + b"\x00\x01x\x81\x18"))
case("HPACK 5.2", "the Huffman code of EOS", connection(COMPRESSION_ERROR), headers(1, block=hpack(request()) + b"\x00\x01x\x84\xff\xff\xff\xff"))
case("HPACK 6.1", "indexed fields of the static table", answer(1, 404), headers(1, block=STATIC))
case("HPACK 6.2.1", "a field put into the dynamic table, then named", answer(3), headers(1, block=hpack(request(), True)), headers(3, block=b"\xc1\xc0\xbf\xbe"))
case("HPACK 6.2.2", "a literal without indexing is not put there", connection(COMPRESSION_ERROR), headers(1), headers(3, block=hpack(request()) + b"\xbe"))
case("HPACK 6.2.3", "a literal never indexed", answer(), headers(1, block=hpack(request()) + b"\x10\x03x-s\x01v"))
case("HPACK 6.3", "a table of no size", answer(), headers(1, block=b"\x20" + hpack(request())))
case("HPACK C.4", "a Huffman-coded authority", answer(1, 404), headers(1, block=bytes.fromhex("828684418cf1e3c2e5f23a6ba0ab90f4ff")))
case("HPACK C.6", "the server keeps to a table of no size", that("no dynamic entries", lambda p: p.ended(3) and p.decoded(3)), GET, ("ended", 1), headers(3),
     settings=[(HEADER_TABLE_SIZE, 0)])
