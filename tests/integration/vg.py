# SPDX-License-Identifier: Apache-2.0
"""What the integration tests share: a stack, an HTTP caller, waiting, probing."""
import contextlib
import fcntl
import http.client
import json
import os
import pathlib
import random
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse

import planted

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("VG_BUILD", ROOT / "build"))
NODE = pathlib.Path(os.environ.get("VG_NODE", ROOT / "build/node"))
TERMINAL = ("completed", "failed", "canceled", "expired")
# Long enough for a loaded machine under sanitizers; a limit against hanging, not a claim.
PATIENCE = 180
# Many tests show wrong keys, all from one address.
PATIENT = {"VIDEOGATE_AUTH_FAILURES": "100000", "VIDEOGATE_AUTH_FAILURES_KEY": "100000"}
# A file for each ten of ports, locked by the process whose tests use them: tests run side by side, and their programs listen only later.
PORTS = pathlib.Path(tempfile.gettempdir()) / f"videogate-ports-{os.getuid()}"
_reserved = []


def wait_for(check, what, patience=PATIENCE, pause=0.1):
    """Calls `check` until it returns something true; returns that."""
    end = time.monotonic() + patience
    while True:
        value = check()
        if value:
            return value
        assert time.monotonic() < end, f"waited {patience} s for {what}"
        time.sleep(pause)


def _reserve(base, count):
    """Locks the tens of ports from `base` on and tries them; the locks, or OSError."""
    locks = []
    try:
        for ten in range(base, base + count, 10):
            locks.append(open(PORTS / str(ten), "w"))
            fcntl.flock(locks[-1], fcntl.LOCK_EX | fcntl.LOCK_NB)
        with contextlib.ExitStack() as tried:
            for port in range(base, base + count):
                tried.enter_context(socket.socket()).bind(("127.0.0.1", port))
    except OSError:
        for lock in locks:
            lock.close()
        raise
    return locks


def free_base(count=10):
    """The first of `count` ports nobody listens on, and that no other test is given while this process lives."""
    PORTS.mkdir(exist_ok=True)
    for _ in range(200):
        base = random.randrange(20000, 32000, 10)
        try:
            _reserved.extend(_reserve(base, count))
        except OSError:
            continue
        return base
    raise RuntimeError(f"no {count} free ports in a row")


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        """The OpenAI envelope, checked for its four keys."""
        error = self.json["error"]
        assert set(error) == {"message", "type", "param", "code"}, error
        assert error["message"] and error["type"]
        return error


