# SPDX-License-Identifier: Apache-2.0
"""SSRF: addresses from outside that lead inside (reliability.md 6). What is attacked runs in namespaces of its own, see ssrf_inside.py."""
import json
import os
import pathlib
import subprocess
import sys

from scenario import Left, scenario

ROW, TITLE = "SSRF", "addresses that lead inside"
BOUND = "nobody inside is reached; every bypass string refused at registration and at send; every ordinary address passes"
HERE = pathlib.Path(__file__).resolve().parent


def inside(mode, world, dice, rounds):
    """Runs a function of ssrf_cases.py in new namespaces; its figures."""
    unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    trial = "ip link set lo up && ip -4 route add local 0.0.0.0/0 dev lo && ip -6 route add local ::/0 dev lo && mount --bind /etc/hosts /etc/hosts"
    if subprocess.run([*unshare, "sh", "-c", trial], capture_output=True).returncode != 0:
        raise Left("no network and mount namespace of one's own, with IPv4 and IPv6, can be had here")
    folder = world.folder / mode
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([*unshare, sys.executable, HERE / "ssrf_inside.py", mode, folder, str(dice.randrange(1 << 30)), str(rounds),
                           "short" if world.hurried else "long"], env=os.environ, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, f"{mode} failed; its message is above, its logs in {folder}"
    return json.loads(done.stdout.splitlines()[-1])


@scenario(short=1, long=1, world=False)
def bypass_strings(world, dice, rounds):
    return inside("strings", world, dice, rounds)


@scenario(short=1, long=1, world=False)
def firewall_behind_the_guard(world, dice, rounds):
    return inside("firewall", world, dice, rounds)


@scenario(short=1, long=20, world=False)
def moving_names_and_odd_answers(world, dice, rounds):
    return inside("moves", world, dice, rounds)
