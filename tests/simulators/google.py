# SPDX-License-Identifier: Apache-2.0
"""The Gemini API: Veo's long-running operations, the Files API, and Gemini Omni's Interactions API, which answers when the video is made."""
import base64
import json
import secrets
import time

from simulators import base, google_api, google_omni, hooks, media, rules
from simulators.base import Reply, route

MODELS = {"veo-3.1-generate-preview": ("720p", "1080p", "4k"), "veo-3.1-fast-generate-preview": ("720p", "1080p", "4k"),
          "veo-3.1-lite-generate-preview": ("720p", "1080p")}
PICTURE = {"kinds": ("png", "jpeg", "webp"), "forms": (("", "bytesBase64Encoded", "mimeType"), ("inlineData", "data", "mimeType"))}
INSTANCE = rules.obj({
    "prompt": rules.text(1, 6000, required=True),  # 1,024 tokens
    "image": google_api.Blob(**PICTURE),
    "lastFrame": google_api.Blob(**PICTURE),
    "referenceImages": rules.array(rules.obj({"image": google_api.Blob(**PICTURE, required=True),
                                              "referenceType": rules.one_of("asset", required=True)}), 1, 3),
    "video": google_api.Blob(("mp4",), (("", "encodedVideo", "encoding"), ("inlineData", "data", "mimeType")), ("uri",)),
})
# The SDK refuses these for the Gemini API, and so does the API.
VERTEX_ONLY = ("generateAudio", "seed", "storageUri", "fps", "pubsubTopic", "mask", "compressionQuality", "labels", "resizeMode", "enhancePrompt")
PARAMETERS = rules.obj({
    "aspectRatio": rules.one_of("16:9", "9:16", default="16:9"),
    "durationSeconds": rules.one_of(4, 6, 8, "4", "6", "8", default=8),
    "resolution": rules.one_of("720p", "1080p", "4k", default="720p"),
    "personGeneration": rules.one_of("allow_all", "allow_adult", "dont_allow"),
    "negativePrompt": rules.text(0, 6000),
    "sampleCount": rules.integer(1, 1, default=1),
    "numberOfVideos": rules.integer(1, 1, default=1),
})
CREATE = rules.obj({
    "instances": rules.array(INSTANCE, 1, 1, required=True),
    "parameters": PARAMETERS,
    "webhookConfig": rules.obj({"uris": rules.array(rules.url("https"), 1, 5, required=True), "userMetadata": rules.obj({}, open=True)}),
})
LIST = rules.obj({"pageSize": rules.text(pattern=r"[1-9]\d{0,2}"), "pageToken": rules.text(1, 200), "filter": rules.text(0, 1000),
                  "key": rules.text(1, 200)})
REGIONS = ("us", "eu")  # in the EU, UK, CH and MENA only allow_adult


