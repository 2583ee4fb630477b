"""The labelled set `loop-truth`: pictures that feedback loops made, and what is seen in them without a cue.

    python scripts/loop_truth.py pick    --chains DIR [--junk DIR]    # choose pictures, write pictures.parquet
    python scripts/loop_truth.py sheets  --out DIR [--part PART ...]  # shuffled sheets to label, a tenth twice
    python scripts/loop_truth.py collect --out DIR --labeller WHO     # the sheets' answers, into labels.csv

`loop_truth_chains.py` made the pictures; README.md beside them says who labelled. A sheet tells nothing of prompt,
generation or arm: its cells are numbered, and `key.csv` knows which picture a cell shows. Answers to sheet 007 are
expected in 007.csv (cell, rider, mount, relation).
"""

from __future__ import annotations

import argparse
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw

from entropy_loop.worlds.storybook import scene
from loop_truth_chains import CHAINS, Chain
from loop_truth_parts import CANT_TELL, HOME, LABELS, NONE

SEED = 20261130
ORIGIN = ("part", "chain", "arm", "seed", "generation", "prompt")
ANSWERS = {
    "rider": (*scene.RIDERS, NONE, CANT_TELL),
    "mount": (*scene.MOUNTS, NONE, CANT_TELL),
    "relation": ("riding", "beside", "neither", CANT_TELL),
}
COLUMNS, ROWS, SIDE, HEAD = 4, 5, 224, 18  # a sheet's cells, and their pixels
TWICE = 0.1  # share of the pictures that is shown again, on another sheet


# -- choosing ------------------------------------------------------------------------------------------


def pick(chains: Path, junk: Path | None) -> None:
    """Write pictures.parquet (id, image: lossless WebP as `datasets` reads it) and pictures.csv (where each is from).

    An id is the first ten hex digits of its file's SHA-256, and the order is theirs: they tell nothing.
    """
    ran = [chain for chain in CHAINS if (chains / chain.name / "images.parquet").is_file()]
    rows = pd.concat([*(_of_chain(chain, chains / chain.name) for chain in ran), *_junk(junk)])
    rows["bytes"] = [_webp(Path(file)) for file in rows["file"]]
    rows["id"] = [hashlib.sha256(one).hexdigest()[:10] for one in rows["bytes"]]
    rows = rows.drop_duplicates("id").sort_values("id")
    HOME.mkdir(parents=True, exist_ok=True)
    images = [{"bytes": one, "path": None} for one in rows["bytes"]]
    pd.DataFrame({"id": rows["id"], "image": images}).to_parquet(HOME / "pictures.parquet", index=False)
    rows[["id", *ORIGIN]].to_csv(HOME / "pictures.csv", index=False)
    print(
        rows.groupby(["part", "chain"]).size().to_string(),
        f"\n{len(rows)} pictures of {len(ran)} chains of {len(CHAINS)}",
    )


def _of_chain(chain: Chain, folder: Path) -> pd.DataFrame:
    """`chain.shown` pictures of every arm, prompt and generation in `chain.at`; none twice, for arms share a pool."""
    table = pd.read_parquet(folder / "images.parquet")
    table = table[table["set"].eq("pool") & table["generation"].isin(chain.at)]
    table = table.sample(frac=1, random_state=chain.seed)
    chosen = []
    taken: set[str] = set()
    for _, group in table.groupby(["arm", "prompt", "generation"], sort=True):
        free = group[~group["file"].isin(taken)].head(chain.shown)
        taken |= set(free["file"])
        chosen.append(free)
    rows = pd.concat(chosen)[["arm", "seed", "generation", "prompt", "file"]]
    return rows.assign(part=chain.part, chain=chain.name, file=[str(folder / file) for file in rows["file"]])


def _junk(folder: Path | None) -> Iterator[pd.DataFrame]:
    """What `loop_truth_junk.py` left: pictures that broken models made."""
    if folder:
        table = pd.read_csv(folder / "junk.csv")
        yield table.assign(file=[str(folder / file) for file in table["file"]])


