import json
from pathlib import Path

import pytest
from PIL import Image

from entropy_loop.errors import ConfigError
from entropy_loop.worlds.labelled import Labelled, folder, storybook
from entropy_loop.worlds.storybook import album, scene

ESSAY, COW = ("astronaut", "horse", "riding"), ("cow", "beach")


def ignore(share: float) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory) -> Labelled:
    return storybook((ESSAY, COW), 600, 3, tmp_path_factory.mktemp("drawn"), ignore)


def test_each_concept_has_images_with_it_and_without_it(drawn):
    """Of 600 scenes for two prompts at least 60 show each concept, and all concepts of each prompt; 250 do not."""
    truth = drawn.truth.assign(essay=drawn.truth[list(ESSAY)].all(axis=1), cow_beach=drawn.truth[list(COW)].all(axis=1))
    assert list(drawn.truth.columns) == [*ESSAY, *COW]
    assert truth.sum().min() > 60
    assert (~truth).sum().min() >= 250


def test_near_misses_are_among_them(drawn):
    """Astronauts and horses without riding, and other riders on horses: each is judged on its own."""
    truth = drawn.truth
    assert (truth["astronaut"] & truth["horse"] & ~truth["riding"]).sum() >= 20
    assert (truth["riding"] & truth["horse"] & ~truth["astronaut"]).sum() >= 20
    assert (truth["riding"] & ~truth["horse"] & ~truth["astronaut"]).sum() >= 20


def test_the_same_seed_draws_the_same_scenes(drawn, tmp_path):
    """Scene i is the same in any number of scenes; another seed draws others."""
    again, other = (storybook((ESSAY, COW), 20, seed, tmp_path, ignore) for seed in (3, 4))
    assert again.truth.equals(drawn.truth.head(20))
    again = storybook((ESSAY, COW), 20, 3, tmp_path, ignore)
    assert all(a.read_bytes() == b.read_bytes() for a, b in zip(again.files, drawn.files[:20], strict=True))
    assert not other.truth.equals(again.truth)


def test_riding_is_astride_whoever_rides_whatever():
    """A cat on a turtle rides; an astronaut beside a horse does not, though both are there."""
    cat = scene.sample(1, 0, relation="riding", rider="cat", mount="turtle")
    beside = scene.sample(1, 0, relation="next_to", rider="astronaut", mount="horse")
    assert {name for name, shown in scene.shows(cat).items() if shown} == {"cat", "turtle", "riding", cat.background}
    assert {n for n, shown in scene.shows(beside).items() if shown} == {"astronaut", "horse", beside.background}


def test_what_the_world_does_not_draw_is_refused(tmp_path):
    """A concept outside the world is named, with what to do."""
    with pytest.raises(ConfigError, match=r"concepts\.giraffe: .*does not draw it.*--images"):
        storybook((("astronaut", "giraffe"),), 4, 0, tmp_path, ignore)


def test_an_album_is_a_labelled_folder(tmp_path):
    """What `world storybook` writes has a truth column for every concept."""
    images = album.write(30, 5, tmp_path, ignore)
    labelled = folder(images, ESSAY)
    expected = [[scene.shows(s)[name] for name in ESSAY] for s in scene.album(30, 5)]
    assert labelled.truth.to_numpy(bool).tolist() == expected
    assert [path.name for path in labelled.files] == sorted(path.name for path in images.glob("*.png"))


def labelled_by(tmp_path: Path, *rows: dict[str, object]) -> Path:
    lines = []
    for i, row in enumerate(rows):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{i}.png")
        lines.append(json.dumps({"file_name": f"{i}.png"} | row))
    (tmp_path / "metadata.jsonl").write_text("\n".join(lines))
    return tmp_path


def test_an_image_may_lack_a_label(tmp_path):
    """Where people said nothing, null or no entry at all, the label is missing, not false."""
    rows = labelled_by(tmp_path, {"horse": True}, {"horse": None, "riding": False}, {"riding": True, "horse": False})
    truth = folder(rows, ("horse", "riding")).truth
    assert truth["horse"].tolist() == [True, truth["horse"].array.dtype.na_value, False]
    assert truth["riding"].isna().tolist() == [True, False, False]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (({"horse": True}, {"horse": 1}), r"line 2: 'horse' is 1; a label is true, false, or null"),
        (({"horse": "yes"},), r"line 1: 'horse' is 'yes'"),
        (({"hors": True},), r"no column 'horse' of true and false; known: hors\. Did you mean 'hors'"),
        (({"horse": True, "file_name": "../x.png"},), r"line 1: '../x\.png' is no file of this folder"),
    ],
)
def test_a_table_with_other_labels_is_refused(tmp_path, rows, message):
    """Labels that are no truth values, a missing column, and files outside of the folder: errors name their place."""
    with pytest.raises(ConfigError, match=message):
        folder(labelled_by(tmp_path, *rows), ("horse",))


def test_a_folder_without_a_table_is_refused(tmp_path):
    """The message says which file is missing."""
    with pytest.raises(ConfigError, match=r"metadata\.jsonl: no such file"):
        folder(tmp_path, ("horse",))
