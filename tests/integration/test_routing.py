# SPDX-License-Identifier: Apache-2.0
"""Which provider makes a video, and what follows when it does not: scripted workers behind a real service."""
import json

import pytest
from scripted_worker import ScriptedWorker, compile_stubs
from vg import Beside, Stack, free_base, readyz, wait_for

PROVIDERS = ("alpha", "beta")


def route(provider, price=0.4, **more):
    return {"provider": provider, "model": f"{provider}-1", "source": "tests", "checked": "2026-11-28", "sizes": ["160x90"],
            "seconds": {"min": 1, "max": 8}, "audio": "both", "inputs": {"image": "optional"}, "price_per_second": {"default": price},
            "deadline_s": 120, "max_attempts": 2, **more}


def model(name, *routes):
    return {"name": name, "owned_by": "tests", "created": 1763856000, "source": "tests", "checked": "2026-11-28", "default_size": "160x90",
            "default_seconds": 1, "routes": list(routes)}


MODELS = [
    model("two", route("alpha"), route("beta", 0.1)),
    model("one", route("alpha")),
    model("veiled", route("alpha", stealth=True), route("beta", 0.1)),
]


class Routed(Stack):
    """A service and a bridge beside a stack, with scripted workers only."""

    def __init__(self, beside, folder, workers, *more):
        self.beside, self.base, self.workers = beside, free_base(), workers
        catalog = folder / "catalog.json"
        catalog.write_text(json.dumps({"version": 1, "default_model": MODELS[0]["name"], "models": MODELS}))
        named = ",".join(f"{name}=127.0.0.1:{worker.port}" for name, worker in workers.items())
        beside.start("service", "--listen", f"127.0.0.1:{self.base + 2}", "--monitor", f"127.0.0.1:{self.base + 3}", "--blob-dir", folder / "blobs",
                     "--catalog", catalog, "--workers", named, "--log-level", "debug", *more)
        beside.start("bridge", "--listen", f"127.0.0.1:{self.base}", "--service", f"127.0.0.1:{self.base + 2}")
        for port in (self.base + 3, self.base):
            wait_for(lambda: readyz(port)[0] == 200, f"port {port} to be ready", patience=60)
        self.service = f"127.0.0.1:{self.base + 2}"
        self.env = {"VIDEOGATE_API_KEY": beside.new_key("--service", self.service)}

    def make(self, prompt, model="two", **more):
        return self.create(prompt=prompt, model=model, **more)["id"]

    def trace(self, video_id):
        return json.loads(self.beside.ctl("--json", "--service", self.service, "video", "trace", video_id).stdout)

    def tries(self, video_id):
        """(number, provider, outcome, reason) of the first output."""
        return [(a["number"], a["provider"], a["outcome"], a["reason"]) for a in self.trace(video_id)["generations"][0]["attempts"]]


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    return compile_stubs(tmp_path_factory.mktemp("stubs"))


@pytest.fixture(scope="module")
def routed(stack, modules, tmp_path_factory):
    folder = tmp_path_factory.mktemp("routed")
    with ScriptedWorker("alpha", modules) as alpha, ScriptedWorker("beta", modules) as beta, Beside(stack, folder) as beside:
        yield Routed(beside, folder, {"alpha": alpha, "beta": beta})


@pytest.fixture
def alpha(routed):
    return routed.workers["alpha"]


@pytest.fixture
def beta(routed):
    return routed.workers["beta"]


# class: submissions at alpha, at beta, the end, when alpha always says so
MATRIX = {
    "INVALID_REQUEST": (1, 0, "invalid_request"),
    "CONTENT_FILTERED": (1, 0, "content_filtered"),
    "AUTH": (1, 1, None),
    "BILLING": (1, 1, None),
    "MODEL_GONE": (1, 1, None),
    "RATE_LIMITED": (2, 1, None),
    "CONCURRENCY_FULL": (1, 1, None),
    "OVERLOADED": (2, 1, None),
    "UPSTREAM_INTERNAL": (2, 1, None),
    "TIMEOUT": (2, 1, None),
    "NETWORK": (2, 1, None),
    "NOT_FOUND": (1, 0, "provider_error"),
}


