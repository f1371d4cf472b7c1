# SPDX-License-Identifier: Apache-2.0
"""More creates than the stack can make: what is too much is refused at once, and the rest goes on as before."""
import json
import os
import pathlib
import re
import subprocess
import time

from scenario import Left, scenario
from vg import wait_for

ROW, TITLE = "F17", "Overload"
BOUND = ("at 2, 5 and 10 times the peak of creates goodput stays at 90 % of the peak while what is behind the bridge bounds it, and creates and refusals together at 85 % of the "
         "machine's work where the processor does; refusals (429, 503, Retry-After) come sooner than creates")
# No places for jobs: what is measured is the create, not the films.
ENV = {"VIDEOGATE_LOG_LEVEL": "warn", "VIDEOGATE_ACCESS_LOG": "false", "VIDEOGATE_PROJECT_CONCURRENCY": "1", "VIDEOGATE_MAX_CREATES": "512"}
BODY = {"prompt": "a load test", "model": "sandbox-never", "size": "160x90", "seconds": 1}


def quantile(times, part):
    return sorted(times)[int(len(times) * part)] / 1000 if times else 0.0


def worked():
    """Seconds that the processors of this machine have been busy."""
    user, nice, system, _, _, irq, softirq = map(int, pathlib.Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def load(world, seconds, clients, streams, rate=0):
    """h2load; {"good": creates a second, "refused": a second, "cores": busy ones, ...}, latencies in ms. `rate`: requests a second of all clients, 0: as fast as it goes."""
    body, log = world.folder / "body.json", world.folder / "h2load.log"
    body.write_text(json.dumps(BODY))
    log.unlink(missing_ok=True)
    command = ["nice", "-n", "10", "h2load", "-c", str(clients), "-m", str(streams), "-t", "1", "-D", str(seconds), "-d", str(body), f"--log-file={log}",
               "-H", f"authorization: Bearer {world.key}", "-H", "content-type: application/json", f"http://127.0.0.1:{world.port(0)}/v1/videos"]
    if rate:
        command.insert(-1, f"--rps={max(1, rate // clients)}")
    start, before = time.monotonic(), worked()
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 120)
    assert done.returncode == 0, done.stdout + done.stderr
    lasted = time.monotonic() - start
    took, cores = min(lasted, seconds), (worked() - before) / lasted
    rows = [tuple(map(int, line.split("\t")[1:3])) for line in log.read_text().splitlines()]
    statuses = {status for status, _ in rows}
    assert statuses <= {200, 429, 503, -1}, f"unexpected answers: {statuses}"
    good, refused = [ms for status, ms in rows if status == 200], [ms for status, ms in rows if status in (429, 503)]
    return {"good": len(good) / took, "refused": len(refused) / took, "cores": cores, "good p99": quantile(good, 0.99), "refused p50": quantile(refused, 0.5),
            "refused p99": quantile(refused, 0.99)}


def has_retry_after(world):
    """A refusal, looked at while the load is on: by its own words."""
    body, host = json.dumps(BODY), f"127.0.0.1:{world.port(0)}"
    for _ in range(200):
        done = subprocess.run(["curl", "-sS", "-i", "-H", f"authorization: Bearer {world.key}", "-H", "content-type: application/json", "-d", body,
                               f"http://{host}/v1/videos"], capture_output=True, text=True)
        if re.match(r"HTTP/1.1 (429|503)", done.stdout):
            return "retry-after: " in done.stdout
    return None


class Quota:
    """These programs together get so much of a core: they are what bounds creates then, as in life, and not the loader beside them."""

    def __init__(self, world, share, *names):
        self.pids = [world.pid(name) for name in names]
        self.share, self.group = share, pathlib.Path("/sys/fs/cgroup/cpu") / f"videogate-{self.pids[0]}"

    def __enter__(self):
        try:
            self.group.mkdir()
            (self.group / "cpu.cfs_period_us").write_text("10000")
            (self.group / "cpu.cfs_quota_us").write_text(str(int(self.share * 10000)))
        except OSError as error:
            raise Left(f"no share of the processor can be set here: {error}")
        for pid in self.pids:
            children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            for one in (pid, *children):
                (self.group / "cgroup.procs").write_text(str(one))

    def __exit__(self, *_):
        for pid in (self.group / "cgroup.procs").read_text().split():
            (self.group.parent / "cgroup.procs").write_text(pid)
        self.group.rmdir()


