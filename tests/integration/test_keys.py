# SPDX-License-Identifier: Apache-2.0
"""API keys: their form, what the database holds of them, peppers, scopes of every call and route, revocation in every
process at once, last use."""
import hashlib
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import threading
import time
import zlib

import grpc
import planted
import pytest
from large import plant
from sse import Events
from test_grpc import Client, field
from vg import BUILD, ROOT, Beside, free_base, readyz, wait_for

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SCOPES = ("videos.read", "videos.write", "usage.read", "webhooks.read", "webhooks.write")
DENIED = (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNAUTHENTICATED)
# Revoked, until the last process has seen it: a second, and this much for a machine that has other things to do.
SLACK = 4


def base62(number, length):
    text = ""
    for _ in range(length):
        text, number = DIGITS[number % 62] + text, number // 62
    return text


def checked(text):
    return text + base62(zlib.crc32(text.encode()), 6)


def new_key(stack, *options, project="keys"):
    out = stack.ctl("keys", "create", "--project", project, *options, admin=True).stdout
    return dict(line.split(" ", 1) for line in out.splitlines() if " " in line)


def status(stack, key):
    return stack.http("GET", "/v1/videos", key=key).status


# --- form ---


def test_form(stack):
    made = new_key(stack)
    assert re.fullmatch(r"vg_[0-9A-Za-z]{22}_[0-9A-Za-z]{39}", made["secret"])
    assert made["secret"] == checked(made["secret"][:-6])
    assert made["secret"][3:25] == base62(int(made["id"][4:], 16), 22)
    assert made["hint"] == made["secret"][-4:]
    assert status(stack, made["secret"]) == 200
    listed = stack.ctl("--json", "keys", "list", "--project", "keys", admin=True).stdout
    assert made["id"] in listed and made["secret"][26:] not in listed


def test_junk_costs_no_read(stack):
    made = new_key(stack)["secret"]
    wrong = made[:-1] + DIGITS[(DIGITS.index(made[-1]) + 1) % 62]
    before = stack.metric(3, "videogate_auth_checks_total")
    for key in (wrong, "sk-proj-" + "a" * 40, "vg_", made[:-1], made + "0"):
        assert status(stack, key) == 401, key
    after = stack.metric(3, "videogate_auth_checks_total")
    counted = {name: after[name] - before[name] for name in after}
    assert counted['videogate_auth_checks_total{result="malformed"}'] == 5
    assert counted['videogate_auth_checks_total{result="miss"}'] == 0


def test_a_known_id_needs_its_secret(stack):
    made = new_key(stack)["secret"]
    other = checked(made[:26] + "".join(secrets.choice(DIGITS) for _ in range(33)))
    assert [status(stack, key) for key in (other, made, other)] == [401, 200, 401]


# --- at rest ---


def test_a_dump_without_the_pepper_has_no_usable_key(stack, tmp_path):
    made = new_key(stack)
    key = made["secret"]
    assert status(stack, key) == 200
    dump = subprocess.run(["pg_dump", stack.env["DATABASE_URL"]], capture_output=True, check=True, text=True).stdout
    assert made["id"] in dump
    assert key not in dump and key[26:] not in dump and hashlib.sha256(key.encode()).hexdigest() not in dump
    (row,) = stack.sql("SELECT encode(hash, 'hex'), pepper FROM api_keys WHERE id = %s", made["id"])
    assert row[1] is not None
    # What the dump says is no key, in no form.
    for guess in (row[0], "vg_" + row[0], checked("vg_" + row[0][:40]), checked(key[:26] + base62(int(row[0], 16), 33))):
        assert status(stack, guess) == 401
    # The dump loaded elsewhere, under another secret-key: the key itself is nobody's there.
    with Beside(stack, tmp_path) as beside:
        beside.env["VIDEOGATE_SECRET_KEY"] = "another secret key altogether"
        stack_rows = stack.sql("SELECT id, name, hint, hash, pepper FROM api_keys WHERE id = %s", made["id"])
        psql(beside, "INSERT INTO projects (name) VALUES ('keys')")
        psql(beside, "INSERT INTO api_keys (id, project_id, name, hint, hash, pepper) SELECT %s, id, %s, %s, %s, %s FROM projects",
             *stack_rows[0])
        at = service(beside, tmp_path / "blobs")
        assert grpc_status(at, key) == grpc.StatusCode.UNAUTHENTICATED


