# SPDX-License-Identifier: Apache-2.0
"""What POST /v1/videos takes and refuses, in JSON and as a form, as LLM Gateway and OpenAI's page have it."""
import base64
import json
import socket

import pytest
from test_clients import png

DATA_URL = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
GIF = b"GIF89a\1\0\1\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\1\0\1\0\0\2\2D\1\0;"
LINK = "https://example.com/a.mp4"
VEO = {"prompt": "x", "model": "veo-3.1-generate-preview"}
# Fields, status, param, words of the message.
RULES = [
    ({"prompt": ""}, 400, "prompt", "1 to 32000"),
    ({"prompt": "x" * 32001}, 400, "prompt", "1 to 32000"),
    ({"prompt": "x", "model": "gpt-5"}, 400, "model", "GET /v1/models"),
    ({"prompt": "x", "model": "google/sora-2"}, 400, "model", "GET /v1/models"),
    ({"prompt": "x", "seconds": 0}, 400, "seconds", "seconds"),
    ({"prompt": "x", "seconds": -4}, 400, "seconds", "seconds"),
    ({"prompt": "x", "seconds": 4.5}, 400, "seconds", "seconds"),
    ({"prompt": "x", "seconds": "four"}, 400, "seconds", "seconds"),
    ({**VEO, "seconds": 11}, 400, "seconds", "11s is longer than the 10s"),
    ({**VEO, "seconds": 5}, 400, "seconds", "duration 5s is unsupported (supported durations: 4s, 6s"),
    ({**VEO, "size": "720p"}, 400, "size", "1280x720"),
    ({**VEO, "size": "848x480"}, 400, "size", "size 848x480 is unsupported (supported sizes: 1280x720"),
    ({"prompt": "x", "n": 0}, 400, "n", "1 to 10"),
    ({"prompt": "x", "n": 11}, 400, "n", "1 to 10"),
    ({"prompt": "x", "audio": "loud"}, 400, "audio", "boolean"),
    ({"prompt": "x", "model": "minimax-hailuo-2-3", "audio": True}, 400, "audio", "audio output is unsupported"),
    ({"prompt": "x", "model": "kling-v3-0-turbo", "audio": False}, 400, "audio", "audio=false is unsupported"),
    ({"prompt": "x", "callback_url": "https://example.com/"}, 400, "callback_secret", "both or neither"),
    ({"prompt": "x", "callback_secret": "s"}, 400, "callback_url", "both or neither"),
    ({"prompt": "x", "callback_url": "nonsense", "callback_secret": "s"}, 400, "callback_url", ""),
    ({"prompt": "x", "callback_url": "https://10.0.0.1/", "callback_secret": "s"}, 400, "callback_url", ""),
    ({**VEO, "last_frame": DATA_URL}, 400, "last_frame", "image"),
    ({**VEO, "image": DATA_URL, "reference_images": [DATA_URL]}, 400, "image", "Frame inputs"),
    ({**VEO, "image": DATA_URL, "reference_videos": [LINK]}, 400, "image", "Frame inputs"),
    ({**VEO, "input_reference": DATA_URL, "reference_images": [DATA_URL]}, 400, "reference_images", "input_reference"),
    ({**VEO, "reference_images": []}, 400, "reference_images", "at least one"),
    ({**VEO, "reference_images": [DATA_URL] * 4}, 400, "reference_images", "at most 3 reference images"),
    ({**VEO, "input_reference": [DATA_URL] * 4}, 400, "input_reference", "at most 3 reference images"),
    ({**VEO, "reference_images": [DATA_URL] * 10}, 400, "reference_images", "1 to 9"),
    ({**VEO, "reference_videos": [LINK]}, 400, "reference_videos", "reference video inputs are unsupported"),
    ({"prompt": "x", "model": "seedance-2-5", "reference_videos": ["http://example.com/a.mp4"]}, 400, "reference_videos", "HTTPS"),
    ({"prompt": "x", "model": "seedance-2-5", "reference_audios": [{"audio_url": "file:///etc/passwd"}]}, 400, "reference_audios", "HTTPS"),
    ({"prompt": "x", "model": "seedance-2-5", "reference_videos": [LINK] * 4}, 400, "reference_videos", "1 to 3"),
    ({"prompt": "x", "model": "kling-v3-0", "reference_images": [DATA_URL]}, 400, "reference_images", "reference inputs are unsupported"),
    ({"prompt": "x", "model": "grok-imagine-video-1-5"}, 400, "image", "image input is required"),
    ({**VEO, "image": ""}, 400, "image", "empty"),
    ({**VEO, "image": {"file_id": "file_1"}}, 400, "image", "file_id is not supported"),
    ({**VEO, "image": "data:text/plain;base64,AAAA"}, 400, "image", "image"),
    ({**VEO, "image": "data:image/png;base64,AAAA"}, 400, "image", ""),
    ({**VEO, "image": "ftp://example.com/a.png"}, 400, "image", ""),
    ({**VEO, "image": "https://127.0.0.1/a.png"}, 400, "image", ""),
    ({**VEO, "image": "data:image/png;base64," + "A" * (28 << 20)}, 400, "image", "exceeds the 20MB limit for image inputs"),
]


