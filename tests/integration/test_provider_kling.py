# SPDX-License-Identifier: Apache-2.0
"""The adapter of Kling, by its maker's API, against its simulator."""
import base64

import pytest
import upstream
from offered import check_offers
from simulators import kling
from upstream import picture

OMNI, TURBO, OLD = {"model": "kling-3.0-omni"}, {"model": "kling-3.0-turbo"}, {"model": "kling-v2-6"}
FIRST, LAST = picture(1280, 720), picture(1280, 720, "jpeg")


@pytest.fixture(scope="module")
def sim():
    with kling.Simulator() as one:
        yield one


@pytest.fixture(scope="module")
def worker(sim):
    with upstream.Worker("kling", sim, model="kling-3.0", width=1280, height=720, seconds=5, audio=True) as one:
        yield one


@pytest.fixture(autouse=True)
def afresh(sim):
    sim.reset()
    sim.in_body = False


def sent(sim):
    """(path, body) of the last Submit; every rule of the simulator held."""
    assert sim.broken == {}
    return sim.last("submit").path, sim.last("submit").json()


def bare(blob):
    return base64.b64encode(blob.data).decode()


def kind_of(error):
    return upstream.NAMES[getattr(error, "class")]


def options(worker):
    return {"external_task_id": worker.asked.token, "watermark_info": {"enabled": False}}


def test_describe(worker):
    told = worker.describe()
    assert (told.provider, told.supports_cancel, told.supports_lookup, told.supports_events) == ("kling", False, True, True)


def test_text(worker, sim):
    film = worker.make_video()
    assert sent(sim) == ("/text-to-video/kling-3.0", {
        "prompt": worker.asked.prompt, "options": options(worker),
        "settings": {"resolution": "720p", "aspect_ratio": "16:9", "duration": 5, "audio": "native"}})
    assert (film["width"], film["height"], film["audio"]) == (1280, 720, True) and 4.9 < film["seconds"] < 5.2
    assert worker.info.mime_type == "video/mp4" and worker.info.bytes == len(worker.film)


@pytest.mark.parametrize("size,told", [((720, 1280), ("9:16", "720p")), ((1920, 1080), ("16:9", "1080p")), ((1080, 1920), ("9:16", "1080p")),
                                       ((3840, 2160), ("16:9", "4k")), ((2160, 3840), ("9:16", "4k")), ((960, 960), ("1:1", "1080p"))], ids=str)
def test_sizes(worker, sim, size, told):
    film = worker.make_video(width=size[0], height=size[1], seconds=3, audio=False)
    settings = sent(sim)[1]["settings"]
    assert (settings["aspect_ratio"], settings["resolution"], settings["audio"], settings["duration"]) == (*told, "off", 3)
    assert not film["audio"] and (size == (960, 960) or (film["width"], film["height"]) == size)


@pytest.mark.parametrize("last", [None, LAST], ids=["first", "both"])
def test_frames(worker, sim, last):
    film = worker.make_video(first_frame=FIRST, last_frame=last)
    path, body = sent(sim)
    assert path == "/image-to-video/kling-3.0" and body["settings"] == {"resolution": "720p", "duration": 5, "audio": "native"}
    assert body["contents"] == [{"type": "prompt", "text": worker.asked.prompt}, {"type": "first_frame", "url": bare(FIRST)},
                                *([{"type": "last_frame", "url": bare(LAST)}] if last else [])]
    assert (film["width"], film["height"]) == (1280, 720)


def test_turbo(worker, sim):
    assert worker.make_video(**TURBO)["audio"]
    assert sent(sim)[1]["settings"] == {"resolution": "720p", "aspect_ratio": "16:9", "duration": 5}
    worker.make_video(**TURBO, first_frame=FIRST)
    assert sent(sim)[0] == "/image-to-video/kling-3.0-turbo"


def test_references(worker, sim):
    blobs = [picture(640, 480), picture(480, 640, "jpeg")]
    worker.make_video(**OMNI, reference_images=blobs, reference_videos=["https://media.example/a.mp4"])
    path, body = sent(sim)
    assert path == "/omni-video/kling-3.0-omni" and body["settings"]["aspect_ratio"] == "16:9"
    assert body["contents"][1:] == [*({"type": "refer_image", "url": bare(blob), "id": f"image_{i + 1}"} for i, blob in enumerate(blobs)),
                                    {"type": "feature_video", "url": "https://media.example/a.mp4"}]


