"""`export`: the images of a results folder as a data set that `datasets` loads, one row per image file."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from entropy_loop.analysis.tables import Tables
from entropy_loop.commands import experiment
from entropy_loop.contracts import Origin
from entropy_loop.data import EVALUATION, POOL
from entropy_loop.errors import ConfigError, as_storage_error
from entropy_loop.plan import Plan
from entropy_loop.storage.disk import write_text

SHARD = 1000  # rows of a Parquet file
ANSWERS = ("label-studio", "csv")  # written by rating/exchange.py
WHOLE = ("seed", "generation", "image_seed", "rank")
Cell = str | float | None


@dataclass(frozen=True)
class Wanted:
    """Which images: of one arm, one generation, one set; None for all."""

    arm: str | None = None
    generation: int | None = None
    stream: str | None = None


def export(root: Path, to: str, out: Path, wanted: Wanted) -> int:
    """Write the images of a results folder below `out` in one of FORMATS; returns how many.

    The data set is built beside `out` and renamed. Raises ConfigError for an unknown format, when no image is wanted,
    and when `out` is not empty.
    """
    if to not in FORMATS:
        raise ConfigError(f"--to {to}: known are {', '.join([*FORMATS, *ANSWERS])}.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise ConfigError(f"{out}: is there already; give another place with --out.")
    plan, tables = experiment.read(root)
    table = rows(tables, wanted)
    if table.empty:
        raise ConfigError(f"{root}: has no images of this arm, generation and set; see `entropy-loop report {root}`.")
    beside = out.with_name(f".{out.name}.{os.getpid()}.part")
    with as_storage_error(out):
        beside.mkdir(parents=True)
        try:
            FORMATS[to](root, table, beside)
            write_text(beside / "README.md", card(plan, table, to, out.name))
            shutil.rmtree(out, ignore_errors=True)
            os.replace(beside, out)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
    return len(table)


def rows(tables: Tables, wanted: Wanted) -> pd.DataFrame:
    """One row per image file: text (its prompt), run and arm (of all chains that share it, with commas), seed,
    generation, set, id, image_seed, score, rank and kept (of its first chain), and of each judge and concept a column
    `judge:concept` (true, false or missing)."""
    images = tables.images[tables.images["set"].isin((POOL, EVALUATION)) & tables.images["file"].fillna("").ne("")]
    for column, value in (("arm", wanted.arm), ("generation", wanted.generation), ("set", wanted.stream)):
        images = images if value is None else images[images[column] == value]
    if images.empty:
        return images
    shared = images.groupby("file")[["run", "arm"]].agg(_joined)
    by = ["run", "generation", "set", "id"]
    judgements = tables.judgements.assign(column=tables.judgements["judge"] + ":" + tables.judgements["concept"])
    answers = judgements.pivot_table(index=by, columns="column", values="answer", aggfunc="first").reset_index()
    table = images.merge(answers, on=by, how="left").drop_duplicates("file").drop(columns=["run", "arm"])
    return table.merge(shared, left_on="file", right_index=True).rename(columns={"prompt": "text"})


def _joined(names: pd.Series) -> str:
    return ",".join(dict.fromkeys(names))


# ---- formats -----------------------------------------------------------------------------------------


def _imagefolder(root: Path, table: pd.DataFrame, out: Path) -> None:
    """The images, and metadata.jsonl beside them."""
    folder = out / "data"
    folder.mkdir()
    lines = []
    for name, row in _named(table):
        shutil.copyfile(root / str(row["file"]), folder / name)
        values = {key: value for key, value in _plain(row).items() if key != "file"}
        lines.append(json.dumps({"file_name": name} | values, ensure_ascii=False))
    write_text(folder / "metadata.jsonl", "\n".join(lines) + "\n")


def _parquet(root: Path, table: pd.DataFrame, out: Path) -> None:
    """Shards of at most SHARD rows with the images inside."""
    from datasets import Dataset, Features, Image, disable_progress_bars

    disable_progress_bars()  # the command prints its own message
    records = []
    for name, row in _named(table):
        records.append({"image": {"bytes": (root / str(row["file"])).read_bytes(), "path": name}} | _plain(row))
    frame = pd.DataFrame(records).drop(columns="file")
    count = -(-len(frame) // SHARD)
    for number in range(count):
        part = Dataset.from_pandas(frame.iloc[number * SHARD : (number + 1) * SHARD], preserve_index=False)
        part = part.cast(Features(part.features | {"image": Image()}))
        part.to_parquet(out / "data" / f"train-{number:05d}-of-{count:05d}.parquet")


FORMATS: dict[str, Callable[[Path, pd.DataFrame, Path], None]] = {"imagefolder": _imagefolder, "parquet": _parquet}


def _named(table: pd.DataFrame) -> Iterator[tuple[str, dict[str, Cell]]]:
    """(file name, row). A plain number: `datasets` takes words such as evaluation in a name for a split."""
    for number, row in enumerate(table.to_dict("records")):
        yield f"{number:06d}{Path(row['file']).suffix}", {str(key): value for key, value in row.items()}


def _plain(row: dict[str, Cell]) -> dict[str, Cell]:
    """Values for JSON; a missing one is None."""
    values: dict[str, Cell] = {}
    for key, value in row.items():
        if pd.isna(value):
            values[key] = None
        elif key in WHOLE:
            values[key] = int(value)
        else:
            values[key] = bool(value) if key == "kept" or ":" in key else value
    return {key: value for key, value in values.items() if key != "latent_sha256"}


# ---- the card ----------------------------------------------------------------------------------------


def card(plan: Plan, table: pd.DataFrame, to: str, name: str) -> str:
    """README.md of the data set, with the front matter that a hub reads."""
    config = plan.study.config
    origin = config.generator_plugin().origin or Origin(f"the toy generator {config.generator['use']}", None)
    made_by = f"`{origin.checkpoint}`" + (f" at revision `{origin.revision}`" if origin.revision else "")
    counts = table.groupby(["arm", "generation", "set"]).size().reset_index(name="images")
    lines = "\n".join(f"| {r.arm} | {r.generation} | {r.set} | {r.images} |" for r in counts.itertuples())
    prompts = "\n".join(f"- {text}" for text in dict.fromkeys(table["text"]))
    return f"""---
