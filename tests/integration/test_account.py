# SPDX-License-Identifier: Apache-2.0
"""Projects, keys and what they may do: scopes, expiry, archive, limits of rate, number and spend, usage and cost."""
import concurrent.futures
import random
import re
import signal
import time

import grpc
import pytest
from test_grpc import Client
from vg import wait_for

ADMIN = "videogate.v1.AdminService"
VIDEOS = "videogate.v1.VideoService"
NOBODY = "video_" + "0" * 32


def new_key(stack, project, *options):
    out = stack.ctl("keys", "create", "--project", project, *options, admin=True).stdout
    return dict(line.split(" ", 1) for line in out.splitlines() if " " in line)


def project(stack, name, *options):
    stack.ctl("projects", "create", name, *options, admin=True)
    return new_key(stack, name)["secret"]


def paid(stack, key, **fields):
    """A video of a model with a price, made by the sandbox: 0.1 USD a second."""
    return stack.http("POST", "/v1/videos", {"prompt": "x", "model": "sora-2", "size": "1280x720", "seconds": 4, **fields}, key=key)


@pytest.mark.parametrize("scope,works", [
    ("videos.read", {"read", "models"}), ("videos.write", {"write"}), ("usage.read", {"usage"}),
    ("webhooks.read", {"hooks"}), ("webhooks.write", {"hook"}),
])
def test_scopes(stack, scope, works):
    key = new_key(stack, "scopes", "--scopes", scope)["secret"]
    calls = {
        "read": ("GET", f"/v1/videos/{NOBODY}", None, 404), "models": ("GET", "/v1/models", None, 200),
        "write": ("POST", f"/v1/videos/{NOBODY}/cancel", None, 404), "usage": ("GET", "/v1/usage", None, 200),
        "hooks": ("GET", "/v1/webhook_endpoints", None, 200),
        "hook": ("DELETE", "/v1/webhook_endpoints/whe_" + "0" * 32, None, 404),
    }
    for name, (method, path, body, status) in calls.items():
        answer = stack.http(method, path, body, key=key)
        if name in works:
            assert answer.status == status, (name, answer.body)
        else:
            assert answer.status == 403 and answer.error["code"] == "permission_denied", (name, answer.body)
            assert "scope" in answer.error["message"]


def test_key_expires(stack):
    key = new_key(stack, "expiry", "--expires", str(int(time.time()) + 3))["secret"]
    assert stack.http("GET", "/v1/videos", key=key).status == 200
    wait_for(lambda: stack.http("GET", "/v1/videos", key=key).status == 401, "the key to expire", 15)


def test_archive(stack):
    key = project(stack, "attic")
    assert stack.http("GET", "/v1/videos", key=key).status == 200
    stack.ctl("projects", "update", "attic", "--archive", admin=True)
    wait_for(lambda: stack.http("GET", "/v1/videos", key=key).status == 410, "the project to be archived", 10)
    assert "archived" in stack.http("GET", "/v1/videos", key=key).error["message"]
    stack.ctl("projects", "update", "attic", "--restore", admin=True)
    wait_for(lambda: stack.http("GET", "/v1/videos", key=key).status == 200, "the project to be back", 10)
    again = stack.ctl("projects", "create", "attic", admin=True, check=False)
    assert again.returncode != 0 and "There is a project of this name" in again.stderr


def test_project_exists_over_grpc(stack):
    client = Client(stack.env["VIDEOGATE_GRPC"], stack.env["VIDEOGATE_ADMIN_KEY"])
    client.learn(ADMIN)
    client.method(ADMIN, "CreateProject")(name="twice")
    with pytest.raises(grpc.RpcError) as refused:
        client.method(ADMIN, "CreateProject")(name="twice")
    assert refused.value.code() == grpc.StatusCode.ALREADY_EXISTS  # "already_exists"
    assert "twice" in [p.name for p in client.method(ADMIN, "ListProjects")().projects]


# --- requests a minute ---