def table(world, seconds, steps, weight=None):
    """Rows: the peak, then so many times of it. `weight`: creates that a refusal is worth; "work" counts both."""
    load(world, 1, 16, 16)  # everything is warm
    peak = load(world, seconds, 16, 32)
    rows = [{"load": "peak"} | {name: round(value, 1) for name, value in peak.items()}]
    for times in steps:
        told = load(world, seconds, 50, 100, rate=int(times * peak["good"]))
        # The peak of the same minutes: other programs come and go on this machine.
        after = load(world, seconds, 16, 32)
        near = min(peak["good"], after["good"])
        rows.append({"load": f"{times} x"} | {name: round(value, 1) for name, value in told.items()} | {"of peak": round(told["good"] / near, 2)})
        if weight:
            rows[-1]["work"] = round((told["good"] + weight * told["refused"]) / near, 2)
        world.progress(times, goodput=rows[-1]["of peak"])
        assert told["refused"] == 0 or told["refused p50"] < told["good p99"], f"refusals are slower than creates: {told}"
    rows[0] |= {"of peak": 1.0} | ({"work": 1.0} if weight else {})
    return rows


def figures(rows):
    return {"peak_per_s": round(rows[0]["good"]), "worst_goodput": min(row["of peak"] for row in rows),
            "refused_p99_ms": max(row["refused p99"] for row in rows), "table": rows}


def bounded(world, rounds, share, *names):
    with Quota(world, share, *names):
        rows = table(world, 1 if world.hurried else 2 * rounds, (10,) if world.hurried else (2, 5, 10))
    told = figures(rows)
    assert told["worst_goodput"] >= (0.3 if world.hurried else 0.9), f"goodput fell to {told['worst_goodput']} of the peak: {rows}"
    return told


@scenario(short=1, long=5, world={"env": ENV}, ci=False)
def slow_database(world, dice, rounds):
    """The database is what is too slow."""
    return bounded(world, rounds, 0.2, "postgres")


@scenario(short=1, long=5, world={"env": ENV}, ci=False)
def slow_service(world, dice, rounds):
    """Everything behind the bridge is too slow, and the bridge, with the loader, has processors of its own: refusals take nothing from creates."""
    return bounded(world, rounds, 0.5, "service", "postgres")


def refusal_weight(world):
    """What a refusal costs the machine, the loader's part with it, in creates: with the service frozen nothing but refusals is answered."""
    create = load(world, 2, 16, 32)
    world.processes["service"].freeze()
    refusal = load(world, 2, 50, 100)
    world.processes["service"].thaw()
    assert refusal["good"] == 0 and refusal["refused"] > create["good"], f"not refusals alone, or dearer than creates: {refusal}"
    wait_for(lambda: world.http("POST", "/v1/videos", BODY).status == 200, "creates to be taken again")
    return round(refusal["cores"] / refusal["refused"] / (create["cores"] / create["good"]), 3)


@scenario(short=1, long=5, world={"env": ENV}, ci=False)
def busy_machine(world, dice, rounds):
    """The whole machine is what is too slow, the loader's part with it: each refusal takes from creates what it costs, and nothing else does."""
    load(world, 1, 16, 16)  # everything is warm
    weight = refusal_weight(world)
    rows = table(world, 1 if world.hurried else 2 * rounds, (10,) if world.hurried else (2, 5, 10), weight)
    background = subprocess.Popen(["h2load", "-c", "50", "-m", "100", "-t", "1", "-D", "2", "-d", str(world.folder / "body.json"), "-H", f"authorization: Bearer {world.key}",
                                   "-H", "content-type: application/json", f"http://127.0.0.1:{world.port(0)}/v1/videos"], stdout=subprocess.DEVNULL)
    told = has_retry_after(world)
    background.wait(60)
    assert told is not False, "a refusal without Retry-After"
    assert world.http("GET", "/healthz", key=False).status == 200
    least = min(row["work"] for row in rows[1:])
    assert least >= (0.3 if world.hurried else 0.85), f"creates and refusals together fell to {least} of the machine's work: {rows}"
    return {"a_refusal_costs_creates": weight, "least_work": least} | figures(rows)
