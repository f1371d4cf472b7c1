# SPDX-License-Identifier: Apache-2.0
"""The adapter of avalanche (Kie's form of Veo and Sora) against its simulator."""
import base64
import urllib.parse

import pytest
import upstream
from offered import check_offers
from simulators import avalanche
from upstream import picture

HD, UHD = {"width": 1920, "height": 1080}, {"width": 3840, "height": 2160}
SORA = {"model": "sora-2", "seconds": 10}


@pytest.fixture(scope="module")
def sim():
    with avalanche.Simulator() as one:
        yield one


@pytest.fixture(scope="module")
def worker(sim):
    uploads = f"http://localhost:{urllib.parse.urlsplit(sim.url).port}"  # another origin than the API's
    with upstream.Worker("avalanche", sim, ["--avalanche-upload-url", uploads], model="veo3_fast", width=1280, height=720, seconds=8,
                         audio=True) as one:
        yield one


@pytest.fixture(autouse=True)
def afresh(sim):
    sim.reset()
    sim.in_body, sim.run_polls = True, 1


def sent(sim):
    """The body of the last Submit; every rule of the simulator held."""
    assert sim.broken == {}
    return sim.last("submit").json()


def kind_of(error):
    return upstream.NAMES[getattr(error, "class")]


def test_describe(worker):
    told = worker.describe()
    assert (told.provider, told.supports_cancel, told.supports_lookup, told.supports_events, told.max_concurrency, told.max_submit_ms) == \
        ("avalanche", False, False, True, 100, 240000)


# --- Veo ---

def test_text(worker, sim):
    film = worker.make_video()
    assert sent(sim) == {"prompt": worker.asked.prompt, "model": "veo3_fast", "aspect_ratio": "16:9", "generationType": "TEXT_2_VIDEO",
                         "enableFallback": False}
    assert sim.last("submit").header("user-agent").startswith("Mozilla/5.0 ")
    assert (film["width"], film["height"], film["audio"]) == (1280, 720, True) and 7.9 < film["seconds"] < 8.2
    assert worker.info.mime_type == "video/mp4" and worker.info.bytes == len(worker.film)
    assert sim.count("upload") == sim.count("other") == 0


@pytest.mark.parametrize("size", [(1920, 1080), (1080, 1920), (3840, 2160), (2160, 3840)], ids=str)
@pytest.mark.parametrize("in_body", [True, False], ids=["code", "status"])
def test_upgrade(worker, sim, size, in_body):
    sim.in_body, sim.upgrade_polls = in_body, 2
    accepted = worker.accept(width=size[0], height=size[1])
    answers = list(worker.polls(accepted))
    assert [one.running.progress for one in answers[-3:-1]] == [95, 95]
    film = upstream.media.probe(worker.fetch(answers[-1].finished))
    assert (film["width"], film["height"]) == size
    assert sim.last("other").path == ("/api/v1/veo/get-4k-video" if 2160 in size else "/api/v1/veo/get-1080p-video")
    assert sim.count("other") == 3 and sim.submits == 1 and sim.broken == {}
    assert sent(sim)["aspect_ratio"] == ("16:9" if size[0] > size[1] else "9:16")


def test_upgrade_as_a_task(worker, sim):
    sim.own_task = True
    film = worker.make_video(**UHD)
    (upgrade,) = sim.history[0].fields["upgrades"].values()
    assert (film["width"], film["height"]) == (3840, 2160) and upgrade["started"] == 1
    assert sim.count("other") == 1, "its own task is polled, no second upgrade is asked for"


def test_upgrade_that_fails(worker, sim):
    sim.own_task = True
    sim.script(outcome="upgrade_fails")
    error = worker.poll_until_end(worker.accept(**UHD)).error
    assert (kind_of(error), error.retryable, error.fallback_ok, error.charged) == ("UPSTREAM_INTERNAL", False, False, True)
    assert error.upstream_code == "upgrade_failed" and error.public_message == ""


