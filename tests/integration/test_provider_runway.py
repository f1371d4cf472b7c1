# SPDX-License-Identifier: Apache-2.0
"""The adapter of Runway against its simulator."""
import base64

import pytest
import upstream
from offered import check_offers
from simulators import runway
from upstream import NAMES, picture

FRAME = picture(1280, 720)


@pytest.fixture(scope="module")
def sim():
    with runway.Simulator() as one:
        yield one


@pytest.fixture(scope="module")
def worker(sim):
    with upstream.Worker("runway", sim, model="gen4.5", width=1280, height=720, seconds=5) as one:
        yield one


@pytest.fixture(autouse=True)
def fresh(sim):
    sim.reset()
    yield
    assert not sim.broken


def data_url(blob):
    return f"data:{blob.mime_type};base64,{base64.b64encode(blob.data).decode()}"


# --- what is asked for, and what comes out ---

ASKED = [  # fields, endpoint, body beside promptText, pictures
    (dict(), "text", {"model": "gen4.5", "ratio": "1280:720", "duration": 5}, []),
    (dict(width=720, height=1280, seconds=10), "text", {"model": "gen4.5", "ratio": "720:1280", "duration": 10}, []),
    (dict(model="veo3.1", width=1920, height=1080, seconds=8, audio=True), "text",
     {"model": "veo3.1", "ratio": "1920:1080", "duration": 8, "audio": True}, []),
    (dict(model="veo3.1_fast", width=1080, height=1920, seconds=4, audio=False), "text",
     {"model": "veo3.1_fast", "ratio": "1080:1920", "duration": 4, "audio": False}, []),
    (dict(model="gen4_turbo", width=960, height=960, seconds=2, first_frame=FRAME), "image",
     {"model": "gen4_turbo", "ratio": "960:960", "duration": 2}, ["first"]),
    (dict(width=1584, height=672, first_frame=picture(640, 480, "jpeg")), "image", {"model": "gen4.5", "ratio": "1584:672", "duration": 5}, ["first"]),
    (dict(model="veo3.1", seconds=6, audio=True, first_frame=FRAME, last_frame=picture(720, 720)), "image",
     {"model": "veo3.1", "ratio": "1280:720", "duration": 6, "audio": True}, ["first", "last"]),
    (dict(model="seedance2", width=864, height=496, seconds=15, audio=True, reference_images=[FRAME, picture(64, 64)],
          reference_audios=["https://media.example/a.mp3"]), "image",
     {"model": "seedance2", "ratio": "864:496", "duration": 15, "audio": True,
      "referenceAudio": [{"type": "audio", "uri": "https://media.example/a.mp3"}]}, [None, None]),
    (dict(extra='{"seed": 7, "contentModeration": {"publicFigureThreshold": "low"}, "ratio": "1:1"}'), "text",
     {"model": "gen4.5", "ratio": "1280:720", "duration": 5, "seed": 7, "contentModeration": {"publicFigureThreshold": "low"}}, []),
]


@pytest.mark.parametrize("fields, endpoint, body, places", ASKED, ids=lambda one: None)
def test_asked(worker, sim, fields, endpoint, body, places):
    film = worker.make_video(**fields)
    sent = sim.last("submit")
    told = sent.json()
    pictures = told.pop("promptImage", [])
    assert sent.path == f"/v1/{endpoint}_to_video" and sent.header("x-runway-version") == "2024-11-06"
    assert told == {**body, "promptText": worker.asked.prompt}
    given = [worker.asked.first_frame, worker.asked.last_frame] if "first" in places else list(worker.asked.reference_images)
    assert [p.get("position") for p in pictures] == places
    assert [p["uri"] for p in pictures] == [data_url(one) for one in given if one.data]
    wide, high = map(int, body["ratio"].split(":"))
    assert (film["width"], film["height"]) == (wide, high) and abs(film["seconds"] - body["duration"]) < 0.6
    assert film["audio"] == body.get("audio", False)


def test_large_pictures_are_uploaded_first(worker, sim):
    large = picture(1280, 720)
    large.data += bytes(4_000_000)
    film = worker.make_video(model="veo3.1", seconds=4, first_frame=large, last_frame=FRAME)
    uris = [p["uri"] for p in sim.last("submit").json()["promptImage"]]
    (upload,) = sim.uploads.values()
    assert film["width"] == 1280 and uris[0].startswith("runway://") and uris[1] == data_url(FRAME)
    assert upload["data"] == large.data and upload["name"] == "picture.png"


@pytest.mark.parametrize("fault, after", [({"fault": "status", "status": 500}, 0), ({"fault": "reset"}, 1), ({"fault": "status", "status": 403}, 1),
                                          ({"fault": "empty"}, 0)])
def test_failed_uploads_make_nothing(worker, sim, fault, after):
    large = picture(64, 64)
    large.data += bytes(4_000_000)
    sim.script(kind="upload", after=after, **fault)
    error = worker.refused(model="veo3.1", seconds=4, first_frame=large)
    assert error.retryable and not error.maybe_submitted and sim.count("submit") == 0


