# SPDX-License-Identifier: Apache-2.0
"""F11: receivers that hang, drip, refuse, redirect, flood, lie, or are not there."""
import time

from bad_receivers import BadReceiver, Silence
from history import percentile
from outbox import Clock, Outbox
from scenario import scenario
from vg import free_base, wait_for
from world import SECRET

ROW, TITLE = "F11", "receivers of callbacks misbehave"
BOUND = "everybody whose receiver is there in the end is told (I4); a dead one with 90 % of the traffic moves the others' p99 by 10 % at most"
# Each comes right after one attempt.
COME_RIGHT = ("slow", "redirect", "busy", "unavailable", "broken", "closes", "resets")
# Each has said 2xx: nothing is sent again, whatever becomes of the rest.
TOOK_IT = ("huge", "bomb", "flood", "drip", "loses")


def _rows(world, video):
    return world.http("GET", f"/v1/videos/{video}/deliveries").json["data"]


@scenario(short=1, long=20, world={"env": {"VIDEOGATE_WEBHOOK_BREAKER_WAIT": "1s"}})
def every_kind(world, dice, rounds):
    receivers = {kind: BadReceiver(world.history, SECRET, kind, patience=2 if world.hurried else 31) for kind in (*COME_RIGHT, *TOOK_IT, "gone", "tls_expired")}
    never = {"gone": (receivers["gone"].url(), "status_410"), "tls": (receivers["tls_expired"].url(), "tls"),
             "refuses": (f"http://127.0.0.1:{free_base(1)}/", "connect"), "no name": ("http://no-such-host.invalid/", "dns")}
    told, lost = {}, {}
    for number in range(1, rounds + 1):
        for kind in dice.sample((*COME_RIGHT, *TOOK_IT), len(COME_RIGHT) + len(TOOK_IT)):
            told[world.job(callback_url=receivers[kind].url())] = kind
            world.fault(kind)
        for kind, (url, reason) in never.items():
            lost[world.job(callback=False, callback_url=url, callback_secret=SECRET)] = (kind, reason)
        world.job()  # and one whose receiver is well
        world.progress(number)
    figures = world.check()
    for video, (kind, reason) in lost.items():
        (row,) = wait_for(lambda video=video: (rows := _rows(world, video)) and rows[0]["last_reason"] and rows, f"an attempt at {kind}")
        assert row["last_reason"] == reason, f"{kind}: {row}"
        assert row["state"] == ("gone" if kind == "gone" else "pending"), f"{kind}: {row}"
    attempts = {}
    for video, kind in told.items():
        (row,) = wait_for(lambda video=video: (rows := _rows(world, video)) and rows[0]["state"] != "pending" and rows, f"the callback to {kind}")
        assert row["state"] == "delivered", f"{kind}: {row}"
        attempts.setdefault(kind, set()).add(row["attempts"])
    for kind in TOOK_IT:
        assert attempts[kind] == {1}, f"{kind} said 200 and was told {attempts[kind]} times"
    told_again = _redeliver(world, [video for video, kind in told.items() if kind == "loses"])
    for one in receivers.values():
        one.close()
    return figures | {"kinds": len(receivers) + 2, "attempts": {kind: max(found) for kind, found in attempts.items()}, "lost_and_told_again": told_again}


def _redeliver(world, videos):
    """A receiver that took them and lost them gets them again, under the same ids."""
    before = {one["webhook_id"] for one in world.history.of("callback") if one["path"] == "loses"}
    answer = world.http("POST", "/v1/webhook_deliveries/redeliver", {"since": int(time.time()) - 3600, "delivered_too": True})
    assert answer.status == 200 and answer.json["count"] >= len(videos), answer.body
    count = lambda: len([one for one in world.history.of("callback") if one["path"] == "loses"])  # noqa: E731
    wait_for(lambda: count() >= 2 * len(videos), "the lost ones to come again")
    assert {one["webhook_id"] for one in world.history.of("callback") if one["path"] == "loses"} == before
    return len(videos)


