# SPDX-License-Identifier: Apache-2.0
"""The adapter of xAI's Grok Imagine against its simulator."""
import pytest
import upstream
from offered import check_offers
from simulators import xai
from upstream import class_of, data_url, picture

MODEL = "grok-imagine-video"


@pytest.fixture(scope="module")
def sim():
    with xai.Simulator() as one:
        yield one


@pytest.fixture(scope="module")
def worker(sim):
    with upstream.Worker("xai", sim, model=MODEL, width=1280, height=720, seconds=6, audio=True) as one:
        yield one


@pytest.fixture(autouse=True)
def afresh(sim):
    sim.reset()
    sim.without_status = False


def sent(sim):
    """The body of the last Submit; every rule of the simulator held."""
    assert sim.broken == {}
    return sim.last("submit").json()


def test_describe(worker):
    told = worker.describe()
    assert (told.provider, told.supports_cancel, told.supports_lookup, told.supports_events) == ("xai", False, False, False)


@pytest.mark.parametrize("width,height,ratio,resolution,made", [
    (1280, 720, "16:9", "720p", (1280, 720)), (848, 480, "16:9", "480p", (854, 480)), (480, 854, "9:16", "480p", (480, 854)),
    (720, 720, "1:1", "720p", (720, 720)), (720, 480, "3:2", "480p", (720, 480))])
def test_text(worker, sim, width, height, ratio, resolution, made):
    film = worker.make_video(width=width, height=height)
    assert sent(sim) == {"model": MODEL, "prompt": worker.asked.prompt, "duration": 6, "aspect_ratio": ratio, "resolution": resolution}
    assert (film["width"], film["height"], film["audio"]) == (*made, True) and abs(film["seconds"] - 6) < 0.2


def test_first_frame(worker, sim):
    first = picture(1280, 720)
    worker.make_video(model="grok-imagine-video-1.5", first_frame=first)
    assert sent(sim)["image"] == {"url": data_url(first)}


def test_references(worker, sim):
    pictures = [picture(640, 480), picture(480, 640, "jpeg")]
    worker.make_video(reference_images=pictures)
    assert sent(sim)["reference_images"] == [{"url": data_url(one)} for one in pictures]


def test_further_parameters(worker, sim):
    worker.make_video(extra='{"user": "u-1", "model": "x"}')
    assert (sent(sim)["user"], sent(sim)["model"]) == ("u-1", MODEL)


def test_progress_is_theirs(worker, sim):
    accepted = worker.accept(prompt="a boat [sim:polls=6]")
    told = [answer.running.progress for answer in worker.polls(accepted) if answer.HasField("running")]
    assert told == sorted(told) and told[-1] > 50


def test_done_without_the_word(worker, sim):
    sim.without_status = True
    assert worker.make_video()


@pytest.mark.parametrize("fields", [
    {"last_frame": picture(64, 64)}, {"first_frame": picture(64, 64), "reference_images": [picture(64, 64)]},
    {"reference_images": [picture(64, 64)] * 8}, {"reference_images": [picture(64, 64)], "seconds": 12}, {"seconds": 16},
    {"reference_videos": ["https://media.example/a.mp4"]}, {"width": 3840, "height": 2160}, {"width": 1680, "height": 720},
    {"source": upstream.pb.SourceVideo(operation="SOURCE_OPERATION_EDIT", video=picture(64, 64))}], ids=range(9))
def test_refused_here(worker, sim, fields):
    error = worker.refused(**fields)
    assert class_of(error) == "INVALID_REQUEST" and error.public_message.endswith(".")
    assert not error.maybe_submitted and error.fallback_ok and sim.count("submit") == 0


@pytest.mark.parametrize("outcome,kind", [("moderation_at_submit", "CONTENT_FILTERED"), ("model_gone", "MODEL_GONE"), ("bad_key", "AUTH"),
                                          ("no_credits", "BILLING")])
def test_refused_there(worker, sim, outcome, kind):
    sim.script(outcome=outcome)
    error = worker.refused()
    assert (class_of(error), error.retryable, error.maybe_submitted, error.charged) == (kind, False, False, False)
    if kind in upstream.RESTING:
        worker.restart()


@pytest.mark.parametrize("outcome,status,charged", [("moderation_in_job", 400, True), ("moderation_old", 400, True),
                                                    ("moderation_free", 400, False), ("moderation_flag", 200, True)])
def test_moderation_of_a_finished_video(worker, sim, outcome, status, charged):
    sim.script(outcome=outcome)
    error = worker.poll_until_end(worker.accept()).error
    assert (class_of(error), error.retryable, error.fallback_ok, error.charged) == ("CONTENT_FILTERED", False, False, charged)
    assert error.http_status == status and "content moderation" in error.public_message


def test_other_ends(worker, sim):
    sim.script(outcome="failed")
    error = worker.poll_until_end(worker.accept()).error
    assert (class_of(error), error.retryable, error.upstream_code) == ("UPSTREAM_INTERNAL", False, "internal_error")
    sim.script(outcome="expired")
    assert worker.poll_until_end(worker.accept()).HasField("expired")
    sim.script(outcome="empty_result")
    answers = [answer for answer, _ in zip(worker.polls(worker.accept()), range(5))]
    assert all(one.HasField("running") or one.error.retryable for one in answers) and answers[-1].error.upstream_code == "malformed"


def test_links_grow_old(worker, sim):
    done = worker.finish(worker.accept())
    sim.clock.advance(7200)
    assert worker.fetch(done), "the poll gives a new link"


def test_a_lost_submission_stays_unknown(worker, sim):
    sim.script(fault="reset_after", kind="submit")
    assert worker.refused().maybe_submitted and worker.lookup()[0] == "UNSUPPORTED" and sim.submits == 1


def test_what_the_catalog_offers(worker, sim):
    assert check_offers(worker, sim) == sim.submits


@pytest.mark.parametrize("case", upstream.generic_faults(without={"poll-other_id": "an answer names no id"}, fetch_refused={"whole": True}),
                         ids=str)
def test_generic_fault(worker, sim, case):
    upstream.check_generic_faults(worker, sim, case)
