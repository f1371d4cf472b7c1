# SPDX-License-Identifier: Apache-2.0
"""GET /v1/videos: edges of a page, and walks through pages while videos come, end and go.

VG_LIST_WALKS=2000 makes more walks; VG_LIST_SEED repeats the random choices.
"""
import os
import random
import threading
import time

import pytest
from vg import query

WALKS = int(os.environ.get("VG_LIST_WALKS", 240))
SEED = int(os.environ.get("VG_LIST_SEED", random.randrange(1 << 32)))
WALKERS, CHANGERS = 4, 3


def page(stack, key, expect=200, **fields):
    answer = stack.http("GET", "/v1/videos" + (f"?{query(**fields)}" if fields else ""), key=key)
    assert answer.status == expect, (fields, answer.status, answer.body)
    return answer if expect != 200 else answer.json


def ids(listed):
    return [video["id"] for video in listed["data"]]


def check_page(listed, limit, ascending, after=None):
    got = ids(listed)
    assert set(listed) == {"object", "data", "first_id", "last_id", "has_more"} and listed["object"] == "list"
    assert len(got) <= limit and got == sorted(set(got), reverse=not ascending)
    assert (listed["first_id"], listed["last_id"]) == ((got[0], got[-1]) if got else (None, None))
    assert len(got) == limit or not listed["has_more"], "a page with more behind it is full"
    assert not after or all((one > after) == ascending for one in got)
    return got


@pytest.fixture(scope="module")
def ladder(stack):
    """Twenty-five videos of a project of their own, oldest first."""
    key = stack.new_key("list-ladder")["secret"]
    return key, [stack.create(key=key, model="sandbox-never")["id"] for _ in range(25)]


def test_nothing_there(stack):
    key = stack.new_key("list-empty")["secret"]
    assert page(stack, key) == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}
    assert page(stack, key, order="asc", limit=100)["data"] == []


@pytest.mark.parametrize("limit,count,more", [(None, 20, True), (0, 20, True), (1, 1, True), (24, 24, True), (25, 25, False), (26, 25, False), (100, 25, False)])
@pytest.mark.parametrize("order", [None, "desc", "asc"])
def test_limits_and_order(stack, ladder, limit, count, more, order):
    key, made = ladder
    fields = {name: value for name, value in (("limit", limit), ("order", order)) if value is not None}
    listed = page(stack, key, **fields)
    expected = made if order == "asc" else made[::-1]
    assert check_page(listed, count, order == "asc") == expected[:count] and listed["has_more"] is more


def test_after(stack, ladder):
    key, made = ladder
    assert ids(page(stack, key, after=made[10], limit=3)) == made[9:6:-1]
    assert ids(page(stack, key, after=made[10], limit=3, order="asc")) == made[11:14]
    for after, order in ((made[0], "desc"), (made[-1], "asc")):
        last = page(stack, key, after=after, order=order)
        assert last["data"] == [] and last["has_more"] is False and last["first_id"] is None
    # The page that ends exactly at the end says so.
    assert page(stack, key, after=made[5], limit=5)["has_more"] is False


@pytest.mark.parametrize("fields,status,param", [
    ({"limit": "101"}, 400, "limit"), ({"limit": "-1"}, 400, "limit"), ({"limit": "ten"}, 400, "limit"), ({"limit": ""}, 400, "limit"),
    ({"limit": "1.0"}, 400, "limit"), ({"limit": "99999999999999999999"}, 400, "limit"), ({"order": "up"}, 400, "order"),
    ({"order": "ASC"}, 400, "order"), ({"after": "video_1"}, 404, "after"), ({"after": "x' OR 1=1 --"}, 404, "after"),
    ({"after": "video_" + "0" * 32}, 404, "after"), ({"after": "video_ffffffffffff7fffbfffffffffffffff"}, 404, "after"),
    ({"after": "a" * 300}, 400, "after"),
])
def test_refusals(stack, ladder, fields, status, param):
    answer = page(stack, ladder[0], expect=status, **fields)
    assert answer.error["param"] == param and answer.error["type"] == "invalid_request_error"


def test_places_of_other_projects_show_nothing_of_them(stack, ladder):
    """An id is a place in time, whosever it is: only the caller's own videos are shown."""
    key, made = ladder
    other = stack.new_key("list-other")["secret"]
    theirs = stack.create(key=other, model="sandbox-never")["id"]
    assert ids(page(stack, key, after=theirs, limit=2)) == made[:-3:-1]
    assert page(stack, other, after=made[0], order="asc")["data"][0]["id"] == theirs


