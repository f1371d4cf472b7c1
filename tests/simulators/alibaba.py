# SPDX-License-Identifier: Apache-2.0
"""DashScope's asynchronous video tasks (Wan): POST with X-DashScope-Async, then /tasks/{id}."""
import secrets
import time
import uuid

from simulators import base, rules
from simulators.base import Refusal, Reply, route

SIZES = {"480P": ((832, 480), (480, 832), (624, 624)),
         "720P": ((1280, 720), (720, 1280), (960, 960), (1088, 832), (832, 1088)),
         "1080P": ((1920, 1080), (1080, 1920), (1440, 1440), (1632, 1248), (1248, 1632))}
SHAPES = {"16:9": 0, "9:16": 1, "1:1": 2, "4:3": 3, "3:4": 4}
MODELS = {  # form, resolutions, seconds
    "wan2.6-t2v": ("text", ("720P", "1080P"), range(2, 16)),
    "wan2.5-t2v-preview": ("text", ("480P", "720P", "1080P"), (5, 10)),
    "wan2.6-i2v": ("frame", ("720P", "1080P"), range(2, 16)),
    "wan2.6-i2v-flash": ("frame", ("720P", "1080P"), range(2, 16)),
    "wan2.2-kf2v-flash": ("frames", ("480P", "720P", "1080P"), (5,)),
    "wan2.7-t2v": ("media", ("720P", "1080P"), range(2, 16)),
    "wan2.7-i2v": ("media", ("720P", "1080P"), range(2, 16)),
    "wan2.7-r2v": ("media", ("720P", "1080P"), range(2, 11)),
}
MEDIA = {  # what a model of the newest form takes
    "wan2.7-t2v": (), "wan2.7-i2v": ("first_frame", "last_frame", "driving_audio", "first_clip"),
    "wan2.7-r2v": ("reference_image", "reference_video", "reference_audio"),
}
PICTURE = rules.picture(("data", "url"))


def form(body):
    return MODELS.get(body["model"], (None, (), ()))[0]


def only(name, holds, path, *forms):
    """A rule for models of these forms."""
    return rules.Rule(name, lambda b: form(b) not in forms or holds(b), path, f"is not right for the model ({name})")


def resolution_of(body):
    size = body["parameters"]["size"]
    if size is None:
        return body["parameters"]["resolution"]
    width, height = map(int, size.split("*"))
    return next((name for name, sizes in SIZES.items() if (width, height) in sizes), None)


CREATE = rules.obj({
    "model": rules.text(1, 128, required=True),
    "input": rules.obj({
        "prompt": rules.text(1, 5000),
        "negative_prompt": rules.text(0, 500),
        "audio_url": rules.url(),
        "img_url": PICTURE,
        "first_frame_url": PICTURE,
        "last_frame_url": PICTURE,
        "media": rules.array(rules.obj({
            "type": rules.one_of("first_frame", "last_frame", "driving_audio", "first_clip", "reference_image", "reference_video",
                                 "reference_audio", required=True),
            "url": rules.text(1, 64 << 20, required=True)}), 1, 12),
    }, required=True),
    "parameters": rules.obj({
        "size": rules.text(pattern=r"\d{3,4}\*\d{3,4}"),
        "resolution": rules.one_of(*SIZES),
        "ratio": rules.one_of(*SHAPES),
        "duration": rules.integer(2, 15, default=5),
        "audio": rules.boolean(),
        "prompt_extend": rules.boolean(default=True),
        "shot_type": rules.one_of("single", "multi"),
        "watermark": rules.boolean(default=False),
        "seed": rules.integer(0, 2 ** 31 - 1),
    }, required=True),
},
    rules.Rule("model_known", lambda b: b["model"] in MODELS, "model", "Model not exist."),
    only("prompt_needed", lambda b: b["input"]["prompt"], "input.prompt", "text", "media"),
    only("text_alone", lambda b: not (b["input"]["img_url"] or b["input"]["media"] or b["input"]["first_frame_url"]), "input", "text"),
    only("size_alone", lambda b: b["parameters"]["size"] and not b["parameters"]["resolution"], "parameters.size", "text"),
    only("resolution_alone", lambda b: b["parameters"]["resolution"] and not b["parameters"]["size"], "parameters.resolution", "frame",
         "frames", "media"),
    only("first_frame", lambda b: b["input"]["img_url"] and not b["input"]["media"], "input.img_url", "frame"),
    only("two_frames", lambda b: b["input"]["first_frame_url"] and b["input"]["last_frame_url"], "input.last_frame_url", "frames"),
    only("ratio_of_model", lambda b: not b["parameters"]["ratio"], "parameters.ratio", "text", "frame", "frames"),
    only("audio_switch", lambda b: b["parameters"]["audio"] is None or b["model"].endswith("-flash"), "parameters.audio", "text", "frame"),
    only("media_of_model", lambda b: {one["type"] for one in b["input"]["media"] or ()} <= set(MEDIA[b["model"]]), "input.media", "media"),
    only("media_needed", lambda b: b["input"]["media"] or b["model"] == "wan2.7-t2v", "input.media", "media"),
    only("first_of_media", lambda b: not any(one["type"] == "last_frame" for one in b["input"]["media"] or ()) or
         any(one["type"] == "first_frame" for one in b["input"]["media"]), "input.media", "media"),
    rules.Rule("resolution_of_model", lambda b: resolution_of(b) in MODELS[b["model"]][1], "parameters.size", "is not one of the model's"),
    rules.Rule("seconds_of_model", lambda b: b["parameters"]["duration"] in MODELS[b["model"]][2], "parameters.duration",
               "is not one of the model's"))
