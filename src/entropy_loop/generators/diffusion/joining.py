"""Join samples that were made in parts: the files are the same bytes as if they had been made at once."""

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
    """Concatenate tables and latents, hard-link images, and add up the counts."""
    from safetensors.torch import load_file, save_file

    tables = [pd.read_parquet(part / "samples.parquet") for part in parts]
    # A part whose images were all withheld is an empty table, whose columns have no usable types.
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
    shutil.copymode(out / "samples.parquet", out / "latents.safetensors")  # safetensors keeps others from reading
    (out / "sampling.json").write_text(json.dumps({name: sum(count[name] for count in counts) for name in counts[0]}))
