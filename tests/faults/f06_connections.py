# SPDX-License-Identifier: Apache-2.0
"""F6: too few connections, connections that are terminated all the time, PgBouncer in between."""
import pathlib
import shutil
import subprocess
import time

from process import Process
from scenario import Left, scenario
from steady import Steady
from vg import free_base
from world import Traffic, World

ROW, TITLE, BOUND = "F6", "connections to PostgreSQL", "0 lost; throughput afterwards at least 98 % of before"
OURS = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name LIKE 'service%%'"


def _terminated(world, dice, seconds):
    """One to ten backends a second."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        world.sql(f"SELECT pg_terminate_backend(pid) FROM (SELECT pid {OURS} ORDER BY random() LIMIT 1) AS one")
        time.sleep(1 / dice.uniform(1, 10))


def _full(world, _, seconds):
    """No connection is left; those of the service are ended, and it cannot get them back."""
    import psycopg2

    held = []
    world.sql(f"SELECT pg_terminate_backend(pid) {OURS}")
    end = time.monotonic() + seconds
    try:
        while time.monotonic() < end:
            try:
                held.append(psycopg2.connect(world.database_url))
            except psycopg2.OperationalError:
                time.sleep(0.1)
        assert held, "not one connection was had"
    finally:
        for one in held:
            one.close()


def _busy(world, _, seconds):
    """Every connection of the service waits for a lock."""
    import psycopg2

    connection = psycopg2.connect(world.database_url)
    try:
        with connection.cursor() as cursor:
            cursor.execute("LOCK TABLE idempotency, videos IN ACCESS EXCLUSIVE MODE")
            time.sleep(seconds)
        connection.rollback()
    finally:
        connection.close()


FAULTS = {"backends terminated 1 to 10 a second": _terminated, "max_connections reached": _full, "every connection waits for a lock": _busy}


@scenario(short=1, long=5, ci=False, world={"postgres": ["max_connections=40", "superuser_reserved_connections=0"]})
def exhausted(world, dice, rounds):
    """Offered load is steady and far below the limit, so what ends in a second is the same before and after unless something stayed behind."""
    seconds, rate, ratios = (3, 4, []) if world.hurried else (15, 10, [])
    with Steady(world, rate) as steady:
        time.sleep(1)
        for number in range(1, rounds + 1):
            for name in dice.sample(sorted(FAULTS), len(FAULTS)) if not world.hurried else sorted(FAULTS):
                before = steady.ended(seconds)
                world.fault(name)
                FAULTS[name](world, dice, seconds)
                world.recover(name)
                steady.settle()
                ratios.append((steady.ended(seconds) / max(before, 0.01), name))
            world.progress(number, jobs=world.numbers)
    figures = world.check(I8={"bound_ms": 60000})
    middle = sorted(one for one, _ in ratios)[len(ratios) // 2]
    if rounds > 1:
        assert middle >= 0.98, f"after the faults {middle:.2f} of before: {ratios}"
    return figures | {"throughput after / before (median)": round(middle, 3), "worst": round(min(ratios)[0], 3)}


# --- PgBouncer ---


class Pooled(World):
    """The services reach PostgreSQL through PgBouncer; migrations and the harness go straight to it."""

    mode = "transaction"

    @property
    def service_url(self):
        return self.database_url.replace(f":{self.port(9)}/", f":{self.bouncer_port}/")

    def start_postgres(self):
        super().start_postgres()
        self.bouncer_port = free_base(1)
        home = pathlib.Path(self.pg_home)
        settings = home / "pgbouncer.ini"
        settings.write_text(f"[databases]\nvideogate = host=127.0.0.1 port={self.port(9)} user=videogate\n[pgbouncer]\nlisten_addr = 127.0.0.1\n"
                            f"listen_port = {self.bouncer_port}\nauth_type = any\npool_mode = {self.mode}\nunix_socket_dir =\nmax_client_conn = 200\n"
                            "default_pool_size = 12\nserver_login_retry = 1\nquery_wait_timeout = 8\n")
        settings.chmod(0o644)
        bouncer = self.processes["pgbouncer"] = Process("pgbouncer", ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "pgbouncer", settings],
                                                        {"PATH": "/usr/sbin:/usr/bin:/bin"}, self.folder / "log/pgbouncer.log")
        bouncer.start()


class Session(Pooled):
    mode = "session"


def _through(apart, dice, rounds, kind, env):
    if not shutil.which("pgbouncer", path="/usr/sbin:/usr/bin"):
        raise Left("pgbouncer is not installed")
    with kind(apart.folder, services=2, env=env) as world:
        world.hurried = apart.hurried
        with Traffic(world, dice, callers=3):
            for number in range(1, rounds + 1):
                time.sleep(0.5 + dice.random())
                world.fault("PgBouncer killed")
                world.kill("pgbouncer", record=False)
                world.recover("PgBouncer killed")
                world.fault("its server connections terminated")
                world.sql(f"SELECT pg_terminate_backend(pid) {OURS} AND pid <> pg_backend_pid()")
                world.recover("its server connections terminated")
                apart.progress(number, jobs=world.numbers)
        figures = world.check(I8={"bound_ms": 60000})
        listens = world.sql("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%%LISTEN%%' AND application_name = 'videogate-listen'")[0][0]
        return figures | {"connections that listen": listens}


@scenario(short=1, long=20, world=False)
def pgbouncer_transaction(apart, dice, rounds):
    """Transaction mode, no LISTEN: everything is found by polling."""
    return _through(apart, dice, rounds, Pooled, {"VIDEOGATE_DATABASE_POOLED": "true"})


@scenario(short=1, long=20, ci=False, world=False)
def pgbouncer_session(apart, dice, rounds):
    return _through(apart, dice, rounds, Session, {})