@pytest.mark.parametrize("fields, words", [
    (dict(model="gen4_turbo"), "first frame"),
    (dict(first_frame=FRAME, last_frame=FRAME), "last frame"),
    (dict(model="veo3.1", seconds=4, last_frame=FRAME), "first frame"),
    (dict(reference_images=[FRAME]), "references"),
    (dict(model="seedance2", first_frame=FRAME, reference_images=[FRAME]), "mixed"),
    (dict(model="seedance2", reference_audios=["https://media.example/a.mp3"]), "picture"),
    (dict(model="seedance2", reference_videos=["https://media.example/a.mp4"]), "reference videos"),
    (dict(source=upstream.pb.SourceVideo(operation=1, video=FRAME)), "source video"),
])
def test_what_a_model_cannot_make_is_refused_here(worker, sim, fields, words):
    error = worker.refused(**fields)
    assert NAMES[getattr(error, "class")] == "INVALID_REQUEST" and words in error.public_message and error.fallback_ok
    assert sim.count("submit") == 0 and sim.count("upload") == 0


def test_a_rule_of_runways_is_told(worker, sim):
    error = worker.refused(width=1282, height=720)
    assert NAMES[getattr(error, "class")] == "INVALID_REQUEST" and error.upstream_code == "invalid_enum_value" and not error.retryable
    assert dict(sim.broken) == {"text.gen4.5.ratio.enum": 1}
    sim.broken.clear()


# --- states and ends ---

def test_progress_never_goes_back_and_throttled_tasks_wait(worker, sim):
    sim.slots, sim.run_polls = 1, 3
    try:
        first, *_, last = [worker.accept() for _ in range(3)]  # there are two keys
        shown = [answer.running.progress for answer in worker.polls(first) if answer.HasField("running")]
        assert shown == sorted(shown) and shown[-1] >= 50
        assert sim.history[-1].fields["throttled"] and worker.finish(last)
    finally:
        sim.slots, sim.run_polls = None, 1


@pytest.mark.parametrize("outcome, name, charged", [
    ("moderation_in_job", "CONTENT_FILTERED", True),
    ("moderation_of_text", "CONTENT_FILTERED", True),
    ("moderation_elsewhere", "CONTENT_FILTERED", False),
    ("moderation_of_output", "CONTENT_FILTERED", False),
    ("failed", "UPSTREAM_INTERNAL", False),
    ("bad_asset", "INVALID_REQUEST", False),
    ("refused_elsewhere", "INVALID_REQUEST", False),
    ("unavailable_elsewhere", "OVERLOADED", False),
])
def test_failed_tasks(worker, sim, outcome, name, charged):
    sim.script(outcome=outcome)
    error = worker.poll_until_end(worker.accept()).error
    assert (NAMES[getattr(error, "class")], error.charged, error.retryable) == (name, charged, False)
    assert (error.upstream_code, error.upstream_message) == runway.FAILURES[outcome]


def test_a_retired_model(worker, sim):
    sim.script(outcome="model_gone")
    error = worker.refused()
    assert NAMES[getattr(error, "class")] == "MODEL_GONE" and error.fallback_ok and not error.retryable


@pytest.mark.parametrize("code, status, name, retryable", [("credits", 400, "BILLING", False), ("daily", 429, "RATE_LIMITED", False)])
def test_limits_of_the_account(worker, sim, code, status, name, retryable):
    sim.script(fault="status", kind="submit", status=status, code=code)
    error = worker.refused()
    assert NAMES[getattr(error, "class")] == name and error.retryable == retryable and error.fallback_ok
    worker.restart()


def test_nothing_in_a_finished_task_is_no_end(worker, sim):
    sim.script(outcome="empty_result")
    accepted = worker.accept()
    answers = [worker.poll(accepted) for _ in range(4)]
    assert answers[-1].error.retryable and NAMES[getattr(answers[-1].error, "class")] == "UPSTREAM_INTERNAL"


def test_old_links_are_renewed(worker, sim):
    finished = worker.finish(worker.accept())
    polls = sim.count("poll")
    sim.clock.advance(25 * 3600)
    assert worker.fetch(finished) and sim.count("poll") == polls + 1 and dict(sim.broken) == {"link.age": 1}
    sim.broken.clear()


# --- cancel ---

def test_cancel(worker, sim):
    accepted = worker.accept()
    assert worker.cancel(accepted) == "CANCELED" and sim.history[0].canceled
    assert worker.poll_until_end(accepted).HasField("canceled")
    assert worker.cancel(accepted) == "CANCELED" and sim.count("cancel") == 1


@pytest.mark.parametrize("spelling", ["CANCELLED", "CANCELED"])
def test_canceled_there(worker, sim, spelling):
    accepted = worker.accept()
    sim.history[0].canceled, sim.spelling = True, spelling
    assert worker.poll_until_end(accepted).HasField("canceled")


def test_cancel_never_deletes_a_finished_task(worker, sim):
    accepted = worker.accept()
    finished = worker.finish(accepted)
    assert worker.cancel(accepted) == "TOO_LATE" and sim.count("cancel") == 0 and worker.fetch(finished)
    sim.jobs.clear()
    assert worker.cancel(accepted) == "NOT_FOUND"


# --- the catalog, keys, and the faults of all ---

def test_what_the_catalog_offers(worker, sim):
    assert check_offers(worker, sim) == sim.submits


def test_the_key_that_made_a_task_follows_it(worker, sim):
    worker.restart()
    jobs = [worker.accept() for _ in range(2)]
    assert {job.key for job in sim.history} == set(sim.keys)
    assert all(worker.finish(job) for job in jobs)


# The file is on another host, which stays up.
@pytest.mark.parametrize("case", upstream.generic_faults(fetch_refused={"whole": True}), ids=str)
def test_generic_fault(worker, sim, case):
    upstream.check_generic_faults(worker, sim, case)
    sim.broken.clear()
