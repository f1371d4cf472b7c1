# SPDX-License-Identifier: Apache-2.0
"""Jobs at a steady rate, whatever happens to the earlier ones; how many end in a stretch of time says what a fault costs."""
import concurrent.futures
import threading
import time

COUNT = "SELECT count(*) FROM generations WHERE state >= 5"


class Steady:
    def __init__(self, world, rate, callers=32):
        self.world, self.rate, self.failures = world, rate, []
        self.took = []  # seconds of each create, as they ended
        self.pool, self.stopped = concurrent.futures.ThreadPoolExecutor(callers), threading.Event()
        self.thread = threading.Thread(target=self._tick, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, failure, *_):
        self.stopped.set()
        self.thread.join()
        self.pool.shutdown()
        assert failure is not None or not self.failures, self.failures[0]

    def _tick(self):
        start, number = time.monotonic(), 0
        while not self.stopped.is_set():
            number += 1
            self.pool.submit(self._ask)
            self.stopped.wait(max(0, start + number / self.rate - time.monotonic()))

    def _ask(self):
        try:
            start = time.monotonic()
            assert self.world.job(), "a create was not accepted in time"
            self.took.append(time.monotonic() - start)
        except AssertionError as failure:
            self.failures.append(failure)

    def ended(self, seconds):
        """Jobs that ended in each second of the next `seconds`."""
        before, start = self.world.sql(COUNT)[0][0], time.monotonic()
        time.sleep(seconds)
        after = self.world.sql(COUNT)[0][0]
        return (after - before) / (time.monotonic() - start)

    def settle(self, patience=60):
        """Until nothing is in arrears: what piled up during a fault is no throughput of afterwards."""
        end = time.monotonic() + patience
        while time.monotonic() < end and self.world.sql("SELECT count(*) FROM generations WHERE state < 5")[0][0] > self.rate:
            time.sleep(0.2)
