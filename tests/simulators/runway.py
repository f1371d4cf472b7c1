# SPDX-License-Identifier: Apache-2.0
"""Runway's API, version 2024-11-06: text_to_video, image_to_video, tasks, ephemeral uploads."""
import datetime
import re
import secrets
import uuid

from simulators import base, media, rules, wire
from simulators.base import Refusal, Reply, route

VERSION = "2024-11-06"
DOCS = "https://docs.dev.runwayml.com/api"
GEN4 = ("1280:720", "720:1280", "1104:832", "832:1104", "960:960", "1584:672")
VEO = ("1280:720", "720:1280", "1080:1920", "1920:1080")
SMALL = ("992:432", "864:496", "752:560", "640:640", "560:752", "496:864", "1470:630", "1280:720", "1112:834", "960:960", "834:1112", "720:1280")
LARGE = (*SMALL, "2206:946", "1920:1080", "1664:1248", "1440:1440", "1248:1664", "1080:1920", "3840:1646", "3840:2160", "3840:2880",
         "3840:3840", "2880:3840", "2160:3840")
INLINE = 5_000_000  # characters of a data URI
HTTPS = r"https://[A-Za-z][^\s/]*/\S*"


class Asset(rules.Picture):
    """A picture: https address, data URI, or runway:// address of an upload."""

    def check(self, value, path):
        if isinstance(value, str) and re.fullmatch(r"runway://\S{1,200}", value[:300]):
            return value
        if isinstance(value, str) and not value.startswith("data:") and not re.fullmatch(HTTPS, value[:2100]):
            raise rules.Broken("format", path, "Only HTTPS URLs, data URIs and runway:// URIs are taken", value=value[:80])
        if isinstance(value, str) and len(value) > INLINE:
            raise rules.Broken("length", path, "Data URIs are 5 MB at most; upload the file instead")
        return super().check(value, path)

    def names(self, path):
        return super().names(path) | {f"{path}.length"}


class Pictures(rules.Field):
    """promptImage: one address, or a list of {uri, position}."""

    def __init__(self, positions, references, **more):
        super().__init__((str, list), look=True, **more)
        self.one = Asset()
        position = rules.one_of(*positions, required=not references)
        self.many = rules.array(rules.obj({"uri": Asset(required=True), "position": position}), 1, 12 if references else len(positions))

    def names(self, path):
        return super().names(path) | self.one.names(path) | self.many.names(path)

    def check(self, value, path):
        super().check(value, path)
        return [{"uri": self.one.check(value, path), "position": "first"}] if isinstance(value, str) else self.many.check(value, path)


def places(body):
    return [p["position"] for p in body.get("promptImage") or []]


FRAMES = (
    rules.Rule("one_of_each", lambda b: all(places(b).count(p) <= 1 for p in ("first", "last")), "promptImage", "a position is there twice"),
    rules.Rule("last_needs_first", lambda b: "last" not in places(b) or "first" in places(b), "promptImage", "only a last frame is given"),
    rules.Rule("modes", lambda b: None not in places(b) or set(places(b)) == {None}, "promptImage", "frames and references cannot be mixed"),
)


def table(model, ratios, seconds, image=None, prompt=1000, audio=False, seed=False, sounds=False, prompt_needed=False):
    """The body of one model; `image`: positions of its pictures, () with references."""
    members = {
        "model": rules.one_of(model, required=True),
        "promptText": rules.text(1, 4 * prompt, required=prompt_needed or image is None),
        "ratio": rules.one_of(*ratios, required=True),
        "duration": rules.integer(values=seconds, required=model in ("gen4.5", "veo3"), default=5 if 5 in seconds else 8),
    }
    if image is not None:
        members["promptImage"] = Pictures(image or ("first", "last"), not image, required=True)
    if audio:
        members["audio"] = rules.boolean(default=True)
    if seed:
        members["seed"] = rules.integer(0, 2 ** 32 - 1)
        members["contentModeration"] = rules.obj({"publicFigureThreshold": rules.one_of("auto", "low")})
    if sounds:
        members["referenceAudio"] = rules.array(rules.obj({"type": rules.one_of("audio", required=True),
                                                           "uri": rules.text(pattern=HTTPS, longest=2048, required=True)}), 1, 3)
    if model.startswith("veo3.1") and image is not None:
        members["negativePrompt"] = rules.text(1, 1000)
    units = rules.Rule("prompt_units", lambda b: len((b["promptText"] or "").encode("utf-16-le")) <= 2 * prompt, "promptText",
                       f"{prompt} UTF-16 code units at most")
    sound = [rules.Rule("sounds_need_prompt", lambda b: not b["referenceAudio"] or b["promptText"], "referenceAudio",
                        "audio references need promptText")] if sounds else []
    return rules.obj(members, units, *sound, *(FRAMES if image is not None else ()))


