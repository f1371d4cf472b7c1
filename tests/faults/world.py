# SPDX-License-Identifier: Apache-2.0
"""The real programs on free ports with a PostgreSQL of their own, simulators of providers, a receiver, and a history of it all.

    links, each a Proxy when asked for (proxied=...):
      bridge-service  service-postgres  service-worker-PROVIDER  service-webhook  worker-simulator-PROVIDER  webhook-receiver
"""
import http.client
import importlib
import json
import os
import pathlib
import random
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import audit
import history as histories
import planted
import vg
from process import Process
from proxy import Proxy
from receiver import Receiver
from vg import BUILD, ROOT, TERMINAL, wait_for

PGBIN = pathlib.Path("/usr/lib/postgresql/15/bin")
SECRET = "fault-harness-callback-secret"
# What one job of a provider is asked as. sandbox and kling find a submission by our token, bytedance by our seed, openai's list tells likely ones, xai has neither.
JOBS = {"sandbox": {"model": "sandbox-instant", "size": "160x90", "seconds": 1},
        "kling": {"model": "kling/kling-v3-0-turbo", "size": "1280x720", "seconds": 3},
        "bytedance": {"model": "bytedance/seedance-2-0", "size": "1280x720", "seconds": 4},
        "openai": {"model": "openai/sora-2", "size": "1280x720", "seconds": 4},
        "xai": {"model": "xai/grok-imagine-video", "size": "848x480", "seconds": 1}}
# Without a token or a list a submission whose answer was lost may end as failed, submission_unknown; never as a second job.
NO_LOOKUP = ("openai", "xai")
SHORT_LEASE = {"VIDEOGATE_LEASE": "3s", "VIDEOGATE_WEBHOOK_SCHEDULE": "0s," + ",".join(["1s"] * 31), "VIDEOGATE_POLL_INTERVAL": "100ms",
               "VIDEOGATE_LOG_LEVEL": "info", "VIDEOGATE_SANDBOX_SLOW": "3s"}
BROKEN = (OSError, ValueError, http.client.HTTPException)  # no answer, or not a whole one
MANY = 100  # jobs that are looked at by pages of the list, not one by one
# Each counts for itself; under sanitizers an exit for a leak would hide the signal.
SANITIZERS = {"ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0", "UBSAN_OPTIONS": "print_stacktrace=1"}


