# SPDX-License-Identifier: Apache-2.0
"""The adapter of Luma against its simulator."""
import base64

import pytest
import upstream
from offered import check_offers
from simulators import luma
from upstream import NAMES, picture

FRAME, END = picture(1280, 720), picture(640, 360, "jpeg")


@pytest.fixture(scope="module")
def sim():
    with luma.Simulator() as one:
        yield one


@pytest.fixture(scope="module")
def worker(sim):
    with upstream.Worker("luma", sim, model="ray-3.2", width=1280, height=720, seconds=5) as one:
        yield one


@pytest.fixture(autouse=True)
def fresh(sim):
    sim.reset()
    yield
    assert not sim.broken


def reference(blob):
    return {"media_type": blob.mime_type, "data": base64.b64encode(blob.data).decode()}


SHAPES = [(1280, 720, "16:9", "720p"), (720, 1280, "9:16", "720p"), (1920, 1080, "16:9", "1080p"), (540, 540, "1:1", "540p"),
          (720, 540, "4:3", "540p"), (540, 720, "3:4", "540p"), (840, 360, "21:9", "360p")]


@pytest.mark.parametrize("width, height, aspect, resolution", SHAPES, ids=lambda one: str(one))
def test_sizes(worker, sim, width, height, aspect, resolution):
    film = worker.make_video(width=width, height=height)
    assert sim.last("submit").json() == {"model": "ray-3.2", "type": "video", "prompt": worker.asked.prompt, "aspect_ratio": aspect,
                                         "video": {"resolution": resolution, "duration": "5s"}}
    assert (film["width"], film["height"], film["audio"]) == (width, height, False) and abs(film["seconds"] - 5) < 0.6


@pytest.mark.parametrize("fields, video", [
    (dict(first_frame=FRAME), {"start_frame": reference(FRAME)}),
    (dict(last_frame=END), {"end_frame": reference(END)}),
    (dict(first_frame=FRAME, last_frame=END), {"start_frame": reference(FRAME), "end_frame": reference(END)}),
    (dict(first_frame=FRAME, seconds=10), {"keyframes": [reference(FRAME)], "keyframe_indexes": [0]}),
    (dict(first_frame=FRAME, last_frame=END, seconds=10), {"keyframes": [reference(FRAME), reference(END)], "keyframe_indexes": [0, 240]}),
    (dict(seconds=10), {}),
    (dict(extra='{"loop": true, "type": "image", "user_id": "u1"}'), {"loop": True}),
], ids=lambda one: None)
def test_frames_and_lengths(worker, sim, fields, video):
    film, seconds = worker.make_video(**fields), fields.get("seconds", 5)
    sent = sim.last("submit").json()
    assert sent["video"] == {"resolution": "720p", "duration": f"{seconds}s", **video}
    assert abs(film["seconds"] - seconds) < 0.6
    assert sent.get("user_id") == ("u1" if "extra" in fields else None)


@pytest.mark.parametrize("fields, words", [
    (dict(seconds=8), "5 or 10"),
    (dict(width=1080, height=720), "size"),
    (dict(width=3840, height=2160), "size"),
    (dict(reference_images=[FRAME]), "references"),
    (dict(reference_videos=["https://media.example/a.mp4"]), "references"),
    (dict(source=upstream.pb.SourceVideo(operation=1, video=FRAME)), "source video"),
])
def test_what_ray_cannot_make_is_refused_here(worker, sim, fields, words):
    error = worker.refused(**fields)
    assert NAMES[getattr(error, "class")] == "INVALID_REQUEST" and words in error.public_message and error.fallback_ok
    assert sim.count("submit") == 0


@pytest.mark.parametrize("outcome, name", [
    ("moderation_in_job", "CONTENT_FILTERED"), ("failed", "UPSTREAM_INTERNAL"), ("budget", "BILLING"), ("output_lost", "UPSTREAM_INTERNAL"),
    ("picture_too_large", "INVALID_REQUEST"), ("picture_unsupported", "INVALID_REQUEST"), ("picture_corrupt", "INVALID_REQUEST"),
    ("refused_in_job", "INVALID_REQUEST"),
])
def test_failed_generations(worker, sim, outcome, name):
    sim.script(outcome=outcome)
    error = worker.poll_until_end(worker.accept()).error
    assert (NAMES[getattr(error, "class")], error.retryable, error.charged) == (name, False, False)
    assert (error.upstream_code, error.upstream_message) == luma.FAILURES[outcome]


@pytest.mark.parametrize("script, name, retryable", [
    (dict(outcome="moderation_at_submit"), "CONTENT_FILTERED", False),
    (dict(outcome="model_gone"), "MODEL_GONE", False),
    (dict(fault="status", kind="submit", status=413), "INVALID_REQUEST", False),
    (dict(fault="status", kind="submit", status=429, code="concurrent"), "CONCURRENCY_FULL", True),
])
def test_refusals(worker, sim, script, name, retryable):
    sim.script(**script)
    error = worker.refused()
    assert (NAMES[getattr(error, "class")], error.retryable, error.maybe_submitted) == (name, retryable, False) and sim.submits == 0
    worker.restart()


def test_a_rule_of_lumas_is_told(worker, sim):
    error = worker.refused(prompt="word " * 1500)
    assert NAMES[getattr(error, "class")] == "INVALID_REQUEST" and "6000" in error.public_message
    assert dict(sim.broken) == {"create.prompt.length": 1}
    sim.broken.clear()


def test_nothing_in_a_finished_generation_is_no_end(worker, sim):
    sim.script(outcome="empty_result")
    accepted = worker.accept()
    assert [worker.poll(accepted) for _ in range(4)][-1].error.retryable


def test_links_of_an_hour_are_renewed(worker, sim):
    finished = worker.finish(worker.accept())
    polls = sim.count("poll")
    sim.clock.advance(3700)
    assert worker.fetch(finished) and sim.count("poll") == polls + 1 and dict(sim.broken) == {"link.age": 1}
    sim.broken.clear()


def test_cancel_is_not_offered(worker, sim):
    accepted = worker.accept()
    assert worker.cancel(accepted) == "UNSUPPORTED" and worker.finish(accepted)


def test_what_the_catalog_offers(worker, sim):
    assert check_offers(worker, sim) == sim.submits


def test_the_key_that_made_a_generation_follows_it(worker, sim):
    worker.restart()
    jobs = [worker.accept() for _ in range(2)]
    assert {job.key for job in sim.history} == set(sim.keys)
    assert all(worker.finish(job) for job in jobs)


# The file is on another host, which stays up.
@pytest.mark.parametrize("case", upstream.generic_faults(fetch_refused={"whole": True}), ids=str)
def test_generic_fault(worker, sim, case):
    upstream.check_generic_faults(worker, sim, case)
    sim.broken.clear()