@pytest.mark.parametrize("code", [402, 429, 500, 503])
def test_upgrade_in_trouble(worker, sim, code):
    sim.script(fault="status", kind="other", status=code, times=2)
    answers = list(worker.polls(worker.accept(**UHD)))
    errors = [one.error for one in answers if one.HasField("error")]
    assert [one.http_status for one in errors] == [code, code] and all(one.retryable and not one.fallback_ok for one in errors)
    finished = answers[-1].finished
    assert worker.fetch(finished) and len(sim.history[0].fields["upgrades"]) == 1


@pytest.mark.parametrize("fault", ["reset_after", "close_after", "truncated", "empty", "html_after", "bad_utf8", "deep"])
@pytest.mark.parametrize("own_task", [False, True], ids=["", "task"])
def test_upgrade_that_is_lost(worker, sim, fault, own_task):
    sim.own_task = own_task
    sim.script(fault=fault, kind="other")
    film = upstream.media.probe(worker.fetch(worker.finish(worker.accept(**UHD))))
    (upgrade,) = sim.history[0].fields["upgrades"].values()
    assert film["width"] == 3840 and upgrade["started"] == 1 and sim.submits == 1


def test_upgrade_that_is_there(worker, sim):
    sim.made = "1080p"
    assert worker.make_video(**HD)["height"] == 1080 and sim.count("other") == 0


def test_numbers_as_texts(worker, sim):
    sim.as_text = True
    assert worker.make_video()["width"] == 1280


@pytest.mark.parametrize("last", [None, picture(1280, 720, "jpeg")], ids=["first", "both"])
def test_frames(worker, sim, last):
    first = picture(1280, 720)
    worker.make_video(first_frame=first, last_frame=last)
    body, blobs = sent(sim), [first, last] if last else [first]
    assert body["generationType"] == "FIRST_AND_LAST_FRAMES_2_VIDEO"
    assert [sim.uploads[url] for url in body["imageUrls"]] == [blob.data for blob in blobs]
    upload = sim.last("upload")
    assert upload.json() == {"base64Data": f"data:{blobs[-1].mime_type};base64,{base64.b64encode(blobs[-1].data).decode()}",
                             "uploadPath": "videos/input-images"}
    assert upload.header("host").startswith("localhost:") and upload.key == sim.last("submit").key


def test_references(worker, sim):
    blobs = [picture(64, 48), picture(48, 64, "jpeg"), picture(32, 32)]
    worker.make_video(reference_images=blobs)
    body = sent(sim)
    assert body["generationType"] == "REFERENCE_2_VIDEO"
    assert [sim.uploads[url] for url in body["imageUrls"]] == [blob.data for blob in blobs]


def test_further_parameters_and_webhook(worker, sim):
    worker.accept(event_url="https://videos.example/v1/events/x", extra='{"seeds": 12345, "enableTranslation": false, "watermark": "W", "model": "x"}')
    body = sent(sim)
    assert (body["callBackUrl"], body["seeds"], body["enableTranslation"], body["watermark"], body["model"]) == \
        ("https://videos.example/v1/events/x", 12345, False, "W", "veo3_fast")
    worker.accept(index=3, extra='{"seeds": 99998}')
    assert sent(sim)["seeds"] == 10001, "one more for each further output"


@pytest.mark.parametrize("fault,kind,retryable", [
    ({"fault": "status", "status": 401}, "AUTH", False), ({"fault": "status", "status": 429, "retry_after": 7}, "RATE_LIMITED", True),
    ({"fault": "status", "status": 500}, "UPSTREAM_INTERNAL", True), ({"fault": "status", "status": 400}, "INVALID_REQUEST", False),
    ({"fault": "html"}, "AUTH", False), ({"fault": "reset_after"}, "NETWORK", True), ({"fault": "truncated"}, "UPSTREAM_INTERNAL", True)],
    ids=lambda value: value.get("status", value["fault"]) if isinstance(value, dict) else None)
