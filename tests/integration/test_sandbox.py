# SPDX-License-Identifier: Apache-2.0
"""The sandbox provider: real pictures, scripted outcomes, and that no clip blocks another."""
import base64
import subprocess

import pytest
from vg import ffprobe, wait_for


def png(folder, colour, size="320x180"):
    path = folder / f"{colour}.png"
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"color={colour}:s={size}", "-frames:v", "1", str(path)], check=True)
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()


def frame_colour(path, last):
    """Average RGB of the first or last frame."""
    seek = ["-sseof", "-0.2"] if last else []
    pick = ["-update", "1"] if last else ["-frames:v", "1"]
    out = path.with_suffix(f".{last}.raw")
    subprocess.run(["ffmpeg", "-v", "error", "-y", *seek, "-i", str(path), *pick, "-vf", "scale=1:1", "-f", "image2", "-c:v", "rawvideo",
                    "-pix_fmt", "rgb24", str(out)], check=True)
    return tuple(out.read_bytes()[:3])


def download(stack, video_id, path, index=0):
    answer = stack.http("GET", f"/v1/videos/{video_id}/content?index={index}")
    assert answer.status == 200
    path.write_bytes(answer.body)
    return ffprobe(path)


@pytest.mark.parametrize("size,seconds,audio", [("1280x720", 4, True), ("720x1280", 2, False), ("160x90", 3, True)])
def test_asked_size_length_sound(stack, tmp_path, size, seconds, audio):
    made = stack.create(model="sandbox", size=size, seconds=seconds, audio=audio)
    assert stack.wait(made["id"])["status"] == "completed"
    probe = download(stack, made["id"], tmp_path / "out.mp4")
    kinds = [s["codec_type"] for s in probe["streams"]]
    video = next(s for s in probe["streams"] if s["codec_type"] == "video")
    assert f"{video['width']}x{video['height']}" == size and video["codec_name"] == "h264"
    assert abs(float(probe["format"]["duration"]) - seconds) < 0.2
    assert ("audio" in kinds) == audio


def test_first_and_last_frame(stack, tmp_path):
    made = stack.create(model="sandbox", size="320x180", seconds=2, image=png(tmp_path, "red"), last_frame=png(tmp_path, "blue"))
    assert stack.wait(made["id"])["status"] == "completed"
    download(stack, made["id"], tmp_path / "frames.mp4")
    red, _, blue = frame_colour(tmp_path / "frames.mp4", False)
    assert red > 200 and blue < 60
    red, _, blue = frame_colour(tmp_path / "frames.mp4", True)
    assert blue > 200 and red < 60


def test_prompt_is_in_the_picture(stack, tmp_path):
    """Two prompts give two pictures; the same prompt gives the same picture where the text stands."""
    for name, prompt in (("a", "AAAA"), ("b", "A much longer prompt that needs several lines to be shown")):
        made = stack.create(model="sandbox", size="640x360", seconds=1, prompt=prompt)
        assert stack.wait(made["id"])["status"] == "completed"
        download(stack, made["id"], tmp_path / f"{name}.mp4")
    out = subprocess.run(["ffmpeg", "-v", "info", "-i", str(tmp_path / "a.mp4"), "-i", str(tmp_path / "b.mp4"), "-lavfi", "psnr",
                          "-f", "null", "-"], capture_output=True, text=True, check=True).stderr
    assert "average:inf" not in out


def test_n_outputs(stack):
    made = stack.create(model="sandbox", n=3)
    done = stack.wait(made["id"])
    assert [c["index"] for c in done["content"]] == [0, 1, 2]
    bodies = {stack.http("GET", f"/v1/videos/{made['id']}/content?index={i}").body for i in range(3)}
    assert len(bodies) == 3
    assert stack.http("GET", f"/v1/videos/{made['id']}/content?index=3").status == 404


@pytest.mark.parametrize("model,status,code", [
    ("sandbox-instant", "completed", None),
    ("sandbox-flaky", "completed", None),
    ("sandbox-ambiguous", "completed", None),
    ("sandbox-truncated", "completed", None),
    ("sandbox-fail", "failed", "provider_error"),
    ("sandbox-moderation", "failed", "content_filtered"),
])
def test_scripted_outcome(stack, model, status, code):
    done = stack.wait(stack.create(model=model)["id"])
    assert done["status"] == status, done
    if code:
        assert done["error"]["code"] == code and done["error"]["message"]
        assert "content" not in done
    else:
        assert done["error"] is None


def test_one_submission_each(stack):
    made = [stack.create(model=m) for m in ("sandbox-ambiguous", "sandbox-truncated", "sandbox", "sandbox-instant")]
    for video in made:
        assert stack.wait(video["id"])["status"] == "completed"
    assert set(stack.submissions().values()) == {1}


def test_slow_and_endless_clips_block_nobody(stack):
    stuck = [stack.create(model=m) for m in ("sandbox-never", "sandbox-slow", "sandbox-never") for _ in range(4)]
    failing = [stack.create(model="sandbox-fail") for _ in range(4)]
    quick = [stack.create(model="sandbox-instant") for _ in range(10)]
    for video in quick:
        assert stack.wait(video["id"])["status"] == "completed"
    for video in failing:
        assert stack.wait(video["id"])["status"] == "failed"
    assert {stack.get(v["id"])["status"] for v in stuck if "never" in v["model"]} <= {"queued", "in_progress"}
    for video in stuck:
        assert stack.http("POST", f"/v1/videos/{video['id']}/cancel").status == 200
    for video in stuck:
        assert stack.wait(video["id"])["status"] in ("canceled", "completed")


def test_progress_is_shown(stack):
    made = stack.create(model="sandbox-slow")
    wait_for(lambda: stack.get(made["id"])["status"] == "in_progress" and stack.get(made["id"])["progress"] > 0, "progress")
    stack.http("POST", f"/v1/videos/{made['id']}/cancel")
    assert stack.wait(made["id"])["status"] == "canceled"
