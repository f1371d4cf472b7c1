# SPDX-License-Identifier: Apache-2.0
"""A system of its own to install things in: systemd as process 1 over a throw-away overlay of this machine (boot.sh)."""
import contextlib
import os
import pathlib
import signal
import subprocess

from vg import wait_for

SCRIPT = pathlib.Path(__file__).with_name("boot.sh")


def why_not():
    """Why this machine cannot; empty: it can."""
    if os.geteuid() != 0:
        return "only root may"
    if not pathlib.Path("/lib/systemd/systemd").exists():
        return "no systemd is installed"
    tried = subprocess.run(["unshare", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--net", "--fork", "mount", "-t", "tmpfs", "none", "/mnt"],
                           capture_output=True, text=True)
    return tried.stderr.strip()


def _children(pid):
    return [int(one) for one in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


class Booted:
    def __init__(self, scratch, *folders):
        self.scratch, self.folders, self.init = str(scratch), [str(one) for one in folders], None

    def __enter__(self):
        self.process = subprocess.Popen(["unshare", "--mount", "sh", str(SCRIPT), self.scratch, *self.folders], start_new_session=True)
        with contextlib.ExitStack() as undo:
            undo.push(self.__exit__)
            self.init = wait_for(self._init, "systemd to start", patience=60)
            wait_for(lambda: self.run("systemctl", "is-system-running", check=False).stdout.strip() == "running", "systemd to have booted", patience=60)
            self.set_up()
            undo.pop_all()
        return self

    def __exit__(self, *_):
        if self.init:
            os.kill(self.init, signal.SIGKILL)  # and with it all that runs inside
        else:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)

    def set_up(self):
        """What a subclass does before it is used."""

    def _init(self):
        """The process that is 1 inside, once it is systemd."""
        assert self.process.poll() is None, f"{SCRIPT} ended with {self.process.returncode}"
        pid = self.process.pid
        while _children(pid):
            pid = _children(pid)[0]
            if pathlib.Path(f"/proc/{pid}/comm").read_text() == "systemd\n":
                return pid
        return None

    def run(self, *command, check=True, stdin=None):
        """Runs a command inside."""
        inside = ["nsenter", "-t", str(self.init), "-p", "-m", "-u", "-i", "-C", "-n", f"--root=/proc/{self.init}/root", f"--wd=/proc/{self.init}/root"]
        done = subprocess.run([*inside, *map(str, command)], input=stdin, capture_output=True, text=True, timeout=120)
        assert not check or done.returncode == 0, f"{command}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done

    def shell(self, script, check=True):
        return self.run("bash", "-euo", "pipefail", check=check, stdin=script)

    def unit(self, name, field):
        """What systemd knows of a unit: MainPID, NRestarts, Result, ..."""
        return self.run("systemctl", "show", "--value", "-p", field, name).stdout.strip()
