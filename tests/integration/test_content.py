# SPDX-License-Identifier: Apache-2.0
"""Content beyond the one path: signed links and their secrets, variants, what there is before and after."""
import concurrent.futures
import hashlib
import os
import re
import signal
import urllib.parse

import pytest
from vg import ffprobe, wait_for

OLD, NEW = "an-old-link-secret", "a-new-link-secret"
STACK_ENV = {"VIDEOGATE_LINK_SECRETS": OLD, "VIDEOGATE_JANITOR_INTERVAL": "200ms"}


@pytest.fixture(scope="module")
def video(own_stack):
    made = own_stack.create(n=2, seconds=2, size="320x180")
    done = own_stack.wait(made["id"])
    assert done["status"] == "completed" and len(done["content"]) == 2
    return done


def link(stack, video, index=0, **more):
    """The path of the link to an output, and its query's parts."""
    url = urllib.parse.urlsplit(stack.get(video["id"])["content"][index]["url"])
    assert f"{url.scheme}://{url.netloc}" == stack.env["VIDEOGATE_URL"]
    parts = {**dict(urllib.parse.parse_qsl(url.query)), **more}
    return url.path + "?" + urllib.parse.urlencode(parts), parts


def restart_service(stack, **env):
    stack.environ.update(env)
    stack.kill("service", signal.SIGTERM)
    wait_for(lambda: not stack.alive("service"), "the service to stop")
    stack.up()


def is_401(answer):
    return answer.status == 401 and answer.error["code"] == "invalid_api_key"


# --- signed links ---


def test_link_needs_no_key(own_stack, video):
    for index in (0, 1):
        path, parts = link(own_stack, video, index)
        assert parts["index"] == str(index) and re.fullmatch(r"[A-Za-z0-9_-]{56}", parts["token"])
        answer = own_stack.http("GET", path, key=False)
        assert answer.status == 200 and len(answer.body) == video["content"][index]["bytes"]
        assert answer.headers["etag"] == f'"{video["content"][index]["sha256"]}"'
        age = re.fullmatch(r"public, max-age=(\d+), immutable", answer.headers["cache-control"])
        assert 7 * 86400 - 60 < int(age[1]) <= 8 * 86400
    assert own_stack.http("GET", path).headers["cache-control"].startswith("public")
    by_key = own_stack.http("GET", f"/v1/videos/{video['id']}/content")
    assert by_key.headers["cache-control"] == "private"


def test_link_is_the_same_each_time(own_stack, video):
    assert own_stack.get(video["id"])["content"] == own_stack.get(video["id"])["content"]
    listed = own_stack.http("GET", "/v1/videos?limit=100").json["data"]
    assert next(v for v in listed if v["id"] == video["id"])["content"] == own_stack.get(video["id"])["content"]


def test_link_obeys_ranges_and_validators(own_stack, video):
    path, _ = link(own_stack, video)
    whole = own_stack.http("GET", path, key=False)
    part = own_stack.http("GET", path, key=False, headers={"range": "bytes=5-9"})
    assert part.status == 206 and part.body == whole.body[5:10]
    head = own_stack.http("HEAD", path, key=False)
    assert head.status == 200 and head.body == b"" and head.headers["content-length"] == str(len(whole.body))
    same = own_stack.http("GET", path, key=False, headers={"if-none-match": whole.headers["etag"]})
    assert same.status == 304 and same.headers["cache-control"].startswith("public")


def test_link_in_the_form_of_llm_gateway(own_stack, video):
    _, parts = link(own_stack, video, 1)
    path = f"/v1/videos/logs/{video['id']}/content?" + urllib.parse.urlencode(parts)
    answer = own_stack.http("GET", path, key=False)
    assert answer.status == 200 and len(answer.body) == video["content"][1]["bytes"]
    assert is_401(own_stack.http("GET", f"/v1/videos/logs/{video['id']}/content", key=False))
    assert is_401(own_stack.http("GET", f"/v1/videos/logs/{video['id']}/content?token=", key=False))


def test_link_opens_nothing_else(own_stack, video):
    path, parts = link(own_stack, video)
    other = own_stack.create(key=own_stack.new_key("other")["secret"])
    assert is_401(own_stack.http("GET", f"/v1/videos/{other['id']}/content?" + urllib.parse.urlencode(parts), key=False))
    swapped = urllib.parse.urlencode({**parts, "index": "1"})
    assert is_401(own_stack.http("GET", f"/v1/videos/{video['id']}/content?{swapped}", key=False))
    for at in (0, 3, 8, 20, 55):
        letter = "A" if parts["token"][at] != "A" else "B"
        bad = parts["token"][:at] + letter + parts["token"][at + 1 :]
        assert is_401(own_stack.http("GET", path.replace(parts["token"], bad), key=False))
    for bad in ("x", "x" * 56, "x" * 300, "%00", parts["token"] + "A"):
        # The key does not help a link that is wrong.
        assert is_401(own_stack.http("GET", f"/v1/videos/{video['id']}/content?token={bad}"))
    assert is_401(own_stack.http("GET", f"/v1/videos/{video['id']}?token={parts['token']}", key=False))


