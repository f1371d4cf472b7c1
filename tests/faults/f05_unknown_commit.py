# SPDX-License-Identifier: Apache-2.0
"""F5: the connection to PostgreSQL breaks between COMMIT and its answer, and just before it: the service cannot tell which."""
import concurrent.futures
import pathlib
import re
import time

from load import MENU, Menu, Prober, check_ends
from pg_wire import CutAtCommit
from scenario import scenario
from vg import ROOT

ROW, TITLE, BOUND = "F5", "commits whose outcome is unknown", "each write once, by an idempotent re-check"
PROVIDERS = ("sandbox", "kling", "xai")
WORLD = {"providers": PROVIDERS, "services": 1, "proxied": ("service-postgres",), "env": {"VIDEOGATE_JANITOR_INTERVAL": "1s"}}


def writes():
    """The names of all prepared statements of db/ that write."""
    found = set()
    for path in sorted(pathlib.Path(ROOT, "db").glob("*.c")):
        for name, text in re.findall(r'vg_pg_statement \w+ = \{\s*"(\w+)",(.*?)\};', path.read_text(), re.S):
            if re.search(r"INSERT INTO|UPDATE \w+ |DELETE FROM", text) or name in ("vg_video_insert", "vg_video_admit"):
                found.add(name)
    return found


def _endpoint(world, dice):
    """A webhook endpoint from birth to end. What was asked for once exists once."""
    name = f"endpoint {dice.random()}"
    made = world.http("POST", "/v1/webhook_endpoints", {"name": name, "url": world.receiver_url("/endpoint"), "event_types": ["video.completed"]})
    if made.status != 200:
        return
    one = f"/v1/webhook_endpoints/{made.json['id']}"
    world.receiver.secrets["/endpoint"] = made.json.get("signing_secret") or made.json.get("secret")
    for method, path, body in (("POST", one, {"name": name + " again"}), ("POST", one + "/rotate_secret", {}), ("DELETE", one, None)):
        answer = world.http(method, path, body)
        assert answer.status == 200 or answer.status >= 500 or (method == "DELETE" and answer.status == 404), (method, path, answer.body)


def _key(world, dice):
    name = f"key {dice.random()}"
    done = world.ctl("keys", "create", "--project", "default", "--name", name, admin=True, check=False)
    count = world.sql("SELECT count(*) FROM api_keys WHERE name = %s", name)[0][0]
    assert count == 1 if done.returncode == 0 else count <= 1, f"{count} keys came of one create"
    if done.returncode == 0:
        key = next(line.split(" ", 1)[1] for line in done.stdout.splitlines() if line.startswith("id "))
        world.ctl("keys", "revoke", key, admin=True, check=False)


def _redelivered(world, dice):
    video = world.job()
    world.wait_called_back(video)
    row = world.sql("SELECT id FROM deliveries WHERE video_id = %s", video)[0][0]
    world.persist("POST", f"/v1/webhook_deliveries/{row}/redeliver", (200, 202, 409))


DISHES = {**MENU, "endpoint": _endpoint, "key": _key, "redelivered": _redelivered}
# What leads to each write; a write that is not here is told by the scenario (`left`).
WAYS = {"vg_video_insert": "instant", "vg_generation_claim": "instant", "vg_generation_renew": "kling slow", "vg_change_move": "instant",
        "vg_change_roll": "instant", "vg_delivery_claim": "instant", "vg_delivery_body": "instant", "vg_delivery_result": "instant",
        "vg_redelivery": "redelivered", "vg_video_cancel": "canceled", "vg_video_delete": "deleted", "vg_video_purge": "deleted",
        "vg_video_purged": "deleted", "vg_video_drop": "deleted", "vg_key_project": "key", "vg_key_insert": "key", "vg_key_revoke": "key",
        "vg_webhook_insert": "endpoint", "vg_webhook_secret": "endpoint", "vg_webhook_update": "endpoint", "vg_webhook_delete": "endpoint",
        "vg_webhook_touch": "endpoint", "vg_webhook_end": "endpoint"}
JOBS_ONLY = [name for name, way in WAYS.items() if way not in ("endpoint", "key")]


def _cut(world, dice, cutter, callers, name, where):
    """True when a round trip with this statement was cut."""
    cutter.arm(name, where, reset=dice.random() < 0.5)
    end = time.monotonic() + 20
    asks = []
    while cutter.armed() and time.monotonic() < end:
        asks.append(callers.submit(DISHES[WAYS[name]], world, dice))
        for _ in range(100):
            time.sleep(0.02)
            if not cutter.armed():
                break
    hit = not cutter.armed()
    cutter.disarm()
    return hit


@scenario(short=1, long=20, world=WORLD)
def every_write(world, dice, rounds):
    """A round cuts each kind of write once at its answer and once at its request."""
    cutter = CutAtCommit(world.proxies["service-postgres"])
    missed = set()
    assert set(WAYS) <= writes(), f"no statement is called {', '.join(sorted(set(WAYS) - writes()))}"
    names = sorted(WAYS) if rounds > 1 else JOBS_ONLY
    with concurrent.futures.ThreadPoolExecutor(16) as callers, Prober(world, pause=0.2) as prober:
        for number in range(1, rounds + 1):
            for name in dice.sample(names, len(names)):
                for where in ("answer", "request") if rounds > 1 else ("answer",):
                    prober.fault("cut at " + name)
                    if not _cut(world, dice, cutter, callers, name, where):
                        missed.add(name)
            world.progress(number, cuts=cutter.cuts)
    assert not missed, f"never sent, so never cut: {', '.join(sorted(missed))}"
    figures = world.check()
    others = sorted(writes() - set(WAYS))
    return figures | {"cuts": cutter.cuts, "kinds_of_writes": len(names), "kinds_left_out": len(others), "submission_unknown": check_ends(world)}


@scenario(short=1, long=150, ci=False, world=WORLD)
def under_load(world, dice, rounds):
    """Any round trip of any connection is cut, while callers are busy."""
    cutter = CutAtCommit(world.proxies["service-postgres"])
    with Menu(world, dice), Prober(world) as prober:
        for number in range(1, rounds + 1):
            time.sleep(dice.random() * 0.3)
            name = dice.choice(JOBS_ONLY)
            cutter.arm(name, dice.choice(("answer", "request")), reset=dice.random() < 0.5)
            prober.fault("cut under load")
            for _ in range(100):
                time.sleep(0.02)
                if not cutter.armed():
                    break
            world.progress(number, cuts=cutter.cuts)
    figures = world.check()
    return figures | {"cuts": cutter.cuts, "submission_unknown": check_ends(world)}
