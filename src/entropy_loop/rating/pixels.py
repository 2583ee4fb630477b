"""Images as raters get them."""

from __future__ import annotations

import io
from pathlib import Path


def png(file: Path) -> bytes:
    """The pixels alone, 8-bit RGB, without what the file may tell beside them. Raises OSError where it is no image."""
    from PIL import Image

    data = io.BytesIO()
    with Image.open(file) as opened:
        plain = Image.new("RGB", opened.size)
        plain.paste(opened.convert("RGB"))
    plain.save(data, "PNG", compress_level=1)
    return data.getvalue()
