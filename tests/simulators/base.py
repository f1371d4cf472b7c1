# SPDX-License-Identifier: Apache-2.0
"""What every upstream simulator is made of. A simulator is a subclass of Simulator: routes, tables of rules, and its vendor's words.
README.md says how to write one; openai.py is the model."""
import collections
import hashlib
import json
import re
import secrets
import sys
import threading
import time
import traceback
import urllib.parse

from simulators import hooks, media
from simulators.faults import FAULTS
from simulators.rules import Broken
from simulators.wire import Malformed, Reply, Server, strict_json

KINDS = ("submit", "poll", "fetch", "cancel", "lookup", "upload", "token", "other")
# Names that scripts use; each simulator says which of them its vendor has (`outcomes`).
OUTCOMES = ("ok", "moderation_at_submit", "moderation_in_job", "failed", "partial", "empty_result", "model_gone", "expired", "never")
# Checks that every simulator has by this file, beside those of wire.py.
CHECKS = ("auth.missing", "auth.wrong", "auth.forbidden", "route.path", "route.method", "link.signature", "link.age", "link.credential")
TRIGGER = re.compile(rb"\[sim:([a-z]+)=([a-z_0-9]+)((?:,[a-z_]+=[A-Za-z0-9_:.-]+)*)\]")
CREDENTIAL_HEADERS = ("authorization", "x-goog-api-key", "api-key", "x-api-key", "cookie")


class Refusal(Exception):
    """Ends a handler with this reply."""

    def __init__(self, reply):
        super().__init__(str(reply.status))
        self.reply = reply


def route(method, pattern, kind="other", auth=True):
    """Marks a handler. `{name}` in the pattern is a piece of the path without '/' and ':', `{name*}` may hold any."""
    def mark(function):
        expression = re.sub(r"\\\{(\w+)(\\\*)?\\\}", lambda m: f"(?P<{m[1]}>{'.+' if m[2] else '[^/:]+'})", re.escape(pattern))
        function.routes = getattr(function, "routes", ()) + ((method, re.compile(expression), kind, auth),)
        return function

    return mark


class Clock:
    """Real time, and what was advanced on top."""

    def __init__(self):
        self.ahead = 0.0

    def now(self):
        return time.time() + self.ahead

    def advance(self, seconds):
        self.ahead += seconds


class Job:
    """A job that a key made. `fields` are the vendor's own."""

    def __init__(self, sim, job_id, key, outcome, spec, fields):
        self.sim, self.id, self.key, self.outcome, self.fields = sim, job_id, key, outcome, fields
        self.prompt, self.width, self.height, self.seconds = spec["prompt"], spec["width"], spec["height"], spec["seconds"]
        self.audio, self.count = spec["audio"], spec["count"]
        self.created, self.ended = sim.clock.now(), None
        self.polls, self.fetches = 0, 0
        self.queue_polls, self.run_polls = sim.queue_polls, sim.run_polls
        self.shown, self.canceled = None, False
        self.over, self.told = False, None  # ended by hooks.py; what its webhook was answered (0: nothing yet)

    @property
    def phase(self):
        """queued, running, done or canceled."""
        if self.shown:
            return self.shown
        if self.canceled:
            return "canceled"
        done = self._part() >= 1 and self.outcome != "never"
        if done and self.ended is None:
            self.ended = self.sim.clock.now()
        return "done" if done else "running" if self._part() > 0 else "queued"

    def _part(self):
        """How much of the run is over; 0 in the queue, 1 and more at the end. By polls seen or, with `pace`, by the clock."""
        if self.over:
            return 1
        if self.sim.pace:
            queue, run = self.sim.pace
            age = self.sim.clock.now() - self.created
            return 0 if age < queue else max((age - queue) / run, 0.01) if run else 1
        return 0 if self.polls <= self.queue_polls else (self.polls - self.queue_polls) / (self.run_polls + 1)

    @property
    def progress(self):
        return {"queued": 0, "running": min(int(self._part() * 100), 99), "done": 100, "canceled": 0}[self.phase]

    def video(self, index=0):
        return media.padded(media.video(self.width, self.height, self.seconds, self.audio), self.sim.result_bytes)