def test_uploads_in_trouble(worker, sim, fault, kind, retryable):
    sim.script(kind="upload", **fault)
    error = worker.refused(first_frame=picture(64, 64))
    assert (kind_of(error), error.retryable, error.maybe_submitted, error.fallback_ok) == (kind, retryable, False, True)
    assert sim.count("submit") == 0, "nothing was made, so nothing is lost"
    if kind in upstream.RESTING:
        worker.restart()


# --- Sora ---

@pytest.mark.parametrize("model,size,told", [
    ("sora-2", (1280, 720), {"aspect_ratio": "landscape"}), ("sora-2", (720, 1280), {"aspect_ratio": "portrait"}),
    ("sora-2-pro", (1280, 720), {"aspect_ratio": "landscape", "size": "standard"}),
    ("sora-2-pro", (1024, 1792), {"aspect_ratio": "portrait", "size": "high"})])
def test_sora(worker, sim, model, size, told):
    film = worker.make_video(model=model, width=size[0], height=size[1], seconds=10, event_url="https://videos.example/e")
    assert sent(sim) == {"model": f"{model}-text-to-video", "callBackUrl": "https://videos.example/e",
                         "input": {"prompt": worker.asked.prompt, "n_frames": "10", "remove_watermark": True, "upload_method": "s3", **told}}
    assert (film["width"], film["height"]) == size and 9.9 < film["seconds"] < 10.2


@pytest.mark.parametrize("field", ["first_frame", "reference_images"])
def test_sora_picture(worker, sim, field):
    blob = picture(1280, 720)
    worker.make_video(**SORA, **{field: blob if field == "first_frame" else [blob]})
    body = sent(sim)
    assert body["model"] == "sora-2-image-to-video" and [sim.uploads[url] for url in body["input"]["image_urls"]] == [blob.data]


def test_sora_progress(worker, sim):
    sim.run_polls = 3
    progress = [one.running.progress for one in worker.polls(worker.accept(**SORA)) if one.HasField("running")]
    assert progress == [0, 25, 50, 75]


@pytest.mark.parametrize("outcome,kind", [("moderation_in_job", "CONTENT_FILTERED"), ("failed", "UPSTREAM_INTERNAL")])
def test_sora_failures(worker, sim, outcome, kind):
    sim.script(outcome=outcome)
    error = worker.poll_until_end(worker.accept(**SORA)).error
    assert (kind_of(error), error.retryable, error.public_message) == (kind, False, "")
    assert error.upstream_message == avalanche.FAILURES[outcome][2]


def test_sora_other_id(worker, sim):
    for fault in ("other_id", "bad_utf8"):
        sim.script(fault=fault, kind="poll")
        answers = list(worker.polls(worker.accept(**SORA)))
        assert answers[0].error.upstream_code == "malformed" and answers[0].error.retryable and answers[-1].HasField("finished")


# --- refusals ---

def test_what_the_catalog_offers(worker, sim):
    sim.burst = 1000
    assert check_offers(worker, sim, without=["watermark"]) > 20  # true or false elsewhere, a text here
    del sim.burst


@pytest.mark.parametrize("fields", [
    {"width": 854, "height": 480}, {"seconds": 4}, {"audio": False}, {"last_frame": picture(64, 64)},
    {"first_frame": picture(64, 64), "reference_images": [picture(64, 64)]}, {"reference_images": [picture(8, 8)] * 4},
    {"model": "veo3", "reference_images": [picture(64, 64)]}, {"reference_videos": ["https://media.example/a.mp4"]},
    {"reference_audios": ["https://media.example/a.mp3"]}, {"source": upstream.pb.SourceVideo(video=picture(64, 64))},
    {**SORA, "seconds": 8}, {**SORA, "width": 1792, "height": 1024}, {**SORA, "last_frame": picture(64, 64)},
    {**SORA, "reference_images": [picture(8, 8)] * 2}], ids=lambda fields: "-".join(fields))
