# SPDX-License-Identifier: Apache-2.0
"""F4: a Patroni cluster of three loses its primary in every way, under load."""
import time

from patroni import Cluster, available
from scenario import Left, scenario
from world import Traffic, World

ROW, TITLE, BOUND = "F4", "failover of a Patroni cluster", "0 acknowledged jobs lost with synchronous_mode_strict; work goes on within 45 s"
SERVICES, CALLERS = 2, 3


def _switchover(cluster):
    cluster.switchover()
    return lambda: None


def _kill(cluster):
    """Patroni and PostgreSQL at once, as if the power went."""
    old = cluster.leader()
    cluster.kill(old)
    return lambda: cluster.start(old)


def _partition(cluster):
    old = cluster.leader()
    cluster.cut(old)
    return lambda: cluster.heal(old)


def _split(cluster):
    """The callers still reach the old primary, which reaches neither etcd nor the others."""
    old = cluster.leader()
    cluster.cut(old, but_clients=True)
    return lambda: cluster.heal(old)


def _no_dcs(cluster):
    """Longer than the leader's lock lives; failsafe_mode lets the primary go on while all members answer it."""
    cluster.dcs_down()
    time.sleep(13)
    return cluster.dcs_up


FAULTS = {"switchover": _switchover, "primary killed": _kill, "primary cut off": _partition, "primary cut off, but not from callers": _split,
          "etcd down": _no_dcs}


def _round(world, cluster, dice, number, names):
    """One fault; measured until a job that is asked for afterwards has ended, before anything is mended."""
    name = names[(number - 1) % len(names)]
    time.sleep(dice.random())
    world.fault(name)
    mend = FAULTS[name](cluster)
    world.recover(name, since=time.monotonic() if name == "etcd down" else None)
    mend()
    cluster.wait_healthy()


def _worlds(apart, synchronous):
    why = available()
    if why:
        raise Left(why)
    apart.folder.chmod(0o711)  # PostgreSQL runs as its own user
    return Cluster(apart.folder / "patroni", synchronous)


@scenario(short=5, long=50, ci=False, world=False)
def synchronous(apart, dice, rounds):
    """A round is one fault, in turn. Two services, callers all the while; every create that was answered with 200 must be there and end."""
    with _worlds(apart, True) as cluster, World(apart.folder / "world", database_url=cluster.url, services=SERVICES) as world:
        world.hurried, names = True, dice.sample(sorted(FAULTS), len(FAULTS))
        with Traffic(world, dice, callers=CALLERS):
            for number in range(1, rounds + 1):
                _round(world, cluster, dice, number, names)
                apart.progress(number, jobs=world.numbers)
        figures = world.check(I8={"bound_ms": 120000})
        by_name = {}
        for one in world.history.of("recovered"):
            by_name.setdefault(one["name"], []).append(one["ms"])
        for name, values in sorted(by_name.items()):
            figures[f"{name}: times, worst ms"] = f"{len(values)}, {max(values):.0f}"
        return figures


@scenario(short=2, long=10, ci=False, world=False)
def asynchronous(apart, dice, rounds):
    """What a cluster without synchronous_mode loses: creates that were answered and are gone after the primary was killed. No bound: a figure."""
    lost = asked = 0
    with _worlds(apart, False) as cluster, World(apart.folder / "world", database_url=cluster.url, services=1) as world:
        for number in range(1, rounds + 1):
            kept = []
            with Traffic(world, dice, callers=CALLERS, pause=0.01, callback=False):
                time.sleep(2 + dice.random())
                world.fault("primary killed")
                mend = _kill(cluster)
                kept = [one["video"] for one in world.history.of("answered") if one["video"]]
                world.recover("primary killed")
            mend()
            cluster.wait_healthy()
            there = {row[0] for row in world.sql("SELECT id FROM videos")}
            asked, lost = len(kept), lost + len([one for one in kept if one not in there])
            apart.progress(number, lost=lost)
        return {"creates answered": asked, "of them lost without synchronous_mode": lost, "failovers": rounds}
