#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# clang-tidy on every source of ours that the build compiles. usage: tidy.sh ROOT BUILD
set -euo pipefail
cd "$1"
/usr/bin/python3 - "$2" "$1" <<'E2' >"$2/tidy.list"
import json, sys
build, root = sys.argv[1:3]
folders = tuple(f"{root}/{name}/" for name in ("common", "db", "service", "bridge", "workers"))
for entry in json.load(open(f"{build}/compile_commands.json")):
    if entry["file"].startswith(folders):
        print(entry["file"])
E2
sort -u "$2/tidy.list" | xargs -P "$(nproc)" -n 4 clang-tidy -p "$2" --quiet
echo "clang-tidy: $(sort -u "$2/tidy.list" | wc -l) files clean"
