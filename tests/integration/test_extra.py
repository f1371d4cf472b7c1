# SPDX-License-Identifier: Apache-2.0
"""Further parameters: fields of a create that no field of ours has a name for go to the providers whose catalog rows take
them, and nowhere else."""
import json
import subprocess

import pytest
from fake_worker import Faked, FakeWorker, model
from test_create import form, part
from test_grpc import Client
from vg import Beside


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    clip = tmp_path_factory.mktemp("clip") / "clip.mp4"
    subprocess.run(["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc=s=160x90:r=8:d=1", "-pix_fmt", "yuv420p", clip], check=True)
    one = FakeWorker("fake")
    one.results = Always(("video/mp4", clip.read_bytes()))
    yield one
    one.close()


class Always(dict):
    """The same for every key."""

    def __init__(self, value):
        super().__init__()
        self.value = value

    def __missing__(self, _):
        return self.value


@pytest.fixture(scope="module")
def faked(stack, worker, tmp_path_factory):
    folder = tmp_path_factory.mktemp("extra")
    with Beside(stack, folder) as beside:
        yield Faked(beside, folder, worker, [model("m", extra=["seed", "negative_prompt", "lora", "guidance_scale"]), model("plain")])


def sent(faked, prompt):
    (one,) = faked.worker.of(prompt)
    return json.loads(one.extra) if one.extra else None


def make(faked, prompt, headers=None, **fields):
    made = faked.create(model=fields.pop("model", "m"), prompt=prompt, headers=headers, **fields)
    faked.wait(made["id"])
    return made


def test_what_is_taken_is_sent(faked):
    fields = {"seed": 4294967295, "negative_prompt": "no \"fog\", é𝄞", "lora": [{"path": "a/b", "scale": 0.7}, True], "guidance_scale": 7.5}
    make(faked, "all", unknown={"a": [1]}, metadata={"b": "c"}, extra="not ours", **fields)
    assert sent(faked, "all") == fields


def test_the_rest_is_ignored_as_ever(faked):
    make(faked, "none", unknown=1, metadata={"a": "x" * 40000}, seed=None)
    make(faked, "not here", model="plain", seed=42, negative_prompt="fog")
    make(faked, "absent")
    assert [sent(faked, prompt) for prompt in ("none", "not here", "absent")] == [None] * 3


def test_a_form_has_types_too(faked):
    fields = {"prompt": "form", "model": "m", "size": "160x90", "seconds": "1", "seed": "42", "guidance_scale": "7.5", "negative_prompt": "fog", "lora[a]": "true", "lora[b]": "x"}
    answer = faked.http("POST", "/v1/videos", form("b0", *(part(k, v) for k, v in fields.items()), part("mask", b"\0\1", "m.png", "image/png")),
                        headers={"content-type": "multipart/form-data; boundary=b0"})
    assert answer.status == 200, answer.body
    faked.wait(answer.json["id"])
    assert sent(faked, "form") == {"seed": 42, "guidance_scale": 7.5, "negative_prompt": "fog", "lora": {"a": "true", "b": "x"}}


@pytest.mark.parametrize("fields, param", [
    ({"negative_prompt": "x" * 20000}, "negative_prompt"),
    ({"negative_prompt": "x" * 9000, "lora": "y" * 9000}, "lora"),
    ({f"unknown{i}": "x" * 15000 for i in range(6)}, "extra"),
])
def test_too_much_is_refused(faked, fields, param):
    answer = faked.http("POST", "/v1/videos", {"prompt": "much", "model": "m", "size": "160x90", "seconds": 1, **fields})
    assert answer.status == 400 and answer.error["param"] == param, answer.body
    assert not faked.worker.of("much")


def test_they_are_part_of_what_a_key_stands_for(faked):
    key = {"idempotency-key": "extra-1"}
    made = make(faked, "key", headers=key, seed=1)
    again = faked.create(model="m", prompt="key", headers=key, seed=1, unknown="does not count")
    assert again["id"] == made["id"]
    assert faked.create(expect=422, model="m", prompt="key", headers=key, seed=2)["error"]["code"] == "idempotency_mismatch"
    assert faked.create(expect=422, model="m", prompt="key", headers=key)["error"]["code"] == "idempotency_mismatch"
    assert len(faked.worker.of("key")) == 1


def test_a_remix_keeps_them(faked):
    made = make(faked, "source", seed=5)
    remixed = faked.http("POST", f"/v1/videos/{made['id']}/remix", {"prompt": "remixed"}).json
    faked.wait(remixed["id"])
    assert sent(faked, "remixed") == {"seed": 5}


def test_grpc_callers_set_the_field(faked):
    client = Client(f"127.0.0.1:{faked.port(2)}", faked.key)
    client.learn("videogate.v1.VideoService")
    create = client.method("videogate.v1.VideoService", "CreateVideo")
    made = create(model="m", prompt="grpc", size="160x90", seconds=1, extra='{"seed": 9, "unknown": 1}').video
    faked.wait(made.id)
    assert sent(faked, "grpc") == {"seed": 9}
    for bad, word in (("[1]", "JSON object"), ('{"seed": null}', "must not be null"), ("{", "JSON object")):
        with pytest.raises(Exception, match=word):
            create(model="m", prompt="grpc bad", size="160x90", seconds=1, extra=bad)
    client.channel.close()
