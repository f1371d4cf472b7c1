# SPDX-License-Identifier: Apache-2.0
"""Webhooks of providers: a job whose next poll is a minute away is polled at once when its provider says so, and for nothing else."""
import base64
import hashlib
import hmac
import http.client
import itertools
import json
import threading
import time
import urllib.parse

import event_worker
import pytest
import upstream
from simulators import hooks, minimax, openai
from vg import ROOT, Answer, Beside, free_base, readyz, wait_for

SECRET = "whsec_" + base64.b64encode(b"a secret of the project's webhook").decode()
BODY_SECRET = "unlogged-words-of-the-body"
MEBIBYTE = 1 << 20


def catalog(folder):
    """The sandbox's instant model at two other providers."""
    whole = json.loads((ROOT / "service/catalog.json").read_text())
    (model,) = [one for one in whole["models"] if one["name"] == "sandbox-instant"]
    whole["models"] = []
    for name, provider, upstream_model, size in (("hinted", "fal", "m", "160x90"), ("signed", "openai", "sora-2", "1280x720"),
                                                ("challenged", "minimax", "MiniMax-H3-Max", "1366x768")):
        copy = json.loads(json.dumps(model))
        (route,) = copy["routes"]
        copy.update(name=name, default_size=size)
        route.update(provider=provider, model=upstream_model, sizes=[size])
        whole["models"].append(copy)
    whole["default_model"] = "hinted"
    path = folder / "catalog.json"
    path.write_text(json.dumps(whole))
    return path


class Gate(Beside):
    """A service and a bridge beside the stack, with a worker that does what the test says and two real ones at simulators."""

    def __init__(self, stack, folder, worker, sim, minimax_sim):
        super().__init__(stack, folder)
        self.worker, self.sim, self.minimax, self.base = worker, sim, minimax_sim, free_base()

    def __enter__(self):
        super().__enter__()
        self.env["VIDEOGATE_OPENAI_KEYS"], self.env["VIDEOGATE_MINIMAX_KEYS"] = self.sim.keys[0], self.minimax.keys[0]
        self.env["VIDEOGATE_OPENAI_EVENT_SECRET"] = f"whsec_AAAA {SECRET}"
        for provider, port, url in (("openai", 5, self.sim.url + "/v1"), ("minimax", 7, self.minimax.url)):
            self.start("worker", "--provider", provider, "--listen", self.at(port), "--monitor", self.at(port + 1), "--base-url", url,
                       "--poll-interval", "1h", "--result-allow-http", "true", "--result-allow-any-port", "true", "--result-allow-nets",
                       "127.0.0.0/8", "--log-level", "debug")
        self.start_service()
        self.start("bridge", "--listen", self.at(2), "--service", self.at(0), "--log-level", "debug")
        wait_for(lambda: readyz(self.base + 2)[0] == 200, "the bridge to be ready")
        self.key = self.new_key("--service", self.at(0))
        return self

    def start_service(self):
        self.start("service", "--listen", self.at(0), "--monitor", self.at(1), "--blob-dir", self.folder / "blobs",
                   "--catalog", catalog(self.folder), "--workers", f"fal={self.worker.address},openai={self.at(5)},minimax={self.at(7)}",
                   "--events-url", f"http://{self.at(2)}/", "--log-level", "debug")
        wait_for(lambda: readyz(self.base + 1)[0] == 200, "the service to be ready")

    def at(self, offset):
        return f"127.0.0.1:{self.base + offset}"

    def call(self, method, url, body=None, headers=None, connection=None):
        own = connection or http.client.HTTPConnection(self.at(2), timeout=60)
        own.request(method, urllib.parse.urlsplit(url).path, body=body, headers=headers or {})
        answer = own.getresponse()
        answer = Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
        if not connection:
            own.close()
        return answer

    def post(self, url, body=b"{}", **headers):
        return self.call("POST", url, body, {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}})

    def create(self, model="hinted", seconds=4):
        answer = self.call("POST", "/v1/videos", json.dumps({"model": model, "prompt": "a kite", "seconds": seconds}),
                           {"content-type": "application/json", "authorization": f"Bearer {self.key}"})
        assert answer.status == 200, answer.body
        return answer.json["id"]

    def submitted(self):
        """A video and its job, which nobody is going to poll."""
        before = len(self.worker.jobs)
        video = self.create()
        job = self.worker.job(before)
        self.wait_row(video, "state = 3 AND lease_owner IS NULL")
        return video, job

    def status(self, video):
        answer = self.call("GET", f"/v1/videos/{video}", headers={"authorization": f"Bearer {self.key}"})
        assert answer.status == 200, answer.body
        return answer.json["status"]

    def wait(self, video):
        wait_for(lambda: self.status(video) in ("completed", "failed"), f"{video} to end", pause=0.05)
        assert self.status(video) == "completed"

    def rows(self, statement, *args):
        import psycopg2

        connection = psycopg2.connect(self.database)
        with connection, connection.cursor() as cursor:
            cursor.execute(statement, args)
            rows = cursor.fetchall()
        connection.close()
        return rows

    def wait_row(self, video, condition):
        wait_for(lambda: self.rows(f"SELECT {condition} FROM generations WHERE video_id = %s", video) == [(True,)], condition, pause=0.02)

    def untouched(self, video, job):
        """Nothing has become due, and the job was not polled."""
        rows = self.rows("SELECT state, lease_owner IS NULL, wake_at - now() > interval '20 s', hinted FROM generations WHERE video_id = %s", video)
        assert rows == [(3, True, True, False)]
        return job.polls == 0 and self.status(video) == "in_progress"

    def outcomes(self):
        connection = http.client.HTTPConnection(self.at(1), timeout=20)
        connection.request("GET", "/metrics")
        lines = connection.getresponse().read().decode().splitlines()
        connection.close()
        found = (line.split('outcome="')[1].split('"} ') for line in lines if line.startswith("videogate_provider_events_total"))
        return {name: int(value) for name, value in found}

    def counted(self, before):
        return {name: count - before[name] for name, count in self.outcomes().items() if count != before[name]}


