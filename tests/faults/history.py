# SPDX-License-Identifier: Apache-2.0
"""The external recorder, and the invariants I1 to I9 of reference/reliability.md 5.2, checked from what was seen outside.

Kinds of records, each with `at` (monotonic seconds):
  asked     key, prompt, n, model, callback        a create leaves
  answered  key, status, video                      what the caller was told; status None: no answer came
  seen      video, status, body                     a GET of the video (body: the whole answer as text)
  deleted   video                                   a DELETE leaves; it is not looked at again
  submitted provider, job, prompt, charged          a job that the upstream made
  callback  video, webhook_id, body, verified, answered, path
  event     as callback, to a project's endpoint (a path that begins with /endpoint)
  usage     videos, completed, active               GET /v1/usage; active: SQL, nothing else tells
  claim, change                                     the audit of the database: see audit.py
  fault     name, target
  recovered name, ms
  sample    name, fds, rss, connections, dead_tuples..., phase (before or after)
"""
import collections
import json
import threading
import time

TERMINAL = ("completed", "failed", "canceled", "expired")


class History:
    def __init__(self, path=None):
        self.kinds, self.lock = collections.defaultdict(list), threading.Lock()
        self.file = open(path, "a", encoding="utf-8") if path else None

    def add(self, kind, **fields):
        record = {"kind": kind, "at": time.monotonic(), **fields}
        with self.lock:
            self.kinds[kind].append(record)
            if self.file:
                self.file.write(json.dumps(record, default=str) + "\n")
                self.file.flush()
        return record

    def of(self, kind):
        with self.lock:
            return list(self.kinds[kind])

    def count(self, kind):
        return len(self.kinds[kind])

    def drop(self, records):
        """As if they had never been written down."""
        gone = {id(one) for one in records}
        with self.lock:
            for kind, kept in self.kinds.items():
                self.kinds[kind] = [one for one in kept if id(one) not in gone]

    def close(self):
        if self.file:
            self.file.close()
            self.file = None


def accepted(history):
    """{video: the create that was accepted}, by what callers were told."""
    asked = {one["key"]: one for one in history.of("asked")}
    return {one["video"]: asked[one["key"]] for one in history.of("answered") if one["status"] == 200}


def ends(history):
    """{video: the first terminal record}."""
    first = {}
    for one in history.of("seen"):
        if one["status"] in TERMINAL:
            first.setdefault(one["video"], one)
    return first


# --- the invariants: each yields a sentence for each violation ---

def i1_one_end(history):
    """Each accepted job reaches exactly one terminal state."""
    states, last = collections.defaultdict(set), {}
    for one in history.of("seen"):
        last[one["video"]] = one["status"]
        if one["status"] in TERMINAL:
            states[one["video"]].add(one["status"])
    for video in accepted(history):
        if video not in states:
            yield f"{video} was accepted and never ended; last seen {last.get(video, 'never')}"
        elif len(states[video]) > 1:
            yield f"{video} ended as {sorted(states[video])}"


def i2_end_stays(history):
    """What is terminal never changes."""
    first = ends(history)
    for one in history.of("seen"):
        end = first.get(one["video"])
        if end and one["at"] > end["at"] and (one["status"], one["body"]) != (end["status"], end["body"]):
            yield f"{one['video']} changed after its end: {end['body']} became {one['body']}"
    for one in history.of("change"):
        if one["from"] >= 5 and one["to"] != one["from"]:
            yield f"generation {one['generation']} left the terminal state {one['from']} for {one['to']}"


def duplicate_submissions(history):
    """{(provider, prompt): jobs too many}."""
    made, wanted = collections.Counter(), {}
    for one in history.of("submitted"):
        made[one["provider"], one["prompt"]] += 1
    for one in history.of("asked"):
        wanted[one["prompt"]] = one["n"]
    return {which: count - wanted.get(which[1], 1) for which, count in made.items() if count > wanted.get(which[1], 1)}


def i3_one_submission(history):
    """At most one upstream job for each generation."""
    for (provider, prompt), more in duplicate_submissions(history).items():
        yield f"{provider} made {more} jobs too many of {prompt!r}"


def _by_video(history):
    grouped = collections.defaultdict(list)
    for one in history.of("callback"):
        grouped[one["video"]].append(one)
    return grouped


def i4_called_back(history):
    """A healthy receiver got at least one callback for each ended job, all with one id, one body and a right signature."""
    grouped, ended = _by_video(history), ends(history)
    for video, create in accepted(history).items():
        attempts = grouped[video]
        if create["callback"] and video in ended and not any(200 <= one["answered"] < 300 for one in attempts):
            yield f"{video} ended and nobody was told ({len(attempts)} attempts)"
        ids, bodies = {one["webhook_id"] for one in attempts}, {one["body"] for one in attempts}
        if len(ids) > 1:
            yield f"{video} was called back with the ids {sorted(ids, key=str)}"
        if len(bodies) > 1:
            yield f"{video} was called back with {len(bodies)} bodies"
        if not all(one["verified"] for one in attempts):
            yield f"{video} was called back with a wrong signature"