def psql(beside, statement, *args):
    import psycopg2

    connection = psycopg2.connect(beside.database)
    with connection, connection.cursor() as cursor:
        cursor.execute(statement, args)
    connection.close()


def service(beside, blobs, *more):
    """Starts a service there; its address once it is ready."""
    base = free_base()
    beside.start("service", "--listen", f"127.0.0.1:{base}", "--monitor", f"127.0.0.1:{base + 1}", "--blob-dir", blobs,
                 "--catalog", ROOT / "service/catalog.json", "--workers", f"sandbox=127.0.0.1:{beside.stack.port(4)}",
                 "--route-all", "sandbox", *more)
    wait_for(lambda: readyz(base + 1)[0] == 200, "the service to be ready")
    return f"127.0.0.1:{base}"


def grpc_status(address, key, method="ListVideos"):
    with grpc.insecure_channel(address) as channel:
        call = channel.unary_unary(f"/videogate.v1.VideoService/{method}")
        try:
            call(b"", timeout=30, metadata=(("authorization", f"Bearer {key}"),))
            return grpc.StatusCode.OK
        except grpc.RpcError as error:
            return error.code()


def test_peppers_can_be_replaced(stack, tmp_path):
    """Keys made under any pepper that is still given, and under none, stay good."""
    with Beside(stack, tmp_path) as beside:
        def run(peppers):
            if beside.processes:
                beside.processes[-1].send_signal(signal.SIGTERM)
                assert beside.processes.pop().wait(60) == 0
            beside.env["VIDEOGATE_KEY_PEPPERS"] = peppers
            return service(beside, tmp_path / "blobs")

        at, keys = run(""), []
        keys.append(beside.new_key("--service", at))
        at = run("the first pepper of all")
        keys.append(beside.new_key("--service", at))
        at = run("the second pepper, the first pepper of all")
        keys.append(beside.new_key("--service", at))
        assert [grpc_status(at, key) for key in keys] == [grpc.StatusCode.OK] * 3
        at = run("the second pepper")
        assert [grpc_status(at, key) for key in keys] == [grpc.StatusCode.OK, grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.OK]
        assert "pepper" not in re.sub("key-peppers", "", beside.log("service").read_text())


def test_old_keys_stay_good(stack):
    """A row that a program of before has written, or writes while both run: SHA-256, no pepper."""
    old = checked("vg_" + "".join(secrets.choice(DIGITS) for _ in range(40)))
    key_id = "key_" + secrets.token_hex(16)
    stack.sql("INSERT INTO api_keys (id, project_id, name, hint, hash) SELECT %s, id, '', 'abcd', %s FROM projects WHERE name = 'default'",
              key_id, hashlib.sha256(old.encode()).digest())
    assert status(stack, old) == 200
    accepted = stack.metric(3, 'videogate_auth_old_keys_total{result="accepted"}')
    assert list(accepted.values())[0] >= 1
    made = new_key(stack)
    listed = {k["id"]: k for k in json.loads(stack.ctl("--json", "keys", "list", admin=True).stdout)["keys"]}
    assert listed[key_id]["old"] is True and not listed[made["id"]].get("old")
    stack.ctl("keys", "revoke", key_id, admin=True)
    wait_for(lambda: status(stack, old) == 401, "the old key to end", 10)


def test_old_keys_can_be_refused(stack, tmp_path):
    old = checked("vg_" + "".join(secrets.choice(DIGITS) for _ in range(40)))
    planted.note("key", old)
    with Beside(stack, tmp_path) as beside:
        def run(*more):
            if beside.processes:
                beside.processes[-1].send_signal(signal.SIGTERM)
                assert beside.processes.pop().wait(60) == 0
            return service(beside, tmp_path / "blobs", *more)

        at = run()
        new = beside.new_key("--service", at)
        psql(beside, "INSERT INTO api_keys (id, project_id, name, hint, hash) SELECT %s, id, '', 'abcd', %s FROM projects",
             "key_" + secrets.token_hex(16), hashlib.sha256(old.encode()).digest())
        assert grpc_status(at, old) == grpc_status(at, new) == grpc.StatusCode.OK
        at = run("--old-keys", "false")
        assert grpc_status(at, old) == grpc.StatusCode.UNAUTHENTICATED
        assert grpc_status(at, new) == grpc.StatusCode.OK


# --- scopes: every call and every route has a row ---

