# SPDX-License-Identifier: Apache-2.0
"""Large files stream in constant memory; a reader that stands still costs one buffer. Figures: tests/bench/download.py."""
import pytest
from large import PARTS, Peak, plant, read_all, stalled_reader, until_still
from many import rss
from vg import wait_for

SIZE = 512 << 20
MIB = 1 << 20
# The sanitizer keeps freed memory back, 256 MiB of it by default.
STACK_ENV = {"ASAN_OPTIONS": "quarantine_size_mb=4", "VIDEOGATE_WRITE_TIMEOUT": "10m"}


@pytest.fixture(scope="module")
def video(own_stack):
    made = plant(own_stack, SIZE)
    read_all(own_stack, made, "-r", "0-9999999")  # what is allocated once is there now
    return made


@pytest.mark.parametrize("flags,tls", [(["--http1.1"], False), (["--http2-prior-knowledge"], False), (["--http2"], True)], ids=["h1", "h2", "tls"])
def test_streams_in_constant_memory(own_stack, video, flags, tls):
    flags += ["--cacert", own_stack.env["VIDEOGATE_TLS_CA"]] if tls else []
    with Peak(own_stack) as peak:
        assert read_all(own_stack, video, *flags, url=own_stack.env["VIDEOGATE_TLS_URL"] if tls else None) == (SIZE, b"the end.")
    assert all(grown < SIZE / 16 for grown in peak.growth().values()), peak.growth()


def test_ranges_beyond_four_gigabytes(own_stack):
    size = (5 << 30) + 3
    large = plant(own_stack, size)
    assert own_stack.get(large)["content"][0]["bytes"] == size
    answer = own_stack.http("GET", f"/v1/videos/{large}/content", headers={"range": f"bytes={size - 8}-"})
    assert answer.status == 206 and answer.body == b"the end." and answer.headers["content-range"] == f"bytes {size - 8}-{size - 1}/{size}"
    answer = own_stack.http("GET", f"/v1/videos/{large}/content", headers={"range": f"bytes={1 << 32}-{(1 << 32) + 9}"})
    assert answer.status == 206 and answer.body == bytes(10)
    assert own_stack.http("HEAD", f"/v1/videos/{large}/content").headers["content-length"] == str(size)


def test_stalled_readers_cost_a_buffer_each(own_stack, video):
    count = 16
    with Peak(own_stack) as peak:
        readers = [stalled_reader(own_stack, video) for _ in range(count)]
        until_still(own_stack)
    try:
        # bridge/README.md: under 1 MiB for one download; the sanitizer about doubles it.
        assert all(grown < count * 2 * MIB + 16 * MIB for grown in peak.growth().values()), peak.growth()
    finally:
        for reader in readers:
            reader.close()
    wait_for(lambda: own_stack.metric(0, "videogate_bridge_requests_in_flight")["videogate_bridge_requests_in_flight"] <= 1, "the readers to be gone")


def test_memory_is_used_again(own_stack, video):
    """Twice as many bytes do not need more than once as many."""
    read_all(own_stack, video)
    before = {name: rss(own_stack.pid(name)) for name in PARTS}
    read_all(own_stack, video)
    after = {name: rss(own_stack.pid(name)) for name in PARTS}
    assert all(after[name] - before[name] < SIZE / 32 for name in PARTS), (before, after)