LIST = rules.obj({
    "start_time": rules.text(pattern=r"\d{14}"), "end_time": rules.text(pattern=r"\d{14}"),
    "model_name": rules.text(1, 128), "status": rules.one_of("PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELED", "UNKNOWN"),
    "page_no": rules.text(pattern=r"[1-9]\d{0,3}", default="1"), "page_size": rules.text(pattern=r"[1-9]\d?|100", default="10"),
})
ERRORS = {  # status: code, message
    400: ("InvalidParameter", "Required parameter(s) missing or invalid, please check the request parameters."),
    401: ("InvalidApiKey", "Invalid API-key provided."),
    402: ("Arrearage", "Access denied, please make sure your account is in good standing."),
    403: ("AccessDenied", "Access denied."),
    404: ("ModelNotFound", "Model can not be found."),
    408: ("RequestTimeOut", "Request timed out, please try again later."),
    429: ("Throttling.RateQuota", "Requests rate limit exceeded, please try again later."),
    500: ("InternalError", "An internal error has occured, please try again later or contact service support."),
    503: ("ServiceUnavailable", "Service is unavailable, please try again later."),
}
REFUSALS = {  # outcome: status, code, message
    "moderation_at_submit": (400, "DataInspectionFailed", "Input data may contain inappropriate content."),
    "infringing": (400, "IPInfringementSuspect", "Input data is suspected of being involved in IP infringement."),
    "green_net": (400, "InvalidParameter", "Green net check failed for input text"),
    "model_gone": (404, "ModelNotFound", "Model can not be found."),
    "model_denied": (403, "Model.AccessDenied", "Model access denied."),
    "arrears": (400, "Arrearage", "Access denied, please make sure your account is in good standing."),
    "free_tier": (403, "AllocationQuota.FreeTierOnly", "The free tier of the model has been exhausted."),
    "unpurchased": (403, "AccessDenied.Unpurchased", "Access to model denied. Please make sure you are eligible for using the model."),
    "burst": (429, "Throttling.BurstRate", "Request rate increased too quickly."),
    "crowded": (429, "Throttling.ConcurrencyQuota", "Too many tasks at once."),
    "slow": (500, "InternalError.Timeout", "An internal timeout error has occured during execution."),
}
FAILURES = {  # outcome: code and message of the failed task
    "moderation_in_job": ("DataInspectionFailed", "Output data may contain inappropriate content."),
    "failed": ("InternalError.Algo", "inference internal error"),
}
WORDS = {"queued": "PENDING", "running": "RUNNING", "canceled": "CANCELED"}


