"""The stages of a chain, one function per verb: what each reads, needs and costs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict

from entropy_loop import seeds
from entropy_loop.contracts import Judge
from entropy_loop.data import (
    CHECK,
    EVALUATION,
    HELD_OUT,
    MOVED,
    MOVES,
    POOL,
    REAL,
    TAUGHT,
    Prompt,
    Request,
    Stage,
    Verb,
    canonical,
)
from entropy_loop.registry import identity
from entropy_loop.study.config import Config

FRESH = (POOL, CHECK)
"""Image sets with fresh noise in every generation."""
VERSIONS = {"measure": 3, "move": 1}
"""Versions of stages that no plug-in computes. Raise one when its computation changes."""
KEY_FORM = 2
"""Version of how keys are built. Results of another version cannot be continued."""
JUDGE_COST = 4.0
"""Model evaluations per image and judge: a rough figure for progress and `plan`."""


def _stage(
    config: Config,
    verb: Verb,
    g: int,
    reads: Mapping[str, object],
    needs: Sequence[Stage] = (),
    image_set: str = "",
    images: int = 0,
    cost: float = 0.0,
) -> Stage:
    # `threads` is in every key: another thread count may round differently.
    reads = {"verb": verb, "set": image_set, "threads": config.threads, "needs": [need.key for need in needs], **reads}
    key = hashlib.sha256(canonical(reads).encode()).hexdigest()[:16]
    return Stage(verb, g, key, reads, tuple(need.key for need in needs), image_set, images, cost)


def base(config: Config) -> Stage:
    """Generation 0's model."""
    return _stage(config, "base", 0, {"generator": identity(config.generator_plugin())})


def generate(config: Config, g: int, image_set: str, model: Stage) -> Stage:
    """A pool, an evaluation set or a check set."""
    generator = config.sampler(image_set)
    prompts = [(index, prompt.text, images) for index, prompt, images in prompts_of(config, image_set)]
    reads = {
        "generator": identity(generator),
        "seed": config.seed,
        "generation": g if image_set in FRESH else 0,
        "prompts": prompts,
    }
    images = _images(config, image_set)
    # The evaluation set depends on its model alone, so it has its model's generation.
    number = g if image_set in FRESH else model.generation
    cost = images * generator.evaluations_per_image()
    return _stage(config, "generate", number, reads, (model,), image_set, images, cost)


def moved(config: Config, pool: Stage) -> Stage:
    """The first images of every target prompt's pool, each moved in all ways of MOVES."""
    reads = {
        "version": VERSIONS["move"],
        "images": config.moved_images(),
        "moves": list(MOVES),
        "prompts": [prompt.text for _, prompt, _ in prompts_of(config, MOVED)],
    }
    return _stage(config, "move", pool.generation, reads, (pool,), MOVED, _images(config, MOVED))


def real(config: Config, g: int) -> Stage:
    """Real images for generation g's diet: the same set in every step, or new images if the regime is `fresh`."""
    g = g if config.regime_plugin().fresh else 1
    reads = {
        "real": identity(config.real_plugin()),
        "seed": config.seed,
        "prompts": [(index, prompt.text, images) for index, prompt, images in prompts_of(config, REAL)],
        "generation": g,
    }
    return _stage(config, "draw", g, reads, (), REAL, _images(config, REAL))


def taught(config: Config, g: int) -> Stage | None:
    """Real images of the concepts that are taught again in the step to generation g; None if there are none."""
    again = config.reteach
    if again is None or g % again.every:
        return None
    reads = {
        "real": identity(config.real_plugin()),
        "seed": config.seed,
        "generation": g,
        "concepts": list(again.concepts),
        "images": again.images,
        "first": _first_taught_index(config, g),
    }
    return _stage(config, "draw", g, reads, (), TAUGHT, again.images * len(again.concepts))


def held_out(config: Config) -> Stage:
    """Real images that no diet contains, as many per prompt as in its pools; all arms of a seed share them."""
    reads = {
        "real": identity(config.held_out_plugin()),
        "seed": config.seed,
        "prompts": [(index, prompt.text, images) for index, prompt, images in prompts_of(config, HELD_OUT)],
    }
    return _stage(config, "draw", 0, reads, (), HELD_OUT, _images(config, HELD_OUT))


def recognise(config: Config, judge: Judge, samples: Stage, image_set: str) -> Stage:
    """One judge's answers on an image set. Only the prompts and concepts of that set enter the key."""
    prompts = [(prompt.text, list(prompt.concepts)) for _, prompt, _ in prompts_of(config, image_set)]
    names = {name for _, concepts in prompts for name in concepts}
    reads = {
        "judge": identity(judge),
        "prompts": prompts,
        "concepts": [asdict(concept) for concept in config.judged_concepts() if concept.name in names],
    }
    return _observe(config, "recognise", samples, image_set, reads)


def embed(config: Config, samples: Stage, image_set: str) -> Stage:
    """Embeddings and noise indices of an image set."""
    return _observe(config, "embed", samples, image_set, {"embedder": identity(config.embedder_plugin())})


def read(config: Config, samples: Stage, image_set: str) -> Stage:
    """Attributes of every image of a set."""
    return _observe(config, "read", samples, image_set, {"reader": identity(config.reader_plugin())})


