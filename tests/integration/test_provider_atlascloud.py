# SPDX-License-Identifier: Apache-2.0
"""The adapter of AtlasCloud (Kling) against its simulator."""
import pytest
import upstream
from offered import check_offers
from simulators import atlascloud
from upstream import picture

FAMILY = "kwaivgi/kling-v3.0-"
PRO, UHD, TURBO = ({"model": FAMILY + tier} for tier in ("pro", "4k", "turbo"))
FIRST, LAST = picture(1280, 720), picture(1280, 720, "jpeg")


@pytest.fixture(scope="module")
def sim():
    with atlascloud.Simulator() as one:
        yield one


@pytest.fixture(scope="module")
def worker(sim):
    with upstream.Worker("atlascloud", sim, model=FAMILY + "std", width=1280, height=720, seconds=5, audio=True) as one:
        yield one


@pytest.fixture(autouse=True)
def afresh(sim):
    sim.reset()
    sim.in_body = False


def sent(sim):
    """The body of the last Submit; every rule of the simulator held."""
    assert sim.broken == {}
    return sim.last("submit").json()


def kind_of(error):
    return upstream.NAMES[getattr(error, "class")]


def test_describe(worker):
    told = worker.describe()
    assert (told.provider, told.supports_cancel, told.supports_lookup, told.supports_events, told.max_submit_ms) == \
        ("atlascloud", False, False, True, 180000)


@pytest.mark.parametrize("word", ["completed", "succeeded"])
def test_text(worker, sim, word):
    sim.word = word
    film = worker.make_video()
    assert sent(sim) == {"model": FAMILY + "std/text-to-video", "prompt": worker.asked.prompt, "duration": 5, "aspect_ratio": "16:9", "sound": True}
    assert (film["width"], film["height"], film["audio"]) == (1280, 720, True) and 4.9 < film["seconds"] < 5.2
    assert worker.info.mime_type == "video/mp4" and worker.info.bytes == len(worker.film) and sim.count("upload") == 0


@pytest.mark.parametrize("fields,size,more", [
    ({}, (720, 1280), {"sound": False}), (PRO, (1920, 1080), {"sound": False}), (PRO, (1080, 1920), {"sound": False}),
    (UHD, (3840, 2160), {"sound": False}), (UHD, (2160, 3840), {"sound": False}), (TURBO, (1280, 720), {"resolution": "720p"}),
    (TURBO, (1080, 1920), {"resolution": "1080p"})], ids=str)
def test_sizes(worker, sim, fields, size, more):
    sound = "resolution" in more
    film = worker.make_video(**fields, width=size[0], height=size[1], seconds=10, audio=sound)
    body = sent(sim)
    assert {name: body[name] for name in body if name not in ("model", "prompt")} == \
        {"duration": 10, "aspect_ratio": "16:9" if size[0] > size[1] else "9:16", **more}
    assert (film["width"], film["height"], film["audio"]) == (*size, sound) and 9.9 < film["seconds"] < 10.2


@pytest.mark.parametrize("tier", ["std", "turbo"])
@pytest.mark.parametrize("last", [None, LAST], ids=["first", "both"])
def test_frames(worker, sim, last, tier):
    worker.make_video(model=FAMILY + tier, first_frame=FIRST, last_frame=last)
    body = sent(sim)
    assert body["model"] == f"{FAMILY}{tier}/image-to-video" and sim.uploads[body["image"]] == FIRST.data
    assert ("end_image" in body) == bool(last) and (not last or sim.uploads[body["end_image"]] == LAST.data)
    assert sim.count("upload") == (2 if last else 1) and sim.last("upload").key == sim.last("submit").key


def test_further_parameters_and_webhook(worker, sim):
    worker.accept(extra='{"negative_prompt": "rain", "cfg_scale": 0.5, "duration": 3}', event_url="https://videos.example/v1/events/x")
    body = sent(sim)
    assert (body["negative_prompt"], body["cfg_scale"], body["duration"], body["webhook_url"]) == \
        ("rain", 0.5, 5, "https://videos.example/v1/events/x")


def test_what_the_catalog_offers(worker, sim):
    assert check_offers(worker, sim) > 20


