# SPDX-License-Identifier: Apache-2.0
"""Gemini Omni: POST /v1beta/interactions blocks until the video is made, and names a file that is active some time later."""
import base64
import json
import re
import secrets
import time

from simulators import google_api, media, rules
from simulators.base import Reply, route

OMNI = ("gemini-omni-1.1-flash", "gemini-omni-1.2-flash")
TASKS = ("text_to_video", "image_to_video", "reference_to_video", "edit", "extend")
INLINE_LIMIT = 4 << 20
FORMAT = rules.obj({
    "type": rules.one_of("video", required=True),
    "aspect_ratio": rules.one_of("16:9", "9:16", default="16:9"),
    "resolution": rules.one_of("360p", "720p", "1080p", "4k", default="720p"),
    "delivery": rules.one_of("inline", "uri", default="inline"),
    "duration": rules.text(pattern=r"\d{1,2}s"),
}, required=True)
INTERACTION = rules.obj({
    "model": rules.text(1, 100, required=True),
    "input": rules.Field((str, list), required=True),
    "generation_config": rules.obj({"video_config": rules.obj({"task": rules.one_of(*TASKS)})}),
    "response_format": FORMAT,
    "store": rules.boolean(default=True),
    "background": rules.boolean(default=False),
    "stream": rules.boolean(default=False),
    "previous_interaction_id": rules.text(1, 200),
})
PARTS = {
    "text": rules.obj({"type": rules.one_of("text", required=True), "text": rules.text(1, 32000, required=True)}),
    "image": rules.obj({"type": rules.one_of("image", required=True), "data": rules.picture(("base64",)), "uri": rules.url(),
                        "mime_type": rules.one_of("image/png", "image/jpeg", "image/webp", required=True)},
                       rules.Rule("one", lambda p: (p["data"] is None) != (p["uri"] is None), "data", "data or uri")),
    "video": rules.obj({"type": rules.one_of("video", required=True), "data": rules.text(1), "uri": rules.url(),
                        "mime_type": rules.one_of("video/mp4", required=True)},
                       rules.Rule("one", lambda p: (p["data"] is None) != (p["uri"] is None), "data", "data or uri")),
}
CHECKS = ("omni.model", "omni.part_type", "omni.prompt", "omni.task", "omni.stream", "omni.seconds", "omni.inline_size")
TABLES = (("interaction", INTERACTION), *((f"interaction.input.{name}", part) for name, part in PARTS.items()))


class Omni:
    omni_seconds = 0         # how long a POST blocks
    omni_inline = False      # answers with the bytes although an address was asked for
    omni_background = False  # answers in_progress, as with background

    def file_is_active(self, job):
        return self.file_word(job) == "ACTIVE"

    def file_word(self, job):
        """Veo's files are there at once; Omni's after `run_polls` looks."""
        if "interaction" not in job.fields or job.fields.get("file_polls", 0) > job.run_polls:
            return "FAILED" if job.outcome == "file_failed" else "ACTIVE"
        return "PROCESSING"

    def _input(self, body):
        """(prompt, pictures, videos) of the parts."""
        parts = [{"type": "text", "text": body["input"]}] if isinstance(body["input"], str) else body["input"]
        by_type = {"text": [], "image": [], "video": []}
        for i, part in enumerate(parts):
            kind = part.get("type") if isinstance(part, dict) else None
            self.must("omni.part_type", kind in PARTS, f"input[{i}].type", f"unknown part {kind!r}")
            by_type[kind].append(PARTS[kind].check(part, f"interaction.input.{kind}"))
        self.must("omni.prompt", by_type["text"], "input", "a text part is needed")
        return "\n".join(part["text"] for part in by_type["text"]), by_type["image"], by_type["video"]

    @route("POST", "/v1beta/interactions", "submit")
    def interact(self, request):
        body = INTERACTION.check(request.json(), "interaction")
        if body["model"] not in OMNI:
            self.broken["omni.model"] += 1
            self.refuse(404, f"models/{body['model']} is not found for API version v1beta.")
        self.must("omni.stream", not body["stream"], "stream", "streaming is not for video")
        prompt, pictures, videos = self._input(body)
        task = ((body["generation_config"] or {}).get("video_config") or {}).get("task") or "text_to_video"
        wanted = {"text_to_video": (0, 0), "image_to_video": (1, 0), "edit": (0, 1), "extend": (0, 1)}.get(task)
        fits = (len(pictures), len(videos)) == wanted if wanted else pictures and not videos
        self.must("omni.task", fits, "generation_config.video_config.task", f"the input does not fit {task}")
        told = re.search(r"(\d+) seconds? long", prompt)
        seconds = int(told[1]) if told else 5
        if task in ("edit", "extend"):
            film = media.probe(base64.b64decode(videos[0]["data"])) if videos[0]["data"] else {"seconds": 5}
            seconds = seconds if told and task == "extend" else round(film["seconds"])
        self.must("omni.seconds", task == "extend" or 3 <= seconds <= 10, "input", "videos are 3 to 10 seconds long")
        self.refusals(request, body["model"])
        width, height = google_api.size_of(body["response_format"]["aspect_ratio"], body["response_format"]["resolution"])
        job = self.new_job(request, secrets.token_hex(8), prompt, width, height, seconds, model=body["model"], interaction=True,
                           inline=self.omni_inline or body["response_format"]["delivery"] == "inline", pictures=len(pictures), task=task)
        if self.omni_background or body["background"]:
            return self._interaction(job)
        if job.outcome == "never":
            job.outcome = "ok"
        job.shown, job.ended = "done", self.clock.now()
        if not self.omni_seconds:
            return self._interaction(job)

        def late():
            time.sleep(self.omni_seconds)
            return self._interaction(job).body

        return Reply(200, late, content_type="application/json; charset=UTF-8")

    @route("GET", "/v1beta/interactions/{id}", "poll")
    def interaction(self, request, id):
        return self._interaction(self.polled(request, id.removeprefix("v1_")))

    def _interaction(self, job):
        told = {"id": f"v1_{job.id}", "object": "interaction", "model": job.fields["model"], "role": "model", "status": "completed", "steps": [],
                "usage": {"total_output_tokens": 5792 * job.seconds}}
        if job.phase != "done":
            return Reply(200, {**told, "status": "in_progress"})
        if job.outcome in google_api.OPERATION_ERRORS:
            status, text = google_api.OPERATION_ERRORS[job.outcome]
            return Reply(200, {**told, "status": "failed", "error": {"code": status, "message": text}})
        content = [{"type": "text", "text": "I cannot help with that: it goes against our usage guidelines."}]
        if job.outcome == "empty_result":
            content = []
        elif job.outcome != "moderation_in_job":
            content = [{"type": "video", "mime_type": "video/mp4", "uri": self._uri(job)}]
        told["steps"] = [{"type": "thought", "content": [{"type": "text", "text": "A storyboard."}]}, {"type": "model_output", "content": content}]
        if not job.fields["inline"] or content == [] or content[0]["type"] != "video":
            return Reply(200, told)

        def whole():
            content[0] = {"type": "video", "mime_type": "video/mp4", "data": base64.b64encode(job.video()).decode()}
            return json.dumps(told).encode()

        return Reply(200, whole, content_type="application/json; charset=UTF-8")