def test_further_parameters_and_webhook(worker, sim):
    worker.accept(event_url="https://videos.example/v1/events/x", extra='{"multi_shot": true, "duration": 15}')
    body = sent(sim)[1]
    assert body["options"]["callback_url"] == "https://videos.example/v1/events/x"
    assert (body["settings"]["multi_shot"], body["settings"]["duration"]) == (True, 5)


def test_what_the_catalog_offers(worker, sim):
    assert check_offers(worker, sim) > 20


@pytest.mark.parametrize("fields", [
    {"width": 854, "height": 480}, {"width": 1680, "height": 720}, {"seconds": 2}, {"seconds": 16}, {"last_frame": LAST},
    {"reference_images": [FIRST]}, {"reference_audios": ["https://media.example/a.mp3"]}, {"source": upstream.pb.SourceVideo(video=FIRST)},
    {**OMNI, "reference_images": [picture(8, 8)] * 8}, {**OMNI, "reference_videos": ["https://media.example/a.mp4"] * 2},
    {**TURBO, "audio": False}, {**TURBO, "width": 3840, "height": 2160}, {**TURBO, "first_frame": FIRST, "last_frame": LAST},
    {**OLD, "seconds": 4}, {**OLD, "width": 3840, "height": 2160}, {**OLD, "last_frame": LAST}, {**OLD, "reference_images": [FIRST]},
    {"model": "kling-v1-6", "audio": True}], ids=lambda fields: "-".join(fields))
def test_refused_here(worker, sim, fields):
    error = worker.refused(**fields)
    assert kind_of(error) == "INVALID_REQUEST" and error.public_message.endswith(".") and not error.maybe_submitted and error.fallback_ok
    assert sim.count("submit") == 0


@pytest.mark.parametrize("in_body", [True, False], ids=["code", "status"])
@pytest.mark.parametrize("outcome,kind,retryable,fallback", [
    ("moderation_at_submit", "CONTENT_FILTERED", False, False), ("policy", "CONTENT_FILTERED", False, False),
    ("queue_full", "CONCURRENCY_FULL", True, True), ("rate", "RATE_LIMITED", True, True), ("depleted", "BILLING", False, True),
    ("arrears", "BILLING", False, True), ("stranger", "AUTH", False, True), ("no_right", "BILLING", False, True),
    ("model_gone", "MODEL_GONE", False, True), ("maintenance", "OVERLOADED", True, True)])
def test_refused_there(worker, sim, outcome, kind, retryable, fallback, in_body):
    sim.in_body = in_body
    sim.script(outcome=outcome)
    error = worker.refused()
    assert (kind_of(error), error.retryable, error.fallback_ok, error.maybe_submitted, error.charged) == (kind, retryable, fallback, False, False)
    assert (error.upstream_code, error.upstream_message) == (str(kling.REFUSALS[outcome][1]), kling.REFUSALS[outcome][2])
    if kind in upstream.RESTING:
        worker.restart()


@pytest.mark.parametrize("fields", [{}, OLD], ids=["3.0", "old"])
@pytest.mark.parametrize("outcome,kind,fallback", [("moderation_in_job", "CONTENT_FILTERED", False), ("failed", "UPSTREAM_INTERNAL", True)])
def test_failed_jobs(worker, sim, outcome, kind, fallback, fields):
    sim.script(outcome=outcome)
    error = worker.poll_until_end(worker.accept(**fields)).error
    assert (kind_of(error), error.retryable, error.fallback_ok, error.charged) == (kind, False, fallback, False)
    assert error.upstream_message == kling.FAILURES[outcome]


@pytest.mark.parametrize("fields", [{}, OLD], ids=["3.0", "old"])
def test_no_address(worker, sim, fields):
    sim.script(outcome="empty_result")
    answers = [answer for answer, _ in zip(worker.polls(worker.accept(**fields)), range(4))]
    assert all(one.HasField("running") or one.error.retryable for one in answers) and answers[-1].error.upstream_code == "malformed"


def test_forgotten(worker, sim):
    accepted = worker.accept()
    sim.jobs.clear()
    error = worker.poll(accepted).error
    assert error.retryable and not error.fallback_ok