def _observe(config: Config, verb: Verb, samples: Stage, image_set: str, reads: Mapping[str, object]) -> Stage:
    images = _images(config, image_set)
    return _stage(config, verb, samples.generation, reads, (samples,), image_set, images, images * JUDGE_COST)


def measure(config: Config, g: int, needs: Sequence[Stage]) -> Stage:
    """Diversity, noise and tails of generation g's pool. needs: the stages of the sets to compare."""
    policy, regime = config.policy_plugin(), config.regime_plugin()
    reads = {
        "version": VERSIONS["measure"],
        "seed": config.seed,
        "generation": g,
        "attributes": {name: list(values) for name, values in config.attributes.items()},
        "drift": [identity(policy), config.images, identity(regime), config.train.method] if g else None,
    }
    return _stage(config, "measure", g, reads, needs)


def score(config: Config, pool: Stage) -> Stage:
    """The scorer's scores of the pools of target prompts."""
    targets = [(prompt.text, images) for _, prompt, images in prompts_of(config, POOL) if prompt.role == "target"]
    reads = {"scorer": identity(config.scorer_plugin()), "prompts": [text for text, _ in targets]}
    images = sum(n for _, n in targets)
    return _stage(config, "score", pool.generation, reads, (pool,), images=images, cost=images * JUDGE_COST)


def curate(config: Config, pool: Stage, score: Stage | None) -> Stage:
    """The policy's selection from the pools of target prompts. Without `score` the scorer enters no key."""
    reads = {
        "policy": identity(config.policy_plugin()),
        "seed": config.seed,
        "generation": pool.generation,
        "prompts": [prompt.text for prompt in config.pool_prompts() if prompt.role == "target"],
    }
    return _stage(config, "curate", pool.generation, reads, (score or pool,))


def train(config: Config, g: int, start: Stage, history: Sequence[Stage], real_sets: Sequence[Stage]) -> Stage:
    """Generation g's model. history: curate stages of earlier generations. real_sets: draw stages of its diet. Of the
    regime only the diet that it makes enters the key."""
    regime = config.regime_plugin()
    eaten = regime.eats(history)
    settings = asdict(config.train)
    del settings["checkpointing_steps"]  # no result depends on it
    reads = {
        "generator": identity(config.generator_plugin()),
        "train": settings,
        "seed": config.seed,
        "generation": g,
        "cut": regime.subsamples and len(eaten) > 1,
        "real_fraction": regime.real_fraction,
    }
    cost = 3.0 * config.train.max_train_steps * config.train.train_batch_size
    presented = config.train.max_train_steps * config.train.images
    return _stage(config, "train", g, reads, (start, *eaten, *real_sets), images=presented, cost=cost)


# ---- which images a set has --------------------------------------------------------------------------


def prompts_of(config: Config, image_set: str) -> Iterator[tuple[int, Prompt, int]]:
    """(index, prompt, number of images) for each prompt of an image set. Pools and held-out images cover every prompt,
    the check set the check prompts, all other sets the targets."""
    kept = config.policy_plugin().most_kept(config.images)
    # Taught images have captions of their own, so none is promised to a prompt.
    images = {EVALUATION: config.evaluation.images, REAL: config.regime_plugin().real_images(kept), TAUGHT: 0}
    images[MOVED] = len(MOVES) * config.moved_images()
    for index, prompt in enumerate(config.judged_prompts(image_set)):
        if image_set in (POOL, HELD_OUT, CHECK):
            yield index, prompt, config.images_of(prompt)
        elif prompt.role == "target":
            yield index, prompt, images[image_set]


def _images(config: Config, image_set: str) -> int:
    """Number of images of a set."""
    return sum(images for *_, images in prompts_of(config, image_set))


def requests(config: Config, generation: int, image_set: str) -> Iterator[Request]:
    """The images of a set. Pools and check sets have fresh noise in each generation, all other sets that of generation
    0. The indices of fresh real images continue from step to step, so each image of a folder is used once. Held-out
    images have negative indices, from the end of the folder: they do not depend on what the diets take."""
    noise = generation if image_set in FRESH else 0
    fresh = image_set == REAL and config.regime_plugin().fresh
    for prompt_index, prompt, images in prompts_of(config, image_set):
        first = (generation - 1) * images if fresh else 0
        for index in range(first, first + images):
            yield Request(
                id=f"{image_set[0]}{noise:03d}-{prompt_index:02d}-{index:06d}",
                prompt=prompt.text,
                index=-1 - index if image_set == HELD_OUT else index,
                seed=seeds.seed(config.seed, image_set, noise, prompt_index, index),
            )


def taught_requests(config: Config, generation: int) -> Iterator[Request]:
    """The images of a step that teaches concepts again. A request's prompt is the concept; its image has a caption of
    its own. The indices continue from step to step, so each image of a folder is used once."""
    if again := config.reteach:
        for number, concept in enumerate(again.concepts):
            first = _first_taught_index(config, generation)
            for index in range(first, first + again.images):
                yield Request(
                    id=f"{TAUGHT[0]}000-{number:02d}-{index:06d}",
                    prompt=concept,
                    index=index,
                    seed=seeds.seed(config.seed, TAUGHT, 0, number, index),
                )


def _first_taught_index(config: Config, generation: int) -> int:
    """Number of images per concept that earlier steps have used."""
    return 0 if config.reteach is None else (generation // config.reteach.every - 1) * config.reteach.images
