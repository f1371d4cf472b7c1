# SPDX-License-Identifier: Apache-2.0
"""The one path that matters: create, read, content; over HTTP/1.1, h2c and TLS; errors in the envelope."""
import hashlib
import json
import re

import pytest
from vg import ffprobe

PROMPT = "A cinematic drone shot flying through a neon-lit futuristic city at night"


@pytest.fixture(scope="module")
def video(stack):
    made = stack.create(prompt=PROMPT)
    return stack.wait(made["id"])


def test_seed_request(stack, tmp_path):
    answer = stack.http("POST", "/v1/videos", {"prompt": PROMPT, "seconds": 8})
    assert answer.status == 200
    made = answer.json
    assert re.fullmatch(r"video_[0-9a-f]{32}", made["id"])
    assert made["object"] == "video" and made["status"] == "queued" and made["progress"] == 0
    assert made["model"] == "veo-3.1-generate-preview"
    assert made["seconds"] == "8" and made["error"] is None and made["completed_at"] is None
    assert "content" not in made
    done = stack.wait(made["id"])
    assert done["status"] == "completed" and done["progress"] == 100 and done["completed_at"] >= done["created_at"]
    (content,) = done["content"]
    assert content["type"] == "video" and content["mime_type"] == "video/mp4"
    body = stack.http("GET", f"/v1/videos/{made['id']}/content").body
    assert len(body) == content["bytes"] and hashlib.sha256(body).hexdigest() == content["sha256"]
    file = tmp_path / "seed.mp4"
    file.write_bytes(body)
    probe = ffprobe(file)
    kinds = {s["codec_type"]: s for s in probe["streams"]}
    assert kinds["video"]["codec_name"] == "h264" and kinds["audio"]["codec_name"] == "aac"
    assert (kinds["video"]["width"], kinds["video"]["height"]) == (1280, 720)
    assert abs(float(probe["format"]["duration"]) - 8) < 0.2


@pytest.mark.parametrize("flags", [["--http1.1"], ["--http2-prior-knowledge"]], ids=["h1", "h2c"])
def test_plain(stack, video, flags):
    out = stack.curl(*flags, "-w", "\n%{http_version} %{http_code}", f"{stack.env['VIDEOGATE_URL']}/v1/videos/{video['id']}")
    body, tail = out.rsplit(b"\n", 1)
    assert json.loads(body) == video
    assert tail == (b"2 200" if "prior" in flags[0] else b"1.1 200")


@pytest.mark.parametrize("flag,version", [("--http1.1", b"1.1"), ("--http2", b"2")])
def test_tls_alpn(stack, flag, version):
    url = stack.env["VIDEOGATE_TLS_URL"]
    out = stack.curl(flag, "--cacert", stack.env["VIDEOGATE_TLS_CA"], "-w", "\n%{http_version} %{http_code}",
                     "-d", json.dumps({"prompt": "tls", "model": "sandbox-instant", "size": "160x90", "seconds": 1}),
                     "-H", "content-type: application/json", f"{url}/v1/videos")
    body, tail = out.rsplit(b"\n", 1)
    assert tail == version + b" 200" and json.loads(body)["object"] == "video"


