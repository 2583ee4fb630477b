"""Train and calibrate the two bundled open_clip models, storybook-curator and storybook-judge.

    python scripts/train_storybook_judges.py render    judge              # scenes with truth, cached
    python scripts/train_storybook_judges.py train     judge              # phase 1: scenes and junk
    python scripts/train_storybook_judges.py refine    judge --vae DIR    # phase 2: the codec's pictures too
    python scripts/train_storybook_judges.py calibrate judge --vae DIR    # thresholds, Se, Sp, model card

The two share no weights, no seeds, no scenes and no architecture: one selects, the other measures.

Every text is a *claim* whose truth about an image is known, so the loss is SigLIP's sigmoid over an
images x texts matrix of truths instead of a guess that caption i belongs to image i alone:

    L = mean over true pairs of softplus(-l) + mean over false pairs of softplus(l),   l = scale cos(i, t) + bias

and the very score by which the recogniser answers is trained beside it, for each concept c:

    score_c(i) = logsumexp over yes texts of l - logsumexp over no texts of l          (the bias cancels)

Phase 2 adds cross-entropy among the values of each attribute (coat, suit, background).

Images: float32 (n, 3, 64, 64) in [0, 1] unless said otherwise; uint8 (n, 64, 64, 3) on disk.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import textwrap
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import open_clip
import pandas as pd
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from entropy_loop.worlds.storybook import scene

ASSETS = Path(__file__).parents[1] / "src/entropy_loop/assets"
SIZE = scene.SIZE


# -- what is trained ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """One model. vision, text: open_clip's own configuration keys. seed: of weights, scenes and batches."""

    name: str
    seed: int
    vision: Mapping[str, object]
    text: Mapping[str, object]
    embed_dim: int
    scenes: int
    batch: int
    steps: int
    refine_steps: int
    learning_rate: float
    about: str


RECIPES = {
    "judge": Recipe(
        name="storybook-judge",
        seed=7_100_000,
        vision={"layers": [2, 2, 2, 2], "width": 16, "head_width": 64},
        text={"width": 64, "heads": 2, "layers": 2},
        embed_dim=96,
        scenes=20_000,
        batch=128,
        steps=1200,
        refine_steps=500,
        learning_rate=2e-3,
        about="a small ModifiedResNet (bottlenecks, attention pooling)",
    ),
    "curator": Recipe(
        name="storybook-curator",
        seed=8_200_000,
        vision={"timm_model_name": "edgenext_xx_small", "timm_pool": "avg", "timm_proj": "linear"},
        text={"width": 64, "heads": 4, "layers": 2},
        embed_dim=64,
        scenes=20_000,
        batch=96,
        steps=1300,
        refine_steps=600,
        learning_rate=2e-3,
        about="a small EdgeNeXt (depthwise convolutions and channel attention)",
    ),
}

# Added to a recipe's seed, so that no two uses share scenes or noise.
STREAMS = {"train": 0, "batches": 1, "fit": 2, "report": 3, "fit_junk": 4, "report_junk": 5, "watch": 6, "codec": 7}


# -- claims: texts and when they are true --------------------------------------------------------------


@dataclass(frozen=True)
class Claim:
    """A text, true of an image whose truth row has, for each column in `where`, one of the values given."""

    text: str
    where: tuple[tuple[str, frozenset[str]], ...]


def claim(text: str, **where: Iterable[str] | str) -> Claim:
    """A claim from column=value or column=values."""
    return Claim(text, tuple((k, frozenset([v] if isinstance(v, str) else v)) for k, v in where.items()))


def truths(claims: list[Claim], table: pd.DataFrame) -> Tensor:
    """float32 (images, claims): 1 where the claim holds."""
    known = {part: table[part[0]].isin(part[1]).to_numpy() for one in claims for part in one.where}
    holds = [np.logical_and.reduce([known[part] for part in one.where]) for one in claims]
    return torch.from_numpy(np.stack(holds, 1).astype(np.float32))


JUNK = {
    "noise": "noise",
    "drowned": "noise",
    "blank": "a blank picture",
    "scrambled": "a scrambled picture",
    "blurred": "a blurred picture",
    "faded": "a faded picture",
    "melted": "a broken picture",
    "broken": "a broken picture",
}
JUNK_TEXTS = sorted(set(JUNK.values()))
RIDING = "somebody riding an animal"
BESIDE = "somebody standing next to an animal"
ALONE = "somebody standing alone"
ANIMAL = "an animal alone"
EMPTY = "an empty place"
WITH_RIDER = ("riding", "next_to", "rider_alone")
WITH_MOUNT = ("riding", "next_to", "mount_alone")


def photograph(text: str) -> str:
    return f"a photograph of {text}"


def statement(rider: str, mount: str, relation: str, place: str) -> Claim:
    """The claim a scene's caption makes; '' leaves rider, mount or place open."""
    link = {"riding": " riding ", "next_to": " standing next to "}[relation] if rider and mount else ""
    text = photograph(link.join(scene.noun(name) for name in (rider, mount) if name))
    where = {"rider": rider, "mount": mount, "relation": relation if link else "", "background": place}
    return claim(text + (f" {scene.PLACES[place]}" if place else ""), **{k: v for k, v in where.items() if v})


def bank() -> list[Claim]:
    """The claims that stand in every batch."""
    claims = [claim(text, rider=r) for r in scene.RIDERS for text in both(scene.noun(r))]
    claims += [claim(text, mount=m) for m in scene.MOUNTS for text in both(scene.noun(m))]
    claims += [claim(text, background=b) for b in scene.BACKGROUNDS for text in (*both(scene.noun(b)), scene.PLACES[b])]
    claims += [claim(f"somebody in {suit}", suit=suit) for suit in scene.COLOURS["suit"]]
    claims += [claim(f"{scene.noun(coat)} animal", coat=coat) for coat in scene.COLOURS["coat"]]
    claims += [claim(text, relation="riding") for text in both(RIDING)]
    claims += [claim(text, relation="next_to") for text in both(BESIDE)]
    claims += [claim(ALONE, relation="rider_alone"), claim(ANIMAL, relation="mount_alone")]
    claims += [claim(EMPTY, relation="empty")]
    claims += [claim("somebody", relation=WITH_RIDER), claim("an animal", relation=WITH_MOUNT)]
    claims += [claim(text, junk=[k for k, v in JUNK.items() if v == text]) for text in JUNK_TEXTS]
    return claims


