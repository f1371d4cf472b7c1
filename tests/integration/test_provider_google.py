# SPDX-License-Identifier: Apache-2.0
"""The Gemini API, Veo and Omni, against its simulator."""
import base64

import pytest
import upstream
from offered import check_offers
from simulators import google, google_api, media
from upstream import NAMES, pb

VEO = "veo-3.1-generate-preview"
OMNI = "gemini-omni-1.1-flash"


@pytest.fixture(scope="module")
def running():
    with google.Simulator() as sim, upstream.Worker("google", sim, model=VEO, width=1280, height=720, seconds=4, audio=True) as worker:
        yield sim, worker


@pytest.fixture
def sim(running):
    sim = running[0]
    sim.reset()
    before = {name: getattr(sim, name) for name in ("quota", "region", "omni_inline", "omni_background", "omni_seconds", "result_bytes", "redirects")}
    yield sim
    vars(sim).update(before)
    sim.revoked.clear(), sim.forbidden.clear()


@pytest.fixture
def worker(running, sim):
    return running[1]


def klass(error):
    return NAMES[getattr(error, "class")]


def instance(sim):
    return sim.last("submit").json()["instances"][0]


def parameters(sim):
    return sim.last("submit").json()["parameters"]


# --- what is made ---

@pytest.mark.parametrize("size,seconds", [((1280, 720), 4), ((720, 1280), 6), ((1920, 1080), 8), ((1080, 1920), 8), ((3840, 2160), 8)], ids=str)
def test_text_to_video(worker, sim, size, seconds):
    probe = worker.make_video(width=size[0], height=size[1], seconds=seconds)
    assert (probe["width"], probe["height"]) == size and abs(probe["seconds"] - seconds) < 0.2 and probe["audio"]
    assert "personGeneration" not in parameters(sim) and set(instance(sim)) == {"prompt"}
    assert sim.submits == 1 and sim.broken == {}
    assert worker.info.mime_type == "video/mp4"


def test_the_address_is_polled_by_name(worker, sim):
    accepted = worker.accept()
    assert accepted.upstream_id == f"models/{VEO}/operations/{sim.history[0].id}" and accepted.poll_after_ms == 50
    answers = list(worker.polls(accepted))
    assert [a.WhichOneof("state") for a in answers] == ["running", "running", "finished"]
    assert sim.count("poll") == 3


def test_frames(worker, sim):
    frame, last = upstream.picture(1280, 720), upstream.picture(1280, 720, "jpeg")
    worker.make_video(first_frame=frame, last_frame=last)
    asked = instance(sim)
    assert base64.b64decode(asked["image"]["bytesBase64Encoded"]) == frame.data and asked["image"]["mimeType"] == "image/png"
    assert base64.b64decode(asked["lastFrame"]["bytesBase64Encoded"]) == last.data and asked["lastFrame"]["mimeType"] == "image/jpeg"
    assert parameters(sim)["personGeneration"] == "allow_adult"


def test_references(worker, sim):
    worker.make_video(seconds=8, reference_images=[upstream.picture(64, 64), upstream.picture(32, 64), upstream.picture(64, 32, "jpeg")])
    asked = instance(sim)["referenceImages"]
    assert [r["referenceType"] for r in asked] == ["asset"] * 3 and sim.history[0].fields["pictures"] == 3


def test_extension_by_address_and_by_bytes(sim):
    with upstream.Worker("google", sim, keys=sim.keys[:1], model=VEO, width=1280, height=720, seconds=4, audio=True) as worker:
        first = worker.accept()
        film = worker.fetch(worker.finish(first))
        source = pb.SourceVideo(operation="SOURCE_OPERATION_EXTEND", video=pb.MediaBlob(data=film, mime_type="video/mp4"), upstream_id=first.upstream_id)
        probe = worker.make_video(seconds=11, source=source)
        assert instance(sim)["video"] == {"uri": f"{sim.url}/v1beta/files/f{sim.history[0].id}:download?alt=media"}
        assert parameters(sim)["durationSeconds"] == 8 and abs(probe["seconds"] - 11) < 0.2
        del sim.jobs[sim.history[0].id]  # the operation is forgotten, and its file with it
        worker.make_video(seconds=11, source=source)
        asked = instance(sim)["video"]
        assert base64.b64decode(asked["encodedVideo"]) == film and asked["encoding"] == "video/mp4"
        assert sim.submits == 3 and sim.broken == {}


