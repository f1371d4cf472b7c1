#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A Patroni cluster: three PostgreSQL nodes and an etcd, each in a network namespace of its own on one bridge. Root only.

usage: patroni.py up DIR [--async] | down DIR | status DIR | switchover DIR | kill DIR NODE | start DIR NODE
       patroni.py cut DIR NODE [--but-clients] | heal DIR NODE | dcs-down DIR | dcs-up DIR

    client (this namespace, .1) --- bridge --- pg1 .11, pg2 .12, pg3 .13   (patroni, PostgreSQL)
                                      +------- dcs .5                      (etcd)

`up` prints the URL. NODE is pg1, pg2, pg3 or "leader".
"""
import argparse
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import time

PGBIN = pathlib.Path("/usr/lib/postgresql/15/bin")
NODES = ("pg1", "pg2", "pg3")
ADDRESS = {"client": 1, "dcs": 5, "pg1": 11, "pg2": 12, "pg3": 13}
AS_POSTGRES = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
# Patroni asks for loop_wait + 2 * retry_timeout <= ttl. Its own defaults are 10, 10 and 30.
TIMES = {"ttl": 12, "loop_wait": 1, "retry_timeout": 5}


def available():
    """None, or why it cannot run here."""
    if os.getuid() != 0:
        return "needs root for network namespaces"
    missing = [tool for tool in ("patroni", "etcd", "ip", "iptables") if not shutil.which(tool)]
    return f"not installed: {', '.join(missing)} (VG_PACKAGES_FAULTS)" if missing else None


def _run(*words, check=True, **more):
    return subprocess.run([str(one) for one in words], check=check, capture_output=True, text=True, **more)


class Cluster:
    def __init__(self, folder, synchronous=True):
        self.folder, self.synchronous = pathlib.Path(folder), synchronous
        state = self.folder / "state.json"
        if state.exists():
            self.__dict__.update(json.loads(state.read_text()))
        else:
            number = random.randrange(1 << 12)
            self.tag, self.net = f"vg{number:03x}", f"10.{213 + number // 256 % 16}.{number % 256}"

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *_):
        self.down()

    # --- names ---

    def address(self, name):
        return f"{self.net}.{ADDRESS[name]}"

    def space(self, name):
        return f"{self.tag}-{name}"

    @property
    def url(self):
        hosts = ",".join(self.address(one) for one in NODES)
        return f"postgresql://videogate@{hosts}/videogate?target_session_attrs=read-write&connect_timeout=2"

    # --- life ---

    def up(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        (self.folder / "state.json").write_text(json.dumps({"tag": self.tag, "net": self.net, "synchronous": self.synchronous}))
        self._wire()
        self.dcs_up()
        for name in NODES:
            home = self.folder / name
            home.mkdir(exist_ok=True)
            shutil.chown(home, "postgres", "postgres")
            (home / "patroni.json").write_text(json.dumps(self._settings(name)))
        self.start("pg1")
        self._wait(lambda: self.leader() == "pg1", "the first node to lead", 120)
        for name in NODES[1:]:
            self.start(name)
        self.wait_healthy()
        self._psql("CREATE ROLE videogate LOGIN", "postgres")
        self._psql("CREATE DATABASE videogate OWNER videogate", "postgres")
        return self.url

    def down(self):
        for name in (*NODES, "dcs"):
            self._end_all(name)
            _run("ip", "netns", "del", self.space(name), check=False)
        _run("ip", "link", "del", self.tag, check=False)

    def _wire(self):
        _run("ip", "link", "add", self.tag, "type", "bridge")
        _run("ip", "addr", "add", f"{self.address('client')}/24", "dev", self.tag)
        _run("ip", "link", "set", self.tag, "up")
        for name in ("dcs", *NODES):
            space, wire = self.space(name), f"{self.tag}{name}"
            _run("ip", "netns", "add", space)
            _run("ip", "link", "add", wire, "type", "veth", "peer", "name", "eth0", "netns", space)
            _run("ip", "link", "set", wire, "master", self.tag, "up")
            for words in (("addr", "add", f"{self.address(name)}/24", "dev", "eth0"), ("link", "set", "eth0", "up"), ("link", "set", "lo", "up")):
                _run("ip", "-n", space, *words)

    def _settings(self, name):
        address, home = self.address(name), self.folder / name
        parameters = {"max_connections": 100, "shared_buffers": "64MB", "wal_log_hints": "on", "fsync": "on", "wal_sender_timeout": "5s",
                      "wal_receiver_timeout": "5s", "log_min_messages": "warning", "wal_keep_size": "256MB"}
        return {
            "scope": self.tag, "name": name, "log": {"level": "INFO"},
            "restapi": {"listen": f"{address}:8008", "connect_address": f"{address}:8008"},
            "etcd3": {"hosts": [f"{self.address('dcs')}:2379"]},
            "bootstrap": {
                "dcs": {**TIMES, "synchronous_mode": self.synchronous, "synchronous_mode_strict": self.synchronous, "failsafe_mode": True,
                        "maximum_lag_on_failover": 1 << 20, "postgresql": {"use_pg_rewind": True, "use_slots": True, "parameters": parameters}},
                "initdb": [{"encoding": "UTF8"}, {"locale": "C"}, "data-checksums"],
                "pg_hba": ["local all all trust", "host all all 0.0.0.0/0 trust", "host replication all 0.0.0.0/0 trust"]},
            "postgresql": {"listen": f"{address},127.0.0.1:5432", "connect_address": f"{address}:5432", "data_dir": str(home / "data"),
                           "bin_dir": str(PGBIN), "pgpass": str(home / "pgpass"), "remove_data_directory_on_rewind_failure": True,
                           "remove_data_directory_on_diverged_timelines": True,
                           "authentication": {one: {"username": user, "password": "unused"} for one, user in
                                              (("superuser", "postgres"), ("replication", "replicator"), ("rewind", "rewinder"))},
                           "parameters": {"unix_socket_directories": str(home)}},
            "watchdog": {"mode": "off"}}

    def _spawn(self, name, command, as_user=()):
        with (self.folder / f"{name}.log").open("ab") as log:
            subprocess.Popen(["ip", "netns", "exec", self.space(name), "env", "-C", "/", *as_user, *[str(one) for one in command]], stdout=log, stderr=log,
                             stdin=subprocess.DEVNULL, start_new_session=True)

    def _pids(self, name):
        return [int(word) for word in _run("ip", "netns", "pids", self.space(name), check=False).stdout.split()]

    def _end_all(self, name):
        """As if the power went: every process in that namespace."""
        for _ in range(100):
            pids = self._pids(name)
            if not pids:
                return
            for pid in pids:
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            time.sleep(0.05)

    # --- what is ---

    def _ask(self, name, path, method="GET", body=None, timeout=3):
        connection = http.client.HTTPConnection(self.address(name), 8008, timeout=timeout)
        try:
            connection.request(method, path, body=json.dumps(body) if body else None, headers={"content-type": "application/json"} if body else {})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except (OSError, http.client.HTTPException):
            return None, ""
        finally:
            connection.close()

    def leader(self):
        """The node that says that it leads; when two say so in a moment of change, the one that takes writes. None: nobody."""
        for name in NODES:
            if self._ask(name, "/primary", timeout=1)[0] == 200:
                return name
        return None

    def members(self):
        for name in NODES:
            status, text = self._ask(name, "/cluster", timeout=2)
            if status == 200:
                return {one["name"]: (one["role"], one["state"]) for one in json.loads(text)["members"]}
        return {}

    def healthy(self):
        """One leads, the others stream, and one of them is synchronous."""
        roles = sorted(role for role, state in self.members().values() if state in ("running", "streaming"))
        return roles == (["leader", "replica", "sync_standby"] if self.synchronous else ["leader", "replica", "replica"])

    def wait_healthy(self, patience=180):
        self._wait(self.healthy, "a leader and two that follow", patience)

    def _wait(self, good, what, patience):
        end = time.monotonic() + patience
        while not good():
            if time.monotonic() > end:
                raise AssertionError(f"patroni: waited {patience} s for {what}: {self.members()}")
            time.sleep(0.2)

    def _psql(self, text, database="videogate"):
        node = self.leader()
        return _run(PGBIN / "psql", "-XqAt", "-h", self.address(node), "-U", "postgres", "-d", database, "-c", text).stdout.strip()

    # --- faults ---

    def start(self, name):
        self._spawn(name, ["patroni", self.folder / name / "patroni.json"], AS_POSTGRES)

    def kill(self, name):
        self._end_all(name)

    def switchover(self):
        """To the synchronous standby. The old leader."""
        old = self.leader()
        to = next((name for name, (role, _) in self.members().items() if role == "sync_standby"), None)
        status, text = self._ask(old, "/switchover", "POST", {"leader": old, **({"candidate": to} if to else {})}, timeout=60)
        if status not in (200, 202):
            raise AssertionError(f"patroni: switchover from {old} to {to}: {status} {text}")
        return old

    def cut(self, name, but_clients=False):
        """Drops what comes to and goes from a node; `but_clients`: only between it and the others and etcd."""
        others = [one for one in ("dcs", *NODES) if one != name]
        for chain, side in (("INPUT", "-s"), ("OUTPUT", "-d")):
            nets = [self.address(one) for one in others] if but_clients else [f"{self.net}.0/24"]
            for net in nets:
                words = ["!", "-i", "lo"] if chain == "INPUT" else ["!", "-o", "lo"]
                _run("ip", "netns", "exec", self.space(name), "iptables", "-w", "-A", chain, *words, side, net, "-j", "DROP")

    def heal(self, name):
        _run("ip", "netns", "exec", self.space(name), "iptables", "-w", "-F")

    def dcs_down(self):
        self._end_all("dcs")

    def dcs_up(self):
        at = self.address("dcs")
        self._spawn("dcs", ["etcd", "--data-dir", self.folder / "etcd", "--listen-client-urls", f"http://{at}:2379", "--advertise-client-urls",
                            f"http://{at}:2379", "--log-level", "error"])


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n\n")[0])
    parser.add_argument("action")
    parser.add_argument("folder")
    parser.add_argument("node", nargs="?")
    parser.add_argument("--async", dest="loose", action="store_true")
    parser.add_argument("--but-clients", action="store_true")
    told = parser.parse_args()
    cluster = Cluster(told.folder, not told.loose)
    node = cluster.leader() if told.node == "leader" else told.node
    actions = {"up": cluster.up, "down": cluster.down, "status": lambda: json.dumps(cluster.members()), "switchover": cluster.switchover,
               "kill": lambda: cluster.kill(node), "start": lambda: cluster.start(node), "cut": lambda: cluster.cut(node, told.but_clients),
               "heal": lambda: cluster.heal(node), "dcs-down": cluster.dcs_down, "dcs-up": cluster.dcs_up}
    if told.action not in actions:
        parser.error(f"no such action: {told.action}")
    why = available()
    if why:
        sys.exit(f"patroni: {why}")
    done = actions[told.action]()
    if done:
        print(done)


if __name__ == "__main__":
    main()
