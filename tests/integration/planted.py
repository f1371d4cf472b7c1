# SPDX-License-Identifier: Apache-2.0
"""Secrets that a run has planted, and the search for them in the logs of everything that ran.

Stack, Beside (vg.py) and the tests note what they hand out or send: keys, secrets, prompts, idempotency keys, addresses with tokens.
conftest.py searches once, at the end of the session, with one grep -F over all logs.
"""
import pathlib
import re
import subprocess
import tempfile

SHORTEST = 12  # what is shorter stands in logs by chance
# The tests' own: the callback receiver, the simulators of providers, the sandbox's record of what it was asked for.
OWN = ("receiver.log", "simulators.log", "submissions.log", "initdb.log")
noted = {}


def note(kind, *texts):
    for text in texts:
        if isinstance(text, str) and len(text) >= SHORTEST and "\n" not in text:
            noted.setdefault(text, kind)


def note_request(path, body, headers):
    """What a request carries that no log may say."""
    for token in re.findall(r"[?&]token=([^&]+)", path):
        note("token of a link", token)
    for name, value in headers.items():
        if name.lower() == "authorization":
            note("credential", value.split(" ")[-1] if isinstance(value, str) else value)
        elif name.lower() in ("idempotency-key", "x-api-key"):
            note(name.lower(), value)
    if not isinstance(body, dict):
        return
    note("prompt", body.get("prompt"))
    note("callback secret", body.get("callback_secret"))
    pictures = body.get("input_reference")
    pictures = [one.get("image_url") for one in pictures if isinstance(one, dict)] if isinstance(pictures, list) else []
    for text in (body.get("callback_url"), body.get("image_url"), *pictures):
        if isinstance(text, str) and "?" in text:
            note("query of an address", text.split("?", 1)[1])


def found(folders):
    """(file, kind, text) of each planted secret in the logs under the folders."""
    logs = [str(log) for folder in folders for log in pathlib.Path(folder).rglob("*.log") if log.name not in OWN and log.is_file()]
    if not logs or not noted:
        return []
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as patterns:
        patterns.write("\n".join(noted) + "\n")
        patterns.flush()
        done = subprocess.run(["grep", "-aoFH", "-f", patterns.name, *logs], capture_output=True, text=True, errors="replace")
    assert done.returncode in (0, 1), done.stderr
    hits = {tuple(line.split(".log:", 1)) for line in done.stdout.splitlines()}
    return sorted((f"{file}.log", noted.get(text, "?"), text) for file, text in hits)


def cores(folders):
    return [str(core) for folder in folders for core in pathlib.Path(folder).rglob("core*") if re.fullmatch(r"core(\.\d+)?", core.name)]
