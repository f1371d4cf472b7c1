# SPDX-License-Identifier: Apache-2.0
"""Kie's Veo and jobs APIs, as the provider "avalanche" speaks them. Failures are HTTP 200 with a code in the body, unless `in_body` is off."""
import json
import secrets
import time

from simulators import base, media, rules, wire
from simulators.base import Refusal, Reply, route

SIZES = {"720p": (1280, 720), "1080p": (1920, 1080), "4k": (3840, 2160)}
VERSIONS = list(SIZES)  # a result's index on the media host
PROMPT = rules.text(1, 5000, required=True)
PICTURES = {"TEXT_2_VIDEO": (0, 0), "FIRST_AND_LAST_FRAMES_2_VIDEO": (1, 2), "REFERENCE_2_VIDEO": (1, 3)}


def _pictures(body):
    low, high = PICTURES[body["generationType"]]
    return low <= len(body["imageUrls"] or []) <= high


GENERATE = rules.obj({
    "prompt": PROMPT,
    "model": rules.one_of("veo3", "veo3_fast", "veo3_lite", default="veo3_fast"),
    "aspect_ratio": rules.one_of("16:9", "9:16", "Auto", default="16:9"),
    "generationType": rules.one_of(*PICTURES, default="TEXT_2_VIDEO"),
    "imageUrls": rules.array(rules.url(required=True), 1, 3),
    "enableFallback": rules.boolean(default=False),
    "enableTranslation": rules.boolean(default=True),
    "seeds": rules.integer(10000, 99999),
    "watermark": rules.text(1, 100),
    "callBackUrl": rules.url(),
},
    rules.Rule("pictures_of_type", _pictures, "imageUrls", "number of pictures does not fit generationType"),
    rules.Rule("references_of_model", lambda b: b["generationType"] != "REFERENCE_2_VIDEO" or b["model"] != "veo3", "generationType",
               "REFERENCE_2_VIDEO is not supported by veo3"),
    rules.Rule("references_lie", lambda b: b["generationType"] != "REFERENCE_2_VIDEO" or b["aspect_ratio"] != "Auto", "aspect_ratio",
               "REFERENCE_2_VIDEO needs an aspect ratio"))
UPGRADE = rules.obj({"taskId": rules.text(1, 64, required=True), "index": rules.integer(0, 0, default=0), "callBackUrl": rules.url()})
ASKED = rules.obj({"taskId": rules.text(1, 64, required=True)})
ASKED_FILM = rules.obj({"taskId": rules.text(1, 64, required=True), "index": rules.text(pattern="0", default="0")})
UPLOAD = rules.obj({
    "base64Data": rules.picture(("data",), ("png", "jpeg", "webp"), required=True),
    "uploadPath": rules.text(1, 200, pattern=r"[a-z0-9][a-z0-9/_-]*", required=True),
    "fileName": rules.text(1, 100),
})
SORA = tuple(f"sora-2{tier}-{source}-to-video" for tier in ("", "-pro") for source in ("text", "image"))
JOB = rules.obj({
    "model": rules.one_of(*SORA, required=True),
    "callBackUrl": rules.url(),
    "input": rules.obj({
        "prompt": PROMPT,
        "aspect_ratio": rules.one_of("landscape", "portrait", default="landscape"),
        "n_frames": rules.one_of("10", "15", default="10"),
        "remove_watermark": rules.boolean(default=True),
        "upload_method": rules.one_of("s3", "oss", required=True),
        "image_urls": rules.array(rules.url(required=True), 1, 1),
        "size": rules.one_of("standard", "high"),
    }, required=True),
},
    rules.Rule("size_of_model", lambda b: b["input"]["size"] is None or "-pro-" in b["model"], "input.size", "is for pro models"),
    rules.Rule("picture_of_model", lambda b: bool(b["input"]["image_urls"]) == ("image" in b["model"]), "input.image_urls",
               "image-to-video needs a picture, text-to-video takes none"))

