# SPDX-License-Identifier: Apache-2.0
"""F10: the answer to a submission is lost, or the submission itself hangs somewhere for longer than anybody waits."""
import collections
import re
import time

from history import ends
from scenario import scenario
from vg import wait_for

ROW, TITLE, BOUND = "F10", "a submission's answer is lost", "never two upstream jobs for one generation; what nobody can tell ends as submission_unknown"
CERTAIN = ("kling", "bytedance")  # find a submission by something of ours


def _ends(world, made):
    """{provider: {outcome: count}}, for the figures."""
    found = collections.defaultdict(collections.Counter)
    for video, provider in made.items():
        status = world.wait(video, patience=900)
        code = (status.get("error") or {}).get("code")
        found[provider][code or status["status"]] += 1
    return {provider: dict(counts) for provider, counts in found.items()}


@scenario(short=2, long=40, world={"providers": (*CERTAIN, "openai", "xai"), "env": {"VIDEOGATE_BREAKER_FAILURES": "0"}})
def answer_cut(world, dice, rounds):
    """The upstream makes the job, and the connection ends before the answer."""
    made = {}
    for number in range(1, rounds + 1):
        for provider in world.providers:
            world.sims[provider].script(fault="reset_after", kind="submit")
            made[world.job(provider)] = provider
            world.fault("answer cut", target=provider)
        world.progress(number)
    told = _ends(world, made)
    for provider in CERTAIN:
        assert told[provider] == {"completed": rounds}, f"{provider} has Lookup: {told[provider]}"
    return world.check() | {f"ended at {provider}": counts for provider, counts in told.items()}


@scenario(short=1, long=2, ci=False, world={"providers": (*CERTAIN, "openai"), "services": 2})
def stopped_worker(world, dice, rounds):
    """A worker is stopped with submissions in its socket, and whoever sent them dies. Others look the jobs up, find nothing, and submit
    again; the worker goes on at any time in between. Minutes: "absent" waits until the lost submission is over."""
    made, late = {}, 0
    for number in range(1, rounds + 1):
        for provider in world.providers:
            world.processes[world.worker_name(provider)].freeze()
            world.fault("worker stopped", target=provider)
        for _ in range(4):
            made |= {world.job(provider): provider for provider in world.providers}
        wait_for(lambda: world.sql("SELECT count(*) FROM generations WHERE state = 2")[0][0] >= 1, "a submission under way", pause=0.05)
        time.sleep(1)
        for name in world.service_names():
            world.kill(name)
        world.start_all()
        time.sleep(dice.choice((0, 5, 20)))  # before, at and after the time until which a worker may begin (11.5 s)
        for provider in world.providers:
            world.processes[world.worker_name(provider)].thaw()
        world.progress(number)
        told = _ends(world, made)
    for provider in world.providers:
        late += len(re.findall("after its time", world.log(world.worker_name(provider))))
    return world.check() | {"refused as too late": late} | {f"ended at {provider}": counts for provider, counts in told.items()}
