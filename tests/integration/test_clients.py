# SPDX-License-Identifier: Apache-2.0
"""Real clients, unmodified, against a real stack. What they get through is README.md's table (clients.py)."""
import http.server
import json
import struct
import threading
import zlib

import clients
import pytest
from vg import NODE, wait_for

SECRET = "clients-secret"
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STACK_ENV = {
    "VIDEOGATE_IMAGE_ALLOW_HTTP": "true", "VIDEOGATE_IMAGE_ALLOW_ANY_PORT": "true", "VIDEOGATE_IMAGE_ALLOW_NETS": "127.0.0.0/8",
    "VIDEOGATE_RECEIVER_SECRET": SECRET,
}


def png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes((y % 256, y % 256, 128)) * width for y in range(height))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "in.png"
    path.write_bytes(png(160, 90))
    return path


@pytest.fixture(scope="module")
def picture_url(picture):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            data = picture.read_bytes()
            self.send_response(200)
            self.send_header("content-type", "image/png")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/in.png"
    server.shutdown()


@pytest.fixture(scope="module")
def config(own_stack, picture, picture_url):
    """What a script needs; each gets a project of its own, so that lists show its videos alone."""
    def make(project, **more):
        limited = own_stack.ctl("keys", "create", "--project", project, "--rpm", "3", admin=True).stdout
        return {"url": own_stack.env["VIDEOGATE_URL"], "key": own_stack.new_key(project)["secret"],
                "limitedKey": dict(line.split(" ", 1) for line in limited.splitlines())["secret"],
                "sink": own_stack.env["VIDEOGATE_WEBHOOK_SINK"], "callbackLog": own_stack.env["VIDEOGATE_WEBHOOK_LOG"], "secret": SECRET,
                "picture": str(picture), "pictureUrl": picture_url, **more}

    return make


def steps(client, tmp_path_factory, script, config, node22):
    """Runs a client's script, records each step and hands them on."""
    done = clients.run_node(NODE, tmp_path_factory.mktemp("node"), script, config, node22)
    for row, result in done.items():
        clients.record(__name__, client, row, result)
    return done


def all_well(done):
    bad = {row: result for row, result in done.items() if result.startswith("failed")}
    assert not bad, "\n\n".join(f"{row}: {result}" for row, result in bad.items())
    assert done


@pytest.mark.parametrize("name,package,node22", [("openai 6", "openai6", False), ("openai 7", "openai7", True)])
def test_openai(config, tmp_path_factory, name, package, node22):
    all_well(steps(name, tmp_path_factory, "openai.mjs", config(package, package=package), node22))


def test_ai_sdk(config, tmp_path_factory):
    all_well(steps("AI SDK", tmp_path_factory, "ai_sdk.mjs", config("ai"), True))


def delivery(stack, secret):
    made = stack.create(callback_url=stack.env["VIDEOGATE_WEBHOOK_SINK"] + "/ok", callback_secret=secret)
    return {"record": wait_for(lambda: stack.callbacks(made["id"]), "the callback")[0], "secret": secret}


@pytest.mark.parametrize("package", ["standardwebhooks", "svix"])
def test_callback_verifiers(own_stack, tmp_path_factory, package):
    deliveries = {"raw": delivery(own_stack, SECRET), "whsec": delivery(own_stack, WHSEC)}
    all_well(steps(package, tmp_path_factory, "verifiers.mjs", {"package": package, "deliveries": deliveries}, False))


# --- curl ---


@pytest.fixture(scope="module")
def curled(own_stack):
    """A finished video that curl made."""
    url = own_stack.env["VIDEOGATE_URL"]
    made = json.loads(own_stack.curl(f"{url}/v1/videos", "--json", '{"prompt": "curl", "model": "sandbox-instant", "size": "160x90", "seconds": 1}'))
    return own_stack.wait(made["id"])


def curl_json(stack, path, *args):
    return json.loads(stack.curl(stack.env["VIDEOGATE_URL"] + path, *args))


@pytest.mark.client("curl", "create, text", "retrieve")
def test_curl_create(own_stack, curled):
    assert curl_json(own_stack, f"/v1/videos/{curled['id']}")["status"] == "completed"


@pytest.mark.client("curl", "create, defaults")
def test_curl_defaults(own_stack):
    assert curl_json(own_stack, "/v1/videos", "--json", '{"prompt": "only this"}')["status"] == "queued"


@pytest.mark.client("curl", "create, file", "create, streamed file")
def test_curl_form(own_stack, picture):
    form = ["-F", "prompt=a form", "-F", "model=sandbox-instant", "-F", "size=160x90", "-F", "seconds=1", "-F", f"input_reference=@{picture}"]
    for more in ([], ["-H", "Transfer-Encoding: chunked"]):
        made = curl_json(own_stack, "/v1/videos", *form, *more)
        assert own_stack.wait(made["id"])["status"] == "completed"


