# SPDX-License-Identifier: Apache-2.0
"""The catalog's file: schema and service refuse the same; deactivated models, aliases and pins as callers meet them."""
import concurrent.futures
import copy
import json
import os
import subprocess

import pytest
from vg import BUILD, NODE, ROOT, Stack

ROUTE = ("models", 0, "routes", 0)
GONE = object()  # for a key to be taken out

SMALL = {
    "$schema": "catalog.schema.json", "version": 1, "comment": "every key once", "default_model": "b",
    "models": [{
        "name": "b", "owned_by": "o", "created": 7, "status": "live", "aliases": ["b-1"], "source": "a page", "checked": "2026-11-23", "comment": "x",
        "default_size": "1280x720", "default_seconds": 8, "routes": [{
            "provider": "p", "model": "P/b:1", "status": "closed", "closed_on": "2026-09-24", "stealth": True, "source": "a page", "checked": "2026-11-23", "comment": "x",
            "sizes": ["1280x720", "3840x2160", "16x8192"], "seconds": [4, 8], "seconds_with_image": {"min": 4, "max": 8}, "seconds_with_references": [8],
            "rules": [{"when": {"class": ["4k"], "size": ["16x8192"], "image": False, "last_frame": False, "references": False}, "seconds": [8]}],
            "audio": "both", "inputs": {"image": "optional", "last_frame": True, "references": {"min": 1, "max": 3, "required": False}, "reference_videos": 1, "reference_audios": 3},
            "images": {"types": ["image/png"], "max_bytes": 1024, "min_side": 1, "max_side": 16384, "min_aspect": 0.4, "max_aspect": 2.5, "match_size": True},
            "extra": ["seed"], "operations": ["edit", "extend"], "extension": {"models": ["b"], "seconds": [7], "sizes": ["1280x720"]}, "price_per_second": {"default_audio": 0.4, "4k": 0.6}, "price_per_image_input": 0.01,
            "deadline_s": 600, "max_attempts": 3}]}]}

# (path, value): each makes a good catalog bad.
BAD = [
    (("version",), 2), (("version",), GONE), (("version",), "1"), (("extra",), 1), (("default_model",), GONE), (("default_model",), "B"), (("models",), []), (("models",), {}), (("comment",), ""),
    (("models", 0), "b"), (("models", 0, "name"), "B"), (("models", 0, "name"), "a/b"), (("models", 0, "name"), ""), (("models", 0, "name"), "n" * 65), (("models", 0, "name"), None),
    (("models", 0, "owned_by"), GONE), (("models", 0, "created"), 0), (("models", 0, "created"), 1.5), (("models", 0, "created"), "7"), (("models", 0, "status"), "shut"),
    (("models", 0, "closed_on"), "2026-09-24"), (("models", 0, "aliases"), []), (("models", 0, "aliases"), ["x", "x"]), (("models", 0, "aliases"), "x"), (("models", 0, "aliases", 0), "X"),
    (("models", 0, "source"), 1), (("models", 0, "source"), "s" * 1001), (("models", 0, "checked"), "yesterday"), (("models", 0, "checked"), "2026-00-01"), (("models", 0, "price"), 1),
    (("models", 0, "default_size"), "720p"), (("models", 0, "default_seconds"), 0), (("models", 0, "default_seconds"), 65), (("models", 0, "routes"), []), (("models", 0, "routes"), GONE),
    (ROUTE + ("provider",), "P"), (ROUTE + ("provider",), GONE), (ROUTE + ("model",), "a b"), (ROUTE + ("model",), ""), (ROUTE + ("status",), True), (ROUTE + ("status",), "live"),
    (ROUTE + ("closed_on",), "2026-09-32"), (ROUTE + ("stealth",), 1), (ROUTE + ("sizes",), []), (ROUTE + ("sizes", 0), "1281x720"), (ROUTE + ("sizes", 0), "1280x14"), (ROUTE + ("sizes", 0), "8194x720"),
    (ROUTE + ("sizes", 0), "01280x720"), (ROUTE + ("sizes", 1), "1280x720"), (ROUTE + ("seconds",), []), (ROUTE + ("seconds",), [8, 8]), (ROUTE + ("seconds",), [8, 65]), (ROUTE + ("seconds",), 8),
    (ROUTE + ("seconds",), {"min": 4}), (ROUTE + ("seconds_with_image",), {"min": 4, "max": 8, "step": 2}), (ROUTE + ("rules",), []), (ROUTE + ("rules", 0, "when"), {}), (ROUTE + ("rules", 0, "when"), GONE),
    (ROUTE + ("rules", 0, "when", "class"), ["5k"]), (ROUTE + ("rules", 0, "when", "class"), "4k"), (ROUTE + ("rules", 0, "when", "class"), []), (ROUTE + ("rules", 0, "when", "size"), ["4k"]),
    (ROUTE + ("rules", 0, "when", "image"), "yes"), (ROUTE + ("rules", 0, "when", "audio"), True), (ROUTE + ("rules", 0, "seconds"), GONE), (ROUTE + ("rules", 0, "reason"), "x"),
    (ROUTE + ("audio",), True), (ROUTE + ("audio",), GONE), (ROUTE + ("inputs", "image"), "none"), (ROUTE + ("inputs", "image"), GONE), (ROUTE + ("inputs", "last_frame"), 1), (ROUTE + ("inputs", "sound"), True),
    (ROUTE + ("inputs",), {"image": "required", "references": {"min": 1, "max": 1, "required": True}}), (ROUTE + ("inputs", "references"), {"min": 1}), (ROUTE + ("inputs", "references", "max"), 10),
    (ROUTE + ("inputs", "reference_videos"), 0), (ROUTE + ("inputs", "reference_audios"), 4), (ROUTE + ("images", "types"), ["image/bmp"]), (ROUTE + ("images", "types"), []),
    (ROUTE + ("images", "max_bytes"), 1000), (ROUTE + ("images", "max_bytes"), 20971521), (ROUTE + ("images", "min_side"), 0), (ROUTE + ("images", "max_side"), 16385), (ROUTE + ("images", "min_aspect"), 0),
    (ROUTE + ("images", "max_aspect"), "2"), (ROUTE + ("images", "match_size"), "yes"), (ROUTE + ("images", "min_pixels"), 1), (ROUTE + ("extra",), []), (ROUTE + ("extra",), ["a", "a"]), (ROUTE + ("extra",), ["a b"]),
    (ROUTE + ("extra",), {"seed": True}), (ROUTE + ("operations",), ["remix"]), (ROUTE + ("operations",), ["edit", "edit"]), (ROUTE + ("extension",), []), (ROUTE + ("extension", "models"), []), (ROUTE + ("extension", "models"), ["B"]),
    (ROUTE + ("extension", "seconds"), 7), (ROUTE + ("extension", "sizes"), ["720p"]), (ROUTE + ("extension", "sizes"), []), (ROUTE + ("extension", "providers"), ["p"]), (ROUTE + ("price_per_second",), {}), (ROUTE + ("price_per_second",), 0.4),
    (ROUTE + ("price_per_second",), {"5k": 1}), (ROUTE + ("price_per_second",), {"4k_loud": 1}), (ROUTE + ("price_per_second",), {"4k": -1}), (ROUTE + ("price_per_second",), {"4k": "1"}),
    (ROUTE + ("price_per_image_input",), -1), (ROUTE + ("deadline_s",), 9), (ROUTE + ("deadline_s",), 604801), (ROUTE + ("max_attempts",), 0), (ROUTE + ("max_attempts",), 21), (ROUTE + ("max_attempts",), GONE),
]

