# SPDX-License-Identifier: Apache-2.0
"""A provider worker in the test's own process, which does what the test says: jobs that end when told, webhooks read by one header.

    with event_worker.Worker("fal") as worker:
        ... --workers fal=worker.address ...
        job = worker.job()          # the newest one: id, event_url, polls
        job.done = True             # what the next poll finds
"""
import threading
from concurrent import futures

import grpc
import upstream  # noqa: F401  its stubs
from simulators import media
from upstream import pb
from vg import wait_for
from videogate.v1 import worker_pb2_grpc

FAR_MS = 3600 * 1000


class Job:
    def __init__(self, number, request):
        self.id = f"job-{number}"
        self.request, self.event_url = request, request.event_url
        self.done, self.polls = False, 0


class Worker(worker_pb2_grpc.ProviderWorkerServiceServicer):
    """`poll_ms` is how long the service is told to wait between polls. `submitting` and `polling` are called with the job before the
    answer leaves."""

    def __init__(self, provider):
        self.provider, self.poll_ms = provider, FAR_MS
        self.submitting = self.polling = lambda job: None
        self.jobs, self.events = [], []
        self.lock = threading.Lock()
        self.port, self.server = 0, None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self.server = grpc.server(futures.ThreadPoolExecutor(16))
        worker_pb2_grpc.add_ProviderWorkerServiceServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port(self.address)
        assert self.port, "the port is taken"
        self.server.start()

    def stop(self):
        self.server.stop(None).wait()

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def job(self, after=0):
        """The newest of more than `after` jobs, once it is there."""
        return wait_for(lambda: len(self.jobs) > after and self.jobs[-1], "a submission", pause=0.02)

    # --- the service's calls ---

    def Describe(self, request, context):
        return pb.DescribeResponse(provider=self.provider, supports_events=True)

    def Submit(self, request, context):
        with self.lock:
            job = Job(len(self.jobs), request)
            self.jobs.append(job)
        self.submitting(job)
        return pb.SubmitResponse(accepted=pb.Accepted(upstream_id=job.id, poll_after_ms=self.poll_ms))

    def find(self, upstream_id):
        return next(job for job in self.jobs if job.id == upstream_id)

    def Poll(self, request, context):
        job = self.find(request.upstream_id)
        job.polls += 1
        found = pb.PollResponse(running=pb.Running(progress=1, poll_after_ms=self.poll_ms))
        if job.done:
            found = pb.PollResponse(finished=pb.Finished(upstream_id=job.id, mime_type="video/mp4"))
        self.polling(job)
        return found

    def Fetch(self, request, context):
        asked = self.find(request.upstream_id).request
        mp4 = media.video(asked.width, asked.height, asked.seconds, asked.audio)
        yield pb.FetchResponse(info=pb.FetchInfo(mime_type="video/mp4", bytes=len(mp4)))
        for at in range(0, len(mp4), 65536):
            yield pb.FetchResponse(data=mp4[at : at + 65536])

    def ReadEvent(self, request, context):
        """x-signature says the verdict, x-job the job, x-reply what to say."""
        headers = {header.name: header.value for header in request.headers}
        self.events.append((headers, request.body))
        verdicts = {"good": pb.EVENT_VERDICT_VERIFIED, None: pb.EVENT_VERDICT_UNSIGNED}
        return pb.ReadEventResponse(verdict=verdicts.get(headers.get("x-signature"), pb.EVENT_VERDICT_REFUSED),
                                    upstream_id=headers.get("x-job", ""), reply=headers.get("x-reply", ""))
