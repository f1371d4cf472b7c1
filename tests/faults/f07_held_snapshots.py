# SPDX-License-Identifier: Apache-2.0
"""F7: somebody else's transactions: an old snapshot, readers that hold theirs, a lock on the jobs' tables."""
import os
import pathlib
import re
import subprocess
import threading
import time

from history import percentile
from scenario import Left, scenario
from steady import Steady
from world import BUILD

ROW, TITLE, BOUND = "F7", "held snapshots and locks", "0 lost; throughput under held snapshots at most 5 % lower"
READ = "SELECT count(*) FROM videos v JOIN generations g ON g.video_id = v.id"


class _Readers:
    """One snapshot that is only held, and `count` REPEATABLE READ transactions that read under theirs."""

    def __init__(self, url, count=4):
        import psycopg2

        self.stopped, self.connections, self.threads = threading.Event(), [], []
        for number in range(count + 1):
            one = psycopg2.connect(url)
            one.set_session("REPEATABLE READ", readonly=True)
            with one.cursor() as cursor:
                cursor.execute(READ)  # takes the snapshot
            self.connections.append(one)
            if number > 0:
                self.threads.append(threading.Thread(target=self._read, args=(one,), daemon=True))

    def _read(self, connection):
        while not self.stopped.wait(0.5):
            with connection.cursor() as cursor:
                cursor.execute(READ)

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()
        for one in self.connections:
            one.close()


@scenario(short=1, long=3, ci=False, world={})
def held(world, dice, rounds):
    """A round is a minute under held snapshots (in CI seconds); --rounds 30 is the matrix's half hour."""
    seconds, rate = (4, 4) if world.hurried else (20, 10)
    with Steady(world, rate) as steady:
        time.sleep(2)
        before, creates = steady.ended(seconds), {"before": steady.took}
        world.fault("snapshots held")
        with _Readers(world.database_url):
            for number in range(1, rounds + 1):
                if not world.hurried:
                    time.sleep(40)
                steady.took = creates["during"] = []
                during = steady.ended(seconds)
                world.progress(number, during=round(during, 2), before=round(before, 2))
        world.recover("snapshots held")
    dead = world.sql("SELECT coalesce(sum(n_dead_tup), 0)::int FROM pg_stat_user_tables")[0][0]
    if not world.hurried:
        assert during >= 0.95 * before, f"{during:.1f} jobs/s under held snapshots, {before:.1f} without"
    figures = {f"p{part}_ms of a create {when}": round(percentile(took, part) * 1000, 1) for when, took in creates.items() for part in (50, 99)}
    return world.check() | figures | {"minutes": rounds, "throughput during / before": round(during / max(before, 0.01), 3), "dead rows at the end": dead}


LINE = re.compile(r"(\d+) jobs, (\d+) claims, ([\d.]+) ms, longest [\d.]+ ms, (\d+) of callbacks, ([\d.]+) ms")


class _Queue:
    """tests/unit/db/queue_bench.c on a database of its own, without a service: jobs and claims, and what PostgreSQL reads for them."""

    def __init__(self, world, rate, seconds):
        import psycopg2

        self.url, self.lines = world.database_url.rsplit("/", 1)[0] + "/queue", []
        admin = psycopg2.connect(world.database_url)
        admin.autocommit = True
        with admin.cursor() as cursor:
            cursor.execute("CREATE DATABASE queue")
        admin.close()
        command = [str(BUILD / "bin/db_queue_bench"), self.url, str(rate), str(seconds)]
        if not pathlib.Path(command[0]).exists():
            raise Left("no db_queue_bench in this build: it wants -DVG_TESTS=ON")
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.reader = threading.Thread(target=lambda: self.lines.extend(self.process.stdout), daemon=True)
        self.reader.start()
        self.watcher = psycopg2.connect(self.url)
        self.watcher.autocommit = True

    def _read(self):
        with self.watcher.cursor() as cursor:
            cursor.execute("SELECT coalesce(sum(idx_tup_read), 0)::int8 FROM pg_stat_user_indexes")
            return cursor.fetchone()[0]

    def measure(self, seconds):
        """Jobs a second, ms of a claim of jobs and of callbacks, and index rows read for each claim and job: these are nearly the same however
        busy the machine is."""
        first, read = len(self.lines), self._read()
        time.sleep(seconds)
        read, rows = self._read() - read, [[float(one) for one in LINE.match(line).groups()] for line in self.lines[first:]]
        jobs, claims, takes = (sum(row[column] for row in rows) for column in (0, 1, 3))
        spent, spent_too = (sum(row[column] * row[column + 1] for row in rows) for column in (1, 3))
        return jobs / len(rows), spent / claims, spent_too / takes, read / (jobs + claims + takes)

    def end(self):
        self.reader.join()
        self.watcher.close()
        assert self.process.wait() == 0, f"not all jobs ended: {self.lines[-1].strip()}"
        return int(re.match(r"\d+", self.lines[-1]).group())


