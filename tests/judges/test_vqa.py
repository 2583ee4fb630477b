"""The vision-language judge on a tiny model with random weights, built on the spot."""

from __future__ import annotations

import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    PreTrainedTokenizerFast,
)

from entropy_loop import registry
from entropy_loop.data import SAMPLES, Concept, Prompt, Samples
from entropy_loop.errors import ConfigError, EntropyLoopError

WORDS = [
    "<unk>",
    "<pad>",
    "<image>",
    "user",
    "yes",
    "Yes",
    "no",
    "No",
    "Does",
    "this",
    "image",
    "show",
    "horse",
    "moon",
    "?",
    ".",
]
PROMPT = Prompt("a horse on the moon", "target", ("horse", "moon"))
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }} {% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image> {% else %}{{ c['text'] }} {% endif %}{% endfor %}{% endfor %}"
)


def ignore(share: float) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """A LLaVA of a few thousand weights with a vocabulary of 16 words."""
    folder = tmp_path_factory.mktemp("vlm")
    vocabulary = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="<unk>"))
    vocabulary.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=vocabulary, unk_token="<unk>", pad_token="<pad>", additional_special_tokens=["<image>"]
    )
    size = {"height": 32, "width": 32}
    LlavaProcessor(
        CLIPImageProcessor(size=size, crop_size=size, do_resize=True), tokenizer, patch_size=16,
        vision_feature_select_strategy="default", num_additional_image_tokens=1, chat_template=TEMPLATE,
    ).save_pretrained(folder)  # fmt: skip
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=32, patch_size=16
    )
    text = LlamaConfig(
        hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
        vocab_size=len(WORDS), pad_token_id=1,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        vlm = LlavaForConditionalGeneration(LlavaConfig(vision_config=vision, text_config=text, image_token_index=2))
        for value in vlm.parameters():
            value.data.mul_(3.0)  # so that images matter
    vlm.save_pretrained(folder)
    return folder


@pytest.fixture
def samples(tmp_path) -> Samples:
    for i, colour in enumerate(("red", "green", "blue")):
        Image.new("RGB", (32, 32), colour).save(tmp_path / f"{i}.png")
    rows = [(f"i{i}", PROMPT.text, i, f"{i}.png", "") for i in range(3)]
    pd.DataFrame(rows, columns=list(SAMPLES)).to_parquet(tmp_path / "samples.parquet")
    return Samples(tmp_path)


def judged(model: Path, samples: Samples, **options: object) -> pd.DataFrame:
    spec = {"use": "vqa", "model": str(model), "question": "Does this image show {concept} ?", **options}
    judge = registry.build(registry.JUDGE, spec)
    concepts = (Concept("horse"), Concept("moon"))
    judge.ready(concepts)
    return judge.judge(samples, (PROMPT,), concepts, ignore)


def test_the_score_is_the_probability_of_yes(model, samples, tmp_path):
    """Against a computation of its own: softmax of the last logits, yes and Yes over these and no and No."""
    scores = judged(model, samples).set_index(["id", "concept"])["score"]
    vlm = LlavaForConditionalGeneration.from_pretrained(model, dtype=torch.float32).eval()
    processor = LlavaProcessor.from_pretrained(model)
    for i in range(3):
        for concept in PROMPT.concepts:
            text = f"user <image> Does this image show {concept} ? "
            inputs = processor(images=Image.open(tmp_path / f"{i}.png"), text=text, return_tensors="pt")
            with torch.no_grad():
                p = vlm(**inputs).logits[0, -1].double().softmax(0)
            yes, no = (sum(p[WORDS.index(word)] for word in pair) for pair in (("yes", "Yes"), ("no", "No")))
            assert scores[f"i{i}", concept] == pytest.approx(float(yes / (yes + no)), abs=1e-5)
    assert scores.nunique() > 3


def test_an_answer_depends_on_its_image_and_question_alone(model, samples, tmp_path):
    """Asked alone, and with a question of its own for another concept: the same score."""
    every = judged(model, samples).query("concept == 'horse'")["score"].tolist()
    alone = tmp_path / "alone"
    alone.mkdir()
    samples.table.tail(1).assign(file=str(tmp_path / "2.png")).to_parquet(alone / "samples.parquet")
    single = judged(model, Samples(alone), questions={"moon": "moon ?"}).query("concept == 'horse'")
    assert single["score"].tolist() == every[2:]


def test_what_cannot_be_asked_is_refused_before_the_run(model, samples, tmp_path):
    """A question about a concept that is not there, one without a place for the concept, a model that is not here."""
    with pytest.raises(ConfigError, match="no prompt has the concept 'cow'"):
        judged(model, samples, questions={"cow": "cow ?"})
    with pytest.raises(ConfigError, match="question"):
        judged(model, samples, question="Is it there ?")
    with pytest.raises(ConfigError, match="needs `revision`"):
        judged(Path("nobody/vlm"), samples)


def test_a_score_that_is_no_number_is_an_error_and_never_a_no(model, samples, tmp_path):
    """A model whose last layer is NaN is an error, and no other image is asked about."""
    broken = Path(shutil.copytree(model, tmp_path / "broken"))
    weights = load_file(broken / "model.safetensors")
    (head,) = [name for name in weights if name.endswith("lm_head.weight")]
    save_file(
        weights | {head: torch.full_like(weights[head], torch.nan)}, broken / "model.safetensors", {"format": "pt"}
    )
    with pytest.raises(EntropyLoopError, match="broken: its answer for image i0 is not a finite number"):
        judged(broken, samples)