@pytest.mark.parametrize("fields,status,param,words", RULES)
def test_rule(stack, fields, status, param, words):
    answer = stack.http("POST", "/v1/videos", fields)
    assert answer.status == status, answer.body[:400]
    assert answer.error["param"] == param and words in answer.error["message"], answer.error
    assert answer.error["type"] == "invalid_request_error"


SHAPES = [
    {"image": DATA_URL}, {"image": {"image_url": DATA_URL}}, {"image": {"image_url": {"url": DATA_URL}}}, {"image": {"url": DATA_URL}},
    {"image": DATA_URL, "last_frame": {"image_url": DATA_URL}}, {"input_reference": DATA_URL}, {"input_reference": {"image_url": DATA_URL}},
    {"input_reference": [DATA_URL, {"image_url": DATA_URL}]}, {"reference_images": [DATA_URL] * 3}, {"reference_images": [{"image_url": DATA_URL}]},
    {"seconds": "1"}, {"n": "2"}, {"audio": False}, {"unknown": {"a": [None]}}, {"metadata": None},
]


@pytest.mark.parametrize("fields", SHAPES)
def test_shape(stack, fields):
    stack.create(**fields)


def test_nine_references_and_links(stack):
    picture = data_url(png(300, 300))  # no smaller ones there
    answer = stack.http("POST", "/v1/videos", {"prompt": "x", "model": "seedance-2-5", "reference_images": [picture] * 9, "reference_videos": [LINK, {"video_url": LINK}],
                                               "reference_audios": [{"audio_url": "https://example.com/a.mp3"}]})
    assert answer.status == 200, answer.body
    stack.http("POST", f"/v1/videos/{answer.json['id']}/cancel")


def data_url(data, kind="image/png"):
    return f"data:{kind};base64," + base64.b64encode(data).decode()


@pytest.mark.parametrize("model, data, words", [
    ("seedance-2-5", png(299, 300), "bytedance: image 299x300 is unsupported (supported sides: 300 to 6000 pixels)"),
    ("seedance-2-5", png(300, 800), "bytedance: image 300x800 is unsupported (supported aspects"),
    ("sandbox-instant", GIF, "sandbox: image type image/gif is unsupported (supported types: image/png, image/jpeg, image/webp)"),
    ("sandbox-instant", png(64, 64)[:-5], "the picture in image is cut short or damaged"),
    ("sandbox-instant", png(64, 64)[:50], "the picture in image is cut short or damaged"),
    ("sandbox-instant", png(64, 64)[:20], "not a whole"),
], ids=["small", "narrow", "gif", "no-end", "half", "head"])
def test_a_picture_that_is_not_taken(stack, model, data, words):
    """Said at the create: nothing is recorded, nothing is sent."""
    newest = lambda: stack.http("GET", "/v1/videos?limit=1").json.get("first_id")
    before = newest()
    answer = stack.http("POST", "/v1/videos", {"prompt": "x", "model": model, "image": data_url(data)})
    assert answer.status == 400 and answer.error["param"] == "image" and words in answer.error["message"], answer.error
    assert newest() == before


def test_a_picture_of_another_size_than_the_video(stack):
    ask = {"prompt": "x", "model": "sora-2", "size": "1280x720", "seconds": 4}
    answer = stack.http("POST", "/v1/videos", {**ask, "input_reference": data_url(png(1280, 718))})
    assert answer.status == 400 and answer.error["param"] == "input_reference"
    assert "openai: input_reference 1280x718 must match the size of the video, 1280x720" in answer.error["message"]
    made = stack.create(**{**ask, "input_reference": data_url(png(1280, 720))})
    stack.http("POST", f"/v1/videos/{made['id']}/cancel")


# --- forms ---


def part(name, value, file=None, kind=None):
    head = f'Content-Disposition: form-data; name="{name}"' + (f'; filename="{file}"' if file is not None else "")
    head += f"\r\nContent-Type: {kind}" if kind else ""
    return head.encode() + b"\r\n\r\n" + (value if isinstance(value, bytes) else value.encode())


