# SPDX-License-Identifier: Apache-2.0
"""Models as callers see them, and a catalog that changes while the service runs."""
import json
import signal

import pytest
from vg import ROOT, Stack, wait_for


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    path = tmp_path_factory.mktemp("catalog") / "catalog.json"
    path.write_text((ROOT / "service/catalog.json").read_text())
    return path


@pytest.fixture(scope="module")
def reloading(catalog, tmp_path_factory):
    """A stack whose catalog is a file of the test's, looked at only when asked."""
    with Stack(tmp_path_factory.mktemp("models"), {"VIDEOGATE_CATALOG": str(catalog), "VIDEOGATE_CATALOG_CHECK": "0s"}) as stack:
        yield stack


def names(stack):
    return {m["id"] for m in stack.http("GET", "/v1/models").json["data"]}


def replace(path, text):
    """As an operator should: never half a file under the name."""
    other = path.with_suffix(".new")
    other.write_text(text)
    other.rename(path)


def with_model(name):
    """The catalog with one more model, as text."""
    data = json.loads((ROOT / "service/catalog.json").read_text())
    data["models"].append({**next(m for m in data["models"] if m["name"] == "sandbox-instant"), "name": name})
    return json.dumps(data)


def reloads(stack):
    counts = stack.metric(3, "videogate_catalog_reloads_total")
    return {series.split('"')[1]: int(count) for series, count in counts.items()}


def test_reload(reloading, catalog):
    before = names(reloading)
    loaded = reloading.metric(3, "videogate_catalog_loaded_timestamp_seconds")
    assert list(loaded.values())[0] > 1_700_000_000
    replace(catalog, with_model("brand-new"))
    reloading.kill("service", signal.SIGHUP)
    wait_for(lambda: names(reloading) == before | {"brand-new"}, "the new model")
    made = reloading.create(model="brand-new")
    # A bad file is named in the log, with the place and the rule, and replaces nothing.
    shipped = (ROOT / "service/catalog.json").read_text()
    bads = (('{"version": 1', "catalog.json"), (with_model("sandbox"), "stands twice"), (with_model("Not A Name"), "models["), ("", "catalog.json"),
            (shipped[: len(shipped) // 2], "catalog.json"), (shipped + " " * (4 << 20), "larger than"), ("[" * 100000, "catalog.json"), (shipped.replace('"version": 1', '"version": 2'), "version"))
    for bad, why in bads:
        failed = reloads(reloading)["failed"]
        replace(catalog, bad)
        reloading.kill("service", signal.SIGHUP)
        wait_for(lambda: reloads(reloading)["failed"] == failed + 1, "the bad file to be refused")
        line = [x for x in reloading.log("service").splitlines() if "catalog not reloaded" in x][-1]
        assert "level=error" in line and why in line
        assert names(reloading) == before | {"brand-new"}
    # A video whose model is taken out goes on and stays readable.
    replace(catalog, (ROOT / "service/catalog.json").read_text())
    reloading.kill("service", signal.SIGHUP)
    wait_for(lambda: names(reloading) == before, "the model to go")
    assert reloads(reloading) == {"ok": 2, "failed": len(bads)}
    assert reloading.wait(made["id"])["status"] == "completed"
    assert reloading.get(made["id"])["model"] == "brand-new"
    assert reloading.create(expect=400, model="brand-new")["error"]["param"] == "model"


def test_a_changed_file_is_seen_without_a_signal(reloading, catalog):
    reloading.environ["VIDEOGATE_CATALOG_CHECK"] = "100ms"
    reloading.kill("service", signal.SIGTERM)
    wait_for(lambda: not reloading.alive("service"), "the service to stop")
    reloading.up()
    before = names(reloading)
    replace(catalog, with_model("seen"))
    wait_for(lambda: names(reloading) == before | {"seen"}, "the new model")
