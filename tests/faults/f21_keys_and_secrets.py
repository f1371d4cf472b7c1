# SPDX-License-Identifier: Apache-2.0
"""F21: an API key is revoked while its jobs run; a webhook endpoint's secret is rotated between two attempts of one callback."""
import time

from scenario import scenario
from standard_webhooks import verify
from vg import wait_for
from world import TERMINAL

ROW, TITLE, BOUND = "F21", "revoked keys, rotated secrets", "the key is refused within 1 s everywhere and its jobs end; callbacks verify with old and new secret"


@scenario(short=1, long=20, world={"providers": ("sandbox", "kling"), "services": 2})
def revoked_mid_job(world, dice, rounds):
    """Jobs that were accepted go on, are stored and called back; the key itself opens nothing any more."""
    slowest = 0.0
    for number in range(1, rounds + 1):
        made = world.new_key("default")
        own, key_id = made["secret"], made["id"]
        videos = []
        for provider in ("sandbox", "kling"):
            video = world.job(provider, headers={"authorization": f"Bearer {own}"}, **({"model": "sandbox-slow"} if provider == "sandbox" else {}))
            videos.append(video)
        assert world.http("GET", f"/v1/videos/{videos[0]}", key=own).status == 200
        start = time.monotonic()
        world.ctl("keys", "revoke", key_id, admin=True)
        said = time.monotonic()
        wait_for(lambda: world.http("GET", "/v1/videos", key=own).status == 401, "a revoked key to be refused", patience=30, pause=0.02)
        slowest = max(slowest, time.monotonic() - said)
        assert world.http("POST", "/v1/videos", {"prompt": "no more", "model": "sandbox-instant"}, key=own).status == 401
        for video in videos:
            wait_for(lambda one=video: world.look(one) in TERMINAL, "a job whose key was revoked to end")
            assert world.get(video)["status"] == "completed", world.get(video)
        world.fault("revoke")
        world.recovered("revoke", start)
        world.progress(number)
    return world.check() | {"refused_after_ms": round(slowest * 1000)}


@scenario(short=1, long=20, ci=False, world={"providers": ("sandbox",), "services": 2})
def rotated_mid_retry(world, dice, rounds):
    """A callback fails, the secret is rotated, and the next attempts are signed with both, then with the new one alone."""
    signed = {"old_alone": 0, "both": 0, "new_alone": 0}
    for number in range(1, rounds + 1):
        path = f"/rotated/{number}"
        made = world.http("POST", "/v1/webhook_endpoints", {"name": f"rotated {number}", "url": world.receiver_url(path),
                                                            "event_types": ["video.completed"]})
        assert made.status == 200, made.body
        endpoint, old = made.json["id"], made.json.get("signing_secret") or made.json["secret"]
        seen, state = [], {"open": False}

        def judge(attempt, record, seen=seen, state=state):
            seen.append(record)
            return 200 if state["open"] else 500

        world.receiver.secrets[path], world.receiver.answers[path] = old, judge
        video = world.job(callback=False)
        wait_for(lambda seen=seen: len(seen) >= 1, "the first attempt")
        turned = world.http("POST", f"/v1/webhook_endpoints/{endpoint}/rotate_secret", {"keep_old_secret_active_for_24_hours": True})
        assert turned.status == 200, turned.body
        new = turned.json.get("signing_secret") or turned.json["secret"]
        before = len(seen)
        wait_for(lambda seen=seen, before=before: len(seen) >= before + 3, "attempts after the rotation")
        state["open"] = True
        wait_for(lambda: world.sql("SELECT count(*) FROM deliveries WHERE video_id = %s AND state = 1", video)[0][0] == 0, "the delivery")
        for record in seen:
            headers = {"webhook-id": record["webhook_id"], "webhook-timestamp": record["timestamp"], "webhook-signature": record["signature"]}
            with_old, with_new = (verify(secret, headers, record["body"].encode()) for secret in (old, new))
            assert with_old or with_new, "an attempt verifies with neither secret"
            signed["both" if with_old and with_new else "old_alone" if with_old else "new_alone"] += 1
        assert signed["both"] > 0, "no attempt after the rotation verified with both"
        assert len({record["webhook_id"] for record in seen}) == 1 and len({record["body"] for record in seen}) == 1
        assert world.http("DELETE", f"/v1/webhook_endpoints/{endpoint}").status == 200
        world.progress(number)
    return world.check(("I1", "I2", "I3", "I5", "I6", "I7")) | {f"attempts_signed_{name}": count for name, count in signed.items()}
