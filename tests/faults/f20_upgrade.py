# SPDX-License-Identifier: Apache-2.0
"""F20: programs of an earlier commit and of now, one after the other and at once, over a migration and back, with jobs in flight."""
import os
import pathlib
import subprocess
import time

import vg
import world as worlds
from scenario import Left, scenario
from vg import ROOT, readyz, wait_for
from world import Traffic, World

ROW, TITLE, BOUND = "F20", "rolling upgrade and downgrade", "I1 to I6 with old and new programs at once; new programs refuse an old schema and say why"
PROGRAMS = ("videogate-service", "videogatectl", "videogate-bridge", "videogate-worker", "videogate-webhook")


def _git(*words):
    return subprocess.run(["git", "-C", ROOT, *words], check=True, capture_output=True, text=True).stdout.strip()


def old_build():
    """The programs of the commit before the newest migration, built once (VG_OLD names another commit). Its folder."""
    try:
        newest = _git("log", "-1", "--format=%H", "--diff-filter=A", "--", "db/migrations")
        commit = _git("rev-parse", os.environ.get("VG_OLD", f"{newest}^"))
    except (subprocess.CalledProcessError, FileNotFoundError) as error:
        raise Left("no git history here") from error
    home = ROOT / "build/faults/old" / commit[:12]
    if not all((home / "build/bin" / name).exists() for name in PROGRAMS):
        if not (home / "source").exists():
            _git("worktree", "add", "--detach", str(home / "source"), commit)
        try:
            subprocess.run(["cmake", "-S", home / "source", "-B", home / "build", "-G", "Ninja", "-DCMAKE_C_COMPILER_LAUNCHER=ccache", "-DVG_TEST_SETS="],
                           check=True, capture_output=True)
            subprocess.run(["ninja", "-C", home / "build", *PROGRAMS], check=True, capture_output=True)
        finally:
            _git("worktree", "remove", "--force", str(home / "source"))
    return commit, home / "build"


def _missing(old):
    """Migrations that the old programs do not have."""
    return sorted(path.stem for path in pathlib.Path(ROOT, "db/migrations").glob("*.sql")
                  if subprocess.run(["grep", "-qa", path.stem, old / "bin/videogatectl"], check=False).returncode != 0)


class Versions:
    """Which programs are started next, and which videogatectl runs."""

    def __init__(self, old):
        self.folders = {"old": old, "new": vg.BUILD}

    def use(self, version):
        vg.BUILD = worlds.BUILD = self.folders[version]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.use("new")


def _replace(world, versions, name, version, hard):
    """Stops a program, or kills it, and starts the other version."""
    versions.use(version)
    world.fault(f"{name} replaced")
    if hard:
        world.kill(name, record=False)
    else:
        world.processes[name].stop()
    world.processes[name].start()
    world.recover(f"{name} replaced")


@scenario(short=1, long=5, ci=False, world=False)
def rolling(apart, dice, rounds):
    """Old programs under load; a new service meets the old schema; the migration; a round then takes every program up, some down, and up again."""
    commit, old = old_build()
    missing = _missing(old)
    with Versions(old) as versions:
        versions.use("old")
        with World(apart.folder, services=2) as world:
            world.hurried = True
            with Traffic(world, dice, callers=3, pause=0.1):
                time.sleep(2)
                world.processes["service2"].stop()
                versions.use("new")
                world.processes["service2"].start(wait=False)
                if missing:
                    refused = _refusal(world)
                    assert "migrat" in refused, f"a new service on an old schema says: {refused}"
                start = time.monotonic()
                printed = subprocess.run([str(vg.BUILD / "bin/videogatectl"), "migrate"], env=world._ctl_env, check=True, capture_output=True, text=True).stdout
                took = time.monotonic() - start
                assert all(name in printed for name in missing), f"videogatectl migrate printed {printed!r}, not {missing}"
                wait_for(lambda: readyz(world.processes["service2"].monitor)[0] == 200, "the new service to go on by itself")
                names = ["service", "service2", "bridge", "worker", "webhook"]
                for number in range(1, rounds + 1):
                    for version in ("new", "old", "new"):
                        for name in dice.sample(names, len(names)):
                            _replace(world, versions, name, version, dice.random() < 0.5)
                            time.sleep(dice.random())
                    apart.progress(number, jobs=world.numbers)
            return world.check(I8={"bound_ms": 60000}) | {"from": commit[:10], "migrations": len(missing), "migrated in ms": round(took * 1000)}


def _refusal(world):
    told = []

    def heard():
        status, text = readyz(world.processes["service2"].monitor)
        told.append(f"{status} {text}")
        return status == 503 and "migrat" in str(text)

    try:
        wait_for(heard, "a refusal", patience=30)
    except AssertionError:
        return told[-1]
    return told[-1]