def test_link_stays_out_of_the_logs(own_stack, video):
    path, parts = link(own_stack, video)
    assert own_stack.http("GET", path, key=False).status == 200
    for name in ("bridge", "service", "webhook", "worker"):
        assert parts["token"] not in own_stack.log(name) and "token=" not in own_stack.log(name)


def test_callback_has_the_link(own_stack):
    made = own_stack.create(callback_url=own_stack.env["VIDEOGATE_WEBHOOK_SINK"], callback_secret="s3cret")
    own_stack.wait(made["id"])
    (row,) = wait_for(lambda: own_stack.callbacks(made["id"]), "the callback")
    (url,) = re.findall(r'"url":\s*"([^"]+)"', row["body"])
    assert url == own_stack.get(made["id"])["content"][0]["url"]
    assert own_stack.http("GET", url.removeprefix(own_stack.env["VIDEOGATE_URL"]), key=False).status == 200


def test_secrets_rotate_and_links_end(own_stack, video):
    path, parts = link(own_stack, video)
    restart_service(own_stack, VIDEOGATE_LINK_SECRETS=f"{NEW},{OLD}")
    fresh, fresh_parts = link(own_stack, video)
    assert fresh_parts["token"] != parts["token"]
    assert own_stack.http("GET", path, key=False).status == 200
    assert own_stack.http("GET", fresh, key=False).status == 200
    restart_service(own_stack, VIDEOGATE_LINK_SECRETS=NEW, VIDEOGATE_LINK_TTL="1s")
    assert is_401(own_stack.http("GET", path, key=False))
    assert own_stack.http("GET", fresh, key=False).status == 200, "made when links lived longer"
    short, _ = link(own_stack, video)
    wait_for(lambda: is_401(own_stack.http("GET", short, key=False)), "the link to end")
    assert "expired" in own_stack.http("GET", short, key=False).error["message"]


# --- variants ---

KINDS = {"thumbnail": ("image/webp", "webp", (320, 180)), "spritesheet": ("image/jpeg", "mjpeg", (800, 360))}


def files(stack, video_id):
    return sorted(p.name.removeprefix(video_id) for p in (stack.folder / "blobs").glob(f"*/*/{video_id}.*"))


def made(stack):
    counts = stack.metric(3, "videogate_variants_total")
    return {series.split('"')[1]: int(count) for series, count in counts.items()}


@pytest.mark.parametrize("variant", KINDS)
def test_variant(own_stack, video, tmp_path, variant):
    mime_type, codec, size = KINDS[variant]
    path = f"/v1/videos/{video['id']}/content?index=1&variant={variant}"
    before = made(own_stack)["made"]
    first = own_stack.http("GET", path)
    assert first.status == 200 and first.headers["content-type"] == mime_type
    extension = {"thumbnail": "webp", "spritesheet": "jpg"}[variant]
    assert first.headers["content-disposition"] == f'inline; filename="{video["id"]}-1-{variant}.{extension}"'
    file = tmp_path / f"picture.{extension}"
    file.write_bytes(first.body)
    (stream,) = ffprobe(file)["streams"]
    assert (stream["codec_name"], stream["width"], stream["height"]) == (codec, *size)
    assert first.headers["etag"] == f'"{hashlib.sha256(first.body).hexdigest()}"'
    # From then on it is a file like the video.
    again = own_stack.http("GET", path)
    assert again.body == first.body and again.headers["etag"] == first.headers["etag"]
    assert again.headers["last-modified"] == first.headers["last-modified"]
    assert made(own_stack)["made"] == before + 1
    head = own_stack.http("HEAD", path)
    assert head.status == 200 and head.body == b"" and head.headers["content-length"] == str(len(first.body))
    assert own_stack.http("GET", path, headers={"if-none-match": first.headers["etag"]}).status == 304
    part = own_stack.http("GET", path, headers={"range": "bytes=3-9"})
    assert part.status == 206 and part.body == first.body[3:10]
    assert part.headers["content-range"] == f"bytes 3-9/{len(first.body)}"
    assert own_stack.http("GET", path, headers={"range": "bytes=3-9", "if-range": '"other"'}).status == 200
    assert own_stack.http("GET", path, headers={"range": "bytes=3-9", "if-range": first.headers["etag"]}).status == 206
    assert own_stack.http("GET", path, headers={"range": "bytes=0-1,3-4"}).status == 416
    linked, _ = link(own_stack, video, 1, variant=variant)
    by_link = own_stack.http("GET", linked, key=False)
    assert by_link.body == first.body and by_link.headers["cache-control"].startswith("public")
    by_curl = own_stack.curl(own_stack.env["VIDEOGATE_URL"] + path)
    assert by_curl == first.body


