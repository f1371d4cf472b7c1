# SPDX-License-Identifier: Apache-2.0
"""What Google's APIs have in common: the error envelope with its details, pictures and videos inside JSON, operations."""
import datetime

from simulators import media, rules, wire
from simulators.base import Refusal, Reply
from simulators.rules import Broken

STATUS = {400: "INVALID_ARGUMENT", 401: "UNAUTHENTICATED", 402: "FAILED_PRECONDITION", 403: "PERMISSION_DENIED", 404: "NOT_FOUND",
          405: "UNIMPLEMENTED", 408: "DEADLINE_EXCEEDED", 409: "ABORTED", 429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 501: "UNIMPLEMENTED",
          503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}
TEXTS = {400: "Request contains an invalid argument.",
         401: "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other valid credential.",
         402: "Your prepayment balance is depleted.",
         403: "The caller does not have permission", 404: "Requested entity was not found.", 405: "Method not allowed.",
         429: "Resource has been exhausted (e.g. check quota).", 500: "An internal error has occurred. Please retry.",
         503: "The model is overloaded. Please try again later.", 504: "Deadline expired before operation could complete."}
FILTERED = ("The prompt could not be submitted. This prompt contains sensitive words that violate Google's Responsible AI practices. Try rephrasing "
            "the prompt. If you think this was an error, send feedback. Support codes: ")
RPC = {"CANCELLED": 1, "INVALID_ARGUMENT": 3, "DEADLINE_EXCEEDED": 4, "NOT_FOUND": 5, "PERMISSION_DENIED": 7, "RESOURCE_EXHAUSTED": 8,
       "FAILED_PRECONDITION": 9, "INTERNAL": 13, "UNAVAILABLE": 14, "UNAUTHENTICATED": 16}
STATUSES = {*STATUS.values(), *RPC}
# outcome: the error of the operation
OPERATION_ERRORS = {
    "failed": ("INTERNAL", "Video generation failed due to an internal server issue. Please try again in a few minutes."),
    "moderation_in_operation": ("INVALID_ARGUMENT", FILTERED + "58061214"),
    "operation_invalid": ("INVALID_ARGUMENT", "The input image is too small."),
    "operation_deadline": ("DEADLINE_EXCEEDED", "The operation took too long."),
    "operation_denied": ("PERMISSION_DENIED", "The caller does not have permission"),
    "operation_exhausted": ("RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later."),
    "operation_unavailable": ("UNAVAILABLE", "The service is currently unavailable."),
}
# What 429 looks like; `quota` of a simulator chooses.
RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo"}


def violation_of_quota(name):
    return {"@type": "type.googleapis.com/google.rpc.QuotaFailure",
            "violations": [{"quotaMetric": "generativelanguage.googleapis.com/predict_requests", "quotaId": name, "quotaValue": "10"}]}


QUOTAS = {
    "bare": (None, []),
    "minute": ("You exceeded your current quota, please check your plan and billing details. Please retry in 3.957525076s.",
               [violation_of_quota("PredictRequestsPerMinutePerProjectPerModel"), {**RETRY_INFO, "retryDelay": "3.957525076s"}]),
    "day": ("You exceeded your current quota, please check your plan and billing details. Please retry in 36.962849995s.",
            [violation_of_quota("PredictRequestsPerDayPerProjectPerModel"), {**RETRY_INFO, "retryDelay": "37s"}]),
    "capacity": ("No capacity available for the model.",
                 [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "MODEL_CAPACITY_EXHAUSTED", "domain": "googleapis.com"},
                  {**RETRY_INFO, "retryDelay": "0.250s"}]),
}


def form_of(body):
    """How the video to extend is given: the first member's name; None: there is none."""
    return next(iter(body["instances"][0].get("video") or ()), None)


class Blob(rules.Field):
    """A picture or film in one of the forms of an API: {names of bytes and type} per form; or an address."""

    def __init__(self, kinds, forms, addresses=(), **more):
        super().__init__((dict,), look=True, **more)
        self.kinds, self.forms, self.addresses = kinds, forms, addresses

    def names(self, path):
        return super().names(path) | {f"{path}.one", f"{path}.mime"}

    def check(self, value, path):
        super().check(value, path)
        for name in self.addresses:
            if name in value:
                if set(value) - {name, "mimeType"} or not isinstance(value[name], str):
                    raise Broken("rule", path, "an address and something else", rule=f"{path}.one")
                return {"uri": value[name]}
        for outer, data_name, type_name in self.forms:
            inner = value.get(outer) if outer else value
            if isinstance(inner, dict) and set(inner) == {data_name, type_name} and (not outer or set(value) == {outer}):
                return self._file(inner[data_name], inner[type_name], path)
        raise Broken("rule", path, f"members {sorted(value)} are none of the forms", rule=f"{path}.one")

    def _file(self, text, told, path):
        data = wire.decode_base64(text) if isinstance(text, str) else None
        kind = None if data is None else "mp4" if data[4:8] == b"ftyp" else media.picture_kind(data)
        if kind not in self.kinds:
            raise Broken("format", path, "Unable to process input: not base64 of a picture or video", value=str(text)[:80])
        if told not in (f"image/{kind}", f"video/{kind}"):
            raise Broken("rule", path, f"mimeType {told} is not that of the bytes", rule=f"{path}.mime")
        return {"data": data, "mime": told}


