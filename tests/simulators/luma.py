# SPDX-License-Identifier: Apache-2.0
"""Luma's Agents API: video generations of Ray 3.2."""
import datetime
import secrets
import uuid

from simulators import base, media, rules, wire
from simulators.base import Refusal, Reply, route

ASPECTS = {"9:16": (9, 16), "3:4": (3, 4), "1:1": (1, 1), "4:3": (4, 3), "16:9": (16, 9), "21:9": (21, 9)}
SIDES = {"360p": 360, "540p": 540, "720p": 720, "1080p": 1080}
SECONDS = {"5s": 5, "10s": 10}
FPS = 24
LIMIT = 50 << 20  # bytes of a picture


class Reference(rules.Object):
    """A picture: exactly one of url, data with media_type, generation_id, file_id."""

    def __init__(self, **more):
        ways = ("url", "data", "generation_id", "file_id")
        super().__init__({
            "url": rules.url("https", null=True),
            "data": rules.text(1, null=True),
            "media_type": rules.one_of("image/jpeg", "image/png", "image/webp", null=True),
            "generation_id": rules.text(1, 64, null=True),
            "file_id": rules.text(1, 64, null=True),
        }, rules.Rule("one_way", lambda r: sum(r[way] is not None for way in ways) == 1, "url", "provide exactly one of url, data, "
                      "generation_id, file_id"),
            rules.Rule("data_has_type", lambda r: r["data"] is None or r["media_type"] is not None, "media_type", "required with data"),
            **more)

    def names(self, path="body"):
        return super().names(path) | {f"{path}.picture", f"{path}.picture_size"}

    def check(self, value, path="body"):
        out = super().check(value, path)
        if out["data"] is not None:
            data = wire.decode_base64(out["data"])
            if data is None or f"image/{media.picture_kind(data)}" != out["media_type"]:
                raise rules.Broken("format", path, "data is not base64 of a picture of that media_type", rule=f"{path}.picture")
            if len(data) > LIMIT:
                raise rules.Broken("length", path, "the picture is too large", rule=f"{path}.picture_size")
        return out


def anchors(video):
    return [video[name] for name in ("start_frame", "end_frame") if video[name] is not None]


VIDEO = rules.obj({
    "resolution": rules.one_of(*SIDES, default="720p", null=True),
    "duration": rules.one_of(*SECONDS, default="5s", null=True),
    "start_frame": Reference(null=True),
    "end_frame": Reference(null=True),
    "keyframes": rules.array(Reference(), 1, 64, null=True),
    "keyframe_indexes": rules.array(rules.integer(0, 10 * FPS), 1, 64, null=True),
    "loop": rules.boolean(default=False, null=True),
    "hdr": rules.boolean(default=False, null=True),
    "exr_export": rules.boolean(default=False, null=True),
},
    rules.Rule("frames_are_5s", lambda v: not anchors(v) or v["duration"] == "5s", "duration", "start_frame and end_frame need 5s"),
    rules.Rule("keyframes_alone", lambda v: v["keyframes"] is None or not (anchors(v) or v["loop"]), "keyframes",
               "mutually exclusive with start_frame, end_frame and loop"),
    rules.Rule("indexes_match", lambda v: len(v["keyframes"] or ()) == len(v["keyframe_indexes"] or ()), "keyframe_indexes",
               "must match keyframes in length"),
    rules.Rule("indexes_unique", lambda v: len(set(v["keyframe_indexes"] or ())) == len(v["keyframe_indexes"] or ()), "keyframe_indexes",
               "must be unique"),
    rules.Rule("indexes_inside", lambda v: all(i <= FPS * SECONDS[v["duration"]] for i in v["keyframe_indexes"] or ()), "keyframe_indexes",
               "beyond the end"),
    rules.Rule("loop_is_5s", lambda v: not v["loop"] or (v["duration"] == "5s" and not v["hdr"]), "loop", "not with 10s or hdr"),
    rules.Rule("loop_without_end", lambda v: not v["loop"] or v["end_frame"] is None, "loop", "not with end_frame"),
    rules.Rule("hdr_resolution", lambda v: not v["hdr"] or v["resolution"] in ("720p", "1080p"), "hdr", "needs 720p or 1080p"),
    rules.Rule("exr_needs_hdr", lambda v: not v["exr_export"] or v["hdr"], "exr_export", "requires hdr"),
    default={"resolution": "720p", "duration": "5s"})
