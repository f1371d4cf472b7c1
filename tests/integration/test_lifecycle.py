# SPDX-License-Identifier: Apache-2.0
"""Lives of videos that the one path does not see: remixes, replays, expiry, crowds of watchers, callers who cancel."""
import http.server
import threading
import uuid

import grpc
import pytest
from google.protobuf import message_factory
from test_grpc import SERVICE, Client
from test_sandbox import download, frame_colour, png
from vg import ROOT, Beside, Stack, free_base, readyz, wait_for

COMPLETED, CANCELED = 3, 5


def test_remix(stack, tmp_path):
    """The remix has the source's parameters and pictures, another prompt, and outlives its source."""
    source = stack.create(model="sandbox", size="320x180", seconds=1, audio=False, n=2, image=png(tmp_path, "red"))
    early = stack.http("POST", f"/v1/videos/{source['id']}/remix", {"prompt": "too early"})
    assert early.status == 409 and early.error
    assert stack.wait(source["id"])["status"] == "completed"
    key = {"idempotency-key": str(uuid.uuid4())}
    path, body = f"/v1/videos/{source['id']}/remix", {"prompt": "the same at night"}
    remix = stack.http("POST", path, body, headers=key).json
    assert remix["id"] != source["id"] and remix["remixed_from_video_id"] == source["id"]
    assert [remix[k] for k in ("model", "size", "seconds", "prompt")] == [source["model"], source["size"], source["seconds"], body["prompt"]]
    assert stack.http("DELETE", f"/v1/videos/{source['id']}").status == 200
    assert stack.wait(remix["id"])["status"] == "completed"
    assert len(stack.get(remix["id"])["content"]) == 2
    download(stack, remix["id"], tmp_path / "remix.mp4", index=1)
    red, _, blue = frame_colour(tmp_path / "remix.mp4", False)
    assert red > 200 and blue < 60
    # The source is gone: a replay still finds its remix, a new remix has nothing to begin with.
    assert stack.http("POST", path, body, headers=key).json["id"] == remix["id"]
    assert stack.http("POST", path, {"prompt": "another"}, headers=key).error["code"] == "idempotency_mismatch"
    assert stack.http("POST", path, body).status == 404


# --- a service and a bridge of their own, whose files live two seconds ---


class Aside(Stack):
    """The HTTP caller of a stack, for processes beside one."""

    def __init__(self, beside, folder):
        self.beside, self.base = beside, free_base()
        self.blobs = folder / "blobs"
        beside.start("service", "--listen", f"127.0.0.1:{self.base + 2}", "--monitor", f"127.0.0.1:{self.base + 3}", "--blob-dir", self.blobs,
                     "--catalog", ROOT / "service/catalog.json", "--workers", f"sandbox=127.0.0.1:{beside.stack.port(4)}", "--route-all", "sandbox",
                     "--retention", "2s", "--janitor-interval", "200ms", "--image-allow-http", "true", "--image-allow-any-port", "true",
                     "--image-allow-nets", "127.0.0.0/8")
        beside.start("bridge", "--listen", f"127.0.0.1:{self.base}", "--service", f"127.0.0.1:{self.base + 2}")
        for port in (self.base + 3, self.base):
            wait_for(lambda: readyz(port)[0] == 200, f"port {port} to be ready", patience=60)
        self.env = {"VIDEOGATE_API_KEY": beside.new_key("--service", f"127.0.0.1:{self.base + 2}")}

    def files(self, video_id):
        return list(self.blobs.glob(f"*/*/{video_id}.*"))


