# SPDX-License-Identifier: Apache-2.0
"""F18: no memory. The n-th allocation fails, for n all over the request path; and an address space with a lid.

The policy (common/mem.h): what a peer can size goes through bounded buffers and is refused; a small allocation that fails ends the
process by abort, at once, as the gRPC core does, and its supervisor starts it again. An abort is a SIGKILL that chose its moment: nothing
accepted is lost and nothing is done twice. Never a wrong answer, and no segmentation fault but where the gRPC core 1.51 does not look at
what malloc gave it and writes to NULL at once (MemoryAllocator::MakeSlice, arenas of upb): that ends the process as an abort does."""
import concurrent.futures
import http.client
import mmap
import pathlib
import resource
import signal
import struct
import subprocess
import time

from scenario import Left, scenario
from vg import BUILD, TERMINAL, wait_for
from world import JOBS, ROOT, SECRET

HERE = pathlib.Path(__file__).resolve().parent
ROW, TITLE = "F18", "no memory"
BOUND = "answered or aborted, never a segmentation fault of ours or a wrong answer; I1 to I7; big requests are refused"


class Switch:
    """The other end of failmalloc.c."""

    def __init__(self, world, name, library):
        self.path = world.folder / f"{name}.failmalloc"
        self.path.write_bytes(bytes(4096))
        with self.path.open("r+b") as file:
            self.map = mmap.mmap(file.fileno(), 4096)
        world.processes[name].extra = {"LD_PRELOAD": str(library), "VG_FAILMALLOC": str(self.path)}

    def arm(self, nth, mode=1):
        self.map[:32] = struct.pack("=4q", 0, nth, 0, 0)
        self.map[:8] = struct.pack("=q", mode)

    def disarm(self):
        """(allocations while it was armed, those that failed)"""
        self.map[:8] = bytes(8)
        return struct.unpack("=4q", self.map[:32])[2:]


def library():
    if b"__asan_init" in (BUILD / "bin/videogate-service").read_bytes():
        raise Left("sanitized programs have an allocator of their own: --build build/release")
    out = ROOT / "build/faults/failmalloc.so"
    subprocess.run(["gcc", "-O1", "-shared", "-fPIC", "-fno-builtin", "-o", str(out), str(HERE / "failmalloc.c")], check=True)
    return out


# --- what callers do; each returns the status, or None when no answer came ---

def create(world, state):
    state["number"] += 1
    fields = {**JOBS["sandbox"], "prompt": f"a mill, take {world.tag}-{state['number']} of sandbox", "callback_url": world.receiver_url(),
              "callback_secret": SECRET}
    key = f"{world.tag}-m{state['number']}"
    world.history.add("asked", key=key, prompt=fields["prompt"], n=1, model=fields["model"], callback=True)
    state["open"].append((key, fields))
    try:
        video = world.ask(key, fields)
    except AssertionError as error:
        raise AssertionError(f"a create was answered {error}") from None
    if video:
        state["open"].pop()
        end = time.monotonic() + 3
        while time.monotonic() < end and world.look(video) not in TERMINAL:
            time.sleep(0.05)
    return 200 if video else None


def simple(method, path):
    def call(world, state):
        try:
            answer = world.http(method, path.format(state["done"]), timeout=10)
        except (OSError, ValueError, http.client.HTTPException):
            return None
        if answer.status >= 400:
            assert answer.error
        elif "content" in path:
            assert answer.body == state["file"], "the file came wrong"
        elif path.endswith("}"):
            assert answer.json["id"] == state["done"]
        assert answer.status < 400 or answer.status >= 500 or answer.status == 429, f"{method} {path} was answered {answer.status} {answer.body[:200]}"
        return answer.status

    return call


PATHS = {"create": create, "read": simple("GET", "/v1/videos/{}"), "list": simple("GET", "/v1/videos?limit=5"),
         "download": simple("GET", "/v1/videos/{}/content"), "models": simple("GET", "/v1/models")}
VICTIMS = {"create": ("bridge", "service", "worker", "webhook"), "read": ("bridge", "service"), "list": ("bridge", "service"),
           "download": ("bridge", "service"), "models": ("bridge", "service")}


def in_the_core(log):
    """Whether the crash that ends this log was in the gRPC core, and not in what we gave it."""
    frames = log.rpartition("failmalloc: a crash:\n")[2].splitlines()
    where = next((one for one in frames if "failmalloc.so" not in one and "libc.so" not in one), "")
    return len(frames) < 40 and ("libgrpc.so" in where or "libupb.so" in where)