def test_extra_parameters(worker, sim):
    worker.make_video(extra='{"negativePrompt": "rain", "personGeneration": "allow_all", "durationSeconds": 8, "sampleCount": 4}')
    asked = parameters(sim)
    assert (asked["negativePrompt"], asked["personGeneration"], asked["durationSeconds"], asked["sampleCount"]) == ("rain", "allow_all", 4, 1)
    assert klass(worker.refused(extra='{"seed": 5}')) == "INVALID_REQUEST" and sim.broken == {"veo.vertex_only": 1}


def test_the_address_for_events_goes_along(worker, sim):
    worker.make_video(event_url="https://gateway.example/v1/provider_events/google/x")
    assert sim.last("submit").json()["webhookConfig"] == {"uris": ["https://gateway.example/v1/provider_events/google/x"]}
    assert worker.describe().supports_events


def test_inline_result(worker, sim):
    sim.result_bytes = 6 << 20
    sim.script(outcome="inline")
    assert worker.make_video()["codec"] == "h264" and len(worker.film) == 6 << 20


def test_the_file_is_on_another_host(worker, sim):
    sim.redirects = True
    assert worker.make_video()["codec"] == "h264"
    fetched = [one for one in sim.seen if one.kind == "fetch"]
    assert [one.header("x-goog-api-key") is not None for one in fetched] == [True, False] and not sim.leaks
    sim.link_life = -1  # links that are over before they are used: the provider is asked for another one, once
    with pytest.raises(upstream.FetchError) as failed:
        worker.make_video()
    sim.link_life = 3600
    assert klass(failed.value.error) == "RESULT_EXPIRED"


@pytest.mark.parametrize("fields", [
    {"audio": False}, {"width": 1792, "height": 1024}, {"last_frame": upstream.picture(1280, 720)},
    {"first_frame": upstream.picture(64, 64), "reference_images": [upstream.picture(64, 64)]},
    {"reference_videos": ["https://example.com/a.mp4"]}, {"source": pb.SourceVideo(operation="SOURCE_OPERATION_EDIT")},
    {"source": pb.SourceVideo(operation="SOURCE_OPERATION_EXTEND", seconds=4), "seconds": 12},
], ids=["silent", "size", "last-frame-alone", "frame-and-references", "reference-video", "edit", "extend-by-8"])
def test_what_is_refused_here(worker, sim, fields):
    error = worker.refused(**fields)
    assert klass(error) == "INVALID_REQUEST" and error.fallback_ok and not error.retryable and error.public_message and error.upstream_code == "refused_here"
    assert sim.count("submit") == 0


# --- what goes wrong ---

@pytest.mark.parametrize("outcome,kind", [("moderation_at_submit", "CONTENT_FILTERED"), ("model_gone", "MODEL_GONE")])
def test_refused_at_submit(worker, sim, outcome, kind):
    sim.script(outcome=outcome)
    error = worker.refused()
    assert klass(error) == kind and not error.retryable and not error.maybe_submitted and not error.charged and sim.submits == 0


@pytest.mark.parametrize("outcome,kind", [
    ("moderation_in_job", "CONTENT_FILTERED"), ("moderation_in_operation", "CONTENT_FILTERED"), ("failed", "UPSTREAM_INTERNAL"),
    ("empty_result", "UPSTREAM_INTERNAL"), ("operation_invalid", "INVALID_REQUEST"), ("operation_deadline", "TIMEOUT"), ("operation_denied", "AUTH"),
    ("operation_exhausted", "OVERLOADED"), ("operation_unavailable", "OVERLOADED")])
def test_failed_job(worker, sim, outcome, kind):
    sim.script(outcome=outcome)
    ended = worker.poll_until_end(worker.accept())
    error = ended.error
    assert klass(error) == kind and not error.retryable and not error.maybe_submitted and not error.charged
    assert error.fallback_ok == (kind != "CONTENT_FILTERED")
    assert kind != "CONTENT_FILTERED" or "Support codes" in error.public_message


def test_an_operation_that_is_forgotten(worker, sim):
    sim.script(outcome="expired")
    at = worker.accept()
    for _ in range(3):
        answer = worker.poll(at)
    assert klass(answer.error) == "NOT_FOUND" and answer.error.http_status == 404


