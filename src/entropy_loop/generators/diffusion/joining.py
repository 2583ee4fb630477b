"""Samples that were made in parts, put together: the same bytes as if they had been made at once."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from entropy_loop.storage import disk

if TYPE_CHECKING:
    import torch


def join(parts: list[Path], out: Path) -> None:
    """Tables one after the other, images under a second name, latents in one file, what was counted added up."""
    from safetensors.torch import load_file, save_file

    tables = [pd.read_parquet(part / "samples.parquet") for part in parts]
    # A part of which every image was withheld has no types that could be joined with the others'.
    tables = [table for table in tables if len(table)] or tables[:1]
    pd.concat(tables, ignore_index=True).to_parquet(out / "samples.parquet", index=False)
    (out / "images").mkdir()
    latents: dict[str, torch.Tensor] = {}
    counts = [json.loads((part / "sampling.json").read_text()) for part in parts]
    for part in parts:
        for image in (part / "images").iterdir():
            disk.link(image, out / "images" / image.name)
        latents |= load_file(part / "latents.safetensors")
    save_file(latents, out / "latents.safetensors")
    shutil.copymode(out / "samples.parquet", out / "latents.safetensors")  # safetensors shuts others out
    (out / "sampling.json").write_text(json.dumps({name: sum(one[name] for one in counts) for name in counts[0]}))
