# SPDX-License-Identifier: Apache-2.0
"""The harness itself: each invariant catches a history that breaks it, and is content with one that does not; the proxy does what
it says."""
import json
import pathlib
import socket
import sys
import threading
import time

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[0] / "integration"), str(HERE.parents[0])]
import pg_wire  # noqa: E402
import proxy  # noqa: E402
import results  # noqa: E402
import standard_webhooks  # noqa: E402
from history import INVARIANTS, History, check, figures  # noqa: E402

LIMITS = {"I8": {"bound_ms": 1000}}


def good():
    """One job, killed through, ended, billed, called back."""
    told = History()
    told.add("asked", key="k1", prompt="p1", n=1, model="m", callback=True)
    told.add("answered", key="k1", status=None, video=None)
    told.add("fault", name="kill service")
    told.add("answered", key="k1", status=200, video="v1")
    told.add("recovered", name="kill service", ms=700)
    told.add("seen", video="v1", status="queued", body="q")
    told.add("seen", video="v1", status="completed", body="b")
    told.add("seen", video="v1", status="completed", body="b")
    told.add("submitted", provider="kling", job="j1", prompt="p1")
    told.add("callback", video="v1", webhook_id="w1", body="x", verified=True, answered=200, path="/")
    told.add("usage", videos=1, completed=1, active=0)
    told.add("claim", number=1, table="generation", generation="1", seq=1, writer="service.1")
    told.add("change", number=2, table="generation", generation="1", seq=1, writer="service.1", leased=True, **{"from": 1, "to": 2})
    told.add("sample", name="service", phase="before", fds=50, rss=100 << 20, connections=5)
    told.add("sample", name="service", phase="after", fds=60, rss=120 << 20, connections=5)
    return told


BROKEN = {
    "I1-lost": ("I1", lambda h: h.add("answered", key="k1", status=200, video="v2"), "never ended"),
    "I1-two-ends": ("I1", lambda h: h.add("seen", video="v1", status="failed", body="b"), "ended as"),
    "I2-other-body": ("I2", lambda h: h.add("seen", video="v1", status="completed", body="other"), "changed after its end"),
    "I2-in-the-database": ("I2", lambda h: h.add("change", number=3, table="generation", generation="1", seq=1, writer="x", leased=False,
                                                 **{"from": 5, "to": 1}), "left the terminal state"),
    "I3-twice": ("I3", lambda h: h.add("submitted", provider="kling", job="j2", prompt="p1"), "1 jobs too many"),
    "I4-no-callback": ("I4", lambda h: h.drop(h.of("callback")), "nobody was told"),
    "I4-only-refused": ("I4", lambda h: h.of("callback")[0].update(answered=500), "nobody was told"),
    "I4-other-id": ("I4", lambda h: h.add("callback", video="v1", webhook_id="w2", body="x", verified=True, answered=200, path="/"), "ids"),
    "I4-other-body": ("I4", lambda h: h.add("callback", video="v1", webhook_id="w1", body="y", verified=True, answered=200, path="/"), "bodies"),
    "I4-signature": ("I4", lambda h: h.of("callback")[0].update(verified=False), "wrong signature"),
    "I5-two-jobs": ("I5", lambda h: h.add("answered", key="k1", status=200, video="v2"), "is the jobs"),
    "I5-one-job-of-two-keys": ("I5", lambda h: h.add("answered", key="k2", status=200, video="v1"), "answers for the keys"),
    "I6-too-many": ("I6", lambda h: h.add("usage", videos=2, completed=1, active=0), "usage says 2 videos"),
    "I6-reserved": ("I6", lambda h: h.add("usage", videos=1, completed=1, active=1), "usage says 1 active"),
    "I7-stale": ("I7", lambda h: h.add("change", number=4, table="generation", generation="1", seq=1, writer="service2.1", leased=True,
                                       **{"from": 2, "to": 3}), "under lease 1 of service.1"),
    "I7-claimed-twice": ("I7", lambda h: h.add("claim", number=4, table="generation", generation="1", seq=1, writer="service2.1"), "claimed by"),
    "I8-slow": ("I8", lambda h: h.of("recovered")[0].update(ms=1200), "the bound is 1000 ms"),
    "I8-never": ("I8", lambda h: h.add("fault", name="kill service"), "did not go on"),
    "I9-fds": ("I9", lambda h: h.of("sample")[1].update(fds=200), "more fds"),
    "I9-memory": ("I9", lambda h: h.of("sample")[1].update(rss=900 << 20), "more rss"),
    "I9-connections": ("I9", lambda h: h.of("sample")[1].update(connections=30), "more connections"),
}


def test_a_good_history_is_good():
    assert check(good(), INVARIANTS, **LIMITS) == []
    told = figures(good())
    assert (told["jobs"], told["lost"], told["faults"], told["recovery_p50_ms"]) == (1, 0, 1, 700)


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_history_is_caught(case):
    name, damage, word = BROKEN[case]
    told = good()
    time.sleep(0.001)
    damage(told)
    found = check(told, [name], **LIMITS)
    assert len(found) == 1 and word in found[0], found


