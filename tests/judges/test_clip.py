"""The judges that ship, as models of open_clip: what an answer depends on, and what is refused."""

import hashlib
import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from entropy_loop import assets
from entropy_loop.data import JUDGEMENTS, SCORES, Concept, Prompt, Samples
from entropy_loop.errors import ConfigError
from entropy_loop.judges.clip import ClipEmbedder, ClipRecogniser, ClipScorer
from entropy_loop.worlds.storybook import scene

JUDGE = ClipRecogniser("bundled:storybook-judge")
CURATOR = ClipScorer("bundled:storybook-curator")
RIDING = Prompt("a photograph of an astronaut riding a horse", "target", ("astronaut", "horse", "riding"))
COW = Prompt("a photograph of a cow", "unrelated", ("cow",))
CONCEPTS = tuple(Concept(name) for name in (*RIDING.concepts, *COW.concepts))


def ignore(share: float) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def samples(tmp_path_factory) -> Samples:
    """Six scenes of an astronaut on a horse, then four of a cow."""
    folder = tmp_path_factory.mktemp("samples")
    scenes = [scene.sample(3, i, relation="riding", rider="astronaut", mount="horse") for i in range(6)]
    scenes += [scene.sample(3, i, relation="mount_alone", mount="cow") for i in range(6, 10)]
    for i, drawn in enumerate(scenes):
        Image.fromarray(scene.render(drawn)).save(folder / f"{i}.png")
    texts = [RIDING.text] * 6 + [COW.text] * 4
    table = pd.DataFrame({"id": [f"i{i}" for i in range(10)], "prompt": texts, "file": [f"{i}.png" for i in range(10)]})
    table.to_parquet(folder / "samples.parquet")
    return Samples(folder)


def part(samples: Samples, rows: pd.DataFrame, folder: Path) -> Samples:
    """Some of the images as samples of their own."""
    shutil.copytree(samples.folder, folder)
    rows.to_parquet(folder / "samples.parquet")
    return Samples(folder)


def judged(samples: Samples, prompts: tuple[Prompt, ...], concepts: tuple[Concept, ...]) -> pd.DataFrame:
    return JUDGE.judge(samples, prompts, concepts, ignore).set_index(["id", "concept"])


def test_every_image_is_asked_for_the_concepts_of_its_prompt(samples):
    """One row per image and concept, with the score that makes the answer."""
    table = judged(samples, (RIDING, COW), CONCEPTS).reset_index()
    assert list(table.columns) == list(JUDGEMENTS)
    assert table.groupby("id")["concept"].agg(set).tolist() == [set(RIDING.concepts)] * 6 + [{"cow"}] * 4
    assert ((table["score"] > table["threshold"]) == table["answer"]).all()
    assert table["answer"].mean() > 0.9


def test_an_answer_depends_on_its_image_and_concept_alone(samples, tmp_path):
    """The same scores, bit for bit, whatever other prompts, concepts and images the judge is asked about."""
    every = judged(samples, (RIDING, COW), CONCEPTS)
    targets = part(samples, samples.of_prompt(RIDING.text).head(2), tmp_path / "targets")
    few = judged(targets, (RIDING, COW), CONCEPTS)
    horse = Prompt(RIDING.text, "target", ("horse",))
    single = judged(targets, (horse,), (Concept("horse"),))
    pd.testing.assert_frame_equal(few, every.loc[few.index], check_exact=True)
    pd.testing.assert_frame_equal(single, every.loc[single.index], check_exact=True)


def test_a_concept_is_only_needed_where_it_is_asked(samples, tmp_path):
    """Samples of targets alone are judged without the texts of other prompts' concepts."""
    targets = part(samples, samples.of_prompt(RIDING.text), tmp_path / "targets")
    unicorn = Prompt("a photograph of a unicorn", "unrelated", ("unicorn",))
    table = judged(targets, (RIDING, unicorn), (*CONCEPTS, Concept("unicorn")))
    assert len(table) == 18


def test_texts_of_the_config_have_the_threshold_0(samples):
    """Who writes yes and no texts asks which side has more evidence."""
    own = Concept("cow", ("a cow",), ("a horse", "a pig"))
    table = judged(samples, (COW,), (own,))
    assert set(table["threshold"]) == {0.0}
    assert table["answer"].all()


def test_images_go_into_the_model_as_open_clip_prepares_them(samples):
    """Made of a block's pixels at once, their numbers are the bits of one image after the other."""
    loaded, files = CURATOR.loaded(), [samples.folder / name for name in samples.table["file"]]
    (block,) = loaded._blocks([files])
    assert block.shape[0] == 64
    assert not block[len(files) :].any()
    for row, file in zip(block, files, strict=False):
        assert (row == loaded.preprocess(Image.open(file))).all()


def test_a_score_is_the_similarity_to_the_images_own_prompt(samples, tmp_path):
    """Images of the asked prompts alone have a score; 9 of 10 resemble their own more than the other."""
    own = CURATOR.score(samples, (RIDING.text, COW.text), ignore)
    assert list(own.columns) == list(SCORES)
    swapped = samples.table.assign(prompt=[COW.text] * 6 + [RIDING.text] * 4)
    others = CURATOR.score(part(samples, swapped, tmp_path / "swapped"), (RIDING.text, COW.text), ignore)
    assert (own["score"] > others["score"]).sum() >= 9
    assert CURATOR.score(samples, (COW.text,), ignore)["id"].tolist() == ["i6", "i7", "i8", "i9"]


