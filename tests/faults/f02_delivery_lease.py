# SPDX-License-Identifier: Apache-2.0
"""F2, of callbacks: the service that has some under way to slow receivers is killed, or stopped; another service sends them, and what the
webhook sender still had in hand is not sent twice."""
import http.server
import select
import socket
import threading
import time

from history import percentile
from scenario import scenario
from vg import wait_for
from world import SECRET

ROW, TITLE, BOUND = "F2", "the lease of a callback", "sent again within 30 s by another process; never two at once at the receiver"
SERVICES = ("service", "service2", "service3")
UNDER_WAY = 16


class Slow:
    """Answers the first attempt of each path after 28 s, the others at once; when each began and when its connection was over."""

    def __init__(self):
        self.seen, slow = {}, self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):  # noqa: N802
                self.rfile.read(int(self.headers.get("content-length") or 0))
                attempts = slow.seen.setdefault(self.path, [])
                attempts.append(one := [time.monotonic(), None])
                if len(attempts) == 1 and select.select([self.connection], [], [], 28)[0]:
                    one[1] = time.monotonic()
                    self.close_connection = True
                    return
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()
                one[1] = time.monotonic()

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads, address_family = True, socket.AF_INET

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server.server_address[1]}{path}"

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def _each(world, dice, rounds, fault, mend):
    slow, waits, cuts = Slow(), [], []
    for number in range(1, rounds + 1):
        world.kill(SERVICES[2], record=False)
        path = f"/slow{number}"
        world.job(callback=False, callback_url=slow.url(path), callback_secret=SECRET)
        attempts = wait_for(lambda path=path: slow.seen.get(path), "the first attempt")
        time.sleep(dice.random() * 8)
        for name in SERVICES[:2]:
            fault(name)
        at = time.monotonic()
        world.start_all() if fault == world.kill else world.processes[SERVICES[2]].start()
        wait_for(lambda attempts=attempts: len(attempts) > 1 and attempts[1][1], "the second attempt", patience=120)
        (_, cut), (again, _) = attempts[:2]
        assert cut is not None and cut < again, f"two attempts at once: the second came {again - at:.1f} s after the fault, and the first went on"
        waits.append(again - at)
        cuts.append(cut - at)
        mend()
        time.sleep(1)
        assert len(attempts) == 2, f"{len(attempts)} attempts"
        world.progress(number, now=f"{waits[-1]:.1f} s")
    assert max(waits) <= 30, f"sent again after {max(waits):.1f} s"
    slow.close()
    return world.check() | {"callbacks": len(waits), "sent_again_p50_ms": round(percentile(waits, 50) * 1000),
                            "sent_again_p99_ms": round(percentile(waits, 99) * 1000), "cut_off_p99_ms": round(percentile(cuts, 99) * 1000)}


@scenario(short=1, long=10, ci=False, world={"services": 3})
def callback_of_a_killed_service(world, dice, rounds):
    return _each(world, dice, rounds, world.kill, lambda: None)


@scenario(short=1, long=10, ci=False, world={"services": 3})
def callback_of_a_stopped_service(world, dice, rounds):
    """The webhook sender hears nothing of the one that is stopped, and hangs up on the receiver before the lease is over."""
    def freeze(name):
        world.processes[name].freeze()
        world.fault(f"stop {name}")

    def thaw():
        for name in SERVICES[:2]:
            world.processes[name].thaw()

    return _each(world, dice, rounds, freeze, thaw)


@scenario(short=1, long=10, world={"services": 2})
def callbacks_under_way(world, dice, rounds):
    """Many are under way to receivers that take two seconds, or answered and not recorded, when every service is killed. The webhook sender
    lets them go on and tells the next who asks: each comes once."""
    world.receiver.delay = 2
    arrived = lambda: sum(world.receiver.counts.values())  # noqa: E731
    for number in range(1, rounds + 1):
        before = arrived()
        for place in range(UNDER_WAY):
            world.job(callback_url=world.receiver.url(host=f"127.0.0.{2 + place % 4}"))
        wait_for(lambda before=before: arrived() >= before + UNDER_WAY // 2, "callbacks under way", pause=0.01)
        time.sleep(dice.random() * 2)
        for name in world.service_names():
            world.kill(name)
        if world.hurried:  # the next asks at once, for most while they are under way; else when the leases have run out
            world.sql("UPDATE deliveries SET due_at = now() WHERE state = 1 AND leased")
        world.start_all()
        wait_for(lambda number=number: world.sql("SELECT count(*) FROM deliveries WHERE state = 2")[0][0] == number * UNDER_WAY, "all to be recorded", patience=120)
        world.progress(number)
    figures = world.check()
    answers = world.metric(7, "videogate_webhook_answers_total")
    known = {origin: int(answers.get(f'videogate_webhook_answers_total{{origin="{origin}"}}', 0)) for origin in ("joined", "remembered")}
    assert figures["duplicate_callbacks"] == 0, f"{figures['duplicate_callbacks']} callbacks came twice"
    return figures | {"joined": known["joined"], "told_from_memory": known["remembered"]}
