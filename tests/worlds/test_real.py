import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from entropy_loop.data import Prompt, Request
from entropy_loop.errors import ConfigError
from entropy_loop.worlds.imagefolder import ImageFolder
from entropy_loop.worlds.storybook import scene
from entropy_loop.worlds.storybook.real import Storybook, parse_prompt

ESSAY = "a photograph of an astronaut riding a horse"


def requests(n: int, prompt: str = ESSAY, first: int = 0) -> list[Request]:
    return [Request(f"r{i}", prompt, i, 1000 + i) for i in range(first, first + n)]


def drawn(source, out: Path, wanted: list[Request]) -> pd.DataFrame:
    out.mkdir()
    source.draw(wanted, out, lambda share: None)
    return pd.read_parquet(out / "samples.parquet")


def pixels(out: Path, table: pd.DataFrame) -> np.ndarray:
    return np.stack([np.asarray(Image.open(out / file)) for file in table["file"]])


def test_the_storybook_draws_what_the_prompt_asks_for_and_leaves_the_rest_open(tmp_path):
    """60 scenes of the essay's prompt: all astronauts riding horses, in more than one coat and place."""
    table = drawn(Storybook(), tmp_path / "out", requests(60))
    assert set(zip(table["rider"], table["mount"], table["relation"], strict=True)) == {
        ("astronaut", "horse", "riding")
    }
    assert table["coat"].nunique() > 2
    assert table["background"].nunique() > 2


@pytest.mark.parametrize("index", range(40))
def test_every_caption_of_the_world_can_be_asked_for(index):
    """A caption, parsed as a prompt, fixes only what its scene shows."""
    sampled = scene.sample(5, index)
    for name, value in parse_prompt(scene.caption(sampled)).items():
        assert getattr(sampled, name) == value


@pytest.mark.parametrize("prompt", ["a photograph of a giraffe", "a horse", "a photograph of a horse riding a horse"])
def test_what_the_world_cannot_draw_is_refused(prompt):
    """A prompt outside the closed world is an error with what it can draw, not another picture."""
    with pytest.raises(ConfigError, match="storybook world"):
        parse_prompt(prompt)


def test_data_can_be_cut_to_attribute_values_and_corrupted(tmp_path):
    """One coat and one place in every scene; noise of .2 moves pixels by about a fifth of the range."""
    cut = drawn(Storybook(only={"coat": "blue", "background": "moon"}), tmp_path / "cut", requests(8))
    assert set(zip(cut["coat"], cut["background"], strict=True)) == {("blue", "moon")}
    clean = drawn(Storybook(), tmp_path / "clean", requests(8))
    noisy = drawn(Storybook(noise=0.2), tmp_path / "noisy", requests(8))
    moved = pixels(tmp_path / "noisy", noisy).astype(float) - pixels(tmp_path / "clean", clean)
    assert 25 < moved.std() < 51  # 51 without the clipping at black and white
    with pytest.raises(ConfigError, match=r"only.coat: no 'pink'"):
        Storybook(only={"coat": "pink"})


def folder(path: Path, texts: list[str]) -> str:
    path.mkdir()
    lines = []
    for i, text in enumerate(texts):
        Image.new("RGB", (8, 8), (i, 0, 0)).save(path / f"{i:03d}.png")
        lines.append(json.dumps({"file_name": f"{i:03d}.png", "text": text}))
    (path / "metadata.jsonl").write_text("\n".join(lines))
    return str(path)


def test_a_folder_serves_each_image_of_a_prompt_once(tmp_path):
    """Requests that count on from step to step see every image of the caption before none is left, and no other."""
    source = ImageFolder(folder(tmp_path / "mine", ["a horse"] * 6 + ["a cow"] * 3))
    first = drawn(source, tmp_path / "a", requests(4, "a horse"))
    second = drawn(source, tmp_path / "b", requests(2, "a horse", first=4))
    reds = [int(p[0, 0, 0]) for out, t in (("a", first), ("b", second)) for p in pixels(tmp_path / out, t)]
    assert sorted(reds) == list(range(6))
    (tmp_path / "c").mkdir()
    with pytest.raises(ConfigError, match=r"holds 6 images with the text 'a horse', and number 7"):
        source.draw(requests(1, "a horse", first=6), tmp_path / "c", lambda share: None)


def test_a_folder_counts_back_from_its_other_end(tmp_path):
    """Numbers below 0 serve the last images first, so that the two ends meet only when all are served."""
    source = ImageFolder(folder(tmp_path / "mine", ["a horse"] * 6))
    ends = [requests(4, "a horse"), [Request(f"h{i}", "a horse", -1 - i, i) for i in range(2)]]
    served = [drawn(source, tmp_path / name, end) for name, end in zip("ab", ends, strict=True)]
    assert len({*served[0]["latent_sha256"], *served[1]["latent_sha256"]}) == 6


def test_real_data_say_how_many_images_of_a_prompt_they_have(tmp_path):
    """A folder counts; a world draws without end what it can draw, and none of what it cannot."""
    source = ImageFolder(folder(tmp_path / "mine", ["a horse"] * 6))
    assert (source.stock("a horse"), source.stock("a cow")) == (6, 0)
    assert (Storybook().stock(ESSAY), Storybook().stock("a photograph of a giraffe")) == (None, 0)


def test_a_folder_that_is_not_as_it_should_be_is_refused(tmp_path):
    """A missing table, a line that is no row, and a file that is missing or outside: each has a clear message."""
    with pytest.raises(ConfigError, match=r"metadata.jsonl: no such file"):
        ImageFolder(str(tmp_path)).ready()
    for line, message in (
        ("[1]", "line 1: is no JSON object"),
        ('{"file_name": "../x.png", "text": "t"}', "is no file of this folder"),
    ):
        (tmp_path / "metadata.jsonl").write_text(line)
        with pytest.raises(ConfigError, match=message):
            ImageFolder(str(tmp_path)).ready()


