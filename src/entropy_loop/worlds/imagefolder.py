"""A folder of the user's own images as real data."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import pandas as pd
from pydantic import Field

from entropy_loop.data import SAMPLES, Request, Tick
from entropy_loop.errors import ConfigError


@dataclass(frozen=True)
class ImageFolder:
    """Images with captions: `metadata.jsonl` with `file_name` and `text`, as `datasets` reads an imagefolder.

    A prompt is served by the images whose text is the prompt, each at most once, in an order of their own.
    revision: enters the key; change it when the folder's content changes.
    """

    version: ClassVar[int] = 1
    data_dir: Annotated[str, Field(min_length=1)]
    revision: str = ""

    def ready(self) -> None:
        """Raises ConfigError when the folder or its table is not here or not as it should be."""
        self._captions()

    def draw(self, requests: list[Request], out: Path, tick: Tick) -> None:
        """Copies the chosen images to images/ and writes samples.parquet."""
        (out / "images").mkdir()
        captions, rows = self._captions(), []
        for number, request in enumerate(requests):
            served = captions.get(request.prompt, [])
            if request.index >= len(served):
                raise ConfigError(
                    f"{self.data_dir}: holds {len(served)} images with the text {request.prompt!r}, and number "
                    f"{request.index + 1} was asked for; add images, or lower real_fraction or `images`."
                )
            source = Path(self.data_dir) / served[request.index]
            file = f"images/{request.id}{source.suffix.lower()}"
            shutil.copyfile(source, out / file)
            digest = hashlib.sha256(source.read_bytes()).hexdigest()
            rows.append((request.id, request.prompt, request.seed, file, digest))
            tick((number + 1) / len(requests))
        pd.DataFrame(rows, columns=list(SAMPLES)).to_parquet(out / "samples.parquet", index=False)

    def _captions(self) -> dict[str, list[str]]:
        """text -> file names in a fixed shuffled order, so that a sorted folder is not served class by class."""
        table = Path(self.data_dir) / "metadata.jsonl"
        if not table.is_file():
            raise ConfigError(f"{table}: not there; it holds one line per image with `file_name` and `text`.")
        found: dict[str, list[str]] = {}
        for number, line in enumerate(table.read_text(encoding="utf-8").splitlines(), start=1):
            name, text = self._row(line, f"{table}, line {number}")
            found.setdefault(text, []).append(name)
        return {text: list(np.random.default_rng(0).permutation(sorted(names))) for text, names in found.items()}

    def _row(self, line: str, where: str) -> tuple[str, str]:
        try:
            row: dict[str, Any] = json.loads(line)
            name, text = row["file_name"], row["text"]
        except (ValueError, KeyError, TypeError):
            raise ConfigError(f"{where}: is no JSON object with `file_name` and `text`.") from None
        inside = (Path(self.data_dir) / str(name)).resolve()
        if not inside.is_relative_to(Path(self.data_dir).resolve()) or not inside.is_file():
            raise ConfigError(f"{where}: {name!r} is no file of this folder.")
        return str(name), str(text)
