#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Creates and status reads per second through the whole stack, beside pgbench's single-row inserts and primary-key
reads on the same cluster in the same run. Figures and ratios; nothing is asserted.

usage: bench.py --build BUILD [--seconds N] [--rounds N]
"""
import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/integration"))
PGBIN = "/usr/lib/postgresql/15/bin"
INSERT = "\\set r random(1, 1000000000)\nINSERT INTO bench_rows (body) VALUES (md5(:r::text));\n"
SELECT = "\\set r random(1, 1000)\nSELECT body FROM bench_rows WHERE id = :r;\n"


def pgbench(stack, script, seconds, clients=64):
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        file.write(script)
        file.flush()
        url = dict(re.findall(r"[?&](\w+)=([^&]+)", stack.env["DATABASE_URL"]))
        out = subprocess.run([f"{PGBIN}/pgbench", "-n", "-M", "prepared", "-c", str(clients), "-j", "2", "-T", str(seconds), "-f", file.name,
                              "-h", url["host"], "-p", url["port"], "-U", "videogate", "videogate"], capture_output=True, text=True, check=True)
    return float(re.search(r"tps = ([\d.]+)", out.stdout).group(1))


def h2load(stack, seconds, path, body=None, clients=16, streams=32, http1=False):
    args = ["h2load", "-c", str(clients), "-m", "1" if http1 else str(streams), "-D", str(seconds), "--warm-up-time", "1", "-t", "1",
            "-H", f"authorization: Bearer {stack.key}"]
    if http1:
        args.append("--h1")
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        if body:
            file.write(json.dumps(body))
            file.flush()
            args += ["-d", file.name, "-H", "content-type: application/json"]
        out = subprocess.run([*args, stack.env["VIDEOGATE_URL"] + path], capture_output=True, text=True, check=True).stdout
    rate = float(re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", out).group(1))
    codes = re.search(r"status codes: (.*)", out).group(1)
    mean = re.search(r"time for request:\s+\S+\s+\S+\s+(\S+)", out).group(1)
    return rate, codes, mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2)
    args = parser.parse_args()
    os.environ["VG_BUILD"] = str(pathlib.Path(args.build).resolve())
    from vg import Stack

    create = {"prompt": "a load test", "model": "sandbox-never", "size": "160x90", "seconds": 1}
    with tempfile.TemporaryDirectory(prefix="vg-bench-") as folder:
        # The providers have no places: what is measured is the durable create, not the jobs behind it.
        with Stack(folder, {"VIDEOGATE_LOG_LEVEL": "warn", "VIDEOGATE_PROJECT_CONCURRENCY": "1"}) as stack:
            stack.sql("CREATE TABLE bench_rows (id bigserial PRIMARY KEY, body text)")
            video = stack.create(model="sandbox-instant")["id"]
            stack.wait(video)
            for number in range(args.rounds):
                inserts = pgbench(stack, INSERT, args.seconds)
                selects = pgbench(stack, SELECT, args.seconds)
                print(f"round {number + 1}")
                print(f"  pgbench inserts     {inserts:10.0f} /s   primary-key reads {selects:.0f} /s   (64 clients)")
                for name, http1, peer, what, path, body in (
                    ("creates, h2", False, inserts, "inserts", "/v1/videos", create),
                    ("creates, h1", True, inserts, "inserts", "/v1/videos", create),
                    ("reads, h2", False, selects, "reads", f"/v1/videos/{video}", None),
                    ("reads, h1", True, selects, "reads", f"/v1/videos/{video}", None),
                ):
                    rate, codes, mean = h2load(stack, args.seconds, path, body, clients=256 if http1 else 16, http1=http1)
                    print(f"  {name:<18}  {rate:10.0f} /s   {rate / peer:5.2f} x pgbench {what}   mean {mean}   {codes}")


if __name__ == "__main__":
    main()
