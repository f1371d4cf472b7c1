# SPDX-License-Identifier: Apache-2.0
"""deploy/systemd/README.md, done as it says: programs and units are installed and run where systemd is process 1."""
import json
import os
import pathlib
import re
import secrets
import subprocess

import pytest

import booted
import planted
from vg import BUILD, ROOT, TERMINAL, wait_for

PAGE = ROOT / "deploy/systemd/README.md"
UNITS = ("videogate-service", "videogate-webhook", "videogate-worker@sandbox", "videogate-worker@kling", "videogate-bridge")
KEEP = {"videogate-service": "videogate-service", "videogate-worker@sandbox": "videogate-worker/sandbox"}  # in /var/lib
SECRETS = ("videogate-service", "videogate-worker@sandbox", "videogate-worker@kling")
RECEIVER_SECRET = "booted-callback-secret"
DATABASE = """
install -d -o postgres -m 700 /var/lib/videogate-database
chmod 711 /etc/videogate && install -o postgres -m 600 /etc/videogate/password /run/password
as_postgres="setpriv --reuid=postgres --regid=postgres --clear-groups"
cd /
$as_postgres /usr/lib/postgresql/15/bin/initdb -D /var/lib/videogate-database -U videogate -A scram-sha-256 --pwfile=/run/password -E UTF8 --locale=C
cat >/etc/systemd/system/database.service <<END
[Service]
Type=notify
User=postgres
RuntimeDirectory=database
ExecStart=/usr/lib/postgresql/15/bin/postgres -D /var/lib/videogate-database -c unix_socket_directories=/run/database
END
systemctl daemon-reload && systemctl start database
PGPASSFILE=/dev/null PGPASSWORD=$(cat /etc/videogate/password) psql -qh 127.0.0.1 -U videogate postgres -c 'CREATE DATABASE videogate'
chmod 700 /etc/videogate
"""


def blocks():
    """The page's commands: what installs, without the build, and what starts."""
    first, second = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.S)
    assert first.count("cmake") == 3
    return "\n".join(line for line in first.splitlines() if not line.startswith("cmake")), second


class Installed(booted.Booted):
    """The programs of this build as units of their own system."""

    def __init__(self, folder):
        self.package, self.secrets = folder / "package", {name: secrets.token_hex(24) for name in ("password", "secret-key", "admin-key", "kling.keys")}
        (folder / "scratch").mkdir()
        subprocess.run(["cmake", "--install", BUILD, "--prefix", "/usr"], env={**os.environ, "DESTDIR": str(self.package)}, check=True, capture_output=True)
        super().__init__(folder / "scratch", self.package, ROOT)

    def set_up(self):
        install, start = blocks()
        self.run("cp", "-a", f"{self.package}/.", "/")
        self.shell(install)
        self.configure()
        self.shell(DATABASE)
        self.run("systemd-run", "--quiet", "--unit=receiver", "--service-type=exec", "/usr/bin/python3", ROOT / "deploy/callback_receiver.py",
                 "--listen", "127.0.0.1:8090", "--log", "/run/callbacks.jsonl", "--secret", RECEIVER_SECRET)
        made = self.shell(start).stdout
        self.run("systemctl", "enable", "--now", "videogate-worker@kling")
        self.key = re.search(r"^secret (\S+)$", made, re.M).group(1)
        planted.note("key", self.key)
        planted.note("secret of the units", *self.secrets.values())
        wait_for(lambda: self.curl("/readyz", check=False) == "ready\n", "the bridge to be ready")

    def configure(self):
        # LeakSanitizer wants to look into its own process at the end, which the units forbid.
        quiet = "ASAN_OPTIONS=detect_leaks=0\n"
        files = {name: text + "\n" for name, text in self.secrets.items()} | {
            "database-url": f"postgresql://videogate:{self.secrets['password']}@127.0.0.1/videogate",
            "sandbox.keys": "", "bridge.env": quiet, "worker-sandbox.env": quiet + "VIDEOGATE_SANDBOX_SLOW=6s\n",
            "worker-kling.env": quiet + "VIDEOGATE_LISTEN=127.0.0.1:8094\nVIDEOGATE_MONITOR=127.0.0.1:8095\n",
            "webhook.env": quiet + "VIDEOGATE_ALLOW_HTTP=true\nVIDEOGATE_ALLOW_ANY_PORT=true\nVIDEOGATE_ALLOW_NETS=127.0.0.0/8\n",
            "service.env": quiet + "VIDEOGATE_WORKERS=sandbox=127.0.0.1:8084,kling=127.0.0.1:8094\nVIDEOGATE_WEBHOOK=127.0.0.1:8086\nVIDEOGATE_PUBLIC_URL=http://127.0.0.1:8080\n"
                           "VIDEOGATE_CALLBACK_ALLOW_HTTP=true\nVIDEOGATE_CALLBACK_ALLOW_ANY_PORT=true\nVIDEOGATE_CALLBACK_ALLOW_NETS=127.0.0.0/8\n"}
        for name, text in files.items():
            self.run("install", "-m", "600", "/dev/stdin", f"/etc/videogate/{name}", stdin=text)

    def curl(self, path, *more, check=True):
        return self.run("curl", "-sS", "--max-time", "20", f"http://127.0.0.1:8080{path}", *more, check=check).stdout

    def call(self, path, body=None):
        sent = ["-H", "Content-Type: application/json", "-d", json.dumps(body)] if body else []
        return json.loads(self.curl(path, "-H", f"Authorization: Bearer {self.key}", *sent))

    def create(self, model):
        fields = {"model": model, "prompt": "a harbour at dawn", "size": "160x90", "seconds": 1,
                  "callback_url": "http://127.0.0.1:8090/booted", "callback_secret": RECEIVER_SECRET}
        return self.call("/v1/videos", fields)["id"]

    def end(self, video):
        """Waits for the video's end and its callback; how it ended."""
        wait_for(lambda: self.status(video) in TERMINAL, f"{video} to end")
        wait_for(lambda: any(one["verified"] for one in self.callbacks(video)), f"the callback of {video}")
        return self.status(video)

    def status(self, video):
        try:
            return self.call(f"/v1/videos/{video}").get("status")
        except (AssertionError, json.JSONDecodeError):
            return None  # while a unit starts again

    def callbacks(self, video):
        lines = self.run("cat", "/run/callbacks.jsonl", check=False).stdout.splitlines()
        return [one for one in map(json.loads, lines) if video in json.dumps(one)]

    def journal(self):
        return self.run("journalctl", "--no-pager", "-q", "-o", "cat").stdout

    def pid(self, unit):
        return int(self.unit(unit, "MainPID"))


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    why = booted.why_not()
    if why:
        pytest.skip(f"no system can be booted here: {why}")
    with Installed(tmp_path_factory.mktemp("booted")) as one:
        yield one
        text = one.journal()
        for bad in ("AddressSanitizer", "runtime error:", "assertion failed", one.key, *one.secrets.values()):
            assert bad not in text, f"the journal has {bad[:20]}"


