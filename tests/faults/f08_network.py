# SPDX-License-Identifier: Apache-2.0
"""F8: what networks do, between each pair of processes: silence in one or both directions, resets in the middle of a message, delay,
a narrow line, connections that are half open; and lost packets (iptables) on all of them."""
import subprocess
import threading
import time

from history import percentile
from load import Menu, Prober, check_ends
from scenario import Left, scenario
from vg import wait_for
from world import TERMINAL, Traffic

ROW, TITLE, BOUND = "F8", "the network", "I1 to I7; a caller is answered within its deadline"
LINKS = ("bridge-service", "service-postgres", "service-worker", "service-webhook", "worker-simulator", "webhook-receiver")
RPC_TIMEOUT = 5
WORLD = {"providers": ("sandbox", "kling", "xai"), "services": 1, "proxied": LINKS, "env": {"VIDEOGATE_RPC_TIMEOUT": f"{RPC_TIMEOUT}s"}}


def modes(dice):
    """{name: (mode of the proxy, seconds that it lasts)}"""
    after = dice.randrange(1, 3000)
    return {
        "silence towards the server": ({"stall": "up"}, 3), "silence from the server": ({"stall": "down"}, 3), "silence": ({"stall": "both"}, 3),
        "reset in a message": ({"reset": True, "after": after}, 2), "end in a message": ({"after": after}, 2),
        "half closed": ({"half_close": "down", "after": after}, 2), "refused": ({"refuse": True}, 2),
        "50 ms": ({"delay": 0.05}, 2), "up to 2 s": ({"delay": 0.1, "jitter": 1.9}, 5), "1 Mbit": ({"drip": 125000}, 3),
    }


class Caller:
    """Asks for a list twice a second and writes down how long the answer took, whatever it was."""

    def __init__(self, world):
        self.world, self.took, self.stopped = world, [], threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self.stopped.wait(0.5):
            start = time.monotonic()
            try:
                self.world.http("GET", "/v1/videos?limit=1", timeout=60)
            except OSError:
                pass
            self.took.append(time.monotonic() - start)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()


def _proxies(world, link):
    return [proxy for name, proxy in world.proxies.items() if name.startswith(link)]


@scenario(short=1, long=6, world=WORLD)
def each_link(world, dice, rounds):
    """A round goes through every link and every mode; CI takes one mode for each link."""
    with Caller(world) as caller, Menu(world, dice, callers=1, pause=0.5, without=("kling slow", "canceled")), Prober(world) as prober:
        for number in range(1, rounds + 1):
            for link in dice.sample(LINKS, len(LINKS)):
                now = modes(dice)
                for name in dice.sample(sorted(now), len(now)) if rounds > 1 else dice.sample(sorted(now), 1):
                    mode, seconds = now[name]
                    for proxy in _proxies(world, link):
                        proxy.set(**mode)
                    if "after" in mode or "refuse" in mode:
                        for proxy in _proxies(world, link):
                            proxy.cut(reset=True)
                    time.sleep(seconds if rounds > 1 else seconds / 2)
                    prober.fault(f"{name} at {link}")
                    for proxy in _proxies(world, link):
                        proxy.clear()
                    world.progress(number, now=f"{name} at {link}")
    slowest = max(caller.took)
    assert slowest < RPC_TIMEOUT + 10, f"a caller waited {slowest:.1f} s; the deadline of its call is {RPC_TIMEOUT} s"
    figures = world.check()
    return figures | {"submission_unknown": check_ends(world), "slowest_answer_ms": round(slowest * 1000),
                      "answers_p99_ms": round(percentile(caller.took, 99) * 1000)}


@scenario(short=1, long=2, ci=False, world=WORLD)
def half_open(world, dice, rounds):
    """Every connection of a link swallows what is sent and never ends: keepalive or a deadline must find out, and connect anew. What was
    submitted through it has its end two minutes later."""
    with Prober(world, pause=0.3) as prober:
        for number in range(1, rounds + 1):
            for link in dice.sample(LINKS, len(LINKS)):
                for proxy in _proxies(world, link):
                    proxy.set(blackhole="both")
                ask = threading.Thread(target=world.job, args=("kling",), daemon=True)
                ask.start()
                time.sleep(1)
                for proxy in _proxies(world, link):
                    proxy.clear()
                prober.fault("half open at " + link)
                wait_for(lambda: not prober.waiting, f"work to go on after connections were half open at {link}", patience=600)
                ask.join()
                world.progress(number, now=link)
    figures = world.check()
    return figures | {"submission_unknown": check_ends(world)}


@scenario(short=1, long=4, ci=False, world={"providers": ("sandbox", "kling", "xai"), "services": 2}, netns=True)
def lost_packets(world, dice, rounds):
    """1, 5 and 10 % of all packets are lost, in a network namespace of the world's own."""
    rule = ["INPUT", "-i", "lo", "-p", "tcp", "-m", "statistic", "--mode", "random", "--probability"]
    try:
        subprocess.run(["iptables", "-A", *rule, "0.01", "-j", "DROP"], check=True, capture_output=True)
        subprocess.run(["iptables", "-D", *rule, "0.01", "-j", "DROP"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Left(f"iptables does not work here: {error}") from None
    for number in range(1, rounds + 1):
        for percent in (1, 5, 10):
            line = [*rule, str(percent / 100), "-j", "DROP"]
            subprocess.run(["iptables", "-A", *line], check=True)
            world.fault(f"{percent} % lost")
            start = time.monotonic()
            with Traffic(world, dice, callers=2, pause=0.5):
                video = world.job()
                wait_for(lambda one=video: world.look(one) in TERMINAL, "a job to end while packets are lost", pause=0.2)
                time.sleep(8)
            subprocess.run(["iptables", "-D", *line], check=True)
            world.recovered(f"{percent} % lost", start + 8)
            world.progress(number, lost=f"{percent} %")
    figures = world.check()
    return figures | {"submission_unknown": check_ends(world)}
