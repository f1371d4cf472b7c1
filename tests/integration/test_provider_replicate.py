# SPDX-License-Identifier: Apache-2.0
"""The adapter of Replicate against its simulator."""
import base64
import hashlib
import hmac
import json
import time

import pytest
import upstream
from offered import check_offers
from simulators import replicate
from upstream import NAMES, pb, picture

FRAME, END = picture(1280, 720), picture(1280, 720, "jpeg")
HOOK = "https://videos.example/v1/provider_events/replicate/abc"
SECRET = b"a secret of twenty-four b"
VERSION = next(iter(replicate.VERSIONS))


@pytest.fixture(scope="module")
def sim():
    with replicate.Simulator() as one:
        yield one


@pytest.fixture(scope="module")
def worker(sim):
    with upstream.Worker("replicate", sim, model="bytedance/seedance-1-pro", width=1280, height=720, seconds=5,
                         env={"VIDEOGATE_REPLICATE_EVENT_SECRET": "whsec_" + base64.b64encode(SECRET).decode()}) as one:
        yield one


@pytest.fixture(autouse=True)
def fresh(sim):
    sim.reset()
    yield
    assert not sim.broken


def url(blob):
    return f"data:{blob.mime_type};base64,{base64.b64encode(blob.data).decode()}"


PRO = {"duration": 5, "resolution": "720p", "aspect_ratio": "16:9"}
ASKED = [  # fields, input beside prompt and seed, size of the film
    (dict(), PRO, (1280, 720)),
    (dict(width=480, height=854, seconds=12), {"duration": 12, "resolution": "480p", "aspect_ratio": "9:16"}, (480, 854)),
    (dict(width=1920, height=1080, first_frame=FRAME), {**PRO, "resolution": "1080p", "image": url(FRAME)}, (1920, 1080)),
    (dict(first_frame=FRAME, last_frame=END), {**PRO, "image": url(FRAME), "last_frame_image": url(END)}, (1280, 720)),
    (dict(extra='{"camera_fixed": true, "duration": 9}'), {**PRO, "camera_fixed": True}, (1280, 720)),
    (dict(model="bytedance/seedance-2.0", audio=True, reference_images=[FRAME], reference_videos=["https://media.example/a.mp4"],
          reference_audios=["https://media.example/a.mp3"]),
     {**PRO, "generate_audio": True, "reference_images": [url(FRAME)], "reference_videos": ["https://media.example/a.mp4"],
      "reference_audios": ["https://media.example/a.mp3"]}, (1280, 720)),
    (dict(model="bytedance/seedance-2.0-fast", seconds=15), {**PRO, "duration": 15, "generate_audio": False}, (1280, 720)),
    (dict(model="google/veo-3.1", width=1080, height=1920, seconds=8, audio=True, first_frame=FRAME, last_frame=END),
     {"duration": 8, "resolution": "1080p", "aspect_ratio": "9:16", "generate_audio": True, "image": url(FRAME), "last_frame": url(END)},
     (1080, 1920)),
    (dict(model="google/veo-3.1", seconds=8, reference_images=[FRAME, END]),
     {**PRO, "duration": 8, "generate_audio": False, "reference_images": [url(FRAME), url(END)]}, (1280, 720)),
    (dict(model="google/veo-3.1-fast", seconds=4), {**PRO, "duration": 4, "generate_audio": False}, (1280, 720)),
    (dict(model="minimax/hailuo-2.3", width=1366, height=768, seconds=10), {"duration": 10, "resolution": "768p"}, (1366, 768)),
    (dict(model="minimax/hailuo-2.3", width=1920, height=1080, seconds=6, first_frame=FRAME),
     {"duration": 6, "resolution": "1080p", "first_frame_image": url(FRAME)}, (1920, 1080)),
]


@pytest.mark.parametrize("fields, body, size", ASKED, ids=lambda one: None)
def test_asked(worker, sim, fields, body, size):
    film = worker.make_video(**fields)
    sent = sim.last("submit")
    told = sent.json()["input"]
    assert sent.path == f"/v1/models/{worker.asked.model}/predictions" and set(sent.json()) == {"input"}
    assert isinstance(told.pop("seed", None), int) == ("hailuo" not in worker.asked.model)
    assert told == {**body, "prompt": worker.asked.prompt}
    assert (film["width"], film["height"], film["audio"]) == (*size, body.get("generate_audio", False))
    assert abs(film["seconds"] - worker.asked.seconds) < 0.6


