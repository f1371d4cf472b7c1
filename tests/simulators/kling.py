# SPDX-License-Identifier: Apache-2.0
"""Kling's own API: 3.x with the model in the path (here), older models by /v1/videos (kling_legacy.py)."""
import base64
import binascii
import hashlib
import hmac
import secrets
import time

from simulators import base, kling_legacy, media, rules, wire
from simulators.base import Refusal, Reply, route
from simulators.rules import Broken

SIZES = {
    "720p": {"16:9": (1280, 720), "9:16": (720, 1280), "1:1": (960, 960)},
    "1080p": {"16:9": (1920, 1080), "9:16": (1080, 1920), "1:1": (1440, 1440)},
    "4k": {"16:9": (3840, 2160), "9:16": (2160, 3840), "1:1": (2880, 2880)},
}
MODELS = {  # path: models
    "text-to-video": ("kling-3.0", "kling-3.0-turbo"),
    "image-to-video": ("kling-3.0", "kling-3.0-turbo"),
    "omni-video": ("kling-3.0-omni",),
}
PROMPT = rules.text(1, 2500, required=True)
PICTURE = rules.picture(("base64", "url"), ("png", "jpeg"), required=True)
OPTIONS = rules.obj({
    "callback_url": rules.url(),
    "external_task_id": rules.text(1, 64),
    "watermark_info": rules.obj({"enabled": rules.boolean(required=True)}),
})
KINDS = {  # type of a content: its members
    "prompt": {"text": PROMPT},
    "first_frame": {"url": PICTURE},
    "last_frame": {"url": PICTURE},
    "refer_image": {"url": PICTURE, "id": rules.text(1, 32, pattern=r"[A-Za-z0-9_]+", required=True)},
    "feature_video": {"url": rules.url(required=True)},
}


class Content(rules.Field):
    """One entry of `contents`."""

    def __init__(self, *kinds):
        super().__init__((dict,))
        self.kinds = {kind: rules.obj({"type": rules.one_of(kind, required=True), **KINDS[kind]}) for kind in kinds}

    def names(self, path):
        return {f"{path}.type.enum"}.union(*(table.names(path) for table in self.kinds.values()))

    def check(self, value, path):
        super().check(value, path)
        if value.get("type") not in self.kinds:
            raise Broken("enum", f"{path}.type", f"{value.get('type')!r} is not one of {list(self.kinds)}")
        return self.kinds[value["type"]].check(value, path)


def _settings(audio, shape, resolutions=("720p", "1080p", "4k"), multi=True):
    members = {"resolution": rules.one_of(*resolutions, default="720p"), "duration": rules.integer(3, 15, default=5)}
    if audio:
        members["audio"] = rules.one_of(*audio, default="off")
    if shape:
        members["aspect_ratio"] = rules.one_of("16:9", "9:16", "1:1", default="16:9")
    if multi:
        members["multi_shot"] = rules.boolean(default=False)
    return rules.obj(members, required=True)


def _having(body, kind):
    return [one for one in body["contents"] if one["type"] == kind]


def _at_most(kind, count):
    return rules.Rule(f"{kind}s", lambda body: len(_having(body, kind)) <= count, "contents", f"{count} of {kind} at most")


def _image(kinds, settings, *more):
    return rules.obj({"contents": rules.array(Content(*kinds), 1, required=True), "settings": settings, "options": OPTIONS},
                     *(_at_most(kind, 1) for kind in ("prompt", "first_frame")), *more)


FRAMES = (_at_most("last_frame", 1), rules.Rule("last_needs_first", lambda b: not _having(b, "last_frame") or _having(b, "first_frame"),
                                                "contents", "a last frame needs a first frame"))
