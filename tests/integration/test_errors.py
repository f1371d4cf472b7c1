# SPDX-License-Identifier: Apache-2.0
"""Every row of common/err_table.h, as callers see it: made to happen over HTTP, sent through the bridge by a service that
fails on demand, and over gRPC with details. The table in tests/README.md is made from here
(`python3 tests/integration/test_errors.py --write` renews it)."""
import concurrent.futures
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROW = re.compile(r'X\((\w+), "\w+", VG_GRPC_(\w+), (\d+), "(\w+)", "(\w*)", (true|false), "(.*?)"\)')
README = ROOT / "tests/README.md"
MARKS = ("<!-- errors -->", "<!-- /errors -->")


class Row:
    def __init__(self, reason, grpc, http, kind, code, retryable, text):
        self.reason, self.grpc, self.http, self.type, self.code = reason, grpc, int(http), kind, code or None
        self.retryable, self.text = retryable == "true", text


TABLE = {m[1]: Row(*m.groups()) for m in ROW.finditer((ROOT / "common/err_table.h").read_text())}
HTTP, GRPC = {}, {}


def http(reason):
    """Registers how this error is made to happen over HTTP; the function returns the answer."""
    return lambda cause: HTTP.setdefault(reason, cause)


def grpc_cause(reason):
    """The same over gRPC; the function raises RpcError."""
    return lambda cause: GRPC.setdefault(reason, cause)


def elsewhere(row):
    """Test files that name the row's code."""
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "tests").rglob("*_test.c")]
    return sorted(f.name for f in files if row.code and f.name != "test_errors.py" and f'"{row.code}"' in f.read_text())


def table(only=TABLE):
    lines = ["| error | HTTP | type | code | gRPC | made to happen by |", "|---|---|---|---|---|---|"]
    for row in (TABLE[reason] for reason in TABLE if reason in only):
        tests = [f"`test_http[{row.reason}]`"] * (row.reason in HTTP) + [f"`test_grpc[{row.reason}]`"] * (row.reason in GRPC)
        tests = tests or elsewhere(row)
        lines.append(f"| {row.reason} | {row.http} | {row.type} | {row.code or 'null'} | {row.grpc} | {', '.join(tests)} |")
    return "\n".join(lines)


if __name__ != "__main__":
    import grpc
    import pytest
    from test_grpc import field, fields, varint
    from test_idempotency import Pictures
    from vg import BUILD, Answer, free_base, wait_for

STACK_ENV = {"VIDEOGATE_BODY_TIMEOUT": "500ms", "VIDEOGATE_IMAGE_ALLOW_HTTP": "true", "VIDEOGATE_IMAGE_ALLOW_ANY_PORT": "true",
             "VIDEOGATE_IMAGE_ALLOW_NETS": "127.0.0.0/8"}
FIELDS = {"prompt": "errors", "model": "sandbox-instant", "size": "160x90", "seconds": 1}
NOBODY = "video_" + "0" * 32


def packed_status(row):
    info = field(1, row.reason.encode()) + field(2, b"videogate")
    detail = field(1, b"type.googleapis.com/google.rpc.ErrorInfo") + field(2, info)
    return b"\x08" + varint(getattr(grpc.StatusCode, row.grpc).value[0]) + field(2, row.text.encode()) + field(3, detail)


class Failing(grpc.GenericRpcHandler if __name__ != "__main__" else object):
    """A service whose GetVideo fails with the error that is named as the id; EMPTY: answers nothing, SLOW: late."""

    def service(self, _):
        return grpc.unary_unary_rpc_method_handler(self.answer)

    @staticmethod
    def answer(request, context):
        name = dict(fields(request)).get(1, b"").decode()
        if name == "SLOW":
            time.sleep(3)
        if name not in TABLE:
            return b""
        row = TABLE[name]
        context.set_trailing_metadata((("grpc-status-details-bin", packed_status(row)),))
        context.set_code(getattr(grpc.StatusCode, row.grpc))
        context.set_details(row.text)
        return b""


