# SPDX-License-Identifier: Apache-2.0
"""GET /v1/videos/{id}/events: form, resumption, ends, slow readers, a service that comes back, many watchers."""
import json
import re
import signal
import subprocess
import time

import grpc
import pytest
from browser import Site
from many import Many
from sse import Events
from test_grpc import Client
from vg import PATIENCE, TERMINAL, wait_for

STACK_ENV = {"VIDEOGATE_SSE_HEARTBEAT": "500ms", "VIDEOGATE_SANDBOX_SLOW": "2s", "VIDEOGATE_MAX_WATCHERS": "400",
             "VIDEOGATE_SSE_RECHECK": "3s", "VIDEOGATE_MAX_IN_FLIGHT": "64"}


def path_of(video):
    return f"/v1/videos/{video['id']}/events"


def watchers(stack):
    return sum(stack.metric(0, "videogate_bridge_watchers").values())


def service_watchers(stack):
    return sum(stack.metric(3, "videogate_watchers").values())


def quiet(stack):
    wait_for(lambda: watchers(stack) == 0 and service_watchers(stack) == 0, "every watcher to be gone on both sides")


def change(stack, video, times=1, progress=50):
    """As the job machine does: something to see, and a higher version."""
    for _ in range(times):
        stack.sql("UPDATE videos SET version = version + 1, progress = %s, status = 2 WHERE id = %s AND status < 3", progress, video["id"])


def test_a_whole_life(own_stack):
    made = own_stack.create(model="sandbox-slow", prompt="first line\nsecond line\r\n\n: not a comment é")
    with Events(own_stack, path_of(made)) as watch:
        assert watch.status == 200 and watch.headers["content-type"] == "text/event-stream"
        assert watch.headers["cache-control"] == "no-store" and watch.headers["transfer-encoding"] == "chunked"
        assert watch.headers["x-request-id"] and "content-length" not in watch.headers
        blocks = list(watch.blocks())
    assert watch.closed
    assert 1000 <= int(blocks[0]["retry"]) <= 10000
    seen = [(int(b["id"]), b["event"], json.loads(b["data"])) for b in blocks if "data" in b]
    versions = [version for version, _, _ in seen]
    assert versions == sorted(set(versions)), versions
    assert all(event == f"video.{video['status']}" for _, event, video in seen)
    assert [video["status"] in TERMINAL for _, _, video in seen] == [False] * (len(seen) - 1) + [True]
    assert seen[-1][1] == "video.completed"
    now = own_stack.get(made["id"])
    assert seen[-1][2]["id"] == now["id"] and seen[-1][2]["prompt"] == made["prompt"] and seen[-1][2]["progress"] == 100
    quiet(own_stack)


@pytest.mark.parametrize("flags", [["--http1.1"], ["--http2-prior-knowledge"]], ids=["h1", "h2"])
def test_with_curl(own_stack, flags):
    made = own_stack.create()
    out = own_stack.curl("-N", "-i", *flags, own_stack.env["VIDEOGATE_URL"] + path_of(made)).decode()
    assert "text/event-stream" in out and out.rstrip().splitlines()[-2] == "event: video.completed"


def test_over_tls(own_stack):
    made = own_stack.create()
    out = own_stack.curl("-N", "--http2", "--cacert", own_stack.env["VIDEOGATE_TLS_CA"],
                         own_stack.env["VIDEOGATE_TLS_URL"] + path_of(made)).decode()
    assert "event: video.completed\ndata: {" in out


def test_finished_already(own_stack):
    done = own_stack.wait(own_stack.create()["id"])
    with Events(own_stack, path_of(done)) as watch:
        ((version, event, video),) = watch.events()
    assert event == "video.completed" and video["id"] == done["id"]
    # Who has seen the end is told not to come back.
    for how in ({"headers": {"last-event-id": str(version)}}, {"path": f"{path_of(done)}?last_event_id={version}"}):
        with Events(own_stack, how.get("path", path_of(done)), headers=how.get("headers")) as again:
            assert again.status == 204 and "content-type" not in again.headers
    # Anything else shows the state.
    for given in (str(version - 1), str(version + 7), "", "abc", "-1", "9" * 40, "1.0"):
        with Events(own_stack, path_of(done), headers={"last-event-id": given}) as again:
            assert [v for v, _, _ in again.events()] == [version], given
    with Events(own_stack, path_of(done), method="HEAD") as head:
        assert head.status == 200 and head.headers["content-type"] == "text/event-stream"


