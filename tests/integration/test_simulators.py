# SPDX-License-Identifier: Apache-2.0
"""The simulators themselves: as strict as they say, and every fault goes over the wire as the table has it."""
import http.client
import json
import subprocess
import sys
import urllib.parse

import pytest
from simulators import faults, media, openai, rules, wire
from vg import ROOT, free_base


class Caller:
    """Plain HTTP towards a simulator."""

    def __init__(self, sim):
        self.sim = sim

    def __call__(self, method, path, body=None, key=True, headers=None, timeout=20):
        out = dict(headers or {})
        if key:
            out.setdefault("authorization", f"Bearer {self.sim.keys[0] if key is True else key}")
        if isinstance(body, dict):
            body = json.dumps(body)
            out.setdefault("content-type", "application/json")
        where = urllib.parse.urlsplit(urllib.parse.urljoin(self.sim.url, path))
        connection = http.client.HTTPConnection(where.hostname, where.port, timeout=timeout)
        try:
            connection.request(method, f"{where.path}?{where.query}" if where.query else where.path, body, out)
            answer = connection.getresponse()
            data = answer.read()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, data
        finally:
            connection.close()

    def make(self, **fields):
        status, _, body = self("POST", "/v1/videos", {"prompt": "a boat", "size": "1280x720", **fields})
        assert status == 200, body
        return json.loads(body)

    def finish(self, video):
        for _ in range(10):
            told = json.loads(self("GET", f"/v1/videos/{video['id']}")[2])
            if told["status"] not in ("queued", "in_progress"):
                return told
        return told


@pytest.fixture
def sim():
    with openai.Simulator() as one:
        yield one


@pytest.fixture
def call(sim):
    return Caller(sim)


def test_a_job_and_its_file(sim, call):
    made = call.make(seconds="8")
    assert made["status"] == "queued"
    seen = [json.loads(call("GET", f"/v1/videos/{made['id']}")[2])["status"] for _ in range(3)]
    assert seen == ["queued", "in_progress", "completed"]
    status, headers, film = call("GET", f"/v1/videos/{made['id']}/content")
    assert status == 200 and headers["content-type"] == "video/mp4"
    probe = media.probe(film)
    assert (probe["width"], probe["height"], probe["codec"], probe["audio"]) == (1280, 720, "h264", True) and abs(probe["seconds"] - 8) < 0.2
    assert call("GET", f"/v1/videos/{made['id']}/content", headers={"range": "bytes=4-7"})[::2] == (206, b"ftyp")
    assert sim.submits == 1 and sim.count("submit") == 1 and sim.count("poll", sim.keys[0]) == 3 and sim.count("fetch") == 2
    # Another key does not see it.
    assert call("GET", f"/v1/videos/{made['id']}", key=sim.keys[1])[0] == 404


FORM = (b'--B\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx\r\n--B\r\nContent-Disposition: form-data; name="input_reference"; '
        b'filename="a.png"\r\nContent-Type: image/png\r\n\r\n%s\r\n--B--\r\n')
FORM_TYPE = {"content-type": "multipart/form-data; boundary=B"}
BAD = [
    ("create.prompt.required", {"size": "1280x720"}),
    ("create.prompt.type", {"prompt": 5}),
    ("create.prompt.length", {"prompt": ""}),
    ("create.seconds.type", {"prompt": "x", "seconds": 4}),
    ("create.seconds.enum", {"prompt": "x", "seconds": "5"}),
    ("create.size_of_model", {"prompt": "x", "size": "1792x1024"}),
    ("create.unknown", {"prompt": "x", "n": 2}),
    ("create.input_reference.one", {"prompt": "x", "input_reference": {}}),
    ("create.input_reference.image_url.format", {"prompt": "x", "input_reference": {"image_url": "data:image/png;base64,aGFsbG8="}}),
    ("create.file_id", {"prompt": "x", "input_reference": {"file_id": "file-1"}}),
    ("create.reference_size", (FORM % media.png(1280, 720), FORM_TYPE)),
    ("create.reference_file", (FORM % b"no picture", FORM_TYPE)),
    ("form.twice", (FORM.replace(b"input_reference", b"prompt") % b"x", FORM_TYPE)),
    ("form.end", (FORM.replace(b"--B--", b"") % b"x", FORM_TYPE)),
    ("json.duplicate_key", (b'{"prompt":"a","prompt":"b"}', {})),
    ("json.utf8", (b'{"prompt":"\xff"}', {})),
    ("json.syntax", (b'{"prompt":"a"', {})),
    ("json.object", (b"[]", {})),
    ("json.content_type", (b"{}", {"content-type": "text/plain"})),
]