class Stack:
    def __init__(self, folder, env=None):
        self.folder = pathlib.Path(folder)
        live = any(name.endswith("_KEYS") for name in env or {})  # a worker for each of these providers
        self.base = free_base(70 if "VIDEOGATE_SIMULATORS" in (env or {}) else 20 if live else 10)
        self.environ = {**os.environ, "VIDEOGATE_LOG_LEVEL": "debug", **PATIENT, **(env or {})}
        self.env = {}

    def __enter__(self):
        self.up()
        return self

    def __exit__(self, *_):
        self.run("down")
        # The cluster may live outside the folder (deploy/README.md).
        home = (self.folder / "pg_home").read_text().strip()
        shutil.rmtree(home, ignore_errors=True)
        self.check_logs()

    def run(self, command, check=True):
        args = [str(ROOT / "deploy/stack.sh"), command, "--dir", str(self.folder), "--port", str(self.base),
                "--build", str(BUILD)]
        done = subprocess.run(args, env=self.environ, text=True, capture_output=True)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def up(self):
        self.run("up")
        self.env = dict(
            line.split("=", 1) for line in shlex.split(self.run("env").stdout.replace("\n", " "))
        )
        planted.note("key", self.key)
        planted.note("secret of the stack", *secrets_of(self).values())

    def check_logs(self):
        """No sanitizer report, assertion, key or prompt in any log."""
        for log in (self.folder / "log").glob("*.log"):
            text = log.read_text(encoding="utf-8", errors="replace")
            for bad in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "assertion failed",
                        "WARNING: ThreadSanitizer", self.key):
                assert bad not in text, f"{log.name} has {bad!r}:\n" + excerpt(text, bad)
        assert planted.found([self.folder]) == []

    # --- processes ---

    def pid(self, name):
        return int((self.folder / "pids" / f"{name}.pid").read_text())

    def kill(self, name, sig=signal.SIGKILL):
        os.kill(self.pid(name), sig)
        if sig == signal.SIGKILL:
            wait_for(lambda: not self.alive(name), f"{name} to die")

    def alive(self, name):
        """Whether the process still runs; a zombie does not."""
        try:
            return pathlib.Path(f"/proc/{self.pid(name)}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
        except OSError:
            return False

    def log(self, name):
        return (self.folder / "log" / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    @property
    def key(self):
        return self.env["VIDEOGATE_API_KEY"]

    def port(self, offset):
        return self.base + offset

    # --- callers ---

    def http(self, method, path, body=None, headers=None, key=True, timeout=60):
        """One HTTP/1.1 request; a dict body is sent as JSON. `key` may be another key or False."""
        out, fields = dict(headers or {}), body
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            out.setdefault("content-type", "application/json")
        if key:
            out.setdefault("authorization", f"Bearer {self.key if key is True else key}")
        planted.note_request(path, fields, out)
        connection = http.client.HTTPConnection("127.0.0.1", self.base, timeout=timeout)
        try:
            connection.request(method, path, body=body, headers=out)
            answer = connection.getresponse()
            return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        finally:
            connection.close()

    def create(self, expect=200, key=True, headers=None, **fields):
        fields.setdefault("prompt", "a red kite over the sea")
        fields.setdefault("model", "sandbox-instant")
        fields.setdefault("size", "160x90")
        fields.setdefault("seconds", 1)
        answer = self.http("POST", "/v1/videos", fields, key=key, headers=headers)
        assert answer.status == expect, answer.body
        return answer.json

    def get(self, video_id, key=True):
        answer = self.http("GET", f"/v1/videos/{video_id}", key=key)
        assert answer.status == 200, answer.body
        return answer.json

    def wait(self, video_id, patience=PATIENCE):
        """Waits for a terminal state; returns the video."""
        seen = {}

        def ended():
            seen.update(self.get(video_id))
            return seen["status"] in TERMINAL

        try:
            wait_for(ended, f"{video_id} to end", patience)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{seen}\n{self.story(video_id)}") from None
        return seen

    def story(self, video_id, lines=60):
        """What an operator looks at when a job does not end: its rows, its trace, and who said what of it."""
        rows = self.sql("SELECT * FROM generations WHERE video_id = %s", video_id)
        said = [f"{name}: {line}" for name in ("service", "worker", "webhook")
                for line in self.log(name).splitlines() if video_id in line]
        waits = [line for line in self.log("service").splitlines() if " msg=breaker " in line or ' msg="worker ' in line]
        return "\n".join([*map(str, rows), self.ctl("video", "trace", video_id, admin=True, check=False).stdout,
                          *said[-lines:], *waits[-lines:]])

    def ctl(self, *args, admin=False, check=True, stdin=None):
        env = {**os.environ, "VIDEOGATE_API_KEY": self.key}
        if admin:
            env["VIDEOGATE_ADMIN_KEY"] = self.env["VIDEOGATE_ADMIN_KEY"]
        done = subprocess.run([str(BUILD / "bin/videogatectl"), "--service", self.env["VIDEOGATE_GRPC"], *args],
                              env=env, text=True, capture_output=True, stdin=stdin)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def new_key(self, project):
        out = self.ctl("keys", "create", "--project", project, admin=True).stdout
        return dict(line.split(" ", 1) for line in out.splitlines() if " " in line)

    def curl(self, *args):
        done = subprocess.run(["curl", "-sS", "--max-time", "60", "-H", f"Authorization: Bearer {self.key}", *args],
                              capture_output=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    # --- looking behind ---

    def sql(self, statement, *args):
        import psycopg2

        connection = psycopg2.connect(self.env["DATABASE_URL"])
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement, args)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def callbacks(self, video_id=None):
        path = pathlib.Path(self.env["VIDEOGATE_WEBHOOK_LOG"])
        rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [r for r in rows if video_id is None or video_id in r["body"]]

    def submissions(self):
        """The sandbox provider's own record of what it was asked to make: {token: count}."""
        counts = {}
        path = self.folder / "sandbox" / "submissions.log"
        for line in path.read_text().splitlines() if path.exists() else []:
            token = line.split(" ")[0]
            counts[token] = counts.get(token, 0) + 1
        return counts

    def metric(self, port_offset, name):
        connection = http.client.HTTPConnection("127.0.0.1", self.port(port_offset), timeout=20)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        rows = (line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(name))
        return {series: float(value) for series, value in rows}


def secrets_of(stack):
    """The stack's secrets, as environment."""
    return dict(line.split("=", 1) for line in (stack.folder / "secrets").read_text().split())


class Beside:
    """Programs beside a stack, with a fresh database on its server and its secrets."""

    def __init__(self, stack, folder):
        self.stack, self.folder = stack, pathlib.Path(folder)
        self.name = f"beside{random.randrange(1 << 40)}"
        self.database = stack.env["DATABASE_URL"].replace("/videogate?", f"/{self.name}?")
        self.env = {**os.environ, **secrets_of(stack), "VIDEOGATE_DATABASE_URL": self.database}
        self.processes = []

    def __enter__(self):
        self.stack.sql(f"CREATE DATABASE {self.name}")
        self.ctl("migrate")
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(60) for process in self.processes]
        self.stack.sql(f"DROP DATABASE {self.name} WITH (FORCE)")
        assert codes == [0] * len(codes), f"exit statuses {codes}, logs in {self.folder}"

    def log(self, name):
        return self.folder / f"{name}.log"

    def start(self, name, *args):
        """Starts videogate-NAME."""
        with self.log(name).open("a") as log:
            self.processes.append(subprocess.Popen([str(BUILD / f"bin/videogate-{name}"), *map(str, args)], env=self.env, stderr=log))

    def ctl(self, *args, check=True, **env):
        done = subprocess.run([str(BUILD / "bin/videogatectl"), *args], env={**self.env, **env}, text=True, capture_output=True)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def new_key(self, *args):
        key = self.ctl("keys", "create", "--project", "beside", *args).stdout.split("secret ")[1].split()[0]
        planted.note("key", key)
        return key


def readyz(port):
    """Status and text; 0 while nobody listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    except OSError:
        return 0, ""
    finally:
        connection.close()


def excerpt(text, word):
    at = text.find(word)
    return text[max(0, at - 500) : at + 3000]


def ffprobe(path):
    out = subprocess.run(["ffprobe", "-v", "error", "-show_format", "-show_streams", "-of", "json", str(path)],
                         capture_output=True, check=True).stdout
    return json.loads(out)


def query(**fields):
    return urllib.parse.urlencode(fields)
