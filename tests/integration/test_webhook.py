# SPDX-License-Identifier: Apache-2.0
"""Callbacks: signed, stored, the same on each retry, delivered while the job's process may be dead."""
import json
import subprocess

import pytest
from vg import NODE, PATIENCE, wait_for

SECRET = "integration-secret"
STACK_ENV = {
    "VIDEOGATE_RECEIVER_SECRET": SECRET,
    "VIDEOGATE_WEBHOOK_SCHEDULE": "0s,1s,1s,1s,1s,1s",
    "VIDEOGATE_LEASE": "5s",
}


def create(stack, path, **fields):
    return stack.create(callback_url=stack.env["VIDEOGATE_WEBHOOK_SINK"] + path, callback_secret=fields.pop("secret", SECRET), **fields)


def arrivals(stack, video_id, count):
    return wait_for(lambda: len(stack.callbacks(video_id)) >= count and stack.callbacks(video_id), f"{count} callbacks")


@pytest.mark.parametrize("model,kind", [
    ("sandbox-instant", "video.completed"),
    ("sandbox-fail", "video.failed"),
])
def test_event(own_stack, model, kind):
    made = create(own_stack, "/ok", model=model)
    (record,) = arrivals(own_stack, made["id"], 1)
    assert record["verified"]
    assert record["headers"]["webhook-id"] == f"evt_{made['id']}"
    assert record["headers"]["content-type"].startswith("application/json")
    event = json.loads(record["body"])
    assert event["object"] == "event" and event["type"] == kind and event["id"] == f"evt_{made['id']}"
    assert event["data"] == own_stack.get(made["id"])


def test_canceled_video_sends_an_event(own_stack):
    made = create(own_stack, "/ok", model="sandbox-never")
    own_stack.http("POST", f"/v1/videos/{made['id']}/cancel")
    (record,) = arrivals(own_stack, made["id"], 1)
    assert json.loads(record["body"])["data"]["status"] == "canceled"


def test_remix_calls_back(own_stack):
    source = own_stack.create()["id"]
    own_stack.wait(source)
    path, callback = f"/v1/videos/{source}/remix", {"callback_url": own_stack.env["VIDEOGATE_WEBHOOK_SINK"] + "/ok", "callback_secret": SECRET}
    key = {"idempotency-key": "remix-callback"}
    made = own_stack.http("POST", path, {"prompt": "again", **callback}, headers=key).json
    assert own_stack.http("POST", path, {"prompt": "again", **callback}, headers=key).json["id"] == made["id"]
    assert own_stack.http("POST", path, {"prompt": "again"}, headers=key).status == 422
    (record,) = arrivals(own_stack, made["id"], 1)
    assert record["verified"] and json.loads(record["body"])["data"]["id"] == made["id"]
    for bad in ({"callback_secret": "alone"}, {**callback, "callback_secret": "x" * 257}, {**callback, "callback_url": "ftp://example.com"}):
        assert own_stack.http("POST", path, {"prompt": "again", **bad}).error["param"].startswith("callback_")


def test_retries_are_byte_for_byte_the_same(own_stack):
    made = create(own_stack, "/fail/3/same")
    records = arrivals(own_stack, made["id"], 4)
    assert [r["answered"] for r in records] == [500, 500, 500, 200]
    assert len({r["body"] for r in records}) == 1
    assert len({r["headers"]["webhook-id"] for r in records}) == 1
    assert all(r["verified"] for r in records)


def test_gone_ends_it(own_stack):
    made = create(own_stack, "/status/410")
    arrivals(own_stack, made["id"], 1)
    state = wait_for(lambda: [d for d in deliveries(own_stack, made["id"]) if d["state"] != "pending"], "the delivery to end")
    assert state[0]["state"] == "gone" and len(own_stack.callbacks(made["id"])) == 1


def test_redirect_is_a_failure(own_stack):
    made = create(own_stack, "/redirect")
    records = arrivals(own_stack, made["id"], 6)
    assert {r["path"] for r in records} == {"/redirect"}
    wait_for(lambda: [d for d in deliveries(own_stack, made["id"]) if d["state"] == "failed"], "the schedule to be used up")


