# SPDX-License-Identifier: Apache-2.0
"""Replicate: predictions of official models and of versions, files, cancel, the list. Inputs and outputs are forgotten after an hour."""
import datetime
import secrets

from simulators import base, media, rules, wire
from simulators.base import Refusal, Reply, route

SIDES = {"480p": 480, "720p": 720, "768p": 768, "1080p": 1080}
INLINE = 256_000  # characters of a data URL
PAGE = 100


class File(rules.Picture):
    """A picture: an address (of one's own uploads, too) or a small data URL."""

    def check(self, value, path):
        if isinstance(value, str) and value.startswith("data:") and len(value) > INLINE:
            raise rules.Broken("length", path, "use the files API for files larger than 256kb")
        return super().check(value, path)

    def names(self, path):
        return super().names(path) | {f"{path}.length"}


COMMON = {"prompt": rules.text(1, 20000, required=True)}
SEED = rules.integer(0, 2 ** 31 - 1)
WIDE = rules.one_of("16:9", "9:16", default="16:9")
SHAPES = ("16:9", "4:3", "1:1", "3:4", "9:16", "21:9", "9:21")
LAST = rules.Rule("last_needs_first", lambda b: not b["last_frame_image"] or b["image"], "last_frame_image", "needs image")


def seedance_2(*resolutions):
    address = rules.url("https")
    return rules.obj({
        **COMMON, "image": File(), "last_frame_image": File(), "reference_images": rules.array(File(), 0, 9, default=[]),
        "reference_videos": rules.array(address, 0, 3, default=[]), "reference_audios": rules.array(address, 0, 3, default=[]),
        "duration": rules.integer(values=(-1, *range(4, 16)), default=5), "resolution": rules.one_of(*resolutions, default="720p"),
        "aspect_ratio": rules.one_of(*SHAPES, "adaptive", default="16:9"), "generate_audio": rules.boolean(default=True), "seed": SEED,
    }, LAST,
        rules.Rule("modes", lambda b: not (b["reference_images"] and (b["image"] or b["last_frame_image"])), "reference_images",
                   "cannot be combined with first or last frame images"),
        rules.Rule("sounds_not_alone", lambda b: not b["reference_audios"] or b["reference_images"] or b["reference_videos"], "reference_audios",
                   "requires a reference image or video"))


def veo(**pictures):
    return rules.obj({
        **COMMON, "image": File(), "last_frame": File(), **pictures, "duration": rules.integer(values=(4, 6, 8), default=8),
        "resolution": rules.one_of("720p", "1080p", default="1080p"), "aspect_ratio": WIDE, "generate_audio": rules.boolean(default=True),
        "negative_prompt": rules.text(0, 20000), "seed": SEED,
    }, rules.Rule("references_are_wide_8s", lambda b: not b.get("reference_images") or (b["aspect_ratio"], b["duration"]) == ("16:9", 8),
                  "reference_images", "only with 16:9 and 8 seconds"))


MODELS = {
    "bytedance/seedance-1-pro": rules.obj({
        **COMMON, "image": File(), "last_frame_image": File(), "duration": rules.integer(2, 12, default=5),
        "resolution": rules.one_of("480p", "720p", "1080p", default="1080p"), "aspect_ratio": rules.one_of(*SHAPES, default="16:9"),
        "fps": rules.one_of(24, default=24), "camera_fixed": rules.boolean(default=False), "seed": SEED}, LAST),
    "bytedance/seedance-2.0": seedance_2("480p", "720p", "1080p"),
    "bytedance/seedance-2.0-fast": seedance_2("480p", "720p"),
    "google/veo-3.1": veo(reference_images=rules.array(File(), 0, 3, default=[])),
    "google/veo-3.1-fast": veo(),
    "minimax/hailuo-2.3": rules.obj({
        **COMMON, "first_frame_image": File(), "duration": rules.one_of(6, 10, default=6),
        "resolution": rules.one_of("768p", "1080p", default="768p"), "prompt_optimizer": rules.boolean(default=True)},
        rules.Rule("1080p_is_6s", lambda b: b["resolution"] != "1080p" or b["duration"] == 6, "duration", "1080p supports only 6 seconds")),
}
VERSIONS = {"5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa": "bytedance/seedance-1-pro"}
HOOKS = {"webhook": rules.url("https"), "webhook_events_filter": rules.array(rules.one_of("start", "output", "logs", "completed"), 1, 4),
         "stream": rules.boolean()}
