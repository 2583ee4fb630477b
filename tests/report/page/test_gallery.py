"""Picture sheets: which image stands where, and how it is marked. Each image has one colour of its own."""

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from entropy_loop.analysis.judgements import ImageJudgements
from entropy_loop.analysis.tables import Tables
from entropy_loop.data import IMAGES, RATES, RUN_JUDGEMENTS, WITHHELD, columns
from entropy_loop.plan import plan
from entropy_loop.report.figures.sheets import FOOT, FRAME, GAP, YES
from entropy_loop.report.page.gallery import Gallery, Picture
from entropy_loop.report.view import View
from entropy_loop.study import study

GENERATIONS, SEEDS, SIDE = 2, 18, 128
CONFIG = {
    "name": "colours",
    "generations": GENERATIONS,
    "prompts": [{"text": "a prompt", "concepts": ["astronaut", "horse"]}],
    "generator": {"use": "categorical", "rates": {}},
    "judges": [{"use": "exact"}],
    "curate": {"scorer": {"use": "exact"}, "policy": {"use": "top_k", "k": 2}},
}
KEPT_IDS = {"p000-00-000001": 1, "p000-00-000003": 2}  # id -> rank
HORSES = {("e000-00-000000", 0), ("e000-00-000002", 1)}  # where both concepts are there; an astronaut is everywhere


def colour(generation: int, index: int) -> tuple[int, int, int]:
    return 10 + 10 * index, 20 + 40 * generation, 200


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    """An arm that keeps two images of six, with an evaluation set that has not been judged at generation 2."""
    images, judgements = [], []
    for g in range(GENERATIONS + 1):
        for stream, count in (("pool", 6), ("evaluation", SEEDS)):
            for i in range(count):
                name = f"{stream[0]}{g if stream == 'pool' else 0:03d}-00-{i:06d}"
                file = f"{stream}-{g}-{i}.png"
                Image.new("RGB", (SIDE, SIDE), colour(g, i)).save(tmp_path / file)
                row = {"run": "top_k-2-seed0", "generation": g, "set": stream, "id": name}
                image = row | {"arm": "top_k-2", "seed": 0, "prompt": "a prompt", "image_seed": 1000 + i, "file": file}
                curated = stream == "pool" and g == 0
                images.append(image | ({"kept": name in KEPT_IDS, "rank": KEPT_IDS.get(name, 6)} if curated else {}))
                if g < GENERATIONS:
                    answers = {"astronaut": True, "horse": (name, g) in HORSES}
                    judgements += [row | {"concept": c, "judge": "exact", "answer": a} for c, a in answers.items()]
    empty = {field.name: pd.DataFrame() for field in fields(Tables)}
    known = {"images": columns(pd.DataFrame(images), IMAGES), "rates": columns(pd.DataFrame(), RATES)}
    known |= {"withheld": columns(pd.DataFrame(), WITHHELD)}
    known |= {"judgements": columns(pd.DataFrame(judgements), RUN_JUDGEMENTS)}
    return Gallery(
        View(plan(study.check(CONFIG)), Tables(**empty | known)), tmp_path, ImageJudgements(known["judgements"])
    )


def test_the_first_screen_shows_a_few_seeds_in_every_generation(gallery):
    """Six seeds of one arm, each in all three generations."""
    (sheet,) = gallery.first_screen(gallery.view.targets[0])
    assert sheet.columns == ["generation 0", "1", "2"]
    assert [[tile.image.image_seed for tile in row] for row in sheet.rows] == [[1000 + i] * 3 for i in range(6)]
    assert [tile.image.generation for tile in sheet.rows[0]] == [0, 1, 2]


def test_an_image_that_was_withheld_leaves_its_place_empty(gallery):
    """A safety checker took one image of generation 1 and all of generation 2: every row keeps its seed."""
    images = gallery.view.tables.images
    lost = (images["id"] == "e000-00-000001") & (images["generation"] == 1) | (images["generation"] == 2)
    sets = [("top_k-2-seed0", 1, "evaluation", SEEDS, 1), ("top_k-2-seed0", 2, "evaluation", SEEDS, SEEDS)]
    tables = replace(gallery.view.tables, images=images[~lost], withheld=pd.DataFrame(sets, columns=list(WITHHELD)))
    left = Gallery(View(gallery.view.plan, tables), gallery.root, gallery.judgements)
    (sheet,) = left.first_screen(left.view.targets[0])
    seeds = [[tile.image.image_seed if tile.image else tile.note for tile in row] for row in sheet.rows]
    assert seeds == [[1000 + i, "withheld" if i == 1 else 1000 + i, "withheld"] for i in range(6)]