def test_resumes_after_the_last_event(own_stack):
    made = own_stack.create(model="sandbox-never")
    with Events(own_stack, path_of(made)) as watch:
        change(own_stack, made)
        events = watch.events()
        version = next(v for v, _, video in events if video["progress"] == 50)
    with Events(own_stack, path_of(made), headers={"last-event-id": str(version)}) as watch:
        blocks = watch.blocks()
        assert "retry" in next(blocks)
        assert next(blocks) == {"comment": "keep-alive"}, "what was seen is not sent again"
        change(own_stack, made, progress=60)
        block = next(b for b in blocks if "comment" not in b)
        assert int(block["id"]) > version and json.loads(block["data"])["progress"] == 60
    with Events(own_stack, path_of(made), headers={"last-event-id": str(version)}) as watch:
        assert next(watch.events())[2]["progress"] == 60, "a change that was missed comes at once"
    own_stack.http("POST", f"/v1/videos/{made['id']}/cancel")
    with Events(own_stack, path_of(made)) as watch:
        assert list(watch.events())[-1][1] == "video.canceled"
    quiet(own_stack)


def test_refusals_are_ordinary_answers(own_stack):
    made = own_stack.create()
    other = own_stack.new_key("events-other")["secret"]
    cases = [
        ({"path": f"/v1/videos/video_{'0' * 32}/events"}, 404),
        ({"path": "/v1/videos/nonsense/events"}, 404),
        ({"path": path_of(made), "key": other}, 404),
        ({"path": path_of(made), "key": False}, 401),
        ({"path": path_of(made), "key": "vg_wrong"}, 401),
    ]
    for case, status in cases:
        with Events(own_stack, **case) as watch:
            assert watch.status == status and watch.headers["content-type"] == "application/json"
            assert set(json.loads(watch.body())["error"]) == {"message", "type", "param", "code"}
    assert own_stack.http("POST", path_of(made), {}).status == 405
    quiet(own_stack)


def test_deleted_while_watched(own_stack):
    done = own_stack.create(model="sandbox-never")
    with Events(own_stack, path_of(done)) as watch:
        events = watch.events()
        next(events)
        own_stack.sql("UPDATE videos SET deleted_at = now(), status = 5, completed_at = now() WHERE id = %s", done["id"])
        last = list(events)[-1]
    assert last == (None, "video.deleted", {"id": done["id"], "object": "video.deleted", "deleted": True})
    with Events(own_stack, path_of(done), headers={"last-event-id": "1"}) as again:
        assert again.status == 404


def test_a_client_that_goes_ends_the_call(own_stack):
    made = own_stack.create(model="sandbox-never")
    open_ones = [Events(own_stack, path_of(made)) for _ in range(5)]
    for one in open_ones:
        one.read_head()
    assert watchers(own_stack) == 5
    wait_for(lambda: service_watchers(own_stack) == 5, "the service to count five")
    for one in open_ones:
        one.socket.close()
    quiet(own_stack)
    # HTTP/2: one stream is reset, the connection goes on or not.
    curl = subprocess.Popen(["curl", "-sSN", "--http2-prior-knowledge", "-H", f"Authorization: Bearer {own_stack.key}",
                             own_stack.env["VIDEOGATE_URL"] + path_of(made)], stdout=subprocess.PIPE)
    wait_for(lambda: watchers(own_stack) == 1, "curl to watch")
    curl.kill()
    curl.wait()
    quiet(own_stack)


def test_slow_reader_costs_one_state(own_stack):
    made = own_stack.create(model="sandbox-never", prompt="p" * 30000)
    with Events(own_stack, path_of(made), receive_buffer=4096) as watch:
        total = 0
        skipped = "videogate_bridge_events_skipped_total"
        # Until states are being replaced: socket and connection buffers are full, one state waits.
        while own_stack.metric(0, skipped).get(skipped, 0) < 20:
            change(own_stack, made, progress=total % 90)
            total += 1
            time.sleep(0.02)
            assert total < 20000
        last = own_stack.sql("SELECT version FROM videos WHERE id = %s", made["id"])[0][0]
        own_stack.http("POST", f"/v1/videos/{made['id']}/cancel")
        seen = [version for version, _, _ in watch.events()]
    assert seen == sorted(set(seen)) and seen[-1] > last, "the newest state always comes"
    assert len(seen) < last, "what was replaced is not sent"
    quiet(own_stack)


