# SPDX-License-Identifier: Apache-2.0
"""The table of common/crash_point.c, and slots: one for each process that is killed at one place after the other."""
import concurrent.futures
import pathlib
import re
import time

from load import MENU
from vg import BUILD, ROOT

LIMIT, AGAIN = 40, 3  # seconds in which a place must be reached; in which what leads there is asked for again
# What leads to a place, where any job does not.
WAYS = {"pending": "refused first", "failed": "failed", "canceled": "canceled", "expired": "xai expired", "unknown": "xai answer lost",
        "Cancel": "canceled", "Lookup": "answer lost", "lookup": "kling answer lost", "video_cancel": "canceled", "CancelVideo": "canceled",
        "video_delete": "deleted", "video_purge": "deleted", "DeleteVideo": "deleted", "generation_renew": "kling slow", "Batch": "together",
        "running": "kling", "Poll": "kling"}
# Names that the campaign does not reach, and why.
NOT_REACHED = {}


def built_in():
    return "VG_CRASH_POINTS:BOOL=ON" in (pathlib.Path(BUILD) / "CMakeCache.txt").read_text()


def table():
    """{name: [processes]} with .before and .after."""
    source = (ROOT / "common/crash_point.c").read_text()
    rows = re.findall(r'^    \{"([a-zA-Z_.]+)", "([a-z0-9 -]+)"\},', source, re.M)
    assert len(rows) > 20, "the table of common/crash_point.c was not found"
    return {f"{name}.{when}": processes.split() for name, processes in rows for when in ("before", "after")}


def way(process, name):
    """The dish of MENU that leads `process` to the place."""
    what = name.split(".")[1]
    if process.startswith("worker-"):
        provider = process.removeprefix("worker-")
        return "kling answer lost" if what in ("lookup", "Lookup") else provider
    return WAYS.get(what, "instant")


class Slot:
    """One process and the names it is to die at."""

    def __init__(self, process, names):
        self.process, self.names, self.name, self.since, self.asked = process, names, None, 0.0, 0.0

    def arm(self, nth):
        self.name, self.since, self.asked = self.names.pop(0), time.monotonic(), 0.0
        self.process.start(wait=False, VIDEOGATE_CRASH_AT=f"{self.name}:{nth}")


class Campaign:
    """Kills every process at every place; `reached` and `missed` are pairs of process and name. `died(process, name)` is told."""

    def __init__(self, world, dice, died, most_nth=1):
        self.world, self.dice, self.died, self.most_nth = world, dice, died, most_nth
        self.reached, self.missed, self.asks, self.tries = set(), set(), [], {}
        services, queues, turn = world.service_names(), {}, 0
        for name, processes in table().items():
            for process in processes:
                if process == "services":
                    process, turn = services[turn % len(services)], turn + 1
                queues.setdefault(process, []).append(name)
        for names in queues.values():
            dice.shuffle(names)
        self.slots = [Slot(world.processes[process], names) for process, names in sorted(queues.items()) if process in world.processes]

    def run(self, progress=lambda: None):
        for slot in self.slots:
            self.world.kill(slot.process.name, record=False)
            slot.arm(1)
        with concurrent.futures.ThreadPoolExecutor(16) as self.callers:
            open_slots = list(self.slots)
            while open_slots:
                time.sleep(0.02)
                progress()
                open_slots = [slot for slot in open_slots if self._step(slot)]
            self.world.start_all()
        for ask in self.asks:
            ask.result()

    def _ask(self, slot):
        """Any of the services may get the job: more than one, and again after a while."""
        slot.asked = time.monotonic()
        times = 2 if slot.process.name.startswith("service") else 1
        self.asks += [self.callers.submit(MENU[way(slot.process.name, slot.name)], self.world, self.dice) for _ in range(times)]

    def _missed(self, slot, which):
        """Another process may have taken every job that led there: the name goes to the next slot that can have it, twice at most."""
        self.missed.add(which)
        self.tries[slot.name] = self.tries.get(slot.name, 0) + 1
        if self.tries[slot.name] <= 2:
            family = [one for one in self.slots if one.process.name.startswith("service")] if slot.process.name.startswith("service") and (
                "services" in table()[slot.name]) else [slot]
            busy = [one for one in family if one.names or one is slot] or [slot]
            self.dice.choice(busy).names.append(slot.name)

    def _step(self, slot):
        """False when this slot is through."""
        process, which, now = slot.process, (slot.process.name, slot.name), time.monotonic()
        if process.alive() and now - slot.since < LIMIT:
            if now - slot.asked > AGAIN and now - slot.since > 0.3:
                self._ask(slot)
            return True
        if process.alive():
            self._missed(slot, which)
            process.kill()
        else:
            code = process.process.returncode
            assert code == -9, f"{process.name} ended with {code} at {slot.name}:\n{process.log()[-2000:]}"
            self.reached.add(which)
            self.died(*which)
        if not slot.names:
            process.start(wait=False)
            return False
        slot.arm(self.dice.randint(1, self.most_nth))
        return True
