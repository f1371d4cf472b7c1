# SPDX-License-Identifier: Apache-2.0
"""F1 and F3 together, for many jobs: every program is killed again and again, PostgreSQL crashes in every way, while callers ask for as many
jobs as two cores can make. It is what reliability.md 2.5 wants counted: run it with one seed after the other, RESULTS.md sums them."""
import time

from f03_postgres import FAULTS, start_again
from load import Crowd, Prober, check_ends
from scenario import scenario

ROW, TITLE = "F1", "SIGKILL of each process"
BOUND = "I1 to I7; together at least 100,000 jobs, 1,000 kills, 100 crashes of PostgreSQL"
CRASHES = ("immediate stop", "kill -9 of a backend", "kill -9 of the postmaster")
EACH = 8  # so many faults, one of them a crash of PostgreSQL


def _kill(world, dice, prober):
    victim = dice.choice([name for name in world.processes if name != "postgres"])
    prober.fault("kill " + victim)
    world.kill(victim, record=False)
    time.sleep(dice.random() * 0.3)
    world.start_all()


def _crash(world, dice, prober):
    name = dice.choice(CRASHES)
    prober.fault(name)
    FAULTS[name](world, dice)
    time.sleep(dice.random() * 0.3)
    start_again(world)


@scenario(short=2, long=240, ci=False, world={"providers": ("sandbox", "kling"), "services": 2})
def campaign(world, dice, rounds):
    with Crowd(world, dice, shares={"sandbox": 30, "kling": 1}), Prober(world) as prober:
        time.sleep(1)
        for number in range(1, rounds + 1):
            (_crash if number % EACH == EACH // 2 else _kill)(world, dice, prober)
            time.sleep(0.2 + dice.random() * 0.7)
            world.progress(number, jobs=world.numbers, called_back=world.history.count("callback"))
    world.hurried = True  # minutes of waiting for what may still be on its way prove nothing here; F8 and F10 wait
    figures = world.check()
    return figures | {"submission_unknown": check_ends(world)}
