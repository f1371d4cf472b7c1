# SPDX-License-Identifier: Apache-2.0
"""The adapter of Alibaba's DashScope (Wan) against its simulator."""
import pytest
import upstream
from offered import check_offers
from simulators import alibaba
from upstream import class_of, data_url, picture

MODEL = "wan2.6-t2v"
SERVICE = "/api/v1/services/aigc/video-generation/video-synthesis"


@pytest.fixture(scope="module")
def sim():
    with alibaba.Simulator() as one:
        yield one


@pytest.fixture(scope="module")
def worker(sim):
    with upstream.Worker("alibaba", sim, model=MODEL, width=1280, height=720, seconds=2, audio=True) as one:
        yield one


@pytest.fixture(autouse=True)
def afresh(sim):
    sim.reset()


def sent(sim):
    """Path and body of the last Submit; every rule of the simulator held."""
    assert sim.broken == {}
    return sim.last("submit").path, sim.last("submit").json()


def test_describe(worker):
    told = worker.describe()
    assert (told.provider, told.supports_cancel, told.supports_lookup, told.supports_events) == ("alibaba", True, True, False)


@pytest.mark.parametrize("width,height,seconds", [(1280, 720, 2), (720, 1280, 5), (1920, 1080, 3), (1080, 1920, 15)])
def test_text(worker, sim, width, height, seconds):
    film = worker.make_video(width=width, height=height, seconds=seconds)
    assert sent(sim) == (SERVICE, {"model": MODEL, "input": {"prompt": worker.asked.prompt},
                                   "parameters": {"size": f"{width}*{height}", "duration": seconds}})
    assert sim.last("submit").header("x-dashscope-async") == "enable"
    assert (film["width"], film["height"], film["audio"]) == (width, height, True) and abs(film["seconds"] - seconds) < 0.2


@pytest.mark.parametrize("audio", [True, False])
def test_first_frame(worker, sim, audio):
    first = picture(1280, 720)
    film = worker.make_video(model="wan2.6-i2v-flash", first_frame=first, audio=audio)
    assert sent(sim) == (SERVICE, {"model": "wan2.6-i2v-flash", "input": {"prompt": worker.asked.prompt, "img_url": data_url(first)},
                                   "parameters": {"resolution": "720P", "duration": 2, "audio": audio}})
    assert film["audio"] == audio
    worker.make_video(model="wan2.6-i2v", first_frame=first)
    assert "audio" not in sent(sim)[1]["parameters"]


def test_two_frames(worker, sim):
    first, last = picture(1280, 720), picture(1280, 720, "jpeg")
    worker.make_video(model="wan2.2-kf2v-flash", first_frame=first, last_frame=last, seconds=5, audio=False)
    path, body = sent(sim)
    assert path == "/api/v1/services/aigc/image2video/video-synthesis"
    assert body["input"] == {"prompt": worker.asked.prompt, "first_frame_url": data_url(first), "last_frame_url": data_url(last)}


def test_media(worker, sim):
    first, last = picture(1280, 720), picture(1280, 720, "jpeg")
    worker.make_video(model="wan2.7-i2v", first_frame=first, last_frame=last)
    assert sent(sim)[1] == {"model": "wan2.7-i2v", "parameters": {"resolution": "720P", "duration": 2}, "input": {
        "prompt": worker.asked.prompt, "media": [{"type": "first_frame", "url": data_url(first)}, {"type": "last_frame", "url": data_url(last)}]}}
    worker.make_video(model="wan2.7-r2v", reference_images=[first], reference_videos=["https://media.example/a.mp4"],
                      reference_audios=["https://media.example/a.mp3"])
    assert [one["type"] for one in sent(sim)[1]["input"]["media"]] == ["reference_image", "reference_video", "reference_audio"]
    film = worker.make_video(model="wan2.7-t2v", width=720, height=1280)
    assert sent(sim)[1]["parameters"] == {"resolution": "720P", "ratio": "9:16", "duration": 2}
    assert (film["width"], film["height"]) == (720, 1280)


def test_further_parameters(worker, sim):
    worker.make_video(extra='{"seed": 7, "shot_type": "multi", "size": "1*1", "negative_prompt": "blur"}')
    assert sent(sim)[1]["input"] == {"prompt": worker.asked.prompt, "negative_prompt": "blur"}
    assert sent(sim)[1]["parameters"] == {"size": "1280*720", "duration": 2, "seed": 7, "shot_type": "multi"}


@pytest.mark.parametrize("fields", [
    {"first_frame": picture(64, 64)}, {"reference_images": [picture(64, 64)]}, {"model": "wan2.6-i2v"}, {"width": 3840, "height": 2160},
    {"model": "wan2.6-i2v", "first_frame": picture(64, 64), "last_frame": picture(64, 64)},
    {"model": "wan2.2-kf2v-flash", "first_frame": picture(64, 64)}, {"model": "wan2.7-i2v", "last_frame": picture(64, 64)},
    {"model": "wan2.7-r2v", "first_frame": picture(64, 64), "reference_images": [picture(64, 64)]},
    {"model": "wan2.7-t2v", "width": 1680, "height": 720},
    {"source": upstream.pb.SourceVideo(operation="SOURCE_OPERATION_EDIT", video=picture(64, 64))}], ids=range(10))
