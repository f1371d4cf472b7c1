# SPDX-License-Identifier: Apache-2.0
"""fal.ai's queue, with the inputs of Veo 3.1, Kling and Seedance. As there, the queue takes any input; what the model thinks of it is
told as its result."""
import re
import secrets
import uuid

from simulators import base, media, rules, wire
from simulators.base import Refusal, Reply, route

SIDES = {"480p": 480, "720p": 720, "1080p": 1080, "4k": 2160}
PICTURE = rules.picture(("data", "url"))
COMMON = {"prompt": rules.text(1, 20000, required=True), "generate_audio": rules.boolean(default=True), "seed": rules.integer(0, 2 ** 32 - 1)}


def needed(**more):
    return rules.picture(("data", "url"), required=True, **more)


def veo(shapes, seconds=("4s", "6s", "8s"), **pictures):
    return rules.obj({
        **COMMON, **pictures,
        "aspect_ratio": rules.one_of(*shapes, default=shapes[0]),
        "duration": rules.one_of(*seconds, default="8s"),
        "resolution": rules.one_of("720p", "1080p", "4k", default="720p"),
        "negative_prompt": rules.text(0, 20000),
        "auto_fix": rules.boolean(default=True),
        "safety_tolerance": rules.one_of("1", "2", "3", "4", "5", "6", default="4"),
    })


def kling(seconds, with_picture):
    pictures = {"start_image_url": needed(), "end_image_url": PICTURE} if with_picture else {
        "aspect_ratio": rules.one_of("16:9", "9:16", "1:1", default="16:9")}
    return rules.obj({**COMMON, **pictures, "prompt": rules.text(1, 2500, required=True),
                      "duration": rules.one_of(*seconds, default="5"), "negative_prompt": rules.text(0, 2500),
                      "cfg_scale": rules.number(0, 1)})


def seedance(resolutions, *more_rules, **more):
    return rules.obj({
        **COMMON, **more,
        "aspect_ratio": rules.one_of("auto", "21:9", "16:9", "4:3", "1:1", "3:4", "9:16", default="auto"),
        "duration": rules.one_of("auto", *map(str, range(4, 16)), default="auto"),
        "resolution": rules.one_of(*resolutions, default="720p"),
        "end_user_id": rules.text(1, 64),
    }, *more_rules)


def seedance_1(**more):
    """Silent."""
    return rules.obj({
        "prompt": COMMON["prompt"], "seed": COMMON["seed"], **more,
        "aspect_ratio": rules.one_of("auto", "21:9", "16:9", "4:3", "1:1", "3:4", "9:16", default="16:9"),
        "duration": rules.one_of(*map(str, range(2, 13)), default="5"),
        "resolution": rules.one_of("480p", "720p", "1080p", default="1080p"),
        "camera_fixed": rules.boolean(default=False),
        "enable_safety_checker": rules.boolean(default=True),
    })


def references(resolutions):
    address = rules.url("https")
    return seedance(
        resolutions,
        rules.Rule("some", lambda b: b["image_urls"] or b["video_urls"] or b["audio_urls"], "image_urls", "a reference is needed"),
        rules.Rule("sounds_not_alone", lambda b: not b["audio_urls"] or b["image_urls"] or b["video_urls"], "audio_urls",
                   "sounds need a picture or video"),
        rules.Rule("twelve", lambda b: sum(len(b[n] or ()) for n in ("image_urls", "video_urls", "audio_urls")) <= 12, "image_urls",
                   "12 files at most"),
        image_urls=rules.array(PICTURE, 0, 9), video_urls=rules.array(address, 0, 3), audio_urls=rules.array(address, 0, 3))


WIDE = ("16:9", "9:16")
ENDPOINTS = {}
for model in ("fal-ai/veo3.1", "fal-ai/veo3.1/fast"):
    ENDPOINTS[model] = veo(WIDE)
    ENDPOINTS[model + "/image-to-video"] = veo(("auto", *WIDE), image_url=needed())
    ENDPOINTS[model + "/first-last-frame-to-video"] = veo(("auto", *WIDE), first_frame_url=needed(), last_frame_url=needed())
    ENDPOINTS[model + "/reference-to-video"] = veo(WIDE, ("8s",), image_urls=rules.array(PICTURE, 1, 3, required=True))
for model, seconds in (("v2.6/pro", ("5", "10")), ("v3/pro", tuple(map(str, range(3, 16)))), ("v3/standard", tuple(map(str, range(3, 16))))):
    ENDPOINTS[f"fal-ai/kling-video/{model}/text-to-video"] = kling(seconds, False)
    ENDPOINTS[f"fal-ai/kling-video/{model}/image-to-video"] = kling(seconds, True)
