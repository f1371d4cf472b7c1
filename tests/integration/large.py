# SPDX-License-Identifier: Apache-2.0
"""Large stored files that cost no disk, readers of them, and the memory of the processes meanwhile."""
import socket
import subprocess
import threading
import time

from many import rss

PARTS = ("bridge", "service")


def plant(stack, size):
    """A finished video whose output is a sparse file of `size` bytes: its id."""
    video = stack.wait(stack.create()["id"])["id"]
    ((blob,),) = stack.sql("SELECT blob FROM outputs WHERE video_id = %s", video)
    with (stack.folder / "blobs" / blob).open("r+b") as file:
        file.truncate(size)
        file.seek(size - 8)
        file.write(b"the end.")
    stack.sql("UPDATE outputs SET bytes = %s WHERE video_id = %s", size, video)
    return video


class Peak:
    """Samples the memory of bridge and service: `before`, and the highest since."""

    def __init__(self, stack):
        self.pids = {name: stack.pid(name) for name in PARTS}
        self.before = self.now()
        self.peak = dict(self.before)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.sample)

    def now(self):
        return {name: rss(pid) for name, pid in self.pids.items()}

    def look(self):
        for name, value in self.now().items():
            self.peak[name] = max(self.peak[name], value)

    def sample(self):
        while not self.over.wait(0.02):
            self.look()

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.look()

    def growth(self):
        return {name: self.peak[name] - self.before[name] for name in self.peak}


def read_all(stack, video, *flags, url=None):
    """Reads the whole content with curl; (bytes, last eight)."""
    path = f"/v1/videos/{video}/content"
    curl = subprocess.Popen(["curl", "-sS", "--fail", *flags, "-H", f"authorization: Bearer {stack.key}", (url or stack.env["VIDEOGATE_URL"]) + path],
                            stdout=subprocess.PIPE)
    size, tail = 0, b""
    while data := curl.stdout.read(1 << 20):
        size += len(data)
        tail = (tail + data)[-8:]
    assert curl.wait() == 0
    return size, tail


def stalled_reader(stack, video, receive_buffer=65536):
    """Asks for the content, reads a little, and stops."""
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    reader.settimeout(120)
    reader.connect(("127.0.0.1", stack.base))
    reader.sendall(f"GET /v1/videos/{video}/content HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {stack.key}\r\n\r\n".encode())
    left = 100000
    while left > 0:
        left -= len(reader.recv(min(left, 65536)))
    return reader


def until_still(stack, patience=120):
    """Waits until the bridge sends nothing any more."""
    name, last, end = "videogate_bridge_sent_bytes_total", -1, time.monotonic() + patience
    while True:
        # Asking is answered, too, with some 70 KiB: that much does not count.
        now = stack.metric(0, name)[name]
        if 0 <= now - last < 128 << 10:
            return
        assert time.monotonic() < end, "the bridge goes on sending"
        last = now
        time.sleep(0.5)