@pytest.fixture(scope="module")
def gate(stack, tmp_path_factory):
    with event_worker.Worker("fal") as worker, openai.Simulator() as sim, minimax.Simulator() as minimax_sim, \
            Gate(stack, tmp_path_factory.mktemp("gate"), worker, sim, minimax_sim) as one:
        yield one
        logs = "".join(one.log(name).read_text(encoding="utf-8", errors="replace") for name in ("service", "bridge", "worker"))
    for bad in upstream.BAD_LOG + (BODY_SECRET, SECRET, one.key):
        assert bad not in logs, upstream.excerpt(logs, bad)
    for job in worker.jobs:
        mac = job.event_url.rsplit(".", 1)[1]
        assert len(mac) == 43 and mac not in logs


def test_event_hastens_the_poll(gate):
    video, job = gate.submitted()
    assert job.event_url.startswith(f"http://{gate.at(2)}/v1/provider-events/fal/{video}.0-1.")
    job.done = True
    assert gate.untouched(video, job)
    before = gate.outcomes()
    answer = gate.post(job.event_url, json.dumps({"secret": BODY_SECRET}), x_job=job.id, x_signature="good", cookie="a=b",
                       authorization=f"Bearer {gate.key}", x_api_key=gate.key)
    assert (answer.status, answer.json) == (200, {"received": True})
    gate.wait(video)
    assert job.polls == 1 and gate.counted(before) == {"due": 1}
    headers, body = gate.worker.events[-1]
    assert headers["x-signature"] == "good" and headers["content-type"] == "application/json" and BODY_SECRET in body.decode()
    assert not {"cookie", "authorization", "x-api-key"} & set(headers)


def test_unsigned_event_at_the_jobs_address(gate):
    video, job = gate.submitted()
    job.done = True
    assert gate.post(job.event_url).status == 200
    gate.wait(video)


def test_nothing_in_an_event_is_believed(gate):
    """It says that the job is done; the provider does not."""
    video, job = gate.submitted()
    assert gate.post(job.event_url, b'{"status":"OK","video":{"url":"https://evil.example/v.mp4"}}', x_signature="good").status == 200
    wait_for(lambda: job.polls == 1, "the poll")
    gate.wait_row(video, "state = 3 AND lease_owner IS NULL AND wake_at > now() + interval '20 s'")
    job.done = True
    assert gate.post(job.event_url).status == 200
    gate.wait(video)
    assert job.polls == 2


def test_forged_and_foreign_addresses(gate):
    video, job = gate.submitted()
    _, other = gate.submitted()
    stem, mac = job.event_url.rsplit(".", 1)
    before = gate.outcomes()
    last = "A" if mac[0] != "A" else "B"
    forged = [f"{stem}.{last}{mac[1:]}", f"{stem}.{other.event_url.rsplit('.', 1)[1]}", stem, f"{stem}.", job.event_url + "A",
              job.event_url.replace(".0-1.", ".0-2."), job.event_url.replace(".0-1.", ".1-1."), job.event_url.replace("/fal/", "/openai/"),
              job.event_url.replace("/fal/", "/nobody/"), f"http://{gate.at(2)}/v1/provider-events/nobody"]
    answers = [gate.post(url, x_signature="good", x_job=job.id) for url in forged]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.error["message"] for answer in answers}) == 1
    assert gate.counted(before) == {"bad_address": len(forged)}
    refused = gate.call("GET", job.event_url)
    assert refused.status == 405 and refused.headers["allow"] == "POST, OPTIONS"
    assert gate.untouched(video, job)