def test_slow_streams_of_a_connection_slow_no_other(own_stack):
    """HTTP/2: one stream's window is shut, the other's is open."""
    slow, fast = (own_stack.create(model="sandbox-never", prompt=name * 20000) for name in "sf")
    many = Many(own_stack, [path_of(slow), path_of(fast)], 2)
    (connection,), (slow_one, fast_one) = many.connections, many.ones
    connection.closed = {1}  # no credit for this stream
    try:
        many.until(lambda one: one.status == 200 and one.events > 0, PATIENCE)
        skipped = "videogate_bridge_events_skipped_total"
        before = own_stack.metric(0, skipped)[skipped]
        count = fast_one.events
        while own_stack.metric(0, skipped)[skipped] < before + 3:
            change(own_stack, slow)
            change(own_stack, fast)
            many.idle(0.05)
        many.idle(1)
        assert fast_one.events > count + 2, "the other stream goes on"
        stuck = slow_one.events
        for video in (slow, fast):
            own_stack.http("POST", f"/v1/videos/{video['id']}/cancel")
        connection.closed = set()
        connection.credit(1)
        many.until(lambda one: one.ended and one.last == "video.canceled", PATIENCE)
        assert slow_one.events <= stuck + 3, "what was replaced is not sent"
    finally:
        many.close()
    quiet(own_stack)


def test_the_service_comes_back_under_an_open_stream(own_stack):
    made = own_stack.create(model="sandbox-never")
    with Events(own_stack, path_of(made)) as watch:
        events = watch.events()
        change(own_stack, made, progress=11)
        version = next(v for v, _, video in events if video["progress"] == 11)
        own_stack.kill("service", signal.SIGKILL)
        change(own_stack, made, progress=22)
        own_stack.up()
        version_after, _, video = next(events)
        assert video["progress"] == 22 and version_after > version
        # A stop in good order ends the calls, and they are made again.
        own_stack.kill("service", signal.SIGTERM)
        wait_for(lambda: not own_stack.alive("service"), "the service to stop")
        own_stack.up()
        change(own_stack, made, progress=33)
        assert next(events)[2]["progress"] == 33
        own_stack.http("POST", f"/v1/videos/{made['id']}/cancel")
        assert list(events)[-1][1] == "video.canceled"
    assert sum(own_stack.metric(0, "videogate_bridge_watch_calls_again_total").values()) >= 2
    quiet(own_stack)


def test_a_revoked_key_ends_the_stream(own_stack):
    key = own_stack.new_key("events-revoked")
    made = own_stack.create(key=key["secret"], model="sandbox-never")
    with Events(own_stack, path_of(made), key=key["secret"]) as watch:
        events = watch.events()
        next(events)
        own_stack.ctl("keys", "revoke", key["id"], admin=True)
        list(events)
        assert watch.closed
    with Events(own_stack, path_of(made), key=key["secret"], headers={"last-event-id": "1"}) as again:
        assert again.status == 401


def test_rechecks_are_not_seen(own_stack):
    made = own_stack.create(model="sandbox-never")
    again = "videogate_bridge_watch_calls_again_total"
    with Events(own_stack, path_of(made)) as watch:
        events = watch.events()
        change(own_stack, made, progress=5)
        version = next(v for v, _, video in events if video["progress"] == 5)
        before = own_stack.metric(0, again)[again]
        # Also on a stream that is never silent.
        wait_for(lambda: change(own_stack, made, progress=5) or own_stack.metric(0, again)[again] >= before + 2, "two more calls")
        change(own_stack, made, progress=6)
        later, _, video = next(event for event in events if event[2]["progress"] == 6)
        assert later > version


def test_service_away_is_an_ordinary_answer(own_stack):
    made = own_stack.create(model="sandbox-never")
    own_stack.kill("service", signal.SIGKILL)
    with Events(own_stack, path_of(made)) as watch:
        assert watch.status == 503 and json.loads(watch.body())["error"] and int(watch.headers["retry-after"]) >= 1
    own_stack.up()


def test_a_bridge_that_stops_ends_streams_at_once(own_stack):
    made = own_stack.create(model="sandbox-never")
    with Events(own_stack, path_of(made)) as watch:
        events = watch.events()
        next(events)
        own_stack.kill("bridge", signal.SIGTERM)
        list(events)
        assert watch.closed, "a clean end, so that EventSource comes back"
    wait_for(lambda: not own_stack.alive("bridge"), "the bridge to stop")
    assert re.search(r"drained.*connections=0", own_stack.log("bridge")), "it did not wait for the drain's end"
    own_stack.up()