def form(boundary, *parts):
    mark = b"--" + boundary.encode()
    return b"".join(mark + b"\r\n" + one + b"\r\n" for one in parts) + mark + b"--\r\n"


SMALL = [part("model", "sandbox-instant"), part("size", "160x90"), part("seconds", "1")]


def send(stack, *parts, boundary="----formdata-undici-012345678901"):
    return stack.http("POST", "/v1/videos", form(boundary, part("prompt", "a café"), *SMALL, *parts),
                      headers={"content-type": f"multipart/form-data; boundary={boundary}"})


@pytest.mark.parametrize("parts", [
    [], [part("audio", "false")], [part("audio", "1")], [part("n", "2")], [part("nested[a][]", "1"), part("nested[a][]", "2"), part("tags[]", "x")],
    [part("input_reference", png(64, 64), "in.png", "image/png")], [part("input_reference", png(64, 64), "in", "application/octet-stream")],
    [part("input_reference", png(64, 64), "", "text/plain")], [part("input_reference", png(64, 64))],
    [part("input_reference[image_url]", DATA_URL)], [part("input_reference", DATA_URL)],
    [part("input_reference", png(64, 64), "a.png"), part("input_reference", png(32, 32), "b.png")],
    [part("image", png(64, 64), "a.png"), part("last_frame", png(64, 64), "b.png")],
    [part("reference_images[]", png(64, 64), "a.png"), part("reference_images[]", DATA_URL)],
    [part("reference_images[0][image_url]", DATA_URL), part("reference_images[1][image_url]", DATA_URL)],
])
def test_form(stack, parts):
    answer = send(stack, *parts)
    assert answer.status == 200, answer.body
    assert answer.json["prompt"] == "a café" and answer.json["seconds"] == "1"


@pytest.mark.parametrize("parts,param,words", [
    ([part("seconds", "soon")], "seconds", "expected an integer"),
    ([part("audio", "loud")], "audio", "expected a boolean"),
    ([part("input_reference[file_id]", "file_1")], "input_reference", "file_id is not supported"),
    ([part("input_reference", b"no picture", "a.png", "image/png")], "input_reference", ""),
    ([part("input_reference", b"", "a.png", "image/png")], "input_reference", "empty"),
    ([part("prompt", "twice")], "prompt", "expected a string"),
    ([part("image", DATA_URL), part("image[x]", "y")], "image[x]", "two ways"),
    ([part("image", b"\x89PNG" + b"\0" * (20 << 20), "a.png")], "image", "exceeds the 20MB limit for image inputs"),
])
def test_form_refused(stack, parts, param, words):
    answer = send(stack, *parts)
    assert answer.status == 400, answer.body
    assert answer.error["param"] == param and words in answer.error["message"], answer.error


@pytest.mark.parametrize("body", [b"", b"--b\r\n", b"--b\r\nContent-Disposition: form-data; name=\"prompt\"\r\n\r\ncut", b"prompt=x"])
def test_no_form(stack, body):
    answer = stack.http("POST", "/v1/videos", body, headers={"content-type": "multipart/form-data; boundary=b"})
    assert answer.status == 400 and "multipart body is not valid" in answer.error["message"]


def test_streamed_upload(stack):
    """A form in chunks, without a length, cut at odd places: openai-node's upload of a stream."""
    boundary = "openai-0123456789"
    body = form(boundary, part("prompt", "x"), *SMALL, part("input_reference", png(200, 200), "in.png", "application/octet-stream"))
    head = (f"POST /v1/videos HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stack.key}\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
            f"Content-Type: multipart/form-data; boundary={boundary}\r\n\r\n").encode()
    with socket.create_connection(("127.0.0.1", stack.base), timeout=60) as connection:
        connection.sendall(head)
        for at in range(0, len(body), 37):
            piece = body[at : at + 37]
            connection.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 200"), answer[:500]
    assert json.loads(answer.split(b"\r\n\r\n", 1)[1])["object"] == "video"


@pytest.mark.parametrize("method,path,status", [
    ("GET", "/v1/videos/edits", 405), ("DELETE", "/v1/videos/extensions", 405), ("GET", "/v1/videos/characters", 405),
    ("POST", "/v1/videos/edits/cancel", 404), ("GET", "/v1/videos/characters/content", 400), ("GET", "/v1/videos/characters/char_1", 400),
])
def test_reserved_words(stack, method, path, status):
    answer = stack.http(method, path)
    assert answer.status == status and answer.error, answer.body