# What a schema cannot say: the service alone refuses these.
BEYOND = [
    (("default_model",), "c"), (("models", 0, "aliases", 0), "b"), (("models", 0, "default_size"), "160x90"), (("models", 0, "default_seconds"), 9),
    (ROUTE + ("seconds",), {"min": 8, "max": 4}), (ROUTE + ("inputs", "references"), {"min": 3, "max": 1}), (ROUTE + ("images", "min_side"), 16384 // 2 + 1),
    (ROUTE + ("operations",), ["edit"]), (ROUTE + ("images", "min_aspect"), 3), (ROUTE + ("rules", 0, "seconds"), [9]),
]


def changed(path, value):
    data = copy.deepcopy(SMALL)
    if path[:3] == ROUTE[:3] and path[-2:] == ("images", "min_side"):
        data["models"][0]["routes"][0]["images"]["max_side"] = 16384 // 2
    node = data
    for key in path[:-1]:
        node = node[key]
    if value is GONE:
        del node[path[-1]]
    else:
        node[path[-1]] = value
    return data


def schema_says(files):
    """One verdict for each file."""
    done = subprocess.run(["node", ROOT / "tests/lint/catalog.mjs", NODE / "node_modules", ROOT / "service/catalog.schema.json", *files], stdout=subprocess.PIPE, text=True)
    lines = done.stdout.splitlines()
    assert len(lines) == len(files)
    return lines


def service_says(file):
    environ = {**os.environ, "VIDEOGATE_DATABASE_URL": "postgresql:///x", "VIDEOGATE_SECRET_KEY": "0123456789abcdef0"}
    done = subprocess.run([BUILD / "bin/videogate-service", "--check-config", "--blob-dir", file.parent, "--catalog", file], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ)
    return "ok" if done.returncode == 0 else done.stderr


def write(folder, documents):
    files = [folder / f"{i:03}.json" for i in range(len(documents))]
    for file, document in zip(files, documents):
        file.write_text(json.dumps(document))
    return files


def test_schema_and_service_agree(tmp_path):
    files = write(tmp_path, [SMALL, *(changed(*c) for c in BEYOND), *(changed(*c) for c in BAD)])
    by_schema = schema_says(files)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        by_service = list(pool.map(service_says, files))
    assert by_schema[: 1 + len(BEYOND)] == ["ok"] * (1 + len(BEYOND))
    assert by_service[0] == "ok"
    for what, schema, service in zip(BEYOND + BAD, by_schema[1:], by_service[1:]):
        assert service != "ok" and ".json: " in service, (what, service)
        assert schema != "ok" or what in BEYOND, what


def test_what_is_shipped(tmp_path):
    shipped = ROOT / "service/catalog.json"
    assert schema_says([shipped]) == ["ok"] and service_says(shipped) == "ok"


# --- as callers meet it: a stack whose worker is the sandbox, under several names, nothing routed elsewhere ---


def sandbox_at(provider, **changes):
    data = json.loads((ROOT / "service/catalog.json").read_text())
    route = next(m for m in data["models"] if m["name"] == "sandbox-instant")["routes"][0]
    return {**route, "provider": provider, **changes}


@pytest.fixture(scope="module")
def closing(tmp_path_factory):
    data = json.loads((ROOT / "service/catalog.json").read_text())
    base = {k: v for k, v in next(m for m in data["models"] if m["name"] == "sandbox-instant").items() if k != "routes"}
    data["models"] += [
        {**base, "name": "partly", "aliases": ["partly-1"], "routes": [sandbox_at("elsewhere", status="closed", closed_on="2026-01-02"), sandbox_at("sandbox")]},
        {**base, "name": "wholly", "aliases": ["wholly-1"], "routes": [sandbox_at("sandbox", status="closed", closed_on="2026-03-04")]},
        {**base, "name": "by-model", "status": "closed", "routes": [sandbox_at("sandbox")]},
        {**base, "name": "early", "routes": [sandbox_at("sandbox", status="preview", price_per_image_input=0.25)]},
        {**base, "name": "ruled", "routes": [sandbox_at("sandbox", rules=[{"when": {"size": ["320x180"]}, "seconds": [2]}])]},
    ]
    folder = tmp_path_factory.mktemp("closing")
    (folder / "catalog.json").write_text(json.dumps(data))
    with Stack(folder / "stack", {"VIDEOGATE_CATALOG": str(folder / "catalog.json"), "VIDEOGATE_ROUTE_ALL": ""}) as stack:
        yield stack


@pytest.mark.parametrize("model, since", [("wholly", "2026-03-04"), ("wholly-1", "2026-03-04"), ("sandbox/wholly", "2026-03-04"), ("sandbox/wholly-1", "2026-03-04"), ("by-model", ""),
                                          ("sandbox/by-model", ""), ("elsewhere/partly", "2026-01-02"), ("sora-2", "2026-09-24"), ("sora-2-2025-12-08", "2026-09-24"),
                                          ("google/veo-3.1-generate-preview", "2026-10-22")])
def test_what_is_closed_answers_410(closing, model, since):
    for answer in (closing.http("POST", "/v1/videos", {"prompt": "x", "model": model}), closing.http("GET", f"/v1/models/{model}")):
        assert answer.status == 410 and answer.error["param"] == "model"
        assert "has been deactivated and is no longer available" in answer.error["message"] and since in answer.error["message"]


def test_aliases_and_pins_make_videos(closing):
    for name in ("partly", "partly-1", "sandbox/partly", "sandbox/partly-1", "sandbox/sandbox-instant"):
        made = closing.create(model=name)
        assert made["model"] == ("sandbox-instant" if "instant" in name else "partly")
    assert closing.http("GET", "/v1/models/partly-1").json["id"] == "partly"
    assert closing.http("GET", "/v1/models/sandbox/partly-1").json["id"] == "sandbox/partly-1"
    shown = {m["id"]: m for m in closing.http("GET", "/v1/models").json["data"]}
    assert "partly" in shown and not {"partly-1", "wholly", "by-model"} & set(shown)
    assert shown["early"]["status"] == "preview" and shown["early"]["usd_per_image_input"] == 0.25
    assert shown["sandbox"]["status"] == "live" and "usd_per_image_input" not in shown["sandbox"]


def test_a_rule_of_lengths(closing):
    answer = closing.http("POST", "/v1/videos", {"prompt": "x", "model": "ruled", "size": "320x180", "seconds": 1})
    assert answer.status == 400 and answer.error["param"] == "seconds"
    assert "sandbox: duration 1s is unsupported (supported durations: 2s at 320x180)" in answer.error["message"]
    assert closing.create(model="ruled", size="320x180", seconds=2)["seconds"] == "2"
    assert closing.create(model="ruled", size="160x90", seconds=1)["seconds"] == "1"
