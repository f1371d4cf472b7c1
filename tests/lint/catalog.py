#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The shipped catalog is as its schema says, and says of each model and route where and when that was read.

usage: catalog.py ROOT NODE_MODULES
"""
import json
import pathlib
import subprocess
import sys


def undated(catalog) -> list:
    found = []
    for model in catalog["models"]:
        for where, row in [(model["name"], model)] + [(f"{model['name']} at {r['provider']}", r) for r in model["routes"]]:
            found += [f"{where}: no {key}" for key in ("source", "checked") if key not in row]
            if row.get("status") == "closed" and "closed_on" not in row and "comment" not in row:
                found.append(f"{where}: closed, but neither since when nor a comment why")
    return found


def main() -> None:
    root, modules = pathlib.Path(sys.argv[1]), sys.argv[2]
    file = root / "service/catalog.json"
    schema = subprocess.run(["node", root / "tests/lint/catalog.mjs", modules, root / "service/catalog.schema.json", file],
                            stdout=subprocess.PIPE, text=True)
    found = [] if schema.returncode == 0 else [schema.stdout.strip() or "catalog.mjs failed"]
    catalog = json.loads(file.read_text())
    found += undated(catalog)
    print("\n".join(found) or f"{len(catalog['models'])} models: as the schema says, each with source and date")
    sys.exit(1 if found else 0)


main()
