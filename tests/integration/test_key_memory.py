# SPDX-License-Identifier: Apache-2.0
"""A caller's key is nowhere in the bridge's memory once its request is answered and its connection gone: over HTTP/1.1 and HTTP/2, plain and
TLS, refused by the bridge or passed on to the service."""
import os
import socket
import subprocess
import uuid

import planted
import pytest
from vg import wait_for

CLIENTS = {"http/1.1": ["--http1.1"], "http/2": ["--http2-prior-knowledge"], "tls, http/1.1": ["-k", "--http1.1"], "tls, http/2": ["-k", "--http2"]}
HUGE = 1 << 30  # AddressSanitizer's own: no text stands there


def holds(pid, texts):
    """Which of the texts stand in the writable memory of a process."""
    found = set()
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            low, high = (int(part, 16) for part in span.split("-"))
            if "w" not in rights or high - low > HUGE:
                continue
            try:
                data = os.pread(memory.fileno(), high - low, low)
            except OSError:
                continue
            found |= {text for text in texts if text.encode() in data}
    return found


@pytest.fixture(scope="module")
def pid(stack):
    at = stack.pid("bridge")
    try:
        open(f"/proc/{at}/mem", "rb").close()
    except PermissionError:
        pytest.fail("the memory of another process is for root alone: run the tests as root")
    return at


def plant(kind):
    key = f"vg_{uuid.uuid4().hex}{kind}"
    planted.note("key", key)
    return key


def test_the_search_finds_a_key_that_is_there(stack, pid):
    key = plant("control")
    with socket.create_connection(("127.0.0.1", stack.base), timeout=20) as connection:
        connection.sendall(f"GET /v1/models HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {key}".encode())  # no end: it waits
        wait_for(lambda: holds(pid, [key]), "half a head to be held")
    wait_for(lambda: not holds(pid, [key]), "it to be gone with the connection")


@pytest.mark.parametrize("client", CLIENTS)
def test_no_key_stays(stack, pid, client):
    keys = []
    base = f"https://127.0.0.1:{stack.port(1)}" if client.startswith("tls") else f"http://127.0.0.1:{stack.base}"
    for header in ("authorization: Bearer", "x-api-key:"):
        for path in ("/v1/nowhere", "/v1/models", "/v1/videos/video_x/events", "/v1/videos"):
            keys.append(plant("read"))
            # Twice on one connection: the second time HTTP/2 says it by its place in the dynamic table (without TLS this curl cannot).
            urls = [base + path] * (1 if client == "http/2" else 2)
            done = subprocess.run(["curl", "-sS", "--max-time", "60", *CLIENTS[client], "-H", f"{header} {keys[-1]}", *urls], capture_output=True)
            assert done.returncode == 0, done.stderr
    keys.append(plant("body"))
    done = subprocess.run(["curl", "-sS", "--max-time", "60", *CLIENTS[client], "-H", f"authorization: Bearer {keys[-1]}", base + "/v1/videos",
                           "-H", "content-type: application/json", "-d", "@-"], input=b'{"prompt": "' + b"x" * 200_000 + b'"}', capture_output=True)
    assert done.returncode == 0, done.stderr
    wait_for(lambda: not holds(pid, keys), "all keys to be gone", patience=20)
