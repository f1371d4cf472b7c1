# SPDX-License-Identifier: Apache-2.0
"""Veo on Vertex AI against its simulator: service accounts and API keys, results in JSON and in a bucket."""
import base64
import json

import pytest
import upstream
from offered import check_offers
from simulators import google_token, google_vertex
from upstream import NAMES, pb

VEO = "veo-3.1-generate-001"
FIELDS = {"model": VEO, "width": 1280, "height": 720, "seconds": 4, "audio": True}
KNOBS = ("quota", "ten_seconds", "escaped_slashes", "token_life", "told_life", "result_bytes", "allow_all", "queue_polls", "run_polls")


def start(sim, keys=None, bucket=False, env=None, **settings):
    """Without the bucket that the simulator offers unless it is asked for."""
    settings = {**sim.settings, **({} if bucket else {"google-vertex-storage-uri": ""}), **settings}
    args = [word for name, value in settings.items() for word in (f"--{name}", value)]
    return upstream.Worker("google-vertex", sim, args=args, keys=keys, env=env, **FIELDS)


@pytest.fixture(scope="module")
def one_sim():
    with google_vertex.Simulator() as one:
        yield one


@pytest.fixture(scope="module")
def inline_worker(one_sim):
    """Two service accounts, no bucket: results come in JSON."""
    with start(one_sim) as one:
        yield one


@pytest.fixture(scope="module")
def bucket_worker(one_sim):
    with start(one_sim, one_sim.keys[:1], bucket=True) as one:
        yield one


@pytest.fixture
def sim(one_sim):
    one_sim.reset()
    before = {name: getattr(one_sim, name) for name in KNOBS}
    yield one_sim
    vars(one_sim).update(before)
    one_sim.revoked.clear(), one_sim.forbidden.clear()


@pytest.fixture
def worker(inline_worker, sim):
    return inline_worker


@pytest.fixture
def stored(bucket_worker, sim):
    return bucket_worker


def klass(error):
    return NAMES[getattr(error, "class")]


def asked(sim):
    return sim.last("submit").json()


# --- what is made ---

@pytest.mark.parametrize("size,seconds,audio", [((1280, 720), 4, True), ((720, 1280), 6, False), ((1920, 1080), 8, True), ((3840, 2160), 8, False)], ids=str)
def test_text_to_video(worker, sim, size, seconds, audio):
    probe = worker.make_video(width=size[0], height=size[1], seconds=seconds, audio=audio)
    assert (probe["width"], probe["height"], probe["audio"]) == (*size, audio) and abs(probe["seconds"] - seconds) < 0.2
    parameters = asked(sim)["parameters"]
    assert parameters["generateAudio"] is audio and parameters["durationSeconds"] == seconds and "storageUri" not in parameters
    assert sim.submits == 1 and sim.broken == {}


def test_pictures(worker, sim):
    frame = upstream.picture(1280, 720)
    worker.make_video(first_frame=frame, last_frame=upstream.picture(1280, 720, "jpeg"))
    instance = asked(sim)["instances"][0]
    assert base64.b64decode(instance["image"]["bytesBase64Encoded"]) == frame.data and instance["lastFrame"]["mimeType"] == "image/jpeg"
    worker.make_video(seconds=8, reference_images=[upstream.picture(64, 64)] * 3)
    assert [r["referenceType"] for r in asked(sim)["instances"][0]["referenceImages"]] == ["asset"] * 3
    assert sim.broken == {}


def test_extension(worker, sim):
    film = worker.fetch(worker.finish(worker.accept()))
    source = pb.SourceVideo(operation="SOURCE_OPERATION_EXTEND", video=pb.MediaBlob(data=film, mime_type="video/mp4"))
    probe = worker.make_video(seconds=11, source=source)
    assert base64.b64decode(asked(sim)["instances"][0]["video"]["bytesBase64Encoded"]) == film and abs(probe["seconds"] - 11) < 0.2


