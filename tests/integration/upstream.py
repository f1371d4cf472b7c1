# SPDX-License-Identifier: Apache-2.0
"""A real videogate-worker against a simulator, over gRPC, and the faults that every provider must stand (GENERIC_FAULTS).

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
"""
import base64
import contextlib
import itertools
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import types

import grpc
from simulators import media
from vg import BUILD, PATIENCE, ROOT, excerpt, free_base, readyz, wait_for

BAD_LOG = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "assertion failed", "WARNING: ThreadSanitizer")
SECRET_PROMPT = "unlogged-words"
_number = itertools.count(1)


def _stubs():
    """(messages, services) of worker.proto, made by protoc in the build folder."""
    folder, names = BUILD / "worker_stubs", ("videogate/v1/worker_pb2.py", "videogate/v1/worker_pb2_grpc.py")
    source = ROOT / "proto/videogate/v1/worker.proto"
    if not all((folder / name).exists() and (folder / name).stat().st_mtime > source.stat().st_mtime for name in names):
        with tempfile.TemporaryDirectory(dir=BUILD) as new:
            plugin = subprocess.run(["which", "grpc_python_plugin"], capture_output=True, text=True, check=True).stdout.strip()
            subprocess.run(["protoc", "-I", ROOT / "proto", f"--python_out={new}", f"--grpc_python_out={new}",
                            f"--plugin=protoc-gen-grpc_python={plugin}", source], check=True)
            (folder / "videogate/v1").mkdir(parents=True, exist_ok=True)
            for name in names:
                os.replace(pathlib.Path(new) / name, folder / name)
    sys.path.insert(0, str(folder))
    from videogate.v1 import worker_pb2, worker_pb2_grpc
    return worker_pb2, worker_pb2_grpc


pb, _services = _stubs()
CLASSES = {name.removeprefix("ERROR_CLASS_"): number for name, number in pb.ErrorClass.items()}
NAMES = {number: name for name, number in CLASSES.items()}


def picture(width, height, kind="png"):
    """A MediaBlob of one colour."""
    return pb.MediaBlob(data=media.png(width, height) if kind == "png" else media.jpeg(width, height), mime_type=f"image/{kind}")


def data_url(blob):
    """A MediaBlob as a data: URL."""
    return f"data:{blob.mime_type};base64,{base64.b64encode(blob.data).decode()}"


def class_of(error):
    """The name of a ProviderError's class."""
    return NAMES[getattr(error, "class")]


class FetchError(Exception):
    """A stream that ended in an error; `data` is what had come."""

    def __init__(self, error, data=b""):
        super().__init__(str(error))
        self.error, self.data = error, data


