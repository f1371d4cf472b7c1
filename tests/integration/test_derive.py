# SPDX-License-Identifier: Apache-2.0
"""Edits and extensions: from a video of one's own, or from a file. And videos that are canceled."""
import json
import pathlib
import signal
import subprocess
import uuid

import grpc
import pytest
from test_grpc import SERVICE, Client
from test_lifecycle import aside  # noqa: F401
from vg import wait_for

STACK_ENV = {"VIDEOGATE_SANDBOX_SLOW": "3s"}

SIZE = "160x90"


def probe(path):
    out = subprocess.run(["ffprobe", "-v", "error", "-show_entries", "format=duration:stream=codec_name,width,height", "-of", "json", str(path)],
                         capture_output=True, text=True, check=True).stdout
    return json.loads(out)


def colour(path, at="0"):
    """The mean RGB of the frame at `at` seconds."""
    raw = subprocess.run(["ffmpeg", "-v", "error", "-ss", at, "-i", str(path), "-frames:v", "1", "-vf", "scale=1:1:flags=area", "-f", "rawvideo",
                          "-pix_fmt", "rgb24", "-"], capture_output=True, check=True).stdout
    return tuple(raw[:3])


def frame(path, at):
    return subprocess.run(["ffmpeg", "-v", "error", "-ss", at, "-i", str(path), "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray", "-"],
                          capture_output=True, check=True).stdout


def difference(a, b):
    assert len(a) == len(b) > 0
    return sum(abs(x - y) for x, y in zip(a, b)) / len(a)


def fetch(stack, video_id, folder):
    path = folder / f"{video_id}.mp4"
    path.write_bytes(stack.http("GET", f"/v1/videos/{video_id}/content").body)
    return path


