# SPDX-License-Identifier: Apache-2.0
"""Small valid MP4 files and pictures of any asked size. Files that ffmpeg made are kept in the system's temp folder."""
import functools
import json
import os
import pathlib
import struct
import subprocess
import tempfile
import zlib

CACHE = pathlib.Path(tempfile.gettempdir()) / f"videogate-simulators-{os.getuid()}"


def _made(name, *arguments):
    """The bytes of the file `name`, which ffmpeg makes with these arguments if it is not there yet."""
    path = CACHE / name
    if not path.exists():
        CACHE.mkdir(mode=0o700, exist_ok=True)
        handle, new = tempfile.mkstemp(dir=CACHE, suffix="-" + name)
        os.close(handle)
        subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments, new], check=True)
        os.rename(new, path)  # two makers at once: the same bytes
    return path.read_bytes()


@functools.lru_cache(16)
def video(width, height, seconds, audio=True):
    """An MP4: H.264, one still colour, two frames a second; with AAC when there is sound."""
    sound = ["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=24000"] if audio else []
    return _made(f"v1-{width}x{height}-{seconds}s{'-audio' if audio else ''}.mp4", "-f", "lavfi",
                 "-i", f"color=c=teal:s={width}x{height}:r=2", *sound, "-t", str(seconds), "-c:v", "libx264", "-preset", "ultrafast",
                 "-crf", "40", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "16k", "-movflags", "+faststart", "-f", "mp4")


def padded(mp4, size):
    """The same film in a file of at least `size` bytes: a free box at the end."""
    gap = size - len(mp4)
    return mp4 if gap < 8 else mp4 + struct.pack(">I4s", gap, b"free") + bytes(gap - 8)


@functools.lru_cache(16)  # its start costs more than most tests
def probe(mp4):
    """What ffprobe says of an MP4: {"width", "height", "seconds", "audio", "codec"}."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        file.write(mp4)
        file.flush()
        out = subprocess.run(["ffprobe", "-v", "error", "-show_format", "-show_streams", "-of", "json", file.name],
                             capture_output=True, check=True).stdout
    told = json.loads(out)
    film = next(s for s in told["streams"] if s["codec_type"] == "video")
    return {"width": film["width"], "height": film["height"], "seconds": float(told["format"]["duration"]), "codec": film["codec_name"],
            "audio": any(s["codec_type"] == "audio" for s in told["streams"])}


# --- pictures ---

def png(width, height, colour=(200, 30, 30)):
    """A PNG of one colour."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = (b"\0" + bytes(colour) * width) * height
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
            chunk(b"IDAT", zlib.compress(rows, 1)) + chunk(b"IEND", b""))


def jpeg(width, height):
    """A JPEG of one colour."""
    return _made(f"p1-{width}x{height}.jpg", "-f", "lavfi", "-i", f"color=c=orange:s={width}x{height}", "-frames:v", "1", "-f", "mjpeg")


def picture_kind(data):
    """png, jpeg, webp or None, by the first bytes."""
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if data.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    return "webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None


def picture_size(data):
    """(width, height) of a PNG or JPEG; None for others."""
    if picture_kind(data) == "png":
        return struct.unpack(">II", data[16:24])
    at = 2
    while picture_kind(data) == "jpeg" and at + 9 < len(data) and data[at] == 0xFF:
        if 0xC0 <= data[at + 1] <= 0xCF and data[at + 1] not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", data[at + 5:at + 9])
            return width, height
        at += 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
    return None
