# SPDX-License-Identifier: Apache-2.0
"""What Azure has beside OpenAI's own form: its errors, and Sora 1's /openai/v1/video/generations/jobs."""
import secrets

from simulators import rules
from simulators.base import Refusal, Reply, route

SIZES = {(w, h) for w, h in ((480, 480), (854, 480), (720, 720), (1280, 720), (1080, 1080), (1920, 1080))}
SIZES |= {(h, w) for w, h in SIZES}
JOB = rules.obj({
    "model": rules.text(1, 64, required=True),
    "prompt": rules.text(1, 32000, required=True),
    "width": rules.integer(1, 1920, required=True),
    "height": rules.integer(1, 1920, required=True),
    "n_seconds": rules.integer(1, 20, default=5),
    "n_variants": rules.integer(1, 4, default=1),
}, rules.Rule("size", lambda b: (b["width"], b["height"]) in SIZES, "width", "this size is not offered"),
    rules.Rule("seconds_of_1080p", lambda b: min(b["width"], b["height"]) < 1080 or b["n_seconds"] <= 10, "n_seconds", "1080p has 10 s at most"),
    rules.Rule("variants_of_1080p", lambda b: min(b["width"], b["height"]) < 1080 or b["n_variants"] == 1, "n_variants", "1080p has one variant"))
TABLES = (("azure_job", JOB),)
CHECKS = ("azure.api_version", "azure.content_ready")
STATUS = {"queued": "queued", "running": "running", "canceled": "cancelled"}


def error(status, message, code):
    """Azure's error body; a refusal by the content filter says so inside."""
    names = {401: "401", 404: "NotFound", 429: "429", 500: "InternalServerError", 503: "ServiceUnavailable"}
    told = {"code": names.get(status, code or "BadRequest"), "message": message}
    if code == "moderation_blocked":
        told = {"code": "content_filter", "message": message, "param": "prompt", "status": status,
                "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {"violence": {"filtered": True}}}}
    return Reply(status, {"error": told}, {"apim-request-id": secrets.token_hex(16)})


class Sora1:
    """Mixed into the simulator; its routes answer in the azure dialect alone."""

    def _azure(self, request):
        if self.dialect != "azure":
            raise Refusal(self.error(404))
        self.must("azure.api_version", request.query.get("api-version") == "preview", "azure.api-version", "api-version must be preview")

    def named_in(self, request):
        """A generation's name holds its job's."""
        return [job for job in self.jobs.values() if job.id.partition("_")[2] in request.target]

    def _azure_status(self, job):
        return STATUS.get(job.phase) or ("failed" if job.outcome in ("failed", "failed_internal", "moderation_in_job") else "succeeded")

    def _azure_job(self, job, status=200):
        told = self._azure_status(job)
        reasons = {"moderation_in_job": "content_filter", "failed": "generation_failed", "failed_internal": "internal_error"}
        films = [{"object": "video.generation", "id": f"gen_{job.id[5:]}{i}", "job_id": job.id, "created_at": int(job.ended),
                  "width": job.width, "height": job.height, "n_seconds": job.seconds, "prompt": job.prompt}
                 for i in range(0 if job.outcome == "empty_result" else job.count)] if told == "succeeded" else []
        return Reply(status, {
            "object": "video.generation.job", "id": job.id, "status": told, "created_at": int(job.created),
            "finished_at": int(job.ended) if job.ended else None, "expires_at": int(job.created) + 86400, "generations": films,
            "prompt": job.prompt, "model": job.fields["model"], "n_variants": job.count, "n_seconds": job.seconds, "height": job.height,
            "width": job.width, "failure_reason": reasons.get(job.outcome) if told == "failed" else None})

    @route("POST", "/v1/video/generations/jobs", "submit")
    def azure_create(self, request):
        self._azure(request)
        body = JOB.check(request.json(), "azure_job")
        outcome = self.next_outcome(request)
        if outcome == "moderation_at_submit":
            raise Refusal(error(400, "The response was filtered.", "moderation_blocked"))
        if outcome == "model_gone":
            raise Refusal(error(404, "The API deployment for this resource does not exist.", "DeploymentNotFound"))
        job = self.new_job(request, "task_" + secrets.token_hex(13), body["prompt"], body["width"], body["height"], body["n_seconds"],
                           audio=False, count=body["n_variants"], model=body["model"])  # Sora 1 is silent
        return self._azure_job(job, 201)

    @route("GET", "/v1/video/generations/jobs/{id}", "poll")
    def azure_retrieve(self, request, id):
        self._azure(request)
        return self._azure_job(self.polled(request, id))

    @route("GET", "/v1/video/generations/jobs", "lookup")
    def azure_list(self, request):
        self._azure(request)
        mine = [job for job in self.jobs.values() if job.key == request.key and job.id.startswith("task_")]
        return Reply(200, {"object": "list", "data": [self._azure_job(job)._body for job in reversed(mine)], "has_more": False})

    @route("DELETE", "/v1/video/generations/jobs/{id}", "cancel")
    def azure_delete(self, request, id):
        self._azure(request)
        job = self.find(request, id)
        job.canceled = job.phase in ("queued", "running")
        del self.jobs[id]
        return Reply(204)

    @route("GET", "/v1/video/generations/{id}/content/video", "fetch")
    def azure_content(self, request, id):
        self._azure(request)
        job = self.find(request, f"task_{id[4:-1]}")
        if self._azure_status(job) != "succeeded" or int(id[-1]) >= job.count:
            self.broken["azure.content_ready"] += 1
            raise Refusal(self.error(404))
        return self.file(request, job, int(id[-1]))
