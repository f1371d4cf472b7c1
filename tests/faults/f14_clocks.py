# SPDX-License-Identifier: Apache-2.0
"""F14: the wall clock of one process jumps by an hour or three days, either way (libfaketime); then it is right again."""
import glob
import pathlib
import subprocess
import time

from history import ends
from load import Prober, check_ends
from scenario import Left, scenario
from vg import BUILD, wait_for
from world import TERMINAL

ROW, TITLE, BOUND = "F14", "clocks that jump", "no lease is lost or stolen by it; callbacks with a wrong time are sent again once it is right"
JUMPS = {"an hour ahead": "+1h", "an hour back": "-1h", "three days ahead": "+3d", "three days back": "-3d"}


class Clock:
    """The wall clock of one process; its monotonic clock stays."""

    def __init__(self, world, name):
        libraries = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
        if not libraries:
            raise Left("libfaketime is not installed (Debian: faketime)")
        self.file = pathlib.Path(world.folder) / f"clock-{name}"
        self.set("+0")
        self.process = world.processes[name]
        preload = libraries[0]
        linked = subprocess.run(["ldd", str(BUILD / "bin/videogate-service")], capture_output=True, text=True).stdout
        sanitizer = next((line.split("=>")[1].split()[0] for line in linked.splitlines() if "libasan" in line), None)
        if sanitizer:
            preload = f"{sanitizer}:{preload}"
        self.process.extra = {"LD_PRELOAD": preload, "FAKETIME_TIMESTAMP_FILE": str(self.file), "FAKETIME_NO_CACHE": "1",
                              "FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
        self.process.stop()
        self.process.start()

    def set(self, jump):
        new = self.file.with_suffix(".new")
        new.write_text(jump + "\n")
        new.rename(self.file)


def _stamps(world, since):
    return [one for one in world.history.of("callback") if one["at"] > since]


@scenario(short=1, long=4, ci=False, world={"providers": ("sandbox", "xai"), "services": 2, "env": {"VIDEOGATE_WEBHOOK_SCHEDULE": "0s," + ",".join(["2s"] * 31)}})
def one_process_at_a_time(world, dice, rounds):
    """Service, worker, bridge and webhook sender. The receiver refuses what is five minutes off, as the standard's libraries do.
    Not kling: its keys sign tokens with a time of their own, which a provider refuses by right."""
    refused = {"count": 0}

    def judge(_, record):
        if not record["verified"]:
            refused["count"] += 1
            return 400
        return 200

    world.receiver.answers["/done"] = judge
    names = ("service", "service2", "worker-xai", "bridge", "webhook")
    clocks = {name: Clock(world, name) for name in names}
    for number in range(1, rounds + 1):
        for name in dice.sample(names, len(names)):
            for what, jump in (sorted(JUMPS.items()) if rounds > 1 else dice.sample(sorted(JUMPS.items()), 1)):
                early = world.job("xai")
                clocks[name].set(jump)
                world.fault(f"{name} is {what}")
                videos = [early, world.job("xai"), world.job()]
                if name.startswith("worker"):
                    # What reaches a worker later than its deadline is not sent on: such a clock makes jobs wait.
                    time.sleep(2)
                    clocks[name].set("+0")
                for video in videos:
                    wait_for(lambda one=video: world.look(one) in TERMINAL, f"a job to end while {name} is {what}", pause=0.05)
                world.recovered(f"{name} is {what}")
                clocks[name].set("+0")
                world.progress(number, now=f"{name} {what}")
    wait_for(lambda: not world.sql("SELECT 1 FROM deliveries WHERE state = 1"), "all callbacks", pause=0.3)
    # What a sender with a wrong clock signed was refused; that is what the standard wants. The rest must hold.
    wrong = [one for one in world.history.of("callback") if not one["verified"]]
    assert all(one["answered"] == 400 for one in wrong)
    world.history.drop(wrong)
    lost = sum(sum(world.metric(world.processes[one].monitor - world.base, "videogate_generation_lease_lost_total").values()) for one in world.service_names())
    assert lost == 0, f"{lost:.0f} leases were lost although no process was away"
    figures = world.check()
    return figures | {"submission_unknown": check_ends(world), "leases_lost": int(lost), "callbacks_refused_for_their_time": refused["count"]}


@scenario(short=1, long=4, ci=False, world={"providers": ("sandbox", "kling"), "services": 2})
def clock_of_the_database(world, dice, rounds):
    """PostgreSQL's clock decides about leases and deadlines. Ahead: leases that are held seem to be over, and are taken, and what has passed its
    deadline times out; nothing is done twice. Back: what waits waits until the clock is right again."""
    libraries = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    if not libraries:
        raise Left("libfaketime is not installed (Debian: faketime)")
    file = pathlib.Path(world.pg_home) / "clock"
    file.write_text("+0\n")
    file.chmod(0o644)
    postgres = world.processes["postgres"]
    plain = postgres.command

    def command():
        # Behind the change of user: the library's semaphore must belong to it.
        words = [str(one) for one in plain()]
        at = next(number for number, one in enumerate(words) if one.endswith("/postgres"))
        return [*words[:at], "env", f"LD_PRELOAD={libraries[0]}", f"FAKETIME_TIMESTAMP_FILE={file}", "FAKETIME_NO_CACHE=1",
                "FAKETIME_DONT_FAKE_MONOTONIC=1", "DONT_FAKE_MONOTONIC=1", *words[at:]]

    postgres.command = command
    world.kill("postgres", record=False)
    world.start_all()
    with Prober(world, pause=0.2) as prober:
        for number in range(1, rounds + 1):
            for jump in ("+1h", "-1h", "+3d", "-3d"):
                for _ in range(3):
                    world.job("kling")
                file.write_text(jump + "\n")
                time.sleep(2 + dice.random())
                file.write_text("+0\n")
                prober.fault(f"the database's clock was {jump}")
                wait_for(lambda: not prober.waiting, f"work to go on after the database's clock was {jump}", patience=120)
                world.progress(number, now=jump)
    figures = world.check()
    return figures | {"timed_out": sum('"timeout"' in end["body"] for end in ends(world.history).values())}