def raise_the_dead(world, pause=0.0):
    """How one had ended, or None; by abort, or in the core, else it is a failure. A process may take a moment to dump and die."""
    how = None
    for process in world.processes.values():
        if process.alive() and not (pause and process.wait_dead(pause) is not None):
            continue
        code, log = process.process.returncode, process.log()
        how = "aborted" if code == -signal.SIGABRT else "crashed_in_grpc"
        assert code == -signal.SIGABRT or (code == -signal.SIGSEGV and in_the_core(log)), f"{process.name} ended with {code}:\n{log[-3000:]}"
    world.start_all()
    return how


def trial(world, state, switch, victim, path, nth, mode):
    """Outcome: answered, refused, no answer, aborted, crashed in gRPC; raises on anything worse."""
    switch.arm(nth, mode)
    try:
        status = PATHS[path](world, state)
    except AssertionError as error:
        raise AssertionError(f"allocation {nth} of {path} failed in {victim}: {error}") from None
    switch.disarm()
    how = raise_the_dead(world, 0.02)
    if how:
        return how
    return "answered" if status and status < 400 else "refused" if status else "no_answer"


def settle_open(world, state):
    """Creates without an answer are asked again with their keys."""
    for key, fields in state["open"]:
        def again(key=key, fields=fields):
            raise_the_dead(world)
            return world.ask(key, fields)

        wait_for(again, f"the create {key}", 60)
    state["open"].clear()


def check_secrets(world):
    for process in world.processes.values():
        text = process.log()
        assert not any(one in text for one in (world.key, SECRET, *world.secrets.values())), f"{process.name}'s log has a secret"


@scenario(short=6, long=1500, ci=False)
def nth_allocation_fails(world, dice, rounds):
    preload = library()
    state = {"number": 0, "open": []}
    switches = {}
    for victim in ("bridge", "service", "worker", "webhook"):
        world.processes[victim].stop()
        switches[victim] = Switch(world, victim, preload)
    world.start_all()
    state["done"] = world.job()
    wait_for(lambda: world.look(state["done"]) in TERMINAL, "a first job")
    state["file"] = world.http("GET", f"/v1/videos/{state['done']}/content").body
    todo = []
    for path, victims in VICTIMS.items():
        for victim in victims:
            PATHS[path](world, state)
            switches[victim].arm(1 << 60)
            PATHS[path](world, state)
            calls = switches[victim].disarm()[0]
            todo += [(victim, path, nth) for nth in range(1, calls + 1)]
    sites = len(todo)
    dice.shuffle(todo)
    counts = {}
    for number, (victim, path, nth) in enumerate((todo * (rounds // sites + 1))[:rounds], 1):
        world.fault("malloc")
        outcome = trial(world, state, switches[victim], victim, path, nth, 2 if number % 10 == 0 else 1)
        counts[outcome] = counts.get(outcome, 0) + 1
        if number % 25 == 0 or number == rounds:
            settle_open(world, state)
            world.recover("malloc")
        world.progress(number, **counts)
    told = world.check()
    world.check_logs = lambda: check_secrets(world)  # an assertion is how OpenSSL's lack of memory ends
    return told | {"allocation_sites": sites, **counts}


def big(world, picture):
    try:
        answer = world.http("POST", "/v1/videos", {"prompt": "x", "model": "sandbox-instant", "image": picture}, timeout=60)
    except (OSError, ValueError, http.client.HTTPException):
        return "no_answer"
    assert answer.status >= 400 and answer.error, answer.status
    return answer.status


@scenario(short=1, long=5, ci=False)
def address_space_with_a_lid(world, dice, rounds):
    """No more than 96 MiB of address space beside what is used: bodies that fit the limits of the configuration do not fit the memory."""
    library()  # a sanitizer needs terabytes
    picture = "data:image/png;base64," + "A" * (40 << 20)
    told = {}
    for number in range(1, rounds + 1):
        for name in ("bridge", "service"):
            pid = world.pid(name)
            size = int(next(one for one in open(f"/proc/{pid}/status") if one.startswith("VmSize")).split()[1]) << 10
            resource.prlimit(pid, resource.RLIMIT_AS, (size + (96 << 20), resource.RLIM_INFINITY))
            world.fault("lid on " + name)
            with concurrent.futures.ThreadPoolExecutor(6) as pool:
                for status in pool.map(lambda _: big(world, picture), range(6)):
                    told[status] = told.get(status, 0) + 1
            if not world.alive(name) or world.processes[name].wait_dead(0.2) is not None:
                code = world.processes[name].process.returncode
                assert code == -signal.SIGABRT, f"{name} ended with {code} under a lid:\n{world.log(name)[-1500:]}"
                told[f"{name}_aborted"] = told.get(f"{name}_aborted", 0) + 1
            else:
                resource.prlimit(pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            world.recover("lid on " + name)
        world.progress(number, jobs=world.numbers)
    return world.check() | {str(name): count for name, count in told.items()}
