# SPDX-License-Identifier: Apache-2.0
"""What the catalog offers of a provider, as Submits: its worker must be able to send each, and its simulator to take it."""
import itertools
import json

from upstream import picture
from vg import ROOT

CLASSES = ((480, "480p"), (720, "720p"), (768, "768p"), (1080, "1080p"), (1440, "1440p"))
EXTRA = {"aigc_watermark": True, "auto_fix": False, "camera_fixed": False, "cfg_scale": 0.5, "compressionQuality": "optimized",
         "contentModeration": {"publicFigureThreshold": "low"}, "enableTranslation": False, "enhancePrompt": True, "hdr": False,
         "loop": False, "multi_shot": True, "negativePrompt": "blur", "negative_prompt": "blur", "prompt_extend": False, "prompt_optimizer": False, "safety_tolerance": "3",
         "seed": 7, "seeds": 12345, "service_tier": "default", "shot_type": "single", "user": "u-1", "watermark": True}
# Of engines of one's own.
EXTRA |= {"extra_params": {"a": 1}, "flow_shift": 5.0, "fps": 16, "guidance_scale": 4.5, "guidance_scale_2": 3, "lora": {"name": "x"}, "num_frames": 81,
          "num_inference_steps": 20}
ENGINE = {"extra_params", "flow_shift", "fps", "guidance_scale", "guidance_scale_2", "lora", "num_frames", "num_inference_steps"}


def _class(size):
    side = min(map(int, size.split("x")))
    return next((name for most, name in CLASSES if side <= most), "4k")


def _ends(seconds):
    return sorted({seconds["min"], seconds["max"]}) if isinstance(seconds, dict) else seconds


def _inputs(given):
    """What may come beside the prompt; pictures as (width, height) -> MediaBlob."""
    image, references = given.get("image", "none"), given.get("references")
    if image != "required" and not (references or {}).get("required"):
        yield {}
    if image != "none":
        yield {"first_frame": picture}
    if given.get("last_frame"):
        yield {"first_frame": picture, "last_frame": picture}
    for count in {references["min"], references["max"]} if references else ():
        more = {f"reference_{kind}": [f"https://media.example/{i}.{end}" for i in range(given[f"reference_{kind}"])]
                for kind, end in (("videos", "mp4"), ("audios", "mp3")) if f"reference_{kind}" in given}
        yield {"reference_images": [picture] * count, **more}


def _seconds(route, size, inputs):
    for rule in route.get("rules", ()):
        when = rule["when"]
        sizes = _class(size) in when.get("class", ()) or size in when.get("size", ()) or not {"class", "size"} & set(when)
        given = {"image": "first_frame" in inputs, "last_frame": "last_frame" in inputs,
                 "references": any(name.startswith("reference") for name in inputs)}
        if sizes and all(when.get(name, is_so) == is_so for name, is_so in given.items()):
            return _ends(rule["seconds"])
    kind = "references" if "reference_images" in inputs else "image" if "first_frame" in inputs else None
    return _ends(route.get(f"seconds_with_{kind}", route["seconds"]))


def offered(provider, without=()):
    """Fields of Submits; `without` names parameters whose value must suit the inputs."""
    catalog = json.loads((ROOT / "service/catalog.json").read_text())
    for route in (route for model in catalog["models"] for route in model["routes"] if route["provider"] == provider):
        sound = {"both": (True, False), "on": (True,), "off": (False,)}[route["audio"]]
        extra = json.dumps({name: EXTRA[name] for name in route.get("extra", ()) if name not in without})
        kinds = list(_inputs(route.get("inputs", {})))
        # Every size with the least that is needed, the first size with all else.
        shapes = [(kinds[0], size) for size in route["sizes"]] + [(inputs, route["sizes"][0]) for inputs in kinds[1:]]
        for (inputs, size), audio in itertools.product(shapes, sound):
            width, height = map(int, size.split("x"))
            made = {name: [one(width, height) if one is picture else one for one in value] if isinstance(value, list) else value(width, height)
                    for name, value in inputs.items()}
            for seconds in _seconds(route, size, inputs):
                yield {"model": route["model"], "width": width, "height": height, "seconds": seconds, "audio": audio, "extra": extra, **made}


def check_offers(worker, sim, without=()):
    """How many there were."""
    count = 0
    for fields in offered(worker.provider, without):
        answer = worker.submit(**fields)
        what = {name: value if isinstance(value, (int, str)) else "..." for name, value in fields.items()}
        assert not answer.HasField("error") and sim.broken == {}, f"{what}: {answer}{dict(sim.broken)}"
        count += 1
    assert count > 0
    return count
