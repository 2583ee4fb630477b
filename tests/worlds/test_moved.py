"""Images that are moved show the same."""

import numpy as np
import pandas as pd
from PIL import Image

from entropy_loop.data import Samples
from entropy_loop.worlds import moved


def quiet(share: float) -> None:
    """Nobody listens."""


def pool(folder, prompts: list[str]) -> Samples:
    """Images of 5 x 4 pixels, all different, with what a generator records of them."""
    folder.mkdir()
    rows = []
    for i, prompt in enumerate(prompts):
        pixels = np.arange(60, dtype=np.uint8).reshape(4, 5, 3) + i
        Image.fromarray(pixels).save(folder / f"{i}.png")
        rows.append({"id": f"p000-00-{i:06d}", "prompt": prompt, "image_seed": i, "file": f"{i}.png"})
    table = pd.DataFrame(rows).assign(latent_sha256="x", darkest=0, brightest=60, pixel_sha256="y")
    table.to_parquet(folder / "samples.parquet", index=False)
    return Samples(folder)


def test_a_mirrored_image_is_turned_and_a_shifted_one_repeats_its_edge(tmp_path):
    """To the pixel: columns backwards; two rows and columns of the edge, and then the image."""
    (tmp_path / "out").mkdir()
    moved.move(pool(tmp_path / "pool", ["a horse"]), ("a horse",), 1, tmp_path / "out", quiet)
    table = pd.read_parquet(tmp_path / "out" / "samples.parquet").set_index("move")
    before = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    mirror, shift = (np.asarray(Image.open(tmp_path / "out" / table.at[name, "file"])) for name in ("mirror", "shift"))
    assert (mirror == before[:, ::-1]).all()
    assert (shift[2:, 2:] == before[:-2, :-2]).all()
    assert (shift[:3, 2:] == before[0, :-2]).all()
    assert (shift[2:, :3] == before[:-2, :1]).all()
    assert (shift[:2, :2] == before[0, 0]).all()


def test_the_first_images_of_each_prompt_are_moved_and_named_after_their_originals(tmp_path):
    """Two of each target, in the pool's order, both ways; others are left; of what was recorded, what still holds."""
    (tmp_path / "out").mkdir()
    prompts = ["a horse", "a cow", "a horse", "a pig", "a horse", "a cow"]
    moved.move(pool(tmp_path / "pool", prompts), ("a horse", "a cow"), 2, tmp_path / "out", quiet)
    table = pd.read_parquet(tmp_path / "out" / "samples.parquet")
    assert table["of"].tolist() == [f"p000-00-{i:06d}" for i in (0, 0, 1, 1, 2, 2, 5, 5)]
    assert table["move"].tolist() == ["mirror", "shift"] * 4
    assert table["id"].is_unique
    assert table["prompt"].tolist() == [prompts[i] for i in (0, 0, 1, 1, 2, 2, 5, 5)]
    assert list(table) == ["id", "prompt", "image_seed", "file", "latent_sha256", "of", "move"]
    assert table["latent_sha256"].is_unique
