# SPDX-License-Identifier: Apache-2.0
"""SIGKILL any process at any moment: every accepted job still reaches exactly one terminal state, one submission each.

VG_KILL_ROUNDS sets the number of rounds (default 12); VG_KILL_SEED makes a run repeatable.
"""
import os
import random
import signal
import time

from vg import TERMINAL, wait_for

STACK_ENV = {"VIDEOGATE_LEASE": "4s", "VIDEOGATE_SANDBOX_SLOW": "3s", "VIDEOGATE_RECEIVER_SECRET": "kill-secret",
             "VIDEOGATE_WEBHOOK_SCHEDULE": "0s," + ",".join(["2s"] * 31),
             # Two models in seven fail on purpose: a breaker takes that for a sick provider, and waits for minutes.
             "VIDEOGATE_BREAKER_FAILURES": "0"}
ROUNDS = int(os.environ.get("VG_KILL_ROUNDS", "12"))
SEED = int(os.environ.get("VG_KILL_SEED", "0")) or random.randrange(1 << 30)
MODELS = ("sandbox", "sandbox-instant", "sandbox-slow", "sandbox-ambiguous", "sandbox-truncated", "sandbox-flaky", "sandbox-fail")
VICTIMS = ("service", "worker", "webhook", "bridge", "postgres")


def try_create(stack, dice, number):
    """One create that may fail because something is dead; retried with its key until it is accepted."""
    fields = dict(model=dice.choice(MODELS), n=dice.choice((1, 1, 2)), prompt=f"job {number}", size="160x90", seconds=1,
                  callback_url=stack.env["VIDEOGATE_WEBHOOK_SINK"] + "/kill", callback_secret="kill-secret")

    def accepted():
        try:
            answer = stack.http("POST", "/v1/videos", fields, headers={"idempotency-key": f"kill-{SEED}-{number}"}, timeout=20)
        except OSError:
            return None
        assert answer.status in (200, 409) or answer.status >= 500, answer.body
        return answer.json if answer.status == 200 else None

    return accepted


def test_kill_rounds(own_stack):
    stack = own_stack
    print(f"VG_KILL_SEED={SEED}")
    dice = random.Random(SEED)
    accepted, pending = {}, []
    killed = {}
    for number in range(ROUNDS):
        for _ in range(dice.randint(2, 6)):
            pending.append(try_create(stack, dice, len(accepted) + len(pending)))
        victim = dice.choice(VICTIMS)
        for attempt in list(pending):
            video = attempt()
            if video:
                accepted[video["id"]] = video
                pending.remove(attempt)
            if dice.random() < 0.3:
                time.sleep(dice.random() * 0.4)
        time.sleep(dice.random())
        if victim == "postgres":
            stack.kill("postgres", signal.SIGQUIT)
            wait_for(lambda: not stack.alive("postgres"), "postgres to end")
        else:
            stack.kill(victim)
        killed[victim] = killed.get(victim, 0) + 1
        if dice.random() < 0.5:
            time.sleep(dice.random() * 2)
        stack.up()
    print("killed:", killed)
    for attempt in pending:
        video = wait_for(attempt, "a create to be accepted")
        accepted[video["id"]] = video

    ends, begin = {}, time.monotonic()
    for video_id in accepted:
        ends[video_id] = stack.wait(video_id)
    print(f"the last ended after {time.monotonic() - begin:.1f} s")
    print({s: sum(v["status"] == s for v in ends.values()) for s in TERMINAL})
    for video_id, video in ends.items():
        if video["model"] == "sandbox-fail":
            assert video["status"] == "failed"
        else:
            assert video["status"] == "completed", video
    # One job per idempotency key, one submission per token, one token per generation unless the provider refused it.
    assert stack.sql("SELECT count(*) FROM videos")[0][0] == len(accepted)
    counts = stack.submissions()
    assert set(counts.values()) == {1}, {t: c for t, c in counts.items() if c > 1}
    generations = {}
    for token in counts:
        generations.setdefault(token.rsplit("-", 1)[0], []).append(token)
    assert all(len(tokens) == 1 for tokens in generations.values()), [t for t in generations.values() if len(t) > 1]
    # Terminal never changes, and every callback came with one body.
    time.sleep(1)
    for video_id, video in ends.items():
        assert stack.get(video_id) == video
        records = wait_for(lambda i=video_id: stack.callbacks(i), f"the callback of {video_id}")
        assert all(r["verified"] for r in records)
        assert len({r["body"] for r in records}) == 1
