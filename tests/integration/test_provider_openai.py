# SPDX-License-Identifier: Apache-2.0
"""The openai adapter against OpenAI's simulator as OpenAI and as an engine; and what the base does with keys, names and TLS."""
import http.client
import json
import time

import grpc
import pytest
import upstream
from offered import ENGINE, check_offers
from simulators import media, openai


@pytest.fixture(scope="module")
def sim():
    with openai.Simulator() as one:
        yield one


@pytest.fixture(scope="module")
def worker(sim):
    with upstream.Worker("openai", sim, model="sora-2", width=1280, height=720, seconds=4, audio=True) as one:
        yield one


@pytest.mark.parametrize("case", upstream.GENERIC_FAULTS, ids=str)
def test_generic_fault(worker, sim, case):
    upstream.check_generic_faults(worker, sim, case)


@pytest.mark.parametrize("fields", [
    {},
    {"seconds": 12, "width": 720, "height": 1280},
    {"model": "sora-2-pro", "width": 1792, "height": 1024, "seconds": 8},
    {"first_frame": upstream.picture(1280, 720)},
    {"reference_images": [upstream.picture(1280, 720, "jpeg")]},
], ids=["defaults", "portrait", "pro", "first frame", "reference"])
def test_video(worker, sim, fields):
    sim.reset()
    film = worker.make_video(**fields)
    asked = {**worker.fields, **fields}
    assert (film["width"], film["height"], film["audio"]) == (asked["width"], asked["height"], True)
    assert abs(film["seconds"] - asked["seconds"]) < 0.2
    assert sim.submits == sim.count("submit") == 1 and sim.broken == {}


@pytest.mark.parametrize("outcome,name", [("moderation_at_submit", "CONTENT_FILTERED"), ("model_gone", "MODEL_GONE")])
def test_refused_at_submit(worker, sim, outcome, name):
    sim.script(outcome=outcome)
    error = worker.refused()
    assert upstream.NAMES[getattr(error, "class")] == name and not error.maybe_submitted and not error.retryable


@pytest.mark.parametrize("outcome,name", [("moderation_in_job", "CONTENT_FILTERED"), ("failed", "UPSTREAM_INTERNAL")])
def test_failed_job(worker, sim, outcome, name):
    sim.script(outcome=outcome)
    ended = worker.poll_until_end(worker.accept())
    assert upstream.NAMES[getattr(ended.error, "class")] == name and not ended.error.retryable


def test_expired(worker, sim):
    sim.script(outcome="expired")
    assert worker.poll_until_end(worker.accept()).HasField("expired")


def test_what_the_catalog_offers(worker, sim):
    sim.reset()
    assert check_offers(worker, sim, without={*ENGINE, "seed", "negative_prompt"}) == sim.submits
    with openai.Simulator(dialect="engine") as engine, upstream.Worker("openai", engine, audio=True) as other:
        assert check_offers(other, engine) == engine.submits > 0


def test_lookup_knows_two_of_a_kind(worker, sim):
    """Two lost submissions that look alike cannot be told apart; one whose twin belongs to another generation can."""
    sim.reset()
    for _ in range(2):
        sim.script(fault="reset_after", kind="submit")
        worker.refused(prompt="twins")
    first, second = (job.id for job in sim.history)
    assert worker.lookup()[0] == "UNSUPPORTED" or sim.history[0].key != sim.history[1].key
    outcome, accepted = worker.lookup(taken=[first])
    assert (outcome, accepted.upstream_id) == ("FOUND", second)
    assert worker.lookup(taken=[first, second])[0] == "RETRY" and worker.lookup(taken=[first, second], age_ms=120000)[0] == "ABSENT"
    assert worker.lookup(taken=[first, second], age_ms=61000, open_ms=61000)[0] == "RETRY", "sent again since: that request may be under way"


def test_a_submission_after_its_time_is_refused(worker, sim):
    """A call that stood in a stopped process or a network: its job is somebody else's by now."""
    sim.reset()
    with pytest.raises(grpc.RpcError) as refused:
        worker.submit(start_by_ms=int(time.time() * 1000) - 1)
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION and sim.submits == 0
    assert worker.submit(start_by_ms=int(time.time() * 1000) + 60000).HasField("accepted") and sim.submits == 1


# --- edits and extensions ---

def source(operation, upstream_id="", seconds=4):
    film = upstream.pb.MediaBlob(data=media.video(1280, 720, seconds, True), mime_type="video/mp4")
    return upstream.pb.SourceVideo(operation=operation, video=film, upstream_id=upstream_id, seconds=seconds)


EDIT, EXTEND = upstream.pb.SOURCE_OPERATION_EDIT, upstream.pb.SOURCE_OPERATION_EXTEND