class Simulator:
    """Runs as a context manager: `with openai.Simulator() as sim: sim.url`. Handlers run one at a time."""

    name = "base"
    keys = ("sim-key-one", "sim-key-two")  # what is accepted; harnesses hand them to workers
    tables = ()      # rule tables, counted
    checks = ()      # names of further checks, see `must`
    outcomes = ("ok", "never")
    prefix = ""      # what stands before each path
    base_path = ""   # what a worker's --base-url has behind the address
    settings = {}    # further flags a worker needs: {name: value}
    providers_beside = ()  # dialects that are providers of their own
    scoped = True    # a job is seen by the key that made it alone
    max_jobs = None  # unfinished jobs of one key; beyond it `error(429)`
    rpm = None       # submissions of one key in a minute
    link_life = 3600 # seconds
    signs = None     # how its webhooks are signed: a function of hooks.py
    hook_of_project = False  # webhooks go to the one address of the project
    hook_context = None      # TLS of whom it posts to; None: the system's

    def __init__(self, port=0, media_port=0, pace=None, keys=None):
        self.keys = tuple(keys or self.keys)
        self.pace = pace            # (seconds queued, seconds running) on the clock; None: by polls
        self.queue_polls, self.run_polls = 1, 1
        self.result_bytes = 0       # results are filled up to this size
        self.clock, self.lock = Clock(), threading.RLock()
        self.revoked, self.forbidden = set(), set()
        self.leaks, self.crashes = [], []
        self._secret, self.hook_keys = secrets.token_hex(8), hooks.Keys()
        self._routes = [(*one, getattr(self, name)) for name in sorted(dir(type(self)))
                        for one in getattr(getattr(type(self), name), "routes", ())]
        self._server = Server("127.0.0.1", port, self._serve)
        self._media = Server("127.0.0.2", media_port, self._serve_media)
        self.reset()

    def reset(self):
        """Forgets jobs, scripts and figures."""
        with self.lock:
            self.jobs, self.history, self.scripts = {}, [], []
            self.requests, self.by_key = collections.Counter(), collections.Counter()
            self.seen = collections.deque(maxlen=100)
            self.broken = collections.Counter()
            self._recent = collections.defaultdict(list)

    # --- running ---

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, failure, *_):
        self.stop()
        if failure is None:
            self.verify()

    def start(self):
        self._server.start()
        self._media.start()

    def stop(self):
        self._server.stop()
        self._media.stop()

    def verify(self):
        """Nothing of ours went where it must not; no handler broke down."""
        assert not self.leaks, f"credentials reached the media host: {self.leaks}"
        assert not self.crashes, self.crashes[0]

    @property
    def url(self):
        return f"http://127.0.0.1:{self._server.port}"

    @property
    def port(self):
        return self._server.port

    @property
    def media_url(self):
        return f"http://127.0.0.2:{self._media.port}"

    def refusing(self):
        """with sim.refusing(): connections to the API are refused."""
        sim = self

        class Closed:
            def __enter__(self):
                sim._server.stop()

            def __exit__(self, *_):
                sim._server.start()

        return Closed()

    # --- scripts and figures ---

    def script(self, fault=None, outcome=None, kind=None, times=1, after=0, **more):
        """The next `times` requests of `kind` (after leaving out `after`) go wrong by `fault`, or the next jobs end in `outcome`.
        times=None: all of them. `job` limits a fault to requests that name this job."""
        assert (fault is None) != (outcome is None), "a fault or an outcome"
        assert fault is None or (fault in FAULTS and kind in KINDS), f"no fault {fault} of {kind}"
        assert outcome is None or outcome in self.outcomes, f"{self.name} has no outcome {outcome}, but {self.outcomes}"
        with self.lock:
            self.scripts.append({"fault": fault, "outcome": outcome, "kind": kind, "times": times, "after": after, **more})

    def _take(self, wanted):
        """The first script line that `wanted` likes and that is due."""
        for line in list(self.scripts):
            if not wanted(line):
                continue
            if line["after"] > 0:
                line["after"] -= 1
                continue
            if line["times"] is not None:
                line["times"] -= 1
                if line["times"] <= 0:
                    self.scripts.remove(line)
            return line
        return None

    @property
    def submits(self):
        """Jobs that were made, ever."""
        return len(self.history)

    def count(self, kind, key=None):
        """Requests of a kind, whatever became of them."""
        return self.requests[kind] if key is None else self.by_key[kind, key]

    def last(self, kind):
        """The last request of a kind, as it came in."""
        return next(r for r in reversed(self.seen) if r.kind == kind)

    def rule_names(self):
        return sorted(set(self.checks).union(*(table.names(name) for name, table in self.tables)))

    def rule_count(self):
        return len(self.rule_names())

    def state(self):
        jobs = [{"id": j.id, "key": self.keys.index(j.key) if j.key in self.keys else None, "prompt": j.prompt, "outcome": j.outcome,
                 "phase": j.phase, "polls": j.polls, "fetches": j.fetches, "told": j.told, "extends": j.fields.get("extends")} for j in self.history]
        return {"name": self.name, "submits": self.submits, "requests": dict(self.requests), "jobs": jobs, "scripts": self.scripts,
                "broken": dict(self.broken), "leaks": self.leaks, "crashes": len(self.crashes), "rules": self.rule_count()}

    # --- for handlers ---

    def error(self, status, message="", code=None):
        """The vendor's error for a status, and for a code of the vendor's own where one status has several. Subclasses say how."""
        raise NotImplementedError

    def violation(self, broken):
        """The reply to a broken rule."""
        return self.error(400, f"{broken.path}: {broken.detail}")

    def malformed(self, error):
        """The reply to a body that cannot be read."""
        return self.error(400, error.detail)

    def authorize(self, request):
        """The key of a request, or a Refusal."""
        return self.known_key(self.bearer(request))

    def bearer(self, request):
        scheme, _, key = (request.header("authorization") or "").partition(" ")
        return key if scheme == "Bearer" else None

    def known_key(self, key):
        """The key if it may pass; 401 or 403 in the vendor's form otherwise."""
        if key is None or key not in self.keys or key in self.revoked:
            self.broken["auth.missing" if key is None else "auth.wrong"] += 1
            raise Refusal(self.error(401))
        if key in self.forbidden:
            self.broken["auth.forbidden"] += 1
            raise Refusal(self.error(403))
        return key

    def must(self, rule, holds, path, detail, value=None):
        """A check that no table can state; its name stands in `checks`."""
        assert rule in self.checks, f"{rule} is not in checks"
        if not holds:
            raise Broken("rule", path, detail, rule=rule, value=value)

    def new_job(self, request, job_id, prompt, width, height, seconds, audio=True, count=1, **fields):
        """Makes a job, in the outcome that was scripted or asked for in the prompt. Outcomes that are refusals at submit are the
        handler's: it asks `next_outcome` first."""
        unfinished = [j for j in self.jobs.values() if j.key == request.key and j.phase in ("queued", "running")]
        if self.max_jobs is not None and len(unfinished) >= self.max_jobs:
            raise Refusal(self.error(429))
        spec = {"prompt": prompt, "width": width, "height": height, "seconds": seconds, "audio": audio, "count": count}
        job = Job(self, job_id, request.key, self.next_outcome(request), spec, fields)
        wishes = dict((name, value) for name, value, _ in self._triggers(request))
        if "polls" in wishes:
            job.run_polls = max(int(wishes["polls"]) - job.queue_polls, 0)
        for name, value, more in self._triggers(request):
            if name in KINDS and name != "submit":
                self.script(fault=value, kind=name, job=job.id, **more)
        self.jobs[job.id] = job
        self.history.append(job)
        return job

    def next_outcome(self, request):
        """The outcome of the job that this request makes; asked twice, the same."""
        if not hasattr(request, "outcome"):
            asked = next((value for name, value, _ in self._triggers(request) if name == "outcome"), None)
            line = None if asked else self._take(lambda line: line["outcome"])
            request.outcome = asked or (line["outcome"] if line else "ok")
            if request.outcome not in self.outcomes:
                raise Refusal(self.error(400, f"this simulator has no outcome {request.outcome}"))
        return request.outcome

    @staticmethod
    def _triggers(request):
        """[(name, value, {parameter: value})] of the [sim:...] words in a request's body."""
        found = []
        for name, value, more in TRIGGER.findall(request.body[:1 << 20]):
            pairs = (piece.split("=", 1) for piece in more.decode().split(",") if piece)
            more = {k: int(v) if k in ("times", "after") else v for k, v in pairs}
            found.append((name.decode(), value.decode(), more))
        return found

    def find(self, request, job_id):
        """The job, or 404 in the vendor's form."""
        job = self.jobs.get(job_id)
        if job is None or (self.scoped and job.key != request.key):
            raise Refusal(self.error(404))
        return job

    def polled(self, request, job_id):
        """The job, one poll older."""
        job = self.find(request, job_id)
        job.polls += 1
        return job

    def named_in(self, request):
        """Jobs that a request is about."""
        where = urllib.parse.unquote(request.target) + request.body[:1 << 16].decode("latin-1")
        return [job for job in self.jobs.values() if job.id in where]

    # --- webhooks (hooks.py) ---

    def hook(self, job):
        """The address of a job's webhook; None: it has none."""
        return job.fields.get("webhook")

    def event(self, job):
        """What is posted there at the job's end."""
        raise NotImplementedError

    def told(self, job):
        """(body, headers) of the webhook."""
        body = json.dumps(self.event(job)).encode()
        return body, getattr(hooks, self.signs)(self.hook_keys, job.id, body) if self.signs else {}

    def jwks(self, kind):
        return Reply(200, {"keys": [self.hook_keys.jwk(kind)]}, {"cache-control": "public, max-age=3600"})

    # --- results ---

    def link(self, job, index=0):
        """Signed address of a result on the media host, good for `link_life` seconds of the clock."""
        until = int(self.clock.now() + self.link_life)
        path = f"/media/{urllib.parse.quote(job.id, safe='')}/{index}.mp4"
        return f"{self.media_url}{path}?until={until}&sig={self._signature(path, until)}"

    def _signature(self, path, until):
        return hashlib.sha256(f"{self._secret}{path}{until}".encode()).hexdigest()[:24]

    def is_link(self, value):
        return isinstance(value, str) and value.startswith(self.media_url)

    def file(self, request, job, index=0):
        """The reply that carries a job's video, whole or the range that was asked for."""
        job.fetches += 1
        return self.ranged(request, lambda: job.video(index), "video/mp4")

    @staticmethod
    def ranged(request, make, content_type):
        """A file, whole or in the range that was asked for."""
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.header("range") or "")
        if not asked:
            return Reply(200, make, {"accept-ranges": "bytes"}, content_type)
        whole = make()
        first, last = int(asked[1]), min(int(asked[2] or len(whole)), len(whole) - 1)
        if first > last:
            return Reply(416, b"", {"content-range": f"bytes */{len(whole)}"})
        return Reply(206, whole[first:last + 1], {"content-range": f"bytes {first}-{last}/{len(whole)}"}, content_type)

    # --- serving ---

    def _serve(self, connection):
        while not connection.closed and self._one(connection, self._api):
            pass

    def _serve_media(self, connection):
        while not connection.closed and self._one(connection, self._media_file):
            pass

    def _one(self, connection, answer):
        """One request and its answer; False: the connection is over."""
        try:
            request = connection.read_head()
            if request is None:
                return False
            found = self._route(request) if answer == self._api else self._media_route(request)
            line = self._due(request)
            if line and line["fault"] == "reset":
                self._count(request)
                return FAULTS["reset"](self, connection, request, None, line)
            connection.read_body(request)
        except Malformed as error:
            self.broken[error.rule] += 1
            connection.send_reply(self.malformed(error))
            return False
        self._count(request)
        line = line or self._asked(request)

        def reply():
            with self.lock:
                return self._guarded(lambda: answer(request, found))

        if line:
            return self._wrong(line, connection, request, reply)
        connection.send_reply(reply(), request.method)
        return True

    def _wrong(self, line, connection, request, reply):
        try:
            return FAULTS[line["fault"]](self, connection, request, reply, line)
        except OSError:
            return False  # the client has had enough
        except Exception:
            self.crashes.append(traceback.format_exc())
            print(self.crashes[-1], file=sys.stderr)
            return False

    def _count(self, request):
        with self.lock:
            self.requests[request.kind] += 1
            self.seen.append(request)

    def _due(self, request):
        with self.lock:
            return self._take(lambda line: line["fault"] and line["kind"] == request.kind and
                              (line.get("job") is None or line["job"] in urllib.parse.unquote(request.target)))

    def _asked(self, request):
        """A fault for the submission itself, asked for in its prompt; for polls by a body, one of the job it names."""
        if request.kind == "submit":
            return next(({"fault": value, **more} for name, value, more in self._triggers(request) if name == "submit"), None)
        with self.lock:
            return self._take(lambda line: line["fault"] and line["kind"] == request.kind and line.get("job") and
                              line["job"].encode() in request.body)

    def _guarded(self, handle):
        try:
            return handle()
        except Refusal as refusal:
            return refusal.reply
        except Broken as broken:
            self.broken[broken.rule] += 1
            return self.violation(broken)
        except Malformed as error:
            self.broken[error.rule] += 1
            return self.malformed(error)
        except Exception:
            self.crashes.append(traceback.format_exc())
            print(self.crashes[-1], file=sys.stderr)
            return Reply(500, b"the simulator broke down", content_type="text/plain")

    def _route(self, request):
        path, wrong_method = urllib.parse.unquote(request.path), False
        path = path.removeprefix(self.prefix) if path.startswith(self.prefix) else ""
        for method, pattern, kind, auth, handler in self._routes:
            match = pattern.fullmatch(path)
            if match and method == request.method:
                request.kind, request.params = kind, match.groupdict()
                return handler, auth
            wrong_method = wrong_method or bool(match)
        return (405 if wrong_method else 404), False

    def _api(self, request, found):
        handler, auth = found
        if request.path.startswith("/_sim/"):
            return self._admin(request)
        if isinstance(handler, int):
            self.broken["route.method" if handler == 405 else "route.path"] += 1
            return self.error(handler)
        if auth:
            request.key = self.authorize(request)
            self.by_key[request.kind, request.key] += 1
        if request.kind == "submit" and self.rpm is not None:
            self._within_rate(request.key)
        return handler(request, **request.params)

    def _within_rate(self, key):
        now = self.clock.now()
        self._recent[key] = [then for then in self._recent[key] if then > now - 60]
        if len(self._recent[key]) >= self.rpm:
            raise Refusal(self.error(429))
        self._recent[key].append(now)

    # --- the second host: results, and no credential ever ---

    def _media_route(self, request):
        request.kind = "fetch"
        shown = [name for name in CREDENTIAL_HEADERS if request.header(name)] + [name for name in ("key", "api_key") if name in request.query]
        whole = request.target + json.dumps(request.headers)
        shown += ["a key" for key in self.keys if key in whole]
        if shown:
            self.leaks.append({"path": request.path, "shown": shown})
        return None

    def _media_file(self, request, _):
        match = re.fullmatch(r"/media/([^/]+)/(\d+)\.mp4", request.path)
        until = request.query.get("until", "")
        if not match or request.method not in ("GET", "HEAD"):
            return Reply(404, b"NoSuchKey", content_type="application/xml")
        if request.query.get("sig") != self._signature(request.path, until) or int(until) < self.clock.now():
            self.broken["link.signature" if request.query.get("sig") != self._signature(request.path, until) else "link.age"] += 1
            return Reply(403, b"<Error><Code>AccessDenied</Code></Error>", content_type="application/xml")
        job = self.jobs.get(urllib.parse.unquote(match[1]))
        return self.file(request, job, int(match[2])) if job else Reply(404, b"NoSuchKey", content_type="application/xml")

    # --- the admin API ---

    def _admin(self, request):
        asked = (request.method, request.path.removeprefix("/_sim/"))
        body = strict_json(request.body) if request.body else {}
        if asked == ("GET", "state"):
            return Reply(200, self.state())
        if asked == ("GET", "rules"):
            return Reply(200, {"count": self.rule_count(), "rules": self.rule_names()})
        try:
            if asked == ("POST", "script"):
                self.script(**body)
            elif asked == ("POST", "reset"):
                self.reset()
            elif asked == ("POST", "clock"):
                self.clock.advance(float(body["advance"]))
            else:
                return Reply(404, {"error": "GET state, rules; POST script, reset, clock"})
        except (AssertionError, TypeError, KeyError, ValueError) as error:
            return Reply(400, {"error": str(error)})
        return Reply(200, self.state())
