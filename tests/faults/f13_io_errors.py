# SPDX-License-Identifier: Apache-2.0
"""F13: the disk says EIO. strace makes the system calls of a running program fail."""
import re
import shutil
import signal
import subprocess
import time

from scenario import Left, scenario
from vg import TERMINAL, wait_for
from world import Traffic

ROW, TITLE, BOUND = "F13", "fsync, write and read fail with EIO", "PostgreSQL panics and comes back, we reconnect; a result that cannot be stored is fetched again; nothing lost"


class Broken:
    """These system calls of the program fail with EIO, on the files under `path` if given; children of it, too."""

    def __init__(self, pids, calls, when=""):
        if shutil.which("strace") is None:
            raise Left("strace is not installed")
        spec = f"inject={calls}:error=EIO{when}"
        self.strace = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}", "-e", spec,
                                        *[word for pid in pids for word in ("-p", str(pid))]], stderr=subprocess.PIPE, text=True)
        time.sleep(0.3)
        if self.strace.poll():  # 0: all it traced have died of it
            raise Left("no right to trace: " + self.strace.stderr.read().strip()[:200])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.strace.poll() is None:
            self.strace.send_signal(signal.SIGINT)
        self.strace.wait(20)
        self.strace.stderr.close()


@scenario(short=1, long=20, ci=False)
def blob_store(world, dice, rounds):
    """Each call of a write's way to the disk in turn: create, sync of the file, rename; and the read of a download."""
    before = world.pid("service")
    done = world.job()
    wait_for(lambda: world.look(done) in TERMINAL, "a first job")
    whole = world.http("GET", f"/v1/videos/{done}/content").body
    broken = 0
    for number in range(1, rounds + 1):
        for calls in ("fsync", "renameat", "flock", "pread64"):
            with Broken([before], calls):
                world.fault("EIO of " + calls)
                videos = [world.job(n=2), world.job(model="sandbox")]
                end = time.monotonic() + 1.5 + dice.random()
                while time.monotonic() < end:
                    assert all(world.look(one) != "failed" for one in videos), f"a job failed because {calls} did"
                    if calls == "pread64":
                        try:
                            answer = world.http("GET", f"/v1/videos/{done}/content", timeout=20)
                            assert answer.status >= 500 and answer.error, f"a download that cannot be read was answered {answer.status}"
                        except OSError:
                            pass
                        except Exception as error:  # noqa: BLE001  an answer that breaks off
                            assert "IncompleteRead" in type(error).__name__, error
                        broken += 1
                    time.sleep(0.1)
            world.recover("EIO of " + calls)
            assert world.http("GET", f"/v1/videos/{done}/content").body == whole
        world.progress(number, jobs=world.numbers)
    told = world.check()
    assert world.pid("service") == before, "the service was restarted"
    failed = [one["body"] for one in world.history.of("seen") if one["status"] == "failed"]
    assert not failed, failed[0]
    return told | {"downloads_refused": broken}


@scenario(short=1, long=20, ci=False, world={"postgres": ["restart_after_crash=on"]})
def postgresql(world, dice, rounds):
    """fdatasync of the WAL fails once: PANIC, crash recovery; what was not acknowledged is asked again by us."""
    mine = {name: world.pid(name) for name in ("bridge", "service", "worker", "webhook")}
    with Traffic(world, dice, callers=3):
        for number in range(1, rounds + 1):
            time.sleep(0.3 + dice.random())
            panics = len(re.findall("PANIC", world.log("postgres")))
            backends = [row[0] for row in world.sql("SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid()")]
            with Broken(backends, "fdatasync,fsync", ":when=1"):
                world.fault("EIO of the WAL's sync")
                wait_for(lambda: len(re.findall("PANIC", world.log("postgres"))) > panics, "PostgreSQL to panic", 30, 0.02)
            world.recover("EIO of the WAL's sync")
            world.progress(number, jobs=world.numbers)
    told = world.check()
    assert mine == {name: world.pid(name) for name in mine}, "something of ours was restarted"
    return told | {"panics": len(re.findall("PANIC", world.log("postgres")))}
