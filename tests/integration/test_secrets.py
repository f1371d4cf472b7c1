# SPDX-License-Identifier: Apache-2.0
"""Recognisable secrets go through every route, in good requests and bad ones, and to a provider that sends them back in its errors: no log,
no metric and no error of ours says one. conftest.py searches the logs of all other tests for theirs (planted.py)."""
import http.server
import json
import pathlib
import socket
import threading
import uuid

import planted
import pytest
from test_grpc import Client
from vg import Stack, wait_for

MARK = f"planted{uuid.uuid4().hex}"


def plant(kind, text=""):
    secret = f"{MARK}-{kind.replace(' ', '-')}{text}"
    planted.note(kind, secret)
    return secret


PROVIDER_KEY = plant("provider key")
PROMPT = plant("prompt", " a boat \\u0022 in the rain")


class Echo(http.server.BaseHTTPRequestHandler):
    """A provider that knows no discretion: its errors hold the key and the body that it was sent."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0))).decode(errors="replace")
        said = f"bad request with {self.headers.get('authorization')}: {body}"
        answer = json.dumps({"code": 1201, "message": said, "error": {"message": said}, "request_id": "r"}).encode()
        self.send_response(400)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)
        self.server.seen.append(self.headers.get("authorization", ""))

    do_GET = do_POST

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def echo():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.seen = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.fixture(scope="module")
def own(tmp_path_factory, echo):
    env = {"VIDEOGATE_KLING_KEYS": PROVIDER_KEY, "VIDEOGATE_KLING_BASE_URL": f"http://127.0.0.1:{echo.server_port}",
           "VIDEOGATE_LINK_SECRETS": plant("link secret"), "VIDEOGATE_KEY_PEPPERS": plant("key pepper")}
    with Stack(tmp_path_factory.mktemp("planted"), env) as stack:
        yield stack


def send_raw(stack, data):
    """What is no HTTP, or half of it."""
    with socket.create_connection(("127.0.0.1", stack.base), timeout=20) as connection:
        connection.sendall(data.encode())
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


def form(fields):
    lines = "".join(f'--edge\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items())
    return (lines + "--edge--\r\n").encode(), {"content-type": "multipart/form-data; boundary=edge"}


def creates(stack):
    """Good creates and all sorts of bad ones, each full of secrets; the videos made."""
    query = plant("query of a picture")
    base = {"prompt": PROMPT, "model": "sandbox-instant", "size": "160x90", "seconds": 1}
    closed = f"http://127.0.0.1:1/{plant('path of a callback')}?{plant('query of a callback')}"
    bodies = [
        base, {**base, "callback_url": stack.env["VIDEOGATE_WEBHOOK_SINK"], "callback_secret": plant("callback secret")},
        {**base, "callback_url": closed, "callback_secret": "whsec_" + MARK + "AAAA"},
        {**base, "model": "sandbox-fail"}, {**base, "model": "sandbox-flaky"}, {**base, "model": "sandbox-truncated"},
        {"prompt": PROMPT, "model": "kling/kling-v3-0", "size": "1280x720", "seconds": 5},
        {**base, "image": f"http://127.0.0.1:1/a.png?{query}"}, {**base, "image": f"https://10.0.0.1/a.png?{query}"},
        {**base, "image": f"data:image/png;base64,{MARK}"},
        {**base, "seconds": PROMPT}, {**base, "size": PROMPT}, {**base, "model": PROMPT}, {**base, PROMPT: PROMPT},
        {**base, "callback_url": f"ftp://user:{plant('password')}@example.com/"}, {**base, "prompt": PROMPT * 2000},
    ]
    made = []
    for i, body in enumerate(bodies):
        answer = stack.http("POST", "/v1/videos", body, headers={"idempotency-key": plant("idempotency key", str(i))})
        if answer.status == 200:
            made.append(answer.json["id"])
    for body, headers in (form({**base, "callback_secret": plant("callback secret")}), form({"prompt": PROMPT, "seconds": "x"}),
                          (b'{"prompt": "' + PROMPT.encode() + b'"', {"content-type": "application/json"}),
                          (b'{"prompt": "' + PROMPT.encode() + b'\xff"}', {"content-type": "application/json"})):
        answer = stack.http("POST", "/v1/videos", body, headers=headers)
        if answer.status == 200:
            made.append(answer.json["id"])
    return made


def raw(stack):
    send_raw(stack, f"GET /v1/videos?{MARK}-raw HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {MARK}-raw\r\n bad: {MARK}-raw\r\n\r\n")
    send_raw(stack, f"{MARK}-raw\r\n\r\n")
    send_raw(stack, f"POST /v1/videos HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {MARK}-raw\r\ncontent-length: 100\r\n\r\n{MARK}-raw")


def reads(stack, made):
    """Reads, links, events, every other route."""
    for video in made:
        stack.wait(video)
        answer = stack.http("GET", f"/v1/videos/{video}?{MARK}-query")
        for content in answer.json.get("content") or ():
            url = content["video_url"]["url"] if "video_url" in content else content.get("url", "")
            path = url.split(f":{stack.base}", 1)[-1]
            planted.note_request(path, None, {})
            assert stack.http("GET", path, key=False).status == 200
            assert stack.http("GET", path[:-4] + "AAAA", key=False).status == 401
    stack.http("GET", f"/v1/videos/{made[0]}/content?token={plant('token')}", key=False)
    stack.http("GET", f"/v1/videos/{made[0]}/events")
    for method, path in (("POST", f"/v1/videos/{made[0]}/remix"), ("POST", "/v1/videos/edits"), ("POST", "/v1/videos/extensions")):
        stack.http(method, path, {"prompt": PROMPT, "video": {"id": made[0]}, "seconds": 4})
    endpoint = stack.http("POST", "/v1/webhook_endpoints", {"name": "x", "url": f"http://127.0.0.1:1/?{plant('query of an endpoint')}",
                                                            "event_types": ["video.completed"]}).json
    planted.note("endpoint secret", endpoint.get("signing_secret"))
    if "id" in endpoint:
        stack.http("POST", f"/v1/webhook_endpoints/{endpoint['id']}/test", {"event_type": "video.completed"})
        rotated = stack.http("POST", f"/v1/webhook_endpoints/{endpoint['id']}/rotate_secret", {}).json
        planted.note("endpoint secret", rotated.get("signing_secret"))
    for path in (f"/v1/provider-events/kling/{plant('event token')}", f"/v1/provider-events/kling?{MARK}"):
        stack.http("POST", path, {"task_id": MARK, "message": PROMPT}, key=False)


def keys(stack):
    """Wrong and right keys, in every place for one."""
    made = stack.new_key("planted")
    planted.note("key", made["secret"])
    for header, value in (("authorization", f"Bearer {plant('wrong key')}"), ("x-api-key", plant("wrong key")),
                          ("authorization", plant("no scheme")), ("authorization", f"Basic {plant('basic')}"),
                          ("authorization", f"Bearer {made['secret'][:-1]}"), ("x-api-key", made["secret"])):
        stack.http("GET", "/v1/videos", key=False, headers={header: value})
    client = Client(stack.env["VIDEOGATE_GRPC"], plant("wrong admin key"))
    client.learn("videogate.v1.AdminService")
    with pytest.raises(Exception):
        client.method("videogate.v1.AdminService", "ListApiKeys")()
    stack.ctl("keys", "revoke", made["id"], admin=True)


def metrics(stack):
    import http.client

    text = ""
    for port in (0, 3, 5, 7, 12):
        connection = http.client.HTTPConnection("127.0.0.1", stack.port(port), timeout=20)
        connection.request("GET", "/metrics")
        text += connection.getresponse().read().decode()
        connection.close()
    return text


def test_the_search_finds_what_is_there(tmp_path):
    """A search that finds nothing because it looks nowhere would pass."""
    secret = plant("control")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "service.log").write_bytes(b"\x00\xff line\nmsg=x key=" + secret.encode() + b"\n")
    (tmp_path / "receiver.log").write_text(secret)
    (tmp_path / "core.123").write_text("")
    assert planted.found([tmp_path]) == [(str(tmp_path / "deep/service.log"), "control", secret)]
    assert planted.cores([tmp_path]) == [str(tmp_path / "core.123")]
    (tmp_path / "deep" / "service.log").unlink()  # or the session's own search would find it
    (tmp_path / "core.123").unlink()


def test_nothing_planted_is_ever_said(own, echo):
    made = creates(own)
    assert len(made) >= 6
    raw(own)
    keys(own)
    reads(own, made)
    wait_for(lambda: any(PROVIDER_KEY in seen for seen in echo.seen), "the provider to be asked")
    text = metrics(own)
    assert "videogate_creates_total" in text and MARK not in text
    logs = {log.name: log.read_text(errors="replace") for log in (own.folder / "log").glob("*.log") if log.name not in planted.OWN}
    assert {"service.log", "bridge.log", "worker.log", "webhook.log", "worker-kling.log", "postgres.log"} <= set(logs)
    assert all(logs[name] for name in ("service.log", "bridge.log", "worker.log", "webhook.log"))
    for name, log in logs.items():
        at = log.find(MARK)
        assert at < 0, f"{name}: ...{log[max(0, at - 300):at + 200]}"
    assert planted.found([own.folder]) == []
    assert planted.cores([own.folder]) == []
    # Nor does what callers read of a failure: the provider's words, without our key.
    failed = [own.get(video) for video in made]
    told = json.dumps([video.get("error") for video in failed])
    assert PROVIDER_KEY not in told
    # Command lines are open to everybody on the machine.
    for file in (own.folder / "pids").glob("*.pid"):
        line = pathlib.Path(f"/proc/{file.read_text().strip()}/cmdline").read_bytes().decode()
        assert MARK not in line, file.name
        assert not any(secret in line for secret in planted.noted if planted.noted[secret] == "secret of the stack"), file.name
