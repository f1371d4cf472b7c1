# SPDX-License-Identifier: Apache-2.0
"""The adapter of MiniMax's two video APIs against their simulator: v1 (Hailuo) and v2 (H3)."""
import http.server
import threading

import pytest
import upstream
from offered import check_offers
from simulators import minimax
from upstream import class_of, data_url, picture
from vg import wait_for

V1 = {"model": "MiniMax-Hailuo-2.3", "width": 1366, "height": 768, "seconds": 6, "audio": False}
V2 = {"model": "MiniMax-H3-Max", "width": 1366, "height": 768, "seconds": 5, "audio": True}
BOTH = pytest.mark.parametrize("fields", [V1, V2], ids=["v1", "v2"])


@pytest.fixture(scope="module")
def sim():
    with minimax.Simulator() as one:
        yield one


@pytest.fixture(scope="module")
def worker(sim):
    with upstream.Worker("minimax", sim, **V2) as one:
        yield one


@pytest.fixture(scope="module")
def worker_v1(sim):
    with upstream.Worker("minimax", sim, **V1) as one:
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
    assert (told.provider, told.supports_cancel, told.supports_lookup, told.supports_events, told.max_concurrency) == \
        ("minimax", True, True, True, 30)


# --- v1 ---

@pytest.mark.parametrize("width,height,seconds,resolution,made", [
    (1280, 720, 6, "768P", (1366, 768)), (1366, 768, 10, "768P", (1366, 768)), (1920, 1080, 6, "1080P", (1920, 1080))])
def test_v1_text(worker, sim, width, height, seconds, resolution, made):
    film = worker.make_video(**{**V1, "width": width, "height": height, "seconds": seconds})
    assert sent(sim) == ("/v1/video_generation", {"model": V1["model"], "prompt": worker.asked.prompt, "duration": seconds,
                                                  "resolution": resolution})
    assert (film["width"], film["height"], film["audio"]) == (*made, False) and abs(film["seconds"] - seconds) < 0.2
    assert sim.count("other") == 1, "the file's address was asked for once"


def test_v1_frames(worker, sim):
    first, last = picture(768, 1366), picture(768, 1366, "jpeg")
    worker.make_video(**{**V1, "width": 768, "height": 1366, "first_frame": first})
    assert sent(sim)[1]["first_frame_image"] == data_url(first)
    worker.make_video(**{**V1, "model": "MiniMax-Hailuo-02", "first_frame": first, "last_frame": last})
    assert sent(sim)[1]["last_frame_image"] == data_url(last)


def test_v1_link_of_an_hour(worker, sim):
    done = worker.finish(worker.accept(**V1))
    sim.clock.advance(7200)
    assert worker.fetch(done) and sim.count("other") == 1, "each fetch asks for a new link"


def test_v1_neither_cancel_nor_lookup(worker, sim):
    assert worker.cancel(worker.accept(**V1)) == "UNSUPPORTED" and sim.count("cancel") == 0
    assert worker.lookup()[0] == "UNSUPPORTED" and sim.count("lookup") == 0


# --- v2 ---

@pytest.mark.parametrize("model,width,height,resolution,ratio,made", [
    ("MiniMax-H3-Max", 848, 480, "480P", "16:9", (854, 480)), ("MiniMax-H3-Max", 480, 854, "480P", "9:16", (480, 854)),
    ("MiniMax-H3-Max", 1366, 768, "768P", "16:9", (1366, 768)), ("MiniMax-H3-Max", 768, 1366, "768P", "9:16", (768, 1366)),
    ("MiniMax-H3", 2560, 1440, "2K", "16:9", (2560, 1440)), ("MiniMax-H3", 768, 768, "768P", "1:1", (768, 768))])
def test_v2_text(worker, sim, model, width, height, resolution, ratio, made):
    film = worker.make_video(model=model, width=width, height=height)
    assert sent(sim) == ("/v2/video_generation", {"model": model, "content": [{"type": "text", "text": worker.asked.prompt}],
                                                  "resolution": resolution, "duration": 5, "ratio": ratio})
    assert (film["width"], film["height"], film["audio"]) == (*made, True) and abs(film["seconds"] - 5) < 0.2
    assert sim.count("other") == 0


