"""The control without learning: the VAE encodes and decodes the same images in each generation."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pandas as pd

from entropy_loop.data import SAMPLES, Checkpoint, Diet, Request, Tick, TrainSettings
from entropy_loop.generators.diffusion import codec, recording
from entropy_loop.generators.diffusion.diffusion import Diffusion


@dataclass(frozen=True)
class VaeRoundtrip(Diffusion):
    """The control without learning: a later generation is its diet, encoded and decoded once more by the VAE.

    Generation 0 and the options are those of `diffusion`. An image is decoded from the mean of its posterior, so the
    round trip adds no noise. A pool or evaluation set larger than its diet repeats the diet's images in their order.
    """

    version: ClassVar[int] = 2

    def train(
        self, start: Checkpoint, diet: Diet, settings: TrainSettings, step_seeds: list[int], out: Path, tick: Tick
    ) -> None:
        """Write the diet after its round trip: the images, and passed.parquet (prompt, file). Copies base.json."""
        import torch

        parts, table = self.model(), diet.table
        files = [str(Path(folder) / file) for folder, file in zip(table["folder"], table["file"], strict=True)]
        names = [f"images/{number:06d}.png" for number in range(len(files))]
        shutil.copyfile(start.folder / "base.json", out / "base.json")
        (out / "images").mkdir()
        with torch.no_grad():
            mean, _ = codec.moments(parts, files, self.block)
            for first in range(0, len(files), self.block):
                part = mean[first : first + self.block]
                padded = torch.cat([part, part.new_zeros(self.block - len(part), *part.shape[1:])])
                for number, image in enumerate(codec.decode(parts, padded)[: len(part)], start=first):
                    recording.save(image, out / names[number])
                tick(min(1.0, (first + self.block) / len(files)))
        pd.DataFrame({"prompt": table["prompt"], "file": names}).to_parquet(out / "passed.parquet", index=False)

    def split(self, requests: list[Request]) -> list[list[Request]]:
        """One part: most images are copies of files."""
        return [requests]

    def loading(self, settings: TrainSettings, request: Request) -> str:
        """Empty: a generation has images, not weights."""
        return ""

    def sample(self, model: Checkpoint, requests: list[Request], out: Path, tick: Tick) -> None:
        """Generation 0 is sampled; in later ones image i of a prompt is image i of passed.parquet."""
        if not (model.folder / "passed.parquet").is_file():
            return super().sample(model, requests, out, tick)
        passed = pd.read_parquet(model.folder / "passed.parquet").groupby("prompt")["file"].apply(list)
        others = [request for request in requests if request.prompt not in passed]  # in no diet, so still sampled
        super().sample(model, others, out, tick)
        rows = []
        for request in requests:
            if request.prompt in passed:
                source = model.folder / passed[request.prompt][request.index % len(passed[request.prompt])]
                file = recording.path(request)
                shutil.copyfile(source, out / file)
                digest = hashlib.sha256(source.read_bytes()).hexdigest()
                rows.append((request.id, request.prompt, request.seed, file, digest))
        samples = pd.concat([pd.DataFrame(rows, columns=list(SAMPLES)), pd.read_parquet(out / "samples.parquet")])
        samples = samples.set_index("id", drop=False)
        order = [request.id for request in requests if request.id in samples.index]
        samples.loc[order].to_parquet(out / "samples.parquet", index=False)
        return None
