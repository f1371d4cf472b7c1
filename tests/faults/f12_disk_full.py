# SPDX-License-Identifier: Apache-2.0
"""F12: a full disk under the blob store, PostgreSQL, the provider's folder, the logs. Each gets a file system of a few megabytes of its own."""
import http.client
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from scenario import Left, scenario
from vg import TERMINAL, wait_for
from world import Traffic

ROW, TITLE, BOUND = "F12", "disk full", "new work is refused with 507 or 503, nothing under way fails, all goes on when there is room, and nothing of ours is restarted"
OURS = ("bridge", "service", "worker", "webhook")


class Capped:
    """Puts a folder on a tmpfs of `size` while these programs are down; `fill` takes the rest of it."""

    def __init__(self, world, path, size, names):
        self.world, self.path, self.size, self.names = world, pathlib.Path(path), size, names
        self.filler = self.path / "filler"

    def __enter__(self):
        if os.getuid() != 0:
            raise Left("no right to mount")
        for name in self.names:
            self.world.processes[name].stop() if name != "postgres" else self._stop_postgres()
        owner, keep = self.path.stat(), tempfile.mkdtemp()
        subprocess.run(["cp", "-a", f"{self.path}/.", keep], check=True)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={self.size},mode={owner.st_mode & 0o777:o},uid={owner.st_uid},gid={owner.st_gid}",
                               "tmpfs", str(self.path)], capture_output=True, text=True)
        if done.returncode:
            raise Left("no right to mount: " + done.stderr.strip())
        subprocess.run(["cp", "-a", f"{keep}/.", str(self.path)], check=True)
        shutil.rmtree(keep)
        self.world.start_all()
        return self

    def _stop_postgres(self):
        self.world.processes["postgres"].signal(2)
        self.world.processes["postgres"].wait_dead()

    def __exit__(self, *_):
        self.filler.unlink(missing_ok=True)
        for name in self.names:  # what they write now goes nowhere: the checks are over
            self.world.processes[name].stop()
        subprocess.run(["umount", "-l", str(self.path)], check=True)

    def fill(self):
        self.world.fault(f"{self.path.name} full")
        with self.filler.open("ab", buffering=0) as out:
            for piece in (1 << 20, 1 << 12, 1):
                try:
                    while out.write(bytes(piece)):
                        pass
                except OSError:
                    pass  # others write, too

    def free(self):
        self.filler.unlink()


def pids(world):
    return {name: world.pid(name) for name in OURS}


def ask(world, method, path, body=None):
    """Status and code of the envelope."""
    try:
        answer = world.http(method, path, body, timeout=30)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__, None
    return answer.status, answer.error["code"] if answer.status >= 400 else None


CREATE = {"prompt": "a dune", "model": "sandbox-instant", "size": "160x90", "seconds": 1}


def finished(world):
    video = world.job()
    wait_for(lambda: world.look(video) in TERMINAL, f"{video} to end")
    return video


def none_failed(world):
    failed = [one["body"] for one in world.history.of("seen") if one["status"] not in ("queued", "in_progress", "completed")]
    assert not failed, f"{len(failed)} jobs failed for want of room: {failed[0]}"


@scenario(short=1, long=30, world={"env": {"VIDEOGATE_BLOB_RESERVE": "2m"}})
def blob_store(world, dice, rounds):
    refused = 0
    with Capped(world, world.folder / "blobs", "24m", ["service"]) as disk:
        before, done = pids(world), finished(world)
        for number in range(1, rounds + 1):
            under_way = [world.job(model="sandbox-slow") for _ in range(3)]
            disk.fill()
            # The first result that finds no room tells; without one the store is looked at every ten seconds.
            world.job(n=2)
            wait_for(lambda: ask(world, "POST", "/v1/videos", CREATE) == (507, "storage_full"), "creates to be refused", 60, 0.2)
            refused += 1
            assert ask(world, "GET", f"/v1/videos/{done}/content")[0] == 200, "what is stored cannot be read"
            assert ask(world, "GET", "/v1/videos?limit=3")[0] == 200
            if not world.hurried:
                time.sleep(dice.random() * 8)
            assert all(world.look(one) not in ("failed", "expired") for one in under_way)
            disk.free()
            world.recover("blobs full")
            world.progress(number, jobs=world.numbers)
        forget_unkeyed(world)
        told = world.check()
        none_failed(world)
        assert before == pids(world), "something of ours was restarted"
    return told | {"refused_507": refused}


