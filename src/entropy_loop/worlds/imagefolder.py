"""A folder of the user's own images as real data."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, TypeVar

import numpy as np
import pandas as pd
from pydantic import Field

from entropy_loop.contracts import Real
from entropy_loop.data import SAMPLES, Request, Tick
from entropy_loop.errors import ConfigError
from entropy_loop.worlds import pictures

File = TypeVar("File", str, tuple[str, str])  # a file's name, or its name and text
FilesOf = Callable[[str], list[tuple[str, str]]]  # of a prompt or concept, in the order of `Request.index`


@dataclass(frozen=True)
class ImageFolder(Real):
    """Images with captions: `metadata.jsonl` with `file_name` and `text`, as `datasets` reads an imagefolder.

    Images of a prompt are those whose text is the prompt; images of a concept are those whose text has its name as a
    word. Each is used at most once, in a fixed shuffled order.
    """

    version: ClassVar[int] = 1

    data_dir: Annotated[str, Field(min_length=1)]
    """Path of the folder."""
    revision: str = ""
    """Your name for the folder's content. Keys hold it: change it when the content changes."""

    def ready(self) -> None:
        """Raises ConfigError when the folder or its table is missing or wrong, and for a file that is no image or too
        large. A file that is cut short is found when it is used."""
        for names in self._captions().values():
            for name in names:
                pictures.check(Path(self.data_dir) / name, self.data_dir, whole=False)

    def stock(self, prompt: str) -> int | None:
        """Number of images whose text is the prompt."""
        return len(self._captions().get(prompt, []))

    def draw(self, requests: list[Request], out: Path, tick: Tick) -> None:
        """Copy the requested images to images/ and write samples.parquet."""
        captions = self._captions()
        self._write(requests, lambda prompt: [(name, prompt) for name in captions.get(prompt, [])], "text", out, tick)

    def can_teach(self, concept: str) -> bool:
        """True for any concept: `ready_to_teach` looks into the table."""
        return True

    def ready_to_teach(self, concepts: tuple[str, ...], images: int, prompts: tuple[str, ...]) -> None:
        """Raises ConfigError when a concept has fewer than `images` images to teach."""
        for concept in concepts:
            if (stock := len(self._lessons(concept, prompts))) < images:
                raise ConfigError(
                    f"reteach: {self.data_dir} holds {stock} images whose text has the word {concept!r} and is no "
                    f"prompt, and all lessons together need {images}; add images, or teach less often or with fewer."
                )

    def teach(self, requests: list[Request], prompts: tuple[str, ...], out: Path, tick: Tick) -> None:
        """As `draw`, but a request's prompt is a concept: its images are those whose text has it as a word, under that
        text. Images of the prompts themselves are not taken: diets and held-out sets need them."""
        self._write(requests, lambda concept: self._lessons(concept, prompts), "word", out, tick)

    def _lessons(self, concept: str, prompts: tuple[str, ...]) -> list[tuple[str, str]]:
        """(file name, text) of the images that teach a concept."""
        texts = {text: names for text, names in self._captions().items() if text not in prompts}
        return _shuffled([(n, text) for text, names in texts.items() if concept.lower() in _words(text) for n in names])

    def _write(self, requests: list[Request], files_of: FilesOf, match: str, out: Path, tick: Tick) -> None:
        """match: what a file has in common with its request's prompt, 'text' or 'word', for messages."""
        (out / "images").mkdir()
        files = {prompt: files_of(prompt) for prompt in dict.fromkeys(request.prompt for request in requests)}
        rows = []
        for number, request in enumerate(requests):
            stock = files[request.prompt]
            if not -len(stock) <= request.index < len(stock):
                raise ConfigError(
                    f"{self.data_dir}: holds {len(stock)} images with the {match} {request.prompt!r}, and number "
                    f"{request.index + 1} was asked for; add images, or ask for fewer real ones in the config."
                )
            name, text = stock[request.index]
            source = Path(self.data_dir) / name
            pictures.check(source, self.data_dir)
            file = f"images/{request.id}{source.suffix.lower()}"
            shutil.copyfile(source, out / file)
            digest = hashlib.sha256(source.read_bytes()).hexdigest()
            rows.append((request.id, text, request.seed, file, digest))
            tick((number + 1) / len(requests))
        pd.DataFrame(rows, columns=list(SAMPLES)).to_parquet(out / "samples.parquet", index=False)

    def _captions(self) -> dict[str, list[str]]:
        """text -> file names, shuffled."""
        files: dict[str, list[str]] = {}
        for row in metadata(Path(self.data_dir), ("text",)):
            files.setdefault(str(row["text"]), []).append(str(row["file_name"]))
        return {text: _shuffled(names) for text, names in files.items()}


def metadata(folder: Path, columns: tuple[str, ...] = ()) -> list[dict[str, object]]:
    """The rows of an imagefolder's metadata.jsonl. `file_name` names a file inside the folder.

    Raises ConfigError when the table or an image is missing, and for a line that lacks one of `columns`.
    """
    path, columns = folder / "metadata.jsonl", ("file_name", *columns)
    needed = " and ".join(f"`{name}`" for name in columns)
    if not path.is_file():
        raise ConfigError(f"{path}: no such file; it needs one line per image with {needed}.")
    lines = path.read_text(encoding="utf-8").splitlines()
    return [_row(folder, line, columns, f"{path}, line {number}") for number, line in enumerate(lines, start=1)]


def _row(folder: Path, line: str, columns: tuple[str, ...], where: str) -> dict[str, object]:
    try:
        row = json.loads(line)
    except ValueError:
        row = None
    if not isinstance(row, dict) or not set(columns) <= row.keys():
        needed = " and ".join(f"`{name}`" for name in columns)
        raise ConfigError(f"{where}: is no JSON object with {needed}.")
    try:
        file = (folder / str(row["file_name"])).resolve()
        inside = file.is_relative_to(folder.resolve()) and file.is_file()
    except (OSError, ValueError):  # not a possible file name
        inside = False
    if not inside:
        raise ConfigError(f"{where}: {row['file_name']!r} is no file of this folder.")
    return row


def _words(text: str) -> set[str]:
    """The words of a caption in lower case: 'a seahorse' does not have the word 'horse'."""
    return set(re.findall(r"\w+", text.lower()))


def _shuffled(files: list[File]) -> list[File]:
    """The files in a fixed shuffled order, so that a folder sorted by class is not used class by class."""
    ordered = sorted(files)
    return [ordered[place] for place in np.random.default_rng(0).permutation(len(ordered))]