class World:
    """A stack, and further bridges: before the failing service, before nobody, and one with little memory."""

    def __init__(self, stack, folder):
        self.stack, self.folder, self.started = stack, folder, []
        self.fake = grpc.server(concurrent.futures.ThreadPoolExecutor(8), handlers=(Failing(),))
        port = self.fake.add_insecure_port("127.0.0.1:0")
        self.fake.start()
        self.failing = self.bridge(port, "--coalesce", "0", "--rpc-timeout", "500ms")
        self.orphan = self.bridge(free_base(1), "--coalesce", "0")
        self.narrow = self.bridge(stack.port(2), "--body-memory", "1m")

    def bridge(self, service, *more):
        port = free_base(1)
        command = [str(BUILD / "bin/videogate-bridge"), "--listen", f"127.0.0.1:{port}", "--service", f"127.0.0.1:{service}", *more]
        with (self.folder / f"bridge{port}.log").open("w") as log:
            self.started.append(subprocess.Popen(command, stderr=log))
        wait_for(lambda: self.listens(port), "a bridge to listen")
        return port

    @staticmethod
    def listens(port):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return True
        except OSError:
            return False

    def at(self, port, method, path, body=None, headers=None):
        """As stack.http, at another bridge."""
        base, self.stack.base = self.stack.base, port
        try:
            return self.stack.http(method, path, body, {"x-request-id": "given", **(headers or {})})
        finally:
            self.stack.base = base

    def http(self, method, path, body=None, headers=None, **more):
        return self.stack.http(method, path, body, {"x-request-id": "given", **(headers or {})}, **more)

    def post(self, headers=None, **more):
        return self.http("POST", "/v1/videos", {**FIELDS, **more}, headers)

    def raw(self, head, body=b""):
        """Bytes as they are, and one answer."""
        with socket.create_connection(("127.0.0.1", self.stack.base), timeout=60) as one:
            lines = [*head, "host: x", "x-request-id: given", f"authorization: Bearer {self.stack.key}"]
            one.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
            text = b""
            while b"\r\n\r\n" not in text or len(text.split(b"\r\n\r\n", 1)[1]) < int(re.search(rb"content-length: (\d+)", text)[1]):
                data = one.recv(65536)
                assert data, text
                text += data
        top, rest = text.split(b"\r\n\r\n", 1)
        lines = top.decode().split("\r\n")
        return Answer(int(lines[0].split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines[1:])}, rest)

    def close(self):
        for process in self.started:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(60) for process in self.started] == [0] * len(self.started)
        self.fake.stop(0)


if __name__ != "__main__":

    @pytest.fixture(scope="module")
    def world(own_stack, tmp_path_factory):
        made = World(own_stack, tmp_path_factory.mktemp("bridges"))
        yield made
        made.close()

    @pytest.fixture(scope="module")
    def done(own_stack):
        return own_stack.wait(own_stack.create(model="sandbox")["id"])["id"]


# --- how each is made to happen over HTTP ---


@http("INVALID_REQUEST")
def _(w):
    answer = w.post(prompt="")
    assert answer.error["param"] == "prompt"
    return answer


@http("INVALID_JSON")
def _(w):
    return w.http("POST", "/v1/videos", b"{", {"content-type": "application/json"})


@http("UNSUPPORTED")
def _(w):
    answer = w.post(size="9998x9998")
    assert answer.error["param"] == "size"
    return answer


@http("UNAUTHENTICATED")
def _(w):
    return w.http("GET", "/v1/videos", key=False)


def reader(w):
    out = w.stack.ctl("keys", "create", "--scopes", "videos.read", admin=True).stdout
    return dict(line.split(" ", 1) for line in out.splitlines() if " " in line)["secret"]


@http("PERMISSION_DENIED")
def _(w):
    return w.http("POST", "/v1/videos", FIELDS, key=reader(w))


@http("NOT_FOUND")
def _(w):
    return w.http("GET", f"/v1/videos/{NOBODY}")


@http("METHOD_NOT_ALLOWED")
def _(w):
    answer = w.http("PUT", "/v1/videos")
    assert {"GET", "POST", "HEAD", "OPTIONS"} <= set(answer.headers["allow"].split(", "))
    return answer


@http("REQUEST_TIMEOUT")
def _(w):
    return w.raw(["POST /v1/videos HTTP/1.1", "content-type: application/json", "content-length: 100"], b"{")


