# SPDX-License-Identifier: Apache-2.0
"""Each run is one file in build/faults/; RESULTS.md is made of the longest run of each scenario, by nobody's hand. Its ledger has every run that
ended well, also those of other checkouts, whose files are not here: lines are added, none goes."""
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
    # The commit: a run that is repeated after a mending does not take the place of the one that failed.
    (FOLDER / f"{module.__name__}.{name}.{seed}.{rounds}.{told['commit']}.json").write_text(json.dumps(told, indent=1, default=str) + "\n")


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
                     for name, value in figures.items() if name != "table")


def _kept():
    """{(row, scenario's cell): line} of RESULTS.md as it stands: runs of other checkouts, whose files are not here."""
    path = HERE / "RESULTS.md"
    lines = path.read_text().splitlines() if path.exists() else []
    return {tuple(cell.strip() for cell in line.split("|")[1:3]): line for line in lines if line.startswith("| ") and "seed" in line}


def _line(module, name, run):
    cell = f"{module.TITLE}: {name.replace('_', ' ')}"
    if run is None:
        return _kept().get((module.ROW, cell)) or f"| {module.ROW} | {cell} | {module.BOUND} | not run yet | | |"
    told = "FAILED: " + run["failure"].splitlines()[0] if run["failure"] else _shown(run["figures"] or {})
    if run["left"]:
        told = "left out: " + run["left"]
    return (f"| {module.ROW} | {cell} | {module.BOUND} | {told.replace('|', '/')} | {run['rounds']} rounds, {run['seconds']:.0f} s, seed {run['seed']} | "
            f"{run['date']} {run['commit']} |")


LEDGER = "## Every run that ended well"
COUNTED = ("jobs", "kills", "postgres_crashes", "faults", "lost", "duplicate_submissions", "callbacks", "duplicate_callbacks")


def _ledger():
    """{(scenario, rounds and seed, commit): what it counted}; "-" where a run did not count it."""
    path, told = HERE / "RESULTS.md", {}
    text = path.read_text() if path.exists() else ""
    for line in text.partition(LEDGER)[2].partition("\n## ")[0].splitlines():
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        if len(cells) == 3 + len(COUNTED) and "seed" in cells[1]:
            told[tuple(cells[:3])] = cells[3:]
    for one in FOLDER.glob("*.json"):
        run = json.loads(one.read_text())
        figures = run["figures"] or {}
        # Rows that a bench puts through the queue alone are no jobs: nobody was called back.
        if not run["failure"] and not run["left"] and figures.get("jobs") and "callbacks" in figures:
            which = f"{run['row']} {run['scenario'].replace('_', ' ')}", f"{run['rounds']} rounds, seed {run['seed']}", run["commit"]
            told[which] = [f"{figures[name]:,}" if name in figures else "-" for name in COUNTED]
    return told


def _total(ledger):
    sums = {name: sum(int(cells[at].replace(",", "")) for cells in ledger.values() if cells[at] != "-") for at, name in enumerate(COUNTED)}
    return _shown({"runs": len(ledger)} | sums)


def _ledger_lines(ledger):
    head = ("scenario", "run", "commit", *(name.replace("_", " ") for name in COUNTED))
    return [LEDGER, "", "That made jobs, and whose invariants held. Older runs did not count kills and crashes apart from other faults.", "",
            "| " + " | ".join(head) + " |", "|" + "---|" * len(head),
            *["| " + " | ".join((*which, *cells)) + " |" for which, cells in sorted(ledger.items())], ""]


def _tables(runs):
    """Figures that are a table of their own: {"table": [{column: value, ...}, ...]}."""
    lines = []
    for run in runs:
        rows = (run["figures"] or {}).get("table")
        if rows:
            lines += [f"## {run['title']}", "", f"`{run['scenario']}`, {run['rounds']} rounds, {run['date']}, {run['commit']}", "",
                      "| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0]), *["| " + " | ".join(map(str, row.values())) + " |" for row in rows], ""]
    return lines


def _failed():
    """Every run that failed, here or in RESULTS.md as it stands: a list that only grows."""
    path = HERE / "RESULTS.md"
    lines = {line for line in (path.read_text().splitlines() if path.exists() else []) if line.startswith("* ")}
    for one in FOLDER.glob("*.json"):
        run = json.loads(one.read_text())
        if run["failure"]:
            said = " ".join(run["failure"].split())[:240]
            lines.add(f"* {run['row']} {run['scenario'].replace('_', ' ')}, {run['rounds']} rounds, seed {run['seed']}, {run['commit']}: {said}")
    return sorted(lines)


def render(modules):
    runs, rows = _best(), []
    for module, functions in modules:
        rows += [(module.ROW, _line(module, one.__name__, runs.get((module.__name__, one.__name__)))) for one in functions]
    have = {row for row, _ in rows}
    rows += [(row, f"| {row} | elsewhere | | {ELSEWHERE.get(row, 'no scenario yet')} | | |") for row in ROWS if row not in have]
    rows.sort(key=lambda one: _order(one[0]))
    ledger = _ledger()
    text = ["# Results of the fault harness", "",
            "Written by `tests/run.sh faults` (`results.py`), never by hand: for each scenario its longest run that went well. Rows are those of `reliability.md` 5.2.",
            "`tests/run.sh faults --only ROW --seed SEED --rounds ROUNDS` repeats one. Programs are built with address and undefined behaviour sanitizers,",
            "so times are three to five times those of a release; F1's campaign, F11, F17, F18, the attacks and the soak ran on release builds.", "",
            f"Together, over every run that ended well (listed below): {_total(ledger)}.", "",
            "| row | scenario | bound | figures | run | when, commit |", "|---|---|---|---|---|---|", *[line for _, line in rows], "",
            *_tables(run for _, run in sorted(runs.items())), *_ledger_lines(ledger), "## Runs that failed", "",
            "By the product, by a scenario, or by a machine too busy for its patience. What was mended is in the commits; where the row above has a run that went",
            "well, it came later or was shorter.", "", *(_failed() or ["None."]), ""]
    (HERE / "RESULTS.md").write_text("\n".join(text))
