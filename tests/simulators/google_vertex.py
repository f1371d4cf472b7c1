# SPDX-License-Identifier: Apache-2.0
"""Veo on Vertex AI: predictLongRunning and fetchPredictOperation under a project, or without one by API key (express mode); the token
endpoint; and the Cloud Storage JSON API with what was written there."""
import base64
import re
import time
import urllib.parse
import uuid

from simulators import base, google_api, google_token, media, rules
from simulators.base import Reply, route

MODELS = {"veo-3.1-generate-001": ("720p", "1080p", "4k"), "veo-3.1-fast-generate-001": ("720p", "1080p", "4k"),
          "veo-3.1-lite-generate-001": ("720p", "1080p")}
PICTURE = {"kinds": ("png", "jpeg", "webp"), "forms": (("", "bytesBase64Encoded", "mimeType"),), "addresses": ("gcsUri",)}
INSTANCE = rules.obj({
    "prompt": rules.text(1, 6000),
    "image": google_api.Blob(**PICTURE),
    "lastFrame": google_api.Blob(**PICTURE),
    "referenceImages": rules.array(rules.obj({"image": google_api.Blob(**PICTURE, required=True),
                                              "referenceType": rules.one_of("asset", "style", required=True)}), 1, 3),
    "video": google_api.Blob(("mp4",), (("", "bytesBase64Encoded", "mimeType"),), ("gcsUri",)),
}, rules.Rule("prompt_or_image", lambda i: i["prompt"] or i["image"], "prompt", "Text is needed without an image."))
PARAMETERS = rules.obj({
    "aspectRatio": rules.one_of("16:9", "9:16", default="16:9"),
    "durationSeconds": rules.integer(values=(4, 6, 8, 10), default=8),
    "generateAudio": rules.boolean(default=True),
    "resolution": rules.one_of("720p", "1080p", "4k", default="720p"),
    "sampleCount": rules.integer(1, 4, default=1),
    "seed": rules.integer(0, 2 ** 32 - 1),
    "negativePrompt": rules.text(0, 6000),
    "enhancePrompt": rules.boolean(default=True),
    "compressionQuality": rules.one_of("optimized", "lossless", default="optimized"),
    "resizeMode": rules.one_of("pad", "crop"),
    "fps": rules.integer(24, 24),
    "pubsubTopic": rules.text(pattern=r"projects/[^/]+/topics/[^/]+"),
    "personGeneration": rules.one_of("allow_adult", "dont_allow", "disallow", "allow_all", default="allow_adult"),
    "storageUri": rules.text(pattern=r"gs://[a-z0-9._-]{3,63}(/[^\s]*)?"),
})
CREATE = rules.obj({
    "instances": rules.array(INSTANCE, 1, 1, required=True),
    "parameters": PARAMETERS,
    "labels": rules.obj({}, open=True),
})
QUESTION = rules.obj({"operationName": rules.text(1, 600, required=True)})
LIST = rules.obj({"prefix": rules.text(0, 1024), "maxResults": rules.text(pattern=r"[1-9]\d{0,3}"), "pageToken": rules.text(1, 200),
                  "delimiter": rules.text(1, 1), "fields": rules.text(1, 200), "alt": rules.one_of("json")})
BUCKET = "sim-bucket"
WHERE = "/v1/projects/{project}/locations/{location}/publishers/google/models/{model}"
EXPRESS = "/v1/publishers/google/models/{model}"


