# SPDX-License-Identifier: Apache-2.0
"""AtlasCloud's media API with Kling's models: uploads, predictions."""
import secrets

from simulators import base, media, rules
from simulators.base import Refusal, Reply, route

SIZES = {"720p": {"16:9": (1280, 720), "9:16": (720, 1280), "1:1": (960, 960)},
         "1080p": {"16:9": (1920, 1080), "9:16": (1080, 1920), "1:1": (1440, 1440)},
         "4k": {"16:9": (3840, 2160), "9:16": (2160, 3840), "1:1": (2880, 2880)}}
TIERS = {"std": "720p", "pro": "1080p", "4k": "4k", "turbo": None}  # and what each makes; turbo is told
MODELS = {f"kwaivgi/kling-v3.0-{tier}/{kind}-to-video": (tier, kind) for tier in TIERS for kind in ("text", "image")}


def _of(index, holds):
    return lambda body: body["model"] not in MODELS or holds(MODELS[body["model"]][index], body)


GENERATE = rules.obj({
    "model": rules.text(1, 200, required=True),
    "prompt": rules.text(1, 2500, required=True),
    "negative_prompt": rules.text(0, 2500),
    "duration": rules.integer(3, 15, default=5),
    "aspect_ratio": rules.one_of("16:9", "9:16", "1:1", default="16:9"),
    "resolution": rules.one_of("720p", "1080p"),
    "sound": rules.boolean(),
    "cfg_scale": rules.number(0, 1),
    "image": rules.url(),
    "end_image": rules.url(),
    "webhook_url": rules.url("https"),
},
    rules.Rule("model_known", lambda b: b["model"] in MODELS, "model", "model not found"),
    rules.Rule("image_of_kind", _of(1, lambda kind, b: bool(b["image"]) == (kind == "image")), "image", "is for image-to-video alone"),
    rules.Rule("end_needs_image", lambda b: not b["end_image"] or b["image"], "end_image", "needs an image"),
    rules.Rule("sound_of_tier", _of(0, lambda tier, b: tier != "turbo" or b["sound"] is None), "sound", "is not supported by the model"),
    rules.Rule("resolution_of_tier", _of(0, lambda tier, b: tier == "turbo" or b["resolution"] is None), "resolution",
               "is not supported by the model"))

ERRORS = {400: "invalid request", 401: "unauthorized", 402: "insufficient balance", 403: "forbidden", 404: "model not found",
          405: "method not allowed", 413: "request body too large", 422: "invalid request", 429: "rate limit exceeded",
          451: "not available in your region", 500: "internal error", 503: "service temporarily unavailable", 504: "timeout"}
REFUSALS = {  # outcome: status, message
    "moderation_at_submit": (400, "the input was rejected by content moderation"),
    "real_person": (400, "input image may contain real person"),
    "model_gone": (404, "model not found"),
    "no_balance": (402, "insufficient balance"),
    "region": (451, "not available in your region"),
}
FAILURES = {  # outcome: error_code, error
    "moderation_in_job": (1039, "The input did not pass the review."),
    "failed": (1000, "Generation failed"),
}


class Simulator(base.Simulator):
    name = "atlascloud"
    keys = ("apikey-atlas-sim-one", "apikey-atlas-sim-two")
    outcomes = ("ok", *REFUSALS, *FAILURES, "empty_result", "never")
    tables = (("generate", GENERATE),)
    checks = ("upload.file", "upload.picture", "generate.picture_known")
    link_life = 14 * 86400
    in_body = False  # failures are 200 with a code

    def reset(self):
        super().reset()
        self.uploads = {}
        self.word = "completed"  # or succeeded

    def error(self, status, message="", code=None):
        return Reply(200 if self.in_body else status, {"code": code or status, "msg": message or ERRORS.get(status, ERRORS[500]),
                                                       "request_id": secrets.token_hex(16), "data": None})

    def violation(self, broken):
        if broken.rule == "generate.model_known":
            return self.error(404)
        return self.error(400, f"{broken.path.partition('.')[2] or broken.path} {broken.detail}")

    @staticmethod
    def _ok(data):
        return Reply(200, {"code": 200, "msg": "success", "request_id": secrets.token_hex(16), "data": data})

    @route("POST", "/api/v1/model/uploadMedia", "upload")
    def upload(self, request):
        form = request.form()
        self.must("upload.file", set(form) == {"file"} and form["file"].filename, "upload.file", "one file is required")
        file = form["file"]
        kind = media.picture_kind(file.data)
        self.must("upload.picture", kind and file.content_type == f"image/{kind}" and file.filename.endswith(kind), "upload.file",
                  "the file is not what its type and name say")
        url = f"{self.media_url}/uploads/{secrets.token_hex(8)}.{kind}"
        self.uploads[url] = file.data
        return self._ok({"type": "image", "download_url": url, "filename": file.filename, "size": len(file.data)})

    def hook(self, job):
        return job.fields["body"]["webhook_url"]

    def event(self, job):
        return self._prediction(job)

    @route("POST", "/api/v1/model/generateVideo", "submit")
    def generate(self, request):
        body = GENERATE.check(request.json(), "generate")
        outcome = self.next_outcome(request)
        if outcome in REFUSALS:
            raise Refusal(self.error(*REFUSALS[outcome]))
        self.must("generate.picture_known", all(url in self.uploads for url in (body["image"], body["end_image"]) if url), "generate.image",
                  "cannot be fetched")
        tier, _ = MODELS[body["model"]]
        width, height = SIZES[TIERS[tier] or body["resolution"] or "720p"][body["aspect_ratio"]]
        job = self.new_job(request, secrets.token_hex(16), body["prompt"], width, height, body["duration"],
                           tier == "turbo" or bool(body["sound"]), body=body)
        return self._ok(self._prediction(job))

    def _prediction(self, job):
        status = {"queued": "created", "running": "processing"}.get(job.phase) or ("failed" if job.outcome in FAILURES else self.word)
        told = {"id": job.id, "model": job.fields["body"]["model"], "status": status, "outputs": None, "error": "", "has_nsfw_contents": None,
                "urls": {"get": f"{self.url}/api/v1/model/prediction/{job.id}"}}
        if status == "failed":
            told["error_code"], told["error"] = FAILURES[job.outcome]
        elif status == self.word:
            told["outputs"] = [] if job.outcome == "empty_result" else [self.link(job)]
        return told

    @route("GET", "/api/v1/model/prediction/{id}", "poll")
    def prediction(self, request, id):
        return self._ok(self._prediction(self.polled(request, id)))