def kind_of(value):
    return {"str": "string", "int": "number"}.get(type(value).__name__, type(value).__name__)


class Words:
    """Google's words: mixed into its simulators."""

    quota = "bare"
    api_keys = property(lambda self: self.keys)

    def error(self, status, message="", code=None, details=()):
        """`code` is a status of google.rpc, or the reason of an ErrorInfo."""
        details, reason = list(details), None if code in STATUSES else code
        if status == 429:
            text, more = QUOTAS[self.quota]
            message, details = message or text, details or more
        if status == 503 and self.quota == "capacity":
            message, details = message or QUOTAS["capacity"][0], QUOTAS["capacity"][1]
        if reason:
            details.append({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason, "domain": "googleapis.com",
                            "metadata": {"service": self.service}})
        told = {"code": status, "message": message or TEXTS.get(status, "Error."), "status": code if code in STATUSES else STATUS.get(status, "UNKNOWN")}
        if details:
            told["details"] = details
        return Reply(status, {"error": told}, {"vary": "Origin", "server": "scaffolding on HTTPServer2"}, "application/json; charset=UTF-8")

    def refuse(self, status, message="", **more):
        raise Refusal(self.error(status, message, **more))

    def violation(self, broken):
        path = broken.path.partition(".")[2] or broken.path
        if broken.kind == "unknown":
            place, _, name = path.rpartition(".")
            text = f"Invalid JSON payload received. Unknown name \"{name}\" at '{place}': Cannot find field."
        elif broken.kind == "type":
            text = f"Invalid value at '{path}' (TYPE_STRING), {broken.value!r}"
        else:
            text = broken.detail
        return self.error(400, text, details=[{"@type": "type.googleapis.com/google.rpc.BadRequest",
                                               "fieldViolations": [{"field": path, "description": text}]}])

    def malformed(self, error):
        return self.error(400, f"Invalid JSON payload received. {error.detail}")

    def key_of(self, request):
        """The key of x-goog-api-key or ?key=; 401 without, 400 when it is wrong, as Google has it."""
        key = request.header("x-goog-api-key") or request.query.get("key")
        if key is None:
            self.broken["auth.missing"] += 1
            self.refuse(401)
        if key not in self.api_keys or key in self.revoked:
            self.broken["auth.wrong"] += 1
            self.refuse(400, "API key not valid. Please pass a valid API key.", code="API_KEY_INVALID")
        if key in self.forbidden:
            self.broken["auth.forbidden"] += 1
            self.refuse(403, "Your API key was reported as leaked. Please use another API key.")
        return key

    def refusals(self, request, model):
        """Outcomes that are answers to the submission."""
        outcome = self.next_outcome(request)
        if outcome == "moderation_at_submit":
            self.refuse(400, FILTERED + "29310472")
        if outcome == "model_gone":
            self.refuse(404, f"models/{model} is no longer available. Please use a newer model.")

    def running(self, job, name):
        """The operation before its end: no `done`, no progress."""
        kind = f"type.googleapis.com/{self.metadata_type}"
        started = datetime.datetime.fromtimestamp(job.created, datetime.timezone.utc).isoformat()
        return Reply(200, {"name": name, "metadata": {"@type": kind, "createTime": started}} if job.phase == "running" else {"name": name})

    def failed(self, job, name):
        status, text = OPERATION_ERRORS[job.outcome]
        return Reply(200, {"name": name, "done": True, "error": {"code": RPC[status], "message": text}})


def filtered(count=1):
    return {"raiMediaFilteredCount": count,
            "raiMediaFilteredReasons": ["Veo could not generate videos because the input image violates Vertex AI's usage guidelines. If you think this was "
                                        "an error, send feedback. Support codes: 17301594"] * count}


def asked_seconds(value):
    return int(value or 8)


SIZES = {"720p": (1280, 720), "1080p": (1920, 1080), "4k": (3840, 2160), "360p": (640, 360)}


def size_of(aspect, resolution):
    long, short = SIZES[resolution]
    return (long, short) if aspect == "16:9" else (short, long)
