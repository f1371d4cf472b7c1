# SPDX-License-Identifier: Apache-2.0
"""F15: the same request many times at once, again later, in another order, and with another body."""
import concurrent.futures
import http.client

from history import accepted
from scenario import scenario
from world import JOBS, SECRET

ROW, TITLE, BOUND = "F15", "the same key", "1 job; 200 with one body or 409; another body 422"


def _post(world, key, fields):
    try:
        answer = world.http("POST", "/v1/videos", fields, headers={"idempotency-key": key}, timeout=60)
    except (OSError, http.client.HTTPException):
        world.history.add("answered", key=key, status=None, video=None)
        return None, None
    video = answer.json["id"] if answer.status == 200 else None
    world.history.add("answered", key=key, status=answer.status, video=video)
    return answer.status, video


@scenario(short=2, long=60, world={"providers": ("sandbox", "kling"), "services": 1})
def a_hundred_at_once(world, dice, rounds):
    """Every third round a process is killed among them; every round ends with a late repetition and one with another body."""
    counts = {"requests": 0, "answered_200": 0, "answered_409": 0, "answered_422": 0, "unanswered": 0}

    def count(status):
        counts["requests"] += 1
        name = "unanswered" if status is None or status >= 500 else f"answered_{status}"
        assert name in counts, f"a repetition was answered with {status}"
        counts[name] += 1

    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        for number in range(1, rounds + 1):
            keys = [f"{world.tag}-same-{number}-{one}" for one in range(2)]
            bodies = {}
            for key in keys:
                provider = dice.choice(world.providers)
                bodies[key] = {**JOBS[provider], "prompt": f"one of many, {key}", "callback_url": world.receiver_url(), "callback_secret": SECRET}
                world.history.add("asked", key=key, prompt=bodies[key]["prompt"], n=1, model=bodies[key]["model"], callback=True)
            order = keys * 50
            dice.shuffle(order)
            tries = [(key, pool.submit(_post, world, key, bodies[key])) for key in order]
            if number % 3 == 0:
                victim = dice.choice(("service", "bridge", "postgres"))
                world.kill(victim)
                world.recover("kill " + victim)
            for _, one in tries:
                count(one.result()[0])
            for key in keys:
                for _ in range(3):
                    status, video = _post(world, key, bodies[key])
                    count(status)
                    assert status == 200, f"a late repetition was answered with {status}"
                status, _ = _post(world, key, {**bodies[key], "prompt": "something else"})
                count(status)
                assert status == 422, f"the same key with another body was answered with {status}"
            assert len({video for video, create in accepted(world.history).items() if create["key"] in keys}) == 2
            world.progress(number)
    return world.check() | counts
