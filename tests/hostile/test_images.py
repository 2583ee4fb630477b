"""Images and their tables from strangers."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from PIL import Image

from entropy_loop.errors import ConfigError
from entropy_loop.worlds import labelled
from entropy_loop.worlds.imagefolder import ImageFolder, metadata

HELD = (
    "import resource, sys, PIL.Image, PIL.PngImagePlugin, PIL.JpegImagePlugin, PIL.WebPImagePlugin;"
    "from pathlib import Path; from entropy_loop.errors import ConfigError; from entropy_loop.worlds import pictures;"
    "used = int(sum(resource.getrusage(0)[:2])); resource.setrlimit(resource.RLIMIT_CPU, (used + 2, used + 2));"
    "held = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize() + 200 * (1 << 20);"
    "resource.setrlimit(resource.RLIMIT_AS, (held, held))"
)
READER = (
    HELD
    + """
try:
    pictures.check(Path(sys.argv[1]), "here")
except ConfigError as error:
    print(error)
    sys.exit(2)
"""
)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *chunks: bytes) -> bytes:
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(chunks) + chunk(b"IEND", b"")


def image(kind: str, tmp_path: Path) -> bytes:
    """A small real image of a format."""
    file = tmp_path / f"made.{kind.lower()}"
    Image.effect_noise((64, 64), 50).convert("RGB").save(file, format=kind)
    data = file.read_bytes()
    file.unlink()
    return data


def hostile(tmp_path: Path) -> dict[str, bytes]:
    row = zlib.compress(bytes(32_000 // 8 + 1) * 32_000, 9)
    corpus = {
        "a gigapixel": png(32_000, 32_000, chunk(b"IDAT", row)),
        "more pixels than can be": png((1 << 31) - 1, (1 << 31) - 1, chunk(b"IDAT", row)),
        "just too many": png(8_001, 8_000, chunk(b"IDAT", zlib.compress(b""))),
        "a text that unpacks to a gigabyte": png(8, 8, chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(1 << 28), 9))),
        "PNG without pixels": png(8, 8),
        "nothing": b"",
        "a page": b"<html><script>alert(1)</script></html>",
        "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"/>',
        "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n",
        "PSD": b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 8, 8, 8, 3) + bytes(14),
    }
    corpus |= {kind: image(kind, tmp_path) for kind in ("GIF", "TIFF", "BMP", "PPM", "ICO")}
    return corpus | {f"{kind}, cut short": image(kind, tmp_path)[:-200] for kind in ("PNG", "JPEG", "WEBP")}


def test_hostile_images_are_refused_at_once(tmp_path: Path):
    """By content, whatever the name says, within limits on time and memory that the kernel holds."""
    corpus = hostile(tmp_path)
    file = tmp_path / "picture.png"
    for name, data in corpus.items():
        file.write_bytes(data)
        result = subprocess.run([sys.executable, "-c", READER, str(file)], capture_output=True, text=True, check=False)
        assert (name, result.returncode) == (name, 2), result.stderr
        assert result.stdout.startswith("here: picture.png ")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_formats_that_are_read(kind: str, tmp_path: Path):
    """PNG, JPEG and WebP are images, under any name."""
    folder(tmp_path, "a.dat").joinpath("a.dat").write_bytes(image(kind, tmp_path))
    assert len(labelled.folder(tmp_path, ("horse",)).files) == 1
    ImageFolder(str(tmp_path)).ready()


def folder(root: Path, name: object) -> Path:
    (root / "metadata.jsonl").write_text(json.dumps({"file_name": name, "text": "a horse", "horse": True}) + "\n")
    return root


NAMES = [
    "../outside.png", "../../outside.png", "a/../../outside.png", "./../outside.png", "/etc/passwd", "/dev/zero",
    "/proc/self/environ", "~/outside.png", "..", ".", "", "link.png", "linked/outside.png", "a\x00.png", "x" * 5000,
    "file:///etc/passwd", "https://example.org/a.png", "..\\outside.png", "%2e%2e/outside.png", "\x1b[2J.png", None,
    ["../outside.png"], {"a": 1}, 7, True,
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_name_that_leads_out_is_refused(name: object, tmp_path: Path):
    """Names in a table are of files inside its folder; links that lead out are none."""
    Image.new("RGB", (8, 8)).save(tmp_path / "outside.png")
    root = tmp_path / "inside"
    root.mkdir()
    (root / "link.png").symlink_to("../outside.png")
    (root / "linked").symlink_to("..")
    with pytest.raises(ConfigError, match=r"line 1: .* is no file of this folder") as error:
        metadata(folder(root, name), ("text",))
    assert "\x1b" not in str(error.value)