@http("CONFLICT")
def _(w):
    with Pictures() as pictures, concurrent.futures.ThreadPoolExecutor(1) as pool:
        call = {"headers": {"idempotency-key": f"conflict{time.time_ns()}"}, "model": "sandbox", "image": pictures.url}
        first = pool.submit(w.post, **call)
        assert pictures.asked.acquire(timeout=60)
        answer = w.post(**call)
        pictures.release.set()
        assert first.result().status == 200
    assert answer.error["param"] == "request_id"
    return answer


@http("NOT_READY")
def _(w):
    made = w.post(model="sandbox-never").json["id"]
    answer = w.http("GET", f"/v1/videos/{made}/content")
    assert w.http("POST", f"/v1/videos/{made}/cancel").status == 200
    return answer


@http("GONE")
def _(w):
    key = {"idempotency-key": f"gone{time.time_ns()}"}
    made = w.post(key).json["id"]
    w.stack.wait(made)
    assert w.http("DELETE", f"/v1/videos/{made}").status == 200
    return w.post(key)


@http("TOO_LARGE")
def _(w):
    return w.raw(["POST /v1/videos HTTP/1.1", "content-type: application/json", "content-length: 99999999999"])


@http("URI_TOO_LONG")
def _(w):
    return w.http("GET", "/v1/videos/" + "x" * 9000)


@http("UNSUPPORTED_MEDIA_TYPE")
def _(w):
    return w.http("POST", "/v1/videos", b"prompt", {"content-type": "text/plain"})


@http("RANGE_NOT_SATISFIABLE")
def _(w):
    made = w.stack.wait(w.stack.create()["id"])["id"]
    return w.http("GET", f"/v1/videos/{made}/content", headers={"range": "bytes=999999999-"})


@http("IDEMPOTENCY_MISMATCH")
def _(w):
    key = {"idempotency-key": f"mismatch{time.time_ns()}"}
    assert w.post(key).status == 200
    answer = w.post(key, seconds=2)
    assert answer.error["param"] == "request_id"
    return answer


@http("NO_VARIANT")
def _(w):
    """What was stored is no video any more."""
    made = w.stack.wait(w.stack.create()["id"])["id"]
    (file,) = (w.stack.folder / "blobs/outputs").rglob(f"{made}.*")
    file.chmod(0o600)
    file.write_bytes(bytes(file.stat().st_size))
    return w.http("GET", f"/v1/videos/{made}/content?variant=thumbnail")


@http("RATE_LIMITED")
def _(w):
    return w.at(w.failing, "GET", "/v1/videos/RATE_LIMITED")


@http("HEADERS_TOO_LARGE")
def _(w):
    return w.http("GET", "/v1/videos", headers={"x-long": "x" * 40000})


@http("INTERNAL")
def _(w):
    made = w.stack.wait(w.stack.create()["id"])["id"]
    w.stack.sql("UPDATE videos SET spec = '\\xff' WHERE id = %s", made)
    return w.http("POST", f"/v1/videos/{made}/remix", {"prompt": "again"})


@http("UNIMPLEMENTED")
def _(w):
    return w.raw(["POST /v1/videos HTTP/1.1", "content-type: application/json", "transfer-encoding: gzip, chunked"])


@http("BAD_GATEWAY")
def _(w):
    return w.at(w.failing, "GET", "/v1/videos/EMPTY")


@http("UNAVAILABLE")
def _(w):
    return w.at(w.orphan, "GET", f"/v1/videos/{NOBODY}")


@http("OVERLOADED")
def _(w):
    return w.at(w.narrow, "POST", "/v1/videos", {**FIELDS, "prompt": "x" * (2 << 20)})


@http("DEADLINE")
def _(w):
    return w.at(w.failing, "GET", "/v1/videos/SLOW")


@http("STORAGE_FULL")
def _(w):
    return w.at(w.failing, "GET", "/v1/videos/STORAGE_FULL")