@pytest.mark.parametrize("quota,kind,low,high", [
    ("bare", "RATE_LIMITED", 0, 0), ("minute", "RATE_LIMITED", 3958, 3958), ("day", "RATE_LIMITED", 1, 24 * 3600 * 1000), ("capacity", "OVERLOADED", 250, 250)])
def test_429(worker, sim, quota, kind, low, high):
    sim.quota = quota
    sim.script(fault="status", kind="submit", status=429)
    error = worker.refused()
    assert klass(error) == kind and error.retryable and low <= error.retry_after_ms <= high and sim.submits == 0
    worker.restart()


# reference/providers.md 1.5, row by row
@pytest.mark.parametrize("status,code,message,kind,retryable", [
    (400, None, "`negativePrompt` isn't supported by this model.", "INVALID_REQUEST", False),
    (400, None, google_api.FILTERED + "58061214", "CONTENT_FILTERED", False),
    (400, "API_KEY_INVALID", "API key not valid. Please pass a valid API key.", "AUTH", False),
    (400, None, "API key expired. Please renew the API key.", "AUTH", False),
    (400, "FAILED_PRECONDITION", "Gemini API free tier is not available in your country. Please enable billing.", "BILLING", False),
    (402, None, "", "BILLING", False),
    (401, None, "", "AUTH", False),
    (403, None, "Your API key was reported as leaked.", "AUTH", False),
    (403, "SERVICE_DISABLED", "Generative Language API has not been used in project 1 before or it is disabled.", "AUTH", False),
    (404, None, "models/veo-3.1-generate-preview is no longer available.", "MODEL_GONE", False),
    (429, None, "", "RATE_LIMITED", True),
    (500, None, "", "UPSTREAM_INTERNAL", True),
    (503, None, "", "OVERLOADED", True),
    (504, None, "", "TIMEOUT", True),
])
def test_error_row(running, worker, sim, status, code, message, kind, retryable):
    sim.script(fault="status", kind="submit", status=status, message=message, **({"code": code} if code else {}))
    error = worker.refused()
    assert klass(error) == kind and error.retryable == retryable and error.http_status == status and not error.charged
    assert code is None or error.upstream_code == code
    if kind in upstream.RESTING:
        worker.restart()


def test_a_bad_key_rests_and_the_other_one_works(worker, sim):
    sim.revoked.add(sim.keys[0])
    seen = [worker.submit() for _ in range(2)]
    refused = [one.error for one in seen if one.HasField("error")]
    assert len(refused) == 1 and klass(refused[0]) == "AUTH" and refused[0].upstream_code == "API_KEY_INVALID" and refused[0].http_status == 400
    assert all(worker.submit().HasField("accepted") for _ in range(3))
    worker.restart()


def test_a_job_is_polled_with_its_own_key(worker, sim):
    accepted = [worker.accept() for _ in range(4)]
    assert {job.key for job in sim.history} == set(sim.keys)
    for one in accepted:
        worker.fetch(worker.finish(one))
    assert sim.broken == {}


def test_403_on_a_poll_is_no_end(worker, sim):
    at = worker.accept()
    sim.script(fault="status", kind="poll", status=403, times=2)
    answers = list(worker.polls(at))
    assert [a.WhichOneof("state") for a in answers] == ["error", "error", "running", "running", "finished"]


# --- Omni ---

@pytest.fixture
def omni(worker):
    def ask(**fields):
        return {"model": OMNI, "seconds": 5, **fields}

    return ask


def test_omni(worker, sim, omni):
    finished = worker.finish(worker.accept(**omni()))
    film = worker.fetch(finished)
    assert media.probe(film)["width"] == 1280 and abs(media.probe(film)["seconds"] - 5) < 0.2
    asked = sim.last("submit").json()
    assert asked["response_format"] == {"type": "video", "aspect_ratio": "16:9", "resolution": "720p", "delivery": "uri"}
    assert asked["generation_config"] == {"video_config": {"task": "text_to_video"}}
    assert sim.history[0].fields["file_polls"] == 2 and sim.submits == 1 and sim.broken == {}


