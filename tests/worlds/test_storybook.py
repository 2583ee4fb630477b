import itertools
import json
from collections import Counter

import numpy as np
import pytest

from entropy_loop.errors import ConfigError, StorageError
from entropy_loop.worlds.storybook import album, scene
from entropy_loop.worlds.storybook.scene import SHARES, Scene

N = 4000
CHI2 = {1: 10.828, 4: 18.467, 5: 20.515}  # 99.9 % quantiles of chi-squared by degrees of freedom
PLAIN = Scene(
    relation="rider_alone", rider="astronaut", mount="", coat="", suit="white", background="meadow", facing="right",
    place_named=False, x=32.0, ground=58.0, scale=1.1, variant=0.5, side=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    return list(scene.album(N, seed=11))


def differing(images: list[np.ndarray]) -> int:
    """The least number of pixels in which two of the images differ."""
    return min(int((a != b).any(axis=2).sum()) for a, b in itertools.combinations(images, 2))


def test_a_scene_is_the_same_in_any_album_length(scenes):
    """Scene i of an album does not depend on how many scenes are drawn; another album has other scenes."""
    assert list(scene.album(20, seed=11)) == scenes[:20]
    assert scene.sample(11, 1234) == scenes[1234]
    assert not set(scene.album(20, seed=12)) & set(scenes)


@pytest.mark.parametrize("attribute", SHARES)
def test_the_world_has_the_shares_it_states(scenes, attribute):
    """The shares of 4,000 scenes agree with SHARES by a chi-squared test at 0.1 %, where the attribute exists."""
    counts = Counter(value for s in scenes if (value := getattr(s, attribute)))
    n, shares = sum(counts.values()), SHARES[attribute]
    assert set(counts) <= set(shares)
    assert sum(shares.values()) == pytest.approx(1)
    assert sum((counts[v] - n * p) ** 2 / (n * p) for v, p in shares.items()) < CHI2[len(shares) - 1]


def test_an_attribute_is_absent_exactly_where_its_bearer_is(scenes):
    """A coat goes with a mount, a suit with a rider, a direction with either; nothing else is missing."""
    riders, mounts = {"riding", "next_to", "rider_alone"}, {"riding", "next_to", "mount_alone"}
    for s in scenes:
        assert (bool(s.rider), bool(s.suit)) == (s.relation in riders,) * 2
        assert (bool(s.mount), bool(s.coat)) == (s.relation in mounts,) * 2
        assert bool(s.facing) == (s.relation != "empty")


def test_riders_and_mounts_that_stand_alone_are_uniform(scenes):
    """What prompts ask for has no tail: 8 riders and 8 mounts come equally often where no pair is left out."""
    for relation, name in (("rider_alone", "rider"), ("mount_alone", "mount")):
        counts = Counter(getattr(s, name) for s in scenes if s.relation == relation)
        n = sum(counts.values())
        assert len(counts) == 8
        # The pairs that are never drawn make four of the sixteen names rarer by at most an eighth.
        assert all(abs(count - n / 8) < 5 * (n / 8) ** 0.5 for count in counts.values())


def test_unseen_pairs_are_never_drawn_unless_asked_for(scenes):
    """The two held-out pairs are in no album; fixing both names draws them."""
    pairs = {(s.rider, s.mount) for s in scenes}
    assert pairs.isdisjoint({("wizard", "camel"), ("pirate", "cow")})
    for index in range(200):
        assert scene.sample(0, index, relation="riding", rider="wizard").mount != "camel"
        assert scene.sample(0, index, relation="riding", mount="cow").rider != "pirate"
    wanted = scene.sample(0, 0, relation="riding", rider="wizard", mount="camel")
    assert (wanted.rider, wanted.mount) == ("wizard", "camel")


def test_every_other_pair_is_drawn(scenes):
    """All 62 other pairs of a rider and a mount come up."""
    assert len({(s.rider, s.mount) for s in scenes if s.rider and s.mount}) == 8 * 8 - 2


def test_captions_use_the_vocabulary_alone(scenes):
    """Every word of 4,000 captions is in VOCABULARY, and every word of VOCABULARY is used."""
    words = {word for s in scenes for word in scene.caption(s).split()}
    assert words == set(scene.VOCABULARY)


@pytest.mark.parametrize(
    ("fixed", "named", "text"),
    [
        ({"relation": "riding", "rider": "astronaut", "mount": "horse"}, False, "an astronaut riding a horse"),
        (
            {"relation": "next_to", "rider": "cat", "mount": "elephant", "background": "moon"},
            True,
            "a cat standing next to an elephant on the moon",
        ),
        ({"relation": "mount_alone", "mount": "pig", "background": "meadow"}, True, "a pig in a meadow"),
        ({"relation": "empty", "background": "snow"}, False, "the snow"),
        ({"relation": "empty", "background": "city"}, True, "a city"),
    ],
)
def test_a_caption_says_what_is_there_in_the_essays_form(fixed, named, text):
    """'a photograph of an astronaut riding a horse', with the place where the scene names it."""
    drawn = next(s for i in range(100) if (s := scene.sample(0, i, **fixed)).place_named == named)
    assert scene.caption(drawn) == f"a photograph of {text}"


def vary(**changes: str) -> np.ndarray:
    return scene.render(Scene(**{**PLAIN.__dict__, **changes}))


@pytest.mark.parametrize("relation", ["rider_alone", "riding"])
def test_every_rider_is_drawn_in_both_poses(relation):
    """The 8 riders differ from each other standing and seated, in more than a few pixels of 64 x 64."""
    mount = {"mount": "horse", "coat": "brown"} if relation == "riding" else {}
    images = [vary(relation=relation, rider=rider, **mount) for rider in scene.RIDERS]
    assert len(images) == 8
    assert {image.shape for image in images} == {(64, 64, 3)}
    assert differing(images) > 60


def test_every_mount_is_drawn():
    """The 8 mounts differ from each other."""
    images = [vary(relation="mount_alone", rider="", suit="", mount=m, coat="brown") for m in scene.MOUNTS]
    assert len(images) == 8
    assert differing(images) > 200


@pytest.mark.parametrize(("attribute", "at_least"), [("background", 1000), ("coat", 100), ("suit", 40)])
def test_every_value_of_an_attribute_is_drawn(attribute, at_least):
    """The 6 values of each attribute differ from each other in many pixels."""
    riding = {"relation": "riding", "mount": "horse", "coat": "brown"}
    images = [vary(**{**riding, attribute: value}) for value in SHARES[attribute]]
    assert len(images) == 6
    assert differing(images) > at_least


def test_riding_differs_from_standing_beside():
    """The same rider and mount astride, beside on either side, and mirrored, are four different pictures."""
    pair = {"mount": "horse", "coat": "brown"}
    images = [vary(relation="riding", **pair), vary(relation="riding", facing="left", **pair)]
    images += [vary(relation="next_to", side=side, **pair) for side in (1, -1)]
    assert differing(images) > 300


def ignore(share: float) -> None:
    """Progress that nobody watches."""


def test_datasets_loads_an_album_with_its_truth(tmp_path):
    """load_dataset("imagefolder") gives every image with its caption and its true attributes."""
    datasets = pytest.importorskip("datasets")
    folder = album.write(6, 3, tmp_path / "world", ignore)
    cache = str(tmp_path / "cache")
    loaded = datasets.load_dataset("imagefolder", data_dir=str(folder), split="train", cache_dir=cache)
    expected = list(scene.album(6, 3))
    assert loaded["text"] == [scene.caption(s) for s in expected]
    for name in ("relation", "rider", "mount", "coat", "suit", "background", "facing", "place_named", "x", "side"):
        assert loaded[name] == [getattr(s, name) for s in expected]
    assert np.array_equal(np.asarray(loaded[5]["image"]), scene.render(expected[5]))


def test_a_shorter_album_leaves_nothing_of_a_longer_one(tmp_path):
    """Written again with fewer scenes, the folder holds just these; the sheet lies beside it, not in it."""
    album.write(5, 3, tmp_path, ignore)
    folder = album.write(2, 3, tmp_path, ignore)
    assert sorted(p.name for p in folder.iterdir()) == ["000000.png", "000001.png", "metadata.jsonl"]
    lines = (folder / "metadata.jsonl").read_text().splitlines()
    assert [json.loads(line)["file_name"] for line in lines] == ["000000.png", "000001.png"]
    assert (tmp_path / "contact_sheet.png").is_file()


def test_images_that_are_no_album_are_left_alone(tmp_path):
    """Numbered images without the metadata that we write may be anybody's: nothing is deleted."""
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "000007.png").write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"holds 000007.png but no metadata.jsonl"):
        album.write(1, 0, tmp_path, ignore)
    assert [p.read_bytes() for p in (tmp_path / "images").iterdir()] == [b"mine"]


def test_an_album_below_a_file_is_a_storage_error(tmp_path):
    """A folder that cannot be made is refused in one sentence."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="Not a directory"):
        album.write(1, 0, tmp_path / "file", ignore)
