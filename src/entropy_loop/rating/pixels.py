"""Encodes images for raters."""

from __future__ import annotations

import io
from pathlib import Path


def png(file: Path) -> bytes:
    """An image file's pixels as an 8-bit RGB PNG without metadata. Raises OSError when it is not a readable image."""
    from PIL import Image

    data = io.BytesIO()
    with Image.open(file) as opened:
        plain = Image.new("RGB", opened.size)
        plain.paste(opened.convert("RGB"))
    plain.save(data, "PNG", compress_level=1)
    return data.getvalue()
