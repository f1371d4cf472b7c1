# SPDX-License-Identifier: Apache-2.0
"""One program of a world: started, killed, stopped, thawed, started again, with a log of its own."""
import os
import pathlib
import signal
import subprocess
import time

from vg import excerpt, readyz, wait_for

BAD = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "assertion failed", "WARNING: ThreadSanitizer")


class Process:
    """`command` is the argument list, or a function that returns it: it is asked at each start. `monitor`: the port of /readyz."""

    def __init__(self, name, command, env, log, monitor=None):
        self.name, self.command, self.env, self.log_path, self.monitor = name, command, env, pathlib.Path(log), monitor
        self.process, self.starts, self.extra = None, 0, {}

    def start(self, wait=True, **extra):
        """`extra` is further environment for this start alone."""
        assert not self.alive(), f"{self.name} runs"
        self.starts += 1
        command = self.command() if callable(self.command) else self.command
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen([str(one) for one in command], env={**self.env, **self.extra, **extra}, stdout=log, stderr=log,
                                            stdin=subprocess.DEVNULL, start_new_session=True)
        if wait:
            self.wait_ready()

    def wait_ready(self):
        def ready():
            assert self.alive(), f"{self.name} ended with {self.process.returncode}:\n{self.log()[-2000:]}"
            return self.monitor is None or readyz(self.monitor)[0] == 200

        wait_for(ready, f"{self.name} to be ready", pause=0.03)

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        os.kill(self.pid, number)

    def kill(self):
        """SIGKILL; what the process had open is closed when this returns."""
        if self.alive():
            self.signal(signal.SIGKILL)
            self.process.wait(60)

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def stop(self, patience=60):
        """SIGTERM; the exit status."""
        if not self.alive():
            return self.process.returncode if self.process else 0
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            return self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            return -signal.SIGKILL

    def wait_dead(self, patience=60):
        """Waits until it has ended by itself; the exit status (-9 after a crash point)."""
        end = time.monotonic() + patience
        while self.alive():
            if time.monotonic() > end:
                return None
            time.sleep(0.01)
        return self.process.returncode

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace") if self.log_path.exists() else ""

    def check_log(self, secrets=()):
        text = self.log()
        for bad in (*BAD, *secrets):
            assert bad not in text, f"{self.log_path} has {'a secret' if bad in secrets else bad!r}:\n" + excerpt(text, bad)

    # --- figures of I9 ---

    def usage(self):
        """{"fds", "rss"} (bytes) as /proc says."""
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return {"fds": len(os.listdir(f"/proc/{self.pid}/fd")), "rss": int(status.split("VmRSS:")[1].split()[0]) << 10}