FIRST = rules.Rule("first_frame_there", lambda b: _having(b, "first_frame"), "contents", "a first frame is required")
ON_OFF = ("native", "off")
TURBO = ("720p", "1080p")
TABLES = {
    ("text-to-video", "kling-3.0"): rules.obj({"prompt": PROMPT, "settings": _settings(ON_OFF, True), "options": OPTIONS}),
    ("text-to-video", "kling-3.0-turbo"): rules.obj({"prompt": PROMPT, "settings": _settings((), True, TURBO, False), "options": OPTIONS}),
    ("image-to-video", "kling-3.0"): _image(("prompt", "first_frame", "last_frame"), _settings(ON_OFF, False), FIRST, *FRAMES),
    ("image-to-video", "kling-3.0-turbo"): _image(("prompt", "first_frame"), _settings((), False, TURBO, False), FIRST),
    ("omni-video", "kling-3.0-omni"): _image(
        tuple(KINDS), _settings(("native", "original", "off"), True), *FRAMES, _at_most("refer_image", 7), _at_most("feature_video", 1),
        rules.Rule("prompt_there", lambda b: _having(b, "prompt"), "contents", "a prompt is required"),
        rules.Rule("ids_differ", lambda b: len({one["id"] for one in _having(b, "refer_image")}) == len(_having(b, "refer_image")),
                   "contents", "ids of pictures must differ")),
}
QUERY = rules.obj({"task_ids": rules.text(1, 2000), "external_task_ids": rules.text(1, 2000)},
                  rules.Rule("one_of_both", lambda b: (b["task_ids"] is None) != (b["external_task_ids"] is None), "task_ids",
                             "either task_ids or external_task_ids"))

ERRORS = {  # status: code, message
    400: (1201, "Invalid parameter value"), 401: (1002, "Authorization is invalid"), 402: (1101, "Account in arrears"),
    403: (1103, "Unauthorized access to requested resource"), 404: (1203, "Requested resource does not exist"),
    405: (1202, "Requested method is invalid"), 409: (1201, "Invalid parameter value"), 422: (1201, "Invalid parameter value"),
    429: (1302, "API requests too fast, exceeding rate limit"), 500: (5000, "Internal server error"),
    502: (5000, "Internal server error"), 503: (5001, "Server temporarily unavailable"), 504: (5002, "Internal server timeout"),
}
REFUSALS = {  # outcome: status, code, message
    "moderation_at_submit": (400, 1301, "Trigger the content security policy of the platform"),
    "policy": (400, 1300, "Trigger strategy of the platform"),
    "queue_full": (429, 1303, "parallel task over resource pack limit"),
    "rate": (429, 1302, "API requests too fast, exceeding rate limit"),
    "depleted": (429, 1102, "Resource pack depleted or expired"),
    "arrears": (429, 1101, "Account in arrears"),
    "stranger": (429, 1304, "Trigger the platform's IP whitelisting policy"),
    "no_right": (403, 1103, "Unauthorized access to requested resource"),
    "model_gone": (404, 1203, "Requested resource does not exist"),
    "maintenance": (503, 5001, "Server temporarily unavailable, usually due to maintenance"),
}
FAILURES = {  # outcome: message of the failed task
    "moderation_in_job": "Failure to pass the risk control system",
    "failed": "Service busy",
}