class Simulator(google_omni.Omni, google_api.Words, base.Simulator):
    name = "google"
    keys = ("AIzaSySimulatedGeminiKeyNumberOne000001", "AIzaSySimulatedGeminiKeyNumberTwo000002")
    service, metadata_type = "generativelanguage.googleapis.com", "google.ai.generativelanguage.v1beta.GenerateVideoMetadata"
    outcomes = ("ok", "moderation_at_submit", "moderation_in_job", "empty_result", "model_gone", "expired", "never", "inline", "file_failed",
                *google_api.OPERATION_ERRORS)
    checks = ("veo.model", "veo.vertex_only", "veo.last_frame_needs_image", "veo.references_alone", "veo.references_8s", "veo.hd_8s", "veo.resolution_of_model",
              "veo.references_of_model", "veo.video_alone", "veo.video_8s", "veo.video_720p", "veo.video_known", "veo.video_aspect", "veo.video_20_times",
              "veo.person_text", "veo.person_image", "veo.person_region", "veo.negative_prompt", "file.alt", "file.ready", "file.age",
              *google_omni.CHECKS)
    tables = (("create", CREATE), ("list", LIST), *google_omni.TABLES)
    base_path = "/v1beta"
    redirects = False        # a download is a 302 to the media host
    region = "us"
    negative_prompts = True  # the live API was seen refusing them for some model
    file_life = 48 * 3600

    # --- keys ---

    def authorize(self, request):
        return self.key_of(request)

    def is_link(self, value):
        return isinstance(value, str) and "/v1beta/files/" in value

    # --- submit ---

    @route("POST", "/v1beta/models/{model}:predictLongRunning", "submit")
    def create(self, request, model):
        raw = request.json()
        for name in VERTEX_ONLY:
            self.must("veo.vertex_only", name not in (raw.get("parameters") or {}), f"parameters.{name}",
                      f"`{name}` isn't supported by this model. Please remove it or refer to the Gemini API documentation for supported usage.")
        body = CREATE.check(raw, "create")
        self._known_model(model)
        instance, asked = body["instances"][0], body["parameters"] or PARAMETERS.check({}, "create.parameters")
        seconds = google_api.asked_seconds(asked["durationSeconds"])
        self._tied_together(model, instance, asked, seconds)
        self.refusals(request, model)
        if instance["video"]:
            seconds = self._extended(request, instance["video"], asked) + 7
        width, height = google_api.size_of(asked["aspectRatio"], asked["resolution"])
        job = self.new_job(request, secrets.token_hex(8), instance["prompt"], width, height, seconds, model=model,
                           extensions=self._extensions, pictures=sum(bool(instance[name]) for name in ("image", "lastFrame")) +
                           len(instance["referenceImages"] or []), webhook=body["webhookConfig"], extends=google_api.form_of(raw))
        return Reply(200, {"name": self._operation(job)})

    def _known_model(self, model):
        if model not in MODELS:
            self.broken["veo.model"] += 1
            self.refuse(404, f"models/{model} is not found for API version v1beta, or is not supported for predictLongRunning. Call ListModels to see the "
                        "list of available models and their supported methods.")

    def _tied_together(self, model, instance, asked, seconds):
        """Rules of several members."""
        lite, pictures = "-lite-" in model, bool(instance["image"] or instance["referenceImages"])
        references, video = instance["referenceImages"], instance["video"]
        must = self.must
        must("veo.last_frame_needs_image", instance["image"] or not instance["lastFrame"], "instances[0].lastFrame", "lastFrame needs image")
        must("veo.references_alone", not references or not (instance["image"] or instance["lastFrame"] or video), "instances[0].referenceImages",
             "referenceImages cannot be combined with image, lastFrame or video")
        must("veo.references_of_model", not references or not lite, "instances[0].referenceImages", "referenceImages isn't supported by this model")
        must("veo.references_8s", not references or seconds == 8, "parameters.durationSeconds", "referenceImages needs durationSeconds 8")
        must("veo.resolution_of_model", asked["resolution"] in MODELS[model], "parameters.resolution", "`resolution` 4k isn't supported by this model")
        must("veo.hd_8s", asked["resolution"] == "720p" or seconds == 8, "parameters.durationSeconds", "1080p and 4k need durationSeconds 8")
        must("veo.video_alone", not video or not (instance["image"] or instance["lastFrame"]), "instances[0].video", "video cannot be combined with image")
        must("veo.video_8s", not video or seconds == 8, "parameters.durationSeconds", "an extension needs durationSeconds 8")
        must("veo.video_720p", not video or asked["resolution"] == "720p", "parameters.resolution", "an extension is 720p")
        person = asked["personGeneration"]
        must("veo.person_region", person in (None, "allow_adult") or self.region == "us", "parameters.personGeneration",
             f"{person} for personGeneration is currently not supported in this region.")
        must("veo.person_text", pictures or person in (None, "allow_all") or self.region != "us", "parameters.personGeneration",
             f"{person} for personGeneration is currently not supported.")
        must("veo.person_image", not pictures or person in (None, "allow_adult"), "parameters.personGeneration",
             f"{person} for personGeneration is currently not supported with images.")
        must("veo.negative_prompt", self.negative_prompts or asked["negativePrompt"] is None, "parameters.negativePrompt",
             "`negativePrompt` isn't supported by this model. Please remove it or refer to the Gemini API documentation for supported usage.")

    _extensions = 0

    def _extended(self, request, video, asked):
        """Length of the video to extend; only Veo's own are taken."""
        self._extensions = 0
        if "uri" in video:
            job = self._job_of_file(video["uri"].rpartition("/files/")[2].partition(":")[0])
            self.must("veo.video_known", job is not None and job.key == request.key, "instances[0].video.uri", "The file is not known or has expired.")
            width, height, seconds, self._extensions = job.width, job.height, job.seconds, job.fields.get("extensions", 0) + 1
        else:
            film = media.probe(video["data"])
            width, height, seconds = film["width"], film["height"], round(film["seconds"])
        self.must("veo.video_aspect", (width, height) == google_api.size_of(asked["aspectRatio"], "720p"), "instances[0].video",
                  "The video must be 720p in the asked aspectRatio.")
        self.must("veo.video_20_times", self._extensions <= 20 and seconds <= 141, "instances[0].video", "The video cannot be extended any more.")
        return seconds

    # --- webhooks ---

    signs = "jws"

    @property
    def settings(self):
        return {"google-jwks-url": f"{self.url}/.well-known/jwks.json", "google-event-audience": hooks.AUDIENCE}

    @route("GET", "/.well-known/jwks.json", "token", auth=False)
    def public_keys(self, request):
        return self.jwks("jws")

    def hook(self, job):
        asked = job.fields.get("webhook")
        return asked and asked["uris"][0]

    def event(self, job):
        return {"type": "video.generated", "version": "v1", "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                "data": {"id": self._operation(job), **({} if job.outcome != "ok" else {"output_file_uri": self._uri(job)})}}

    # --- operations ---

    @staticmethod
    def _operation(job):
        return f"models/{job.fields['model']}/operations/{job.id}"

    @route("GET", "/v1beta/models/{model}/operations/{id}", "poll")
    def poll(self, request, model, id):
        job = self.polled(request, id)
        if job.fields["model"] != model:
            self.refuse(404)
        name = self._operation(job)
        if job.outcome == "expired" and job.phase == "done":
            self.refuse(404, "Operation has expired.")
        if job.phase != "done":
            return self.running(job, name)
        if job.outcome in google_api.OPERATION_ERRORS:
            return self.failed(job, name)
        if job.outcome == "inline":
            return Reply(200, lambda: self._whole(name, {"encodedVideo": base64.b64encode(job.video()).decode(), "encoding": "video/mp4"}),
                         content_type="application/json; charset=UTF-8")
        if job.outcome == "moderation_in_job":
            made = google_api.filtered()
        else:
            made = {} if job.outcome == "empty_result" else {"generatedSamples": [{"video": {"uri": self._uri(job)}}]}
        return Reply(200, {"name": name, "done": True, "response": {"@type": self._type(), "generateVideoResponse": made}})

    @staticmethod
    def _type():
        return "type.googleapis.com/google.ai.generativelanguage.v1beta.PredictLongRunningResponse"

    def _whole(self, name, video):
        return json.dumps({"name": name, "done": True, "response": {"@type": self._type(), "generateVideoResponse": {
            "generatedSamples": [{"video": video}]}}}).encode()

    @route("GET", "/v1beta/models/{model}/operations", "lookup")
    def list(self, request, model):
        LIST.check(request.query, "list")
        mine = [job for job in self.jobs.values() if job.key == request.key and job.fields["model"] == model]
        return Reply(200, {"operations": [{"name": self._operation(job), **({"done": True} if job.phase == "done" else {})} for job in mine]})

    @route("GET", "/v1beta/models/{model}")
    def model(self, request, model):
        self._known_model(model)
        return Reply(200, {"name": f"models/{model}", "version": "3.1", "supportedGenerationMethods": ["predictLongRunning"]})

    # --- files ---

    def _uri(self, job):
        return f"{self.url}/v1beta/files/f{job.id}:download?alt=media"

    def _job_of_file(self, file):
        job = self.jobs.get(file[1:])
        alive = job and job.phase == "done" and self.clock.now() < job.ended + self.file_life
        return job if alive else None

    def _file(self, request, id):
        job = self._job_of_file(id)
        if job is None or job.key != request.key:
            self.broken["file.age"] += 1
            self.refuse(403, f"You do not have permission to access the File {id} or it may not exist.")
        return job

    @route("GET", "/v1beta/files/{id}:download", "fetch")
    def download(self, request, id):
        self.must("file.alt", request.query.get("alt") == "media", "alt", "alt=media is missing")
        job = self._file(request, id)
        if not self.file_is_active(job):
            self.broken["file.ready"] += 1
            self.refuse(400, "The file is not in an ACTIVE state.")
        if self.redirects:
            return Reply(302, b"", {"location": self.link(job)})
        return self.file(request, job)

    @route("GET", "/v1beta/files/{id}", "poll")
    def file_state(self, request, id):
        job = self._file(request, id)
        job.polls += 1
        job.fields["file_polls"] = job.fields.get("file_polls", 0) + 1
        made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(job.ended))
        told = {"name": f"files/{id}", "mimeType": "video/mp4", "createTime": made, "state": self.file_word(job), "source": "GENERATED",
                "uri": f"{self.url}/v1beta/files/{id}", "downloadUri": f"{self.url}/v1beta/files/{id}:download?alt=media"}
        if told["state"] == "FAILED":
            told["error"] = {"code": 13, "message": "The file could not be processed."}
        return Reply(200, told)

    @route("DELETE", "/v1beta/files/{id}", "other")
    def delete_file(self, request, id):
        job = self._file(request, id)
        job.ended -= self.file_life
        return Reply(200, {})
