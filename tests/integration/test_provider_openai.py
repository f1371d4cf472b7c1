# SPDX-License-Identifier: Apache-2.0
"""The openai adapter against OpenAI's simulator."""
import pytest
import upstream
from simulators import openai


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
