# SPDX-License-Identifier: Apache-2.0
"""Bad days: PostgreSQL away, a worker away, a full disk, callers that hang up or read slowly, stops in mid-work."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import time

import pytest
from vg import BUILD, ROOT, Stack, wait_for

STACK_ENV = {"VIDEOGATE_LEASE": "5s", "VIDEOGATE_SANDBOX_SLOW": "4s"}


def ready(stack):
    try:
        return stack.http("GET", "/readyz", key=False).status
    except OSError:
        return 0


def stop_postgres(stack):
    stack.kill("postgres", signal.SIGQUIT)
    wait_for(lambda: not stack.alive("postgres"), "PostgreSQL to end")


def service_ready(stack):
    done = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{stack.port(3)}/readyz"],
                          capture_output=True, text=True)
    return done.stdout


def test_postgres_away_and_back(own_stack):
    before = own_stack.create(model="sandbox-slow")
    stop_postgres(own_stack)
    pids = {name: own_stack.pid(name) for name in ("service", "bridge")}
    wait_for(lambda: service_ready(own_stack) == "503", "readiness to go")
    answer = own_stack.http("POST", "/v1/videos", {"prompt": "x", "model": "sandbox-instant", "size": "160x90", "seconds": 1})
    assert answer.status == 503 and answer.error and int(answer.headers["retry-after"]) >= 1
    assert own_stack.http("GET", f"/v1/videos/{before['id']}").status == 503
    own_stack.up()
    wait_for(lambda: service_ready(own_stack) == "200", "readiness to come back")
    assert own_stack.wait(before["id"])["status"] == "completed"
    assert own_stack.wait(own_stack.create()["id"])["status"] == "completed"
    assert pids == {name: own_stack.pid(name) for name in pids}, "nothing had to be restarted"


def test_postgres_away_at_start(own_stack):
    own_stack.kill("service", signal.SIGTERM)
    wait_for(lambda: not own_stack.alive("service"), "the service to stop")
    stop_postgres(own_stack)
    env = {**os.environ, **dict(line.split("=", 1) for line in (own_stack.folder / "secrets").read_text().split()),
           "VIDEOGATE_DATABASE_URL": own_stack.env["DATABASE_URL"], "VIDEOGATE_STACK_DIR": str(own_stack.folder)}
    base = own_stack.base
    log = open(own_stack.folder / "log" / "service.log", "a")
    service = subprocess.Popen([str(BUILD / "bin/videogate-service"), "--listen", f"127.0.0.1:{base + 2}", "--monitor", f"127.0.0.1:{base + 3}",
                                "--blob-dir", str(own_stack.folder / "blobs"), "--catalog", str(ROOT / "service/catalog.json"),
                                "--workers", f"sandbox=127.0.0.1:{base + 4}", "--webhook", f"127.0.0.1:{base + 6}"], env=env, stderr=log)
    wait_for(lambda: service_ready(own_stack) == "503", "a service that is up and not ready")
    (own_stack.folder / "pids" / "service.pid").write_text(str(service.pid))
    own_stack.up()
    assert own_stack.wait(own_stack.create()["id"])["status"] == "completed"
    service.send_signal(signal.SIGTERM)
    assert service.wait(60) == 0
    own_stack.up()


def test_worker_away(own_stack):
    own_stack.kill("worker")
    made = own_stack.create(model="sandbox")
    time.sleep(2)
    assert own_stack.get(made["id"])["status"] in ("queued", "in_progress")
    own_stack.up()
    assert own_stack.wait(made["id"])["status"] == "completed"


def test_service_away(own_stack):
    own_stack.kill("service")
    answer = own_stack.http("POST", "/v1/videos", {"prompt": "x"})
    assert answer.status == 503 and answer.error and "retry-after" in answer.headers
    wait_for(lambda: ready(own_stack) == 503, "the bridge to be not ready")
    own_stack.up()
    assert own_stack.wait(own_stack.create()["id"])["status"] == "completed"


def test_stopped_service_is_fenced(own_stack):
    """A service that sleeps through its leases must not disturb what happened meanwhile."""
    made = [own_stack.create(model="sandbox-slow") for _ in range(3)]
    time.sleep(1)
    own_stack.kill("service", signal.SIGSTOP)
    time.sleep(7)
    own_stack.kill("service", signal.SIGCONT)
    for video in made:
        assert own_stack.wait(video["id"])["status"] == "completed"
    assert set(own_stack.submissions().values()) == {1}


def rss(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) << 10
    return 0


def big_video(stack):
    made = stack.create(model="sandbox", size="1280x720", seconds=20)
    done = stack.wait(made["id"])
    assert done["status"] == "completed" and done["content"][0]["bytes"] > 1 << 20
    return done


def request(stack, path):
    one = socket.create_connection(("127.0.0.1", stack.base))
    one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    one.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {stack.key}\r\n\r\n".encode())
    return one


def test_slow_readers_and_hang_ups(own_stack):
    video = big_video(own_stack)
    path = f"/v1/videos/{video['id']}/content"
    whole = own_stack.http("GET", path).body
    readers = [request(own_stack, path) for _ in range(20)]
    for one in readers:
        one.recv(100)
    # Others are served while twenty readers stand still.
    assert own_stack.http("GET", path).body == whole
    for one in readers[:15]:
        one.close()
    body = b""
    slow = readers[15]
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)  # it wakes up; with 4 KiB half the film takes a minute
    slow.setsockopt(socket.IPPROTO_TCP, socket.TCP_WINDOW_CLAMP, 1 << 16)
    while len(body) < len(whole) // 2:
        body += slow.recv(65536)
        time.sleep(0.001)
    for one in readers[15:]:
        one.close()
    assert own_stack.http("GET", path).body == whole
    wait_for(lambda: own_stack.metric(0, "videogate_bridge_requests_in_flight").get("videogate_bridge_requests_in_flight", 0) <= 1,
             "hung-up streams to end")


def test_raw_garbage(own_stack):
    for garbage in (b"\x00\x01\x02\x03\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET /\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n",
                    b"POST /v1/videos HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                    b"POST /v1/videos HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
                    b"GET /healthz HTTP/1.1\r\n\r\n", b"GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
                    b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
                    b"GET /healthz HTTP/1.1\r\nHost: x\r\n" + b"x-y: z\r\n" * 5000 + b"\r\n"):
        with socket.create_connection(("127.0.0.1", own_stack.base), timeout=30) as one:
            try:
                one.sendall(garbage)
                one.shutdown(socket.SHUT_WR)
                answer = b""
                while chunk := one.recv(65536):
                    answer += chunk
            except OSError:
                continue
            head, _, body = answer.partition(b"\r\n\r\n")
            if head.startswith(b"HTTP/1.1 "):
                assert head.split(b" ")[1].startswith(b"4") or head.split(b" ")[1] == b"505", (garbage[:60], head)
                assert json.loads(body)["error"]["message"], garbage[:60]
    assert own_stack.http("GET", "/healthz", key=False).status == 200


def test_full_disk(tmp_path):
    """The blob store on a tiny file system: jobs wait, then finish when there is room. Needs the right to mount."""
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(blobs)], capture_output=True).returncode:
        if os.environ.get("CI"):
            pytest.fail("CI must be able to mount a tmpfs")
        pytest.skip("no right to mount")
    try:
        filler = blobs / "filler"
        filler.write_bytes(b"x" * ((1 << 20) - 16384))
        # Off, or the store would always keep more free than this disk has.
        with Stack(tmp_path, {**STACK_ENV, "VIDEOGATE_BLOB_RESERVE": "0"}) as stack:
            made = stack.create(model="sandbox", size="320x180", seconds=2)
            wait_for(lambda: "STORAGE_FULL" in stack.log("service"), "the service to say that the disk is full")
            assert stack.get(made["id"])["status"] == "in_progress"
            filler.unlink()
            assert stack.wait(made["id"])["status"] == "completed"
            body = stack.http("GET", f"/v1/videos/{made['id']}/content").body
            assert len(body) == stack.get(made["id"])["content"][0]["bytes"]
    finally:
        subprocess.run(["umount", str(blobs)])


@pytest.mark.parametrize("name", ["service", "worker", "webhook", "bridge"])
def test_clean_stop(own_stack, name):
    """SIGTERM in mid-work: exit within the drain time, nothing lost."""
    made = [own_stack.create(model=m) for m in ("sandbox", "sandbox-slow", "sandbox-instant")]
    own_stack.kill(name, signal.SIGTERM)
    wait_for(lambda: not own_stack.alive(name), f"{name} to stop")
    assert "stopped" in own_stack.log(name).splitlines()[-1]
    own_stack.up()
    for video in made:
        assert own_stack.wait(video["id"])["status"] == "completed"
