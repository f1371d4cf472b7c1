# SPDX-License-Identifier: Apache-2.0
"""A provider whose route is marked stealth is nowhere in what callers read, when it fails and when it refuses."""
import json

import pytest
from vg import ROOT, Stack

SECRETS = ("sandbox", "scripted")


@pytest.fixture(scope="module")
def hidden(tmp_path_factory):
    """A stack whose catalog has one model more, made by the sandbox in disguise."""
    folder = tmp_path_factory.mktemp("hidden")
    catalog = json.loads((ROOT / "service/catalog.json").read_text())
    models = catalog["models"]
    (fail,) = [m for m in models if m["name"] == "sandbox-fail"]
    model = json.loads(json.dumps(fail))
    model["name"] = "veiled"
    model["owned_by"] = "somebody"
    for route in model["routes"]:
        route["stealth"] = True
    models.append(model)
    (folder / "catalog.json").write_text(json.dumps(catalog))
    with Stack(folder / "stack", {"VIDEOGATE_CATALOG": str(folder / "catalog.json")}) as stack:
        yield stack


def test_failure(hidden):
    plain = hidden.wait(hidden.create(model="sandbox-fail")["id"])
    veiled = hidden.wait(hidden.create(model="veiled")["id"])
    assert plain["status"] == veiled["status"] == "failed"
    assert veiled["error"]["code"] == plain["error"]["code"] and veiled["error"]["message"] != plain["error"]["message"]
    assert veiled["model"] == "veiled"
    assert not [word for word in SECRETS if word in json.dumps(veiled).lower()], veiled
    reasons = hidden.sql("SELECT a.reason FROM attempts a JOIN generations g ON g.id = a.generation_id WHERE g.video_id = %s", veiled["id"])
    assert reasons and all(reason for (reason,) in reasons), "operators read why"


def test_refusal(hidden):
    answer = hidden.http("POST", "/v1/videos", {"prompt": "x", "model": "veiled", "size": "9998x9998"})
    assert answer.status == 400 and "another provider" in answer.error["message"]
    assert not [word for word in SECRETS if word in answer.error["message"]]
