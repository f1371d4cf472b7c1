# SPDX-License-Identifier: Apache-2.0
"""Pages of other origins: preflights, headers on every answer, and a real browser that creates, watches and fails."""
import json
import subprocess

import pytest
from browser import Site
from vg import Beside, readyz, wait_for

ORIGIN = "http://app.example"
STACK_ENV = {"VIDEOGATE_CORS_ORIGINS": f"https://other.example, {ORIGIN}"}
STAINLESS = ["x-stainless-arch", "x-stainless-lang", "x-stainless-os", "x-stainless-package-version", "x-stainless-retry-count",
             "x-stainless-runtime", "x-stainless-runtime-version", "x-stainless-timeout", "x-stainless-helper-method"]
NEEDED = ["authorization", "content-type", "x-api-key", "idempotency-key", "last-event-id", "range", "if-none-match", "if-range",
          "x-request-id", "x-no-fallback", "openai-organization", "openai-project"]
READABLE = ["x-request-id", "openai-poll-after-ms", "retry-after", "retry-after-ms", "x-should-retry", "x-ratelimit-limit-requests",
            "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests", "ratelimit", "ratelimit-policy", "etag", "content-range",
            "accept-ranges", "location"]


def names(text):
    return [name.strip() for name in text.split(",")]


def preflight(stack, path, method="POST", headers="authorization,content-type", origin=ORIGIN):
    return stack.http("OPTIONS", path, key=False, headers={"origin": origin, "access-control-request-method": method,
                                                           "access-control-request-headers": headers})


@pytest.mark.parametrize("path,methods", [
    ("/v1/videos", {"GET", "HEAD", "POST", "OPTIONS"}),
    (f"/v1/videos/video_{'0' * 32}", {"GET", "HEAD", "DELETE", "OPTIONS"}),
    (f"/v1/videos/video_{'0' * 32}/events", {"GET", "HEAD", "OPTIONS"}),
    (f"/v1/videos/video_{'0' * 32}/content", {"GET", "HEAD", "OPTIONS"}),
    ("/v1/models", {"GET", "HEAD", "OPTIONS"}),
    ("/v1/not-there", {"GET", "HEAD", "POST", "DELETE", "OPTIONS"}),
])
def test_preflight(own_stack, path, methods):
    answer = preflight(own_stack, path, headers=",".join(STAINLESS + ["authorization", "x-other"]))
    assert answer.status == 204 and answer.body == b""
    assert set(names(answer.headers["access-control-allow-methods"])) == methods
    allowed = names(answer.headers["access-control-allow-headers"])
    assert set(NEEDED + STAINLESS) <= set(allowed) and "x-other" not in allowed
    assert answer.headers["access-control-max-age"] == "86400"
    assert answer.headers["access-control-allow-origin"] == ORIGIN and answer.headers["vary"] == "origin"
    assert "access-control-allow-credentials" not in answer.headers


@pytest.mark.parametrize("origin", ["http://evil.example", "https://app.example", "null", "http://app.example.evil", "http://app.example:80"])
def test_other_origins_are_told_nothing(own_stack, origin):
    answers = [preflight(own_stack, "/v1/videos", origin=origin), own_stack.http("GET", "/v1/videos", headers={"origin": origin})]
    for answer in answers:
        assert "access-control-allow-origin" not in answer.headers and answer.headers["vary"] == "origin"


def test_operators_routes_are_not_for_pages(own_stack):
    for path in ("/metrics", "/healthz", "/readyz"):
        answer = own_stack.http("GET", path, headers={"origin": ORIGIN})
        assert answer.status == 200 and "access-control-allow-origin" not in answer.headers
        assert "access-control-allow-methods" not in preflight(own_stack, path, "GET").headers


def test_every_answer_can_be_read(own_stack):
    video = own_stack.wait(own_stack.create()["id"])
    running = own_stack.create(model="sandbox-never")
    path = f"/v1/videos/{video['id']}"
    cases = [
        ("GET", "/v1/videos", {}, 200),
        ("GET", path, {}, 200),
        ("GET", path, {"if-none-match": "*"}, 304),
        ("GET", f"{path}/content", {"range": "bytes=0-9"}, 206),
        ("HEAD", f"{path}/content", {}, 200),
        ("GET", f"{path}/content", {"range": "bytes=999999999-"}, 416),
        ("GET", f"{path}/events", {}, 200),
        ("GET", f"{path}/nothing", {}, 404),
        ("GET", f"/v1/videos/video_{'0' * 32}", {}, 404),
        ("PATCH", path, {}, 405),
        ("GET", f"/v1/videos/{running['id']}/content", {}, 409),
        ("POST", "/v1/videos", {"content-type": "text/plain"}, 415),
        ("POST", "/v1/videos", {"content-type": "application/json", "content-length": str(1 << 40)}, 413),
    ]
    for method, target, headers, status in cases:
        body = b"" if method == "POST" and status != 413 else None
        answer = own_stack.http(method, target, body, headers={"origin": ORIGIN, **headers})
        assert answer.status == status, (method, target, answer.status)
        assert answer.headers["access-control-allow-origin"] == ORIGIN and answer.headers["vary"] == "origin", (method, target)
        assert set(READABLE) <= set(names(answer.headers["access-control-expose-headers"]))
    refused = own_stack.http("GET", path, headers={"origin": ORIGIN}, key=False)
    assert refused.status == 401 and refused.headers["access-control-allow-origin"] == ORIGIN
    # Without an Origin nothing but the note for caches.
    plain = own_stack.http("GET", path)
    assert plain.headers["vary"] == "origin" and not any(name.startswith("access-control") for name in plain.headers)


