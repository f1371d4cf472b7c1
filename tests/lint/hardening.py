#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The programs of a build without sanitizers are hardened, as CMakeLists.txt asks for and the kernel will see it.

usage: hardening.py BIN...     BIN: a folder with videogate-* programs
"""
import pathlib
import re
import subprocess
import sys

PROGRAMS = ("videogate-bridge", "videogate-service", "videogate-worker", "videogate-webhook", "videogatectl")


def readelf(option, path):
    return subprocess.run(["readelf", "-W", option, path], check=True, capture_output=True, text=True).stdout


def faults(path):
    """What is wrong with this program, in words."""
    header, segments, dynamic, notes = (readelf(option, path) for option in ("-h", "-l", "-d", "-n"))
    symbols = readelf("--dyn-syms", path)
    stack = re.search(r"GNU_STACK.*", segments)
    if "Type:" not in header or "DYN" not in header:
        yield "is not position independent (-pie)"
    if "GNU_RELRO" not in segments:
        yield "leaves its relocations writable (-z relro)"
    if not re.search(r"BIND_NOW|Flags:.*\bNOW\b", dynamic):
        yield "resolves symbols lazily (-z now)"
    if not stack or re.search(r"\bRWE\b", stack.group()):
        yield "has an executable stack (-z noexecstack)"
    if re.search(r"LOAD.* RWE ", segments):
        yield "has memory that is writable and executable"
    if re.search(r"\((RPATH|RUNPATH)\)", dynamic):
        yield "looks for libraries where it was built (rpath)"
    if "__stack_chk_fail" not in symbols:
        yield "has no stack protector (-fstack-protector-strong)"
    if not re.search(r"__\w+_chk\b", symbols.replace("__stack_chk_fail", "")):
        yield "has no checked library calls (-D_FORTIFY_SOURCE)"
    if re.search(r"__asan_|__ubsan_|__tsan_", symbols):
        yield "is built with sanitizers: give a build without"
    if "X86-64" in header and not re.search(r"x86 feature:.*IBT.*SHSTK", notes) and not _has_landing_pads(path):
        yield "has no landing pads for indirect branches (-fcf-protection)"


def _has_landing_pads(path):
    """Libraries without the note take it from the whole program; ours still begin their functions with endbr64."""
    code = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "--disassemble=main", path], check=True, capture_output=True, text=True).stdout
    return "endbr64" in code


def main():
    bad = []
    seen = 0
    for folder in map(pathlib.Path, sys.argv[1:]):
        for name in PROGRAMS:
            if not (folder / name).exists():
                bad.append(f"{folder / name} is missing")
                continue
            seen += 1
            bad += [f"{folder / name} {what}" for what in faults(folder / name)]
    print("\n".join(bad) or f"{seen} programs are hardened")
    sys.exit(1 if bad or not seen else 0)


main()
