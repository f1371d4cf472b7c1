#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""README.md's configuration tables are what the programs print.

usage: config.py ROOT BIN [--write]
Between `<!-- config:NAME -->` and `<!-- /config -->` stands what `NAME --config-markdown` prints.
"""
import pathlib
import re
import subprocess
import sys

PROGRAMS = ("videogate-bridge", "videogate-service", "videogate-worker", "videogate-webhook")


def main() -> None:
    root, bin_dir = map(pathlib.Path, sys.argv[1:3])
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    bad = []
    for name in PROGRAMS:
        table = subprocess.run([bin_dir / name, "--config-markdown"], check=True, capture_output=True, text=True).stdout
        block = re.compile(rf"(<!-- config:{name} -->\n)(.*?)(<!-- /config -->)", re.S)
        match = block.search(text)
        if not match:
            bad.append(f"README.md has no table for {name}")
        elif match.group(2).strip() != table.strip():
            bad.append(f"README.md's table for {name} is not what {name} --config-markdown prints")
            text = block.sub(lambda m: m.group(1) + table.strip() + "\n" + m.group(3), text)
    if "--write" in sys.argv and bad:
        readme.write_text(text, encoding="utf-8")
    print("\n".join(bad) or f"{len(PROGRAMS)} configuration tables match")
    sys.exit(1 if bad and "--write" not in sys.argv else 0)


main()
