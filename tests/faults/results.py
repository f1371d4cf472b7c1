# SPDX-License-Identifier: Apache-2.0
"""Each run is one file in build/faults/; RESULTS.md is made of the longest run of each scenario, by nobody's hand."""
import datetime
import json
import pathlib
import subprocess

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
FOLDER = ROOT / "build/faults"
# Rows of reliability.md 5.2 that are not scenarios of this folder, and where they are tested instead.
ELSEWHERE = {
    "F9": "`tests/integration/test_provider_*.py` (119 cases for each provider, in every CI run)",
    "F10": "`tests/integration/test_provider_*.py` (lookup cases) and F1, which kills between submission and record",
    "F22": "`tests/simcore`",
}
ROWS = [f"F{number}" for number in range(1, 23)]


def commit():
    done = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=10"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def save(module, name, seed, rounds, seconds, figures, failure=None, left=None):
    FOLDER.mkdir(parents=True, exist_ok=True)
    told = {"row": module.ROW, "title": module.TITLE, "bound": module.BOUND, "file": module.__name__, "scenario": name, "seed": seed,
            "rounds": rounds, "seconds": round(seconds, 1), "commit": commit(), "date": datetime.date.today().isoformat(),
            "figures": figures, "failure": failure, "left": left}
    (FOLDER / f"{module.__name__}.{name}.{seed}.{rounds}.json").write_text(json.dumps(told, indent=1, default=str) + "\n")


def _order(row):
    return (0, int(row[1:]), "") if row[:1] == "F" and row[1:].isdigit() else (1, 0, row)


def _best():
    """{(file, scenario): the run shown}: the newest commit's longest that did not fail; else the failure itself."""
    best = {}
    for path in FOLDER.glob("*.json"):
        run = json.loads(path.read_text())
        which = run["file"], run["scenario"]
        rank = (run["failure"] is None and run["left"] is None, run["rounds"], path.stat().st_mtime)
        if which not in best or rank > best[which][0]:
            best[which] = (rank, run)
    return {which: run for which, (_, run) in best.items()}


def _shown(figures):
    return ", ".join(f"{name.replace('_', ' ')} {value:,}" if isinstance(value, int) else f"{name.replace('_', ' ')} {value}"
                     for name, value in figures.items())


def render(modules):
    runs, rows, totals = _best(), [], {}
    for module, functions in modules:
        for function in functions:
            name = function.__name__
            run = runs.get((module.__name__, name))
            if run is None:
                rows.append((module.ROW, f"| {module.ROW} | {module.TITLE}: {name.replace('_', ' ')} | {module.BOUND} | not run yet | | |"))
                continue
            told = _shown(run["figures"] or {}) if not run["failure"] else "FAILED: " + run["failure"].splitlines()[0]
            if run["left"]:
                told = "left out: " + run["left"]
            rows.append((module.ROW, f"| {module.ROW} | {module.TITLE}: {name.replace('_', ' ')} | {module.BOUND} | {told} | "
                                     f"{run['rounds']} rounds, {run['seconds']:.0f} s, seed {run['seed']} | {run['date']} {run['commit']} |"))
            for figure in ("jobs", "faults", "lost", "duplicate_submissions", "callbacks", "duplicate_callbacks"):
                totals[figure] = totals.get(figure, 0) + int((run["figures"] or {}).get(figure) or 0)
    have = {row for row, _ in rows}
    rows += [(row, f"| {row} | elsewhere | | {ELSEWHERE.get(row, 'no scenario yet')} | | |") for row in ROWS if row not in have]
    rows.sort(key=lambda one: _order(one[0]))
    text = ["# Results of the fault harness", "",
            "Written by `tests/run.sh faults` (`results.py`), never by hand: for each scenario its longest run. Rows are those of `reliability.md` 5.2.",
            "`tests/run.sh faults --only ROW --seed SEED --rounds ROUNDS` repeats one. Programs are built with address and undefined behaviour sanitizers,",
            "so times are three to five times those of a release.", "",
            "Together: " + (_shown(totals) or "nothing run yet") + ".", "",
            "| row | scenario | bound | figures | run | when, commit |", "|---|---|---|---|---|---|", *[line for _, line in rows], ""]
    (HERE / "RESULTS.md").write_text("\n".join(text))
