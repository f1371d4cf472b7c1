# SPDX-License-Identifier: Apache-2.0
"""A bridge on a free port, without a service behind it: what is tested here it answers by itself."""
import http.client
import os
import pathlib
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "integration")]
from vg import BUILD, free_base, wait_for  # noqa: E402

AT_ONCE = 12  # cases


class Bridge:
    def __init__(self, log, **settings):
        self.log, self.port = pathlib.Path(log), free_base(2)
        flags = [word for name, value in settings.items() for word in ("--" + name.replace("_", "-"), str(value))]
        self.process = subprocess.Popen([str(BUILD / "bin/videogate-bridge"), "--listen", f"127.0.0.1:{self.port}", "--service",
                                         f"127.0.0.1:{self.port + 1}", *flags], stderr=self.log.open("w"), env=dict(os.environ))

    def __enter__(self):
        wait_for(self.answers, "the bridge")
        return self

    def answers(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/healthz")
            return connection.getresponse().read() is not None
        except OSError:
            return False

    def __exit__(self, *_):
        self.process.terminate()
        code = self.process.wait(60)
        text = self.log.read_text(errors="replace")
        for bad in ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "assertion failed"):
            assert bad not in text, text[max(0, text.find(bad) - 500) :][:4000]
        assert code == 0, f"the bridge ended with {code}"


def run(cases, one, name):
    """Runs each case by `one`, which returns what went wrong or None; prints counts. Returns the failures, and cases by section."""
    start, failures, counts, lock = time.monotonic(), [], {}, threading.Lock()

    def do(case):
        # A machine that stands still for a while is no fault of the bridge's: once more.
        why = one(case) and one(case)
        with lock:
            counts[case.section] = counts.get(case.section, 0) + 1
            if why:
                failures.append(f"{case.section} {case.title}: {why}")

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(do, cases))
    told = ", ".join(f"{section} {count}" for section, count in sorted(counts.items()))
    print(f"{name}: {len(cases) - len(failures)} of {len(cases)} cases in {time.monotonic() - start:.1f} s ({told})")
    return failures, counts