def test_an_arm_with_fewer_seeds_is_not_shown_as_withheld(gallery):
    """What an arm did not ask for is not there, and its place has no note; arms whose prompts stand in another order
    share their rows."""
    arms = {"evaluation.images": [SEEDS, 1]}
    both = View(plan(study.check(CONFIG | {"sweep": arms})), gallery.view.tables)
    first, second = (chain.planned.name for chain in both.chains)
    images = gallery.view.tables.images
    few = images[(images["set"] != "evaluation") | (images["id"] == "e000-00-000000")]
    few = few.assign(run=second, id=few["id"].str.replace("-00-", "-01-"))
    tables = replace(gallery.view.tables, images=pd.concat([images.assign(run=first), few]))
    strips = list(Gallery(View(both.plan, tables), gallery.root, gallery.judgements).filmstrips(both.targets[0], 1))
    notes = [[[tile.image.image_seed if tile.image else tile.note for tile in row] for row in s.rows] for s in strips]
    assert notes == [[[1000] * 3] * 2, [[1001] * 3, [""] * 3], [[1002] * 3, [""] * 3]]


@pytest.mark.parametrize("generations", [6, 7, 12, 50])
def test_the_first_screen_has_room_for_seven_generations(gallery, generations):
    """Of a longer run it shows every n-th generation, and always the first and the last."""
    longer = plan(study.check(CONFIG | {"generations": generations}))
    seen = Gallery(View(longer, gallery.view.tables), gallery.root, gallery.judgements)
    (sheet,) = seen.first_screen(seen.view.targets[0])
    assert len(sheet.columns) <= 7
    assert (sheet.columns[0], sheet.columns[-1]) == ("generation 0", str(generations))


def cells(picture: Picture, folder: Path) -> dict[tuple[int, int, int], str]:
    """Colour of each image on a sheet -> what stands around it: 'framed', and its mark by the look of its middle."""
    (folder / "sheet.png").write_bytes(picture.png)
    page, marks = Image.open(folder / "sheet.png").convert("RGB"), {}
    pixels = np.asarray(page)
    inside = (pixels[:, :, 1] <= 100) & (pixels[:, :, 2] == 200)  # no text and no mark looks like that
    top, left = int(inside.any(axis=1).argmax()), int(inside.any(axis=0).argmax())
    for y in range(top, page.height - FOOT, SIDE + FOOT):
        for x in range(left, page.width - SIDE, SIDE + GAP):
            image = page.getpixel((x + SIDE // 2, y + SIDE // 2))
            framed = "framed" if page.getpixel((x - 2, y + SIDE // 2)) == FRAME else ""
            dot = page.crop((x + SIDE // 2 - 6, y + SIDE + 5, x + SIDE // 2 + 6, y + SIDE + 17))
            marks[image] = framed or {YES: "yes", (255, 255, 255): "no"}.get(dot.getpixel((6, 6)), "missing")
    return marks


def test_an_image_has_the_mark_that_the_judge_gave_it(gallery, tmp_path):
    """A full dot where all concepts were recognised in that image of that generation, a ring elsewhere, a dash
    where nothing has been judged."""
    (sheet,) = gallery.contact_sheets(gallery.view.targets[0], 1)
    marks = cells(sheet, tmp_path)
    assert {image for image, mark in marks.items() if mark == "yes"} == {colour(0, 0), colour(1, 2)}
    assert {image for image, mark in marks.items() if mark == "missing"} == {colour(2, i) for i in range(16)}
    assert len(marks) == 3 * 16


def test_exactly_the_kept_images_are_framed(gallery, tmp_path):
    """On the sheet of a pool the images that were passed on have a frame, the others none; the title counts them."""
    (sheet,) = gallery.pools(gallery.view.targets[0], 1)
    framed = {image for image, mark in cells(sheet, tmp_path).items() if mark == "framed"}
    assert framed == {colour(0, 1), colour(0, 3)}
    assert sheet.title == "top_k-2, generation 0: 2 of these 6 were kept, 2 of all 6"


def test_the_curators_ranks_stand_below_the_images(gallery):
    """Each image of a pool has its own rank as its note."""
    (pool,) = [rows for (_, g, stream, _), rows in gallery._images.items() if (g, stream) == (0, "pool")]
    shown = {image.id: gallery._pool_tile(image).note for image in pool}
    assert {name: shown[name] for name in KEPT_IDS} == {"p000-00-000001": "rank 1", "p000-00-000003": "rank 2"}


def test_a_sheet_of_some_seeds_says_how_many_there_are(gallery):
    """Sixteen seeds at most stand on a sheet; where there are more, the title says so."""
    (sheet,) = gallery.contact_sheets(gallery.view.targets[0], 1)
    assert sheet.title == "top_k-2: the first 16 of 18 seeds"


def test_strips_follow_one_seed(gallery, tmp_path):
    """A filmstrip shows one seed in every generation."""
    first, second, third = gallery.filmstrips(gallery.view.targets[0], 1)
    assert [first.title, second.title, third.title] == ["seed 1000", "seed 1001", "seed 1002"]
    assert list(cells(second, tmp_path)) == [colour(g, 1) for g in range(3)]