def test_rate_limit_and_headers(stack):
    key = new_key(stack, "rate", "--rpm", "8")["secret"]
    left = []
    for _ in range(8):
        answer = stack.http("GET", "/v1/videos", key=key)
        assert answer.status == 200
        h = answer.headers
        assert h["x-ratelimit-limit-requests"] == "8"
        left.append(int(h["x-ratelimit-remaining-requests"]))
        assert re.fullmatch(r"(\d+m)?\d+s|\d+ms", h["x-ratelimit-reset-requests"])
        assert h["ratelimit-limit"] == "8" and int(h["ratelimit-remaining"]) == left[-1] and int(h["ratelimit-reset"]) <= 60
        assert h["ratelimit-policy"] == '"requests";q=8;w=60'
        assert re.fullmatch(r'"requests";r=%d;t=\d+' % left[-1], h["ratelimit"])
    assert left[0] == 7 and left[-1] <= 1 and left == sorted(left, reverse=True)

    def refused():
        answer = stack.http("POST", "/v1/videos", {"prompt": "x"}, key=key)
        return answer if answer.status == 429 else None

    answer = wait_for(refused, "a refusal", 30, 0)
    assert answer.error["code"] == "rate_limit_exceeded" and answer.error["type"] == "rate_limit_error"
    assert 1 <= int(answer.headers["retry-after"]) <= 60 and int(answer.headers["retry-after-ms"]) <= 60000
    assert answer.headers["x-ratelimit-remaining-requests"] == "0" and answer.headers["x-should-retry"] == "true"
    streamed = stack.http("GET", f"/v1/videos/{NOBODY}/content", key=key)
    assert streamed.status == 429 and streamed.headers["x-ratelimit-limit-requests"] == "8"
    assert "x-ratelimit-limit-requests" not in stack.http("GET", "/v1/videos").headers


def test_rate_limit_of_a_project_holds_for_all_its_keys(stack):
    first = project(stack, "rate-all", "--rpm", "20")
    second = new_key(stack, "rate-all")["secret"]
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: stack.http("GET", "/v1/videos", key=(first, second)[i % 2]).status, range(60)))
    # 20 at once, and one more for each 3 s that this took.
    assert 20 <= answers.count(200) < 40 and answers.count(200) + answers.count(429) == 60


def test_rate_limit_in_grpc(stack):
    client = Client(stack.env["VIDEOGATE_GRPC"], new_key(stack, "rate-grpc", "--rpm", "1")["secret"])
    client.learn(VIDEOS)
    client.method(VIDEOS, "ListVideos")()
    with pytest.raises(grpc.RpcError) as refused:
        client.method(VIDEOS, "ListVideos")()
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    trailing = dict(refused.value.trailing_metadata())
    assert trailing["x-ratelimit-remaining-requests"] == "0" and "grpc-status-details-bin" in trailing


# --- videos at a time, and money ---


def test_videos_at_a_time(stack):
    key = project(stack, "few", "--concurrent-videos", "5")
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: stack.http("POST", "/v1/videos", {"prompt": "x", "model": "sandbox-never"}, key=key), range(32)))
    made = [a.json["id"] for a in answers if a.status == 200]
    assert len(made) == 5
    for one in answers:
        if one.status != 200:
            assert one.status == 429 and one.error["code"] == "concurrency_limit_exceeded"
    # A repeat with a key that made one is not counted again.
    for video in made[:2]:
        stack.http("POST", f"/v1/videos/{video}/cancel", key=key)
        wait_for(lambda: stack.http("GET", f"/v1/videos/{video}", key=key).json["status"] == "canceled", "it to end")
    first = stack.http("POST", "/v1/videos", {"prompt": "y", "model": "sandbox-never"}, key=key, headers={"idempotency-key": "k"})
    assert first.status == 200
    again = stack.http("POST", "/v1/videos", {"prompt": "y", "model": "sandbox-never"}, key=key, headers={"idempotency-key": "k"})
    assert again.status == 200 and again.json["id"] == first.json["id"]
    assert stack.http("POST", "/v1/videos", {"prompt": "z", "model": "sandbox-never"}, key=key).status == 200
    assert stack.http("POST", "/v1/videos", {"prompt": "z", "model": "sandbox-never"}, key=key).status == 429
    for video in [v["id"] for v in stack.http("GET", "/v1/videos?limit=100", key=key).json["data"]]:
        stack.http("POST", f"/v1/videos/{video}/cancel", key=key)


