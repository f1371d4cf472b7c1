# SPDX-License-Identifier: Apache-2.0
"""The service from outside through gRPC, with nothing but its address and a key: python3-grpcio by reflection,
buf curl, @grpc/grpc-js."""
import json
import subprocess
import threading

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from vg import NODE, wait_for


def varint(value):
    out = b""
    while value > 0x7F:
        out, value = out + bytes([value & 0x7F | 0x80]), value >> 7
    return out + bytes([value])


def field(number, data):
    return varint(number << 3 | 2) + varint(len(data)) + data


def fields(data):
    """(number, value) of each field; length-delimited values as bytes, varints as int."""
    at = 0

    def read_varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = read_varint()
        value = read_varint()
        if key & 7 == 2:
            value, at = data[at : at + value], at + value
        yield key >> 3, value


class Client:
    """A caller that learns everything by reflection."""

    def __init__(self, address, key, version="v1", credentials=None):
        self.channel = grpc.secure_channel(address, credentials) if credentials else grpc.insecure_channel(address)
        self.metadata = (("authorization", f"Bearer {key}"),)
        self.pool = descriptor_pool.DescriptorPool()
        self.reflect = self.channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=lambda b: b, response_deserializer=lambda b: b)

    def ask(self, request):
        (answer,) = self.reflect(iter([request]))
        return dict(fields(answer))

    def services(self):
        return [dict(fields(entry))[1].decode() for _, entry in fields(self.ask(field(7, b"*"))[6])]

    def learn(self, symbol):
        blob = self.ask(field(4, symbol.encode()))[4]
        files = [descriptor_pb2.FileDescriptorProto.FromString(one) for _, one in fields(blob)]
        for one in sorted(files, key=lambda f: len(f.dependency)):
            self.pool.Add(one)
        return self.pool.FindServiceByName(symbol)

    def method(self, service, name):
        found = self.pool.FindServiceByName(service).FindMethodByName(name)
        factory = message_factory.MessageFactory(self.pool)
        request, response = factory.GetPrototype(found.input_type), factory.GetPrototype(found.output_type)
        make = self.channel.unary_stream if name in ("WatchVideo", "DownloadVideo") else self.channel.unary_unary
        call = make(f"/{service}/{name}", request_serializer=lambda m: m.SerializeToString(), response_deserializer=response.FromString)
        return lambda timeout=60, metadata=None, **fields: call(
            request(**fields), timeout=timeout, metadata=self.metadata if metadata is None else metadata)


SERVICE = "videogate.v1.VideoService"


@pytest.fixture(scope="module", params=["v1", "v1alpha"])
def client(stack, request):
    made = Client(stack.env["VIDEOGATE_GRPC"], stack.key, request.param)
    made.learn(SERVICE)
    return made


def create(client, **fields):
    fields = {"prompt": "grpc", "model": "sandbox-instant", "size": "160x90", "seconds": 1, **fields}
    return client.method(SERVICE, "CreateVideo")(**fields).video


def test_reflection_lists_and_describes(client):
    names = client.services()
    assert {"videogate.v1.VideoService", "videogate.v1.AdminService", "grpc.health.v1.Health"} <= set(names)
    methods = {m.name for m in client.pool.FindServiceByName(SERVICE).methods}
    assert {"CreateVideo", "GetVideo", "WatchVideo", "DownloadVideo"} <= methods


def test_reflection_unknown_symbol(client):
    assert 7 in client.ask(field(4, b"no.such.Thing"))


@pytest.mark.client("grpcio", "create, text", "watch", "download", "download, range")
def test_create_watch_download(client, stack):
    made = create(client, model="sandbox")
    states = [m.video.status for m in client.method(SERVICE, "WatchVideo")(id=made.id, timeout=180)]
    assert states[-1] == 3 and states == sorted(states)
    parts = list(client.method(SERVICE, "DownloadVideo")(id=made.id))
    info, data = parts[0].info, b"".join(p.data for p in parts[1:])
    assert info.total_bytes == len(data) == info.length
    assert data == stack.http("GET", f"/v1/videos/{made.id}/content").body
    tail = list(client.method(SERVICE, "DownloadVideo")(id=made.id, last=10))
    assert b"".join(p.data for p in tail[1:]) == data[-10:]