def both(text: str) -> tuple[str, str]:
    return text, photograph(text)


def concepts() -> dict[str, dict[str, list[str]]]:
    """Each concept's yes and no texts; each is judged on its own, whatever the others are."""
    nobody = [ANIMAL, EMPTY, *JUNK_TEXTS]
    no_animal = [ALONE, EMPTY, *JUNK_TEXTS]
    riders = {r: {"yes": [*both(scene.noun(r))], "no": _others(scene.RIDERS, r) + nobody} for r in scene.RIDERS}
    mounts = {m: {"yes": [*both(scene.noun(m))], "no": _others(scene.MOUNTS, m) + no_animal} for m in scene.MOUNTS}
    riding = {"yes": [*both(RIDING)], "no": [*both(BESIDE), ALONE, ANIMAL, EMPTY, *JUNK_TEXTS]}
    return riders | mounts | {"riding": riding}


def _others(names: tuple[str, ...], name: str) -> list[str]:
    return [text for other in names if other != name for text in both(scene.noun(other))]


JOINT = {"all": ("astronaut", "horse", "riding")}
ESSAY = (*JOINT["all"], "all")


ATTRIBUTES = {
    "coat": {v: f"{scene.noun(v)} animal" for v in scene.COLOURS["coat"]},
    "suit": {v: f"somebody in {v}" for v in scene.COLOURS["suit"]},
    "background": {v: photograph(scene.noun(v)) for v in scene.BACKGROUNDS},
}