class Worker:
    """`fields` are what each Submit has unless a call says otherwise. `base_url` may be another address, `keys` other keys."""

    def __init__(self, provider, sim, args=(), env=None, keys=None, base_url=None, **fields):
        self.provider, self.sim, self.fields = provider, sim, fields
        self.base_url = base_url or sim.url + sim.base_path
        self.keys = list(sim.keys if keys is None else keys)
        self.args, self.env = [str(one) for one in args], env or {}
        self.folder = tempfile.TemporaryDirectory(prefix="upstream-")
        self.keys_file = pathlib.Path(self.folder.name) / "keys"
        self.log_path = pathlib.Path(self.folder.name) / "log"
        self.secrets = {SECRET_PROMPT, "sig="} | {key.splitlines()[0] for key in self.keys}

    # --- life ---

    def __enter__(self):
        self.keys_file.write_text("".join(key + "\n" for key in self.keys))
        self._start()
        return self

    def _start(self):
        port = free_base(2)
        self.monitor = port + 1
        where = ["--listen", f"127.0.0.1:{port}", "--monitor", f"127.0.0.1:{self.monitor}", "--base-url", self.base_url]
        results = ["--result-allow-http", "true", "--result-allow-any-port", "true", "--result-allow-nets", "127.0.0.0/8"]
        keys = ["--keys-file", str(self.keys_file)] if self.keys else []
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen([str(BUILD / "bin/videogate-worker"), "--provider", self.provider, "--log-level", "debug",
                                             "--poll-interval", "50ms", *where, *results, *keys, *self.args],
                                            env={**os.environ, **self.env}, stderr=log)
        wait_for(self._ready, f"the worker of {self.provider}", pause=0.02)
        options = [("grpc.max_receive_message_length", 128 << 20), ("grpc.max_send_message_length", 128 << 20)]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options)
        self.stub = _services.ProviderWorkerServiceStub(self.channel)

    def _ready(self):
        assert self.process.poll() is None, f"the worker ended with {self.process.returncode}:\n{self.log()[-3000:]}"
        return readyz(self.monitor)[0] == 200

    def _stop(self):
        """The exit status."""
        self.channel.close()
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def restart(self):
        """Another process with the same log: it has forgotten which keys were refused."""
        code = self._stop()
        assert code == 0, f"the worker ended with {code}:\n{self.log()[-3000:]}"
        self._start()

    def __exit__(self, failure, *_):
        code, log = self._stop(), self.log()
        self.folder.cleanup()
        for bad in (*BAD_LOG, *self.secrets) if failure is None else ():
            assert bad not in log, f"the worker's log has {bad!r}:\n{excerpt(log, bad)}"
        assert failure is not None or code == 0, f"the worker ended with {code}:\n{log[-3000:]}"

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="replace")

    def memory(self):
        """Resident bytes."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) << 10

    # --- calls ---

    def request(self, **fields):
        number = next(_number)
        made = {"token": f"gen_{number:032x}-1", "prompt": f"{SECRET_PROMPT} {number}", **self.fields, **fields}
        return pb.SubmitRequest(**made)

    def submit(self, timeout=60, **fields):
        """The SubmitResponse; `self.asked` is the request."""
        self.asked, self.asked_ms = self.request(**fields), int(time.time() * 1000)
        return self.stub.Submit(self.asked, timeout=timeout)

    def accept(self, **fields):
        """Submits and returns what was accepted."""
        answer = self.submit(**fields)
        assert answer.WhichOneof("outcome") in ("accepted", "finished"), answer
        return answer.accepted if answer.HasField("accepted") else answer.finished

    def refused(self, **fields):
        """Submits and returns the error."""
        answer = self.submit(**fields)
        assert answer.HasField("error"), answer
        return answer.error

    def poll(self, at, timeout=60):
        """One poll. `at` is an Accepted, Running (with `upstream_id`) or Finished."""
        return self.stub.Poll(pb.PollRequest(upstream_id=at.upstream_id, poll_state=at.poll_state), timeout=timeout)

    def polls(self, accepted, times=40, timeout=60):
        """The answers of one poll after the other, until the job is over; polls that failed for now are among them."""
        at = types.SimpleNamespace(upstream_id=accepted.upstream_id, poll_state=accepted.poll_state)
        for _ in range(times):
            answer = self.poll(at, timeout)
            yield answer
            if answer.HasField("running"):
                at.poll_state = answer.running.poll_state or at.poll_state
            elif not (answer.HasField("error") and answer.error.retryable):
                return
        raise AssertionError(f"not over after {times} polls: {answer}")

    def poll_until_end(self, accepted, times=40):
        """The last PollResponse; one that was finished in Submit stays so."""
        if isinstance(accepted, pb.Finished):
            return pb.PollResponse(finished=accepted)
        return list(self.polls(accepted, times))[-1]

    def finish(self, accepted):
        ended = self.poll_until_end(accepted)
        assert ended.HasField("finished"), ended
        return ended.finished

    def fetch(self, finished, timeout=60):
        """The bytes, or FetchError. `self.info` is the stream's FetchInfo."""
        data, self.info = bytearray(), None
        for part in self.stub.Fetch(pb.FetchRequest(upstream_id=finished.upstream_id, poll_state=finished.poll_state), timeout=timeout):
            if part.HasField("info"):
                self.info = part.info
            elif part.HasField("error"):
                raise FetchError(part.error, bytes(data))
            else:
                assert 0 < len(part.data) <= 256 << 10
                data += part.data
        return bytes(data)

    def cancel(self, at, timeout=60):
        """The CancelOutcome's name."""
        answer = self.stub.Cancel(pb.CancelRequest(upstream_id=at.upstream_id, poll_state=at.poll_state), timeout=timeout)
        return pb.CancelOutcome.Name(answer.outcome).removeprefix("CANCEL_OUTCOME_")

    def lookup(self, taken=(), request=None, timeout=60, age_ms=0, taken_incomplete=False, open_ms=0):
        """(outcome's name, Accepted) for the last Submit, or another request; `age_ms` makes it look older, `open_ms` makes it end later."""
        bare = pb.SubmitRequest()
        bare.CopyFrom(request or self.asked)
        for field in ("first_frame", "last_frame", "reference_images"):
            bare.ClearField(field)
        answer = self.stub.Lookup(pb.LookupRequest(token=bare.token, submit=bare, submitted_at_ms=self.asked_ms - age_ms, taken=list(taken),
                                                   taken_incomplete=taken_incomplete, over_by_ms=self.asked_ms - age_ms + open_ms), timeout=timeout)
        return pb.LookupOutcome.Name(answer.outcome).removeprefix("LOOKUP_OUTCOME_"), answer.accepted

    def describe(self):
        return self.stub.Describe(pb.DescribeRequest(), timeout=60)

    def make_video(self, **fields):
        """Submits, polls, fetches; returns media.probe's view of it. `self.film` is the file."""
        self.film = self.fetch(self.finish(self.accept(**fields)))
        return media.probe(self.film)