@pytest.mark.parametrize("rule,body", BAD, ids=[rule for rule, _ in BAD])
def test_rule(sim, call, rule, body):
    body, headers = body if isinstance(body, tuple) else (body, {})
    headers = {"content-type": "application/json", **headers}
    status, _, text = call("POST", "/v1/videos", body, headers=headers)
    assert status == 400 and set(json.loads(text)["error"]) == {"message", "type", "param", "code"}
    assert sim.broken == {rule: 1} and sim.submits == 0
    assert rule in sim.rule_names() or rule in wire.RULES


def test_picture_of_the_right_size(sim, call):
    status, _, _ = call("POST", "/v1/videos", FORM % media.png(720, 1280), headers=FORM_TYPE)
    assert status == 200 and sim.submits == 1
    assert media.picture_size(media.jpeg(64, 48)) == (64, 48)


@pytest.mark.parametrize("change,status", [("revoked", 401), ("forbidden", 403), (None, 401)])
def test_keys(sim, call, change, status):
    if change:
        getattr(sim, change).add(sim.keys[0])
    assert call("GET", "/v1/videos", key=True if change else "sk-unknown")[0] == status
    assert call("GET", "/v1/videos", key=sim.keys[1])[0] == 200


@pytest.mark.parametrize("outcome,status,code", [("moderation_in_job", "failed", "moderation_blocked"),
                                                 ("failed", "failed", "video_generation_failed"), ("never", "in_progress", None)])
def test_outcome(sim, call, outcome, status, code):
    sim.script(outcome=outcome)
    ended = call.finish(call.make())
    assert ended["status"] == status and (ended["error"] or {}).get("code") == code
    assert call.finish(call.make())["status"] == "completed"
    assert call.finish(call.make(prompt=f"in words [sim:outcome={outcome}]"))["status"] == status


def test_fault_of_one_job(sim, call):
    first, other = call.make(prompt="[sim:poll=status,status=503,times=2]"), call.make()
    seen = [call("GET", f"/v1/videos/{v['id']}")[0] for v in (other, first, first, first)]
    assert seen == [200, 503, 503, 200]
    assert call("POST", "/v1/videos", {"prompt": "[sim:submit=status,status=429]"})[0] == 429 and sim.submits == 2


def test_the_clock():
    with openai.Simulator(pace=(10, 20)) as sim:
        call = Caller(sim)
        made = call.make()

        def told():
            return json.loads(call("GET", f"/v1/videos/{made['id']}")[2])["status"]

        assert told() == "queued"
        call("POST", "/_sim/clock", {"advance": 15})
        assert told() == "in_progress"
        sim.clock.advance(20)
        assert told() == "completed" and call("GET", f"/v1/videos/{made['id']}/content")[0] == 200
        sim.clock.advance(3600)
        assert call("GET", f"/v1/videos/{made['id']}/content")[0] == 404


def poll(call, video):
    try:
        return call("GET", f"/v1/videos/{video['id']}", timeout=3)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__, {}, getattr(error, "partial", b"")