def _webp(file: Path) -> bytes:
    buffer = io.BytesIO()
    with Image.open(file) as image:
        image.convert("RGB").save(buffer, "WEBP", lossless=True, quality=100, method=6)
    return buffer.getvalue()


# -- labelling -----------------------------------------------------------------------------------------


def sheets(out: Path, parts: list[str]) -> None:
    """Draw the sheets and their key. parts: of the set; all of them if none are named."""
    origin = pd.read_csv(HOME / "pictures.csv", index_col="id")
    table = pd.read_parquet(HOME / "pictures.parquet").set_index("id")["image"]
    rng = np.random.default_rng([SEED, len(table)])
    ids = list(rng.permutation(origin.index[origin["part"].isin(parts)] if parts else origin.index))
    # Repeats come last in the order of first looks, so that no picture stands twice on one sheet.
    ids += ids[: round(TWICE * len(ids))]
    out.mkdir(parents=True, exist_ok=True)
    per = COLUMNS * ROWS
    key = pd.DataFrame({"sheet": np.arange(len(ids)) // per, "cell": np.arange(len(ids)) % per + 1, "id": ids})
    # Sheets of second looks are mixed in among the others, and their cells stand in another order.
    key["sheet"] = rng.permutation(key["sheet"].max() + 1)[key["sheet"]]
    key["cell"] = key.groupby("sheet")["cell"].transform(rng.permutation)
    key.sort_values(["sheet", "cell"]).to_csv(out / "key.csv", index=False)
    for number, cells in key.sort_values("cell").groupby("sheet"):
        _sheet([Image.open(io.BytesIO(table[i]["bytes"])) for i in cells["id"]]).save(out / f"{number:03d}.png")
    print(f"{key['sheet'].max() + 1} sheets, {len(ids)} looks")


def _sheet(images: list[Image.Image]) -> Image.Image:
    sheet = Image.new("RGB", (COLUMNS * (SIDE + 6), ROWS * (SIDE + HEAD + 4)), "white")
    draw = ImageDraw.Draw(sheet)
    for i, image in enumerate(images):
        x, y = i % COLUMNS * (SIDE + 6) + 3, i // COLUMNS * (SIDE + HEAD + 4)
        draw.text((x + 2, y + 2), str(i + 1), fill="black")
        sheet.paste(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC), (x, y + HEAD))
    return sheet


def collect(out: Path, labeller: str) -> None:
    """labels.csv: one row per look (id, look, rider, mount, relation, labeller), beside those that are in it. Raises
    ValueError for an answer that is none of the options, and for a sheet that lacks a cell."""
    key = pd.read_csv(out / "key.csv")
    looks = [_answers(out / f"{number:03d}.csv", cells) for number, cells in key.groupby("sheet")]
    table = pd.concat(looks, ignore_index=True).assign(labeller=labeller)
    table["look"] = table.groupby("id").cumcount() + 1
    before = pd.read_csv(LABELS) if LABELS.is_file() else table.iloc[:0]
    table = pd.concat([before[~before["id"].isin(table["id"])], table])
    table.sort_values(["id", "look"])[["id", "look", *ANSWERS, "labeller"]].to_csv(LABELS, index=False)
    agreement(table)


def agreement(table: pd.DataFrame) -> None:
    """Print how often a second look gives the first one's answer, and how often nothing could be told."""
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
    parser.add_argument("--chains", type=Path, help="where loop_truth_chains.py left them")
    parser.add_argument("--junk", type=Path, help="where loop_truth_junk.py left its pictures")
    parser.add_argument("--out", type=Path, help="folder of the sheets, their key and their answers")
    parser.add_argument("--part", nargs="*", default=[], help="of the set, for `sheets`")
    parser.add_argument("--labeller", help="who answered, in words")
    options = parser.parse_args()
    if options.stage == "pick":
        pick(options.chains, options.junk)
    elif options.stage == "sheets":
        sheets(options.out, options.part)
    else:
        collect(options.out, options.labeller)


if __name__ == "__main__":
    main()