# --- the faults of reference/reliability.md 5.2, rows F9 and F10, for any provider ---

SLOW = 2       # seconds that the service would wait, against upstreams that hang
MEMORY = 96 << 20  # what a worker may grow by over an answer of 100 MB
RESTING = ("AUTH", "BILLING", "RATE_LIMITED", "CONCURRENCY_FULL")  # after these a key is not used for a while
MAX_WAIT = 24 * 3600 * 1000


class Case:
    """One fault, and what the worker must make of it.

    submit: `classes` that are right (None: any), `retryable` and `maybe` (submitted) as they must be (None: either), `accepted`: the
            job may also be accepted all the same. Always: the worker sent one request, and never more than one job came of it.
    poll:   never the job's end: an error that is retryable, or the truth. Polls after it reach the end.
    fetch:  `classes` of the error; `whole`: the whole file may also arrive; `short`: an answer that itself says it is that short."""

    def __init__(self, kind, name, fault=None, classes=None, retryable=None, maybe=None, accepted=False, whole=False, short=False,
                 after=0, wait=None, timeout=60, times=1, **script):
        self.kind, self.name, self.fault, self.classes = kind, name, fault or name, classes
        self.retryable, self.maybe, self.accepted, self.whole, self.short = retryable, maybe, accepted, whole, short
        self.after, self.wait, self.timeout, self.times, self.script = after, wait, timeout, times, script

    def __str__(self):
        return f"{self.kind}-{self.name}"

    def but(self, **changes):
        """The same case with other expectations: what this provider means by that status."""
        other = Case.__new__(Case)
        other.__dict__ = {**self.__dict__, **changes}
        return other


def _status(kind, status, name=None, **expected):
    return Case(kind, name or str(status), "status", status=status, **expected)