# name: (parameters, what the caller sees of a poll)
SEEN = {
    "status": ({"status": 429, "retry_after": "7"}, lambda s, h, b: s == 429 and h["retry-after"] == "7" and b"rate_limit" in b),
    "status_after": ({}, lambda s, h, b: s == 502),
    "html": ({}, lambda s, h, b: s == 403 and b"1010" in b),
    "html_after": ({}, lambda s, h, b: s == 200 and b"1010" in b),
    "empty": ({}, lambda s, h, b: s == 200 and b == b""),
    "truncated": ({}, lambda s, h, b: s == 200 and b.startswith(b"{") and not b.endswith(b"}")),
    "short": ({}, lambda s, h, b: s == "IncompleteRead" and b.startswith(b"{")),
    "long": ({}, lambda s, h, b: s == 200 and not b.endswith(b"}")),
    "wrong_type": ({}, lambda s, h, b: h["content-type"] == "text/plain" and json.loads(b)),
    "not_video": ({}, lambda s, h, b: s == 200 and h["content-type"] == "text/html"),
    "bad_utf8": ({}, lambda s, h, b: b"\xff\xfe" in b),
    "duplicate_keys": ({}, lambda s, h, b: b.count(b'"status"') == 2),
    "deep": ({}, lambda s, h, b: b.count(b"[") == 10000),
    "huge": ({"megabytes": 3}, lambda s, h, b: len(b) > 3 << 20 and json.loads(b)["status"] == "queued"),
    "gzip": ({}, lambda s, h, b: h["content-encoding"] == "gzip"),
    "slow_head": ({"seconds": 0.1}, lambda s, h, b: json.loads(b)["status"] == "queued"),
    "slow_body": ({"seconds": 0.1}, lambda s, h, b: json.loads(b)["status"] == "queued"),
    "hang": ({"seconds": 0.1}, lambda s, h, b: s == "RemoteDisconnected"),
    "hang_body": ({"seconds": 0.1}, lambda s, h, b: s == "IncompleteRead"),
    "reset": ({}, lambda s, h, b: s == "ConnectionResetError"),
    "reset_after": ({}, lambda s, h, b: s == "ConnectionResetError"),
    "close_after": ({}, lambda s, h, b: s == "RemoteDisconnected"),
    "other_id": ({}, lambda s, h, b: json.loads(b)["id"].startswith("video_")),
    "backwards": ({"phase": "running"}, lambda s, h, b: json.loads(b)["status"] == "in_progress"),
    "no_link": ({}, lambda s, h, b: json.loads(b)["status"] == "queued"),
    "redirect": ({"to": "private"}, lambda s, h, b: s == 302 and h["location"].startswith("http://169.254.169.254/")),
}


@pytest.mark.parametrize("name", sorted(faults.FAULTS))
def test_fault(sim, call, name):
    parameters, right = SEEN[name]
    made = call.make()
    sim.script(fault=name, kind="poll", **parameters)
    status, headers, body = poll(call, made)
    assert right(status, headers, body), (status, headers, body[:300])
    if name == "other_id":
        assert json.loads(body)["id"] != made["id"]
    assert poll(call, made)[0] == 200  # once only
    done = name not in ("status", "html", "reset", "redirect")
    assert sim.history[0].polls == (2 if done else 1) and sim.count("poll") == 2


@pytest.mark.parametrize("name,made", [("reset", 0), ("reset_after", 1), ("close_after", 1), ("status", 0), ("status_after", 1)])
def test_ambiguous_submit(sim, call, name, made):
    sim.script(fault=name, kind="submit")
    try:
        assert call("POST", "/v1/videos", {"prompt": "x"})[0] >= 500
    except (OSError, http.client.HTTPException):
        pass
    assert sim.submits == made and sim.count("submit") == 1


def test_refused_and_back(sim, call):
    with sim.refusing(), pytest.raises(ConnectionRefusedError):
        call("GET", "/v1/videos")
    assert call("GET", "/v1/videos")[0] == 200