VEO_S, GEN_S, SEED_S = (4, 6, 8), tuple(range(2, 11)), tuple(range(4, 16))
SEEDANCE = {"seconds": SEED_S, "prompt": 3500, "audio": True}
TEXT = {
    "gen4.5": table("gen4.5", GEN4[:2], GEN_S, seed=True),
    "veo3": table("veo3", VEO, (8,)),
    "veo3.1": table("veo3.1", VEO, VEO_S, audio=True),
    "veo3.1_fast": table("veo3.1_fast", VEO, VEO_S, audio=True),
    "gemini_omni_flash": table("gemini_omni_flash", GEN4[:2], tuple(range(3, 11))),
    "seedance2": table("seedance2", LARGE, **SEEDANCE),
    "seedance2_fast": table("seedance2_fast", SMALL, **SEEDANCE),
    "seedance2_mini": table("seedance2_mini", SMALL, **SEEDANCE),
}
IMAGE = {
    "gen4.5": table("gen4.5", GEN4, GEN_S, ("first",), seed=True, prompt_needed=True),
    "gen4_turbo": table("gen4_turbo", GEN4, GEN_S, ("first",), seed=True),
    "veo3": table("veo3", VEO, (8,), ("first",)),
    "veo3.1": table("veo3.1", VEO, VEO_S, ("first", "last"), audio=True),
    "veo3.1_fast": table("veo3.1_fast", VEO, VEO_S, ("first", "last"), audio=True),
    "gemini_omni_flash": table("gemini_omni_flash", GEN4[:2], tuple(range(3, 11)), ("first",)),
    "seedance2": table("seedance2", LARGE, image=(), sounds=True, **SEEDANCE),
    "seedance2_fast": table("seedance2_fast", SMALL, image=(), sounds=True, **SEEDANCE),
    "seedance2_mini": table("seedance2_mini", SMALL, image=(), sounds=True, **SEEDANCE),
}
UPLOAD = rules.obj({"filename": rules.text(1, 255, r"[^/\\]+\.[A-Za-z0-9]{1,8}", required=True), "type": rules.one_of("ephemeral", required=True)})

ERRORS = {
    400: "Validation of body failed", 401: "You must provide a valid API key.", 403: "Your organization may not do this.",
    404: "The requested resource could not be found.", 405: "This method is not supported.", 429: "You have made too many requests.",
    500: "An unexpected error occurred.", 502: "Runway is shedding load.", 503: "Runway is shedding load.", 504: "Runway is overloaded.",
}
CODES = {"credits": "You do not have enough credits to run this task.", "daily": "You have reached your daily task limit for this model.",
         "gone": "This model is no longer available."}
FAILURES = {  # outcome: failureCode, failure
    "moderation_in_job": ("SAFETY.INPUT.TEXT", "The input was rejected by our content moderation system."),
    "moderation_of_text": ("INPUT_PREPROCESSING.SAFETY.TEXT", "The input was rejected by our content moderation system."),
    "moderation_elsewhere": ("INPUT_PREPROCESSING.SAFETY.THIRD_PARTY", "Your request was blocked by this model provider's moderation system."),
    "moderation_of_output": ("SAFETY.OUTPUT.VIDEO", "The output was rejected by our content moderation system."),
    "failed": ("INTERNAL.BAD_OUTPUT.CODE01", "An unexpected error occurred."),
    "bad_asset": ("ASSET.INVALID", "Invalid asset aspect ratio."),
    "refused_elsewhere": ("THIRD_PARTY.INPUT_VALIDATION", "The model's provider did not take the input."),
    "unavailable_elsewhere": ("THIRD_PARTY.UNAVAILABLE", "The model's provider is not available."),
}