def test_a_version_of_a_model(worker, sim):
    assert worker.make_video(model=f"bytedance/seedance-1-pro:{VERSION}")
    assert sim.last("submit").path == "/v1/predictions" and sim.last("submit").json()["version"] == VERSION


def test_the_webhook(worker, sim):
    assert worker.make_video(event_url=HOOK) and worker.describe().supports_events
    sent = sim.last("submit").json()
    assert (sent["webhook"], sent["webhook_events_filter"]) == (HOOK, ["completed"])


@pytest.mark.parametrize("flaw, verdict, id", [(None, "VERIFIED", "job-1"), ("body", "REFUSED", ""), ("age", "REFUSED", "")])
def test_webhooks_are_judged(worker, flaw, verdict, id):
    body, when = json.dumps({"id": "job-1", "status": "succeeded"}).encode(), str(int(time.time()) - (900 if flaw == "age" else 0))
    signature = base64.b64encode(hmac.digest(SECRET, b"msg_1." + when.encode() + b"." + body, hashlib.sha256)).decode()
    told = {"webhook-id": "msg_1", "webhook-timestamp": when, "webhook-signature": "v1," + signature}
    headers = [pb.EventHeader(name=name, value=value) for name, value in told.items()]
    answer = worker.stub.ReadEvent(pb.ReadEventRequest(headers=headers, body=body + b" " if flaw == "body" else body), timeout=60)
    assert pb.EventVerdict.Name(answer.verdict) == f"EVENT_VERDICT_{verdict}" and answer.upstream_id == id


def test_large_pictures_are_uploaded_first(worker, sim):
    large = picture(1280, 720)
    large.data += bytes(300_000)
    assert worker.make_video(first_frame=large, last_frame=END)
    ((id, file),) = sim.files.items()
    told = sim.last("submit").json()["input"]
    assert told["image"] == f"{sim.url}/v1/files/{id}" and told["last_frame_image"] == url(END) and file["data"] == large.data


@pytest.mark.parametrize("fault", [{"fault": "status", "status": 500}, {"fault": "reset"}, {"fault": "empty"}])
def test_failed_uploads_make_nothing(worker, sim, fault):
    large = picture(64, 64)
    large.data += bytes(300_000)
    sim.script(kind="upload", **fault)
    error = worker.refused(first_frame=large)
    assert error.retryable and not error.maybe_submitted and sim.count("submit") == 0


@pytest.mark.parametrize("fields, words", [
    (dict(model="some/other"), "not known"),
    (dict(last_frame=FRAME), "first frame"),
    (dict(model="minimax/hailuo-2.3", first_frame=FRAME, last_frame=FRAME), "last frame"),
    (dict(reference_images=[FRAME]), "reference pictures"),
    (dict(model="google/veo-3.1", reference_videos=["https://media.example/a.mp4"]), "videos or sounds"),
    (dict(model="google/veo-3.1", first_frame=FRAME, reference_images=[FRAME]), "mixed"),
    (dict(source=upstream.pb.SourceVideo(operation=1, video=FRAME)), "source video"),
])
def test_what_a_model_cannot_make_is_refused_here(worker, sim, fields, words):
    error = worker.refused(**fields)
    assert NAMES[getattr(error, "class")] == "INVALID_REQUEST" and words in error.public_message and error.fallback_ok
    assert sim.count("submit") == 0


def test_a_rule_of_the_model_is_told(worker, sim):
    error = worker.refused(seconds=13)
    assert NAMES[getattr(error, "class")] == "INVALID_REQUEST" and "input.duration" in error.public_message
    assert dict(sim.broken) == {"bytedance/seedance-1-pro.duration.range": 1}
    sim.broken.clear()


# --- ends ---

@pytest.mark.parametrize("outcome, name", [("moderation_in_job", "CONTENT_FILTERED"), ("failed", "UPSTREAM_INTERNAL"), ("busy", "OVERLOADED"),
                                           ("interrupted", "OVERLOADED"), ("refused_in_job", "INVALID_REQUEST")])
def test_failed_predictions(worker, sim, outcome, name):
    sim.script(outcome=outcome)
    error = worker.poll_until_end(worker.accept()).error
    assert (NAMES[getattr(error, "class")], error.retryable, error.charged) == (name, False, False)
    assert error.upstream_message == replicate.FAILURES[outcome]