@pytest.mark.parametrize("fields", [{}, OLD], ids=["3.0", "old"])
def test_links_grow_old(worker, sim, fields):
    done = worker.finish(worker.accept(**fields))
    sim.clock.advance(31 * 86400)
    assert worker.fetch(done), "the poll gives a new link"


# --- keys ---

def test_signed_tokens(sim):
    with upstream.Worker("kling", sim, keys=[sim.keys[1]], model="kling-3.0", width=1280, height=720, seconds=5, audio=True) as one:
        one.make_video()
        assert sim.count("submit", sim.keys[1]) == 1 and sim.count("poll", sim.keys[1]) == 3 and sim.broken == {}
        assert "SKsimsecret" not in str(sim.last("submit").headers)
        one.keys_file.write_text("AKsimaccess:another-secret\n")
        one.restart()
        error = one.refused()
        assert (kind_of(error), error.upstream_code) == ("AUTH", "1002") and sim.broken == {"token.signature": 1}


# --- lost submissions: our token is the task's external id ---

@pytest.mark.parametrize("fields", [{}, OMNI, OLD, {**OLD, "first_frame": FIRST}], ids=["text", "omni", "old-text", "old-picture"])
def test_lookup_is_certain(worker, sim, fields):
    worker.accept(**fields)
    sim.script(fault="reset_after", kind="submit")
    assert worker.refused(**fields).maybe_submitted
    mine, asked = sim.history[-1].id, worker.asked
    worker.accept(**fields)
    outcome, found = worker.lookup(request=asked)
    assert (outcome, found.upstream_id) == ("FOUND", mine) and worker.fetch(worker.finish(found))
    sim.script(fault="reset", kind="submit")
    assert worker.refused(**fields).maybe_submitted
    assert worker.lookup()[0] == "RETRY", "it may still be on its way"
    assert worker.lookup(age_ms=61000)[0] == "ABSENT"
    assert worker.lookup(age_ms=61000, open_ms=61000)[0] == "RETRY", "sent again since: that request may be under way"
    assert sim.submits == 3 and sim.broken == {}


@pytest.mark.parametrize("fields", [{}, OLD], ids=["3.0", "old"])
@pytest.mark.parametrize("fault", [{"fault": "html", "status": 404}, {"fault": "truncated"}, {"fault": "status", "status": 500},
                                   {"fault": "status", "status": 404, "code": 1202}], ids=["page", "truncated", "500", "404"])
def test_lookup_never_denies_what_may_be_there(worker, sim, fields, fault):
    sim.script(fault="reset_after", kind="submit")
    assert worker.refused(**fields).maybe_submitted
    sim.script(kind="poll" if fields else "lookup", times=None, **fault)
    assert worker.lookup(age_ms=61000)[0] == "RETRY"


# --- the older API ---

@pytest.mark.parametrize("fields", [{}, {"first_frame": FIRST, "last_frame": LAST}], ids=["text", "frames"])
def test_old(worker, sim, fields):
    film = worker.make_video(**OLD, **fields, width=1920, height=1080, event_url="https://videos.example/e", extra='{"cfg_scale": 0.5}')
    path, body = sent(sim)
    shape = {"image": bare(FIRST), "image_tail": bare(LAST)} if fields else {"aspect_ratio": "16:9"}
    assert path == ("/v1/videos/image2video" if fields else "/v1/videos/text2video")
    assert body == {"model_name": "kling-v2-6", "prompt": worker.asked.prompt, "mode": "pro", "duration": "5", "sound": "on",
                    "external_task_id": worker.asked.token, "callback_url": "https://videos.example/e", "cfg_scale": 0.5, **shape}
    assert (film["width"], film["height"], film["audio"]) == (1920, 1080, True)


def test_old_and_silent(worker, sim):
    assert not worker.make_video(model="kling-v1-6", audio=False)["audio"]
    assert "sound" not in sent(sim)[1] and sent(sim)[1]["mode"] == "std"


def test_old_other_id(worker, sim):
    sim.script(fault="other_id", kind="poll")
    answers = list(worker.polls(worker.accept(**OLD)))
    assert answers[0].error.upstream_code == "malformed" and answers[-1].HasField("finished")


@pytest.mark.parametrize("case", upstream.generic_faults(fetch_refused={"whole": True}), ids=str)
def test_generic_fault(worker, sim, case):
    upstream.check_generic_faults(worker, sim, case)
