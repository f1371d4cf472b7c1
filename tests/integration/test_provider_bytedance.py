# SPDX-License-Identifier: Apache-2.0
"""The adapter of ByteDance's ModelArk (Seedance) against its simulator."""
import hashlib
import json

import pytest
import upstream
from offered import check_offers
from simulators import bytedance, media
from upstream import class_of, data_url, picture

MODEL = "dreamina-seedance-2-0-260128"


@pytest.fixture(scope="module")
def sim():
    with bytedance.Simulator() as one:
        yield one


@pytest.fixture(scope="module")
def worker(sim):
    with upstream.Worker("bytedance", sim, model=MODEL, width=1280, height=720, seconds=4, audio=True) as one:
        yield one


@pytest.fixture(autouse=True)
def afresh(sim):
    sim.reset()


def sent(sim):
    """The body of the last Submit; every rule of the simulator held."""
    assert sim.broken == {}
    return sim.last("submit").json()


def test_describe(worker):
    told = worker.describe()
    assert (told.provider, told.supports_cancel, told.supports_lookup, told.supports_events, told.max_concurrency) == \
        ("bytedance", True, True, True, 10)


def test_text(worker, sim):
    film = worker.make_video()
    seed = int.from_bytes(hashlib.sha256(worker.asked.token.encode()).digest()[:4], "big") & 0x7fffffff
    assert sent(sim) == {"model": MODEL, "content": [{"type": "text", "text": worker.asked.prompt}], "duration": 4, "ratio": "16:9",
                         "resolution": "720p", "generate_audio": True, "seed": seed}
    assert sim.last("submit").header("authorization") == f"Bearer {sim.keys[0]}" or sim.count("submit", sim.keys[1]) == 1
    assert (film["width"], film["height"], film["audio"]) == (1280, 720, True) and 3.9 < film["seconds"] < 4.2
    assert worker.info.mime_type == "video/mp4" and worker.info.bytes == len(worker.film)


@pytest.mark.parametrize("width,height,ratio,resolution,made", [
    (854, 480, "16:9", "480p", (864, 496)), (480, 854, "9:16", "480p", (496, 864)), (1920, 1080, "16:9", "1080p", (1920, 1080)),
    (1080, 1920, "9:16", "1080p", (1080, 1920)), (720, 720, "1:1", "720p", (960, 960)), (1680, 720, "21:9", "720p", (1470, 630))])
def test_sizes(worker, sim, width, height, ratio, resolution, made):
    film = worker.make_video(width=width, height=height, audio=False)
    body = sent(sim)
    assert (body["ratio"], body["resolution"], body["generate_audio"]) == (ratio, resolution, False)
    assert (film["width"], film["height"], film["audio"]) == (*made, False)


def test_frames(worker, sim):
    first, last = picture(1280, 720), picture(1280, 720, "jpeg")
    worker.make_video(first_frame=first, last_frame=last)
    assert sent(sim)["content"][1:] == [
        {"type": "image_url", "image_url": {"url": data_url(first)}, "role": "first_frame"},
        {"type": "image_url", "image_url": {"url": data_url(last)}, "role": "last_frame"}]


def test_references(worker, sim):
    pictures = [picture(640, 480), picture(480, 640)]
    worker.make_video(reference_images=pictures, reference_videos=["https://media.example/a.mp4"],
                      reference_audios=["https://media.example/a.mp3"])
    assert sent(sim)["content"][1:] == [
        *({"type": "image_url", "image_url": {"url": data_url(one)}, "role": "reference_image"} for one in pictures),
        {"type": "video_url", "video_url": {"url": "https://media.example/a.mp4"}, "role": "reference_video"},
        {"type": "audio_url", "audio_url": {"url": "https://media.example/a.mp3"}, "role": "reference_audio"}]


def test_further_parameters_and_webhook(worker, sim):
    worker.make_video(event_url="https://videos.example/v1/events/x", extra='{"watermark": true, "seed": 7, "service_tier": "flex", "model": "x"}')
    body = sent(sim)
    assert (body["callback_url"], body["watermark"], body["seed"], body["service_tier"], body["model"]) == \
        ("https://videos.example/v1/events/x", True, 7, "flex", MODEL)


def test_webhook(worker, sim):
    accepted = worker.accept()
    told = sim.task(sim.history[0])
    answer = worker.stub.ReadEvent(upstream.pb.ReadEventRequest(body=json.dumps(told).encode()), timeout=60)
    assert (answer.verdict, answer.upstream_id, answer.reply) == (upstream.pb.EVENT_VERDICT_UNSIGNED, accepted.upstream_id, "")


def test_outputs_differ(worker, sim):
    worker.accept(index=0)
    worker.accept(index=1)
    assert len({job.fields["seed"] for job in sim.history}) == 2
    for index in range(3):
        worker.accept(index=index, extra='{"seed": 4294967294}')
    assert [job.fields["seed"] for job in sim.history[2:]] == [4294967294, 4294967295, 0]


def test_old_models_are_silent(worker, sim):
    film = worker.make_video(model="seedance-1-0-pro-250528", audio=False, seconds=2)
    assert "generate_audio" not in sent(sim) and not film["audio"]


