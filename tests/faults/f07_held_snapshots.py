# SPDX-License-Identifier: Apache-2.0
"""F7: somebody else's transactions: an old snapshot, readers that hold theirs, a lock on the jobs' tables."""
import threading
import time

from scenario import scenario
from steady import Steady

ROW, TITLE, BOUND = "F7", "held snapshots and locks", "0 lost; throughput under held snapshots at most 5 % lower"
READ = "SELECT count(*) FROM videos v JOIN generations g ON g.video_id = v.id"


class _Readers:
    """One snapshot that is only held, and `count` REPEATABLE READ transactions that read under theirs."""

    def __init__(self, world, count=4):
        import psycopg2

        self.stopped, self.connections, self.threads = threading.Event(), [], []
        for number in range(count + 1):
            one = psycopg2.connect(world.database_url)
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
        before = steady.ended(seconds)
        world.fault("snapshots held")
        with _Readers(world):
            for number in range(1, rounds + 1):
                if not world.hurried:
                    time.sleep(40)
                during = steady.ended(seconds)
                world.progress(number, during=round(during, 2), before=round(before, 2))
        world.recover("snapshots held")
    dead = world.sql("SELECT coalesce(sum(n_dead_tup), 0)::int FROM pg_stat_user_tables")[0][0]
    if not world.hurried:
        assert during >= 0.95 * before, f"{during:.1f} jobs/s under held snapshots, {before:.1f} without"
    return world.check() | {"minutes": rounds, "throughput during / before": round(during / max(before, 0.01), 3), "dead rows at the end": dead}


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