CREATE = rules.obj({"input": rules.obj({}, open=True, required=True), **HOOKS})
CREATE_VERSION = rules.obj({"version": rules.text(1, 256, required=True), "input": rules.obj({}, open=True, required=True), **HOOKS})
LIST = rules.obj({"created_after": rules.text(pattern=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"),
                  "created_before": rules.text(pattern=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "cursor": rules.text(1, 200)})

ERRORS = {  # status: title, detail
    400: ("Bad request", "The request is not valid."),
    401: ("Unauthenticated", "You did not pass a valid authentication token"),
    402: ("Insufficient credit", "You have insufficient credit to run this model. Go to https://replicate.com/account/billing#billing to "
          "purchase credit."),
    403: ("Forbidden", "You do not have permission to perform this action."),
    404: ("Not found", "The requested resource could not be found."),
    405: ("Method not allowed", "Method not allowed."),
    422: ("Input validation failed", "- input: is not valid"),
    429: ("Too many requests", "Request was throttled. Expected available in 2 seconds."),
    500: ("Internal server error", "An unexpected error occurred."),
    503: ("Service unavailable", "The service is not available."),
}
FAILURES = {  # outcome: error of the failed prediction
    "moderation_in_job": "The input or output was flagged as sensitive. Please try again with different inputs. (E005)",
    "failed": "Prediction failed for an unknown reason.",
    "busy": "Service is currently unavailable due to high demand. Please try again later. (E003)",
    "interrupted": "Prediction interrupted; please retry (code: PA)",
    "refused_in_job": "The model did not take the input. (E006)",
}


def iso(seconds):
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


class Simulator(base.Simulator):
    name, base_path = "replicate", "/v1"
    keys = ("r8_simulator_one", "r8_simulator_two")
    outcomes = ("ok", *FAILURES, "empty_result", "model_gone", "aborted", "never")
    checks = ("file.part", "file.type", "file.known", "model.version")
    tables = (*MODELS.items(), ("create", CREATE), ("create_version", CREATE_VERSION), ("list", LIST))
    link_life = 3600
    as_list = False  # some models tell their output as a list

    def reset(self):
        super().reset()
        self.files = {}  # id: {"key", "data"}

    def error(self, status, message="", code=None):
        title, detail = ERRORS.get(status, ERRORS[500])
        body = {"title": title, "detail": message or detail, "status": status}
        if status == 429:
            body["retry_after"] = 2
        return Reply(status, body, content_type="application/problem+json")

    def violation(self, broken):
        model = next((model for model in MODELS if broken.path.startswith(model + ".")), None)
        path = "input" + broken.path.removeprefix(model) if model else broken.path
        return Reply(422, {"title": "Input validation failed", "detail": f"- {path}: {broken.detail}\n", "status": 422,
                           "invalid_fields": [{"type": broken.kind, "field": path, "description": broken.detail}]})

    # --- predictions ---

    def _prediction(self, job, status=200):
        removed = job.phase in ("done", "canceled") and self.clock.now() > (job.ended or job.created) + 3600
        failed = FAILURES.get(job.outcome) if job.phase == "done" else None
        word = {"queued": "starting", "running": "processing", "canceled": "canceled"}.get(job.phase, "failed" if failed else "succeeded")
        output, whole = None, f"{self.url}/v1/predictions/{job.id}"
        if job.phase == "done" and job.outcome == "aborted":
            word = "aborted"
        if word == "succeeded" and job.outcome != "empty_result" and not removed:
            output = [self.link(job)] if self.as_list else self.link(job)
        return Reply(status, {
            "id": job.id, "model": job.fields["model"], "version": job.fields["version"] or "hidden", "input": {} if removed else job.fields["input"],
            "logs": "", "output": output, "data_removed": removed, "error": failed, "status": word, "source": "api", "created_at": iso(job.created),
            "started_at": None, "completed_at": iso(job.ended) if job.ended else None, "metrics": {},
            "urls": {"get": whole, "cancel": whole + "/cancel", "web": f"https://replicate.com/p/{job.id}"}})

    signs = "standard"

    def event(self, job):
        return self._prediction(job)._body

    def _create(self, request, model, version, body):
        if model not in MODELS or self.next_outcome(request) == "model_gone":
            raise Refusal(self.error(404))
        given = MODELS[model].check(body["input"], model)
        for address in [given.get(n) for n in ("image", "last_frame", "last_frame_image", "first_frame_image")] + given.get("reference_images", []):
            self._known_file(request, address)
        width, height = self._size(given)
        job = self.new_job(request, secrets.token_hex(13), given["prompt"], width, height, given["duration"], given.get("generate_audio", False),
                           model=model, version=version, input=body["input"], webhook=body["webhook"])
        return self._prediction(job, 201)

    def _known_file(self, request, address):
        prefix = f"{self.url}/v1/files/"
        if address and address.startswith(prefix):
            file = self.files.get(address.removeprefix(prefix))
            self.must("file.known", file is not None and file["key"] == request.key, "input", "no such file")

    @staticmethod
    def _size(given):
        shape, short = given.get("aspect_ratio", "adaptive"), SIDES[given["resolution"]]
        picture = given.get("first_frame_image") or (given.get("image") if shape == "adaptive" else None)
        wide, high = map(int, shape.split(":")) if ":" in shape else (16, 9)
        if picture and picture.startswith("data:"):
            wide, high = media.picture_size(wire.decode_data_url(picture)[1]) or (wide, high)
        return tuple(2 * round(short * n / min(wide, high) / 2) for n in (wide, high))

    @route("POST", "/v1/models/{owner}/{name}/predictions", "submit")
    def create(self, request, owner, name):
        return self._create(request, f"{owner}/{name}", None, CREATE.check(request.json(), "create"))

    @route("POST", "/v1/predictions", "submit")
    def create_version(self, request):
        body = CREATE_VERSION.check(request.json(), "create_version")
        self.must("model.version", body["version"] in VERSIONS, "version", "Invalid version or not permitted")
        return self._create(request, VERSIONS[body["version"]], body["version"], body)

    @route("GET", "/v1/predictions/{id}", "poll")
    def retrieve(self, request, id):
        return self._prediction(self.polled(request, id))

    @route("GET", "/v1/predictions", "lookup")
    def list(self, request):
        asked = LIST.check(request.query, "list")
        mine = [job for job in reversed(self.history) if job.key == request.key]
        mine = [job for job in mine if iso(job.created) >= (asked["created_after"] or "") and iso(job.created) < (asked["created_before"] or "9")]
        page = [self._prediction(job)._body for job in mine[:PAGE]]
        return Reply(200, {"next": f"{self.url}/v1/predictions?cursor=next" if len(mine) > PAGE else None, "previous": None, "results": page})

    @route("POST", "/v1/predictions/{id}/cancel", "cancel")
    def cancel(self, request, id):
        job = self.find(request, id)
        job.canceled = job.canceled or job.phase in ("queued", "running")
        return self._prediction(job)

    # --- files ---

    @route("POST", "/v1/files", "upload")
    def upload(self, request):
        part = request.form().get("content")
        self.must("file.part", part is not None and part.filename is not None, "content", "the file is missing")
        kind = media.picture_kind(part.data)
        self.must("file.type", kind is not None and part.content_type == f"image/{kind}", "content", "the file is not what its type says")
        id = secrets.token_hex(16)
        self.files[id] = {"key": request.key, "data": part.data}
        return Reply(201, {"id": id, "name": part.filename, "content_type": part.content_type, "size": len(part.data),
                           "urls": {"get": f"{self.url}/v1/files/{id}"}, "created_at": iso(self.clock.now()),
                           "expires_at": iso(self.clock.now() + 86400)})
