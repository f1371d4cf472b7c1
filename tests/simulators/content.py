# SPDX-License-Identifier: Apache-2.0
"""`content` as ByteDance and MiniMax (v2) take it: a list of texts, pictures, videos and sounds, each with its role."""
from simulators import rules
from simulators.rules import Broken

ROLES = {"image_url": ("first_frame", "last_frame", "reference_image"), "video_url": ("reference_video",), "audio_url": ("reference_audio",)}
PICTURES = rules.picture(("data", "url"), required=True)
ADDRESSES = rules.url(required=True)


class Item(rules.Field):
    """One entry: what else it has depends on its type."""

    def __init__(self, longest_prompt):
        super().__init__((dict,))
        kinds = {"text": rules.text(1, longest_prompt, required=True)}
        for kind, roles in ROLES.items():
            kinds[kind] = rules.obj({"url": PICTURES if kind == "image_url" else ADDRESSES}, required=True)
        self.kinds = {
            kind: rules.obj({"type": rules.one_of(kind, required=True), kind: field,
                             **({"role": rules.one_of(*ROLES[kind], required=kind != "image_url")} if kind in ROLES else {})})
            for kind, field in kinds.items()}

    def names(self, path):
        return {f"{path}.type.enum"}.union(*(table.names(f"{path}") for table in self.kinds.values()))

    def check(self, value, path):
        super().check(value, path)
        if value.get("type") not in self.kinds:
            raise Broken("enum", f"{path}.type", f"{value.get('type')!r} is not one of {list(self.kinds)}")
        return self.kinds[value["type"]].check(value, path)


def having(content, kind, *roles):
    """Entries of a kind; a picture without a role is a first frame."""
    return [one for one in content if one["type"] == kind and (not roles or (one.get("role") or "first_frame") in roles)]


def prompt_of(content):
    return "\n".join(one["text"] for one in having(content, "text"))


def _frames(content, *roles):
    return having(content, "image_url", *(roles or ("first_frame", "last_frame")))


def _seen(content):
    return having(content, "image_url", "reference_image") + having(content, "video_url")


def content_rules(pictures=9, videos=3, sounds=3):
    """What entries may stand together."""
    def rule(name, holds, detail):
        return rules.Rule(f"content_{name}", lambda body: holds(body["content"]), "content", detail)

    return (
        rule("something", lambda c: prompt_of(c) or _frames(c) or _seen(c), "must include a non-empty text item or a picture"),
        rule("one_text", lambda c: len(having(c, "text")) <= 1, "one text at most"),
        rule("first_frames", lambda c: len(_frames(c, "first_frame")) <= 1, "one first frame at most"),
        rule("last_frames", lambda c: len(_frames(c, "last_frame")) <= len(_frames(c, "first_frame")), "a last frame needs a first frame"),
        rule("frames_or_references", lambda c: not _frames(c) or not (_seen(c) or having(c, "audio_url")),
             "first/last frame content cannot be mixed with reference media content"),
        rule("audio_alone", lambda c: not having(c, "audio_url") or _seen(c), "audio needs a reference picture or video"),
        rule("pictures", lambda c: len(having(c, "image_url", "reference_image")) <= pictures, f"{pictures} reference pictures at most"),
        rule("videos", lambda c: len(having(c, "video_url")) <= videos, f"{videos} reference videos at most"),
        rule("sounds", lambda c: len(having(c, "audio_url")) <= sounds, f"{sounds} reference sounds at most"),
    )
