# SPDX-License-Identifier: Apache-2.0
"""OpenAI's /v1/videos (Sora), in three dialects: openai; azure (the same under /openai with another key header, and Sora 1's jobs);
engine (vLLM-Omni, SGLang-Diffusion: any size and length, sampling parameters, DELETE stops a job)."""
import re
import secrets
import time

from simulators import base, media, openai_azure, rules, wire
from simulators.base import Refusal, Reply, route

SORA = {"sora-2": ("720x1280", "1280x720")}
SORA["sora-2-pro"] = (*SORA["sora-2"], "1024x1792", "1792x1024", "1080x1920", "1920x1080")
MODELS = {name: SORA["sora-2-pro" if "-pro" in name else "sora-2"]
          for name in ("sora-2", "sora-2-pro", "sora-2-2025-10-06", "sora-2-2025-12-08", "sora-2-pro-2025-10-06")}
SECONDS = ("4", "8", "12", "16", "20")
PROMPT = rules.text(1, 32000, required=True)
REFERENCE = rules.obj({"file_id": rules.text(1, 64), "image_url": rules.picture(("data", "url"))},
                      rules.Rule("one", lambda r: (r["file_id"] is None) != (r["image_url"] is None), "image_url", "give one of both"))
CREATE = rules.obj({
    "prompt": PROMPT,
    "model": rules.one_of(*MODELS, default="sora-2"),
    "seconds": rules.one_of(*SECONDS, default="4"),
    "size": rules.one_of(*MODELS["sora-2-pro"], default="720x1280"),
    "input_reference": REFERENCE,
    "characters": rules.array(rules.obj({"id": rules.text(1, 128, required=True)}), 1, 2),
}, rules.Rule("size_of_model", lambda b: b["size"] in MODELS[b["model"]], "size", "this model does not have this size"))
SAMPLING = {
    "fps": rules.integer(1, 120), "num_frames": rules.integer(1, 2048), "num_inference_steps": rules.integer(1, 200),
    "guidance_scale": rules.number(0, 50), "guidance_scale_2": rules.number(0, 50), "negative_prompt": rules.text(0, 32000),
    "seed": rules.integer(0, 2 ** 63 - 1), "flow_shift": rules.number(0, 50), "boundary_ratio": rules.number(0, 1),
    "lora": rules.anything(), "extra_params": rules.anything(),
    "true_cfg_scale": rules.number(0, 50), "width": rules.integer(16, 8192), "height": rules.integer(16, 8192),
}
ENGINE = rules.obj({
    "prompt": PROMPT,
    "model": rules.text(1, 200),
    "seconds": rules.text(pattern=r"[1-9]\d?", default="4"),
    "size": rules.text(pattern=r"[1-9]\d{1,3}x[1-9]\d{1,3}", default="720x1280"),
    "input_reference": REFERENCE,
    **SAMPLING,
})
SOURCE = rules.obj({"id": rules.text(1, 128, required=True)}, required=True)
REMIX = rules.obj({"prompt": PROMPT})
EDIT = rules.obj({"prompt": PROMPT, "video": SOURCE})
EXTEND = rules.obj({"prompt": PROMPT, "video": SOURCE, "seconds": rules.one_of(*SECONDS, required=True)})
CHARACTER = rules.obj({"name": rules.text(1, 80, required=True)})
LIST = rules.obj({"after": rules.text(1, 128), "limit": rules.text(pattern=r"[1-9]\d?|100", default="20"),
                  "order": rules.one_of("asc", "desc", default="desc")})

ERRORS = {  # status: type, code, message
    400: ("invalid_request_error", None, "Invalid request."),
    401: ("invalid_request_error", "invalid_api_key", "Incorrect API key provided: sk-sim***. You can find your API key at "
          "https://platform.openai.com/account/api-keys."),
    402: ("insufficient_quota", "billing_hard_limit_reached", "Billing hard limit has been reached."),
    403: ("invalid_request_error", "model_not_found", "Your organization must be verified to use this model."),
    404: ("invalid_request_error", None, "Video not found."),
    409: ("invalid_request_error", "conflict", "The video is being changed."),
    422: ("invalid_request_error", None, "Unprocessable request."),
    429: ("requests", "rate_limit_exceeded", "Rate limit reached for sora-2 on requests per min."),
    500: ("server_error", None, "The server had an error while processing your request."),
    503: ("server_error", None, "The engine is currently overloaded, please try again later."),
}
CODES = {"unknown": "unknown_parameter", "required": "missing_required_parameter", "type": "invalid_type", "enum": "invalid_value",
         "range": "invalid_value", "length": "string_above_max_length", "format": "invalid_value", "rule": "invalid_value"}
