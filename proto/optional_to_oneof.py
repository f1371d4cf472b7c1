#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes copies of .proto files in which each `optional T f = N;` stands in `oneof opt_f { T f = N; }`.

usage: optional_to_oneof.py SOURCE_ROOT TARGET_ROOT FILE...
The wire format is the same; protoc-c 1.4.1 accepts only the second form.
"""
import pathlib
import re
import sys

OPTIONAL = re.compile(r"^(\s*)optional\s+([\w.]+)\s+(\w+)\s*=\s*(\d+)\s*;", re.M)


def main() -> None:
    source, target = map(pathlib.Path, sys.argv[1:3])
    for name in sys.argv[3:]:
        text = (source / name).read_text(encoding="utf-8")
        text = OPTIONAL.sub(r"\1oneof opt_\3 { \2 \3 = \4; }", text)
        out = target / name
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8")


main()