@pytest.mark.client("curl", "create, picture by address", "create, first and last frame", "create, reference pictures")
def test_curl_pictures(own_stack, picture_url):
    for fields in ({"input_reference": picture_url}, {"image": picture_url, "last_frame": {"image_url": picture_url}},
                   {"reference_images": [picture_url, {"image_url": {"url": picture_url}}]}):
        body = {"prompt": "pictures", "model": "sandbox-instant", "size": "160x90", "seconds": 1, **fields}
        made = curl_json(own_stack, "/v1/videos", "--json", json.dumps(body))
        assert own_stack.wait(made["id"])["status"] == "completed"


@pytest.mark.client("curl", "create, several", "create, silent")
def test_curl_several(own_stack):
    made = curl_json(own_stack, "/v1/videos", "--json", '{"prompt": "two", "model": "sandbox-instant", "size": "160x90", "seconds": 1, "n": 2, "audio": false}')
    ended = own_stack.wait(made["id"])
    assert [c["index"] for c in ended["content"]] == [0, 1] and ended["audio"] is False


@pytest.mark.client("curl", "list, page by page")
def test_curl_list(own_stack, curled):
    page, seen = {"has_more": True, "last_id": ""}, []
    while page["has_more"]:
        page = curl_json(own_stack, f"/v1/videos?limit=3&order=asc&after={page['last_id']}")
        seen += [v["id"] for v in page["data"]]
    assert curled["id"] in seen and len(seen) == len(set(seen))


@pytest.mark.client("curl", "watch")
def test_curl_watch(own_stack, curled):
    text = own_stack.curl("-N", f"{own_stack.env['VIDEOGATE_URL']}/v1/videos/{curled['id']}/events").decode()
    data = [json.loads(line[5:]) for line in text.splitlines() if line.startswith("data:")]
    assert data[-1]["status"] == "completed"


@pytest.mark.client("curl", "download, thumbnail", "download, spritesheet")
def test_curl_variants(own_stack, curled):
    url = f"{own_stack.env['VIDEOGATE_URL']}/v1/videos/{curled['id']}/content?variant="
    assert own_stack.curl(url + "thumbnail")[8:12] == b"WEBP"
    assert own_stack.curl(url + "spritesheet")[:2] == b"\xff\xd8"


@pytest.mark.client("curl", "download", "download, range")
def test_curl_download(own_stack, curled, tmp_path):
    url = f"{own_stack.env['VIDEOGATE_URL']}/v1/videos/{curled['id']}/content"
    whole = own_stack.curl(url)
    assert whole[4:8] == b"ftyp" and len(whole) == curled["content"][0]["bytes"]
    assert own_stack.curl("-r", "0-99", url) == whole[:100]
    (tmp_path / "part").write_bytes(whole[:1000])
    own_stack.curl("-C", "-", "-o", str(tmp_path / "part"), url)
    assert (tmp_path / "part").read_bytes() == whole


@pytest.mark.client("curl", "remix")
def test_curl_remix(own_stack, curled):
    made = curl_json(own_stack, f"/v1/videos/{curled['id']}/remix", "--json", '{"prompt": "again"}')
    assert own_stack.wait(made["id"])["status"] == "completed"


@pytest.mark.client("curl", "edit", "extend")
def test_curl_derive(own_stack, curled):
    source = {"video": {"id": curled["id"]}, "prompt": "derived"}
    edited = curl_json(own_stack, "/v1/videos/edits", "--json", json.dumps(source))
    longer = curl_json(own_stack, "/v1/videos/extensions", "--json", json.dumps({**source, "seconds": 1}))
    for made in (edited, longer):
        assert own_stack.wait(made["id"])["status"] == "completed"


@pytest.mark.client("curl", "cancel", "delete")
def test_curl_cancel_and_delete(own_stack):
    made = curl_json(own_stack, "/v1/videos", "--json", '{"prompt": "stop", "model": "sandbox-never"}')
    curl_json(own_stack, f"/v1/videos/{made['id']}/cancel", "-X", "POST")
    assert own_stack.wait(made["id"])["status"] == "canceled"
    assert curl_json(own_stack, f"/v1/videos/{made['id']}", "-X", "DELETE")["deleted"] is True


@pytest.mark.client("curl", "models")
def test_curl_models(own_stack):
    assert "sandbox" in [m["id"] for m in curl_json(own_stack, "/v1/models")["data"]]
