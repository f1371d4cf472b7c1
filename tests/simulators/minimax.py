# SPDX-License-Identifier: Apache-2.0
"""MiniMax's two video APIs: v1 (Hailuo; errors in base_resp with HTTP 200, files fetched in a second step) and v2 (H3; ModelArk's task
API under other paths, errors in OpenAI's form)."""
import json
import secrets
import threading
import urllib.request

from simulators import base, content, rules
from simulators.base import Refusal, Reply, route

FRAME = rules.picture(("data", "url"), types=("png", "jpeg", "webp"))
V1 = {  # resolutions, a first frame: may or must be there, a last frame may be there
    "MiniMax-Hailuo-2.3": (("768P", "1080P"), False, False),
    "MiniMax-Hailuo-2.3-Fast": (("768P", "1080P"), True, False),
    "MiniMax-Hailuo-02": (("512P", "768P", "1080P"), False, True),
}
V1_SIZES = {"512P": (912, 512), "768P": (1366, 768), "1080P": (1920, 1080)}
V2 = {"MiniMax-H3": (("768P", "2K"), 4), "MiniMax-H3-Max": (("480P", "768P"), 5)}  # resolutions, shortest
SIDES = {"480P": 480, "768P": 768, "2K": 1440}
RATIOS = {"21:9": (21, 9), "16:9": (16, 9), "4:3": (4, 3), "1:1": (1, 1), "3:4": (3, 4), "9:16": (9, 16)}


def v1_row(body):
    return V1.get(body["model"], (tuple(V1_SIZES), False, True))


CREATE_V1 = rules.obj({
    "model": rules.text(1, 64, required=True),
    "prompt": rules.text(1, 2000),
    "duration": rules.one_of(6, 10, default=6),
    "resolution": rules.one_of(*V1_SIZES, default="768P"),
    "first_frame_image": FRAME,
    "last_frame_image": FRAME,
    "prompt_optimizer": rules.boolean(default=True),
    "fast_pretreatment": rules.boolean(default=False),
    "aigc_watermark": rules.boolean(default=False),
    "callback_url": rules.url(),
},
    rules.Rule("model_known", lambda b: b["model"] in V1, "model", "model not exist"),
    rules.Rule("resolution_of_model", lambda b: b["resolution"] in v1_row(b)[0], "resolution", "does not support resolution"),
    rules.Rule("seconds_of_1080p", lambda b: b["resolution"] != "1080P" or b["duration"] == 6, "duration", "1080P has 6 seconds"),
    rules.Rule("first_frame_needed", lambda b: not v1_row(b)[1] or b["first_frame_image"], "first_frame_image", "is required by the model"),
    rules.Rule("first_frame_of_512p", lambda b: b["resolution"] != "512P" or b["first_frame_image"], "resolution", "512P needs a first frame"),
    rules.Rule("last_frame_of_model", lambda b: not b["last_frame_image"] or v1_row(b)[2], "last_frame_image", "is not supported by the model"),
    rules.Rule("prompt_or_frame", lambda b: b["prompt"] or b["first_frame_image"], "prompt", "prompt is required"))
CREATE_V2 = rules.obj({
    "model": rules.text(1, 64, required=True),
    "content": rules.array(content.Item(7000), 1, required=True),
    "resolution": rules.one_of(*SIDES, required=True),
    "duration": rules.integer(4, 15, required=True),
    "ratio": rules.one_of("adaptive", *RATIOS, default="adaptive"),
    "extra": rules.obj({"prompt_expansion_mode": rules.one_of("disabled", "balanced", "quality")}),
    "aigc_watermark": rules.boolean(default=False),
    "callback_url": rules.url(),
},
    rules.Rule("model_known", lambda b: b["model"] in V2, "model", "model not exist"),
    rules.Rule("prompt", lambda b: content.prompt_of(b["content"]), "content", "content must include a non-empty text item (prompt is required)"),
    rules.Rule("resolution_of_model", lambda b: b["resolution"] in V2[b["model"]][0], "resolution", "is not supported by the model"),
    rules.Rule("shortest_of_model", lambda b: b["duration"] >= V2[b["model"]][1], "duration", "is too short for the model"),
    rules.Rule("extra_of_model", lambda b: not b["extra"] or b["model"] == "MiniMax-H3-Max", "extra", "is not supported by the model"),
    rules.Rule("ratio_of_text", lambda b: b["ratio"] != "adaptive" or len(b["content"]) > 1, "ratio", "ratio cannot be adaptive for text alone"),
    *content.content_rules())
