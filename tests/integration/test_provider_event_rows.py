# SPDX-License-Identifier: Apache-2.0
"""What a provider's own webhook comes to: read by the real worker, for the job that it has just submitted. fal, replicate, minimax and
bytedance have this in their own files."""
import base64
import hashlib
import hmac
import json
import time

import upstream
from simulators import avalanche, google, kling
from upstream import pb

KEY = "the key of the webhooks"
HOOK = "https://videos.example/v1/provider-events/x/y"


def mac(key, text):
    return base64.b64encode(hmac.new(key, text.encode(), hashlib.sha256).digest()).decode()


def read(worker, body, **headers):
    """(verdict, upstream id) of an event."""
    sent = [pb.EventHeader(name=name.replace("_", "-"), value=value) for name, value in headers.items()]
    answer = worker.stub.ReadEvent(pb.ReadEventRequest(headers=sent, body=body.encode()), timeout=60)
    return pb.EventVerdict.Name(answer.verdict).removeprefix("EVENT_VERDICT_"), answer.upstream_id


def test_avalanche():
    with avalanche.Simulator() as sim, \
            upstream.Worker("avalanche", sim, model="veo3_fast", width=1280, height=720, seconds=8, audio=True,
                            env={"VIDEOGATE_AVALANCHE_EVENT_SECRET": KEY.replace(" ", "-")}) as worker:
        job = worker.accept(event_url=HOOK).upstream_id
        now = str(int(time.time()))
        body = json.dumps({"code": 200, "msg": "success", "data": {"taskId": job, "info": {"resultUrls": ["https://x.example/v.mp4"]}}})
        good = {"x_webhook_timestamp": now, "x_webhook_signature": mac(KEY.replace(" ", "-").encode(), f"{job}.{now}")}
        assert worker.describe().supports_events
        assert read(worker, body, **good) == ("VERIFIED", job)
        assert read(worker, body.replace(job, "another"), **good) == read(worker, body) == ("REFUSED", "")


def test_google():
    secret = "whsec_" + base64.b64encode(KEY.encode()).decode()
    with google.Simulator() as sim, \
            upstream.Worker("google", sim, ["--google-jwks-url", sim.settings["google-jwks-url"]], model="veo-3.1-generate-preview", width=1280, height=720, seconds=4, audio=True,
                            env={"VIDEOGATE_GOOGLE_EVENT_SECRET": secret}) as worker:
        job = worker.accept(event_url=HOOK).upstream_id
        now = str(int(time.time()))
        body = json.dumps({"type": "video.generated", "version": "v1", "data": {"id": job}})
        good = {"webhook_id": "w1", "webhook_timestamp": now, "webhook_signature": "v1," + mac(KEY.encode(), f"w1.{now}.{body}")}
        assert read(worker, body, **good) == ("VERIFIED", job)
        assert read(worker, body + " ", **good) == ("REFUSED", "")
        # At a job's own address Google signs with a key of its own (test_provider_jwks.py).
        assert read(worker, body, **{**good, "webhook_signature": "eyJhbGciOiJSUzI1NiJ9.e30.AAAA"}) == ("REFUSED", "")


def test_kling():
    with kling.Simulator() as sim, \
            upstream.Worker("kling", sim, model="kling-3.0", width=1280, height=720, seconds=5, audio=True) as worker:
        job = worker.accept(event_url=HOOK).upstream_id
        assert read(worker, json.dumps({"code": 0, "request_id": "r", "data": {"id": job, "status": "succeeded"}})) == ("UNSIGNED", job)
        assert read(worker, json.dumps({"task_id": job, "task_status": "succeed"})) == ("UNSIGNED", job)
        assert read(worker, "task_id=1") == ("REFUSED", "")