def i5_one_job_per_key(history):
    """The same idempotency key is the same job."""
    videos, keys = collections.defaultdict(set), collections.defaultdict(set)
    for one in history.of("answered"):
        if one["status"] == 200:
            videos[one["key"]].add(one["video"])
            keys[one["video"]].add(one["key"])
    for key, found in videos.items():
        if len(found) > 1:
            yield f"key {key} is the jobs {sorted(found)}"
    for video, found in keys.items():
        if len(found) > 1:
            yield f"job {video} answers for the keys {sorted(found)}"


def i6_billed_what_ended(history):
    """Usage says what ended, and nothing stays reserved."""
    told = history.of("usage")
    if not told:
        yield "usage was not looked at"
        return
    ended = ends(history)
    want = {"videos": len(ended), "completed": sum(one["status"] == "completed" for one in ended.values()), "active": 0}
    for name, count in want.items():
        if told[-1][name] != count:
            yield f"usage says {told[-1][name]} {name}, callers saw {count}"


def i7_no_stale_write(history):
    """What is written under a lease is written by the process that claimed it."""
    holder = {}
    for one in sorted(history.of("claim") + history.of("change"), key=lambda record: record["number"]):
        which = one["table"], one["generation"], one["seq"]
        if one["kind"] == "claim":
            if holder.setdefault(which, one["writer"]) != one["writer"]:
                yield f"lease {one['seq']} of {one['table']} {one['generation']} was claimed by {holder[which]} and {one['writer']}"
        elif one["leased"] and holder.get(which, one["writer"]) != one["writer"]:
            yield f"{one['writer']} wrote {one['table']} {one['generation']} under lease {one['seq']} of {holder[which]}"


def i8_recovered(history, bound_ms):
    """After each fault work goes on within the bound."""
    faults, back = history.of("fault"), history.of("recovered")
    for name, count in collections.Counter(one["name"] for one in faults).items():
        have = [one["ms"] for one in back if one["name"] == name]
        if len(have) < count:
            yield f"{count - len(have)} of {count} times work did not go on after {name}"
        for ms in have:
            if ms > bound_ms:
                yield f"work went on {ms:.0f} ms after {name}; the bound is {bound_ms:.0f} ms"


def i9_no_leak(history, fds=40, rss=64 << 20, connections=4):
    """Between the samples before and after nothing grew by more than these."""
    room = {"fds": fds, "rss": rss, "connections": connections, "temporary_files": 0}
    before = {one["name"]: one for one in history.of("sample") if one["phase"] == "before"}
    for one in history.of("sample"):
        start = before.get(one["name"])
        for name, most in room.items() if start and one["phase"] == "after" else ():
            grown = one.get(name, 0) - start.get(name, 0)
            if grown > most:
                yield f"{one['name']} has {grown} more {name} than before; {most} are no leak"


INVARIANTS = {"I1": i1_one_end, "I2": i2_end_stays, "I3": i3_one_submission, "I4": i4_called_back, "I5": i5_one_job_per_key,
              "I6": i6_billed_what_ended, "I7": i7_no_stale_write, "I8": i8_recovered, "I9": i9_no_leak}


def check(history, names=("I1", "I2", "I3", "I4", "I5", "I6", "I7"), **limits):
    """Every violation of these invariants; `limits`: I8={"bound_ms": ...}, I9={"fds": ...}."""
    found = []
    for name in names:
        found += [f"{name}: {sentence}" for sentence in INVARIANTS[name](history, **limits.get(name, {}))]
    return found


def percentile(values, part):
    values = sorted(values)
    return values[min(int(len(values) * part / 100), len(values) - 1)] if values else None


# Faults that crash PostgreSQL. Whatever else begins so is a SIGKILL of one of our programs, and nothing else is called so.
CRASHES = ("kill postgres", "immediate stop", "kill -9 of a backend", "kill -9 of the postmaster")


def figures(history):
    """What RESULTS.md shows of a run."""
    ok, ended, back = accepted(history), ends(history), [one["ms"] for one in history.of("recovered")]
    grouped = _by_video(history)
    good = {video: sum(200 <= one["answered"] < 300 for one in attempts) for video, attempts in grouped.items()}
    names = [one["name"] for one in history.of("fault")]
    told = {"jobs": len(ok), "faults": len(names), "kills": sum(name.startswith(("kill ", "crash of ")) and name not in CRASHES for name in names),
            "postgres_crashes": sum(name in CRASHES for name in names), "lost": len(set(ok) - set(ended)),
            "duplicate_submissions": sum(duplicate_submissions(history).values()), "callbacks": sum(1 for count in good.values() if count),
            "duplicate_callbacks": sum(max(count - 1, 0) for count in good.values())}
    told.update({f"ended_{state}": count for state, count in collections.Counter(one["status"] for one in ended.values()).items()})
    if back:
        told.update(recovery_p50_ms=round(percentile(back, 50)), recovery_p99_ms=round(percentile(back, 99)))
    return told