ADMIN, PUBLIC = "admin", "public"
VIDEO_CALLS = {
    "CreateVideo": "videos.write", "GetVideo": "videos.read", "ListVideos": "videos.read", "DeleteVideo": "videos.write",
    "CancelVideo": "videos.write", "RemixVideo": "videos.write", "EditVideo": "videos.write", "ExtendVideo": "videos.write",
    "DownloadVideo": "videos.read", "WatchVideo": "videos.read", "ListModels": "videos.read", "GetModel": "videos.read",
}
# Calls that the admin key makes, too, have a scope as well.
ADMIN_CALLS = {
    "CreateProject": ADMIN, "ListProjects": ADMIN, "UpdateProject": ADMIN, "CreateApiKey": ADMIN, "ListApiKeys": ADMIN,
    "RevokeApiKey": ADMIN, "GetVideoTrace": ADMIN, "GetQueueStats": ADMIN, "GetUsage": "usage.read",
    "CreateWebhookEndpoint": "webhooks.write", "GetWebhookEndpoint": "webhooks.read", "ListWebhookEndpoints": "webhooks.read",
    "UpdateWebhookEndpoint": "webhooks.write", "DeleteWebhookEndpoint": "webhooks.write", "RotateWebhookSecret": "webhooks.write",
    "TestWebhookEndpoint": "webhooks.write", "ListWebhookEventTypes": "webhooks.read", "ListDeliveries": "webhooks.read",
    "RedeliverWebhook": "webhooks.write", "RedeliverWebhooks": "webhooks.write", "ResealSecrets": ADMIN,
}
CALLS = {"videogate.v1.VideoService": VIDEO_CALLS, "videogate.v1.AdminService": ADMIN_CALLS}
# EdgeService.Batch carries calls, each with its own key (tested below); ProviderEventService takes a provider's token instead;
# the last two tell nothing of anybody.
KEYLESS = {"videogate.v1.EdgeService", "videogate.v1.ProviderEventService", "grpc.health.v1.Health",
           "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"}


@pytest.fixture(scope="module")
def scoped(stack):
    made = {scope: new_key(stack, "--scopes", scope)["secret"] for scope in SCOPES}
    return {**made, "all": new_key(stack)["secret"], ADMIN: stack.env["VIDEOGATE_ADMIN_KEY"], "nobody": checked("vg_" + "0" * 22 + "_" + "0" * 33)}


def outcome(client, service_name, name, key):
    """The status of an empty request: what it says of the key is all that matters."""
    try:
        answer = client.method(service_name, name)(metadata=(("authorization", f"Bearer {key}"),))
        if name in ("WatchVideo", "DownloadVideo"):
            list(answer)
        return grpc.StatusCode.OK
    except grpc.RpcError as error:
        return error.code()


@pytest.mark.parametrize("service_name", CALLS)
def test_every_call_wants_its_scope(stack, scoped, service_name):
    client = Client(stack.env["VIDEOGATE_GRPC"], stack.key)
    assert set(client.services()) == set(CALLS) | KEYLESS, "a new service needs a row"
    described = client.learn(service_name)
    table = CALLS[service_name]
    assert {m.name for m in described.methods} == set(table), "a new call needs a row"
    for name, wanted in table.items():
        for holder, key in scoped.items():
            got = outcome(client, service_name, name, key)
            good = holder in ((ADMIN,) if wanted == ADMIN else (wanted, "all"))
            good |= holder == ADMIN and service_name.endswith("AdminService")
            if good:
                assert got not in DENIED, (name, holder, got)
            elif wanted == ADMIN or holder in (ADMIN, "nobody"):
                assert got == grpc.StatusCode.UNAUTHENTICATED, (name, holder, got)
            else:
                assert got == grpc.StatusCode.PERMISSION_DENIED, (name, holder, got)


def test_each_call_of_a_batch_is_judged(stack, scoped):
    client = Client(stack.env["VIDEOGATE_GRPC"], stack.key)
    client.learn("videogate.v1.EdgeService")
    call = client.method("videogate.v1.EdgeService", "Batch")
    calls = [{"method": "/videogate.v1.VideoService/ListVideos", "metadata": [{"key": "authorization", "value": f"Bearer {scoped[who]}"}]}
             for who in ("videos.read", "videos.write", "nobody")]
    codes = [result.code for result in call(calls=calls, metadata=(("authorization", f"Bearer {scoped['all']}"),)).results]
    assert codes == [0, 7, 16]