pretty_name: {json.dumps(config.name)}
tags: [entropy-loop, synthetic, text-to-image]
task_categories: [text-to-image]
configs:
- config_name: default
  data_dir: data
---

# {config.name}

{len(table)} images that a text-to-image model made while it was trained, generation by generation, on its own images
(entropy-loop). **They are made by machines, and the later ones by models that were trained on such images: do not train
on them without knowing that.**

```python
from datasets import load_dataset

{_loading(to, name)}
```

Made by {made_by} and its fine-tuned successors; the licence of that
checkpoint holds for its images. `text` is the prompt; `run` and `arm` name the chains that an image belongs to (several
where they share generation 0), `generation` the number of feedback steps before it, `set` whether it was fed back
(`pool`) or only looked at (`evaluation`); `kept`, `score` and `rank` are the curator's of the first of its chains; a
column `judge:concept` is what a judge says, empty where it could not.

Known limits: the judges are models (or the people of one study) and err, more so on later generations; images of one
chain are not independent of each other.

| arm | generation | set | images |
| --- | --- | --- | --- |
{lines}

Prompts:

{prompts}
"""


def _loading(to: str, name: str) -> str:
    """The line of code that loads the data set, from its parent folder."""
    if to == "imagefolder":
        return f'data = load_dataset("imagefolder", data_dir="{name}/data", split="train")'
    return f'data = load_dataset("parquet", data_files="{name}/data/*.parquet", split="train")'
