#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bridge/api/openapi.json describes the rows of bridge/api/routes.c, all of them and nothing else, in this version.

usage: openapi_routes.py ROOT
"""
import json
import pathlib
import re
import sys

# Called by providers, at addresses that we give them.
NOT_FOR_CALLERS = {("post", "/v1/provider-events/{id}")}
METHODS = ("get", "post", "put", "patch", "delete")


def main() -> None:
    root = pathlib.Path(sys.argv[1])
    document = json.loads((root / "bridge/api/openapi.json").read_text(encoding="utf-8"))
    table = (root / "bridge/api/routes.c").read_text(encoding="utf-8")
    rows = re.findall(r'X\(\s*"([A-Z]+)",\s*(?:\\\s*)?"([^"]+)"', table)
    routed = {(method.lower(), path.replace("{id...}", "{id}")) for method, path in rows}
    if not NOT_FOR_CALLERS <= routed:
        sys.exit("NOT_FOR_CALLERS names a route that is not there")
    routed -= NOT_FOR_CALLERS
    described = {(method, path) for path, item in document["paths"].items() for method in item if method in METHODS}
    bad = [f"no description of {m.upper()} {p}" for m, p in sorted(routed - described)]
    bad += [f"no route for {m.upper()} {p}" for m, p in sorted(described - routed)]
    bad += [f"HEAD {p} without GET" for p, item in document["paths"].items() if "head" in item and "get" not in item]
    version = re.search(r"project\(videogate VERSION (\S+)", (root / "CMakeLists.txt").read_text(encoding="utf-8"))[1]
    if document["info"]["version"] != version:
        bad.append(f"the document says version {document['info']['version']}, CMakeLists.txt {version}")
    if not rows:
        bad.append("no row found in routes.c: has its form changed?")
    print("\n".join(bad) or f"{len(rows)} routes, each with its description")
    sys.exit(1 if bad else 0)


main()