class Simulator(base.Simulator):
    name = "alibaba"
    base_path = "/api/v1"
    keys = ("sk-sim-alibaba-one", "sk-sim-alibaba-two")
    outcomes = ("ok", *REFUSALS, *FAILURES, "empty_result", "never")
    tables = (("create", CREATE), ("list", LIST))
    checks = ("create.async", "create.service", "cancel.pending")
    link_life = 24 * 3600

    def error(self, status, message="", code=None):
        usual, text = ERRORS.get(status, ERRORS[500])
        return Reply(status, {"code": code or usual, "message": message or text, "request_id": str(uuid.uuid4())})

    def violation(self, broken):
        if broken.rule == "create.model_known":
            return self.error(400, "Model not exist.", "InvalidParameter")
        return self.error(400, f"{broken.path.partition('.')[2]}: {broken.detail}", "InvalidParameter")

    def _status(self, job):
        return WORDS.get(job.phase) or ("FAILED" if job.outcome in FAILURES else "SUCCEEDED")

    @staticmethod
    def _time(seconds):
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) + f".{int(seconds % 1 * 1000):03d}"

    def _answer(self, output, **more):
        return Reply(200, {"request_id": str(uuid.uuid4()), "output": output, **more})

    def _create(self, request, service):
        self.must("create.async", request.header("x-dashscope-async") == "enable", "header.X-DashScope-Async",
                  "current user api does not support synchronous calls")
        body = CREATE.check(request.json(), "create")
        self.must("create.service", (form(body) == "frames") == (service == "image2video"), "model", "url error, please check url")
        outcome = self.next_outcome(request)
        if outcome in REFUSALS:
            status, code, message = REFUSALS[outcome]
            raise Refusal(self.error(status, message, code))
        given = body["parameters"]
        width, height = map(int, given["size"].split("*")) if given["size"] else \
            SIZES[given["resolution"]][SHAPES[given["ratio"] or "16:9"]]
        sound = given["audio"] is not False and form(body) != "frames"
        job = self.new_job(request, str(uuid.uuid4()), body["input"]["prompt"] or "", width, height, given["duration"], sound, body=body)
        return self._answer({"task_id": job.id, "task_status": "PENDING"})

    @route("POST", "/api/v1/services/aigc/video-generation/video-synthesis", "submit")
    def create(self, request):
        return self._create(request, "video-generation")

    @route("POST", "/api/v1/services/aigc/image2video/video-synthesis", "submit")
    def create_frames(self, request):
        return self._create(request, "image2video")

    @route("GET", "/api/v1/tasks/{id}", "poll")
    def retrieve(self, request, id):
        job = self.jobs.get(id)
        if job is None or job.created < self.clock.now() - 24 * 3600:
            return self._answer({"task_id": id, "task_status": "UNKNOWN"})
        self.polled(request, id)
        told = self._status(job)
        output = {"task_id": id, "task_status": told, "submit_time": self._time(job.created)}
        if told == "FAILED":
            output.update(zip(("code", "message"), FAILURES[job.outcome]))
        if told != "SUCCEEDED":
            return self._answer(output)
        output.update({"scheduled_time": self._time(job.created), "end_time": self._time(job.ended), "orig_prompt": job.prompt})
        if job.outcome != "empty_result":
            output["video_url"] = self.link(job)
        return self._answer(output, usage={"duration": job.seconds, "size": f"{job.width}*{job.height}", "video_count": 1,
                                           "SR": int(resolution_of(job.fields["body"])[:-1])})

    @route("GET", "/api/v1/tasks/", "lookup")
    def list(self, request):
        asked = LIST.check(request.query, "list")
        mine = [job for job in reversed(self.jobs.values()) if job.key == request.key and job.created > self.clock.now() - 24 * 3600
                and asked["model_name"] in (None, job.fields["body"]["model"]) and asked["status"] in (None, self._status(job))]
        size = int(asked["page_size"])
        at = (int(asked["page_no"]) - 1) * size
        page = [{"task_id": job.id, "status": self._status(job), "model_name": job.fields["body"]["model"], "region": "ap-southeast-1",
                 "gmt_create": int(job.created * 1000), "start_time": int(job.created * 1000), "api_key_id": "15" + secrets.token_hex(2),
                 "request_id": str(uuid.uuid4())} for job in mine[at:at + size]]
        return Reply(200, {"request_id": str(uuid.uuid4()), "data": page, "page_no": int(asked["page_no"]), "page_size": size,
                           "total": len(mine), "total_page": -(-len(mine) // size)})

    @route("POST", "/api/v1/tasks/{id}/cancel", "cancel")
    def cancel(self, request, id):
        job = self.find(request, id)
        if job.phase != "queued":
            self.broken["cancel.pending"] += 1
            raise Refusal(self.error(400, "Failed to cancel the task, please confirm if the task is in PENDING status.",
                                     "UnsupportedOperation"))
        job.canceled = True
        return Reply(200, {"request_id": str(uuid.uuid4())})
