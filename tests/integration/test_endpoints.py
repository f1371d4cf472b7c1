# SPDX-License-Identifier: Apache-2.0
"""Webhook endpoints: managed by the OpenAI SDK v7, sent to by the outbox, kept apart by project, sent again."""
import base64
import hashlib
import hmac
import json
import os
import re
import subprocess

import pytest
from vg import NODE, PATIENCE, ROOT, wait_for

STACK_ENV = {"VIDEOGATE_WEBHOOK_SCHEDULE": "0s," + ",".join(["1s"] * 9), "VIDEOGATE_LEASE": "5s"}
ALL = ["video.completed", "video.failed"]


@pytest.fixture
def project(own_stack, request):
    """A project of the test's own, so that no other test's endpoint gets its events; its key."""
    return own_stack.new_key(re.sub("[^a-z0-9]+", "-", request.node.name.lower())[:64])["secret"]


def make(stack, key, path, types=ALL, name="hook"):
    body = {"name": name, "url": stack.env["VIDEOGATE_WEBHOOK_SINK"] + path, "event_types": types}
    answer = stack.http("POST", "/v1/webhook_endpoints", body, key=key)
    assert answer.status == 200, answer.body
    return answer.json


def received(stack, path):
    return [r for r in stack.callbacks() if r["path"] == path]


def arrivals(stack, path, count=1):
    return wait_for(lambda: len(received(stack, path)) >= count and received(stack, path), f"{count} on {path}")


def deliveries(stack, key, where, **query):
    tail = "?" + "&".join(f"{k}={v}" for k, v in query.items()) if query else ""
    answer = stack.http("GET", f"/v1/{where}/deliveries{tail}", key=key)
    assert answer.status == 200, answer.body
    return answer.json


def ended(stack, key, where):
    """Its deliveries once none is pending."""
    def all_ended():
        rows = deliveries(stack, key, where)["data"]
        return rows and all(r["state"] != "pending" for r in rows) and rows
    return wait_for(all_ended, f"the deliveries of {where} to end", PATIENCE)


def signed_by(record, secret):
    text = f"{record['headers']['webhook-id']}.{record['headers']['webhook-timestamp']}.".encode() + record["body"].encode()
    mac = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), text, hashlib.sha256).digest()
    return "v1," + base64.b64encode(mac).decode() in record["headers"]["webhook-signature"].split(" ")


