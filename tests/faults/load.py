# SPDX-License-Identifier: Apache-2.0
"""Callers beside world.Traffic: Prober measures when work goes on after each fault, Menu asks for every kind of end."""
import random
import threading
import time

from world import JOBS, NO_LOOKUP, TERMINAL


class Prober:
    """One job after the other, each until its end: the first that was asked for after a fault and ends well says when work went on."""

    def __init__(self, world, provider="sandbox", pause=0.05):
        self.world, self.provider, self.pause, self.failure = world, provider, pause, None
        self.stopped, self.waiting, self.lock = threading.Event(), [], threading.Lock()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def fault(self, name):
        """Records a fault and that its end is to be measured."""
        record = self.world.fault(name)
        with self.lock:
            self.waiting.append(record)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, failure, *_):
        end = time.monotonic() + 60
        while self.waiting and time.monotonic() < end and failure is None and self.thread.is_alive():
            time.sleep(0.05)
        self.stopped.set()
        self.thread.join()
        if failure is None and self.failure:
            raise self.failure

    def _run(self):
        try:
            while not self.stopped.is_set():
                self._probe()
                self.stopped.wait(self.pause)
        except AssertionError as failure:
            self.failure = failure

    def _probe(self):
        asked = time.monotonic()
        video = self.world.job(self.provider)
        assert video, "no create was accepted for three minutes"
        while self.world.look(video) not in TERMINAL:
            time.sleep(0.05)
            assert time.monotonic() - asked < 600, f"{video} has not ended for ten minutes"  # an open submission takes some
        with self.lock:
            over = [one for one in self.waiting if one["at"] <= asked]
            self.waiting = [one for one in self.waiting if one["at"] > asked]
        for one in over:
            self.world.recovered(one["name"], one["at"])


def _plain(provider, **fields):
    return lambda world, dice: world.job(provider, **fields)


def _canceled(world, dice):
    video = world.job(model="sandbox-slow")
    time.sleep(dice.random())
    world.cancel(video)


def _deleted(world, dice):
    video = world.job()
    world.forget(video)


def _together(world, dice):
    """Small calls that travel together."""
    threads = [threading.Thread(target=world.persist, args=("GET", "/v1/models", (200,)), daemon=True) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


MENU = {
    "together": _together,
    "instant": _plain("sandbox"), "twice": _plain("sandbox", n=2), "rendered": _plain("sandbox", model="sandbox"),
    "refused first": _plain("sandbox", model="sandbox-flaky"), "failed": _plain("sandbox", model="sandbox-fail"),
    "answer lost": _plain("sandbox", model="sandbox-ambiguous"), "cut off": _plain("sandbox", model="sandbox-truncated"),
    "canceled": _canceled, "deleted": _deleted,
    "kling": _plain("kling"), "kling failed": _plain("kling", words="[sim:outcome=failed]"),
    "kling answer lost": _plain("kling", words="[sim:submit=reset_after]"),
    "kling slow": _plain("kling", words="[sim:fetch=slow_body,seconds=2]"),
    "xai": _plain("xai"), "xai answer lost": _plain("xai", words="[sim:submit=reset_after]"), "xai expired": _plain("xai", words="[sim:outcome=expired]"),
}


class Menu:
    """Callers that ask for everything on the menu, again and again in another order."""

    def __init__(self, world, dice, callers=3, pause=0.1, without=()):
        self.world, self.pause, self.failure, self.stopped = world, pause, None, threading.Event()
        self.dishes = [make for name, make in MENU.items() if name not in without and (name.split()[0] not in JOBS or name.split()[0] in world.providers)]
        self.threads = [threading.Thread(target=self._run, args=(random.Random(dice.random()),), daemon=True) for _ in range(callers)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, failure, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()
        if failure is None and self.failure:
            raise self.failure

    def _run(self, dice):
        try:
            while not self.stopped.is_set():
                for make in dice.sample(self.dishes, len(self.dishes)):
                    if not self.stopped.is_set():
                        make(self.world, dice)
                        self.stopped.wait(dice.random() * 2 * self.pause)
        except AssertionError as failure:
            self.failure = failure


def check_ends(world):
    """Nothing ended otherwise than asked for; jobs at providers that cannot be asked may end as submission_unknown. Their count."""
    from history import accepted, ends

    unknown = 0
    for video, end in ends(world.history).items():
        create = accepted(world.history)[video]
        provider = create["model"].split("/")[0]
        wanted = create["prompt"].split("[sim:outcome=")[1].split("]")[0] if "[sim:outcome=" in create["prompt"] else "completed"
        wanted = "failed" if create["model"] == "sandbox-fail" else wanted
        if end["status"] == wanted or (wanted == "completed" and end["status"] == "canceled" and create["model"] == "sandbox-slow"):
            continue
        if provider in NO_LOOKUP and "submission_unknown" in end["body"]:
            unknown += 1
            continue
        raise AssertionError(f"{video} of {create['model']} ({create['prompt']!r}) ended as {end['body']}")
    return unknown
