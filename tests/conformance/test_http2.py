# SPDX-License-Identifier: Apache-2.0
"""Each row of http2_cases.py against a bridge, on a connection of its own."""
import time

from h2wire import SETTINGS, Peer
from http2_cases import CASES
from target import Bridge, run

NAME = "HTTP/2 (RFC 9113, RFC 7541)"
PATIENCE = 5


def wait(peer, what, *more):
    if what == "ended":
        peer.until(lambda p: p.ended(more[0]), PATIENCE)
    elif what == "frame":
        peer.until(lambda p: p.of(more[0]), PATIENCE)
    elif what == "ping":  # all that was sent has been read
        from h2wire import ping
        before = peer.pongs()
        peer.send(ping())
        peer.until(lambda p: p.pongs() > before, PATIENCE)
        peer.frames = [one for one in peer.frames if one[0] != 6]
    else:
        time.sleep(more[0])


def one_case(port):
    def one(case):
        peer = Peer(port, *case.settings, preface=case.preface)
        try:
            if case.preface:
                peer.until(lambda p: p.of(SETTINGS), PATIENCE)
            for step in case.steps:
                if isinstance(step, tuple):
                    wait(peer, *step)
                elif not peer.send(step):
                    break
            if case.expect.after:
                peer.send(case.expect.after)
            if peer.until(case.expect.check, PATIENCE):
                return None
            return f"wanted {case.expect.text}; got " + ", ".join(f"{kind}/{flags}/{stream}/{payload[:16].hex()}" for kind, flags, stream, payload in
                                                                  peer.frames[-6:]) + (", closed" if peer.closed else "")
        finally:
            peer.close()

    return one


def test_http2(tmp_path):
    assert len(CASES) >= 146
    with Bridge(tmp_path / "bridge.log", log_level="warn", max_client_strikes=0) as bridge:
        failures, _ = run(CASES, one_case(bridge.port), NAME)
    assert not failures, "\n".join(failures)