def test_v2_frames(worker, sim):
    first, last = picture(1366, 768), picture(1366, 768, "jpeg")
    worker.make_video(first_frame=first, last_frame=last)
    body = sent(sim)[1]
    assert body["ratio"] == "adaptive" and body["content"][1:] == [
        {"type": "image_url", "image_url": {"url": data_url(first)}, "role": "first_frame"},
        {"type": "image_url", "image_url": {"url": data_url(last)}, "role": "last_frame"}]


def test_v2_references(worker, sim):
    worker.make_video(reference_images=[picture(640, 480)], reference_videos=["https://media.example/a.mp4"],
                      reference_audios=["https://media.example/a.mp3"])
    assert [one.get("role") for one in sent(sim)[1]["content"]] == [None, "reference_image", "reference_video", "reference_audio"]


def test_v2_cancel(worker, sim):
    waiting = worker.accept()
    assert worker.cancel(waiting) == "CANCELED" and worker.poll(waiting).HasField("canceled")
    running = worker.accept()
    worker.poll(running)
    assert worker.cancel(running) == "UNSUPPORTED"
    done = worker.finish(worker.accept())
    assert worker.cancel(done) == "TOO_LATE" and worker.fetch(done)
    assert sim.broken == {} and sim.count("cancel") == 1


def test_v2_links_grow_old(worker, sim):
    done = worker.finish(worker.accept())
    sim.clock.advance(7200)
    assert worker.fetch(done), "the poll gives a new link"


def test_v2_lookup_is_certain_of_absence_alone(worker, sim):
    sim.script(fault="reset", kind="submit")
    assert worker.refused().maybe_submitted and sim.submits == 0
    asked = worker.asked
    assert worker.lookup()[0] == "RETRY", "the list may not show it yet"
    assert worker.lookup(age_ms=61000)[0] == "ABSENT"
    assert worker.lookup(age_ms=61000, open_ms=61000)[0] == "RETRY", "sent again since: that request may be under way"
    other = worker.accept()
    assert worker.lookup(request=asked, age_ms=61000)[0] == "UNSUPPORTED", "a job of that time whose owner is not known"
    assert worker.lookup(request=asked, age_ms=61000, taken=[other.upstream_id])[0] == "ABSENT"
    sim.script(fault="reset_after", kind="submit")
    assert worker.refused().maybe_submitted and sim.submits == 2
    assert worker.lookup()[0] == "RETRY" and worker.lookup(age_ms=61000)[0] == "UNSUPPORTED", "there, but nothing says that it is ours"


# --- both ---

@BOTH
def test_further_parameters(worker, sim, fields):
    worker.make_video(**fields, extra='{"aigc_watermark": true, "model": "x"}')
    assert (sent(sim)[1]["aigc_watermark"], sent(sim)[1]["model"]) == (True, fields["model"])


class Gate:
    """Where MiniMax's webhooks arrive: the worker reads them, as it does for the bridge."""

    def __init__(self, worker):
        self.read = []
        gate = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = [upstream.pb.EventHeader(name=name.lower(), value=value) for name, value in self.headers.items()]
                answer = worker.stub.ReadEvent(upstream.pb.ReadEventRequest(headers=headers, body=body), timeout=60)
                gate.read.append((upstream.pb.EventVerdict.Name(answer.verdict).removeprefix("EVENT_VERDICT_"), answer.upstream_id))
                self.send_response(200)
                self.end_headers()
                self.wfile.write(answer.reply.encode())

            def log_message(self, *_):
                pass

        self.server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1/provider_events/minimax/x"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@BOTH
def test_webhook(worker, sim, fields):
    with Gate(worker) as gate:
        accepted = worker.accept(**fields, event_url=gate.url)
        assert sent(sim)[1]["callback_url"] == gate.url
        wait_for(lambda: sim.registered.get(gate.url), "the challenge to be sent back")
        worker.finish(accepted)
        assert sim.notify(sim.history[0]) == 200
        assert gate.read == [("UNSIGNED", ""), ("UNSIGNED", accepted.upstream_id)]


@pytest.mark.parametrize("fields", [
    {**V1, "audio": True}, {**V1, "seconds": 10, "width": 1920, "height": 1080}, {**V1, "width": 768, "height": 1366},
    {**V1, "reference_images": [picture(64, 64)]}, {**V1, "width": 3840, "height": 2160}, {**V2, "width": 1920, "height": 1080},
    {**V2, "width": 1152, "height": 768}, {**V2, "last_frame": picture(64, 64)},
    {**V2, "first_frame": picture(64, 64), "reference_images": [picture(64, 64)]}], ids=range(9))