for model, sizes in (("bytedance/seedance-2.0", ("480p", "720p", "1080p")), ("bytedance/seedance-2.0/fast", ("480p", "720p"))):
    ENDPOINTS[model + "/text-to-video"] = seedance(sizes)
    ENDPOINTS[model + "/image-to-video"] = seedance(sizes, image_url=needed(), end_image_url=PICTURE)
    ENDPOINTS[model + "/reference-to-video"] = references(sizes)
ENDPOINTS["fal-ai/bytedance/seedance/v1/pro/text-to-video"] = seedance_1()
ENDPOINTS["fal-ai/bytedance/seedance/v1/pro/image-to-video"] = seedance_1(image_url=needed(), end_image_url=PICTURE)
QUERY = rules.obj({"fal_webhook": rules.url("https?"), "fal_max_queue_length": rules.text(pattern=r"\d{1,6}"),
                   "priority": rules.one_of("low", "normal")})

ERRORS = {
    400: "Bad request.", 401: "Authentication is required to access this application.", 403: "Access denied.", 404: "Not found.",
    405: "Method Not Allowed", 422: "Unprocessable.", 429: "Too many requests.", 500: "Internal Server Error", 502: "Bad gateway.",
    503: "Service unavailable.", 504: "Gateway timeout.",
}
CODES = {"balance": "User is locked. Reason: Exhausted balance. Top up your balance at fal.ai/dashboard/billing.",
         "concurrent": "The limit of concurrent requests is reached."}
KINDS = {"unknown": "extra_forbidden", "required": "missing", "type": "string_type", "enum": "literal_error", "range": "less_than_equal",
         "length": "string_too_long", "format": "image_load_error", "rule": "value_error"}
DETAILS = {  # outcome: status, type and text of the model's error
    "moderation_in_job": (422, "content_policy_violation", "The content could not be processed because it was flagged by a content checker."),
    "bad_picture": (422, "image_load_error", "The image could not be loaded."),
    "failed": (500, "internal_server_error", "Internal server error."),
    "model_timeout": (504, "generation_timeout", "Generation timed out."),
    "partner_busy": (500, "downstream_service_unavailable", "The downstream service is not available."),
}
FAILURES = {  # outcome: status, error_type and text of the platform's error
    "runner_lost": (503, "runner_disconnected", "The runner disconnected."),
    "no_runner": (503, "runner_scheduling_failure", "No runner could be allocated."),
    "request_timeout": (504, "request_timeout", "Request timed out."),
}