def test_aborted_predictions(worker, sim):
    sim.script(outcome="aborted")
    assert worker.poll_until_end(worker.accept()).HasField("expired")


@pytest.mark.parametrize("script, name, wait", [
    (dict(outcome="model_gone"), "MODEL_GONE", 0), (dict(fault="status", kind="submit", status=402), "BILLING", 0),
    (dict(fault="status", kind="submit", status=429), "RATE_LIMITED", 2000)])
def test_refusals(worker, sim, script, name, wait):
    sim.script(**script)
    error = worker.refused()
    assert (NAMES[getattr(error, "class")], error.retry_after_ms, error.maybe_submitted) == (name, wait, False) and sim.submits == 0
    worker.restart()


def test_a_list_of_outputs(worker, sim):
    sim.as_list = True
    try:
        assert worker.make_video()
    finally:
        sim.as_list = False


def test_nothing_in_a_finished_prediction_is_no_end(worker, sim):
    sim.script(outcome="empty_result")
    accepted = worker.accept()
    assert [worker.poll(accepted) for _ in range(4)][-1].error.retryable


def test_what_is_removed_after_an_hour_is_gone(worker, sim):
    accepted = worker.accept()
    finished = worker.finish(accepted)
    sim.clock.advance(3700)
    with pytest.raises(upstream.FetchError) as failed:
        worker.fetch(finished)
    error = worker.poll(accepted).error
    for one in (failed.value.error, error):
        assert (NAMES[getattr(one, "class")], one.retryable, one.charged, one.fallback_ok) == ("RESULT_EXPIRED", False, True, False)
    assert dict(sim.broken) == {"link.age": 1}
    sim.broken.clear()


# --- cancel, lookup ---

def test_cancel(worker, sim):
    accepted = worker.accept()
    assert worker.cancel(accepted) == "CANCELED" and worker.cancel(accepted) == "CANCELED"
    assert worker.poll_until_end(accepted).HasField("canceled")


def test_cancel_too_late(worker, sim):
    accepted = worker.accept()
    assert worker.finish(accepted) and worker.cancel(accepted) == "TOO_LATE"
    sim.jobs.clear()
    assert worker.cancel(accepted) == "NOT_FOUND"


def test_a_lost_submission_is_found_by_its_seed(worker, sim):
    others = [worker.accept() for _ in range(3)]
    sim.script(fault="reset_after", kind="submit")
    assert worker.submit().error.maybe_submitted
    outcome, found = worker.lookup()
    assert outcome == "FOUND" and found.upstream_id == sim.history[-1].id not in [one.upstream_id for one in others]
    assert worker.fetch(worker.finish(found)) and sim.submits == 4


@pytest.mark.parametrize("fields, age_ms, outcome", [
    (dict(), 0, "RETRY"), (dict(), 61000, "ABSENT"), (dict(extra='{"seed": 7}'), 61000, "UNSUPPORTED"),
    (dict(model="minimax/hailuo-2.3", seconds=6, width=1366, height=768), 61000, "UNSUPPORTED")])
def test_a_submission_that_never_arrived(worker, sim, fields, age_ms, outcome):
    worker.accept()
    sim.script(fault="reset", kind="submit")
    assert worker.submit(**fields).error.maybe_submitted
    assert worker.lookup(age_ms=age_ms)[0] == outcome
    assert worker.lookup(age_ms=age_ms, open_ms=61000)[0] == outcome.replace("ABSENT", "RETRY"), "sent again since: that request may be under way"


# --- the catalog, keys, and the faults of all ---

def test_what_the_catalog_offers(worker, sim):
    assert check_offers(worker, sim) == sim.submits


def test_the_key_that_made_a_prediction_follows_it(worker, sim):
    worker.restart()
    jobs = [worker.accept() for _ in range(2)]
    assert {job.key for job in sim.history} == set(sim.keys)
    assert all(worker.finish(job) for job in jobs)


# The file is on another host, which stays up.
@pytest.mark.parametrize("case", upstream.generic_faults(fetch_refused={"whole": True}), ids=str)
def test_generic_fault(worker, sim, case):
    upstream.check_generic_faults(worker, sim, case)
    sim.broken.clear()
