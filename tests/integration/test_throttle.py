# SPDX-License-Identifier: Apache-2.0
"""Guessing of keys is slowed down: by the caller's address and by the key's id; good keys that were seen before are not."""
import http.client
import secrets

import grpc
import pytest
from test_keys import DIGITS, checked, service
from vg import Answer, Beside, free_base, readyz, wait_for

PER_CLIENT, PER_KEY = 6, 3


def wrong_secret(key):
    """Another key with the same id."""
    return checked(key[:26] + "".join(secrets.choice(DIGITS) for _ in range(33)))


def nobody():
    return checked("vg_0" + "".join(secrets.choice(DIGITS) for _ in range(21)) + "_" + "0" * 33)


class Gate(Beside):
    """A service that counts a few failures, and two bridges: one behind proxies, one that hears callers themselves."""

    def up(self):
        limits = ("--auth-failures", PER_CLIENT, "--auth-failures-key", PER_KEY)
        self.grpc = service(self, self.folder / "blobs", *limits)
        self.ports = {}
        for name, more in (("proxied", ("--trusted-proxies", "127.0.0.0/8,10.0.0.0/8")), ("direct", ())):
            base = self.ports[name] = free_base()
            self.start("bridge", "--listen", f"127.0.0.1:{base}", "--service", self.grpc, "--threads", 1, *more)
            wait_for(lambda: readyz(base)[0] == 200, "the bridge to be ready")
        return self

    def get(self, client, key, bridge="proxied", path="/v1/videos"):
        connection = http.client.HTTPConnection("127.0.0.1", self.ports[bridge], timeout=60)
        headers = {"x-forwarded-for": client, **({"authorization": f"Bearer {key}"} if key else {})}
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        got = Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        connection.close()
        return got

    def statuses(self, client, keys, **more):
        return [self.get(client, key, **more).status for key in keys]

    def fill(self, client):
        assert self.statuses(client, [nobody() for _ in range(PER_CLIENT)]) == [401] * PER_CLIENT

    def made(self):
        return self.new_key("--service", self.grpc)

    def lines(self):
        return [line for line in self.log("service").read_text().splitlines() if "slowed down" in line]

    def metric(self, series):
        host, port = self.grpc.split(":")
        connection = http.client.HTTPConnection(host, int(port) + 1, timeout=20)
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(series))


@pytest.fixture(scope="module")
def gate(stack, tmp_path_factory):
    with Gate(stack, tmp_path_factory.mktemp("gate")) as one:
        yield one.up()


def test_an_address_is_slowed_down(gate):
    known, fresh = gate.made(), gate.made()
    assert gate.statuses("203.0.113.1", [known]) == [200]
    gate.fill("203.0.113.1")
    refused = [gate.get("203.0.113.1", key) for key in (nobody(), "junk", fresh)]
    for answer in refused:
        assert answer.status == 429, answer.body
        assert answer.error["type"] == "rate_limit_error" and "failed authentications" in answer.error["message"]
        assert 1 <= int(answer.headers["retry-after"]) <= 60
    # A key that was good before is let through; so is everybody elsewhere, and no key at all is no guess.
    assert gate.statuses("203.0.113.1", [known, None]) == [200, 401]
    assert gate.statuses("203.0.113.2", [fresh, nobody()]) == [200, 401]
    assert gate.statuses("203.0.113.1", [fresh]) == [200], "it is known by now"
    mine = [line for line in gate.lines() if "203.0.113.1" in line]
    assert len(mine) == 1 and "by=client" in mine[0]
    assert gate.metric('videogate_auth_throttled_total{by="client"}') >= 3
    assert gate.metric('videogate_auth_failures_total{reason="unknown"}') >= PER_CLIENT


def test_ipv6_is_counted_by_its_net(gate):
    for i in range(PER_CLIENT):
        assert gate.statuses(f"2001:db8:1:1::{i:x}", [nobody()]) == [401]
    assert gate.statuses("2001:db8:1:1:ffff::1", [nobody()]) == [429]
    assert gate.statuses("2001:db8:1:2::1", [nobody()]) == [401]


def test_a_key_is_slowed_down_from_everywhere(gate):
    known, other = gate.made(), gate.made()
    assert gate.statuses("203.0.113.30", [known]) == [200]
    assert [gate.get(f"203.0.113.{31 + i}", wrong_secret(known)).status for i in range(PER_KEY + 1)] == [401] * PER_KEY + [429]
    assert gate.statuses("203.0.113.40", [known, other]) == [200, 200]
    assert len([line for line in gate.lines() if "by=key" in line]) == 1


def test_the_forwarded_address_counts_from_its_end_only(gate):
    """What a caller himself writes in front changes nothing; nor does anything he writes to a bridge without proxies."""
    for i in range(PER_CLIENT):
        assert gate.statuses(f"198.51.100.{i}, 203.0.113.50, 10.0.0.7", [nobody()]) == [401]
    assert gate.statuses("198.51.100.99, 203.0.113.50", [nobody()]) == [429]
    for i in range(PER_CLIENT):
        assert gate.statuses(f"198.51.100.{i}", [nobody()], bridge="direct") == [401]
    assert gate.statuses("198.51.100.99", [nobody()], bridge="direct") == [429]


def call(gate, client, key, service_name="videogate.v1.AdminService", name="ListProjects"):
    with grpc.insecure_channel(gate.grpc) as channel:
        try:
            channel.unary_unary(f"/{service_name}/{name}")(
                b"", timeout=30, metadata=(("authorization", f"Bearer {key}"), ("x-videogate-client", client)))
            return grpc.StatusCode.OK
        except grpc.RpcError as error:
            return error.code()


def test_the_admin_key_is_not_told_from_a_guess(gate):
    right = gate.env["VIDEOGATE_ADMIN_KEY"]
    assert call(gate, "203.0.113.60", right) == grpc.StatusCode.OK
    for i in range(PER_CLIENT):
        assert call(gate, "203.0.113.60", f"a guess at the admin key {i}") == grpc.StatusCode.UNAUTHENTICATED
    for key in ("another guess at the admin key", right):
        assert call(gate, "203.0.113.60", key) == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert call(gate, "203.0.113.60", key, name="GetUsage") == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert call(gate, "203.0.113.61", right) == grpc.StatusCode.OK
    assert gate.metric('videogate_auth_failures_total{reason="admin"}') == PER_CLIENT


def test_strangers_are_not_believed(stack, gate, tmp_path):
    """Only trusted peers say what a caller's address is."""
    with Beside(stack, tmp_path) as beside:
        at = service(beside, tmp_path / "blobs", "--auth-failures", PER_CLIENT, "--trusted-peers", "10.0.0.0/8")
        beside.grpc = at
        codes = [call(beside, f"203.0.113.{i}", nobody(), "videogate.v1.VideoService", "ListVideos") for i in range(PER_CLIENT + 1)]
        assert codes == [grpc.StatusCode.UNAUTHENTICATED] * PER_CLIENT + [grpc.StatusCode.RESOURCE_EXHAUSTED]


def test_no_key_is_logged(gate):
    text = gate.log("service").read_text() + gate.log("bridge").read_text()
    assert "vg_0" not in text and "guess at" not in text and gate.env["VIDEOGATE_ADMIN_KEY"] not in text