@pytest.mark.parametrize("fields", [
    {"model": "seedance-1-0-pro-250528"}, {"last_frame": picture(64, 64)}, {"first_frame": picture(64, 64), "reference_images": [picture(64, 64)]},
    {"reference_audios": ["https://media.example/a.mp3"]}, {"width": 3840, "height": 2160}, {"width": 1080, "height": 720},
    {"source": upstream.pb.SourceVideo(operation="SOURCE_OPERATION_EDIT", video=picture(64, 64))}], ids=lambda fields: "-".join(fields))
def test_refused_here(worker, sim, fields):
    error = worker.refused(**fields)
    assert class_of(error) == "INVALID_REQUEST" and error.public_message.endswith(".")
    assert not error.maybe_submitted and error.fallback_ok and sim.count("submit") == 0


@pytest.mark.parametrize("outcome,kind,retryable,fallback", [
    ("moderation_at_submit", "CONTENT_FILTERED", False, False), ("moderation_of_picture", "CONTENT_FILTERED", False, False),
    ("model_gone", "MODEL_GONE", False, True), ("model_closed", "MODEL_GONE", False, True), ("overdue", "BILLING", False, True),
    ("paused", "BILLING", False, True), ("queue_full", "CONCURRENCY_FULL", True, True), ("overloaded", "OVERLOADED", True, True)])
def test_refused_there(worker, sim, outcome, kind, retryable, fallback):
    sim.script(outcome=outcome)
    error = worker.refused()
    assert (class_of(error), error.retryable, error.fallback_ok, error.maybe_submitted, error.charged) == \
        (kind, retryable, fallback, False, False)
    if kind in upstream.RESTING:
        worker.restart()


@pytest.mark.parametrize("outcome,kind,fallback", [("moderation_in_job", "CONTENT_FILTERED", False), ("failed", "UPSTREAM_INTERNAL", True)])
def test_failed_jobs(worker, sim, outcome, kind, fallback):
    sim.script(outcome=outcome)
    error = worker.poll_until_end(worker.accept()).error
    assert (class_of(error), error.retryable, error.fallback_ok, error.charged) == (kind, False, fallback, False)
    assert error.upstream_code == bytedance.FAILURES[outcome][0]


def test_other_ends(worker, sim):
    sim.script(outcome="expired")
    assert worker.poll_until_end(worker.accept()).HasField("expired")
    sim.script(outcome="empty_result")
    answers = [answer for answer, _ in zip(worker.polls(worker.accept()), range(5))]
    assert all(one.HasField("running") or one.error.retryable for one in answers) and answers[-1].error.upstream_code == "malformed"


def test_cancel(worker, sim):
    waiting = worker.accept()
    assert worker.cancel(waiting) == "CANCELED"
    assert worker.poll(waiting).HasField("canceled") and worker.cancel(waiting) == "CANCELED"
    running = worker.accept()
    worker.poll(running)
    assert worker.cancel(running) == "UNSUPPORTED"
    done = worker.finish(worker.accept())
    assert worker.cancel(done) == "TOO_LATE"
    assert media.probe(worker.fetch(done))["codec"] == "h264", "a cancel that comes too late erases nothing"
    assert sim.broken == {} and sim.count("cancel") == 1


def test_links_grow_old(worker, sim):
    done = worker.finish(worker.accept())
    sim.clock.advance(25 * 3600)
    assert worker.fetch(done), "the poll gives a new link"


# --- lost submissions ---

def lose(worker, sim, **fields):
    sim.script(fault="reset_after", kind="submit")
    assert worker.refused(**fields).maybe_submitted


def test_lookup_knows_its_own(worker, sim):
    worker.accept(), worker.accept(model="seedance-1-5-pro-251215")
    lose(worker, sim)
    mine, asked = sim.history[-1].id, worker.asked
    lose(worker, sim)
    outcome, found = worker.lookup(request=asked)
    assert (outcome, found.upstream_id) == ("FOUND", mine)
    assert worker.fetch(worker.finish(found))
    assert sim.broken == {} and sim.submits == 4


def test_lookup_never_denies_what_may_be_there(worker, sim):
    sim.script(fault="reset", kind="submit")
    assert worker.refused().maybe_submitted and sim.submits == 0
    assert worker.lookup()[0] == "RETRY", "the list may not show it yet"
    assert worker.lookup(age_ms=61000)[0] == "ABSENT"
    assert worker.lookup(age_ms=61000, open_ms=61000)[0] == "RETRY", "sent again since: that request may be under way"
    asked = worker.asked
    other = worker.accept()
    assert worker.lookup(request=asked, age_ms=61000)[0] == "UNSUPPORTED", "a job of that time whose owner is not known"
    assert worker.lookup(request=asked, age_ms=61000, taken=[other.upstream_id])[0] == "ABSENT"


def test_lookup_of_a_chosen_seed(worker, sim):
    lose(worker, sim, extra='{"seed": 7}')
    assert worker.lookup()[0] == "RETRY" and worker.lookup(age_ms=61000)[0] == "UNSUPPORTED", "others may have chosen it too"


def test_what_the_catalog_offers(worker, sim):
    assert check_offers(worker, sim) == sim.submits


@pytest.mark.parametrize("case", upstream.generic_faults(fetch_refused={"whole": True}), ids=str)
def test_generic_fault(worker, sim, case):
    upstream.check_generic_faults(worker, sim, case)