@pytest.fixture(scope="module")
def aside(stack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("aside")
    with Beside(stack, folder) as beside:
        yield Aside(beside, folder)


def test_expired_content_is_gone(aside):
    made = aside.create()
    done = aside.wait(made["id"])
    assert done["status"] == "completed" and done["expires_at"] == done["completed_at"] + 2
    path = f"/v1/videos/{made['id']}/content"
    assert aside.http("GET", f"{path}?variant=thumbnail").status in (200, 410)
    wait_for(lambda: aside.http("GET", path).status == 410, "the content to expire")
    assert "content" not in aside.get(made["id"])
    assert aside.http("GET", path).error["message"]
    wait_for(lambda: not aside.files(made["id"]), "the janitor to remove the file")
    for variant in ("video", "thumbnail", "spritesheet"):
        assert aside.http("GET", f"{path}?variant={variant}").status == 410
    assert aside.get(made["id"])["status"] == "completed"


def test_a_replay_does_not_need_its_pictures_again(aside, tmp_path):
    picture = tmp_path / "red.png"
    png(tmp_path, "red")

    class Pictures(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(picture.read_bytes())

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pictures)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fields = {"prompt": "from a picture", "image": f"http://127.0.0.1:{server.server_port}/red.png", "size": "320x180"}
    key = {"idempotency-key": str(uuid.uuid4())}
    made = aside.create(headers=key, **fields)
    server.shutdown()
    server.server_close()
    assert aside.create(headers=key, **fields)["id"] == made["id"]
    other = aside.http("POST", "/v1/videos", {**fields, "prompt": "x", "model": "sandbox-instant", "seconds": 1}, headers=key)
    assert other.status == 422 and other.error["code"] == "idempotency_mismatch"
    dead = aside.create(expect=400, **fields)
    assert dead["error"]["param"] == "image"
    assert aside.create(expect=400, headers={"idempotency-key": str(uuid.uuid4())}, **fields)["error"]["param"] == "image"
    assert aside.wait(made["id"])["status"] == "completed"


# --- many callers, and those who go away ---


@pytest.fixture(scope="module")
def client(stack):
    made = Client(stack.env["VIDEOGATE_GRPC"], stack.key)
    made.learn(SERVICE)
    return made


def test_a_crowd_of_watchers(stack, client):
    made = stack.create(model="sandbox-never")
    watch = client.method(SERVICE, "WatchVideo")
    crowd = [watch(id=made["id"], timeout=300) for _ in range(300)]
    for one in crowd:
        assert next(one).video.id == made["id"]
    assert sum(stack.metric(3, "videogate_watchers").values()) >= 300
    for one in crowd[:100]:
        one.cancel()
    assert stack.http("POST", f"/v1/videos/{made['id']}/cancel").status == 200
    for one in crowd[100:]:
        assert [m.video.status for m in one][-1] == CANCELED
    wait_for(lambda: sum(stack.metric(3, "videogate_watchers").values()) == 0, "the watchers to be let go")


def test_a_cancelled_download(stack, client):
    made = stack.create(model="sandbox", size="1280x720", seconds=10)
    assert stack.wait(made["id"])["status"] == "completed"
    fetch = client.method(SERVICE, "DownloadVideo")
    for _ in range(30):
        stream = fetch(id=made["id"])
        next(stream)
        stream.cancel()
    size = stack.get(made["id"])["content"][0]["bytes"]
    assert sum(len(part.data) for part in fetch(id=made["id"])) == size


def test_cancelled_creates_are_made_once_or_not_at_all(stack, client):
    """Whatever a caller who went away left behind, asking again with the same id gives one video."""
    found = client.pool.FindServiceByName(SERVICE).FindMethodByName("CreateVideo")
    factory = message_factory.MessageFactory(client.pool)
    request, response = factory.GetPrototype(found.input_type), factory.GetPrototype(found.output_type)
    call = client.channel.unary_unary(f"/{SERVICE}/CreateVideo", request_serializer=lambda m: m.SerializeToString(),
                                      response_deserializer=response.FromString)
    tag = str(uuid.uuid4())
    messages = [request(prompt=tag, model="sandbox-instant", size="160x90", seconds=1, request_id=f"{tag}-{i}") for i in range(60)]
    futures = [call.future(m, timeout=60, metadata=client.metadata) for m in messages]
    for i, future in enumerate(futures):
        if i % 3:
            future.cancel()
    for future in futures:
        try:
            future.result()
        except (grpc.RpcError, grpc.FutureCancelledError):
            pass
    ids = [call(m, timeout=60, metadata=client.metadata).video.id for m in messages]
    assert len(set(ids)) == 60
    assert stack.sql("SELECT count(*) FROM videos WHERE prompt = %s", tag) == [(60,)]