@pytest.mark.parametrize("operation,seconds", [(EDIT, 4), (EXTEND, 12)], ids=["edit", "extend"])
def test_from_a_video_of_its_own(worker, sim, operation, seconds):
    sim.reset()
    first = worker.accept()
    worker.finish(first)
    made_by = sim.jobs[first.upstream_id].key
    film = worker.make_video(source=source(operation, first.upstream_id), seconds=seconds)
    assert abs(film["seconds"] - seconds) < 0.2
    bodies = [one for one in sim.seen if one.kind == "submit"][1:]
    # The other key is used less and does not know the id: then the bytes go.
    assert len(bodies) == (1 if bodies[0].key == made_by else 2)
    assert b'name="video[id]"' in bodies[0].body and sim.submits == 2


@pytest.mark.parametrize("operation,seconds", [(EDIT, 4), (EXTEND, 12)], ids=["edit", "extend"])
def test_from_any_video(worker, sim, operation, seconds):
    sim.reset()
    film = worker.make_video(source=source(operation), seconds=seconds)
    assert abs(film["seconds"] - seconds) < 0.2
    assert b'filename="video.mp4"' in sim.last("submit").body and sim.submits == 1 and sim.broken == {}


# --- Azure ---

@pytest.fixture(scope="module")
def azure():
    with openai.Simulator(dialect="azure") as sim, \
            upstream.Worker("azure", sim, model="jobs/sora", width=854, height=480, seconds=5, audio=False) as worker:
        yield worker


@pytest.mark.parametrize("fields", [{}, {"model": "sora-2", "width": 1280, "height": 720, "seconds": 4, "audio": True}], ids=["sora 1", "sora 2"])
def test_azure(azure, fields):
    azure.sim.reset()
    asked = {**azure.fields, **fields}
    film = azure.make_video(**fields)
    assert (film["width"], film["height"], film["audio"]) == (asked["width"], asked["height"], asked["audio"])
    assert azure.sim.submits == 1 and azure.sim.broken == {}
    azure.sim.script(outcome="moderation_at_submit")
    assert upstream.NAMES[getattr(azure.refused(**fields), "class")] == "CONTENT_FILTERED"
    azure.sim.script(outcome="moderation_in_job")
    ended = azure.poll_until_end(azure.accept(**fields))
    assert upstream.NAMES[getattr(ended.error, "class")] == "CONTENT_FILTERED" and not ended.error.retryable


AZURE_WITHOUT = {name: "the base's, and slow" for name in ("submit-hang", "submit-hang_body", "poll-hang", "poll-hang_body", "fetch-hang_body")}
AZURE_WITHOUT |= {str(case): "Azure's jobs cannot be looked up, and Sora 2's are OpenAI's own code" for case in upstream.OTHER_FAULTS
                  if case.kind == "lookup"}


@pytest.mark.parametrize("case", upstream.generic_faults(AZURE_WITHOUT), ids=str)
def test_azure_generic_fault(azure, case):
    upstream.check_generic_faults(azure, azure.sim, case)


def test_azure_cancels_jobs(azure):
    accepted = azure.accept()
    assert azure.cancel(accepted) == "CANCELED" and azure.cancel(accepted) == "NOT_FOUND"


# --- engines: vLLM-Omni, SGLang-Diffusion, relays ---

def test_engines_of_ones_own():
    """Any size, sampling parameters, no key, and each job stays with the engine that has it, also after a restart."""
    with openai.Simulator(dialect="engine", keys=["no-key-needed"]) as one, openai.Simulator(dialect="engine", keys=["no-key-needed"]) as two:
        where = ",".join(sim.url + sim.base_path for sim in (one, two))
        extra = json.dumps({"seed": 7, "num_inference_steps": 20, "guidance_scale": 4.5, "negative_prompt": "blur", "fps": 16})
        with upstream.Worker("openai", one, base_url=where, model="Wan-AI/Wan2.2", width=640, height=352, seconds=3, extra=extra) as worker:
            jobs = [worker.accept() for _ in range(6)]
            pictured = worker.accept(first_frame=upstream.picture(640, 352))
            made = one.history + two.history
            assert all(job.fields["sampling"]["seed"] == 7 and job.fields["sampling"]["guidance_scale"] == 4.5 for job in made)
            worker.restart()
            assert all(worker.fetch(worker.finish(job)) for job in (*jobs, pictured))
            assert one.submits + two.submits == 7 and one.broken == two.broken == {}
            before = two.submits
            with one.refusing():
                answers = [worker.submit() for _ in range(5)]
            refused = [answer.error for answer in answers if answer.HasField("error")]
            assert len(refused) <= 1 and not any(error.maybe_submitted for error in refused), "an engine that is down is left out"
            assert two.submits - before == 5 - len(refused)


@pytest.fixture(scope="module")
def engine():
    with openai.Simulator(dialect="engine", keys=["no-key-needed"]) as sim, \
            upstream.Worker("openai", sim, model="Wan-AI/Wan2.2", width=640, height=352, seconds=3) as one:
        one.sim = sim
        yield one