@pytest.mark.parametrize("signature", ["bad", ""])
def test_wrong_signature(gate, signature):
    video, job = gate.submitted()
    before = gate.outcomes()
    answer = gate.post(job.event_url, x_signature=signature, x_job=job.id)
    assert answer.status == 403 and "signature" in answer.error["message"]
    assert gate.untouched(video, job) and gate.counted(before) == {"refused": 1}


def test_another_jobs_event(gate):
    """A good address and a good signature, but for what runs elsewhere."""
    video, job = gate.submitted()
    before = gate.outcomes()
    assert gate.post(job.event_url, x_signature="good", x_job="job-of-others").status == 200
    assert gate.untouched(video, job) and gate.counted(before) == {"other_job": 1}


def test_replays_of_an_ended_job(gate):
    video, job = gate.submitted()
    job.done = True
    assert gate.post(job.event_url).status == 200
    gate.wait(video)
    before = gate.outcomes()
    assert {gate.post(job.event_url).status for _ in range(20)} == {200}
    assert job.polls == 1 and gate.counted(before) == {"ended": 20}
    assert gate.rows("SELECT state FROM generations WHERE video_id = %s", video) == [(5,)]


def test_flood(gate):
    """A thousand events are a poll a second, and the last one still counts."""
    video, job = gate.submitted()
    begin, numbers, statuses = time.monotonic(), itertools.count(), []

    def send():
        connection = http.client.HTTPConnection(gate.at(2), timeout=60)
        while next(numbers) < 1000:
            statuses.append(gate.call("POST", job.event_url, b"{}", {}, connection).status)
        connection.close()

    threads = [threading.Thread(target=send) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(statuses) == 1000 and set(statuses) == {200}
    job.done = True
    polls, seconds = job.polls, time.monotonic() - begin
    assert 1 <= polls <= seconds + 2, (polls, seconds)
    assert gate.post(job.event_url).status == 200
    gate.wait(video)


def test_event_while_the_job_is_submitted(gate):
    """The provider was faster than its own answer."""
    def submitting(job):
        job.done = True
        answers.append(gate.post(job.event_url).status)

    answers = []
    gate.worker.submitting = submitting
    try:
        video = gate.create()
        gate.wait(video)
    finally:
        gate.worker.submitting = lambda job: None
    assert answers == [200]


def test_event_while_the_job_is_polled(gate):
    """It came after the provider had answered the poll, and before that was recorded."""
    def polling(job):
        if not job.done:
            job.done = True
            answers.append(gate.post(job.event_url).status)

    answers = []
    video, job = gate.submitted()
    gate.worker.polling = polling
    try:
        assert gate.post(job.event_url).status == 200
        gate.wait(video)
    finally:
        gate.worker.polling = lambda job: None
    assert answers == [200] and job.polls == 2


def test_challenge(gate):
    """Asked while the job is submitted, for its own address: the answer is the worker's, and the job goes on."""
    def submitting(job):
        answers.append(gate.post(job.event_url, b'{"challenge":"c1"}', x_reply='{"challenge":"c1"}'))

    answers = []
    gate.worker.submitting = submitting
    before = gate.outcomes()
    try:
        video, job = gate.submitted()
    finally:
        gate.worker.submitting = lambda job: None
    (answer,) = answers
    assert (answer.status, answer.body) == (200, b'{"challenge":"c1"}') and answer.headers["content-type"] == "application/json"
    assert gate.untouched(video, job) and gate.counted(before) == {"challenge": 1}


def test_events_lost(gate):
    """Slow polling ends the job all the same."""
    gate.worker.poll_ms = 300
    before = len(gate.worker.jobs)
    try:
        video = gate.create()
        job = gate.worker.job(before)
        wait_for(lambda: job.polls > 0, "a poll", pause=0.02)
        job.done = True
        gate.wait(video)
    finally:
        gate.worker.poll_ms = event_worker.FAR_MS


def test_size(gate):
    video, job = gate.submitted()
    body = json.dumps({"x": BODY_SECRET}).encode()
    large = body + b" " * (MEBIBYTE - len(body))
    assert gate.post(job.event_url, large + b" ").status == 413
    assert gate.untouched(video, job)
    job.done = True
    assert gate.post(job.event_url, large).status == 200
    assert gate.worker.events[-1][1] == large
    gate.wait(video)
    assert gate.call("POST", job.event_url, b"x", {"content-encoding": "gzip"}).status == 415


def test_worker_away(gate):
    """The job stands ready for the worker's return; what only a signature can speak for is to be sent again."""
    video, job = gate.submitted()
    job.done = True
    before = gate.outcomes()
    gate.worker.stop()
    try:
        assert gate.post(job.event_url).status == 200
        answer = gate.post(f"http://{gate.at(2)}/v1/provider-events/fal", x_signature="good", x_job=job.id)
        assert answer.status == 503 and answer.headers["retry-after"]
        gate.wait_row(video, "wake_at <= now() + interval '20 s'")
    finally:
        gate.worker.start()
    gate.wait(video)
    assert gate.counted(before) == {"due": 1, "failed": 1}


def test_service_killed_between(gate):
    """Nothing but the row has to survive."""
    video, job = gate.submitted()
    job.done = True
    (service,) = [one for one in gate.processes if "videogate-service" in one.args[0]]
    service.kill()
    service.wait()
    gate.processes.remove(service)
    gate.start_service()
    assert gate.post(job.event_url).status == 200
    gate.wait(video)


def test_minimax(gate):
    """An upstream that registers the address with a challenge, then tells each state there; the worker is the one of production."""
    sim = gate.minimax
    video = gate.create("challenged", 5)
    gate.wait_row(video, "state = 3 AND lease_owner IS NULL")
    (job,) = sim.jobs.values()
    wait_for(lambda: sim.registered, "the challenge to be sent back", pause=0.02)
    assert list(sim.registered.values()) == [True] and sim.count("poll") == 0
    while job.phase != "done":
        polls = sim.count("poll")
        assert sim.notify(job) == 200
        wait_for(lambda: sim.count("poll") > polls, "the poll", pause=0.02)
        gate.wait_row(video, "lease_owner IS NULL")
    gate.wait(video)


def test_simulators_tell(gate):
    """As on a stack with --simulators: OpenAI's to the project's address, MiniMax's to the job's; nobody polls for an hour."""
    teller = hooks.Teller([gate.sim, gate.minimax], after=0, events_url=f"http://{gate.at(2)}")
    gate.sim.hook_keys.secret = SECRET
    before = gate.sim.count("poll") + gate.minimax.count("poll")
    ids = [gate.create("signed"), gate.create("challenged", 5)]
    for video in ids:
        gate.wait_row(video, "state = 3 AND lease_owner IS NULL")
    assert gate.sim.count("poll") + gate.minimax.count("poll") == before
    teller.start()
    try:
        for video in ids:
            gate.wait(video)
    finally:
        teller.stop()
    assert gate.sim.history[-1].told == gate.minimax.history[-1].told == 200


# --- one address for the whole account: OpenAI ---


def sign(body, at, secret=SECRET, event_id="evt_1"):
    mac = hmac.new(base64.b64decode(secret.removeprefix("whsec_")), f"{event_id}.{at}.{body}".encode(), hashlib.sha256)
    return {"webhook_id": event_id, "webhook_timestamp": str(at), "webhook_signature": "v1," + base64.b64encode(mac.digest()).decode()}


def test_account_address(gate):
    """Standard Webhooks, verified by the worker that runs in production."""
    video = gate.create("signed")
    gate.wait_row(video, "state = 3 AND lease_owner IS NULL")
    ((upstream_id,),) = gate.rows("SELECT upstream_id FROM generations WHERE video_id = %s", video)
    address, now = f"http://{gate.at(2)}/v1/provider-events/openai", int(time.time())
    body = json.dumps({"id": "evt_1", "object": "event", "type": "video.completed", "data": {"id": upstream_id}})
    polls, before = gate.sim.count("poll"), gate.outcomes()

    refused = [{}, sign(body, now, "whsec_" + base64.b64encode(b"another").decode()), sign(body, now - 301), sign(body + " ", now)]
    assert [gate.post(address, body, **headers).status for headers in refused] == [403] * len(refused)
    foreign = body.replace(upstream_id, "video_of_others")
    assert gate.post(address, foreign, **sign(foreign, now)).status == 200
    assert gate.counted(before) == {"refused": len(refused), "unknown": 1}
    assert gate.sim.count("poll") == polls and gate.status(video) == "in_progress"

    for _ in range(gate.sim.queue_polls + gate.sim.run_polls):
        polls = gate.sim.count("poll")
        assert gate.post(address, body, **sign(body, int(time.time()))).status == 200
        wait_for(lambda: gate.sim.count("poll") > polls, "the poll", pause=0.02)
        gate.wait_row(video, "lease_owner IS NULL")
    assert gate.post(address, body, **sign(body, int(time.time()))).status == 200
    gate.wait(video)


def test_account_address_needs_a_signature(gate):
    video, job = gate.submitted()
    assert gate.post(f"http://{gate.at(2)}/v1/provider-events/fal", x_job=job.id).status == 403
    assert gate.untouched(video, job)
    job.done = True
    assert gate.post(f"http://{gate.at(2)}/v1/provider-events/fal", x_job=job.id, x_signature="good").status == 200
    gate.wait(video)