@http("CANCELLED")
def _(w):
    """Who went away hears nothing: the log has the 499. The answer is what a service's own CANCELLED becomes."""
    with socket.create_connection(("127.0.0.1", w.failing)) as one:
        one.sendall(b"GET /v1/videos/SLOW HTTP/1.1\r\nhost: x\r\nauthorization: Bearer x\r\nx-request-id: left\r\n\r\n")
        time.sleep(0.1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset: half a hang-up may still read
    log = w.folder / f"bridge{w.failing}.log"
    wait_for(lambda: re.search(r"req=left .*status=499", log.read_text()), "the 499 in the log")
    return w.at(w.failing, "GET", "/v1/videos/CANCELLED")


# --- over gRPC ---


def call(w, method, data, key=None, **more):
    channel = grpc.insecure_channel(w.stack.env["VIDEOGATE_GRPC"])
    kind = channel.unary_stream if method == "DownloadVideo" else channel.unary_unary
    start = kind(f"/videogate.v1.VideoService/{method}", request_serializer=lambda b: b, response_deserializer=lambda b: b)
    answer = start(data, metadata=(("authorization", f"Bearer {key or w.stack.key}"),), timeout=more.get("timeout", 60))
    return list(answer) if method == "DownloadVideo" else answer


def create(prompt=b"errors", model=b"sandbox-instant", size=b"160x90", seconds=1, request_id=None, image=None):
    data = field(1, model) + field(2, prompt) + field(3, size) + b"\x20" + varint(seconds)
    data += field(13, request_id) if request_id else b""
    return data + (field(9, field(1, image)) if image else b"")


def made_id(data):
    return dict(fields(dict(fields(data))[1]))[1].decode()


@grpc_cause("INVALID_REQUEST")
def _(w):
    call(w, "CreateVideo", create(prompt=b""))


@grpc_cause("UNSUPPORTED")
def _(w):
    call(w, "CreateVideo", create(size=b"9998x9998"))


@grpc_cause("UNAUTHENTICATED")
def _(w):
    call(w, "GetVideo", field(1, NOBODY.encode()), key="nonsense")


@grpc_cause("PERMISSION_DENIED")
def _(w):
    call(w, "CreateVideo", create(), key=reader(w))


@grpc_cause("NOT_FOUND")
def _(w):
    call(w, "GetVideo", field(1, NOBODY.encode()))


@grpc_cause("CONFLICT")
def _(w):
    with Pictures() as pictures, concurrent.futures.ThreadPoolExecutor(1) as pool:
        data = create(model=b"sandbox", request_id=b"conflict%d" % time.time_ns(), image=pictures.url.encode())
        first = pool.submit(call, w, "CreateVideo", data)
        assert pictures.asked.acquire(timeout=60)
        try:
            call(w, "CreateVideo", data)
        finally:
            pictures.release.set()
            assert first.result()


@grpc_cause("NOT_READY")
def _(w):
    made = made_id(call(w, "CreateVideo", create(model=b"sandbox-never")))
    try:
        call(w, "DownloadVideo", field(1, made.encode()))
    finally:
        call(w, "CancelVideo", field(1, made.encode()))


@grpc_cause("GONE")
def _(w):
    data = create(request_id=b"gone%d" % time.time_ns())
    made = made_id(call(w, "CreateVideo", data))
    w.stack.wait(made)
    call(w, "DeleteVideo", field(1, made.encode()))
    call(w, "CreateVideo", data)


@grpc_cause("RANGE_NOT_SATISFIABLE")
def _(w):
    made = w.stack.wait(w.stack.create()["id"])["id"]
    call(w, "DownloadVideo", field(1, made.encode()) + b"\x18" + varint(999999999))


@grpc_cause("IDEMPOTENCY_MISMATCH")
def _(w):
    key = b"mismatch%d" % time.time_ns()
    call(w, "CreateVideo", create(request_id=key))
    call(w, "CreateVideo", create(request_id=key, prompt=b"another"))


@grpc_cause("INTERNAL")
def _(w):
    made = w.stack.wait(w.stack.create()["id"])["id"]
    w.stack.sql("UPDATE videos SET spec = '\\xff' WHERE id = %s", made)
    call(w, "RemixVideo", field(1, made.encode()) + field(2, b"again"))


@grpc_cause("UNIMPLEMENTED")
def _(w):
    call(w, "NoSuchMethod", b"")


def details(error):
    """The packed details of google.rpc.Status by type: {name: {field: value}}."""
    status = dict(error.trailing_metadata())["grpc-status-details-bin"]
    entries = [dict(fields(value)) for number, value in fields(status) if number == 3]
    return {entry[1].decode().split("/google.rpc.")[1]: dict(fields(entry[2])) for entry in entries}


# --- the tests ---


def check(answer, row, retry):
    assert answer.status == row.http, answer.body
    error = answer.error
    assert error["type"] == row.type and error["code"] == row.code, error
    assert answer.headers["x-request-id"] == "given" and answer.headers["content-type"] == "application/json"
    sdk_retries = row.http in (408, 409, 429) or row.http >= 500
    assert answer.headers.get("x-should-retry") == (("true" if retry else "false") if sdk_retries else None)
    wait = answer.headers.get("retry-after")
    assert (wait is not None) or row.http not in (429, 503)
    if wait is not None:
        assert 0 < int(wait) <= 60 and 0 < int(answer.headers["retry-after-ms"]) <= 60000


if __name__ != "__main__":

    @pytest.mark.parametrize("reason", HTTP)
    def test_http(world, reason):
        row = TABLE[reason]
        check(HTTP[reason](world), row, row.retryable and reason != "CONFLICT")

    @pytest.mark.parametrize("reason", TABLE)
    def test_through_the_bridge(world, reason):
        """Whatever the service says reaches HTTP callers as its row has it."""
        row = TABLE[reason]
        answer = world.at(world.failing, "GET", f"/v1/videos/{reason}")
        check(answer, row, row.retryable and reason != "CONFLICT")
        assert answer.error["message"] == row.text

    @pytest.mark.parametrize("reason", GRPC)
    def test_grpc(world, reason):
        row = TABLE[reason]
        with pytest.raises(grpc.RpcError) as caught:
            GRPC[reason](world)
        error = caught.value
        assert error.code().name == row.grpc and error.details()
        seen = details(error)
        assert seen["ErrorInfo"][1].decode() == reason and seen["ErrorInfo"][2] == b"videogate"
        if row.grpc == "INVALID_ARGUMENT":
            violation = dict(fields(seen["BadRequest"][1]))
            assert violation[1] and violation[2].decode() == error.details()
        assert ("RetryInfo" in seen) == (reason == "CONFLICT")

    def test_grpc_deadline(world):
        """The caller's own: no answer can carry details."""
        with Pictures() as pictures, pytest.raises(grpc.RpcError) as caught:
            call(world, "CreateVideo", create(model=b"sandbox", image=pictures.url.encode()), timeout=0.3)
        assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED

    def test_stopped_service_is_504(own_stack):
        """A service that is there and silent: the bridge's own deadline, and no word about a create that may stand."""
        world = World(own_stack, own_stack.folder)
        own_stack.kill("service", signal.SIGSTOP)
        try:
            port = world.bridge(own_stack.port(2), "--rpc-timeout", "500ms")
            answer = world.at(port, "POST", "/v1/videos", FIELDS)
            safe = world.at(port, "POST", "/v1/videos", FIELDS, {"idempotency-key": f"slow{time.time_ns()}"})
        finally:
            own_stack.kill("service", signal.SIGCONT)
            world.close()
        check(answer, TABLE["DEADLINE"], False)
        check(safe, TABLE["DEADLINE"], True)

    @pytest.mark.parametrize("method,path", [("GET", "/"), ("GET", "/v1/nothing"), ("POST", "/v2/videos"), ("GET", "/v1/videos/a/b/c"),
                                             ("DELETE", "/v1/nothing/else")])
    def test_no_such_route(world, method, path):
        check(world.http(method, path), TABLE["NOT_FOUND"], False)

    def test_the_table_is_whole():
        """Each row is made to happen here, or its code stands in another test; and the README says so of those here."""
        assert set(HTTP) | set(GRPC) <= set(TABLE)
        bare = [reason for reason in TABLE if reason not in HTTP and not elsewhere(TABLE[reason])]
        assert not bare, "rows that no test makes happen"
        written = README.read_text().split(MARKS[0])[1].split(MARKS[1])[0].splitlines()
        missing = [line for line in table(HTTP).splitlines() if line not in written]
        assert not missing, "python3 tests/integration/test_errors.py --write"


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    before, rest = README.read_text().split(MARKS[0])
    README.write_text(f"{before}{MARKS[0]}\n{table()}\n{MARKS[1]}{rest.split(MARKS[1])[1]}")