ERRORS = {
    400: "Parameter error.", 401: "You do not have access permissions", 402: "Your current balance isn't enough to run this request. "
    "Please top up at https://kie.ai/pricing?ref=sig=1", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
    422: "The parameter is incorrect, please check.", 429: "The call frequency is too high. Please try again later.",
    451: "Failed to fetch the image. Kindly verify any access limits set by you or your service provider.",
    455: "The website is currently being upgraded, it is estimated to take 10 minutes, please wait patiently.",
    500: "Server exception, please try again later or contact customer service", 501: "Failed - Video generation task failed",
    505: "This feature is currently disabled",
}
FLAGGED = "Your prompt was flagged by Website as violating content policies."
REFUSALS = {  # outcome: code, message
    "moderation_at_submit": (422, FLAGGED),
    "picture_unreachable": (451, ""),
    "maintenance": (455, ""),
    "model_gone": (505, ""),
    "no_credits": (402, ""),
    "generation_failed": (501, ""),
}
FAILURES = {  # outcome: successFlag, errorCode, errorMessage
    "moderation_in_job": (3, 400, FLAGGED),
    "unsafe_picture": (2, 400, "public error unsafe image upload."),
    "failed": (3, 501, "Failed - Video generation task failed"),
    "failed_internal": (2, 500, "Internal Error, Please try again later."),
}