def test_engines_cancel(engine):
    accepted = engine.accept()
    assert engine.describe().supports_cancel and engine.cancel(accepted) == "CANCELED" and engine.sim.history[-1].canceled
    assert engine.cancel(accepted) == "NOT_FOUND"
    done = engine.finish(engine.accept())
    assert engine.cancel(done) == "TOO_LATE" and engine.fetch(done), "a cancel that comes too late erases nothing"


@pytest.mark.parametrize("status", [405, 501])
def test_engines_that_cannot_cancel(engine, status):
    """SGLang-Diffusion knows no DELETE."""
    accepted = engine.accept()
    engine.sim.script(fault="status", kind="cancel", status=status)
    assert engine.cancel(accepted) == "UNSUPPORTED" and engine.fetch(engine.finish(accepted))


@pytest.mark.parametrize("case", [case for case in upstream.GENERIC_FAULTS if case.kind == "cancel"], ids=str)
def test_engine_cancel_fault(engine, case):
    engine.sim.reset()
    upstream.check_generic_faults(engine, engine.sim, case)


def test_openai_refuses_to_cancel(worker, sim):
    """A relay may stand at any address and is asked; OpenAI itself is not even that."""
    accepted = worker.accept()
    assert worker.cancel(accepted) == "UNSUPPORTED" and worker.fetch(worker.finish(accepted))
    with upstream.Worker("openai", sim, base_url="https://api.openai.com/v1") as own:
        assert not own.describe().supports_cancel


# --- characters: OpenAI's (closed with Sora), which no adapter of ours asks for; the simulator knows them all the same ---

def test_simulated_characters(sim):
    sim.reset()

    def ask(method, path, body=None, kind=None):
        connection = http.client.HTTPConnection("127.0.0.1", sim.port, timeout=60)
        connection.request(method, "/v1" + path, body, {"authorization": f"Bearer {sim.keys[0]}", **({"content-type": kind} if kind else {})})
        answer = connection.getresponse()
        told = json.loads(answer.read())
        connection.close()
        return answer.status, told

    def form(seconds, name="Ada", **more):
        parts = [f'--b\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode() for key, value in {"name": name, **more}.items()]
        film = b'--b\r\nContent-Disposition: form-data; name="video"; filename="a.mp4"\r\nContent-Type: video/mp4\r\n\r\n'
        return b"".join(parts) + film + media.video(320, 180, seconds, False) + b"\r\n--b--\r\n", "multipart/form-data; boundary=b"

    status, made = ask("POST", "/videos/characters", *form(3))
    assert status == 200 and made["name"] == "Ada" and ask("GET", f"/videos/characters/{made['id']}") == (200, made)
    assert [ask("POST", "/videos/characters", *form(s, n, **more))[0] for s, n, more in ((6, "A", {}), (3, "", {}), (3, "n" * 81, {}), (3, "A", {"x": 1}))] == [400] * 4
    assert ask("POST", "/videos/characters", '{"name": "Ada"}', "application/json")[0] == 400 and ask("GET", "/videos/characters/char_1")[0] == 404
    create = {"prompt": "Ada walks", "characters": [{"id": made["id"]}]}
    assert ask("POST", "/videos", json.dumps(create), "application/json")[0] == 200
    assert ask("POST", "/videos", json.dumps({**create, "characters": [{"id": "char_1"}]}), "application/json")[0] == 400
    assert {"character.length", "character.known", "character.name.length"} <= set(sim.broken)


# --- keys, names, TLS: the base's, the same for every provider ---

def test_keys_are_changed_while_it_runs(sim):
    sim.reset()
    with upstream.Worker("openai", sim, keys=[sim.keys[0]], **{"model": "sora-2", "width": 1280, "height": 720, "seconds": 4, "audio": True}) as one:
        old = one.accept()
        one.keys_file.write_text(sim.keys[1] + "\n")
        upstream.wait_for(lambda: one.accept() and sim.history[-1].key == sim.keys[1], "the new key")
        assert one.fetch(one.finish(old)), "the key that made a job is the one that follows it"


@pytest.mark.parametrize("address,reason", [("https://127.0.0.1:{port}/v1", "tls"), ("http://no-such-host.invalid/v1", "dns"),
                                            ("http://127.0.0.1:1/v1", "connect")])
def test_unreachable(sim, address, reason):
    sim.reset()
    with upstream.Worker("openai", sim, base_url=address.format(port=sim.port), model="sora-2", width=1280, height=720, seconds=4) as one:
        error = one.refused()
        assert upstream.NAMES[getattr(error, "class")] == "NETWORK" and error.retryable and not error.maybe_submitted, error
        assert error.upstream_code == reason and sim.submits == 0