class Simulator(base.Simulator):
    name, base_path = "runway", "/v1"
    keys = ("key_sim_runway_one", "key_sim_runway_two")
    outcomes = ("ok", *FAILURES, "empty_result", "model_gone", "never")
    checks = ("version", "model", "upload.known", "upload.complete", "upload.fields", "upload.file")
    tables = (*((f"text.{name}", body) for name, body in TEXT.items()), *((f"image.{name}", body) for name, body in IMAGE.items()),
              ("upload", UPLOAD))
    link_life = 24 * 3600
    slots = None         # tasks of one key at once; further ones are THROTTLED, not refused
    spelling = "CANCELLED"

    def reset(self):
        super().reset()
        self.uploads = {}  # id: {"key", "fields", "name", "data"}

    def error(self, status, message="", code=None):
        return Reply(status, {"error": message or CODES.get(code) or ERRORS.get(status, ERRORS[500]), "docUrl": DOCS})

    def violation(self, broken):
        path = broken.path.split(".")[1:]
        codes = {"unknown": "unrecognized_keys", "type": "invalid_type", "required": "invalid_type", "enum": "invalid_enum_value"}
        return Reply(400, {"error": ERRORS[400], "docUrl": DOCS, "issues": [
            {"code": codes.get(broken.kind, "custom"), "path": path, "message": broken.detail}]})

    def authorize(self, request):
        key = super().authorize(request)
        if request.header("x-runway-version") != VERSION:
            self.broken["version"] += 1
            raise Refusal(self.error(400, "The X-Runway-Version header is missing or not a known version."))
        return key

    # --- tasks ---

    def _create(self, request, tables, name):
        body = request.json()
        model = body.get("model")
        if self.next_outcome(request) == "model_gone":
            raise Refusal(self.error(400, code="gone"))
        self.must("model", isinstance(model, str) and model in tables, "body.model", "no such model here")
        body = tables[model].check(body, f"{name}.{model}")
        for picture in body.get("promptImage") or ():
            self._uploaded(request, picture["uri"])
        width, height = map(int, body["ratio"].split(":"))
        busy = sum(j.key == request.key and j.phase in ("queued", "running") for j in self.jobs.values())
        job = self.new_job(request, str(uuid.uuid4()), body["promptText"] or "", width, height, body["duration"],
                           body.get("audio", model == "veo3"), model=model, throttled=self.slots is not None and busy >= self.slots)
        return Reply(200, {"id": job.id})

    def _uploaded(self, request, uri):
        if uri.startswith("runway://"):
            upload = self.uploads.get(uri.removeprefix("runway://"))
            self.must("upload.known", upload is not None and upload["key"] == request.key, "body.promptImage", "no such upload")
            self.must("upload.complete", upload["data"] is not None, "body.promptImage", "nothing was uploaded there")

    @route("POST", "/v1/text_to_video", "submit")
    def text_to_video(self, request):
        return self._create(request, TEXT, "text")

    @route("POST", "/v1/image_to_video", "submit")
    def image_to_video(self, request):
        return self._create(request, IMAGE, "image")

    @route("GET", "/v1/tasks/{id}", "poll")
    def task(self, request, id):
        job = self.polled(request, id)
        created = datetime.datetime.fromtimestamp(job.created, datetime.timezone.utc)
        told = {"id": job.id, "createdAt": created.isoformat(timespec="milliseconds").replace("+00:00", "Z")}
        if job.phase == "queued":
            told["status"] = "THROTTLED" if job.fields["throttled"] else "PENDING"
        elif job.phase == "running":
            told.update(status="RUNNING", progress=job.progress / 100)
        elif job.phase == "canceled":
            told["status"] = self.spelling
        elif job.outcome in FAILURES:
            told.update(status="FAILED", failureCode=FAILURES[job.outcome][0], failure=FAILURES[job.outcome][1])
        else:
            told.update(status="SUCCEEDED", output=[] if job.outcome == "empty_result" else [self.link(job)])
        return Reply(200, told)

    @route("DELETE", "/v1/tasks/{id}", "cancel")
    def delete(self, request, id):
        """Stops a task; a finished one is gone with its video."""
        job = self.find(request, id)
        if job.phase in ("queued", "running"):
            job.canceled = True
        else:
            del self.jobs[id]
        return Reply(204)

    # --- uploads: a place here, the file on the second host ---

    @route("POST", "/v1/uploads", "upload")
    def upload(self, request):
        body, id = UPLOAD.check(request.json(), "upload"), secrets.token_hex(8)
        fields = {"key": f"uploads/{id}", "policy": secrets.token_urlsafe(40), "x-amz-signature": secrets.token_hex(32)}
        self.uploads[id] = {"key": request.key, "fields": fields, "name": body["filename"], "data": None}
        return Reply(200, {"id": id, "uploadUrl": f"{self.media_url}/uploads/{id}", "fields": fields, "runwayUri": f"runway://{id}"})

    def _media_route(self, request):
        super()._media_route(request)
        if request.path.startswith("/uploads/"):
            request.kind = "upload"

    def _media_file(self, request, found):
        upload = self.uploads.get(request.path.removeprefix("/uploads/")) if request.kind == "upload" else None
        if request.kind != "upload" or request.method != "POST":
            return super()._media_file(request, found)
        if upload is None:
            return Reply(403, b"<Error><Code>AccessDenied</Code></Error>", content_type="application/xml")
        parts = wire.strict_form(request.header("content-type"), request.body)
        told = {part.name: part.text for part in parts[:-1]}
        self.must("upload.fields", told == upload["fields"], "upload.fields", "the policy's fields are not all there, or not before the file")
        file = parts[-1]
        self.must("upload.file", file.name == "file" and file.filename == upload["name"] and media.picture_kind(file.data) is not None and
                  file.content_type == f"image/{media.picture_kind(file.data)}", "upload.file", "the file is not what its name and type say")
        upload["data"] = file.data
        return Reply(204)
