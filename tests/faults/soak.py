# SPDX-License-Identifier: Apache-2.0
"""Soak: steady load through everything for an hour; nothing grows.

SOAK_MINUTES sets the length (`tests/run.sh faults --only soak --rounds MINUTES` does, too); use a build without sanitizers. Every ten
seconds one line of figures for each process and table goes to build/faults/soak/samples.jsonl. Records live for minutes here, so that what is
made and what the janitor removes come into balance well before the half that is judged."""
import json
import os
import pathlib
import random
import threading
import time

import history as histories
from scenario import scenario
from vg import TERMINAL
from world import ROOT

ROW, TITLE = "I9", "soak"
BOUND = "over the second half memory grows by less than 16 MiB an hour in each process; fds, connections, rows, dead rows, files stay in their range"
EVERY = 10
MIB = 1 << 20
# 71 h 57 min of the 72 a key is kept for are over when it is made.
AGED = "ALTER TABLE idempotency ALTER created_at SET DEFAULT now() - interval '71 hours 57 minutes'"
ENV = {"VIDEOGATE_LEASE": "30s", "VIDEOGATE_RETENTION": "2m", "VIDEOGATE_DELIVERY_RETENTION": "2m", "VIDEOGATE_TRACE_RETENTION": "2m",
       "VIDEOGATE_VIDEO_RETENTION": "3m", "VIDEOGATE_JANITOR_INTERVAL": "5s", "VIDEOGATE_BREAKER_FAILURES": "0", "VIDEOGATE_SANDBOX_RETENTION": "2m", "VIDEOGATE_LOG_LEVEL": "warn", "VIDEOGATE_ACCESS_LOG": "false"}
TABLES = ("videos", "generations", "attempts", "skips", "idempotency", "outputs", "inputs", "purges", "deliveries", "delivery_attempts")


