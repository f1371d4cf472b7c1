# SPDX-License-Identifier: Apache-2.0
"""One call, one video: idempotency keys, calls in flight, and the repeats of SDKs that send no key."""
import concurrent.futures
import http.server
import json
import os
import random
import socket
import subprocess
import threading
import time
import zlib

import pytest
from vg import NODE, wait_for

STACK_ENV = {"VIDEOGATE_IMAGE_ALLOW_HTTP": "true", "VIDEOGATE_IMAGE_ALLOW_ANY_PORT": "true", "VIDEOGATE_IMAGE_ALLOW_NETS": "127.0.0.0/8"}
FIELDS = {"model": "sandbox-instant", "size": "160x90", "seconds": 1}


def word():
    return f"{random.randrange(1 << 60):x}"


def videos(stack, prompt):
    return {row[0] for row in stack.sql("SELECT id FROM videos WHERE prompt = %s", prompt)}


def attempt(stack, prompt, count, **fields):
    headers = {} if count is None else {"x-stainless-retry-count": str(count)}
    return stack.create(prompt=prompt, headers=headers, **fields)["id"]


class Pictures:
    """Serves a PNG, held back until `release` is set."""

    def __init__(self):
        rows = b"".join(b"\0" + b"\x20\x40\x60" * 16 for _ in range(16))

        def chunk(kind, data):
            return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

        png = (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", bytes([0, 0, 0, 16, 0, 0, 0, 16, 8, 2, 0, 0, 0]))
               + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))
        self.release, self.asked = threading.Event(), threading.Semaphore(0)
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.release()
                outer.release.wait(60)
                self.send_response(200)
                self.send_header("content-type", "image/png")
                self.send_header("content-length", str(len(png)))
                self.end_headers()
                self.wfile.write(png)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/picture.png"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.release.set()
        self.server.shutdown()
        self.server.server_close()


# --- keys ---


def test_key(own_stack):
    key, prompt = word(), f"key {word()}"
    first = own_stack.create(prompt=prompt, headers={"idempotency-key": key})
    again = own_stack.create(prompt=prompt, headers={"idempotency-key": key, "x-stainless-retry-count": "1"})
    assert first["id"] == again["id"]
    other = own_stack.http("POST", "/v1/videos", {"prompt": "another", **FIELDS}, headers={"idempotency-key": key})
    assert other.status == 422 and other.error["code"] == "idempotency_mismatch" and "x-should-retry" not in other.headers
    assert own_stack.create(prompt=prompt, headers={"idempotency-key": key}, key=own_stack.new_key("elsewhere")["secret"])["id"] != first["id"]
    for length, status in ((255, 200), (256, 400)):
        answer = own_stack.http("POST", "/v1/videos", {"prompt": prompt, **FIELDS}, headers={"idempotency-key": (word() * 20)[:length]})
        assert answer.status == status, answer.body
    assert answer.error["param"] == "Idempotency-Key"


def test_storm_with_one_key(own_stack):
    key, prompt = word(), f"storm {word()}"

    def one(_):
        return own_stack.http("POST", "/v1/videos", {"prompt": prompt, **FIELDS}, headers={"idempotency-key": key})

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(one, range(100)))
    assert {a.status for a in answers} <= {200, 409}
    ids = {a.json["id"] for a in answers if a.status == 200}
    assert len(ids) == 1 and videos(own_stack, prompt) == ids
    assert own_stack.wait(ids.pop())["status"] == "completed"


