# SPDX-License-Identifier: Apache-2.0
"""The adapter of fal.ai against its simulator."""
import base64
import hashlib
import json
import time

import pytest
import upstream
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from offered import check_offers
from simulators import fal
from upstream import NAMES, pb, picture

FRAME, END = picture(1280, 720), picture(1280, 720, "jpeg")
SIGNER = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
PUBLIC = base64.urlsafe_b64encode(SIGNER.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode().rstrip("=")
HOOK = "https://videos.example/v1/provider_events/fal/abc?x=1&y=2"


@pytest.fixture(scope="module")
def sim():
    with fal.Simulator() as one:
        yield one


@pytest.fixture(scope="module")
def worker(sim):
    with upstream.Worker("fal", sim, model="fal-ai/veo3.1/fast", width=1280, height=720, seconds=4, audio=True,
                         env={"VIDEOGATE_FAL_EVENT_SECRET": PUBLIC}) as one:
        yield one


@pytest.fixture(autouse=True)
def fresh(sim):
    sim.reset()
    yield
    assert not sim.broken


def url(blob):
    return f"data:{blob.mime_type};base64,{base64.b64encode(blob.data).decode()}"


VEO = {"duration": "4s", "resolution": "720p", "aspect_ratio": "16:9", "generate_audio": True}
ASKED = [  # fields, path, input beside the prompt, size of the film
    (dict(), "fal-ai/veo3.1/fast", VEO, (1280, 720)),
    (dict(model="fal-ai/veo3.1", width=1080, height=1920, seconds=8, audio=False), "fal-ai/veo3.1",
     {"duration": "8s", "resolution": "1080p", "aspect_ratio": "9:16", "generate_audio": False}, (1080, 1920)),
    (dict(width=3840, height=2160, seconds=6), "fal-ai/veo3.1/fast", {**VEO, "duration": "6s", "resolution": "4k"}, (3840, 2160)),
    (dict(first_frame=FRAME), "fal-ai/veo3.1/fast/image-to-video", {**VEO, "image_url": url(FRAME)}, (1280, 720)),
    (dict(first_frame=FRAME, last_frame=END), "fal-ai/veo3.1/fast/first-last-frame-to-video",
     {**VEO, "first_frame_url": url(FRAME), "last_frame_url": url(END)}, (1280, 720)),
    (dict(seconds=8, reference_images=[FRAME, END]), "fal-ai/veo3.1/fast/reference-to-video",
     {**VEO, "duration": "8s", "image_urls": [url(FRAME), url(END)]}, (1280, 720)),
    (dict(extra='{"seed": 3, "negative_prompt": "rain", "duration": "8s"}'), "fal-ai/veo3.1/fast", {**VEO, "seed": 3, "negative_prompt": "rain"},
     (1280, 720)),
    (dict(model="fal-ai/kling-video/v2.6/pro", width=1080, height=1080, seconds=10), "fal-ai/kling-video/v2.6/pro/text-to-video",
     {"duration": "10", "aspect_ratio": "1:1", "generate_audio": True}, (1080, 1080)),
    (dict(model="fal-ai/kling-video/v3/standard", seconds=15, audio=False, first_frame=FRAME), "fal-ai/kling-video/v3/standard/image-to-video",
     {"duration": "15", "generate_audio": False, "start_image_url": url(FRAME)}, (1280, 720)),
    (dict(model="fal-ai/kling-video/v3/pro", width=1920, height=1080, seconds=3, first_frame=FRAME, last_frame=END),
     "fal-ai/kling-video/v3/pro/image-to-video",
     {"duration": "3", "generate_audio": True, "start_image_url": url(FRAME), "end_image_url": url(END)}, (1920, 1080)),
    (dict(model="bytedance/seedance-2.0", width=1120, height=480, seconds=12), "bytedance/seedance-2.0/text-to-video",
     {"duration": "12", "resolution": "480p", "aspect_ratio": "21:9", "generate_audio": True}, (1120, 480)),
    (dict(model="bytedance/seedance-2.0", first_frame=FRAME, last_frame=END), "bytedance/seedance-2.0/image-to-video",
     {**VEO, "duration": "4", "image_url": url(FRAME), "end_image_url": url(END)}, (1280, 720)),
    (dict(model="bytedance/seedance-2.0/fast", reference_images=[FRAME], reference_videos=["https://media.example/a.mp4"],
          reference_audios=["https://media.example/a.mp3"]), "bytedance/seedance-2.0/fast/reference-to-video",
     {**VEO, "duration": "4", "image_urls": [url(FRAME)], "video_urls": ["https://media.example/a.mp4"],
      "audio_urls": ["https://media.example/a.mp3"]}, (1280, 720)),
    (dict(model="fal-ai/bytedance/seedance/v1/pro", seconds=5, audio=False, first_frame=FRAME), "fal-ai/bytedance/seedance/v1/pro/image-to-video",
     {"duration": "5", "resolution": "720p", "aspect_ratio": "16:9", "image_url": url(FRAME)}, (1280, 720)),
]


@pytest.mark.parametrize("fields, path, body, size", ASKED, ids=lambda one: None)
def test_asked(worker, sim, fields, path, body, size):
    film = worker.make_video(**fields)
    sent = sim.last("submit")
    assert sent.target == f"/{path}" and sent.json() == {**body, "prompt": worker.asked.prompt}
    assert (film["width"], film["height"], film["audio"]) == (*size, body.get("generate_audio", False))
    assert abs(film["seconds"] - worker.asked.seconds) < 0.6


def test_the_webhook_travels_in_the_address(worker, sim):
    assert worker.make_video(event_url=HOOK)
    assert sim.last("submit").query == {"fal_webhook": HOOK} and worker.describe().supports_events


@pytest.mark.parametrize("flaw, verdict, id", [(None, "VERIFIED", "job-1"), ("body", "REFUSED", ""), ("age", "REFUSED", "")])
def test_webhooks_are_judged(worker, flaw, verdict, id):
    body, when = json.dumps({"request_id": "job-1", "status": "OK"}).encode(), str(int(time.time()) - (900 if flaw == "age" else 0))
    text = "\n".join(["job-1", "user-7", when, hashlib.sha256(body).hexdigest()])
    told = {"request-id": "job-1", "user-id": "user-7", "timestamp": when, "signature": SIGNER.sign(text.encode()).hex()}
    headers = [pb.EventHeader(name=f"x-fal-webhook-{name}", value=value) for name, value in told.items()]
    answer = worker.stub.ReadEvent(pb.ReadEventRequest(headers=headers, body=body + b" " if flaw == "body" else body), timeout=60)
    assert pb.EventVerdict.Name(answer.verdict) == f"EVENT_VERDICT_{verdict}" and answer.upstream_id == id


@pytest.mark.parametrize("fields, words", [
    (dict(model="fal-ai/other"), "not known"),
    (dict(last_frame=FRAME), "combination"),
    (dict(first_frame=FRAME, reference_images=[FRAME]), "combination"),
    (dict(model="fal-ai/kling-video/v3/pro", reference_images=[FRAME]), "combination"),
    (dict(reference_videos=["https://media.example/a.mp4"]), "videos or sounds"),
    (dict(source=upstream.pb.SourceVideo(operation=1, video=FRAME)), "source video"),
])
def test_what_a_model_cannot_make_is_refused_here(worker, sim, fields, words):
    error = worker.refused(**fields)
    assert NAMES[getattr(error, "class")] == "INVALID_REQUEST" and words in error.public_message and error.fallback_ok
    assert sim.count("submit") == 0


# --- addresses ---

def test_other_hosts_addresses_are_not_followed(worker, sim):
    """A relay that passes on fal's own addresses: the job is followed at the relay, where the key belongs."""
    sim.foreign = True
    try:
        accepted = worker.accept()
        assert worker.fetch(worker.finish(accepted)) and worker.cancel(accepted) == "TOO_LATE"
    finally:
        sim.foreign = False
    assert sim.count("poll") > 2 and not sim.leaks
    sim.broken.clear()


# --- ends ---

VERDICTS = [("moderation_in_job", "CONTENT_FILTERED"), ("bad_picture", "INVALID_REQUEST"), ("failed", "UPSTREAM_INTERNAL"),
            ("model_timeout", "TIMEOUT"), ("partner_busy", "OVERLOADED"), ("runner_lost", "OVERLOADED"), ("no_runner", "OVERLOADED"),
            ("request_timeout", "TIMEOUT")]


@pytest.mark.parametrize("outcome, name", VERDICTS)
def test_failed_requests(worker, sim, outcome, name):
    sim.script(outcome=outcome)
    error = worker.poll_until_end(worker.accept()).error
    assert (NAMES[getattr(error, "class")], error.retryable, error.charged, error.maybe_submitted) == (name, False, False, False)
    assert (error.http_status, error.upstream_code, error.upstream_message) == {**fal.DETAILS, **fal.FAILURES}[outcome]


def test_what_the_model_thinks_of_an_input_ends_the_job(worker, sim):
    error = worker.poll_until_end(worker.accept(seconds=5)).error
    assert (NAMES[getattr(error, "class")], error.upstream_code, error.retryable) == ("INVALID_REQUEST", "literal_error", False)
    assert dict(sim.broken) == {"fal-ai/veo3.1/fast.duration.enum": 1}
    sim.broken.clear()


@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_a_result_that_cannot_be_asked_for_is_no_verdict(worker, sim, status):
    accepted = worker.accept()
    sim.script(fault="status", kind="poll", status=status, after=3)  # queued, running, completed: then the result
    answers = list(worker.polls(accepted))
    assert answers[-2].error.retryable and answers[-1].HasField("finished")


@pytest.mark.parametrize("script, name, retryable", [
    (dict(outcome="model_gone"), "MODEL_GONE", False),
    (dict(fault="status", kind="submit", status=403, code="balance"), "BILLING", False),
    (dict(fault="status", kind="submit", status=429, code="concurrent"), "CONCURRENCY_FULL", True),
])
def test_refusals(worker, sim, script, name, retryable):
    sim.script(**script)
    error = worker.refused()
    assert (NAMES[getattr(error, "class")], error.retryable, error.maybe_submitted) == (name, retryable, False) and sim.submits == 0
    worker.restart()


def test_nothing_in_a_result_is_no_end(worker, sim):
    sim.script(outcome="empty_result")
    accepted = worker.accept()
    assert [worker.poll(accepted) for _ in range(4)][-1].error.retryable


def test_old_links_are_renewed(worker, sim):
    finished = worker.finish(worker.accept())
    sim.clock.advance(25 * 3600)
    assert worker.fetch(finished) and dict(sim.broken) == {"link.age": 1}
    sim.broken.clear()


# --- cancel ---

def test_cancel(worker, sim):
    accepted = worker.accept()
    assert worker.cancel(accepted) == "CANCELED" and sim.history[0].canceled
    assert worker.poll_until_end(accepted).HasField("canceled")


def test_cancel_too_late(worker, sim):
    accepted = worker.accept()
    assert worker.finish(accepted) and worker.cancel(accepted) == "TOO_LATE"
    sim.jobs.clear()
    assert worker.cancel(accepted) == "NOT_FOUND"
    sim.broken.clear()


# --- the catalog, keys, and the faults of all ---

def test_what_the_catalog_offers(worker, sim):
    assert check_offers(worker, sim) == sim.submits


def test_the_key_that_made_a_request_follows_it(worker, sim):
    worker.restart()
    jobs = [worker.accept() for _ in range(2)]
    assert {job.key for job in sim.history} == set(sim.keys)
    assert all(worker.finish(job) for job in jobs)


# The file is on another host, which stays up.
@pytest.mark.parametrize("case", upstream.generic_faults(fetch_refused={"whole": True}), ids=str)
def test_generic_fault(worker, sim, case):
    upstream.check_generic_faults(worker, sim, case)
    sim.broken.clear()
