# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 as RFC 9112 and RFC 9110 want it, and as smuggling needs it not: one row for each request.

A row: section, what, the answers, the bytes. Answers are statuses in order: "200" or "200 404"; "+" stands for any answer of a POST that was taken
as a whole (no service is behind the bridge here). Behind the bytes comes a probe: with "!" at the end the connection must
have been closed before it, so that nothing behind a refused request is ever taken for another. "400!|431!": either.
"""
from typing import NamedTuple


class Case(NamedTuple):
    section: str
    title: str
    expect: str
    data: bytes


PROBE = b"GET /probe HTTP/1.1\r\nHost: x\r\nX-Request-Id: probe\r\nConnection: close\r\n\r\n"
CASES = []


def case(section, title, expect, data):
    CASES.append(Case(section, title, expect, data))


def raw(*lines, body=b""):
    return b"\r\n".join(one if isinstance(one, bytes) else one.encode("latin-1") for one in lines) + b"\r\n\r\n" + body


def get(*lines, path="/healthz", method="GET", version="HTTP/1.1", host="x", body=b""):
    return raw(f"{method} {path} {version}", *([f"Host: {host}"] if host is not None else []), *lines, body=body)


def post(*lines, body=b"{}", **more):
    return get("Content-Type: application/json", *lines, path=more.pop("path", "/v1/videos"), method="POST", body=body, **more)


def chunked(body, *lines):
    return post("Transfer-Encoding: chunked", *lines, body=body)


GOOD = b"2\r\n{}\r\n0\r\n\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: x\r\n\r\n"

# --- compliance: what must work ---
case("request line", "a simple request", "200", get())
case("request line", "two in one write", "200 200", get() * 2)
case("request line", "fifty in one write", " ".join(["200"] * 50), get() * 50)
case("request line", "different answers stay in order", "200 404 200 405", get() + get(path="/a") + get() + get(method="DELETE"))
case("request line", "an empty line in front", "200", b"\r\n" + get())
case("request line", "an empty line between two", "200 200", get() + b"\r\n" + get())
for name in ("POST", "PUT", "DELETE", "PATCH", "TRACE"):
    case("request line", f"{name} where it is not allowed", "405", get(method=name))
case("request line", "HEAD has no body", "200 404", get(method="HEAD") + get(path="/a"))
case("request line", "HEAD of what is not there", "404 200", get(method="HEAD", path="/a") + get())
case("request line", "OPTIONS", "204", get(method="OPTIONS"))
case("request line", "OPTIONS *", "204|200|404", get(method="OPTIONS", path="*"))
case("request line", "GET *", "400!", get(path="*"))
case("request line", "CONNECT", "405!|501!", get(method="CONNECT", path="x:443"))
case("request line", "an unknown method", "405!|501!", get(method="BREW"))
case("request line", "a method in lower case", "405!|400!|501!", get(method="get"))
case("request line", "absolute-form", "200", get(path="http://x/healthz"))
case("request line", "absolute-form, https", "200", get(path="https://x/healthz"))
case("request line", "absolute-form without a path", "404", get(path="http://x"))
case("request line", "absolute-form of another host than Host", "200", get(path="http://y/healthz"))
case("request line", "a query", "200", get(path="/healthz?a=b&c"))
case("request line", "an empty query", "200", get(path="/healthz?"))
case("request line", "escapes in the path", "404", get(path="/%68ealthz%2f"))
case("request line", "a path of 8,000 bytes", "404", get(path="/" + "a" * 7999))
case("request line", "a path of 9,000 bytes", "414!", get(path="/" + "a" * 9000))
case("request line", "a path of 60,000 bytes", "414!|431!", get(path="/" + "a" * 60000))
case("version", "HTTP/1.0 closes", "200!", get(version="HTTP/1.0"))
case("version", "HTTP/1.0 without Host", "200!", get(version="HTTP/1.0", host=None))
case("version", "HTTP/1.0 with keep-alive", "200", get("Connection: keep-alive", version="HTTP/1.0"))
for version in ("HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/0.9", "HTTP/3.0", "HTTP/9.9", "HTTP/11", "HTTP/1", "HTTP/1.", "HTTP/1.1.1", "HTTP/01.1", "HTTP/1.01",
                "http/1.1", "Http/1.1", "HTTPS/1.1", "ICY/1.1", "HTTP /1.1", "HTTP/ 1.1", "HTTP/1.1x", "XHTTP/1.1", "HTTP/-1.1", "HTTP/1,1"):
    case("version", f"the version {version!r}", "400!|505!", get(version=version))
case("connection", "keep-alive is what HTTP/1.1 does", "200 200", get("Connection: keep-alive") + get())
case("connection", "close", "200!", get("Connection: close"))
case("connection", "CLOSE in capitals", "200!", get("Connection: CLOSE"))
case("connection", "close in a list", "200!", get("Connection: x-a, close"))
case("connection", "close in a second field", "200!", get("Connection: x-a", "Connection: close"))
case("connection", "an Upgrade is ignored", "200", get("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13"))
case("connection", "an Upgrade to h2c is ignored", "200", get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__"))
case("host", "none", "400!", get(host=None))
case("host", "two", "400!", get("Host: x"))
case("host", "two that differ", "400!", get("Host: y"))
case("host", "two, other capitals", "400!", get("HOST: x"))
case("host", "empty", "200|400!", get(host=""))
case("host", "with a port", "200", get(host="x:8080"))
case("host", "an IPv6 address", "200", get(host="[::1]:80"))
for host in ("x y", "x/y", "user@x", "x\ty", "x?y", "x#y", "x\\y", "x\"y", "x<y", "x^y", "x{y}"):
    case("host", f"the value {host!r}", "400!", get(host=host))
case("fields", "names in any capitals", "200", raw("GET /healthz HTTP/1.1", "hOsT: x"))
case("fields", "no space behind the colon", "200", raw("GET /healthz HTTP/1.1", "Host:x"))
case("fields", "spaces and tabs around a value", "200", raw("GET /healthz HTTP/1.1", "Host: \t x \t "))
case("fields", "an empty value", "200", get("X-A:"))
case("fields", "a value of obs-text", "200", get("X-A: caf\xe9"))
case("fields", "100 of them", "200", get(*[f"X-{n}: a" for n in range(99)]))
case("fields", "101 of them", "431!", get(*[f"X-{n}: a" for n in range(100)]))
case("fields", "5,000 of them", "431!", get(*["a: b"] * 5000))
case("fields", "one of 30,000 bytes", "200", get("X-A: " + "a" * 30000))
case("fields", "one of 33,000 bytes", "431!", get("X-A: " + "a" * 33000))
case("fields", "one of 100,000 bytes", "431!", get("X-A: " + "a" * 100000))
case("fields", "a name of 33,000 bytes", "431!", get("a" * 33000 + ": b"))
case("body", "with a length", "+", post("Content-Length: 2"))
case("body", "of length 0", "+", post("Content-Length: 0", body=b""))
case("body", "none, no length: a POST without a body", "+", post(body=b""))
case("body", "with leading zeros in its length", "+", post("Content-Length: 002"))
case("body", "of a GET is read and dropped", "200", get("Content-Length: 5", body=b"hello"))
case("body", "of a DELETE is read and dropped", "405", get("Content-Length: 5", method="DELETE", body=b"hello"))
case("body", "a request behind one", "+ 200", post("Content-Length: 2") + get())
case("body", "chunked", "+", chunked(GOOD))
case("body", "chunked, two chunks", "+", chunked(b"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n"))
case("body", "chunked, a size with leading zeros", "+", chunked(b"0002\r\n{}\r\n000\r\n\r\n"))
case("body", "chunked, hexadecimal in capitals", "+", chunked(b"A\r\n{        }\r\n0\r\n\r\n"))
case("body", "chunked, hexadecimal in small letters", "+", chunked(b"a\r\n{        }\r\n0\r\n\r\n"))
case("body", "chunked, an extension", "+", chunked(b"2;name=value\r\n{}\r\n0\r\n\r\n"))
case("body", "chunked, a quoted extension", "+", chunked(b'2;name="va;lue"\r\n{}\r\n0\r\n\r\n'))
case("body", "chunked, an extension of the last chunk", "+", chunked(b"2\r\n{}\r\n0;a\r\n\r\n"))
case("body", "chunked, trailers", "+", chunked(b"2\r\n{}\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n"))
case("body", "chunked, trailers do not change the framing", "400!", chunked(b"2\r\n{}\r\n0\r\nContent-Length: 100\r\nTransfer-Encoding: x\r\n\r\n"))
case("body", "chunked, a request behind one", "+ 200", chunked(GOOD) + get())
case("body", "Chunked in capitals", "+", post("Transfer-Encoding: CHUNKED", body=GOOD))
case("body", "over 64 MiB, by its length", "413!", post("Content-Length: 99999999", body=b""))
case("body", "a length of 19 digits", "413!|400!", post("Content-Length: 9223372036854775807", body=b""))
case("expect", "100-continue", "100 +", post("Expect: 100-continue", "Content-Length: 2"))
case("expect", "100-Continue in capitals", "100 +", post("Expect: 100-CONTINUE", "Content-Length: 2"))
case("expect", "100-continue for what is refused", "404!", get("Expect: 100-continue", "Content-Length: 2", path="/a", method="POST", body=b""))
case("expect", "100-continue without a body", "200", get("Expect: 100-continue"))
case("expect", "100-continue over HTTP/1.0 is ignored", "+!", post("Expect: 100-continue", "Content-Length: 2", version="HTTP/1.0"))
case("expect", "another expectation is ignored or refused", "+|417|417!", post("Expect: something", "Content-Length: 2"))
case("capabilities", "another content type", "415", post("Content-Length: 2").replace(b"application/json", b"text/plain"))
case("capabilities", "an encoded body", "415|415!", post("Content-Encoding: gzip", "Content-Length: 2"))
case("capabilities", "If-None-Match on what has no tag", "200", get("If-None-Match: *"))
case("capabilities", "a Range on what has none", "200", get("Range: bytes=0-1"))
case("capabilities", "Accept of nothing we have", "200", get("Accept: image/png"))
case("capabilities", "a Date in the request", "200", get("Date: yesterday"))
case("capabilities", "TE", "200", get("TE: trailers", "Connection: te"))
case("capabilities", "Max-Forwards", "200", get("Max-Forwards: 0"))
case("capabilities", "an X-Request-Id that is none", "200", get("X-Request-Id: a b"))

# --- cookies: nothing here reads them, nothing may stumble over them ---
for cookie in ("a=b", "a=b; c=d", "a", "=b", "a=", ";", "a=b;;c=d", 'a="b c"', "a=b, c=d", "$Version=1; a=b", "a=\xff", "a=" + "b" * 8000):
    case("cookies", f"{cookie[:30]!r}", "200", get("Cookie: " + cookie))

# --- normalisation: a path is what was sent ---
for path in ("/./healthz", "/x/../healthz", "//healthz", "/healthz/", "/HEALTHZ", "/healthz%00", "/healthz;a", "/%2e/healthz"):
    case("normalisation", f"{path} is another path", "404", get(path=path))

# --- malformed ---
for text in ("GET /healthz", "GET", "GET  /healthz HTTP/1.1", "GET /healthz  HTTP/1.1", " GET /healthz HTTP/1.1", "GET /healthz HTTP/1.1 ", "GET\t/healthz HTTP/1.1",
             "GET /healthz\tHTTP/1.1", "GET /health z HTTP/1.1", "GET HTTP/1.1", "/healthz HTTP/1.1", "GET healthz HTTP/1.1", "GET /a\x00b HTTP/1.1",
             "GET /a\x01b HTTP/1.1", "GET /a\x7fb HTTP/1.1", "GET /caf\xe9 HTTP/1.1", "GET /a#b HTTP/1.1", "G\x00T /healthz HTTP/1.1", "GE(T /healthz HTTP/1.1",
             "\x16\x03\x01\x02\x00\x01", "GET http://user@x/ HTTP/1.1", "GET http:///healthz HTTP/1.1", "GET ftp://x/ HTTP/1.1", "GET ../healthz HTTP/1.1"):
    case("malformed", f"the request line {text!r}", "400!|405!|501!", raw(text, "Host: x"))
for name in ("", " ", "X A", "X\tA", "X-A ", "X-A\t", "X\x00A", "X\x01A", "X\x7fA", "X\xe9", "X(A", "X)A", "X<A", "X>A", "X@A", "X,A", "X;A", "X\\A", 'X"A', "X/A", "X[A", "X]A",
             "X?A", "X=A", "X{A", "X}A"):
    case("malformed", f"the field name {name!r}", "400!", get(f"{name}: b"))
for value in ("a\x00b", "a\rb", "a\r", "\x00", "a\x01b", "a\x0bb", "a\x1fb", "a\x7fb"):
    case("malformed", f"the field value {value!r}", "400!", get(f"X-A: {value}"))
case("malformed", "a field without a colon", "400!", get("X-A"))
case("malformed", "a line of a colon", "400!", get(":"))
case("malformed", "obs-fold with a space", "400!", get("X-A: b", " c"))
case("malformed", "obs-fold with a tab", "400!", get("X-A: b", "\tc"))
case("malformed", "a fold in front of the first field", "400!", raw("GET /healthz HTTP/1.1", " Host: x"))
case("malformed", "bare LF everywhere", "400!", get().replace(b"\r\n", b"\n"))
case("malformed", "bare LF behind the request line", "400!", get().replace(b"\r\n", b"\n", 1))
case("malformed", "bare LF behind a field", "400!", b"GET /healthz HTTP/1.1\r\nHost: x\nX-A: b\r\n\r\n")
case("malformed", "bare LF at the end of the head", "400!", b"GET /healthz HTTP/1.1\r\nHost: x\r\n\n")
case("malformed", "bare CR behind the request line", "400!", b"GET /healthz HTTP/1.1\rHost: x\r\n\r\n")
case("malformed", "CR CR LF", "400!", b"GET /healthz HTTP/1.1\r\r\nHost: x\r\n\r\n")
case("malformed", "LF in front", "400!", b"\n" + get())
case("malformed", "70,000 empty lines in front", "431!|400!|414!", b"\r\n" * 35000)

# --- smuggling ---
for lines in (["Content-Length: 2", "Transfer-Encoding: chunked"], ["Transfer-Encoding: chunked", "Content-Length: 2"], ["Content-Length: 0", "Transfer-Encoding: chunked"],
              ["Content-Length: 12", "Transfer-Encoding: chunked"], ["Transfer-Encoding: chunked", "Content-Length: 0"]):
    case("smuggling CL.TE", " + ".join(lines), "400!", post(*lines, body=GOOD + HIDDEN))
for coding in ("x", "identity", "gzip", "chunked, identity", "identity, chunked", "gzip, chunked", "chunked, chunked", "chunked,", ",chunked", "chunked;a=b", "xchunked",
               "chunkedx", "chunked x", "x chunked", '"chunked"', "'chunked'", "chunk", "cow", "", "\x0bchunked", "chunked\x0b", "chunked\x00", "chu nked", "chunked\x01",
               "[chunked]", "chunked, x", "trailers", "deflate"):
    case("smuggling TE", f"Transfer-Encoding: {coding!r}", "400!|501!", post(f"Transfer-Encoding: {coding}", body=GOOD + HIDDEN))
for line in ("Transfer-Encoding : chunked", " Transfer-Encoding: chunked", "\tTransfer-Encoding: chunked", "Transfer-Encoding\t: chunked", "Transfer-Encoding\x00: chunked",
             "Transfer-Encoding\r: chunked", "X: y\nTransfer-Encoding: chunked", "X: y\rTransfer-Encoding: chunked", "Transfer-Encoding:\x0bchunked",
             "Transfer-Encoding:\rchunked", "Transfer-Encoding:\n chunked", "Transfer-Encoding\n: chunked", "Transfer-Encoding:\r\n chunked"):
    case("smuggling TE.TE", repr(line), "400!|501!", post("Content-Length: 4", line, body=GOOD + HIDDEN))
for lines in (["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
              ["Transfer-Encoding: identity", "Transfer-Encoding: chunked"], ["Transfer-Encoding: chunked", "Transfer-Encoding: x"]):
    case("smuggling TE.TE", " + ".join(lines), "400!|501!", post(*lines, body=GOOD + HIDDEN))
case("smuggling TE", "chunked over HTTP/1.0", "400!", post("Transfer-Encoding: chunked", version="HTTP/1.0", body=GOOD))
# A name with an underscore is another field to us: without a length there is no body.
case("smuggling TE", "Transfer_Encoding is another field", "+ 404", post("Transfer_Encoding: chunked", body=b"") + get(path="/a"))
for lines in (["Content-Length: 2", "Content-Length: 2"], ["Content-Length: 2", "Content-Length: 3"], ["Content-Length: 0", "Content-Length: 2"], ["Content-Length: 2", "content-length: 30"]):
    case("smuggling CL.CL", " + ".join(lines), "400!", post(*lines, body=b"{}" + HIDDEN))
for length in ("2, 2", "2,3", "+2", "-2", "-0", "0x2", "2.0", "2e0", "2 0", "2x", "x2", "0 2", "", " ", "\x0b2", "2\x00", "2\x0b", "2;", '"2"', "99999999999999999999", "18446744073709551618",
               "4294967298000000000000", "2_0", "\xb2", "two", "0b10", "NaN", "2\t2"):
    case("smuggling CL", f"Content-Length: {length!r}", "400!|413!", post(f"Content-Length: {length}", body=b"{}" + HIDDEN))
for line in ("Content-Length : 2", " Content-Length: 2", "\tContent-Length: 2", "Content-Length\x00: 2", "Content-Length\t: 2", "Content-Length:\n 2", "X: y\nContent-Length: 2",
             "X: y\rContent-Length: 2"):
    case("smuggling CL", repr(line), "400!", post(line, body=b"{}" + HIDDEN))
case("smuggling CL.0", "a GET with a length: its body is no request", "200", get(f"Content-Length: {len(HIDDEN)}", body=HIDDEN))
case("smuggling CL.0", "a POST to nowhere: its body is no request", "404", get(f"Content-Length: {len(HIDDEN)}", path="/a", method="POST", body=HIDDEN))
case("smuggling CL.0", "a HEAD with a length: its body is no request", "200", get(f"Content-Length: {len(HIDDEN)}", method="HEAD", body=HIDDEN))
case("smuggling CL.0", "an OPTIONS with a length: its body is no request", "204", get(f"Content-Length: {len(HIDDEN)}", method="OPTIONS", body=HIDDEN))
case("smuggling 0.CL", "a body that nobody announced is a request", "+ 404", post(body=b"") + HIDDEN)
case("smuggling 0.CL", "a refused Expect: what follows is not taken", "404!", get("Expect: 100-continue", f"Content-Length: {len(HIDDEN)}", path="/a", method="POST", body=HIDDEN))
for size in (b"0x2", b"+2", b"-2", b"2_", b"_2", b" 2", b"2 ", b"\t2", b"2\t", b"", b"g", b"2g", b"2.0", b"fffffffffffffffff", b"8000000000000000", b"ffffffffffffffff",
             b"10000000000000002", b"2,", b'"2"', b"2\x00", b"\x00", b"2\x0b", b"0 2", b"2h"):
    case("smuggling chunk", f"the size {size!r}", "400!", chunked(size + b"\r\n{}\r\n0\r\n\r\n" + HIDDEN))
for name, body in (("LF behind a size", b"2\n{}\r\n0\r\n\r\n"), ("LF behind data", b"2\r\n{}\n0\r\n\r\n"), ("CR behind a size", b"2\r{}\r\n0\r\n\r\n"), ("CR CR LF behind a size", b"2\r\r\n{}\r\n0\r\n\r\n"),
                   ("nothing behind data", b"2\r\n{}0\r\n\r\n"), ("data longer than its size", b"2\r\n{}}\r\n0\r\n\r\n"), ("XX behind data", b"2\r\n{}XX0\r\n\r\n"),
                   ("LF behind the last size", b"2\r\n{}\r\n0\n\r\n"), ("LF at the end", b"2\r\n{}\r\n0\r\n\n"), ("a bare LF in an extension", b"2;a\nb\r\n{}\r\n0\r\n\r\n"),
                   ("a bare CR in an extension", b"2;a\rb\r\n{}\r\n0\r\n\r\n"), ("NUL in an extension", b"2;a\x00b\r\n{}\r\n0\r\n\r\n"), ("a quote that does not end", b'2;a="\r\n{}\r\n0\r\n\r\n'),
                   ("a fold in a trailer", b"2\r\n{}\r\n0\r\nX: a\r\n b\r\n\r\n"), ("a trailer without a colon", b"2\r\n{}\r\n0\r\nX\r\n\r\n"), ("a space behind a trailer's name", b"2\r\n{}\r\n0\r\nX : a\r\n\r\n"),
                   ("LF behind a trailer", b"2\r\n{}\r\n0\r\nX: a\n\r\n"), ("NUL in a trailer", b"2\r\n{}\r\n0\r\nX: a\x00\r\n\r\n"), ("a request line as a trailer", b"2\r\n{}\r\n0\r\n" + HIDDEN)):
    case("smuggling chunk", name, "400!", chunked(body + HIDDEN))
case("smuggling chunk", "100,000 bytes of extension", "400!", chunked(b"2;" + b"a" * 100000 + b"\r\n{}\r\n0\r\n\r\n"))
case("smuggling chunk", "100,000 bytes of trailers", "400!", chunked(b"2\r\n{}\r\n0\r\n" + b"X: aaaaaaaaaaaaaaaa\r\n" * 5000 + b"\r\n"))
case("smuggling upgrade", "h2c by Upgrade, then a preface", "200 400!|200 405!|200 505!", get("Connection: Upgrade", "Upgrade: h2c") + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
case("smuggling upgrade", "a preface behind a request", "200 400!|200 405!|200 505!", get() + b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
case("smuggling target", "CR LF in the target", "400!", b"GET /a\r\nX: HTTP/1.1\r\nHost: x\r\n\r\n")
case("smuggling target", "an escaped CR LF is two escapes", "404", get(path="/a%0d%0aX:%20y"))