def test_openai_sdk_7(own_stack, project):
    script = ROOT / "tests/integration/node/webhooks_openai7.js"
    done = subprocess.run([NODE / "node_modules/node22/bin/node", script, own_stack.env["VIDEOGATE_URL"] + "/v1", project],
                          env={**os.environ, "NODE_PATH": str(NODE / "node_modules")}, text=True, capture_output=True,
                          timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    (row,) = deliveries(own_stack, project, f"videos/{seen['video']}")["data"]
    assert row["state"] == "delivered" and row["endpoint_id"] == seen["endpoint"]


def test_every_endpoint_and_the_callback_get_the_video(own_stack, project):
    made = [make(own_stack, project, f"/ok/all/{i}") for i in range(3)]
    make(own_stack, project, "/ok/all/other", ["video.failed"])
    video = own_stack.create(key=project, callback_url=own_stack.env["VIDEOGATE_WEBHOOK_SINK"] + "/ok/all/own",
                             callback_secret="own secret")
    (own,) = arrivals(own_stack, "/ok/all/own")
    assert own["headers"]["webhook-id"] == f"evt_{video['id']}"
    ids = {own["headers"]["webhook-id"]}
    for i, endpoint in enumerate(made):
        (one,) = arrivals(own_stack, f"/ok/all/{i}")
        event = json.loads(one["body"])
        assert signed_by(one, endpoint["signing_secret"])
        assert event["type"] == "video.completed" and event["id"] == one["headers"]["webhook-id"]
        assert event["data"] == json.loads(own["body"])["data"] == own_stack.get(video["id"], project)
        ids.add(event["id"])
    assert len(ids) == 4
    rows = ended(own_stack, project, f"videos/{video['id']}")
    assert {r["id"] for r in rows} == ids and {r["state"] for r in rows} == {"delivered"}
    assert not received(own_stack, "/ok/all/other")


@pytest.mark.parametrize("model,types,kind", [
    ("sandbox-fail", ["video.failed"], "video.failed"),
    ("sandbox-never", ["video.failed"], "video.failed"),
    ("sandbox-never", ["video.canceled"], "video.canceled"),
    ("sandbox-never", ["video.failed", "video.canceled"], "video.canceled"),
    ("sandbox-never", ["video.completed", "video.expired"], None),
])
def test_event_types(own_stack, project, model, types, kind, request):
    path = f"/ok/types/{request.node.callspec.id}"
    make(own_stack, project, path, types)
    make(own_stack, project, path + "/end", ["video.failed"])
    video = own_stack.create(key=project, model=model)
    if model == "sandbox-never":
        own_stack.http("POST", f"/v1/videos/{video['id']}/cancel", key=project)
    arrivals(own_stack, path + "/end")
    if kind:
        (one,) = arrivals(own_stack, path)
        assert json.loads(one["body"])["type"] == kind
    rows = deliveries(own_stack, project, f"videos/{video['id']}")["data"]
    assert len(rows) == (2 if kind else 1)
    assert sorted(r["event_type"] for r in rows) == sorted(filter(None, [kind, "video.failed"]))


def test_rotation(own_stack, project):
    made = make(own_stack, project, "/ok/rotation")
    where = f"/v1/webhook_endpoints/{made['id']}/rotate_secret"
    keep = {"keep_old_secret_active_for_24_hours": True}
    secrets = [made["signing_secret"]] + [own_stack.http("POST", where, keep, key=project).json["signing_secret"] for _ in range(2)]
    own_stack.create(key=project)
    (one,) = arrivals(own_stack, "/ok/rotation")
    assert all(signed_by(one, s) for s in secrets) and one["headers"]["webhook-signature"].count("v1,") == 3
    own_stack.sql("UPDATE webhook_secrets SET ends_at = now() WHERE ends_at > now() AND endpoint_id = %s", made["id"])
    own_stack.create(key=project)
    two = arrivals(own_stack, "/ok/rotation", 2)[1]
    assert [signed_by(two, s) for s in secrets] == [False, False, True]
    rows = own_stack.sql("SELECT encode(convert_to(to_jsonb(t)::text, 'utf8'), 'escape') FROM webhook_secrets t")
    assert not any(s in str(rows) or s.encode().hex() in str(rows) for s in secrets)


def test_rotation_of_what_is_pending(own_stack, project):
    """A retry is signed with the secret of its time, over the same body."""
    made = make(own_stack, project, "/fail/1/pending")
    own_stack.create(key=project)
    arrivals(own_stack, "/fail/1/pending")
    new = own_stack.http("POST", f"/v1/webhook_endpoints/{made['id']}/rotate_secret", {}, key=project).json["signing_secret"]
    first, second = arrivals(own_stack, "/fail/1/pending", 2)[:2]
    assert signed_by(first, made["signing_secret"]) and first["body"] == second["body"]
    assert first["headers"]["webhook-id"] == second["headers"]["webhook-id"]
    rows = ended(own_stack, project, f"webhook_endpoints/{made['id']}")
    assert [r["state"] for r in rows] == ["delivered"]
    assert signed_by(second, new) or signed_by(second, made["signing_secret"])


def test_gone_disables_the_endpoint(own_stack, project):
    made = make(own_stack, project, "/status/410/gone")
    where = f"/v1/webhook_endpoints/{made['id']}"
    own_stack.create(key=project)
    (row,) = ended(own_stack, project, where[4:])
    assert row["state"] == "gone" and row["last_status"] == 410
    assert own_stack.http("GET", where, key=project).json["disabled_at"] >= made["created_at"]
    video = own_stack.create(key=project)
    wait_for(lambda: own_stack.get(video["id"], project)["status"] == "completed", "the video")
    assert deliveries(own_stack, project, f"videos/{video['id']}")["data"] == []
    back = own_stack.http("POST", where, {"url": own_stack.env["VIDEOGATE_WEBHOOK_SINK"] + "/ok/back"}, key=project)
    assert "disabled_at" not in back.json
    own_stack.create(key=project)
    arrivals(own_stack, "/ok/back")
    assert len(received(own_stack, "/status/410/gone")) == 1


def test_update_moves_what_is_pending(own_stack, project):
    made = make(own_stack, project, "/status/500/before")
    own_stack.create(key=project)
    arrivals(own_stack, "/status/500/before")
    own_stack.http("POST", f"/v1/webhook_endpoints/{made['id']}", {"url": own_stack.env["VIDEOGATE_WEBHOOK_SINK"] + "/ok/after"}, key=project)
    (one,) = arrivals(own_stack, "/ok/after")
    assert one["body"] == received(own_stack, "/status/500/before")[0]["body"]


def test_delete_drops_what_is_pending(own_stack, project):
    made = make(own_stack, project, "/status/500/drop")
    video = own_stack.create(key=project)
    arrivals(own_stack, "/status/500/drop")
    assert own_stack.http("DELETE", f"/v1/webhook_endpoints/{made['id']}", key=project).json["deleted"] is True
    (row,) = ended(own_stack, project, f"videos/{video['id']}")
    assert row["state"] == "gone" and row["last_reason"] in ("endpoint_deleted", "status_500")
    again = own_stack.http("POST", f"/v1/webhook_deliveries/{row['id']}/redeliver", key=project)
    assert again.status == 404
    assert own_stack.sql("SELECT count(*) FROM webhook_secrets WHERE endpoint_id = %s", made["id"]) == [(0,)]
    other = own_stack.create(key=project)
    wait_for(lambda: own_stack.get(other["id"], project)["status"] == "completed", "the video")
    assert deliveries(own_stack, project, f"videos/{other['id']}")["data"] == []


def test_projects_are_kept_apart(own_stack, project):
    made = make(own_stack, project, "/ok/apart")
    video = own_stack.create(key=project)
    (row,) = ended(own_stack, project, f"videos/{video['id']}")
    other = own_stack.new_key("p-stranger")["secret"]
    where = f"/v1/webhook_endpoints/{made['id']}"
    calls = [("GET", where, None), ("POST", where, {"name": "mine"}), ("DELETE", where, None), ("POST", where + "/rotate_secret", {}),
             ("POST", where + "/test", {"event_type": "video.completed"}), ("GET", where + "/deliveries", None),
             ("GET", f"/v1/videos/{video['id']}/deliveries", None), ("POST", f"/v1/webhook_deliveries/{row['id']}/redeliver", None)]
    for method, path, body in calls:
        answer = own_stack.http(method, path, body, key=other)
        assert answer.status == 404 and answer.error["code"] == "not_found", (method, path, answer.body)
        assert own_stack.http(method, path, body, key=False).status == 401
    assert own_stack.http("GET", "/v1/webhook_endpoints", key=other).json["data"] == []
    own_stack.create(key=other)
    assert own_stack.http("GET", where, key=project).json["name"] == "hook"
    assert len(received(own_stack, "/ok/apart")) == 1


def test_redelivery(own_stack, project):
    made = make(own_stack, project, "/ok/again")
    own_stack.create(key=project)
    (row,) = ended(own_stack, project, f"webhook_endpoints/{made['id']}")
    answer = own_stack.http("POST", f"/v1/webhook_deliveries/{row['id']}/redeliver", key=project)
    assert answer.status == 200 and answer.json["object"] == "webhook_delivery" and answer.json["state"] == "pending"
    first, second = arrivals(own_stack, "/ok/again", 2)
    assert first["body"] == second["body"] and first["headers"]["webhook-id"] == second["headers"]["webhook-id"] == row["id"]


def test_deliveries_are_paged(own_stack, project):
    made = make(own_stack, project, "/ok/paged")
    videos = [own_stack.create(key=project)["id"] for _ in range(5)]
    arrivals(own_stack, "/ok/paged", 5)
    seen, after = [], {}
    while True:
        page = deliveries(own_stack, project, f"webhook_endpoints/{made['id']}", limit=2, **after)
        assert len(page["data"]) <= 2 and page["last_id"] == page["data"][-1]["id"] and page["first_id"] == page["data"][0]["id"]
        seen += page["data"]
        if not page["has_more"]:
            break
        after = {"after": page["last_id"]}
    assert sorted(r["video_id"] for r in seen) == sorted(videos) and len(seen) == 5
    assert [r["created_at"] for r in seen] == sorted(r["created_at"] for r in seen)
    assert own_stack.http("GET", f"/v1/webhook_endpoints/{made['id']}/deliveries?limit=101", key=project).status == 400


def test_endpoints_are_bounded(own_stack, project):
    for i in range(32):
        make(own_stack, project, f"/ok/many/{i}", ["video.expired"])
    body = {"name": "x", "url": own_stack.env["VIDEOGATE_WEBHOOK_SINK"], "event_types": ALL}
    assert "32" in own_stack.http("POST", "/v1/webhook_endpoints", body, key=project).error["message"]


def test_scopes(own_stack):
    out = own_stack.ctl("keys", "create", "--project", "p-scopes", "--scopes", "webhooks.read", admin=True).stdout
    reader = dict(line.split(" ", 1) for line in out.splitlines() if " " in line)["secret"]
    assert own_stack.http("GET", "/v1/webhook_endpoints", key=reader).status == 200
    body = {"name": "x", "url": own_stack.env["VIDEOGATE_WEBHOOK_SINK"], "event_types": ALL}
    assert own_stack.http("POST", "/v1/webhook_endpoints", body, key=reader).status == 403
    out = own_stack.ctl("keys", "create", "--project", "p-scopes", "--scopes", "videos.write", admin=True).stdout
    writer = dict(line.split(" ", 1) for line in out.splitlines() if " " in line)["secret"]
    assert own_stack.http("GET", "/v1/webhook_endpoints", key=writer).status == 403


def test_killed_between_commit_and_delivery(own_stack, project):
    """The sender is away when the video ends: the rows are there, the service dies, both ids still arrive, once each."""
    for i in range(2):
        make(own_stack, project, f"/ok/killed/{i}")
    own_stack.kill("webhook")
    video = own_stack.create(key=project)
    wait_for(lambda: own_stack.get(video["id"], project)["status"] == "completed", "the video")
    assert own_stack.sql("SELECT count(*) FROM deliveries WHERE video_id = %s AND state = 1", video["id"]) == [(2,)]
    own_stack.kill("service")
    own_stack.up()
    rows = ended(own_stack, project, f"videos/{video['id']}")
    assert {r["state"] for r in rows} == {"delivered"}
    for i in range(2):
        (one,) = received(own_stack, f"/ok/killed/{i}")
        assert one["headers"]["webhook-id"] in {r["id"] for r in rows}
