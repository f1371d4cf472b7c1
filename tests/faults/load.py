# SPDX-License-Identifier: Apache-2.0
"""Callers beside world.Traffic: Prober measures when work goes on after each fault, Menu asks for every kind of end, Crowd for many jobs."""
import http.client
import json
import random
import threading
import time

import planted
from vg import Answer
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


class Kept:
    """World.http on a connection that stays open from one request to the next."""

    def __init__(self, world):
        self.world, self.connection = world, http.client.HTTPConnection("127.0.0.1", world.base)

    def http(self, method, path, body, headers, timeout):
        out = {**headers, "authorization": f"Bearer {self.world.key}", "content-type": "application/json"}
        planted.note_request(path, body, out)
        self.connection.timeout = timeout
        try:
            self.connection.request(method, path, body=json.dumps(body), headers=out)
            answer = self.connection.getresponse()
            return Answer(answer.status, {}, answer.read())
        except BaseException:
            self.connection.close()
            raise


class Callers:
    """Threads that take one turn after the other until the block ends; what one of them finds wrong is raised then."""

    def __init__(self, world, dice, callers):
        self.world, self.failure, self.stopped = world, None, threading.Event()
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
        kept = Kept(self.world)
        try:
            while not self.stopped.is_set():
                self.turn(dice, kept)
        except AssertionError as failure:
            self.failure = failure


class Menu(Callers):
    """Callers that ask for everything on the menu, again and again in another order."""

    def __init__(self, world, dice, callers=3, pause=0.1, without=()):
        super().__init__(world, dice, callers)
        self.pause = pause
        self.dishes = [make for name, make in MENU.items() if name not in without and (name.split()[0] not in JOBS or name.split()[0] in world.providers)]

    def turn(self, dice, _):
        for make in dice.sample(self.dishes, len(self.dishes)):
            if not self.stopped.is_set():
                make(self.world, dice)
                self.stopped.wait(dice.random() * 2 * self.pause)


class Crowd(Callers):
    """Many jobs: `rate` a second while `most` at most are open, that is accepted and not yet called back. `shares` says how many go where.
    They are called back at 100 addresses: each takes eight at a time, and a place whose sender died is free again when its lease is over."""

    def __init__(self, world, dice, rate=150, callers=12, most=1500, shares=None):
        super().__init__(world, dice, callers)
        self.rate, self.most, self.shares = rate, most, shares or {"sandbox": 1}
        self.next, self.lock = time.monotonic(), threading.Lock()

    def _wait(self):
        """Until it is time for the next; what a fault took is not made up for."""
        with self.lock:
            now = time.monotonic()
            self.next = max(self.next + 1 / self.rate, now - 1)
            wait = self.next - now
        if wait > 0:
            self.stopped.wait(wait)
        while self.world.numbers - self.world.history.count("callback") > self.most and not self.stopped.wait(0.05):
            pass

    def turn(self, dice, kept):
        self._wait()
        provider = dice.choices(list(self.shares), self.shares.values())[0]
        url = self.world.receiver.url(host=f"127.0.0.{dice.randint(1, 100)}")
        assert self.world.job(provider, http=kept.http, callback_url=url), f"a create at {provider} was not accepted in time"


def check_ends(world):
    """Nothing ended otherwise than asked for; jobs at providers that cannot be asked may end as submission_unknown. Their count."""
    from history import accepted, ends

    unknown, creates = 0, accepted(world.history)
    for video, end in ends(world.history).items():
        create = creates[video]
        provider = create["model"].split("/")[0]
        wanted = create["prompt"].split("[sim:outcome=")[1].split("]")[0] if "[sim:outcome=" in create["prompt"] else "completed"
        wanted = "failed" if create["model"] == "sandbox-fail" else wanted
        if end["status"] == wanted or (wanted == "completed" and end["status"] == "canceled" and create["model"] == "sandbox-slow"):
            continue
        if provider in NO_LOOKUP and "submission_unknown" in end["body"]:
            unknown += 1
            continue
        # Three submissions are all it has; its own refusal is one, and one that was killed before it left counts, too.
        if create["model"] == "sandbox-flaky" and end["status"] == "failed" and '"provider_error"' in end["body"]:
            continue
        raise AssertionError(f"{video} of {create['model']} ({create['prompt']!r}) ended as {end['body']}")
    return unknown