class World(vg.Stack):
    """http, create, get, wait, ctl, sql of vg.Stack work here, too."""

    def __init__(self, folder, providers=("sandbox",), services=1, env=None, proxied=(), keep=False, postgres=None, database_url=None, sim=None):
        self.folder, self.providers, self.keep = pathlib.Path(folder), tuple(providers), keep
        self.folder.mkdir(parents=True, exist_ok=True)
        self.base = vg.free_base(40)
        self.environ = {**os.environ, **SANITIZERS, **SHORT_LEASE, **vg.PATIENT, **(env or {})}
        self.history = histories.History(self.folder / "history.jsonl")
        self.env, self.processes, self.proxied, self.proxies, self.sims = {}, {}, tuple(proxied), {}, {}
        self.services, self.postgres_settings, self.database_url, self.sim_settings = services, list(postgres or []), database_url, sim or {}
        self.secrets = {"VIDEOGATE_ADMIN_KEY": secrets.token_hex(32), "VIDEOGATE_SECRET_KEY": secrets.token_hex(32)}
        planted.note("secret of the world", *self.secrets.values())
        self.pg_home, self.numbers, self.lock = None, 0, threading.Lock()
        self.tag = secrets.token_hex(3)
        self.hurried = False  # CI: see hurry

    # --- life ---

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, failure, *_):
        self.down()
        if failure is None:
            self.check_logs()
            for sim in self.sims.values():
                sim.verify()
            if not self.keep:
                shutil.rmtree(self.folder, ignore_errors=True)

    def up(self):
        (self.folder / "log").mkdir(exist_ok=True)
        if self.database_url is None:
            self.start_postgres()
        self.env["DATABASE_URL"] = self.database_url
        self._ctl_env = {**self.environ, **self.secrets, "VIDEOGATE_DATABASE_URL": self.database_url}
        subprocess.run([str(BUILD / "bin/videogatectl"), "migrate"], env=self._ctl_env, check=True, capture_output=True)
        self.sql(audit.INSTALL)
        self.receiver = Receiver(self.history, SECRET)
        self.proxy("webhook-receiver", self.receiver.port)
        self._start_workers()
        self._add("webhook", 6, "videogate-webhook", lambda: ["--listen", self._at(6), "--allow-http", "true", "--allow-any-port", "true",
                                                            "--allow-nets", "127.0.0.0/8"])
        for number in range(self.services):
            self._add_service(number)
        self._add("bridge", 0, "videogate-bridge", lambda: ["--listen", self._at(0), "--service", f"127.0.0.1:{self.link('bridge-service', self.port(2))}"],
                  monitor=False)
        self.processes["bridge"].monitor = self.port(0)
        self.start_all()
        self.env["VIDEOGATE_GRPC"] = self._at(2)
        self.env["VIDEOGATE_ADMIN_KEY"] = self.secrets["VIDEOGATE_ADMIN_KEY"]
        self.env["VIDEOGATE_API_KEY"] = ""
        self.env["VIDEOGATE_API_KEY"] = self.new_key("default")["secret"]

    def down(self):
        for name in [one for one in ("bridge", *self.service_names(), "webhook", *self.processes) if one != "postgres"]:
            if name in self.processes:
                self.processes[name].stop()
        for sim in self.sims.values():
            sim.stop()
        for proxy in self.proxies.values():
            proxy.close()
        if hasattr(self, "receiver"):
            self.receiver.close()
        if "postgres" in self.processes:
            postgres = self.processes["postgres"]
            if postgres.alive():
                postgres.signal(signal.SIGINT)
                postgres.wait_dead(60)
                postgres.kill()
        if self.pg_home:
            shutil.rmtree(self.pg_home, ignore_errors=True)
        self.history.close()

    def check_logs(self):
        for process in self.processes.values():
            process.check_log((self.key, *self.secrets.values(), SECRET))
        assert planted.found([self.folder]) == [], "a log has what no log may have"

    # --- programs ---

    def _at(self, offset):
        return f"127.0.0.1:{self.port(offset)}"

    def link(self, name, port, which=""):
        """Where to connect to reach `port`: through the proxy of that link where there is one. `which`: of several links of a name."""
        return self.proxy(name, port, which).port if name in self.proxied else port

    def proxy(self, name, port=None, which=""):
        full = f"{name}-{which}" if which else name
        if name in self.proxied and full not in self.proxies:
            self.proxies[full] = Proxy(port)
        return self.proxies.get(full)

    def _add(self, name, offset, program, args, monitor=True, env=None):
        command = lambda: [BUILD / "bin" / program, *(["--monitor", self._at(offset + 1)] if monitor else []), *args()]  # noqa: E731
        self.processes[name] = Process(name, command, {**self.environ, **self.secrets, **(env or {})}, self.folder / "log" / f"{name}.log",
                                       self.port(offset + 1) if monitor else None)
        return self.processes[name]

    def service_names(self):
        return ["service" if number == 0 else f"service{number + 1}" for number in range(self.services)]

    def _add_service(self, number):
        name, offset = self.service_names()[number], 2 if number == 0 else 20 + 2 * number
        (self.folder / "blobs").mkdir(exist_ok=True)
        workers = lambda: ",".join(f"{one}=127.0.0.1:{self.link('service-worker', self.worker_port(one), one)}" for one in self.providers)  # noqa: E731
        args = lambda: ["--listen", self._at(offset), "--blob-dir", self.folder / "blobs", "--catalog", ROOT / "service/catalog.json",  # noqa: E731
                        "--workers", workers(), "--webhook", f"127.0.0.1:{self.link('service-webhook', self.port(6))}",
                        "--public-url", f"http://127.0.0.1:{self.port(0)}", "--allow-closed", "true", "--callback-allow-http", "true",
                        "--callback-allow-any-port", "true", "--callback-allow-nets", "127.0.0.0/8"]
        process = self._add(name, offset, "videogate-service", args)
        start = process.start

        def start_as(wait=True, **extra):
            # The audit tells one start from the other.
            joint = "&" if "?" in self.service_url else "?"
            process.env["VIDEOGATE_DATABASE_URL"] = f"{self.service_url}{joint}application_name={name}.{process.starts + 1}"
            start(wait, **extra)

        process.start = start_as

    @property
    def service_url(self):
        """DATABASE_URL as the services have it."""
        if "service-postgres" not in self.proxied:
            return self.database_url
        return self.database_url.replace(f":{self.port(9)}/", f":{self.link('service-postgres', self.port(9))}/")

    def worker_port(self, provider):
        return self.port(4) if provider == "sandbox" else self.port(10 + 2 * self.providers.index(provider))

    def worker_name(self, provider):
        return "worker" if provider == "sandbox" else f"worker-{provider}"

    def _start_workers(self):
        for provider in self.providers:
            port = self.worker_port(provider)
            if provider == "sandbox":
                (self.folder / "sandbox").mkdir(exist_ok=True)
                args = ["--provider", "sandbox", "--sandbox-dir", self.folder / "sandbox"]
            else:
                args = self._simulate(provider)
            self._add(self.worker_name(provider), port - self.base, "videogate-worker",
                      lambda args=args, port=port: ["--listen", f"127.0.0.1:{port}", *args])

    def _simulate(self, provider):
        module = importlib.import_module("simulators." + provider.replace("-", "_"))
        self.sims[provider] = sim = module.Simulator(**self.sim_settings)
        sim.start()
        keys = self.folder / f"{provider}.keys"
        keys.write_text("".join(f"{key}\n" for key in sim.keys))
        base = f"http://127.0.0.1:{self.link('worker-simulator', sim.port, provider)}"
        flags = [word for name, value in {"base-url": base + sim.base_path, **sim.settings}.items() for word in (f"--{name}", value)]
        return ["--provider", provider, "--keys-file", keys, "--result-allow-http", "true", "--result-allow-any-port", "true",
                "--result-allow-nets", "127.0.0.0/8", *flags]

    def start_all(self):
        """Whatever does not run, all at once."""
        down = [one for one in self.processes.values() if not one.alive()]
        for process in down:
            process.start(wait=False)
        for process in down:
            process.wait_ready()

    # --- PostgreSQL: TCP and a socket, never root ---

    def start_postgres(self):
        self.pg_home = pathlib.Path(tempfile.mkdtemp(prefix="vgfaults-", dir="/var/tmp"))
        user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
        if user:
            shutil.chown(self.pg_home, "postgres", "postgres")
        data, port = self.pg_home / "data", self.port(9)
        subprocess.run([*user, PGBIN / "initdb", "-D", data, "-U", "videogate", "--auth=trust", "-E", "UTF8", "--locale=C", "--no-sync"],
                       check=True, capture_output=True, cwd="/")
        settings = ["listen_addresses=127.0.0.1", f"unix_socket_directories={self.pg_home}", f"port={port}", "max_connections=100",
                    "shared_buffers=64MB", "log_min_messages=warning", *self.postgres_settings]

        def command():
            (data / "postmaster.pid").unlink(missing_ok=True)
            return ["env", "-C", "/", *user, PGBIN / "postgres", "-D", data, *[word for one in settings for word in ("-c", one)]]

        process = self.processes["postgres"] = Process("postgres", command, dict(os.environ), self.folder / "log/postgres.log")
        process.wait_ready = lambda: wait_for(
            lambda: subprocess.run([PGBIN / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(port), "-U", "videogate"]).returncode == 0,
            "PostgreSQL", pause=0.03)
        process.start()
        self.psql_make("videogate")
        self.database_url = f"postgresql://videogate@127.0.0.1:{port}/videogate"

    def psql_make(self, name):
        subprocess.run([PGBIN / "psql", "-qAt", "-h", "127.0.0.1", "-p", str(self.port(9)), "-U", "videogate", "-d", "postgres",
                        "-c", f"CREATE DATABASE {name}"], check=True)

    # --- processes as vg.Stack names them ---

    def pid(self, name):
        return self.processes[name].pid

    def kill(self, name, sig=signal.SIGKILL, record=True):
        """Counts as a fault unless told otherwise."""
        if record:
            self.fault("kill " + name)
        process = self.processes[name]
        if name == "postgres":
            process.signal(signal.SIGQUIT if sig == signal.SIGKILL else sig)  # immediate shutdown: no checkpoint
            process.wait_dead()
        elif sig == signal.SIGKILL:
            process.kill()
        else:
            process.signal(sig)

    def alive(self, name):
        return self.processes[name].alive()

    def log(self, name):
        return self.processes[name].log()

    # --- callers ---

    def job(self, provider="sandbox", n=1, key=None, callback=True, patience=vg.PATIENCE, headers=None, words="", http=None, **fields):
        """One job, asked for with its idempotency key until it is accepted; its id. None when time is up. `words` end the prompt;
        `http` is used instead of self.http."""
        with self.lock:
            self.numbers += 1
            number = self.numbers
        key = key or f"{self.tag}-{number}"
        fields = {**JOBS[provider], "prompt": f"a lighthouse, take {self.tag}-{number} of {provider} {words}".rstrip(), **fields}
        if n > 1:
            fields["n"] = n
        if callback:
            fields.setdefault("callback_url", self.receiver_url())
            fields.setdefault("callback_secret", SECRET)
        self.history.add("asked", key=key, prompt=fields["prompt"], n=n, model=fields["model"], callback=bool(callback))
        end = time.monotonic() + patience
        while time.monotonic() < end:
            video = self.ask(key, fields, headers, http)
            if video:
                return video
            time.sleep(0.05)
        return None

    def receiver_url(self, path="/done"):
        port = self.proxies["webhook-receiver"].port if "webhook-receiver" in self.proxies else self.receiver.port
        return f"http://127.0.0.1:{port}{path}"

    def ask(self, key, fields, headers=None, http=None):
        """One create; the video's id if it was accepted. Only busy and broken answers are tolerated."""
        try:
            answer = (http or self.http)("POST", "/v1/videos", fields, headers={"idempotency-key": key, **(headers or {})}, timeout=15)
        except BROKEN:
            self.history.add("answered", key=key, status=None, video=None)
            return None
        video = answer.json["id"] if answer.status == 200 else None
        self.history.add("answered", key=key, status=answer.status, video=video)
        assert answer.status == 200 or answer.status in (409, 429) or answer.status >= 500, answer.body
        return video

    def _get(self, path, timeout):
        """An answer of 200; None when none came, or only that there is none now."""
        try:
            answer = self.http("GET", path, timeout=timeout)
        except BROKEN:
            return None
        if answer.status >= 500 or answer.status == 429:
            return None
        assert answer.status == 200, f"GET {path}: {answer.status} {answer.body}"
        return answer

    def look(self, video):
        """One GET of a video, recorded; its status, or None when nothing answers."""
        answer = self._get(f"/v1/videos/{video}", 15)
        if answer is None:
            return None
        status = answer.json["status"]
        self.history.add("seen", video=video, status=status, body=_without_links(answer.body))
        return status

    def look_at_all(self):
        """Every video as the list tells it, each recorded; their ids, or None when nothing answers."""
        ids, after = set(), ""
        while True:
            answer = self._get(f"/v1/videos?limit=100{after}", 30)
            if answer is None:
                return None
            page = answer.json
            for one in page["data"]:
                ids.add(one["id"])
                self.history.add("seen", video=one["id"], status=one["status"], body=_without_links(json.dumps(one)))
            if not page["has_more"]:
                return ids
            after = f"&after={page['last_id']}"

    def persist(self, method, path, good):
        """The same request until its answer is one of `good`; that status."""
        end = time.monotonic() + vg.PATIENCE
        while time.monotonic() < end:
            try:
                status = self.http(method, path, timeout=15).status
            except BROKEN:
                status = None
            if status in good:
                return status
            assert status is None or status == 429 or status >= 500, f"{method} {path}: {status}"
            time.sleep(0.1)
        raise AssertionError(f"{method} {path} had no answer for {vg.PATIENCE} s")

    def cancel(self, video):
        # 409: it has ended.
        return self.persist("POST", f"/v1/videos/{video}/cancel", (200, 409))

    def forget(self, video):
        """Waits for the end and the callback, and deletes the video."""
        wait_for(lambda: self.look(video) in TERMINAL, f"{video} to end", pause=0.05)
        self.wait_called_back(video)
        self.history.add("deleted", video=video)
        # 404: an earlier try whose answer was lost.
        self.persist("DELETE", f"/v1/videos/{video}", (200, 404))

    def wait_called_back(self, video):
        wait_for(lambda: self._told(video), f"the callback of {video}", pause=0.2)

    def _told(self, video):
        if self.hurried:
            self.hurry()
        return any(one["video"] == video and one["answered"] == 200 for one in self.history.of("callback"))

    # --- faults and recovery ---

    def fault(self, name, **more):
        self.fault_at = time.monotonic()
        return self.history.add("fault", name=name, **more)

    def recovered(self, name, since=None):
        self.history.add("recovered", name=name, ms=(time.monotonic() - (since or self.fault_at)) * 1000)

    def recover(self, name, since=None, **job):
        """Starts what is down; measures until a job that is asked for now has ended (from `since`, or the last fault)."""
        since = since or self.fault_at
        self.start_all()
        video = self.job(**job)
        assert video, f"no job was accepted after {name}"
        wait_for(lambda: self.look(video) in TERMINAL, f"{video} to end after {name}", pause=0.05)
        self.recovered(name, since)
        return video

    def hurry(self):
        """CI has no minutes. A callback's lease lasts 20 s and is renewed every 5 s: with less than 10 left, whoever had it is dead. A submission is
        certainly not on its way any more after two minutes: five seconds are enough where all is on one machine."""
        try:
            self.sql("UPDATE deliveries SET due_at = now() WHERE state = 1 AND leased AND due_at BETWEEN now() AND now() + interval '10 s'")
            self.sql("UPDATE generations SET submitted_at = submitted_at - interval '10 min', sent_by = sent_by - interval '10 min', due_at = now(), "
                     "wake_at = now() WHERE state = 2 AND sent_by BETWEEN now() - interval '9 min' AND now() - interval '5 s'")
        except Exception:  # the database is the one that is dead
            return

    # --- the end ---

    def settle(self, patience=900):
        """Everything runs, every accepted job has ended, everybody was told. A submission whose fate is open takes minutes."""
        self.start_all()
        end = time.monotonic() + patience
        waiting = set(histories.accepted(self.history)) - set(histories.ends(self.history))
        while waiting and time.monotonic() < end:
            if len(waiting) > MANY:
                self.look_at_all()
                waiting -= set(histories.ends(self.history))
            else:
                waiting = {one for one in waiting if self.look(one) not in TERMINAL}
            if self.hurried:
                self.hurry()
            time.sleep(0.2 if waiting else 0)
        while time.monotonic() < end:
            told = {one["video"] for one in self.history.of("callback") if 200 <= one["answered"] < 300}
            create = histories.accepted(self.history)
            if all(video in told for video in histories.ends(self.history) if create.get(video, {"callback": False})["callback"]):
                break
            if self.hurried:
                self.hurry()
            time.sleep(0.2)

    def check(self, names=("I1", "I2", "I3", "I4", "I5", "I6", "I7"), **limits):
        """Reads what is left to read and checks these invariants; the figures."""
        self.settle()
        ended = set(histories.ends(self.history)) - {one["video"] for one in self.history.of("deleted")}
        for video in ended - (self.look_at_all() or set() if len(ended) > MANY else set()):
            self.look(video)
        self.read_upstreams()
        self.read_usage()
        audit.read(self)
        found = histories.check(self.history, names, **limits)
        assert not found, f"{len(found)} violations:\n" + "\n".join(found[:20])
        return self.figures()

    def figures(self):
        return histories.figures(self.history)

    def read_upstreams(self):
        for provider, sim in self.sims.items():
            for job in sim.history:
                self.history.add("submitted", provider=provider, job=job.id, prompt=job.prompt)
        # The sandbox writes down tokens: one that comes twice, or two of a generation of which neither was refused, are too many.
        path = self.folder / "sandbox/submissions.log"
        for line in path.read_text().splitlines() if path.exists() else []:
            token = line.split(" ")[0]
            self.history.add("submitted", provider="sandbox", job=token, prompt=token.rsplit("-", 1)[0])

    def read_usage(self):
        day = json.loads(self.http("GET", "/v1/usage?start_time=0").body)
        active = self.sql("SELECT coalesce(sum(active), 0)::int, coalesce(sum(reserved_micros), 0)::bigint FROM accounts")[0]
        rows = self.sql("SELECT coalesce(sum(videos), 0)::int, coalesce(sum(completed), 0)::int FROM usage_days")[0]
        self.history.add("usage", videos=rows[0], completed=rows[1], active=active[0] + (1 if active[1] else 0), api=day)

    def sample(self, phase):
        """fds and memory of each program, connections and rows of the database."""
        for name, process in self.processes.items():
            if name != "postgres" and process.alive():
                self.history.add("sample", name=name, phase=phase, **process.usage())
        connections = self.sql("SELECT count(*)::int FROM pg_stat_activity WHERE application_name <> ''")[0][0]
        temporary = len(list((self.folder / "blobs").rglob("*.tmp*")))
        self.history.add("sample", name="postgres", phase=phase, connections=connections, temporary_files=temporary)


