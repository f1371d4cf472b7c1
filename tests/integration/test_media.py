# SPDX-License-Identifier: Apache-2.0
"""Media on both ways: pictures of every shape reach the worker as bytes; a result is looked at before it is called stored."""
import base64
import http.server
import subprocess
import threading
import time

import pytest
from fake_worker import Faked, FakeWorker, model
from test_clients import png
from test_create import form, part
from vg import Beside, wait_for


@pytest.fixture(scope="module")
def worker():
    one = FakeWorker("fake")
    yield one
    one.close()


@pytest.fixture(scope="module")
def faked(stack, worker, tmp_path_factory):
    folder = tmp_path_factory.mktemp("media")
    with Beside(stack, folder) as beside:
        yield Faked(beside, folder, worker, [model("m"), model("hailuo", images={"min_side": 50})])


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """Makes clips: clip(size, seconds, sound, *more options)."""
    folder = tmp_path_factory.mktemp("clips")

    def make(size="160x90", seconds=1.0, sound=True, *options, kind="mp4", video=True):
        path = folder / f"{time.monotonic_ns()}.{kind}"
        inputs = ["-f", "lavfi", "-i", f"testsrc=s={size}:r=24:d={seconds}"] if video else []
        inputs += ["-f", "lavfi", "-i", f"sine=d={seconds}"] if sound else []
        subprocess.run(["ffmpeg", "-v", "error", *inputs, *(["-pix_fmt", "yuv420p"] if video else []), *options, "-y", path], check=True)
        return path.read_bytes()

    return make


def kept(faked, video_id):
    return faked.sql("SELECT width, height, duration_ms, has_audio, codec FROM outputs WHERE video_id = %s ORDER BY idx", video_id)


# --- results ---


def make(faked, prompt, kind, data, **fields):
    faked.worker.results[prompt] = (kind, data)
    return faked.create(model="m", prompt=prompt, **fields)["id"]


def found(faked):
    return {series.split('"')[1]: count for series, count in faked.metric(3, "videogate_results_total").items()}


@pytest.mark.parametrize("name, kind, asked, clip_of, facts", [
    ("as asked", "video/mp4", {}, {}, (160, 90, 1000, True, "h264")),
    ("silent as asked", "video/mp4", {"audio": False}, {"sound": False}, (160, 90, 1000, False, "h264")),
    ("webm", "video/webm", {}, {"kind": "webm"}, (160, 90, 1000, True, "vp9")),
    ("larger", "video/mp4", {}, {"size": "320x180"}, (320, 180, 1000, True, "h264")),
    ("longer", "video/mp4", {}, {"seconds": 3.0}, (160, 90, 3000, True, "h264")),
    ("soundless", "video/mp4", {}, {"sound": False}, (160, 90, 1000, False, "h264")),
    ("too large to decode", "video/mp4", {"audio": False}, {"size": "4160x2400", "seconds": 0.2, "sound": False}, (4160, 2400, 200, False, "h264")),
])
def test_what_a_result_is_is_shown(faked, clip, name, kind, asked, clip_of, facts):
    before = found(faked)
    data = clip(**clip_of)
    video = faked.wait(make(faked, name, kind, data, **asked))
    assert video["status"] == "completed", video
    (content,) = video["content"]
    assert content["bytes"] == len(data)
    got = tuple(content[key] for key in ("width", "height", "duration_ms", "has_audio", "codec"))
    assert got[:2] == facts[:2] and abs(got[2] - facts[2]) < 100 and got[3:] == facts[3:]
    assert kept(faked, video["id"]) == [got]
    differs = got[:2] != (160, 90) or abs(got[2] - 1000) > 500 or got[3] != asked.get("audio", True)
    assert found(faked) == {**before, ("differs" if differs else "as_asked"): before["differs" if differs else "as_asked"] + 1}
    lines = [line for line in faked.log("service").splitlines() if "result differs" in line and video["id"] in line]
    assert bool(lines) == differs
    if differs:
        assert f"{facts[0]}x{facts[1]}" in lines[0] and "160x90, 1000 ms" in lines[0] and "generation=" in lines[0]
    assert faked.worker.fetches.count(name) == 1


def moov_only(data):
    """Without the samples' bytes: the index tells of what is not there."""
    at, out = 0, b""
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] != b"mdat":
            out += data[at : at + size]
        at += size
    return out


