#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Signed, durable callbacks per second to a sink on loopback (nginx that answers 204), beside pgbench's single-row inserts on the same
cluster in the same run. Each callback is claimed, signed, sent, and recorded with its attempt in PostgreSQL. Figures and ratios; nothing
is asserted but that all arrived and all are recorded.

usage: webhooks.py --build BUILD [--callbacks N] [--rounds N] [--hosts N] [--concurrency N]
"""
import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests/integration"), str(ROOT / "tests/faults"), str(ROOT / "tests/bench")]
NGINX = """worker_processes 1; daemon off; pid {dir}/pid; error_log stderr crit;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000; client_body_temp_path {dir}/body; client_body_in_single_buffer on;
  proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  server {{ listen {port} backlog=4096; location = /count {{ stub_status; }} location / {{ return 204; }} }} }}
"""


class Sink:
    def __init__(self, port):
        self.dir = tempfile.mkdtemp(prefix="vgsink-")
        os.chmod(self.dir, 0o777)
        self.port = port
        config = pathlib.Path(self.dir, "nginx.conf")
        config.write_text(NGINX.format(dir=self.dir, port=port))
        self.process = subprocess.Popen(["/usr/sbin/nginx", "-c", str(config)], stderr=subprocess.DEVNULL)
        time.sleep(0.5)
        assert self.process.poll() is None, "nginx did not start (apt-get install nginx-light)"

    def close(self):
        self.process.terminate()
        self.process.wait()


def cpu_seconds(stack, sink):
    """{program: seconds of CPU so far}, with children: the other load of a machine does not count in these."""
    roots = {"service": stack.pid("service"), "webhook": stack.pid("webhook"), "postgres": stack.pid("postgres"), "sink": sink.process.pid}
    parents, used = {}, {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents[int(path.parent.name)], used[int(path.parent.name)] = int(words[1]), (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")
    total = dict.fromkeys(roots, 0.0)
    for pid in used:
        for name, root in roots.items():
            if root in (pid, parents[pid]):
                total[name] += used[pid]
    return total


def round_of(stack, sink, outbox, endpoints, callbacks):
    """Rows first, all to be due at once; from the wake-up until the last is recorded as delivered."""
    left = callbacks
    while left > 0:
        chosen = [endpoints[i % len(endpoints)] for i in range(min(left, 2000))]
        outbox.put(chosen, wait="1 hour", wake=False)
        left -= len(chosen)
    stack.sql("ANALYZE deliveries")
    before = stack.sql("SELECT count(*) FROM delivery_attempts")[0][0]
    stack.sql("UPDATE deliveries SET due_at = now() WHERE state = 1")
    cpu, start = cpu_seconds(stack, sink), time.monotonic()
    stack.sql("NOTIFY videogate_due")
    while stack.sql("SELECT EXISTS (SELECT FROM deliveries WHERE state = 1)")[0][0]:
        time.sleep(0.02)
    seconds = time.monotonic() - start
    cost = {name: (used - cpu[name]) * 1e6 / callbacks for name, used in cpu_seconds(stack, sink).items()}
    made = stack.sql("SELECT count(*) FROM delivery_attempts")[0][0] - before
    good = stack.sql("SELECT count(*) FROM deliveries WHERE state = 2")[0][0]
    assert made == callbacks, f"{made} attempts for {callbacks} callbacks"
    stack.sql("DELETE FROM deliveries")
    assert good == callbacks, f"{good} of {callbacks} were delivered"
    return callbacks / seconds, cost


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", required=True)
    parser.add_argument("--callbacks", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--hosts", type=int, default=64)
    parser.add_argument("--concurrency", type=int, default=8, help="attempts at one receiver at a time")
    args = parser.parse_args()
    os.environ["VG_BUILD"] = str(pathlib.Path(args.build).resolve())
    from bench import INSERT, pgbench
    from outbox import Outbox
    from vg import Stack, free_base

    env = {"VIDEOGATE_LOG_LEVEL": "warn", "VIDEOGATE_WEBHOOK_CONCURRENCY": str(args.concurrency)}
    sink = Sink(free_base())
    with tempfile.TemporaryDirectory() as folder, Stack(folder, env) as stack:
        stack.sql("CREATE TABLE bench_rows (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, body text NOT NULL)")
        outbox = Outbox(stack)
        endpoints = []
        for project in range((args.hosts + 31) // 32):  # a project has at most 32
            key = stack.new_key(f"bench-{project}")["secret"]
            endpoints += [outbox.endpoint(f"http://127.0.{project}.{host + 1}:{sink.port}/hook", key=key, project=f"bench-{project}")
                          for host in range(min(32, args.hosts - 32 * project))]
        round_of(stack, sink, outbox, endpoints, 1000)
        rates, inserts, costs = [], [], []
        for number in range(args.rounds):
            inserts.append(pgbench(stack, INSERT, 5))
            rate, cost = round_of(stack, sink, outbox, endpoints, args.callbacks)
            rates.append(rate)
            costs.append(cost)
            print("  CPU for each callback: " + ", ".join(f"{name} {us:.0f} us" for name, us in cost.items()))
            print(f"round {number + 1}: {rates[-1]:.0f} callbacks/s, pgbench {inserts[-1]:.0f} inserts/s, ratio {rates[-1] / inserts[-1]:.2f}", flush=True)
        best = max(range(len(rates)), key=rates.__getitem__)
        print(f"callbacks: {rates[best]:.0f}/s signed, sent, answered and recorded, {rates[best] / inserts[best]:.2f} of pgbench's inserts "
              f"({os.cpu_count()} cores, all of it on them); "
              f"{1e6 / sum(costs[best].values()):.0f} for each second of CPU, the sink included")
    sink.close()


main()
