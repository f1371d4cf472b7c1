# SPDX-License-Identifier: Apache-2.0
"""F1: SIGKILL of each process, at random moments and at named places in the code."""
import time

from scenario import scenario
from world import Traffic

ROW, TITLE, BOUND = "F1", "SIGKILL of each process", "I1 to I8; work goes on within 15 s"
PROVIDERS = ("sandbox", "kling", "openai", "xai")


@scenario(short=3, long=200, world={"providers": PROVIDERS, "services": 2})
def random_kills(world, dice, rounds):
    victims = [name for name in world.processes]
    with Traffic(world, dice):
        for number in range(1, rounds + 1):
            victim = dice.choice(victims)
            time.sleep(dice.random())
            world.kill(victim)
            world.recover("kill " + victim, provider="sandbox")
            world.progress(number, jobs=world.numbers)
    return world.check()
