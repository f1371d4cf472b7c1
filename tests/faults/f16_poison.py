# SPDX-License-Identifier: Apache-2.0
"""F16: a job that kills the process which handles it, each time: its worker, or the services."""
import threading

from load import Prober
from scenario import scenario
from vg import wait_for
from world import TERMINAL

ROW, TITLE, BOUND = "F16", "poison", "the job ends after some tries; others are not lost"
POISON = "poison-"


class Poison:
    """Kills `victim` each time the simulator gets a request of `kind` that belongs to a poisoned job. Restarts it, as systemd would."""

    def __init__(self, world, sim, kind, victims):
        self.world, self.sim, self.kind, self.victims, self.deaths = world, sim, kind, victims, 0
        self.stopped, self.count = threading.Event(), sim._count
        sim._count = self._seen
        self.keeper = threading.Thread(target=self._keep, daemon=True)

    def _poisoned(self, request):
        return POISON.encode() in request.body or any(POISON in job.prompt and job.id in request.target for job in list(self.sim.history))

    def _seen(self, request):
        if request.kind == self.kind and self._poisoned(request):
            self.deaths += 1
            self.world.fault(f"poison in {self.kind}")
            for name in self.victims:
                self.world.processes[name].kill()
            raise OSError("the caller is dead")
        self.count(request)

    def _keep(self):
        while not self.stopped.wait(0.2):
            for name in self.victims:
                if not self.world.processes[name].alive():
                    self.world.processes[name].start(wait=False)

    def __enter__(self):
        self.keeper.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.keeper.join()
        self.sim._count = self.count


def _run(world, kind, victims, most):
    """One poisoned job among others; how often it killed."""
    with Poison(world, world.sims["kling"], kind, victims) as poison, Prober(world, pause=1):
        bad = world.job("kling", words=POISON + kind)
        good = [world.job("kling") for _ in range(3)]

        def over():
            if world.hurried:
                world.hurry()
            return world.look(bad) in TERMINAL

        wait_for(over, f"a job that kills {victims} in {kind} to end", patience=1200, pause=0.3)
        wait_for(lambda: all(world.look(one) in TERMINAL for one in good), "the others to end", pause=0.2)
    assert world.get(bad)["status"] == "failed", world.get(bad)
    assert all(world.get(one)["status"] == "completed" for one in good), "a job beside the poisoned one did not complete"
    assert 1 <= poison.deaths <= most, f"a poisoned job killed {poison.deaths} times in {kind}"
    return poison.deaths


def _figures(world, deaths):
    # How long work stands still is the same fault, whichever request it was.
    for one in world.history.of("fault"):
        if one["name"].startswith("poison"):
            one["name"] = "poison"
    return world.check() | {f"deaths_in_{kind}": count for kind, count in deaths.items()}


def _rounds(world, dice, rounds, kinds, victims):
    deaths = {}
    for number in range(1, rounds + 1):
        for kind in dice.sample(kinds, len(kinds)):
            deaths[kind] = max(deaths.get(kind, 0), _run(world, kind, victims, 14 * len(victims)))
            world.progress(number, deaths=deaths)
    return _figures(world, deaths)


@scenario(short=1, long=2, world={"providers": ("sandbox", "kling"), "services": 2})
def kills_its_worker(world, dice, rounds):
    """In Submit and Poll; a fetch that is lost twelve times waits for minutes in between: see the next."""
    return _rounds(world, dice, rounds, ("submit", "poll") if rounds > 1 else ("submit",), ("worker-kling",))


@scenario(short=1, long=1, ci=False, world={"providers": ("sandbox", "kling"), "services": 2})
def kills_in_fetch(world, dice, rounds):
    return _rounds(world, dice, rounds, ("fetch",), ("worker-kling",))


@scenario(short=1, long=1, ci=False, world={"providers": ("sandbox", "kling"), "services": 2})
def kills_the_services(world, dice, rounds):
    """A result that takes every service with it: whichever of them fetches it is killed."""
    return _rounds(world, dice, rounds, ("fetch",), ("service", "service2"))