def test_key_in_flight(own_stack):
    """While the first call fetches its picture the second hears 409, and later the first one's video."""
    key, prompt = word(), f"flight {word()}"
    body = {"prompt": prompt, "model": "sandbox", "size": "160x90", "seconds": 1}
    headers = {"idempotency-key": key}
    with Pictures() as pictures, concurrent.futures.ThreadPoolExecutor(2) as pool:
        body["image"] = pictures.url
        first = pool.submit(own_stack.http, "POST", "/v1/videos", body, headers)
        assert pictures.asked.acquire(timeout=60)
        second = own_stack.http("POST", "/v1/videos", body, headers)
        assert second.status == 409 and second.error["code"] == "conflict", second.body
        assert second.headers["x-should-retry"] == "false" and 0 < int(second.headers["retry-after"]) <= 60
        repeat = pool.submit(own_stack.http, "POST", "/v1/videos", body, {**headers, "x-stainless-retry-count": "1"})
        time.sleep(0.2)
        pictures.release.set()
        made = first.result()
        assert made.status == 200, made.body
        assert repeat.result().json["id"] == made.json["id"]
        assert not pictures.asked.acquire(blocking=False), "the picture was fetched once"
    assert own_stack.http("POST", "/v1/videos", body, headers).json["id"] == made.json["id"]
    assert len(videos(own_stack, prompt)) == 1


# --- SDKs without a key ---


def test_repeats_find_their_video(own_stack):
    prompt = f"attempts {word()}"
    first = attempt(own_stack, prompt, 0)
    assert [attempt(own_stack, prompt, count) for count in (1, 2)] == [first, first]
    second = attempt(own_stack, prompt, 0)
    assert second != first, "two calls on purpose are two videos"
    assert attempt(own_stack, prompt, 1) == second
    assert attempt(own_stack, prompt, 0, seconds=2) not in (first, second)
    assert attempt(own_stack, prompt, None) not in (first, second), "who does not count is not matched"
    assert len(videos(own_stack, prompt)) == 4


def test_repeats_of_equal_calls(own_stack):
    """Both calls lost their answers: each gets a video of its own, through all attempts."""
    prompt = f"twins {word()}"
    made = {attempt(own_stack, prompt, 0), attempt(own_stack, prompt, 0)}
    for count in (1, 2):
        assert {attempt(own_stack, prompt, count), attempt(own_stack, prompt, count)} == made
    assert videos(own_stack, prompt) == made


def test_first_attempt_never_arrived(own_stack):
    prompt = f"lost {word()}"
    first = attempt(own_stack, prompt, 1)
    assert attempt(own_stack, prompt, 2) == first
    assert attempt(own_stack, prompt, 0) != first, "a new call"
    assert len(videos(own_stack, prompt)) == 2


def test_repeats_stay_with_their_caller(own_stack):
    """Another key is another caller, in the same project and elsewhere."""
    prompt = f"callers {word()}"
    own, other, stranger = (own_stack.new_key(name)["secret"] for name in ("callers", "callers", "elsewhere"))
    first = attempt(own_stack, prompt, 0, key=own)
    assert len({first, attempt(own_stack, prompt, 1, key=other), attempt(own_stack, prompt, 1, key=stranger)}) == 3
    assert attempt(own_stack, prompt, 1, key=own) == first


def test_promised_video_is_made(own_stack):
    """The record stands, the process died before the insert: the next attempt makes the video, under the promised id."""
    prompt = f"promise {word()}"
    first = attempt(own_stack, prompt, 1)
    assert own_stack.wait(first)["status"] == "completed"
    own_stack.sql("DELETE FROM outputs WHERE video_id = %s", first)
    own_stack.sql("DELETE FROM generations WHERE video_id = %s", first)
    own_stack.sql("DELETE FROM videos WHERE id = %s", first)
    assert attempt(own_stack, prompt, 2) == first
    assert own_stack.wait(first)["status"] == "completed"


def test_repeat_waits_for_the_first_attempt(own_stack):
    prompt = f"waits {word()}"
    with Pictures() as pictures, concurrent.futures.ThreadPoolExecutor(3) as pool:
        fields = {"model": "sandbox", "image": pictures.url}
        first = pool.submit(attempt, own_stack, prompt, 0, **fields)
        assert pictures.asked.acquire(timeout=60)
        repeats = [pool.submit(attempt, own_stack, prompt, count, **fields) for count in (1, 2)]
        time.sleep(0.3)
        pictures.release.set()
        assert {r.result() for r in repeats} == {first.result()}
    assert len(videos(own_stack, prompt)) == 1


