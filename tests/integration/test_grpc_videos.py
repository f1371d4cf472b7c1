# SPDX-License-Identifier: Apache-2.0
"""VideoService has what the REST API has: python3-grpcio and @grpc/grpc-js, both by reflection."""
import clients
import grpc
import pytest
from test_clients import png
from test_grpc import SERVICE, Client, create, failure
from vg import NODE, wait_for


@pytest.fixture(scope="module")
def key(stack):
    return stack.new_key("grpc-videos")["secret"]


@pytest.fixture(scope="module")
def client(stack, key):
    made = Client(stack.env["VIDEOGATE_GRPC"], key)
    made.learn(SERVICE)
    return made


def call(client, name, **fields):
    return client.method(SERVICE, name)(**fields)


def finish(client, video_id):
    return list(call(client, "WatchVideo", id=video_id))[-1].video


@pytest.fixture(scope="module")
def source(client):
    return finish(client, create(client).id)


@pytest.mark.client("grpcio", "create, defaults")
def test_defaults(client):
    made = call(client, "CreateVideo", prompt="only this").video
    assert made.seconds >= 1 and made.size and made.model
    call(client, "CancelVideo", id=made.id)


@pytest.mark.client("grpcio", "create, file", "create, first and last frame", "create, reference pictures")
def test_pictures(client):
    picture = {"data": png(160, 90), "mime_type": "image/png"}
    for fields in ({"input_reference": [picture]}, {"image": picture, "last_frame": picture}, {"reference_images": [picture, picture]}):
        assert finish(client, create(client, **fields).id).status == 3


@pytest.mark.client("grpcio", "create, several", "create, silent")
def test_several(client):
    ended = finish(client, create(client, n=2, audio=False).id)
    assert [c.index for c in ended.content] == [0, 1] and not ended.audio


@pytest.mark.client("grpcio", "list, page by page")
def test_list(client, source):
    seen, after, more = [], "", True
    while more:
        page = call(client, "ListVideos", limit=2, ascending=True, after=after)
        seen += [v.id for v in page.data]
        after, more = seen[-1], page.has_more
    assert source.id in seen and len(seen) == len(set(seen))


@pytest.mark.client("grpcio", "download, thumbnail", "download, spritesheet")
def test_variants(client, source):
    for variant, kind in ((2, "image/webp"), (3, "image/jpeg")):
        parts = list(call(client, "DownloadVideo", id=source.id, variant=variant))
        assert parts[0].info.mime_type == kind
        assert sum(len(p.data) for p in parts[1:]) == parts[0].info.total_bytes > 0


@pytest.mark.client("grpcio", "remix")
def test_remix(client, source):
    remixed = call(client, "RemixVideo", id=source.id, prompt="again").video
    assert remixed.remixed_from_video_id == source.id and finish(client, remixed.id).status == 3


@pytest.mark.client("grpcio", "edit", "extend")
def test_derive(client, source):
    edited = call(client, "EditVideo", video={"id": source.id}, prompt="at night").video
    longer = call(client, "ExtendVideo", video={"id": source.id}, prompt="and on", seconds=1).video
    assert longer.seconds == 2
    for made in (edited, longer):
        assert finish(client, made.id).status == 3


@pytest.mark.client("grpcio", "models")
def test_models(client):
    names = [m.id for m in call(client, "ListModels").data]
    assert "sandbox" in names and call(client, "GetModel", id="sandbox").model.default_seconds >= 1
    assert failure(client.method(SERVICE, "GetModel"), id="none").code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.client("grpcio", "failed video", "delete")
def test_failed_and_deleted(client):
    ended = finish(client, create(client, model="sandbox-fail").id)
    assert ended.status == 4 and ended.error.code
    assert call(client, "DeleteVideo", id=ended.id).id == ended.id
    assert failure(client.method(SERVICE, "GetVideo"), id=ended.id).code() == grpc.StatusCode.NOT_FOUND


@pytest.mark.client("grpcio", "error 409")
def test_not_ready(client):
    made = create(client, model="sandbox-never")
    assert failure(client.method(SERVICE, "DownloadVideo"), id=made.id).code() == grpc.StatusCode.FAILED_PRECONDITION
    call(client, "CancelVideo", id=made.id)
    wait_for(lambda: call(client, "GetVideo", id=made.id).video.status == 5, "the cancel")


@pytest.mark.client("grpcio", "error 422")
def test_mismatch(client):
    create(client, request_id="mismatch", prompt="one")
    refused = failure(client.method(SERVICE, "CreateVideo"), request_id="mismatch", prompt="two", model="sandbox-instant")
    assert refused.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_grpc_js(stack, key, tmp_path):
    done = clients.run_node(NODE, tmp_path, "grpc_videos.mjs", {"address": stack.env["VIDEOGATE_GRPC"], "key": key}, False)
    for row, result in done.items():
        clients.record(__name__, "grpc-js", row, result)
    bad = {row: result for row, result in done.items() if result not in ("ok", clients.NOT_YET)}
    assert done and not bad, "\n\n".join(f"{row}: {result}" for row, result in bad.items())
