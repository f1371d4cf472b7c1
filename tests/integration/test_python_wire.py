# SPDX-License-Identifier: Apache-2.0
"""openai-python on the wire, both eras: JSON creates up to 2.26, multipart from 2.27. The package is in no registry that
the tests reach, so its requests are written down here, byte for byte as httpx sends them."""
import base64
import json

import pytest
from test_clients import png
from vg import wait_for

OLD, NEW = "python ≤ 2.26", "python ≥ 2.27"
BOUNDARY = "9f1c2d3e4b5a69788796a5b4c3d2e1f0"  # httpx: 32 hex digits


def headers(version, **more):
    return {
        "accept": "application/json", "accept-encoding": "gzip, deflate", "user-agent": f"OpenAI/Python {version}", "x-stainless-lang": "python",
        "x-stainless-package-version": version, "x-stainless-os": "Linux", "x-stainless-arch": "x64", "x-stainless-runtime": "CPython",
        "x-stainless-runtime-version": "3.11.2", "x-stainless-async": "false", "x-stainless-retry-count": "0", "x-stainless-read-timeout": "600", **more}


def field(name, value):
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()


def part(name, filename, kind, data):
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\nContent-Type: {kind}\r\n\r\n'
    return head.encode() + data + b"\r\n"


class Python:
    def __init__(self, stack, version):
        self.stack, self.version = stack, version

    def json(self, path, body):
        return self.send("POST", path, json.dumps(body, separators=(",", ":")).encode(), {"content-type": "application/json"})

    def form(self, path, *parts):
        return self.send("POST", path, b"".join(parts) + f"--{BOUNDARY}--\r\n".encode(), {"content-type": f"multipart/form-data; boundary={BOUNDARY}"})

    def send(self, method, path, body=None, more=None):
        answer = self.stack.http(method, "/v1" + path, body, headers(self.version, **(more or {})))
        assert answer.status == 200, answer.body
        return answer

    def poll(self, video_id):
        """create_and_poll: the header of the first answer must be an integer; any other status ends it."""
        more, seen = {"x-stainless-poll-helper": "true"}, []

        def ended():
            answer = self.send("GET", f"/videos/{video_id}", None, more)
            seen.append(answer.json)
            if answer.json["status"] in ("queued", "in_progress"):
                assert int(answer.headers["openai-poll-after-ms"]) > 0
                return False
            return True

        wait_for(ended, "the poll helper")
        assert seen[-1]["status"] == "completed", seen[-1]
        return seen[-1]


@pytest.fixture(scope="module")
def old(stack):
    return Python(stack, "2.26.0")


@pytest.fixture(scope="module")
def new(stack):
    return Python(stack, "3.3.1")


SMALL = {"model": "sandbox-instant", "size": "160x90", "seconds": "1"}
SMALL_FORM = [field(name, value) for name, value in SMALL.items()]


@pytest.mark.client(OLD, "create, text", "retrieve")
def test_old_text(old):
    made = old.json("/videos", {"prompt": "a kite", **SMALL}).json
    assert old.poll(made["id"])["seconds"] == "1"


@pytest.mark.client(OLD, "create, defaults")
def test_old_defaults(old):
    assert old.json("/videos", {"prompt": "only this"}).json["status"] == "queued"


@pytest.mark.client(OLD, "create, picture by address")
def test_old_extra_body(old):
    """extra_body is merged at the top; `seconds` may be a number there."""
    url = "data:image/png;base64," + base64.b64encode(png(160, 90)).decode()
    old.poll(old.json("/videos", {"prompt": "a kite", **SMALL, "seconds": 1, "input_reference": {"image_url": url}, "audio": False}).json["id"])


@pytest.mark.client(OLD, "create, file")
@pytest.mark.client(NEW, "create, file")
@pytest.mark.parametrize("which", ["old", "new"])
def test_file(which, request):
    client = request.getfixturevalue(which)
    made = client.form("/videos", field("prompt", "a file: é𝄞"), *SMALL_FORM, part("input_reference", "in.png", "image/png", png(160, 90))).json
    assert client.poll(made["id"])["prompt"] == "a file: é𝄞"


@pytest.mark.client(NEW, "create, text", "retrieve")
def test_new_text(new):
    new.poll(new.form("/videos", field("prompt", "a kite"), *SMALL_FORM).json["id"])


@pytest.mark.client(NEW, "create, defaults")
def test_new_defaults(new):
    assert new.form("/videos", field("prompt", "only this")).json["status"] == "queued"


@pytest.mark.client(NEW, "create, silent", "create, several")
def test_new_extra_body(new):
    """extra_body becomes form fields, nested in brackets; what we do not know is ignored."""
    extra = [field("audio", "false"), field("n", "2"), field("metadata[a][]", "1"), field("metadata[b]", "true")]
    ended = new.poll(new.form("/videos", field("prompt", "a kite"), *SMALL_FORM, *extra).json["id"])
    assert len(ended["content"]) == 2 and ended["audio"] is False


@pytest.fixture(scope="module")
def source(old):
    return old.poll(old.json("/videos", {"prompt": "a source", **SMALL}).json["id"])["id"]


@pytest.mark.client(OLD, "remix", "list, page by page", "download")
@pytest.mark.client(NEW, "remix", "list, page by page", "download")
@pytest.mark.parametrize("which", ["old", "new"])
def test_the_rest_is_the_same(which, request, source):
    client = request.getfixturevalue(which)
    client.poll(client.json(f"/videos/{source}/remix", {"prompt": "in the rain"}).json["id"])
    page = client.send("GET", "/videos?limit=1&order=asc").json
    assert page["last_id"] == page["data"][-1]["id"] and page["has_more"] is True
    content = client.send("GET", f"/videos/{source}/content", None, {"accept": "application/binary"})
    assert content.headers["content-type"] == "video/mp4" and content.body[4:8] == b"ftyp"


@pytest.mark.client(OLD, "edit, file", "extend")
@pytest.mark.client(NEW, "edit, file", "extend")
@pytest.mark.parametrize("which", ["old", "new"])
def test_edit_and_extend(which, request, source):
    """Python can give a file alone here: a dict for `video` fails in the client."""
    client = request.getfixturevalue(which)
    mp4 = part("video", "in.mp4", "video/mp4", client.send("GET", f"/videos/{source}/content").body)
    client.poll(client.form("/videos/edits", field("prompt", "at night"), field("model", "sandbox-instant"), mp4).json["id"])
    longer = client.poll(client.form("/videos/extensions", field("prompt", "and on"), field("seconds", "1"), field("model", "sandbox-instant"), mp4).json["id"])
    assert longer["seconds"] == "2"


@pytest.mark.client(OLD, "delete")
@pytest.mark.client(NEW, "delete")
@pytest.mark.parametrize("which", ["old", "new"])
def test_delete(which, request, stack):
    client, made = request.getfixturevalue(which), stack.create()
    client.poll(made["id"])
    assert client.send("DELETE", f"/videos/{made['id']}").json["object"] == "video.deleted"
