#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One large file through the bridge: rate, and the memory of bridge and service while it streams and while readers stand still.

usage: download.py --build DIR [--gib 4] [--stalled 100]
"""
import argparse
import os
import pathlib
import resource
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/integration"))
MIB = 1 << 20


def show(what, peak, note=""):
    print(f"  {what:<26}" + "".join(f"  {name} {peak.before[name] / MIB:6.1f} -> {peak.peak[name] / MIB:6.1f} MiB at most" for name in peak.peak) + note,
          flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--gib", type=int, default=4)
    parser.add_argument("--stalled", type=int, default=100)
    args = parser.parse_args()
    os.environ["VG_BUILD"] = str(pathlib.Path(args.build).resolve())
    from large import Peak, plant, read_all, stalled_reader, until_still
    from vg import Stack

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    size = args.gib << 30
    with tempfile.TemporaryDirectory(prefix="vg-bench-") as folder:
        with Stack(folder, {"VIDEOGATE_LOG_LEVEL": "warn", "VIDEOGATE_WRITE_TIMEOUT": "10m"}) as stack:
            video = plant(stack, size)
            tls = ["--cacert", stack.env["VIDEOGATE_TLS_CA"], "--http2"]
            for what, flags, url in (("HTTP/1.1", ["--http1.1"], None), ("HTTP/2", ["--http2-prior-knowledge"], None),
                                     ("HTTP/2 over TLS", tls, stack.env["VIDEOGATE_TLS_URL"])):
                begin = time.monotonic()
                with Peak(stack) as peak:
                    assert read_all(stack, video, *flags, url=url) == (size, b"the end.")
                took = time.monotonic() - begin
                show(f"{args.gib} GiB, {what}", peak, f"  {took:.1f} s, {size / MIB / took:.0f} MiB/s")
            with Peak(stack) as peak:
                readers = [stalled_reader(stack, video) for _ in range(args.stalled)]
                until_still(stack)
            each = {name: grown / args.stalled / 1024 for name, grown in peak.growth().items()}
            show(f"{args.stalled} stalled readers", peak, "  " + ", ".join(f"{name} {value:.0f} KiB each" for name, value in each.items()))
            for reader in readers:
                reader.close()


main()