FAILURES = {  # outcome: error of the failed job
    "moderation_in_job": ("moderation_blocked", "Your request was blocked by our moderation system."),
    "failed": ("video_generation_failed", "Video generation failed."),
    "failed_internal": ("internal_error", "An internal error occurred."),
}
WEBP = bytes.fromhex("52494646240000005745425056503820180000003001009d012a0100010002003425a400037000fefbfd5000")


class Simulator(openai_azure.Sora1, base.Simulator):
    name = "openai"
    keys = ("sk-sim-openai-one", "sk-sim-openai-two")
    outcomes = ("ok", "moderation_at_submit", "moderation_in_job", "failed", "failed_internal", "empty_result", "model_gone", "expired",
                "never")
    checks = ("create.reference_size", "create.reference_file", "create.file_id", "create.part", "content.ready", "content.variant",
              "content.expired", "list.after", "source.known", "source.completed", "source.file", "delete.ended",
              "character.video", "character.length", "character.known",
              *openai_azure.CHECKS)
    tables = (("create", CREATE), ("engine", ENGINE), ("remix", REMIX), ("edit", EDIT), ("extend", EXTEND), ("character", CHARACTER), ("list", LIST),
              *openai_azure.TABLES)
    base_path = "/v1"
    providers_beside = ("azure",)
    poll_after_ms = 50
    redirects = False  # content is a 302 to the media host

    def __init__(self, dialect="openai", **more):
        self.dialect = dialect
        if dialect == "azure":
            self.name, self.prefix, self.base_path = "azure", "/openai", "/openai/v1"
        if dialect == "openai":
            self.signs, self.hook_of_project = "standard", True
        self.characters = {}  # id: (key, what is told)
        super().__init__(**more)

    # --- words ---

    def error(self, status, message="", code=None, param=None):
        kind, usual, text = ERRORS.get(status, ERRORS[500])
        if code == "insufficient_quota":
            kind, text = code, "You exceeded your current quota, please check your plan and billing details."
        if self.dialect == "azure":
            return openai_azure.error(status, message or text, code or usual)
        body = {"error": {"message": message or text, "type": kind, "param": param, "code": code or usual}}
        return self._dressed(Reply(status, body))

    def violation(self, broken):
        path = broken.path.partition(".")[2] or None
        if broken.kind == "unknown":
            return self.error(400, f"Unknown parameter: '{path}'.", CODES["unknown"], path)
        return self.error(400, f"Invalid value for '{path}': {broken.detail}.", CODES[broken.kind], path)

    def _dressed(self, reply):
        reply.headers.update({"x-request-id": "req_" + secrets.token_hex(16), "openai-processing-ms": "12", "openai-version": "2020-10-01"})
        if reply.status == 429:
            reply.headers.update({"x-ratelimit-limit-requests": "25", "x-ratelimit-remaining-requests": "0",
                                  "x-ratelimit-reset-requests": "2.4s"})
        return reply

    def authorize(self, request):
        if self.dialect == "azure":
            return self.known_key(request.header("api-key") or self.bearer(request))
        return self.known_key(self.bearer(request))

    def _refuse(self, status, message, code=None, param=None):
        raise Refusal(self.error(status, message, code, param))

    # --- the video object ---

    def _status(self, job):
        if job.phase in ("queued", "running"):
            return {"queued": "queued", "running": "in_progress"}[job.phase]
        if job.outcome == "expired":
            return "expired"
        return "failed" if job.outcome in FAILURES or job.phase == "canceled" else "completed"

    def _video(self, job, status=200):
        told = self._status(job)
        failed = FAILURES.get(job.outcome) if told == "failed" else None
        done = told == "completed"
        reply = Reply(status, {
            "id": job.id, "object": "video", "model": job.fields["model"], "status": told, "progress": job.progress,
            "created_at": int(job.created), "completed_at": int(job.ended) if done else None,
            "expires_at": int(job.ended) + 3600 if done else None, "seconds": str(job.seconds), "size": f"{job.width}x{job.height}",
            "prompt": job.prompt, "remixed_from_video_id": job.fields.get("remixed_from"), "quality": "standard",
            "error": {"code": failed[0], "message": failed[1]} if failed else None,
        })
        if told in ("queued", "in_progress"):
            reply.headers["openai-poll-after-ms"] = str(self.poll_after_ms)
        return self._dressed(reply)

    def _new(self, request, body, width, height, seconds, **fields):
        outcome = self.next_outcome(request)
        if outcome == "moderation_at_submit":
            self._refuse(400, "Your request was rejected by our safety system.", "moderation_blocked")
        if outcome == "model_gone":
            self._refuse(404, f"The model '{fields['model']}' does not exist or you do not have access to it.", "model_not_found")
        job = self.new_job(request, "video_" + secrets.token_hex(16), body["prompt"], width, height, int(seconds), **fields)
        return self._video(job)

    # --- create ---

    def event(self, job):
        word = "completed" if self._status(job) == "completed" else "failed"
        return {"id": f"evt_{job.id}", "object": "event", "created_at": int(time.time()), "type": f"video.{word}", "data": {"id": job.id}}

    @route("POST", "/v1/videos", "submit")
    def create(self, request):
        body, picture = self._form(request, ("input_reference",)) if request.is_form() else (request.json(), None)
        body = (ENGINE if self.dialect == "engine" else CREATE).check(body, "create")
        reference = body.get("input_reference") or {}
        self.must("create.file_id", not reference.get("file_id"), "create.input_reference.file_id", "no such file")
        if reference.get("image_url", "").startswith("data:"):
            picture = wire.decode_data_url(reference["image_url"])[1]
        width, height = map(int, body["size"].split("x"))
        if picture and media.picture_size(picture) and self.dialect != "engine":
            self.must("create.reference_size", media.picture_size(picture) == (width, height), "create.input_reference",
                      "Inpaint image must match the requested width and height")
        known = [self.characters.get(one["id"], (None,))[0] == request.key for one in body.get("characters") or ()]
        self.must("character.known", all(known), "create.characters", "no such character")
        sampling = {name: body[name] for name in SAMPLING if body.get(name) is not None}
        return self._new(request, body, width, height, body["seconds"], model=body["model"] or "default", sampling=sampling)

    def _form(self, request, files):
        """({member: text or number}, the file's bytes) of a form."""
        body, data = {}, None
        for name, part in request.form().items():
            if name in files and part.filename is not None:
                self._check_file(name, part)
                data = part.data
            else:
                self.must("create.part", part.filename is None, f"create.{name}", "this part is no file")
                outer, _, inner = name.rstrip("]").partition("[")  # video[id], as SDKs write objects
                if inner:
                    body.setdefault(outer, {})[inner] = part.text
                else:
                    body[name] = self._plain(name, part.text)
        return body, data

    @staticmethod
    def _plain(name, text):
        """Numbers of a form are text; the tables want numbers."""
        wanted = SAMPLING.get(name)
        if wanted and int in wanted.types and re.fullmatch(r"-?\d{1,19}(\.\d{1,9})?", text):
            return float(text) if "." in text else int(text)
        return text

    def _check_file(self, name, part):
        kinds = {"image/png": ("png",), "image/jpeg": ("jpg", "jpeg"), "image/webp": ("webp",), "video/mp4": ("mp4",)}
        kind = "mp4" if part.data[4:8] == b"ftyp" else media.picture_kind(part.data)
        good = part.content_type in kinds and kind is not None and part.content_type.endswith(kind)
        self.must("create.reference_file", good and part.filename.rpartition(".")[2] in kinds[part.content_type], f"create.{name}",
                  "Unsupported mimetype, or the file is not what its type and name say")

    # --- read ---

    @route("GET", "/v1/videos/{id}", "poll")
    def retrieve(self, request, id):
        return self._video(self.polled(request, id))

    @route("GET", "/v1/videos", "lookup")
    def list(self, request):
        asked = LIST.check(request.query, "list")
        mine = [job for job in self.jobs.values() if job.key == request.key]
        mine.sort(key=lambda job: job.created, reverse=asked["order"] == "desc")
        if asked["after"]:
            at = next((i for i, job in enumerate(mine) if job.id == asked["after"]), None)
            self.must("list.after", at is not None, "list.after", "no such video")
            mine = mine[at + 1:]
        page = mine[:int(asked["limit"])]
        return self._dressed(Reply(200, {
            "object": "list", "data": [self._video(job)._body for job in page], "has_more": len(mine) > len(page),
            "first_id": page[0].id if page else None, "last_id": page[-1].id if page else None}))

    @route("GET", "/v1/videos/{id}/content", "fetch")
    def content(self, request, id):
        job, variant = self.find(request, id), request.query.get("variant", "video")
        self.must("content.variant", variant in ("video", "thumbnail", "spritesheet"), "content.variant", "no such variant")
        if self._status(job) != "completed" or job.outcome == "empty_result":
            self.broken["content.ready"] += 1
            self._refuse(404, "Video is not ready yet, use GET /v1/videos/{video_id} to check status.")
        if self.clock.now() > job.ended + 3600:
            self.broken["content.expired"] += 1
            self._refuse(404, "The content of this video has expired.")
        if variant != "video":
            kind = "image/webp" if variant == "thumbnail" else "image/jpeg"
            return Reply(200, WEBP if variant == "thumbnail" else (lambda: media.jpeg(320, 180)), content_type=kind)
        if self.redirects:
            return self._dressed(Reply(302, b"", {"location": self.link(job)}))
        return self._dressed(self.file(request, job))

    # --- change ---

    @route("DELETE", "/v1/videos/{id}", "cancel")
    def delete(self, request, id):
        job = self.find(request, id)
        if job.phase in ("queued", "running") and self.dialect != "engine":
            self.broken["delete.ended"] += 1
            self._refuse(409, "Video is still being generated.")
        job.canceled = job.phase in ("queued", "running")
        del self.jobs[id]
        return self._dressed(Reply(200, {"id": id, "deleted": True, "object": "video.deleted"}))

    def _source(self, request, id, path):
        source = self.jobs.get(id)
        self.must("source.known", source is not None and source.key == request.key, path, "no such video")
        self.must("source.completed", self._status(source) == "completed", path, "the video is not completed")
        return source

    @route("POST", "/v1/videos/{id}/remix", "submit")
    def remix(self, request, id):
        body, source = REMIX.check(request.json(), "remix"), self.find(request, id)
        self._source(request, id, "remix.id")
        return self._new(request, body, source.width, source.height, source.seconds, model=source.fields["model"], remixed_from=id)

    def _derive(self, request, table, name):
        """(body, width, height, seconds, model, source id) of an edit or extension of a video by id or as a file."""
        body, data = self._form(request, ("video",)) if request.is_form() else (request.json(), None)
        if data is None and "video" in body:
            body = table.check(body, name)
            source = self._source(request, body["video"]["id"], f"{name}.video.id")
            return body, source.width, source.height, source.seconds, source.fields["model"], source.id
        self.must("source.file", data is not None, f"{name}.video", "the file is missing")
        body = table.check({**body, "video": {"id": "file"}}, name)
        film = media.probe(data)
        return body, film["width"], film["height"], round(film["seconds"]), "sora-2", None

    # --- characters: OpenAI's alone, from a short film; our adapters ask for none ---

    @route("POST", "/v1/videos/characters", "upload")
    def create_character(self, request):
        self._sora_alone()
        body, film = self._form(request, ("video",))
        body = CHARACTER.check(body, "character")
        self.must("character.video", film is not None, "character.video", "the film is missing")
        self.must("character.length", 2 <= round(media.probe(film)["seconds"]) <= 4, "character.video", "2 to 4 seconds are needed")
        made = {"id": "char_" + secrets.token_hex(16), "name": body["name"], "created_at": int(self.clock.now())}
        self.characters[made["id"]] = (request.key, made)
        return self._dressed(Reply(200, made))

    @route("GET", "/v1/videos/characters/{id}", "other")
    def character(self, request, id):
        self._sora_alone()
        key, made = self.characters.get(id, (None, None))
        if key != request.key:
            self._refuse(404, f"Character '{id}' not found.")
        return self._dressed(Reply(200, made))

    def _sora_alone(self):
        if self.dialect != "openai":
            self._refuse(404, "Not Found")

    @route("POST", "/v1/videos/edits", "submit")
    def edit(self, request):
        body, width, height, seconds, model, source = self._derive(request, EDIT, "edit")
        return self._new(request, body, width, height, seconds, model=model, remixed_from=source)

    @route("POST", "/v1/videos/extensions", "submit")
    def extend(self, request):
        body, width, height, seconds, model, source = self._derive(request, EXTEND, "extend")
        return self._new(request, body, width, height, seconds + int(body["seconds"]), model=model, remixed_from=source)
