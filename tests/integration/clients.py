#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Which client got through which call: the tests record it, README.md shows it.

A test function with @pytest.mark.client("curl", "retrieve", ...) records by passing; scripts of Node clients report their
steps (run_node). conftest.py writes what a test module recorded to BUILD/clients/MODULE.json.

usage: clients.py BUILD [--write]    holds README.md's table against those files, or renews it
"""
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"(<!-- clients -->\n)(.*?)(<!-- /clients -->)", re.S)
COLUMNS = {
    "openai 6": "npm openai 6.49.0",
    "openai 7": "npm openai 7.57.0, Node 22",
    "python ≤ 2.26": "openai-python as written down: JSON creates",
    "python ≥ 2.27": "openai-python as written down: multipart creates",
    "AI SDK": "npm @llmgateway/ai-sdk-provider 4 with ai 7, Node 22",
    "curl": "Debian's curl",
    "grpcio": "python3-grpcio by reflection",
    "grpc-js": "npm @grpc/grpc-js by reflection",
    "standardwebhooks": "npm standardwebhooks 1.1.1",
    "svix": "npm svix 1.99.1",
}
ROWS = (
    "create, text", "create, defaults", "create, file", "create, streamed file", "create, picture by address", "create, first frame",
    "create, first and last frame", "create, reference pictures", "create, silent", "create, several", "create, `file_id`",
    "retrieve", "watch", "list, page by page", "cancel", "delete", "download", "download, range", "download, thumbnail",
    "download, spritesheet", "remix", "edit", "edit, file", "extend", "characters", "models", "failed video", "request id",
    "error 400", "error 401", "error 404", "error 409", "error 422", "error 429", "idempotency key", "retry makes no second video",
    "callback", "callback, whsec_ secret", "webhook endpoints", "webhook endpoint delivery", "webhook endpoint test, rotate, delete",
)

# What of the API may still answer 501 or UNIMPLEMENTED: the tests take that for these methods alone, and call it so.
NOT_YET = "not offered: not built yet"
LATER = ()

# Of this session: {module: {client: {row: "ok" | "not offered: why" | "failed: why"}}}
results = {}


def record(module: str, client: str, row: str, result: str) -> None:
    assert client in COLUMNS and row in ROWS, (client, row)
    rows = results.setdefault(module, {}).setdefault(client, {})
    if not rows.get(row, "ok").startswith("failed"):  # what failed once has failed
        rows[row] = result


def beside_packages(node_folder, folder) -> pathlib.Path:
    """A folder with our scripts and a node_modules for them."""
    here = pathlib.Path(folder) / "scripts"
    here.mkdir(exist_ok=True)
    modules = here / "node_modules"
    if not modules.exists():
        modules.symlink_to(pathlib.Path(node_folder) / "node_modules")
    for source in (ROOT / "tests/integration/node").glob("*.mjs"):
        (here / source.name).write_bytes(source.read_bytes())
    return here


def run_node(node_folder, folder, script: str, config: dict, node22: bool) -> dict:
    """Runs a script of steps; returns {step: result}."""
    here = beside_packages(node_folder, folder)
    node = str(here / "node_modules/node22/bin/node") if node22 else "node"
    done = subprocess.run([node, script, json.dumps({**config, "later": LATER})], cwd=here, text=True, capture_output=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout)


def save(build: pathlib.Path, whole: bool) -> None:
    """Unless the `whole` module ran, its other results of before stay."""
    folder = build / "clients"
    folder.mkdir(exist_ok=True)
    for module, found in results.items():
        path = folder / f"{module}.json"
        before = {} if whole or not path.exists() else json.loads(path.read_text(encoding="utf-8"))
        for client, rows in found.items():
            before[client] = {**before.get(client, {}), **rows}
        path.write_text(json.dumps(before, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(build: pathlib.Path) -> dict:
    merged = {}
    for path in sorted((build / "clients").glob("*.json")):
        for client, rows in json.loads(path.read_text(encoding="utf-8")).items():
            for row, result in rows.items():
                if not merged.setdefault(client, {}).get(row, "").startswith("failed"):
                    merged[client][row] = result
    return merged


def render(all_results: dict) -> str:
    columns = [c for c in COLUMNS if c in all_results]
    reasons = []

    def cell(result):
        if result is None or result == "ok":
            return result or ""
        word, why = result.split(": ", 1)
        if word != "not offered":
            return word
        if why not in reasons:
            reasons.append(why)
        return f"not offered [{reasons.index(why) + 1}]"

    lines = ["| | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for row in ROWS:
        cells = [cell(all_results[c].get(row)) for c in columns]
        if any(cells):
            lines.append(f"| {row} | " + " | ".join(cells) + " |")
    lines += ["", *(f"[{i}] {why}  " for i, why in enumerate(reasons, 1))]
    lines += ["", "Empty: the client has no such call, or nobody made it. Clients: " + "; ".join(f"*{c}* {COLUMNS[c]}" for c in columns) + "."]
    return "\n".join(lines) + "\n"


def keep_not_yet(found: dict, text: str) -> None:
    """What README.md calls not built yet may have been built since."""
    lines = BLOCK.search(text)[2].splitlines()
    notes = {line.split("]")[0].strip("["): line.split("] ")[1].strip() for line in lines if line.startswith("[")}
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    for row in table[2:]:
        for client, cell in zip(table[0][1:], row[1:]):
            note = re.search(r"\[(\d+)\]", cell)
            if note and "not offered: " + notes.get(note[1], "") == NOT_YET and row[0] in found.get(client, {}):
                found[client][row[0]] = NOT_YET


def main() -> None:
    readme, found = ROOT / "README.md", load(pathlib.Path(sys.argv[1]))
    missing = [client for client in COLUMNS if client not in found]
    if missing:
        sys.exit(f"no results of {', '.join(missing)}: run tests/run.sh integration first")
    text = readme.read_text(encoding="utf-8")
    if "--write" not in sys.argv:
        keep_not_yet(found, text)
    new = BLOCK.sub(lambda m: m[1] + render(found) + m[3], text)
    if "--write" in sys.argv:
        readme.write_text(new, encoding="utf-8")
    elif new != text:
        sys.exit(f"README.md's table of clients is not what the tests saw; renew it: tests/integration/clients.py {sys.argv[1]} --write")
    print(f"{len(found)} clients, {sum(map(len, found.values()))} results: README.md shows them")


if __name__ == "__main__":
    main()