LOST = {"maybe": True}
MANGLED = {"maybe": True, "accepted": True}
_BODIES = ("empty", "truncated", "short", "long", "wrong_type", "bad_utf8", "duplicate_keys", "deep", "huge", "gzip", "html_after")
_LIMITED = {"classes": ("RATE_LIMITED", "CONCURRENCY_FULL", "OVERLOADED"), "retryable": True, "maybe": False}
_GONE = ("RESULT_EXPIRED", "NOT_FOUND", "MODEL_GONE", "AUTH", "UPSTREAM_INTERNAL")

SUBMIT_FAULTS = [
    Case("submit", "refused", classes=("NETWORK",), retryable=True, maybe=False),
    _status("submit", 400, classes=("INVALID_REQUEST",), retryable=False, maybe=False),
    _status("submit", 401, classes=("AUTH",), retryable=False, maybe=False),
    _status("submit", 402, classes=("BILLING",), retryable=False, maybe=False),
    _status("submit", 403, classes=("AUTH", "BILLING", "CONTENT_FILTERED", "MODEL_GONE"), retryable=False, maybe=False),
    _status("submit", 404, classes=("MODEL_GONE", "NOT_FOUND", "INVALID_REQUEST"), retryable=False, maybe=False),
    _status("submit", 409, maybe=False),
    _status("submit", 422, classes=("INVALID_REQUEST", "CONTENT_FILTERED"), retryable=False, maybe=False),
    _status("submit", 429, **_LIMITED),
    _status("submit", 429, "429-after-7", retry_after=7, wait=(7000, 7000), **_LIMITED),
    _status("submit", 429, "429-after-a-date", retry_after="date:30", wait=(1, 31000), **_LIMITED),
    _status("submit", 429, "429-after-ages", retry_after="absurd", wait=(0, MAX_WAIT), **_LIMITED),
    _status("submit", 429, "429-after-nonsense", retry_after="soon", wait=(0, MAX_WAIT), **_LIMITED),
    _status("submit", 500, classes=("UPSTREAM_INTERNAL", "OVERLOADED"), retryable=True),
    _status("submit", 502, **LOST),
    _status("submit", 503, classes=("OVERLOADED", "UPSTREAM_INTERNAL"), retryable=True),
    _status("submit", 504, **LOST),
    Case("submit", "html", classes=("AUTH", "OVERLOADED"), maybe=False),
    Case("submit", "502-made", "status_after", status=502, **LOST),
    Case("submit", "504-made", "status_after", status=504, **LOST),
    Case("submit", "redirect", to="private", maybe=True),
    Case("submit", "reset", **LOST),
    Case("submit", "reset_after", **LOST),
    Case("submit", "close_after", **LOST),
    Case("submit", "hang", timeout=SLOW, **LOST),
    Case("submit", "hang_body", timeout=SLOW, **LOST),
    *(Case("submit", body, **MANGLED) for body in _BODIES),
    Case("submit", "slow_head", seconds=0.2, **MANGLED),
    Case("submit", "slow_body", seconds=0.2, **MANGLED),
]
POLL_FAULTS = [
    Case("poll", "refused"),
    *(_status("poll", status) for status in (400, 401, 403, 404, 409, 422, 429, 500, 502, 503, 504)),
    _status("poll", 429, "429-after-7", retry_after=7),
    Case("poll", "html"),
    *(Case("poll", name) for name in ("reset", "reset_after", "close_after", *_BODIES)),
    Case("poll", "hang", timeout=SLOW),
    Case("poll", "hang_body", timeout=SLOW),
    Case("poll", "slow_body", seconds=0.2),
    Case("poll", "redirect", to="private"),
    Case("poll", "other_id"),
    Case("poll", "backwards", after=2),
    Case("poll", "no_link", after=2),
    Case("poll", "flaps", "status", status=503, times=5),
]
FETCH_FAULTS = [
    Case("fetch", "refused", classes=("NETWORK",)),
    *(_status("fetch", status, classes=_GONE, whole=True) for status in (401, 403, 404, 410)),
    *(_status("fetch", status, f"{status}-for-good", classes=_GONE, times=None) for status in (403, 404)),
    *(_status("fetch", status) for status in (429, 500, 502, 503, 504)),
    Case("fetch", "short", retryable=True),
    Case("fetch", "truncated", short=True),
    Case("fetch", "long", short=True),
    Case("fetch", "empty"),
    Case("fetch", "html", whole=True),
    Case("fetch", "not_video"),
    Case("fetch", "wrong_type", whole=True),
    Case("fetch", "gzip", short=True),
    Case("fetch", "reset", retryable=True, whole=True),
    Case("fetch", "reset_after", retryable=True, whole=True),
    Case("fetch", "close_after", retryable=True, whole=True),
    Case("fetch", "hang_body", timeout=SLOW),
    Case("fetch", "slow_body", seconds=0.2, whole=True),
    Case("fetch", "redirect", to="media", whole=True),
    Case("fetch", "redirect-loop", "redirect", to="loop", times=None),
    Case("fetch", "redirect-private", "redirect", to="private"),
    Case("fetch", "redirect-file", "redirect", to="file"),
]
OTHER_FAULTS = [
    Case("lookup", "lost-submit"),
    *(_status("lookup", status) for status in (401, 404, 429, 500, 503)),
    *(Case("lookup", name) for name in ("reset", "html", "html_after", "empty", "truncated", "deep", "huge")),
    _status("cancel", 500),
    Case("cancel", "reset"),
]
GENERIC_FAULTS = [*SUBMIT_FAULTS, *POLL_FAULTS, *FETCH_FAULTS, *OTHER_FAULTS]