def test_each_invariant_is_broken_once():
    assert {name for name, _, _ in BROKEN.values()} == set(INVARIANTS)


def test_the_ledger_keeps_runs_of_other_checkouts(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "HERE", tmp_path)
    monkeypatch.setattr(results, "FOLDER", tmp_path)

    def save(name, figures, failure=None):
        told = {"row": "F1", "scenario": "x_y", "rounds": 2, "seed": 3, "commit": name, "figures": figures, "failure": failure, "left": None}
        (tmp_path / f"{name}.json").write_text(json.dumps(told))

    save("here", {"jobs": 1200, "kills": 3, "lost": 0, "callbacks": 1200})
    save("broken", {"jobs": 5}, failure="lost one")
    save("jobless", {"faults": 1})
    save("bench", {"jobs": 900, "lost": 0})
    ledger = results._ledger()
    assert list(ledger) == [("F1 x y", "2 rounds, seed 3", "here")]
    (tmp_path / "RESULTS.md").write_text("\n".join([*results._ledger_lines(ledger), "## Runs that failed", "| a | seed | c | 1 |"]))
    (tmp_path / "here.json").unlink()
    save("there", {"jobs": 10, "kills": 1, "callbacks": 10})
    ledger = results._ledger()
    assert len(ledger) == 2 and results._total(ledger).startswith("runs 2, jobs 1,210, kills 4, postgres crashes 0,")


# --- the proxy ---

@pytest.fixture
def echo():
    """A server that says each piece back."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve(client):
        try:
            while piece := client.recv(4096):
                client.sendall(piece)
        except OSError:
            pass
        client.close()

    def listen():
        while True:
            try:
                client, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    with proxy.Proxy(server.getsockname()[1]) as one:
        yield one
    server.close()


def connect(to):
    client = socket.create_connection(("127.0.0.1", to.port), timeout=5)
    client.sendall(b"hello")
    return client


def everything(client):
    got = b""
    while piece := client.recv(4096):
        got += piece
    return got


def test_passes_and_cuts(echo):
    client = connect(echo)
    assert client.recv(100) == b"hello"
    assert echo.cut() == 1
    assert client.recv(100) == b""


def test_resets(echo):
    client = connect(echo)
    assert client.recv(100) == b"hello"
    echo.cut(reset=True)
    with pytest.raises(ConnectionResetError):
        client.recv(100)


def test_ends_after_so_many_bytes(echo):
    echo.set(after=3)
    client = connect(echo)
    assert everything(client) in (b"", b"hel")
    echo.set(half_close="down", after=3)
    client = connect(echo)
    client.sendall(b"still")  # the other half goes on, whole
    assert everything(client) == b"hel"


def test_delays_and_drips(echo):
    echo.set(delay=0.2)
    start = time.monotonic()
    assert connect(echo).recv(100) == b"hello"
    assert time.monotonic() - start > 0.35
    echo.set(drip=20)
    client = connect(echo)
    assert client.recv(100) == b"h"


def test_swallows_one_way(echo):
    echo.set(blackhole="down")
    client = connect(echo)
    client.settimeout(0.5)
    with pytest.raises(TimeoutError):
        client.recv(100)
    echo.clear()
    client.sendall(b"again")
    with pytest.raises(TimeoutError):
        client.recv(100)
    assert connect(echo).recv(100) == b"hello"


def test_stalls(echo):
    echo.set(stall="both")
    client = connect(echo)
    client.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.recv(100)
    echo.clear()
    client.settimeout(5)
    assert client.recv(100) == b"hello"


def message(kind, body):
    return kind + (len(body) + 4).to_bytes(4, "big") + body


def test_reads_postgresql():
    """Bytes come in any pieces; a round trip is over with its ReadyForQuery."""
    talk = pg_wire.Conversation()
    assert talk.said(message(b"", (80877103).to_bytes(4, "big"))) == [] and talk.answered(b"N") == []
    talk.said(message(b"", b"\0\3\0\0user\0x\0\0"))
    assert talk.answered(message(b"R", b"\0\0\0\0") + message(b"Z", b"I")) == []
    asked = message(b"B", b"\0vg_begin\0") + message(b"E", b"") + message(b"B", b"\0vg_change_move\0") + message(b"S", b"")
    assert [trip for byte in asked for trip in talk.said(bytes([byte]))] == [("vg_begin", "vg_change_move")]
    told = message(b"2", b"") + message(b"D", b"Z") + message(b"C", b"COMMIT\0") + message(b"Z", b"I")
    assert [trip for byte in told for trip in talk.answered(bytes([byte]))] == [("vg_begin", "vg_change_move")]


def test_signatures():
    body, now = b"{}", int(time.time())
    headers = {"webhook-id": "w", "webhook-timestamp": str(now), "webhook-signature": "v1,AAAA " + standard_webhooks.sign("s", "w", now, body)}
    assert standard_webhooks.verify("s", headers, body)
    assert not standard_webhooks.verify("other", headers, body) and not standard_webhooks.verify("s", headers, b"{ }")
    assert not standard_webhooks.verify("s", headers, body, now=now + 301)