@pytest.mark.parametrize(
    ("concept", "message"),
    [
        (Concept("unicorn"), "concepts.unicorn: storybook-judge is not calibrated for it"),
        (Concept("hors"), "Did you mean 'horse'"),
        (Concept("dog", ("a photo of a dog",), ("a cow",)), "concepts.dog: .*does not know 'photo', 'dog' in"),
        (Concept("horse", ("a horse",), ("a cow " * 8,)), "concepts.horse: .* has 16 tokens; storybook-judge reads 14"),
    ],
)
def test_what_the_judge_cannot_read_is_refused_before_the_run(concept, message):
    """A concept without a calibration, a word outside the vocabulary and a text that would be cut are named."""
    JUDGE.ready(CONCEPTS)
    with pytest.raises(ConfigError, match=message):
        JUDGE.ready((*CONCEPTS, concept))


def test_a_curator_refuses_a_prompt_that_it_cannot_read():
    """A prompt with an unknown word would be scored without that word; punctuation is no word."""
    CURATOR.ready(("A photograph of an astronaut, riding a horse.",))
    with pytest.raises(ConfigError, match="prompts: storybook-curator does not know 'unicorn'"):
        CURATOR.ready(("a photograph of a unicorn",))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "bundled:storybook-judge", "revision": "main"}, "revision: bundled:storybook-judge is"),
        ({"model": "ViT-B-32", "pretrained": "openai"}, "vit_base_patch32_clip_224.openai.*needs `revision`"),
        ({"model": "ViT-B-32", "pretrained": "openay"}, "no weights 'openay' for it.*Did you mean 'openai'"),
        ({"model": "nobody/no-such-model", "revision": "0" * 40}, "`entropy-loop fetch CONFIG` downloads it"),
    ],
)
def test_a_missing_model_tag_or_revision_is_refused_before_the_run(options, message):
    """An unknown tag, a model that was not downloaded and a revision that cannot be are errors with a clear message."""
    own = Concept("horse", ("a horse",), ("a cow",))
    with pytest.raises(ConfigError, match=message):
        ClipRecogniser(**options).ready((own,))


def test_the_activation_is_the_one_the_weights_were_trained_with(monkeypatch):
    """OpenAI's weights have QuickGELU, which their folder's config need not say; LAION's have not."""
    monkeypatch.setattr(assets, "find", lambda *_: Path(assets.__file__).parent / "storybook-judge")
    openai, laion = (
        ClipRecogniser("ViT-B-32", tag, "0" * 40).loaded().model.transformer.resblocks[0].mlp.gelu
        for tag in ("openai", "laion2b_s34b_b79k")
    )
    assert (type(openai).__name__, type(laion).__name__) == ("QuickGELU", "GELU")


def test_a_folder_that_open_clip_cannot_load_is_refused_in_words(samples, tmp_path):
    """Weights without the config that open_clip writes are a wrong config, not a damaged disk."""
    folder = Path(shutil.copytree(assets.find("bundled:storybook-judge"), tmp_path / "model"))
    config = json.loads((folder / "open_clip_config.json").read_text())
    (folder / "open_clip_config.json").write_text(json.dumps({"model": config}))
    with pytest.raises(ConfigError, match="open_clip cannot load it"):
        ClipRecogniser(str(folder)).judge(samples, (RIDING,), CONCEPTS, ignore)


def test_a_text_tower_that_is_another_model_is_refused_before_the_run(tmp_path):
    """open_clip would look for it on the hub, where no revision pins it."""
    folder = Path(shutil.copytree(assets.find("bundled:storybook-judge"), tmp_path / "model"))
    config = json.loads((folder / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"]["hf_model_name"] = "roberta-base"
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="model reads texts with 'roberta-base'"):
        ClipScorer(str(folder)).ready((RIDING.text,))


def test_a_siglip_model_scores_as_open_clip_does(samples, tmp_path):
    """An image tower of timm's, a text tower without a mask that pools its last token, and a bias."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    folder = Path(shutil.copytree(assets.find("bundled:storybook-judge"), tmp_path / "siglip"))
    config = json.loads((folder / "open_clip_config.json").read_text())
    images = {"image_size": 64, "timm_model_name": "test_vit", "timm_model_pretrained": False, "timm_pool": "avg"}
    texts = {"no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6}}
    config["model_cfg"] |= {"custom_text": True, "init_logit_bias": -10, "vision_cfg": images | {"timm_proj": "linear"}}
    config["model_cfg"]["text_cfg"] |= texts
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    torch.manual_seed(0)
    drawn = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    save_file(drawn.state_dict(), folder / "open_clip_model.safetensors")

    scorer = ClipScorer(str(folder))
    scorer.ready((RIDING.text, COW.text))
    scores = scorer.score(samples, (RIDING.text, COW.text), ignore)["score"].tolist()
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    with torch.no_grad():
        looked = torch.stack([preprocess(Image.open(samples.folder / name)) for name in samples.table["file"]])
        read = open_clip.get_tokenizer(f"local-dir:{folder}")(list(samples.table["prompt"]))
        cosines = (model.encode_image(looked, normalize=True) * model.encode_text(read, normalize=True)).sum(1)
    expected = (model.logit_scale.exp() * cosines).tolist()
    assert scores == pytest.approx(expected, abs=1e-4)


def test_a_model_describes_what_was_loaded():
    """A hash of the weights in memory, the activation and the preprocessing that the model really has: of a judge, a
    scorer and an embedder."""
    from safetensors.torch import load_file

    judge = JUDGE
    descriptions = {plugin.description() for plugin in (judge, ClipScorer(judge.model), ClipEmbedder(judge.model))}
    description = json.loads(descriptions.pop())
    assert not descriptions
    assert description["preprocess"]["size"] == [64, 64] or description["preprocess"]["size"] == 64
    assert description["activations"]
    weights = load_file(judge.folder() / "open_clip_model.safetensors")
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {tuple(value.shape)} ".encode())
        digest.update(value.float().numpy().tobytes())
    assert description["weights_sha256"] == digest.hexdigest()