def answers(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """The true answer, bool (images,), to each concept."""
    return {c: table["rider"].eq(c).to_numpy() for c in scene.RIDERS} | {
        **{c: table["mount"].eq(c).to_numpy() for c in scene.MOUNTS},
        "riding": table["relation"].eq("riding").to_numpy(),
    }


def vocabulary() -> list[str]:
    """All words of all claims, sorted."""
    texts = [one.text for one in bank()]
    return sorted({*scene.VOCABULARY, *" ".join(texts).split()})


# -- scenes ------------------------------------------------------------------------------------------


def train_scenes(n: int, seed: int) -> list[scene.Scene]:
    """n scenes; every other one has all its attributes uniform, so rare values and unseen pairs are learnt."""
    return [scene.sample(seed, index, **(_uniform(seed, index) if index % 2 else {})) for index in range(n)]


def _uniform(seed: int, index: int) -> dict[str, str]:
    rng = np.random.default_rng([seed, index, 1])
    drawn = {name: str(rng.choice(list(scene.SHARES[name]))) for name in ("coat", "suit", "background", "facing")}
    return drawn | {"rider": str(rng.choice(scene.RIDERS)), "mount": str(rng.choice(scene.MOUNTS))}


def test_scenes(seed: int) -> list[scene.Scene]:
    """2,400 scenes of the world's own distribution with each relation and each name often enough, then 600
    around the essay's prompt: 250 of it, 350 that share two of its three parts (and now and then all three).
    """
    relations = ("riding", "riding", "next_to", "next_to", "rider_alone", "mount_alone", "empty")
    scenes = [scene.sample(seed, i, relation=relations[i % len(relations)]) for i in range(2400)]
    essay = {"rider": "astronaut", "mount": "horse", "relation": "riding"}
    misses = [essay | {"relation": "next_to"}] * 3 + [_without(essay, "mount"), _without(essay, "rider")] * 2
    near = [essay] * 5 + misses
    return scenes + [scene.sample(seed, 2400 + i, **near[i % len(near)]) for i in range(600)]


def _without(fixed: dict[str, str], name: str) -> dict[str, str]:
    return {k: v for k, v in fixed.items() if k != name}


def pictures(scenes: list[scene.Scene]) -> np.ndarray:
    """uint8 (n, 64, 64, 3)."""
    return np.stack([scene.render(one) for one in scenes])


def truth_table(scenes: list[scene.Scene]) -> pd.DataFrame:
    """The scenes' truth and a column `junk`, '' for all of them."""
    return scene.truth(scenes).assign(junk="")


def junk_rows(kinds: Iterable[str]) -> pd.DataFrame:
    """Truth of junk images: nothing is in them."""
    columns = ("rider", "mount", "coat", "suit", "background", "facing")
    return pd.DataFrame({"relation": "junk", **dict.fromkeys(columns, ""), "place_named": False, "junk": list(kinds)})


def to_float(pixels: np.ndarray) -> Tensor:
    """uint8 (n, 64, 64, 3) -> float32 (n, 3, 64, 64) in [0, 1]."""
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 255


def to_pixels(images: Tensor) -> np.ndarray:
    """float (n, 3, 64, 64) -> uint8 (n, 64, 64, 3), rounded and clipped."""
    return (images.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()


# -- degradations and junk -----------------------------------------------------------------------------


def blur(images: Tensor, sigma: float) -> Tensor:
    """Gaussian blur, sigma in pixels, edges repeated."""
    radius = max(1, math.ceil(3 * sigma))
    kernel = torch.exp(-(torch.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(3, 1, 1, -1)
    padded = F.pad(images, (radius,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel, groups=3), kernel.transpose(2, 3), groups=3)


def add_noise(images: Tensor, sigma: float | Tensor, rng: torch.Generator) -> Tensor:
    """Gaussian pixel noise, sigma as a share of the full range (a number or (n, 1, 1, 1)), clipped."""
    return (images + sigma * torch.randn(images.shape, generator=rng)).clamp(0, 1)


def jpeg(images: Tensor, quality: int) -> Tensor:
    """Through JPEG at a quality of 1 to 95."""
    return to_float(np.stack([_jpeg_one(one, quality) for one in to_pixels(images)]))


def _jpeg_one(pixels: np.ndarray, quality: int) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


def uniform(rng: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    return low + (high - low) * torch.rand(shape, generator=rng)


def number(rng: torch.Generator, low: float, high: float) -> float:
    return uniform(rng, low, high, 1).item()


def augment(images: Tensor, rng: torch.Generator) -> Tensor:
    """Changes that leave no doubt about what is shown, each on a random part of the batch."""
    images = _moved(images, rng)
    gain = 1 + 0.08 * torch.randn((len(images), 3, 1, 1), generator=rng)
    images = ((images - 0.5) * uniform(rng, 0.8, 1.15, len(images), 1, 1, 1) + 0.5) * gain
    for share, change in (
        (0.20, lambda x: blur(x, number(rng, 0.3, 1.8))),
        (0.06, lambda x: jpeg(x, int(number(rng, 8, 60)))),
        (0.15, lambda x: blur(add_noise(x, number(rng, 0.05, 0.3), rng), 0.8)),
        (0.30, lambda x: add_noise(x, uniform(rng, 0, 0.27, len(x), 1, 1, 1), rng)),
    ):
        chosen = torch.rand(len(images), generator=rng) < share
        if chosen.any():
            images = images.clone()
            images[chosen] = change(images[chosen])
    return images.clamp(0, 1)


def _moved(images: Tensor, rng: torch.Generator) -> Tensor:
    """Mirrored (half), and shifted by up to 4 px and resized by up to 8 % (half)."""
    n = len(images)
    mirror = (torch.rand(n, generator=rng) < 0.5).float() * 2 - 1
    moves = (torch.rand(n, 1, 1, generator=rng) < 0.5).float()
    zoom = 1 + moves[:, 0, 0] * uniform(rng, -0.08, 0.08, n)
    shift = moves[:, 0] * uniform(rng, -4, 4, n, 2) * 2 / SIZE
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = mirror * zoom, zoom, shift
    grid = F.affine_grid(theta, list(images.shape), align_corners=False)
    return F.grid_sample(images, grid, padding_mode="border", align_corners=False)


def junk_noise(images: Tensor, rng: torch.Generator) -> Tensor:
    """Uniform or normal noise, fine or in blocks of up to 16 px, grey or coloured."""
    cell = int(2 ** torch.randint(0, 5, (1,), generator=rng).item())
    channels = 1 if number(rng, 0, 1) < 0.3 else 3
    shape = (len(images), channels, SIZE // cell, SIZE // cell)
    normal = 0.5 + uniform(rng, 0.1, 0.5, len(images), 1, 1, 1) * torch.randn(shape, generator=rng)
    noise = normal if number(rng, 0, 1) < 0.5 else torch.rand(shape, generator=rng)
    mode = "bicubic" if number(rng, 0, 1) < 0.5 else "nearest"
    return F.interpolate(noise, size=SIZE, mode=mode).expand(-1, 3, -1, -1)


def junk_drowned(images: Tensor, rng: torch.Generator) -> Tensor:
    """Scenes under noise so strong that nobody could tell what they were."""
    return add_noise(0.5 + 0.3 * (images - 0.5), uniform(rng, 0.5, 1.5, len(images), 1, 1, 1), rng)


def junk_blank(images: Tensor, rng: torch.Generator) -> Tensor:
    """One colour, with at most a trace of noise."""
    return add_noise(uniform(rng, 0, 1, len(images), 3, 1, 1).expand_as(images), number(rng, 0, 0.04), rng)


def junk_scrambled(images: Tensor, rng: torch.Generator) -> Tensor:
    """Tiles of 4 or 8 px in random order."""
    tile = 4 if number(rng, 0, 1) < 0.5 else 8
    tiles = F.unfold(images, tile, stride=tile)
    order = torch.rand((len(images), 1, tiles.shape[2]), generator=rng).argsort(2)
    return F.fold(tiles.gather(2, order.expand_as(tiles)), SIZE, tile, stride=tile)


def junk_blurred(images: Tensor, rng: torch.Generator) -> Tensor:
    """Blurred beyond recognition."""
    return blur(images, number(rng, 5.5, 12))


def junk_faded(images: Tensor, rng: torch.Generator) -> Tensor:
    """Eight scenes on top of each other, or one that has all but dissolved into a colour."""
    if number(rng, 0, 1) < 0.5:
        return torch.stack([_moved(images.roll(k, 0), rng) for k in range(8)]).mean(0)
    trace = uniform(rng, 0.0, 0.05, len(images), 1, 1, 1)
    return trace * images + (1 - trace) * uniform(rng, 0, 1, len(images), 3, 1, 1)


def junk_melted(images: Tensor, rng: torch.Generator) -> Tensor:
    """Run through each other: every point is moved by several pixels, its neighbours elsewhere."""
    field = torch.randn((len(images), 2, 10, 10), generator=rng) * uniform(rng, 7, 12, len(images), 1, 1, 1)
    moves = F.interpolate(field, size=SIZE, mode="bicubic").permute(0, 2, 3, 1) * 2 / SIZE
    still = F.affine_grid(torch.eye(2, 3).expand(len(images), 2, 3), list(images.shape), align_corners=False)
    return F.grid_sample(images, still + moves, padding_mode="reflection", align_corners=False)


Damage = Callable[[Tensor, torch.Generator], Tensor]
FIRST_JUNK: dict[str, Damage] = {
    "noise": junk_noise,
    "drowned": junk_drowned,
    "blank": junk_blank,
    "scrambled": junk_scrambled,
    "blurred": junk_blurred,
    "faded": junk_faded,
}


def all_junk(codec: Codec) -> dict[str, Damage]:
    """The junk of phase 1, and what phase 2 adds to it; decoding is dear, so six broken ones at a time."""
    return {**FIRST_JUNK, "melted": junk_melted, "broken": lambda images, rng: codec.broken(images[:6], rng)}


# -- the codec ---------------------------------------------------------------------------------------


class Codec:
    """A diffusers AutoencoderKL folder, as images -> latents -> images."""

    def __init__(self, folder: Path, fast: bool = False) -> None:
        """fast: in bfloat16, good enough for what is trained on and twice as fast."""
        from diffusers import AutoencoderKL

        self.vae = AutoencoderKL.from_pretrained(folder).eval().to(memory_format=torch.channels_last)
        self.precision = torch.autocast("cpu", torch.bfloat16, enabled=fast)

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """The posterior's mean, scaled to unit variance: float32 (n, c, h, w)."""
        with self.precision:
            parts = [self.vae.encode(part * 2 - 1).latent_dist.mode() for part in images.split(64)]
        return torch.cat(parts).float() * self.vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Images through 8-bit pixels, as a loop would store them."""
        with self.precision:
            parts = [self.vae.decode(part / self.vae.config.scaling_factor).sample for part in latents.split(64)]
        return to_float(to_pixels(torch.cat(parts).float() / 2 + 0.5))

    def round_trips(self, images: Tensor, times: int = 1) -> Tensor:
        for _ in range(times):
            images = self.decode(self.encode(images))
        return images

    def broken(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Decoded latents that are all noise, or next to it: at most a tenth of their variance is signal."""
        signal = uniform(rng, 0, 0.1, len(images), 1, 1, 1) * (torch.rand((len(images), 1, 1, 1), generator=rng) < 0.7)
        latents = self.encode(images)
        mixed = signal.sqrt() * latents + (1 - signal).sqrt() * torch.randn(latents.shape, generator=rng)
        return self.decode(mixed * uniform(rng, 0.7, 1.3, len(images), 1, 1, 1))

    def shaken(self, images: Tensor, rng: torch.Generator) -> Tensor:
        """Decoded latents with so little noise (under 6 % of the variance) that the scene stays plain."""
        latents = self.encode(images)
        noise = uniform(rng, 0, 0.06, len(images), 1, 1, 1)
        return self.decode((1 - noise).sqrt() * latents + noise.sqrt() * torch.randn(latents.shape, generator=rng))


# -- the model folder ----------------------------------------------------------------------------------


WEIGHTS = "open_clip_model.safetensors"  # the name open_clip looks for
CONTEXT = 16  # tokens: the longest caption has 13 words, and two ends


def prepare_folder(recipe: Recipe, folder: Path) -> None:
    """Write configuration and tokenizer, all that open_clip needs besides weights."""
    folder.mkdir(parents=True, exist_ok=True)
    words = write_tokenizer(folder)
    text = {
        "context_length": CONTEXT,
        "vocab_size": words,
        "hf_tokenizer_name": ".",
        "tokenizer_kwargs": {"clean": "canonicalize"},
        **recipe.text,
    }
    model = {
        "embed_dim": recipe.embed_dim,
        "init_logit_scale": math.log(10),
        "init_logit_bias": 0.0,
        "vision_cfg": {"image_size": SIZE, **recipe.vision},
        "text_cfg": text,
    }
    preprocess = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    config = {"model_cfg": model, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")


def write_tokenizer(folder: Path) -> int:
    """A word-level tokenizer; returns its number of tokens."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    # open_clip pools the text at the highest token id, so the end token comes last.
    tokens = ["[pad]", "[unk]", *vocabulary(), "[start]", "[end]"]
    ids = {token: i for i, token in enumerate(tokens)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="[unk]"))  # noqa: S106
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    ends = [(token, ids[token]) for token in ("[start]", "[end]")]
    tokenizer.post_processor = processors.TemplateProcessing(single="[start] $A [end]", special_tokens=ends)
    names = {"pad_token": "[pad]", "unk_token": "[unk]", "bos_token": "[start]", "eos_token": "[end]"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=CONTEXT, **names).save_pretrained(folder)
    return len(tokens)


def new_model(recipe: Recipe, folder: Path) -> torch.nn.Module:
    """Random weights from the recipe's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.random.manual_seed(recipe.seed)
        return open_clip.create_model(f"local-dir:{folder}", load_weights=False)


def save_weights(model: torch.nn.Module, folder: Path) -> None:
    """In half precision."""
    half = {k: (v.half() if v.is_floating_point() else v).contiguous() for k, v in model.state_dict().items()}
    save_file(half, folder / WEIGHTS, metadata={"format": "pt"})


class Recogniser:
    """A finished folder, read as any user would read it; answers with scores."""

    def __init__(self, folder: Path) -> None:
        with torch.random.fork_rng(devices=[]):
            self.model, _ = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
        self.model.eval()
        self.tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")

    @torch.inference_mode()
    def logits(self, images: Tensor, texts: list[str]) -> Tensor:
        """float32 (images, texts)."""
        words = self.model.encode_text(self.tokenizer(texts), normalize=True)
        parts = [self.model.encode_image(part * 2 - 1, normalize=True) for part in images.split(128)]
        return self.model.logit_scale.exp() * torch.cat(parts) @ words.T

    def scores(self, images: Tensor) -> dict[str, np.ndarray]:
        """Each concept's score, float32 (images,)."""
        texts = sorted({text for spec in concepts().values() for text in spec["yes"] + spec["no"]})
        scored = concept_scores(self.logits(images, texts), columns_of(texts))
        return dict(zip(concepts(), scored.numpy().T, strict=True))


# -- training ------------------------------------------------------------------------------------------


Columns = Mapping[str, int]  # text -> its column in the logits
Loss = Callable[[Tensor, pd.DataFrame, Columns], Tensor]


def columns_of(texts: Iterable[str]) -> dict[str, int]:
    return {text: i for i, text in enumerate(texts)}


def concept_scores(logits: Tensor, columns: Columns) -> Tensor:
    """(images, texts) -> (images, concepts): logsumexp over yes minus logsumexp over no."""
    sides = [[[columns[text] for text in spec[side]] for side in ("yes", "no")] for spec in concepts().values()]
    return torch.stack([logits[:, yes].logsumexp(1) - logits[:, no].logsumexp(1) for yes, no in sides], 1)


def balanced_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """The module's L: true and false pairs weigh the same, however rare the true ones are."""
    true, false = F.softplus(-logits) * truth, F.softplus(logits) * (1 - truth)
    return true.sum() / truth.sum().clamp(min=1) + false.sum() / (1 - truth).sum().clamp(min=1)


def concept_loss(logits: Tensor, table: pd.DataFrame, columns: Columns) -> Tensor:
    """L on the recogniser's scores."""
    truth = torch.from_numpy(np.stack(list(answers(table).values()), 1)).float()
    return balanced_loss(concept_scores(logits, columns), truth)


def attribute_loss(logits: Tensor, table: pd.DataFrame, columns: Columns) -> Tensor:
    """Cross-entropy among the values of each attribute, over the images that have it."""
    total = logits.new_zeros(())
    for name, texts in ATTRIBUTES.items():
        values = torch.from_numpy(table[name].map(columns_of(texts)).fillna(-100).to_numpy(np.int64))
        total = total + F.cross_entropy(logits[:, [columns[text] for text in texts.values()]], values)
    return total


def captions(table: pd.DataFrame, rng: np.random.Generator, n: int) -> list[Claim]:
    """n scenes' captions, and for each a hard negative: another relation, another rider or another mount."""
    rows = table[table["junk"].eq("") & table["relation"].ne("empty")].iloc[:n]
    return [one for row in rows.itertuples() for one in _pair(row, rng)]


def _pair(row: object, rng: np.random.Generator) -> tuple[Claim, Claim]:
    place = row.background if row.place_named else ""
    wrong = {"rider": row.rider, "mount": row.mount, "relation": row.relation}
    values = {"rider": scene.RIDERS, "mount": scene.MOUNTS, "relation": ("riding", "next_to")}
    name = str(rng.choice([name for name in values if wrong[name] in values[name]]))
    wrong[name] = str(rng.choice([v for v in values[name] if v != wrong[name]]))
    return statement(row.rider, row.mount, row.relation, place), statement(**wrong, place=place)


@dataclass
class Batches:
    """Batches of images with truth rows: step -> (images, table), the same for the same seed and step.

    pixels: uint8 (n, 64, 64, 3), table: their truth. makers: the kinds of junk to show.
    """

    pixels: np.ndarray
    table: pd.DataFrame
    makers: Mapping[str, Damage]
    size: int
    seed: int
    junk_share: float = 0.16

    def __call__(self, step: int) -> tuple[Tensor, pd.DataFrame]:
        rng = torch.Generator().manual_seed(self.seed * 100_003 + step)
        n_junk = round(self.size * self.junk_share)
        rows = torch.randint(0, len(self.pixels), (self.size,), generator=rng).numpy()
        images = to_float(self.pixels[rows])
        junk, kinds = self._junk(images, n_junk, rng)
        images = torch.cat([augment(images[n_junk:], rng), junk])
        return images, pd.concat([self.table.iloc[rows[n_junk:]], junk_rows(kinds)], ignore_index=True)

    def _junk(self, images: Tensor, n: int, rng: torch.Generator) -> tuple[Tensor, list[str]]:
        """n images of junk in four kinds, each made of a dozen scenes (mixtures need that many)."""
        names = list(self.makers)
        chosen = [names[i] for i in torch.randint(0, len(names), (4,), generator=rng)]
        parts = [
            self.makers[kind](part, rng)[: math.ceil(n / 4)]
            for kind, part in zip(chosen, images.split(12), strict=False)
        ]
        kinds = [kind for kind, part in zip(chosen, parts, strict=True) for _ in part]
        return torch.cat(parts)[:n], kinds[:n]


def learn(
    model: torch.nn.Module,
    folder: Path,
    batches: Batches,
    losses: Iterable[Loss],
    steps: int,
    rate: float,
    watch: Callable[[int], None],
) -> None:
    """AdamW with warm-up and a cosine; bfloat16 in the image tower, float32 everywhere else."""
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    claims = bank()
    tokens, columns = tokenizer([one.text for one in claims]), columns_of(one.text for one in claims)
    model.to(memory_format=torch.channels_last).train()
    optimiser = torch.optim.AdamW(_groups(model), lr=rate, betas=(0.9, 0.98), fused=True)
    start = time.monotonic()
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * min(1, (step + 1) / 100) * (0.5 + 0.5 * math.cos(math.pi * step / steps))
        images, table = batches(step)
        extra = captions(table, np.random.default_rng([batches.seed, step]), 20)
        words = torch.cat([tokens, tokenizer([one.text for one in extra])])
        logits = _logits(model, images, words)
        claimed = balanced_loss(logits + model.logit_bias, truths([*claims, *extra], table))
        loss = claimed + sum(one(logits, table, columns) for one in losses)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(60))
        if step % 50 == 0 or step == steps - 1:
            seconds = (time.monotonic() - start) / (step + 1)
            print(f"{step:5d} claims {claimed.item():.4f} loss {loss.item():.4f} {seconds:.3f} s/step", flush=True)
        if step % 300 == 299 or step == steps - 1:
            watch(step)


def _logits(model: torch.nn.Module, images: Tensor, words: Tensor) -> Tensor:
    """scale cos(image, text), float32 (images, texts)."""
    inputs = (images * 2 - 1).contiguous(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        seen = model.encode_image(inputs)
    said = model.encode_text(words, normalize=True)
    return model.logit_scale.exp() * F.normalize(seen.float(), dim=1) @ said.T


def _groups(model: torch.nn.Module) -> list[dict[str, object]]:
    """Weight decay for matrices and kernels only."""
    parameters = list(model.parameters())
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 0.05},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def watcher(model: torch.nn.Module, folder: Path, recipe: Recipe, codec: Codec | None = None) -> Callable[[int], None]:
    """Saves the weights and prints balanced accuracies at threshold 0 on scenes kept aside (through the codec)."""
    scenes = train_scenes(700, recipe.seed + STREAMS["watch"])
    images, table = to_float(pictures(scenes)), truth_table(scenes)
    images = codec.round_trips(images) if codec else images

    def watch(step: int) -> None:
        save_weights(model, folder)
        scores, true = Recogniser(folder).scores(images), answers(table)
        balanced = {c: ((scores[c][true[c]] > 0).mean() + (scores[c][~true[c]] <= 0).mean()) / 2 for c in true}
        worst = min(balanced, key=balanced.__getitem__)
        shown = " ".join(f"{c} {balanced[c]:.3f}" for c in ("astronaut", "horse", "riding"))
        mean = np.mean(list(balanced.values()))
        print(f"{step:5d} watch: mean {mean:.4f} worst {worst} {balanced[worst]:.3f} {shown}", flush=True)

    return watch


# -- stages --------------------------------------------------------------------------------------------


def render(recipe: Recipe, work: Path) -> None:
    """Draw the training scenes once."""
    target = work / f"{recipe.name}-scenes.npy"
    if not target.exists():
        np.save(target, pictures(train_scenes(recipe.scenes, recipe.seed + STREAMS["train"])))


def load_scenes(recipe: Recipe, work: Path) -> tuple[np.ndarray, pd.DataFrame]:
    """The rendered scenes and their truth."""
    render(recipe, work)
    table = truth_table(train_scenes(recipe.scenes, recipe.seed + STREAMS["train"]))
    return np.load(work / f"{recipe.name}-scenes.npy"), table


def train(recipe: Recipe, work: Path, steps: int) -> None:
    """Phase 1: scenes and the junk that needs no codec."""
    folder = work / recipe.name
    prepare_folder(recipe, folder)
    model = new_model(recipe, folder)
    pixels, table = load_scenes(recipe, work)
    batches = Batches(pixels, table, FIRST_JUNK, recipe.batch, recipe.seed + STREAMS["batches"])
    learn(model, folder, batches, [concept_loss], steps, recipe.learning_rate, watcher(model, folder, recipe))
    (work / f"{recipe.name}-phase1.safetensors").write_bytes((folder / WEIGHTS).read_bytes())


def refine(recipe: Recipe, work: Path, steps: int, vae: Path) -> None:
    """Phase 2, at half the rate: also round trips as scenes, melted scenes and decoded noise as junk, and colours."""
    folder = work / recipe.name
    model = new_model(recipe, folder)
    model.load_state_dict(load_file(work / f"{recipe.name}-phase1.safetensors"))  # halves become float32
    codec = Codec(vae, fast=True)
    pixels, table = codec_scenes(recipe, work, codec)
    batches = Batches(pixels, table, all_junk(codec), recipe.batch, recipe.seed + STREAMS["batches"] + 50)
    losses = [concept_loss, attribute_loss]
    learn(model, folder, batches, losses, steps, recipe.learning_rate / 2, watcher(model, folder, recipe, codec))
    save_weights(model, folder)


def codec_scenes(recipe: Recipe, work: Path, codec: Codec) -> tuple[np.ndarray, pd.DataFrame]:
    """All scenes, and 3,600 of them through the codec: 2,000 once, 800 three times, 800 with shaken latents."""
    rng = torch.Generator().manual_seed(recipe.seed + STREAMS["codec"])
    pixels, table = load_scenes(recipe, work)
    some = to_float(pixels[:3600])
    parts = [codec.round_trips(some[:2000]), codec.round_trips(some[2000:2800], 3), codec.shaken(some[2800:], rng)]
    trips = to_pixels(torch.cat(parts))
    # About half of what is shown should have been through the codec.
    return np.concatenate([pixels, *[trips] * 5]), pd.concat([table, *[table.iloc[:3600]] * 5], ignore_index=True)


# -- calibration ---------------------------------------------------------------------------------------


def wilson(hits: int, n: int, z: float = 1.96) -> tuple[float, float, float]:
    """Share and its 95 % Wilson interval."""
    share = hits / n
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return share, max(0.0, centre - half), min(1.0, centre + half)


def threshold(scores: np.ndarray, true: np.ndarray, junk: np.ndarray) -> float:
    """Where the least of sensitivity, specificity and refusal of junk is greatest; the middle of a plateau."""
    cuts = np.unique(np.concatenate([scores, junk]))
    cuts = (cuts[1:] + cuts[:-1]) / 2
    least = np.minimum(_share_above(scores[true], cuts), 1 - _share_above(scores[~true], cuts))
    least = np.minimum(least, 1 - _share_above(junk, cuts))
    best = cuts[least >= least.max() - 1e-12]
    return float((best.min() + best.max()) / 2)


def _share_above(values: np.ndarray, cuts: np.ndarray) -> np.ndarray:
    return 1 - np.searchsorted(np.sort(values), cuts, side="right") / len(values)


@dataclass(frozen=True)
class Labelled:
    """Images float32 (n, 3, 64, 64) with their truth."""

    images: Tensor
    table: pd.DataFrame


def labelled(seed: int, codec: Codec) -> Labelled:
    """Test scenes, every other one through the codec once."""
    scenes = test_scenes(seed)
    images = to_float(pictures(scenes))
    images[1::2] = codec.round_trips(images[1::2])
    return Labelled(images, truth_table(scenes))


def junk_set(seed: int, codec: Codec, per_kind: int = 100) -> Labelled:
    """per_kind images of each kind of junk."""
    rng = torch.Generator().manual_seed(seed)
    scenes = to_float(pictures(train_scenes(per_kind, seed)))
    makers = {**all_junk(codec), "broken": codec.broken}
    # In parts of ten, so that each kind shows in all its sizes and strengths.
    images = [torch.cat([make(part, rng) for part in scenes.split(10)]) for make in makers.values()]
    kinds = [kind for kind in makers for _ in range(per_kind)]
    return Labelled(to_float(to_pixels(torch.cat(images))), junk_rows(kinds))


def decide(scores: dict[str, np.ndarray], cuts: dict[str, float]) -> dict[str, np.ndarray]:
    """The answers, bool (images,), to each concept and to each conjunction."""
    said = {c: scores[c] > cuts[c] for c in scores}
    return said | {name: np.logical_and.reduce([said[c] for c in parts]) for name, parts in JOINT.items()}


def expected(table: pd.DataFrame) -> dict[str, np.ndarray]:
    """The true answers to each concept and to each conjunction."""
    true = answers(table)
    return true | {name: np.logical_and.reduce([true[c] for c in parts]) for name, parts in JOINT.items()}


def performance(said: np.ndarray, true: np.ndarray, junk: np.ndarray) -> dict[str, float | int]:
    """Sensitivity and specificity with intervals, and how much junk is taken for the concept."""
    se, se_low, se_high = wilson(int((said & true).sum()), int(true.sum()))
    sp, sp_low, sp_high = wilson(int((~said & ~true).sum()), int((~true).sum()))
    return {
        "positives": int(true.sum()),
        **{"sensitivity": round(se, 4), "sensitivity_low": round(se_low, 4), "sensitivity_high": round(se_high, 4)},
        "negatives": int((~true).sum()),
        **{"specificity": round(sp, 4), "specificity_low": round(sp_low, 4), "specificity_high": round(sp_high, 4)},
        "junk": len(junk),
        "junk_false_positives": int(junk.sum()),
    }


def degradations(images: Tensor, codec: Codec, seed: int) -> Iterable[tuple[str, float, Tensor]]:
    """(kind, level, degraded images), from none to severe."""
    rng = torch.Generator().manual_seed(seed)
    yield "none", 0, images
    yield from (("gaussian_blur_sigma_px", sigma, blur(images, sigma)) for sigma in (0.5, 1.0, 1.5, 2.0))
    yield from (("gaussian_noise_sigma", sigma, add_noise(images, sigma, rng)) for sigma in (0.05, 0.1, 0.2, 0.3))
    yield from (("jpeg_quality", quality, jpeg(images, quality)) for quality in (50, 25, 10))
    for trips in range(1, 9):
        images = codec.round_trips(images)
        if trips in (1, 2, 4, 8):
            yield "vae_round_trips", trips, images


def degraded_rows(judge: Recogniser, seed: int, codec: Codec, cuts: dict[str, float]) -> list[dict[str, object]]:
    """Sensitivity and specificity at each level, on every third of the last 1,800 test scenes."""
    scenes = test_scenes(seed)[1200::3]
    true, images = expected(truth_table(scenes)), to_float(pictures(scenes))
    rows = []
    for kind, level, damaged in degradations(images, codec, seed):
        said = decide(judge.scores(to_float(to_pixels(damaged))), cuts)
        rows += [
            {"kind": kind, "level": level, "concept": c, "n": len(scenes), "positives": int(true[c].sum())}
            | {"sensitivity": round(float(said[c][true[c]].mean()), 4)}
            | {"specificity": round(float((~said[c])[~true[c]].mean()), 4)}
            for c in true
        ]
    return rows


def attribute_confusions(judge: Recogniser, seed: int, codec: Codec) -> dict[str, object]:
    """For each attribute, its texts and the counts true value x answered value (the greatest logit)."""
    scenes = [s for s in train_scenes(4000, seed)[1::2] if s.relation != "empty"]
    images, table = to_float(pictures(scenes)), truth_table(scenes)
    images[1::2] = codec.round_trips(images[1::2])
    found = {}
    for name, texts in ATTRIBUTES.items():
        rows = table[name].ne("").to_numpy()
        said = judge.logits(images[torch.from_numpy(rows)], list(texts.values())).argmax(1).numpy()
        true = table.loc[rows, name].map({v: i for i, v in enumerate(texts)}).to_numpy()
        counts = np.zeros((len(texts), len(texts)), int)
        np.add.at(counts, (true, said), 1)
        found[name] = {"texts": texts, "values": list(texts), "confusion": counts.tolist()}
    return found


SCORE = (
    "score = logsumexp(logits of the yes texts) - logsumexp(logits of the no texts) in float32, "
    "logits = exp(logit_scale) * cosine(image, text); the answer is yes if score > threshold"
)
SCENES = (
    "per set 2,400 scenes with relations in fixed shares (2/7 riding, 2/7 next to, 1/7 each rider alone, "
    "mount alone, empty) and all else as in the world, and 600 around 'an astronaut riding a horse' "
    "(250 of it, 350 that share some of its words); odd ones went through the codec once; none was trained on"
)


def calibrate(recipe: Recipe, work: Path, vae: Path, phase_steps: dict[str, int]) -> None:
    """Fit thresholds on one set of scenes, report on another, and finish the folder in the package."""
    folder, codec = work / recipe.name, Codec(vae)
    judge = Recogniser(folder)
    seeds = {name: recipe.seed + STREAMS[name] for name in ("fit", "report", "fit_junk", "report_junk")}
    fit, fit_junk = labelled(seeds["fit"], codec), junk_set(seeds["fit_junk"], codec)
    report, report_junk = labelled(seeds["report"], codec), junk_set(seeds["report_junk"], codec)
    scores, junk, true = judge.scores(fit.images), judge.scores(fit_junk.images), answers(fit.table)
    cuts = {c: threshold(scores[c], true[c], junk[c]) for c in scores}
    said, said_junk = decide(judge.scores(report.images), cuts), decide(judge.scores(report_junk.images), cuts)
    true = expected(report.table)
    measured = {c: performance(said[c], true[c], said_junk[c]) for c in true}
    kinds = report_junk.table["junk"].to_numpy()
    result = {
        "format": 1,
        "score": SCORE,
        "scenes": {**seeds, "n_fit": len(fit.table), "n_report": len(report.table), "how": SCENES},
        "concepts": {c: {**spec, "threshold": round(cuts[c], 4), **measured[c]} for c, spec in concepts().items()},
        "joint": {name: {"concepts": list(parts), **measured[name]} for name, parts in JOINT.items()},
        "halves": {
            half: {c: performance(said[c][rows], true[c][rows], said_junk[c]) for c in ESSAY}
            for half, rows in (("clean", slice(0, None, 2)), ("round_trip", slice(1, None, 2)))
        },
        "junk": {
            kind: {"n": int((kinds == kind).sum())} | {c: int(said_junk[c][kinds == kind].sum()) for c in true}
            for kind in dict.fromkeys(kinds)
        },
        "degradations": degraded_rows(judge, seeds["report"], codec, cuts),
        "attributes": attribute_confusions(judge, seeds["report"] + 500, codec),
        "steps": phase_steps,
    }
    (folder / "calibration.json").write_text(json.dumps(result, indent=1) + "\n")
    (folder / "README.md").write_text(card(recipe, folder, result))
    publish(folder, ASSETS / recipe.name)
    print(table_of(result))


FILES = (
    "open_clip_config.json",
    WEIGHTS,
    "tokenizer.json",
    "tokenizer_config.json",
    "calibration.json",
    "README.md",
)


def publish(folder: Path, target: Path) -> None:
    """Copy the finished folder into the package."""
    target.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (target / name).write_bytes((folder / name).read_bytes())


def table_of(result: dict) -> str:
    """The calibration as a Markdown table."""
    lines = ["| concept | threshold | n+ | sensitivity | n- | specificity | junk taken |" + "\n|" + " --- |" * 7]
    for name, row in {**result["concepts"], **result["joint"]}.items():
        se, sp = (
            f"{row[k]:.3f} ({row[f'{k}_low']:.3f}-{row[f'{k}_high']:.3f})" for k in ("sensitivity", "specificity")
        )
        cut = f"{row['threshold']:.2f}" if "threshold" in row else "-"
        taken = f"{row['junk_false_positives']} of {row['junk']}"
        lines.append(f"| {name} | {cut} | {row['positives']} | {se} | {row['negatives']} | {sp} | {taken} |")
    return "\n".join(lines)


def degradation_table(result: dict) -> str:
    """Sensitivity / specificity of the essay's three concepts and their conjunction at each level."""
    rows = result["degradations"]
    cells = {(r["kind"], r["level"], r["concept"]): f"{r['sensitivity']:.3f} / {r['specificity']:.3f}" for r in rows}
    levels = list(dict.fromkeys((kind, level) for kind, level, _ in cells))
    head = f"| degradation | level | {' | '.join(ESSAY)} |\n|" + " --- |" * 6
    return "\n".join([head, *(f"| {k} | {v} | {' | '.join(cells[k, v, c] for c in ESSAY)} |" for k, v in levels)])


def card(recipe: Recipe, folder: Path, result: dict) -> str:
    """The model card."""
    model = Recogniser(folder).model
    count = sum(p.numel() for p in model.parameters())
    image = sum(p.numel() for p in model.visual.parameters())
    size = (folder / WEIGHTS).stat().st_size / 1e6
    steps = result["steps"]
    calibration = (
        f"**Calibration.** {SCORE[0].upper()}{SCORE[1:]}. Thresholds were fitted on {result['scenes']['n_fit']:,} "
        f"scenes and are reported on {result['scenes']['n_report']:,} others: {SCENES}. Brackets: 95 % Wilson "
        "intervals. `all` means that all three of astronaut, horse and riding are answered yes."
    )
    return f"""---
license: apache-2.0
library_name: open_clip
---
# {recipe.name}

{recipe.about[0].upper()}{recipe.about[1:]} and a text transformer with {model.vocab_size} words, in
open_clip's own format: {count:,} parameters ({image:,} of them see), {size:.1f} MB in half precision, images of
64 x 64. It knows the drawn storybook world of this package and nothing else. The package's other open_clip
model has another architecture, other seeds and other scenes, so that one can select and the other measure.

```python
model, preprocess = open_clip.create_model_from_pretrained("local-dir:{recipe.name}")
tokenizer = open_clip.get_tokenizer("local-dir:{recipe.name}")
```

**Data.** {recipe.scenes:,} drawn scenes with known truth (seed {recipe.seed}), half from the world's own
distribution, half with all attributes uniform and with the pairs the checkpoint never sees. Mirrored, moved,
recoloured, mildly blurred, noised and compressed, they keep their truth; 16 % of each batch is junk (noise,
blank, scrambled, blurred, faded, drowned; later melted, and decoded latents of noise),
of which nothing is true but that it is junk.

**Training.** `scripts/train_storybook_judges.py`, CPU, batch {recipe.batch}: {steps["train"]:,} steps on scenes
and junk, then {steps["refine"]:,} at half the learning rate with half of the scenes through the checkpoint's
codec. Loss: SigLIP's sigmoid over images x claims with known truth (each batch's captions with hard negatives
among them), true and false pairs balanced; the same on the recogniser's own scores; and in the second phase
cross-entropy among the colours of coat and suit and among the backgrounds.

{textwrap.fill(calibration, 110)}

{table_of(result)}

Sensitivity / specificity on degraded pictures ({result["degradations"][0]["n"]} scenes), thresholds unchanged:

{degradation_table(result)}

`calibration.json` has all of it, the yes and no texts, junk by kind, and confusion matrices of coat, suit and
background.

Licence: Apache-2.0.
"""  # noqa: S608


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=("render", "train", "refine", "calibrate"))
    parser.add_argument("model", choices=tuple(RECIPES))
    parser.add_argument("--vae", type=Path, help="folder of the codec, an AutoencoderKL in diffusers' format")
    parser.add_argument("--work", type=Path, default=Path("judges"), help="folder for intermediate files")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    recipe, work = RECIPES[options.model], options.work
    work.mkdir(parents=True, exist_ok=True)
    if options.stage in ("refine", "calibrate") and options.vae is None:
        parser.error(f"{options.stage} needs --vae")
    if options.stage == "render":
        render(recipe, work)
    elif options.stage == "train":
        train(recipe, work, options.steps or recipe.steps)
    elif options.stage == "refine":
        refine(recipe, work, options.steps or recipe.refine_steps, options.vae)
    else:
        calibrate(recipe, work, options.vae, {"train": recipe.steps, "refine": recipe.refine_steps})


if __name__ == "__main__":
    main()