class Simulator(base.Simulator):
    name = "avalanche"
    keys = ("kie-sim-key-one", "kie-sim-key-two")
    outcomes = ("ok", *REFUSALS, *FAILURES, "empty_result", "upgrade_fails", "never")
    tables = (("generate", GENERATE), ("upgrade", UPGRADE), ("record", ASKED), ("hd", ASKED_FILM), ("upload", UPLOAD), ("job", JOB))
    checks = ("agent.browser", "generate.picture_known", "upgrade.finished", "generate.burst")
    link_life = 24 * 3600
    burst = 20  # generations in ten seconds
    in_body = True  # failures are 200 with a code

    def reset(self):
        super().reset()
        self.as_text = False      # numbers and lists of a record are texts
        self.made = "720p"        # what a film has before any upgrade
        self.upgrade_polls = 1    # how often an upgrade is not ready
        self.own_task = False     # a 4k upgrade is a task of its own
        self.uploads, self._generated = {}, []

    @property
    def settings(self):
        return {"avalanche-upload-url": self.url.replace("127.0.0.1", "localhost")}

    # --- words ---

    def error(self, status, message="", code=None):
        code = code or status
        return Reply(200 if self.in_body else status, {"code": code, "msg": message or ERRORS.get(code, ERRORS[500]), "data": None})

    def violation(self, broken):
        return self.error(422, f"{broken.path.partition('.')[2] or broken.path} {broken.detail}")

    def authorize(self, request):
        if not (request.header("user-agent") or "").startswith("Mozilla/5.0 "):
            self.broken["agent.browser"] += 1
            raise Refusal(Reply(403, b"error code: 1010", content_type="text/plain; charset=UTF-8"))
        return super().authorize(request)

    @staticmethod
    def _ok(data):
        return Reply(200, {"code": 200, "msg": "success", "data": data})

    def find(self, request, job_id):
        job = self.jobs.get(job_id)
        if job is None or job.key != request.key:
            raise Refusal(self.error(422, "recordInfo is null"))
        return job

    def file(self, request, job, index=0):
        job.fetches += 1
        width, height = SIZES[VERSIONS[index]] if "veo" in job.id else (job.width, job.height)
        if job.height > job.width:
            width, height = min(width, height), max(width, height)
        return self.ranged(request, lambda: media.padded(media.video(width, height, job.seconds, True), self.result_bytes), "video/mp4")

    # --- uploads ---

    @route("POST", "/api/file-base64-upload", "upload")
    def upload(self, request):
        body = UPLOAD.check(request.json(), "upload")
        kind, data = wire.decode_data_url(body["base64Data"])
        name = f"{body['uploadPath']}/{secrets.token_hex(8)}.{kind.partition('/')[2]}"
        url = f"{self.media_url}/{name}"
        self.uploads[url] = data
        told = {"fileName": name.rpartition("/")[2], "filePath": name, "downloadUrl": url, "fileSize": len(data), "mimeType": kind}
        return Reply(200, {"success": True, "code": 200, "msg": "File uploaded successfully", "data": told})

    def _admit(self, request, pictures):
        """Limits, refusals and pictures of both APIs' submissions."""
        now = self.clock.now()
        self._generated = [then for then in self._generated if then > now - 10]
        if len(self._generated) >= self.burst:
            self.broken["generate.burst"] += 1
            raise Refusal(self.error(429))
        self._generated.append(now)
        outcome = self.next_outcome(request)
        if outcome in REFUSALS:
            raise Refusal(self.error(REFUSALS[outcome][0], REFUSALS[outcome][1]))
        self.must("generate.picture_known", all(url in self.uploads for url in pictures or []), "generate.imageUrls", ERRORS[451])

    # --- webhooks ---

    signs = "task_hmac"

    def hook(self, job):
        return job.fields["body"]["callBackUrl"]

    def event(self, job):
        _, code, message = FAILURES.get(job.outcome, (0, 200, "success"))
        urls = [] if job.outcome in (*FAILURES, "empty_result") else [self.link(job)]
        return {"code": code, "msg": message, "data": {"taskId": job.id, "info": {"resultUrls": urls, "originUrls": None}}}

    # --- Veo ---

    @route("POST", "/api/v1/veo/generate", "submit")
    def generate(self, request):
        body = GENERATE.check(request.json(), "generate")
        self._admit(request, body["imageUrls"])
        width, height = SIZES["720p"] if body["aspect_ratio"] != "9:16" else SIZES["720p"][::-1]
        job = self.new_job(request, "veo_task_" + secrets.token_hex(16), body["prompt"], width, height, 8, body=body, upgrades={})
        return self._ok({"taskId": job.id})

    def _record(self, job, flag, error=(None, ""), urls=None, resolution=None):
        response = {"taskId": job.id, "resultUrls": urls, "originUrls": None, "resolution": resolution} if urls is not None else None
        times = [time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(then)) if then else None for then in (job.created, flag and job.ended)]
        record = {"taskId": job.id, "paramJson": json.dumps({"prompt": job.prompt}), "successFlag": flag, "response": response,
                  "errorCode": error[0], "errorMessage": error[1], "fallbackFlag": False,
                  "createTime": times[0], "completeTime": times[1]}
        if self.as_text:
            record["successFlag"] = str(flag)
            if response:
                response["resultUrls"] = json.dumps(urls)
        return self._ok(record)

    @route("GET", "/api/v1/veo/record-info", "poll")
    def record_info(self, request):
        task = ASKED.check(request.query, "record")["taskId"]
        if task in self._upgrades():
            return self._upgrade_record(request, *self._upgrades()[task])
        job = self.polled(request, task)
        if job.phase != "done":
            return self._record(job, 0)
        if job.outcome in FAILURES:
            flag, code, message = FAILURES[job.outcome]
            return self._record(job, flag, (code, message))
        return self._record(job, 1, urls=[] if job.outcome == "empty_result" else [self.link(job, VERSIONS.index(self.made))],
                            resolution=self.made)

    def _upgrades(self):
        """{id of a 4k task: (job, its upgrade)}"""
        return {up["task"]: (job, up) for job in self.jobs.values() for up in job.fields.get("upgrades", {}).values() if up["task"] != job.id}

    def _upgraded(self, request, job, version):
        """The upgrade, asked for once more; ready when `left` is used up."""
        self.must("upgrade.finished", job.phase == "done" and job.outcome not in FAILURES, "upgrade.taskId", "the task has not succeeded")
        up = job.fields["upgrades"].setdefault(version, {"left": self.upgrade_polls + 1, "started": 0, "task": job.id})
        up["started"] += up["left"] == self.upgrade_polls + 1
        up["left"] = max(up["left"] - 1, 0)
        return up

    @route("GET", "/api/v1/veo/get-1080p-video", "other")
    def hd(self, request):
        job = self.find(request, ASKED_FILM.check(request.query, "hd")["taskId"])
        if self._upgraded(request, job, "1080p")["left"] > 0:
            return self.error(422, "1080p is processing. It should be ready in 1-2 minutes. Please check back shortly.")
        return self._ok({"resultUrl": self.link(job, VERSIONS.index("1080p"))})

    @route("POST", "/api/v1/veo/get-4k-video", "other")
    def uhd(self, request):
        job = self.find(request, UPGRADE.check(request.json(), "upgrade")["taskId"])
        first = "4k" not in job.fields["upgrades"]
        up = self._upgraded(request, job, "4k")
        if self.own_task and first:
            up["task"] = "veo_4k_" + secrets.token_hex(16)
        told = {"taskId": up["task"], "resultUrls": None, "imageUrls": None}
        if up["left"] > 0 and not first:
            reply = self.error(422, "4k is processing. It should be ready in 5-10 minutes. Please check back shortly.")
            return Reply(reply.status, {"code": 422, "msg": "4k is processing. It should be ready in 5-10 minutes.", "data": told})
        if up["left"] == 0 and not self.own_task:
            told["resultUrls"] = [self.link(job, VERSIONS.index("4k"))]
        return self._ok(told)

    def _upgrade_record(self, request, job, up):
        self.find(request, job.id)
        up["left"] = max(up["left"] - 1, 0)
        done, failed = up["left"] == 0, job.outcome == "upgrade_fails"
        reply = self._record(job, (2 if failed else 1) if done else 0, (500, "Internal Error.") if done and failed else (None, ""),
                             [self.link(job, VERSIONS.index("4k"))] if done and not failed else None, "4k")
        reply.body = reply.body.replace(job.id.encode(), up["task"].encode(), 1)
        return reply

    # --- Sora ---

    @route("POST", "/api/v1/jobs/createTask", "submit")
    def create_task(self, request):
        body = JOB.check(request.json(), "job")
        asked = body["input"]
        self._admit(request, asked["image_urls"])
        width, height = (1792, 1024) if asked["size"] == "high" else (1280, 720)
        if asked["aspect_ratio"] == "portrait":
            width, height = height, width
        job = self.new_job(request, secrets.token_hex(16), asked["prompt"], width, height, int(asked["n_frames"]), body=body)
        return self._ok({"taskId": job.id})

    @route("GET", "/api/v1/jobs/recordInfo", "poll")
    def job_info(self, request):
        job = self.polled(request, ASKED.check(request.query, "record")["taskId"])
        state = {"queued": "queuing", "running": "generating"}.get(job.phase) or ("fail" if job.outcome in FAILURES else "success")
        _, code, message = FAILURES.get(job.outcome, (0, "", ""))
        result = {"resultUrls": [] if job.outcome == "empty_result" else [self.link(job)]} if state == "success" else {}
        return self._ok({"taskId": job.id, "model": job.fields["body"]["model"], "state": state, "param": "{}",
                         "resultJson": json.dumps(result) if result else "", "failCode": str(code) if state == "fail" else None,
                         "failMsg": message if state == "fail" else None, "progress": job.progress, "createTime": int(job.created * 1000),
                         "completeTime": int(job.ended * 1000) if job.ended else None, "updateTime": int(self.clock.now() * 1000)})

    @route("GET", "/api/v1/chat/credit", "other")
    def credit(self, request):
        return self._ok(100.0)