def failure(call, **fields):
    with pytest.raises(grpc.RpcError) as caught:
        result = call(**fields)
        list(result) if hasattr(result, "__iter__") else result
    return caught.value


@pytest.mark.client("grpcio", "error 400", "error 401", "error 404")
def test_errors_carry_details(client):
    bad = failure(client.method(SERVICE, "CreateVideo"), prompt="")
    assert bad.code() == grpc.StatusCode.INVALID_ARGUMENT
    details = dict(bad.trailing_metadata())["grpc-status-details-bin"]
    assert b"google.rpc.ErrorInfo" in details and b"videogate" in details and b"prompt" in details
    assert failure(client.method(SERVICE, "GetVideo"), id="video_" + "0" * 32).code() == grpc.StatusCode.NOT_FOUND
    assert failure(client.method(SERVICE, "GetVideo"), id="x", metadata=()).code() == grpc.StatusCode.UNAUTHENTICATED
    assert failure(client.method(SERVICE, "DownloadVideo"), id="video_" + "0" * 32).code() == grpc.StatusCode.NOT_FOUND


def test_admin_needs_the_admin_key(client, stack):
    client.learn("videogate.v1.AdminService")
    refused = failure(client.method("videogate.v1.AdminService", "ListApiKeys"))
    assert refused.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)


def test_unknown_method(client):
    call = client.channel.unary_unary("/videogate.v1.VideoService/Nothing", request_serializer=lambda b: b, response_deserializer=lambda b: b)
    assert failure(call, request=b"", timeout=20).code() == grpc.StatusCode.UNIMPLEMENTED


def test_garbage_message(client):
    call = client.channel.unary_unary("/videogate.v1.VideoService/GetVideo", request_serializer=lambda b: b, response_deserializer=lambda b: b)
    assert failure(call, request=b"\xff\xff\xff", metadata=client.metadata, timeout=20).code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.client("grpcio", "cancel", "retrieve")
def test_cancelled_watch(client, stack):
    made = create(client, model="sandbox-never")
    stream = client.method(SERVICE, "WatchVideo")(id=made.id)
    next(stream)
    threading.Timer(0.2, stream.cancel).start()
    with pytest.raises(grpc.RpcError) as caught:
        list(stream)
    assert caught.value.code() == grpc.StatusCode.CANCELLED
    client.method(SERVICE, "CancelVideo")(id=made.id)
    wait_for(lambda: client.method(SERVICE, "GetVideo")(id=made.id).video.status == 5, "the cancel")


def test_health(client):
    client.learn("grpc.health.v1.Health")
    check = client.method("grpc.health.v1.Health", "Check")
    assert check(service="").status == 1 and check(service=SERVICE).status == 1
    assert failure(check, service="nobody").code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.client("grpcio", "idempotency key")
def test_request_id_is_idempotent(client):
    first = create(client, request_id="grpc-once-" + client.services()[0] + str(id(client)))
    again = create(client, request_id="grpc-once-" + client.services()[0] + str(id(client)))
    assert first.id == again.id


def test_buf_curl(stack):
    out = subprocess.run(
        [str(NODE / "node_modules/.bin/buf"), "curl", "--http2-prior-knowledge", "--protocol", "grpc", "-H", f"authorization: Bearer {stack.key}",
         "-d", json.dumps({"prompt": "buf", "model": "sandbox-instant", "size": "160x90", "seconds": 1}),
         f"http://{stack.env['VIDEOGATE_GRPC']}/{SERVICE}/CreateVideo"], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    assert json.loads(out.stdout)["video"]["status"] == "VIDEO_STATUS_QUEUED"


@pytest.mark.client("grpc-js", "create, text", "watch", "download", "error 404")
def test_grpc_js(stack):
    out = subprocess.run(["node", "grpc_js.js", stack.env["VIDEOGATE_GRPC"], stack.key], capture_output=True, text=True, cwd=NODE, timeout=180)
    assert out.returncode == 0, out.stderr
    seen = json.loads(out.stdout)
    assert SERVICE in seen["services"] and seen["status"] == "VIDEO_STATUS_COMPLETED" and seen["bytes"] > 0