class Simulator(google_token.Tokens, google_api.Words, base.Simulator):
    api_keys = ()
    name = "google_vertex"
    project, location, api_key = "sim-project", "us-central1", "AIzaSySimulatedVertexExpressKey0000001"
    service, metadata_type = "aiplatform.googleapis.com", "google.cloud.aiplatform.v1.GenericOperationMetadata"
    outcomes = ("ok", "moderation_at_submit", "moderation_in_job", "partial", "empty_result", "model_gone", "expired", "never", "bucket_denied",
                "bucket_missing", *google_api.OPERATION_ERRORS)
    checks = ("veo.model", "veo.video_known", "veo.video_size", "veo.ten_seconds", "veo.project", "veo.location", "veo.last_frame_needs_image", "veo.references_alone", "veo.references_8s",
              "veo.references_of_model", "veo.style_of_model", "veo.resolution_of_model", "veo.video_alone", "veo.video_720p", "veo.resize_needs_image",
              "veo.allow_all", "veo.express_storage", "poll.name", "storage.alt", "storage.escaped", "storage.bucket", "storage.object", "storage.forbidden",
              *google_token.CHECKS)
    tables = (("create", CREATE), ("question", QUESTION), ("list", LIST))
    ten_seconds = False      # LLM Gateway lists 10 s, Google's pages do not
    allow_all = False        # allowlisted projects may
    escaped_slashes = False  # JSON with \/ and =, as some of Google's writers have it

    def __init__(self, **more):
        self._make_accounts()
        self.api_keys = (self.api_key,)
        super().__init__(**{"keys": [account.path for account in self.accounts], **more})

    def stop(self):
        super().stop()
        self._drop_accounts()

    @property
    def outside_url(self):
        """The same server under another origin: for token endpoint and storage."""
        return self.url.replace("127.0.0.1", "localhost")

    @property
    def settings(self):
        """What the worker is configured with besides base-url and keys."""
        return {"google-vertex-token-url": f"{self.outside_url}/token", "google-vertex-storage-url": self.outside_url,
                "google-vertex-storage-uri": f"gs://{BUCKET}/made/"}

    def is_link(self, value):
        return isinstance(value, str) and value.startswith(("gs://", "AAAA"))

    # --- keys ---

    def authorize(self, request):
        if request.header("authorization"):
            key = self.account_of_bearer(request)
        else:
            key = self.key_of(request)
        if key in self.forbidden:
            self.broken["auth.forbidden"] += 1
            self.refuse(403, "Permission 'aiplatform.endpoints.predict' denied on resource.", code="IAM_PERMISSION_DENIED")
        return key

    # --- submit ---

    @route("POST", WHERE + ":predictLongRunning", "submit")
    def create(self, request, project, location, model):
        if project != self.project:
            self.broken["veo.project"] += 1
            self.refuse(403, "Permission 'aiplatform.endpoints.predict' denied on resource (or it may not exist).", code="IAM_PERMISSION_DENIED")
        if location != self.location:
            self.broken["veo.location"] += 1
            self.refuse(404, f"Publisher Model `{model}` is not found in {location}.")
        return self._create(request, model, f"projects/{project}/locations/{location}")

    @route("POST", EXPRESS + ":predictLongRunning", "submit")
    def create_express(self, request, model):
        if request.key != self.api_key:
            self.refuse(404)
        return self._create(request, model, f"projects/express-{self.project}/locations/{self.location}")

    def _create(self, request, model, where):
        body = CREATE.check(request.json(), "create")
        if model not in MODELS:
            self.broken["veo.model"] += 1
            self.refuse(404, f"Publisher Model `{where}/publishers/google/models/{model}` was not found or your project does not have access to it.")
        instance, asked = body["instances"][0], body["parameters"] or PARAMETERS.check({}, "create.parameters")
        self._tied_together(request, model, instance, asked)
        self.refusals(request, model)
        seconds = asked["durationSeconds"]
        if instance["video"]:
            seconds = 7 + self._source_seconds(instance["video"], asked)
        width, height = google_api.size_of(asked["aspectRatio"], asked["resolution"])
        job = self.new_job(request, str(uuid.uuid4()), instance["prompt"] or "", width, height, seconds, audio=asked["generateAudio"],
                           count=asked["sampleCount"], model=model, storage=asked["storageUri"], where=where, asked=asked, extends=google_api.form_of(request.json()),
                           pictures=sum(bool(instance[name]) for name in ("image", "lastFrame")) + len(instance["referenceImages"] or []))
        return Reply(200, {"name": self._operation(job)})

    def _source_seconds(self, video, asked):
        """Length of the video to extend."""
        if "data" in video:
            film = media.probe(video["data"])
            size, seconds = (film["width"], film["height"]), round(film["seconds"])
        else:
            job, _ = self._objects().get(video["uri"].removeprefix(f"gs://{BUCKET}/"), (None, 0))
            self.must("veo.video_known", job is not None, "instances[0].video.gcsUri", "The object does not exist.")
            size, seconds = (job.width, job.height), job.seconds
        self.must("veo.video_size", size == google_api.size_of(asked["aspectRatio"], "720p"), "instances[0].video", "The video must be 720p in the asked aspectRatio.")
        return seconds

    def _tied_together(self, request, model, instance, asked):
        references, video, must = instance["referenceImages"], instance["video"], self.must
        must("veo.last_frame_needs_image", instance["image"] or not instance["lastFrame"], "instances[0].lastFrame", "lastFrame needs image")
        must("veo.references_alone", not references or not (instance["image"] or instance["lastFrame"] or video), "instances[0].referenceImages",
             "Reference images cannot be combined with image, lastFrame or video.")
        must("veo.references_of_model", not references or "-lite-" not in model, "instances[0].referenceImages", "Reference to video is not supported.")
        must("veo.style_of_model", all(r["referenceType"] == "asset" for r in references or []), "instances[0].referenceImages",
             "Style images are not supported by this model.")
        must("veo.ten_seconds", asked["durationSeconds"] != 10 or self.ten_seconds, "parameters.durationSeconds",
             "Unsupported output video duration 10 seconds, supported durations are [4, 6, 8].")
        must("veo.references_8s", not references or asked["durationSeconds"] == 8, "parameters.durationSeconds",
             "Unsupported output video duration for reference to video, supported durations are [8].")
        must("veo.resolution_of_model", asked["resolution"] in MODELS[model], "parameters.resolution", "Unsupported resolution for this model.")
        must("veo.video_alone", not video or not (instance["image"] or instance["lastFrame"]), "instances[0].video", "video cannot be combined with image.")
        must("veo.video_720p", not video or asked["resolution"] == "720p", "parameters.resolution", "An extension is 720p.")
        must("veo.resize_needs_image", asked["resizeMode"] is None or instance["image"], "parameters.resizeMode", "resizeMode needs image.")
        must("veo.allow_all", asked["personGeneration"] != "allow_all" or self.allow_all, "parameters.personGeneration",
             "allow_all is only available for allowlisted projects.")
        must("veo.express_storage", not asked["storageUri"] or request.key != self.api_key, "parameters.storageUri",
             "storageUri is not available in express mode.")

    # --- operations ---

    @staticmethod
    def _operation(job):
        return f"{job.fields['where']}/publishers/google/models/{job.fields['model']}/operations/{job.id}"

    @route("POST", WHERE + ":fetchPredictOperation", "poll")
    def fetch_operation(self, request, project, location, model):
        name = QUESTION.check(request.json(), "question")["operationName"]
        resource, found, id = name.rpartition("/operations/")
        self.must("poll.name", found and f"/v1/{resource}" == urllib.parse.unquote(request.path).partition(":")[0], "operationName",
                  "operationName is not one of this model.")
        job = self.polled(request, id)
        if self._operation(job) != name or (job.outcome == "expired" and job.phase == "done"):
            self.refuse(404, "The operation was not found.")
        return self.running(job, name) if job.phase != "done" else self._ended(job, name)

    def _ended(self, job, name):
        bucket, _, _ = (job.fields["storage"] or "gs://").removeprefix("gs://").partition("/")
        denied = f"{self.accounts[0].email} does not have storage.objects.create access to the Google Cloud Storage object."
        if job.outcome == "bucket_denied":
            return Reply(200, {"name": name, "done": True, "error": {"code": 7, "message": denied}})
        if job.outcome == "bucket_missing" or bucket not in ("", BUCKET):
            return Reply(200, {"name": name, "done": True, "error": {"code": 5, "message": "The specified bucket does not exist."}})
        if job.outcome in google_api.OPERATION_ERRORS:
            return self.failed(job, name)
        blocked = {"moderation_in_job": job.count, "partial": 1}.get(job.outcome, 0)
        response = {"@type": "type.googleapis.com/cloud.ai.large_models.vision.GenerateVideoResponse",
                    **(google_api.filtered(blocked) if blocked else {"raiMediaFilteredCount": 0})}
        left = 0 if job.outcome in ("empty_result", "moderation_in_job") else max(job.count - blocked, 1)
        if left and job.fields["storage"]:
            response["videos"] = [{"gcsUri": f"gs://{bucket}/{self._object(job, i)}", "mimeType": "video/mp4"} for i in range(left)]
        told = {"name": name, "done": True, "response": response}
        return Reply(200, told) if job.fields["storage"] or not left else Reply(200, lambda: self._inline(job, told, left), content_type="application/json")

    def _inline(self, job, told, left):
        """The bytes inside: written by hand, since they may be 100 MB."""
        files = []
        for i in range(left):
            text = base64.b64encode(job.video(i))
            if self.escaped_slashes:
                text = text.replace(b"/", b"\\/").replace(b"=", b"\\u003d")
            files.append(b'{"bytesBase64Encoded":"' + text + b'","mimeType":"video/mp4"}')
        whole = Reply(200, told).body
        return whole[:-2] + b', "videos": [' + b",".join(files) + b"]}}"

    # --- Cloud Storage ---

    def _object(self, job, index):
        """The name that Vertex gives the file: below the prefix, a number of its own."""
        prefix = job.fields["storage"].removeprefix("gs://").partition("/")[2]
        return f"{prefix}{'' if prefix.endswith('/') or not prefix else '/'}{self._number(job)}/sample_{index}.mp4"

    @staticmethod
    def _number(job):
        return int(job.id.replace("-", ""), 16) % 10 ** 19

    def named_in(self, request):
        return super().named_in(request) or [job for job in self.jobs.values() if f"/{self._number(job)}/" in urllib.parse.unquote(request.target)]

    def _objects(self):
        """{object: (job, index)} of what has been written."""
        found = {}
        for job in self.jobs.values():
            if job.fields["storage"] and job.outcome in ("ok", "partial") and job.phase == "done":
                found.update({self._object(job, i): (job, i) for i in range(job.count)})
        return found

    def storage_error(self, status, message, reason):
        return Reply(status, {"error": {"code": status, "message": message, "errors": [{"message": message, "domain": "global", "reason": reason}]}})

    def _bucket(self, request, bucket):
        if request.key == self.api_key:
            self.broken["storage.forbidden"] += 1
            raise base.Refusal(self.storage_error(401, "Anonymous caller does not have storage.objects.get access.", "required"))
        if bucket != BUCKET:
            self.broken["storage.bucket"] += 1
            raise base.Refusal(self.storage_error(404, "The specified bucket does not exist.", "notFound"))

    @route("GET", "/storage/v1/b/{bucket}/o", "lookup")
    def list_objects(self, request, bucket):
        self._bucket(request, bucket)
        asked = LIST.check(request.query, "list")
        for job in self.jobs.values():  # a job that nobody polls goes on, too
            if (job.fields["storage"] or "").removeprefix(f"gs://{bucket}/").startswith(asked["prefix"] or ""):
                job.polls += 1
        names = sorted(name for name in self._objects() if name.startswith(asked["prefix"] or ""))
        items = [{"kind": "storage#object", "name": name, "bucket": bucket, "contentType": "video/mp4",
                  "timeCreated": time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(self.clock.now()))} for name in names]
        return Reply(200, {"kind": "storage#objects", **({"items": items[:int(asked["maxResults"] or 1000)]} if items else {})})

    def _named(self, request, bucket, object):
        self._bucket(request, bucket)
        self.must("storage.escaped", re.fullmatch(r"/storage/v1/b/[^/]+/o/[^/]+", request.path), "object", "the object's name is not escaped")
        found = self._objects().get(object)
        if not found:
            self.broken["storage.object"] += 1
            raise base.Refusal(self.storage_error(404, f"No such object: {bucket}/{object}", "notFound"))
        return found

    @route("GET", "/storage/v1/b/{bucket}/o/{object*}", "fetch")
    def get_object(self, request, bucket, object):
        job, index = self._named(request, bucket, object)
        self.must("storage.alt", request.query.get("alt") == "media", "alt", "alt=media is missing")
        return self.file(request, job, index)

    @route("DELETE", "/storage/v1/b/{bucket}/o/{object*}")
    def delete_object(self, request, bucket, object):
        job, _ = self._named(request, bucket, object)
        job.outcome = "expired"
        return Reply(204)
