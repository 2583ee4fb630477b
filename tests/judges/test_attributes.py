"""The attribute reader that ships, on drawings of an album that neither its training nor its measuring has seen."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from entropy_loop import assets
from entropy_loop.data import ATTRIBUTES, Samples
from entropy_loop.errors import ConfigError
from entropy_loop.judges.attributes import AttributeEmbedder, AttributeReader, load, pixels
from entropy_loop.metrics.diversity import vendi_score
from entropy_loop.metrics.resample import interval
from entropy_loop.worlds.storybook import scene

FOLDER = Path(assets.__file__).parent / "storybook-attributes"
READER = AttributeReader(str(FOLDER))
KNOWN = {name: entry["values"] for name, entry in READER.attributes().items()}
ALBUM, N = 60_007, 240
Read = Callable[[dict[str, np.ndarray]], pd.DataFrame]


def ignore(share: float) -> None:
    """Progress that nobody watches."""


def even(index: int) -> scene.Scene:
    """Scene `index` of the album with every attribute's values equally often, so that rare ones are tested too."""
    rng = np.random.default_rng([ALBUM, index, 1])  # not the stream of the scene itself
    names = ("coat", "suit", "background", "facing")
    return scene.sample(ALBUM, index, **{name: str(rng.choice(list(scene.SHARES[name]))) for name in names})


def kept_in(folder: Path, images: dict[str, np.ndarray]) -> Samples:
    folder.mkdir()
    for name, image in images.items():
        Image.fromarray(image).save(folder / f"{name}.png")
    table = pd.DataFrame({"id": list(images), "file": [f"{name}.png" for name in images]})
    table.to_parquet(folder / "samples.parquet")
    return Samples(folder)


def read_in(folder: Path, images: dict[str, np.ndarray]) -> pd.DataFrame:
    return READER.read(kept_in(folder, images), ignore)


def embedded_in(folder: Path, images: dict[str, np.ndarray]) -> np.ndarray:
    return AttributeEmbedder(str(FOLDER)).embed(kept_in(folder, images), ignore).vectors


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads images (name -> pixels) and returns the table."""
    return lambda images: read_in(tmp_path / "images", images)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """What the reader says of N drawings, with the truth beside it ('' where the drawing has none)."""
    scenes = {f"s{i:03d}": even(i) for i in range(N)}
    table = read_in(tmp_path_factory.mktemp("drawn") / "images", {k: scene.render(s) for k, s in scenes.items()})
    truth = [getattr(scenes[row.id], row.attribute) for row in table.itertuples()]
    return table.assign(truth=truth)


def test_every_value_is_read_from_fresh_drawings(drawn):
    """At least 95 of 100 drawings that show a value are read as that value, rare ones as well as common ones."""
    shown = drawn[drawn["truth"] != ""]
    right = (shown["value"] == shown["truth"]).groupby([shown["attribute"], shown["truth"]])
    assert set(right.groups) == {(name, value) for name, values in KNOWN.items() for value in values}
    assert right.size().min() >= 20
    assert right.mean().min() >= 0.95, right.mean().sort_values().head()


def test_what_is_not_there_is_absent(drawn):
    """A rider alone has no coat and an animal alone no suit: no value, and the reason says so."""
    missing = drawn[drawn["truth"] == ""]
    assert set(missing["attribute"]) == {"coat", "suit", "facing"}
    assert (missing["reason"] == "absent").mean() >= 0.95


def test_the_table_has_a_value_or_a_reason(drawn):
    """One row per image and attribute; scores are probabilities; a value is a known one, or empty with a reason."""
    assert list(drawn.columns[:-1]) == list(ATTRIBUTES)
    assert len(drawn) == N * len(KNOWN) == len(drawn.drop_duplicates(["id", "attribute"]))
    assert drawn["score"].between(0, 1).all()
    assert set(drawn["reason"]) <= {"", "absent", "unreadable"}
    assert (drawn["value"].isna() == (drawn["reason"] != "")).all()
    given = drawn[drawn["value"].notna()]
    assert all(row.value in KNOWN[row.attribute] for row in given.itertuples())


def shuffled(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image's 8 x 8 tiles in random order."""
    tiles = image.reshape(8, 8, 8, 8, 3).swapaxes(1, 2).reshape(64, 8, 8, 3)
    return rng.permutation(tiles).reshape(8, 8, 8, 8, 3).swapaxes(1, 2).reshape(64, 64, 3)


