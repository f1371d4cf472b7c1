# SPDX-License-Identifier: Apache-2.0
"""deploy/systemd: the units are right, as tight as they say, and the programs work under their filter."""
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

import seccomp_run
from vg import BUILD, ROOT, TERMINAL, wait_for

sys.path.insert(0, str(ROOT / "tests/faults"))
from world import World  # noqa: E402

UNITS = ROOT / "deploy/systemd"
HARDENING = UNITS / "videogate-.service.d/hardening.conf"
NAMES = ("videogate-bridge.service", "videogate-service.service", "videogate-worker@.service", "videogate-webhook.service")
MOST_EXPOSED = 1.5  # of 10, by systemd's own judgement


@pytest.fixture(scope="module")
def units(tmp_path_factory):
    """The units as installed, but with the programs of this build, and what they name there."""
    folder = tmp_path_factory.mktemp("units")
    shutil.copytree(UNITS, folder, dirs_exist_ok=True)
    for name in NAMES:
        path = folder / name
        path.write_text(path.read_text().replace("/usr/bin/", f"{BUILD}/bin/"))
    return folder


def test_every_unit_is_there():
    assert sorted(one.name for one in UNITS.glob("*.service")) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_systemd_understands_it(units, name):
    path = units / name
    if "@." in name:
        path = units / name.replace("@.", "@sandbox.")
        shutil.copy(units / name, path)
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", path], capture_output=True, text=True)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "videogate" in line]
    assert not ours, "\n".join(ours)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_tight(units, name):
    done = subprocess.run(["systemd-analyze", "--no-pager", "security", "--offline=true", units / name], capture_output=True, text=True)
    level = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
    assert level and float(level.group(1)) <= MOST_EXPOSED, done.stdout + done.stderr


def test_each_program_has_a_user_of_its_own():
    users = {seccomp_run.read_unit(UNITS / name)["User"][0] for name in NAMES}
    assert len(users) == len(NAMES)
    providers = re.findall(r"^    vg_(\w+)_provider,$", (ROOT / "workers/providers.c").read_text(), re.M)
    workers = {f"videogate-worker-{one.replace('_', '-')}" for one in providers}
    declared = (UNITS / "sysusers.conf").read_text()
    assert sorted(re.findall(r"^u (\S+)", declared, re.M)) == sorted(users - {"videogate-worker-%i"} | workers)
    assert sorted(re.findall(r"^u (\S+) -:videogate-worker$", declared, re.M)) == sorted(workers)
    firewall = re.findall(r'meta (sk[ug]id) "([^"]+)"', (ROOT / "deploy/firewall/egress.nft").read_text())
    assert sorted(firewall) == sorted({("skuid", one) for one in users if "%" not in one} | {("skgid", "videogate-worker")})


def test_no_secret_is_in_a_unit():
    for name in NAMES:
        unit = seccomp_run.read_unit(UNITS / name)
        for line in unit.get("Environment", []):
            assert not re.search(r"(KEY|SECRET|KEYS|DATABASE_URL)=", line), line


class Filtered(World):
    def _add(self, *args, **more):
        process = super()._add(*args, **more)
        command = process.command
        process.command = lambda: ["/usr/bin/python3", pathlib.Path(seccomp_run.__file__), HARDENING, *command()]
        return process


def test_the_programs_need_no_call_that_the_filter_forbids(tmp_path):
    with Filtered(tmp_path / "world") as world:
        for process in world.processes.values():
            if process.name != "postgres":
                status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
                assert "Seccomp:\t2" in status and "NoNewPrivs:\t1" in status, f"{process.name} runs without the filter"
        video = world.job("sandbox")
        wait_for(lambda: world.look(video) in TERMINAL, f"{video} to end", pause=0.1)
        assert world.look(video) == "completed"
        assert world.http("GET", f"/v1/videos/{video}/content").status == 200
        assert world.http("GET", f"/v1/videos/{video}/content?variant=thumbnail").status == 200
        wait_for(lambda: world.history.of("callback"), "the callback", pause=0.1)
        assert all(one["verified"] for one in world.history.of("callback"))


def test_the_filter_bites(tmp_path):
    done = subprocess.run(["/usr/bin/python3", seccomp_run.__file__, HARDENING, "/usr/bin/python3", "-c",
                           "import os, socket\n"
                           "for what in (lambda: os.chown('/', 0, 0), lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW), lambda: os.sched_setaffinity(0, [0])):\n"
                           "    try: what(); print('allowed')\n"
                           "    except PermissionError: print('forbidden')\n"], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["forbidden"] * 3