def test_remix_repeats(own_stack):
    source = own_stack.wait(own_stack.create()["id"])["id"]
    prompt = f"remix {word()}"

    def remix(count):
        return own_stack.http("POST", f"/v1/videos/{source}/remix", {"prompt": prompt}, {"x-stainless-retry-count": str(count)}).json["id"]

    first = remix(0)
    assert remix(1) == first and remix(0) != first
    assert len(videos(own_stack, prompt)) == 2


def test_storm_of_repeats(own_stack):
    """50 equal calls, every answer lost twice, all at once: 50 videos."""
    prompt = f"storms {word()}"

    def call(_):
        return [attempt(own_stack, prompt, count) for count in range(3)][-1]

    with concurrent.futures.ThreadPoolExecutor(50) as pool:
        ids = list(pool.map(call, range(50)))
    assert len(videos(own_stack, prompt)) == 50
    assert set(ids) <= videos(own_stack, prompt)


# --- the real thing ---


class Cutter:
    """Passes HTTP on to the bridge; hangs up instead of handing back the first `cuts` answers."""

    def __init__(self, port, cuts):
        self.port, self.cuts, self.requests = port, cuts, 0
        self.lock = threading.Lock()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/v1"

    def __enter__(self):
        threading.Thread(target=self.accept, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.listener.close()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client, socket.create_connection(("127.0.0.1", self.port)) as bridge:
            threading.Thread(target=self.pump, args=(client, bridge), daemon=True).start()
            while True:
                data = bridge.recv(65536)
                if not data:
                    return
                with self.lock:
                    self.requests += 1
                    cut = self.requests <= self.cuts
                if cut:
                    client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(data)

    @staticmethod
    def pump(client, bridge):
        try:
            while data := client.recv(65536):
                bridge.sendall(data)
        except OSError:
            pass


@pytest.mark.parametrize("package", ["openai6", "openai7"])
@pytest.mark.parametrize("form", ["json", "multipart"])
def test_sdk_retries_make_one_video(own_stack, package, form):
    tag = word()
    node = NODE / "node_modules/node22/bin/node" if package == "openai7" else "node"
    with Cutter(own_stack.base, 2) as proxy:
        out = subprocess.run([str(node), "sdk_retry.js", package, proxy.url, own_stack.key, form, tag], capture_output=True, text=True,
                             cwd=NODE, timeout=180, env=os.environ)
        assert out.returncode == 0, out.stderr
        seen = json.loads(out.stdout)
        assert "id" in seen, seen
        assert proxy.requests >= 3, "two answers were cut"
    assert videos(own_stack, f"retried {tag}") == {seen["id"]}
    assert own_stack.wait(seen["id"])["status"] == "completed"
    tokens = [t for (t,) in own_stack.sql("SELECT count(*) FROM attempts a JOIN generations g ON g.id = a.generation_id WHERE g.video_id = %s", seen["id"])]
    assert tokens == [1], "one submission"


def test_unknown_end_of_a_create(own_stack):
    """The service is away: only who can repeat safely is told to."""
    own_stack.kill("service")
    body = {"prompt": "x", **FIELDS}
    try:
        for headers, retry in (({}, "false"), ({"idempotency-key": word()}, "true"), ({"x-stainless-retry-count": "0"}, "true")):
            answer = own_stack.http("POST", "/v1/videos", body, headers)
            assert answer.status == 503 and answer.headers["x-should-retry"] == retry, (headers, answer.headers)
        assert own_stack.http("GET", "/v1/videos").headers["x-should-retry"] == "true"
    finally:
        own_stack.up()
    wait_for(lambda: own_stack.http("GET", "/readyz", key=False).status == 200, "the bridge to be ready")