@pytest.mark.parametrize("fields", [
    {"width": 1920, "height": 1080}, {"width": 854, "height": 480}, {**PRO}, {**TURBO, "width": 3840, "height": 2160},
    {**TURBO, "audio": False}, {"seconds": 2}, {"seconds": 16}, {"last_frame": LAST}, {"reference_images": [FIRST]},
    {"reference_videos": ["https://media.example/a.mp4"]}, {"reference_audios": ["https://media.example/a.mp3"]},
    {"source": upstream.pb.SourceVideo(video=FIRST)}, {"model": "kwaivgi/kling-v9"}], ids=lambda fields: "-".join(fields))
def test_refused_here(worker, sim, fields):
    error = worker.refused(**fields)
    assert kind_of(error) == "INVALID_REQUEST" and error.public_message.endswith(".") and not error.maybe_submitted and error.fallback_ok
    assert sim.count("submit") == sim.count("upload") == 0


@pytest.mark.parametrize("in_body", [True, False], ids=["code", "status"])
@pytest.mark.parametrize("outcome,kind,fallback", [
    ("moderation_at_submit", "CONTENT_FILTERED", False), ("real_person", "CONTENT_FILTERED", False), ("model_gone", "MODEL_GONE", True),
    ("no_balance", "BILLING", True), ("region", "BILLING", True)])
def test_refused_there(worker, sim, outcome, kind, fallback, in_body):
    sim.in_body = in_body
    sim.script(outcome=outcome)
    error = worker.refused()
    assert (kind_of(error), error.retryable, error.fallback_ok, error.maybe_submitted, error.charged) == (kind, False, fallback, False, False)
    assert (error.http_status, error.upstream_message) == atlascloud.REFUSALS[outcome]
    if kind in upstream.RESTING:
        worker.restart()


@pytest.mark.parametrize("outcome,kind,fallback", [("moderation_in_job", "CONTENT_FILTERED", False), ("failed", "UPSTREAM_INTERNAL", True)])
def test_failed_jobs(worker, sim, outcome, kind, fallback):
    sim.script(outcome=outcome)
    error = worker.poll_until_end(worker.accept()).error
    assert (kind_of(error), error.retryable, error.fallback_ok, error.charged) == (kind, False, fallback, False)
    assert (error.upstream_code, error.upstream_message) == (str(atlascloud.FAILURES[outcome][0]), atlascloud.FAILURES[outcome][1])


def test_no_address(worker, sim):
    sim.script(outcome="empty_result")
    answers = [answer for answer, _ in zip(worker.polls(worker.accept()), range(4))]
    assert all(one.HasField("running") or one.error.retryable for one in answers) and answers[-1].error.upstream_code == "malformed"


def test_links_grow_old(worker, sim):
    done = worker.finish(worker.accept())
    sim.clock.advance(15 * 86400)
    assert worker.fetch(done), "the poll gives a new link"


@pytest.mark.parametrize("fault,kind,retryable", [
    ({"fault": "status", "status": 401}, "AUTH", False), ({"fault": "status", "status": 413}, "INVALID_REQUEST", False),
    ({"fault": "status", "status": 429}, "RATE_LIMITED", True), ({"fault": "status", "status": 500}, "UPSTREAM_INTERNAL", True),
    ({"fault": "reset_after"}, "NETWORK", True), ({"fault": "truncated"}, "UPSTREAM_INTERNAL", True), ({"fault": "empty"}, "UPSTREAM_INTERNAL", True)],
    ids=lambda value: value.get("status", value["fault"]) if isinstance(value, dict) else None)
def test_uploads_in_trouble(worker, sim, fault, kind, retryable):
    sim.script(kind="upload", after=1, **fault)
    error = worker.refused(first_frame=FIRST, last_frame=LAST)
    assert (kind_of(error), error.retryable, error.maybe_submitted, error.fallback_ok) == (kind, retryable, False, True)
    assert sim.count("upload") == 2 and sim.count("submit") == 0, "nothing was made, so nothing is lost"
    if kind in upstream.RESTING:
        worker.restart()


@pytest.mark.parametrize("case", upstream.generic_faults(fetch_refused={"whole": True}), ids=str)
def test_generic_fault(worker, sim, case):
    upstream.check_generic_faults(worker, sim, case)