VIDEO_ID, NO_SCOPE = "video_" + "0" * 32, None
# As /openapi.json has them. NO_SCOPE: nothing of anybody is told, or the route only says that it is not offered; the providers' route,
# which is not described there, takes a token of its own (test_provider_events.py).
ROUTES = {
    "/v1/videos": {"post": "videos.write", "get": "videos.read"},
    "/v1/videos/characters": {"post": NO_SCOPE}, "/v1/videos/characters/{id}": {"get": NO_SCOPE},
    "/v1/videos/edits": {"post": "videos.write"}, "/v1/videos/extensions": {"post": "videos.write"},
    "/v1/videos/{id}": {"get": "videos.read", "delete": "videos.write"},
    "/v1/videos/{id}/cancel": {"post": "videos.write"}, "/v1/videos/{id}/remix": {"post": "videos.write"},
    "/v1/videos/{id}/content": {"get": "videos.read", "head": "videos.read"}, "/v1/videos/logs/{id}/content": {"get": "videos.read"},
    "/v1/videos/{id}/events": {"get": "videos.read"}, "/v1/models": {"get": "videos.read"}, "/v1/models/{id}": {"get": "videos.read"},
    "/v1/usage": {"get": "usage.read"},
    "/v1/webhook_endpoints": {"post": "webhooks.write", "get": "webhooks.read"},
    "/v1/webhook_endpoints/{id}": {"get": "webhooks.read", "post": "webhooks.write", "delete": "webhooks.write"},
    "/v1/webhook_endpoints/{id}/rotate_secret": {"post": "webhooks.write"}, "/v1/webhook_endpoints/{id}/test": {"post": "webhooks.write"},
    "/v1/webhook_endpoints/{id}/deliveries": {"get": "webhooks.read"}, "/v1/videos/{id}/deliveries": {"get": "webhooks.read"},
    "/v1/webhook_deliveries/{id}/redeliver": {"post": "webhooks.write"}, "/v1/webhook_deliveries/redeliver": {"post": "webhooks.write"},
    "/v1/webhook_event_types": {"get": "webhooks.read"},
    **{path: {"get": NO_SCOPE} for path in ("/docs", "/openapi.json", "/healthz", "/readyz", "/metrics")},
}
# What passes the bridge's own reading, so that the key is what the answer is about.
BODIES = {"/v1/videos": {"prompt": ""}, "/v1/videos/edits": {"prompt": "x", "video": {"id": VIDEO_ID}},
          "/v1/videos/extensions": {"prompt": "x", "video": {"id": VIDEO_ID}, "seconds": 4}}


def test_every_route_wants_its_scope(stack, scoped):
    described = stack.http("GET", "/openapi.json", key=False).json["paths"]
    assert {path: set(ops) & {"get", "head", "post", "delete", "put", "patch"} for path, ops in described.items()} == {
        path: set(methods) for path, methods in ROUTES.items()}, "a new route needs a row"
    for path, methods in ROUTES.items():
        where = path.replace("{id}", "whe_" + "0" * 32 if "endpoint" in path else VIDEO_ID)
        for method, wanted in methods.items():
            body = BODIES.get(path, {}) if method == "post" else None
            for holder in (*SCOPES, "all", "nobody") if wanted else ():
                answer = stack.http(method.upper(), where, body, key=scoped[holder])
                what = (method, path, holder, answer.status, answer.body[:200])
                if holder in (wanted, "all"):
                    assert answer.status not in (401, 403), what
                else:
                    assert answer.status == (401 if holder == "nobody" else 403), what


# --- revocation ---


class Replica:
    """A second service over the stack's database and files."""

    def __init__(self, stack, folder):
        env = dict(line.split("=", 1) for line in (stack.folder / "secrets").read_text().split())
        self.base = free_base()
        self.address = f"127.0.0.1:{self.base}"
        self.log = folder / "replica.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [str(BUILD / "bin/videogate-service"), "--listen", self.address, "--monitor", f"127.0.0.1:{self.base + 1}",
                 "--blob-dir", str(stack.folder / "blobs"), "--catalog", str(ROOT / "service/catalog.json"),
                 "--workers", f"sandbox=127.0.0.1:{stack.port(4)}", "--route-all", "sandbox"],
                env={**os.environ, **env, "VIDEOGATE_DATABASE_URL": stack.env["DATABASE_URL"]}, stderr=log)

    def __enter__(self):
        wait_for(lambda: readyz(self.base + 1)[0] == 200, "the replica to be ready")
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, self.log.read_text()[-2000:]


