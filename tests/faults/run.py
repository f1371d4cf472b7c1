#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs scenarios and writes RESULTS.md. `tests/run.sh faults` calls it.

usage: run.py [--list] [--rounds N] [--seed S] [--only F1,F5 or FILE or SCENARIO,...] [--build DIR] [--short] [--keep]
"""
import argparse
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
INSIDE = "VG_FAULTS_NETNS"  # set in the process that runs in a namespace
OK, FAILED, NOTHING = 0, 1, 77  # exit statuses; 77: nothing was run, which ctest calls skipped
sys.dont_write_bytecode = True
sys.path[:0] = [str(HERE), str(ROOT / "tests/integration"), str(ROOT / "tests")]


def options():
    parser = argparse.ArgumentParser(prog="tests/run.sh faults", description="Scenarios of the fault matrix against the real programs.")
    parser.add_argument("--list", action="store_true", help="only name them")
    parser.add_argument("--rounds", type=int, help="rounds of each scenario (default: its own)")
    parser.add_argument("--seed", type=int, help="repeats the dice of a run")
    parser.add_argument("--only", default="", help="rows (F1,F5), files (f01_crash_points) or scenarios, with commas")
    parser.add_argument("--build", default=str(ROOT / "build/asan"), help="where the programs are")
    parser.add_argument("--short", action="store_true", help="the few rounds of CI; RESULTS.md stays as it is")
    parser.add_argument("--keep", action="store_true", help="keep logs and histories of runs that went well")
    return parser.parse_args()


def chosen(modules, only):
    words = {word.strip() for word in only.split(",") if word.strip()}
    picked = [(module, [one for one in functions if not words or words & {module.ROW, module.__name__, one.__name__}])
              for module, functions in modules]
    known = {word for module, functions in modules for word in (module.ROW, module.__name__, *(one.__name__ for one in functions))}
    if words - known:
        sys.exit(f"faults: no scenario is called {', '.join(sorted(words - known))}; --list names them")
    return picked


class Progress:
    """A line now and then: what runs, for how long."""

    def __init__(self, name, rounds):
        self.name, self.rounds, self.start, self.last = name, rounds, time.monotonic(), 0.0

    def __call__(self, number, **figures):
        now = time.monotonic()
        if now - self.last > 10:
            self.last = now
            told = ", ".join(f"{name} {value}" for name, value in figures.items())
            print(f"  {self.name}: round {number} of {self.rounds}, {now - self.start:.0f} s{', ' + told if told else ''}", flush=True)


def run_one(module, function, options, seed):
    """OK, FAILED, or NOTHING when it was left out."""
    from results import save
    from scenario import Apart, Left
    from world import World

    told, name = function.scenario, function.__name__
    if told["netns"] and INSIDE not in os.environ:
        return run_inside(name, options, seed)
    rounds = options.rounds or told["short" if options.short else "long"]
    dice = random.Random(f"{seed}/{module.ROW}/{name}")
    folder = pathlib.Path(tempfile.mkdtemp(prefix=f"{module.ROW}-{name}-", dir=ROOT / "build/faults/runs"))
    again = f"tests/run.sh faults --only {name} --seed {seed} --rounds {rounds}"
    print(f"{module.ROW} {name}: {rounds} rounds, seed {seed}", flush=True)
    start, figures, failure, left = time.monotonic(), None, None, None
    world = Apart(folder, options.keep) if told["world"] is False else World(folder, keep=options.keep, **told["world"])
    try:
        with world:
            world.hurried, world.progress = options.short, Progress(name, rounds)
            figures = function(world, dice, rounds)
    except Left as reason:
        left = str(reason)
    except (Exception, KeyboardInterrupt) as error:
        failure = str(error) or type(error).__name__
        traceback.print_exc()
    seconds = time.monotonic() - start
    save(module, name, seed, rounds, seconds, figures, failure, left)
    if failure:
        print(f"{module.ROW} {name} FAILED after {seconds:.0f} s; logs and history in {folder}\n  again: {again}", flush=True)
    else:
        print(f"{module.ROW} {name} {'left out: ' + left if left else 'ok'}, {seconds:.0f} s: {figures or ''}", flush=True)
    return FAILED if failure else NOTHING if left else OK


def run_inside(name, options, seed):
    """The same in a network namespace of its own: every process of the world, and this one, are in it."""
    command = ["unshare", "-n", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", sys.executable, *sys.argv[:1], "--only", name, "--seed", str(seed),
               "--build", options.build]
    command += [word for word, wanted in (("--short", options.short), ("--keep", options.keep)) if wanted]
    command += ["--rounds", str(options.rounds)] if options.rounds else []
    code = subprocess.run(command, env={**os.environ, INSIDE: "1"}).returncode
    return code if code in (OK, NOTHING) else FAILED


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # unwinds: no program of a world is left behind
    told = options()
    build = pathlib.Path(told.build).resolve()
    os.environ["VG_BUILD"] = str(build)
    os.environ.setdefault("VG_NODE", str(ROOT / "build/node"))
    from results import render
    from scenario import load

    modules = load()
    if told.list:
        for module, functions in modules:
            for one in functions:
                print(f"{module.ROW:<8} {one.__name__:<32} {module.TITLE}; {module.BOUND}")
        return 0
    (ROOT / "build/faults/runs").mkdir(parents=True, exist_ok=True)
    seed = told.seed if told.seed is not None else random.randrange(1 << 30)
    ends = []
    for module, functions in chosen(modules, told.only):
        for one in functions:
            if not told.short or one.scenario["ci"]:
                ends.append(run_one(module, one, told, seed))
    if not told.short and INSIDE not in os.environ:
        render(modules)
    if FAILED in ends:
        print(f"faults: {ends.count(FAILED)} failed; seed {seed}")
        return FAILED
    return OK if OK in ends else NOTHING


if __name__ == "__main__":
    sys.exit(main())
