#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs a program under the seccomp filters that systemd would make of a unit's lines, where no systemd runs.

usage: seccomp_run.py HARDENING.CONF PROGRAM [ARGUMENT...]
SystemCallFilter (sets as `systemd-analyze syscall-filter` lists them), RestrictAddressFamilies, MemoryDenyWriteExecute, RestrictNamespaces; a call that
is not allowed fails with EPERM, as SystemCallErrorNumber says.
"""
import ctypes
import errno
import os
import socket
import subprocess
import sys

import seccomp

PROT_WRITE, PROT_EXEC = 2, 4
CLONE_NEW = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)


def read_unit(path):
    """{key: [values]} of the lines that are not comments."""
    found = {}
    with open(path, encoding="utf-8") as file:
        for line in file:
            if "=" in line and line[0] not in "#;[":
                key, _, value = line.strip().partition("=")
                found.setdefault(key, []).append(value)
    return found


def sets():
    """{"@set": what stands in it}."""
    text = subprocess.run(["systemd-analyze", "--no-pager", "syscall-filter"], check=True, capture_output=True, text=True).stdout
    found, name = {}, None
    for line in text.splitlines():
        word = line.split("#")[0].strip().split(" ")[0]
        if line.startswith("@"):
            name = word
            found[name] = []
        elif word and line.startswith(" ") and name:
            found[name].append(word)
    return found


def expand(word, known):
    if not word.startswith("@"):
        return {word}
    return {call for one in known[word] for call in expand(one, known)}


def allowed(unit):
    """The calls that SystemCallFilter leaves: the first line allows, those with ~ take away."""
    known, calls = sets(), set()
    for line in unit["SystemCallFilter"]:
        some = {call for word in line.lstrip("~").split() for call in expand(word, known)}
        calls = calls - some if line.startswith("~") else calls | some
    return calls | expand("@default", known)


def load(unit):
    rules = seccomp.SyscallFilter(defaction=seccomp.ERRNO(errno.EPERM))
    calls = allowed(unit)
    own = {"socket", "mmap", "mprotect", "pkey_mprotect", "shmat", "clone", "clone3", "unshare", "setns"} & calls
    for call in sorted(calls - own - {"execve"}):
        try:
            rules.add_rule(seccomp.ALLOW, call)
        except (ValueError, RuntimeError):
            pass  # of another architecture
    rules.add_rule(seccomp.ALLOW, "execve")
    for family in unit["RestrictAddressFamilies"][0].split():
        rules.add_rule(seccomp.ALLOW, "socket", seccomp.Arg(0, seccomp.EQ, getattr(socket, family)))
    assert unit["MemoryDenyWriteExecute"] == ["yes"] and unit["RestrictNamespaces"] == ["yes"]
    for protection in range(8):
        if protection & (PROT_WRITE | PROT_EXEC) != PROT_WRITE | PROT_EXEC:
            rules.add_rule(seccomp.ALLOW, "mmap", seccomp.Arg(2, seccomp.EQ, protection))
    rules.add_rule(seccomp.ALLOW, "mprotect", seccomp.Arg(2, seccomp.MASKED_EQ, PROT_EXEC, 0))
    rules.add_rule(seccomp.ALLOW, "clone", seccomp.Arg(0, seccomp.MASKED_EQ, sum(CLONE_NEW), 0))
    rules.add_rule(seccomp.ERRNO(errno.ENOSYS), "clone3")  # its flags lie in memory; the C library then takes clone, as under systemd
    rules.load()


def main():
    unit, program = read_unit(sys.argv[1]), sys.argv[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0  # PR_SET_NO_NEW_PRIVS
    load(unit)
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