def test_the_media_host_wants_no_credential():
    sim = openai.Simulator()
    sim.start()
    call = Caller(sim)
    sim.redirects = True
    made = call.finish(call.make())
    status, headers, _ = call("GET", f"/v1/videos/{made['id']}/content")
    assert status == 302
    link = headers["location"]
    assert call("GET", link, key=False)[0] == 200 and call("GET", link[:-1] + "!", key=False)[0] == 403
    sim.verify()
    sim.clock.advance(2 * sim.link_life)
    assert call("GET", link, key=False)[0] == 403
    assert call("GET", link)[0] == 403
    sim.stop()
    with pytest.raises(AssertionError, match="credentials"):
        sim.verify()


@pytest.mark.parametrize("dialect,path,headers", [("azure", "/openai/v1/videos?api-version=preview", "api-key"), ("engine", "/v1/videos", "authorization")])
def test_dialects(dialect, path, headers):
    with openai.Simulator(dialect=dialect) as sim:
        call = Caller(sim)
        key = {"api-key": sim.keys[0]} if headers == "api-key" else {"authorization": f"Bearer {sim.keys[0]}"}
        body = {"prompt": "x", "size": "1280x720"} if dialect == "azure" else {"prompt": "x", "size": "640x352", "seed": 7, "fps": 16}
        assert call("POST", path, body, key=False, headers=key)[0] == 200
        assert call("POST", path, body, key=False)[0] == 401 and sim.submits == 1


def test_azure_jobs():
    with openai.Simulator(dialect="azure") as sim:
        call, jobs = Caller(sim), "/openai/v1/video/generations/jobs"
        body = {"model": "sora", "prompt": "x", "width": 854, "height": 480, "n_seconds": 5, "n_variants": 2}
        status, _, text = call("POST", f"{jobs}?api-version=preview", body)
        assert status == 201
        for _ in range(3):
            told = json.loads(call("GET", f"{jobs}/{json.loads(text)['id']}?api-version=preview")[2])
        assert told["status"] == "succeeded" and len(told["generations"]) == 2
        film = call("GET", f"/openai/v1/video/generations/{told['generations'][1]['id']}/content/video?api-version=preview")[2]
        assert media.probe(film)["width"] == 854
        assert call("POST", jobs, body)[0] == 400 and sim.broken == {"azure.api_version": 1}


def test_as_a_program():
    port = free_base(2)
    media_port = port + 1
    program = [sys.executable, str(ROOT / "tests/simulators")]
    process = subprocess.Popen([*program, "openai", "--port", str(port), "--media-port", str(media_port)], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline().startswith(f"openai http://127.0.0.1:{port} keys ")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        connection.request("POST", "/_sim/script", json.dumps({"fault": "status", "kind": "submit", "status": 500}))
        assert json.loads(connection.getresponse().read())["scripts"][0]["status"] == 500
        connection.request("GET", "/_sim/rules")
        assert json.loads(connection.getresponse().read())["count"] > 100
    finally:
        process.terminate()
    assert process.wait(20) == 0
    process.stdout.close()
    assert "openai" in subprocess.run([*program, "--rules"], capture_output=True, text=True, check=True).stdout


def test_one_rule_table():
    table = rules.obj({"a": rules.integer(1, 3, required=True), "b": rules.array(rules.text(1, 2), 1, 2)})
    assert table.names("t") == {"t.type", "t.unknown", "t.a.type", "t.a.range", "t.a.required", "t.b.type", "t.b.length", "t.b[].type",
                                "t.b[].length"}
    with pytest.raises(rules.Broken) as broken:
        table.check({"a": 1, "b": ["x", "yyy"]}, "t")
    assert broken.value.rule == "t.b[].length" and broken.value.path == "t.b[1]"
    with pytest.raises(rules.Broken):
        table.check({"a": True}, "t")
