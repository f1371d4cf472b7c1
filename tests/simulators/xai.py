# SPDX-License-Identifier: Apache-2.0
"""xAI's Grok Imagine videos. Moderation of a finished video is HTTP 400 on the poll, and is charged."""
import uuid

from simulators import base, rules
from simulators.base import Refusal, Reply, route

RATIOS = {"16:9": (16, 9), "9:16": (9, 16), "1:1": (1, 1), "4:3": (4, 3), "3:4": (3, 4), "3:2": (3, 2), "2:3": (2, 3)}
SIDES = {"480p": 480, "720p": 720, "1080p": 1080}
MODELS = {  # resolutions, a picture must be there, cents a second
    "grok-imagine-video": (("480p", "720p"), False, {"480p": 5, "720p": 7}),
    "grok-imagine-video-1.5": (tuple(SIDES), True, {"480p": 8, "720p": 14, "1080p": 25}),
    "grok-imagine-video-1.5-preview": (("480p", "720p"), True, {"480p": 8, "720p": 14}),
}
PICTURE = rules.obj({"url": rules.picture(("data", "url"), required=True), "type": rules.one_of("image_url")})


def row(body):
    return MODELS.get(body["model"], (tuple(SIDES), False, {}))


CREATE = rules.obj({
    "model": rules.text(1, 128, required=True),
    "prompt": rules.text(1, 4096, required=True),
    "duration": rules.integer(1, 15, default=8),
    "aspect_ratio": rules.one_of(*RATIOS, default="16:9"),
    "resolution": rules.one_of(*SIDES, default="480p"),
    "image": PICTURE,
    "reference_images": rules.array(PICTURE, 1, 7),
    "user": rules.text(1, 256),
},
    rules.Rule("model_known", lambda b: b["model"] in MODELS, "model", "does not exist or your team does not have access to it"),
    rules.Rule("resolution_of_model", lambda b: b["resolution"] in row(b)[0], "resolution", "is not supported by the model"),
    rules.Rule("image_or_references", lambda b: not (b["image"] and b["reference_images"]), "image", "cannot be combined with reference_images"),
    rules.Rule("image_needed", lambda b: b["image"] or b["reference_images"] or not row(b)[1], "image", "is required by this model"),
    rules.Rule("seconds_of_references", lambda b: not b["reference_images"] or b["duration"] <= 10, "duration",
               "exceeds the maximum allowed for reference-to-video, which is 10s"))
ERRORS = {  # status: code, text
    400: ("Client specified an invalid argument", "Invalid request."),
    401: ("The caller does not have valid authentication credentials", "No credentials were given."),
    402: ("Payment required", "Your team has no credits."),
    403: ("The caller does not have permission to execute the specified operation", "Your API key may not use this endpoint."),
    404: ("Some requested entity was not found", "The requested resource was not found."),
    422: ("Client specified an invalid argument", "Failed to deserialize the JSON body into the target type."),
    429: ("Some resource has been exhausted", "Too many requests. Please slow down."),
    500: ("Internal error", "Internal server error."),
    503: ("The service is currently unavailable", "Service temporarily unavailable."),
}
REFUSALS = {  # outcome: status, code, text
    "moderation_at_submit": (400, "imagine:content-moderated", "The prompt was rejected by content moderation."),
    "model_gone": (404, ERRORS[404][0], "The model grok-imagine-video does not exist or your team does not have access to it."),
    "bad_key": (400, ERRORS[400][0], "Incorrect API key provided: xa***. You can obtain an API key from https://console.x.ai."),
    "no_credits": (403, ERRORS[403][0], "Your team has used all available credits or reached its monthly spending limit."),
}


class Simulator(base.Simulator):
    name = "xai"
    base_path = "/v1"
    keys = ("xai-sim-one", "xai-sim-two")
    outcomes = ("ok", *REFUSALS, "moderation_in_job", "moderation_old", "moderation_flag", "moderation_free", "failed", "empty_result",
                "expired", "never")
    tables = (("create", CREATE),)
    without_status = False  # a finished answer has no status word, as was seen

    def error(self, status, message="", code=None):
        usual, text = ERRORS.get(status, ERRORS[500])
        return Reply(status, {"code": code or usual, "error": message or text})

    def violation(self, broken):
        path = broken.path.partition(".")[2]
        if broken.rule == "create.model_known":
            return self.error(404, f"The model {broken.value} {broken.detail}.")
        return self.error(422 if broken.kind in ("unknown", "type", "required") else 400, f"{path}: {broken.detail}")

    def malformed(self, error):
        return self.error(422, error.detail)

    def _ticks(self, job):
        body = job.fields["body"]
        return {"cost_in_usd_ticks": row(body)[2][body["resolution"]] * job.seconds * 10 ** 8}

    @route("POST", "/v1/videos/generations", "submit")
    def create(self, request):
        body = CREATE.check(request.json(), "create")
        outcome = self.next_outcome(request)
        if outcome in REFUSALS:
            status, code, text = REFUSALS[outcome]
            raise Refusal(self.error(status, text, code))
        side, (across, down) = SIDES[body["resolution"]], RATIOS[body["aspect_ratio"]]
        width, height = (round(side * part / min(across, down) / 2) * 2 for part in (across, down))
        job = self.new_job(request, str(uuid.uuid4()), body["prompt"], width, height, body["duration"], True, body=body)
        return Reply(200, {"request_id": job.id})

    @route("GET", "/v1/videos/{id}", "poll")
    def retrieve(self, request, id):
        job = self.polled(request, id)
        if job.phase != "done":
            return Reply(202, {"status": "pending", "progress": job.progress})
        if job.outcome in ("moderation_in_job", "moderation_old", "moderation_free"):
            code = ERRORS[400][0] if job.outcome == "moderation_old" else "imagine:content-moderated"
            usage = {"cost_in_usd_ticks": 0} if job.outcome == "moderation_free" else self._ticks(job)
            return Reply(400, {"code": code, "error": "Generated video rejected by content moderation.", "usage": usage})
        if job.outcome == "failed":
            return Reply(200, {"status": "failed", "error": {"code": "internal_error", "message": "Video generation failed."}})
        if job.outcome == "expired":
            return Reply(200, {"status": "expired"})
        passed = job.outcome != "moderation_flag"
        video = {"duration": job.seconds, "respect_moderation": passed}
        if passed and job.outcome != "empty_result":
            video["url"] = self.link(job)
        done = {} if self.without_status and "url" in video else {"status": "done"}
        return Reply(200, {**done, "video": video, "model": job.fields["body"]["model"], "usage": self._ticks(job), "progress": 100})