def smaps(pid):
    """{"rss", "pss", "anon"} in bytes."""
    told = dict(line.split()[:2] for line in pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return {"rss": int(told["Rss:"]) << 10, "pss": int(told["Pss:"]) << 10, "anon": int(told["Anonymous:"]) << 10}


def program(pid):
    status = dict(line.split(":", 1) for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines())
    return {**smaps(pid), "fds": len(os.listdir(f"/proc/{pid}/fd")), "threads": int(status["Threads"])}


def server(world):
    """All of PostgreSQL's processes together."""
    pids = [int(one) for one in os.listdir("/proc") if one.isdigit() and _parent(one) == world.pid("postgres")]
    pss = 0
    for pid in [world.pid("postgres"), *pids]:
        try:
            pss += smaps(pid)["pss"]
        except (OSError, KeyError):
            pass  # ended meanwhile
    return {"pss": pss, "processes": len(pids)}


def _parent(pid):
    try:
        return int(pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
    except OSError:
        return 0


def disk(folder):
    count = total = 0
    for path in pathlib.Path(folder).rglob("*"):
        try:
            if path.is_file():
                count, total = count + 1, total + path.stat().st_size
        except OSError:
            pass
    return {"files": count, "bytes": total}


def sample(world, start):
    tables = world.sql("SELECT relname, n_live_tup, n_dead_tup, n_tup_upd, n_tup_hot_upd, pg_table_size(relid), pg_indexes_size(relid)"
                       " FROM pg_stat_user_tables WHERE schemaname = 'public'")
    told = {"at": round(time.monotonic() - start, 1), "jobs": world.numbers,
            "programs": {name: program(world.pid(name)) for name in world.processes if name != "postgres"},
            "postgres": server(world) | {"connections": world.sql(
                "SELECT count(*)::int FROM pg_stat_activity WHERE application_name LIKE 'service%%' OR application_name = 'videogate'")[0][0]},
            "tables": {row[0]: dict(zip(("live", "dead", "updates", "hot", "heap", "indexes"), row[1:])) for row in tables if row[0] in TABLES},
            "blobs": disk(world.folder / "blobs")}
    return told


def slope(points):
    """Least squares, units an hour."""
    n = len(points)
    mean_x, mean_y = sum(x for x, _ in points) / n, sum(y for _, y in points) / n
    over = sum((x - mean_x) * (y - mean_y) for x, y in points)
    under = sum((x - mean_x) ** 2 for x, _ in points)
    return over / under * 3600 if under else 0.0


def series(samples, *way):
    out = []
    for one in samples:
        value = one
        for name in way:
            value = value.get(name, {}) if isinstance(value, dict) else value
        if isinstance(value, (int, float)):
            out.append((one["at"], value))
    return out


def mean(points):
    return sum(y for _, y in points) / len(points)


class Caller(threading.Thread):
    """One after the other: create, watch to the end, list, download, delete or leave to the janitor."""

    def __init__(self, world, dice, pause):
        super().__init__(daemon=True)
        self.world, self.dice, self.pause, self.stop, self.failure = world, dice, pause, threading.Event(), None
        self.counts = {}

    def run(self):
        try:
            while not self.stop.is_set():
                self.one()
                self.stop.wait(self.pause * (0.5 + self.dice.random()))
        except Exception as failure:  # noqa: BLE001
            self.failure = failure

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def one(self):
        world, dice = self.world, self.dice
        video = world.job(n=dice.choice((1, 1, 2)), model=dice.choice(("sandbox-instant", "sandbox-instant", "sandbox-fail", "sandbox-flaky")))
        assert video, "a create was not accepted"
        self.count("created")
        end = time.monotonic() + 120
        while (status := world.look(video)) not in TERMINAL:
            assert time.monotonic() < end, f"{video} did not end"
            time.sleep(0.2)
        self.count(status)
        if status == "completed":
            whole = world.http("GET", f"/v1/videos/{video}/content")
            assert whole.status == 200 and whole.body[4:8] == b"ftyp", whole.status
            part = world.http("GET", f"/v1/videos/{video}/content", headers={"range": "bytes=0-99"})
            assert part.status == 206 and len(part.body) == 100, part.status
            if dice.random() < 0.1:
                assert world.http("GET", f"/v1/videos/{video}/content?variant=thumbnail").status == 200
        if dice.random() < 0.2:
            assert world.http("GET", "/v1/videos?limit=20").status == 200
            assert world.http("GET", f"/v1/videos/{video}/events").status == 200
            assert world.http("GET", f"/v1/videos/{video}/deliveries").status == 200
            assert world.http("GET", "/v1/videos/none").status == 404
        if dice.random() < 0.3:
            assert world.http("DELETE", f"/v1/videos/{video}").status == 200
            self.count("deleted")


def judge(samples):
    """(figures, sentences) over the second half."""
    half = samples[len(samples) // 2:]
    figures, bad = {}, []
    hours = max((half[-1]["at"] - half[0]["at"]) / 3600, 1e-9)
    for name in half[0]["programs"]:
        for what in ("anon", "rss"):
            rate = slope(series(half, "programs", name, what))
            figures[f"{name}_{what}_mib"] = round(mean(series(half, "programs", name, what)) / MIB, 1)
            figures[f"{name}_{what}_mib_per_hour"] = round(rate / MIB, 2)
            if rate > 16 * MIB and rate * hours > 2 * MIB:
                bad.append(f"{what} of {name} grows by {rate / MIB:.1f} MiB an hour")
        for what, most in (("fds", 8), ("threads", 2)):
            points = [y for _, y in series(half, "programs", name, what)]
            first = [y for _, y in series(samples[len(samples) // 4:len(samples) // 2], "programs", name, what)] or points
            figures[f"{name}_{what}"] = max(points)
            if max(points) > max(first) + most:
                bad.append(f"{name} has {max(points)} {what}, {max(first)} before")
    for what, way, most in [("PostgreSQL's memory", ("postgres", "pss"), 64 * MIB), ("connections", ("postgres", "connections"), 2),
                            ("files", ("blobs", "files"), None), ("bytes of files", ("blobs", "bytes"), None)]:
        rate, level = slope(series(half, *way)), mean(series(half, *way))
        figures[what.replace("'", "").replace(" ", "_") + "_mean"] = round(level)
        if rate > (most if most is not None else 0.5 * level + 1000):
            bad.append(f"{what} grow by {rate:,.0f} an hour, {level:,.0f} in the mean")
    for table in half[0]["tables"]:
        for what in ("live", "dead", "heap", "indexes"):
            points = series(half, "tables", table, what)
            rate, level, top = slope(points), mean(points), max(y for _, y in points)
            figures[f"{table}_{what}_max"] = top
            floor = 2 * MIB if what in ("heap", "indexes") else 2000
            if top > floor and rate * hours > 0.5 * level:
                bad.append(f"{what} of {table} grow by {rate:,.0f} an hour, {level:,.0f} in the mean")
    return figures, bad


@scenario(short=1, long=60, ci=False, world={"env": ENV, "postgres": ["autovacuum_naptime=10s"]})
def soak(world, dice, rounds):
    minutes = float(os.environ.get("SOAK_MINUTES") or rounds)
    world.sql(AGED)
    world.sql("DROP SCHEMA audit CASCADE")  # it would grow
    callers = [Caller(world, random.Random(dice.random()), 0.5) for _ in range(int(os.environ.get("SOAK_CALLERS", "6")))]
    start, samples = time.monotonic(), []
    path = ROOT / "build/faults/soak/samples.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    for one in callers:
        one.start()
    with path.open("w") as out:
        while time.monotonic() - start < 60 * minutes:
            time.sleep(EVERY)
            samples.append(sample(world, start))
            out.write(json.dumps(samples[-1]) + "\n")
            out.flush()
            world.progress(int((time.monotonic() - start) / 60), jobs=world.numbers,
                           anon={name: one["anon"] >> 20 for name, one in samples[-1]["programs"].items()})
            failure = next((one.failure for one in callers if one.failure), None)
            assert failure is None, f"a caller failed: {failure!r}"
    for one in callers:
        one.stop.set()
    for one in callers:
        one.join(150)
        assert one.failure is None, f"a caller failed: {one.failure!r}"
    figures, bad = judge(samples)
    (ROOT / "build/faults/soak/summary.json").write_text(json.dumps({"figures": figures, "bad": bad}, indent=1) + "\n")
    assert not bad, "; ".join(bad)
    counts = {}
    for one in callers:
        for what, number in one.counts.items():
            counts[what] = counts.get(what, 0) + number
    callbacks = world.history.of("callback")
    videos = {one["video"] for one in callbacks}
    jobs = histories.accepted(world.history)
    time.sleep(3)
    lost = set(jobs) - set(histories.ends(world.history))
    assert not lost, f"{len(lost)} jobs never ended"
    found = histories.check(world.history, ("I2", "I5"))  # with `lost`, I1; which takes a square of the jobs
    assert not found, "\n".join(found[:20])
    return {"minutes": round(minutes), "jobs": len(jobs), "lost": len(lost), "callbacks": len(videos), "per_second": round(len(jobs) / 60 / minutes, 2),
            **counts, **figures}