@scenario(short=1, long=30, ci=False, world={})
def queue(world, dice, rounds):
    """800 jobs a second, each with a callback, through the queue itself; a round is a minute under a held snapshot. The half minute before it, of
    the same run, is what each minute is compared with. Where the machine has more to do than processors, speed says nothing, and only what is
    read is judged."""
    queue = _Queue(world, 800, 65 + 61 * rounds)
    try:
        time.sleep(8)
        before, minutes = queue.measure(30), []
        world.fault("snapshots held")
        with _Readers(queue.url, count=0):
            for number in range(1, rounds + 1):
                minutes.append(queue.measure(60))
                world.progress(number, **dict(zip(("jobs", "claim_ms", "callback_claim_ms", "read"), (round(one, 2) for one in minutes[-1]))))
        world.recover("snapshots held")
        time.sleep(10)
        after = queue.measure(10)
        jobs, load = queue.end(), os.getloadavg()[2]
    finally:
        queue.process.kill()
    figures = {"jobs": jobs, "lost": 0, "minutes": rounds, "load": round(load, 1)}
    for name, values in (("before", before), ("first minute", minutes[0]), ("last minute", minutes[-1]), ("after", after)):
        figures[name] = f"{values[0]:.0f} jobs/s, {values[1]:.2f} and {values[2]:.2f} ms a claim, {values[3]:.0f} index rows for each claim and job"
    if load < os.cpu_count():
        assert minutes[-1][0] >= 0.95 * before[0], f"the queue became slow: {figures}"
    assert minutes[-1][3] <= 2 * minutes[0][3], f"what is read grows with the jobs gone by: {figures}"
    return figures


@scenario(short=1, long=20, ci=False, world={})
def locked(world, dice, rounds):
    """The jobs' tables are locked for longer than our lock_timeout: work stands still, nothing is lost, and goes on by itself."""
    import psycopg2

    longest, ratios = 7 if world.hurried else 20, []
    seconds, rate = (3, 4) if world.hurried else (8, 10)
    with Steady(world, rate) as steady:
        time.sleep(1)
        for number in range(1, rounds + 1):
            before = steady.ended(seconds)
            world.fault("tables locked")
            connection = psycopg2.connect(world.database_url)
            with connection.cursor() as cursor:
                cursor.execute(f"LOCK TABLE {dice.choice(('generations', 'videos', 'videos, generations'))} IN ACCESS EXCLUSIVE MODE")
                time.sleep(longest if world.hurried else dice.uniform(1, longest))
            connection.close()
            released = time.monotonic()
            world.recover("tables locked", since=released)
            steady.settle()
            ratios.append(steady.ended(seconds) / max(before, 0.01))
            world.progress(number, jobs=world.numbers)
    figures = world.check(I8={"bound_ms": 60000})
    middle = sorted(ratios)[len(ratios) // 2]
    if rounds > 1:
        assert middle >= 0.95, f"after the locks {middle:.2f} of before"
    return figures | {"throughput after / before (median)": round(middle, 3)}
