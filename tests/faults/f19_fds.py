# SPDX-License-Identifier: Apache-2.0
"""F19: no descriptors left, no ports left. Whoever comes is hung up on or told to come back; nothing spins, and nothing has to be restarted."""
import http.client
import json
import os
import resource
import socket
import subprocess
import sys
import time

from scenario import Left, scenario
from vg import TERMINAL, readyz, wait_for
from world import ROOT, Traffic

ROW, TITLE, BOUND = "F19", "descriptors and ports run out", "clean refusal, less than half a core while it lasts, work goes on within 15 s (and a breaker that opened meanwhile), no restart"


def used(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def cpu(pid):
    """Seconds so far."""
    told = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(told[11]) + int(told[12])) / os.sysconf("SC_CLK_TCK")


class Limit:
    """A running process may have no more than it has now and `room`."""

    def __init__(self, pid, room):
        self.pid, self.room = pid, room

    def __enter__(self):
        self.before = resource.prlimit(self.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, (used(self.pid) + self.room, self.before[1]))
        return self

    def __exit__(self, *_):
        resource.prlimit(self.pid, resource.RLIMIT_NOFILE, self.before)


def flood(port, count):
    """Connections that say nothing."""
    held = []
    for _ in range(count):
        one = socket.socket()
        one.settimeout(2)
        try:
            one.connect(("127.0.0.1", port))
        except OSError:
            one.close()
            break
        held.append(one)
    return held


@scenario(short=1, long=20)
def listeners_are_flooded(world, dice, rounds):
    """The limit stays; the flood goes. Nothing else runs while the core is measured."""
    pids = {name: world.pid(name) for name in world.processes}
    doors = [("bridge", 0), ("service", 2), ("service", 3), ("worker", 4), ("worker", 5), ("webhook", 6), ("webhook", 7)]
    most = 0.0
    for number in range(1, rounds + 1):
        for name, offset in doors:
            pid = world.pid(name)
            with Limit(pid, 6):
                held = flood(world.port(offset), 60)
                world.fault(f"flood {name}+{offset}")
                before, start = cpu(pid), time.monotonic()
                time.sleep(1)
                share = (cpu(pid) - before) / (time.monotonic() - start)
                most = max(most, share)
                assert share < 0.5, f"{name} took {share:.2f} of a core while it had no descriptor for port +{offset}"
                for one in held:
                    one.close()
                # Through the very door, under the very limit.
                wait_for(lambda: greets(world.port(offset), offset % 2 == 1), f"port +{offset} of {name} to answer again", 20, 0.05)
            world.recover(f"flood {name}+{offset}")
        world.progress(number, jobs=world.numbers)
    assert pids == {name: world.pid(name) for name in world.processes}, "something was restarted"
    return world.check() | {"most_cpu_share": round(most, 2)}


def greets(port, monitor):
    """An HTTP/2 server sends its settings first of all."""
    if monitor:
        return readyz(port)[0] in (200, 503)
    try:
        with socket.create_connection(("127.0.0.1", port), 2) as one:
            one.settimeout(2)
            one.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5))
            return len(one.recv(9)) > 0
    except OSError:
        return False


@scenario(short=1, long=20)
def none_left(world, dice, rounds):
    """Not one more descriptor for a process at work."""
    pids = {name: world.pid(name) for name in world.processes}
    told = {}
    done = world.job(model="sandbox-instant")
    wait_for(lambda: world.look(done) in TERMINAL, "a first job")
    with Traffic(world, dice, callers=2):
        for number in range(1, rounds + 1):
            for name in ("service", "worker", "webhook"):
                with Limit(world.pid(name), 0):
                    world.fault("no descriptor for " + name)
                    end = time.monotonic() + (0.7 if world.hurried else 2)
                    while time.monotonic() < end:
                        for method, path in (("GET", f"/v1/videos/{done}"), ("GET", f"/v1/videos/{done}/content"), ("GET", "/v1/videos?limit=2")):
                            answer = ask(world, method, path)
                            told[answer] = told.get(answer, 0) + 1
                            assert answer in (200, 429, 503, 507), f"{method} {path} without descriptors in {name}: {answer}"
                world.recover("no descriptor for " + name)
            world.progress(number, jobs=world.numbers)
    assert pids == {name: world.pid(name) for name in world.processes}, "something was restarted"
    return world.check() | {f"answers_{status}": count for status, count in sorted(told.items())}


def ask(world, method, path):
    try:
        answer = world.http(method, path, timeout=30)
    except (OSError, http.client.HTTPException) as error:
        return type(error).__name__
    if answer.status >= 400:
        assert answer.error, answer.body
    return answer.status


PORTS = 200


@scenario(short=1, long=5, ci=False, world={"providers": ("sandbox", "kling")})
def ports_run_out(world, dice, rounds):
    """No local port is free towards the provider, then towards the receiver. In a network namespace with few of them."""
    if not os.environ.get("VG_FEW_PORTS"):
        return _in_namespace(rounds)
    targets = {"provider": world.sims["kling"].port, "receiver": world.receiver.port}
    with Traffic(world, dice, callers=2):
        for number in range(1, rounds + 1):
            for name, port in targets.items():
                held = flood(port, PORTS + 50)
                assert len(held) < PORTS + 50, f"{len(held)} connections and still ports"
                world.fault("no port to " + name)
                time.sleep(3)
                for one in held:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # a reset leaves nothing in TIME_WAIT
                    one.close()
                world.recover("no port to " + name, provider="kling")
            world.progress(number, jobs=world.numbers)
    return world.check()


def _in_namespace(rounds):
    script = (f"ip link set lo up && sysctl -qw net.ipv4.ip_local_port_range='40000 {40000 + PORTS - 1}' net.ipv4.tcp_tw_reuse=1 && "
              f"exec {sys.executable} {ROOT}/tests/faults/run.py --only ports_run_out --rounds {rounds} --short-figures")
    out = ROOT / "build/faults/ports.json"
    out.unlink(missing_ok=True)
    done = subprocess.run(["unshare", "-n", "sh", "-c", script.replace(" --short-figures", "")], capture_output=True, text=True,
                          env={**os.environ, "VG_FEW_PORTS": str(out)})
    if "Operation not permitted" in done.stderr:
        raise Left("no right to make a network namespace")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    line = next(one for one in reversed(done.stdout.splitlines()) if " ok, " in one)
    return json.loads(line.split(" s: ", 1)[1].replace("'", '"').replace("None", "null"))