LIST = rules.obj({
    "page_num": rules.text(pattern=r"[1-9]\d{0,4}", default="1"),
    "page_size": rules.text(pattern=r"[1-9]\d?|100", default="20"),
    "filter.status": rules.one_of("queued", "running", "succeeded", "failed", "cancelled"),
    "filter.task_ids": rules.text(1, 64),
    "filter.model": rules.text(1, 64),
    "filter.task_type": rules.one_of("generation", "h3_context_ir", "regeneration"),
})
CODES = {  # HTTP status: v1's code, its text, v2's type
    400: (2013, "invalid params", "bad_request_error"),
    401: (1004, "login fail: Please carry the API secret key in the 'Authorization' field of the request header", "authorized_error"),
    402: (1008, "insufficient balance", "insufficient_balance_error"),
    403: (2049, "invalid api key", "authorized_error"),
    404: (2013, "invalid params, task not exist", "bad_request_error"),
    422: (1026, "video description contains sensitive content", "unprocessable_entity_error"),
    429: (1002, "rate limit, please retry later", "rate_limit_error"),
    500: (1000, "internal error", "server_error"),
    503: (1000, "service unavailable", "server_error"),
    529: (1000, "overloaded", "overloaded_error"),
}
REFUSALS = {  # outcome: HTTP status in v2, code, text
    "moderation_at_submit": (422, 1026, "video description contains sensitive content"),
    "model_gone": (400, 2013, "invalid params, model not exist"),
    "no_money": (402, 1008, "insufficient balance"),
    "plan_used_up": (429, 2056, "usage limit exceeded"),
    "connections_full": (429, 1041, "conn limit, please contact us"),
    "slow": (500, 1001, "request timeout"),
    "bad_key": (401, 2049, "invalid api key"),
}
FAILURES = {  # outcome: code and text of the failed task
    "moderation_in_job": ("1027", "output video contains sensitive content"),
    "failed": ("1000", "internal error"),
}