CREATE = rules.obj({
    "model": rules.one_of("ray-3.2", required=True),
    "type": rules.one_of("video", required=True),
    "prompt": rules.text(1, 6000, required=True),
    "aspect_ratio": rules.one_of(*ASPECTS, default="16:9", null=True),
    "video": VIDEO,
    "user_id": rules.text(1, 256, null=True),
})

ERRORS = {
    400: "Invalid request parameters.", 401: "Invalid or missing API key.", 402: "Insufficient balance.",
    403: "Your account is suspended.", 404: "Generation not found.", 405: "Method Not Allowed", 413: "Input media exceeds the size limit.",
    422: "Invalid image data.", 429: "Rate limit exceeded. Please retry later.", 500: "Internal server error.",
    502: "Upstream service unavailable.", 503: "Image ingestion unavailable.",
}
CODES = {"concurrent": "Concurrent job limit reached. Wait for a generation to finish.", "moderated": "The prompt was moderated.",
         "gone": "Model ray-3.2 was not found."}
FAILURES = {  # outcome: failure_code, failure_reason
    "moderation_in_job": ("content_moderated", "The prompt or an input image violates the content guidelines."),
    "failed": ("generation_failed", "The model failed."),
    "budget": ("budget_exhausted", "The balance ran out during the generation."),
    "output_lost": ("output_not_found", "The output could not be retrieved."),
    "picture_too_large": ("image_too_large", "An input image is too large."),
    "picture_unsupported": ("unsupported_format", "An input image has an unsupported format."),
    "picture_corrupt": ("corrupt_input", "An input image could not be decoded."),
    "refused_in_job": ("invalid_request", "The request is not valid."),
}


class Simulator(base.Simulator):
    name, base_path = "luma", "/v1"
    keys = ("luma-api-sim-one", "luma-api-sim-two")
    outcomes = ("ok", *FAILURES, "moderation_at_submit", "empty_result", "model_gone", "never")
    tables = (("create", CREATE),)
    link_life = 3600
    rpm_shown = 30

    def error(self, status, message="", code=None):
        return self._dressed(Reply(status, {"detail": message or CODES.get(code) or ERRORS.get(status, ERRORS[500])}))

    def violation(self, broken):
        if broken.kind in ("format", "rule"):
            return self.error(422, f"{broken.path}: {broken.detail}")
        return self.error(413 if broken.rule.endswith("picture_size") else 400, f"{broken.path}: {broken.detail}")

    def _dressed(self, reply):
        reply.headers.update({"x-request-id": str(uuid.uuid4()), "x-api-version": "2026-04-01"})
        if reply.status == 429:
            reply.headers.update({"retry-after": "2", "x-ratelimit-limit": str(self.rpm_shown), "x-ratelimit-remaining": "0"})
        return reply

    def _generation(self, job, status=200):
        done = job.phase == "done"
        failed = FAILURES.get(job.outcome) if done else None
        state = {"queued": "queued", "running": "processing"}.get(job.phase, "failed" if failed else "completed")
        output = [{"type": "video", "url": self.link(job), "layer": None}] if state == "completed" and job.outcome != "empty_result" else []
        created = datetime.datetime.fromtimestamp(job.created, datetime.timezone.utc)
        return self._dressed(Reply(status, {
            "id": job.id, "type": "video", "model": job.fields["model"], "state": state, "created_at": created.isoformat(),
            "output": output or None, "failure_code": failed and failed[0], "failure_reason": failed and failed[1]}))

    @route("POST", "/v1/generations", "submit")
    def create(self, request):
        body, outcome = CREATE.check(request.json(), "create"), self.next_outcome(request)
        if outcome == "moderation_at_submit":
            raise Refusal(self.error(422, code="moderated"))
        if outcome == "model_gone":
            raise Refusal(self.error(404, code="gone"))
        video = VIDEO.check(body["video"], "create.video")  # defaults, where it was left out
        short, (wide, high) = SIDES[video["resolution"]], ASPECTS[body["aspect_ratio"]]
        # Even numbers, as encoders want them.
        scale = short / min(wide, high)
        width, height = (2 * round(scale * n / 2) for n in (wide, high))
        job = self.new_job(request, str(uuid.uuid4()), body["prompt"], width, height, SECONDS[video["duration"]], audio=False,
                           model=body["model"])
        reply = self._generation(job, 201)
        reply.headers.update({"x-ratelimit-limit": str(self.rpm_shown), "x-ratelimit-remaining": str(secrets.randbelow(self.rpm_shown))})
        return reply

    @route("GET", "/v1/generations/{id}", "poll")
    def retrieve(self, request, id):
        return self._generation(self.polled(request, id))