def deliveries(stack, video_id):
    out = stack.ctl("--json", "deliveries", "list", video_id, admin=True).stdout
    return json.loads(out).get("deliveries", [])


def test_redeliver(own_stack):
    made = create(own_stack, "/fail/6/again")
    arrivals(own_stack, made["id"], 6)
    (one,) = wait_for(lambda: [d for d in deliveries(own_stack, made["id"]) if d["state"] == "failed"], "failure")
    own_stack.ctl("deliveries", "redeliver", one["id"], admin=True)
    records = arrivals(own_stack, made["id"], 7)
    assert records[-1]["answered"] == 200 and records[-1]["body"] == records[0]["body"]


def test_slow_receiver_delays_nobody(own_stack):
    slow = [create(own_stack, f"/slow/20/{i}") for i in range(6)]
    quick = [create(own_stack, "/ok") for _ in range(5)]
    for video in quick:
        arrivals(own_stack, video["id"], 1)
    assert not any(own_stack.callbacks(v["id"]) for v in slow)
    for video in slow:
        arrivals(own_stack, video["id"], 1)


def test_whsec_secret(own_stack):
    made = create(own_stack, "/ok", secret="whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    (record,) = arrivals(own_stack, made["id"], 1)
    verify_with_node(record, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


def test_npm_standardwebhooks_verifies(own_stack):
    made = create(own_stack, "/ok")
    (record,) = arrivals(own_stack, made["id"], 1)
    verify_with_node(record, SECRET)


def verify_with_node(record, secret):
    """A secret without whsec_ is raw bytes for us; the package wants base64 or {format: "raw"}."""
    script = """
        const { Webhook } = require("standardwebhooks");
        const { record, secret } = JSON.parse(require("fs").readFileSync(0));
        const hook = secret.startsWith("whsec_") ? new Webhook(secret) : new Webhook(secret, { format: "raw" });
        const event = hook.verify(record.body, record.headers);
        let refused = false;
        try { hook.verify(record.body + " ", record.headers); } catch { refused = true; }
        process.stdout.write(JSON.stringify({ id: event.id, refused }));
    """
    done = subprocess.run(["node", "-e", script], input=json.dumps({"record": record, "secret": secret}), text=True,
                          capture_output=True, cwd=NODE)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"id": record["headers"]["webhook-id"], "refused": True}


def test_secret_is_sealed_at_rest(own_stack):
    made = create(own_stack, "/ok", secret="a-very-visible-secret")
    arrivals(own_stack, made["id"], 1)
    for table in ("videos", "deliveries"):
        rows = own_stack.sql(f"SELECT encode(convert_to(to_jsonb(t)::text, 'utf8'), 'escape') FROM {table} t")
        assert "a-very-visible-secret" not in str(rows)
        assert "a-very-visible-secret".encode().hex() not in str(rows)


def test_delivered_while_the_worker_is_dead_and_after_the_sender_was(own_stack):
    made = create(own_stack, "/fail/1/dead")
    own_stack.wait(made["id"])
    own_stack.kill("worker")
    own_stack.kill("webhook")
    own_stack.up()
    records = arrivals(own_stack, made["id"], 2)
    assert len({r["body"] for r in records}) == 1


def test_delivered_after_the_service_was_killed(own_stack):
    made = create(own_stack, "/slow/3/kill", model="sandbox-instant")
    wait_for(lambda: own_stack.get(made["id"])["status"] == "completed", "the video")
    own_stack.kill("service")
    own_stack.up()
    records = arrivals(own_stack, made["id"], 1)
    assert records[0]["verified"]
    wait_for(lambda: [d for d in deliveries(own_stack, made["id"]) if d["state"] == "delivered"], "the delivery", PATIENCE)
    assert len({r["body"] for r in own_stack.callbacks(made["id"])}) == 1