def test_what_is_no_video_is_fetched_again_and_fails(faked, clip):
    good = clip()
    bad = {
        "a page": b"\0\0\0\x18ftypisom" + b"<html>no video here</html>" * 100,
        "cut short": good[: len(good) // 2],
        "no samples": moov_only(good),
        "sound alone": clip(video=False),
        "noise": good[:40] + bytes(range(256)) * 200,
    }
    before = found(faked)
    ids = {prompt: make(faked, prompt, "video/mp4", data) for prompt, data in bad.items()}

    def ended():
        faked.sql("UPDATE generations SET due_at = now(), wake_at = now() WHERE state = 4 AND lease_owner IS NULL")  # waits between two fetches are not ours to test
        return all(faked.get(one)["status"] in ("failed", "completed") for one in ids.values())

    wait_for(ended, "all of them to end")
    for prompt, one in ids.items():
        video = faked.get(one)
        assert (video["status"], video["error"]["message"]) == ("failed", "The result could not be fetched."), (prompt, video)
        assert "content" not in video and faked.worker.fetches.count(prompt) == 5 and len(faked.worker.of(prompt)) == 1
        assert not faked.files(one), prompt
        assert kept(faked, one) == []
    assert found(faked)["bad"] == before["bad"] + 5 * len(bad)
    assert "result is not a video" in faked.log("service")


def test_a_bad_body_may_be_followed_by_a_good_one(faked, clip):
    good = clip()
    one = make(faked, "better", "video/mp4", good[: len(good) // 2])
    wait_for(lambda: "better" in faked.worker.fetches, "the first fetch")
    faked.worker.results["better"] = ("video/mp4", good)
    assert faked.wait(one)["status"] == "completed"
    assert len(faked.files(one)) == 1 and len(faked.worker.of("better")) == 1


# --- inputs ---


@pytest.fixture(scope="module")
def site():
    """Serves one picture."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "image/png")
            self.send_header("content-length", str(len(PICTURES[0])))
            self.end_headers()
            self.wfile.write(PICTURES[0])

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/a.png"
    server.shutdown()


PICTURES = [png(64, 36), png(60, 50), png(52, 52)]
URLS = ["data:image/png;base64," + base64.b64encode(one).decode() for one in PICTURES]
JPEG = subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "color=red:s=64x64:d=0.04", "-frames:v", "1", "-f", "mjpeg", "-"], capture_output=True, check=True).stdout


@pytest.mark.parametrize("shape", ["text", "object", "nested", "url key", "address", "address in an object", "jpeg", "list", "one", "frames", "file", "files", "base64 in a form"])
def test_every_shape_reaches_the_worker_as_bytes(faked, clip, site, shape):
    prompt, (a, b, c) = f"shape {shape}", URLS
    faked.worker.results[prompt] = ("video/mp4", clip())
    jpeg = "data:image/jpeg;base64," + base64.b64encode(JPEG).decode()
    body = {
        "text": {"image": a}, "object": {"image": {"image_url": a}}, "nested": {"image": {"image_url": {"url": a}}}, "url key": {"image": {"url": a}},
        "address": {"image": site}, "address in an object": {"image": {"image_url": site}}, "jpeg": {"image": jpeg},
        "list": {"reference_images": [a, {"image_url": b}, {"image_url": {"url": c}}]}, "one": {"input_reference": {"image_url": a}}, "frames": {"image": a, "last_frame": b},
    }.get(shape)
    if body:
        made = faked.create(model="m", prompt=prompt, **body)["id"]
    else:
        parts = {"file": [part("image", PICTURES[0], "a.png", "image/png")],
                 "files": [part("reference_images[]", one, f"{i}.png", "image/png") for i, one in enumerate(PICTURES)],
                 "base64 in a form": [part("input_reference", a)]}[shape]
        fields = {"prompt": prompt, "model": "m", "size": "160x90", "seconds": "1"}
        answer = faked.http("POST", "/v1/videos", form("b0", *(part(k, v) for k, v in fields.items()), *parts), headers={"content-type": "multipart/form-data; boundary=b0"})
        assert answer.status == 200, answer.body
        made = answer.json["id"]
    assert faked.wait(made)["status"] == "completed"
    (sent,) = faked.worker.of(prompt)
    blobs = [one for one in (sent.first_frame, sent.last_frame) if one.data] + list(sent.reference_images)
    wanted = {"list": PICTURES, "files": PICTURES, "frames": PICTURES[:2], "jpeg": [JPEG]}.get(shape, PICTURES[:1])
    assert [one.data for one in blobs] == wanted
    assert {one.mime_type for one in blobs} == {"image/jpeg" if shape == "jpeg" else "image/png"}


def test_routes_that_do_not_take_a_picture_are_left_out(faked, site):
    """A picture given as an address is known only once it was fetched; nothing is recorded before."""
    before = faked.sql("SELECT count(*) FROM videos")
    answer = faked.http("POST", "/v1/videos", {"prompt": "x", "model": "hailuo", "size": "160x90", "image": site})
    assert answer.status == 400 and answer.error["param"] == "image"
    assert "fake: image 64x36 is unsupported (supported sides: 50 to 16384 pixels)" in answer.error["message"]
    assert faked.sql("SELECT count(*) FROM videos") == before and not faked.worker.of("x")