def _without_links(body):
    """Signed links differ from answer to answer."""
    def strip(value):
        if isinstance(value, dict):
            return {name: strip(one) for name, one in value.items()}
        if isinstance(value, list):
            return [strip(one) for one in value]
        return value.split("?")[0] if isinstance(value, str) and value.startswith("http") else value

    return json.dumps(strip(json.loads(body)), sort_keys=True)


class Traffic:
    """Callers in the background: each asks for a job, looks at it now and then, asks for the next."""

    def __init__(self, world, dice, callers=3, providers=None, pause=0.2, n=(1, 1, 2), **fields):
        self.world, self.stopped, self.failures = world, threading.Event(), []
        providers = providers or world.providers
        self.threads = [threading.Thread(target=self._run, args=(random.Random(dice.random()), providers, pause, n, fields), daemon=True)
                        for _ in range(callers)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        for thread in self.threads:
            thread.join()
        assert not self.failures, self.failures[0]

    def _run(self, dice, providers, pause, n, fields):
        while not self.stopped.is_set():
            try:
                provider = dice.choice(providers)
                video = self.world.job(provider, n=dice.choice(n) if provider == "sandbox" else 1, **fields)
                if video is None:
                    raise AssertionError(f"a create at {provider} was not accepted in {vg.PATIENCE} s")
                if dice.random() < 0.5:
                    self.world.look(video)
            except AssertionError as failure:
                self.failures.append(failure)
                return
            self.stopped.wait(dice.random() * 2 * pause)