def test_each_error_of_a_submit_leads_where_it_should(routed, alpha, beta):
    made = {}
    for name in MATRIX:
        alpha.plan[name] = [alpha.error(name, http_status=499)] * 5
        made[name] = routed.make(name)
    for name, (at_alpha, at_beta, code) in MATRIX.items():
        video = routed.wait(made[name])
        assert (len(alpha.submitted(name)), len(beta.submitted(name))) == (at_alpha, at_beta), name
        assert len(set(alpha.submitted(name) + beta.submitted(name))) == at_alpha + at_beta, "each its own token"
        assert video["attempts"] == at_alpha + at_beta, name
        if code:
            assert (video["status"], video["error"]["code"], video["provider"]) == ("failed", code, "alpha"), name
        else:
            assert (video["status"], video["provider"]) == ("completed", "beta"), name
        tries = routed.tries(made[name])
        assert [(number, provider) for number, provider, _, _ in tries] == \
            [(i + 1, "alpha" if i < at_alpha else "beta") for i in range(at_alpha + at_beta)]
        for _, provider, outcome, reason in tries[:at_alpha]:
            assert reason == f"{name.lower()} http=499 code={name.lower()}_code: alpha says {name.lower()}"
            assert outcome == ("failed" if code else "pending")


def test_no_fallback_stays(routed, alpha, beta):
    alpha.plan["stay"] = [alpha.error("AUTH")]
    video = routed.wait(routed.make("stay", headers={"x-no-fallback": "true"}))
    assert video["status"] == "failed" and video["attempts"] == 1 and not beta.submitted("stay")
    alpha.plan["pinned"] = [alpha.error("AUTH")]
    video = routed.wait(routed.make("pinned", model="alpha/two"))
    assert video["status"] == "failed" and not beta.submitted("pinned")


def test_charged_is_not_made_again(routed, alpha, beta):
    alpha.plan["dear"] = [alpha.error("UPSTREAM_INTERNAL", charged=True)]
    video = routed.wait(routed.make("dear"))
    assert video["status"] == "failed" and len(alpha.submitted("dear")) == 1 and not beta.submitted("dear")


def failed_job(worker, prompt, upstream_id, **fields):
    worker.plan[prompt] = [worker.accepted(upstream_id=upstream_id)]
    worker.poll_plan[upstream_id] = [worker.error("UPSTREAM_INTERNAL", "poll", retryable=False, **fields)]


def test_an_accepted_job_that_failed_moves_on_unless_charged(routed, alpha, beta):
    failed_job(alpha, "free", "free-1")
    failed_job(alpha, "paid", "paid-1", charged=True)
    free, paid = routed.make("free"), routed.make("paid")
    video = routed.wait(free)
    assert (video["status"], video["provider"], video["attempts"]) == ("completed", "beta", 2)
    assert [a["upstream_id"] for a in routed.trace(free)["generations"][0]["attempts"]][0] == "free-1", "kept when the job moved on"
    assert routed.wait(paid)["status"] == "failed" and not beta.submitted("paid")


def test_stealth_is_not_told(routed, alpha):
    alpha.plan["veiled"] = [alpha.error("OVERLOADED")]
    made = routed.make("veiled", model="veiled")
    video = routed.wait(made)
    assert video["status"] == "completed" and "provider" not in video and video["attempts"] == 2
    assert "alpha" not in json.dumps(video)
    assert routed.trace(made)["routes"][0] == {"provider": "alpha", "model": "alpha-1", "max_attempts": 2, "stealth": True}


def test_trace_for_people(routed, alpha):
    alpha.plan["seen"] = [alpha.error("AUTH", http_status=401, upstream_message="bad\x1b[31m key")]
    made = routed.make("seen")
    routed.wait(made)
    out = routed.beside.ctl("--service", routed.service, "video", "trace", made).stdout
    assert "route 0: alpha/alpha-1, at most 2 submissions" in out and "output 0: stored, 2 submissions, 100%" in out
    rows = [line.split() for line in out.splitlines() if line.startswith("  ") and line.split()[0].isdigit()]
    assert [row[:2] for row in rows] == [["1", "alpha/alpha-1"], ["2", "beta/beta-1"]]
    assert "auth http=401 code=auth_code: bad [31m key" in out and "\x1b" not in out
    assert routed.beside.ctl("--service", routed.service, "video", "trace", "video_" + "0" * 32, check=False).returncode == 1
    other = routed.beside.ctl("--service", routed.service, "video", "trace", made, check=False, VIDEOGATE_ADMIN_KEY="x" * 32)
    assert other.returncode == 1 and "alpha" not in other.stdout, "not without the admin key"