def test_a_head_makes_it_too(own_stack):
    made_one = own_stack.wait(own_stack.create()["id"])
    path = f"/v1/videos/{made_one['id']}/content?variant=thumbnail"
    head = own_stack.http("HEAD", path)
    assert head.status == 200 and own_stack.http("GET", path).headers["etag"] == head.headers["etag"]


def test_many_ask_one_makes(own_stack):
    one = own_stack.wait(own_stack.create(model="sandbox", size="1280x720", seconds=4)["id"])
    before = made(own_stack)["made"]
    paths = [f"/v1/videos/{one['id']}/content?variant={v}" for v in ("thumbnail", "spritesheet")] * 8
    with concurrent.futures.ThreadPoolExecutor(len(paths)) as pool:
        answers = list(pool.map(lambda p: own_stack.http("GET", p), paths))
    assert [a.status for a in answers] == [200] * len(paths)
    assert len({a.body for a in answers}) == 2
    assert made(own_stack)["made"] == before + 2


def test_delete_removes_variants(own_stack):
    one = own_stack.wait(own_stack.create(n=2)["id"])
    for index in (0, 1):
        for variant in KINDS:
            assert own_stack.http("GET", f"/v1/videos/{one['id']}/content?index={index}&variant={variant}").status == 200
    assert len(files(own_stack, one["id"])) == 6
    assert own_stack.http("DELETE", f"/v1/videos/{one['id']}").status == 200
    assert files(own_stack, one["id"]) == []
    assert own_stack.http("GET", f"/v1/videos/{one['id']}/content?variant=thumbnail").status == 404


def test_a_variant_whose_output_is_gone_is_swept(own_stack, video):
    """What a process leaves that dies while it makes one, after the retention has taken the output."""
    fan = own_stack.folder / "blobs" / "outputs" / video["id"][-3:]
    (output,) = [p for p in fan.glob(f"{video['id']}.0.*") if p.name.count(".") == 2]
    stray = fan / f"{video['id']}.7.9.thumbnail.webp"
    kept = fan / f"{output.name}.thumbnail.webp"
    own_stack.http("GET", f"/v1/videos/{video['id']}/content?variant=thumbnail")
    stray.write_bytes(b"left over")
    restart_service(own_stack, VIDEOGATE_ORPHAN_AGE="1m", VIDEOGATE_JANITOR_INTERVAL="100ms")
    assert kept.exists()
    wait_for(lambda: not stray.exists(), "the janitor to sweep it", patience=240)
    assert kept.exists()
    assert own_stack.http("GET", f"/v1/videos/{video['id']}/content?variant=thumbnail").status == 200


def test_a_file_that_is_no_video(own_stack):
    one = own_stack.wait(own_stack.create()["id"])
    (file,) = (own_stack.folder / "blobs").glob(f"outputs/*/{one['id']}.*")
    file.write_bytes(os.urandom(file.stat().st_size))
    for variant in KINDS:
        answer = own_stack.http("GET", f"/v1/videos/{one['id']}/content?variant={variant}")
        assert answer.status == 422 and answer.error["code"] == "no_variant" and answer.error["param"] == "variant"
    assert own_stack.http("GET", f"/v1/videos/{one['id']}/content").status == 200
    line = [x for x in own_stack.log("service").splitlines() if "variant not made" in x and one["id"] in x][0]
    assert "why=" in line
    file.unlink()
    assert own_stack.http("GET", f"/v1/videos/{one['id']}/content?variant=thumbnail").status == 404


def test_unknown_variant_and_index(own_stack, video):
    path = f"/v1/videos/{video['id']}/content"
    assert own_stack.http("GET", f"{path}?variant=poster").error["param"] == "variant"
    assert own_stack.http("GET", f"{path}?index=2&variant=thumbnail").status == 404
    assert own_stack.http("GET", f"{path}?index=-1").status == 400


# --- before, after, and never ---


def test_states_without_content(own_stack):
    running = own_stack.create(model="sandbox-never")["id"]
    failed = own_stack.create(model="sandbox-fail")["id"]
    answer = own_stack.http("GET", f"/v1/videos/{running}/content?variant=thumbnail")
    assert answer.status == 409 and re.match(r"Video is not ready yet\. Current status: (queued|in_progress)$", answer.error["message"])
    assert own_stack.http("HEAD", f"/v1/videos/{running}/content").status == 409
    assert own_stack.wait(failed)["status"] == "failed"
    for variant in ("video", "thumbnail", "spritesheet"):
        assert own_stack.http("GET", f"/v1/videos/{failed}/content?variant={variant}").status == 404
    own_stack.http("POST", f"/v1/videos/{running}/cancel")
    assert own_stack.wait(running)["status"] == "canceled"
    assert own_stack.http("GET", f"/v1/videos/{running}/content").status == 404
