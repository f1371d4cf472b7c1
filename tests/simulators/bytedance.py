# SPDX-License-Identifier: Apache-2.0
"""BytePlus ModelArk's content generation tasks (Seedance)."""
import secrets
import time

from simulators import base, content, rules
from simulators.base import Refusal, Reply, route

WHOLE = ("480p", "720p", "1080p")
MODELS = {  # resolutions, shortest, longest, sound, references
    "dreamina-seedance-2-5-260628": (WHOLE, 4, 30, True, True),
    "dreamina-seedance-2-0-260128": (WHOLE, 4, 15, True, True),
    "dreamina-seedance-2-0-fast-260128": (("480p", "720p"), 4, 15, True, True),
    "dreamina-seedance-2-0-mini-260615": (("480p", "720p"), 4, 15, True, True),
    "seedance-1-5-pro-251215": (WHOLE, 4, 12, True, False),
    "seedance-1-0-pro-250528": (WHOLE, 2, 12, False, False),
}
SIZES = {
    "480p": {"16:9": (864, 496), "4:3": (752, 560), "1:1": (640, 640), "3:4": (560, 752), "9:16": (496, 864), "21:9": (992, 432)},
    "720p": {"16:9": (1280, 720), "4:3": (1112, 834), "1:1": (960, 960), "3:4": (834, 1112), "9:16": (720, 1280), "21:9": (1470, 630)},
    "1080p": {"16:9": (1920, 1080), "4:3": (1664, 1248), "1:1": (1440, 1440), "3:4": (1248, 1664), "9:16": (1080, 1920),
              "21:9": (2206, 946)},
}


def of_model(index, member, holds, name, detail):
    """A rule about one member against the model's row."""
    return rules.Rule(name, lambda body: body[member] is None or holds(MODELS[body["model"]][index], body), member, detail)


CREATE = rules.obj({
    "model": rules.text(1, 128, required=True),
    "content": rules.array(content.Item(8000), 1, required=True),
    "duration": rules.integer(2, 30, default=5),
    "ratio": rules.one_of(*SIZES["720p"], "adaptive", default="adaptive"),
    "resolution": rules.one_of(*WHOLE, default="720p"),
    "generate_audio": rules.boolean(),
    "watermark": rules.boolean(default=False),
    "seed": rules.integer(-1, 2 ** 32 - 1, default=-1),
    "camera_fixed": rules.boolean(),
    "return_last_frame": rules.boolean(default=False),
    "service_tier": rules.one_of("default", "flex", default="default"),
    "execution_expires_after": rules.integer(3600, 259200, default=172800),
    "callback_url": rules.url(),
    "safety_identifier": rules.text(1, 64),
},
    rules.Rule("model_known", lambda b: b["model"] in MODELS, "model", "does not exist or you do not have access to it"),
    of_model(0, "resolution", lambda has, b: b["resolution"] in has, "resolution_of_model", "is not supported by the model"),
    of_model(1, "duration", lambda low, b: b["duration"] >= low, "shortest_of_model", "is too short for the model"),
    of_model(2, "duration", lambda high, b: b["duration"] <= high, "longest_of_model", "is too long for the model"),
    of_model(3, "generate_audio", lambda has, b: has, "audio_of_model", "is not supported by the model"),
    of_model(4, "content", lambda has, b: has or not any("reference" in (one.get("role") or "") for one in b["content"]),
             "references_of_model", "reference media is not supported by the model"),
    *content.content_rules())
LIST = rules.obj({
    "page_num": rules.text(pattern=r"[1-9]\d{0,2}", default="1"),
    "page_size": rules.text(pattern=r"[1-9]\d?|[1-4]\d\d|500", default="10"),
    "filter.status": rules.one_of("queued", "running", "cancelled", "succeeded", "failed"),
    "filter.task_ids": rules.text(1, 128),
    "filter.model": rules.text(1, 128),
    "filter.service_tier": rules.one_of("default", "flex"),
})
ERRORS = {  # status: code, type, message
    400: ("InvalidParameter", "BadRequest", "One or more parameters specified in the request are not valid."),
    401: ("AuthenticationError", "Unauthorized", "The API key or AK/SK in the request is missing or invalid."),
    403: ("AccessDenied", "Forbidden", "The request failed because you do not have access to the requested resource."),
    404: ("ResourceNotFound", "NotFound", "The specified resource is not found."),
    409: ("InvalidAction.RunningTaskDeletion", "Conflict", "A running task cannot be deleted."),
    429: ("AccountRateLimitExceeded", "TooManyRequests", "The Requests Per Minute (RPM) limit of the model has been exceeded."),
    500: ("InternalServiceError", "InternalServerError", "The service encountered an unexpected internal error."),
    503: ("ServiceUnavailable", "ServiceUnavailable", "The service is not available."),
}
REFUSALS = {  # outcome: status, code, message
    "moderation_at_submit": (400, "InputTextSensitiveContentDetected",
                             "The request failed because the input text may contain sensitive information."),
    "moderation_of_picture": (400, "InputImageSensitiveContentDetected.PrivacyInformation",
                              "The request failed because the input image may contain real person."),
    "model_gone": (404, "InvalidEndpointOrModel.NotFound", "The model or endpoint does not exist or you do not have access to it."),
    "model_closed": (404, "ModelNotOpen", "Your account has not activated the model. Please activate it in the Ark Console."),
    "overdue": (403, "AccountOverdueError", "The request failed because your account has an overdue balance."),
    "paused": (429, "SetLimitExceeded", "Your account has reached the set inference limit for this model."),
    "queue_full": (429, "QuotaExceeded", "The number of tasks in the queue exceeds the limit of your account."),
    "overloaded": (429, "ServerOverloaded", "The service is currently unable to handle additional requests. Please try again later."),
}
FAILURES = {  # outcome: error of the failed task
    "moderation_in_job": ("OutputVideoSensitiveContentDetected.PolicyViolation",
                          "The request failed because the output video may be related to copyright restrictions."),
    "failed": ("InternalServiceError", "The service encountered an unexpected internal error."),
}