def generic_faults(without=(), **changed):
    """GENERIC_FAULTS for one provider: `without` {name: why it cannot apply}, and others by name with `-` as `_`:
    submit_403=dict(classes=("BILLING",))."""
    names = {str(case) for case in GENERIC_FAULTS}
    unknown = (set(without) | {name.replace("_", "-", 1) for name in changed}) - names
    assert not unknown, f"no such cases: {unknown}"
    return [case.but(**changed.get(str(case).replace("-", "_", 1), {})) for case in GENERIC_FAULTS if str(case) not in without]


def check_generic_faults(worker, sim, case):
    """Runs one case; again where the worker's answer, which it gives just before the caller's deadline, came too late on a busy machine."""
    try:
        _check_generic_fault(worker, sim, case)
    except grpc.RpcError as late:
        if case.timeout != SLOW or late.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
            raise
        _check_generic_fault(worker, sim, case)


def _check_generic_fault(worker, sim, case):
    """The simulator starts afresh; memory and figures are looked at in every one."""
    sim.reset()
    worker.finish(worker.accept())  # a connection that is open already is the harder case
    before = worker.memory()
    {"submit": _check_submit, "poll": _check_poll, "fetch": _check_fetch, "lookup": _check_lookup, "cancel": _check_cancel}[case.kind](
        worker, sim, case)
    assert worker.memory() < before + MEMORY, f"grew from {before} to {worker.memory()}"
    assert not sim.leaks and not sim.crashes


@contextlib.contextmanager
def _trouble(sim, case):
    """The fault, for as long as it lasts."""
    if case.fault == "refused":
        with sim.refusing():
            yield
        return
    sim.script(fault=case.fault, kind=case.kind, after=case.after, times=case.times, **case.script)
    yield
    sim.scripts.clear()


def _check_error(case, error):
    name = class_of(error)
    assert case.classes is None or name in case.classes, f"{name} is not one of {case.classes}: {error}"
    assert case.retryable in (None, error.retryable), error
    assert 0 <= error.retry_after_ms <= MAX_WAIT, error
    if case.wait:
        assert case.wait[0] <= error.retry_after_ms <= case.wait[1], error