@pytest.fixture(scope="module")
def replica(stack, tmp_path_factory):
    with Replica(stack, tmp_path_factory.mktemp("replica")) as one:
        yield one


def watch(address, key, video, ended):
    """A WatchVideo stream in a thread of its own; `ended` gets (time, status)."""
    channel = grpc.insecure_channel(address)
    stream = channel.unary_stream("/videogate.v1.VideoService/WatchVideo")(
        field(1, video.encode()), timeout=120, metadata=(("authorization", f"Bearer {key}"),))
    next(stream)

    def run():
        try:
            for _ in stream:
                pass
            ended.append((time.monotonic(), grpc.StatusCode.OK))
        except grpc.RpcError as error:
            ended.append((time.monotonic(), error.code()))
        channel.close()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def end_key(stack, how, made):
    if how == "revoke":
        stack.ctl("keys", "revoke", made["id"], admin=True)
    else:
        stack.sql("UPDATE api_keys SET expires_at = now() WHERE id = %s", made["id"])
    return time.monotonic()


@pytest.mark.parametrize("how", ["revoke", "expire"])
def test_an_ended_key_ends_everywhere(stack, replica, how):
    made, other = new_key(stack), new_key(stack)
    key, ended, kept = made["secret"], [], []
    video = stack.create(model="sandbox-never", key=key)["id"]
    threads = [watch(at, key, video, ended) for at in (stack.env["VIDEOGATE_GRPC"], replica.address)]
    threads.append(watch(replica.address, other["secret"], video, kept))
    with Events(stack, f"/v1/videos/{video}/events", key=key) as events:
        assert events.status == 200
        assert grpc_status(replica.address, key) == grpc.StatusCode.OK
        at = end_key(stack, how, made)
        refused = {}

        def all_refused():
            for name, code in (("bridge", status(stack, key) == 401),
                               ("replica", grpc_status(replica.address, key) == grpc.StatusCode.UNAUTHENTICATED)):
                if code:
                    refused.setdefault(name, time.monotonic() - at)
            return len(refused) == 2

        wait_for(all_refused, "both services to refuse the key", 30, 0.02)
        list(events.blocks())  # up to its end
        sse = time.monotonic() - at
    wait_for(lambda: len(ended) == 2, "the streams to end", 30, 0.02)
    for thread in threads[:2]:
        thread.join()
    assert [code for _, code in ended] == [grpc.StatusCode.UNAUTHENTICATED] * 2
    took = {**refused, "events": sse, "streams": max(when for when, _ in ended) - at}
    print("seconds until a key that was", how + "d", "was felt:", json.dumps({k: round(v, 3) for k, v in took.items()}))
    assert max(took.values()) < 1 + SLACK, took
    # The job of a key that ended goes on; streams of other keys do, too, until their video ends.
    assert not kept and threads[2].is_alive()
    assert stack.http("POST", f"/v1/videos/{video}/cancel", key=other["secret"]).status == 200
    threads[2].join()
    assert kept[0][1] == grpc.StatusCode.OK
    assert stack.http("GET", f"/v1/videos/{video}", key=other["secret"]).json["status"] == "canceled"


def test_a_download_under_way_ends_with_its_key(stack):
    """A reader who stood still when the key was revoked gets what was on its way, and no more."""
    size = 256 << 20
    video = plant(stack, size)
    made = new_key(stack, project="default")
    connection = socket.create_connection(("127.0.0.1", stack.base), timeout=60)
    connection.sendall(f"GET /v1/videos/{video}/content HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {made['secret']}\r\n\r\n".encode())
    got = len(connection.recv(1000))
    end_key(stack, "revoke", made)
    wait_for(lambda: status(stack, made["secret"]) == 401, "the key to end", 30)
    time.sleep(1)
    try:
        while more := connection.recv(1 << 20):
            got += len(more)
    except ConnectionResetError:
        pass
    connection.close()
    assert got < size / 4, "the download went on"


def test_last_use_is_written(stack):
    made = new_key(stack)
    listed = lambda: {k["id"]: k for k in json.loads(stack.ctl("--json", "keys", "list", "--project", "keys", admin=True).stdout)["keys"]}
    assert "last_used_at" not in listed()[made["id"]]
    assert status(stack, made["secret"]) == 200
    wait_for(lambda: "last_used_at" in listed()[made["id"]], "the use to be written", 60)
    assert abs(int(listed()[made["id"]]["last_used_at"]) - time.time()) < 60
