#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Idle watchers on one bridge: memory of bridge and service before, with and after them; time until all know the end.

usage: watchers.py --build DIR [--watchers 10000] [--streams 100] [--videos 1] [--hold 20] [--restart]
Each round opens WATCHERS event streams, over HTTP/1.1 (a connection each) and over HTTP/2 (STREAMS on each connection), on
VIDEOS videos, holds them, with --restart kills the service under them, and ends all videos at once. Asserts nothing but that everybody was told.
"""
import argparse
import os
import pathlib
import resource
import signal
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/integration"))
MB = 1 << 20


def memory(stack):
    from many import rss

    return {name: rss(stack.pid(name)) for name in ("bridge", "service")}


def show(what, now, before=None, count=0):
    line = f"  {what:<28}"
    for name, value in now.items():
        line += f"  {name} {value / MB:7.1f} MiB"
        if before and count:
            line += f" ({(value - before[name]) / count / 1024:+5.1f} KiB each)"
    print(line, flush=True)


def restart(stack, many, count):
    """Kills the service and starts it again; until every stream of the bridge has a call again."""
    again = "videogate_watchers"
    stack.kill("service", signal.SIGKILL)
    stack.up()
    begin = time.monotonic()
    while stack.metric(3, again).get(again, 0) < count:
        many.idle(0.1)
        assert time.monotonic() < begin + 120
    print(f"  the service was killed: {time.monotonic() - begin:.1f} s after it was up all calls were there again", flush=True)
    show("then", memory(stack))


def round_of(stack, args, per_connection):
    from many import Many, cpu

    stack.create(model="sandbox-never")  # has the project's only place: the others wait behind it, and nothing changes
    videos = [stack.create(model="sandbox-never")["id"] for _ in range(args.videos)]
    paths = [f"/v1/videos/{videos[n % len(videos)]}/events" for n in range(args.watchers)]
    how = f"HTTP/2, {per_connection} streams on each of {-(-args.watchers // per_connection)} connections" if per_connection else "HTTP/1.1"
    print(f"{args.watchers} watchers of {args.videos} videos, {how}")
    before = memory(stack)
    show("before", before)
    begin = time.monotonic()
    many = Many(stack, paths, per_connection)
    many.until(lambda one: one.status == 200 and one.events > 0, 600)
    opened = time.monotonic() - begin
    with_all = memory(stack)
    show(f"all open, in {opened:.1f} s", with_all, before, args.watchers)
    used = {name: cpu(stack.pid(name)) for name in before}
    many.idle(args.hold)
    used = {name: (cpu(stack.pid(name)) - used[name]) / args.hold * 100 for name in before}
    show(f"after {args.hold} s", memory(stack), before, args.watchers)
    print(f"  idle load                     bridge {used['bridge']:.1f} % of a core, service {used['service']:.1f} %,"
          f" {sum(one.comments for one in many.ones)} heartbeats")
    if args.restart:
        restart(stack, many, args.watchers)
    stack.sql("UPDATE videos SET status = 5, completed_at = now(), version = version + 1 WHERE id = ANY(%s)", videos)
    took = many.until(lambda one: one.last == "video.canceled" and one.ended, 600)
    print(f"  all {args.watchers} had the terminal event and the end {took:.2f} s after the change")
    many.close()
    time.sleep(5)
    show("after all have gone", memory(stack))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--watchers", type=int, default=10000)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--videos", type=int, default=1)
    parser.add_argument("--hold", type=int, default=20)
    parser.add_argument("--restart", action="store_true")
    args = parser.parse_args()
    os.environ["VG_BUILD"] = str(pathlib.Path(args.build).resolve())
    from vg import Stack

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for per_connection in (args.streams, 0):  # each on a fresh stack: memory that was used once is kept
        with tempfile.TemporaryDirectory(prefix="vg-bench-") as folder:
            with Stack(folder, {"VIDEOGATE_LOG_LEVEL": "warn", "VIDEOGATE_PROJECT_CONCURRENCY": "1"}) as stack:
                round_of(stack, args, per_connection)


main()
