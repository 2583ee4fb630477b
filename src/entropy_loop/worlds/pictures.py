"""Checks of image files that users bring."""

from __future__ import annotations

import warnings
from pathlib import Path

from entropy_loop.errors import ConfigError

FORMATS = ("PNG", "JPEG", "WEBP")
"""Accepted formats. A file's content decides, not its name."""
PIXELS = 64_000_000
"""Largest number of pixels of an image."""


def check(file: Path, where: str, whole: bool = True) -> None:
    """Raises ConfigError for a file that is no image of these formats, is too large or is cut short. The size is read
    before any pixel. where: start of the message. whole: whether to read the pixels; only then a cut is found."""
    from PIL import Image, UnidentifiedImageError

    formats = ", ".join(FORMATS)
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
        raise ConfigError(f"{where}: {file.name} is no image of the formats {formats}; convert it.") from None
    except Image.DecompressionBombError:
        raise ConfigError(f"{where}: {file.name} has more than {PIXELS:,} pixels; make it smaller.") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise ConfigError(f"{where}: {file.name} cannot be read whole ({error}); replace it or leave it out.") from None