def test_every_field_of_the_seed(stack):
    pixel = (
        "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
    framed = stack.create(model="sandbox", image={"image_url": pixel}, last_frame=pixel, audio=False, n=2,
                          callback_url=stack.env["VIDEOGATE_WEBHOOK_SINK"] + "/all", callback_secret="whatever", unknown_field=[1])
    referenced = stack.create(model="sandbox", reference_images=[pixel, {"image_url": pixel}], audio=True, n=1)
    single = stack.create(model="sandbox", input_reference=pixel)
    for made, outputs in ((framed, 2), (referenced, 1), (single, 1)):
        done = stack.wait(made["id"])
        assert done["status"] == "completed", done
        assert [c["index"] for c in done["content"]] == list(range(outputs))


BAD = [
    ({"prompt": ""}, "prompt"),
    ({"prompt": 5}, "prompt"),
    ({"prompt": "x" * 32001}, "prompt"),
    ({"model": "no-such-model"}, "model"),
    ({"model": ""}, "model"),
    ({"seconds": 0}, "seconds"),
    ({"seconds": -4}, "seconds"),
    ({"seconds": 2.5}, "seconds"),
    ({"seconds": "eight"}, "seconds"),
    ({"seconds": 4000}, "seconds"),
    ({"size": "huge"}, "size"),
    ({"size": "1x1"}, "size"),
    ({"audio": "yes"}, "audio"),
    ({"n": 0}, "n"),
    ({"n": 11}, "n"),
    ({"n": "many"}, "n"),
    ({"callback_url": "http://127.0.0.1:1/x"}, "callback_secret"),
    ({"callback_secret": "s"}, "callback_url"),
    ({"callback_url": "ftp://example.com/", "callback_secret": "s"}, "callback_url"),
    ({"callback_url": "http://10.0.0.1/", "callback_secret": "s"}, "callback_url"),
    ({"callback_url": "http://127.0.0.1/", "callback_secret": ""}, "callback_secret"),
    ({"image": 7}, "image"),
    ({"image": "data:text/plain;base64,aGFsbG8="}, "image"),
    ({"image": "data:image/png;base64,aGFsbG8="}, "image"),
    ({"image": "http://[::1]/x.png"}, "image"),
    ({"last_frame": "data:image/png;base64,aGFsbG8="}, "last_frame"),
    ({"reference_images": []}, "reference_images"),
    ({"reference_images": ["https://example.com/1"] * 4}, "reference_images"),
    ({"reference_images": ["https://example.com/1"], "input_reference": "https://example.com/1"}, "reference_images"),
]


@pytest.mark.parametrize("fields,param", BAD, ids=[f"{next(iter(f))}-{i}" for i, (f, _) in enumerate(BAD)])
def test_bad_field(stack, fields, param):
    body = {"prompt": "x", "model": "sandbox", "size": "160x90", "seconds": 1, **fields}
    answer = stack.http("POST", "/v1/videos", body)
    assert answer.status == 400, answer.body
    error = answer.error
    assert error["type"] == "invalid_request_error"
    assert param in (error["param"] or "") or param in error["message"], error


def test_constraint_reasons(stack):
    message = stack.http("POST", "/v1/videos", {"prompt": "x", "model": "sora-2", "seconds": 7}).error["message"]
    assert "7" in message and "sora-2" in message


BAD_BODIES = {
    "empty": b"",
    "not json": b"hello",
    "array": b"[]",
    "cut": b'{"prompt": "x"',
    "trailing": b'{"prompt": "x"} x',
    "bad utf-8": b'{"prompt": "\xff\xfe"}',
    "nul": b'{"prompt": "a\\u0000b"}',
    "lone surrogate": b'{"prompt": "\\ud800"}',
    "deep": b'{"prompt": ' + b"[" * 5000 + b"]" * 5000 + b"}",
    "duplicate key": b'{"prompt": "a", "prompt": "b"}',
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_bad_body(stack, name):
    answer = stack.http("POST", "/v1/videos", BAD_BODIES[name], headers={"content-type": "application/json"})
    assert answer.status == 400, answer.body
    assert answer.error["type"] == "invalid_request_error"


def test_null_and_unknown_fields_are_left_out(stack):
    body = {"prompt": "x", "model": "sandbox-instant", "size": "160x90", "seconds": "1", "image": None, "n": None, "zzz": {"a": 1}}
    assert stack.http("POST", "/v1/videos", body).json["seconds"] == "1"


def test_too_large(stack):
    answer = stack.http("POST", "/v1/videos", b'{"prompt": "' + b"x" * (65 << 20) + b'"}', headers={"content-type": "application/json"})
    assert answer.status == 413 and answer.error["code"] == "request_too_large"


def test_content_type(stack):
    answer = stack.http("POST", "/v1/videos", b"prompt=x", headers={"content-type": "text/plain"})
    assert answer.status == 415 and answer.error["code"] == "unsupported_media_type"


@pytest.mark.parametrize("method,path,status", [
    ("GET", "/", 404),
    ("GET", "/v1", 404),
    ("GET", "/v1/nothing", 404),
    ("GET", "/v1/videos/", 404),
    ("PUT", "/v1/videos", 405),
    ("PATCH", "/v1/videos/video_00000000000000000000000000000000", 405),
    ("GET", "/v1/videos/video_00000000000000000000000000000000", 404),
    ("GET", "/v1/videos/video_00000000000000000000000000000000/content", 404),
    ("GET", "/v1/videos/nonsense", 404),
    ("GET", "/v1/videos/%00", 404),
    ("DELETE", "/v1/videos/video_00000000000000000000000000000000", 404),
])
def test_unknown(stack, method, path, status):
    answer = stack.http(method, path)
    assert answer.status == status
    assert answer.error and answer.headers["x-request-id"]
    if status == 405:
        assert "allow" in answer.headers


@pytest.mark.parametrize("key", [False, "nonsense", "vg_" + "a" * 46, "vg_" + "é" * 4])
def test_wrong_key(stack, key):
    headers = {"authorization": f"Bearer {key}".encode()} if key else {}
    for method, path in (("POST", "/v1/videos"), ("GET", "/v1/videos"), ("GET", "/v1/videos/video_" + "0" * 32)):
        answer = stack.http(method, path, {"prompt": "x"} if method == "POST" else None, headers=headers, key=False)
        assert answer.status == 401 and answer.error["code"] == "invalid_api_key"


def test_x_api_key(stack, video):
    assert stack.http("GET", f"/v1/videos/{video['id']}", headers={"x-api-key": stack.key}, key=False).status == 200


def test_projects_are_apart(stack, video):
    other = stack.new_key("other")["secret"]
    for method, tail in (("GET", ""), ("GET", "/content"), ("DELETE", ""), ("POST", "/cancel")):
        answer = stack.http(method, f"/v1/videos/{video['id']}{tail}", key=other)
        assert answer.status == 404, (method, tail, answer.body)
    assert stack.http("GET", "/v1/videos", key=other).json["data"] == []
    assert stack.get(video["id"])["status"] == "completed"


def test_keys_are_hashed(stack):
    made = stack.new_key("hashed")
    dump = json.dumps(stack.sql("SELECT to_jsonb(api_keys)::text FROM api_keys"))
    assert made["secret"] not in dump and made["secret"][3:20] not in dump


def test_revoked_key(stack):
    made = stack.new_key("revoked")
    assert stack.http("GET", "/v1/videos", key=made["secret"]).status == 200
    stack.ctl("keys", "revoke", made["id"], admin=True)
    from vg import wait_for

    wait_for(lambda: stack.http("GET", "/v1/videos", key=made["secret"]).status == 401, "the key to end", 10)


def test_request_id(stack):
    for given in ("my-id-7", "a" * 128, "~!#:/"):
        assert stack.http("GET", "/v1/videos", headers={"x-request-id": given}).headers["x-request-id"] == given
    for given in ("a" * 129, "two words", "\xe9", "", "a\tb"):
        made = stack.http("GET", "/v1/videos", headers={"x-request-id": given}).headers["x-request-id"]
        assert re.fullmatch(r"req_[0-9a-f]{32}", made), given
    first, second = (stack.http("GET", "/v1/videos").headers["x-request-id"] for _ in range(2))
    assert first != second


def test_ranges(stack, video):
    path = f"/v1/videos/{video['id']}/content"
    whole = stack.http("GET", path)
    size = len(whole.body)
    etag = whole.headers["etag"]
    assert whole.headers["accept-ranges"] == "bytes" and whole.headers["content-type"] == "video/mp4"
    for header, first, last in (("bytes=0-99", 0, 99), ("bytes=100-", 100, size - 1), ("bytes=-50", size - 50, size - 1),
                                (f"bytes=5-{size * 2}", 5, size - 1)):
        part = stack.http("GET", path, headers={"range": header})
        assert part.status == 206 and part.body == whole.body[first : last + 1]
        assert part.headers["content-range"] == f"bytes {first}-{last}/{size}"
    for header in (f"bytes={size}-", "bytes=0-1,5-6"):
        bad = stack.http("GET", path, headers={"range": header})
        assert bad.status == 416 and bad.headers["content-range"] == f"bytes */{size}" and bad.error
    for header in ("bytes=x-y", "items=0-5", "bytes=9-3"):
        assert stack.http("GET", path, headers={"range": header}).status in (200, 416)
    assert stack.http("GET", path, headers={"range": "bytes=0-1", "if-range": etag}).status == 206
    assert stack.http("GET", path, headers={"range": "bytes=0-1", "if-range": '"other"'}).status == 200
    assert stack.http("GET", path, headers={"if-none-match": etag}).status == 304
    head = stack.http("HEAD", path)
    assert head.status == 200 and head.headers["content-length"] == str(size) and head.body == b""


def test_not_ready(stack):
    made = stack.create(model="sandbox-never")
    answer = stack.http("GET", f"/v1/videos/{made['id']}/content")
    assert answer.status == 409 and "not ready yet" in answer.error["message"]
    stack.http("POST", f"/v1/videos/{made['id']}/cancel")
    assert stack.wait(made["id"])["status"] == "canceled"


def test_list_pages(stack):
    key = stack.new_key("pages")["secret"]
    made = [stack.create(key=key)["id"] for _ in range(7)]
    seen, after = [], ""
    while True:
        page = stack.http("GET", f"/v1/videos?limit=3&order=asc{after}", key=key).json
        assert page["object"] == "list"
        ids = [v["id"] for v in page["data"]]
        assert page["first_id"] == ids[0] and page["last_id"] == ids[-1]
        seen += ids
        if not page["has_more"]:
            break
        after = f"&after={page['last_id']}"
    assert seen == made


def test_delete(stack):
    made = stack.create()
    stack.wait(made["id"])
    gone = stack.http("DELETE", f"/v1/videos/{made['id']}")
    assert gone.status == 200 and gone.json == {"id": made["id"], "object": "video.deleted", "deleted": True}
    assert stack.http("GET", f"/v1/videos/{made['id']}").status == 404
    assert stack.http("GET", f"/v1/videos/{made['id']}/content").status == 404


def test_delete_unfinished(stack):
    made = stack.create(model="sandbox-never")
    assert stack.http("DELETE", f"/v1/videos/{made['id']}").status == 409
    stack.http("POST", f"/v1/videos/{made['id']}/cancel")
    stack.wait(made["id"])


def test_idempotency_key(stack):
    first = stack.create(headers={"idempotency-key": "k-1"})
    assert stack.create(headers={"idempotency-key": "k-1"})["id"] == first["id"]
    other = stack.http("POST", "/v1/videos", {"prompt": "another", "model": "sandbox-instant", "size": "160x90", "seconds": 1},
                       headers={"idempotency-key": "k-1"})
    assert other.status == 422 and other.error["code"] == "idempotency_mismatch"


def test_models(stack):
    models = stack.http("GET", "/v1/models").json
    assert models["object"] == "list" and "veo-3.1-generate-preview" in [m["id"] for m in models["data"]]
    assert all(m["object"] == "model" for m in models["data"])


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_needs_no_key(stack, path):
    assert stack.http("GET", path, key=False).status == 200


def test_metrics(stack):
    for offset in (0, 3, 5, 7):
        assert stack.metric(offset, "videogate_"), f"no metrics at +{offset}"