def test_too_many_watchers(own_stack):
    made = own_stack.create(model="sandbox-never")
    open_ones = [Events(own_stack, path_of(made)) for _ in range(400)]
    try:
        for one in open_ones:
            one.read_head()
        assert {one.status for one in open_ones} == {200}
        with Events(own_stack, path_of(made)) as extra:
            assert extra.status == 503 and "retry-after" in extra.headers
        # The service has the same bound for callers of its own; other calls are not theirs to take.
        wait_for(lambda: service_watchers(own_stack) == 400, "the service to count them")
        client = Client(own_stack.env["VIDEOGATE_GRPC"], own_stack.key, "v1")
        client.learn("videogate.v1.VideoService")
        with pytest.raises(grpc.RpcError) as refused:
            next(client.method("videogate.v1.VideoService", "WatchVideo")(id=made["id"]))
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert len({own_stack.create(model="sandbox-never")["id"] for _ in range(20)}) == 20
        own_stack.http("POST", f"/v1/videos/{made['id']}/cancel")
        for one in open_ones:
            assert list(one.events())[-1][1] == "video.canceled"
    finally:
        for one in open_ones:
            one.socket.close()
    quiet(own_stack)


@pytest.mark.parametrize("per_connection", [0, 100], ids=["h1", "h2"])
def test_three_hundred_watchers(own_stack, per_connection):
    """tests/bench/watchers.py does it with ten thousand."""
    videos = [own_stack.create(model="sandbox-never") for _ in range(3)]
    many = Many(own_stack, [path_of(videos[n % 3]) for n in range(300)], per_connection)
    try:
        many.until(lambda one: one.status == 200 and one.events > 0, PATIENCE)
        assert watchers(own_stack) == 300
        for video in videos:
            change(own_stack, video, progress=77)
        seen = [one.events for one in many.ones]
        own_stack.sql("UPDATE videos SET status = 5, completed_at = now(), version = version + 1 WHERE id = ANY(%s)", [v["id"] for v in videos])
        many.until(lambda one: one.ended and one.last == "video.canceled", PATIENCE)
        assert all(one.events > before for one, before in zip(many.ones, seen))
    finally:
        many.close()
    quiet(own_stack)


PAGE = """<!doctype html><title>t</title><script type="module">
const seen = [];
const source = new EventSource("/v1/videos/ID_/events");
for (const name of ["queued", "in_progress", "completed", "failed", "canceled", "expired"])
  source.addEventListener(`video.${name}`, event => seen.push([event.lastEventId, event.type, JSON.parse(event.data).status]));
source.onerror = () => {
  if (source.readyState === EventSource.CLOSED) fetch("/result", {method: "POST", body: JSON.stringify({seen})});
};
</script>"""


def test_a_browsers_event_source(own_stack, tmp_path):
    """It cannot send a key: the page's own server, which adds it, also cuts the first stream."""
    made = own_stack.create(model="sandbox-never")
    asked = []

    def pass_on(handler):
        last = handler.headers.get("last-event-id")
        with Events(own_stack, handler.path, headers={"last-event-id": last} if last else None) as watch:
            asked.append((last, watch.status))
            handler.send_response(watch.status)
            if watch.status == 200:
                handler.send_header("content-type", watch.headers["content-type"])
            handler.end_headers()
            for block in watch.blocks() if watch.status == 200 else ():
                handler.wfile.write("".join(f"{'' if name == 'comment' else name}: {value}\n" for name, value in block.items()).encode() + b"\n")
                if len(asked) == 1 and "data" in block:
                    change(own_stack, made, progress=70)  # while the page is away
                    return
                if block.get("event") == "video.in_progress" and json.loads(block["data"])["progress"] == 70:
                    own_stack.http("POST", f"/v1/videos/{made['id']}/cancel")

    got = Site(pass_on).run(PAGE.replace("ID_", made["id"]), tmp_path / "profile")
    versions = [int(version) for version, _, _ in got["seen"]]
    assert versions == sorted(set(versions)) and got["seen"][-1][1:] == ["video.canceled", "canceled"]
    assert all(event == f"video.{status}" for _, event, status in got["seen"])
    assert asked[0] == (None, 200) and asked[1] == (str(versions[0]), 200)
    assert asked[-1] == (str(versions[-1]), 204), "it came back once more and was told to stay away"


def test_one_log_line_at_the_end(own_stack):
    made = own_stack.create(model="sandbox-never")
    with Events(own_stack, path_of(made), headers={"x-request-id": "watch-log-1"}) as watch:
        next(watch.events())
        assert 'req=watch-log-1' not in own_stack.log("bridge")
    wait_for(lambda: "req=watch-log-1" in own_stack.log("bridge"), "the line")
    (line,) = [text for text in own_stack.log("bridge").splitlines() if "watch-log-1" in text]
    assert "route=/v1/videos/{id}/events" in line and "status=200" in line and re.search(r" ms=\d+ ", line)
