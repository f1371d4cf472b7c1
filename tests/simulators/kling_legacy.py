# SPDX-License-Identifier: Apache-2.0
"""Kling's older /v1/videos: a path for texts, one for pictures; a task is found by its id or by the caller's."""
import secrets

from simulators import rules
from simulators.base import Refusal, route

SIZES = {"std": {"16:9": (1280, 720), "9:16": (720, 1280), "1:1": (960, 960)},
         "pro": {"16:9": (1920, 1080), "9:16": (1080, 1920), "1:1": (1440, 1440)}}
PICTURE = rules.picture(("base64", "url"), ("png", "jpeg"))
COMMON = {
    "model_name": rules.one_of("kling-v1", "kling-v1-5", "kling-v1-6", "kling-v2-master", "kling-v2-1", "kling-v2-1-master",
                               "kling-v2-5-turbo", "kling-v2-6", "kling-v3", default="kling-v1"),
    "prompt": rules.text(1, 2500),
    "negative_prompt": rules.text(0, 2500),
    "cfg_scale": rules.number(0, 1),
    "mode": rules.one_of("std", "pro", default="std"),
    "sound": rules.one_of("on", "off", default="off"),
    "duration": rules.one_of("5", "10", default="5"),
    "external_task_id": rules.text(1, 64),
    "callback_url": rules.url(),
}
SOUND = rules.Rule("sound_of_model", lambda b: b["sound"] == "off" or b["model_name"] in ("kling-v2-6", "kling-v3"), "sound",
                   "is not supported by the model")
TEXT = rules.obj({**COMMON, "prompt": rules.text(1, 2500, required=True),
                  "aspect_ratio": rules.one_of("16:9", "9:16", "1:1", default="16:9")}, SOUND)
FRAMES = rules.obj({**COMMON, "image": PICTURE, "image_tail": PICTURE}, SOUND,
                   rules.Rule("picture_there", lambda b: b["image"] or b["image_tail"], "image", "image or image_tail is required"))
TABLES = (("text2video", TEXT), ("image2video", FRAMES))


class Videos:
    """Routes of the simulator."""

    def _video(self, job):
        task = self._task(job)
        told = {"task_id": job.id, "task_status": task["status"].replace("succeeded", "succeed"), "task_status_msg": task["message"],
                "task_info": {"external_task_id": job.fields["external"]}, "created_at": task["create_time"],
                "updated_at": task["update_time"]}
        if told["task_status"] == "succeed":
            told["task_result"] = {"videos": [{"id": "1", "url": one["url"], "duration": one["duration"]} for one in task["outputs"]]}
        return self._ok(told)

    @route("POST", "/v1/videos/text2video", "submit")
    def text(self, request):
        return self._create(request, "text2video", TEXT.check(request.json(), "text2video"))

    @route("POST", "/v1/videos/image2video", "submit")
    def picture(self, request):
        return self._create(request, "image2video", FRAMES.check(request.json(), "image2video"))

    def _create(self, request, kind, body):
        self.admit(request, body["external_task_id"])
        shape = body["aspect_ratio"] if kind == "text2video" else self.shape_of(body["image"] or body["image_tail"])
        width, height = SIZES[body["mode"]][shape]
        job = self.new_job(request, str(secrets.randbelow(10 ** 17) + 7 * 10 ** 17), body["prompt"] or "", width, height,
                           int(body["duration"]), body["sound"] == "on", kind=kind, external=body["external_task_id"])
        return self._video(job)

    @route("GET", "/v1/videos/{kind}/{id}", "poll")
    def video(self, request, kind, id):
        job = self.jobs.get(id) if self._mine(request, id) else self._external(request, id)
        if job is None or job.fields.get("kind") != kind:
            raise Refusal(self.error(404))
        if job.id == id:
            self.polled(request, id)
        return self._video(job)
