# SPDX-License-Identifier: Apache-2.0
"""Simulators as programs: python3 tests/simulators NAME... --port N. Several take ports one after the other."""
import argparse
import importlib
import pathlib
import re
import signal
import sys

HERE = pathlib.Path(__file__).resolve().parent
# The folder's parent, never the folder: a simulator called google must not stand before the package google.
sys.path[0] = str(HERE.parent)
from simulators import base, hooks, wire  # noqa: E402


def names():
    """Files that hold a simulator."""
    return sorted(path.stem for path in HERE.glob("[a-z]*.py")
                  if path.stem != "base" and re.search(r"^class Simulator\b", path.read_text(encoding="utf-8"), re.MULTILINE))


def write(folder, running):
    """What workers need, as files: NAME.keys, NAME.flags (words), and at last providers, a line "NAME PORT" each."""
    folder = pathlib.Path(folder)
    for one in running:
        name = one.name.replace("_", "-")
        flags = {"base-url": one.url + one.base_path, **one.settings}
        (folder / f"{name}.keys").write_text("".join(f"{key}\n" for key in one.keys))
        if one.signs in ("standard", "task_hmac"):
            (folder / f"{name}.event-secret").write_text(one.hook_keys.secret + "\n")
        (folder / f"{name}.flags").write_text("".join(f"--{flag}\n{value}\n" for flag, value in flags.items()))
    lines = "".join(f"{one.name.replace('_', '-')} {one.port}\n" for one in running)
    (folder / "providers.new").write_text(lines)
    (folder / "providers.new").rename(folder / "providers")


def main():
    parser = argparse.ArgumentParser(prog="simulators", description="Upstreams to try Videogate against. GET /_sim/state shows one's figures.")
    parser.add_argument("names", nargs="*", metavar="NAME", help="of " + ", ".join(names()))
    parser.add_argument("--port", type=int, default=9000, help="on 127.0.0.1, of the first one")
    parser.add_argument("--media-port", type=int, help="on 127.0.0.2, for results (default: as --port)")
    parser.add_argument("--step", type=int, default=1, help="from one port to the next")
    parser.add_argument("--write", metavar="DIR", help="write there what workers need: keys, flags, the list of providers")
    parser.add_argument("--queue", type=float, help="seconds that a job is queued (default: for one poll)")
    parser.add_argument("--run", type=float, default=1, help="seconds that it then runs, with --queue")
    parser.add_argument("--hooks", type=float, metavar="SECONDS",
                        help="send webhooks: a job that has an address for them ends so long after its submission, and is told there")
    parser.add_argument("--events-url", default="", help="with --hooks: where those go that belong to the project (OpenAI's)")
    parser.add_argument("--hooks-ca", metavar="FILE", help="with --hooks: whom else to trust")
    parser.add_argument("--dialect", help="of the one simulator that has several")
    parser.add_argument("--rules", action="store_true", help="only print how many rules each has")
    options = parser.parse_args()
    chosen = [importlib.import_module(f"simulators.{name}").Simulator for name in options.names or names()]
    if options.rules:
        counts = {one.name: one().rule_count() for one in chosen}
        shared = len(wire.RULES) + len(base.CHECKS)
        for name, count in (*counts.items(), ("together", sum(counts.values())), ("and in each", shared)):
            print(f"{name:<14} {count:>4} rules")
        return
    kinds = [(one, {"dialect": options.dialect} if options.dialect else {}) for one in chosen]
    if not options.names:
        kinds += [(one, {"dialect": dialect}) for one in chosen for dialect in one.providers_beside]
    ends = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, ends)  # threads to come have it from here
    pace = None if options.queue is None else (options.queue, options.run)
    running = []
    for i, (one, more) in enumerate(kinds):
        media_port = (options.port if options.media_port is None else options.media_port) + i * options.step
        running.append(one(port=options.port + i * options.step, media_port=media_port, pace=pace, **more))
        running[-1].start()
        print(f"{one.name} {running[-1].url} keys {' '.join(running[-1].keys)}", flush=True)
    if options.write:
        write(options.write, running)
    teller = hooks.Teller(running, options.hooks, options.events_url, options.hooks_ca) if options.hooks is not None else None
    if teller:
        teller.start()
    signal.sigwait(ends)
    if teller:
        teller.stop()
    for one in running:
        one.stop()
    for one in running:
        one.verify()


if __name__ == "__main__":
    main()