def test_refused_here(worker, sim, fields):
    error = worker.refused(**fields)
    assert class_of(error) == "INVALID_REQUEST" and error.public_message.endswith(".")
    assert not error.maybe_submitted and error.fallback_ok and sim.count("submit") == 0


@BOTH
@pytest.mark.parametrize("outcome,kind,retryable,maybe", [
    ("moderation_at_submit", "CONTENT_FILTERED", False, False), ("model_gone", "MODEL_GONE", False, False),
    ("no_money", "BILLING", False, False), ("plan_used_up", "BILLING", False, False), ("bad_key", "AUTH", False, False),
    ("connections_full", "CONCURRENCY_FULL", True, False), ("slow", "TIMEOUT", True, True)])
def test_refused_there(worker, sim, fields, outcome, kind, retryable, maybe):
    sim.script(outcome=outcome)
    error = worker.refused(**fields)
    assert (class_of(error), error.retryable, error.maybe_submitted, error.charged) == (kind, retryable, maybe, False)
    assert error.http_status == (200 if fields == V1 else minimax.REFUSALS[outcome][0])
    if kind in upstream.RESTING:
        worker.restart()


@BOTH
@pytest.mark.parametrize("outcome,kind,fallback", [("moderation_in_job", "CONTENT_FILTERED", False), ("failed", "UPSTREAM_INTERNAL", True)])
def test_failed_jobs(worker, sim, fields, outcome, kind, fallback):
    sim.script(outcome=outcome)
    error = worker.poll_until_end(worker.accept(**fields)).error
    assert (class_of(error), error.retryable, error.fallback_ok, error.charged) == (kind, False, fallback, False)
    assert error.upstream_code == minimax.FAILURES[outcome][0]


@BOTH
def test_finished_without_a_video(worker, sim, fields):
    sim.script(outcome="empty_result")
    answers = [answer for answer, _ in zip(worker.polls(worker.accept(**fields)), range(5))]
    assert all(one.HasField("running") or one.error.retryable for one in answers) and answers[-1].error.upstream_code == "malformed"


def test_what_the_catalog_offers(worker, sim):
    assert check_offers(worker, sim) == sim.submits


WHOLE = {"fetch_refused": {"whole": True}}  # results come from another host
@pytest.mark.parametrize("fault", ["reset", "html", "html_after", "empty", "truncated", "deep", "huge", "status"])
def test_lookup_in_trouble(worker, sim, fault):
    sim.script(fault="reset_after", kind="submit")
    assert worker.refused().maybe_submitted
    sim.script(fault=fault, kind="lookup")
    assert worker.lookup(age_ms=61000)[0] in ("RETRY", "UNSUPPORTED"), "with the job there"


UNKNOWN = {f"lookup-{name}": "a list that names no prompt, token or seed cannot say which job is ours"
           for name in ("lost-submit", "401", "404", "429", "500", "503", "reset", "html", "html_after", "empty", "truncated", "deep", "huge")}
MODERATION = {"poll-422": "422 says that moderation refused"}


@pytest.mark.parametrize("case", upstream.generic_faults(without={**UNKNOWN, **MODERATION}, **WHOLE), ids=str)
def test_generic_fault(worker, sim, case):
    upstream.check_generic_faults(worker, sim, case)


# Of v1 what it does in its own way: errors with HTTP 200, polls, the second step. A finished task names a file, no address.
ITS_OWN = [case for case in upstream.generic_faults(without={**MODERATION, "poll-no_link": "no address"})
           if (case.kind == "poll" and "hang" not in case.name) or (case.kind == "submit" and case.fault == "status")]


@pytest.mark.parametrize("case", ITS_OWN, ids=str)
def test_generic_fault_v1(worker_v1, sim, case):
    upstream.check_generic_faults(worker_v1, sim, case)


@pytest.mark.parametrize("fault", ["status", "html", "html_after", "empty", "truncated", "short", "deep", "huge", "reset_after", "no_link"])
def test_v1_second_step_in_trouble(worker, sim, fault):
    done = worker.finish(worker.accept(**V1))
    sim.script(fault=fault, kind="other", times=None)  # a reset request is sent again
    with pytest.raises(upstream.FetchError) as failed:
        worker.fetch(done)
    assert not failed.value.error.fallback_ok and not failed.value.error.maybe_submitted
    sim.scripts.clear()
    assert worker.fetch(done)