def form(fields, file=None):
    parts = []
    for name, value in fields.items():
        parts.append(f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    if file is not None:
        parts.append(b'--b\r\nContent-Disposition: form-data; name="video"; filename="in.mp4"\r\nContent-Type: application/octet-stream\r\n\r\n'
                     + file + b"\r\n")
    return b"".join(parts) + b"--b--\r\n", {"content-type": "multipart/form-data; boundary=b"}


@pytest.fixture(scope="module")
def source(stack, tmp_path_factory):
    video = stack.wait(stack.create(model="sandbox", prompt="a red kite", size=SIZE, seconds=2)["id"])
    assert video["status"] == "completed"
    return video["id"], fetch(stack, video["id"], tmp_path_factory.mktemp("source"))


def test_extension(stack, source, tmp_path):
    source_id, original = source
    answer = stack.http("POST", "/v1/videos/extensions", {"prompt": "and then it rains", "seconds": "3", "video": {"id": source_id}})
    assert answer.status == 200, answer.body
    made = answer.json
    assert made["seconds"] == "5" and made["size"] == SIZE and made["remixed_from_video_id"] == source_id
    assert stack.wait(made["id"])["status"] == "completed"
    path = fetch(stack, made["id"], tmp_path)
    facts = probe(path)
    assert abs(float(facts["format"]["duration"]) - 5) < 0.1
    assert sorted(s["codec_name"] for s in facts["streams"]) == ["aac", "h264"]
    assert difference(frame(path, "0"), frame(original, "0")) < 6
    assert difference(frame(path, "1.5"), frame(original, "1.5")) < 6
    assert difference(frame(path, "4.5"), frame(original, "1.5")) > 6


def test_edit(stack, source, tmp_path):
    source_id, original = source
    answer = stack.http("POST", "/v1/videos/edits", {"prompt": "make it night", "video": source_id})
    assert answer.status == 200, answer.body
    made = answer.json
    assert made["seconds"] == "2" and made["remixed_from_video_id"] == source_id and made["model"] == "sandbox"
    assert stack.wait(made["id"])["status"] == "completed"
    path = fetch(stack, made["id"], tmp_path)
    assert abs(float(probe(path)["format"]["duration"]) - 2) < 0.1
    before, after = colour(original), colour(path)
    assert max(abs(a - b) for a, b in zip(before, after)) > 20, (before, after)


def test_file(stack, source, tmp_path):
    original = source[1].read_bytes()
    body, headers = form({"prompt": "go on", "model": "sandbox", "seconds": "1"}, original)
    answer = stack.http("POST", "/v1/videos/extensions", body, headers=headers)
    assert answer.status == 200, answer.body
    assert answer.json["seconds"] == "3" and answer.json["size"] == SIZE and answer.json["remixed_from_video_id"] is None
    assert stack.wait(answer.json["id"])["status"] == "completed"
    body, headers = form({"prompt": "a form with an id", "video[id]": source[0]})
    answer = stack.http("POST", "/v1/videos/edits", body, headers=headers)
    assert answer.status == 200 and stack.wait(answer.json["id"])["status"] == "completed"


def test_sora_through_the_sandbox(stack, source):
    made = stack.wait(stack.create(model="sora-2", size="1280x720", seconds=4)["id"])
    answer = stack.http("POST", "/v1/videos/extensions", {"prompt": "on", "seconds": 4, "video": {"id": made["id"]}})
    assert answer.status == 200 and answer.json["seconds"] == "8" and answer.json["model"] == "sora-2"
    stack.http("POST", f"/v1/videos/{answer.json['id']}/cancel")


@pytest.mark.parametrize("path,fields,status,param", [
    ("edits", {"prompt": "x"}, 400, "video"),
    ("edits", {"prompt": "", "video": "SOURCE"}, 400, "prompt"),
    ("edits", {"prompt": "x", "video": {"id": "video_" + "0" * 32}}, 404, None),
    ("edits", {"prompt": "x", "video": {"id": "nonsense"}}, 404, "video"),
    ("edits", {"prompt": "x", "video": {"file": 1}}, 400, "video"),
    ("edits", {"prompt": "x", "video": "SOURCE", "model": "veo-3.1-generate-preview"}, 400, "model"),
    ("extensions", {"prompt": "x", "video": "SOURCE", "model": "kling-v3-0"}, 400, "model"),
    ("extensions", {"prompt": "x", "video": "SOURCE", "seconds": -1}, 400, "seconds"),
    ("extensions", {"prompt": "x", "video": "SOURCE", "seconds": 0}, 400, "seconds"),
    ("extensions", {"prompt": "x", "video": "SOURCE", "seconds": 61}, 400, "seconds"),
    ("extensions", {"prompt": "x", "video": "SOURCE", "seconds": 2, "callback_url": "https://example.com/"}, 400, "callback_secret"),
])
def test_refused(stack, source, path, fields, status, param):
    if fields.get("video") == "SOURCE":
        fields = {**fields, "video": source[0]}
    answer = stack.http("POST", f"/v1/videos/{path}", fields)
    assert answer.status == status, answer.body
    assert answer.error["param"] == param or param is None
    if fields.get("model"):
        assert "not supported" in answer.error["message"]


def test_bytes_that_are_no_video(stack):
    for data in (b"hello", b"\0\0\0\x18ftypisom" + b"\0" * 200):
        body, headers = form({"prompt": "x", "model": "sandbox"}, data)
        answer = stack.http("POST", "/v1/videos/edits", body, headers=headers)
        assert answer.status == 400 and answer.error["param"] == "video", answer.body


def test_not_ready_and_not_mine(stack, source):
    running = stack.create(model="sandbox-never")["id"]
    answer = stack.http("POST", "/v1/videos/edits", {"prompt": "x", "video": running})
    assert answer.status == 409 and answer.headers["x-should-retry"] == "false"
    stack.http("POST", f"/v1/videos/{running}/cancel")
    other = stack.new_key("derive-other")["secret"]
    assert stack.http("POST", "/v1/videos/edits", {"prompt": "x", "video": source[0]}, key=other).status == 404


def test_source_may_go(own_stack, tmp_path):
    first = own_stack.create(model="sandbox", size=SIZE, seconds=1)["id"]
    assert own_stack.wait(first)["status"] == "completed"
    made = own_stack.http("POST", "/v1/videos/extensions", {"prompt": "on", "seconds": 1, "video": first, "model": "sandbox-slow"}).json["id"]
    assert own_stack.http("DELETE", f"/v1/videos/{first}").status == 200
    # A remix of it needs the same source, which has a file of its own.
    video = own_stack.wait(made)
    assert video["status"] == "completed" and video["seconds"] == "2"
    again = own_stack.http("POST", f"/v1/videos/{made}/remix", {"prompt": "on, in winter"})
    assert again.status == 200 and own_stack.wait(again.json["id"])["status"] == "completed"


def test_idempotent(stack, source):
    fields = {"prompt": "once", "seconds": 1, "video": source[0]}
    headers = {"idempotency-key": "derive-1"}
    first = stack.http("POST", "/v1/videos/extensions", fields, headers=headers).json["id"]
    assert stack.http("POST", "/v1/videos/extensions", fields, headers=headers).json["id"] == first
    assert stack.http("POST", "/v1/videos/extensions", {**fields, "seconds": 2}, headers=headers).status == 422
    assert stack.http("POST", "/v1/videos/edits", {"prompt": "once", "video": source[0]}, headers=headers).status == 422


def test_worker_dies_in_the_middle(own_stack, tmp_path):
    first = own_stack.create(model="sandbox", size=SIZE, seconds=1)["id"]
    assert own_stack.wait(first)["status"] == "completed"
    made = own_stack.http("POST", "/v1/videos/extensions", {"prompt": "on", "seconds": 20, "video": first}).json["id"]
    wait_for(lambda: own_stack.get(made)["status"] == "in_progress", "the job to run")
    own_stack.kill("worker", signal.SIGKILL)
    own_stack.up()
    assert own_stack.wait(made)["status"] == "completed"
    assert abs(float(probe(fetch(own_stack, made, tmp_path))["format"]["duration"]) - 21) < 0.2


def test_files_go_with_the_video(own_stack):
    blobs = pathlib.Path(own_stack.folder) / "blobs"
    first = own_stack.create(model="sandbox", size=SIZE, seconds=1)["id"]
    own_stack.wait(first)
    made = own_stack.http("POST", "/v1/videos/edits", {"prompt": "x", "video": first}).json["id"]
    own_stack.wait(made)

    def files():
        return [p for p in blobs.rglob("*") if made in p.name]

    assert len(files()) == 2  # its output and its source
    assert own_stack.http("DELETE", f"/v1/videos/{made}").status == 200
    wait_for(lambda: not files(), "its files to go")
    assert own_stack.http("GET", f"/v1/videos/{first}/content").status == 200


def test_expired_source(aside):  # noqa: F811
    first = aside.wait(aside.create(model="sandbox", size=SIZE, seconds=1)["id"])
    made = aside.http("POST", "/v1/videos/edits", {"prompt": "x", "video": first["id"]})
    assert made.status == 200 and aside.files(made.json["id"])
    assert aside.wait(made.json["id"])["status"] == "completed"
    wait_for(lambda: not aside.files(made.json["id"]), "the janitor to remove the copy too")
    assert aside.http("POST", "/v1/videos/edits", {"prompt": "x", "video": first["id"]}).status == 410


def test_grpc(stack, source):
    client = Client(stack.env["VIDEOGATE_GRPC"], stack.key)
    client.learn(SERVICE)
    edited = client.method(SERVICE, "EditVideo")(video={"id": source[0]}, prompt="x", request_id=str(uuid.uuid4())).video
    assert edited.remixed_from_video_id == source[0]
    made = client.method(SERVICE, "ExtendVideo")(video={"data": source[1].read_bytes()}, prompt="x", seconds=1, model="sandbox").video
    assert made.seconds == 3 and made.remixed_from_video_id == ""
    with pytest.raises(grpc.RpcError) as refused:
        client.method(SERVICE, "ExtendVideo")(video={"id": source[0]}, prompt="x", seconds=-1)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT


# --- cancel ---


def cancel(stack, video_id):
    answer = stack.http("POST", f"/v1/videos/{video_id}/cancel")
    assert answer.status == 200, answer.body
    return answer.json


def test_cancel_of_several_reaches_the_provider(stack):
    made = stack.create(model="sandbox-never", n=3)
    wait_for(lambda: len(stack.sql("SELECT 1 FROM generations WHERE video_id = %s AND upstream_id IS NOT NULL", made["id"])) == 3, "all to run")
    upstream = [row[0] for row in stack.sql("SELECT upstream_id FROM generations WHERE video_id = %s", made["id"])]
    assert stack.http("DELETE", f"/v1/videos/{made['id']}").status == 409
    cancel(stack, made["id"])
    ended = stack.wait(made["id"])
    assert ended["status"] == "canceled" and not ended.get("content")
    assert cancel(stack, made["id"]) == ended  # nothing changes at the end

    def canceled():
        lines = (stack.folder / "sandbox" / "jobs.jsonl").read_text().splitlines()
        return [u for u in upstream if any(u in line and "canceled" in line for line in lines)]

    wait_for(lambda: len(canceled()) == 3, "the provider to hear of it")
    assert stack.http("DELETE", f"/v1/videos/{made['id']}").status == 200
    assert stack.http("GET", f"/v1/videos/{made['id']}").status == 404


def test_cancel_of_a_completed_one(stack, source):
    before = stack.get(source[0])
    after = cancel(stack, source[0])
    assert after["status"] == "completed" and {k: after[k] for k in after if k != "content"} == {k: before[k] for k in before if k != "content"}


def test_a_queued_one_never_reaches_the_provider(own_stack):
    own_stack.kill("worker")
    before = own_stack.submissions()
    made = own_stack.create(n=2)
    cancel(own_stack, made["id"])
    own_stack.up()
    assert own_stack.wait(made["id"])["status"] == "canceled"
    assert own_stack.submissions() == before


def test_some_outputs_fail(stack):
    made = stack.wait(stack.create(model="sandbox-partial", n=3)["id"])
    assert made["status"] == "completed" and [c["index"] for c in made["content"]] == [0, 2]
    assert made["error"]["code"] == "partial_failure" and made["error"]["message"].startswith("1 of 3")
    assert stack.http("GET", f"/v1/videos/{made['id']}/content?index=1").status == 404
    assert stack.http("GET", f"/v1/videos/{made['id']}/content?index=2").status == 200