class Simulator(base.Simulator):
    name = "minimax"
    keys = ("mm-sim-one", "mm-sim-two")
    outcomes = ("ok", *REFUSALS, *FAILURES, "empty_result", "never")
    tables = (("create_v1", CREATE_V1), ("create_v2", CREATE_V2), ("list", LIST))
    checks = ("query.task_id", "retrieve.file_id", "retrieve.known", "delete.running", "delete.canceled")

    def __init__(self, **more):
        self._speaks = threading.local()  # one thread per connection
        self.registered = {}              # address of a webhook: whether it sent the challenge back
        super().__init__(**more)

    # --- words ---

    def _route(self, request):
        self._speaks.v2 = request.path.startswith("/v2/")
        return super()._route(request)

    def error(self, status, message="", code=None):
        usual, text, kind = CODES.get(status, CODES[500])
        told, code = message or text, code or usual
        if getattr(self._speaks, "v2", True):
            return Reply(status, {"type": "error", "error": {"type": kind, "message": f"{told} ({code})", "http_code": str(status)},
                                  "request_id": secrets.token_hex(16)})
        return self._v1({}, code, told, status if status >= 500 or status == 405 else 200)

    @staticmethod
    def _v1(body, code=0, text="success", status=200):
        return Reply(status, {**body, "base_resp": {"status_code": code, "status_msg": text}}, {"trace-id": secrets.token_hex(16)})

    def violation(self, broken):
        return self.error(400, f"invalid params, {broken.path.partition('.')[2]}: {broken.detail}")

    def malformed(self, error):
        return self.error(400, f"invalid params, {error.detail}")

    def _refused(self, request):
        outcome = self.next_outcome(request)
        if outcome in REFUSALS:
            status, code, text = REFUSALS[outcome]
            raise Refusal(self.error(status, text, code) if self._speaks.v2 else self._v1({"task_id": ""}, code, text))

    # --- webhooks: an address must send a challenge back within 3 s, then it is told ---

    def _post(self, url, body):
        asked = urllib.request.Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
        context = self.hook_context if url.startswith("https") else None
        with urllib.request.urlopen(asked, timeout=3, context=context) as answer:
            return answer.status, answer.read()

    def _register(self, url):
        challenge = secrets.token_hex(16)
        try:
            self.registered[url] = json.loads(self._post(url, {"challenge": challenge})[1]) == {"challenge": challenge}
        except (OSError, ValueError):
            self.registered[url] = False

    def _challenge(self, body):
        if body["callback_url"]:
            threading.Thread(target=self._register, args=(body["callback_url"],), daemon=True).start()

    def notify(self, job):
        """Tells the job's state to its address; the status of the answer, or None: it is not registered."""
        return self._post(self.hook(job), self.event(job))[0] if self.hook(job) else None

    def hook(self, job):
        url = job.fields["body"]["callback_url"]
        return url if self.registered.get(url) else None

    def event(self, job):
        return {"task": self._task(job)} if "ratio" in job.fields else json.loads(self._task_v1(job).body)

    # --- v1 ---

    @route("POST", "/v1/video_generation", "submit")
    def create_v1(self, request):
        body = CREATE_V1.check(request.json(), "create_v1")
        self._refused(request)
        self._challenge(body)
        width, height = V1_SIZES[body["resolution"]]
        job = self.new_job(request, "1" + str(secrets.randbelow(10 ** 14)).zfill(14), body["prompt"] or "", width, height, body["duration"],
                           False, body=body, file_id="2" + str(secrets.randbelow(10 ** 14)).zfill(14))
        return self._v1({"task_id": job.id})

    def _task_v1(self, job):
        if job.phase in ("queued", "running"):
            word = "Preparing" if job.polls == 1 else {"queued": "Queueing", "running": "Processing"}[job.phase]
            return self._v1({"task_id": job.id, "status": word, "file_id": ""})
        if job.outcome in FAILURES:
            code, text = FAILURES[job.outcome]
            return self._v1({"task_id": job.id, "status": "Fail", "file_id": ""}, int(code), text)
        file_id = "" if job.outcome == "empty_result" else job.fields["file_id"]
        return self._v1({"task_id": job.id, "status": "Success", "file_id": file_id, "video_width": job.width, "video_height": job.height})

    @route("GET", "/v1/query/video_generation", "poll")
    def query_v1(self, request):
        self.must("query.task_id", set(request.query) == {"task_id"}, "query.task_id", "task_id alone is asked for")
        return self._task_v1(self.polled(request, request.query["task_id"]))

    @route("GET", "/v1/files/retrieve", "other")
    def retrieve(self, request):
        self.must("retrieve.file_id", set(request.query) == {"file_id"}, "retrieve.file_id", "file_id alone is asked for")
        job = next((j for j in self.jobs.values() if j.fields.get("file_id") == request.query["file_id"] and j.key == request.key), None)
        self.must("retrieve.known", job is not None and job.phase == "done", "retrieve.file_id", "file not exist")
        return self._v1({"file": {"file_id": int(job.fields["file_id"]), "bytes": 0, "created_at": int(job.ended),
                                  "filename": "output_aigc.mp4", "purpose": "video_generation", "download_url": self.link(job)}})

    # --- v2 ---

    def _status(self, job):
        word = {"queued": "queued", "running": "running", "canceled": "cancelled"}.get(job.phase)
        return word or ("failed" if job.outcome in FAILURES else "succeeded")

    def _task(self, job):
        body, told = job.fields["body"], self._status(job)
        task = {"id": job.id, "model": body["model"], "status": told, "created_at": int(job.created),
                "updated_at": int(job.ended or job.created), "resolution": body["resolution"], "duration": job.seconds, "usage": {},
                "ratio": job.fields["ratio"], "task_type": "generation", "modality": "video"}
        if told == "failed":
            task["error"] = dict(zip(("code", "message"), FAILURES[job.outcome]))
        if told == "succeeded":
            task["content"] = {} if job.outcome == "empty_result" else {"url": self.link(job)}
            task["usage"] = {"total_seconds": job.seconds, "input_seconds": 0, "output_seconds": job.seconds,
                             "input_image_count": len(content.having(body["content"], "image_url"))}
        return task

    @route("POST", "/v2/video_generation", "submit")
    def create_v2(self, request):
        body = CREATE_V2.check(request.json(), "create_v2")
        self._refused(request)
        self._challenge(body)
        ratio = "16:9" if body["ratio"] == "adaptive" else body["ratio"]
        side, (across, down) = SIDES[body["resolution"]], RATIOS[ratio]
        width, height = (round(side * part / min(across, down) / 2) * 2 for part in (across, down))
        job = self.new_job(request, "4" + str(secrets.randbelow(10 ** 14)).zfill(14), content.prompt_of(body["content"]), width, height,
                           body["duration"], True, body=body, ratio=ratio)
        return Reply(200, {"task_id": job.id})

    @route("GET", "/v2/query/video_generation/{id}", "poll")
    def query_v2(self, request, id):
        return Reply(200, {"task": self._task(self.polled(request, id))})

    @route("GET", "/v2/query/video_generation", "lookup")
    def list(self, request):
        asked = LIST.check(request.query, "list")
        mine = [job for job in reversed(self.jobs.values())
                if job.key == request.key and "ratio" in job.fields and job.created > self.clock.now() - 7 * 86400
                and asked["filter.status"] in (None, self._status(job)) and asked["filter.task_ids"] in (None, job.id)
                and asked["filter.model"] in (None, job.fields["body"]["model"]) and asked["filter.task_type"] in (None, "generation")]
        size = int(asked["page_size"])
        at = (int(asked["page_num"]) - 1) * size
        return Reply(200, {"items": [self._task(job) for job in mine[at:at + size]], "total": len(mine)})

    @route("DELETE", "/v2/video_generation/{id}", "cancel")
    def delete(self, request, id):
        job = self.find(request, id)
        for phase, rule in (("running", "delete.running"), ("canceled", "delete.canceled")):
            self.must(rule, job.phase != phase, "delete.task_id", f"a {phase} task cannot be canceled or deleted")
        done = "cancelled" if job.phase == "queued" else "deleted"
        if done == "cancelled":
            job.canceled = True
        else:
            del self.jobs[id]
        return Reply(200, {"task_id": id, "action": done, "status": done})