def test_junk_is_unreadable(read):
    """Noise, one colour and shuffled tiles have no attributes: at most 2 of 100 answers are a value."""
    rng = np.random.default_rng(5)
    junk = {f"noise{i}": rng.integers(0, 256, (64, 64, 3), dtype=np.uint8) for i in range(20)}
    junk |= {f"blank{i}": np.full((64, 64, 3), rng.integers(0, 256, 3), np.uint8) for i in range(20)}
    junk |= {f"tiles{i}": shuffled(scene.render(even(1000 + i)), rng) for i in range(20)}
    table = read(junk)
    assert table["value"].notna().mean() <= 0.02
    assert (table["reason"] == "unreadable").mean() >= 0.95


def test_an_image_is_read_alone(drawn, read):
    """The same answers, to the last bit of the score, whatever else is read."""
    alone = read({f"s{i:03d}": scene.render(even(i)) for i in (7, 3)})
    both = drawn.drop(columns="truth").set_index(["id", "attribute"]).loc[["s007", "s003"]]
    pd.testing.assert_frame_equal(alone.set_index(["id", "attribute"]), both, check_exact=True)


def test_the_measurements_of_the_reader_ship_with_it():
    """Each value's diagonal is at least .95 of at least 100 drawings, clean and through the codec."""
    for name, entry in READER.attributes().items():
        for version in ("clean", "round_trip"):
            counts = np.array(entry["confusion"][version])[: len(entry["values"])]
            assert counts.sum(axis=1).min() >= 100, (name, version)
            assert (np.diag(counts) / counts.sum(axis=1)).min() >= 0.95, (name, version)


def test_the_reader_is_small_and_plain_timm_loads_it():
    """At most 6 MB in all; timm alone reads the folder and gives the same logits."""
    import timm
    import torch

    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 6e6
    network = timm.create_model(f"local-dir:{FOLDER}", pretrained=True).eval()
    image = pixels(Image.fromarray(scene.render(even(0))))
    with torch.inference_mode():
        assert torch.equal(network(image), load(FOLDER)(image))


def test_the_reader_says_what_it_can_read():
    """What the model does not read is a mistake of the config, answered with what it does read."""
    READER.ready({name: tuple(values) for name, values in KNOWN.items()})
    with pytest.raises(ConfigError, match=r"attributes\.hat: storybook-attributes does not read it; known: background"):
        READER.ready({"hat": ("red",)})
    with pytest.raises(ConfigError, match=r"attributes\.coat: .* does not read 'gray'; .*Did you mean 'grey'"):
        READER.ready({"coat": ("brown", "gray")})


def test_a_folder_without_attributes_is_refused(tmp_path):
    """A model of another kind is no reader, and the message says which file is missing."""
    (tmp_path / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")  # no tensors
    with pytest.raises(ConfigError, match=r"no attributes\.json"):
        AttributeReader(str(tmp_path)).ready({})


def essays(first: int, n: int = 96, sigma: float = 0.0, **fixed: str) -> dict[str, np.ndarray]:
    """Scenes of the essay's prompt from the album, with Gaussian noise of `sigma` of the range on their pixels."""
    rng, asked = np.random.default_rng(first), {"relation": "riding", "rider": "astronaut", "mount": "horse"}
    drawn = (scene.render(scene.sample(ALBUM, first + i, **asked, **fixed)) for i in range(n))
    noisy = [np.clip(np.rint(image + rng.normal(scale=255 * sigma, size=image.shape)), 0, 255) for image in drawn]
    return {f"e{i:03d}": image.astype(np.uint8) for i, image in enumerate(noisy)}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Embeddings of scenes of the essay's prompt, coats and places at the world's shares."""
    return embedded_in(tmp_path_factory.mktemp("essays") / "images", essays(0))


def vendi(images: np.ndarray) -> dict[str, float]:
    return {"vendi": vendi_score(images)}


def test_scenes_of_one_coat_and_place_are_less_diverse(scenes, tmp_path):
    """The Vendi score of the embedding knows scenes: the intervals of cut and uncut ones are far from each other."""
    cut = embedded_in(tmp_path / "cut", essays(2000, coat="brown", background="meadow"))
    assert interval(vendi, cut)["vendi"].high < 0.75 * interval(vendi, scenes)["vendi"].low


@pytest.mark.parametrize("sigma", [0.1, 0.2])
def test_noise_is_not_taken_for_variety(scenes, tmp_path, sigma):
    """Other scenes under noise that one cannot overlook score no higher than clean ones may."""
    noisy = embedded_in(tmp_path / "noisy", essays(4000, sigma=sigma))
    assert vendi_score(noisy) < interval(vendi, scenes)["vendi"].high
