# SPDX-License-Identifier: Apache-2.0
"""Which provider makes a video, and what follows when it does not: scripted workers behind a real service."""
import contextlib
import json
import re
import time

import pytest
from scripted_worker import ScriptedWorker, compile_stubs
from vg import Beside, Stack, free_base, readyz, wait_for



def route(provider, price=0.1, **more):
    return {"provider": provider, "model": f"{provider}-1", "source": "tests", "checked": "2026-11-28", "sizes": ["160x90"],
            "seconds": {"min": 1, "max": 8}, "audio": "both", "inputs": {"image": "optional"}, "price_per_second": {"default": price},
            "deadline_s": 120, "max_attempts": 2, **more}


def model(name, *routes):
    return {"name": name, "owned_by": "tests", "created": 1763856000, "source": "tests", "checked": "2026-11-28", "default_size": "160x90",
            "default_seconds": 1, "routes": list(routes)}


MODELS = [
    model("two", route("alpha"), route("beta", 0.4)),
    model("one", route("alpha")),
    model("weak", route("gamma"), route("beta", 0.4)),
    model("lone", route("gamma")),
    model("full", route("delta"), route("beta", 0.4)),
    model("blocking", route("delta")),
    model("dear", route("alpha", 0.4), route("beta", 0.1)),
    model("veiled", route("alpha", stealth=True), route("beta", 0.4)),
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
def workers(modules):
    with contextlib.ExitStack() as life:
        all_four = {name: life.enter_context(ScriptedWorker(name, modules)) for name in ("alpha", "beta", "gamma", "delta")}
        all_four["gamma"].describe.update(max_concurrency=1)
        all_four["delta"].describe.update(max_concurrency=2, max_submit_ms=7000)
        for name, ahead in {"gamma": 3600, "beta": -7, "delta": 0}.items():
            all_four[name].describe["clock_ms"] = lambda ahead=ahead: int((time.time() + ahead) * 1000)
        yield all_four


@pytest.fixture(scope="module")
def routed(stack, workers, tmp_path_factory):
    """Without breakers: every error is played out."""
    folder = tmp_path_factory.mktemp("routed")
    with Beside(stack, folder) as beside:
        one = Routed(beside, folder, workers, "--breaker-failures", "0", "--route-order", "price", "--lease", "6s")
        wait_for(lambda: one.metric(3, 'videogate_worker_clock_ahead_ms{provider="gamma"}').popitem()[1], "the first Describe")
        workers["gamma"].describe["clock_ms"] = lambda: int(time.time() * 1000)  # set right; the last test looks
        yield one


@pytest.fixture(scope="module")
def guarded(stack, workers, tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    with Beside(stack, folder) as beside:
        yield Routed(beside, folder, workers, "--breaker-failures", "4", "--breaker-wait", "2s", "--route-order", "health")


@pytest.fixture
def alpha(workers):
    return workers["alpha"]


@pytest.fixture
def beta(workers):
    return workers["beta"]


@pytest.fixture
def gamma(workers):
    return workers["gamma"]


@pytest.fixture
def delta(workers):
    return workers["delta"]


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
    for name in sorted(MATRIX, key="CONCURRENCY_FULL".__eq__):
        if name == "CONCURRENCY_FULL":  # holds back whatever else would be submitted at that moment
            for video_id in made.values():
                routed.wait(video_id)
        alpha.plan[name] = [alpha.error(name, http_status=499, retry_after_ms=1)] * 5
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


def test_reasons_hold_no_prompt_and_no_signed_link(routed, alpha):
    prompt = "a very private birthday party"
    alpha.plan[prompt] = [alpha.error("INVALID_REQUEST", upstream_message=f"cannot film '{prompt}', see https://files.example/a?sig=SECRET now")]
    made = routed.make(prompt)
    routed.wait(made)
    (_, _, _, reason), = routed.tries(made)
    assert reason.endswith("cannot film '[prompt]', see https://files.example/a? now")
    assert "SECRET" not in routed.beside.log("service").read_text()


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


def test_the_cheapest_route_comes_first(routed, alpha):
    made = routed.make("cheap", model="dear")
    video = routed.wait(made)
    assert video["provider"] == "beta" and video["usage"]["cost"] == 0.1 and not alpha.submitted("cheap")
    assert [r["provider"] for r in routed.trace(made)["routes"]] == ["beta", "alpha"]
    video = routed.wait(routed.make("pinned and dear", model="alpha/dear"))
    assert video["provider"] == "alpha" and video["usage"]["cost"] == 0.4


def test_the_healthiest_route_comes_first(guarded, alpha, beta):
    """Nothing known: the catalog's order. Then alpha fails now and then, and beta is fine."""
    assert guarded.wait(guarded.make("as written"))["provider"] == "alpha"
    for i in range(2):
        alpha.plan[f"ill {i}"] = [alpha.error("UPSTREAM_INTERNAL", retryable=False)]
        assert guarded.wait(guarded.make(f"ill {i}"))["provider"] == "beta"
    assert guarded.wait(guarded.make("well"))["provider"] == "beta" and not alpha.submitted("well")


# --- what may have been submitted ---

def test_a_lost_submit_is_looked_up_and_found(routed, alpha, beta):
    alpha.plan["lost"] = [alpha.lose]
    alpha.lookup_plan["lost"] = [alpha.looked_up("RETRY"), alpha.looked_up("FOUND", "found-1")]
    made = routed.make("lost")
    video = routed.wait(made)
    assert video["status"] == "completed" and video["attempts"] == 1
    assert len(alpha.submitted("lost")) == 1 and not beta.submitted("lost")
    assert [a["upstream_id"] for a in routed.trace(made)["generations"][0]["attempts"]] == ["found-1"]


def test_a_lookup_describes_the_submission(routed, alpha):
    alpha.plan["before"] = [alpha.accepted(upstream_id="others-1")]
    routed.wait(routed.make("before"))
    began = time.time() * 1000
    alpha.plan["described"] = [alpha.error("TIMEOUT", maybe_submitted=True)]
    alpha.lookup_plan["described"] = [alpha.looked_up("FOUND", "described-1")]
    made = routed.make("described", seconds=2, audio=False)
    assert routed.wait(made)["status"] in ("completed", "failed")  # the file is of another length
    (lookup,) = [one for one in alpha.lookups if one.submit.prompt == "described"]
    (submit,) = [one for one in alpha.submits if one.prompt == "described"]
    assert lookup.token == submit.token == lookup.submit.token
    assert began - 1000 <= lookup.submitted_at_ms <= time.time() * 1000 < submit.start_by_ms <= lookup.over_by_ms
    submit.start_by_ms = 0
    assert lookup.submit == submit
    assert "others-1" in lookup.taken and not lookup.taken_incomplete


def test_only_absent_is_submitted_again(routed, alpha, beta):
    alpha.plan["absent"] = [alpha.error("NETWORK", maybe_submitted=True)]
    alpha.plan["nobody knows"] = [alpha.error("NETWORK", maybe_submitted=True)]
    # Asked again while other submissions are open: it never becomes another answer.
    alpha.lookup_plan["nobody knows"] = [alpha.looked_up("UNSUPPORTED")] * 9
    absent, unknown = routed.make("absent"), routed.make("nobody knows")
    assert routed.wait(absent)["status"] == "completed"
    assert len(alpha.submitted("absent")) == 2 and len(set(alpha.submitted("absent"))) == 1, "the same token"
    video = routed.wait(unknown)
    assert (video["status"], video["error"]["code"]) == ("failed", "submission_unknown")
    assert len(alpha.submitted("nobody knows")) == 1 and not beta.submitted("nobody knows")


def test_a_second_lost_answer_has_its_own_end(routed, alpha):
    """Its token was first used by the first, but its request may be under way for long after that."""
    alpha.plan["again"] = [alpha.lose, alpha.slow(2, alpha.lose)]
    alpha.lookup_plan["again"] = [alpha.looked_up("ABSENT"), alpha.looked_up("RETRY"), alpha.looked_up("FOUND", "again-1")]
    assert routed.wait(routed.make("again"))["status"] == "completed"
    first, second, third = (one for one in alpha.lookups if one.submit.prompt == "again")
    assert len(alpha.submitted("again")) == 2 and first.token == second.token
    assert second.submitted_at_ms == first.submitted_at_ms and second.over_by_ms >= first.over_by_ms + 2000
    assert third.over_by_ms - second.over_by_ms < 1000, "asking again does not put it off"


def test_a_worker_that_was_too_late_is_asked_again(routed, alpha):
    alpha.plan["late"] = [alpha.too_late]
    assert routed.wait(routed.make("late"))["status"] == "completed"
    assert len(alpha.submitted("late")) == 2 and len(set(alpha.submitted("late"))) == 1, "the same token"
    assert not [one for one in alpha.lookups if one.submit.prompt == "late"]


def test_two_of_a_kind_wait_for_each_other(routed, alpha):
    """Both submissions are lost: while the other is open, a job found by its looks may be the other's."""
    def by_looks(request, _):
        if request.taken_incomplete:
            return alpha.looked_up("UNSUPPORTED")
        return alpha.looked_up("FOUND", "twin-2" if "twin-1" in request.taken else "twin-1")

    alpha.plan["twins"] = [ScriptedWorker.slow(0.5, alpha.lose)] * 2
    alpha.lookup_plan["twins"] = [by_looks] * 20
    video = routed.wait(routed.make("twins", n=2))
    assert video["status"] == "completed" and len(video["content"]) == 2 and len(alpha.submitted("twins")) == 2
    asked = [one for one in alpha.lookups if one.submit.prompt == "twins"]
    assert asked[0].taken_incomplete
    assert not asked[-1].taken_incomplete and "twin-1" in asked[-1].taken, "the last one knows whose the first is"


# --- breaker, places ---

def breaker(guarded, provider):
    return guarded.metric(3, "videogate_provider_breaker")[f'videogate_provider_breaker{{provider="{provider}"}}']


def test_a_breaker_opens_moves_jobs_and_closes_by_one_probe(guarded, beta, gamma):
    error = gamma.error("UPSTREAM_INTERNAL", retryable=False, fallback_ok=False)
    gamma.default = ScriptedWorker.slow(0.2, lambda *_: error)
    made = [guarded.make(f"weak {i}", model="weak") for i in range(7)]  # one after the other
    ended = [guarded.wait(one) for one in made]
    assert [video["status"] for video in ended].count("failed") == 4
    assert breaker(guarded, "gamma") == 1
    for one, video in zip(made, ended):
        if video["status"] == "completed":
            assert (video["provider"], video["attempts"]) == ("beta", 1)
            assert guarded.tries(one)[0] == (0, "gamma", "pending", "breaker open")
    new = guarded.make("new", model="weak")
    assert [r["provider"] for r in guarded.trace(new)["routes"]] == ["beta", "gamma"], "a create puts it last"
    gamma.default = ScriptedWorker.slow(0.5, gamma.finished)
    waiting = [guarded.make(f"waiting {i}", model="lone") for i in range(3)]
    assert {guarded.wait(one)["status"] for one in waiting} == {"completed"}
    assert breaker(guarded, "gamma") == 0
    assert sum(guarded.metric(3, "videogate_submissions_held_back_total").values()) >= 3
    assert "breaker provider=gamma from=closed to=open" in guarded.beside.log("service").read_text()


def test_a_caller_s_errors_open_nothing(guarded, gamma):
    gamma.default = gamma.error("INVALID_REQUEST")
    for one in [guarded.make(f"wrong {i}", model="lone") for i in range(8)]:
        assert guarded.wait(one)["error"]["code"] == "invalid_request"
    assert breaker(guarded, "gamma") == 0
    gamma.default = gamma.finished


def test_places_bound_what_is_at_a_provider(routed, delta):
    delta.default = ScriptedWorker.slow(0.2, delta.accepted)
    for one in [routed.make(f"many {i}", model="blocking") for i in range(6)]:
        assert routed.wait(one)["status"] == "completed"
    assert delta.most_open <= 2
    delta.default = delta.finished


def test_a_full_provider_gets_nothing_for_a_while(routed, beta, delta):
    delta.plan["fills"] = [delta.error("CONCURRENCY_FULL", retry_after_ms=3000)]
    assert routed.wait(routed.make("fills", model="full"))["provider"] == "beta"
    video = routed.wait(routed.make("after", model="full"))
    assert video["provider"] == "beta" and not delta.submitted("after")
    assert routed.wait(routed.make("later", model="blocking"))["status"] == "completed"


def test_a_submit_may_last_as_long_as_the_worker_says(routed, delta):
    """Longer than a third of the lease, so that it is renewed meanwhile."""
    delta.plan["long"] = [ScriptedWorker.slow(5, delta.finished)]
    delta.plan["too long"] = [ScriptedWorker.slow(9, delta.finished)]
    delta.lookup_plan["too long"] = [delta.looked_up("UNSUPPORTED")]
    long, too_long = routed.make("long", model="blocking"), routed.make("too long", model="blocking")
    assert routed.wait(long)["status"] == "completed" and routed.get(long)["attempts"] == 1
    assert routed.wait(too_long)["error"]["code"] == "submission_unknown"
    assert len(delta.submitted("long")) == len(delta.submitted("too long")) == 1


def test_a_worker_with_another_clock_is_told_of(routed):
    """gamma's was an hour ahead when the service started, and was set right; beta's is seven seconds back; alpha tells none."""
    def ahead(provider):
        return routed.metric(3, f'videogate_worker_clock_ahead_ms{{provider="{provider}"}}').popitem()[1]

    wait_for(lambda: ahead("gamma") < 3000, "gamma to be asked again", 30)
    assert -10000 < ahead("beta") < -4000 and abs(ahead("delta")) < 3000 and ahead("alpha") == 0
    told = re.findall(r'msg="worker clock (differs|right)" provider=(\w+) ahead_ms=(-?\d+)', routed.beside.log("service").read_text())
    told = [(what, provider, round(int(ahead_ms) / 1000, -1)) for what, provider, ahead_ms in told]
    assert ("differs", "gamma", 3600) in told and ("right", "gamma", 0) in told, told
    assert {provider for _, provider, _ in told} == {"gamma", "beta"}
