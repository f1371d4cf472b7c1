# SPDX-License-Identifier: Apache-2.0
"""A provider worker that plays what a test tells it: every answer, error and silence of ProviderWorkerService.

    with ScriptedWorker("alpha", modules) as alpha:
        alpha.plan["a cat"] = [alpha.error("AUTH", http_status=401)]   # Submits with this prompt; then `alpha.default`

`modules` is what `compile_stubs` returns. The worker keeps its own record: `submits` (requests in order), `lookups`, `polls`.
Results are MP4s of 160x90 and one second.
"""
import concurrent.futures
import hashlib
import importlib
import subprocess
import sys
import threading
import time

import grpc
from simulators import media
from vg import ROOT


def compile_stubs(folder):
    """(worker_pb2, worker_pb2_grpc), made with protoc."""
    subprocess.run(["protoc", "-I", str(ROOT / "proto"), f"--python_out={folder}", f"--grpc_python_out={folder}",
                    "--plugin=protoc-gen-grpc_python=/usr/bin/grpc_python_plugin",
                    str(ROOT / "proto/videogate/v1/worker.proto")], check=True)
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module("videogate.v1.worker_pb2"), importlib.import_module("videogate.v1.worker_pb2_grpc")
    finally:
        sys.path.remove(str(folder))


class ScriptedWorker:
    def __init__(self, provider, modules, port=0):
        self.provider, self.pb, self.rpc = provider, *modules
        self.result = media.video(160, 90, 1)
        self.describe = {"supports_cancel": True, "supports_lookup": True}
        self.lock = threading.Lock()
        self.plan = {}           # prompt: what its Submits get, one each: an answer, or a function of request and context
        self.default = self.finished
        self.poll_plan = {}      # upstream id: what its Polls get; then: finished
        self.lookup_plan = {}    # prompt: what its Lookups get; then: absent
        self.submits, self.lookups, self.polls = [], [], []
        self.cancels = []
        self.open = 0            # submissions under way
        self.most_open = 0
        self.port = port

    # --- answers ---

    def error(self, name, phase="submit", retryable=None, fallback_ok=None, **fields):
        """A ProviderError as workers describe the class, unless told otherwise."""
        again = name in ("RATE_LIMITED", "CONCURRENCY_FULL", "OVERLOADED", "UPSTREAM_INTERNAL", "TIMEOUT", "NETWORK")
        never = name in ("CONTENT_FILTERED", "RESULT_EXPIRED", "NOT_FOUND")
        fields.setdefault("upstream_code", name.lower() + "_code")
        fields.setdefault("upstream_message", f"{self.provider} says {name.lower()}")
        error = self.pb.ProviderError(retryable=again if retryable is None else retryable,
                                      fallback_ok=not never if fallback_ok is None else fallback_ok,
                                      public_message=f"public {name.lower()}", **fields)
        setattr(error, "class", self.pb.ErrorClass.Value("ERROR_CLASS_" + name))
        return (self.pb.SubmitResponse if phase == "submit" else self.pb.PollResponse)(error=error)

    def accepted(self, request=None, context=None, upstream_id=None, poll_after_ms=50):
        name = upstream_id or f"{self.provider}-{len(self.submits)}"
        return self.pb.SubmitResponse(accepted=self.pb.Accepted(upstream_id=name, poll_state=b"p", poll_after_ms=poll_after_ms))

    def finished(self, request=None, context=None):
        return self.pb.SubmitResponse(finished=self.done())

    def done(self, upstream_id=None):
        return self.pb.Finished(upstream_id=upstream_id or f"{self.provider}-{len(self.submits)}", poll_state=b"f", mime_type="video/mp4",
                                bytes=len(self.result), sha256=hashlib.sha256(self.result).hexdigest())

    def running(self, progress=10, poll_after_ms=50):
        return self.pb.PollResponse(running=self.pb.Running(progress=progress, poll_after_ms=poll_after_ms, poll_state=b"p"))

    def looked_up(self, outcome, upstream_id=None):
        answer = self.pb.LookupResponse(outcome=self.pb.LookupOutcome.Value("LOOKUP_OUTCOME_" + outcome))
        if upstream_id:
            answer.accepted.CopyFrom(self.pb.Accepted(upstream_id=upstream_id, poll_state=b"p", poll_after_ms=50))
        return answer

    @staticmethod
    def lose(request, context):
        """The call breaks; nobody can say what became of it."""
        context.abort(grpc.StatusCode.INTERNAL, "lost")

    @staticmethod
    def too_late(request, context):
        """As a worker answers that sees a Submit after its start_by_ms."""
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "late")

    @staticmethod
    def slow(seconds, answer):
        def play(request, context):
            time.sleep(seconds)
            return answer(request, context)
        return play

    # --- the service ---

    def Describe(self, request, context):  # noqa: N802
        return self.pb.DescribeResponse(provider=self.provider, **{name: value() if callable(value) else value for name, value in self.describe.items()})

    def Submit(self, request, context):  # noqa: N802
        with self.lock:
            self.submits.append(request)
            self.open += 1
            self.most_open = max(self.most_open, self.open)
            turn = self.plan[request.prompt].pop(0) if self.plan.get(request.prompt) else self.default
        try:
            return turn(request, context) if callable(turn) else turn
        finally:
            with self.lock:
                self.open -= 1

    def Poll(self, request, context):  # noqa: N802
        with self.lock:
            self.polls.append(request)
            rest = self.poll_plan.get(request.upstream_id)
        turn = rest.pop(0) if rest else self.pb.PollResponse(finished=self.done(request.upstream_id))
        return turn(request, context) if callable(turn) else turn

    def Lookup(self, request, context):  # noqa: N802
        with self.lock:
            self.lookups.append(request)
            rest = self.lookup_plan.get(request.submit.prompt)
        turn = rest.pop(0) if rest else self.looked_up("ABSENT")
        return turn(request, context) if callable(turn) else turn

    def Cancel(self, request, context):  # noqa: N802
        self.cancels.append(request)
        return self.pb.CancelResponse(outcome=self.pb.CANCEL_OUTCOME_CANCELED)

    def Fetch(self, request, context):  # noqa: N802
        info = self.pb.FetchInfo(mime_type="video/mp4", bytes=len(self.result), sha256=hashlib.sha256(self.result).hexdigest())
        yield self.pb.FetchResponse(info=info)
        for at in range(0, len(self.result), 1 << 16):
            yield self.pb.FetchResponse(data=self.result[at:at + (1 << 16)])

    def ReadEvent(self, request, context):  # noqa: N802
        return self.pb.ReadEventResponse(verdict=self.pb.EVENT_VERDICT_REFUSED)

    # --- life ---

    def __enter__(self):
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(40), options=[("grpc.so_reuseport", 0)])
        self.rpc.add_ProviderWorkerServiceServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port(f"127.0.0.1:{self.port}")
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.stop(0).wait()

    def submitted(self, prompt):
        """The tokens of the Submits with this prompt."""
        return [request.token for request in self.submits if request.prompt == prompt]
