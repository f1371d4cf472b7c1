#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what a file may include: the arrows between folders, the single home of each outside library, the SPDX line,
includes from the repository root, and the hard stop of 1,000 lines.

usage: arrows.py ROOT
"""
import pathlib
import re
import sys

# folder -> folders it may include (besides itself); "proto" is the generated code.
ARROWS = {
    "common": set(),
    "common/http": {"common"},
    "common/rpc": {"common", "proto"},
    "db": {"common"},
    "service": {"common", "common/rpc", "common/http", "db", "proto", "service/jobs"},
    "service/jobs": {"common", "common/rpc", "common/http", "db", "proto", "service"},
    "service/ctl": {"common", "common/rpc", "db", "proto"},
    "bridge": {"common", "common/rpc", "proto", "bridge/net", "bridge/http", "bridge/api"},
    "bridge/http": {"common"},
    "bridge/net": {"common", "bridge/http"},
    "bridge/api": {"common", "common/rpc", "proto", "bridge/http"},
    "workers": {"common", "common/rpc", "common/http", "proto", "workers/providers", "workers/providers/sandbox",
                "workers/upstream"},
    "workers/providers": {"common", "common/rpc", "common/http", "proto", "workers", "workers/upstream"},
    "workers/providers/sandbox": {"common", "proto", "workers"},
    "workers/upstream": {"common", "common/http", "proto", "workers"},
    "workers/webhook": {"common", "common/rpc", "common/http", "proto", "workers"},
}
# Where protobuf-c itself (not generated code) may be used is not limited: it is a data structure.

# outside header -> places (file or folder) that may include it
HOMES = {
    r"grpc/": ["common/rpc/"],
    r"curl/": ["common/http/"],
    r"uv\.h": ["common/loop.c"],
    r"cjson/": ["common/json.c", "common/json_form.c"],
    r"libpq": ["db/"],
    r"openssl/": ["common/crypto.c", "bridge/net/"],
    r"nghttp2/": ["bridge/http/"],
    r"llhttp\.h": ["bridge/http/", "common/monitor.c"],
    # The sandbox renders clips; the service makes pictures of what any provider made.
    r"lib(av|sw)\w+/": ["workers/", "service/variant_media.c", "service/variant_probe.c",
                         "service/variant_reader.c"],
    r"(ft2build\.h|freetype)": ["workers/"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)
SOURCES = ("common", "db", "service", "bridge", "workers", "tests", "proto")


def folder_of(path: str) -> str:
    parts = path.split("/")[:-1]
    while parts and "/".join(parts) not in ARROWS:
        parts.pop()
    return "/".join(parts)


def check(root: pathlib.Path, path: pathlib.Path) -> list:
    name = path.relative_to(root).as_posix()
    text = path.read_text(encoding="utf-8")
    found = []
    if "SPDX-License-Identifier: Apache-2.0" not in text[:200]:
        found.append(f"{name}:1: no SPDX line")
    if text.count("\n") > 1000:
        found.append(f"{name}: {text.count(chr(10))} lines; split it")
    folder = folder_of(name)
    for match in INCLUDE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        quote, header = match.groups()
        if quote == "<":
            for pattern, homes in HOMES.items():
                if re.match(pattern, header) and not name.startswith("tests/") and not name.startswith(tuple(homes)):
                    found.append(f"{name}:{line}: <{header}> belongs to {', '.join(homes)}")
            continue
        if header.endswith(".pb-c.h"):
            target = "proto"
        elif (root / header).exists():
            target = "proto" if header.startswith("proto/") else folder_of(header)
        else:
            found.append(f'{name}:{line}: "{header}" is not a path from the repository root')
            continue
        if name.startswith("tests/") or not folder:
            continue
        if target not in ARROWS[folder] | {folder}:
            found.append(f"{name}:{line}: {folder} may not include {header}")
    return found


def main() -> None:
    root = pathlib.Path(sys.argv[1]).resolve()
    files = [p for s in SOURCES for p in sorted((root / s).rglob("*.[ch]"))]
    found = [line for p in files for line in check(root, p)]
    print("\n".join(found) or f"{len(files)} files: every include follows the arrows")
    sys.exit(1 if found else 0)


main()
