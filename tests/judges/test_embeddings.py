"""What every embedder returns, whichever model made the vectors."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from entropy_loop.contracts import Embedded, Embedder
from entropy_loop.data import Samples
from entropy_loop.judges.attributes import AttributeEmbedder
from entropy_loop.judges.clip import ClipEmbedder
from entropy_loop.judges.loaded import BLOCK
from entropy_loop.metrics.noise import noise
from entropy_loop.worlds.storybook import scene

EMBEDDERS = [ClipEmbedder("bundled:storybook-judge"), AttributeEmbedder()]
SIZES = {"b": (64, 64), "a": (80, 48)}
every_embedder = pytest.mark.parametrize("embedder", EMBEDDERS, ids=lambda embedder: type(embedder).__name__)


def samples(folder: Path, images: dict[str, np.ndarray]) -> Samples:
    folder.mkdir()
    for name, image in images.items():
        Image.fromarray(image).save(folder / f"{name}.png")
    table = pd.DataFrame({"id": list(images), "file": [f"{name}.png" for name in images]})
    table.to_parquet(folder / "samples.parquet")
    return Samples(folder)


def embedded(embedder: Embedder, folder: Path, images: dict[str, np.ndarray]) -> Embedded:
    return embedder.embed(samples(folder, images), lambda share: None)


@every_embedder
def test_an_image_is_embedded_alone(embedder, tmp_path):
    """The same vector, to the last bit, whatever else is embedded: here one more image than fits into a block."""
    scenes = {f"s{i:03d}": scene.render(scene.sample(11, i)) for i in range(BLOCK + 1)}
    every, _ = embedded(embedder, tmp_path / "every", scenes)
    single, _ = embedded(embedder, tmp_path / "single", {"s064": scenes["s064"]})
    assert every.dtype == np.float32
    assert (single[0] == every[64]).all()
    assert not (every[0] == every[64]).all()


@every_embedder
def test_noise_is_that_of_the_files_own_pixels(embedder, tmp_path):
    """One row per image in the samples' order, and images may have any size."""
    rng = np.random.default_rng(1)
    images = {name: rng.integers(256, size=(*size, 3), dtype=np.uint8) for name, size in SIZES.items()}
    vectors, indices = embedded(embedder, tmp_path / "out", images)
    pd.testing.assert_frame_equal(indices, noise(images.values()))
    assert len(vectors) == len(SIZES)


@every_embedder
def test_a_set_without_images_has_no_embeddings(embedder, tmp_path):
    """None is no mistake: two tables without rows."""
    vectors, indices = embedded(embedder, tmp_path / "none", {})
    assert len(vectors) == len(indices) == 0