class Simulator(base.Simulator):
    name = "bytedance"
    keys = ("ark-sim-one", "ark-sim-two")
    outcomes = ("ok", *REFUSALS, *FAILURES, "empty_result", "expired", "never")
    tables = (("create", CREATE), ("list", LIST))
    checks = ("delete.running", "delete.canceled")
    link_life = 24 * 3600
    base_path = "/api/v3"
    path = "/api/v3/contents/generations/tasks"

    def error(self, status, message="", code=None, param=""):
        usual, kind, text = ERRORS.get(status, ERRORS[500])
        told = f"{message or text} Request id: {time.strftime('0217%y%m%d%H%M%S')}{secrets.token_hex(12)}"
        return Reply(status, {"error": {"code": code or usual, "message": told, "param": param, "type": kind}})

    def violation(self, broken):
        param = broken.path.partition(".")[2]
        if broken.rule == "create.model_known":
            return self.error(404, f"The model or endpoint {broken.value} does not exist or you do not have access to it.",
                              "InvalidEndpointOrModel.NotFound")
        code = {"required": "MissingParameter"}.get(broken.kind, "InvalidParameter")
        return self.error(400, f"The parameter `{param}` specified in the request is not valid: {broken.detail}.", code, param)

    def _status(self, job):
        if job.phase in ("queued", "running"):
            return job.phase
        if job.phase == "canceled":
            return "cancelled"
        return "failed" if job.outcome in FAILURES else "expired" if job.outcome == "expired" else "succeeded"

    def task(self, job):
        body, told = job.fields["body"], self._status(job)
        task = {"id": job.id, "model": body["model"], "status": told, "created_at": int(job.created),
                "updated_at": int(job.ended or job.created), "seed": job.fields["seed"], "resolution": body["resolution"],
                "ratio": job.fields["ratio"], "duration": job.seconds, "framespersecond": 24, "service_tier": body["service_tier"],
                "execution_expires_after": body["execution_expires_after"], "draft": False}
        if body["generate_audio"] is not None:
            task["generate_audio"] = body["generate_audio"]
        if body["safety_identifier"]:
            task["safety_identifier"] = body["safety_identifier"]
        if told == "failed":
            task["error"] = dict(zip(("code", "message"), FAILURES[job.outcome]))
        if told == "succeeded":
            tokens = job.width * job.height * 24 * job.seconds // 1024
            task["content"] = {} if job.outcome == "empty_result" else {"video_url": self.link(job)}
            task["usage"] = {"completion_tokens": tokens, "total_tokens": tokens}
        return task

    def hook(self, job):
        return job.fields["body"]["callback_url"]

    def event(self, job):
        return self.task(job)

    @route("POST", path, "submit")
    def create(self, request):
        body = CREATE.check(request.json(), "create")
        outcome = self.next_outcome(request)
        if outcome in REFUSALS:
            status, code, message = REFUSALS[outcome]
            raise Refusal(self.error(status, message, code))
        ratio = "16:9" if body["ratio"] == "adaptive" else body["ratio"]
        width, height = SIZES[body["resolution"]][ratio]
        job = self.new_job(request, time.strftime("cgt-%Y%m%d%H%M%S-") + secrets.token_hex(4), content.prompt_of(body["content"]), width,
                           height, body["duration"], bool(body["generate_audio"]), body=body, ratio=ratio,
                           seed=secrets.randbelow(100000) if body["seed"] == -1 else body["seed"])
        return Reply(200, {"id": job.id})

    @route("GET", path + "/{id}", "poll")
    def retrieve(self, request, id):
        return Reply(200, self.task(self.polled(request, id)))

    @route("GET", path, "lookup")
    def list(self, request):
        asked = LIST.check(request.query, "list")
        mine = [job for job in reversed(self.jobs.values()) if job.key == request.key and job.created > self.clock.now() - 7 * 86400
                and asked["filter.status"] in (None, self._status(job)) and asked["filter.task_ids"] in (None, job.id)
                and asked["filter.model"] in (None, job.fields["body"]["model"])]
        size = int(asked["page_size"])
        at = (int(asked["page_num"]) - 1) * size
        return Reply(200, {"items": [self.task(job) for job in mine[at:at + size]], "total": len(mine)})

    @route("DELETE", path + "/{id}", "cancel")
    def delete(self, request, id):
        job = self.find(request, id)
        for phase, rule in (("running", "delete.running"), ("canceled", "delete.canceled")):
            if job.phase == phase:
                self.broken[rule] += 1
                raise Refusal(self.error(409))
        if job.phase == "queued":
            job.canceled = True
        else:
            del self.jobs[id]
        return Reply(200, {})
