# SPDX-License-Identifier: Apache-2.0
"""Bodies as tables of strict rules. A table says what each member may be; each check has a name, is counted (rule_count) and tells
what broke it (Broken), which each simulator turns into its vendor's own error.

    CREATE = rules.obj({"prompt": rules.text(1, 4096, required=True), "seconds": rules.one_of("4", "8", default="4")},
                       rules.Rule("hd_is_8", lambda b: b["size"] != HD or b["seconds"] == "8", "seconds", "1080p needs 8 seconds"))
    body = CREATE.check(request.json())       # raises Broken; members left out have their defaults
"""
import re

from simulators import media, wire


class Broken(Exception):
    """A rule was broken. `kind`: unknown, required, type, enum, range, length, format, or rule (of several members)."""

    def __init__(self, kind, path, detail, rule=None, value=None):
        super().__init__(f"{path}: {detail}")
        self.kind, self.path, self.detail, self.value = kind, path, detail, value
        self.rule = rule or re.sub(r"\[\d+\]", "[]", f"{path}.{kind}")


class Rule:
    """A check of several members: `holds(body)` or `detail` is told at `path`."""

    def __init__(self, name, holds, path, detail):
        self.name, self.holds, self.path, self.detail = name, holds, path, detail


class Field:
    """What a member may be. `null`: null stands for leaving it out."""

    def __init__(self, types, required=False, default=None, null=False, **limits):
        self.types, self.required, self.default, self.null, self.limits = types, required, default, null, limits

    def names(self, path):
        """Names of the checks."""
        kinds = {"values": "enum", "low": "range", "high": "range", "shortest": "length", "longest": "length", "pattern": "format",
                 "look": "format"}
        found = {kinds[limit] for limit, value in self.limits.items() if value is not None} | {"type"}
        return {f"{path}.{kind}" for kind in found | ({"required"} if self.required else set())}

    def check(self, value, path):
        if not isinstance(value, self.types) or (isinstance(value, bool) and bool not in self.types):
            raise Broken("type", path, f"{type(value).__name__} is not one of {[t.__name__ for t in self.types]}", value=value)
        limit = self.limits.get
        if limit("values") is not None and value not in limit("values"):
            raise Broken("enum", path, f"{value!r} is not one of {list(limit('values'))}", value=value)
        if limit("low") is not None and value < limit("low") or limit("high") is not None and value > limit("high"):
            raise Broken("range", path, f"{value} is not in {limit('low')} to {limit('high')}", value=value)
        if limit("shortest") is not None and len(value) < limit("shortest") or limit("longest") is not None and len(value) > limit("longest"):
            raise Broken("length", path, f"length {len(value)} is not in {limit('shortest')} to {limit('longest')}", value=value)
        if limit("pattern") and not re.fullmatch(limit("pattern"), value):
            raise Broken("format", path, f"does not look like {limit('pattern')}", value=value)
        return value


def text(shortest=None, longest=None, pattern=None, **more):
    return Field((str,), shortest=shortest, longest=longest, pattern=pattern, **more)


def integer(low=None, high=None, values=None, **more):
    return Field((int,), low=low, high=high, values=values, **more)


def number(low=None, high=None, **more):
    return Field((int, float), low=low, high=high, **more)


def boolean(**more):
    return Field((bool,), **more)


def one_of(*values, **more):
    """One of the values, and of their types."""
    return Field(tuple({type(value) for value in values}), values=values, **more)


def url(schemes="https?", **more):
    return Field((str,), pattern=rf"(?:{schemes})://[^\s/]+(?:/\S*)?", longest=2048, **more)


def anything(**more):
    return Field((str, int, float, bool, dict, list), **more)


class Picture(Field):
    """A picture as text: plain base64, a data: URL or an https address, as `forms` allows; the bytes must be what they say."""

    def __init__(self, forms=("data", "url"), types=("png", "jpeg", "webp"), **more):
        super().__init__((str,), look=True, **more)
        self.forms, self.kinds = forms, types

    def check(self, value, path):
        super().check(value, path)
        if "url" in self.forms and re.fullmatch(r"https?://[^\s/]+/\S*", value[:4096]):
            return value
        told, data = None, None
        if "data" in self.forms:
            told, data = wire.decode_data_url(value) or (None, None)
        if data is None and "base64" in self.forms:
            data = wire.decode_base64(value)
        kind = media.picture_kind(data) if data else None
        if kind not in self.kinds or told not in (None, f"image/{kind}"):
            raise Broken("format", path, f"not a picture ({'/'.join(self.kinds)}) as {' or '.join(self.forms)}", value=value[:80])
        return value


class Array(Field):
    def __init__(self, item, shortest=None, longest=None, **more):
        super().__init__((list,), shortest=shortest, longest=longest, **more)
        self.item = item

    def names(self, path):
        return super().names(path) | self.item.names(path + "[]")

    def check(self, value, path):
        super().check(value, path)
        return [self.item.check(one, f"{path}[{i}]") for i, one in enumerate(value)]


class Object(Field):
    """An object with these members and no others; `open` lets unknown ones pass."""

    def __init__(self, members, *rules, open=False, **more):
        super().__init__((dict,), **more)
        self.members, self.rules, self.open = members, rules, open

    def names(self, path="body"):
        found = super().names(path) | {f"{path}.{rule.name}" for rule in self.rules} | (set() if self.open else {f"{path}.unknown"})
        return found.union(*(field.names(f"{path}.{name}") for name, field in self.members.items()))

    def check(self, value, path="body"):
        super().check(value, path)
        out = {}
        for name in value:
            if name in self.members:
                continue
            if not self.open:
                raise Broken("unknown", f"{path}.{name}", f"unknown member {name!r}", rule=f"{path}.unknown")
            out[name] = value[name]
        for name, field in self.members.items():
            given = value.get(name)
            if name not in value or (given is None and field.null):
                if field.required:
                    raise Broken("required", f"{path}.{name}", "missing")
                out[name] = field.default
            else:
                out[name] = field.check(given, f"{path}.{name}")
        for rule in self.rules:
            if not rule.holds(out):
                raise Broken("rule", f"{path}.{rule.path}", rule.detail, rule=f"{path}.{rule.name}", value=out.get(rule.path))
        return out


obj, array, picture = Object, Array, Picture
