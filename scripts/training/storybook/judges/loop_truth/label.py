"""Make the labelled set `loop-truth`: pictures of feedback loops, labelled by eye without a cue.

    python -m scripts.training.storybook.judges.loop_truth.label pick    --chains DIR [--junk DIR]
    python -m scripts.training.storybook.judges.loop_truth.label sheets  --out DIR [--part PART ...]
    python -m scripts.training.storybook.judges.loop_truth.label collect --out DIR --labeller WHO

`pick` chooses pictures and writes pictures.parquet, `sheets` makes shuffled sheets to label (a tenth twice), `collect`
adds the sheets' answers to labels.csv.

With `--home DIR --run RESULTS --shown N` the set is N pictures of every pool of that run.

`chains.py` made the pictures; README.md beside them says who labelled. A sheet reveals neither prompt,
generation nor arm: its cells are numbered, and `key.csv` maps cells to pictures. Answers to sheet 007 are
expected in 007.csv (cell, rider, mount, relation).
"""

from __future__ import annotations

import argparse
import hashlib
import io
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from entropy_loop.worlds.storybook import scene
from scripts.training.storybook.judges.loop_truth.chains import CHAINS
from scripts.training.storybook.judges.loop_truth.parts import CANT_TELL, HOME, NONE

SEED = 20261130
ORIGIN = ("part", "chain", "arm", "seed", "generation", "prompt")
ANSWERS = {
    "rider": (*scene.RIDERS, NONE, CANT_TELL),
    "mount": (*scene.MOUNTS, NONE, CANT_TELL),
    "relation": ("riding", "beside", "neither", CANT_TELL),
}
WIDTH, HEIGHT, HEAD = 920, 1260, 18  # of a sheet, and of the line with a cell's number, pixels
TWICE = 0.1  # share of the pictures that is shown again, on another sheet


# -- choosing ------------------------------------------------------------------------------------------


def pick(home: Path, rows: pd.DataFrame) -> None:
    """Write pictures.parquet (id, and the image as lossless WebP that `datasets` reads) and pictures.csv (its origin).

    An id is the first ten hex digits of the file's SHA-256. Rows are sorted by id, so their order reveals nothing.
    """
    rows["bytes"] = [_webp(Path(file)) for file in rows["file"]]
    rows["id"] = [hashlib.sha256(data).hexdigest()[:10] for data in rows["bytes"]]
    rows = rows.drop_duplicates("id").sort_values("id")
    home.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": data, "path": None} for data in rows["bytes"]]
    pd.DataFrame({"id": rows["id"], "image": images}).to_parquet(home / "pictures.parquet", index=False)
    rows[["id", *ORIGIN]].to_csv(home / "pictures.csv", index=False)
    print(rows.groupby(["part", "chain"]).size().to_string())
    print(f"{len(rows)} pictures")


def of_chains(chains: Path, junk: Path | None) -> pd.DataFrame:
    """The pictures of the set: from the chains that have run, and those that `junk.py` wrote to `junk`."""
    ran = [chain for chain in CHAINS if (chains / chain.name / "images.parquet").is_file()]
    rows = [
        of_run(chains / chain.name, chain.at, chain.shown, chain.seed).assign(part=chain.part, chain=chain.name)
        for chain in ran
    ]
    if junk:
        table = pd.read_csv(junk / "junk.csv")
        rows.append(table.assign(file=[str(junk / file) for file in table["file"]]))
    print(f"{len(ran)} of {len(CHAINS)} chains have run")
    return pd.concat(rows)


def of_run(folder: Path, at: Iterable[int], shown: int, seed: int) -> pd.DataFrame:
    """`shown` pictures of each arm, prompt and generation in `at`. None is chosen twice, although arms share pools."""
    table = pd.read_parquet(folder / "images.parquet")
    table = table[table["set"].eq("pool") & table["generation"].isin(list(at))]
    table = table.sample(frac=1, random_state=seed)
    chosen = []
    taken: set[str] = set()
    for _, group in table.groupby(["arm", "prompt", "generation"], sort=True):
        free = group[~group["file"].isin(taken)].head(shown)
        taken |= set(free["file"])
        chosen.append(free)
    rows = pd.concat(chosen)[["arm", "seed", "generation", "prompt", "file"]]
    return rows.assign(file=[str(folder / file) for file in rows["file"]])


def _webp(file: Path) -> bytes:
    buffer = io.BytesIO()
    with Image.open(file) as image:
        image.convert("RGB").save(buffer, "WEBP", lossless=True, quality=100, method=6)
    return buffer.getvalue()


# -- labelling -----------------------------------------------------------------------------------------


