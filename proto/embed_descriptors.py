#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns a FileDescriptorSet into the C table of proto/descriptors.h.

usage: embed_descriptors.py DESCRIPTOR_SET OUTPUT.c
A FileDescriptorSet is `repeated FileDescriptorProto file = 1`; the few fields needed are read by hand, so that the
build needs no Python package.
"""
import sys


def fields(data):
    """Yields (number, value) of each field; length-delimited values as bytes, varints as int."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(data):
        key = varint()
        number, wire = key >> 3, key & 7
        if wire == 0:
            yield number, varint()
        elif wire == 2:
            size = varint()
            yield number, data[at : at + size]
            at += size
        elif wire in (1, 5):
            at += 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")


def first(data, number):
    return next((v for n, v in fields(data) if n == number), b"").decode()


def messages(data, scope):
    """Full names of a DescriptorProto, its nested messages (3) and enums (4)."""
    name = f"{scope}.{first(data, 1)}"
    yield name
    for number, value in fields(data):
        if number == 3:
            yield from messages(value, name)
        elif number == 4:
            yield f"{name}.{first(value, 1)}"


def symbols(file):
    package = first(file, 2)
    for number, value in fields(file):
        if number == 4:
            yield from messages(value, package)
        elif number == 5:
            yield f"{package}.{first(value, 1)}"
        elif number == 6:
            service = f"{package}.{first(value, 1)}"
            yield service
            yield from (f"{service}.{first(m, 1)}" for n, m in fields(value) if n == 2)


def main() -> None:
    with open(sys.argv[1], "rb") as source:
        files = [value for number, value in fields(source.read()) if number == 1]
    rows = []
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        out.write('#include "proto/descriptors.h"\n')
        for i, file in enumerate(files):
            quoted = lambda names: "".join(f'"{n}", ' for n in names) + "NULL"
            imports = [v.decode() for n, v in fields(file) if n == 3]
            out.write(f"static const char *const symbols_{i}[] = {{{quoted(symbols(file))}}};\n")
            out.write(f"static const char *const imports_{i}[] = {{{quoted(imports)}}};\n")
            out.write(f"static const uint8_t data_{i}[] = {{{','.join(map(str, file))}}};\n")
            rows.append(f'{{"{first(file, 1)}", symbols_{i}, imports_{i}, data_{i}, sizeof data_{i}}}')
        out.write(f"const struct vg_proto_file vg_proto_files[] = {{{','.join(rows)}}};\n")
        out.write(f"const size_t vg_proto_file_count = {len(files)};\n")


main()
