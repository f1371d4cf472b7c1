# SPDX-License-Identifier: Apache-2.0
"""F1: SIGKILL of each process, at named places in the code and at random moments."""
import time

import crash_points
from load import Menu, Prober, check_ends
from scenario import Left, scenario
from world import Traffic

ROW, TITLE, BOUND = "F1", "SIGKILL of each process", "I1 to I8; work goes on within 15 s"
PROVIDERS = ("sandbox", "kling", "openai", "xai")


@scenario(short=1, long=10, world={"providers": ("sandbox", "kling", "xai"), "services": 4, "env": {"VIDEOGATE_JANITOR_INTERVAL": "1s"}})
def each_crash_point(world, dice, rounds):
    """A round kills every process once at each of its places."""
    if not crash_points.built_in():
        raise Left("the programs were built without VG_CRASH_POINTS")
    reached, slow = set(), 1 if rounds == 1 else 0  # one round is CI's
    with Menu(world, dice, callers=3 - 2 * slow, pause=0.1 + 0.4 * slow), Prober(world, pause=0.05 + 0.2 * slow) as prober:
        for number in range(1, rounds + 1):
            campaign = crash_points.Campaign(world, dice, lambda process, name: prober.fault("crash of " + process), 1 if number == 1 else 5)
            campaign.run(lambda now=number: world.progress(now, jobs=world.numbers, kills=len(world.history.of("fault"))))
            reached |= campaign.reached
    names = {name for _, name in reached}
    never = set(crash_points.table()) - names - set(crash_points.NOT_REACHED)
    assert not never, f"no process was killed at {', '.join(sorted(never))}"
    figures = {name: value for name, value in world.check().items() if "recovery" not in name}  # something is always down here
    return figures | {"submission_unknown": check_ends(world), "places": len(names), "processes_and_places": len(reached),
                      "not_reached": len(crash_points.NOT_REACHED)}


@scenario(short=3, long=300, world={"providers": PROVIDERS, "services": 2})
def random_kills(world, dice, rounds):
    with Traffic(world, dice), Prober(world) as prober:
        for number in range(1, rounds + 1):
            victim = dice.choice(list(world.processes))
            time.sleep(dice.random())
            prober.fault("kill " + victim)
            world.kill(victim, record=False)
            time.sleep(dice.random() * 0.5)
            world.start_all()
            world.progress(number, jobs=world.numbers)
    figures = world.check()
    return figures | {"submission_unknown": check_ends(world)}