def test_extension_by_address(worker, sim):
    """A film of ours in the bucket is named; one that came inside its answer, or whose operation is forgotten, is sent."""
    first = worker.accept()
    film = worker.fetch(worker.finish(first))
    source = pb.SourceVideo(operation="SOURCE_OPERATION_EXTEND", video=pb.MediaBlob(data=film, mime_type="video/mp4"), upstream_id=first.upstream_id,
                            poll_state=first.poll_state)
    probe = worker.make_video(seconds=11, source=source)
    sent = asked(sim)["instances"][0]["video"]
    if sim.history[0].fields["storage"]:
        assert sent["gcsUri"].startswith(sim.history[0].fields["storage"]) and sent["mimeType"] == "video/mp4"
    else:
        assert base64.b64decode(sent["bytesBase64Encoded"]) == film
    assert abs(probe["seconds"] - 11) < 0.2
    source.upstream_id = first.upstream_id.rpartition("/")[0] + "/00000000-0000-0000-0000-000000000000"
    worker.make_video(seconds=11, source=source)
    assert base64.b64decode(asked(sim)["instances"][0]["video"]["bytesBase64Encoded"]) == film


def test_extra_parameters(worker, sim):
    worker.make_video(extra='{"seed": 7, "negativePrompt": "rain", "enhancePrompt": true, "storageUri": "gs://theirs/", "sampleCount": 4}')
    parameters = asked(sim)["parameters"]
    assert (parameters["seed"], parameters["negativePrompt"], parameters["enhancePrompt"], parameters["sampleCount"]) == (7, "rain", True, 1)
    assert "storageUri" not in parameters
    worker.accept(extra='{"seed": 4294967295}', index=2)
    assert asked(sim)["parameters"]["seed"] == 1  # the next but one
    worker.make_video(first_frame=upstream.picture(64, 64), extra='{"enhancePrompt": false, "resizeMode": "crop", "personGeneration": "dont_allow"}')
    parameters = asked(sim)["parameters"]
    assert (parameters["enhancePrompt"], parameters["resizeMode"], parameters["personGeneration"]) == (False, "crop", "dont_allow")
    assert klass(worker.refused(extra='{"fps": 60}')) == "INVALID_REQUEST"


def test_express_mode_and_project(sim):
    with start(sim, [sim.api_key], bucket=True) as worker:
        assert worker.make_video()["codec"] == "h264"
        assert sim.last("submit").path == f"/v1/publishers/google/models/{VEO}:predictLongRunning"
        assert "storageUri" not in asked(sim)["parameters"] and sim.broken == {} and sim.count("token") == 0
        assert worker.lookup()[0] == "UNSUPPORTED"
    with start(sim, sim.keys[:1], **{"google-vertex-project": "another"}) as worker:
        assert klass(worker.refused()) == "AUTH" and sim.broken == {"veo.project": 1}


def test_an_account_in_base64(sim):
    key = base64.b64encode(sim.accounts[0].text.encode()).decode()
    with start(sim, [key]) as worker:
        assert worker.make_video()["codec"] == "h264" and sim.history[0].key == sim.keys[0]


def test_result_of_100_mb_in_json(sim):
    # What AddressSanitizer keeps of freed memory would hide what is used.
    with start(sim, sim.keys[:1], env={"ASAN_OPTIONS": "quarantine_size_mb=4"}) as worker:
        worker.make_video()
        sim.result_bytes, sim.escaped_slashes, before = 75 << 20, True, worker.memory()
        film = worker.fetch(worker.finish(worker.accept()))
        assert len(film) == 75 << 20 and upstream.media.probe(film)["codec"] == "h264"
        assert worker.memory() < before + (24 << 20)


def test_bucket(stored, sim):
    probe = stored.make_video()
    assert probe["width"] == 1280
    uri = asked(sim)["parameters"]["storageUri"]
    assert uri == f"gs://{google_vertex.BUCKET}/made/{stored.asked.token}/"
    assert sim.last("fetch").path.startswith(f"/storage/v1/b/{google_vertex.BUCKET}/o/made%2F") and sim.broken == {}


def test_partial_filter_still_has_a_video(stored, sim):
    sim.script(outcome="partial")
    assert stored.make_video()["codec"] == "h264"


def test_a_lost_submission_is_found_in_the_bucket(stored, sim):
    sim.script(fault="reset_after", kind="submit")
    error = stored.refused()
    assert error.maybe_submitted and sim.submits == 1
    lost = stored.asked
    assert stored.lookup()[0] == "RETRY"  # it runs
    seen = [stored.lookup(request=lost) for _ in range(3)]
    assert seen[-1][0] == "FOUND"
    film = stored.fetch(stored.finish(seen[-1][1]))
    assert upstream.media.probe(film)["codec"] == "h264" and sim.submits == 1
    other = stored.request(token="gen_other:1")
    assert stored.lookup(request=other)[0] == "RETRY"
    assert stored.lookup(request=other, age_ms=3600000)[0] == "UNSUPPORTED"  # never "surely absent"