def test_a_video_is_made(system):
    video = system.create("sandbox")
    assert system.end(video) == "completed"
    size = system.curl(f"/v1/videos/{video}/content", "-H", f"Authorization: Bearer {system.key}", "-o", "/run/film.mp4", "-w", "%{size_download}")
    assert int(size) > 1000 and system.run("head", "-c", "8", "/run/film.mp4").stdout.endswith("ftyp")


@pytest.mark.parametrize("unit", UNITS)
def test_it_has_least_rights(system, unit):
    status = dict(re.findall(r"^(\w+):\t(.*)$", system.run("cat", f"/proc/{system.pid(unit)}/status").stdout, re.M))
    user = system.run("id", "-u", unit.replace("@", "-")).stdout.strip()
    assert status["Uid"].split() == [user] * 4 and status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
    assert all(int(status[one], 16) == 0 for one in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"))
    environment = system.run("cat", f"/proc/{system.pid(unit)}/environ").stdout
    assert not [name for name, text in system.secrets.items() if text in environment]


@pytest.mark.parametrize("unit", UNITS)
def test_it_sees_nothing_of_the_others(system, unit):
    """What somebody could do who has taken over the program: its user, in its namespaces."""
    user, pid = unit.replace("@", "-"), system.pid(unit)
    group = system.run("id", "-g", user).stdout.strip()
    others = [system.pid(one) for one in UNITS if one != unit]
    paths = ["/etc/videogate/admin-key", "/root/.", "/home/.", *(f"/proc/{one}/environ" for one in others),
             *(f"/run/credentials/{one}.service/." for one in UNITS if one != unit),
             *(f"/var/lib/{path}/." for one, path in KEEP.items() if one != unit)]
    tried = "; ".join(f"(ls -A {path} || cat {path}) 2>/dev/null | grep -q . && echo has {path}" for path in paths)
    own = f"/run/credentials/{unit}.service"
    tried += f"; test -r {own} && echo its own; touch /etc/x /usr/x /var/lib/x 2>/dev/null && echo wrote"
    tried += "".join(f"; kill -0 {one} 2>/dev/null && echo may kill {one}" for one in others) + f"; kill -0 {pid} && echo may kill itself"
    seen = system.run("nsenter", "-t", pid, "-m", "setpriv", f"--reuid={user}", f"--regid={group}", "--clear-groups", "sh", "-c", tried).stdout
    assert seen == ("its own\n" if unit in SECRETS else "") + "may kill itself\n"


@pytest.mark.parametrize("unit", UNITS)
def test_it_comes_back_when_it_is_killed(system, unit):
    before, video = system.pid(unit), system.create("sandbox-slow")
    system.run("kill", "-9", before)
    assert system.end(video) == "completed"
    assert system.pid(unit) not in (0, before) and system.unit(unit, "NRestarts") == "1" and system.unit(unit, "ActiveState") == "active"


def test_a_restart_loses_nothing(system):
    videos = []
    for unit in UNITS:
        videos.append(system.create("sandbox-slow"))
        system.run("systemctl", "restart", unit)
        wait_for(lambda: system.curl("/readyz", check=False) == "ready\n", f"{unit} to be there again")
    assert [system.end(one) for one in videos] == ["completed"] * len(videos)
    for unit in UNITS:
        system.run("systemctl", "stop", unit)
        assert system.unit(unit, "Result") == "success", system.run("journalctl", "-u", unit, "-n", "20", "--no-pager").stdout
    assert system.run("systemctl", "--failed", "--quiet", "--plain", "--no-legend").stdout == ""
