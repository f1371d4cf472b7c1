# SPDX-License-Identifier: Apache-2.0
"""F3: PostgreSQL is restarted, crashes, loses one backend or its postmaster; a commit that no standby has is never told as done."""
import signal
import subprocess
import threading
import time

from scenario import scenario
from vg import readyz, wait_for
from world import Traffic

ROW, TITLE, BOUND = "F3", "PostgreSQL restarts and crashes", "0 lost; work goes on within 10 s"
OURS = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name LIKE 'service%%'"


def _backend(world, dice):
    """kill -9 of one of the service's backends: the postmaster ends all the others and recovers."""
    wait_for(lambda: world.sql(OURS), "the service's connections", pause=0.05)
    # A pid of the server's, so of this machine: nothing else is meant to die here.
    pid = dice.choice(world.sql(OURS))[0]
    subprocess.run(["kill", "-9", str(pid)], check=False)


def _down(world, number):
    postgres = world.processes["postgres"]
    postgres.signal(number)
    postgres.wait_dead()


def _postmaster(world, _):
    """kill -9 of the postmaster: its backends notice, and only when they are gone may the next one start."""
    world.processes["postgres"].kill()
    time.sleep(0.2)


FAULTS = {"immediate stop": lambda world, _: _down(world, signal.SIGQUIT), "fast stop": lambda world, _: _down(world, signal.SIGINT),
          "kill -9 of a backend": _backend, "kill -9 of the postmaster": _postmaster}


def start_again(world, patience=60):
    """After kill -9 its backends may still hold the shared memory for a moment."""
    postgres, end = world.processes["postgres"], time.monotonic() + patience
    while True:
        try:
            if not postgres.alive():
                postgres.start()
            return
        except AssertionError:
            assert time.monotonic() < end, "PostgreSQL does not start again"
            time.sleep(0.2)


@scenario(short=1, long=25, world={"services": 2})
def restarts(world, dice, rounds):
    """A round has each fault once, with two services and callers. Measured until a job that is asked for now has ended."""
    with Traffic(world, dice, callers=2):
        for number in range(1, rounds + 1):
            for name in dice.sample(sorted(FAULTS), len(FAULTS)):
                time.sleep(0.3 + dice.random())
                world.fault(name)
                FAULTS[name](world, dice)
                time.sleep(dice.random() * 0.5)
                start_again(world)
                world.recover(name)
            world.progress(number, jobs=world.numbers)
    return world.check(I8={"bound_ms": 10000 if rounds > 1 else 60000})


class _Asker:
    """One create with a key, until its answer."""

    def __init__(self, world, key, **more):
        self.status, self.key = None, key
        fields = {"model": "sandbox-instant", "size": "160x90", "seconds": 1, "prompt": f"a lighthouse, {key}"}

        def ask():
            try:
                self.status = world.http("POST", "/v1/videos", fields, headers={"idempotency-key": key}, timeout=30, **more).status
            except OSError:
                self.status = -1

        self.thread = threading.Thread(target=ask, daemon=True)
        self.thread.start()


WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"


def _set_standby(world, name):
    world.sql(f"ALTER SYSTEM SET synchronous_standby_names = '{name}'")
    world.sql("SELECT pg_reload_conf()")
    wait_for(lambda: world.sql("SHOW synchronous_standby_names")[0][0] == name, "the setting", pause=0.02)


@scenario(short=1, long=10)
def no_standby(world, dice, rounds):
    """Commits wait for a standby that is not there. Their waits are canceled, their backends terminated, the server crashes: each time
    the row stands on the primary alone, and neither its create nor a repeat may be told so before a standby could have it."""
    world.sql("ALTER SYSTEM SET log_min_messages = 'error'")
    told, ends = 0, ("pg_cancel_backend", "pg_terminate_backend", "crash")
    for number in range(1, rounds + 1):
        for end in dice.sample(ends, len(ends)):
            _set_standby(world, "nobody")
            key = f"{world.tag}-{number}-{end}"
            first = _Asker(world, key)
            wait_for(lambda: world.sql(WAITING), "a commit that waits", pause=0.02)
            world.fault(end)
            if end == "crash":
                _down(world, signal.SIGQUIT)
                start_again(world)
            else:
                world.sql(f"SELECT {end}(pid) FROM ({WAITING}) AS w")
            wait_for(lambda key=key: world.sql("SELECT count(*) FROM idempotency WHERE key = %s", key)[0][0] == 1 or world.sql(WAITING),
                     "the row on the primary, or another wait", pause=0.02)
            second = _Asker(world, key)
            time.sleep(0.7 if world.hurried else 1.5)
            assert first.status != 200 and second.status != 200, f"after {end} a create was told as done that no standby has"
            told += 2
            _set_standby(world, "")
            first.thread.join()
            second.thread.join()
            third = _Asker(world, key)
            third.thread.join()
            assert third.status == 200, f"after {end} a repeat was answered {third.status}"
            assert world.sql("SELECT count(*) FROM videos WHERE prompt = %s", f"a lighthouse, {key}")[0][0] == 1, "two videos of one key"
            world.recovered(end)
        world.progress(number)
    wait_for(lambda: readyz(world.processes["service"].monitor)[0] == 200, "the service to be ready")
    return world.check(()) | {"commits in doubt": told, "told too early": 0}


@scenario(short=1, long=2, ci=False)
def no_standby_for_long(world, dice, rounds):
    """A round is a minute without the standby: we leave connections that do not answer for 15 s, and their backends must not pile up."""
    worst = 0
    for number in range(1, rounds + 1):
        _set_standby(world, "nobody")
        world.fault("no standby")
        asks, end = [], time.monotonic() + 60
        while time.monotonic() < end:
            asks.append(_Asker(world, f"{world.tag}-{number}-{len(asks)}"))
            worst = max(worst, len(world.sql(WAITING)))
            assert all(one.status != 200 for one in asks), "told as done without a standby"
            time.sleep(0.5)
        _set_standby(world, "")
        world.recover("no standby")
        world.progress(number, worst=worst)
    # Each of the service's three connections waits, and its forerunner for a moment.
    assert worst <= 6, f"{worst} backends waited at once for one service's three connections"
    return world.check(()) | {"backends that waited at once": worst}