class Simulator(base.Simulator):
    name = "fal"
    keys = ("fal-sim-one:0123456789abcdef", "fal-sim-two:0123456789abcdef")
    outcomes = ("ok", *DETAILS, *FAILURES, "empty_result", "model_gone", "never")
    checks = ("endpoint", "app", "result.ready", "cancel.running", "key.scheme")
    tables = (*ENDPOINTS.items(), ("query", QUERY))
    link_life = 24 * 3600
    foreign = False  # the queue names another host in its addresses
    signs = "ed25519"

    @property
    def settings(self):
        return {"fal-jwks-url": f"{self.url}/.well-known/jwks.json"}

    def error(self, status, message="", code=None):
        return Reply(status, {"detail": message or CODES.get(code) or ERRORS.get(status, ERRORS[500])})

    def bearer(self, request):
        scheme, _, key = (request.header("authorization") or "").partition(" ")
        if scheme and scheme != "Key":
            self.broken["key.scheme"] += 1
        return key if scheme == "Key" else None

    def _route(self, request):
        if request.path.startswith("/_sim/"):
            return 404, False  # the admin API answers before the route counts
        return super()._route(request)

    # --- webhooks ---

    @route("GET", "/.well-known/jwks.json", "token", auth=False)
    def public_keys(self, request):
        return self.jwks("ed25519")

    def event(self, job):
        told = self._outcome(job)
        good = told.status == 200
        return {"request_id": job.id, "gateway_request_id": job.id, "status": "OK" if good else "ERROR",
                "error": None if good else f"Invalid status code: {told.status}", "payload": told._body}

    # --- the queue ---

    def _addresses(self, job):
        host = self.media_url if self.foreign else self.url
        whole = f"{host}/{job.fields['app']}/requests/{job.id}"
        return {"response_url": whole, "status_url": whole + "/status", "cancel_url": whole + "/cancel"}

    @route("POST", "/{endpoint*}", "submit")
    def submit(self, request, endpoint):
        QUERY.check(request.query, "query")
        body = request.json()
        if endpoint not in ENDPOINTS:
            self.broken["endpoint"] += 1
        if self.next_outcome(request) == "model_gone" or endpoint not in ENDPOINTS:
            raise Refusal(self.error(404, f"Application '{endpoint.split('/')[1] if '/' in endpoint else endpoint}' not found"))
        try:
            body, wrong = ENDPOINTS[endpoint].check(body, endpoint), None
        except rules.Broken as broken:
            self.broken[broken.rule] += 1
            path = broken.path.removeprefix(endpoint + ".")
            wrong = {"loc": ["body", path], "msg": broken.detail, "type": KINDS[broken.kind], "url": "https://docs.fal.ai/errors#" + KINDS[broken.kind]}
            body = {"prompt": str(body.get("prompt"))}
        width, height, seconds = self._shape(endpoint, body)
        job = self.new_job(request, str(uuid.uuid4()), body["prompt"], width, height, seconds, body.get("generate_audio", False),
                           endpoint=endpoint, app="/".join(endpoint.split("/")[:2]), wrong=wrong, webhook=request.query.get("fal_webhook"))
        return Reply(200, {"status": "IN_QUEUE", "request_id": job.id, "queue_position": 0, **self._addresses(job)})

    @staticmethod
    def _shape(endpoint, body):
        """(width, height, seconds) of what the model makes."""
        seconds = int(re.sub(r"\D", "", body.get("duration", "5").replace("auto", "5")))
        shape, picture = body.get("aspect_ratio", "auto"), next((body[n] for n in ("image_url", "start_image_url", "first_frame_url") if body.get(n)), "")
        wide, high = map(int, shape.split(":")) if ":" in shape else (16, 9)
        if ":" not in shape and picture.startswith("data:"):
            wide, high = media.picture_size(wire.decode_data_url(picture)[1]) or (16, 9)
        short = SIDES.get(body.get("resolution"), 1080 if "/pro/" in endpoint else 720)
        return (*(2 * round(short * n / min(wide, high) / 2) for n in (wide, high)), seconds)

    def _job(self, request, owner, app, id, find):
        job = find(request, id)
        self.must("app", job.fields["app"] == f"{owner}/{app}", "path", "requests stand below owner and app")
        return job

    @route("GET", "/{owner}/{app}/requests/{id}/status", "poll")
    def status(self, request, owner, app, id):
        job = self._job(request, owner, app, id, self.polled)
        told = {"request_id": job.id, **self._addresses(job)}
        if job.phase == "queued":
            return Reply(202, {"status": "IN_QUEUE", "queue_position": 1, **told})
        if job.phase == "running":
            return Reply(202, {"status": "IN_PROGRESS", "logs": None, **told})
        failed = FAILURES.get(job.outcome)
        if failed:
            told.update(error=failed[2], error_type=failed[1])
        return Reply(200, {"status": "COMPLETED", "logs": None, "metrics": {"inference_time": 3.2}, **told})

    @route("GET", "/{owner}/{app}/requests/{id}", "poll")
    def result(self, request, owner, app, id):
        job = self._job(request, owner, app, id, self.find)
        if job.phase == "canceled":
            return Reply(499, {"detail": "The request was cancelled.", "error_type": "client_cancelled"}, {"x-fal-error-type": "client_cancelled"})
        if job.phase != "done":
            self.broken["result.ready"] += 1
            raise Refusal(self.error(400, "Request is still in progress"))
        return self._outcome(job)

    def _outcome(self, job):
        if job.fields["wrong"] or job.outcome in DETAILS:
            status, kind, text = DETAILS.get(job.outcome, (422, None, None))
            detail = job.fields["wrong"] or {"loc": ["body"], "msg": text, "type": kind, "url": "https://docs.fal.ai/errors#" + kind, "input": {}}
            return Reply(status, {"detail": [detail]}, {"x-fal-retryable": "false"})
        if job.outcome in FAILURES:
            status, kind, text = FAILURES[job.outcome]
            return Reply(status, {"detail": text, "error_type": kind}, {"x-fal-error-type": kind})
        film = {"url": self.link(job), "content_type": "video/mp4", "file_name": "output.mp4", "file_size": len(job.video())}
        return Reply(200, {"seed": secrets.randbelow(2 ** 32)} if job.outcome == "empty_result" else {"video": film, "seed": 7})

    @route("PUT", "/{owner}/{app}/requests/{id}/cancel", "cancel")
    def cancel(self, request, owner, app, id):
        job = self.jobs.get(id)
        if job is None or job.key != request.key or job.fields["app"] != f"{owner}/{app}":
            return Reply(404, {"status": "NOT_FOUND"})
        if job.phase not in ("queued", "running"):
            self.broken["cancel.running"] += 1
            return Reply(400, {"status": "ALREADY_COMPLETED"})
        job.canceled = True
        return Reply(202, {"status": "CANCELLATION_REQUESTED"})