@scenario(short=1, long=8, world={"services": 2})
def isolation(world, dice, rounds):
    """Latency of callbacks from commit to arrival at receivers that are well, while 90 % of all go to another: one that is well, then
    one that hangs, then one that refuses. In turn, within one run."""
    outbox, clocks, silence = Outbox(world), [Clock() for _ in range(4)], Silence()
    well = [outbox.endpoint(one.url()) for one in clocks[:3]]
    # Four addresses, so that the one that is well can take its 90 %.
    others = {"well": outbox.endpoint(clocks[3].url()), "hangs": outbox.endpoint(silence.url()),
              "refuses": outbox.endpoint(f"http://127.0.0.1:{free_base(1)}/")}
    seconds, found = (3 if world.hurried else 15), {kind: [] for kind in others}
    _load(outbox, clocks, well, others["well"], 1)  # plans, connections
    for number in range(1, rounds + 1):
        for kind in dice.sample(list(others), len(others)):
            found[kind] += _load(outbox, clocks, well, others[kind], seconds)
            silence.let_go()
            outbox.drop([others[kind]])
        world.progress(number)
    p99 = {kind: percentile(values, 99) * 1000 for kind, values in found.items()}
    ratios = {kind: p99[kind] / p99["well"] for kind in ("hangs", "refuses")}
    for kind, ratio in ratios.items():
        if world.hurried:  # a busy machine and three seconds: half of them would wait for the dead one's time-out if any did
            assert percentile(found[kind], 50) * 1000 <= 3 * p99["well"], f"one that {kind} delays others: {found[kind]}"
        else:
            assert ratio <= 1.1, f"one that {kind} moves the p99 of others from {p99['well']:.1f} to {p99[kind]:.1f} ms"
    silence.close()
    for one in clocks:
        one.close()
    return {"callbacks_measured": sum(map(len, found.values())), **{f"p99_ms_{kind}": round(value, 1) for kind, value in p99.items()},
            **{f"p50_ms_{kind}": round(percentile(values, 50) * 1000, 1) for kind, values in found.items()},
            **{f"p99_ratio_{kind}": round(value, 2) for kind, value in ratios.items()}}


def _load(outbox, clocks, well, other, seconds, rate=20):
    """Rounds of ten: one to somebody who is well, nine to the other. Seconds from commit to arrival of the first kind."""
    sent, end = {}, time.monotonic() + seconds
    while time.monotonic() < end:
        (first, *_), at = outbox.put([well[len(sent) % len(well)], *[other] * 9])
        sent[first] = at
        time.sleep(max(0, 1 / rate - (time.monotonic() - at)))
    came = lambda: {name: at for one in clocks for name, at in one.at.items()}  # noqa: E731
    wait_for(lambda: set(sent) <= set(came()), "the callbacks of those that are well")
    return [came()[name] - at for name, at in sent.items()]


@scenario(short=1, long=4, ci=False)
def many_slow_receivers(world, dice, rounds):
    """One project has 70 receivers that hang, each with more than it may have at once: 560 that would fill all 512 places of the service
    for half a minute. Another project's callbacks go on."""
    other = world.new_key("other")["secret"]
    outbox, clock, silence = Outbox(world), Clock(), Silence()
    well, slow = outbox.endpoint(clock.url(), key=other, project="other"), outbox.endpoint(silence.url())
    crowd, found, held = [{**slow, "host": number} for number in range(70)], [], 0
    for number in range(1, rounds + 1):
        outbox.put(crowd * 9)
        wait_for(lambda: len(silence.held) >= 250, "the crowd to be sent to")
        for _ in range(20):
            (first, *_), at = outbox.put([well])
            wait_for(lambda first=first: first in clock.at, "a callback of the other project", pause=0.01)
            found.append(clock.at[first] - at)
        held = max(held, len(silence.held))
        outbox.drop([slow])
        silence.let_go()
        world.progress(number)
    assert held <= 300, f"{held} callbacks of one project at once"
    assert percentile(found, 99) <= 10, f"the other project's callbacks took {percentile(found, 99):.1f} s"
    silence.close()
    clock.close()
    return {"callbacks_measured": len(found), "held_by_one_project": held, "p50_ms": round(percentile(found, 50) * 1000, 1),
            "p99_ms": round(percentile(found, 99) * 1000, 1)}