def test_spend_limit(stack):
    # 4 s at 0.10 USD are 0.40: five fit into 2.00, never six.
    key = project(stack, "thrifty", "--monthly-spend", "2.00")
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: paid(stack, key), range(16)))
    made = [a.json["id"] for a in answers if a.status == 200]
    assert len(made) == 5, [a.body for a in answers if a.status not in (200, 402)]
    for one in answers:
        if one.status != 200:
            assert one.status == 402 and one.error["code"] == "billing_error"
    for video in made[1:]:
        stack.http("POST", f"/v1/videos/{video}/cancel", key=key)
    for video in made:
        wait_for(lambda: stack.http("GET", f"/v1/videos/{video}", key=key).json["status"] in ("completed", "canceled"), "it to end")
    # What was canceled before it was made is free again.
    spent = sum(stack.http("GET", f"/v1/videos/{v}", key=key).json["usage"]["cost"] for v in made)
    room = int((2.00 - spent + 1e-9) / 0.4)
    assert [paid(stack, key).status for _ in range(room + 1)] == [200] * room + [402]


def test_usage_and_cost(stack):
    made = new_key(stack, "spender")
    key = made["secret"]
    one = paid(stack, key).json
    assert "usage" not in one
    failed = stack.http("POST", "/v1/videos", {"prompt": "x", "model": "sandbox-fail"}, key=key).json
    partial = stack.http("POST", "/v1/videos", {"prompt": "x", "model": "sandbox-partial", "n": 3, "seconds": 2, "size": "160x90"}, key=key).json
    done = {}
    for video in (one, failed, partial):
        def ended(video=video):
            done[video["id"]] = stack.http("GET", f"/v1/videos/{video['id']}", key=key).json
            return done[video["id"]]["status"] in ("completed", "failed")
        wait_for(ended, "it to end")
    assert done[one["id"]]["usage"] == {"cost": 0.4, "cost_details": {"video_output_cost": 0.4, "image_input_cost": 0}}
    assert done[failed["id"]]["usage"]["cost"] == 0
    rows = {r["model"]: r for r in stack.http("GET", "/v1/usage", key=key).json["data"]}
    assert rows["sora-2"]["videos"] == 1 and rows["sora-2"]["seconds"] == 4 and rows["sora-2"]["cost"] == 0.4
    assert rows["sandbox-fail"]["completed"] == 0 and rows["sandbox-fail"]["seconds"] == 0 and rows["sandbox-fail"]["cost"] == 0
    assert rows["sandbox-partial"]["completed"] == 1 and rows["sandbox-partial"]["seconds"] == 4
    assert {r["key_id"] for r in rows.values()} == {made["id"]}
    # A video that is deleted has still been paid for.
    assert stack.http("DELETE", f"/v1/videos/{one['id']}", key=key).status == 200
    assert {r["model"]: r["cost"] for r in stack.http("GET", "/v1/usage", key=key).json["data"]}["sora-2"] == 0.4
    assert "0.4" in stack.ctl("usage", "--project", "spender", admin=True).stdout
    # Another project's key sees its own alone.
    assert stack.http("GET", "/v1/usage", key=new_key(stack, "somebody")["secret"]).json["data"] == []


def test_nothing_leaks_when_the_service_dies(own_stack):
    key = project(own_stack, "fragile", "--concurrent-videos", "1000", "--monthly-spend", "1000")
    chance = random.Random(7)
    for _ in range(3):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            def one(_):
                try:
                    return own_stack.http("POST", "/v1/videos", {"prompt": "x", "model": chance.choice(["sandbox-never", "sandbox-instant"]), "size": "160x90",
                                                                 "seconds": 1}, key=key, timeout=30).status
                except OSError:
                    return 0
            calls = [pool.submit(one, i) for i in range(18)]
            time.sleep(chance.random() * 0.4)
            own_stack.kill("service", signal.SIGKILL)
            for call in calls:
                call.result()
        own_stack.up()
    running = "SELECT count(*) FROM videos WHERE status < 3 AND charged & 2 > 0 AND project_id = (SELECT id FROM projects WHERE name = 'fragile')"
    counted = "SELECT active, reserved_micros FROM accounts WHERE key_id = '' AND project_id = (SELECT id FROM projects WHERE name = 'fragile')"
    waiting = ("SELECT count(*) FROM videos WHERE status < 3 AND model = 'sandbox-instant' AND project_id ="
               " (SELECT id FROM projects WHERE name = 'fragile')")
    wait_for(lambda: own_stack.sql(waiting)[0][0] == 0, "the instant ones to end")
    assert own_stack.sql(counted)[0][0] == own_stack.sql(running)[0][0] > 0