def test_refused_here(worker, sim, fields):
    error = worker.refused(**fields)
    assert class_of(error) == "INVALID_REQUEST" and error.public_message.endswith(".")
    assert not error.maybe_submitted and error.fallback_ok and sim.count("submit") == 0


@pytest.mark.parametrize("outcome,kind,retryable,maybe", [
    ("moderation_at_submit", "CONTENT_FILTERED", False, False), ("infringing", "CONTENT_FILTERED", False, False),
    ("green_net", "CONTENT_FILTERED", False, False), ("model_gone", "MODEL_GONE", False, False), ("model_denied", "MODEL_GONE", False, False),
    ("arrears", "BILLING", False, False), ("free_tier", "BILLING", False, False), ("unpurchased", "BILLING", False, False),
    ("burst", "RATE_LIMITED", True, False), ("crowded", "CONCURRENCY_FULL", True, False), ("slow", "TIMEOUT", True, True)])
def test_refused_there(worker, sim, outcome, kind, retryable, maybe):
    sim.script(outcome=outcome)
    error = worker.refused()
    assert (class_of(error), error.retryable, error.maybe_submitted, error.charged) == (kind, retryable, maybe, False)
    if kind in upstream.RESTING:
        worker.restart()


@pytest.mark.parametrize("outcome,kind,fallback", [("moderation_in_job", "CONTENT_FILTERED", False), ("failed", "UPSTREAM_INTERNAL", True)])
def test_failed_jobs(worker, sim, outcome, kind, fallback):
    sim.script(outcome=outcome)
    error = worker.poll_until_end(worker.accept()).error
    assert (class_of(error), error.retryable, error.fallback_ok, error.charged) == (kind, False, fallback, False)
    assert error.upstream_code == alibaba.FAILURES[outcome][0]


def test_finished_without_a_video(worker, sim):
    sim.script(outcome="empty_result")
    answers = [answer for answer, _ in zip(worker.polls(worker.accept()), range(5))]
    assert all(one.HasField("running") or one.error.retryable for one in answers) and answers[-1].error.upstream_code == "malformed"


def test_cancel(worker, sim):
    waiting = worker.accept()
    assert worker.cancel(waiting) == "CANCELED" and worker.poll(waiting).HasField("canceled")
    running = worker.accept()
    worker.poll(running), worker.poll(running)
    assert worker.cancel(running) == "UNSUPPORTED"
    done = worker.finish(worker.accept())
    assert worker.cancel(done) == "UNSUPPORTED" and worker.fetch(done)


def test_a_task_lives_a_day(worker, sim):
    done = worker.finish(worker.accept())
    sim.clock.advance(25 * 3600)
    with pytest.raises(upstream.FetchError) as failed:
        worker.fetch(done)
    assert not failed.value.error.fallback_ok
    error = worker.poll(done).error
    assert class_of(error) == "NOT_FOUND" and error.retryable


def test_lookup_is_certain_of_absence_alone(worker, sim):
    sim.script(fault="reset", kind="submit")
    assert worker.refused().maybe_submitted and sim.submits == 0
    asked = worker.asked
    worker.accept(model="wan2.7-t2v")
    assert worker.lookup(request=asked)[0] == "RETRY", "the list may not show it yet"
    assert worker.lookup(request=asked, age_ms=61000)[0] == "ABSENT"
    assert worker.lookup(request=asked, age_ms=61000, open_ms=61000)[0] == "RETRY", "sent again since: that request may be under way"
    other = worker.accept()
    assert worker.lookup(request=asked, age_ms=61000)[0] == "UNSUPPORTED", "a job of that time whose owner is not known"
    assert worker.lookup(request=asked, age_ms=61000, taken=[other.upstream_id])[0] == "ABSENT"
    assert sim.broken == {}


@pytest.mark.parametrize("fault", ["reset", "html", "html_after", "empty", "truncated", "deep", "huge", "status"])
def test_lookup_in_trouble(worker, sim, fault):
    sim.script(fault="reset_after", kind="submit")
    assert worker.refused().maybe_submitted
    sim.script(fault=fault, kind="lookup")
    assert worker.lookup(age_ms=61000)[0] in ("RETRY", "UNSUPPORTED"), "with the job there"


UNKNOWN = {f"lookup-{name}": "a list that names no prompt, token or seed cannot say which job is ours"
           for name in ("lost-submit", "401", "404", "429", "500", "503", "reset", "html", "html_after", "empty", "truncated", "deep", "huge")}


def test_what_the_catalog_offers(worker, sim):
    assert check_offers(worker, sim) == sim.submits


@pytest.mark.parametrize("case", upstream.generic_faults(without=UNKNOWN, fetch_refused={"whole": True}), ids=str)
def test_generic_fault(worker, sim, case):
    upstream.check_generic_faults(worker, sim, case)