def _check_submit(worker, sim, case):
    made, asked = sim.submits, sim.count("submit")
    with _trouble(sim, case):
        answer = worker.submit(timeout=case.timeout)
    assert sim.count("submit") - asked == (0 if case.fault == "refused" else 1), "the worker repeated the submission"
    if case.accepted and not answer.HasField("error"):
        assert sim.submits == made + 1
        assert worker.fetch(worker.finish(answer.accepted if answer.HasField("accepted") else answer.finished))
        return
    assert answer.HasField("error"), answer
    _check_error(case, answer.error)
    assert case.maybe in (None, answer.error.maybe_submitted), answer.error
    assert answer.error.maybe_submitted or sim.submits == made, f"a job was made, and denied: {answer.error}"
    assert sim.submits <= made + 1
    if class_of(answer.error) in RESTING:
        worker.restart()
    assert worker.make_video(), "the next one works"


def _check_poll(worker, sim, case):
    accepted, made = worker.accept(), sim.submits
    answers = []
    with _trouble(sim, case):
        for answer in worker.polls(accepted, timeout=case.timeout):
            answers.append(answer)
            if case.fault == "refused":
                break
    if case.fault == "refused":
        assert answers[0].error.retryable, answers[0]
        answers += worker.polls(accepted)
    for answer in answers[:-1]:
        assert answer.HasField("running") or answer.error.retryable, answer
        assert not answer.error.maybe_submitted and not answer.error.fallback_ok, answer
        assert 0 <= answer.running.progress <= 99 and answer.error.retry_after_ms <= MAX_WAIT
    assert answers[-1].HasField("finished"), answers
    film = worker.fetch(answers[-1].finished)
    assert media.probe(film)["codec"] == "h264" and sim.submits == made


def _check_fetch(worker, sim, case):
    finished = worker.finish(worker.accept())
    film = worker.fetch(finished)
    with _trouble(sim, case):
        try:
            data = worker.fetch(finished, timeout=case.timeout)
            short = case.short and worker.info.bytes in (0, len(data))
            assert (case.whole and data == film) or (short and data != film), f"{len(data)} of {len(film)} bytes as a whole"
        except FetchError as failed:
            _check_error(case, failed.error)
            assert not failed.error.maybe_submitted and not failed.error.fallback_ok, failed.error
        except grpc.RpcError as failed:
            assert failed.code() == grpc.StatusCode.DEADLINE_EXCEEDED and case.timeout == SLOW
    assert worker.fetch(finished) == film


def _check_lookup(worker, sim, case):
    known = worker.describe().supports_lookup
    sim.script(fault="reset_after", kind="submit")
    answer = worker.submit()
    assert answer.error.maybe_submitted and sim.submits == 2
    if case.name == "lost-submit":
        outcome, accepted = worker.lookup(taken=[sim.history[0].id])
        assert outcome == ("FOUND" if known else "UNSUPPORTED")
        assert not known or worker.fetch(worker.finish(accepted))
    elif known:
        with _trouble(sim, case):
            outcome, _ = worker.lookup(taken=[sim.history[0].id])
        assert outcome in ("RETRY", "UNSUPPORTED", "FOUND"), f"{outcome}, with the job there"
        assert worker.lookup(taken=[sim.history[0].id])[0] == "FOUND"
    assert sim.submits == 2


def _check_cancel(worker, sim, case):
    accepted = worker.accept()
    if not worker.describe().supports_cancel:
        assert worker.cancel(accepted) == "UNSUPPORTED"
        return
    outcome = None
    with _trouble(sim, case):
        try:
            outcome = worker.cancel(accepted)
        except grpc.RpcError as failed:
            assert failed.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED)
    # A reset DELETE is sent again; some forget what they cancel.
    told = worker.poll(accepted)
    forgotten = told.HasField("error") and NAMES[getattr(told.error, "class")] == "NOT_FOUND"
    assert told.HasField("canceled") or forgotten if outcome == "CANCELED" else told.WhichOneof("state") in ("running", "finished"), told