def test_what_is_refused_here(worker, sim):
    for fields in ({"width": 1792, "height": 1024}, {"last_frame": upstream.picture(64, 64)}, {"reference_audios": ["https://example.com/a.mp3"]}):
        assert klass(worker.refused(**fields)) == "INVALID_REQUEST"
    assert sim.count("submit") == 0


# --- tokens ---

def test_one_token_serves_many_calls(sim):
    with start(sim, sim.keys[:1]) as worker:
        for _ in range(3):
            worker.make_video()
    assert sim.count("token") == 1 and sim.broken == {}


def test_a_short_token_is_renewed(sim):
    sim.token_life = 1
    with start(sim, sim.keys[:1]) as worker:
        worker.make_video()
        upstream.time.sleep(0.6)
        worker.make_video()
    assert sim.count("token") >= 2 and not sim.broken["bearer.expired"]


def test_a_token_revoked_amid_a_job(worker, sim):
    accepted = worker.accept()
    sim.revoke_tokens()
    answers = list(worker.polls(accepted))
    assert [a.WhichOneof("state") for a in answers] == ["running", "running", "finished"]
    sim.revoke_tokens()
    assert worker.fetch(answers[-1].finished)
    sim.revoke_tokens()
    assert worker.submit().HasField("accepted") and sim.submits == 2
    assert sim.broken == {"bearer.unknown": 3}


def test_a_token_that_ends_early(sim):
    sim.told_life = 3599
    sim.token_life = 60
    with start(sim, sim.keys[:1]) as worker:
        accepted = worker.accept()
        sim.clock.advance(61)
        worker.finish(accepted)
    assert sim.broken == {"bearer.expired": 1} and sim.submits == 1


def test_an_account_that_is_refused(sim):
    with start(sim, sim.keys[:1]) as worker:
        accepted = worker.accept()
        sim.revoked.add(sim.keys[0])
        sim.revoke_tokens()
        error = worker.poll(accepted).error
        assert klass(error) == "AUTH" and error.retryable and error.upstream_code == "token:invalid_grant"  # the job is not lost
        sim.revoked.clear()
        assert worker.finish(accepted)
    with start(sim, sim.keys[:1]) as worker:
        sim.revoked.add(sim.keys[0])
        error = worker.refused()
        assert klass(error) == "AUTH" and not error.retryable and error.fallback_ok and not error.maybe_submitted and sim.submits == 1


def test_a_token_endpoint_that_is_unwell(sim):
    with start(sim, sim.keys[:1]) as worker:
        sim.script(fault="status", kind="token", status=503)
        error = worker.refused()
        assert klass(error) == "UPSTREAM_INTERNAL" and error.retryable and not error.maybe_submitted
        sim.script(fault="reset_after", kind="token", times=2)
        assert klass(worker.refused()) == "NETWORK"
        sim.scripts.clear()
        assert worker.make_video() and sim.submits == 1


def test_a_file_that_is_no_account(sim, tmp_path):
    path = tmp_path / "account.json"
    path.write_text(json.dumps({"type": "authorized_user"}))
    with start(sim, [str(path)]) as worker:
        error = worker.refused()
        assert klass(error) == "AUTH" and error.fallback_ok and sim.count("submit") == 0


def test_a_file_that_is_replaced(sim, tmp_path):
    path, good = tmp_path / "account.json", sim.accounts[0].text
    path.write_text(json.dumps({**json.loads(good), "private_key": sim.accounts[1].pem}))
    with start(sim, [str(path)]) as worker:
        assert worker.refused().upstream_code == "token:invalid_grant" and sim.broken == {"token.signature": 1}
        path.write_text(good)
        assert worker.make_video() and sim.submits == 1


# --- what goes wrong ---

@pytest.mark.parametrize("outcome,kind", [("moderation_at_submit", "CONTENT_FILTERED"), ("model_gone", "MODEL_GONE")])
def test_refused_at_submit(worker, sim, outcome, kind):
    sim.script(outcome=outcome)
    error = worker.refused()
    assert klass(error) == kind and not error.retryable and not error.maybe_submitted and not error.charged and sim.submits == 0


def test_a_preview_name_is_not_vertexs(worker, sim):
    error = worker.refused(model="veo-3.1-generate-preview")
    assert klass(error) == "MODEL_GONE" and sim.broken == {"veo.model": 1}


