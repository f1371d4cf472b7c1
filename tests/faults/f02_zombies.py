# SPDX-License-Identifier: Apache-2.0
"""F2: SIGSTOP of a process that holds leases, for a sixth, one and four times the lease, at named places; then SIGCONT."""
import pathlib
import threading
import time

import crash_points
from load import MENU, Prober, check_ends
from scenario import Left, scenario
from vg import wait_for

ROW, TITLE, BOUND = "F2", "zombies", "I2, I7: what a sleeper wants to write after its lease is refused"
LEASE = 2  # seconds; of 30 in the product
SLEEPS = {"a sixth of a lease": LEASE / 6, "a lease": LEASE * 1.1, "four leases": LEASE * 4}
# (place, what leads there, whether a write of the sleeper is still to come, and must be refused when it slept too long)
PLACES = (("commit.generation_claim.after", "instant", False), ("state.submitting.after", "kling", False), ("call.Submit.before", "kling", False),
          ("call.Submit.after", "instant", True), ("call.Poll.after", "kling", True), ("call.Fetch.after", "kling", True),
          ("state.running.before", "kling", True), ("state.fetching.before", "kling", True), ("state.stored.before", "instant", True),
          ("blob.rename.before", "kling", True), ("call.Submit.after", "xai", True), ("call.Submit.before", "xai", False))


def frozen(process):
    try:
        return pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T"
    except OSError:
        return False


def lease_lost(world, process):
    return sum(world.metric(process.monitor - world.base, "videogate_generation_lease_lost_total").values())


def sleep_at(world, dice, place, dish, seconds):
    """One service stops at the place, sleeps, and goes on; how many of its writes were refused since."""
    process = world.processes[dice.choice(world.service_names())]
    process.kill()
    process.start(wait=False, VIDEOGATE_FREEZE_AT=place)
    end, asks = time.monotonic() + 30, []
    while not frozen(process) and time.monotonic() < end:
        asks.append(threading.Thread(target=MENU[dish], args=(world, dice), daemon=True))  # the one that sleeps may be the one that is asked
        asks[-1].start()
        for _ in range(50):
            time.sleep(0 if frozen(process) else 0.02)
    assert frozen(process), f"no service stopped at {place}"
    time.sleep(seconds)
    process.thaw()
    process.wait_ready()
    for ask in asks:
        ask.join()
    return process


@scenario(short=2, long=72, world={"providers": ("sandbox", "kling", "xai"), "services": 2, "env": {"VIDEOGATE_LEASE": f"{LEASE}s"}})
def sleepers(world, dice, rounds):
    if not crash_points.built_in():
        raise Left("the programs were built without VG_CRASH_POINTS")
    turns = [(place, sleep) for sleep in SLEEPS.values() for place in PLACES]
    dice.shuffle(turns)
    turns.sort(key=lambda turn: -turn[1] if rounds < 10 else 0)  # a short run sleeps long
    refused, slept = 0, 0
    with Prober(world, pause=0.2) as prober:
        for number in range(1, rounds + 1):
            (place, dish, writes), seconds = turns[(number - 1) % len(turns)]
            prober.fault(f"sleep at {place}")
            process = sleep_at(world, dice, place, dish, seconds)
            if seconds > LEASE * 2 and writes:
                slept += 1
                wait_for(lambda p=process: lease_lost(world, p) > 0, f"the write of a service that slept at {place} for {seconds} s to be refused",
                         patience=30)
            refused += int(lease_lost(world, process))
            world.progress(number, refused=refused)
    figures = world.check()
    return figures | {"submission_unknown": check_ends(world), "stale_writes_refused": refused, "of_which_had_to_be": slept}


@scenario(short=1, long=8, ci=False, world={"providers": ("sandbox", "kling"), "services": 2, "env": {"VIDEOGATE_LEASE": f"{LEASE}s"}})
def sleeping_workers(world, dice, rounds):
    """A worker that sleeps keeps its calls: the service renews the lease and waits."""
    victims = ("worker-kling", "worker", "webhook")
    with Prober(world, pause=0.2) as prober:
        for number in range(1, rounds + 1):
            for name in victims:
                for provider in ("kling", "sandbox"):
                    world.job(provider)
                world.processes[name].freeze()
                world.job("kling")
                world.job("sandbox")
                prober.fault("sleep of " + name)
                time.sleep(LEASE * (0.2 + 3 * dice.random()))
                world.processes[name].thaw()
            world.progress(number)
    figures = world.check()
    return figures | {"submission_unknown": check_ends(world)}
