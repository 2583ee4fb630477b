"""Images that people bring: what is read of them at all."""

from __future__ import annotations

import warnings
from pathlib import Path

from entropy_loop.errors import ConfigError

FORMATS = ("PNG", "JPEG", "WEBP")
"""Formats that are read, told by what a file holds and not by its name."""
PIXELS = 64_000_000
"""Pixels that an image may have."""


def refuse(file: Path, where: str, whole: bool = True) -> None:
    """Raises ConfigError for a file that is no image of these formats, too large or, `whole`, cut short. Its size is
    read before any pixel is; `where` stands in front of what is said."""
    from PIL import Image, UnidentifiedImageError

    known = ", ".join(FORMATS)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit is below
            with Image.open(file, formats=FORMATS) as image:
                width, height = image.size
                if width * height > PIXELS:
                    raise ConfigError(
                        f"{where}: {file.name} has {width} x {height} pixels, more than {PIXELS:,}; make it smaller."
                    )
                if whole:
                    image.load()
    except UnidentifiedImageError:
        raise ConfigError(f"{where}: {file.name} is no image of the formats {known}; convert it.") from None
    except Image.DecompressionBombError:
        raise ConfigError(f"{where}: {file.name} has more than {PIXELS:,} pixels; make it smaller.") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigError(f"{where}: {file.name} cannot be read whole ({error}); replace it or leave it out.") from None