class Simulator(kling_legacy.Videos, base.Simulator):
    name = "kling"
    keys = ("api-key-kling-sim-one", "AKsimaccess:SKsimsecret")
    outcomes = ("ok", *REFUSALS, *FAILURES, "empty_result", "never")
    tables = (*((f"{path} {model}", table) for (path, model), table in TABLES.items()), ("query", QUERY), *kling_legacy.TABLES)
    checks = ("token.form", "token.algorithm", "token.signature", "token.expired", "token.early", "create.model_known",
              "create.external_unique")
    link_life = 30 * 86400
    in_body = False  # failures are 200 with a code

    # --- words ---

    def error(self, status, message="", code=None):
        usual, text = ERRORS.get(status, ERRORS[500])
        return Reply(200 if self.in_body else status, {"code": code or usual, "message": message or text,
                                                       "request_id": secrets.token_hex(16), "data": None})

    def violation(self, broken):
        if broken.rule == "create.model_known":
            return self.error(404)
        return self.error(400, f"{broken.path.partition('.')[2] or broken.path}: {broken.detail}", 1201)

    @staticmethod
    def _ok(data):
        return Reply(200, {"code": 0, "message": "SUCCEED", "request_id": secrets.token_hex(16), "data": data})

    def _route(self, request):
        found = super()._route(request)
        if request.path == "/tasks" and "external_task_ids" in request.query:
            request.kind = "lookup"
        return found

    # --- keys ---

    def authorize(self, request):
        token = self.bearer(request)
        if token and token.count(".") == 2:
            return self.known_key(self._signed(token))
        return self.known_key(token if token in self.keys and ":" not in token else token and "unknown")

    def _signed(self, token):
        """The key whose token this is; a Refusal when it is not good."""
        try:
            head, claims = (wire.strict_json(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))) for part in token.split(".")[:2])
        except (binascii.Error, wire.Malformed):
            self._bad_token("token.form", 1002)
        key = next((one for one in self.keys if one.startswith(f"{claims.get('iss')}:")), None)
        if head != {"alg": "HS256", "typ": "JWT"} or set(claims) != {"iss", "exp", "nbf"}:
            self._bad_token("token.algorithm", 1002)
        if key is None:
            return "unknown"
        signed, _, signature = token.rpartition(".")
        right = hmac.new(key.partition(":")[2].encode(), signed.encode(), hashlib.sha256).digest()
        if signature != base64.urlsafe_b64encode(right).decode().rstrip("="):
            self._bad_token("token.signature", 1002)
        now = time.time()  # callers' clocks do not go ahead with ours
        if claims["exp"] < now or claims["exp"] > now + 1860:
            self._bad_token("token.expired", 1004)
        if claims["nbf"] > now:
            self._bad_token("token.early", 1003)
        return key

    def _bad_token(self, rule, code):
        self.broken[rule] += 1
        raise Refusal(self.error(401, code=code))

    # --- tasks ---

    def admit(self, request, external):
        """Refusals, and the rule that one external id stands for one task of an account."""
        outcome = self.next_outcome(request)
        if outcome in REFUSALS:
            status, code, message = REFUSALS[outcome]
            raise Refusal(self.error(status, message, code))
        self.must("create.external_unique", external is None or not self._external(request, external), "create.options.external_task_id",
                  "is used already")

    def _external(self, request, external):
        return next((job for job in self.jobs.values() if job.key == request.key and job.fields["external"] == external), None)

    @staticmethod
    def shape_of(picture):
        """The ratio of a first frame."""
        data = wire.decode_base64(picture)
        width, height = media.picture_size(data) if data else (16, 9)
        return min(SIZES["720p"], key=lambda name: abs(width / height - SIZES["720p"][name][0] / SIZES["720p"][name][1]))

    def hook(self, job):
        body = job.fields["body"]
        return body.get("callback_url") or (body.get("options") or {}).get("callback_url")

    def event(self, job):
        return self._video(job)._body["data"] if "kind" in job.fields else self._ok(self._task(job))._body

    @route("POST", "/{path}/{model}", "submit")
    def create(self, request, path, model):
        self.must("create.model_known", model in MODELS.get(path, ()), "create.model", "no such model")
        body = TABLES[path, model].check(request.json(), f"{path} {model}")
        options, settings = body["options"] or {}, body["settings"]
        self.admit(request, options.get("external_task_id"))
        frames = _having(body, "first_frame") if "contents" in body else []
        shape = self.shape_of(frames[0]["url"]) if frames else settings["aspect_ratio"]
        width, height = SIZES[settings["resolution"]][shape]
        prompt = body.get("prompt") or "".join(one["text"] for one in _having(body, "prompt"))
        job = self.new_job(request, str(secrets.randbelow(10 ** 17) + 8 * 10 ** 17), prompt, width, height, settings["duration"],
                           "turbo" in model or settings["audio"] != "off", body=body, external=options.get("external_task_id"))
        return self._ok(self._task(job))

    def _task(self, job):
        status = {"queued": "submitted", "running": "processing"}.get(job.phase) or ("failed" if job.outcome in FAILURES else "succeeded")
        done = status == "succeeded" and job.outcome != "empty_result"
        return {"id": job.id, "external_task_id": job.fields["external"], "status": status, "message": FAILURES.get(job.outcome, "")
                if status == "failed" else "", "outputs": [{"id": "1", "type": "video", "url": self.link(job), "duration": str(job.seconds)}]
                if done else [], "billing": [], "create_time": int(job.created * 1000), "update_time": int(self.clock.now() * 1000)}

    @route("GET", "/tasks", "poll")
    def tasks(self, request):
        asked = QUERY.check(request.query, "query")
        if asked["task_ids"] is not None:
            found = [self.polled(request, one) for one in asked["task_ids"].split(",") if self._mine(request, one)]
        else:
            found = [self._external(request, one) for one in asked["external_task_ids"].split(",")]
        return self._ok([self._task(job) for job in found if job])

    def _mine(self, request, job_id):
        return job_id in self.jobs and self.jobs[job_id].key == request.key