@pytest.mark.parametrize("outcome,kind", [
    ("moderation_in_job", "CONTENT_FILTERED"), ("moderation_in_operation", "CONTENT_FILTERED"), ("failed", "UPSTREAM_INTERNAL"),
    ("empty_result", "UPSTREAM_INTERNAL"), ("operation_invalid", "INVALID_REQUEST"), ("operation_deadline", "TIMEOUT"), ("operation_denied", "AUTH"),
    ("operation_exhausted", "OVERLOADED"), ("operation_unavailable", "OVERLOADED"), ("bucket_denied", "AUTH"), ("bucket_missing", "AUTH")])
def test_failed_job(stored, sim, outcome, kind):
    sim.script(outcome=outcome)
    error = stored.poll_until_end(stored.accept()).error
    assert klass(error) == kind and not error.retryable and not error.maybe_submitted and not error.charged
    assert error.fallback_ok == (kind != "CONTENT_FILTERED")


# reference/providers.md 2.6
@pytest.mark.parametrize("status,code,message,kind,retryable", [
    (403, "IAM_PERMISSION_DENIED", "Permission 'aiplatform.endpoints.predict' denied on resource.", "AUTH", False),
    (403, "SERVICE_DISABLED", "Vertex AI API has not been used in project 1 before or it is disabled.", "AUTH", False),
    (403, "BILLING_DISABLED", "This API method requires billing to be enabled.", "BILLING", False),
    (404, None, "Publisher Model `projects/p/locations/l/publishers/google/models/m` was not found or your project does not have access to it.",
     "MODEL_GONE", False),
    (429, None, "Quota exceeded for aiplatform.googleapis.com/long_running_online_prediction_requests_per_base_model.", "RATE_LIMITED", True),
    (429, None, "Resource exhausted. Please try again later.", "RATE_LIMITED", True),
    (400, None, "Text prompt violates our usage guidelines.", "CONTENT_FILTERED", False),
    (400, None, "Unsupported output video duration 10 seconds, supported durations are [8,5,6,7].", "INVALID_REQUEST", False),
])
def test_error_row(worker, sim, status, code, message, kind, retryable):
    sim.script(fault="status", kind="submit", status=status, message=message, **({"code": code} if code else {}))
    error = worker.refused()
    assert klass(error) == kind and error.retryable == retryable and error.http_status == status and error.retry_after_ms == 0
    if kind in upstream.RESTING:
        worker.restart()


def test_errors_of_the_bucket(stored, sim):
    finished = stored.finish(stored.accept())
    for status in (401, 403, 404):
        sim.script(fault="status", kind="fetch", status=status, times=None)
        with pytest.raises(upstream.FetchError) as failed:
            stored.fetch(finished)
        assert not failed.value.error.fallback_ok and not failed.value.error.maybe_submitted
        sim.scripts.clear()
    assert stored.fetch(finished)


def test_describe(worker):
    told = worker.describe()
    assert (told.provider, told.supports_cancel, told.supports_lookup) == ("google-vertex", False, True)


def test_what_the_catalog_offers(worker, sim):
    sim.ten_seconds = True
    assert check_offers(worker, sim, without=("personGeneration", "resizeMode")) == sim.submits


# --- every provider's faults: results in JSON for one half, in a bucket for the other ---

WITHOUT = {"submit-401": "a refused token is replaced and the request sent again: test_401_at_submit"}


@pytest.mark.parametrize("case", upstream.generic_faults(without=WITHOUT), ids=str)
def test_generic_fault(worker, stored, sim, case):
    if case.kind == "lookup":
        sim.queue_polls = sim.run_polls = 0  # a job that has written its file
    upstream.check_generic_faults(stored if case.kind in ("fetch", "lookup", "cancel") else worker, sim, case)


def test_401_at_submit(worker, sim):
    sim.script(fault="status", kind="submit", status=401)
    assert worker.submit().HasField("accepted") and sim.count("submit") == 2 and sim.submits == 1
    sim.script(fault="status", kind="submit", status=401, times=2)
    error = worker.refused()
    assert klass(error) == "AUTH" and not error.retryable and not error.maybe_submitted and sim.submits == 1 and sim.count("submit") == 4
    worker.restart()


def test_rules(sim):
    assert sim.rule_count() > 100 and set(google_token.CHECKS) < set(sim.rule_names())
