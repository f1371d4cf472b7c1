# SPDX-License-Identifier: Apache-2.0
"""The same bytes to the bridge behind five proxies: does the bridge ever see a request where the proxy saw none?

    case --> proxy, which marks each request it forwards --> relay, which keeps the bytes --> bridge, whose access log has a line for each request

A line without the proxy's mark that is not a refusal, or more lines than marks: the two cut the bytes differently. A probe follows each case on a
connection of its own: its answer must be its own (a poisoned connection to the bridge would give it another's).
"""
import pathlib
import re
import socket
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "conformance"))
from http1_cases import CASES, HIDDEN  # noqa: E402
from scenario import Left, scenario  # noqa: E402
from smuggling_proxies import PROXIES, Naive, Relay, marks, missing, settle  # noqa: E402
from target import Bridge  # noqa: E402

ROW, TITLE = "smuggling", "The bridge behind nginx, haproxy, varnish, trafficserver and nghttpx"
BOUND = "0 requests whose boundaries proxy and bridge see differently"
LINE = re.compile(r"msg=request req=(\S+) .*?status=(\d+)")
REFUSED = (400, 405, 408, 413, 414, 431, 501)


def exchange(port, data, patience=0.12):
    """What comes back until it closes or is silent for so long."""
    got = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as one:
            one.sendall(data)
            one.settimeout(patience)
            while chunk := one.recv(65536):
                got += chunk
    except OSError:
        pass
    return got


def judge(case, lines, forwarded, mark):
    """What is wrong, or None."""
    count = marks(forwarded, mark)
    strangers = [line for line in lines if line[0] != mark and int(line[1]) not in REFUSED]
    if strangers:
        return f"{case.section} {case.title}: the bridge took {strangers}, which {mark} never forwarded"
    if len(lines) > count:
        return f"{case.section} {case.title}: {len(lines)} requests of {count}: {lines}"
    return None


def through(kind, folder, bridge, cases):
    """Row of the table, and what was wrong."""
    relay = Relay(bridge.port)
    wrong, forwarded_count, taken = [], 0, 0
    try:
        with kind(folder, relay.port) as proxy:
            settle(size=lambda: bridge.log.stat().st_size)
            at = bridge.log.stat().st_size
            relay.take()
            for case in cases:
                exchange(proxy.port, case.data)
                settle(size=lambda: bridge.log.stat().st_size)
                text = bridge.log.read_bytes()[at:].decode(errors="replace")
                at += len(text.encode())
                lines, forwarded = LINE.findall(text), relay.take()
                forwarded_count, taken = forwarded_count + marks(forwarded, proxy.mark), taken + len(lines)
                found = judge(case, lines, forwarded, proxy.mark)
                if not found and kind is not Naive:
                    probe = exchange(proxy.port, b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 20)
                    settle(size=lambda: bridge.log.stat().st_size)
                    at = bridge.log.stat().st_size
                    relay.take()
                    if b" 200 " not in probe[:20]:
                        found = f"{case.section} {case.title}: the probe behind it got {probe[:60]}"
                if found:
                    wrong.append(found)
    finally:
        relay.close()
    return {"proxy": kind.name, "cases": len(cases), "forwarded": forwarded_count, "taken": taken, "differing": len(wrong)}, wrong


@scenario(short=1, long=1, world=False, ci=False)
def boundaries(world, dice, rounds):
    if missing():
        raise Left("not installed: " + ", ".join(missing()))
    # nghttpx adds a field beside the caller's; it cannot set one.
    cases = [case for case in CASES if len(case.data) < 20000 and b"X-Request-Id" not in case.data]
    folder, rows, wrong = pathlib.Path(world.folder), [], []
    with Bridge(folder / "bridge.log", log_level="info", max_client_strikes=0, body_timeout="1s", header_timeout="1s") as bridge:
        for kind in PROXIES:
            row, found = through(kind, folder / kind.name, bridge, cases)
            rows.append(row)
            wrong += [f"{kind.name}: {one}" for one in found]
            world.progress(len(rows), proxy=kind.name, differing=row["differing"])
        control, found = through(Naive, folder / "naive", bridge, [case for case in cases if HIDDEN in case.data])
    assert found, "a proxy that forwards everything as one request was not caught"
    rows.append(control | {"proxy": "naive (must be caught)"})
    assert not wrong, f"{len(wrong)} differing boundaries:\n" + "\n".join(wrong)
    return {"proxies": len(PROXIES), "cases": len(cases), "differing": sum(row["differing"] for row in rows[:-1]), "table": rows}