@pytest.mark.parametrize("fields,task", [
    ({"first_frame": upstream.picture(64, 64)}, "image_to_video"),
    ({"reference_images": [upstream.picture(64, 64), upstream.picture(32, 32)]}, "reference_to_video"),
    ({"source": pb.SourceVideo(operation="SOURCE_OPERATION_EDIT")}, "edit"),
    ({"source": pb.SourceVideo(operation="SOURCE_OPERATION_EXTEND"), "seconds": 12}, "extend"),
], ids=["image", "references", "edit", "extend"])
def test_omni_tasks(worker, sim, omni, fields, task):
    if "source" in fields:
        fields["source"].video.CopyFrom(pb.MediaBlob(data=media.video(1280, 720, 6), mime_type="video/mp4"))
    worker.make_video(**omni(**fields))
    assert sim.history[0].fields["task"] == task and sim.broken == {}


def test_omni_inline_although_asked_otherwise(worker, sim, omni):
    sim.omni_inline, sim.result_bytes = True, 3 << 20
    worker.make_video(**omni())
    assert len(worker.film) == 3 << 20


def test_omni_in_the_background(worker, sim, omni):
    sim.omni_background = True
    worker.make_video(**omni())
    assert sim.submits == 1


@pytest.mark.parametrize("outcome,kind", [("moderation_in_job", "CONTENT_FILTERED"), ("failed", "UPSTREAM_INTERNAL"), ("empty_result", "UPSTREAM_INTERNAL"),
                                          ("moderation_at_submit", "CONTENT_FILTERED"), ("model_gone", "MODEL_GONE")])
def test_omni_failures(worker, sim, omni, outcome, kind):
    sim.script(outcome=outcome)
    error = worker.refused(**omni())
    assert klass(error) == kind and not error.retryable and not error.maybe_submitted


def test_omni_file_failed(worker, sim, omni):
    sim.script(outcome="file_failed")
    error = worker.poll_until_end(worker.accept(**omni())).error
    assert klass(error) == "UPSTREAM_INTERNAL" and error.upstream_code == "file_failed"


def test_omni_lost_answer(worker, sim, omni):
    sim.script(fault="reset_after", kind="submit")
    error = worker.refused(**omni())
    assert error.maybe_submitted and not error.fallback_ok and sim.submits == 1
    assert worker.lookup()[0] == "UNSUPPORTED"


@pytest.mark.parametrize("fields", [{"audio": False}, {"last_frame": upstream.picture(64, 64)}, {"width": 1000}], ids=["silent", "last-frame", "size"])
def test_omni_refused_here(worker, sim, omni, fields):
    assert klass(worker.refused(**omni(**fields))) == "INVALID_REQUEST" and sim.count("submit") == 0


def test_describe(worker, sim):
    told = worker.describe()
    assert (told.provider, told.supports_cancel, told.supports_lookup, told.max_submit_ms) == ("google", False, False, 720000)


def test_what_the_catalog_offers(worker, sim):
    assert check_offers(worker, sim, without=("personGeneration",)) == sim.submits


# --- every provider's faults ---

@pytest.mark.parametrize("case", upstream.generic_faults(), ids=str)
def test_generic_fault(worker, sim, case):
    upstream.check_generic_faults(worker, sim, case)


@pytest.fixture(scope="module")
def omni_worker(running):
    with upstream.Worker("google", running[0], model=OMNI, width=1280, height=720, seconds=5, audio=True) as one:
        yield one


# Those of requests that Omni makes in its own way: the long create, the file's state.
OMNI_FAULTS = ("submit-hang", "submit-reset_after", "submit-close_after", "submit-502-made", "submit-empty", "submit-truncated", "submit-short", "submit-huge",
               "submit-bad_utf8", "submit-html_after", "poll-503", "poll-403", "poll-reset", "poll-truncated", "poll-other_id", "poll-huge")


@pytest.mark.parametrize("case", [case for case in upstream.generic_faults() if str(case) in OMNI_FAULTS], ids=str)
def test_generic_fault_of_omni(omni_worker, sim, case):
    assert set(OMNI_FAULTS) <= {str(one) for one in upstream.GENERIC_FAULTS}
    upstream.check_generic_faults(omni_worker, sim, case)


def test_rules(sim):
    assert sim.rule_count() > 100 and set(google_api.OPERATION_ERRORS) < set(sim.outcomes)