def forget_unkeyed(world):
    """Creates of `ask` that were accepted after all are nobody's: they count as usage, so they end and are recorded."""
    for video, in world.sql("SELECT id FROM videos WHERE id <> ALL (%s)", [one["video"] for one in world.history.of("answered") if one["video"]]):
        key = f"plain-{video}"
        world.history.add("asked", key=key, prompt=CREATE["prompt"], n=1, model=CREATE["model"], callback=False)
        world.history.add("answered", key=key, status=200, video=video)


@scenario(short=1, long=30, ci=False, world={"postgres": ["max_wal_size=64MB", "min_wal_size=32MB"]})
def postgresql(world, dice, rounds):
    """Data and WAL on one file system. PostgreSQL refuses statements, or panics when the WAL cannot grow; its supervisor starts it again."""
    told, starts = {}, world.processes["postgres"].starts
    with Capped(world, world.pg_home / "data", "220m", ["postgres"]) as disk:
        before = pids(world)
        starts = world.processes["postgres"].starts
        with Traffic(world, dice, callers=3):
            for number in range(1, rounds + 1):
                disk.fill()
                end = time.monotonic() + 3 + dice.random() * 5
                while time.monotonic() < end:
                    answer = ask(world, "POST", "/v1/videos", CREATE | {"prompt": "x" * 20000})
                    told[answer[0]] = told.get(answer[0], 0) + 1
                    assert answer[0] in (200, 429, 503, 507), f"a create on a full disk was answered {answer}"
                disk.free()
                world.recover("data full")
                world.progress(number, jobs=world.numbers, answers=told)
        forget_unkeyed(world)
        figures = world.check(("I1", "I2", "I4", "I5", "I6", "I7"))
        none_failed(world)
        assert before == pids(world), "something of ours was restarted"
        starts = world.processes["postgres"].starts - starts
    return figures | {f"answers_{status}": count for status, count in sorted(told.items(), key=str)} | {"postgresql_started_again": starts}


@scenario(short=1, long=20, ci=False)
def providers_folder(world, dice, rounds):
    with Capped(world, world.folder / "sandbox", "16m", ["worker"]) as disk:
        before = pids(world)
        for number in range(1, rounds + 1):
            under_way = [world.job(model=one) for one in ("sandbox-slow", "sandbox", "sandbox-instant")]
            disk.fill()
            more = [world.job(model=one) for one in ("sandbox-slow", "sandbox", "sandbox-instant")]
            time.sleep(1 + dice.random() * 4)
            disk.free()
            world.recover("sandbox full")
            for video in under_way + more:
                wait_for(lambda: world.look(video) in TERMINAL, f"{video} to end")
            world.progress(number, jobs=world.numbers)
        told = world.check(("I1", "I2", "I4", "I5", "I6", "I7"))
        assert before == pids(world), "something of ours was restarted"
    return told


@scenario(short=1, long=10, ci=False)
def logs(world, dice, rounds):
    with Capped(world, world.folder / "log", "2m", list(OURS)) as disk:
        before = pids(world)
        for number in range(1, rounds + 1):
            disk.fill()
            for _ in range(3):
                finished(world)
            disk.free()
            world.recover("log full")
            world.progress(number, jobs=world.numbers)
        told = world.check()
        none_failed(world)
        assert before == pids(world), "something of ours was restarted"
    return told
