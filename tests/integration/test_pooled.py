# SPDX-License-Identifier: Apache-2.0
"""A service behind PgBouncer in transaction mode: with database-listen-url, which goes past it, it hears what others notify; without, it polls."""
import os
import subprocess
import time
import urllib.parse

import pytest
from vg import ROOT, Beside, Stack, free_base, readyz, wait_for

ENV = {"PATH": "/usr/sbin:/usr/bin:/bin"}


class Bouncer:
    """PgBouncer in front of the stack's PostgreSQL, for one database."""

    def __init__(self, stack, folder, name):
        server = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(stack.env["DATABASE_URL"]).query))
        self.port, settings = free_base(1), folder / "pgbouncer.ini"
        settings.write_text(f"[databases]\n{name} = host={server['host']} port={server['port']} user=videogate\n[pgbouncer]\n"
                            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nauth_type = any\npool_mode = transaction\n"
                            "unix_socket_dir =\nmax_client_conn = 100\ndefault_pool_size = 8\n")
        self.url = f"postgresql://videogate@127.0.0.1:{self.port}/{name}"
        # It refuses to run as root; it reads its settings from a folder that is open to root alone.
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        with open(folder / "bouncer.log", "w") as log, open(settings) as readable:
            self.process = subprocess.Popen([*user, "pgbouncer", "/dev/stdin"], stdin=readable, stderr=log, env=ENV)

    def close(self):
        self.process.kill()
        self.process.wait()


class Pooled(Stack):
    """A service and a bridge of its own there, which callers may use."""

    def __init__(self, beside, folder, name, bouncer, *more, **env):
        self.beside, self.base = beside, free_base()
        beside.env.update(VIDEOGATE_DATABASE_URL=bouncer.url, VIDEOGATE_DATABASE_POOLED="true", **env)
        beside.start("service", "--listen", f"127.0.0.1:{self.base + 2}", "--monitor", f"127.0.0.1:{self.base + 3}", "--blob-dir", folder / "blobs",
                     "--catalog", ROOT / "service/catalog.json", "--workers", f"sandbox=127.0.0.1:{beside.stack.port(4)}", "--route-all", "sandbox", *more)
        beside.start("bridge", "--listen", f"127.0.0.1:{self.base}", "--service", f"127.0.0.1:{self.base + 2}")
        for port in (self.base + 3, self.base):
            wait_for(lambda port=port: readyz(port)[0] == 200, f"port {port} to be ready", patience=60)
        self.env = {"VIDEOGATE_API_KEY": beside.new_key("--service", f"127.0.0.1:{self.base + 2}")}

    def claims(self):
        return self.metric(3, 'videogate_generation_claims_total{result="ok"}').popitem()[1]


@pytest.fixture(scope="module")
def life(stack, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pooled")
    with Beside(stack, folder) as beside:
        direct = beside.env["VIDEOGATE_DATABASE_URL"]
        bouncer = Bouncer(stack, folder, beside.name)
        try:
            polls = Pooled(beside, folder, "polls", bouncer)
            hears = Pooled(beside, folder, "hears", bouncer, VIDEOGATE_DATABASE_LISTEN_URL=direct)
            yield polls, hears, direct
        finally:
            for process in reversed(beside.processes):
                process.terminate()
                process.wait(60)
            bouncer.close()


def psql(url, statement):
    import psycopg2

    connection = psycopg2.connect(url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else None
    finally:
        connection.close()


def test_one_connection_listens_past_the_pooler(life):
    """The one of the service that was given its URL; the others come through PgBouncer, and none of them listens."""
    _, _, direct = life
    rows = psql(direct, "SELECT application_name, query FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
    assert [name for name, _ in rows].count("videogate-listen") == 1, rows
    assert not [query for name, query in rows if name != "videogate-listen" and "LISTEN" in query], rows


def test_what_is_notified_is_heard(life):
    """Nothing is due; each NOTIFY makes the one that listens look, and the other goes on polling."""
    polls, hears, direct = life
    before = {one: one.claims() for one in (polls, hears)}
    for _ in range(40):
        psql(direct, "NOTIFY videogate_due")
        time.sleep(0.05)
    heard, polled = hears.claims() - before[hears], polls.claims() - before[polls]
    assert heard >= 20, f"{heard:.0f} of 40 were heard, {polled:.0f} claims without"
    assert polled < heard / 2, f"{polled:.0f} claims by polling, {heard:.0f} by listening"


def test_a_replicas_work_is_notified_and_found(life):
    """Made through the one that polls: its NOTIFY comes to the one that listens, through the pooler. Both make videos."""
    polls, hears, _ = life
    before = hears.claims()
    made = [polls.create()["id"] for _ in range(5)] + [hears.create()["id"] for _ in range(5)]
    for video in made:
        assert hears.wait(video)["status"] == "completed"
    assert hears.claims() - before >= 5


def test_it_listens_again_when_its_connection_is_lost(life):
    polls, hears, direct = life
    lost = psql(direct, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'videogate-listen' AND datname = current_database()")
    assert lost == [(True,)]
    wait_for(lambda: psql(direct, "SELECT 1 FROM pg_stat_activity WHERE application_name = 'videogate-listen' AND datname = current_database()"),
             "it to listen again")
    before = hears.claims()
    for _ in range(40):
        psql(direct, "NOTIFY videogate_due")
        time.sleep(0.05)
    assert hears.claims() - before >= 20
