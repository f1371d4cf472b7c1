# SPDX-License-Identifier: Apache-2.0
"""Webhooks that are signed with a provider's private key: the worker fetches the public ones where the provider shows them."""
import json
import time

import pytest
import upstream
from simulators import fal, google, hooks
from upstream import pb, wait_for

HOOK = "https://videos.example/v1/provider-events/x/y"
SMALL = {"width": 1280, "height": 720, "seconds": 4, "audio": True}


class Fal:
    module, provider, model, sign = fal, "fal", "fal-ai/veo3.1", staticmethod(hooks.ed25519)

    @staticmethod
    def body(job):
        return json.dumps({"request_id": job, "status": "OK"}).encode()


class Google:
    module, provider, model, sign = google, "google", "veo-3.1-generate-preview", staticmethod(hooks.jws)

    @staticmethod
    def body(job):
        return json.dumps({"type": "video.generated", "version": "v1", "data": {"id": job}}).encode()


class Gate:
    """A worker and its simulator."""

    def __init__(self, kind, **settings):
        self.kind, self.sim = kind, kind.module.Simulator()
        self.settings = settings

    def __enter__(self):
        self.sim.__enter__()
        self.worker = upstream.Worker(self.kind.provider, self.sim, model=self.kind.model, args=[word for name, value in {**self.sim.settings, **self.settings}.items() for word in ("--" + name, value)], **SMALL)
        self.worker.__enter__()
        self.job = self.worker.accept(event_url=HOOK).upstream_id
        return self

    def __exit__(self, *failure):
        self.worker.__exit__(*failure)
        self.sim.__exit__(*failure)

    def read(self, body=None, headers=None, **more):
        """(verdict, upstream id) of an event about the job, signed as the provider does."""
        body = self.kind.body(self.job) if body is None else body
        given = self.kind.sign(self.sim.hook_keys, self.job, self.kind.body(self.job), **more) if headers is None else headers
        sent = [pb.EventHeader(name=name, value=value) for name, value in given.items()]
        answer = self.worker.stub.ReadEvent(pb.ReadEventRequest(headers=sent, body=body), timeout=60)
        return pb.EventVerdict.Name(answer.verdict).removeprefix("EVENT_VERDICT_"), answer.upstream_id

    def fetches(self):
        return self.sim.count("token")


REFUSED = ("REFUSED", "")


@pytest.fixture(scope="module", params=[Fal, Google], ids=["fal", "google"])
def gate(request):
    with Gate(request.param) as one:
        yield one


def test_verified_by_keys_that_are_kept(gate):
    assert [gate.read() for _ in range(3)] == [("VERIFIED", gate.job)] * 3
    assert gate.fetches() == 1


def test_refused(gate):
    before = gate.fetches()
    now = time.time()
    assert gate.read(headers={}) == REFUSED and gate.read(at=now - 4000) == REFUSED
    good = gate.kind.sign(gate.sim.hook_keys, gate.job, gate.kind.body(gate.job))
    for name in ("x-fal-webhook-signature", "webhook-signature"):
        if name in good:
            value = good[name]
            assert gate.read(headers={**good, name: value[:-9] + ("0" if value[-9] != "0" else "1") + value[-8:]}) == REFUSED
    assert gate.read(headers={**good, "webhook-timestamp": str(int(now) - 900), "x-fal-webhook-timestamp": str(int(now) - 900)}) == REFUSED
    assert gate.fetches() <= before + 1


@pytest.mark.parametrize("kind", [Fal, Google])
def test_keys_change(kind):
    """A key that is not known is looked for; at most twice a minute, whoever asks."""
    with Gate(kind) as gate:
        assert gate.read() == ("VERIFIED", gate.job)
        wait_for(lambda: gate.sim.hook_keys.rotate() or gate.read() == ("VERIFIED", gate.job), "the new key", pause=2.1)
        before = gate.fetches()
        for _ in range(5):
            assert gate.read(headers=kind.sign(hooks.Keys(), gate.job, kind.body(gate.job))) == REFUSED
        assert gate.fetches() == before


@pytest.mark.parametrize("kind", [Fal, Google])
def test_keys_that_cannot_be_had(kind):
    """Nothing passes unchecked; the next one asks again, and keys once had outlive trouble."""
    with Gate(kind) as gate:
        gate.sim.script(fault="status", kind="token", status=503)
        assert gate.read() == REFUSED and gate.read() == REFUSED and gate.fetches() == 1
        time.sleep(2.1)
        gate.sim.script(fault="huge", kind="token", megabytes=2)
        assert gate.read() == REFUSED and gate.fetches() == 2
        time.sleep(2.1)
        assert gate.read() == ("VERIFIED", gate.job)
        time.sleep(2.1)
        gate.sim.script(fault="html_after", kind="token")
        assert gate.read(headers=kind.sign(hooks.Keys(), gate.job, kind.body(gate.job))) == REFUSED and gate.fetches() == 4
        assert gate.read() == ("VERIFIED", gate.job) and gate.fetches() == 4


def test_google_tokens_for_others():
    """Google signs for everybody: a token that names no audience of ours is good at a job's own address alone."""
    with Gate(Google, **{"google-event-audience": ""}) as gate:
        assert gate.read() == ("UNSIGNED", gate.job) and gate.read(aud="another") == ("UNSIGNED", gate.job)
    with Gate(Google, **{"google-event-audience": f"mine, {hooks.AUDIENCE}"}) as gate:
        assert gate.read() == gate.read(aud=["x", "mine"]) == ("VERIFIED", gate.job) and gate.read(aud="another") == gate.read(aud=None) == REFUSED
        assert gate.read(exp=int(time.time()) - 400) == gate.read(head={"alg": "none"}) == gate.read(head={"alg": "HS256"}) == REFUSED


@pytest.mark.parametrize("kind, setting", [(Fal, "fal-jwks-url"), (Google, "google-jwks-url")])
def test_switched_off(kind, setting):
    with Gate(kind, **{setting: ""}) as gate:
        assert gate.read() == ("UNSIGNED", gate.job) and gate.fetches() == 0