def sheets(home: Path, out: Path, parts: list[str], side: int, generations: list[int]) -> None:
    """Draw the sheets and their key. parts: of the set, all if empty. side: of a picture, in pixels. generations: first
    and last; earlier pictures with a can't tell are shown again, too."""
    origin = pd.read_csv(home / "pictures.csv", index_col="id")
    origin = origin[origin["part"].isin(parts)] if parts else origin
    first, last = generations
    looks = pd.read_csv(home / "labels.csv") if first else pd.DataFrame(columns=["id", *ANSWERS])
    unsure = looks.loc[looks[list(ANSWERS)].eq(CANT_TELL).any(axis=1), "id"]
    again = origin["generation"].lt(first) & origin.index.isin(unsure)
    origin = origin[origin["generation"].between(first, last) | again]
    table = pd.read_parquet(home / "pictures.parquet").set_index("id")["image"]
    rng = np.random.default_rng([SEED, len(table)])
    ids = list(rng.permutation(origin.index))
    # Repeats come last, in the order of first looks, so that no picture is twice on one sheet.
    ids += ids[: round(TWICE * len(ids))]
    out.mkdir(parents=True, exist_ok=True)
    columns, rows = WIDTH // side, HEIGHT // (side + HEAD)
    per = columns * rows
    key = pd.DataFrame({"sheet": np.arange(len(ids)) // per, "cell": np.arange(len(ids)) % per + 1, "id": ids})
    # Sheets are shuffled, so that repeats come among the others, and so are the cells of each sheet.
    key["sheet"] = rng.permutation(key["sheet"].max() + 1)[key["sheet"]]
    key["cell"] = key.groupby("sheet")["cell"].transform(rng.permutation)
    key.sort_values(["sheet", "cell"]).to_csv(out / "key.csv", index=False)
    for number, cells in key.sort_values("cell").groupby("sheet"):
        shown = [Image.open(io.BytesIO(table[i]["bytes"])) for i in cells["id"]]
        _sheet(shown, side, columns).save(out / f"{number:03d}.png")
    print(f"{key['sheet'].max() + 1} sheets, {len(ids)} looks")


def _sheet(images: list[Image.Image], side: int, columns: int) -> Image.Image:
    sheet = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(sheet)
    for i, image in enumerate(images):
        x, y = i % columns * (WIDTH // columns), i // columns * (side + HEAD)
        draw.text((x + 2, y + 2), str(i + 1), fill="black")
        sheet.paste(image.resize((side, side), Image.Resampling.BICUBIC), (x, y + HEAD))
    return sheet


def collect(home: Path, out: Path, labeller: str) -> None:
    """Add the answers to labels.csv, one row per look (id, look, rider, mount, relation, labeller). Raises ValueError
    for an answer that is not an option, and for a missing cell."""
    key = pd.read_csv(out / "key.csv")
    looks = [_answers(out / f"{number:03d}.csv", cells) for number, cells in key.groupby("sheet")]
    table = pd.concat(looks, ignore_index=True).assign(labeller=labeller)
    table["look"] = table.groupby("id").cumcount() + 1
    labels = home / "labels.csv"
    before = pd.read_csv(labels) if labels.is_file() else table.iloc[:0]
    table = pd.concat([before[~before["id"].isin(table["id"])], table])
    table.sort_values(["id", "look"])[["id", "look", *ANSWERS, "labeller"]].to_csv(labels, index=False)
    agreement(table)


def join(home: Path, file: Path) -> None:
    """Write all looks with each picture's origin, for a run whose pictures are not kept."""
    origin = pd.read_csv(home / "pictures.csv")[["id", "arm", "seed", "generation", "prompt"]]
    origin.merge(pd.read_csv(home / "labels.csv"), on="id").to_csv(file, index=False)


def agreement(table: pd.DataFrame) -> None:
    """Print how often a second look agrees with the first, and how often the answer is can't tell."""
    twice = table[table["id"].duplicated(keep=False)].sort_values(["id", "look"])
    for question in ANSWERS:
        first, second = (twice[twice["look"] == look][question].to_numpy() for look in (1, 2))
        unsure = (table[question] == CANT_TELL).mean()
        print(f"{question}: self-agreement {(first == second).mean():.3f} of {len(first)}, can't tell {unsure:.3f}")


def _answers(file: Path, cells: pd.DataFrame) -> pd.DataFrame:
    given = pd.read_csv(file, keep_default_na=False, skipinitialspace=True)
    given = given.apply(lambda column: column.str.strip() if column.dtype == object else column)
    joined = cells[["id", "cell"]].merge(given, on="cell", how="left", validate="one_to_one")
    for question, options in ANSWERS.items():
        if wrong := sorted(set(joined[question].fillna("nothing")) - set(options)):
            raise ValueError(f"{file}: {question} has {', '.join(wrong)}; it can be {', '.join(options)}.")
    return joined[["id", *ANSWERS]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=("pick", "sheets", "collect"))
    parser.add_argument("--home", type=Path, default=HOME, help="where pictures and labels are kept")
    parser.add_argument("--run", type=Path, help="results of one run, instead of the chains")
    parser.add_argument("--shown", type=int, default=24, help="pictures of each of the run's pools")
    parser.add_argument("--at", type=int, nargs="+", default=range(0, 11, 2), help="generations of the run")
    parser.add_argument("--chains", type=Path, help="where chains.py left them")
    parser.add_argument("--junk", type=Path, help="where junk.py left its pictures")
    parser.add_argument("--out", type=Path, help="folder of the sheets, their key and their answers")
    parser.add_argument("--part", nargs="*", default=[], help="of the set, for `sheets`")
    parser.add_argument("--side", type=int, default=224, help="of a picture on a sheet, pixels")
    parser.add_argument("--generations", type=int, nargs=2, default=(0, 255), help="first and last one to label")
    parser.add_argument("--join", type=Path, help="where to write labels with their origin, for `collect`")
    parser.add_argument("--labeller", help="who answered, in words")
    options = parser.parse_args()
    home = options.home
    if options.stage == "sheets":
        sheets(home, options.out, options.part, options.side, options.generations)
    elif options.stage == "collect":
        collect(home, options.out, options.labeller)
        if options.join:
            join(home, options.join)
    elif options.run:
        rows = of_run(options.run, options.at, options.shown, SEED)
        pick(home, rows.assign(part="run", chain=options.run.name))
    else:
        pick(home, of_chains(options.chains, options.junk))


if __name__ == "__main__":
    main()