def bridge(stack, beside, *args):
    beside.start("bridge", "--listen", f"127.0.0.1:{stack.port(20)}", "--service", stack.env["VIDEOGATE_GRPC"], "--threads", 1, *args)
    wait_for(lambda: readyz(stack.port(20))[0] == 200, "the bridge beside")


def ask_beside(stack, headers):
    out = subprocess.run(["curl", "-sS", "-D-", "-o", "/dev/null", f"http://127.0.0.1:{stack.port(20)}/v1/models", *headers],
                         capture_output=True, text=True, check=True).stdout.lower()
    return dict(line.split(": ", 1) for line in out.splitlines() if ": " in line)


def test_star_and_off(own_stack, tmp_path):
    origin = ["-H", "origin: http://anybody.example"]
    with Beside(own_stack, tmp_path) as beside:
        bridge(own_stack, beside, "--cors-origins", "*")
        for headers in (origin, []):
            answer = ask_beside(own_stack, headers)
            assert answer["access-control-allow-origin"] == "*" and "vary" not in answer
    with Beside(own_stack, tmp_path) as beside:
        bridge(own_stack, beside)
        assert not any(name.startswith("access-control") or name == "vary" for name in ask_beside(own_stack, origin))


def test_a_wrong_origin_is_told_at_the_start(own_stack, tmp_path):
    with Beside(own_stack, tmp_path) as beside:
        beside.start("bridge", "--cors-origins", "https://app.example/path")
        process = beside.processes.pop()
        assert process.wait(60) == 2
        assert "cors-origins" in beside.log("bridge").read_text()


PAGE = """<!doctype html><title>t</title><script type="module">
const url = URL_, key = KEY_, out = {};
const headers = {authorization: `Bearer ${key}`, "content-type": "application/json", "x-stainless-lang": "js",
                 "x-stainless-retry-count": "0", "idempotency-key": "page-1", "x-request-id": "page-request"};
try {
  const made = await fetch(`${url}/v1/videos`, {method: "POST", headers,
    body: JSON.stringify({prompt: "from a page", model: "sandbox-instant", size: "160x90", seconds: 1})});
  const video = await made.json();
  out.made = {status: made.status, id: video.id, request: made.headers.get("x-request-id"), poll: made.headers.get("openai-poll-after-ms")};
  const events = await fetch(`${url}/v1/videos/${video.id}/events`, {headers: {"x-api-key": key, "last-event-id": "0"}});
  const text = await events.text();
  out.events = [...text.matchAll(/^event: (.*)$/mg)].map(m => m[1]);
  const content = await fetch(`${url}/v1/videos/${video.id}/content`, {headers: {authorization: `Bearer ${key}`, range: "bytes=0-99"}});
  out.content = {status: content.status, size: (await content.arrayBuffer()).byteLength, range: content.headers.get("content-range")};
  const missing = await fetch(`${url}/v1/videos/none`, {headers: {authorization: `Bearer ${key}`}});
  out.missing = {status: missing.status, error: (await missing.json()).error.type};
  const gone = await fetch(`${url}/v1/videos/${video.id}`, {method: "DELETE", headers: {authorization: `Bearer ${key}`}});
  out.gone = {status: gone.status};
  out.metrics = await fetch(`${url}/metrics`).then(() => "read", () => "refused");
} catch (e) { out.error = String(e); }
await fetch("/result", {method: "POST", body: JSON.stringify(out)});
</script>"""


def test_a_real_browser(own_stack, tmp_path):
    site = Site()
    with Beside(own_stack, tmp_path) as beside:
        # "localhost" and "127.0.0.1" are two origins.
        bridge(own_stack, beside, "--cors-origins", f"http://localhost:{site.server_port}")
        page = PAGE.replace("URL_", json.dumps(f"http://127.0.0.1:{own_stack.port(20)}")).replace("KEY_", json.dumps(own_stack.key))
        got = site.run(page, tmp_path / "profile")
    assert "error" not in got, got
    assert got["made"]["status"] == 200 and got["made"]["request"] == "page-request" and int(got["made"]["poll"]) > 0
    assert got["events"][-1] == "video.completed"
    assert got["content"]["status"] == 206 and got["content"]["size"] == 100 and got["content"]["range"].startswith("bytes 0-99/")
    assert got["missing"] == {"status": 404, "error": "invalid_request_error"}
    assert got["gone"] == {"status": 200} and got["metrics"] == "refused"