def test_refused_here(worker, sim, fields):
    error = worker.refused(**fields)
    assert kind_of(error) == "INVALID_REQUEST" and error.public_message.endswith(".") and not error.maybe_submitted and error.fallback_ok
    assert sim.count("submit") == sim.count("upload") == 0


@pytest.mark.parametrize("in_body", [True, False], ids=["code", "status"])
@pytest.mark.parametrize("outcome,kind,retryable,fallback", [
    ("moderation_at_submit", "CONTENT_FILTERED", False, False), ("picture_unreachable", "INVALID_REQUEST", False, True),
    ("maintenance", "OVERLOADED", True, True), ("model_gone", "MODEL_GONE", False, True), ("no_credits", "BILLING", False, True),
    ("generation_failed", "UPSTREAM_INTERNAL", True, True)])
def test_refused_there(worker, sim, outcome, kind, retryable, fallback, in_body):
    sim.in_body = in_body
    sim.script(outcome=outcome)
    error = worker.refused()
    code, text = avalanche.REFUSALS[outcome]
    assert (kind_of(error), error.retryable, error.fallback_ok, error.maybe_submitted, error.charged) == (kind, retryable, fallback, False, False)
    assert (error.http_status, error.upstream_code) == (code, str(code))
    assert error.upstream_message.startswith((text or avalanche.ERRORS[code])[:40]) and "sig=" not in error.upstream_message
    assert error.public_message == "", "the provider's words are for operators"
    if kind in upstream.RESTING:
        worker.restart()


@pytest.mark.parametrize("outcome,kind,fallback", [
    ("moderation_in_job", "CONTENT_FILTERED", False), ("unsafe_picture", "CONTENT_FILTERED", False), ("failed", "UPSTREAM_INTERNAL", True),
    ("failed_internal", "UPSTREAM_INTERNAL", True)])
def test_failed_jobs(worker, sim, outcome, kind, fallback):
    sim.script(outcome=outcome)
    error = worker.poll_until_end(worker.accept()).error
    assert (kind_of(error), error.retryable, error.fallback_ok, error.charged, error.public_message) == (kind, False, fallback, False, "")
    assert (error.upstream_code, error.upstream_message) == (str(avalanche.FAILURES[outcome][1]), avalanche.FAILURES[outcome][2])


@pytest.mark.parametrize("fields", [{}, SORA], ids=["veo", "sora"])
def test_no_address(worker, sim, fields):
    sim.script(outcome="empty_result")
    answers = [answer for answer, _ in zip(worker.polls(worker.accept(**fields)), range(4))]
    assert all(one.HasField("running") or one.error.retryable for one in answers) and answers[-1].error.upstream_code == "malformed"


def test_burst(worker, sim):
    sim.burst = 2
    worker.accept(), worker.accept()
    error = worker.refused()
    assert (kind_of(error), error.retryable, error.maybe_submitted) == ("RATE_LIMITED", True, False) and sim.submits == 2
    sim.burst = avalanche.Simulator.burst
    worker.restart()


@pytest.mark.parametrize("fields", [{}, HD, UHD, SORA], ids=["720p", "1080p", "4k", "sora"])
def test_links_grow_old(worker, sim, fields):
    done = worker.finish(worker.accept(**fields))
    sim.clock.advance(25 * 3600)
    assert worker.fetch(done), "the poll gives a new link"
    assert sim.submits == 1


def test_the_key_stays_with_its_hosts(worker, sim):
    worker.make_video(first_frame=picture(64, 64))
    assert sim.leaks == [] and not sim.last("fetch").header("authorization")


@pytest.mark.parametrize("case", upstream.generic_faults(fetch_refused={"whole": True}), ids=str)
def test_generic_fault(worker, sim, case):
    sim.in_body = case.kind != "fetch"  # files come from a host of another kind
    upstream.check_generic_faults(worker, sim, case)


@pytest.mark.parametrize("case", [case for case in upstream.SUBMIT_FAULTS if case.name.isdigit()], ids=str)
def test_generic_status(worker, sim, case):
    sim.in_body = False
    upstream.check_generic_faults(worker, sim, case)
