# SPDX-License-Identifier: Apache-2.0
"""What a scenario file (f01_crash_points.py, attack_*.py) is made of.

    ROW, TITLE, BOUND = "F3", "PostgreSQL restarts", "0 lost; 10 s until work goes on"

    @scenario(short=2, long=100, world={"providers": ("sandbox",), "env": {...}})
    def restart_under_load(world, dice, rounds):
        ...
        return world.figures()          # and more; AssertionError with a sentence when the bound is broken
"""
import importlib
import pathlib
import shutil

HERE = pathlib.Path(__file__).resolve().parent


class Left(Exception):
    """Raised by a scenario that cannot run here: the reason stands in RESULTS.md."""


class Apart:
    """Instead of a World: a scenario that starts its own programs does so in `folder`."""

    def __init__(self, folder, keep=False):
        self.folder, self.keep = folder, keep

    def __enter__(self):
        return self

    def __exit__(self, failure, *_):
        if failure is None and not self.keep:
            shutil.rmtree(self.folder, ignore_errors=True)


def scenario(short=1, long=20, world=None, ci=True, netns=False):
    """Marks a scenario. `short`, `long`: rounds of a run with and without --short; `world`: arguments of World, None for those
    of a plain one, False for none at all (Apart); ci=False: not part of --short, because it takes too long there;
    netns: run in a network namespace of its own (root)."""
    def mark(function):
        function.scenario = {"short": short, "long": long, "world": world if world is False else dict(world or {}), "ci": ci, "netns": netns}
        return function

    return mark


def load():
    """[(module, [functions])] of every scenario file, in the order of their names."""
    found = []
    for path in sorted(HERE.glob("*.py")):
        if path.stem[0] == "f" and path.stem[1:3].isdigit() or path.stem.startswith(("attack_", "soak")):
            module = importlib.import_module(path.stem)
            functions = [one for one in vars(module).values() if hasattr(one, "scenario") and one.__module__ == path.stem]
            found.append((module, functions))
    return found