def test_goes_on_behind_a_deleted_video(stack):
    key = stack.new_key("list-deleted")["secret"]
    made = [stack.create(key=key, model="sandbox-never")["id"] for _ in range(5)]
    stack.http("POST", f"/v1/videos/{made[2]}/cancel", key=key)
    first = page(stack, key, limit=3)
    assert first["last_id"] == made[2]
    end = time.monotonic() + 60
    while stack.http("DELETE", f"/v1/videos/{made[2]}", key=key).status != 200:
        assert time.monotonic() < end
    assert stack.sql("SELECT count(*) FROM videos WHERE id = %s", made[2]) == [(0,)], "not even the row is left"
    assert ids(page(stack, key, after=made[2], limit=3)) == [made[1], made[0]]
    assert ids(page(stack, key, after=made[2], limit=3, order="asc")) == made[3:]


class Crowd:
    """Videos of one project that come, end and go, and what is certain about them."""

    def __init__(self, stack, key):
        self.stack, self.key, self.lock = stack, key, threading.Lock()
        self.there, self.going, self.gone = [], set(), set()
        self.over = threading.Event()
        self.failures = []

    def create(self, dice):
        model = "sandbox-instant" if dice.random() < 0.1 else "sandbox-never"
        made = self.stack.create(key=self.key, model=model)["id"]
        with self.lock:
            self.there.append(made)

    def end_and_delete(self, dice):
        with self.lock:
            if not self.there:
                return
            one = dice.choice(self.there)
            if one in self.going:
                return
            self.going.add(one)
        self.stack.http("POST", f"/v1/videos/{one}/cancel", key=self.key)
        answer = self.stack.http("DELETE", f"/v1/videos/{one}", key=self.key)
        assert answer.status in (200, 409), answer.body
        with self.lock:
            if answer.status == 200:
                self.there.remove(one)
                self.gone.add(one)
            else:
                self.going.discard(one)  # still running: it stays for now

    def change(self, seed):
        dice = random.Random(seed)
        while not self.over.is_set():
            with self.lock:
                many = len(self.there)
            if dice.random() < (0.75 if many < 100 else 0.35):
                self.create(dice)
            else:
                self.end_and_delete(dice)

    def walk(self, dice):
        """One walk through all pages; returns how many pages it took."""
        ascending = dice.random() < 0.5
        with self.lock:
            before, gone_before = set(self.there), set(self.gone)
        seen, after, pages = [], None, 0
        while True:
            limit = dice.choice((0, 1, 2, 3, 7, 20, 50, 100)) if dice.random() < 0.8 else dice.randint(1, 100)
            if limit == 1 and dice.random() < 0.9:
                limit = 10
            fields = {"limit": limit, "order": "asc" if ascending else "desc", **({"after": after} if after else {})}
            listed = page(self.stack, self.key, **fields)
            seen += check_page(listed, limit or 20, ascending, after)
            pages += 1
            if not listed["has_more"]:
                break
            after = listed["last_id"]
        with self.lock:
            stayed = before - self.gone - self.going
        assert len(seen) == len(set(seen)), f"repeated: {sorted(one for one in seen if seen.count(one) > 1)}"
        assert stayed <= set(seen), f"skipped: {sorted(stayed - set(seen))}"
        assert not gone_before & set(seen), f"deleted before: {sorted(gone_before & set(seen))}"
        return pages

    def guard(self, work, *args):
        try:
            work(*args)
        except BaseException as failure:
            self.failures.append(failure)
            self.over.set()


def test_walks_among_changes(stack):
    print(f"VG_LIST_SEED={SEED}")
    key = stack.new_key("list-crowd")["secret"]
    crowd = Crowd(stack, key)
    dice = random.Random(SEED)
    for _ in range(60):
        crowd.create(dice)
    pages = []

    def walks(seed, count):
        own = random.Random(seed)
        for _ in range(count):
            if not crowd.over.is_set():
                pages.append(crowd.walk(own))

    changers = [threading.Thread(target=crowd.guard, args=(crowd.change, SEED + n)) for n in range(CHANGERS)]
    walkers = [threading.Thread(target=crowd.guard, args=(walks, SEED - 1 - n, WALKS // WALKERS)) for n in range(WALKERS)]
    for thread in changers + walkers:
        thread.start()
    for thread in walkers:
        thread.join()
    crowd.over.set()
    for thread in changers:
        thread.join()
    if crowd.failures:
        raise crowd.failures[0]
    assert len(pages) == WALKS // WALKERS * WALKERS >= 200 and max(pages) > 3
    assert len(crowd.gone) > 20, "enough went while others walked"