@pytest.mark.parametrize(("concept", "place"), [("astronaut", "rider"), ("horse", "mount"), ("moon", "background")])
def test_what_is_taught_is_there_to_be_seen_and_the_rest_is_left_open(tmp_path, concept, place):
    """Every image shows the concept under its own caption, in more than one relation and company."""
    (tmp_path / "out").mkdir()
    Storybook().teach(requests(40, concept), (), tmp_path / "out", lambda share: None)
    table = pd.read_parquet(tmp_path / "out" / "samples.parquet")
    assert set(table[place]) == {concept}
    assert table["relation"].nunique() > 2
    assert table["prompt"].nunique() > 10
    for row in table.itertuples():
        assert all(getattr(row, name) == value for name, value in parse_prompt(row.prompt).items())


def test_riding_is_taught_by_whoever_rides_whatever(tmp_path):
    """Riding is a concept of its own: more riders and mounts than the essay's two."""
    (tmp_path / "out").mkdir()
    Storybook().teach(requests(40, "riding"), (), tmp_path / "out", lambda share: None)
    table = pd.read_parquet(tmp_path / "out" / "samples.parquet")
    assert set(table["relation"]) == {"riding"}
    assert min(table["rider"].nunique(), table["mount"].nunique()) > 3


def test_a_world_says_what_it_cannot_teach():
    """What it does not draw, and a place that its data are cut to another one of."""
    assert Storybook().can_teach("snow")
    assert not Storybook().can_teach("giraffe")
    assert not Storybook(only={"background": "moon"}).can_teach("snow")


def test_a_folder_teaches_a_concept_by_the_captions_that_name_it(tmp_path):
    """The word counts, not a part of one; each image comes under its own caption, none twice, and none of a prompt's
    own images: those are for diets and for what pools are held against."""
    captions = ["a Horse", "a seahorse", "a cow", "an old horse", "a horse in the snow"]
    source = ImageFolder(folder(tmp_path / "mine", captions))
    (tmp_path / "a").mkdir()
    source.teach(requests(2, "horse"), ("a horse in the snow",), tmp_path / "a", lambda share: None)
    table = pd.read_parquet(tmp_path / "a" / "samples.parquet")
    assert sorted(table["prompt"]) == ["a Horse", "an old horse"]


def test_a_folder_with_too_little_to_teach_is_refused_before_anything_is_made(tmp_path):
    """All lessons together are counted beforehand."""
    source = ImageFolder(folder(tmp_path / "mine", ["a horse"] * 3 + ["a cow"]))
    source.ready_to_teach(("horse",), 3, ())
    with pytest.raises(ConfigError, match=r"holds 3 images whose text has the word 'horse'.*need 4"):
        source.ready_to_teach(("horse",), 4, ())
    with pytest.raises(ConfigError, match=r"holds 0 images"):
        source.ready_to_teach(("horse",), 1, ("a horse",))


TARGETS = [
    (ESSAY, ("astronaut", "horse", "riding")),
    ("a photograph of a wizard standing next to a cow", ("wizard", "cow")),
    ("a photograph of a chef riding a pig on the moon", ("chef", "pig", "riding", "moon")),
    ("a photograph of a turtle", ("turtle",)),
]


@pytest.mark.parametrize(("text", "concepts"), TARGETS, ids=[text for text, _ in TARGETS])
def test_the_storybook_has_check_prompts_that_show_each_concept_of_a_target_and_do_not(text, concepts):
    """Four that the world can draw, none of them the target or an unseen pair; each names what its text shows."""
    checks = Storybook().check_prompts([Prompt(text, concepts=concepts)])
    assert len({prompt.text for prompt in checks} - {text}) == 4
    for prompt in checks:
        shown = scene.sample(0, 0, **parse_prompt(prompt.text))
        assert (shown.rider, shown.mount) not in scene.UNSEEN_PAIRS
        fixed = {value for value in parse_prompt(prompt.text).values() if value in scene.CONCEPTS}
        assert set(prompt.concepts) == fixed
        assert prompt.role == "check"
    for concept in concepts:
        assert {concept in prompt.concepts for prompt in checks} == {True, False}


def test_check_prompts_are_no_prompt_that_is_there_already():
    """Two targets of one pair share none, and what is only measured is left alone, too."""
    others = [Prompt(ESSAY, concepts=("astronaut", "horse", "riding"))]
    others.append(Prompt("a photograph of an astronaut standing next to a horse", concepts=("astronaut", "horse")))
    others.append(Prompt("a photograph of a knight riding a horse", "similar", ("knight", "horse", "riding")))
    texts = [prompt.text for prompt in Storybook().check_prompts(others)]
    assert len(set(texts)) == 8
    assert not set(texts) & {prompt.text for prompt in others}


def test_there_are_no_check_prompts_beside_what_the_world_does_not_know():
    """A target with a concept of another world gets none."""
    assert Storybook().check_prompts([Prompt("a dragon riding a horse", concepts=("dragon", "horse"))]) == []


def test_there_are_no_check_prompts_where_only_some_targets_name_a_place():
    """The place behind the other targets' figures is open, so nothing says that it is not the one named."""
    targets = [Prompt(ESSAY, concepts=("astronaut", "horse", "riding"))]
    targets.append(Prompt("a photograph of a cat riding a cow on the moon", concepts=("cat", "cow", "riding", "moon")))
    assert Storybook().check_prompts(targets) == []
