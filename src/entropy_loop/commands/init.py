"""`init`: write a first, commented config from a few answers, with its estimated cost at the top."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import yaml

from entropy_loop.commands import costs
from entropy_loop.errors import ConfigError
from entropy_loop.plan import Plan, plan
from entropy_loop.storage.disk import write_text
from entropy_loop.study import strict_yaml, study


@dataclass(frozen=True)
class Model:
    """A checkpoint to start from, with the lines that a config needs: generator, training, curator and judge."""

    title: str
    generator: str
    train: str
    curator: str
    judge: str
    calibrated: bool = False


_CURATOR = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K, revision: 1a25a446712ba5ee05982a381eed697ef9b435cf"
_JUDGE = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K, revision: 1c2b8495b28150b8a4922ee1c8edee224c284c0c"
_LORA = "method: lora\n  rank: 16\n  max_train_steps: 400\n  learning_rate: 1.0e-4\n  mixed_precision: bf16\n"
MODELS = {
    "bundled": Model(
        "the small checkpoint that ships with the package; a laptop will do",
        'checkpoint: "bundled:storybook"\n  num_inference_steps: 20\n  guidance_scale: 3.0',
        "method: full\n  max_train_steps: 30\n  train_batch_size: 16\n  learning_rate: 5.0e-5",
        '"bundled:storybook-curator"',
        '"bundled:storybook-judge"',
        calibrated=True,
    ),
    "sd15": Model(
        "Stable Diffusion 1.5 by LoRA; a GPU of 24 GB",
        "checkpoint: stable-diffusion-v1-5/stable-diffusion-v1-5\n"
        "  revision: 451f4fe16113bff5a5d2269ed5ad43b0592e9a14\n"
        "  num_inference_steps: 50\n  guidance_scale: 7.5\n  precision: bf16\n  block: 16",
        f"{_LORA}  train_batch_size: 4",
        _CURATOR,
        _JUDGE,
    ),
    "sdxl": Model(
        "Stable Diffusion XL by LoRA; a GPU of 24 GB or more",
        "checkpoint: stabilityai/stable-diffusion-xl-base-1.0\n"
        "  revision: 462165984030d82259a11f4367a4eed129e94a7b\n"
        "  num_inference_steps: 30\n  guidance_scale: 7.0\n  precision: bf16\n  block: 4",
        f"{_LORA}  train_batch_size: 1\n  gradient_accumulation_steps: 4\n  gradient_checkpointing: true",
        _CURATOR,
        _JUDGE,
    ),
}
"""Name -> model. Any other name is the path of a folder in diffusers' format."""

ESSAY, CONCEPTS = "a photograph of an astronaut riding a horse", ("astronaut", "horse", "riding")


@dataclass(frozen=True)
class Answers:
    """What the user chose. keep: images of a pool that the curated arm keeps, 0 for no curation."""

    model: str = "bundled"
    prompt: str = ESSAY
    concepts: tuple[str, ...] = CONCEPTS
    keep: int = 32
    generations: int = 10
    images: int = 128
    seeds: int = 1


def write(answers: Answers, file: Path) -> None:
    """Write the config. Raises ConfigError, before writing, when the file exists or the answers make no config that
    could run."""
    if file.exists():
        raise ConfigError(f"{file}: is there already; give another name.")
    write_text(file, text(answers, file))


def text(answers: Answers, file: Path) -> str:
    """The checked config, with its estimated cost in the first lines."""
    body = _body(answers, file.stem)
    try:
        planned = plan(study.check(strict_yaml.parse(body), str(file)))
    except yaml.YAMLError as error:
        raise ConfigError(f"{file}: these answers make no YAML: {error}") from None
    judge = planned.study.config.judge_plugins()[0]
    if MODELS.get(answers.model, MODELS["sd15"]).calibrated:
        judge.ready(planned.study.config.judged_concepts())
        judge.readable((answers.prompt,), "prompt")  # its tokenizer has the bundled checkpoint's words
    arms = len({chain.arm for chain in planned.chains})
    each = f"{answers.seeds} {'seeds' if answers.seeds > 1 else 'seed'}"
    head = f"# {arms} {'arms' if arms > 1 else 'arm'} x {each}. What `entropy-loop plan` estimates (arithmetic alone):"
    fetch = [f"#   entropy-loop fetch {file}"] if answers.model in ("sd15", "sdxl") else []
    return "\n".join([head, *_costs(planned, answers.model), *fetch, f"#   entropy-loop run {file}", body])


def _costs(planned: Plan, model: str) -> list[str]:
    """One line per machine that the model is meant for."""
    last = list(costs.outlooks(planned))[-1]
    if model == "bundled":
        return [f"#   on {last.device.name}: {60 * last.hours:.0f} minutes"]
    return [*costs.header(planned), f"#   on {last.device.name}: {last.hours:.0f} hours"]


def _body(answers: Answers, name: str) -> str:
    """The config, with a comment on what each line is for."""
    model = MODELS.get(answers.model)
    folder = f'checkpoint: "{answers.model}"\n  num_inference_steps: 50\n  guidance_scale: 7.5'
    generator = model.generator if model else folder
    model = model or MODELS["sd15"]
    arms = "[{use: none}]"
    if answers.keep:
        arms = f"[{{use: none}}, {{use: top_k, k: {answers.keep}}}, {{use: random_k, k: {answers.keep}}}]"
    return f"""name: {name}
generations: {answers.generations:<18}# feedback steps; pools are made for generations 0..{answers.generations}
threads: 1                      # of a process; part of every key
images: {answers.images:<23}# pool of the prompt, fresh noise in every generation; every rate is measured on it
evaluation: {{images: 16}}        # the same noise in every generation and arm: what contact sheets show
prompts:
  - text: {json.dumps(answers.prompt, ensure_ascii=False)}
    concepts: [{", ".join(answers.concepts)}]
{_texts(answers, model)}generator:                      # makes the images
  use: diffusion
  {generator}
curate:
  scorer: {{use: clip, model: {model.curator}}}   # ranks a pool for top_k; not the model that judges
feedback: {{use: replace}}        # the next generation is trained on what this one kept, and nothing else
train:                          # diffusers' spelling
  {model.train}
judges:                         # who says whether a concept is recognised
  - {{use: clip, model: {model.judge}}}
sweep:                          # random_k is the control: as few images as top_k, without selection
  curate.policy: {arms}
  seed: {list(range(answers.seeds))}  # one chain for each; a claim needs three
"""


def _texts(answers: Answers, model: Model) -> str:
    """Contrastive texts, for a judge that does not know the concepts from its own calibration."""
    if model.calibrated:
        return ""
    lines = ["concepts:                       # what the judge holds against each other; make them yours"]
    for concept in answers.concepts:
        lines.append(f"  {concept}:")
        lines.append(f"    yes: [a photo of {concept}]")
        lines.append("    no: [a photo of something else, a photo of an empty place, random noise]")
    return "\n".join(lines) + "\n"
